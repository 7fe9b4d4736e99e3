"""All channels of a system through one step, and the host taking in what they deliver.

Channels that stand in the same state before the same stream are simulated once and copied. Two states are the same where
everything that could still bind is: issue times further back than the largest gap cannot. What they lie back from is the
release of the stream, or the refresh that is due before it: it has not been issued yet, and what follows waits for it.
"""

import numpy as np

from . import layout as at
from .inorder import advance
from .jit import inlined, kernel


@inlined
def _equal(a, b, cutoff):
    """Whether two last-issue keys are the same or both too old to matter."""
    return a == b or (a < cutoff and b < cutoff)


@inlined
def _copy(target, source):
    """Element by element: numba's own array assignment would need reference counting."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@inlined
def _last_cycle(state):
    """Cycle of the last issue, 0 if there was none."""
    return max(state[at.T_LAST_ISSUE] >> at.RULE_BITS, 0)


@kernel
def same_future(scalars, a, b, not_before):
    """Whether two channel states lead to the same cycles for any stream released at ``not_before``."""
    first = not_before
    if scalars[at.S_REFRESH_INTERVAL] > 0:
        first = min(first, (a[at.T_REFRESHED] + 1) * scalars[at.S_REFRESH_INTERVAL])
    cutoff = (first - scalars[at.S_MAX_GAP]) << at.RULE_BITS
    if a[at.T_REFRESHED] != b[at.T_REFRESHED] or a[at.T_OPEN_BANKS] != 0 or b[at.T_OPEN_BANKS] != 0:
        return False
    if not _equal(a[at.T_LAST_ISSUE], b[at.T_LAST_ISSUE], cutoff):
        return False
    last, n_commands = scalars[at.S_LAST], scalars[at.S_COMMANDS]
    narrow = not (a[at.T_LAST_NARROW] < cutoff and b[at.T_LAST_NARROW] < cutoff)
    end = scalars[at.S_SCRATCH] if narrow else last + n_commands
    for i in range(last, end):
        if not _equal(a[i], b[i], cutoff):
            return False
    depth, positions = scalars[at.S_RING], scalars[at.S_RING_POS]
    for index in range(scalars[at.S_RINGS]):
        ring = at.T_ROWS + scalars[at.S_BANKS] + index * depth
        for i in range(depth):
            x = a[ring + (a[positions + index] + i) % depth]
            y = b[ring + (b[positions + index] + i) % depth]
            if not _equal(x, y, cutoff):
                return False
    return True


@kernel
def advance_all(
    scalars, commands, predecessors, windows, channels, stream, slices, row_shift, not_before, arrivals, no_log, record, waits,
):  # fmt: skip
    """Run ``stream[slices[0, c]:slices[1, c]]`` on each channel c, all released at ``not_before``.

    Args:
        channels: int64[channels, 2 state_size + waits + commands]: the state of each, changed in place; then scratch.
        arrivals: int64[tiles], filled: the latest issue cycle over the channels of each tile's read.
        record: int64[N_STEP + commands], filled: sums over the channels (see ``layout``), commands issued by all of them.
        waits: int64[N_RESULT + rules], added to: cycles booked by binding, over all channels.

    Returns:
        the worst status of a channel.
    """
    n_channels, size, interval = channels.shape[0], scalars[at.S_STATE_SIZE], scalars[at.S_REFRESH_INTERVAL]
    states, before = channels[:, :size], channels[:, size : 2 * size]
    results = channels[:, 2 * size : 2 * size + waits.shape[0]]
    counts = channels[:, 2 * size + waits.shape[0] :]
    record[:] = 0
    record[at.P_START], record[at.P_END] = at.FOREVER, at.NEVER
    arrivals[:] = at.NEVER
    for c in range(n_channels):
        begin, end = slices[0, c], slices[1, c]
        if begin == end:
            continue
        twin = -1
        for d in range(c):
            if slices[0, d] == begin and slices[1, d] == end and same_future(scalars, before[d], states[c], not_before):
                twin = d
                break
        if twin >= 0:
            # all that differs is when the wait for the host, or for a refresh to fall due, began
            due = (states[c, at.T_REFRESHED] + 1) * interval
            slot = at.R_WAIT_DUE if interval > 0 and due <= not_before else at.R_WAIT_HOST
            longer = _last_cycle(before[twin]) - _last_cycle(states[c])
            _copy(channels[c], channels[twin])
            _copy(before[c], before[twin])
            results[c, slot] += longer
        else:
            record[at.P_SIMULATED] += 1
            _copy(before[c], states[c])
            results[c, :] = 0
            results[c, at.R_START], results[c, at.R_END] = at.FOREVER, at.NEVER
            counts[c, :] = 0
            states[c, at.T_STREAM_POS], states[c, at.T_RUN_POS] = begin, 0
            advance(
                scalars, commands, predecessors, windows, states[c], stream, end, row_shift, not_before, at.FOREVER,
                arrivals, results[c], counts[c], no_log,
            )  # fmt: skip
        record[at.P_START] = min(record[at.P_START], results[c, at.R_START])
        record[at.P_END] = max(record[at.P_END], results[c, at.R_END])
        record[at.P_STATUS] = max(record[at.P_STATUS], results[c, at.R_STATUS])
        record[at.P_ACTIVE] += results[c, at.R_ACTIVE]
        record[at.P_MACS] += results[c, at.R_MACS]
        record[at.P_FORCED] += results[c, at.R_FORCED]
        for i in range(counts.shape[1]):
            record[at.N_STEP + i] += counts[c, i]
        for i in range(at.R_WAIT_ORDER, waits.shape[0]):
            waits[i] += results[c, i]
    return record[at.P_STATUS]


@kernel
def take_in(arrivals, latency, numerator, denominator, free, cycles, elements, tail, finished):
    """The host takes in tiles in order, each once it is there and the one before is done.

    Args:
        arrivals: int64[tiles], issue cycle of each tile's read, in device cycles.
        latency: device cycles from there to the tile's last data.
        numerator, denominator: host cycles per device cycle.
        free: host cycle from which the host is free.
        cycles: int64[tiles], host cycles a tile takes; ``tail`` more after the last.
        elements: int64[tiles], what waits in SRAM until it is taken in.
        finished: scratch, int64[tiles].

    Returns:
        host cycle when all is done, busy cycles, most elements waiting at once.
    """
    time, busy, waiting, peak, oldest = free, np.int64(0), np.int64(0), np.int64(0), 0
    for i in range(arrivals.shape[0]):
        arrival = -(-(arrivals[i] + latency) * numerator // denominator)
        while oldest < i and finished[oldest] <= arrival:
            waiting -= elements[oldest]
            oldest += 1
        waiting += elements[i]
        peak = max(peak, waiting)
        time = max(time, arrival) + cycles[i]
        busy += cycles[i]
        finished[i] = time
    return time + tail, busy + tail, peak
