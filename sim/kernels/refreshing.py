"""Refresh in the in-order engine: at safe points, in forced rounds, and over idle stretches. Semantics: ``docs/engine.md``."""

import numpy as np

from . import layout as at
from .bounds import binding_of, bound, touched
from .issuing import book, remember, set_rows, write_log
from .jit import kernel

NEVER = at.NEVER
BINDING_REFRESH_DUE = -3


@kernel
def _insert(scalars, commands, predecessors, windows, state, result, counts, log, cmd, unit, row, not_before):
    """Issue a command of the engine's own: refresh and what surrounds it."""
    key = bound(scalars, commands, predecessors, windows, state, cmd, unit)
    cycle, binding = key >> at.RULE_BITS, binding_of(key)
    if not_before > cycle:
        cycle, binding = not_before, np.int64(BINDING_REFRESH_DUE)
    effect = commands[cmd, at.C_ROW]
    book(state, result, counts, cmd, 1, cycle, cycle, binding)
    write_log(log, result, cycle, cmd, unit, row, -1, binding)
    if effect in (at.ROW_OPEN, at.ROW_CLOSE):
        set_rows(scalars, commands, state, result, cmd, unit, row, cycle)
    elif effect == at.ROW_REFRESH:
        state[at.T_REFRESHED] += 1
    remember(scalars, commands, state, cmd, unit, cycle)


@kernel
def skip_idle(scalars, state, result, counts, log, until):
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
    first, past, step = touched(scalars, commands, scalars[at.S_REFRESH_COMMAND], unit)
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
def refresh_once(scalars, commands, predecessors, windows, state, result, counts, log, horizon):
    """Issue the next refresh, whose banks are closed. False if it lies past the horizon."""
    unit = state[at.T_REFRESHED] % scalars[at.S_REFRESH_UNITS]
    due = (state[at.T_REFRESHED] + 1) * scalars[at.S_REFRESH_INTERVAL]
    refresh = scalars[at.S_REFRESH_COMMAND]
    key = bound(scalars, commands, predecessors, windows, state, refresh, unit)
    if max(due, key >> at.RULE_BITS) > horizon:
        return False
    _insert(scalars, commands, predecessors, windows, state, result, counts, log, refresh, unit, -1, due)
    return True


@kernel
def refresh_before(
    scalars, commands, predecessors, windows, state, result, counts, log, safe, postponed, cmd, unit, not_before, horizon,
    key,
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
            skip_idle(scalars, state, result, counts, log, min(not_before, horizon))
            if not refresh_once(scalars, commands, predecessors, windows, state, result, counts, log, horizon):
                return np.int64(NEVER)
        elif cycle >= due + postponed * interval:
            if due > horizon:
                return np.int64(NEVER)
            _forced_round(scalars, commands, predecessors, windows, state, result, counts, log)
        else:
            return key
        key = bound(scalars, commands, predecessors, windows, state, cmd, unit)
