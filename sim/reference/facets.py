"""What the legality checker's parts share: time in ps, the events of a log, and demands on them.

**Rounding.** Times are whole ps. An event's time is its clock edge, rounded up (``Clock.edge_ps``). The distance of two
such edges that are ``n`` periods apart is at least the floor of ``n`` periods, so every minimum is compared as whole
ps: a time as given, a number of cycles as the floor of so many periods. A legal log then never looks early, however
many minima add up, and a log that is one cycle early looks early unless its minima were rounded up by more than that.
Latencies from a command to its data (tCL, tCWL, ...) are the exception. A device's latency is a whole number of clock
cycles, and it may stand on the side that must come later (a write's data), where the shorter time in ps would demand
too much. So bursts are placed at the clock edge ``issue + latency``.

**When a command happens.** A log holds the first tick of a command on its bus. The device takes it with the last, so
timing counts from there; here the last tick less the length of a one-clock command, which is the first tick of such a
command, and the only place where lengths enter is :meth:`Times.event`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Protocol

from ...arch.device import DramDevice, Organization
from ...arch.units import PS_PER_S, Clock
from .families import Family, family_of
from .traits import Span, Trait


class Point(Enum):
    """An instant in the life of a command."""

    FIRST = "first tick on the command bus"
    ACCEPT = "the device takes it"
    START = "its data begin"
    END = "its data end"


@dataclass(frozen=True)
class Event:
    """One issued command, with the ps of its instants (of one without data, START and END are ACCEPT)."""

    index: int
    cycle: int
    at: dict[Point, int]
    name: str
    trait: Trait
    unit: int
    row: int
    banks: range

    @property
    def first(self) -> int:
        """When it begins on the command bus: the time of the log."""
        return self.at[Point.FIRST]

    @property
    def time(self) -> int:
        """When the device takes it."""
        return self.at[Point.ACCEPT]

    @property
    def label(self) -> str:
        """The command with its place and time, for reports."""
        place = "" if self.trait.span == Span.CHANNEL else f" {self.trait.span.value} {self.unit}"
        return f"{self.name}{place} at {self.first} ps"


@dataclass(frozen=True)
class Demand:
    """A rule's wish: the device takes the event no earlier than ``earliest`` ps; with ``fault``, not at all now."""

    rule: str
    earlier: Event | None
    earliest: int
    fault: str = ""


class Facet(Protocol):
    """One part of the device, with its own memory of what happened to it."""

    def demands(self, event: Event) -> Iterator[Demand]:
        """What this part demands of ``event``, given all that was recorded."""
        ...

    def record(self, event: Event) -> None:
        """Take note of ``event``."""
        ...


class Geometry:
    """Which banks, bank groups, ranks and pseudo-channels a command touches."""

    def __init__(self, organization: Organization) -> None:
        group = organization.banks_per_group.value
        rank = group * organization.bank_groups.value
        pseudo = rank * organization.ranks.value
        self.banks = pseudo * organization.pseudo_channels.value
        self.size = {Span.BANK: 1, Span.GROUP: group, Span.RANK: rank, Span.PSEUDO: pseudo, Span.CHANNEL: self.banks}

    def units(self, span: Span) -> int:
        """How many units of ``span`` there are."""
        if span == Span.STRIPE:
            return self.banks // self.size[Span.RANK] * self.size[Span.GROUP]
        return self.banks // self.size[span]

    def touched(self, span: Span, unit: int) -> range:
        """The banks of a unit."""
        if span == Span.STRIPE:
            rank, bank = divmod(unit, self.size[Span.GROUP])
            start = rank * self.size[Span.RANK] + bank
            return range(start, (rank + 1) * self.size[Span.RANK], self.size[Span.GROUP])
        return range(unit * self.size[span], (unit + 1) * self.size[span])

    def places(self, span: Span, banks: range) -> range:
        """The units of ``span`` that hold these banks."""
        if span == Span.BANK:
            return banks
        return range(banks[0] // self.size[span], banks[-1] // self.size[span] + 1)


class Times:
    """A device's values, in ps."""

    def __init__(self, device: DramDevice) -> None:
        self.device = device
        self.family: Family = family_of(device.standard)
        self.geometry = Geometry(device.organization)
        self.command_clock = Clock(device.clock.value)
        self.ticks = self.family.ticks_per_clock
        self.clock = Clock(device.clock.value * self.ticks)
        bits = device.organization.access_size.value * 8
        self.burst = bits * PS_PER_S // device.bus.bandwidth_bits_per_s
        self.mac = 0
        if device.pim is not None:
            beats = -(-device.organization.elements_per_column // device.pim.mac_lanes.value)
            self.mac = beats * PS_PER_S // device.pim.mac_clock.value
        self.of = cache(self._of)

    def has(self, name: str) -> bool:
        """Whether the device has a timing parameter."""
        return name in self.device.timing

    def _of(self, name: str) -> int:
        """The minimum time ``name``."""
        value = self.device.timing[name]
        return value.value * PS_PER_S // self.command_clock.freq_hz if value.in_cycles else value.value

    def spent(self, ticks: int) -> int:
        """Whole ps that are over after so many ticks."""
        return ticks * PS_PER_S // self.clock.freq_hz

    def on_bus(self, name: str) -> int:
        """Ticks for which a command stays on its command bus."""
        return self.family.length(name) * self.ticks // 2

    def latency(self, trait: Trait) -> int:
        """Ticks from a command to its data."""
        return self.device.timing[trait.data_after].cycles(self.command_clock) * self.ticks

    def event(self, index: int, cycle: int, name: str, unit: int, row: int) -> Event:
        """A row of the log with its instants and its banks."""
        trait = self.family.traits[name]
        accept = cycle + self.on_bus(name) - self.ticks
        at = {Point.FIRST: self.clock.edge_ps(cycle), Point.ACCEPT: self.clock.edge_ps(accept)}
        at[Point.START] = self.clock.edge_ps(accept + self.latency(trait)) if trait.data_after else at[Point.ACCEPT]
        at[Point.END] = at[Point.START] + self.burst if trait.data_after else at[Point.ACCEPT]
        return Event(index, cycle, at, name, trait, unit, row, self.geometry.touched(trait.span, unit))
