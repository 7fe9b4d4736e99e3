"""Segments -> command streams of one channel.

A multiply is a list of phases. A phase fills the global buffer, then walks column intervals in order; after each
interval the accumulators hold finished (partial) sums and are read out. Rows are opened once a walk reaches them, used up and
closed. On a device with modes the row is closed before the switch, so that precharge and switch overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...arch.device import DramDevice
from ...traces.commands import COMMAND, CommandStream, empty_stream, join

Intervals = NDArray[np.int64]
"""int64[n, 4]: first column (counted from the phase's first row), columns, useful MACs a column, tile read out (-1: none)."""

_ACT, _MAC, _PREA_FIRST, _TO_REG, _READ, _RESET, _TO_BANK, _PREA_LAST, _SLOTS = range(9)


@dataclass(frozen=True)
class Phase:
    """Fill ``buffer_columns`` of the global buffer, then multiply along ``intervals`` from row ``row`` on.

    ``vectors`` input vectors are multiplied side by side, each with an accumulator of its own.
    """

    buffer_columns: int
    row: int
    intervals: Intervals
    vectors: int = 1


@dataclass(frozen=True)
class Emitter:
    """Knows the command numbers of a device and how its accumulators and modes are driven."""

    index: Mapping[str, int]
    columns: int
    has_modes: bool
    resets: bool

    @classmethod
    def of(cls, device: DramDevice) -> "Emitter":
        """Emitter for a device with MAC units."""
        assert device.pim is not None
        return cls(
            device.dram_standard.index,
            device.organization.columns,
            device.params["nMODCH"] > 0,
            bool(device.pim.reset_by_write.value),
        )

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for emitters that emit the same."""
        return (tuple(self.index.items()), self.columns, self.has_modes, self.resets)

    def cmd(self, name: str) -> int:
        """Index of a command."""
        return self.index[name]

    def multiply(self, phases: Sequence[Phase]) -> CommandStream:
        """The stream of a matrix-vector product; starts and ends with rows closed, in register mode."""
        parts: list[CommandStream] = []
        for phase in phases:
            if len(phase.intervals):
                parts.append(self._fill_buffer(phase))
                parts.append(self._walk(phase))
        return join(parts)

    def _fill_buffer(self, phase: Phase) -> CommandStream:
        names = ["WRGB"] + ["WRMAC16"] * (self.resets * phase.vectors) + ["TMOD"] * self.has_modes
        stream = empty_stream(len(names))
        stream["cmd"] = [self.cmd(n) for n in names]
        stream["count"][0], stream["col"][0], stream["safe"][0] = phase.buffer_columns, 0, 1
        return stream

    def _walk(self, phase: Phase) -> CommandStream:
        begin, width, macs, tile = phase.intervals.T
        first_row, last_row = begin // self.columns, (begin + width - 1) // self.columns
        pieces = last_row - first_row + 1  # an interval that crosses rows falls apart
        owner = np.repeat(np.arange(len(begin)), pieces)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        row = first_row[owner] + nth
        low = np.maximum(begin[owner], row * self.columns)
        high = np.minimum((begin + width)[owner], (row + 1) * self.columns)
        done = (nth == pieces[owner] - 1) & (tile[owner] >= 0)
        opens = np.concatenate(([True], row[1:] != row[:-1]))
        closes = np.concatenate((opens[1:], [True]))
        fresh = np.concatenate(([True], done[:-1]))  # nothing accumulated yet
        final = np.zeros(len(row), bool)
        final[-1] = True
        unused = np.zeros(len(row), bool)  # what is read out here is not accumulated on again
        unused[-phase.vectors :] = True

        table = np.zeros((len(row), _SLOTS), COMMAND)
        table["row"] = table["col"] = table["tile"] = -1
        table["count"] = 1
        present = np.zeros((len(row), _SLOTS), bool)
        names = {_ACT: "ACT16", _MAC: "MAC16", _READ: "RDMAC16", _RESET: "WRMAC16", _TO_REG: "TMOD", _TO_BANK: "TMOD"}
        for slot in range(_SLOTS):
            table["cmd"][:, slot] = self.cmd(names.get(slot, "PREA"))
        table["row"][:, _ACT] = table["row"][:, _MAC] = phase.row + row
        table["safe"][:, _ACT] = fresh
        table["col"][:, _MAC] = low - row * self.columns
        table["count"][:, _MAC] = high - low
        table["macs"][:, _MAC] = macs[owner]
        table["tile"][:, _READ] = tile[owner]
        present[:, _ACT] = opens
        present[:, _MAC] = True
        present[:, _READ] = done
        present[:, _RESET] = done & ~unused & self.resets
        present[:, _TO_REG] = done & self.has_modes
        present[:, _TO_BANK] = done & ~final & self.has_modes
        present[:, _PREA_FIRST] = closes & self.has_modes
        present[:, _PREA_LAST] = closes & (not self.has_modes)
        return table[present]

    def access(self, steps: Sequence[tuple[str, int, int, int, int]]) -> CommandStream:
        """A stream of ordinary commands ``(name, unit, row, col, count)``, in bank mode; the first may be preceded by refresh."""
        names = ["TMOD"] * self.has_modes + [s[0] for s in steps] + ["TMOD"] * self.has_modes
        stream = empty_stream(len(names))
        stream["cmd"] = [self.cmd(n) for n in names]
        body = stream[1:-1] if self.has_modes else stream
        for field, column in zip(("unit", "row", "col", "count"), zip(*[s[1:] for s in steps], strict=True), strict=True):
            body[field] = column
        stream["safe"][0] = 1
        return stream
