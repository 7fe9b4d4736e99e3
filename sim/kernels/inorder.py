"""In-order issue of a channel's command stream under a timing table. Semantics: ``docs/engine.md``.

Pure in (table, state, stream slice, not-before, horizon): integers and arrays only. Calling it on pieces of a stream, or with
one horizon after another, gives the cycles and the state of one call.
"""


import numpy as np

from . import layout as at
from .jit import inlined, kernel

NEVER, FOREVER = at.NEVER, at.FOREVER
BINDING_START, BINDING_HOST, BINDING_REFRESH_DUE, BINDING_ORDER = -1, -2, -3, -4


@inlined
def _binding(key):
    """The rule of a key; where no rule gave it, BINDING_ORDER or, at cycle 0, BINDING_START."""
    if key & at.RULE_MAX:
        return at.RULE_MAX - (key & at.RULE_MAX)
    return np.int64(BINDING_ORDER) if key > 0 else np.int64(BINDING_START)


@inlined
def _first_bank(scalars, commands, cmd, unit):
    """First bank that a command touches."""
    if commands[cmd, at.C_STRIPE] == 1:
        rank, bank = unit // scalars[at.S_STRIDE], unit % scalars[at.S_STRIDE]
        return (rank << scalars[at.S_SHIFT + 2]) + bank
    return unit << scalars[at.S_SHIFT + commands[cmd, at.C_FOOTPRINT]]


@inlined
def _touched(scalars, commands, cmd, unit):
    """Banks that a command touches: first, past the last, step."""
    first = _first_bank(scalars, commands, cmd, unit)
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
def _bound(scalars, commands, predecessors, windows, state, cmd, unit):
    """Key of the earliest cycle that the rules allow for ``cmd`` on ``unit``."""
    key = max(np.int64(0), state[at.T_LAST_ISSUE] + scalars[at.S_BUS_KEY])
    key = _latest(
        predecessors, commands[cmd, at.C_PRED + 2 * at.CHANNEL], commands[cmd, at.C_PRED + 2 * at.CHANNEL + 1], state,
        scalars[at.S_LAST], key,
    )  # fmt: skip
    if commands[cmd, at.C_FOOTPRINT] < at.CHANNEL or commands[cmd, at.C_STRIPE] == 1:
        key = _narrow_bound(scalars, commands, predecessors, state, cmd, unit, key)
    if commands[cmd, at.C_WEIGHT] > 0:
        key = _window_bound(scalars, commands, windows, state, cmd, unit, key)
    if scalars[at.S_ROUND_KEY] > 0 and commands[cmd, at.C_ROW] == at.ROW_REFRESH:
        key = _round_bound(scalars, commands, state, cmd, unit, key)
    return key


@inlined
def _narrow_bound(scalars, commands, predecessors, state, cmd, unit, key):
    """What the levels below the channel ask of a command."""
    first, n_commands = _first_bank(scalars, commands, cmd, unit), scalars[at.S_COMMANDS]
    for level in range(commands[cmd, at.C_FOOTPRINT], at.CHANNEL):
        begin, end = commands[cmd, at.C_PRED + 2 * level], commands[cmd, at.C_PRED + 2 * level + 1]
        if begin < end:
            base = scalars[at.S_BASE + level] + (first >> scalars[at.S_SHIFT + level]) * n_commands
            key = _latest(predecessors, begin, end, state, base, key)
    if commands[cmd, at.C_STRIPE] == 1:
        _, past, step = _touched(scalars, commands, cmd, unit)
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
    return key


@inlined
def _window_bound(scalars, commands, windows, state, cmd, unit, key):
    """What activation windows ask of a command: ring entries are issue cycle + length, as keys."""
    index = _first_bank(scalars, commands, cmd, unit) >> scalars[at.S_RING_SHIFT]
    depth, banks = scalars[at.S_RING], scalars[at.S_BANKS]
    ring = at.T_ROWS + banks + index * depth
    length = commands[cmd, at.C_TICKS] << at.RULE_BITS
    for w in range(windows.shape[0]):
        # this many activations ago
        slot = state[scalars[at.S_RING_POS] + index] - (max(windows[w, 0] - commands[cmd, at.C_WEIGHT], 0) + 1)
        key = max(key, state[ring + (slot if slot >= 0 else slot + depth)] + windows[w, 1] - length)
    return key


@inlined
def _round_bound(scalars, commands, state, cmd, unit, key):
    """A refresh that begins a new round over the banks waits longer for the one before it."""
    first, level = _first_bank(scalars, commands, cmd, unit), scalars[at.S_ROUND_LEVEL]
    instance = first >> scalars[at.S_SHIFT + level]
    if first != instance << scalars[at.S_SHIFT + level]:
        return key
    return max(key, state[scalars[at.S_BASE + level] + instance * scalars[at.S_COMMANDS] + cmd] + scalars[at.S_ROUND_KEY])


@inlined
def _rows_allow(scalars, commands, state, cmd, unit, row):
    """Whether the row state of the touched banks lets ``cmd`` issue."""
    effect = commands[cmd, at.C_ROW]
    if effect in (at.ROW_NONE, at.ROW_CLOSE):
        return True
    if effect == at.ROW_REFRESH or (row < 0 and effect != at.ROW_IDLE):
        return False
    wanted = np.int64(-1) if effect in (at.ROW_OPEN, at.ROW_IDLE) else row
    if state[at.T_ALL_ROW] != at.ROWS_DIFFER:
        return state[at.T_ALL_ROW] == wanted
    first, past, step = _touched(scalars, commands, cmd, unit)
    for bank in range(first, past, step):
        if state[at.T_ROWS + bank] != wanted:
            return False
    return True


@inlined
def _set_rows(scalars, commands, state, result, cmd, unit, row, cycle):
    """Open ``row`` in the touched banks, or close them (-1), and book the time with a bank open.

    While all banks agree, ``T_ALL_ROW`` alone holds their state and the row of each bank is not kept.
    """
    banks = scalars[at.S_BANKS]
    was_open = state[at.T_OPEN_BANKS]
    if commands[cmd, at.C_FOOTPRINT] == at.CHANNEL and commands[cmd, at.C_STRIPE] == 0:
        state[at.T_ALL_ROW] = row
        state[at.T_OPEN_BANKS] = banks if row >= 0 else 0
    else:
        if state[at.T_ALL_ROW] != at.ROWS_DIFFER:
            state[at.T_ROWS : at.T_ROWS + banks] = state[at.T_ALL_ROW]
        first, past, step = _touched(scalars, commands, cmd, unit)
        for bank in range(first, past, step):
            state[at.T_OPEN_BANKS] += np.int64(row >= 0) - np.int64(state[at.T_ROWS + bank] >= 0)
            state[at.T_ROWS + bank] = row
        state[at.T_ALL_ROW] = at.ROWS_DIFFER if state[at.T_OPEN_BANKS] > 0 else -1
    if was_open == 0 and state[at.T_OPEN_BANKS] > 0:
        state[at.T_OPEN_SINCE] = cycle
    elif was_open > 0 and state[at.T_OPEN_BANKS] == 0:
        result[at.R_ACTIVE] += cycle - state[at.T_OPEN_SINCE]


@inlined
def _book(state, result, counts, cmd, count, cycle, last, binding):
    """Count ``count`` commands issued from ``cycle`` to ``last`` and book the wait before the first under ``binding``."""
    before = max(state[at.T_LAST_ISSUE] >> at.RULE_BITS, 0)
    result[at.N_RESULT + binding] += cycle - before
    counts[cmd] += count
    result[at.R_END] = last
    state[at.T_LAST_ISSUE] = last << at.RULE_BITS


@inlined
def _remember(scalars, commands, state, cmd, unit, cycle):
    """Note the issue of ``cmd`` at every level instance where a later command may ask for it."""
    key = cycle << at.RULE_BITS
    if commands[cmd, at.C_ROW] != at.ROW_REFRESH:
        state[at.T_LAST_COMMAND] = key
    state[scalars[at.S_LAST] + cmd] = key
    if commands[cmd, at.C_FOOTPRINT] < at.CHANNEL or commands[cmd, at.C_STRIPE] == 1:
        state[at.T_LAST_NARROW] = key
        first, n_commands = _first_bank(scalars, commands, cmd, unit), scalars[at.S_COMMANDS]
        for level in range(commands[cmd, at.C_FOOTPRINT], at.CHANNEL):
            if scalars[at.S_BASE + level] >= 0:
                state[scalars[at.S_BASE + level] + (first >> scalars[at.S_SHIFT + level]) * n_commands + cmd] = key
        if commands[cmd, at.C_STRIPE] == 1:
            _, past, step = _touched(scalars, commands, cmd, unit)
            for bank in range(first, past, step):
                state[scalars[at.S_BASE] + bank * n_commands + cmd] = key
    if commands[cmd, at.C_WEIGHT] > 0:
        index, depth = _first_bank(scalars, commands, cmd, unit) >> scalars[at.S_RING_SHIFT], scalars[at.S_RING]
        ring, slot = at.T_ROWS + scalars[at.S_BANKS] + index * depth, scalars[at.S_RING_POS] + index
        for _ in range(min(commands[cmd, at.C_WEIGHT], depth)):
            state[ring + state[slot]] = (cycle + commands[cmd, at.C_TICKS]) << at.RULE_BITS
            state[slot] = state[slot] + 1 if state[slot] + 1 < depth else 0


@kernel
def _write_log(log, result, cycle, cmd, unit, row, col, rule):
    """Append one line to the log; a log of length 0 means that none is wanted."""
    n = result[at.R_LOGGED]
    if log.shape[0] == 0:
        return
    if n >= log.shape[0]:
        result[at.R_STATUS] = at.LOG_FULL
        return
    log[n].cycle, log[n].cmd, log[n].unit = cycle, cmd, unit
    log[n].row, log[n].col, log[n].rule = row, col, rule
    result[at.R_LOGGED] = n + 1


@kernel
def _insert(scalars, commands, predecessors, windows, state, result, counts, log, cmd, unit, row, not_before):
    """Issue a command of the engine's own: refresh and what surrounds it."""
    key = _bound(scalars, commands, predecessors, windows, state, cmd, unit)
    cycle, binding = key >> at.RULE_BITS, _binding(key)
    if not_before > cycle:
        cycle, binding = not_before, np.int64(BINDING_REFRESH_DUE)
    effect = commands[cmd, at.C_ROW]
    _book(state, result, counts, cmd, 1, cycle, cycle, binding)
    _write_log(log, result, cycle, cmd, unit, row, -1, binding)
    if effect in (at.ROW_OPEN, at.ROW_CLOSE):
        _set_rows(scalars, commands, state, result, cmd, unit, row, cycle)
    elif effect == at.ROW_REFRESH:
        state[at.T_REFRESHED] += 1
    _remember(scalars, commands, state, cmd, unit, cycle)


@kernel
def _skip_idle(scalars, state, result, counts, log, until):
    """Jump over refreshes of an idle stretch that lasts at least up to ``until``, all of which issue just when due.

    Leaves the last refresh of each bank (or of the channel) to be issued one by one, so that the state is that of
    issuing them all.
    """
    interval, gap = scalars[at.S_REFRESH_INTERVAL], scalars[at.S_REFRESH_GAP]
    rounds = scalars[at.S_REFRESH_UNITS]
    due = (state[at.T_REFRESHED] + 1) * interval
    quiet = (state[at.T_LAST_COMMAND] >> at.RULE_BITS) + scalars[at.S_MAX_GAP] < due
    quiet = quiet and (state[at.T_LAST_ISSUE] >> at.RULE_BITS) + gap <= due and gap <= interval
    skip = (until - due) // interval - rounds
    skip -= skip % rounds
    if skip <= 0 or not quiet or log.shape[0] > 0:
        return
    counts[scalars[at.S_REFRESH_COMMAND]] += skip
    before = max(state[at.T_LAST_ISSUE] >> at.RULE_BITS, 0)
    state[at.T_REFRESHED] += skip
    last = state[at.T_REFRESHED] * interval
    result[at.R_WAIT_DUE] += last - before
    state[at.T_LAST_ISSUE] = last << at.RULE_BITS


@kernel
def _bank_row(state, bank):
    """Row open in a bank, -1 if closed."""
    return state[at.T_ROWS + bank] if state[at.T_ALL_ROW] == at.ROWS_DIFFER else state[at.T_ALL_ROW]


@kernel
def _refresh_target_closed(scalars, commands, state):
    """Whether the banks that the next refresh needs are closed."""
    unit = state[at.T_REFRESHED] % scalars[at.S_REFRESH_UNITS]
    first, past, step = _touched(scalars, commands, scalars[at.S_REFRESH_COMMAND], unit)
    for b in range(first, past, step):
        if _bank_row(state, b) >= 0:
            return False
    return True


@kernel
def _forced_round(scalars, commands, predecessors, windows, state, result, counts, log):
    """One refresh of every unit, closing what is in the way; then open again what was open."""
    saved = state[scalars[at.S_SCRATCH] :]
    banks, refresh, none = scalars[at.S_BANKS], scalars[at.S_REFRESH_COMMAND], np.int64(0)
    same = True
    for b in range(banks):
        saved[b] = _bank_row(state, b)
        same = same and saved[b] == saved[0]
    for _ in range(scalars[at.S_REFRESH_UNITS]):
        unit = state[at.T_REFRESHED] % scalars[at.S_REFRESH_UNITS]
        due = (state[at.T_REFRESHED] + 1) * scalars[at.S_REFRESH_INTERVAL]
        if not _refresh_target_closed(scalars, commands, state):
            close = scalars[at.S_CLOSE]
            _insert(scalars, commands, predecessors, windows, state, result, counts, log, close, unit, -1, none)
            result[at.R_FORCED] += 1
        _insert(scalars, commands, predecessors, windows, state, result, counts, log, refresh, unit, -1, due)
    act, act_all = scalars[at.S_ACT], scalars[at.S_ACT_ALL]
    if same and saved[0] >= 0 and act_all >= 0:
        _insert(scalars, commands, predecessors, windows, state, result, counts, log, act_all, none, saved[0], none)
    else:
        for b in range(banks):
            row = saved[b]
            if row >= 0:
                _insert(scalars, commands, predecessors, windows, state, result, counts, log, act, b, row, none)


@kernel
def _refresh_once(scalars, commands, predecessors, windows, state, result, counts, log, horizon):
    """Issue the next refresh, whose banks are closed. False if it lies past the horizon."""
    unit = state[at.T_REFRESHED] % scalars[at.S_REFRESH_UNITS]
    due = (state[at.T_REFRESHED] + 1) * scalars[at.S_REFRESH_INTERVAL]
    refresh = scalars[at.S_REFRESH_COMMAND]
    key = _bound(scalars, commands, predecessors, windows, state, refresh, unit)
    if max(due, key >> at.RULE_BITS) > horizon:
        return False
    _insert(scalars, commands, predecessors, windows, state, result, counts, log, refresh, unit, -1, due)
    return True


@kernel
def _refresh_before(
    scalars, commands, predecessors, windows, state, result, counts, log, safe, cmd, unit, not_before, horizon, key
):
    """Issue the refreshes that go before ``cmd``. Returns its new key, or NEVER if one lies past the horizon.

    A forced round is taken as a whole once its first refresh is due within the horizon, so that a call never ends in the
    middle of it.
    """
    interval = scalars[at.S_REFRESH_INTERVAL]
    while True:
        cycle = max(key >> at.RULE_BITS, not_before)
        due = (state[at.T_REFRESHED] + 1) * interval
        if safe and due <= cycle and _refresh_target_closed(scalars, commands, state):
            _skip_idle(scalars, state, result, counts, log, min(not_before, horizon))
            if not _refresh_once(scalars, commands, predecessors, windows, state, result, counts, log, horizon):
                return np.int64(NEVER)
        elif cycle >= due + scalars[at.S_REFRESH_LIMIT] * interval:
            if due > horizon:
                return np.int64(NEVER)
            _forced_round(scalars, commands, predecessors, windows, state, result, counts, log)
        else:
            return key
        key = _bound(scalars, commands, predecessors, windows, state, cmd, unit)


@inlined
def _issue_run(scalars, commands, state, result, counts, log, entry, row, cycle, binding, count):
    """Issue ``count`` commands of ``entry``'s run, the first at ``cycle``, as one event."""
    cmd, unit = np.int64(entry.cmd), np.int64(entry.unit)
    gap, run_rule = commands[cmd, at.C_RUN_GAP], commands[cmd, at.C_RUN_RULE]
    last = cycle + (count - 1) * gap
    if log.shape[0] > 0:
        col = entry.col + state[at.T_RUN_POS] if entry.col >= 0 else np.int64(-1)
        step = 1 if entry.col >= 0 else 0
        for i in range(count):
            rule = binding if i == 0 else run_rule
            _write_log(log, result, cycle + i * gap, cmd, unit, row, col + i * step, rule)
    _book(state, result, counts, cmd, count, cycle, last, binding)
    result[at.R_START] = min(result[at.R_START], cycle)
    result[at.N_RESULT + run_rule] += last - cycle
    result[at.R_MACS] += np.int64(entry.macs) * count
    effect = commands[cmd, at.C_ROW]
    if effect == at.ROW_OPEN:
        _set_rows(scalars, commands, state, result, cmd, unit, row, last)
    elif effect in (at.ROW_CLOSE, at.ROW_ACCESS_CLOSE):
        _set_rows(scalars, commands, state, result, cmd, unit, np.int64(-1), last)
    _remember(scalars, commands, state, cmd, unit, last)


@kernel
def advance(
    scalars, commands, predecessors, windows, state, stream, end, row_shift, not_before, horizon, arrivals, result,
    counts, log,
):  # fmt: skip
    """Issue rows ``state[T_STREAM_POS]`` to ``end`` of ``stream`` on one channel.

    Args:
        scalars, commands, predecessors, windows: the arrays of a TimingTable.
        state: int64[state_size], changed in place; ``T_STREAM_POS`` and ``T_RUN_POS`` say where to go on.
        stream: COMMAND records.
        row_shift: added to every row of the stream.
        not_before: cycle before which no command of the stream issues.
        horizon: no command issues after this cycle (a forced refresh that began before it is completed); the call then
            returns with STOPPED_AT_HORIZON.
        arrivals: int64[tiles]: the issue cycle of each tile's register read, kept if later than what stands there.
        result: int64[N_RESULT + rules], added to; R_STATUS tells how the call ended.
        counts: int64[commands], commands issued, added to.
        log: ISSUED records to fill, or length 0.
    """
    interval, limit = scalars[at.S_REFRESH_INTERVAL], scalars[at.S_REFRESH_LIMIT]
    position, run = state[at.T_STREAM_POS], state[at.T_RUN_POS]
    while position < end and result[at.R_STATUS] == at.OK:
        entry = stream[position]
        cmd, unit = np.int64(entry.cmd), np.int64(entry.unit)
        row = np.int64(entry.row) + row_shift if entry.row >= 0 else np.int64(-1)
        runs = entry.count == 1 or commands[cmd, at.C_ROW] in (at.ROW_NONE, at.ROW_ACCESS)
        if not runs or not _rows_allow(scalars, commands, state, cmd, unit, row):
            result[at.R_STATUS] = at.ILLEGAL_ROW
            break
        key = _bound(scalars, commands, predecessors, windows, state, cmd, unit)
        last_cycle = horizon
        if interval > 0:
            safe = entry.safe == 1 and run == 0
            due = (state[at.T_REFRESHED] + 1) * interval
            if max(key >> at.RULE_BITS, not_before) >= (due if safe else due + limit * interval):
                key = _refresh_before(
                    scalars, commands, predecessors, windows, state, result, counts, log, safe, cmd, unit, not_before,
                    horizon, key,
                )  # fmt: skip
                due = (state[at.T_REFRESHED] + 1) * interval
            last_cycle = min(horizon, due + limit * interval - 1)
        cycle, binding = key >> at.RULE_BITS, _binding(key)
        if not_before > cycle:
            cycle, binding = not_before, np.int64(BINDING_HOST)
        if key < 0 or cycle > horizon:
            result[at.R_STATUS] = at.STOPPED_AT_HORIZON
            break
        count = np.int64(entry.count) - run
        if count > 1:
            count = min(count, (last_cycle - cycle) // commands[cmd, at.C_RUN_GAP] + 1)
        state[at.T_RUN_POS] = run
        _issue_run(scalars, commands, state, result, counts, log, entry, row, cycle, binding, count)
        run += count
        if run == entry.count:
            if entry.tile >= 0:
                arrivals[entry.tile] = max(arrivals[entry.tile], state[at.T_LAST_ISSUE] >> at.RULE_BITS)
            run = np.int64(0)
            position += 1
    state[at.T_STREAM_POS], state[at.T_RUN_POS] = position, run


@kernel
def finish(scalars, commands, predecessors, windows, state, t_end, result, counts, log):
    """Issue every refresh that falls due up to ``t_end``; all banks must be closed."""
    interval = scalars[at.S_REFRESH_INTERVAL]
    while interval > 0 and (state[at.T_REFRESHED] + 1) * interval <= t_end:
        _skip_idle(scalars, state, result, counts, log, t_end)
        _refresh_once(scalars, commands, predecessors, windows, state, result, counts, log, FOREVER)
