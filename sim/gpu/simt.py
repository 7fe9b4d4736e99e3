"""Matrix products on the scalar lanes: no tensor cores, so the issue of instructions decides.

A step of a CTA multiplies depth columns of its tile. Its SM needs the lanes for the multiply-adds, and its schedulers the slots
to issue them and the loads of operands from shared memory; where the lanes take one instruction in two cycles (64 lanes an SM)
the loads hide in the free slots, where they take one a cycle (128 lanes) they do not.
"""

from dataclasses import replace
from math import ceil
from typing import NamedTuple

from ...arch.simt import SLICE_DEPTH, WARP, SimtMenu, SimtPolicy, SimtTile
from ..kernels import gpu_layout as gl
from .engine import Grid, GridResult, KernelRun, simulate, ticks
from .gemm import SWIZZLE, TileKernel, gemm_ctas, gemm_grid
from .kernels import Gemm
from .loop import Loop, residency
from .machine import Chip, Costs
from .power import dram_us, sustained_us
from .steady import in_waves

SCHEDULERS = 4
JOIN = 8.0
"""Power of the mean in which the times of lanes and of issue join: they overlap, but not wholly."""
REGISTERS = 65536
ESTIMATE = 4.0
EVENTS = 3000
"""Events up to which a launch is simulated step by step."""


class Choice(NamedTuple):
    """A kernel of the library for a product, and the cycles that it is estimated to take."""

    tile: SimtTile
    splits: int
    cycles: float


def slots(tile: SimtTile, chip: Chip, policy: SimtPolicy) -> int:
    """CTAs that share an SM, by registers, threads and places."""
    rows, columns = tile.thread_tile
    registers = min(255, -(-(rows * columns + 2 * (rows + columns) + policy.registers.value) // 8) * 8)
    return max(1, min(REGISTERS // (registers * tile.threads), chip.max_threads // tile.threads, chip.max_ctas))


def step_cycles(tile: SimtTile, depth: int, chip: Chip, policy: SimtPolicy, dtype: str) -> float:
    """Cycles that the arithmetic of one step of ``depth`` elements along k occupies an SM."""
    rows, columns = tile.thread_tile
    load = policy.operand_load.value / 1000 * (policy.sliced_load.value / 1000 if tile.slices > 1 else 1.0)
    macs = tile.m * tile.n * depth
    lanes = macs / (chip.simt_macs[dtype] * chip.simt_efficiency)
    issue = macs / (WARP * SCHEDULERS) * (1 + load * (rows + columns) / 4 / (rows * columns))
    return (lanes**JOIN + issue**JOIN) ** (1 / JOIN)


def choose(gemm: Gemm, chip: Chip, costs: Costs, policy: SimtPolicy, menu: SimtMenu, splits: tuple[int, ...]) -> Choice:
    """What the library launches: the least of an estimate that counts waves, copies and traffic.

    Batched products are not cut along k, nor is k where there are tiles enough.
    """
    best: Choice | None = None
    most = menu.split_below.value / 1000 * chip.sms
    for tile in menu.tiles(gemm.batch):
        whole = ceil(gemm.k / tile.depth)
        count = gemm.batch * ceil(gemm.m / tile.m) * ceil(gemm.n / tile.n)
        for parts in splits if gemm.batch == 1 and count < most else (1,):
            if parts > 1 and (whole < 2 * parts or count * parts > 4 * slots(tile, chip, policy) * chip.sms):
                break
            cycles = _estimate(gemm, chip, costs, policy, menu, tile, parts, count * parts)
            if best is None or cycles < best.cycles:
                best = Choice(tile, parts, cycles)
    assert best is not None
    return best


def _estimate(
    gemm: Gemm, chip: Chip, costs: Costs, policy: SimtPolicy, menu: SimtMenu, tile: SimtTile, parts: int, ctas: int
) -> float:
    each = step_cycles(tile, tile.depth, chip, policy, gemm.dtype)
    each += (tile.m + tile.n) * tile.depth * gemm.a_bytes * menu.copy_1000_bytes.value / 1e6
    on_one = ceil(ctas / chip.sms)
    at_once = min(slots(tile, chip, policy), on_one)
    steps = ceil(ceil(gemm.k / tile.depth) / parts)
    latency = chip.l2_latency + chip.dram_latency + menu.epilogue.value
    own = latency + tile.m * tile.n * gemm.out_bytes / policy.epilogue_bytes.value
    cycles = on_one * (steps * each * (1 + policy.bubble.value / 1000 / at_once) + own / at_once) + latency
    if parts > 1:
        cycles += costs.split_us * 1e-6 * chip.clock_hz + 4.0 * gemm.m * gemm.n * (2 * parts + 1) / chip.l2_bytes
    moved = gemm.batch * (gemm.k * (gemm.m * gemm.a_bytes + gemm.n * gemm.b_bytes) + gemm.m * gemm.n * gemm.out_bytes)
    dram = moved * chip.clock_hz / chip.dram_read_hz
    return (cycles**ESTIMATE + dram**ESTIMATE) ** (1 / ESTIMATE)


def run_simt(
    gemm: Gemm, chip: Chip, costs: Costs, policy: SimtPolicy, menu: SimtMenu, splits: tuple[int, ...], loop: Loop,
    events: int = EVENTS,
) -> KernelRun:  # fmt: skip
    """Simulate the kernel that the library chooses.

    Raises:
        KeyError: the lanes have no rate for the type.
    """
    chosen = choose(gemm, chip, costs, policy, menu, splits)
    return run_tile(gemm, chip, costs, policy, menu, chosen.tile, chosen.splits, loop, events)


def run_tile(
    gemm: Gemm, chip: Chip, costs: Costs, policy: SimtPolicy, menu: SimtMenu, tile: SimtTile, parts: int, loop: Loop,
    events: int = EVENTS,
) -> KernelRun:  # fmt: skip
    """Simulate one kernel with one split of k."""
    weights, inputs, outputs = (gemm.batch * x for x in _operands(gemm))
    found = residency(loop, weights, inputs, outputs, chip.l2_usable_bytes)
    kernel = TileKernel(tile.m, tile.n, tile.depth, tile.stages, slots(tile, chip, policy), 1, 0)
    own = replace(costs, epilogue=float(menu.epilogue.value), epilogue_bytes=float(policy.epilogue_bytes.value))
    chunk = _chunk(gemm, chip, kernel, parts, events)
    each = step_cycles(tile, min(tile.depth, gemm.k), chip, policy, gemm.dtype)

    def grid(ctas: int) -> Grid:
        cut = _first_ctas(gemm, kernel, parts, ctas)
        whole = gemm_grid(cut, chip, own, kernel, parts, found, chunk)
        whole.cta[:, gl.C_STEP_TICKS] = ticks(each)
        return replace(whole, cta=whole.cta[:ctas], bubble=each * policy.bubble.value / 1000)

    ctas, wave = gemm_ctas(gemm, kernel, parts), chip.sms * kernel.slots
    result = in_waves(lambda n: simulate(chip, grid(n)), ctas, ceil(wave / 2))
    us, joules = result.cycles / chip.clock_hz * 1e6, _joules(gemm, chip, tile, result)
    if loop.sustained:
        us = sustained_us(us, dram_us(chip, result), joules, chip)
    if parts > 1:
        us += costs.split_us + 4.0 * gemm.m * gemm.n * (2 * parts + 1) / chip.l2_bytes / chip.clock_hz * 1e6
    slices = f" in {tile.slices} slices" if tile.slices > 1 else ""
    choice = f"SIMT tile {tile.m}x{tile.n}x{SLICE_DEPTH}{slices}, split-K {parts}, {ctas / wave:.1f} waves"
    return KernelRun(us, 1 if parts == 1 else 2, choice, ctas / wave, result, joules)


def _joules(gemm: Gemm, chip: Chip, tile: SimtTile, result: GridResult) -> float:
    """Energy at the highest clock; lanes work on what a tile has beyond the output too. L2 bytes carry the DRAM's energy."""
    macs = gemm.batch * ceil(gemm.m / tile.m) * tile.m * ceil(gemm.n / tile.n) * tile.n * gemm.k
    between = result.l2_read_bytes + result.l2_write_bytes
    return (macs * chip.lane_pj.get(gemm.dtype, 0.0) + between * chip.l2_byte_pj) * 1e-12


def _operands(gemm: Gemm) -> tuple[float, float, float]:
    return gemm.n * gemm.k * gemm.b_bytes, gemm.m * gemm.k * gemm.a_bytes, gemm.m * gemm.n * gemm.out_bytes


def _chunk(gemm: Gemm, chip: Chip, kernel: TileKernel, parts: int, events: int) -> int:
    """Steps taken together: a CTA still has 8 chunks, and those of the CTAs that run at once fill half of the L2 at most."""
    at_once = min(gemm_ctas(gemm, kernel, parts), chip.sms * kernel.slots)
    rows = min(SWIZZLE, ceil(gemm.m / kernel.m))
    step_bytes = (rows * kernel.m * gemm.a_bytes + ceil(at_once / rows) * kernel.n * gemm.b_bytes) * kernel.k
    steps, chunk = ceil(ceil(gemm.k / kernel.k) / parts), 1
    while 3 * at_once * steps > events * chunk and steps >= 16 * chunk and 4 * chunk * step_bytes <= chip.l2_usable_bytes:
        chunk *= 2
    return chunk


def _first_ctas(gemm: Gemm, kernel: TileKernel, parts: int, ctas: int) -> Gemm:
    """A product whose grid begins as that of ``gemm`` does, of at least ``ctas`` CTAs."""
    each = ceil(gemm.m / kernel.m) * ceil(gemm.n / kernel.n) * parts
    batch = min(gemm.batch, ceil(ctas / each))
    if batch > 1 or parts > 1:
        return gemm._replace(batch=batch)
    groups = ceil(ctas / (SWIZZLE * ceil(gemm.n / kernel.n)))
    return gemm._replace(batch=1, m=min(gemm.m, groups * SWIZZLE * kernel.m))
