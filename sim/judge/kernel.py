"""The judge's compiled body: one pass over a log, command by command, part by part as in :mod:`rowline.sim.reference`.

Findings of one command are gathered in ``worst``, by rule, and written out once all parts have looked at it.
"""

from . import layout as at
from .jit import compiled
from .parts import activations, bursts, keep, paths, record_activations, record_burst, record_paths, record_rows, rows
from .upkeep import debt, opens, power, record_debt, record_power, record_round, rounds, settle_unpaid


@compiled
def edge(s, tick):
    """Time of a clock edge in ps, rounded up."""
    if s[at.S_F] == 1:
        return tick * s[at.S_PS]
    whole = tick // s[at.S_F]
    part = tick - whole * s[at.S_F]
    return whole * s[at.S_PS] + part * s[at.S_A] + (part * s[at.S_B] + s[at.S_F] - 1) // s[at.S_F]


@compiled
def place_event(s, c, e, cycle, unit):
    """The instants and the banks of the event at hand."""
    accept = cycle + c[at.C_ACCEPT]
    e[at.E_CYCLE], e[at.E_FIRST] = cycle, edge(s, cycle)
    e[at.E_ACCEPT] = e[at.E_FIRST] if accept == cycle else edge(s, accept)
    e[at.E_START] = e[at.E_END] = e[at.E_ACCEPT]
    if c[at.C_DATA]:
        e[at.E_START] = edge(s, accept + c[at.C_LATENCY])
        e[at.E_END] = e[at.E_START] + s[at.S_BURST]
    if c[at.C_STRIPE]:
        rank = unit // c[at.C_GROUP]
        e[at.E_BANK], e[at.E_STEP] = rank * c[at.C_RANK] + unit - rank * c[at.C_GROUP], c[at.C_GROUP]
    else:
        e[at.E_BANK], e[at.E_STEP] = unit * c[at.C_SIZE], 1
    e[at.E_LAST] = e[at.E_BANK] + (c[at.C_BANKS] - 1) * e[at.E_STEP]


@compiled
def look(tables, state, c):
    """What every part has to say about the event at hand."""
    s, x, e, worst = tables.scalars, state.numbers, state.event, state.worst
    paths(s, c, e, tables.waits, state.traces, x, worst)
    if c[at.C_ROW] != at.ROW_NONE:
        rows(s, c, e, state.banks, x, worst)
    if c[at.C_WEIGHT]:
        activations(s, c, e, tables.windows, state.recent, state.recents, x, worst)
    if c[at.C_BUS]:
        bursts(s, e, state.bursts, state.burst_count, x, worst)
    if c[at.C_UPKEEP] == at.UPKEEP_BANK:
        rounds(s, e, state.rounds, state.round_of, x, worst)
    if s[at.S_HAS_POWER]:
        power(s, c, e, state.power, x, worst)
    if s[at.S_REFRESHES]:
        debt(s, c, e, state.due, x, worst, edge(s, opens(s, e, state.due, x)) if c[at.C_REFRESH] else 0)


@compiled
def record(tables, state, c):
    """Every part takes note of the event at hand."""
    s, x, e = tables.scalars, state.numbers, state.event
    record_paths(c, e, tables.marks, state.traces)
    if c[at.C_ROW] != at.ROW_NONE:
        record_rows(s, c, e, state.banks)
    if c[at.C_WEIGHT]:
        record_activations(s, c, e, state.recent, state.recents)
    if c[at.C_BUS]:
        record_burst(s, e, state.bursts, state.burst_count)
    if c[at.C_UPKEEP] == at.UPKEEP_BANK or c[at.C_UPKEEP] == at.UPKEEP_ALL:
        record_round(s, c, e, state.rounds, state.round_of)
    if c[at.C_POWER]:
        record_power(s, c, e, state.power)
    if s[at.S_REFRESHES]:
        record_debt(s, c, e, state.due, state.power, x, state.unpaid)


@compiled
def write_out(x, worst, counts, out):
    """Write the broken rules of the event at hand to ``out``, as far as there is room."""
    for rule in range(len(worst)):
        if worst[rule, 0]:
            worst[rule, 0] = 0
            counts[rule] += 1
            if x[at.X_FOUND] < len(out):
                keep(out[x[at.X_FOUND]], worst[rule, 1:])
                x[at.X_FOUND] += 1
    x[at.X_BROKEN] = 0


@compiled
def judge(tables, state, cycles, numbers, units, opened, out):
    """Judge a piece of a log; findings go to ``out``, counts and memory to ``state``."""
    x, e = state.numbers, state.event
    for i in range(len(cycles)):
        c = tables.commands[numbers[i]]
        e[at.E_INDEX], e[at.E_CMD], e[at.E_UNIT], e[at.E_ROW] = x[at.X_INDEX], numbers[i], units[i], opened[i]
        e[at.E_WHO] = x[at.X_INDEX] << at.WHO_INDEX | e[at.E_CMD] << at.WHO_COMMAND | e[at.E_UNIT]
        place_event(tables.scalars, c, e, cycles[i], units[i])
        settle_unpaid(c, x, state.unpaid, state.counts, out)
        look(tables, state, c)
        if x[at.X_BROKEN]:
            write_out(x, state.worst, state.counts, out)
        record(tables, state, c)
        x[at.X_INDEX] += 1
