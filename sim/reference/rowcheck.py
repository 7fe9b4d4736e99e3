"""The checker's view of rows: when each bank was opened, when it may be closed, and when it is precharged."""

from collections.abc import Iterator

from .facets import Demand, Event, Latest, Times
from .traits import Row


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


class RowIntervals:
    """Rows are opened, accessed and closed in order, with tRC, tRCD, tRAS, tRTP, tWR and tRP kept.

    An automatic precharge begins once tRAS, tRTP and write recovery of all accesses to the row are over; tRP runs from
    there.
    """

    def __init__(self, times: Times, banks: int) -> None:
        self.times = times
        self.banks = [Bank() for _ in range(banks)]

    def demands(self, event: Event) -> Iterator[Demand]:
        """Row state and row timing of each bank that ``event`` touches."""
        if event.trait.row == Row.NONE:
            return
        for number in event.banks:
            bank = self.banks[number]
            match event.trait.row:
                case Row.OPEN | Row.REFRESH:
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
            yield Demand(
                "row-state", bank.opened, event.time, f"bank {number} is open at row {bank.row}, not {event.row}"
            )
        if bank.opened is not None:
            yield Demand(event.trait.after_act, bank.opened, bank.opened.time + self.times.of(event.trait.after_act))

    def record(self, event: Event) -> None:
        """Open, hold or close the banks of ``event``."""
        for number in event.banks:
            bank = self.banks[number]
            match event.trait.row:
                case Row.OPEN:
                    bank.row, bank.opened = event.row, event
                    bank.busy = {"tRAS": Demand("tRAS", event, event.time + self.times.of("tRAS"))}
                case Row.ACCESS:
                    self._access(event, bank)
                case Row.AUTO_CLOSE:
                    self._access(event, bank)
                    last = max(bank.busy.values(), key=lambda demand: demand.earliest)
                    self._close(bank, Demand(f"{last.rule}+tRP", event, last.earliest))
                case Row.CLOSE:
                    self._close(bank, Demand("tRP", event, event.time))
                case _:
                    pass

    def _access(self, event: Event, bank: Bank) -> None:
        if event.trait.senses:
            bank.hold(Demand("tRTP", event, event.time + self.times.of("tRTP")))
        if event.trait.stores:
            start, end = self.times.data(event)
            arrived = end if event.trait.stores == "burst" else start
            bank.hold(Demand("tWR", event, arrived + self.times.of("tWR")))

    def _close(self, bank: Bank, start: Demand) -> None:
        """The bank begins to precharge at ``start``; a precharge already under way may end later."""
        done = Demand(start.rule, start.earlier, start.earliest + self.times.of("tRP"))
        if bank.precharged is None or bank.precharged.earliest <= done.earliest:
            bank.precharged = done
        bank.row = None


class Activations:
    """How fast a channel may activate and precharge: tRRD_S, tRRD_L, the four-activation window, tPPD."""

    WINDOW_BANKS = 4

    def __init__(self, times: Times) -> None:
        self.times = times
        self.whole_commands = times.device.multi_bank_activation_in_window.value
        self.latest = Latest()
        self.activated: list[Event] = []  # one entry a bank, all within the last tFAW

    def demands(self, event: Event) -> Iterator[Demand]:
        """Spacing of activations, of a refresh after an activation, and of precharges."""
        if event.trait.staggers or event.name == "REFpb":
            yield from self.latest.after("tRRDS", self.times.of("tRRDS"), "activate")
            groups = [("activate", group) for group in event.groups]
            yield from self.latest.after("tRRDL", self.times.of("tRRDL"), *groups)
        if event.trait.row == Row.CLOSE:
            yield from self.latest.after("tPPD", self.times.of("tPPD"), "precharge")
        if weight := self._weight(event):
            window = self.times.of("tFAW")
            recent = [past for past in self.activated if past.time + window > event.time]
            surplus = min(len(recent) + weight - self.WINDOW_BANKS, len(recent))
            if surplus > 0:
                yield Demand("tFAW", recent[surplus - 1], recent[surplus - 1].time + window)

    def _weight(self, event: Event) -> int:
        """Banks that ``event`` counts for in the window; a command on several banks only where the device says so."""
        if event.trait.row != Row.OPEN or not (event.name == "ACT" or self.whole_commands):
            return 0
        return len(event.banks)

    def record(self, event: Event) -> None:
        """Remember activations and precharges."""
        if event.trait.staggers:
            self.latest.mark(event, "activate", *[("activate", group) for group in event.groups])
        if event.trait.row == Row.CLOSE:
            self.latest.mark(event, "precharge")
        if weight := self._weight(event):
            window = self.times.of("tFAW")
            self.activated = [past for past in self.activated if past.time + window > event.time]
            self.activated += [event] * weight
