"""The parts of a device as compiled functions: paths, rows, activation windows, data buses, refresh rounds, power states.

``s`` are the scalars of the device, ``c`` the fields of the command, ``e`` the event at hand, ``x`` and ``worst`` where
findings go. Each part stands in :mod:`rowline.sim.reference` in readable form; the order of the looks matters only where
two are equally bad.
"""

from . import layout as at
from .jit import compiled


@compiled
def note(x, worst, e, rule, early, who, tick, fault, a, b, c):
    """``rule`` is broken; of one rule the worst counts, of equals the first."""
    found = worst[rule]
    if found[0] and found[1 + at.F_EARLY] >= early:
        return
    if not found[0]:
        x[at.X_BROKEN] += 1
    found[0] = 1
    found[1 + at.F_INDEX], found[1 + at.F_RULE], found[1 + at.F_EARLY] = e[at.E_INDEX], rule, early
    found[1 + at.F_COMMAND], found[1 + at.F_UNIT], found[1 + at.F_CYCLE] = e[at.E_CMD], e[at.E_UNIT], e[at.E_CYCLE]
    found[1 + at.F_WHO], found[1 + at.F_TICK] = who, tick
    found[1 + at.F_FAULT], found[1 + at.F_A], found[1 + at.F_B], found[1 + at.F_C] = fault, a, b, c


@compiled
def wait(x, worst, e, rule, early, who, tick):
    """``rule`` asks for ``early`` ps more."""
    if early > 0:
        note(x, worst, e, rule, early, who, tick, at.FAULT_NONE, 0, 0, 0)


@compiled
def leave(trace, time, e):
    """Remember the event at hand, at ``time``."""
    trace[at.T_TIME], trace[at.T_WHO], trace[at.T_TICK] = time, e[at.E_WHO], e[at.E_CYCLE]


@compiled
def keep(place, finding):
    """Write a finding down."""
    for field in range(at.N_FINDING):
        place[field] = finding[field]


# paths


@compiled
def paths(s, c, e, waits, traces, x, worst):
    """Each path that the event takes must be free again."""
    for k in range(c[at.C_WAIT_LO], c[at.C_WAIT_HI]):
        w = waits[k]
        base, shift, need = w[at.W_BASE], w[at.W_SHIFT], w[at.W_GAP] - e[at.E_FIRST + w[at.W_TARGET]]
        first, last, step = e[at.E_BANK] >> shift, e[at.E_LAST] >> shift, 1
        if shift == 0:
            step = e[at.E_STEP]
        if w[at.W_OTHERS]:
            mine, ours, step = first, last, 1
            first = first // s[at.S_RANKS] * s[at.S_RANKS]
            last = first + s[at.S_RANKS] - 1
            for place in range(first, last + 1):
                if place < mine or place > ours:
                    trace = traces[base + place]
                    wait(x, worst, e, w[at.W_RULE], trace[at.T_TIME] + need, trace[at.T_WHO], trace[at.T_TICK])
        else:
            for place in range(first, last + 1, step):
                trace = traces[base + place]
                if trace[at.T_TIME] + need > 0:
                    wait(x, worst, e, w[at.W_RULE], trace[at.T_TIME] + need, trace[at.T_WHO], trace[at.T_TICK])


@compiled
def record_paths(c, e, marks, traces):
    """Occupy the paths; of two bursts the one that ends later counts."""
    for k in range(c[at.C_MARK_LO], c[at.C_MARK_HI]):
        m = marks[k]
        shift, time = m[at.M_SHIFT], e[at.E_FIRST + m[at.M_ORIGIN]]
        step = e[at.E_STEP] if shift == 0 else 1
        for place in range(e[at.E_BANK] >> shift, (e[at.E_LAST] >> shift) + 1, step):
            trace = traces[m[at.M_BASE] + place]
            if trace[at.T_TIME] <= time:
                leave(trace, time, e)


# rows


@compiled
def rows(s, c, e, banks, x, worst):
    """Row state and row timing of each bank that the event touches."""
    now, kind = e[at.E_ACCEPT], c[at.C_ROW]
    for number in range(e[at.E_BANK], e[at.E_LAST] + 1, e[at.E_STEP]):
        b = banks[number]
        opened = b[at.B_OPENED : at.B_OPENED + at.N_TRACE]
        if kind == at.ROW_CLOSE:
            for hold in range(at.HOLDS):
                h = b[at.B_HOLD + hold * at.N_TRACE : at.B_HOLD + (hold + 1) * at.N_TRACE]
                wait(x, worst, e, s[at.S_R_TRAS + hold], h[at.T_TIME] - now, h[at.T_WHO], h[at.T_TICK])
        elif kind == at.ROW_OPEN or kind == at.ROW_REST:
            if b[at.B_ROW] != at.NEVER:
                who, tick = opened[at.T_WHO], opened[at.T_TICK]
                note(x, worst, e, s[at.S_R_STATE], 0, who, tick, at.FAULT_OPEN, number, b[at.B_ROW], 0)
            p = b[at.B_CLOSED : at.B_CLOSED + at.N_TRACE]
            wait(x, worst, e, b[at.B_RULE], p[at.T_TIME] - now, p[at.T_WHO], p[at.T_TICK])
            early = opened[at.T_TIME] + s[at.S_TRC] - now
            wait(x, worst, e, s[at.S_R_TRC], early, opened[at.T_WHO], opened[at.T_TICK])
        else:
            if b[at.B_ROW] == at.NEVER:
                note(x, worst, e, s[at.S_R_STATE], 0, -1, 0, at.FAULT_CLOSED, number, 0, 0)
            elif b[at.B_ROW] != e[at.E_ROW]:
                who, tick = opened[at.T_WHO], opened[at.T_TICK]
                note(x, worst, e, s[at.S_R_STATE], 0, who, tick, at.FAULT_OTHER_ROW, number, b[at.B_ROW], e[at.E_ROW])
            early = opened[at.T_TIME] + c[at.C_AFTER_ACT] - now
            wait(x, worst, e, c[at.C_R_AFTER_ACT], early, opened[at.T_WHO], opened[at.T_TICK])


@compiled
def record_rows(s, c, e, banks):
    """Open, hold or close the banks of the event."""
    now, kind = e[at.E_ACCEPT], c[at.C_ROW]
    if kind == at.ROW_REST:
        return
    for number in range(e[at.E_BANK], e[at.E_LAST] + 1, e[at.E_STEP]):
        b = banks[number]
        if kind == at.ROW_OPEN:
            b[at.B_ROW] = e[at.E_ROW]
            leave(b[at.B_OPENED :], now, e)
            leave(b[at.B_HOLD :], now + s[at.S_TRAS], e)
            b[at.B_HOLD + at.N_TRACE] = b[at.B_HOLD + 2 * at.N_TRACE] = at.NEVER
        elif kind == at.ROW_CLOSE:
            close(b, c[at.C_R_PRECHARGE], now + c[at.C_PRECHARGE], e)
        else:
            if c[at.C_SENSES] and b[at.B_HOLD + at.N_TRACE] < now + s[at.S_TRTP]:
                leave(b[at.B_HOLD + at.N_TRACE :], now + s[at.S_TRTP], e)
            if c[at.C_STORES]:
                stored = e[at.E_END if c[at.C_STORES] == at.STORES_END else at.E_START] + s[at.S_TWR]
                if b[at.B_HOLD + 2 * at.N_TRACE] < stored:
                    leave(b[at.B_HOLD + 2 * at.N_TRACE :], stored, e)
            if kind == at.ROW_AUTO:
                longest = 0
                for hold in range(1, at.HOLDS):
                    if b[at.B_HOLD + hold * at.N_TRACE] > b[at.B_HOLD + longest * at.N_TRACE]:
                        longest = hold
                start = b[at.B_HOLD + longest * at.N_TRACE]
                close(b, c[at.C_R_AUTO + longest], start + c[at.C_PRECHARGE], e)


@compiled
def close(b, rule, done, e):
    """The bank is precharged at ``done``; a precharge already under way may end later."""
    if b[at.B_CLOSED] <= done:
        leave(b[at.B_CLOSED :], done, e)
        b[at.B_RULE] = rule
    b[at.B_ROW] = at.NEVER


# activation windows


@compiled
def activations(s, c, e, windows, recent, recents, x, worst):
    """Wait until enough earlier activations have left the window."""
    size = recent.shape[1]
    for v in range(len(windows)):
        back = max(windows[v, at.V_BANKS] - c[at.C_WEIGHT], 0) + 1
        for place in range(e[at.E_BANK] >> s[at.S_ARRAY_SHIFT], (e[at.E_LAST] >> s[at.S_ARRAY_SHIFT]) + 1):
            if recents[place] >= back:
                past = recent[place, (recents[place] - back) % size]
                early = past[at.T_TIME] + windows[v, at.V_GAP] - e[at.E_ACCEPT]
                wait(x, worst, e, windows[v, at.V_RULE], early, past[at.T_WHO], past[at.T_TICK])


@compiled
def record_activations(s, c, e, recent, recents):
    """Remember activations, one entry a bank."""
    size = recent.shape[1]
    for place in range(e[at.E_BANK] >> s[at.S_ARRAY_SHIFT], (e[at.E_LAST] >> s[at.S_ARRAY_SHIFT]) + 1):
        for _ in range(min(c[at.C_WEIGHT], size)):
            leave(recent[place, recents[place] % size], e[at.E_ACCEPT], e)
            recents[place] += 1


# data buses


@compiled
def bursts(s, e, ring, count, x, worst):
    """Where the burst of the event may stand on the bus: behind all before it. The latest is looked at first."""
    start, rank, size = e[at.E_START], e[at.E_BANK] >> s[at.S_RANK_SHIFT], ring.shape[1]
    for bus in range(e[at.E_BANK] >> s[at.S_PSEUDO_SHIFT], (e[at.E_LAST] >> s[at.S_PSEUDO_SHIFT]) + 1):
        for back in range(1, min(count[bus], size) + 1):
            q = ring[bus, (count[bus] - back) % size]
            if q[at.Q_LATEST] + s[at.S_BUBBLE] <= start:
                break  # nor does any burst before it reach that far
            apart = s[at.S_BUBBLE] if q[at.Q_RANK] != rank else 0
            if start < q[at.Q_END] + apart:
                rule = s[at.S_R_BUS] if start < q[at.Q_END] else s[at.S_R_TRTRS]
                wait(x, worst, e, rule, q[at.Q_END] + apart - start, q[at.Q_WHO], q[at.Q_TICK])


@compiled
def record_burst(s, e, ring, count):
    """Put the burst on the bus."""
    size = ring.shape[1]
    for bus in range(e[at.E_BANK] >> s[at.S_PSEUDO_SHIFT], (e[at.E_LAST] >> s[at.S_PSEUDO_SHIFT]) + 1):
        latest = ring[bus, (count[bus] - 1) % size, at.Q_LATEST]
        q = ring[bus, count[bus] % size]
        q[at.Q_END], q[at.Q_RANK] = e[at.E_END], e[at.E_BANK] >> s[at.S_RANK_SHIFT]
        q[at.Q_WHO], q[at.Q_TICK], q[at.Q_LATEST] = e[at.E_WHO], e[at.E_CYCLE], max(latest, e[at.E_END])
        count[bus] += 1
