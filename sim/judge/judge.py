"""The judge: takes an issue log piece by piece, of any length, and says what in it is illegal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arch.device import DramDevice
from ...traces.commands import IssueLog
from ..reference.checker import Violation, violation
from ..reference.facets import Demand, Event
from . import layout as at
from .kernel import judge
from .tables import Array, Compiled, compile_judge, new_state

LIMIT = 1000
"""Findings that are kept unless told otherwise; all are counted."""


class Judge:
    """Judges one channel. Verdicts equal those of :func:`rowline.sim.reference.checker.check`, argument by argument.

    Args:
        device: the channel that the log is of.
        refresh: whether refreshes must have come in time.
        order: whether refreshes must keep to the schedule of our own engine, unit after unit.
        limit: how many violations to keep, the first ones.
    """

    def __init__(self, device: DramDevice, refresh: bool = True, order: bool = True, limit: int = LIMIT) -> None:
        self.limit = limit
        self._compiled: Compiled = compile_judge(device, refresh, order)
        self._state = new_state(self._compiled)
        self._found = np.zeros((limit + len(self._compiled.rules), at.N_FINDING), np.int64)

    def feed(self, chunk: IssueLog) -> None:
        """Judge the next rows of the log.

        Raises:
            ValueError: a row holds a command that the checker does not know, or a unit that the device does not have.
        """
        self.feed_columns(chunk["cycle"], chunk["cmd"], chunk["unit"], chunk["row"])

    def feed_columns(self, cycle: NDArray[Any], cmd: NDArray[Any], unit: NDArray[Any], row: NDArray[Any]) -> None:
        """The same, from the columns of a log."""
        ticks, numbers, units, rows = (np.ascontiguousarray(column, np.int64) for column in (cycle, cmd, unit, row))
        self._validate(numbers, units)
        judge(self._compiled.tables, self._state, ticks, numbers, units, rows, self._found)

    def _validate(self, cmd: Array, unit: Array) -> None:
        names, units = self._compiled.names, self._compiled.units
        known = (cmd >= 0) & (cmd < len(names))
        most = units[np.where(known, cmd, 0)]
        wrong = ~known | (most == 0) | (unit < 0) | (unit >= most)
        if wrong.any():
            i = int(np.argmax(wrong))
            name = names[cmd[i]] if known[i] else f"number {cmd[i]}"
            index = self.commands + i
            if known[i] and most[i]:
                raise ValueError(f"row {index}: {name} addresses unit {unit[i]}, which does not exist")
            raise ValueError(f"row {index}: the checker does not know the command {name}")

    @property
    def commands(self) -> int:
        """Commands judged so far."""
        return int(self._state.numbers[at.X_INDEX])

    @property
    def counts(self) -> dict[str, int]:
        """Violations so far, by rule."""
        counts = self._state.counts.copy()
        if self._state.numbers[at.X_UNPAID]:
            counts[self._state.unpaid[at.F_RULE]] += 1
        return {rule: int(n) for rule, n in zip(self._compiled.rules, counts, strict=True) if n}

    @property
    def violations(self) -> list[Violation]:
        """The first violations so far, as if the log ended here."""
        found = self._found[: self._state.numbers[at.X_FOUND]]
        if self._state.numbers[at.X_UNPAID]:
            found = np.concatenate([found, self._state.unpaid[None]])
        rows = sorted(found.tolist(), key=lambda each: (each[at.F_INDEX], each[at.F_RULE]))
        return [self._violation(row) for row in rows[: self.limit]]

    def _violation(self, f: list[int]) -> Violation:
        rules = self._compiled.rules
        event = self._event(f[at.F_INDEX], f[at.F_CYCLE], f[at.F_COMMAND], f[at.F_UNIT])
        earlier = None
        if f[at.F_WHO] >= 0:
            who = f[at.F_WHO]
            number = who >> at.WHO_COMMAND & (1 << at.WHO_INDEX - at.WHO_COMMAND) - 1
            earlier = self._event(who >> at.WHO_INDEX, f[at.F_TICK], number, who & (1 << at.WHO_COMMAND) - 1)
        return violation(event, Demand(rules[f[at.F_RULE]], earlier, event.time + f[at.F_EARLY], self._fault(f)))

    def _event(self, index: int, cycle: int, command: int, unit: int) -> Event:
        return self._compiled.times.event(index, cycle, self._compiled.names[command], unit, -1)

    def _fault(self, f: list[int]) -> str:
        """Why no waiting would have helped; "" if it would have."""
        a, b, c = f[at.F_A], f[at.F_B], f[at.F_C]
        traits, most = self._compiled.times.family.traits, self._compiled.tables.scalars[at.S_MOST]
        refreshed = traits[self._compiled.times.device.refresh_command.name].span.value
        powered = traits["PDE"].span.value if "PDE" in traits else ""
        return {
            at.FAULT_NONE: "",
            at.FAULT_OPEN: f"bank {a} is open at row {b}",
            at.FAULT_CLOSED: f"bank {a} is closed",
            at.FAULT_OTHER_ROW: f"bank {a} is open at row {b}, not {c}",
            at.FAULT_DOWN: f"{powered} {a} is in power-down",
            at.FAULT_ASLEEP: f"{powered} {a} is in self-refresh",
            at.FAULT_AWAKE: f"{powered} {a} has nothing to leave",
            at.FAULT_TURN: f"the turn of {refreshed} {a}",
            at.FAULT_OWED: f"{a} refreshes are owed, at most {most} may be",
            at.FAULT_OWED_BY: f"{a} refreshes of {refreshed} {b} are owed, at most {most} may be",
        }[f[at.F_FAULT]]
