"""Dynamic quantisation of activations to one byte, which goes before a product of such a type.

One CTA a token: it reads its row for the largest magnitude, then again to scale and write it. The loops are scalar, so an SM
is held by instructions, and a CTA that is alone on its SM by latency.
"""

from math import ceil

import numpy as np

from ...arch.quantise import QuantisePolicy
from ..kernels import gpu_layout as gl
from .engine import Grid, KernelRun, Resident, simulate, ticks
from .kernels import Gemm
from .loop import Loop, residency
from .machine import Chip
from .steady import in_waves

PASSES = 2
READ_BYTES, WRITTEN_BYTES = 2, 1
_ORIGIN_OUT = 1 << 41


def run_quantise(gemm: Gemm, chip: Chip, policy: QuantisePolicy, loop: Loop) -> KernelRun:
    """Simulate the kernel for the m rows of k elements of a product's A, 2 bytes each before it."""
    weights, outputs = gemm.n * gemm.k * gemm.b_bytes, gemm.m * gemm.n * gemm.out_bytes
    resident = residency(loop, weights, gemm.m * gemm.k * (READ_BYTES + WRITTEN_BYTES), outputs, chip.l2_usable_bytes).inputs
    rows, step = gemm.m * gemm.batch, policy.turn.value
    steps = ceil(gemm.k / step)
    slots = max(1, min(chip.max_ctas, chip.max_threads // policy.threads.value))
    read = min(step, gemm.k) * READ_BYTES
    cycles = PASSES * policy.turn_cycles.value * min(step, gemm.k) / step + policy.fixed.value / steps

    def grid(ctas: int) -> Grid:
        cta = np.zeros((ctas, gl.N_CTA), np.int64)
        first = np.arange(ctas, dtype=np.int64) * steps
        cta[:, gl.C_STEPS] = steps
        cta[:, gl.C_A_FIRST], cta[:, gl.C_A_STRIDE], cta[:, gl.C_A_GRANULES] = first, 1, 1
        cta[:, gl.C_A_BYTES] = read
        cta[:, gl.C_B_FIRST : gl.C_B_BYTES + 1] = cta[:, gl.C_A_FIRST : gl.C_A_BYTES + 1]  # the second pass
        cta[:, gl.C_STEP_TICKS] = ticks(cycles)
        cta[:, gl.C_OUT_FIRST], cta[:, gl.C_OUT_GRANULES] = _ORIGIN_OUT + first, steps
        cta[:, gl.C_OUT_BYTES] = gemm.k * WRITTEN_BYTES
        return Grid(
            cta, slots, 2, 1, read, read * WRITTEN_BYTES / READ_BYTES, 0, 0.0, 64.0, 0.0,
            residents=[Resident(0, ctas * steps, resident)] if resident else [],
        )  # fmt: skip

    result = in_waves(lambda n: simulate(chip, grid(n)), rows, ceil(chip.sms * slots / 2))
    waves = rows / (chip.sms * slots)
    us = result.cycles / chip.clock_hz * 1e6 + policy.launch.value / 1e6
    return KernelRun(us, 0, f"quantise {rows}x{gemm.k}", waves, result)


def quantised(gemm: Gemm, chip: Chip, policy: QuantisePolicy, loop: Loop, product: KernelRun) -> KernelRun:
    """A product with the quantisation that goes before it."""
    first = run_quantise(gemm, chip, policy, loop)
    return KernelRun(
        first.us + product.us, first.launches + product.launches, f"{first.choice}; {product.choice}", product.waves,
        first.result + product.result,
    )  # fmt: skip
