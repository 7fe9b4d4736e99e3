"""The checker's view of columns and data: column paths, the external bus, operands, modes and the command bus."""

from collections.abc import Iterator

from .facets import Demand, Event, Latest, Times


class CommandBus:
    """One command at a time, in the order of the log; a mode switch stops all, and waits for the MAC units."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.latest = Latest()

    def demands(self, event: Event) -> Iterator[Demand]:
        """Spacing of commands on the bus, and mode switches."""
        yield from self.latest.after("tCMD", self.times.of("tCMD"), "bus")
        if "TMOD" in self.times.device.dram_standard.index:
            yield from self.latest.after("tMODCH", self.times.of("tMODCH"), "TMOD")
            if event.name == "TMOD":
                yield from self.latest.after("tMACMOD", self.times.of("tMACMOD"), "mac")

    def record(self, event: Event) -> None:
        """Remember the command."""
        self.latest.mark(event, "bus", event.name)
        if "mac" in event.trait.paths:
            self.latest.mark(event, "mac")


class ColumnPaths:
    """A path takes a command every tCCDS (shared by the channel) or tCCDL (of a bank group), a MAC unit at its rate."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.latest = Latest()

    def _places(self, event: Event, path: str) -> list[tuple[str, int]]:
        if path == "mac":
            return [(path, bank) for bank in event.banks]
        return [(path, group) for group in event.groups] if path.startswith("group") else [(path, 0)]

    def demands(self, event: Event) -> Iterator[Demand]:
        """Each path that ``event`` takes must be free again."""
        for path in event.trait.paths:
            places = self._places(event, path)
            if path == "mac":
                yield from self.latest.after("tMAC", self.times.mac, *places)
            else:
                rule = "tCCDL" if path.startswith("group") else "tCCDS"
                yield from self.latest.after(rule, self.times.of(rule), *places)

    def record(self, event: Event) -> None:
        """Occupy the paths."""
        for path in event.trait.paths:
            self.latest.mark(event, *self._places(event, path))


class DataBus:
    """Bursts on the external bus: none overlap, and the bus turns round in time.

    From a read burst's end to the start of the burst of a later write command at least tBTA; from a write burst's end
    to a read command at least tWTRS, or tWTRL where the read looks at what was written.
    """

    def __init__(self, times: Times) -> None:
        self.times = times
        self.on_bus: list[tuple[int, int, Event]] = []  # start, end, command of bursts that may not be over yet
        self.read_end: tuple[int, Event] | None = None  # the latest there was
        self.write_end: dict[object, tuple[int, Event]] = {}  # by place: the bus, or what was written

    def demands(self, event: Event) -> Iterator[Demand]:
        """Where the burst of ``event`` may stand on the bus."""
        if not event.trait.bus:
            return
        start, end = self.times.data(event)
        for other_start, other_end, other in self.on_bus:
            if start < other_end and other_start < end:
                yield Demand("data-bus", other, event.time + other_end - start)
        if event.trait.bus == "write" and self.read_end is not None:
            free, read = self.read_end
            yield Demand("tBTA", read, event.time + free + self.times.of("tBTA") - start)
        if event.trait.bus == "read":
            for place in ("bus", *self._places(event, event.trait.wtr_read)):
                if place in self.write_end:
                    rule = "tWTRS" if place == "bus" else "tWTRL"
                    free, write = self.write_end[place]
                    yield Demand(rule, write, free + self.times.of(rule))

    def _places(self, event: Event, things: frozenset[str]) -> list[object]:
        groups = [("array", group) for group in event.groups] if "array" in things else []
        return [*groups, *(things - {"array"})]

    def record(self, event: Event) -> None:
        """Put the burst on the bus."""
        if not event.trait.bus:
            return
        start, end = self.times.data(event)
        self.on_bus = [burst for burst in self.on_bus if burst[1] > event.time]
        self.on_bus.append((start, end, event))
        if event.trait.bus == "read" and (self.read_end is None or self.read_end[0] < end):
            self.read_end = end, event
        if event.trait.bus == "write":
            for place in ("bus", *self._places(event, event.trait.wtr_written)):
                if place not in self.write_end or self.write_end[place][0] < end:
                    self.write_end[place] = end, event


class Operands:
    """What a command takes must be ready: buffer contents, accumulators, results, freshly written array data."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.ready: dict[object, dict[str, Demand]] = {}  # by place: the latest of each timing parameter

    def _places(self, event: Event, operand: str) -> list[object]:
        return [(operand, group) for group in event.groups] if operand == "array" else [operand]

    def demands(self, event: Event) -> Iterator[Demand]:
        """All operands that ``event`` needs."""
        for operand in event.trait.needs:
            for place in self._places(event, operand):
                yield from self.ready.get(place, {}).values()

    def record(self, event: Event) -> None:
        """What ``event`` makes, and from when on it is usable."""
        for supply in event.trait.supplies:
            if supply.delay not in self.times.device.timing:
                continue  # a device without MAC units has no command that needs this
            since = self.times.data(event)[1] if supply.after_burst else event.time
            demand = Demand(supply.delay, event, since + self.times.of(supply.delay))
            for place in self._places(event, supply.operand):
                self.ready.setdefault(place, {})[supply.delay] = demand
