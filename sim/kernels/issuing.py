"""What the issue of a command changes: open rows, counters, last issues, the log."""

import numpy as np

from . import layout as at
from .bounds import first_bank, touched
from .jit import inlined, kernel


@inlined
def rows_allow(scalars, commands, state, cmd, unit, row):
    """Whether the row state of the touched banks lets ``cmd`` issue."""
    effect = commands[cmd, at.C_ROW]
    if effect in (at.ROW_NONE, at.ROW_CLOSE):
        return True
    if effect == at.ROW_REFRESH or (row < 0 and effect != at.ROW_IDLE):
        return False
    wanted = np.int64(-1) if effect in (at.ROW_OPEN, at.ROW_IDLE) else row
    if state[at.T_ALL_ROW] != at.ROWS_DIFFER:
        return state[at.T_ALL_ROW] == wanted
    if commands[cmd, at.C_FOOTPRINT] == 0:
        return state[at.T_ROWS + unit] == wanted
    first, past, step = touched(scalars, commands, cmd, unit)
    for bank in range(first, past, step):
        if state[at.T_ROWS + bank] != wanted:
            return False
    return True


@inlined
def set_rows(scalars, commands, state, result, cmd, unit, row, cycle):
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
        if commands[cmd, at.C_FOOTPRINT] == 0:
            state[at.T_OPEN_BANKS] += np.int64(row >= 0) - np.int64(state[at.T_ROWS + unit] >= 0)
            state[at.T_ROWS + unit] = row
        else:
            first, past, step = touched(scalars, commands, cmd, unit)
            for bank in range(first, past, step):
                state[at.T_OPEN_BANKS] += np.int64(row >= 0) - np.int64(state[at.T_ROWS + bank] >= 0)
                state[at.T_ROWS + bank] = row
        state[at.T_ALL_ROW] = at.ROWS_DIFFER if state[at.T_OPEN_BANKS] > 0 else -1
    if was_open == 0 and state[at.T_OPEN_BANKS] > 0:
        state[at.T_OPEN_SINCE] = cycle
    elif was_open > 0 and state[at.T_OPEN_BANKS] == 0:
        result[at.R_ACTIVE] += cycle - state[at.T_OPEN_SINCE]


@inlined
def book(state, result, counts, cmd, count, cycle, last, binding):
    """Count ``count`` commands issued from ``cycle`` to ``last`` and book the wait before the first under ``binding``."""
    before = max(state[at.T_LAST_ISSUE] >> at.RULE_BITS, 0)
    result[at.N_RESULT + binding] += cycle - before
    counts[cmd] += count
    result[at.R_END] = last
    state[at.T_LAST_ISSUE] = last << at.RULE_BITS


@inlined
def remember(scalars, commands, state, cmd, unit, cycle):
    """Note the issue of ``cmd`` at every level instance where a later command may ask for it."""
    key = cycle << at.RULE_BITS
    if commands[cmd, at.C_ROW] != at.ROW_REFRESH:
        state[at.T_LAST_COMMAND] = key
    state[scalars[at.S_LAST] + cmd] = key
    footprint = commands[cmd, at.C_FOOTPRINT]
    if footprint < at.CHANNEL or commands[cmd, at.C_STRIPE] == 1:
        state[at.T_LAST_NARROW] = key
        n_commands = scalars[at.S_COMMANDS]
        first = unit if footprint == 0 else first_bank(scalars, commands, cmd, unit)
        if footprint == 0:
            state[scalars[at.S_BASE] + unit * n_commands + cmd] = key
        for level in range(max(footprint, 1), scalars[at.S_NARROW]):
            base = scalars[at.S_BASE + level]
            if base >= 0:
                state[base + (first >> scalars[at.S_SHIFT + level]) * n_commands + cmd] = key
        if commands[cmd, at.C_STRIPE] == 1:
            _, past, step = touched(scalars, commands, cmd, unit)
            for bank in range(first, past, step):
                state[scalars[at.S_BASE] + bank * n_commands + cmd] = key
    if commands[cmd, at.C_WEIGHT] > 0:
        first = unit if footprint == 0 else first_bank(scalars, commands, cmd, unit)
        index, depth = first >> scalars[at.S_RING_SHIFT], scalars[at.S_RING]
        ring, slot = at.T_ROWS + scalars[at.S_BANKS] + index * depth, scalars[at.S_RING_POS] + index
        for _ in range(min(commands[cmd, at.C_WEIGHT], depth)):
            state[ring + state[slot]] = (cycle + commands[cmd, at.C_TICKS]) << at.RULE_BITS
            state[slot] = state[slot] + 1 if state[slot] + 1 < depth else 0


@kernel
def write_log(log, result, cycle, cmd, unit, row, col, rule):
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
