"""CTAs of a row-wise or elementwise kernel, event by event: loads round by round, pass by pass, instruction issue, stores.

All CTAs of such a kernel do the same. A CTA reads its rows in ``passes``; a pass is a number of rounds: the loads that its
threads have in flight together, one piece of each operand. The next round's loads are issued once the instructions of this one
are done. The last pass stores a piece of the output after each round; nobody waits for a store. From the second pass on an SM
finds a share of its pieces in its own L1.

An event is one slot of one SM that asks for a round, or whose round has arrived. Events are taken in the order of time, so that
the shared servers (L2, DRAM, each SM's port and its issue slots) serve first come, first served.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .gpu_cache import cache_access
from .gpu_heap import drop_first, push, replace_first
from .gpu_layout import RATE_BITS
from .jit import inlined, kernel

Ints = NDArray[np.int64]

(
    W_SMS, W_SLOTS, W_CTAS, W_OPERANDS, W_ROUNDS, W_PASSES, W_READ_BYTES, W_WRITES, W_WRITE_BYTES, W_MISS, W_CTA_LAUNCH, W_SYNC,
    W_PORT_RATE, W_L2_RATE, W_L2_LATENCY, W_DRAM_READ_RATE, W_DRAM_WRITE_RATE, W_DRAM_LATENCY, W_IN_PLACE, W_MARK, W_LAST,
    N_LAUNCH,
) = range(22)  # fmt: skip
"""A launch. Bytes are those of one round and operand; W_MISS is the share that later passes do not find in the L1, in 1/1024;
W_WRITES: pieces stored after a round of the last pass; W_IN_PLACE: they replace what was read; W_MARK and W_LAST: the first
CTAs of two waves in which the counters are noted, W_CTAS for none."""
MISS_ONE = 1024
ORIGIN = 1 << 40
"""Granules of operand number i begin at i times this, those of the output number i at (OUTPUTS + i) times this."""
OUTPUTS = 8
(
    Q_END, Q_DRAM_READ, Q_DRAM_WRITE, Q_L2_READ, Q_L2_HIT, Q_L2_WRITE, Q_EVENTS, Q_BUSY, Q_STALL_LATENCY, Q_STALL_PORT,
    Q_STALL_L2, Q_STALL_DRAM, Q_IN_FLIGHT, N_DONE,
) = range(14)  # fmt: skip
_WHO_BITS = 20
_WHO = (1 << _WHO_BITS) - 1


class RowState(NamedTuple):
    """Working memory; int64.

    Attributes:
        heap: [slots] event keys.
        slots: [slots, 3] CTA, pass and round of each slot.
        port, pipe: [sms] tick at which each SM's port to the L2, and its issue slots, are free.
        servers: [2] tick at which the L2 and the DRAM are free.
    """

    heap: Ints
    slots: Ints
    port: Ints
    pipe: Ints
    servers: Ints


def new_row_state(sms: int, slots_per_sm: int) -> RowState:
    """Working memory.

    Raises:
        ValueError: more slots than event keys can hold.
    """
    slots = sms * slots_per_sm
    if not 0 < slots <= _WHO:
        raise ValueError(f"{sms} SMs of {slots_per_sm} CTAs: at most {_WHO} CTAs")
    return RowState(*(np.zeros(shape, np.int64) for shape in ((slots,), (slots, 3), (sms,), (sms,), (2,))))


@inlined
def _key(tick, who, arrived):
    return (tick << (_WHO_BITS + 1)) | (who << 1) | arrived


@inlined
def _ask(p, state, cache, out, tick, slot, sm):
    """Ask for a round of a slot's CTA; the tick at which all of it is there."""
    c, again, turn = state.slots[slot, 0], state.slots[slot, 1], state.slots[slot, 2]
    size = p[W_READ_BYTES]
    if again > 0:
        size = size * p[W_MISS] // MISS_ONE
        if size == 0:
            return tick
    ready = tick
    for operand in range(p[W_OPERANDS]):
        line, hit, dropped = cache_access(cache, operand * ORIGIN + c * p[W_ROUNDS] + turn, 0)
        if dropped >= 0:
            out[Q_DRAM_WRITE] += p[W_WRITE_BYTES]
            state.servers[1] = max(state.servers[1], tick) + ((p[W_WRITE_BYTES] * p[W_DRAM_WRITE_RATE]) >> RATE_BITS)
        if hit:
            out[Q_L2_HIT] += size
        else:
            state.servers[1] = max(state.servers[1], tick) + ((size * p[W_DRAM_READ_RATE]) >> RATE_BITS)
            cache.ready[line] = state.servers[1] + p[W_DRAM_LATENCY]
            out[Q_DRAM_READ] += size
        ready = max(ready, cache.ready[line])
    moved = size * p[W_OPERANDS]
    out[Q_L2_READ] += moved
    state.servers[0] = max(state.servers[0], tick) + ((moved * p[W_L2_RATE]) >> RATE_BITS)
    transfer = (moved * p[W_PORT_RATE]) >> RATE_BITS
    state.port[sm] = max(state.port[sm], tick) + transfer
    through = max(state.port[sm], state.servers[0])
    last = max(ready, through) + p[W_L2_LATENCY]
    cause = Q_STALL_LATENCY
    if ready > max(through, tick + transfer + p[W_DRAM_LATENCY]):
        cause = Q_STALL_DRAM
    elif through > max(ready, tick + transfer):
        cause = Q_STALL_PORT if state.port[sm] >= state.servers[0] else Q_STALL_L2
    out[cause] += last - tick
    out[Q_IN_FLIGHT] += (last - tick) * moved
    return last


@inlined
def _store(p, state, cache, out, tick, slot):
    """Write the pieces of a round; the tick at which the L2 has them."""
    c, turn = state.slots[slot, 0], state.slots[slot, 2]
    for output in range(p[W_WRITES]):
        region = output if p[W_IN_PLACE] else OUTPUTS + output
        _, _, dropped = cache_access(cache, region * ORIGIN + c * p[W_ROUNDS] + turn, 1)
        if dropped >= 0:
            out[Q_DRAM_WRITE] += p[W_WRITE_BYTES]
            state.servers[1] = max(state.servers[1], tick) + ((p[W_WRITE_BYTES] * p[W_DRAM_WRITE_RATE]) >> RATE_BITS)
        out[Q_L2_WRITE] += p[W_WRITE_BYTES]
        state.servers[0] = max(state.servers[0], tick) + ((p[W_WRITE_BYTES] * p[W_L2_RATE]) >> RATE_BITS)
    return max(tick, state.servers[0])


@kernel
def run_rows(p, issue, state, cache, out, noted):
    """Simulate a launch from its first load to its last store.

    Args:
        p: int64[N_LAUNCH]; ticks, and rates of them as :mod:`.gpu_layout` has them.
        issue: int64[passes] ticks in which an SM issues the instructions of a round, by pass.
        state: working memory, any content.
        cache: the L2 as the launch finds it; changed.
        out: int64[N_DONE], zeroed by the caller.
        noted: int64[2, N_DONE], zeroed: sums over the two waves of the counters as a CTA begins, for Q_END of that tick.
    """
    sms, ctas, passes = p[W_SMS], p[W_CTAS], p[W_PASSES]
    state.port[:] = 0
    state.pipe[:] = 0
    state.servers[:] = 0
    started = min(sms * p[W_SLOTS], ctas)
    for slot in range(started):
        state.slots[slot, 0] = slot
        state.slots[slot, 1] = state.slots[slot, 2] = 0
        push(state.heap, slot, _key(0, slot, 0))
    size, waiting = started, started
    while size > 0:
        key = state.heap[0]
        tick, slot = key >> (_WHO_BITS + 1), (key >> 1) & _WHO
        sm = slot % sms
        out[Q_EVENTS] += 1
        if key & 1 == 0:
            replace_first(state.heap, size, _key(_ask(p, state, cache, out, tick, slot, sm), slot, 1))
            continue
        now = state.slots[slot, 1]
        done = max(tick, state.pipe[sm]) + issue[now]
        state.pipe[sm] = done
        out[Q_BUSY] += issue[now]
        if now + 1 == passes:
            out[Q_END] = max(out[Q_END], _store(p, state, cache, out, done, slot))
        state.slots[slot, 2] += 1
        if state.slots[slot, 2] == p[W_ROUNDS]:
            state.slots[slot, 2] = 0
            state.slots[slot, 1] = now + 1
            done += p[W_SYNC]
        if state.slots[slot, 1] < passes:
            replace_first(state.heap, size, _key(done, slot, 0))
        elif waiting < ctas:
            state.slots[slot, 0] = waiting
            state.slots[slot, 1] = 0
            for window in range(2):
                if p[W_MARK + window] <= waiting < p[W_MARK + window] + started:
                    for count in range(N_DONE):
                        noted[window, count] += done if count == Q_END else out[count]
            waiting += 1
            replace_first(state.heap, size, _key(done + p[W_CTA_LAUNCH], slot, 0))
        else:
            drop_first(state.heap, size)
            size -= 1
