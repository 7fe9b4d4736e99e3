"""In-order issue of a channel's command stream under a timing table. Semantics: ``docs/engine.md``.

Pure in (table, state, stream slice, not-before, horizon): integers and arrays only. Calling it on pieces of a stream, or with
one horizon after another, gives the cycles and the state of one call.
"""

import numpy as np

from . import layout as at
from .bounds import binding_of, bound
from .issuing import book, remember, rows_allow, set_rows, write_log
from .jit import inlined, kernel
from .refreshing import refresh_before, refresh_once, skip_idle

FOREVER = at.FOREVER
BINDING_HOST = -2


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
            write_log(log, result, cycle + i * gap, cmd, unit, row, col + i * step, rule)
    book(state, result, counts, cmd, count, cycle, last, binding)
    result[at.R_START] = min(result[at.R_START], cycle)
    result[at.N_RESULT + run_rule] += last - cycle
    result[at.R_MACS] += np.int64(entry.macs) * count
    effect = commands[cmd, at.C_ROW]
    if effect == at.ROW_OPEN:
        set_rows(scalars, commands, state, result, cmd, unit, row, last)
    elif effect in (at.ROW_CLOSE, at.ROW_ACCESS_CLOSE):
        set_rows(scalars, commands, state, result, cmd, unit, np.int64(-1), last)
    remember(scalars, commands, state, cmd, unit, last)


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
        if not runs or not rows_allow(scalars, commands, state, cmd, unit, row):
            result[at.R_STATUS] = at.ILLEGAL_ROW
            break
        key = bound(scalars, commands, predecessors, windows, state, cmd, unit)
        last_cycle = horizon
        if interval > 0:
            safe = entry.safe == 1 and run == 0
            postponed = limit
            if safe and commands[cmd, at.C_HELD] == 1:  # no single refreshes before it, but a round that is due as a whole
                safe, postponed = False, scalars[at.S_REFRESH_UNITS] - 1
            due = (state[at.T_REFRESHED] + 1) * interval
            if max(key >> at.RULE_BITS, not_before) >= (due if safe else due + postponed * interval):
                key = refresh_before(
                    scalars, commands, predecessors, windows, state, result, counts, log, safe, postponed, cmd, unit, not_before,
                    horizon, key,
                )  # fmt: skip
                due = (state[at.T_REFRESHED] + 1) * interval
            last_cycle = min(horizon, due + limit * interval - 1)
        cycle, binding = key >> at.RULE_BITS, binding_of(key)
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
        skip_idle(scalars, state, result, counts, log, t_end)
        refresh_once(scalars, commands, predecessors, windows, state, result, counts, log, FOREVER)
