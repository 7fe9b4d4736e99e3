"""The log of a campaign on disk: written whole every few seconds, complete at any time, and taken up again."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from ...traces.kernellog import KernelHeader, KernelRow, read_kernel_log, to_columns, to_rows, write_kernel_log
from .device import MeasureError
from .kernel import JobKey, Kernel, Mode, row_key

CHECKPOINT_S = 10.0


def variant_of(row: KernelRow) -> str:
    """The variant of the kernel that a row is of."""
    return str(json.loads(row.extra).get("variant", "")) if row.extra else ""


def job_name(kernel: Kernel, mode: Mode) -> str:
    """How a job is called among those skipped."""
    return f"{kernel.label()}, {mode.label()}"


class LogFile:
    """Rows and reasons so far. A job that is in `done`, or named in the header's `skipped`, is not to be measured again."""

    def __init__(self, path: Path, header: KernelHeader, rows: Iterable[KernelRow] = ()) -> None:
        self.path, self.rows, self._header = path, list(rows), header
        self.skipped = dict(header.skipped)
        self.notes = list(header.notes)
        self.done: set[JobKey] = {row_key(row, variant_of(row)) for row in self.rows}
        self._written, self._dirty = monotonic(), True

    def has(self, kernel: Kernel, mode: Mode, key: JobKey) -> bool:
        """Whether the job was measured or skipped."""
        return key in self.done or job_name(kernel, mode) in self.skipped

    def add(self, row: KernelRow, key: JobKey) -> None:
        """A job that was measured."""
        self.rows.append(row)
        self.done.add(key)
        self._touched()

    def skip(self, kernel: Kernel, mode: Mode, reason: str) -> None:
        """A job that cannot be measured."""
        self.skipped[job_name(kernel, mode)] = reason
        self._touched()

    def note(self, text: str) -> None:
        """A remark for the header, once."""
        if text not in self.notes:
            self.notes.append(text)
            self._dirty = True

    def update(self, change: Callable[[KernelRow], KernelRow]) -> None:
        """Every row replaced by what `change` makes of it."""
        self.rows = [change(row) for row in self.rows]
        self._dirty = True

    def _touched(self) -> None:
        self._dirty = True
        if monotonic() - self._written > CHECKPOINT_S:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write all there is, if there is news; the file is replaced in one step."""
        if self._dirty:
            header = replace(self._header, skipped=self.skipped, notes=tuple(self.notes))
            write_kernel_log(self.path, header, to_columns(self.rows))
            self._written, self._dirty = monotonic(), False


def open_log(path: Path, header: KernelHeader, resume: bool) -> LogFile:
    """A new log, or with `resume` the one that is there.

    Raises MeasureError if there is one and `resume` is not asked for, or if it is of another device, suite or setting;
    FormatError if it is damaged.
    """
    if not path.exists():
        if not path.parent.is_dir():
            raise MeasureError(f"{path.parent}: no such folder")
        return LogFile(path, header)
    if not resume:
        raise MeasureError(f"{path}: there already; --resume goes on with it")
    known, columns = read_kernel_log(path)
    for name in ("device", "suite", "torch", "driver", "settings"):
        before, now = getattr(known, name), getattr(header, name)
        if before != now:
            raise MeasureError(f"{path}: cannot be resumed: its {name} is {_brief(before)}, now it is {_brief(now)}")
    return LogFile(path, known, to_rows(columns))


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:200] or "nothing"
