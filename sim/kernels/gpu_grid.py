"""A grid of CTAs on the SMs of a GPU, event by event: copy pipeline, ports, L2, DRAM, arithmetic, output.

An event is one slot of one SM that asks for the operands of its next chunk of steps, or that writes the output of a CTA.
Events are taken in the order of time, so the shared servers (L2, DRAM, each SM's port) serve requests first come, first
served; contention, ramp-up, drain and tails follow from that.

A CTA walks over its steps. The loads of a step may be issued once a stage of the pipeline is free, that is when the step
``stages`` before it has been computed; its arithmetic begins when the data is there, the step before is done and the SM's
arithmetic is free. A chunk is a number of steps taken together; within it steps flow evenly.
"""

import numpy as np

from . import gpu_layout as gl
from .gpu_cache import cache_access
from .gpu_heap import drop_first, push, replace_first
from .gpu_layout import RATE_BITS
from .jit import inlined, kernel

_WHO_BITS = 20
_WHO = (1 << _WHO_BITS) - 1
_SPREAD, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_HALF, _UPPER = np.uint64(29), np.uint64(32)


@inlined
def _key(tick, who, writes):
    """Event key: ``who`` is the slot, or the CTA of a write that no slot waits for."""
    return (tick << (_WHO_BITS + 1)) | (who << 1) | writes


@inlined
def _dram(grid, state, tick, granule, size, rate):
    """Read or write a granule; the tick at which the last of its slices is through.

    Its slices lie on servers in a row, from one that follows from the granule's number (two multiplications) on.
    """
    servers = grid[gl.G_DRAM_SERVERS]
    slices = min(servers, (size + grid[gl.G_DRAM_SLICE] - 1) // grid[gl.G_DRAM_SLICE])
    busy = ((size * rate) >> RATE_BITS) // slices
    mixed = np.uint64(granule) * _SPREAD
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX
    server = np.int64(((mixed >> _UPPER) * np.uint64(servers)) >> _UPPER)
    through = tick
    for _ in range(slices):
        free = max(state.servers[1 + server], tick) + busy
        state.servers[1 + server] = free
        through = max(through, free)
        server = server + 1 if server + 1 < servers else 0
    return through


@inlined
def _write_back(grid, state, out, tick, granule):
    """A dirty granule leaves for the DRAM; the tick at which it is there."""
    out[gl.R_DRAM_WRITE] += grid[gl.G_DIRTY_BYTES]
    return _dram(grid, state, tick, granule, grid[gl.G_DIRTY_BYTES], grid[gl.G_DRAM_WRITE_RATE])


@inlined
def _fetch(grid, state, cache, out, tick, first, granules, size, share):
    """Ask the L2 for ``size`` bytes; ready when its lines are there (the L2's own time is added by the caller)."""
    ready = tick
    part = size // granules
    for i in range(granules):
        line, hit, dropped = cache_access(cache, first + i, 0)
        if hit:
            out[gl.R_L2_HIT] += part // share
        else:
            if dropped >= 0:
                _write_back(grid, state, out, tick, dropped)
            through = _dram(grid, state, tick, first + i, part, grid[gl.G_DRAM_READ_RATE])
            cache.ready[line] = through + grid[gl.G_DRAM_LATENCY]
            out[gl.R_DRAM_READ] += part
        ready = max(ready, cache.ready[line])
    moved = size // share
    out[gl.R_L2_READ] += moved
    state.servers[0] = max(state.servers[0], tick) + ((moved * grid[gl.G_L2_RATE]) >> RATE_BITS)
    return ready


@inlined
def _load(grid, cta, state, cache, out, tick, c, step, chunk, steps, sm):
    """Ask for a chunk's operands.

    Returns:
        (first, last, cause): when the first step's data is there, when the last step's is, and what the last waited for.
    """
    latency = grid[gl.G_L2_LATENCY]
    ready = tick
    size = 0
    if step == 0 and cta[c, gl.C_PRE_BYTES] > 0:
        size += cta[c, gl.C_PRE_BYTES]
        at = _fetch(grid, state, cache, out, tick, cta[c, gl.C_PRE_FIRST], cta[c, gl.C_PRE_GRANULES], cta[c, gl.C_PRE_BYTES], 1)
        ready = max(ready, at)
    if cta[c, gl.C_A_BYTES] > 0:
        wanted = cta[c, gl.C_A_BYTES] * steps
        first = cta[c, gl.C_A_FIRST] + chunk * cta[c, gl.C_A_STRIDE]
        size += wanted
        at = _fetch(grid, state, cache, out, tick, first, cta[c, gl.C_A_GRANULES], wanted, grid[gl.G_A_SHARE])
        ready = max(ready, at)
    if cta[c, gl.C_B_BYTES] > 0:
        wanted = cta[c, gl.C_B_BYTES] * steps
        first = cta[c, gl.C_B_FIRST] + chunk * cta[c, gl.C_B_STRIDE]
        size += wanted
        at = _fetch(grid, state, cache, out, tick, first, cta[c, gl.C_B_GRANULES], wanted, grid[gl.G_B_SHARE])
        ready = max(ready, at)
    transfer = (size * grid[gl.G_PORT_RATE]) >> RATE_BITS
    through = max(state.port[sm], tick) + transfer
    state.port[sm] = through
    last = max(max(ready, state.servers[0]), through) + latency
    cause = gl.R_STALL_LATENCY
    if last - latency > tick + transfer:
        cause = gl.R_STALL_DRAM if ready >= max(through, state.servers[0]) else gl.R_STALL_L2
        if through >= max(ready, state.servers[0]):
            cause = gl.R_STALL_PORT
        elif cause == gl.R_STALL_DRAM and ready <= tick + transfer + grid[gl.G_DRAM_LATENCY]:
            cause = gl.R_STALL_LATENCY
    out[gl.R_IN_FLIGHT] += (last - tick) * size
    return last - transfer * (steps - 1) // steps, last, cause


@inlined
def _compute(grid, cta, state, out, slot, c, first, last, cause, steps, sm):
    """Arithmetic of a chunk; the tick at which it is done. Bubbles between steps are the slot's own: others may fill them."""
    each = cta[c, gl.C_STEP_TICKS]
    free = max(state.slots[slot, gl.S_DONE], state.pipe[sm])
    begin = max(first, free)
    done = max(begin + each * steps, last + each)
    out[cause] += done - free - each * steps
    out[gl.R_BUSY] += each * steps
    state.pipe[sm] = done
    done += grid[gl.G_BUBBLE] * steps
    state.slots[slot, gl.S_DONE] = done
    return done


@inlined
def _store(grid, cta, state, cache, out, tick, c):
    """Write the output of a CTA; the tick at which the CTA is over. A write waits for the dirty line that it displaces."""
    size, granules = cta[c, gl.C_OUT_BYTES], cta[c, gl.C_OUT_GRANULES]
    out[gl.R_L2_WRITE] += size
    displaced = tick
    for i in range(granules):
        _, _, dropped = cache_access(cache, cta[c, gl.C_OUT_FIRST] + i, 1)
        if dropped >= 0:
            displaced = max(displaced, _write_back(grid, state, out, tick, dropped))
    state.servers[0] = max(state.servers[0], tick) + ((size * grid[gl.G_L2_RATE]) >> RATE_BITS)
    own = tick + grid[gl.G_EPILOGUE] + ((size * grid[gl.G_EPILOGUE_RATE]) >> RATE_BITS)
    return max(max(own, displaced), state.servers[0])


@inlined
def _stage_free(grid, cta, state, slot, c, chunks):
    """When the stage of the first step of chunk number ``chunks`` of a slot is free."""
    chunk = grid[gl.G_CHUNK]
    freed = chunks * chunk - grid[gl.G_STAGES]
    if freed < 0:
        return 0
    before = freed // chunk
    steps_left = (before + 1) * chunk - 1 - freed
    return state.ring[slot, before % gl.RING] - steps_left * cta[c, gl.C_STEP_TICKS]


@inlined
def _begin(state, slot, c):
    """Give a slot its next CTA."""
    state.slots[slot, gl.S_CTA] = c
    state.slots[slot, gl.S_STEP] = 0


@kernel
def run_grid(grid, cta, state, cache, out):
    """Simulate a launch from its first instruction to its last write.

    Args:
        grid: int64[N_GRID], see :mod:`.gpu_layout`.
        cta: int64[CTAs, N_CTA], in the order in which CTAs are given to slots.
        state: working memory, any content.
        cache: the L2 as the launch finds it; changed.
        out: int64[N_RESULT], zeroed by the caller.
    """
    sms, n_cta = grid[gl.G_SMS], cta.shape[0]
    state.port[:] = 0
    state.pipe[:] = 0
    state.servers[:] = 0
    started = min(sms * grid[gl.G_SLOTS], n_cta)
    for slot in range(started):
        state.slots[slot, gl.S_CHUNKS] = state.slots[slot, gl.S_DONE] = 0
        _begin(state, slot, slot)
        push(state.heap, slot, _key(0, slot, 0))
    size, waiting = started, started
    while size > 0:
        key = state.heap[0]
        tick, who = key >> (_WHO_BITS + 1), (key >> 1) & _WHO
        out[gl.R_EVENTS] += 1
        if key & 1:
            own = grid[gl.G_OVERLAP] == gl.NO_OVERLAP
            over = _store(grid, cta, state, cache, out, tick, state.slots[who, gl.S_CTA] if own else who)
            out[gl.R_END] = max(out[gl.R_END], over)
            if own and waiting < n_cta:
                _begin(state, who, waiting)
                waiting += 1
                replace_first(state.heap, size, _key(over + grid[gl.G_CTA_LAUNCH], who, 0))
            else:
                drop_first(state.heap, size)
                size -= 1
            continue
        slot = who
        c, step, sm = state.slots[slot, gl.S_CTA], state.slots[slot, gl.S_STEP], slot % sms
        steps = min(grid[gl.G_CHUNK], cta[c, gl.C_STEPS] - step)
        first, last, cause = _load(grid, cta, state, cache, out, tick, c, step, step // grid[gl.G_CHUNK], steps, sm)
        done = _compute(grid, cta, state, out, slot, c, first, last, cause, steps, sm)
        chunks = state.slots[slot, gl.S_CHUNKS]
        state.ring[slot, chunks % gl.RING] = done
        state.slots[slot, gl.S_CHUNKS] = chunks + 1
        state.slots[slot, gl.S_STEP] = step + steps
        after = max(tick + grid[gl.G_ISSUE] * steps, _stage_free(grid, cta, state, slot, c, chunks + 1))
        if step + steps < cta[c, gl.C_STEPS]:
            replace_first(state.heap, size, _key(after, slot, 0))
            continue
        if grid[gl.G_OVERLAP] == gl.NO_OVERLAP:
            replace_first(state.heap, size, _key(done, slot, 1))
            continue
        if grid[gl.G_OVERLAP] == gl.LOADS_OVERLAP:
            done_writing = done + grid[gl.G_EPILOGUE] + ((cta[c, gl.C_OUT_BYTES] * grid[gl.G_EPILOGUE_RATE]) >> RATE_BITS)
            state.slots[slot, gl.S_DONE] = done_writing
        if waiting < n_cta:
            _begin(state, slot, waiting)
            waiting += 1
            replace_first(state.heap, size, _key(after, slot, 0))
        else:
            drop_first(state.heap, size)
            size -= 1
        push(state.heap, size, _key(done, c, 1))
        size += 1
