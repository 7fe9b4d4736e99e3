"""Attention kernels: FlashAttention prefill and decode as grids of CTAs, with the small kernels that go with them."""

from dataclasses import replace
from math import gcd

import numpy as np

from ...arch.stack import AttentionGeneration, AttentionPolicy
from ..kernels import gpu_layout as gl
from .attention_plan import Plan, plan, steps_of_tiles, up
from .engine import Grid, GridResult, KernelRun, Resident, simulate, ticks
from .gemm import extended
from .kernels import Attention
from .loop import Loop, resident_share
from .machine import ELEMENT_BYTES, Chip, Costs

EVENTS = 6000
"""Events up to which a launch is simulated step by step; beyond, steps are taken in chunks."""
CTAS = 3000
"""CTAs up to which a launch is simulated whole; beyond, some units are, and the rest is more of the same."""
COPY_BYTES = 16384
"""Bytes that a CTA of a helper kernel copies in one step."""
_ORIGIN_Q, _ORIGIN_OUT, _ORIGIN_V = 1 << 40, 1 << 41, 1 << 42


def run_attention(attention: Attention, chip: Chip, policy: AttentionPolicy, costs: Costs, loop: Loop) -> KernelRun:
    """Simulate one call: writing the new keys and values, attention, and adding up its parts.

    Raises:
        KeyError: the library has no tile for such large heads, or the chip no rate for the type.
        ValueError: a call that makes no sense.
    """
    cut = plan(attention, chip, policy)
    share = _warm_share(attention, chip, loop)
    result = _attend(attention, chip, policy, costs, cut, share)
    launches = 1
    if attention.phase != "encoder" and policy.separate_kv_write.value:
        tokens = attention.batch * attention.seq_q
        size = round(2 * tokens * attention.kv_heads * attention.head_dim * ELEMENT_BYTES[attention.dtype])
        result, launches = _copy(chip, costs, size, size, share) + result, launches + 1
    if policy.generation is AttentionGeneration.FA3:
        launches += 1  # one CTA that counts the blocks of each sequence
    if cut.splits > 1:
        rows = attention.batch * attention.heads * attention.seq_q * attention.head_dim
        combined = _copy(chip, costs, 4 * rows * cut.splits, round(rows * ELEMENT_BYTES[attention.dtype]), 1.0)
        result, launches = result + combined, launches + 1
    waves = cut.units * cut.tiles * cut.splits / (chip.sms * cut.slots)
    choice = f"tile {cut.queries}x{cut.keys}, {cut.group} heads a tile, split-KV {cut.splits}, {waves:.1f} waves"
    return KernelRun(result.cycles / chip.clock_hz * 1e6, launches, choice, waves, result)


def _warm_share(attention: Attention, chip: Chip, loop: Loop) -> float:
    """Share of the operands that the L2 holds when a call begins."""
    if loop.cold:
        return 0.0
    a = attention
    size = ELEMENT_BYTES[a.dtype] * a.head_dim
    once = 2 * a.batch * size * (a.kv_heads * a.seq_kv + a.heads * a.seq_q)
    return resident_share(loop.copies * once, chip.l2_usable_bytes)


def step_cycles(chip: Chip, policy: AttentionPolicy, cut: Plan, dtype: str) -> float:
    """SM cycles of one block of keys: both products, and what of the softmax does not hide behind them."""
    scores = cut.queries * cut.keys
    products = 2 * scores * cut.lanes / chip.macs(dtype)
    softmax = scores * (1 / chip.sfu_per_cycle + policy.softmax_operations.value / chip.simt_macs["fp32"])
    return products + softmax * policy.exposed_softmax.value / 1000


def _attend(attention: Attention, chip: Chip, policy: AttentionPolicy, costs: Costs, cut: Plan, share: float) -> GridResult:
    def run(units: int) -> GridResult:
        return simulate(chip, _grid(attention, chip, policy, costs, cut._replace(units=units), share))

    each, slots = cut.tiles * cut.splits, chip.sms * cut.slots
    if cut.units * each <= CTAS:
        return run(cut.units)
    period = slots // gcd(each, slots)
    if period * each > CTAS:
        period = max(1, up(CTAS // 2, each))
    first = cut.units % period + period
    while first * each < 2 * slots and first + period < cut.units:
        first += period
    if first + 2 * period >= cut.units:
        return run(cut.units)
    return extended(run(first), run(first + period), (cut.units - first - period) / period)


def _grid(attention: Attention, chip: Chip, policy: AttentionPolicy, costs: Costs, cut: Plan, share: float) -> Grid:
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
    cta[:, :, gl.C_STEP_TICKS] = ticks(step_cycles(chip, policy, cut, a.dtype))
    kv_granules = up(cut.units, sharing) * span
    residents = [] if share == 0 else [
        Resident(_ORIGIN_OUT, cut.units * n * out_granules, share, True),
        Resident(_ORIGIN_Q, cut.units * cut.tiles * q_granules, share), Resident(0, kv_granules, share),
        Resident(_ORIGIN_V, kv_granules, share),
    ]  # fmt: skip
    return Grid(
        cta.reshape(-1, gl.N_CTA), cut.slots, cut.stages, chunk, granule_bytes, out_bytes / out_granules,
        gl.LOADS_OVERLAP if fa3 else gl.NO_OVERLAP, costs.epilogue, costs.epilogue_bytes, costs.cta_launch, residents=residents,
    )  # fmt: skip


def _copy(chip: Chip, costs: Costs, read: int, written: int, share: float) -> GridResult:
    """A helper kernel: ``read`` bytes in, ``written`` bytes out, by CTAs that each do a little."""
    slots = 8
    n = max(1, min(up(read, COPY_BYTES), 4 * chip.sms * slots))
    cta = np.zeros((n, gl.N_CTA), np.int64)
    index = np.arange(n)
    cta[:, gl.C_STEPS] = 1
    cta[:, gl.C_A_FIRST], cta[:, gl.C_A_GRANULES], cta[:, gl.C_A_BYTES] = index, 1, max(1, read // n)
    cta[:, gl.C_OUT_FIRST], cta[:, gl.C_OUT_GRANULES], cta[:, gl.C_OUT_BYTES] = index + _ORIGIN_OUT, 1, max(1, written // n)
    residents = [Resident(_ORIGIN_OUT, n, share, True), Resident(0, n, share)] if share > 0 else []
    quiet = replace(costs, epilogue=0.0)
    grid = Grid(
        cta, slots, 1, 1, max(read, written) / n, written / n, gl.NO_OVERLAP, quiet.epilogue, quiet.epilogue_bytes,
        quiet.cta_launch, residents=residents,
    )  # fmt: skip
    return simulate(chip, grid)
