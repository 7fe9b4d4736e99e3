"""Small kernels that copy: into a cache, into another order, of parts into a sum."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..kernels import gpu_layout as gl
from .attention_plan import up
from .engine import Grid, GridResult, Resident, simulate
from .machine import Chip
from .steady import extended

STEADY = 16
"""Waves after which a launch goes on as before, and waves from which that is read."""
PART = 8
"""Part of the chip that large launches are simulated on."""
OUT_BYTES = 64.0
"""Bytes a cycle that a CTA writes."""
_ORIGIN_OUT, _ORIGIN_OLD = 1 << 41, 1 << 43


class Copy(NamedTuple):
    """A helper kernel: CTAs that each make ``steps`` reads, one after another, and write in the end.

    Attributes:
        threads: of a CTA; as many CTAs run on an SM as have room.
        step_bytes: read in a step; written: in the end.
        life: cycles of a CTA beside its traffic; stages: reads in flight.
    """

    ctas: int
    threads: int
    steps: int
    step_bytes: float
    written: float
    life: float
    stages: int = 1


def copy(chip: Chip, kernel: Copy, share: float) -> GridResult:
    """Simulate a helper kernel that finds a share of its data in the L2.

    All CTAs do the same, so of a large launch a part of the chip is simulated, with that part of its memory's rates, and of
    many waves, some; the others are more of the same.
    """
    small = chip if kernel.ctas < 4 * chip.sms else part_of(chip, max(1, chip.sms // PART))
    ctas = kernel.ctas * small.sms / chip.sms
    wave = small.sms * max(1, min(chip.max_ctas, chip.max_threads // kernel.threads))
    if ctas <= 3 * STEADY * wave:
        result = _run_copy(small, kernel, up(kernel.ctas * small.sms, chip.sms), share)
    else:
        one, two = (_run_copy(small, kernel, n * STEADY * wave, share) for n in (1, 2))
        result = extended(one, two, ctas / wave / STEADY - 2)
    return result if small is chip else scaled(result, chip.sms / small.sms)


def part_of(chip: Chip, sms: int) -> Chip:
    """Some SMs of a chip, with their share of the L2 and the DRAM."""
    part = sms / chip.sms
    return replace(
        chip, sms=sms, l2_bytes=chip.l2_bytes * part, l2_usable_bytes=chip.l2_usable_bytes * part,
        dram_read_hz=chip.dram_read_hz * part, dram_write_hz=chip.dram_write_hz * part,
        dram_servers=max(1, round(chip.dram_servers * part)),
    )  # fmt: skip


def scaled(result: GridResult, times: float) -> GridResult:
    """As long, on a chip so many times larger."""
    return replace(
        result, dram_read_bytes=round(result.dram_read_bytes * times), dram_write_bytes=round(result.dram_write_bytes * times),
        l2_read_bytes=round(result.l2_read_bytes * times), l2_hit_bytes=round(result.l2_hit_bytes * times),
        l2_write_bytes=round(result.l2_write_bytes * times), busy=result.busy * times,
        stalls={k: v * times for k, v in result.stalls.items()}, bytes_in_flight=result.bytes_in_flight * times,
    )  # fmt: skip


def _run_copy(chip: Chip, kernel: Copy, n: int, share: float) -> GridResult:
    slots = max(1, min(chip.max_ctas, chip.max_threads // kernel.threads))
    granule_bytes = max(1.0, kernel.step_bytes)
    written, granules = max(1, round(kernel.written)), max(1, round(kernel.written / granule_bytes))
    index = np.arange(n)
    cta = np.zeros((n, gl.N_CTA), np.int64)
    cta[:, gl.C_STEPS], cta[:, gl.C_A_STRIDE], cta[:, gl.C_A_GRANULES] = kernel.steps, 1, 1
    cta[:, gl.C_A_FIRST], cta[:, gl.C_A_BYTES] = index * kernel.steps, max(1, round(kernel.step_bytes))
    cta[:, gl.C_OUT_FIRST], cta[:, gl.C_OUT_GRANULES] = _ORIGIN_OUT + index * granules, granules
    cta[:, gl.C_OUT_BYTES] = written
    lines = int(chip.l2_usable_bytes / granule_bytes)
    parts = (
        Resident(_ORIGIN_OLD, lines if 0 < share < 1 else 0, 1.0, True),
        Resident(_ORIGIN_OUT, n * granules, share, True), Resident(0, n * kernel.steps, share),
    )  # fmt: skip
    return simulate(chip, Grid(
        cta, slots, kernel.stages, 1, granule_bytes, written / granules, gl.NO_OVERLAP, kernel.life, OUT_BYTES, 0.0,
        residents=[part for part in parts if part.granules and part.share > 0],
    ))  # fmt: skip
