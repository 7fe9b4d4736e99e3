"""Rates of streams, and the clock at which a row-wise kernel finds its chip.

A matrix product's CTAs ask for tiles here and there; the kernels here stream, and reach what a copy reaches. Reads and writes
share the DRAM, so a copy takes 1/read + 1/write a byte and a triad 2/read + 1/write: both rates follow from two benchmarks.

Two things lower the clock. Instructions cost energy: on a board with a small cap the clock falls until the cap holds. And a GPU
that waits for the host most of the time stays near the board's base clock.
"""

from dataclasses import replace

from ...arch.gpu import GpuSpec
from ...arch.stack import RowwisePolicy
from ...arch.values import Duration
from .machine import Chip
from .power import VOLTAGE_FLOOR

COPY = 0.87
"""Copy over peak where no benchmark is known: as A100 (0.85 to 0.89) and H100 PCIe (0.84)."""
READ = 0.93
"""Read over peak where none is known: as A100 SXM 80 GB (0.92)."""

USABLE = 0.45
"""Share of the L2 that rows find again. FITTED: NeuSight rows of T4 and A100 PCIe (docs/gpu-rowwise.md); 0.4 to 0.5 are alike."""


def stream_chip(gpu: GpuSpec, chip: Chip) -> Chip:
    """The chip with the rates and latencies that streams see, from micro-benchmarks."""
    micro, peak = gpu.micro, float(gpu.dram.bandwidth.value)
    read = READ * peak if micro.dram_read_bandwidth is None else float(micro.dram_read_bandwidth.value)
    copy = COPY * peak if micro.dram_copy_bandwidth is None else float(micro.dram_copy_bandwidth.value)
    if micro.dram_copy_bandwidth is not None and micro.dram_triad_bandwidth is not None:
        left = 3 / micro.dram_triad_bandwidth.value - 2 / copy
        read = min(read, 1 / left) if left > 0 else read
    latency = chip.dram_latency
    if micro.dram_latency is not None and gpu.achieved.dram_latency is None:  # under load it is more than of one load alone
        latency = max(0.0, _cycles(micro.dram_latency, chip.clock_hz) - chip.l2_latency)
    l2_bytes = chip.l2_bytes if micro.l2_bandwidth is None else micro.l2_bandwidth.value / chip.clock_hz
    return replace(
        chip, dram_read_hz=read, dram_write_hz=min(peak, 1 / (2 / copy - 1 / read)), dram_latency=latency, l2_bytes=l2_bytes,
        port_bytes=float(gpu.sm.l2_bytes_per_clock.value), l2_usable_bytes=USABLE * gpu.l2.size.value,
        base_share=min(1.0, gpu.sm.base_clock.value / gpu.sm.max_clock.value),
    )  # fmt: skip


def at_clock(chip: Chip, share: float) -> Chip:
    """The chip at a share of its clock; the DRAM keeps its times."""
    return replace(chip, clock_hz=chip.clock_hz * share, dram_latency=chip.dram_latency * share)


def part_of(chip: Chip, sms: int) -> Chip:
    """So many SMs of the chip, with their share of the L2 and of the DRAM."""
    share = sms / chip.sms
    return replace(
        chip, sms=sms, l2_bytes=chip.l2_bytes * share, l2_usable_bytes=chip.l2_usable_bytes * share,
        dram_read_hz=chip.dram_read_hz * share, dram_write_hz=chip.dram_write_hz * share,
    )  # fmt: skip


def waiting_share(policy: RowwisePolicy, chip: Chip, kernel_us: float) -> float:
    """Share of the clock for eager kernels of ``kernel_us``: base + (1 - base) (k / (k + ramp))^2."""
    if policy.ramp is None:
        return 1.0
    ramp_us = policy.ramp.value / 1e6
    return chip.base_share + (1 - chip.base_share) * (kernel_us / (kernel_us + ramp_us)) ** 2


def capped_share(chip: Chip, joules: float, us: float, memory_us: float) -> float:
    """Share of the clock that holds the power cap over and over; ``joules`` and ``us`` at the chip's clock.

    Voltage falls with the clock, energy with its square; what the DRAM takes, ``memory_us``, does not follow the clock.
    """
    room = (chip.power_cap_w - chip.static_w) * 1e-6

    def holds(share: float) -> bool:
        voltage = VOLTAGE_FLOOR + (1 - VOLTAGE_FLOOR) * share
        return joules * voltage**2 <= room * max(us / share, memory_us)

    if holds(1.0):
        return 1.0
    low, high = 0.05, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _cycles(duration: Duration, clock_hz: float) -> float:
    return float(duration.value) if duration.in_cycles else duration.value * 1e-12 * clock_hz
