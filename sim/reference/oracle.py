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
    BINDING_ORDER,
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
    """One rule as it concerns one following command: ``gaps`` holds the commands it looks for, and how far they reach."""

    index: int
    rule: TimingRule
    gaps: dict[str, int]


class Channel:
    """Everything issued so far, and the row that each bank holds open."""

    def __init__(self, device: DramDevice, rules: Sequence[TimingRule]) -> None:
        self.device = device
        self.open_row: dict[int, int] = {}
        self.refreshes = 0
        self.last_cycle = 0
        self.log: list[tuple[int, ...]] = []
        self.history: dict[str, list[Past]] = {c.name: [] for c in device.dram_standard.commands}
        self.gates = {c.name: self._gates_of(c, rules) for c in device.dram_standard.commands}
        self._instance_memo: dict[tuple[Level, frozenset[int]], frozenset[int]] = {}

    def _gates_of(self, command: Command, rules: Sequence[TimingRule]) -> list[Gate]:
        standard, params, gates = self.device.dram_standard, self.device.params, list[Gate]()
        for index, rule in enumerate(rules):
            if any(command.is_a(cls) for cls in rule.following):
                gaps = {c.name: standard.gap(rule, c, command, params) for c in standard.members(rule.preceding)}
                gates.append(Gate(index, rule, {name: gap for name, gap in gaps.items() if gap > 0}))
        return gates

    def request(self, name: str, unit: int, row: int = -1, col: int = -1) -> Request:
        """The command ``name``, with the banks that it touches."""
        command = self.device.dram_standard.commands[self.device.dram_standard.index[name]]
        return Request(command, unit, row, col, frozenset(self.device.organization.touched(command, unit)))

    # timing rules

    def _instances(self, level: Level, banks: frozenset[int]) -> frozenset[int]:
        """The bank groups, ranks, ... that hold these banks."""
        key = level, banks
        if key not in self._instance_memo:
            size = self.device.organization.banks_at(level)
            self._instance_memo[key] = frozenset(bank // size for bank in banks)
        return self._instance_memo[key]

    def _meet(self, rule: TimingRule, one: frozenset[int], other: frozenset[int]) -> bool:
        """Whether two commands that touch these banks meet under a rule."""
        together = not self._instances(rule.scope, one).isdisjoint(self._instances(rule.scope, other))
        if not rule.sibling:
            return together
        side_by_side = self._instances(Level.PSEUDOCHANNEL, one) & self._instances(Level.PSEUDOCHANNEL, other)
        return bool(side_by_side) and not together

    def _begins_round(self, rule: TimingRule, request: Request) -> bool:
        """Whether a refresh goes to the first bank of the rule's scope."""
        return min(request.banks) % self.device.organization.banks_at(rule.scope) == 0

    def _weight(self, request: Request) -> int:
        """How many banks ``request`` counts for in an activation window."""
        if request.command.row == RowEffect.REFRESH and not self.device.refresh_in_activation_window.value:
            return 0
        counts = request.command.footprint == Level.BANK or self.device.multi_bank_activation_in_window.value
        return len(request.banks) if counts else 0

    def _forbids(self, gate: Gate, request: Request, cycle: int) -> bool:
        """Whether this rule forbids ``request`` at ``cycle``."""
        rule = gate.rule
        if rule.new_round and not self._begins_round(rule, request):
            return False
        recent: list[Past] = []
        for name, gap in gate.gaps.items():
            for past in reversed(self.history[name]):
                if past.cycle + gap <= cycle:
                    break
                recent.append(past)
        met = [past for past in recent if self._meet(rule, past.banks, request.banks)]
        if rule.window == 1:
            return bool(met)
        weight = self._weight(request)
        room = max(rule.window - weight, 0)
        return weight > 0 and sum(past.weight for past in met) > room

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
        if cycle == self.last_cycle > 0:
            return cycle, BINDING_ORDER
        return cycle, released_by if cycle == release > 0 else BINDING_START

    # issue

    def offence(self, request: Request) -> str:
        """Why the row state forbids ``request``; empty if it does not."""
        organization = self.device.organization
        if not 0 <= request.unit < organization.units(request.command):
            return f"{request.command.name} addresses unit {request.unit}, which does not exist"
        match request.command.row:
            case RowEffect.REFRESH:
                return "a stream may not hold refresh commands"
            case RowEffect.IDLE:
                blocked = [bank for bank in request.banks if bank in self.open_row]
                return f"{request.command.name} needs bank {min(blocked)} closed" if blocked else ""
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
        limit = self.device.refresh.postpone_limit.value * self.device.refresh_units
        return self.due + limit * self.device.refresh_interval

    def next_refresh(self) -> Request:
        """The refresh command that is next in turn."""
        return self.request(self.device.refresh_command.name, self.refreshes % self.device.refresh_units)

    def blocks_refresh(self) -> bool:
        """Whether a bank that the next refresh needs closed is open."""
        return any(bank in self.open_row for bank in self.next_refresh().banks)

    def refresh(self) -> None:
        """Issue the next refresh, not before it is due."""
        self.issue(self.next_refresh(), self.due, BINDING_REFRESH_DUE)
        self.refreshes += 1

    def force_refresh(self) -> None:
        """Refresh every unit once, closing what is in the way, and open it again."""
        standard, per_bank = self.device.dram_standard, self.device.refresh.mode == RefreshMode.PER_BANK
        rows = dict(sorted(self.open_row.items()))
        for _ in range(self.device.refresh_units):
            if self.blocks_refresh():
                self.issue(self.request(standard.close_bank if per_bank else "PREA", self.next_refresh().unit))
            self.refresh()
        whole = len(rows) == self.device.organization.banks and len(set(rows.values())) == 1
        if whole and standard.activate_all:
            self.issue(self.request(standard.activate_all, 0, rows[0]))
        else:
            for bank, row in rows.items():
                self.issue(self.request("ACT", bank, row))

    def held(self, command: Command) -> bool:
        """Whether a refresh of any bank, not just of its own, holds ``command`` back until the next one falls due."""
        refresh = self.device.refresh_command
        bankwise = all(each.stripe or each.footprint == Level.BANK for each in (refresh, command))
        gaps = [
            gate.gaps.get(refresh.name, 0)
            for gate in self.gates[command.name]
            if gate.rule.window == 1 and not gate.rule.new_round and not gate.rule.sibling
            and not (gate.rule.scope == Level.BANK and bankwise)
        ]  # fmt: skip
        return max(gaps, default=0) >= self.device.refresh_interval

    def serve_refresh(self, request: Request, release: int, safe: bool) -> None:
        """Issue the refreshes that go before ``request``."""
        while self.device.refresh.mode != RefreshMode.OFF:
            cycle, _ = self.earliest(request, release, BINDING_HOST)
            held = safe and self.held(request.command)
            round_due = self.due + (self.device.refresh_units - 1) * self.device.refresh_interval
            if self.due <= cycle and safe and not held and not self.blocks_refresh():
                self.refresh()
            elif cycle >= (round_due if held else self.forced_at):
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
