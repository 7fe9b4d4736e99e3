"""Lint of one GPU: what numbers from different sources must satisfy together, beyond what :class:`GpuSpec` refuses outright."""

from collections.abc import Iterator, Mapping

from .gpu import GpuSpec
from .lint import lint as lint_device
from .loader import load_device
from .units import Clock
from .values import Bandwidth, Count, OpRate

THROUGHPUT_TOLERANCE = 0.01
"""By how much rates times clocks may differ from a printed throughput, which is rounded."""
BANDWIDTH_TOLERANCE = 0.03
"""By how much the pins of all channels may differ from the printed bandwidth; H200 is run below its memory clock."""


def dram_peak_bytes_per_s(gpu: GpuSpec) -> int:
    """Peak of the pins of all DRAM channels of a board, in bytes per second.

    Raises:
        ConfigError: the device of the specification cannot be loaded.
    """
    device = load_device(gpu.dram.device)
    buses = gpu.dram.channels.value * device.organization.pseudo_channels.value
    return buses * device.bus.bandwidth_bits_per_s // 8


def lint(gpu: GpuSpec) -> list[str]:
    """Problems of ``gpu``, one text each; an empty list if there are none."""
    return [*_throughput(gpu), *_sm(gpu), *_l2(gpu), *_dram(gpu), *_latencies(gpu)]


def _throughput(gpu: GpuSpec) -> Iterator[str]:
    sheet, sm = gpu.datasheet, gpu.sm
    tables: tuple[tuple[str, Mapping[str, OpRate], Mapping[str, Count], int], ...] = (
        ("tensor", sheet.tensor, sm.tensor_macs, sheet.tensor_clock.value),
        ("simt", sheet.simt, sm.simt_macs, sheet.simt_clock.value),
    )
    for name, printed, macs, clock_hz in tables:
        for dtype, rate in printed.items():
            if dtype not in macs:
                yield f"sm.{name}_macs.{dtype}: missing, but the data sheet has {rate.text}"
                continue
            derived = 2 * sm.count.value * macs[dtype].value * clock_hz
            if abs(derived / rate.value - 1) > THROUGHPUT_TOLERANCE:
                yield f"datasheet.{name}.{dtype}: {rate.text}, but rate and clock come to {derived / 1e12:.4g} TOP/s"
    for clock in (sheet.tensor_clock, sheet.simt_clock):
        if clock.value > sm.max_clock.value:
            yield f"datasheet: throughputs at {clock.text}, above sm.max_clock, {sm.max_clock.text}"


def _sm(gpu: GpuSpec) -> Iterator[str]:
    sm = gpu.sm
    if sm.shared_max.value > sm.l1_and_shared.value:
        yield f"sm.shared_max: {sm.shared_max.text} is above l1_and_shared, {sm.l1_and_shared.text}"
    reserved = sm.shared_reserved_per_cta.value if sm.shared_reserved_per_cta is not None else 0
    if sm.shared_max_per_cta.value + reserved > sm.shared_max.value:
        yield f"sm.shared_max_per_cta: {sm.shared_max_per_cta.text} with what is reserved is above shared_max"
    if sm.max_threads.value % 32 or sm.max_threads.value < 32 * sm.max_ctas.value:
        yield f"sm.max_threads: {sm.max_threads.value} is no whole number of warps, or below one warp for each of max_ctas"
    if sm.register_file.value < 4 * 32 * sm.max_threads.value:
        yield f"sm.register_file: {sm.register_file.text} leaves fewer than 32 registers to each of max_threads"


def _l2(gpu: GpuSpec) -> Iterator[str]:
    l2, micro = gpu.l2, gpu.micro
    if l2.line.value % l2.sector.value:
        yield f"l2.line: {l2.line.text} is no multiple of the sector, {l2.sector.text}"
    if l2.size.value % (l2.slices.value * l2.ways.value * l2.line.value):
        yield f"l2.size: {l2.size.text} is no whole number of sets in each slice"
    if l2.slices.value % l2.partitions.value:
        yield f"l2.slices: {l2.slices.value} are not the same in each of {l2.partitions.value} partitions"
    peak = l2.bandwidth_per_clock.value * l2.clock.value
    if micro.l2_bandwidth is not None and micro.l2_bandwidth.value > peak:
        yield f"micro.l2_bandwidth: {micro.l2_bandwidth.text} is above bandwidth_per_clock x clock, {peak / 1e9:.5g} GB/s"
    if micro.l2_usable is not None and micro.l2_usable.value > l2.size.value:
        yield f"micro.l2_usable: {micro.l2_usable.text} is above l2.size"
    if (micro.l2_far_latency is not None) != (l2.partitions.value > 1) and micro.l2_latency is not None:
        yield f"micro.l2_far_latency: wants two partitions, and they want it; there are {l2.partitions.value}"


def _dram(gpu: GpuSpec) -> Iterator[str]:
    dram, micro, device = gpu.dram, gpu.micro, load_device(gpu.dram.device)
    yield from (f"dram.device: {problem}" for problem in lint_device(device))
    peak = dram_peak_bytes_per_s(gpu)
    if abs(peak / dram.bandwidth.value - 1) > BANDWIDTH_TOLERANCE:
        yield f"dram.bandwidth: {dram.bandwidth.text}, but channels of {dram.device} come to {peak / 1e9:.5g} GB/s"
    levels = device.organization.capacity_bytes * dram.channels.value
    if not any(0.9 * dram.capacity.value <= chips * levels <= 1.1 * dram.capacity.value for chips in (1, 2)):
        yield f"dram.capacity: {dram.capacity.text}, but channels of {dram.device} have {levels / 2**30:g} GiB"
    for name in ("dram_read_bandwidth", "dram_write_bandwidth", "dram_copy_bandwidth", "dram_triad_bandwidth"):
        reached: Bandwidth | None = getattr(micro, name)
        if reached is not None and not 0.5 * dram.bandwidth.value <= reached.value <= min(peak, dram.bandwidth.value):
            yield f"micro.{name}: {reached.text} is not between half and all of the peak, {dram.bandwidth.text}"


ASCENDING = (
    "shared_latency", "l1_latency", "l2_latency", "l2_far_latency", "dram_latency", "graph_launch", "stream_launch",
)  # fmt: skip
"""Micro-benchmarks of which each takes at least as long as the one before."""


def _latencies(gpu: GpuSpec) -> Iterator[str]:
    clock = Clock(gpu.sm.max_clock.value)
    durations = [(name, getattr(gpu.micro, name)) for name in ASCENDING]
    known = [(name, duration.ps(clock)) for name, duration in durations if duration is not None]
    for (near, near_ps), (far, far_ps) in zip(known, known[1:], strict=False):
        if near_ps > far_ps:
            yield f"micro.{near}: {near_ps / 1000:.4g} ns is above {far}, {far_ps / 1000:.4g} ns"
