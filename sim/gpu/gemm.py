"""Matrix products: the menu of a library, its choice, and the choice simulated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import gpu_gemm as gg
from ..kernels import gpu_layout as gl
from .engine import Grid, GridResult, KernelRun, Resident, simulate, ticks
from .kernels import Gemm
from .loop import Loop, Residency, residency
from .machine import Chip, Costs
from .steady import extended, in_waves

SWIZZLE = 8
"""Tiles along m that a group of CTAs covers before it moves along n."""
EVENTS = 4000
"""Events up to which a launch is simulated step by step; beyond, steps are taken in chunks (see :func:`gemm_chunk`)."""
STEADY = 8
"""Times as many events from which on a launch's long loops and like waves are not all simulated."""
LONG = 32
"""Chunks of a long loop along k that are simulated, and 8 fewer; the rest is more of the same."""
LOOK = 3
"""Kernels of the menu that are simulated: those that the estimate ranks first."""
_ORIGIN_B, _ORIGIN_OUT, _ORIGIN_OLD = 1 << 40, 1 << 41, 1 << 42


class TileKernel(NamedTuple):
    """One kernel of a menu. Lengths in elements; cluster: CTAs that share an operand's reads; overlap as in gpu_layout."""

    m: int
    n: int
    k: int
    stages: int
    slots: int
    cluster: int
    overlap: int


@dataclass(frozen=True)
class Menu:
    """The kernels and splits of k that a library chooses from."""

    kernels: tuple[TileKernel, ...]
    splits: tuple[int, ...]

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.array(self.kernels, np.int64), np.array(self.splits, np.int64)


def _up(whole: int, part: int) -> int:
    """Parts that cover a whole."""
    return -(-whole // part)


def run_gemm(gemm: Gemm, chip: Chip, costs: Costs, menu: Menu, loop: Loop, look: int = LOOK, events: int = EVENTS) -> KernelRun:
    """The fastest of the kernels that the library's estimate ranks first."""
    weights, inputs, outputs = (
        gemm.batch * x
        for x in (gemm.n * gemm.k * gemm.b_bytes, gemm.m * gemm.k * gemm.a_bytes, gemm.m * gemm.n * gemm.out_bytes)
    )
    found = residency(loop, weights, inputs, outputs, chip.l2_usable_bytes)
    ranked = rank(gemm, chip, costs, menu, found)
    best: KernelRun | None = None
    for kernel, splits, estimate in ranked[:look]:
        if best is not None and estimate > 1.25 * ranked[0][2]:
            break
        run = run_kernel(gemm, chip, costs, kernel, splits, found, events)
        if best is None or run.us < best.us:
            best = run
    assert best is not None
    return best


def rank(gemm: Gemm, chip: Chip, costs: Costs, menu: Menu, found: Residency) -> list[tuple[TileKernel, int, float]]:
    """Kernels with splits of k by estimated cycles, the best first; only the first few dozens."""
    kernels, splits = menu.arrays()
    near = (kernels[:, gg.M_TILE_M] <= gemm.m + gg.SPARE) & (kernels[:, gg.M_TILE_N] <= gemm.n + gg.SPARE)
    looked_at = menu.kernels if near.all() or not near.any() else [k for k, ok in zip(menu.kernels, near, strict=True) if ok]
    kernels = kernels[near] if near.any() else kernels
    e = np.zeros(gg.N_ESTIMATE)
    e[gg.E_SMS], e[gg.E_MACS], e[gg.E_STEP] = chip.sms, chip.macs(gemm.dtype), costs.step
    e[gg.E_STEP_LEAST] = costs.step_least
    e[gg.E_PORT], e[gg.E_L2], e[gg.E_L2_LATENCY] = chip.port_bytes, chip.l2_bytes, chip.l2_latency
    e[gg.E_DRAM_READ], e[gg.E_DRAM_WRITE] = chip.dram_read_hz / chip.clock_hz, chip.dram_write_hz / chip.clock_hz
    e[gg.E_DRAM_LATENCY], e[gg.E_EPILOGUE], e[gg.E_EPILOGUE_RATE] = chip.dram_latency, costs.epilogue, costs.epilogue_bytes
    e[gg.E_CTA_LAUNCH], e[gg.E_SPLIT] = costs.cta_launch, costs.split_us * 1e-6 * chip.clock_hz
    e[gg.E_A_BYTES], e[gg.E_B_BYTES], e[gg.E_OUT_BYTES] = gemm.a_bytes, gemm.b_bytes, gemm.out_bytes
    e[gg.E_A_MISS], e[gg.E_B_MISS], e[gg.E_OUT_MISS] = 1 - found.inputs, 1 - found.weights, 1 - found.outputs
    out = np.empty((len(kernels), len(splits)))
    gg.rank_gemm(kernels, splits, gemm.shape, gemm.batch, e, out)
    order = np.argsort(out, axis=None, kind="stable")[:32]
    pairs = [divmod(int(i), len(splits)) for i in order]
    return [(looked_at[i], menu.splits[j], float(out[i, j])) for i, j in pairs if np.isfinite(out[i, j])]


def run_kernel(
    gemm: Gemm, chip: Chip, costs: Costs, kernel: TileKernel, splits: int, found: Residency, events: int = EVENTS
) -> KernelRun:
    """Simulate one kernel with one split of k."""
    chunk = gemm_chunk(gemm, chip, kernel, splits, events)
    ctas, wave = gemm_ctas(gemm, kernel, splits), chip.sms * kernel.slots
    chunks = _up(gemm.k, kernel.k) / (chunk * splits)

    def whole(k: int) -> GridResult:
        grid = gemm_grid(gemm._replace(k=k), chip, costs, kernel, splits, found, chunk)
        if ctas * min(chunks, LONG) <= STEADY * events:
            return simulate(chip, grid)
        return in_waves(lambda n: simulate(chip, replace(grid, cta=grid.cta[:n])), ctas, wave)

    if chunks > 2 * LONG and ctas * chunks > STEADY * events:
        step = chunk * kernel.k * splits
        result = extended(whole((LONG - 8) * step), whole(LONG * step), (chunks - LONG) / 8)
    else:
        result = whole(gemm.k)
    us = result.cycles / chip.clock_hz * 1e6
    if splits > 1:
        partials = 4.0 * gemm.batch * gemm.m * gemm.n * splits * 2
        us += costs.split_us + partials / chip.l2_bytes / chip.clock_hz * 1e6
    waves = ctas / wave
    choice = f"tile {kernel.m}x{kernel.n}x{kernel.k}, split-K {splits}, {waves:.1f} waves"
    return KernelRun(us, 1, choice, waves, result)


def gemm_ctas(gemm: Gemm, kernel: TileKernel, splits: int) -> int:
    """CTAs of a launch."""
    return gemm.batch * _up(gemm.m, kernel.m) * _up(gemm.n, kernel.n) * splits


def gemm_chunk(gemm: Gemm, chip: Chip, kernel: TileKernel, splits: int, events: int) -> int:
    """Steps taken together: few enough that a CTA still has 4 chunks and that what runs at once needs a fifth of the L2."""
    tiles_m, tiles_n = _up(gemm.m, kernel.m), _up(gemm.n, kernel.n)
    steps = _up(_up(gemm.k, kernel.k), splits)
    at_once = chip.sms * kernel.slots
    rows = min(tiles_m, SWIZZLE if tiles_m * tiles_n > at_once else tiles_m)
    columns = min(tiles_n, _up(at_once, rows))
    step_bytes = (rows * kernel.m * gemm.a_bytes + columns * kernel.n * gemm.b_bytes) * kernel.k * splits
    most = max(1, int(chip.l2_usable_bytes * 0.2 / step_bytes))
    chunk, total = 1, gemm_ctas(gemm, kernel, splits) * steps
    while total > events * chunk and steps >= 8 * chunk and 2 * chunk <= most:
        chunk *= 2
    return chunk


def gemm_grid(
    gemm: Gemm, chip: Chip, costs: Costs, kernel: TileKernel, splits: int, found: Residency, chunk: int
) -> Grid:
    """The launch of one kernel with one split of k, ``chunk`` steps taken together."""
    tiles_m, tiles_n = _up(gemm.m, kernel.m), _up(gemm.n, kernel.n)
    swizzle = min(tiles_m, SWIZZLE)
    deep = min(kernel.k, gemm.k) * chunk
    a_chunk, b_chunk = kernel.m * deep * gemm.a_bytes, kernel.n * deep * gemm.b_bytes
    granule_bytes = max(a_chunk, b_chunk) / 2
    out_tile = kernel.m * kernel.n * (gemm.out_bytes if splits == 1 else 4)
    granules = tuple(max(1, round(x / granule_bytes)) for x in (a_chunk, b_chunk, out_tile))
    together = max(1, int(granule_bytes / out_tile))
    cta = np.zeros((gemm_ctas(gemm, kernel, splits), gl.N_CTA), np.int64)
    step = ticks(max(kernel.m * kernel.n * min(kernel.k, gemm.k) / chip.macs(gemm.dtype), costs.step_least) + costs.step)
    bytes_of = (gemm.a_bytes, gemm.b_bytes, gemm.out_bytes if splits == 1 else 4.0)
    gg.fill_gemm(cta, gemm.shape, kernel[:3], splits, chunk, swizzle, granules, bytes_of, gemm.batch, step, together)
    chunks = _up(_up(_up(gemm.k, kernel.k), splits), chunk) * splits
    a_share, b_share = _shares(kernel, tiles_m, tiles_n)
    out_granules = _up(len(cta), together) * granules[2]
    out_bytes = gemm.batch * gemm.m * gemm.n * bytes_of[2] / out_granules
    return Grid(
        cta, kernel.slots, kernel.stages, chunk, granule_bytes, out_bytes, kernel.overlap, costs.epilogue,
        costs.epilogue_bytes, costs.cta_launch, a_share=a_share, b_share=b_share,
        residents=_residents(chip, found, granule_bytes, gemm.batch * tiles_m * chunks * granules[0],
                             gemm.batch * tiles_n * chunks * granules[1], out_granules),
    )  # fmt: skip


def _shares(kernel: TileKernel, tiles_m: int, tiles_n: int) -> tuple[int, int]:
    """CTAs that one L2 read of A, of B serves: a cluster lies along the side that saves more, as far as there are tiles."""
    along_m, along_n = min(kernel.cluster, tiles_m), min(kernel.cluster, tiles_n)
    saved_m, saved_n = kernel.n * (1 - 1 / along_m), kernel.m * (1 - 1 / along_n)
    return (1, along_m) if saved_m >= saved_n else (along_n, 1)


def _residents(
    chip: Chip, found: Residency, granule_bytes: float, a_count: int, b_count: int, out_count: int
) -> Sequence[Resident]:
    """Outputs of earlier calls first, dirty, as far as they fit beside what is left of the operands."""
    lines = chip.l2_usable_bytes / granule_bytes
    kept = found.inputs * a_count + found.weights * b_count
    old = int(max(0.0, lines - kept) * out_count / (out_count + (1 - found.inputs) * a_count + (1 - found.weights) * b_count))
    parts = []
    if old and found.outputs < 1:
        parts.append(Resident(_ORIGIN_OLD, old, 1.0, True))
    if found.outputs > 0:
        parts.append(Resident(_ORIGIN_OUT, out_count, found.outputs, True))
    parts += [Resident(_ORIGIN_B, b_count, found.weights), Resident(0, a_count, found.inputs)]
    return [part for part in parts if part.share > 0]
