"""Earliest ticks, pushed forward: each command, as it issues, tells every level instance it touches how long others must wait.

``ready[place + command]`` holds, for each instance of each level, the key (see ``layout``) before which ``command`` must not
issue there. Asking is then a maximum over the levels of a bank; the in-order engine, which asks once a command, keeps last
issues instead. The rules are the same: ``successors`` is the table's list of predecessors, turned round.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import layout as at
from . import memory_layout as ml
from .jit import inlined, kernel

Ints = NDArray[np.int64]
SIBLING = at.N_LEVELS


class Machine(NamedTuple):
    """One channel and its controller; all arrays are int64.

    Attributes:
        scalars, commands, windows: of the TimingTable.
        successors: [entries, 2] (later command, key of gap and rule); ranges: [commands, levels + 1, 2] begin and end
            for each level, then for other ranks.
        levels: the levels that are not folded, channel last; places: [banks, levels] offset in ``ready``.
        ready: earliest keys; rings: [rings, depth + 1] keys of activations, then the next slot.
        config, variables: see ``memory_layout``, as for all that follows.
        banks: [N_BANK, banks]; blocks: [blocks of banks] lower bound of their B_BOUND.
        queues: [2, N_QUEUE, slots]; lists: [2, N_LIST, banks]; totals: [2, N_TOTAL].
        units: [N_UNIT, refresh units]; power: [N_POWER, power units]; ranks: [N_RANK, ranks].
        counts: [commands] issued; histogram: [bins] read latencies, the last bin is for all above.
    """

    scalars: Ints
    commands: Ints
    windows: Ints
    successors: Ints
    ranges: Ints
    levels: Ints
    places: Ints
    ready: Ints
    rings: Ints
    config: Ints
    variables: Ints
    banks: Ints
    blocks: Ints
    queues: Ints
    lists: Ints
    totals: Ints
    units: Ints
    power: Ints
    ranks: Ints
    counts: Ints
    histogram: Ints


@inlined
def bank_ready(m, command, bank):
    """Key of the earliest tick for a command on one bank."""
    key = max(np.int64(0), m.variables[ml.V_LAST_ISSUE] + m.scalars[at.S_BUS_KEY])
    for i in range(m.places.shape[1]):
        key = max(key, m.ready[m.places[bank, i] + command])
    return key


@kernel
def wide_ready(m, command, unit):
    """Key of the earliest tick for a command on several banks (or on one, by unit)."""
    first, past, step = touched(m, command, unit)
    key = max(np.int64(0), m.variables[ml.V_LAST_ISSUE] + m.scalars[at.S_BUS_KEY])
    for i in range(m.levels.shape[0]):
        if m.levels[i] >= m.commands[command, at.C_FOOTPRINT]:
            key = max(key, m.ready[m.places[first, i] + command])
    if m.commands[command, at.C_STRIPE] == 1:
        for bank in range(first, past, step):
            key = max(key, m.ready[m.places[bank, 0] + command])
    return key


@inlined
def touched(m, command, unit):
    """Banks that a command touches: first, past the last, step."""
    if m.commands[command, at.C_STRIPE] == 1:
        rank, bank = unit // m.scalars[at.S_STRIDE], unit % m.scalars[at.S_STRIDE]
        first = (rank << m.scalars[at.S_SHIFT + 2]) + bank
        return first, first - bank + (np.int64(1) << m.scalars[at.S_SHIFT + 2]), m.scalars[at.S_STRIDE]
    shift = m.scalars[at.S_SHIFT + m.commands[command, at.C_FOOTPRINT]]
    return unit << shift, (unit + 1) << shift, np.int64(1)


@inlined
def _raise(m, place, begin, end, key):
    """Push the successors ``begin`` to ``end`` at one level instance."""
    for s in range(begin, end):
        i = place + m.successors[s, 0]
        m.ready[i] = max(m.ready[i], key + m.successors[s, 1])


@inlined
def push(m, command, unit, tick):
    """Tell all that must wait for ``command``, issued at ``tick``."""
    first, past, step = touched(m, command, unit)
    key = tick << at.RULE_BITS
    for i in range(m.levels.shape[0]):
        level = m.levels[i]
        if level >= m.commands[command, at.C_FOOTPRINT]:
            _raise(m, m.places[first, i], m.ranges[command, level, 0], m.ranges[command, level, 1], key)
    if m.commands[command, at.C_STRIPE] == 1:
        for bank in range(first, past, step):
            _raise(m, m.places[bank, 0], m.ranges[command, 0, 0], m.ranges[command, 0, 1], key)
    if m.ranges[command, SIBLING, 0] < m.ranges[command, SIBLING, 1]:
        _push_siblings(m, command, first, key)
    if m.commands[command, at.C_WEIGHT] > 0:
        _push_windows(m, command, first, tick)


@kernel
def _push_siblings(m, command, first, key):
    """The other ranks of the pseudo-channel."""
    rank, ranks = first >> m.scalars[at.S_SHIFT + 2], m.scalars[at.S_RANKS]
    start = rank - rank % ranks
    for other in range(start, start + ranks):
        if other != rank:
            place = m.scalars[at.S_BASE + 2] - m.scalars[at.S_LAST] + other * m.scalars[at.S_COMMANDS]
            _raise(m, place, m.ranges[command, SIBLING, 0], m.ranges[command, SIBLING, 1], key)


@inlined
def _push_windows(m, command, first, tick):
    """Note an activation of one bank, and when the next may follow in each window."""
    ring = first >> m.scalars[at.S_RING_SHIFT]
    depth = m.rings.shape[1] - 1
    position = m.rings[ring, depth]
    m.rings[ring, position] = (tick + m.commands[command, at.C_TICKS]) << at.RULE_BITS
    position = position + 1 if position + 1 < depth else 0
    m.rings[ring, depth] = position
    level = 0
    while m.scalars[at.S_SHIFT + level] < m.scalars[at.S_RING_SHIFT] or m.scalars[at.S_BASE + level] < 0:
        level += 1
    place = m.scalars[at.S_BASE + level] - m.scalars[at.S_LAST]
    place += (first >> m.scalars[at.S_SHIFT + level]) * m.scalars[at.S_COMMANDS]
    for w in range(m.windows.shape[0]):
        slot = position - m.windows[w, 0]
        oldest = m.rings[ring, slot if slot >= 0 else slot + depth]
        for later in range(m.commands.shape[0]):
            if m.commands[later, at.C_WEIGHT] > 0:
                key = oldest + m.windows[w, 1] - (m.commands[later, at.C_TICKS] << at.RULE_BITS)
                m.ready[place + later] = max(m.ready[place + later], key)

