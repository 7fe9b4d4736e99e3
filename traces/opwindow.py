"""Rows of an OpLog or a GpuOpLog that fall into a stretch of time. Tables are name -> numpy array (``read_columns``)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]


class PassSpan(NamedTuple):
    """A pass: its number, phase and KV length, and when its first row begins and its last ends, in ps."""

    number: int
    phase: str
    kv_length: int
    start_ps: int
    end_ps: int


def end_ps(ops: Columns) -> int:
    """When the last row ends."""
    return int(ops["end_ps"].max())


def rows_inside(ops: Columns, begin_ps: int, end_ps: int, unit: str) -> list[int]:
    """Row numbers of a unit (``pim``, ``asic`` or ``gpu``) that are not altogether outside, in order."""
    inside = (ops["start_ps"] < end_ps) & (ops["end_ps"] > begin_ps) & (ops["unit"] == unit)
    return np.flatnonzero(inside).tolist()


def total(ops: Columns, name: str, rows: list[int]) -> int:
    """Sum of a column over some rows."""
    return int(ops[name][rows].sum()) if rows else 0


def passes_inside(ops: Columns, begin_ps: int, end_ps: int) -> list[PassSpan]:
    """The passes that are not altogether outside, whole, by number."""
    order = np.argsort(ops["pass_index"], kind="stable")
    numbers, first = np.unique(ops["pass_index"][order], return_index=True)
    starts = np.minimum.reduceat(ops["start_ps"][order], first).tolist()
    ends = np.maximum.reduceat(ops["end_ps"][order], first).tolist()
    found: list[PassSpan] = []
    for number, row, start, end in zip(numbers.tolist(), order[first].tolist(), starts, ends, strict=True):
        if start < end_ps and end > begin_ps:
            found.append(PassSpan(number, str(ops["phase"][row]), int(ops["kv_length"][row]), start, end))
    return found


def same_times(ops: Columns, unit: str, times: NDArray[np.int64]) -> bool:
    """Whether the first rows of a unit have these times, int64[n, 2] start and end in ps."""
    rows = np.flatnonzero(ops["unit"] == unit)[: len(times)]
    known = np.column_stack((ops["start_ps"][rows], ops["end_ps"][rows]))
    return known.shape == times.shape and bool((known == times).all())
