"""What the legality checker's parts share: time in ps, the events of a log, and demands on them.

**Rounding.** Times are whole ps. An event's time is its clock edge, rounded up (``Clock.edge_ps``). The distance of two
such edges that are ``n`` periods apart is at least the floor of ``n`` periods, so every minimum is compared as whole
ps: a time as given, a number of cycles as the floor of so many periods. A legal log then never looks early, however
many minima add up, and a log that is one cycle early looks early unless its minima were rounded up by more than that.
Latencies from a command to its data (tCL, tCWL, ...) are the exception. A device's latency is a whole number of clock
cycles, and it may stand on the side that must come later (a write's data), where the shorter time in ps would demand
too much. So bursts are placed at the clock edge ``issue + latency``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from ...arch.device import DramDevice
from ...arch.units import PS_PER_S
from .traits import Span, Trait


@dataclass(frozen=True)
class Event:
    """One issued command. ``then`` names the command after it in the log (empty for the last)."""

    index: int
    cycle: int
    time: int
    name: str
    trait: Trait
    unit: int
    row: int
    banks: range
    groups: range
    then: str

    @property
    def label(self) -> str:
        """The command with its place and time, for reports."""
        place = "" if self.trait.span == Span.CHANNEL else f" {self.trait.span.value} {self.unit}"
        return f"{self.name}{place} at {self.time} ps"


@dataclass(frozen=True)
class Demand:
    """A rule's wish: the event in question no earlier than ``earliest`` ps; with ``fault``, not at all now."""

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


class Times:
    """A device's values, in ps."""

    def __init__(self, device: DramDevice) -> None:
        self.device = device
        self.clock = device.device_clock
        bits = device.organization.access_size.value * 8
        self.burst = bits * PS_PER_S // device.bus.bandwidth_bits_per_s
        self.mac = 0
        if device.pim is not None:
            beats = -(-device.organization.elements_per_column // device.pim.mac_lanes.value)
            self.mac = beats * PS_PER_S // device.pim.mac_clock.value
        self.of = cache(self._of)

    def _of(self, name: str) -> int:
        """The minimum time ``name``."""
        value = self.device.timing[name]
        return value.value * PS_PER_S // self.clock.freq_hz if value.in_cycles else value.value

    def data(self, event: Event) -> tuple[int, int]:
        """When the data of ``event`` begin and end."""
        latency = self.device.timing[event.trait.data_after].cycles(self.clock)
        start = self.clock.edge_ps(event.cycle + latency)
        return start, start + self.burst


class Latest:
    """The last event at each place (a bank, a path, ...), and from when on the next may follow it."""

    def __init__(self) -> None:
        self._at: dict[object, Event] = {}

    def mark(self, event: Event, *places: object) -> None:
        """``event`` happened at ``places``."""
        self._at.update(dict.fromkeys(places, event))

    def after(self, rule: str, gap: int, *places: object) -> Iterator[Demand]:
        """Demand ``gap`` ps after the last event at each of ``places``."""
        for place in places:
            if place in self._at:
                earlier = self._at[place]
                yield Demand(rule, earlier, earlier.time + gap)
