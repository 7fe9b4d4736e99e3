"""The checker's view of what refreshes are owed.

The interval is the device's own: one refresh of the channel every whole number of cycles (tREFI over the units, rounded
down), where a unit is what one refresh command addresses: a rank, a bank, ... Two schedules are known:

- :class:`Turns`, that of our own engine: number k (from 0) falls due at ``(k + 1) * interval`` and goes to unit k mod units.
  Once a channel that was in self-refresh as a whole has left it, the numbers that fell due meanwhile count as done.
- :class:`Units`, for logs of others: each unit is due once in as many intervals as there are units, at a phase that is its
  own affair, for which one more round is allowed. Nothing falls due in self-refresh.

What was owed when self-refresh began is owed when it ends.
"""

from collections.abc import Iterator
from typing import Protocol

from ...arch.device import RefreshMode
from .facets import Demand, Event, Times
from .traits import Power, Row, Upkeep


class Schedule(Protocol):
    """When refreshes fall due."""

    def opens(self, event: Event) -> int:
        """The first tick at which the refresh ``event`` is not early."""
        ...

    def turn(self, event: Event) -> str:
        """Whose turn it is instead, if not that of the refresh ``event``."""
        ...

    def fault(self, event: Event) -> str:
        """What is owed too long when ``event`` comes; "" if nothing is."""
        ...

    def settle(self, event: Event) -> None:
        """Take note of ``event``."""
        ...


class Turns:
    """Our own schedule."""

    def __init__(self, times: Times) -> None:
        device = times.device
        self.times, self.command = times, device.refresh_command.name
        self.span = times.family.traits[self.command].span
        self.units = times.geometry.units(self.span)
        self.interval = device.refresh_interval
        self.most = device.refresh.postpone_limit.value * self.units
        self.ahead = device.refresh.pull_in_limit.value * self.units
        self.done = 0
        self.power_units = times.geometry.units(times.family.traits["SRE"].span) if "SRE" in times.family.traits else 1
        self.asleep: set[int] = set()
        self.all_slept, self.owing = False, 0

    def opens(self, event: Event) -> int:
        """See :class:`Schedule`."""
        return (self.done + 1 - self.ahead) * self.interval

    def turn(self, event: Event) -> str:
        """See :class:`Schedule`."""
        unit = self.done % self.units
        return "" if event.unit == unit else f"the turn of {self.span.value} {unit}"

    def fault(self, event: Event) -> str:
        """See :class:`Schedule`."""
        owed = event.cycle // self.interval - self.done
        return f"{owed} refreshes are owed, at most {self.most} may be" if owed > self.most and not self.asleep else ""

    def settle(self, event: Event) -> None:
        """See :class:`Schedule`."""
        self.done += event.name == self.command
        if event.trait.power == Power.SLEEP:
            if not self.asleep:
                owed = max(0, event.cycle // self.interval - self.done)
                self.owing = owed - owed % self.units  # whole rounds: units may fall due together or in turn
            self.asleep.add(event.unit)
            self.all_slept = self.all_slept or len(self.asleep) == self.power_units
        elif event.trait.power == Power.WAKE and event.unit in self.asleep:
            self.asleep.remove(event.unit)
            if not self.asleep and self.all_slept:
                self.all_slept = False
                self.done = max(self.done, event.cycle // self.interval - self.owing)


class Units:
    """The schedule of others: each unit by itself."""

    def __init__(self, times: Times) -> None:
        device = times.device
        self.times, self.span = times, times.family.traits[device.refresh_command.name].span
        units = times.geometry.units(self.span)
        self.interval = device.refresh_interval * units
        self.most = device.refresh.postpone_limit.value + 1  # the phase is not known
        self.ahead = (device.refresh.pull_in_limit.value + 1) * self.interval
        self.due = {unit: self.interval for unit in range(units)}  # none in self-refresh
        self.start = {unit: self.interval - self.ahead for unit in self.due}
        self.owing = dict.fromkeys(self.due, 0)  # when self-refresh began

    def opens(self, event: Event) -> int:
        """See :class:`Schedule`."""
        return self.start[event.unit]

    def turn(self, event: Event) -> str:
        """See :class:`Schedule`."""
        return ""

    def fault(self, event: Event) -> str:
        """See :class:`Schedule`; of the unit that waits longest."""
        if not self.due:
            return ""
        unit = min(self.due, key=lambda each: (self.due[each], each))
        owed = (event.cycle - self.due[unit]) // self.interval + 1
        return f"{owed} refreshes of {self.span.value} {unit} are owed, at most {self.most} may be" if owed > self.most else ""

    def settle(self, event: Event) -> None:
        """See :class:`Schedule`."""
        if event.trait.upkeep in (Upkeep.REFRESH_ALL, Upkeep.REFRESH_BANK) or event.trait.power in (Power.SLEEP, Power.WAKE):
            for unit in range(self.times.geometry.units(self.span)):
                banks = self.times.geometry.touched(self.span, unit)
                if all(bank in event.banks for bank in banks):
                    self._settle(event, unit)

    def _settle(self, event: Event, unit: int) -> None:
        if event.trait.power == Power.SLEEP:
            if unit in self.due:
                self.owing[unit] = max(0, (event.cycle - self.due.pop(unit)) // self.interval + 1)
            self.start[unit] = event.cycle
        elif event.trait.power == Power.WAKE:
            self.due[unit] = event.cycle + self.interval * (1 - self.owing[unit])
            self.start[unit] = event.cycle
        elif unit in self.due:
            self.due[unit] += self.interval
            self.start[unit] = self.due[unit] - self.ahead


class RefreshDebt:
    """No refresh before it may come, and never more owed than the device allows.

    A command may come with more owed only as part of paying: the refresh itself, a precharge directly before one, and the
    activations directly after one that open again what was closed for it.
    """

    def __init__(self, times: Times, order: bool) -> None:
        self.times = times
        self.off = times.device.refresh.mode == RefreshMode.OFF
        self.command = times.device.refresh_command.name
        self.schedule: Schedule = Turns(times) if order else Units(times)
        self.reopening = False
        self.unpaid: Demand | None = None  # by the last command, a precharge: legal only if a refresh follows

    def demands(self, event: Event) -> Iterator[Demand]:
        """Early, misplaced and missing refreshes."""
        if self.off:
            return
        if event.name == self.command:
            opens = self.times.clock.edge_ps(self.schedule.opens(event))
            yield Demand("refresh-early", None, opens + event.time - event.first)
            if fault := self.schedule.turn(event):
                yield Demand("refresh-order", None, event.time, fault)
        elif event.trait.row == Row.CLOSE or (event.trait.row == Row.OPEN and self.reopening):
            return
        elif fault := self.schedule.fault(event):
            yield Demand("refresh-debt", None, event.time, fault)

    def withdrawn(self, event: Event | None) -> bool:
        """Whether the command before ``event`` was a precharge that did not pay."""
        return self.unpaid is not None and (event is None or event.name != self.command)

    def record(self, event: Event) -> None:
        """Count refreshes."""
        fault = "" if self.off or event.trait.row != Row.CLOSE else self.schedule.fault(event)
        self.unpaid = Demand("refresh-debt", None, event.time, fault) if fault else None
        self.reopening = event.name == self.command or (self.reopening and event.trait.row == Row.OPEN)
        if not self.off:
            self.schedule.settle(event)
