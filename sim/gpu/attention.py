"""Attention kernels: FlashAttention prefill and decode as grids of CTAs, with the small kernels that go with them."""

from collections.abc import Iterator
from math import gcd, log2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...arch.stack import AttentionGeneration, AttentionPolicy
from ...arch.values import Duration
from ..kernels import gpu_layout as gl
from .attention_plan import Plan, plan, steps_of_tiles, up
from .copies import OUT_BYTES, Copy, copy
from .engine import Grid, GridResult, KernelRun, Resident, simulate
from .kernels import Attention
from .loop import Loop, resident_share
from .machine import ELEMENT_BYTES, Chip, Costs
from .steady import extended

EVENTS = 12000
"""Events up to which a launch is simulated step by step; beyond, steps are taken in chunks."""
CTAS = 5000
"""CTAs up to which a launch is simulated whole; beyond, some units are, and the rest is more of the same."""
STEADY = 10
"""Waves after which a launch goes on as before, and waves from which that is read."""
COPY_BYTES, COPY_THREADS = 4096, 128
"""Bytes that a CTA of a copy moves, and its threads."""
COMBINE_ROWS = 8
"""Rows that a CTA adds up."""
WRITE_THREADS = 512
"""Most threads of the CTA that writes a token's key and value."""
WARP_GROUP_ROWS = 64
"""Query rows of one warp group."""
BLOCK = 64 * 64
"""Elements of a block of queries and results, by which the ends of a tile are counted."""
SCANNED = 31
"""Sequences that a warp of FlashAttention 3's scheduler looks at together."""
SCHEDULED_ROWS = 4 * 16
"""Rows of one product of each of an SM's warp schedulers (mma.sync m16n8k16)."""
TOGETHER, TOGETHER_BYTES = 16, 50 << 20
"""Heads of a sequence, at most, and bytes of their keys and values, whose tiles FlashAttention 3 takes longest first."""
DYNAMIC = 992
"""Sequences up to which FlashAttention 3 counts blocks first."""
_ORIGIN_Q, _ORIGIN_OUT, _ORIGIN_V, _ORIGIN_OLD = 1 << 40, 1 << 41, 1 << 42, 1 << 43


class Shares(NamedTuple):
    """Shares that the L2 holds: of all operands when a call begins; of keys and values when attention itself begins.

    ``worn``: what else it holds is dirty, results or keys and values that were written.
    """

    call: float
    keys: float
    worn: bool


def run_attention(attention: Attention, chip: Chip, policy: AttentionPolicy, costs: Costs, loop: Loop) -> KernelRun:
    """Simulate one call: writing the new keys and values, attention, and adding up its parts.

    Kernels that follow the first are launched meanwhile, or almost: their launches are in ``us``, that of the first is not, so
    the run counts one. All other costs are in ``policy``; of ``costs``, nothing is used.

    Raises:
        KeyError: the library has no tile for such large heads, or the chip no rate for the type.
        ValueError: a call that makes no sense.
    """
    cut = plan(attention, chip, policy)
    share = shares(attention, chip, policy, cut, loop)
    result = _attend(attention, chip, policy, cut, share)
    us, kernels = 0.0, 1
    for extra in _helpers(attention, chip, policy, cut, share):
        result, kernels = result + extra, kernels + 1
    follow = _us(policy.follow, chip)
    if cut.most > 1:  # it may be launched while attention still runs, so its launch is in its cost
        us += _us(policy.combine, chip) - follow
    if policy.generation is not AttentionGeneration.FA2:
        at_once = policy.parallel_count is not None and bool(policy.parallel_count.value)
        counted = at_once or attention.batch <= DYNAMIC  # a kernel counts the blocks of each sequence, and tiles read its counts
        persistent = policy.generation is AttentionGeneration.FA3 or cut.most > 1  # CTAs look for their tiles themselves
        scan = 0.0 if policy.sequences is None else _us(policy.sequences, chip)
        us += scan * attention.batch / SCANNED * ((counted and not at_once) + persistent)
        kernels += counted
    kernels += cut.most > 1 and cut.splits == 1  # nothing to add up, but the kernel was launched
    us += (kernels - 1) * follow + result.cycles / chip.clock_hz * 1e6
    waves = cut.units * cut.tiles * cut.splits / (chip.sms * cut.slots)
    choice = (
        f"tile {cut.queries}x{cut.keys}, {cut.group} heads a tile, split-KV {cut.splits}, {waves:.1f} waves, {kernels} kernels"
    )
    return KernelRun(us, 1, choice, waves, result)


def _us(duration: Duration, chip: Chip) -> float:
    """Microseconds, of cycles too."""
    return duration.value / chip.clock_hz * 1e6 if duration.in_cycles else duration.value / 1e6


def _cycles(duration: Duration, chip: Chip) -> float:
    """SM cycles, of a time too."""
    return _us(duration, chip) * 1e-6 * chip.clock_hz


def _helpers(attention: Attention, chip: Chip, policy: AttentionPolicy, cut: Plan, share: Shares) -> Iterator[GridResult]:
    """The small kernels of a call: the write into the cache, copies that turn queries into rows, adding up parts."""
    a, element = attention, ELEMENT_BYTES[attention.dtype]
    life = _cycles(policy.kv_write, chip)
    if a.phase != "encoder" and policy.separate_kv_write.value:
        yield copy(chip, _kv_write(a, policy, life), share.call)
    if turned(policy, cut):
        query_bytes = a.batch * a.heads * a.seq_q * a.head_dim * element
        ctas = up(round(query_bytes), COPY_BYTES)
        for _ in range(3 if a.batch > 1 and a.kv_heads > 1 else 1):  # queries in, results out; one copy where no order changes
            yield copy(chip, Copy(ctas, COPY_THREADS, 1, query_bytes / ctas, query_bytes / ctas, life), share.call)
    if cut.splits > 1:
        rows = a.batch * a.heads * a.seq_q
        size = a.head_dim * min(rows, COMBINE_ROWS)
        stages = 1 if policy.generation is AttentionGeneration.FA2 else 4
        ctas = up(rows, COMBINE_ROWS)
        yield copy(chip, Copy(ctas, COPY_THREADS, cut.splits, 4 * size, size * element, 0.0, stages), 1.0)


def _kv_write(attention: Attention, policy: AttentionPolicy, life: float) -> Copy:
    """New keys and values go into the cache: a CTA a token, or, where warps do that, four warps of one token or more."""
    a, reads = attention, policy.kv_write_reads.value
    tokens, width = a.batch * a.seq_q, a.kv_heads * a.head_dim
    size = width * ELEMENT_BYTES[a.dtype]
    if policy.kv_write_warp is None:
        return Copy(tokens, min(WRITE_THREADS, up(width, 32) * 32), reads, 2 * size / reads, 2 * size, life)
    warps = next(n for n in (4, 2, 1) if n == 1 or size % (n * policy.kv_write_warp.value) == 0)  # of a token
    size *= 4 / warps
    return Copy(up(tokens * warps, 4), 4 * 32, reads, 2 * size / reads, 2 * size, life)


def turned(policy: AttentionPolicy, cut: Plan) -> bool:
    """Whether copies bring query heads into the order of rows: FlashAttention 2 packs heads only outside of its kernel."""
    return policy.generation is AttentionGeneration.FA2 and cut.group > 1


def shares(attention: Attention, chip: Chip, policy: AttentionPolicy, cut: Plan, loop: Loop) -> Shares:
    """What a call of a loop finds: its queries and results, new keys and values, and the cache that they are written to.

    Where all keys are new, they have just been written when attention begins, and what fits is there even in a cold call.
    """
    a = attention
    size = 2 * ELEMENT_BYTES[a.dtype] * a.head_dim * a.batch
    writes = a.phase != "encoder" and bool(policy.separate_kv_write.value)
    new, cache, queries = size * a.kv_heads * a.seq_q if writes else 0.0, size * a.kv_heads * a.seq_kv, size * a.heads * a.seq_q
    queries *= 2 if turned(policy, cut) else 1
    call = 0.0 if loop.cold else resident_share(loop.copies * (new + cache + queries), chip.l2_usable_bytes)
    kept = call
    if loop.program_bytes:
        kept = resident_share(loop.program_bytes, chip.l2_usable_bytes)
        call = max(kept, resident_share(new + queries, chip.l2_usable_bytes))
    written = resident_share(new + cache, chip.l2_usable_bytes) if writes and a.seq_q == a.seq_kv else 0.0
    return Shares(call, max(kept, written), not loop.cold and call < 1 and a.phase != "decode")


def step_cycles(chip: Chip, policy: AttentionPolicy, cut: Plan, dtype: str) -> float:
    """SM cycles of one block of keys: both products, and what of the softmax does not hide behind them.

    On Ampere the products of some rows hide the softmax of others: of 16 rows a warp scheduler, nothing, of twice as many
    ``exposed_softmax`` stays, and so on. On Hopper warp groups take turns, as many as there are.
    """
    scores = cut.queries * cut.keys
    products = 2 * scores * cut.lanes / chip.macs(dtype)
    softmax = scores * (1 / chip.sfu_per_cycle + policy.softmax_operations.value / chip.simt_macs["fp32"])
    exposed = policy.exposed_softmax.value / 1000
    if policy.generation is not AttentionGeneration.FA3:
        rows = cut.queries * min(cut.slots, up(cut.units * cut.tiles * cut.splits, chip.sms))
        exposed **= log2(max(1.0, rows / SCHEDULED_ROWS))
    return products + softmax * exposed


def _attend(attention: Attention, chip: Chip, policy: AttentionPolicy, cut: Plan, share: Shares) -> GridResult:
    step = step_cycles(chip, policy, cut, attention.dtype)

    def run(units: int) -> GridResult:
        return simulate(chip, _grid(attention, chip, policy, cut._replace(units=units), share, step))

    each, slots = cut.tiles * cut.splits, chip.sms * cut.slots
    if cut.units * each <= CTAS:
        return run(cut.units)
    period = slots // gcd(each, slots)
    if period * each > CTAS:  # whole waves would be too many units
        period = 1
    more = period * up(STEADY * slots, period * each)
    first = cut.units % period + more
    if first + 2 * more >= cut.units:
        return run(cut.units)
    return extended(run(first), run(first + more), (cut.units - first - more) / more)


def _grid(attention: Attention, chip: Chip, policy: AttentionPolicy, cut: Plan, share: Shares, step: float) -> Grid:
    a, fa3 = attention, policy.generation is AttentionGeneration.FA3
    whole = steps_of_tiles(a, cut)
    blocks = int(whole.max())
    chunk, total = 1, int(whole.sum()) * cut.units
    while total > EVENTS * chunk and blocks // cut.splits >= 8 * chunk:
        chunk *= 2
    if a.phase == "prefill" and fa3:
        whole = whole[::-1]
    size = ELEMENT_BYTES[a.dtype] * a.head_dim
    step_bytes = a.seq_kv * size / up(a.seq_kv, cut.keys)
    granule_bytes = chunk * step_bytes
    per = -(-whole // cut.splits)
    part = np.arange(cut.splits)[:, None]
    steps = np.clip(whole[None, :] - part * per[None, :], 0, per[None, :])
    first = part * up(int(per.max()), chunk) if a.phase != "prefill" else part * per[None, :] // chunk
    first = np.broadcast_to(first, steps.shape)
    span = max(up(blocks, chunk) + 1, cut.splits * up(int(per.max()), chunk))
    kept = steps.ravel() > 0
    n = int(kept.sum())
    cta = np.zeros((cut.units, n, gl.N_CTA), np.int64)
    sharing = a.heads // a.kv_heads // cut.group
    unit = np.arange(cut.units)[:, None]
    cta[:, :, gl.C_STEPS] = steps.ravel()[kept]
    cta[:, :, gl.C_A_FIRST] = unit // sharing * span + first.ravel()[kept]
    cta[:, :, gl.C_B_FIRST] = cta[:, :, gl.C_A_FIRST] + _ORIGIN_V
    cta[:, :, (gl.C_A_STRIDE, gl.C_A_GRANULES, gl.C_B_STRIDE, gl.C_B_GRANULES)] = 1
    cta[:, :, (gl.C_A_BYTES, gl.C_B_BYTES)] = round(step_bytes)
    rows = a.seq_q * cut.group / cut.tiles
    q_bytes, out_bytes = rows * size, rows * a.head_dim * (4 if cut.splits > 1 else ELEMENT_BYTES[a.dtype])
    q_granules, out_granules = (max(1, round(x / granule_bytes)) for x in (q_bytes, out_bytes))
    tile = np.broadcast_to(np.arange(cut.tiles), steps.shape).ravel()[kept]
    cta[:, :, gl.C_PRE_FIRST] = _ORIGIN_Q + (unit * cut.tiles + tile) * q_granules
    cta[:, :, gl.C_PRE_GRANULES], cta[:, :, gl.C_PRE_BYTES] = q_granules, round(q_bytes)
    cta[:, :, gl.C_OUT_FIRST] = _ORIGIN_OUT + (unit * n + np.arange(n)) * out_granules
    cta[:, :, gl.C_OUT_GRANULES], cta[:, :, gl.C_OUT_BYTES] = out_granules, round(out_bytes)
    ends = _cycles(policy.tile, chip) + _cycles(policy.tile_block, chip) * cut.queries * a.head_dim / BLOCK
    apart = policy.generation is AttentionGeneration.FA3_AMPERE  # another CTA of the SM computes meanwhile
    each = step + (0.0 if apart else ends / steps.ravel()[kept])
    cta[:, :, gl.C_STEP_TICKS] = np.round(each * gl.TICKS).astype(np.int64)
    kv_granules = up(cut.units, sharing) * span
    parts = (
        Resident(_ORIGIN_OLD, int(chip.l2_usable_bytes / granule_bytes), float(share.worn), True),
        Resident(_ORIGIN_OUT, cut.units * n * out_granules, share.call, True),
        Resident(_ORIGIN_Q, cut.units * cut.tiles * q_granules, share.call),
        Resident(0, kv_granules, share.keys, a.phase == "prefill"),
        Resident(_ORIGIN_V, kv_granules, share.keys, a.phase == "prefill"),
    )
    ahead = fa3 and cut.queries > WARP_GROUP_ROWS  # persistent CTAs; the loads of the next tile begin while one is written
    if a.phase == "prefill" and fa3:
        together = TOGETHER
        while together > 1 and together * 2 * size * a.seq_kv > TOGETHER_BYTES:
            together //= 2
        cta = _longest_first(cta, min(together, a.heads // cut.group))
    return Grid(
        cta.reshape(-1, gl.N_CTA), cut.slots, cut.stages, chunk, granule_bytes, out_bytes / out_granules,
        gl.LOADS_OVERLAP if ahead else gl.NO_OVERLAP, chip.l2_latency + (ends if apart else 0.0), OUT_BYTES, 0.0,
        residents=[part for part in parts if part.granules and part.share > 0],
    )  # fmt: skip


def _longest_first(cta: NDArray[np.int64], together: int) -> NDArray[np.int64]:
    """CTAs [units, tiles, N_CTA] in the order in which they are given out: tile by tile of some units that go together."""
    whole = len(cta) // together * together
    first = cta[:whole].reshape(-1, together, *cta.shape[1:]).swapaxes(1, 2).reshape(-1, cta.shape[2])
    return np.concatenate((first, cta[whole:].swapaxes(0, 1).reshape(-1, cta.shape[2])))
