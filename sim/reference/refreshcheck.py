"""The checker's view of refresh: how long it keeps the device busy, and how many refreshes are owed.

The schedule is the device's own: one refresh every whole number of cycles (the interval, rounded down), with per-bank
refresh one bank after the other. What is owed at a time is what has fallen due by then less what was issued.
"""

from collections.abc import Iterator

from ...arch.device import DramDevice, RefreshMode
from .facets import Demand, Event, Latest, Times
from .traits import Row


class RefreshBusy:
    """REFab stops everything for tRFCab, REFpb its bank for tRFCpb and other activations and refreshes for tRREFD."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.latest = Latest()

    def demands(self, event: Event) -> Iterator[Demand]:
        """Whether a refresh still goes on."""
        yield from self.latest.after("tRFCab", self.times.of("tRFCab"), "REFab")
        if event.trait.row in (Row.OPEN, Row.REFRESH):
            yield from self.latest.after("tRFCpb", self.times.of("tRFCpb"), *[("REFpb", bank) for bank in event.banks])
        if event.trait.row == Row.OPEN or event.name == "REFpb":
            yield from self.latest.after("tRREFD", self.times.of("tRREFD"), "REFpb")

    def record(self, event: Event) -> None:
        """Remember refreshes."""
        if event.name == "REFab":
            self.latest.mark(event, "REFab")
        elif event.name == "REFpb":
            self.latest.mark(event, "REFpb", *[("REFpb", bank) for bank in event.banks])


class RefreshDebt:
    """No refresh before it is due, and never more owed than the device allows.

    A command may come with more owed only as part of paying: the refresh itself, a precharge directly before one, and
    the activations directly after one that open again what was closed for it.
    """

    def __init__(self, device: DramDevice) -> None:
        self.mode = device.refresh.mode
        self.interval = device.refresh_interval
        self.banks = device.organization.banks
        self.command = "REFpb" if self.mode == RefreshMode.PER_BANK else "REFab"
        self.edge_ps = device.device_clock.edge_ps
        self.limit = device.refresh.postpone_limit.value * (self.banks if self.mode == RefreshMode.PER_BANK else 1)
        self.issued = 0
        self.reopening = False

    def demands(self, event: Event) -> Iterator[Demand]:
        """Early, misplaced and missing refreshes."""
        if self.mode == RefreshMode.OFF:
            return
        if event.name == self.command:
            yield Demand("refresh-early", None, self.edge_ps((self.issued + 1) * self.interval))
            if self.mode == RefreshMode.PER_BANK and event.unit != self.issued % self.banks:
                fault = f"the turn of bank {self.issued % self.banks}"
                yield Demand("refresh-order", None, event.time, fault)
        owed = event.cycle // self.interval - self.issued
        if owed > self.limit and not self._pays(event):
            yield Demand("refresh-debt", None, event.time, f"{owed} refreshes are owed, at most {self.limit} may be")

    def _pays(self, event: Event) -> bool:
        match event.trait.row:
            case Row.REFRESH:
                return event.name == self.command
            case Row.CLOSE:
                return event.then == self.command
            case Row.OPEN:
                return self.reopening
            case _:
                return False

    def record(self, event: Event) -> None:
        """Count refreshes."""
        self.issued += event.name == self.command
        self.reopening = event.name == self.command or (self.reopening and event.trait.row == Row.OPEN)
