"""One launch on one chip: numbers to integer arrays, the event loop, counters back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import gpu_layout as gl
from ..kernels.gpu_cache import NOT_RECENT, new_cache
from ..kernels.gpu_grid import run_grid
from ..kernels.gpu_warm import SHARE_ONE, warm_share
from .machine import Chip

Ints = NDArray[np.int64]
STALLS = {"latency": gl.R_STALL_LATENCY, "sm_feed": gl.R_STALL_PORT, "l2": gl.R_STALL_L2, "dram": gl.R_STALL_DRAM}


class Resident(NamedTuple):
    """Granules that the L2 holds before a launch: a share of a range, spread evenly; dirty ones are written back when they go."""

    first: int
    granules: int
    share: float = 1.0
    dirty: bool = False


@dataclass(frozen=True)
class Grid:
    """A kernel as its CTAs and how an SM runs them.

    Attributes:
        cta: int64[CTAs, N_CTA], see :mod:`rowline.sim.kernels.gpu_layout`.
        slots: CTAs that share an SM; stages: steps in flight of each; chunk: steps taken together.
        granule_bytes: bytes of an L2 granule; out_granule_bytes: of those of the output, on average.
        a_share, b_share: CTAs of a cluster that one L2 read of A (B) serves.
        overlap: one of NO_OVERLAP, LOADS_OVERLAP, ALL_OVERLAP.
        epilogue, epilogue_bytes, cta_launch: see :class:`Costs`; issue: cycles to ask for one step's operands.
        bubble: cycles between two steps of a CTA in which only other CTAs of the SM compute (barriers, latencies).
        residents: what the L2 holds at the start.
    """

    cta: Ints
    slots: int
    stages: int
    chunk: int
    granule_bytes: float
    out_granule_bytes: float
    overlap: int
    epilogue: float
    epilogue_bytes: float
    cta_launch: float
    a_share: int = 1
    b_share: int = 1
    issue: float = 4.0
    bubble: float = 0.0
    residents: Sequence[Resident] = field(default=())


@dataclass(frozen=True)
class GridResult:
    """Time and counters of one launch. Bytes are whole-chip; stalls are cycles summed over slots, by cause."""

    cycles: float
    dram_read_bytes: int
    dram_write_bytes: int
    l2_read_bytes: int
    l2_hit_bytes: int
    l2_write_bytes: int
    busy: float
    stalls: dict[str, float]
    bytes_in_flight: float
    events: int

    def __add__(self, other: "GridResult") -> "GridResult":
        """Two launches in a row."""
        cycles = self.cycles + other.cycles
        flight = self.bytes_in_flight * self.cycles + other.bytes_in_flight * other.cycles
        return GridResult(
            cycles, self.dram_read_bytes + other.dram_read_bytes, self.dram_write_bytes + other.dram_write_bytes,
            self.l2_read_bytes + other.l2_read_bytes, self.l2_hit_bytes + other.l2_hit_bytes,
            self.l2_write_bytes + other.l2_write_bytes, self.busy + other.busy,
            {k: v + other.stalls[k] for k, v in self.stalls.items()}, flight / cycles if cycles else 0.0,
            self.events + other.events,
        )  # fmt: skip


@dataclass(frozen=True)
class KernelRun:
    """A simulated kernel, with the helper kernels that belong to it.

    Attributes:
        us: microseconds from the first load to the last write, without what each launch costs.
        launches: launches that are not in ``us``.
        choice: what the library chose, such as ``tile 128x256x64, split-K 4, 2.3 waves``.
        waves: CTAs over CTAs that run at once, of the main kernel.
        result: counters, summed over the launches.
        joules: dynamic energy at the highest clock, where it is more than multiply-adds and DRAM traffic tell.
    """

    us: float
    launches: int
    choice: str
    waves: float
    result: GridResult
    joules: float | None = None


def rate(bytes_per_cycle: float) -> int:
    """Ticks a byte, times 2**RATE_BITS."""
    return round(gl.TICKS * (1 << gl.RATE_BITS) / bytes_per_cycle)


def ticks(cycles: float) -> int:
    """Cycles in whole ticks."""
    return round(cycles * gl.TICKS)


@lru_cache(maxsize=8)
def _state(sms: int, slots: int, stages: int) -> gl.GridState:
    return gl.new_state(sms, slots, stages)


def simulate(chip: Chip, grid: Grid) -> GridResult:
    """Run one launch; time counts from its first load to its last write.

    Raises:
        ValueError: more CTAs or stages than the event loop can number.
    """
    if not 0 < len(grid.cta) <= gl.MAX_CTAS:
        raise ValueError(f"a grid of {len(grid.cta)} CTAs: 1 to {gl.MAX_CTAS} can be simulated")
    packed = np.zeros(gl.N_GRID, np.int64)
    packed[gl.G_SMS], packed[gl.G_SLOTS], packed[gl.G_STAGES] = chip.sms, grid.slots, grid.stages
    packed[gl.G_CHUNK], packed[gl.G_ISSUE] = grid.chunk, ticks(grid.issue)
    packed[gl.G_A_SHARE], packed[gl.G_B_SHARE] = grid.a_share, grid.b_share
    packed[gl.G_EPILOGUE], packed[gl.G_EPILOGUE_RATE] = ticks(grid.epilogue), rate(grid.epilogue_bytes)
    packed[gl.G_OVERLAP], packed[gl.G_CTA_LAUNCH] = grid.overlap, ticks(grid.cta_launch)
    packed[gl.G_PORT_RATE], packed[gl.G_L2_RATE] = rate(chip.port_bytes), rate(chip.l2_bytes)
    packed[gl.G_L2_LATENCY], packed[gl.G_DRAM_LATENCY] = ticks(chip.l2_latency), ticks(chip.dram_latency)
    packed[gl.G_DRAM_SERVERS], packed[gl.G_DRAM_SLICE] = chip.dram_servers, chip.dram_slice_bytes
    packed[gl.G_DRAM_READ_RATE] = rate(chip.dram_read_hz / chip.clock_hz / chip.dram_servers)
    packed[gl.G_DRAM_WRITE_RATE] = rate(chip.dram_write_hz / chip.clock_hz / chip.dram_servers)
    packed[gl.G_DIRTY_BYTES], packed[gl.G_BUBBLE] = round(grid.out_granule_bytes), ticks(grid.bubble)
    cache = new_cache(max(1, round(chip.l2_usable_bytes)), max(1, round(grid.granule_bytes)), chip.l2_ways, NOT_RECENT)
    for part in grid.residents:
        warm_share(cache, part.first, part.granules, round(part.share * SHARE_ONE), int(part.dirty))
    out = np.zeros(gl.N_RESULT, np.int64)
    run_grid(packed, grid.cta, _state(chip.sms, grid.slots, grid.stages), cache, out)
    return _result(out)


def _result(out: Ints) -> GridResult:
    got = out.tolist()
    return GridResult(
        got[gl.R_END] / gl.TICKS, got[gl.R_DRAM_READ], got[gl.R_DRAM_WRITE], got[gl.R_L2_READ], got[gl.R_L2_HIT],
        got[gl.R_L2_WRITE], got[gl.R_BUSY] / gl.TICKS, {k: got[i] / gl.TICKS for k, i in STALLS.items()},
        got[gl.R_IN_FLIGHT] / max(1, got[gl.R_END]), got[gl.R_EVENTS],
    )  # fmt: skip
