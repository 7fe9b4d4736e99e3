"""Request queues of the memory controller: slots, kept in one list a bank, oldest first."""

import numpy as np

from . import memory_layout as ml
from .jit import inlined


@inlined
def size(m, q):
    """Requests in queue ``q`` (0 reads, 1 writes)."""
    return m.totals[q, ml.T_SIZE]


@inlined
def forget_candidate(m, bank):
    """The bank's candidate must be found again."""
    m.banks[ml.B_COMMAND, bank] = -1
    m.banks[ml.B_BOUND, bank] = m.blocks[bank // ml.BLOCK] = 0


@inlined
def find(m, q, bank, row, col):
    """Slot of a request for a place, -1 if there is none."""
    slot = m.lists[q, ml.L_HEAD, bank]
    while slot >= 0 and not (m.queues[q, ml.Q_ROW, slot] == row and m.queues[q, ml.Q_COL, slot] == col):
        slot = m.queues[q, ml.Q_NEXT, slot]
    return slot


@inlined
def enter(m, q, bank, row, col, number, tick):
    """Put a request at the end of a queue that has room."""
    slot = m.totals[q, ml.T_FREE]
    m.totals[q, ml.T_FREE] = m.queues[q, ml.Q_NEXT, slot]
    m.totals[q, ml.T_SIZE] += 1
    if m.lists[q, ml.L_COUNT, bank] >= m.config[ml.K_BANK_QUEUE]:
        m.totals[q, ml.T_WAITING] += 1
    m.queues[q, ml.Q_BANK, slot], m.queues[q, ml.Q_ROW, slot], m.queues[q, ml.Q_COL, slot] = bank, row, col
    m.queues[q, ml.Q_SEQUENCE, slot] = m.variables[ml.V_SEQUENCE]
    m.variables[ml.V_SEQUENCE] += 1
    m.queues[q, ml.Q_ACCEPTED, slot], m.queues[q, ml.Q_NUMBER, slot] = tick, number
    m.queues[q, ml.Q_MARK, slot], m.queues[q, ml.Q_NEXT, slot] = 0, -1
    if m.lists[q, ml.L_COUNT, bank] == 0:
        m.lists[q, ml.L_HEAD, bank] = slot
    else:
        m.queues[q, ml.Q_NEXT, m.lists[q, ml.L_TAIL, bank]] = slot
    m.lists[q, ml.L_TAIL, bank] = slot
    m.lists[q, ml.L_COUNT, bank] += 1
    m.units[ml.U_PENDING, m.banks[ml.B_UNIT, bank]] += 1
    m.power[ml.P_PENDING, m.banks[ml.B_POWER, bank]] += 1
    forget_candidate(m, bank)


@inlined
def leave(m, q, slot):
    """Take a request out of its queue."""
    bank = m.queues[q, ml.Q_BANK, slot]
    before, at_slot = np.int64(-1), m.lists[q, ml.L_HEAD, bank]
    while at_slot != slot:
        before, at_slot = at_slot, m.queues[q, ml.Q_NEXT, at_slot]
    after = m.queues[q, ml.Q_NEXT, slot]
    if before < 0:
        m.lists[q, ml.L_HEAD, bank] = after
    else:
        m.queues[q, ml.Q_NEXT, before] = after
    if after < 0:
        m.lists[q, ml.L_TAIL, bank] = before
    if m.lists[q, ml.L_COUNT, bank] > m.config[ml.K_BANK_QUEUE]:
        m.totals[q, ml.T_WAITING] -= 1
    m.lists[q, ml.L_COUNT, bank] -= 1
    m.queues[q, ml.Q_NEXT, slot] = m.totals[q, ml.T_FREE]
    m.totals[q, ml.T_FREE] = slot
    m.totals[q, ml.T_SIZE] -= 1
    m.units[ml.U_PENDING, m.banks[ml.B_UNIT, bank]] -= 1
    m.power[ml.P_PENDING, m.banks[ml.B_POWER, bank]] -= 1
    forget_candidate(m, bank)


@inlined
def find_candidate(m, q, bank):
    """Find the command that the requests of a bank want next, and the slot of the request that it is for."""
    oldest = m.lists[q, ml.L_HEAD, bank]
    row, slot = m.banks[ml.B_ROW, bank], oldest
    command = m.config[ml.K_ACT]
    if row >= 0:
        younger = m.config[ml.K_LOOK] - 1
        while slot >= 0 and m.queues[q, ml.Q_ROW, slot] != row:
            slot = m.queues[q, ml.Q_NEXT, slot] if younger > 0 else np.int64(-1)
            younger -= 1
        capped = m.config[ml.K_HIT_CAP] > 0 and m.banks[ml.B_BYPASS, bank] >= m.config[ml.K_HIT_CAP]
        if slot < 0 or (slot != oldest and capped):
            command, slot = m.config[ml.K_PRE], oldest
        elif m.config[ml.K_CLOSED] == 2 or (m.config[ml.K_CLOSED] == 1 and _last_hit(m, q, slot, row)):
            command = m.config[ml.K_WRITE_CLOSE] if q == 1 else m.config[ml.K_READ_CLOSE]
        else:
            command = m.config[ml.K_WRITE] if q == 1 else m.config[ml.K_READ]
    m.banks[ml.B_COMMAND, bank], m.banks[ml.B_SLOT, bank] = command, slot


@inlined
def _last_hit(m, q, slot, row):
    """Whether no request behind ``slot``, the oldest for ``row``, is for that row too."""
    other = m.queues[q, ml.Q_NEXT, slot]
    while other >= 0 and m.queues[q, ml.Q_ROW, other] != row:
        other = m.queues[q, ml.Q_NEXT, other]
    return other < 0
