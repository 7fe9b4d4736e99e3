"""The memory controller of one channel, jumping from one tick at which something can happen to the next.

**Rules of the queues** (docs/controller.md has them in full): one request a tick is accepted, in trace order; a read of a
queued write's place is forwarded, a write to it merged; reads and writes have a queue each, served by turns between a high
and a low watermark. **Ties**: among commands that may issue at a tick, refresh and wake-up first, then column commands of the
oldest request (first those that finish a row), then ACT and PRE for the oldest request (``prefer`` may change that), then rows
closed for lack of use, lowest bank first, then power-down. A row hit may overtake at most ``row_hit_cap`` times.

Every bank keeps a lower bound of the tick at which its candidate can go. A bound is looked at anew only once the clock
reaches it, so a tick costs what changed, and idle time costs nothing. The slow twin is ``sim/reference/controller.py``.
"""

import numpy as np

from . import layout as at
from . import memory_layout as ml
from . import queues, upkeep
from .gates import bank_ready
from .jit import inlined, kernel

NEVER, FOREVER = at.NEVER, at.FOREVER


@kernel
def run_controller(m, requests, end, more, log, served):
    """Serve ``requests[V_POSITION:end]``.

    Args:
        m: a :class:`.gates.Machine`, changed in place.
        requests: records with arrive, write, bank, row and col.
        more: whether requests will follow in another call; the outcome does not depend on how a trace is cut.
        log: ISSUED records to fill from V_LOGGED on, or length 0.
        served: int64[requests of the whole trace, 3] to fill (kind, accepted, done), or length 0.

    Returns:
        NEED_REQUESTS, DONE, LOG_FULL (call again with an emptied log), PAUSED (call again), or STUCK (a bug).
    """
    v = m.variables
    enough = v[ml.V_LOOKS] + ml.LOOKS
    while True:
        if v[ml.V_POSITION] >= end:
            if more:
                return ml.NEED_REQUESTS
            if queues.size(m, 0) + queues.size(m, 1) == 0 and v[ml.V_TICK] >= v[ml.V_UNTIL]:
                return ml.DONE
        if v[ml.V_LOOKS] >= enough:
            return ml.PAUSED
        if log.shape[0] > 0 and v[ml.V_LOGGED] + ml.LOG_ROOM > log.shape[0]:
            return ml.LOG_FULL
        tick = v[ml.V_TICK]
        v[ml.V_LOOKS] += 1
        changed = v[ml.V_POSITION] < end and _accept(m, requests, tick, served)
        _choose_mode(m)
        wish = upkeep.wishes(m, tick)
        busy, following = _issue_all(m, tick, wish, log, served)
        if _choose_mode(m) or busy or changed:
            v[ml.V_TICK] = tick + 1
            continue
        if v[ml.V_POSITION] < end and requests[v[ml.V_POSITION]].arrive > tick:
            following = min(following, np.int64(requests[v[ml.V_POSITION]].arrive))
        if v[ml.V_UNTIL] > tick:
            following = min(following, v[ml.V_UNTIL])
        if following >= FOREVER:
            return ml.STUCK
        v[ml.V_TICK] = max(following, tick + 1)


@inlined
def _accept(m, requests, tick, served):
    """Take in the next request of the trace, if it is there and has room. Whether it was taken."""
    v = m.variables
    position = v[ml.V_POSITION]
    request = requests[position]
    if request.arrive > tick:
        return False
    bank, row, col = np.int64(request.bank), np.int64(request.row), np.int64(request.col)
    q = 1 if request.write else 0
    number = v[ml.V_BASE] + position
    if m.lists[1, ml.L_COUNT, bank] > 0 and queues.find(m, 1, bank, row, col) >= 0:
        kind = ml.MERGED if q == 1 else ml.FORWARDED
        _book(m, kind, q, tick, tick if q == 1 else tick + 1, number, served)
    elif m.totals[q, ml.T_WAITING] < m.config[ml.K_WRITE_QUEUE if q == 1 else ml.K_READ_QUEUE]:
        queues.enter(m, q, bank, row, col, number, tick)
    else:
        return False
    v[ml.V_POSITION] = position + 1
    return True


@inlined
def _book(m, kind, q, accepted, done, number, served):
    """Count a request that is served."""
    v = m.variables
    v[ml.V_KIND + kind] += 1
    v[ml.V_WRITES if q == 1 else ml.V_READS] += 1
    v[ml.V_LAST_DATA] = max(v[ml.V_LAST_DATA], done)
    if q == 0:
        latency = done - accepted
        v[ml.V_LATENCY_SUM] += latency
        v[ml.V_LATENCY_MAX] = max(v[ml.V_LATENCY_MAX], latency)
        m.histogram[min(latency, m.histogram.shape[0] - 1)] += 1
    if served.shape[0] > 0:
        served[number, ml.R_KIND], served[number, ml.R_ACCEPTED], served[number, ml.R_DONE] = kind, accepted, done


@inlined
def _choose_mode(m):
    """Serve writes above the high watermark or for want of reads, reads below the low one. Whether that is a change."""
    reads, writes = queues.size(m, 0), queues.size(m, 1)
    mode = m.variables[ml.V_MODE]
    if mode == 0 and (writes > m.config[ml.K_WRITE_HIGH] or (reads == 0 and writes > 0)):
        mode = 1
    elif mode == 1 and writes < m.config[ml.K_WRITE_LOW] and reads > 0:
        mode = 0
    if mode != m.variables[ml.V_MODE]:
        m.variables[ml.V_MODE] = mode
        for bank in range(m.banks.shape[1]):
            queues.forget_candidate(m, bank)
        return True
    return False


@inlined
def _issue_all(m, tick, wish, log, served):
    """Issue what may go at ``tick``, best first.

    Returns:
        whether wishes or queues have changed, so that the next tick must be looked at; and when to look again if not.
    """
    busy, done, following = False, True, np.int64(0)
    power = m.config[ml.K_RESTS] == 1
    shared_bus = m.scalars[at.S_BUS_KEY] > 0
    while done:
        done, following = False, wish[upkeep.W_LOOK]
        if power or wish[upkeep.W_REFRESH] >= 0:
            done, following = upkeep.first_class(m, tick, wish, log)
        if done:
            busy = True
            continue
        bank, following = _best_request(m, tick, wish, following)
        if bank >= 0:
            busy = _issue_for_request(m, bank, tick, log, served) or busy
            if shared_bus:  # which is taken for this tick
                return busy, tick + 1
            done = True
        elif power or m.config[ml.K_TIMEOUT] >= 0:
            done, following = upkeep.last_classes(m, tick, wish, following, log)
            busy = busy or done
    return busy, following


@inlined
def _best_request(m, tick, wish, following):
    """Bank of the best command for a request that may issue at ``tick``, or -1; and when the first of them all may."""
    q = m.variables[ml.V_MODE]
    oldest_only = _oldest_bank(m, q) if m.config[ml.K_FCFS] == 1 else np.int64(-1)
    best, best_rank = np.int64(-1), np.int64(FOREVER)
    for block in range(m.blocks.shape[0]):
        if m.blocks[block] > tick:
            following = min(following, m.blocks[block])
            continue
        earliest = np.int64(FOREVER)
        for bank in range(block * ml.BLOCK, min((block + 1) * ml.BLOCK, m.banks.shape[1])):
            if m.banks[ml.B_BOUND, bank] <= tick:
                best, best_rank = _consider(m, q, bank, tick, wish, oldest_only, best, best_rank)
            bound = m.banks[ml.B_BOUND, bank]
            earliest = min(earliest, bound)
            following = min(following, bound if bound > tick else np.int64(FOREVER))
        m.blocks[block] = earliest
    return best, following


@inlined
def _consider(m, q, bank, tick, wish, oldest_only, best, best_rank):
    """Hold a bank's candidate against the best so far; move the bank's bound if it cannot go yet."""
    bound = m.config[ml.K_FINISH] == 1 and m.banks[ml.B_OWNER, bank] >= 0
    if bound:
        q = m.banks[ml.B_OWNER, bank]
    elif m.lists[q, ml.L_COUNT, bank] == 0:
        m.banks[ml.B_BOUND, bank] = FOREVER
        return best, best_rank
    elif wish[upkeep.W_URGENT] >= 0 and wish[upkeep.W_URGENT] == m.banks[ml.B_UNIT, bank]:
        return best, best_rank
    elif oldest_only >= 0 and bank != oldest_only:
        return best, best_rank
    if m.config[ml.K_RESTS] == 1 and m.power[ml.P_STATE, m.banks[ml.B_POWER, bank]] != ml.AWAKE:
        return best, best_rank
    if m.banks[ml.B_COMMAND, bank] < 0:
        queues.find_candidate(m, q, bank)
    command = m.banks[ml.B_COMMAND, bank]
    rank = m.queues[q, ml.Q_SEQUENCE, m.banks[ml.B_SLOT, bank]]
    if bound:
        rank -= ml.ORDER
    elif command == m.config[ml.K_ACT] or command == m.config[ml.K_PRE]:
        rank += m.config[ml.K_ROW_ORDER]
    if rank > best_rank:  # whenever it may go, the best goes first, and then all are looked at again
        return best, best_rank
    ready = bank_ready(m, command, bank) >> at.RULE_BITS
    if ready > tick:
        m.banks[ml.B_BOUND, bank] = ready
        return best, best_rank
    return bank, rank


@kernel
def _oldest_bank(m, q):
    """Bank of the oldest request of a queue, -1 if it is empty."""
    best, sequence = np.int64(-1), np.int64(FOREVER)
    for bank in range(m.banks.shape[1]):
        if m.lists[q, ml.L_COUNT, bank] > 0:
            other = m.queues[q, ml.Q_SEQUENCE, m.lists[q, ml.L_HEAD, bank]]
            if other < sequence:
                best, sequence = np.int64(bank), other
    return best


@inlined
def _issue_for_request(m, bank, tick, log, served):
    """Issue a bank's candidate. Whether it was a column command, which takes a request out of its queue."""
    q, command, slot = m.variables[ml.V_MODE], m.banks[ml.B_COMMAND, bank], m.banks[ml.B_SLOT, bank]
    if m.banks[ml.B_OWNER, bank] >= 0:
        q = m.banks[ml.B_OWNER, bank]
        m.banks[ml.B_OWNER, bank] = -1  # it is served now
    row, col = m.queues[q, ml.Q_ROW, slot], m.queues[q, ml.Q_COL, slot]
    act, pre = command == m.config[ml.K_ACT], command == m.config[ml.K_PRE]
    key = bank_ready(m, command, bank)
    upkeep.issue(
        m, command, bank, np.int64(-1) if pre else row, np.int64(-1) if act or pre else col, tick, key, log
    )  # fmt: skip
    if act:
        m.queues[q, ml.Q_MARK, slot] = max(m.queues[q, ml.Q_MARK, slot], ml.MISS)
        upkeep.open_bank(m, bank, row, tick)
        if m.config[ml.K_FINISH] == 1:
            m.banks[ml.B_OWNER, bank] = q
        return False
    if not pre:
        m.banks[ml.B_LAST_USE, bank] = m.variables[ml.V_LAST_COLUMN] = tick
        if slot != m.lists[q, ml.L_HEAD, bank]:
            m.banks[ml.B_BYPASS, bank] += 1
        latency = m.config[ml.K_WRITE_LATENCY if q == 1 else ml.K_READ_LATENCY]
        kind, accepted = m.queues[q, ml.Q_MARK, slot], m.queues[q, ml.Q_ACCEPTED, slot]
        _book(m, kind, q, accepted, tick + latency, m.queues[q, ml.Q_NUMBER, slot], served)
        queues.leave(m, q, slot)
        if m.config[ml.K_CLOSED] == 0 or command in (m.config[ml.K_READ], m.config[ml.K_WRITE]):
            return True
    else:
        m.queues[q, ml.Q_MARK, slot] = ml.CONFLICT
    upkeep.close_bank(m, bank, tick)
    return not pre
