"""A timeline of a run as a Chrome trace (JSON): processes of tracks, slices on them, counters. Times are exact picoseconds.

How events are written is said in :mod:`.chrome`; this writes any tracks, and refuses to grow beyond a number of slices.
"""

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Final

from .chrome import microseconds
from .files import PathLike, text_writer

MAX_SLICES: Final = 2_000_000
_BLOCK: Final = 4096


class TooManySlices(ValueError):
    """A timeline of more slices than MAX_SLICES."""


class Timeline:
    """Events, written as they come; use :func:`timeline_writer`."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self.slices = 0
        self._file, self._most = file, most
        self._pending: list[str] = []
        self._separator = ""

    def process(self, number: int, name: str) -> None:
        """Name a process; processes are shown by number."""
        self.event(json.dumps({"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": name}}))
        order = {"ph": "M", "name": "process_sort_index", "pid": number, "tid": 0, "args": {"sort_index": number}}
        self.event(json.dumps(order))

    def track(self, process: int, number: int, name: str) -> None:
        """Name a track of a process; tracks are shown by number."""
        for kind, args in (("thread_name", {"name": name}), ("thread_sort_index", {"sort_index": number})):
            self.event(json.dumps({"ph": "M", "name": kind, "pid": process, "tid": number, "args": args}))

    def slice(
        self, process: int, track: int, name: str, begin_ps: int, end_ps: int, args: Mapping[str, str | int | float]
    ) -> None:
        """An interval on a track."""
        self._count()
        span = f'"ts":{microseconds(begin_ps)},"dur":{microseconds(end_ps - begin_ps)}'
        told = json.dumps(dict(args), allow_nan=False)
        self.event(f'{{"ph":"X","name":{json.dumps(name)},"pid":{process},"tid":{track},{span},"args":{told}}}')

    def counter(self, process: int, name: str, at_ps: int, value: float) -> None:
        """The value of a counter from a time on."""
        self._count()
        told = json.dumps({"value": value}, allow_nan=False)
        self.event(f'{{"ph":"C","name":{json.dumps(name)},"pid":{process},"ts":{microseconds(at_ps)},"args":{told}}}')

    def events(self, events: Iterable[str]) -> None:
        """Slices that were made elsewhere, as JSON."""
        for event in events:
            self._count()
            self.event(event)

    def event(self, event: str) -> None:
        """One event, as JSON, that counts for nothing."""
        self._pending.append(event)
        if len(self._pending) >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._pending:
            self._file.write((self._separator + ",\n".join(self._pending)).encode())
            self._separator = ",\n"
            self._pending.clear()

    def _count(self) -> None:
        self.slices += 1
        if self.slices > self._most:
            raise TooManySlices(f"more than {self._most} slices")


@contextmanager
def timeline_writer(path: PathLike, about: Mapping[str, str | int], most: int = MAX_SLICES) -> Generator[Timeline]:
    """A timeline to fill; the file (compressed as its name says) appears when it is complete.

    Raises:
        TooManySlices: when there are more than ``most``; then there is no file.
    """
    with text_writer(path) as file:
        file.write(b'{"displayTimeUnit":"ns","otherData":' + json.dumps(dict(about)).encode() + b',"traceEvents":[\n')
        timeline = Timeline(file, most)
        yield timeline
        timeline.flush()
        file.write(b"\n]}\n")
