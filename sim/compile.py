"""DramDevice -> TimingTable: the specification compiled once into integer arrays.

Between two commands A and B of a rule with a scope, the coarsest of A's footprint, B's footprint and the scope decides at
which level they meet: a bank rule between ACT16 and MAC meets at the channel, because ACT16 touches every bank. So each
(level, A, B) has one gap, the largest of all rules that apply, and the engine only has to remember, for each level instance
(the channel, each bank group, each bank), when each command was last issued there. A stripe (one bank of each group of a
rank) meets banks and other stripes bank by bank, everything else as a command on its whole rank. Levels of which an
instance holds just what one of the next level holds are folded into that: what a device does not have costs nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arch.device import DramDevice, RefreshMode
from ..arch.spec import Command, Level, RowEffect, TimingRule
from .kernels import layout as at

ROW_CODES = {
    RowEffect.NONE: at.ROW_NONE,
    RowEffect.OPEN: at.ROW_OPEN,
    RowEffect.CLOSE: at.ROW_CLOSE,
    RowEffect.ACCESS: at.ROW_ACCESS,
    RowEffect.ACCESS_CLOSE: at.ROW_ACCESS_CLOSE,
    RowEffect.REFRESH: at.ROW_REFRESH,
    RowEffect.IDLE: at.ROW_IDLE,
}


@dataclass(frozen=True)
class TimingTable:
    """A device as integer arrays (layouts in :mod:`.kernels.layout`).

    Attributes:
        scalars: int64[N_SCALARS].
        commands: int64[commands, N_COMMAND_FIELDS].
        predecessors: int64[entries, 2]: (earlier command, key of gap and rule), grouped by later command and level.
        windows: int64[windows, 2]: (activations, key of latency and rule).
    """

    scalars: NDArray[np.int64]
    commands: NDArray[np.int64]
    predecessors: NDArray[np.int64]
    windows: NDArray[np.int64]

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The arrays in the order in which kernels take them."""
        return self.scalars, self.commands, self.predecessors, self.windows

    @property
    def state_size(self) -> int:
        """Length of one channel's state vector."""
        return int(self.scalars[at.S_STATE_SIZE])

    def new_state(self, channels: int) -> NDArray[np.int64]:
        """State of ``channels`` channels at cycle 0: all banks closed, nothing issued. int64[channels, state_size]."""
        state = np.full((channels, self.state_size), at.NEVER, np.int64)
        s = self.scalars.tolist()
        state[:, : at.T_ROWS] = 0
        state[:, at.T_LAST_ISSUE] = state[:, at.T_LAST_NARROW] = state[:, at.T_LAST_COMMAND] = at.NEVER
        state[:, at.T_ALL_ROW] = -1
        state[:, at.T_ROWS : at.T_ROWS + s[at.S_BANKS]] = -1
        state[:, s[at.S_RING_POS] : s[at.S_RING_POS] + s[at.S_RINGS]] = 0
        return state


def compile_device(
    device: DramDevice, rules: tuple[TimingRule, ...] | None = None, used: frozenset[str] | None = None
) -> TimingTable:
    """Compile a device.

    Args:
        rules: replaces those of its standard (tests weaken one at a time).
        used: names of the commands that streams will hold. Rules after any other command are left out, which changes
            nothing but speed; what the engine inserts by itself (refresh) is always in.

    Raises:
        ValueError: a rule's latency cannot be evaluated.
    """
    standard = device.dram_standard
    rules = standard.rules if rules is None else rules
    shape = _Shape.of(device, rules)
    gaps = _gaps(device, rules, shape)
    kept = {i for i, c in enumerate(standard.commands) if used is None or c.name in used | _inserted(device)}
    commands = np.zeros((len(standard.commands), at.N_COMMAND_FIELDS), np.int64)
    predecessors: list[tuple[int, int]] = []
    for b, command in enumerate(standard.commands):
        row = commands[b]
        row[at.C_FOOTPRINT] = shape.fold(command.footprint)
        row[at.C_ROW] = ROW_CODES[command.row]
        row[at.C_WEIGHT] = _activation_weight(device, command)
        row[at.C_TICKS] = standard.ticks(command)
        row[at.C_STRIPE] = command.stripe
        row[at.C_RUN_GAP], row[at.C_RUN_RULE] = max(shape.bus_gap, 1), shape.bus if shape.bus >= 0 else at.RULE_MAX
        for level in (*range(at.N_LEVELS), _SIBLING):
            field = at.C_SIBLING if level == _SIBLING else at.C_PRED + 2 * level
            row[field] = len(predecessors)
            for a in range(len(standard.commands)):
                gap, rule = gaps.get((level, a, b), (0, -1))
                if gap > shape.bus_gap and a in kept:
                    predecessors.append((a, key_of(gap, rule)))
                run = row[at.C_RUN_GAP]
                if a == b and level != _SIBLING and (gap > run or (gap == run and 0 <= rule < row[at.C_RUN_RULE])):
                    row[at.C_RUN_GAP], row[at.C_RUN_RULE] = gap, rule
            row[field + 1] = len(predecessors)
        rare = command.stripe or row[at.C_SIBLING] < row[at.C_SIBLING + 1] or command.row == RowEffect.REFRESH
        row[at.C_RARE] = rare
        row[at.C_HELD] = _held(device, gaps, b)
    windows = [
        (r.window, key_of(r.cycles(device.params), i))
        for i, r in enumerate(rules)
        if r.window > 1 and r.cycles(device.params) > 0
    ]
    return TimingTable(
        _scalars(device, rules, shape, gaps, windows),
        commands,
        np.array(predecessors, np.int64).reshape(-1, 2),
        np.array(windows, np.int64).reshape(-1, 2),
    )


def key_of(gap: int, rule: int) -> int:
    """A gap and its rule as one key (see :mod:`.kernels.layout`)."""
    return gap << at.RULE_BITS | (at.RULE_MAX - rule)


_SIBLING = -1
"""Stands for a level in the gaps between different ranks."""

Gaps = dict[tuple[int, int, int], tuple[int, int]]


@dataclass(frozen=True)
class _Shape:
    """What of a device decides the form of its table.

    Attributes:
        folded: for each level, the level that stands for it.
        bus: the rule that spaces any two commands, -1 if there is none; ``bus_gap``: by how much, at least.
    """

    folded: tuple[int, ...]
    bus: int
    bus_gap: int

    @classmethod
    def of(cls, device: DramDevice, rules: tuple[TimingRule, ...]) -> "_Shape":
        folded = list(range(at.N_LEVELS))
        for level in range(at.CHANNEL - 1, 0, -1):
            if device.organization.banks_at(Level(level)) == device.organization.banks_at(Level(level + 1)):
                folded[level] = folded[level + 1]
        bus = next((i for i, r in enumerate(rules) if r.preceding == r.following == ("any",)), -1)
        return cls(tuple(folded), bus, rules[bus].cycles(device.params) if bus >= 0 else 0)

    def fold(self, level: int) -> int:
        """The level that stands for ``level``."""
        return self.folded[level]


def _inserted(device: DramDevice) -> set[str]:
    """Commands that the engine itself may insert around a refresh."""
    standard = device.dram_standard
    return {"ACT", "PRE", "PREA", "REFab", standard.activate_all, standard.close_bank, standard.refresh_bank}


def _gaps(device: DramDevice, rules: tuple[TimingRule, ...], shape: _Shape) -> Gaps:
    """(level, earlier, later) -> (gap, rule); of equal gaps the rule that comes first."""
    standard, gaps = device.dram_standard, Gaps()
    for i, rule in enumerate(rules):
        if rule.window > 1 or rule.new_round or (rule.sibling and device.organization.ranks.value == 1):
            continue
        for a in standard.members(rule.preceding):
            for b in standard.members(rule.following):
                gap = standard.gap(rule, a, b, device.params)
                key = (_meeting(a, b, rule, shape), standard.index[a.name], standard.index[b.name])
                if gap > gaps.get(key, (0, -1))[0]:
                    gaps[key] = (gap, i)
    return gaps


def _meeting(a: Command, b: Command, rule: TimingRule, shape: _Shape) -> int:
    """The level at which two commands meet under a rule."""
    if rule.sibling:
        return _SIBLING
    bankwise = rule.scope == Level.BANK and all(c.stripe or c.footprint == Level.BANK for c in (a, b))
    return shape.fold(Level.BANK if bankwise else max(a.footprint, b.footprint, rule.scope))


def _held(device: DramDevice, gaps: Gaps, command: int) -> bool:
    """Whether a refresh of any bank, not just of its own, holds a command back until the next refresh falls due."""
    refresh = device.dram_standard.index[device.refresh_command.name]
    longest = max(gaps.get((level, refresh, command), (0, -1))[0] for level in range(1, at.N_LEVELS))
    return longest >= device.refresh_interval


def _round_key(device: DramDevice, rules: tuple[TimingRule, ...], shape: _Shape) -> tuple[int, int]:
    """Key of the gap before a refresh that begins a new round, and the level of the round; (0, channel) if none."""
    refresh = device.refresh_command
    for i, rule in enumerate(rules):
        if rule.new_round and any(refresh.is_a(cls) for cls in rule.following):
            gap = device.dram_standard.gap(rule, refresh, refresh, device.params)
            return (key_of(gap, i) if gap > 0 else 0), shape.fold(rule.scope)
    return 0, at.CHANNEL


def _activation_weight(device: DramDevice, command: Command) -> int:
    """Bank activations by which a command counts in activation windows."""
    if command.row == RowEffect.REFRESH:
        return int(command.footprint == Level.BANK and device.refresh_in_activation_window.value)
    if command.row != RowEffect.OPEN:
        return 0
    if command.footprint == Level.BANK:
        return 1
    return len(device.organization.touched(command, 0)) if device.multi_bank_activation_in_window.value else 0


def _window_level(rules: tuple[TimingRule, ...]) -> Level:
    """Scope of the activation windows of a standard, which all share."""
    return max((r.scope for r in rules if r.window > 1), default=Level.CHANNEL)


def _scalars(
    device: DramDevice, rules: tuple[TimingRule, ...], shape: _Shape, gaps: Gaps, windows: list[tuple[int, int]]
) -> NDArray[np.int64]:
    standard, org = device.dram_standard, device.organization
    per_bank = device.refresh.mode == RefreshMode.PER_BANK
    round_key, round_level = _round_key(device, rules, shape)
    refresh = standard.index[device.refresh_command.name]
    refresh_gaps = [gaps.get((level, refresh, refresh), (0, -1))[0] for level in range(at.N_LEVELS)]
    s = np.zeros(at.N_SCALARS, np.int64)
    s[at.S_COMMANDS] = len(standard.commands)
    s[at.S_BANKS] = org.banks
    s[at.S_BUS_KEY] = key_of(shape.bus_gap, shape.bus) if shape.bus >= 0 else 0
    s[at.S_REFRESH_INTERVAL] = 0 if device.refresh.mode == RefreshMode.OFF else device.refresh_interval
    s[at.S_REFRESH_UNITS] = device.refresh_units
    s[at.S_REFRESH_LIMIT] = device.refresh.postpone_limit.value * device.refresh_units
    s[at.S_REFRESH_COMMAND] = refresh
    s[at.S_ACT], s[at.S_CLOSE] = standard.index["ACT"], standard.index[standard.close_bank if per_bank else "PREA"]
    s[at.S_ACT_ALL] = standard.index.get(standard.activate_all, -1)
    s[at.S_ROUND_KEY], s[at.S_ROUND_LEVEL] = round_key, round_level
    window_gaps = [(key >> at.RULE_BITS) + max(map(standard.ticks, standard.commands)) for _, key in windows]
    s[at.S_MAX_GAP] = max([shape.bus_gap, round_key >> at.RULE_BITS, *(gap for gap, _ in gaps.values()), *window_gaps])
    s[at.S_REFRESH_GAP] = max(shape.bus_gap, round_key >> at.RULE_BITS, *refresh_gaps)
    s[at.S_STRIDE], s[at.S_RANKS] = org.banks_per_group.value, org.ranks.value
    for level in Level:
        s[at.S_SHIFT + level] = org.banks_at(level).bit_length() - 1
    _lay_out(s, shape, org.banks // org.banks_at(_window_level(rules)), max((w[0] for w in windows), default=0))
    return s


def _lay_out(s: NDArray[np.int64], shape: _Shape, rings: int, depth: int) -> None:
    """Give every part of the state vector its place."""
    banks, n_commands = int(s[at.S_BANKS]), int(s[at.S_COMMANDS])
    s[at.S_RING], s[at.S_RINGS] = depth, rings
    s[at.S_RING_SHIFT] = (banks // rings).bit_length() - 1
    s[at.S_RING_POS] = at.T_ROWS + banks + rings * depth
    s[at.S_LAST] = s[at.S_BASE + at.CHANNEL] = s[at.S_RING_POS] + rings
    place = int(s[at.S_LAST]) + n_commands
    for level in range(at.CHANNEL - 1, -1, -1):
        if shape.fold(level) == level:
            s[at.S_BASE + level] = place
            place += (banks >> int(s[at.S_SHIFT + level])) * n_commands
        else:
            s[at.S_BASE + level] = -1
    s[at.S_NARROW] = 1 + max((level for level in range(at.CHANNEL) if shape.fold(level) == level), default=-1)
    s[at.S_SCRATCH] = place
    s[at.S_STATE_SIZE] = place + banks
