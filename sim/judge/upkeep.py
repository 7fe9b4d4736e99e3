"""Refresh rounds, power states and owed refreshes as compiled functions; see :mod:`.parts` for the arguments."""

from . import layout as at
from .jit import compiled
from .parts import keep, leave, note, wait

# rounds


@compiled
def begins_round(s, e, array, round_of):
    """Whether a refresh of a bank begins a new round over its array."""
    return array[at.D_COUNT] == s[at.S_ARRAY_BANKS] or round_of[e[at.E_BANK]] == array[at.D_NUMBER]


@compiled
def rounds(s, e, arrays, round_of, x, worst):
    """The first refresh of a round waits for the whole of the last one before."""
    array = arrays[e[at.E_BANK] >> s[at.S_ARRAY_SHIFT]]
    last = array[at.D_LAST : at.D_LAST + at.N_TRACE]
    if last[at.T_TIME] != at.NEVER and begins_round(s, e, array, round_of):
        early = last[at.T_TIME] + s[at.S_TRFCPB] - e[at.E_ACCEPT]
        wait(x, worst, e, s[at.S_R_ROUND], early, last[at.T_WHO], last[at.T_TICK])


@compiled
def record_round(s, c, e, arrays, round_of):
    """Count the banks of a round; a refresh of all banks ends it."""
    for place in range(e[at.E_BANK] >> s[at.S_ARRAY_SHIFT], (e[at.E_LAST] >> s[at.S_ARRAY_SHIFT]) + 1):
        array = arrays[place]
        if c[at.C_UPKEEP] == at.UPKEEP_ALL:
            array[at.D_LAST + at.T_TIME] = at.NEVER
            continue
        if array[at.D_LAST + at.T_TIME] == at.NEVER or begins_round(s, e, array, round_of):
            array[at.D_NUMBER] += 1
            array[at.D_COUNT] = 0
        for bank in range(e[at.E_BANK], e[at.E_LAST] + 1, e[at.E_STEP]):
            round_of[bank] = array[at.D_NUMBER]
            array[at.D_COUNT] += 1
        leave(array[at.D_LAST :], e[at.E_ACCEPT], e)


# power states


@compiled
def power(s, c, e, units, x, worst):
    """Whether each unit that the event touches is in a state to take it."""
    for number in range(e[at.E_BANK] >> s[at.S_POWER_SHIFT], (e[at.E_LAST] >> s[at.S_POWER_SHIFT]) + 1):
        unit, kind, rule = units[number], c[at.C_POWER], s[at.S_R_POWER]
        if unit[at.U_STATE] and kind != unit[at.U_STATE] + 1:  # what leaves a state follows what enters it
            fault = at.FAULT_DOWN if unit[at.U_STATE] == at.POWER_DOWN else at.FAULT_ASLEEP
            note(x, worst, e, rule, 0, unit[at.U_WHO], unit[at.U_TICK], fault, number, 0, 0)
        elif not unit[at.U_STATE] and (kind == at.POWER_UP or kind == at.POWER_WAKE):
            note(x, worst, e, rule, 0, -1, 0, at.FAULT_AWAKE, number, 0, 0)


@compiled
def record_power(s, c, e, units):
    """Change states."""
    enters = c[at.C_POWER] == at.POWER_DOWN or c[at.C_POWER] == at.POWER_SLEEP
    for number in range(e[at.E_BANK] >> s[at.S_POWER_SHIFT], (e[at.E_LAST] >> s[at.S_POWER_SHIFT]) + 1):
        unit = units[number]
        unit[at.U_STATE] = c[at.C_POWER] if enters else 0
        unit[at.U_WHO], unit[at.U_TICK] = e[at.E_WHO], e[at.E_CYCLE]


# owed refreshes


@compiled
def opens(s, e, due, x):
    """The first tick at which the refresh at hand is not early."""
    if s[at.S_ORDER]:
        return (x[at.X_DONE] + 1 - s[at.S_AHEAD]) * s[at.S_INTERVAL]
    return due[e[at.E_UNIT], 1]


@compiled
def owed(s, e, due, x):
    """Refreshes that are owed when more are than may be, else 0."""
    if s[at.S_ORDER]:
        number = e[at.E_CYCLE] // s[at.S_INTERVAL] - x[at.X_DONE]
        return number if number > s[at.S_MOST] and x[at.X_ASLEEP] == 0 else 0
    oldest = due[x[at.X_OLDEST], 0]
    if e[at.E_CYCLE] < oldest + s[at.S_MOST] * s[at.S_INTERVAL]:
        return 0
    return (e[at.E_CYCLE] - oldest) // s[at.S_INTERVAL] + 1


@compiled
def debt(s, c, e, due, x, worst, opens_ps):
    """Early, misplaced and missing refreshes; ``opens_ps`` is the time from which on a refresh may come."""
    if c[at.C_REFRESH]:
        wait(x, worst, e, s[at.S_R_EARLY], opens_ps - e[at.E_FIRST], -1, 0)
        turn = x[at.X_DONE] % s[at.S_REFRESH_UNITS]
        if s[at.S_ORDER] and e[at.E_UNIT] != turn:
            note(x, worst, e, s[at.S_R_ORDER], 0, -1, 0, at.FAULT_TURN, turn, 0, 0)
    elif c[at.C_ROW] != at.ROW_CLOSE and not (c[at.C_ROW] == at.ROW_OPEN and x[at.X_REOPENING]):
        number = owed(s, e, due, x)
        if number:
            fault = at.FAULT_OWED if s[at.S_ORDER] else at.FAULT_OWED_BY
            note(x, worst, e, s[at.S_R_DEBT], 0, -1, 0, fault, number, x[at.X_OLDEST], 0)


@compiled
def settle_unpaid(c, x, unpaid, counts, out):
    """A precharge that came with too much owed was no payment if the event at hand is no refresh."""
    if x[at.X_UNPAID] and not c[at.C_REFRESH]:
        counts[unpaid[at.F_RULE]] += 1
        if x[at.X_FOUND] < len(out):
            keep(out[x[at.X_FOUND]], unpaid)
            x[at.X_FOUND] += 1
    x[at.X_UNPAID] = 0


@compiled
def record_debt(s, c, e, due, units, x, unpaid):
    """Count refreshes, and remember a precharge that is legal only if a refresh follows."""
    if c[at.C_ROW] == at.ROW_CLOSE:
        number = owed(s, e, due, x)
        if number:
            x[at.X_UNPAID] = 1
            unpaid[at.F_EARLY] = unpaid[at.F_TICK] = unpaid[at.F_C] = 0
            unpaid[at.F_INDEX], unpaid[at.F_RULE], unpaid[at.F_WHO] = e[at.E_INDEX], s[at.S_R_DEBT], -1
            unpaid[at.F_COMMAND], unpaid[at.F_UNIT], unpaid[at.F_CYCLE] = e[at.E_CMD], e[at.E_UNIT], e[at.E_CYCLE]
            unpaid[at.F_FAULT] = at.FAULT_OWED if s[at.S_ORDER] else at.FAULT_OWED_BY
            unpaid[at.F_A], unpaid[at.F_B] = number, x[at.X_OLDEST]
    x[at.X_REOPENING] = c[at.C_REFRESH] or (x[at.X_REOPENING] and c[at.C_ROW] == at.ROW_OPEN)
    if s[at.S_ORDER]:
        x[at.X_DONE] += c[at.C_REFRESH]
        if c[at.C_POWER] == at.POWER_SLEEP or c[at.C_POWER] == at.POWER_WAKE:
            sleep_in_turns(s, c, e, units, x)
    elif c[at.C_COVERS]:
        settle_units(s, c, e, due, x)


@compiled
def sleep_in_turns(s, c, e, units, x):
    """Once all units have been in self-refresh and left it, the refreshes that fell due meanwhile are done."""
    unit = units[e[at.E_UNIT]]
    slept = unit[at.U_ASLEEP]
    unit[at.U_ASLEEP] = c[at.C_POWER] == at.POWER_SLEEP
    if x[at.X_ASLEEP] == 0 and unit[at.U_ASLEEP]:
        owing = max(0, e[at.E_CYCLE] // s[at.S_INTERVAL] - x[at.X_DONE])
        x[at.X_OWING] = owing - owing % s[at.S_REFRESH_UNITS]
    x[at.X_ASLEEP] += unit[at.U_ASLEEP] - slept
    if x[at.X_ASLEEP] == len(units) >> s[at.S_POWER_SHIFT]:
        x[at.X_ALL_SLEPT] = 1
    if slept and not unit[at.U_ASLEEP] and x[at.X_ASLEEP] == 0 and x[at.X_ALL_SLEPT]:
        x[at.X_ALL_SLEPT] = 0
        x[at.X_DONE] = max(x[at.X_DONE], e[at.E_CYCLE] // s[at.S_INTERVAL] - x[at.X_OWING])


@compiled
def settle_units(s, c, e, due, x):
    """Refresh, or self-refresh, of the units whose banks the event touches."""
    first = e[at.E_UNIT] * c[at.C_COVERS]
    for unit in range(first, first + c[at.C_COVERS]):
        if c[at.C_POWER] == at.POWER_SLEEP:
            if due[unit, 0] != at.FOREVER:
                due[unit, 2] = max(0, (e[at.E_CYCLE] - due[unit, 0]) // s[at.S_INTERVAL] + 1)
            due[unit, 0], due[unit, 1] = at.FOREVER, e[at.E_CYCLE]
        elif c[at.C_POWER] == at.POWER_WAKE:
            due[unit, 0], due[unit, 1] = e[at.E_CYCLE] + s[at.S_INTERVAL] * (1 - due[unit, 2]), e[at.E_CYCLE]
        elif due[unit, 0] != at.FOREVER:
            due[unit, 0] += s[at.S_INTERVAL]
            due[unit, 1] = due[unit, 0] - s[at.S_AHEAD] * s[at.S_INTERVAL]
    oldest = 0
    for unit in range(1, len(due)):
        if due[unit, 0] < due[oldest, 0]:
            oldest = unit
    x[at.X_OLDEST] = oldest
