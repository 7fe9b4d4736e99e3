"""Refresh and power for the slow twin of the memory controller, and what both of its halves speak about.

The text is ``docs/controller.md``, sections Refresh and Power. What is *wished* is settled once a tick (step 3 of a tick)
and stays so while commands are issued in it; what a wish asks for next (close the banks, or refresh them) is seen from
the rows at the time of issue.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from ...arch.controller import Controller
from ...arch.device import DramDevice, RefreshMode
from ...arch.spec import Command, RowEffect
from ...arch.units import Clock
from ...arch.values import Duration
from ...traces.commands import BINDING_HOST, BINDING_REFRESH_DUE, BINDING_START
from .oracle import Channel, Past, Request


@dataclass
class Queued:
    """A request in a queue: its number, its place in the trace, what it wants, and what was done for it so far."""

    number: int
    index: int
    write: bool
    bank: int
    row: int
    col: int
    activated: bool = False
    precharged: bool = False


class Rank(IntEnum):
    """The classes of candidates, best first."""

    UPKEEP = 1
    EARLY_ROW = 2
    BOUND = 3
    COLUMN = 4
    ROW = 5
    TIMEOUT = 6
    ENTRY = 7


@dataclass(frozen=True)
class Candidate:
    """A command that may go if the timing rules allow it.

    Attributes:
        order: class, and place in the class; the lowest is the best.
        request: the command with the banks that it touches.
        purpose: the queued request that it is for; None for refresh, power and timeouts.
    """

    order: tuple[int, ...]
    request: Request
    purpose: Queued | None = None


class Rows(Channel):
    """The channel of the oracle (what was issued, and which rows are open), asked tick by tick."""

    def __init__(self, device: DramDevice) -> None:
        super().__init__(device, device.dram_standard.rules)

    def allowed(self, request: Request, tick: int) -> bool:
        """Whether every timing rule allows ``request`` at ``tick``."""
        return not any(self._forbids(gate, request, tick) for gate in self.gates[request.command.name])

    def closed(self, banks: Collection[int]) -> bool:
        """Whether none of ``banks`` has an open row."""
        return not any(bank in self.open_row for bank in banks)

    def put(self, request: Request, tick: int) -> None:
        """Issue ``request`` at ``tick``: write it into log and history, and change the rows."""
        command = request.command
        index = self.device.dram_standard.index[command.name]
        self.log.append((tick, index, request.unit, request.row, request.col, self._binding(request, tick)))
        self.history[command.name].append(Past(tick, request.banks, self._weight(request)))
        if command.row == RowEffect.OPEN:
            self.open_row.update(dict.fromkeys(request.banks, request.row))
        elif command.row in (RowEffect.CLOSE, RowEffect.ACCESS_CLOSE):
            for bank in request.banks:
                self.open_row.pop(bank, None)

    def _binding(self, request: Request, tick: int) -> int:
        """Why ``request`` did not go one tick earlier."""
        if tick == 0:
            return BINDING_START
        for gate in self.gates[request.command.name]:
            if self._forbids(gate, request, tick - 1):
                return gate.index
        if request.command.row == RowEffect.REFRESH and tick == self.due:
            return BINDING_REFRESH_DUE
        return BINDING_HOST


@dataclass(frozen=True)
class Wishes:
    """What refresh and power want in one tick.

    Attributes:
        number: the refresh that is next; ``urgent`` and ``wanted`` are about it.
        blocked: the banks that wait for an urgent refresh.
        sleep: the channel goes to sleep.
        leave: units that are down and shall not be.
        wake: units in self-refresh that shall leave it.
        enter: units that shall enter power-down.
    """

    number: int
    urgent: bool
    wanted: bool
    blocked: frozenset[int]
    sleep: bool
    leave: frozenset[int]
    wake: frozenset[int]
    enter: frozenset[int]


class Upkeep:
    """Refresh and power of one channel."""

    def __init__(self, rows: Rows, controller: Controller) -> None:
        self.rows, self.device, self.controller = rows, rows.device, controller
        self.down: set[int] = set()
        self.asleep: set[int] = set()
        self.all_slept = False
        self.last_command = dict.fromkeys(self.units, 0)
        self.last_column = 0

    @cached_property
    def units(self) -> dict[int, frozenset[int]]:
        """The power units with their banks; none where the standard has no power commands."""
        entry = self._command("PDE") if "PDE" in self.device.dram_standard.index else None
        if entry is None:
            return {}
        organization = self.device.organization
        return {unit: frozenset(organization.touched(entry, unit)) for unit in range(organization.units(entry))}

    def _command(self, name: str) -> Command:
        return self.device.dram_standard.commands[self.device.dram_standard.index[name]]

    def ticks(self, duration: Duration) -> int:
        """A time of the controller in ticks."""
        return duration.cycles(Clock(self.device.clock.value)) * self.device.dram_standard.ticks_per_clock

    def out(self, banks: Collection[int]) -> bool:
        """Whether any of ``banks`` belongs to a unit that is down or in self-refresh."""
        return any(not self.units[unit].isdisjoint(banks) for unit in self.down | self.asleep)

    # wishes

    def wishes(self, tick: int, queued: list[Queued]) -> Wishes:
        """What is wished at ``tick`` with these requests in the queues, whatever their direction."""
        urgent = self._urgent(tick)
        blocked = self.rows.next_refresh().banks if urgent else frozenset[int]()
        sleep = self._sleep(tick, queued, urgent)
        wanted = not sleep and not self.asleep and self._wanted(tick, queued, urgent)
        leave, enter = set[int](), set[int]()
        for unit, banks in self.units.items():
            needed = any(request.bank in banks for request in queued)
            refreshed = wanted and not self.rows.next_refresh().banks.isdisjoint(banks)
            if unit in self.down:
                if needed or refreshed or sleep:
                    leave.add(unit)
            elif unit not in self.asleep and not needed and not refreshed and not sleep and self._idle(unit, tick):
                enter.add(unit)
        wake = frozenset(self.asleep) if queued else frozenset[int]()
        return Wishes(self.rows.refreshes, urgent, wanted, blocked, sleep, frozenset(leave), wake, frozenset(enter))

    def _owed(self, tick: int) -> int:
        together = self._together
        return tick // (together * self.device.refresh_interval) * together - self.rows.refreshes

    @property
    def _together(self) -> int:
        """Refreshes that fall due at once."""
        return self.device.refresh_units if self.controller.refresh_together else 1

    def _urgent(self, tick: int) -> bool:
        """Whether the next refresh can wait no longer."""
        if self.device.refresh.mode == RefreshMode.OFF:
            return False
        postpone = self.controller.refresh_postpone
        assert postpone is not None, "a controller that was not fitted"
        return self._owed(tick) >= max(1, postpone.value * self.device.refresh_units - self._together + 1)

    def _wanted(self, tick: int, queued: list[Queued], urgent: bool) -> bool:
        """Whether the next refresh shall go, sleep aside."""
        if self.device.refresh.mode == RefreshMode.OFF:
            return False
        owed, banks = self._owed(tick), self.rows.next_refresh().banks
        if urgent:
            return True
        if owed >= 1 and not any(request.bank in banks for request in queued):
            return True
        return owed > -self.controller.refresh_pull_in.value * self.device.refresh_units and not queued

    def _sleep(self, tick: int, queued: list[Queued], urgent: bool) -> bool:
        """Whether the channel goes to sleep."""
        patience = self.ticks(self.controller.self_refresh)
        paid = self._owed(tick) < 1 or bool(self.asleep)
        return patience > 0 and not queued and not urgent and paid and tick >= self.last_column + patience

    def _idle(self, unit: int, tick: int) -> bool:
        """Whether the last command to a unit is so long ago that it may power down."""
        patience = self.ticks(self.controller.power_down)
        return patience > 0 and tick >= self.last_command[unit] + patience

    # candidates

    def candidates(self, wishes: Wishes) -> list[Candidate]:
        """The commands that these wishes ask for now."""
        found = [self._upkeep(0, unit, "SRX") for unit in wishes.wake & self.asleep]
        found += [self._upkeep(0, unit, "PDX") for unit in wishes.leave & self.down]
        if wishes.wanted and wishes.number == self.rows.refreshes and not self.out(self.rows.next_refresh().banks):
            found.append(Candidate((Rank.UPKEEP, 1), self._refresh_step()))
        awake = self.units.keys() - self.down - self.asleep
        found += [Candidate((Rank.ENTRY, unit), self.rows.request("PDE", unit)) for unit in wishes.enter & awake]
        if wishes.sleep:
            found += [Candidate((Rank.ENTRY, unit), self._sleep_step(unit)) for unit in awake]
        return found

    def _upkeep(self, place: int, unit: int, name: str) -> Candidate:
        return Candidate((Rank.UPKEEP, place, unit), self.rows.request(name, unit))

    def _refresh_step(self) -> Request:
        """The next refresh, or what closes its banks."""
        refresh = self.rows.next_refresh()
        if self.rows.closed(refresh.banks):
            return refresh
        per_bank = self.device.refresh.mode == RefreshMode.PER_BANK
        return self.rows.request(self.device.dram_standard.close_bank if per_bank else "PREA", refresh.unit)

    def _sleep_step(self, unit: int) -> Request:
        """Self-refresh entry of a unit that is awake, or what closes its banks."""
        close = self._command("PREA")
        for part in range(self.device.organization.units(close)):
            request = self.rows.request("PREA", part)
            if request.banks <= self.units[unit] and not self.rows.closed(request.banks):
                return request
        return self.rows.request("SRE", unit)

    # consequences

    def note(self, request: Request, tick: int) -> None:
        """Take note of a command issued at ``tick``."""
        for unit, banks in self.units.items():
            if not banks.isdisjoint(request.banks):
                self.last_command[unit] = tick
        if request.command.bus:
            self.last_column = tick
        if request.command.row == RowEffect.REFRESH:
            self.rows.refreshes += 1
        match request.command.name:
            case "PDE":
                self.down.add(request.unit)
            case "PDX":
                self.down.remove(request.unit)
            case "SRE":
                self.asleep.add(request.unit)
                self.all_slept = self.all_slept or len(self.asleep) == len(self.units)
            case "SRX":
                self.asleep.remove(request.unit)
                if not self.asleep and self.all_slept:
                    self.all_slept = False
                    self.rows.refreshes = max(self.rows.refreshes, tick // self.device.refresh_interval)
            case _:
                pass
