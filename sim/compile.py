"""DramDevice -> TimingTable: the specification compiled once into integer arrays.

Between two commands A and B of a rule with a scope, the coarsest of A's footprint, B's footprint and the scope decides at
which level they meet: a bank rule between ACT16 and MAC meets at the channel, because ACT16 touches every bank. So each
(level, A, B) has one gap, the largest of all rules that apply, and the engine only has to remember, for each level instance
(the channel, each bank group, each bank), when each command was last issued there.
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
}


INSERTED = frozenset({"ACT", "ACT16", "PRE", "PREA", "REFab", "REFpb"})
"""Commands that the engine itself may insert around a refresh."""


@dataclass(frozen=True)
class TimingTable:
    """A device as integer arrays (layouts in :mod:`.kernels.layout`).

    Attributes:
        scalars: int64[N_SCALARS].
        commands: int64[commands, N_COMMAND_FIELDS].
        predecessors: int64[entries, 2]: (earlier command, key of gap and rule), grouped by later command and level.
        windows: int64[windows, 2]: (activations, key of gap and rule).
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
        state[:, : at.T_ROWS] = 0
        state[:, at.T_LAST_ISSUE] = state[:, at.T_LAST_NARROW] = state[:, at.T_LAST_COMMAND] = at.NEVER
        state[:, at.T_ALL_ROW] = -1
        state[:, at.T_ROWS : at.T_ROWS + int(self.scalars[at.S_BANKS])] = -1
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
    bus = next(i for i, r in enumerate(rules) if r.preceding == r.following == ("any",))
    bus_gap = rules[bus].cycles(device.params)
    gaps = _gaps(device, rules, bus)
    kept = {i for i, c in enumerate(standard.commands) if used is None or c.name in used | INSERTED}
    commands = np.zeros((len(standard.commands), at.N_COMMAND_FIELDS), np.int64)
    predecessors: list[tuple[int, int]] = []
    for b, command in enumerate(standard.commands):
        commands[b, at.C_FOOTPRINT] = command.footprint
        commands[b, at.C_ROW] = ROW_CODES[command.row]
        commands[b, at.C_WEIGHT] = _activation_weight(device, command)
        run_gap, run_rule = bus_gap, bus
        for level in Level:
            commands[b, at.C_PRED + 2 * level] = len(predecessors)
            for a in range(len(standard.commands)):
                gap, rule = gaps.get((level, a, b), (0, -1))
                if gap > bus_gap and a in kept:
                    predecessors.append((a, key_of(gap, rule)))
                if a == b and (gap > run_gap or (gap == run_gap and rule < run_rule and rule >= 0)):
                    run_gap, run_rule = gap, rule
            commands[b, at.C_PRED + 2 * level + 1] = len(predecessors)
        commands[b, at.C_RUN_GAP], commands[b, at.C_RUN_RULE] = run_gap, run_rule
    windows = [
        (r.window, key_of(r.cycles(device.params), i))
        for i, r in enumerate(rules)
        if r.window > 1 and r.cycles(device.params) > 0
    ]
    return TimingTable(
        _scalars(device, bus, bus_gap, predecessors, windows, _refresh_gap(device, gaps)),
        commands,
        np.array(predecessors, np.int64).reshape(-1, 2),
        np.array(windows, np.int64).reshape(-1, 2),
    )


def key_of(gap: int, rule: int) -> int:
    """A gap and its rule as one key (see :mod:`.kernels.layout`)."""
    return gap << at.RULE_BITS | (at.RULE_MAX - rule)


def _gaps(device: DramDevice, rules: tuple[TimingRule, ...], bus: int) -> dict[tuple[int, int, int], tuple[int, int]]:
    """(level, earlier, later) -> (gap, rule); of equal gaps the rule that comes first."""
    standard, gaps = device.dram_standard, dict[tuple[int, int, int], tuple[int, int]]()
    for i, rule in enumerate(rules):
        latency = rule.cycles(device.params)
        if rule.window > 1 or i == bus or latency == 0:
            continue
        for a in standard.members(rule.preceding):
            for b in standard.members(rule.following):
                key = (int(max(a.footprint, b.footprint, rule.scope)), standard.index[a.name], standard.index[b.name])
                if latency > gaps.get(key, (0, -1))[0]:
                    gaps[key] = (latency, i)
    return gaps


def _refresh_gap(device: DramDevice, gaps: dict[tuple[int, int, int], tuple[int, int]]) -> int:
    """Largest gap between two refreshes of the device's mode, on the same bank or not."""
    name = "REFpb" if device.refresh.mode == RefreshMode.PER_BANK else "REFab"
    index = device.dram_standard.index[name]
    return max(gaps.get((int(level), index, index), (0, -1))[0] for level in Level)


def _activation_weight(device: DramDevice, command: Command) -> int:
    """Bank activations by which a command counts in activation windows."""
    if command.row != RowEffect.OPEN:
        return 0
    if command.footprint == Level.BANK:
        return 1
    if not device.multi_bank_activation_in_window.value:
        return 0
    per_group = device.organization.banks_per_group.value
    return per_group if command.footprint == Level.BANKGROUP else device.organization.banks


def _scalars(
    device: DramDevice,
    bus: int,
    bus_gap: int,
    predecessors: list[tuple[int, int]],
    windows: list[tuple[int, int]],
    refresh_gap: int,
) -> NDArray[np.int64]:
    standard, org = device.dram_standard, device.organization
    per_bank = device.refresh.mode == RefreshMode.PER_BANK
    refreshing = device.refresh.mode != RefreshMode.OFF
    depth = max((w[0] for w in windows), default=0)
    s = np.zeros(at.N_SCALARS, np.int64)
    s[at.S_COMMANDS] = len(standard.commands)
    s[at.S_BANKS] = org.banks
    s[at.S_GROUPS] = org.bank_groups.value
    s[at.S_GROUP_SHIFT] = org.banks_per_group.value.bit_length() - 1
    s[at.S_BUS_KEY] = key_of(bus_gap, bus)
    s[at.S_REFRESH_INTERVAL] = device.refresh_interval if refreshing else 0
    s[at.S_REFRESH_LIMIT] = device.refresh.postpone_limit.value * (org.banks if per_bank else 1)
    s[at.S_REFRESH_COMMAND] = standard.index["REFpb" if per_bank else "REFab"]
    s[at.S_REFRESH_PER_BANK] = per_bank
    s[at.S_ACT], s[at.S_PRE], s[at.S_PREA] = (standard.index[n] for n in ("ACT", "PRE", "PREA"))
    s[at.S_ACT_ALL] = standard.index.get("ACT16", -1)
    s[at.S_RING] = depth
    s[at.S_MAX_GAP] = max([bus_gap, *(key >> at.RULE_BITS for _, key in predecessors + windows)])
    instances = 1 + org.bank_groups.value + org.banks
    s[at.S_LAST] = at.T_ROWS + org.banks + depth
    s[at.S_REFRESH_GAP] = max(bus_gap, refresh_gap)
    s[at.S_SCRATCH] = s[at.S_LAST] + instances * len(standard.commands)
    s[at.S_STATE_SIZE] = s[at.S_SCRATCH] + org.banks
    return s
