"""The two command tables: what a channel is asked to do, and what it did when.

``COMMAND`` is one row of a channel's command stream. A row with ``count`` > 1 is a run: the same column or register
command ``count`` times over, columns ``col``, ``col + 1``, and so on. ``ISSUED`` is one row of an issue log.
Commands are indices into the ``commands`` of the device's standard, rules indices into its ``rules``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COMMAND = np.dtype(
    [
        ("cmd", np.int32),  # index of the command in the standard
        ("unit", np.int32),  # bank (0..banks-1), bank group, or 0 for an all-bank or register command
        ("row", np.int32),  # row to open or access; -1 where rows do not matter
        ("col", np.int32),  # first column of the run; -1 where columns do not matter
        ("count", np.int32),  # length of the run, >= 1
        ("safe", np.int32),  # 1: refresh may go before this command (banks closed, no accumulation open)
        ("tile", np.int32),  # index of the result tile that this register read delivers to the host; -1: none
        ("macs", np.int32),  # useful multiply-accumulates of one command of the run, all banks together
    ],
    align=True,
)

ISSUED = np.dtype(
    [
        ("cycle", np.int64),  # device clock cycle of issue
        ("cmd", np.int32),
        ("unit", np.int32),
        ("row", np.int32),
        ("col", np.int32),
        ("rule", np.int32),  # rule that decided the cycle, or one of the BINDING_* values
    ],
    align=True,
)

BINDING_START = -1
"""Nothing held the command back: it issued at cycle 0."""
BINDING_HOST = -2
"""The host released the command later than any rule."""
BINDING_REFRESH_DUE = -3
"""A refresh command waited for the time it falls due."""
BINDING_ORDER = -4
"""It goes with the command before it, which it may not overtake (row and column commands have buses of their own)."""

CommandStream = NDArray[np.void]
IssueLog = NDArray[np.void]


def empty_stream(length: int) -> CommandStream:
    """A stream of ``length`` rows with harmless defaults."""
    stream = np.zeros(length, COMMAND)
    stream["row"] = stream["col"] = stream["tile"] = -1
    stream["count"] = 1
    return stream


def join(streams: Sequence[CommandStream]) -> CommandStream:
    """One stream after another (numpy's own concatenation of records is slow)."""
    out = np.empty(sum(len(s) for s in streams), COMMAND)
    begin = 0
    for stream in streams:
        out[begin : begin + len(stream)] = stream
        begin += len(stream)
    return out


def expand_runs(stream: CommandStream) -> CommandStream:
    """The same stream with each run written out command by command; only the first of a run stays ``safe``."""
    count = stream["count"]
    out = np.repeat(stream, count)
    first = np.repeat(np.cumsum(count) - count, count)
    offset = np.arange(len(out)) - first
    out["col"] = np.where(out["col"] >= 0, out["col"] + offset, out["col"])
    out["safe"] = np.where(offset == 0, out["safe"], 0)
    out["tile"] = np.where(offset == np.repeat(count, count) - 1, out["tile"], -1)
    out["count"] = 1
    return out
