"""GEMM as a grid: the table of CTAs, and the estimate by which a library's choice among its kernels is modelled."""

import numpy as np

from . import gpu_layout as gl
from .jit import kernel

# a kernel of the menu
M_TILE_M, M_TILE_N, M_TILE_K, M_STAGES, M_SLOTS, M_CLUSTER, M_OVERLAP, N_MENU = range(8)

# what the estimate needs: the chip at its clock (cycles, bytes a cycle) and what of the operands the L2 holds
(
    E_SMS, E_MACS, E_STEP, E_STEP_LEAST, E_PORT, E_L2, E_L2_LATENCY, E_DRAM_READ, E_DRAM_WRITE, E_DRAM_LATENCY, E_EPILOGUE,
    E_EPILOGUE_RATE, E_CTA_LAUNCH, E_SPLIT, E_A_BYTES, E_B_BYTES, E_OUT_BYTES, E_A_MISS, E_B_MISS, E_OUT_MISS, N_ESTIMATE,
) = range(21)  # fmt: skip
SHARPNESS = 4.0
"""Power of the mean in which the estimate joins the times of arithmetic and of DRAM, which overlap but not wholly."""

SPARE = 32
"""A tile that reaches more than this many rows or columns beyond the output is not looked at, where there are others."""


@kernel
def fill_gemm(cta, shape, tile, splits, chunk, swizzle, granule, bytes_of, batch, step_ticks, together):
    """Fill the CTAs of C[m, n] = A[m, k] B[n, k]^T, cut along k into ``splits``; how many there are.

    CTAs go along m first within groups of ``swizzle`` tiles, then along n, so that those which run together share operands.

    Args:
        cta: int64[CTAs or more, N_CTA] to fill.
        shape: (m, n, k) in elements; tile: (m, n, k) in elements.
        granule: (A, B, output) granules of a tile's chunk, of a tile's output; bytes_of: (A, B, output) bytes an element.
        batch: number of independent products; step_ticks: arithmetic of one step; together: CTAs whose outputs share a
            granule, where it has room for several.
    """
    m, n, k = shape
    tiles_m, tiles_n = (m + tile[0] - 1) // tile[0], (n + tile[1] - 1) // tile[1]
    steps = (k + tile[2] - 1) // tile[2]
    base, longer = steps // splits, steps % splits
    chunks_each = (base + (1 if longer else 0) + chunk - 1) // chunk
    chunks = chunks_each * splits
    deep = min(tile[2], k)
    origin_b = np.int64(1) << 40
    origin_out = np.int64(1) << 41
    c = np.int64(0)
    for item in range(batch):
        for split in range(splits):
            for first_m in range(0, tiles_m, swizzle):
                for j in range(tiles_n):
                    for i in range(first_m, min(first_m + swizzle, tiles_m)):
                        rows, columns = min(tile[0], m - i * tile[0]), min(tile[1], n - j * tile[1])
                        cta[c, gl.C_STEPS] = base + (1 if split < longer else 0)
                        cta[c, gl.C_A_FIRST] = ((item * tiles_m + i) * chunks + split * chunks_each) * granule[0]
                        cta[c, gl.C_A_STRIDE] = cta[c, gl.C_A_GRANULES] = granule[0]
                        cta[c, gl.C_A_BYTES] = rows * deep * bytes_of[0]
                        cta[c, gl.C_B_FIRST] = origin_b + ((item * tiles_n + j) * chunks + split * chunks_each) * granule[1]
                        cta[c, gl.C_B_STRIDE] = cta[c, gl.C_B_GRANULES] = granule[1]
                        cta[c, gl.C_B_BYTES] = columns * deep * bytes_of[1]
                        cta[c, gl.C_PRE_BYTES] = 0
                        cta[c, gl.C_STEP_TICKS] = step_ticks
                        cta[c, gl.C_OUT_FIRST] = origin_out + c // together * granule[2]
                        cta[c, gl.C_OUT_GRANULES] = granule[2]
                        cta[c, gl.C_OUT_BYTES] = rows * columns * bytes_of[2]
                        c += 1
    return c


@kernel
def rank_gemm(menu, splits, shape, batch, e, out):
    """Estimated cycles of each kernel of the menu with each split; infinite where the split makes no sense.

    Args:
        menu: int64[kernels, N_MENU]; splits: int64[choices]; e: float64[N_ESTIMATE]; out: float64[kernels, choices] to fill.
    """
    m, n, k = shape
    for i in range(menu.shape[0]):
        tm, tn, tk, slots = menu[i, M_TILE_M], menu[i, M_TILE_N], menu[i, M_TILE_K], menu[i, M_SLOTS]
        tiles = batch * ((m + tm - 1) // tm) * ((n + tn - 1) // tn)
        steps = (k + tk - 1) // tk
        step = max(tm * tn * min(tk, k) / e[E_MACS], e[E_STEP_LEAST]) + e[E_STEP]
        a_bytes, b_bytes = min(tm, m) * min(tk, k) * e[E_A_BYTES], min(tn, n) * min(tk, k) * e[E_B_BYTES]
        latency = e[E_L2_LATENCY] + max(e[E_A_MISS], e[E_B_MISS]) * e[E_DRAM_LATENCY]
        epilogue = e[E_EPILOGUE] + min(tm, m) * min(tn, n) * e[E_OUT_BYTES] / e[E_EPILOGUE_RATE]
        along_m = min(menu[i, M_CLUSTER], (m + tm - 1) // tm)
        along_n = min(menu[i, M_CLUSTER], (n + tn - 1) // tn)
        shared = a_bytes + b_bytes - max(b_bytes * (1 - 1 / along_m), a_bytes * (1 - 1 / along_n))
        for j in range(splits.shape[0]):
            parts = splits[j]
            if parts > 1 and (steps < 2 * parts or tiles * parts > 2 * slots * e[E_SMS]):
                out[i, j] = np.inf
                continue
            ctas = tiles * parts
            at_once = min(float(slots), np.ceil(ctas / e[E_SMS]))
            each = max(step * at_once, (a_bytes + b_bytes) * at_once / e[E_PORT])
            each = max(each, (latency + (a_bytes + b_bytes) / e[E_PORT]) / menu[i, M_STAGES])
            each = max(each, shared * min(ctas, e[E_SMS] * slots) / e[E_L2])
            waves = np.ceil(ctas / (e[E_SMS] * slots))
            walk = np.ceil(steps / parts) * each
            hidden = menu[i, M_OVERLAP] == gl.ALL_OVERLAP
            launch = e[E_CTA_LAUNCH] if menu[i, M_OVERLAP] == gl.NO_OVERLAP else 0.0
            sms = latency + (waves * max(walk, epilogue) + epilogue if hidden else waves * (walk + epilogue + launch))
            fetched = batch * k * (m * e[E_A_BYTES] * e[E_A_MISS] + n * e[E_B_BYTES] * e[E_B_MISS]) / e[E_DRAM_READ]
            written = batch * m * n * e[E_OUT_BYTES] * e[E_OUT_MISS] / e[E_DRAM_WRITE]
            dram = latency + fetched + written
            total = (sms**SHARPNESS + dram**SHARPNESS) ** (1 / SHARPNESS)
            if parts > 1:
                total += e[E_SPLIT] + 4.0 * batch * m * n * parts * 2 / e[E_L2]
            out[i, j] = total
