"""Arrays that describe a grid of CTAs to the event loop of :mod:`.gpu_grid`, column by column.

Time is counted in ticks of 1/64 SM cycle, so that a tile that a wide bus moves in a few cycles is not rounded to whole ones.
Rates are ticks per byte, times 2**24.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

TICKS = 64
"""Ticks of one SM cycle."""
RATE_BITS = 24

# one CTA; bytes and ticks are those of one step, granules those of one chunk of steps
(
    C_STEPS, C_A_FIRST, C_A_STRIDE, C_A_GRANULES, C_A_BYTES, C_B_FIRST, C_B_STRIDE, C_B_GRANULES, C_B_BYTES,
    C_PRE_FIRST, C_PRE_GRANULES, C_PRE_BYTES, C_OUT_FIRST, C_OUT_GRANULES, C_OUT_BYTES, C_STEP_TICKS, N_CTA,
) = range(17)  # fmt: skip

# the whole launch
(
    G_SMS, G_SLOTS, G_STAGES, G_CHUNK, G_ISSUE, G_A_SHARE, G_B_SHARE, G_EPILOGUE, G_EPILOGUE_RATE, G_OVERLAP, G_CTA_LAUNCH,
    G_PORT_RATE, G_L2_RATE, G_L2_LATENCY, G_DRAM_READ_RATE, G_DRAM_WRITE_RATE, G_DRAM_LATENCY, G_DRAM_SERVERS, G_DRAM_SLICE,
    G_DIRTY_BYTES, G_BUBBLE, N_GRID,
) = range(22)  # fmt: skip
NO_OVERLAP, LOADS_OVERLAP, ALL_OVERLAP = 0, 1, 2
"""What goes on while a CTA writes its output: nothing of its slot; the next tile's loads; its loads and its arithmetic."""

# results
(
    R_END, R_DRAM_READ, R_DRAM_WRITE, R_L2_READ, R_L2_HIT, R_L2_WRITE, R_EVENTS, R_BUSY, R_STALL_LATENCY, R_STALL_PORT,
    R_STALL_L2, R_STALL_DRAM, R_IN_FLIGHT, N_RESULT,
) = range(14)  # fmt: skip

# a slot of an SM: the CTA it loads for and how far it is
S_CTA, S_STEP, S_CHUNKS, S_DONE, N_SLOT = range(5)
MAX_STAGES = 30
RING = 32
"""Chunk ends that a slot remembers; more than can be in flight."""
MAX_CTAS = 1 << 20
MAX_DRAM_SERVERS = 256


class GridState(NamedTuple):
    """Working memory of one simulation; int64.

    Attributes:
        heap: [slots x (stages + 2)] event keys.
        slots: [slots, N_SLOT].
        ring: [slots, RING] ends of the last chunks.
        port: [sms] tick at which each SM's port to the L2 is free.
        pipe: [sms] tick at which each SM's arithmetic is free.
        servers: [1 + MAX_DRAM_SERVERS] tick at which the L2, and each group of DRAM channels, is free.
    """

    heap: Ints
    slots: Ints
    ring: Ints
    port: Ints
    pipe: Ints
    servers: Ints


def new_state(sms: int, slots_per_sm: int, stages: int) -> GridState:
    """Working memory for a number of SMs, CTAs on each and pipeline stages.

    Raises:
        ValueError: more slots than event keys can hold, or a deeper pipeline than slots remember.
    """
    slots = sms * slots_per_sm
    if not (0 < slots <= MAX_CTAS and 0 < stages <= MAX_STAGES):
        raise ValueError(f"{sms} SMs, {slots_per_sm} CTAs each, {stages} stages: at most {MAX_CTAS} CTAs, {MAX_STAGES} stages")
    shapes = ((slots * (stages + 2),), (slots, N_SLOT), (slots, RING), (sms,), (sms,), (1 + MAX_DRAM_SERVERS,))
    return GridState(*(np.zeros(shape, np.int64) for shape in shapes))
