"""What the memory controller does besides serving requests: refresh, power-down, self-refresh, rows left open."""

import numpy as np

from . import layout as at
from . import memory_layout as ml
from . import queues
from .gates import bank_ready, push, touched, wide_ready
from .jit import inlined, kernel

FOREVER = at.FOREVER
BINDING_START, BINDING_HOST, BINDING_REFRESH_DUE = -1, -2, -3

# what is wished for at a tick
W_REFRESH = 0  # refresh unit of which a refresh is wanted, -1: none
W_URGENT = 1  # the same if it is urgent
W_SLEEP = 2  # 1: the channel goes to sleep
W_LOOK = 3  # tick at which wishes may change by themselves


@inlined
def wishes(m, tick):
    """Refresh and sleep as they are wanted at ``tick``: (refresh unit, urgent unit, sleep, when to look again)."""
    v, together = m.variables, m.config[ml.K_TOGETHER]
    interval = m.scalars[at.S_REFRESH_INTERVAL] * together
    if interval == 0:
        return np.int64(-1), np.int64(-1), np.int64(0), np.int64(FOREVER)
    empty = queues.size(m, 0) + queues.size(m, 1) == 0
    owed = tick // interval * together - v[ml.V_REFRESHED]
    unit = v[ml.V_REFRESHED] % m.scalars[at.S_REFRESH_UNITS]
    look = (tick // interval + 1) * interval
    urgent = v[ml.V_ASLEEP] == 0 and owed >= m.config[ml.K_URGENT]
    sleep = np.int64(0)
    if m.config[ml.K_SELF_REFRESH] > 0 and empty and not urgent and (owed < 1 or v[ml.V_ASLEEP] > 0):
        begin = v[ml.V_LAST_COLUMN] + m.config[ml.K_SELF_REFRESH]
        sleep = np.int64(tick >= begin)
        if tick < begin:
            look = min(look, begin)
    wanted = urgent or (owed >= 1 and m.units[ml.U_PENDING, unit] == 0) or (owed > -m.config[ml.K_PULL_IN] and empty)
    wanted = wanted and v[ml.V_ASLEEP] == 0 and sleep == 0
    if v[ml.V_ASLEEP] > 0:
        look = np.int64(FOREVER)
    return unit if wanted else np.int64(-1), unit if urgent else np.int64(-1), sleep, look


@inlined
def issue(m, command, unit, row, col, tick, key, log):
    """Issue a command at ``tick``; ``key`` is the one that the rules gave for it."""
    v = m.variables
    m.counts[command] += 1
    if log.shape[0] > 0:
        n = v[ml.V_LOGGED]
        log[n].cycle, log[n].cmd, log[n].unit, log[n].row, log[n].col = tick, command, unit, row, col
        if key >> at.RULE_BITS == tick and key & at.RULE_MAX:
            log[n].rule = at.RULE_MAX - (key & at.RULE_MAX)
        else:
            log[n].rule = BINDING_START if tick == 0 else BINDING_HOST
        v[ml.V_LOGGED] = n + 1
    v[ml.V_LAST_ISSUE] = tick << at.RULE_BITS
    push(m, command, unit, tick)
    first, past, _ = touched(m, command, unit)
    for p in range(m.banks[ml.B_POWER, first], m.banks[ml.B_POWER, past - 1] + 1):
        m.power[ml.P_LAST, p] = tick


@kernel
def _issue(m, command, unit, row, col, tick, key, log):
    """As :func:`issue`, called and not inlined: it is rare here, and its code is long."""
    issue(m, command, unit, row, col, tick, key, log)


@inlined
def _settle(m, rank, tick):
    """Book the time that a rank has spent in its background state, which is about to change."""
    state = m.power[ml.P_STATE, rank * m.power.shape[1] // m.ranks.shape[1]]
    closed = 0 if m.ranks[ml.G_OPEN, rank] > 0 else 1
    background = ml.BG_SELF_REFRESH if state == ml.ASLEEP else (2 if state == ml.DOWN else 0) + closed
    m.ranks[ml.G_TIME + background, rank] += tick - m.ranks[ml.G_SINCE, rank]
    m.ranks[ml.G_SINCE, rank] = tick


@kernel
def set_power(m, p, state, tick):
    """Put a power unit into a state, for all its ranks."""
    ranks = m.ranks.shape[1] // m.power.shape[1]
    for rank in range(p * ranks, (p + 1) * ranks):
        _settle(m, rank, tick)
    m.power[ml.P_STATE, p] = state


@inlined
def _count_open(m, bank, step, tick):
    """Count an opened (1) or closed (-1) bank."""
    rank = bank >> m.scalars[at.S_SHIFT + 2]
    _settle(m, rank, tick)
    m.ranks[ml.G_OPEN, rank] += step
    m.power[ml.P_OPEN, m.banks[ml.B_POWER, bank]] += step
    m.units[ml.U_OPEN, m.banks[ml.B_UNIT, bank]] += step
    queues.forget_candidate(m, bank)


@inlined
def open_bank(m, bank, row, tick):
    """Note that a bank holds a row open."""
    _count_open(m, bank, 1, tick)
    m.banks[ml.B_ROW, bank], m.banks[ml.B_BYPASS, bank] = row, 0
    m.banks[ml.B_LAST_USE, bank] = m.banks[ml.B_OPEN_SINCE, bank] = tick


@inlined
def close_bank(m, bank, tick):
    """Note that a bank is closed, if it was not."""
    if m.banks[ml.B_ROW, bank] >= 0:
        _count_open(m, bank, -1, tick)
        m.banks[ml.B_ROW, bank] = m.banks[ml.B_OWNER, bank] = -1
        m.variables[ml.V_OPEN_TICKS] += tick - m.banks[ml.B_OPEN_SINCE, bank]


@kernel
def _close_banks(m, command, unit, tick):
    first, past, step = touched(m, command, unit)
    for bank in range(first, past, step):
        close_bank(m, bank, tick)


@kernel
def first_class(m, tick, wish, log):
    """Wake-up and refresh. Returns whether a command went, and when the first of those wanted may."""
    following = wish[W_LOOK]
    if m.config[ml.K_POWER_DOWN] > 0 or m.config[ml.K_SELF_REFRESH] > 0:
        for p in range(m.power.shape[1]):
            command = _wake_command(m, p, wish)
            if command >= 0:
                key = wide_ready(m, command, p)
                if key >> at.RULE_BITS <= tick:
                    _wake(m, command, p, tick, key, log)
                    return True, tick + 1
                following = min(following, key >> at.RULE_BITS)
    unit = wish[W_REFRESH]
    if unit < 0 or unit != m.variables[ml.V_REFRESHED] % m.scalars[at.S_REFRESH_UNITS]:  # it has gone at this tick
        return False, following
    if m.power[ml.P_STATE, m.units[ml.U_POWER, unit]] != ml.AWAKE:
        return False, following
    close = m.units[ml.U_OPEN, unit] > 0
    command = m.config[ml.K_CLOSE_UNIT] if close else m.config[ml.K_REFRESH]
    key = wide_ready(m, command, unit)
    if not close and m.units[ml.U_ROUND, unit] == unit:
        key = max(key, m.units[ml.U_NOT_BEFORE, unit])
    if key >> at.RULE_BITS > tick:
        return False, min(following, key >> at.RULE_BITS)
    if close:
        _issue(m, command, unit, -1, -1, tick, key, log)
        _close_banks(m, command, unit, tick)
    else:
        _refresh(m, command, unit, tick, key, log)
    return True, tick + 1


@kernel
def _refresh(m, command, unit, tick, key, log):
    v = m.variables
    due = (v[ml.V_REFRESHED] + 1) * m.scalars[at.S_REFRESH_INTERVAL]
    _issue(m, command, unit, -1, -1, tick, key, log)
    if log.shape[0] > 0 and tick == due and log[v[ml.V_LOGGED] - 1].rule == BINDING_HOST:
        log[v[ml.V_LOGGED] - 1].rule = BINDING_REFRESH_DUE
    v[ml.V_REFRESHED] += 1
    if m.units[ml.U_ROUND, unit] >= 0:
        m.units[ml.U_NOT_BEFORE, m.units[ml.U_ROUND, unit]] = (tick << at.RULE_BITS) + m.scalars[at.S_ROUND_KEY]


@inlined
def _wake_command(m, p, wish):
    """SRX or PDX of a power unit if it should wake up, else -1."""
    state = m.power[ml.P_STATE, p]
    if state == ml.ASLEEP and queues.size(m, 0) + queues.size(m, 1) > 0:
        return m.config[ml.K_SRX]
    if state == ml.DOWN:
        refresh = wish[W_REFRESH] >= 0 and m.units[ml.U_POWER, wish[W_REFRESH]] == p
        if m.power[ml.P_PENDING, p] > 0 or refresh or wish[W_SLEEP] == 1:
            return m.config[ml.K_PDX]
    return np.int64(-1)


@kernel
def _wake(m, command, p, tick, key, log):
    _issue(m, command, p, -1, -1, tick, key, log)
    if m.power[ml.P_STATE, p] == ml.ASLEEP:
        m.variables[ml.V_ASLEEP] -= 1
        if m.variables[ml.V_ASLEEP] == 0 and m.variables[ml.V_ALL_SLEPT] == 1:
            m.variables[ml.V_ALL_SLEPT] = 0
            refreshed = tick // m.scalars[at.S_REFRESH_INTERVAL]
            m.variables[ml.V_REFRESHED] = max(m.variables[ml.V_REFRESHED], refreshed)
    set_power(m, p, ml.AWAKE, tick)


@kernel
def last_classes(m, tick, wish, following, log):
    """Rows left open, then power-down and sleep. As :func:`first_class`."""
    if m.config[ml.K_TIMEOUT] >= 0:
        for bank in range(m.banks.shape[1]):
            if m.banks[ml.B_ROW, bank] < 0 or m.lists[0, ml.L_COUNT, bank] + m.lists[1, ml.L_COUNT, bank] > 0:
                continue
            if m.power[ml.P_STATE, m.banks[ml.B_POWER, bank]] != ml.AWAKE:
                continue
            key = bank_ready(m, m.config[ml.K_PRE], bank)
            ready = max(key >> at.RULE_BITS, m.banks[ml.B_LAST_USE, bank] + m.config[ml.K_TIMEOUT])
            if ready <= tick:
                _issue(m, m.config[ml.K_PRE], bank, -1, -1, tick, key, log)
                close_bank(m, bank, tick)
                return True, tick + 1
            following = min(following, ready)
    if m.config[ml.K_POWER_DOWN] == 0 and m.config[ml.K_SELF_REFRESH] == 0:
        return False, following
    for p in range(m.power.shape[1]):
        if m.power[ml.P_STATE, p] == ml.AWAKE:
            done, following = _rest(m, p, tick, wish, following, log)
            if done:
                return True, tick + 1
    return False, following


@kernel
def _rest(m, p, tick, wish, following, log):
    """Send a power unit that is awake to sleep or into power-down, if it is time."""
    if wish[W_SLEEP] == 1:
        return _fall_asleep(m, p, tick, following, log)
    refresh = wish[W_REFRESH] >= 0 and m.units[ml.U_POWER, wish[W_REFRESH]] == p
    if m.config[ml.K_POWER_DOWN] == 0 or m.power[ml.P_PENDING, p] > 0 or refresh:
        return False, following
    key = wide_ready(m, m.config[ml.K_PDE], p)
    ready = max(key >> at.RULE_BITS, m.power[ml.P_LAST, p] + m.config[ml.K_POWER_DOWN])
    if ready > tick:
        return False, min(following, ready)
    _issue(m, m.config[ml.K_PDE], p, -1, -1, tick, key, log)
    set_power(m, p, ml.DOWN, tick)
    return True, tick + 1


@kernel
def _fall_asleep(m, p, tick, following, log):
    """PREA of the lowest rank or pseudo-channel with an open bank, or SRE."""
    command, unit = m.config[ml.K_SRE], p
    if m.power[ml.P_OPEN, p] > 0:
        first, past, _ = touched(m, m.config[ml.K_PDE], p)
        while m.banks[ml.B_ROW, first] < 0:
            first += 1
        command = m.config[ml.K_PREA]
        unit = first >> m.scalars[at.S_SHIFT + m.commands[command, at.C_FOOTPRINT]]
    key = wide_ready(m, command, unit)
    if key >> at.RULE_BITS > tick:
        return False, min(following, key >> at.RULE_BITS)
    if command == m.config[ml.K_PREA]:
        _issue(m, command, unit, -1, -1, tick, key, log)
        _close_banks(m, command, unit, tick)
    else:
        _issue(m, command, p, -1, -1, tick, key, log)
        set_power(m, p, ml.ASLEEP, tick)
        m.variables[ml.V_ASLEEP] += 1
        if m.variables[ml.V_ASLEEP] == m.power.shape[1]:
            m.variables[ml.V_ALL_SLEPT] = 1
    return True, tick + 1
