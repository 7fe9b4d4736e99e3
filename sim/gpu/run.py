"""A kernel on a device, timed as a measuring loop would: the kernel, its launches, the power cap."""

from dataclasses import dataclass, replace

from .attention import run_attention
from .device import Device
from .engine import KernelRun
from .gemm import EVENTS, LOOK, run_gemm
from .kernels import Attention, Gemm, Kernel, Rowwise
from .loop import Launch, Loop
from .power import capped_us, dram_us, dynamic_joules
from .quantise import quantised
from .rowwise import eager_us, run_rowwise
from .rowwise_clock import stream_chip
from .simt import run_simt

LAUNCH_BOUND = 0.5
"""Share of a call's time from which on its launches are said to bound it."""


@dataclass(frozen=True)
class Timing:
    """A call. ``us`` is what the loop measures, ``kernel_us`` what of it is not launches; ``joules`` dynamic energy."""

    us: float
    kernel_us: float
    run: KernelRun
    bound: str
    joules: float


def time_kernel(kernel: Kernel, device: Device, loop: Loop, op: str, look: int = LOOK, events: int = EVENTS) -> Timing:
    """Simulate a call of a loop.

    Args:
        op: its name in kernel logs, by which the host's times are known.
        look, events: effort for a GEMM, see :mod:`.gemm`.

    Raises:
        KeyError: the chip or the stack cannot do it.
        ValueError: a kernel that makes no sense, or is too large to simulate.
    """
    run = simulate_kernel(kernel, device, loop, look, events)
    chip, costs = device.chip, device.costs
    gap = 0.0 if loop.launch is Launch.GRAPH else device.gap_us
    launches = run.launches * max(0.0, costs.launch_us - gap)
    if isinstance(kernel, Rowwise) and loop.launch is not Launch.GRAPH:
        launches = 0.0  # the simulation has all of such a kernel's own time
    if loop.alone and isinstance(kernel, Gemm):  # attention's policy counts its calls itself
        launches += costs.alone_us
    us = run.us + launches
    moved = run.result.dram_read_bytes + run.result.dram_write_bytes
    plain = dynamic_joules(chip, kernel.dtype, macs(kernel), moved, loop.activity)
    joules = plain if run.joules is None else run.joules
    capped = run.joules is not None and loop.sustained  # the lanes' products hold the cap themselves
    held = us if capped else capped_us(us, dram_us(chip, run.result), joules, chip, loop)
    timed = held
    if loop.launch is Launch.EAGER:
        timed = eager_us(held, device.host_us(op), device.host_after_us)
    bound = "host" if timed > 2 * held else _bound(us, held, launches, run)
    return Timing(timed, run.us, run, bound, joules)


def simulate_kernel(kernel: Kernel, device: Device, loop: Loop, look: int = LOOK, events: int = EVENTS) -> KernelRun:
    """Simulate a kernel as the stack would run it.

    Raises:
        KeyError: the chip or the stack cannot do it.
        ValueError: a kernel that makes no sense, or is too large to simulate.
    """
    if isinstance(kernel, Gemm):
        simt = device.stack.gemm.simt
        if simt is not None and kernel.dtype not in device.chip.tensor_macs:
            menu, splits = simt.menu(device.gpu.architecture), device.stack.gemm.split_k.values
            return run_simt(kernel, device.chip, device.costs, simt, menu, splits, loop)
        run = run_gemm(kernel, device.chip, device.costs, device.menu(kernel.dtype, kernel.m), loop, look, events)
        policy = device.stack.gemm.quantise
        if policy is None or kernel.dtype != "fp8" or kernel.batch > 1:
            return run
        return quantised(kernel, device.chip, policy, loop, run)
    if isinstance(kernel, Attention):
        if device.stack.attention is None:
            raise KeyError("attention")
        return run_attention(kernel, device.chip, device.stack.attention, device.costs, loop)
    made = loop.program_bytes > 0 and kernel.op != "embedding"  # what a gather reads is a weight
    loop = replace(loop, cold=True) if loop.program_bytes and not made else loop
    return run_rowwise(kernel, stream_chip(device.gpu, device.chip), device.stack.rowwise, device.costs, loop, produced=made)


def macs(kernel: Kernel) -> float:
    """Multiply-adds of a kernel; those of masked attention scores not counted."""
    if isinstance(kernel, Gemm):
        return float(kernel.batch) * kernel.m * kernel.n * kernel.k
    if isinstance(kernel, Attention):
        seen = kernel.seq_kv - (kernel.seq_q - 1) / 2 if kernel.phase == "prefill" else kernel.seq_kv
        return 2.0 * kernel.batch * kernel.heads * kernel.seq_q * seen * kernel.head_dim
    return 0.0


def _bound(us: float, held: float, launches: float, run: KernelRun) -> str:
    """What most of the time goes to."""
    if launches > LAUNCH_BOUND * us:
        return "launch"
    if held > 1.02 * us:
        return "power"
    shares = {"arithmetic": run.result.busy} | run.result.stalls
    return max(shares, key=lambda name: shares[name])
