"""Row-wise and elementwise kernels, gathers and scatters: the shape of their grids, simulated.

What a kernel moves and how its threads walk is in :class:`Shape`; the event loop is :mod:`rowline.sim.kernels.gpu_rowwise`.
A long launch is the same over and over, so waves beyond those that fill the L2 a few times are added as differences.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...arch.stack import RowwiseForm, RowwiseKernel, RowwisePolicy
from ..kernels import gpu_rowwise as gr
from ..kernels.gpu_cache import NOT_RECENT, Cache, new_cache
from ..kernels.gpu_layout import TICKS
from ..kernels.gpu_warm import SHARE_ONE, warm_share
from .engine import GridResult, KernelRun, rate, ticks
from .kernels import Rowwise
from .loop import Launch, Loop, residency, resident_share
from .machine import ELEMENT_BYTES, Chip, Costs
from .rowwise_clock import at_clock, capped_share, waiting_share
from .steady import extended

OPERANDS = {"add": 2, "silu_mul": 2}
"""Inputs of the operations that have not one."""
LANES = 32
ISSUED = 4
"""Warp instructions that an SM issues in a cycle, on all GPUs since Volta."""
EVENTS = 16_000
"""Events up to which a launch is simulated as a whole."""
FILLS = 4
"""Times that the L2's capacity has passed before a launch is said to go on as it does: half of it before the waves that count."""


@dataclass(frozen=True)
class Shape:
    """A launch.

    Attributes:
        ctas, threads: the grid.
        operands, results: pieces read and written at a time; in_place: these replace those.
        rounds: of loads that follow one another in a pass; passes: over the same data.
        piece_bytes: of one operand in one round; what is beyond a row's end counts as time, not as bytes.
        issued: warp instructions of one round; fixed: of all rounds and passes together, beside those.
        slots: CTAs that an SM runs at once; sync: cycles between passes.
        scalar: share of the instructions that the scalar lanes work on.
        l1_share: of an SM's shared memory, that serves as L1.
        produced: the kernel before has just written the last operand, and nothing else is in the L2.
    """

    ctas: int
    threads: int
    operands: int
    results: int
    in_place: bool
    rounds: int
    passes: int
    piece_bytes: float
    issued: float
    fixed: float
    slots: int
    sync: float
    scalar: float
    l1_share: float
    produced: bool = False

    @property
    def cta_bytes(self) -> float:
        """Bytes that a CTA reads in a pass."""
        return self.piece_bytes * self.rounds * self.operands


def _up(whole: int, part: int) -> int:
    """Parts that cover a whole."""
    return -(-whole // part)


def _power(whole: int) -> int:
    """The next power of two."""
    return 1 << (whole - 1).bit_length()


def shape(rowwise: Rowwise, chip: Chip, policy: RowwisePolicy) -> Shape:
    """The grid that a library launches.

    Raises:
        KeyError: an operation without a kernel, or an element type without a size.
    """
    kernel, size = policy.kernel(rowwise.op), ELEMENT_BYTES[rowwise.dtype]
    if rowwise.op == "kv_write":
        rowwise = rowwise._replace(elements=2 * rowwise.elements)
    operands, in_place = OPERANDS.get(rowwise.op, 1), rowwise.op == "rope"
    passes, threads, n = kernel.passes, kernel.threads, rowwise.elements
    if kernel.form is RowwiseForm.FLAT:
        each = threads * kernel.vector * kernel.unroll
        total = rowwise.rows * n
        ctas, rounds, elements, lanes = _up(total, each), 1, total / _up(total, each), each
    elif kernel.form is RowwiseForm.WARP and n <= kernel.warp_row:
        threads, padded = 128, _power(n)
        rows = threads // min(LANES, padded) * (2 if padded <= 128 else 1)
        ctas, passes, rounds = _up(rowwise.rows, rows), 1, 1
        elements, lanes = n * rowwise.rows / ctas, rows * padded
    else:
        ctas, elements = rowwise.rows, n
        threads, rounds, lanes = _row_walk(n, kernel)
        elements /= rounds
    slots = max(1, min(chip.max_ctas, chip.max_threads // threads))
    issued = lanes / LANES * kernel.instructions.value
    fixed = _up(threads, LANES) * kernel.fixed.value
    rest = (policy.sync.value, policy.scalar.value / 1000, policy.l1_share.value / 1000)
    return Shape(ctas, threads, operands, 1, in_place, rounds, passes, elements * size, issued, fixed, slots, *rest)


def _row_walk(n: int, kernel: RowwiseKernel) -> tuple[int, int, float]:
    """(threads, rounds, lanes' elements a round) of one CTA over one row of ``n`` elements."""
    threads = kernel.threads
    if kernel.form is RowwiseForm.WARP:
        block = LANES
        while block < min(n // kernel.vector, 1024) // 2:
            block *= 2
        threads = min(threads, block)
        whole, rest = divmod(n, threads * kernel.vector)
        rounds = whole + _up(rest, threads)
        return threads, rounds, (whole * threads * kernel.vector + _up(rest, threads) * threads) / rounds
    threads = min(threads, _up(_up(n, kernel.vector), LANES) * LANES)
    each = threads * kernel.vector
    turns = _up(n, each)
    rounds = _up(turns, kernel.unroll)
    return threads, rounds, turns * each / rounds


def run_rowwise(
    rowwise: Rowwise, chip: Chip, policy: RowwisePolicy, costs: Costs, loop: Loop, events: int = EVENTS, produced: bool = False
) -> KernelRun:
    """Simulate one call: in a measuring loop, or as the kernel after that which has written its (last) input.

    A profiler times kernels inside of a program, so their inputs have been produced too.

    Raises:
        KeyError: the stack has no kernel for the operation, or the type has no size.
    """
    full = replace(shape(rowwise, chip, policy), produced=produced or loop.launch is Launch.KERNEL)
    result = run_shape(full, chip, costs, loop, events)
    share = _clock_share(full, chip, policy, loop, result)
    if share < 1:
        chip = at_clock(chip, share)
        result = run_shape(full, chip, costs, loop, events)
    waves = full.ctas / (chip.sms * full.slots)
    passes = f", {full.passes} passes" if full.passes > 1 else ""
    choice = f"{full.ctas} CTAs of {full.threads}, {full.rounds} rounds{passes}, {waves:.1f} waves"
    return KernelRun(result.cycles / chip.clock_hz * 1e6, 1, choice, waves, result)


def _clock_share(full: Shape, chip: Chip, policy: RowwisePolicy, loop: Loop, result: GridResult) -> float:
    """Share of the chip's clock at which the launch runs, given how it went at the whole of it."""
    us = result.cycles / chip.clock_hz * 1e6
    share = waiting_share(policy, us) if loop.launch is Launch.EAGER else 1.0
    if loop.sustained and "fp32" in chip.lane_pj:
        lanes = full.ctas * (full.issued * full.rounds * full.passes + full.fixed) * LANES * full.scalar
        traffic = (result.dram_read_bytes + result.dram_write_bytes) * chip.byte_pj
        if not chip.byte_pj:  # else that of the L2 is in it
            traffic = (result.l2_read_bytes + result.l2_write_bytes) * chip.l2_byte_pj
        joules = lanes * chip.lane_pj["fp32"] + traffic
        memory_us = (result.dram_read_bytes / chip.dram_read_hz + result.dram_write_bytes / chip.dram_write_hz) * 1e6
        share *= capped_share(chip, joules * 1e-12, us, memory_us)
    return share


def run_shape(full: Shape, chip: Chip, costs: Costs, loop: Loop, events: int = EVENTS) -> GridResult:
    """Simulate a launch; beyond ``events`` events only so many waves of it as are not alike."""
    wave, each = chip.sms * full.slots, 2 * full.rounds * full.passes
    touched = full.rounds * full.piece_bytes * (full.operands + (0 if full.in_place else full.results))
    most = max(4 * wave, events // each, _up(round(FILLS * chip.l2_usable_bytes), max(1, round(touched))))
    if full.ctas <= most:
        return _simulate(full, chip, costs, loop, full.ctas, full.ctas)
    left_out = _up(full.ctas - most, wave)
    longer = full.ctas - left_out * wave
    span = max(1, longer // wave // 2)
    short = _simulate(full, chip, costs, loop, longer - span * wave, full.ctas)
    return extended(short, _simulate(full, chip, costs, loop, longer, full.ctas), left_out / span)


@lru_cache(maxsize=8)
def _state(sms: int, slots: int) -> gr.RowState:
    return gr.new_row_state(sms, slots)


def _simulate(launch: Shape, chip: Chip, costs: Costs, loop: Loop, ctas: int, of: int) -> GridResult:
    """The first ``ctas`` CTAs of ``of``."""
    p = np.zeros(gr.N_LAUNCH, np.int64)
    p[gr.W_SMS], p[gr.W_SLOTS], p[gr.W_CTAS] = chip.sms, launch.slots, ctas
    p[gr.W_OPERANDS], p[gr.W_WRITES], p[gr.W_IN_PLACE] = launch.operands, launch.results, launch.in_place
    p[gr.W_ROUNDS], p[gr.W_PASSES] = launch.rounds, launch.passes
    p[gr.W_READ_BYTES] = p[gr.W_WRITE_BYTES] = max(1, round(launch.piece_bytes))
    held = resident_share(launch.cta_bytes * launch.slots, chip.shared_bytes * launch.l1_share)
    p[gr.W_MISS] = round((1 - held) * gr.MISS_ONE)
    p[gr.W_CTA_LAUNCH], p[gr.W_SYNC] = ticks(costs.cta_launch), ticks(launch.sync)
    p[gr.W_PORT_RATE], p[gr.W_L2_RATE] = rate(chip.port_bytes), rate(chip.l2_bytes)
    p[gr.W_L2_LATENCY], p[gr.W_DRAM_LATENCY] = ticks(chip.l2_latency), ticks(chip.dram_latency)
    p[gr.W_DRAM_READ_RATE] = rate(chip.dram_read_hz / chip.clock_hz)
    p[gr.W_DRAM_WRITE_RATE] = rate(chip.dram_write_hz / chip.clock_hz)
    each = max(1 / ISSUED, launch.scalar * LANES / chip.simt_macs["fp32"])
    issue = np.full(launch.passes, ticks((launch.issued + launch.fixed / (launch.rounds * launch.passes)) * each), np.int64)
    cache = new_cache(max(1, round(chip.l2_usable_bytes)), int(p[gr.W_READ_BYTES]), policy=NOT_RECENT)
    _warm(cache, launch, chip, loop, of)
    out = np.zeros(gr.N_DONE, np.int64)
    gr.run_rows(p, issue, _state(chip.sms, launch.slots), cache, out)
    return _result(out.tolist())


def _warm(cache: Cache, launch: Shape, chip: Chip, loop: Loop, ctas: int) -> None:
    """What earlier calls, or the kernel before, left in the L2."""
    pieces = ctas * launch.rounds
    each = launch.piece_bytes * pieces
    if launch.produced:
        share = round(resident_share(each, chip.l2_usable_bytes) * SHARE_ONE)
        warm_share(cache, (launch.operands - 1) * gr.ORIGIN, pieces, share, 1)
        return
    outputs = 0.0 if launch.in_place else each * launch.results
    found = residency(loop, 0.0, each * launch.operands, outputs, chip.l2_usable_bytes)
    for output in range(0 if launch.in_place else launch.results):
        warm_share(cache, (gr.OUTPUTS + output) * gr.ORIGIN, pieces, round(found.outputs * SHARE_ONE), 1)
    for operand in range(launch.operands):
        warm_share(cache, operand * gr.ORIGIN, pieces, round(found.inputs * SHARE_ONE), int(launch.in_place))
    if found.outputs < 1:
        lines = len(cache.tags)
        free = max(0, lines - round(pieces * (found.inputs * launch.operands + found.outputs * launch.results)))
        warm_share(cache, 2 * gr.OUTPUTS * gr.ORIGIN, free * launch.results // (launch.operands + launch.results), SHARE_ONE, 1)


def _result(out: list[int]) -> GridResult:
    """Counters with names."""
    stalls = {
        "latency": out[gr.Q_STALL_LATENCY] / TICKS, "sm_feed": out[gr.Q_STALL_PORT] / TICKS,
        "l2": out[gr.Q_STALL_L2] / TICKS, "dram": out[gr.Q_STALL_DRAM] / TICKS,
    }  # fmt: skip
    return GridResult(
        out[gr.Q_END] / TICKS, out[gr.Q_DRAM_READ], out[gr.Q_DRAM_WRITE], out[gr.Q_L2_READ], out[gr.Q_L2_HIT],
        out[gr.Q_L2_WRITE], out[gr.Q_BUSY] / TICKS, stalls, out[gr.Q_IN_FLIGHT] / max(1, out[gr.Q_END]), out[gr.Q_EVENTS],
    )  # fmt: skip


def eager_us(kernel_us: float, floor_us: float, after_us: float) -> float:
    """Time between two events around one eager call: max(floor, floor - after + kernel).

    The first event passes at once, as the GPU is idle; the host then needs ``floor - after`` to launch the kernel, and
    ``after`` more to record the second event. The GPU reaches that when both the kernel and the host are done.
    """
    return max(floor_us, floor_us - after_us + kernel_us)
