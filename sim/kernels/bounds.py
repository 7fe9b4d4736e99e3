"""When the rules of a timing table let a command go, from the last issues that a channel's state remembers."""

import numpy as np

from . import layout as at
from .jit import inlined, kernel

BINDING_START, BINDING_ORDER = -1, -4


@inlined
def binding_of(key):
    """The rule of a key; where no rule gave it, BINDING_ORDER or, at cycle 0, BINDING_START."""
    if key & at.RULE_MAX:
        return at.RULE_MAX - (key & at.RULE_MAX)
    return np.int64(BINDING_ORDER) if key > 0 else np.int64(BINDING_START)


@inlined
def first_bank(scalars, commands, cmd, unit):
    """First bank that a command touches."""
    if commands[cmd, at.C_STRIPE] == 1:
        rank, bank = unit // scalars[at.S_STRIDE], unit % scalars[at.S_STRIDE]
        return (rank << scalars[at.S_SHIFT + 2]) + bank
    return unit << scalars[at.S_SHIFT + commands[cmd, at.C_FOOTPRINT]]


@inlined
def touched(scalars, commands, cmd, unit):
    """Banks that a command touches: first, past the last, step."""
    first = first_bank(scalars, commands, cmd, unit)
    if commands[cmd, at.C_STRIPE] == 1:
        step = scalars[at.S_STRIDE]
        return first, first - first % step + (np.int64(1) << scalars[at.S_SHIFT + 2]), step
    return first, first + (np.int64(1) << scalars[at.S_SHIFT + commands[cmd, at.C_FOOTPRINT]]), np.int64(1)


@inlined
def _latest(predecessors, begin, end, state, base, key):
    """Largest key that the predecessors of one level instance ask for; see ``layout.RULE_BITS`` for keys."""
    for p in range(begin, end):
        key = max(key, state[base + predecessors[p, 0]] + predecessors[p, 1])
    return key


@inlined
def bound(scalars, commands, predecessors, windows, state, cmd, unit):
    """Key of the earliest cycle that the rules allow for ``cmd`` on ``unit``."""
    key = max(np.int64(0), state[at.T_LAST_ISSUE] + scalars[at.S_BUS_KEY])
    key = _latest(
        predecessors, commands[cmd, at.C_PRED + 2 * at.CHANNEL], commands[cmd, at.C_PRED + 2 * at.CHANNEL + 1], state,
        scalars[at.S_LAST], key,
    )  # fmt: skip
    footprint = commands[cmd, at.C_FOOTPRINT]
    if footprint < at.CHANNEL and commands[cmd, at.C_STRIPE] == 0:
        first, n_commands = unit << scalars[at.S_SHIFT + footprint], scalars[at.S_COMMANDS]
        if footprint == 0:  # banks and groups straight, for speed
            base = scalars[at.S_BASE] + unit * n_commands
            key = _latest(predecessors, commands[cmd, at.C_PRED], commands[cmd, at.C_PRED + 1], state, base, key)
        if footprint <= 1:
            base = scalars[at.S_BASE + 1] + (first >> scalars[at.S_SHIFT + 1]) * n_commands
            key = _latest(predecessors, commands[cmd, at.C_PRED + 2], commands[cmd, at.C_PRED + 3], state, base, key)
        for level in range(max(footprint, 2), scalars[at.S_NARROW]):
            begin, end = commands[cmd, at.C_PRED + 2 * level], commands[cmd, at.C_PRED + 2 * level + 1]
            base = scalars[at.S_BASE + level] + (first >> scalars[at.S_SHIFT + level]) * n_commands
            key = _latest(predecessors, begin, end, state, base, key)
    if commands[cmd, at.C_WEIGHT] > 0:
        key = _window_bound(scalars, commands, windows, state, cmd, unit, key)
    if commands[cmd, at.C_RARE] == 1:
        key = _rare_bound(scalars, commands, predecessors, state, cmd, unit, key)
    return key


@kernel
def _rare_bound(scalars, commands, predecessors, state, cmd, unit, key):
    """What few commands have to wait for: stripes for each of their banks, other ranks, the end of a round of refresh."""
    first, past, step = touched(scalars, commands, cmd, unit)
    n_commands = scalars[at.S_COMMANDS]
    if commands[cmd, at.C_STRIPE] == 1:
        for level in range(commands[cmd, at.C_FOOTPRINT], scalars[at.S_NARROW]):
            begin, end = commands[cmd, at.C_PRED + 2 * level], commands[cmd, at.C_PRED + 2 * level + 1]
            base = scalars[at.S_BASE + level] + (first >> scalars[at.S_SHIFT + level]) * n_commands
            key = _latest(predecessors, begin, end, state, base, key)
        for bank in range(first, past, step):
            base = scalars[at.S_BASE] + bank * n_commands
            key = _latest(predecessors, commands[cmd, at.C_PRED], commands[cmd, at.C_PRED + 1], state, base, key)
    begin, end = commands[cmd, at.C_SIBLING], commands[cmd, at.C_SIBLING + 1]
    if begin < end:
        rank, ranks = first >> scalars[at.S_SHIFT + 2], scalars[at.S_RANKS]
        for other in range(rank - rank % ranks, rank - rank % ranks + ranks):
            if other != rank:
                base = scalars[at.S_BASE + 2] + other * n_commands
                key = _latest(predecessors, begin, end, state, base, key)
    if commands[cmd, at.C_ROW] == at.ROW_REFRESH and scalars[at.S_ROUND_KEY] > 0:
        level = scalars[at.S_ROUND_LEVEL]
        instance = first >> scalars[at.S_SHIFT + level]
        if first == instance << scalars[at.S_SHIFT + level]:  # it begins a new round over the banks
            key = max(key, state[scalars[at.S_BASE + level] + instance * n_commands + cmd] + scalars[at.S_ROUND_KEY])
    return key


@inlined
def _window_bound(scalars, commands, windows, state, cmd, unit, key):
    """What activation windows ask of a command: ring entries are issue cycle + length, as keys."""
    index = first_bank(scalars, commands, cmd, unit) >> scalars[at.S_RING_SHIFT]
    depth, banks = scalars[at.S_RING], scalars[at.S_BANKS]
    ring = at.T_ROWS + banks + index * depth
    length = commands[cmd, at.C_TICKS] << at.RULE_BITS
    for w in range(windows.shape[0]):
        # this many activations ago
        slot = state[scalars[at.S_RING_POS] + index] - (max(windows[w, 0] - commands[cmd, at.C_WEIGHT], 0) + 1)
        key = max(key, state[ring + (slot if slot >= 0 else slot + depth)] + windows[w, 1] - length)
    return key
