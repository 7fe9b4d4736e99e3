"""The checker's view of data: bursts on the external bus of each pseudo-channel."""

from collections import deque
from collections.abc import Iterator

from .facets import Demand, Event, Point, Times
from .traits import Span

BURSTS_IN_FLIGHT = 64
"""Bursts that are remembered: more than any device can have between a command and the end of its data."""


class DataBus:
    """Bursts do not overlap and come in the order of their commands; those of different ranks stay tRTRS apart where ranks
    drive the bus in turn."""

    def __init__(self, times: Times) -> None:
        self.geometry = times.geometry
        self.bubble = times.of("tRTRS") if times.has("tRTRS") else 0
        self.on_bus: dict[int, deque[Event]] = {}

    def _ranks(self, event: Event) -> range:
        return self.geometry.places(Span.RANK, event.banks)

    def demands(self, event: Event) -> Iterator[Demand]:
        """Where the burst of ``event`` may stand on the bus; the latest burst is looked at first."""
        if not event.trait.bus:
            return
        start = event.at[Point.START]
        for bus in self.geometry.places(Span.PSEUDO, event.banks):
            for other in reversed(self.on_bus.get(bus, ())):
                apart = self.bubble if self._ranks(other) != self._ranks(event) else 0
                other_end = other.at[Point.END]
                if start < other_end + apart:
                    rule = "data-bus" if start < other_end else "tRTRS"
                    yield Demand(rule, other, event.time + other_end + apart - start)

    def record(self, event: Event) -> None:
        """Put the burst on the bus."""
        if event.trait.bus:
            for bus in self.geometry.places(Span.PSEUDO, event.banks):
                self.on_bus.setdefault(bus, deque(maxlen=BURSTS_IN_FLIGHT)).append(event)
