"""Where the time of a run went: every picosecond to one op class, so that the parts add up to the whole.

The channels are the resource that counts: while a PIM step runs, time is its op's. Between two PIM steps the channels wait; that
time is the ASIC steps' that run then, and what no ASIC step covers is the next PIM step's (it waits for a refresh or for the
link).
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def attribute(
    pim: tuple[Ints, Ints, Ints], asic: tuple[Ints, Ints, Ints], n_classes: int, end_ps: int
) -> Ints:
    """Picoseconds of each class, from 0 to ``end_ps``.

    Args:
        pim, asic: start, end (ps) and class of each step, in order; the steps of a unit do not overlap but for PIM steps
            on different channels, of which the later one counts from the end of the earlier.

    Returns:
        int64[n_classes]; its sum is ``end_ps``.
    """
    start, end, kind = pim
    end = np.maximum.accumulate(end)
    begin = np.maximum(start, np.concatenate(([0], end[:-1])))
    shares = np.zeros(n_classes, np.int64)
    np.add.at(shares, kind, np.maximum(end - begin, 0))
    gap_begin = np.concatenate(([0], end))
    gap_end = np.maximum(np.concatenate((begin, [end_ps])), gap_begin)
    next_kind = np.concatenate((kind, kind[-1:]))
    covered = np.zeros(len(gap_begin), np.int64)
    for c in np.unique(asic[2]):
        mine = asic[2] == c
        overlap = _busy_before(asic[0][mine], asic[1][mine], gap_end)
        overlap -= _busy_before(asic[0][mine], asic[1][mine], gap_begin)
        shares[c] += overlap.sum()
        covered += overlap
    np.add.at(shares, next_kind, gap_end - gap_begin - covered)
    return shares


def _busy_before(start: Ints, end: Ints, time: Ints) -> Ints:
    """Total length of the (ordered, disjoint) intervals that lies before each ``time``."""
    total = np.concatenate(([0], np.cumsum(end - start)))
    started = np.searchsorted(start, time, side="right")
    last = np.maximum(started - 1, 0)
    running = np.where(started > 0, np.maximum(end[last] - np.maximum(time, start[last]), 0), 0)
    return total[started] - running
