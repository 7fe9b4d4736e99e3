"""The slow oracle: one channel, command by command, cycle by cycle, as ``docs/engine.md`` says it.

For each command it asks at every cycle, rule by rule, whether any command issued before forbids this one now. The only
shortcuts: a search starts at the previous command's cycle (or at the release, if later), and history is read back no
further than a rule's latency. Nothing here is shared with the kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...arch.device import DramDevice, RefreshMode
from ...arch.spec import Command, Level, RowEffect, TimingRule
from ...traces.commands import (
    BINDING_HOST,
    BINDING_REFRESH_DUE,
    BINDING_START,
    ISSUED,
    CommandStream,
    IssueLog,
)


class IllegalStream(Exception):
    """The stream asks for something that the row state does not allow.

    Attributes:
        index: the first offending stream row; the length of the stream if ``finish`` (``t_end``) found a bank open.
        reason: what is wrong with it.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"stream row {index}: {reason}")
        self.index, self.reason = index, reason


@dataclass(frozen=True)
class Request:
    """A single command that wants to issue, and the banks it touches."""

    command: Command
    unit: int
    row: int
    col: int
    banks: frozenset[int]


@dataclass(frozen=True)
class Past:
    """A command in the history; ``weight`` is what it counts in an activation window."""

    cycle: int
    banks: frozenset[int]
    weight: int


@dataclass(frozen=True)
class Gate:
    """One rule as it concerns one following command: ``preceding`` holds the names of the commands it looks for."""

    index: int
    scope: Level
    latency: int
    window: int
    preceding: tuple[str, ...]


class Channel:
    """Everything issued so far, and the row that each bank holds open."""

    def __init__(self, device: DramDevice, rules: Sequence[TimingRule]) -> None:
        self.device = device
        self.bank_count = device.organization.banks
        self.group_size = device.organization.banks_per_group.value
        self.open_row: dict[int, int] = {}
        self.refreshes = 0
        self.last_cycle = 0
        self.log: list[tuple[int, ...]] = []
        self.history: dict[str, list[Past]] = {c.name: [] for c in device.dram_standard.commands}
        self.gates = {c.name: self._gates_of(c, rules) for c in device.dram_standard.commands}

    def _gates_of(self, command: Command, rules: Sequence[TimingRule]) -> list[Gate]:
        gates: list[Gate] = []
        for index, rule in enumerate(rules):
            if any(command.is_a(cls) for cls in rule.following):
                preceding = tuple(c.name for c in self.device.dram_standard.members(rule.preceding))
                gates.append(Gate(index, rule.scope, rule.cycles(self.device.params), rule.window, preceding))
        return gates

    def request(self, name: str, unit: int, row: int = -1, col: int = -1) -> Request:
        """The command ``name``, with the banks that it touches."""
        command = self.device.dram_standard.commands[self.device.dram_standard.index[name]]
        width = {Level.BANK: 1, Level.BANKGROUP: self.group_size, Level.CHANNEL: self.bank_count}[command.footprint]
        banks = frozenset(range(unit * width, (unit + 1) * width))
        return Request(command, unit, row, col, banks)

    # timing rules

    def _groups(self, banks: frozenset[int]) -> set[int]:
        return {bank // self.group_size for bank in banks}

    def _meet(self, scope: Level, one: frozenset[int], other: frozenset[int]) -> bool:
        """Whether two commands that touch these banks meet at ``scope``."""
        if scope == Level.BANK:
            return not one.isdisjoint(other)
        if scope == Level.BANKGROUP:
            return not self._groups(one).isdisjoint(self._groups(other))
        return True

    def _weight(self, request: Request) -> int:
        """How many banks ``request`` counts for in an activation window."""
        counts = request.command.footprint == Level.BANK or self.device.multi_bank_activation_in_window.value
        return len(request.banks) if counts else 0

    def _forbids(self, gate: Gate, request: Request, cycle: int) -> bool:
        """Whether this rule forbids ``request`` at ``cycle``."""
        recent: list[Past] = []
        for name in gate.preceding:
            for past in reversed(self.history[name]):
                if past.cycle + gate.latency <= cycle:
                    break
                recent.append(past)
        if gate.window == 1:
            return any(self._meet(gate.scope, past.banks, request.banks) for past in recent)
        weight = self._weight(request)
        room = max(gate.window - weight, 0)
        return weight > 0 and sum(past.weight for past in recent) > room

    def earliest(self, request: Request, release: int, released_by: int) -> tuple[int, int]:
        """The cycle at which ``request`` can issue, and the rule (or ``released_by``) that decided it.

        Time only ever lifts a ban, so the rules can be asked one after the other, each until it has nothing to say.
        """
        gates = self.gates[request.command.name]
        cycle = max(release, self.last_cycle)
        for gate in gates:
            while self._forbids(gate, request, cycle):
                cycle += 1
        for gate in gates:
            if self._forbids(gate, request, cycle - 1):
                return cycle, gate.index
        return cycle, released_by if cycle == release > 0 else BINDING_START

    # issue

    def offence(self, request: Request) -> str:
        """Why the row state forbids ``request``; empty if it does not."""
        organization = self.device.organization
        if request.unit < 0 or not request.banks <= set(range(self.bank_count)):
            return f"{request.command.name} addresses unit {request.unit}, which does not exist"
        match request.command.row:
            case RowEffect.REFRESH:
                return "a stream may not hold refresh commands"
            case RowEffect.OPEN:
                if not 0 <= request.row < organization.rows.value:
                    return f"row {request.row} does not exist"
                blocked = [bank for bank in request.banks if bank in self.open_row]
                return f"{request.command.name} needs bank {min(blocked)} closed" if blocked else ""
            case RowEffect.ACCESS | RowEffect.ACCESS_CLOSE:
                blocked = [bank for bank in request.banks if self.open_row.get(bank) != request.row]
                return f"{request.command.name} needs row {request.row} of bank {min(blocked)} open" if blocked else ""
            case _:
                return ""

    def issue(self, request: Request, release: int = 0, released_by: int = BINDING_HOST) -> None:
        """Issue at the earliest cycle and change the row state."""
        cycle, binding = self.earliest(request, release, released_by)
        command = request.command
        index = self.device.dram_standard.index[command.name]
        self.log.append((cycle, index, request.unit, request.row, request.col, binding))
        self.history[command.name].append(Past(cycle, request.banks, self._weight(request)))
        self.last_cycle = cycle
        if command.row == RowEffect.OPEN:
            self.open_row.update(dict.fromkeys(request.banks, request.row))
        elif command.row in (RowEffect.CLOSE, RowEffect.ACCESS_CLOSE):
            for bank in request.banks:
                self.open_row.pop(bank, None)

    # refresh

    @property
    def due(self) -> int:
        """When the next refresh falls due."""
        return (self.refreshes + 1) * self.device.refresh_interval

    @property
    def forced_at(self) -> int:
        """When the next refresh can be postponed no longer."""
        refresh = self.device.refresh
        per_interval = self.bank_count if refresh.mode == RefreshMode.PER_BANK else 1
        return self.due + refresh.postpone_limit.value * per_interval * self.device.refresh_interval

    def next_refresh(self) -> Request:
        """The refresh command that is next in turn."""
        if self.device.refresh.mode == RefreshMode.PER_BANK:
            return self.request("REFpb", self.refreshes % self.bank_count)
        return self.request("REFab", 0)

    def blocks_refresh(self) -> bool:
        """Whether a bank that the next refresh needs closed is open."""
        return any(bank in self.open_row for bank in self.next_refresh().banks)

    def refresh(self) -> None:
        """Issue the next refresh, not before it is due."""
        self.issue(self.next_refresh(), self.due, BINDING_REFRESH_DUE)
        self.refreshes += 1

    def force_refresh(self) -> None:
        """Close what is in the way, refresh, and open it again."""
        per_bank = self.device.refresh.mode == RefreshMode.PER_BANK
        banks = self.next_refresh().banks
        rows = {bank: self.open_row[bank] for bank in sorted(banks) if bank in self.open_row}
        if rows:
            self.issue(self.request("PRE", min(rows)) if per_bank else self.request("PREA", 0))
        self.refresh()
        whole = len(rows) == self.bank_count and len(set(rows.values())) == 1
        if whole and not per_bank and "ACT16" in self.history:
            self.issue(self.request("ACT16", 0, rows[0]))
        else:
            for bank, row in rows.items():
                self.issue(self.request("ACT", bank, row))

    def serve_refresh(self, request: Request, release: int, safe: bool) -> None:
        """Issue the refreshes that go before ``request``."""
        while self.device.refresh.mode != RefreshMode.OFF:
            cycle, _ = self.earliest(request, release, BINDING_HOST)
            if self.due <= cycle and safe and not self.blocks_refresh():
                self.refresh()
            elif cycle >= self.forced_at:
                self.force_refresh()
            else:
                return


def run_oracle(
    device: DramDevice,
    stream: CommandStream,
    not_before: Sequence[int] | int = 0,
    t_end: int | None = None,
    rules: tuple[TimingRule, ...] | None = None,
) -> IssueLog:
    """Issue ``stream`` in order and return the log, inserted refreshes included.

    Args:
        device: the channel.
        stream: a table of ``COMMAND`` rows.
        not_before: release cycle of each stream row (each command of a run inherits it), or one for all.
        t_end: if given, issue at the end every refresh that falls due up to this cycle.
        rules: rules to use instead of the standard's own, position by position (for mutation tests).

    Raises:
        IllegalStream: the row state forbids a command.
    """
    channel = Channel(device, device.dram_standard.rules if rules is None else rules)
    names = [c.name for c in device.dram_standard.commands]
    releases = [not_before] * len(stream) if isinstance(not_before, int) else list(not_before)
    for index, (row, release) in enumerate(zip(stream, releases, strict=True)):
        if row["count"] != 1 and device.dram_standard.commands[row["cmd"]].row not in (RowEffect.ACCESS, RowEffect.NONE):
            raise IllegalStream(index, "a command that changes rows may not run")
        for step in range(int(row["count"])):
            col = int(row["col"]) + step if row["col"] >= 0 else -1
            request = channel.request(names[row["cmd"]], int(row["unit"]), int(row["row"]), col)
            if offence := channel.offence(request):
                raise IllegalStream(index, offence)
            channel.serve_refresh(request, release, bool(row["safe"]) and step == 0)
            channel.issue(request, release)
    if t_end is not None and device.refresh.mode != RefreshMode.OFF:
        while channel.due <= t_end:
            if channel.blocks_refresh():
                raise IllegalStream(len(stream), "a bank is open at the end, so it cannot be refreshed")
            channel.refresh()
    return np.array(channel.log, ISSUED)
