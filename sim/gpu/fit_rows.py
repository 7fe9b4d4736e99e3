"""Rows of kernel logs as a fit sees them: simulated with the numbers that a search tries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arch.gpu import GpuSpec
from ...arch.loader import load_gpu, load_stack
from ...arch.stack import StackSpec
from ...arch.values import Sourced
from .device import Device
from .fit_keys import replaced
from .kernels import Kernel
from .loop import Loop
from .protocols import kernel_of, loop_of
from .run import time_kernel

Change = tuple[str, str, Sourced | None]
"""Scope, dotted name, and the number that takes the place of the specification's."""
LOOK, EVENTS = 1, 2000
"""Kernels of a GEMM menu that a fit simulates, and events of each; a prediction takes more of both."""


@dataclass(frozen=True)
class Row:
    """A measured kernel. ``place``: its row in the log, from 0."""

    kernel: Kernel
    loop: Loop
    op: str
    us: float
    place: int


@dataclass(frozen=True)
class RowGroup:
    """Rows of one GPU and one stack, each a preset or a YAML file, with what the log calls them."""

    gpu: str
    stack: str
    framework: str
    source: str
    rows: tuple[Row, ...]

    def part(self, first: int, step: int) -> "RowGroup":
        """Every ``step``-th row from ``first`` on."""
        return replace(self, rows=self.rows[first::step])


def rows_of(columns: Mapping[str, Any], places: Iterable[int]) -> tuple[tuple[Row, ...], dict[str, int]]:
    """Rows that can be simulated, and why others cannot: reason -> rows."""
    rows: list[Row] = []
    reasons: dict[str, int] = {}
    for place in places:
        row = {name: values[place] for name, values in columns.items()}
        try:
            rows.append(Row(kernel_of(row), loop_of(row), str(row["op"]), float(row["latency_us"]), int(place)))
        except (KeyError, ValueError) as error:
            reason = f"not modelled: {row['op']} {row['dtype']} ({error.args[0]})"
            reasons[reason] = reasons.get(reason, 0) + 1
    return tuple(rows), reasons


@lru_cache(maxsize=32)
def _base(gpu: str, stack: str) -> tuple[GpuSpec, StackSpec]:
    return load_gpu(gpu), load_stack(stack)


def device_with(gpu: str, stack: str, changes: Sequence[Change]) -> Device:
    """A GPU with a stack, some of whose numbers are others."""
    board, library = _base(gpu, stack)
    on_gpu = {path: value for scope, path, value in changes if scope == "gpu"}
    return Device(replaced(board, on_gpu), replaced(library, {p: v for s, p, v in changes if s == "stack"}))


def predicted_us(group: RowGroup, changes: Sequence[Change], fast: bool = True) -> NDArray[np.float64]:
    """Simulated times of the rows, float64[rows]; nan where the device cannot run one. ``fast``: with a fit's effort."""
    device = device_with(group.gpu, group.stack, changes)
    effort = {"look": LOOK, "events": EVENTS} if fast else {}
    times = np.full(len(group.rows), np.nan)
    for i, row in enumerate(group.rows):
        try:
            times[i] = time_kernel(row.kernel, device, row.loop, row.op, **effort).us
        except (KeyError, ValueError):
            continue
    return times


def relative_errors(group: RowGroup, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Simulated over measured less one, float64[rows]."""
    return times / np.array([row.us for row in group.rows]) - 1
