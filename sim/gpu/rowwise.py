"""Row-wise and elementwise kernels, gathers and scatters: the shape of their grids, simulated.

What a kernel moves and how its threads walk is in :class:`Shape`; the event loop is :mod:`rowline.sim.kernels.gpu_rowwise`.
All SMs do the same, so a large launch is simulated on a part of them, with that part of the L2, of the DRAM and of the CTAs.
It goes on as it does, so of many waves only those that fill the L2 a few times are simulated; the rest follows from the last.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...arch.stack import RowwiseForm, RowwiseKernel, RowwisePolicy
from ..kernels import gpu_rowwise as gr
from ..kernels.gpu_cache import NOT_RECENT, Cache, dirty, new_cache
from ..kernels.gpu_layout import TICKS
from ..kernels.gpu_warm import SHARE_ONE, warm_share
from .engine import GridResult, KernelRun, rate, ticks
from .kernels import Rowwise
from .loop import Launch, Loop, residency, resident_share
from .machine import ELEMENT_BYTES, Chip, Costs
from .rowwise_clock import at_clock, capped_share, part_of, waiting_share
from .steady import scaled

OPERANDS = {"add": 2, "silu_mul": 2}
"""Inputs of the operations that have not one."""
LANES = 32
ISSUED = 4
"""Warp instructions that an SM issues in a cycle, on all GPUs since Volta."""
EVENTS = 6_000
"""Events up to which a launch is simulated as a whole, and to which the part of the SMs is chosen."""
LEAST_SMS = 4
"""SMs that are simulated at least."""
WAVES = 12
"""Waves that are simulated at least, if there are so many."""
FILLS = 5
"""Times that the L2's capacity has passed before a launch is said to go on as it does; the last third of that says how."""


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
    sync = policy.sync.value if passes > 1 else 0  # else there is no sum to wait for, or a warp has it by itself
    rest = (sync, policy.scalar.value / 1000, policy.l1_share.value / 1000)
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
        return threads, rounds, (whole * threads * kernel.vector + _up(rest, LANES) * LANES) / rounds
    if kernel.narrow:
        threads = min(threads, _up(_up(n, kernel.vector), LANES) * LANES)
    each, warp = threads * kernel.vector, LANES * kernel.vector
    whole = (n - 1) // each  # warps beyond the row's end do nothing in the last turn
    rounds = _up(whole + 1, kernel.unroll)
    return threads, rounds, (whole * each + _up(n - whole * each, warp) * warp) / rounds


def run_rowwise(
    rowwise: Rowwise, chip: Chip, policy: RowwisePolicy, costs: Costs, loop: Loop, events: int = EVENTS, produced: bool = False
) -> KernelRun:
    """Simulate one call: in a measuring loop, or as the kernel after that which has written its (last) input.

    A profiler times kernels inside of a program, so their inputs have been produced too.

    Raises:
        KeyError: the stack has no kernel for the operation, or the type has no size.
    """
    full = replace(shape(rowwise, chip, policy), produced=produced or loop.launch is Launch.KERNEL)
    chip = at_clock(chip, _clock_share(full, chip, policy, loop))
    result = _calls(run_shape(full, chip, costs, loop, events), rowwise.calls)
    waves = full.ctas / (chip.sms * full.slots)
    passes = f", {full.passes} passes" if full.passes > 1 else ""
    times = f"{rowwise.calls} times " if rowwise.calls > 1 else ""
    choice = f"{times}{full.ctas} CTAs of {full.threads}, {full.rounds} rounds{passes}, {waves:.1f} waves"
    return KernelRun(result.cycles / chip.clock_hz * 1e6, rowwise.calls, choice, waves, result)


def _calls(one: GridResult, calls: int) -> GridResult:
    """What a number of like launches does, one after another."""
    return one if calls == 1 else scaled(one, calls, calls)


def _clock_share(full: Shape, chip: Chip, policy: RowwisePolicy, loop: Loop) -> float:
    """Share of the chip's clock at which the launch runs: of its traffic and its instructions, had it the whole clock."""
    eager, capped = loop.launch is Launch.EAGER and policy.ramp is not None, loop.sustained and "fp32" in chip.lane_pj
    if not eager and not capped:
        return 1.0
    issued = full.ctas * (full.issued * full.rounds * full.passes + full.fixed)
    read, written = full.ctas * full.cta_bytes, full.ctas * full.piece_bytes * full.rounds * full.results
    memory_us = (read / chip.dram_read_hz + written / chip.dram_write_hz) * 1e6
    us = max(memory_us, issued * _issue_cycles(full, chip) / (chip.sms * chip.clock_hz) * 1e6)
    share = waiting_share(policy, chip, us) if eager else 1.0
    if capped:  # where the DRAM's energy is not known apart, that of the L2 has it
        byte_pj, moved = (chip.byte_pj, 1) if chip.byte_pj else (chip.l2_byte_pj, full.passes)
        joules = issued * LANES * full.scalar * chip.lane_pj["fp32"] + (read * moved + written) * byte_pj
        share = min(share, capped_share(chip, joules * 1e-12, us, memory_us))
    return share


def _issue_cycles(launch: Shape, chip: Chip) -> float:
    """Cycles that an SM takes for a warp instruction."""
    return max(1 / ISSUED, launch.scalar * LANES / chip.simt_macs["fp32"])


def run_shape(full: Shape, chip: Chip, costs: Costs, loop: Loop, events: int = EVENTS) -> GridResult:
    """Simulate a launch with about so many events: on a part of the SMs, and only so many waves of it as are not alike."""
    touched = full.rounds * full.piece_bytes * (full.operands + (0 if full.in_place else full.results))
    each, fills = 2 * full.rounds * full.passes, _up(round(FILLS * chip.l2_usable_bytes), max(1, round(touched)))
    wanted = min(full.ctas, max(WAVES * chip.sms * full.slots, fills)) * each
    sms = min(chip.sms, max(LEAST_SMS, _up(chip.sms * events, wanted)))
    part = chip.sms / sms
    ctas = max(1, round(full.ctas / part))
    chip = part_of(chip, sms)
    wave = sms * full.slots
    most = max(WAVES * wave, events // each, round(fills / part))
    left_out = max(0, _up(ctas - most, wave))
    result = _simulate(full, chip, costs, loop, ctas, left_out)
    return result if part == 1 else scaled(result, full.ctas / ctas)


@lru_cache(maxsize=8)
def _state(sms: int, slots: int) -> gr.RowState:
    return gr.new_row_state(sms, slots)


def _simulate(launch: Shape, chip: Chip, costs: Costs, loop: Loop, of: int, left_out: int) -> GridResult:
    """``of`` CTAs, but for so many waves of them as go on like the last before them."""
    wave = chip.sms * launch.slots
    ctas = of - left_out * wave
    span = max(1, ctas // wave // 3)
    p = np.zeros(gr.N_LAUNCH, np.int64)
    p[gr.W_SMS], p[gr.W_SLOTS], p[gr.W_CTAS] = chip.sms, launch.slots, ctas
    p[gr.W_OPERANDS], p[gr.W_WRITES], p[gr.W_IN_PLACE] = launch.operands, launch.results, launch.in_place
    p[gr.W_ROUNDS], p[gr.W_PASSES] = launch.rounds, launch.passes
    p[gr.W_MARK], p[gr.W_LAST] = (ctas - wave - span * wave, ctas - wave) if left_out else (ctas, ctas)
    p[gr.W_READ_BYTES] = p[gr.W_WRITE_BYTES] = max(1, round(launch.piece_bytes))
    held = resident_share(launch.cta_bytes * launch.slots, chip.shared_bytes * launch.l1_share)
    p[gr.W_MISS] = round((1 - held) * gr.MISS_ONE)
    p[gr.W_CTA_LAUNCH], p[gr.W_SYNC] = ticks(costs.cta_launch), ticks(launch.sync)
    p[gr.W_PORT_RATE], p[gr.W_L2_RATE] = rate(chip.port_bytes), rate(chip.l2_bytes)
    p[gr.W_L2_LATENCY], p[gr.W_DRAM_LATENCY] = ticks(chip.l2_latency), ticks(chip.dram_latency)
    p[gr.W_DRAM_READ_RATE] = rate(chip.dram_read_hz / chip.clock_hz)
    p[gr.W_DRAM_WRITE_RATE] = rate(chip.dram_write_hz / chip.clock_hz)
    issued = launch.issued + launch.fixed / (launch.rounds * launch.passes)
    issue = np.full(launch.passes, ticks(issued * _issue_cycles(launch, chip)), np.int64)
    cache = new_cache(max(1, round(chip.l2_usable_bytes)), int(p[gr.W_READ_BYTES]), policy=NOT_RECENT)
    _warm(cache, launch, chip, loop, of)
    out, noted = np.zeros(gr.N_DONE, np.int64), np.zeros((2, gr.N_DONE), np.int64)
    before = dirty(cache)
    gr.run_rows(p, issue, _state(chip.sms, launch.slots), cache, out, noted)
    if not loop.cold and not launch.produced:
        _left_over(p, out, int(dirty(cache) - before))
    if left_out:
        events = out[gr.Q_EVENTS]
        out += (noted[1] - noted[0]) // wave * left_out // span
        out[gr.Q_EVENTS] = events
    return _result(out.tolist())


def _left_over(p: gr.Ints, out: gr.Ints, lines: int) -> None:
    """Over and over, a call also writes what the one before it left in the L2: lines more than this one found there.

    That takes longer only where the DRAM has no time to spare.
    """
    if lines > 0:
        out[gr.Q_DRAM_WRITE] += lines * p[gr.W_WRITE_BYTES]
        busy = out[gr.Q_DRAM_READ] * p[gr.W_DRAM_READ_RATE] + out[gr.Q_DRAM_WRITE] * p[gr.W_DRAM_WRITE_RATE]
        out[gr.Q_END] = max(out[gr.Q_END], busy >> gr.RATE_BITS)


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
