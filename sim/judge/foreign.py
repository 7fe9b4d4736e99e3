"""Logs of any origin before the judge: the neutral table of :mod:`rowline.traces.formats.commandlog`, channel by channel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arch.device import DramDevice
from ...traces.commands import IssueLog
from ..reference.checker import Violation
from ..reference.facets import Times
from ..reference.traits import Span
from .judge import LIMIT, Judge

LEVELS = (("pseudo_channel", Span.PSEUDO), ("rank", Span.RANK), ("bank_group", Span.GROUP), ("bank", Span.BANK))


@dataclass(frozen=True)
class Finding:
    """A violation with the row of the whole log in which it stands (the violation counts within its channel)."""

    row: int
    channel: int
    violation: Violation


class LogJudge:
    """Judges a log of one or more channels of the same device.

    Args:
        device: any channel of the log.
        refresh, order, limit: as for :class:`.judge.Judge`; the limit holds for each channel.
    """

    def __init__(self, device: DramDevice, refresh: bool = True, order: bool = False, limit: int = LIMIT) -> None:
        self.device, self.refresh, self.order, self.limit = device, refresh, order, limit
        self.times = Times(device)
        self.rows = 0
        self.judges: dict[int, Judge] = {}
        self._last: dict[int, int] = {}  # by channel: row of its last command
        self._found: dict[tuple[int, int], int] = {}  # (channel, index in it) -> row of the log

    def feed(self, names: Sequence[str], chunk: NDArray[Any]) -> None:
        """Judge the next rows of a neutral table, whose commands are indices into ``names`` (our own names).

        Raises:
            ValueError: "row N: ..." where a command or a place is none of the device's.
        """
        cmd = self._numbers(names, chunk["cmd"])
        unit = self._units(names, chunk)
        if (chunk["channel"] < 0).any():
            raise ValueError(f"row {self.rows + int(np.argmax(chunk['channel'] < 0))}: addresses all channels")
        for channel in np.unique(chunk["channel"]).tolist():
            rows = np.flatnonzero(chunk["channel"] == channel)
            self._judge(channel, rows, (chunk["clk"][rows], cmd[rows], unit[rows], chunk["row"][rows]))
        self.rows += len(chunk)

    def feed_issues(self, names: Sequence[str], channel: int, issued: IssueLog) -> None:
        """Judge the next rows of an issue log of one channel."""
        cmd = self._numbers(names, issued["cmd"])
        self._judge(channel, np.arange(len(issued)), (issued["cycle"], cmd, issued["unit"], issued["row"]))
        self.rows += len(issued)

    def _judge(self, channel: int, rows: NDArray[Any], columns: tuple[NDArray[Any], ...]) -> None:
        if channel not in self.judges:
            self.judges[channel] = Judge(self.device, self.refresh, self.order, self.limit)
        judge = self.judges[channel]
        begin = judge.commands
        try:
            judge.feed_columns(*columns)
        except ValueError as error:
            index, _, problem = str(error).removeprefix("row ").partition(": ")
            raise ValueError(f"row {self.rows + int(rows[int(index) - begin])}: {problem}") from None
        for violation in judge.violations:
            if (channel, violation.index) not in self._found:
                inside = violation.index - begin
                self._found[channel, violation.index] = self.rows + int(rows[inside]) if inside >= 0 else self._last[channel]
        self._last[channel] = self.rows + int(rows[-1]) if len(rows) else self._last.get(channel, 0)

    def _numbers(self, names: Sequence[str], cmd: NDArray[Any]) -> NDArray[np.int64]:
        """Commands as indices of the device's standard."""
        index = self.device.dram_standard.index
        known = np.array([index.get(name, -1) for name in names], np.int64)
        numbers = known[cmd] if len(known) else np.zeros(0, np.int64)
        if (numbers < 0).any():
            row = int(np.argmax(numbers < 0))
            raise ValueError(f"row {self.rows + row}: {self.device.standard} has no command {names[cmd[row]]}")
        return numbers

    def _units(self, names: Sequence[str], chunk: NDArray[Any]) -> NDArray[np.int64]:
        """The unit that each command addresses, from its pseudo-channel, rank, bank group and bank."""
        geometry, traits = self.times.geometry, self.times.family.traits
        units = np.zeros(len(chunk), np.int64)
        for number, name in enumerate(names):
            rows, span = np.flatnonzero(chunk["cmd"] == number), traits[name].span if name in traits else Span.CHANNEL
            unit, outer = np.zeros(len(rows), np.int64), Span.CHANNEL
            for field, level in LEVELS:
                most = geometry.size[outer] // geometry.size[level]
                inner = span == Span.STRIPE and level == Span.GROUP  # all groups
                if not inner and geometry.size[level] >= geometry.size.get(span, 1):
                    unit = unit * most + self._place(chunk[field][rows], field, most, name, rows)
                outer = level
            units[rows] = unit
        return units

    def _place(self, values: NDArray[Any], field: str, most: int, name: str, rows: NDArray[Any]) -> NDArray[np.int64]:
        places = np.where(values < 0, 0, values) if most == 1 else values.astype(np.int64)
        wrong = (places < 0) | (places >= most)
        if wrong.any():
            i = int(np.argmax(wrong))
            place = f"every {field}" if values[i] < 0 else f"{field} {values[i]} of {most}"
            raise ValueError(f"row {self.rows + int(rows[i])}: {name} addresses {place}".replace("_", " "))
        return places

    @property
    def commands(self) -> int:
        """Commands judged so far."""
        return sum(judge.commands for judge in self.judges.values())

    @property
    def counts(self) -> dict[str, int]:
        """Violations so far, by rule."""
        counts: dict[str, int] = {}
        for judge in self.judges.values():
            for rule, number in judge.counts.items():
                counts[rule] = counts.get(rule, 0) + number
        return dict(sorted(counts.items()))

    @property
    def findings(self) -> list[Finding]:
        """The first violations so far, in the order of the log."""
        found = [
            Finding(self._found[channel, violation.index], channel, violation)
            for channel, judge in self.judges.items()
            for violation in judge.violations
        ]
        if len(self.judges) > 1:
            found = [
                replace(each, violation=replace(each.violation, text=f"channel {each.channel}: {each.violation.text}"))
                for each in found
            ]
        return sorted(found, key=lambda each: each.row)[: self.limit]
