"""The checker's view of rows: when each bank was opened, when it may be closed, and when it is precharged."""

from collections.abc import Iterator

from .facets import Demand, Event, Point, Times
from .traits import Row, Span, Upkeep

HOLDS = ("tRAS", "tRTP", "tWR")
"""What a precharge waits for."""


class Bank:
    """One bank: the open row, what a precharge must wait for, and from when on it is precharged."""

    def __init__(self) -> None:
        self.row: int | None = None
        self.opened: Event | None = None
        self.busy: dict[str, Demand] = {}
        self.precharged: Demand | None = None

    def hold(self, demand: Demand) -> None:
        """A precharge waits for this too; of one rule the latest counts."""
        if demand.rule not in self.busy or self.busy[demand.rule].earliest < demand.earliest:
            self.busy[demand.rule] = demand

    def last_hold(self) -> Demand:
        """What a precharge waits for longest."""
        return max((self.busy[rule] for rule in HOLDS if rule in self.busy), key=lambda demand: demand.earliest)


class RowIntervals:
    """Rows are opened, accessed and closed in order, with tRC, tRCD, tRAS, tRTP, tWR and tRP kept.

    An automatic precharge begins once tRAS, tRTP and write recovery of all accesses to the row are over; tRP (tRPab after
    a command that closes several groups) runs from there. Refresh finds its banks closed, precharged, and tRC after their
    activation.
    """

    def __init__(self, times: Times) -> None:
        self.times = times
        self.banks = [Bank() for _ in range(times.geometry.banks)]

    def demands(self, event: Event) -> Iterator[Demand]:
        """Row state and row timing of each bank that ``event`` touches."""
        if event.trait.row == Row.NONE:
            return
        for number in event.banks:
            bank = self.banks[number]
            match event.trait.row:
                case Row.OPEN | Row.REST:
                    yield from self._wants_closed(event, bank, number)
                case Row.CLOSE:
                    yield from bank.busy.values()
                case _:
                    yield from self._wants_open(event, bank, number)

    def _wants_closed(self, event: Event, bank: Bank, number: int) -> Iterator[Demand]:
        if bank.row is not None:
            yield Demand("row-state", bank.opened, event.time, f"bank {number} is open at row {bank.row}")
        if bank.precharged is not None:
            yield bank.precharged
        if bank.opened is not None:
            yield Demand("tRC", bank.opened, bank.opened.time + self.times.of("tRC"))

    def _wants_open(self, event: Event, bank: Bank, number: int) -> Iterator[Demand]:
        if bank.row is None:
            yield Demand("row-state", None, event.time, f"bank {number} is closed")
        elif bank.row != event.row:
            yield Demand("row-state", bank.opened, event.time, f"bank {number} is open at row {bank.row}, not {event.row}")
        if bank.opened is not None:
            yield Demand(event.trait.after_act, bank.opened, bank.opened.time + self.times.of(event.trait.after_act))

    def record(self, event: Event) -> None:
        """Open, hold or close the banks of ``event``."""
        if event.trait.row in (Row.NONE, Row.REST):
            return
        for number in event.banks:
            bank = self.banks[number]
            match event.trait.row:
                case Row.OPEN:
                    bank.row, bank.opened = event.row, event
                    bank.busy = {"tRAS": Demand("tRAS", event, event.time + self.times.of("tRAS"))}
                case Row.CLOSE:
                    self._close(bank, "tRP", event, event.time)
                case _:
                    self._access(event, bank)
                    if event.trait.row == Row.AUTO_CLOSE:
                        last = bank.last_hold()
                        self._close(bank, f"{last.rule}+tRP", event, last.earliest)

    def _access(self, event: Event, bank: Bank) -> None:
        if event.trait.senses:
            bank.hold(Demand("tRTP", event, event.time + self.times.of("tRTP")))
        if event.trait.stores:
            arrived = event.at[Point.END if event.trait.stores == "burst" else Point.START]
            bank.hold(Demand("tWR", event, arrived + self.times.of("tWR")))

    def _close(self, bank: Bank, rule: str, event: Event, start: int) -> None:
        """The bank begins to precharge at ``start``; a precharge already under way may end later."""
        takes = "tRPab" if event.trait.span != Span.BANK and self.times.has("tRPab") else "tRP"
        done = Demand(rule.replace("tRP", takes), event, start + self.times.of(takes))
        if bank.precharged is None or bank.precharged.earliest <= done.earliest:
            bank.precharged = done
        bank.row = None


WINDOWS = {"tFAW": 4, "t32AW": 32}
"""Activation windows, and the banks that may be activated in each."""


class Activations:
    """No more than so many banks are activated in any window of the array that shares their power."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.windows = {rule: banks for rule, banks in WINDOWS.items() if times.has(rule) and times.of(rule)}
        self.recent: dict[int, list[Event]] = {}  # by array: the latest, one entry a bank

    def demands(self, event: Event) -> Iterator[Demand]:
        """Wait until enough earlier activations have left the window."""
        weight = self._weight(event)
        if weight == 0:
            return
        for rule, banks in self.windows.items():
            back = max(banks - weight, 0) + 1  # this one, counted from the latest, must have left
            for place in self.times.geometry.places(self.times.family.array, event.banks):
                recent = self.recent.get(place, [])
                if len(recent) >= back:
                    yield Demand(rule, recent[-back], recent[-back].time + self.times.of(rule))

    def _weight(self, event: Event) -> int:
        """Banks that ``event`` counts for; a command on several banks only where the device says so."""
        device, trait = self.times.device, event.trait
        refreshes = trait.upkeep == Upkeep.REFRESH_BANK and bool(device.refresh_in_activation_window.value)
        counts = trait.span == Span.BANK or bool(device.multi_bank_activation_in_window.value)
        return len(event.banks) if (trait.row == Row.OPEN or refreshes) and counts else 0

    def record(self, event: Event) -> None:
        """Remember activations."""
        if weight := self._weight(event):
            for place in self.times.geometry.places(self.times.family.array, event.banks):
                recent = [*self.recent.get(place, []), *[event] * weight]
                self.recent[place] = recent[-max(WINDOWS.values()) :]
