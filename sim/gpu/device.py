"""A board with a software stack, ready to simulate: the specification's numbers as those of :mod:`.machine`.

What a board's specification leaves open is carried over from the chips that were fitted; :data:`CARRIED` has it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...arch.gpu import GpuSpec
from ...arch.stack import StackSpec
from ...arch.values import Duration, PerMille
from ..kernels.gpu_cache import MAX_WAYS
from ..kernels.gpu_layout import MAX_DRAM_SERVERS
from .gemm import Menu
from .machine import Chip, Costs
from .menu import menu_of

CARRIED: Mapping[str, float] = {
    "tensor": 0.86, "simt": 0.95, "dram_read": 0.88, "dram_write": 0.7, "l2_bandwidth": 0.8, "dram_latency": 400,
    "static_share": 0.24, "window_us": 25e3, "launch_us": 2.7, "gap_us": 1.3,
}  # fmt: skip
"""Taken once, rounded, from what was fitted on A100 and Hopper (their ``achieved``), and not moved when those were fitted again:
shares of rates, cycles, share of the power cap, us."""
USABLE = {1: 0.9, 2: 0.4}
"""Share of the L2 for data that all SMs read, by partitions: where there are two, each keeps a copy of its own."""


@dataclass(frozen=True)
class Device:
    """A board and the stack that runs on it."""

    gpu: GpuSpec
    stack: StackSpec

    @cached_property
    def chip(self) -> Chip:
        """The chip at its highest clock."""
        return chip_of(self.gpu)

    @cached_property
    def costs(self) -> Costs:
        """What the stack's kernels cost."""
        return costs_of(self.stack, self.chip.clock_hz)

    def menu(self, dtype: str, rows: int = 1) -> Menu:
        """The stack's matrix product kernels on this chip, for products of ``rows`` rows.

        Raises:
            KeyError: it has none for the type.
        """
        key = dtype, bisect_left(self.stack.gemm.menu(dtype).bounds(), rows)
        if key not in self._menus:
            self._menus[key] = menu_of(self.stack.gemm, dtype, self.gpu, rows)
        return self._menus[key]

    @cached_property
    def gap_us(self) -> float:
        """Time between kernels of a graph, which no kernel's own time has."""
        launch = self.gpu.micro.graph_launch
        return CARRIED["gap_us"] if launch is None else _us(launch, self.chip.clock_hz)

    def host_us(self, op: str) -> float:
        """Time of an operation launched and timed by itself, were its kernel instant."""
        floor = self.stack.fixed.eager.get(op)
        return 0.0 if floor is None else _us(floor, self.chip.clock_hz)

    @cached_property
    def host_after_us(self) -> float:
        """Of that, from the launch of the kernel to the event that ends the timing."""
        after = self.stack.fixed.eager_after
        return 0.0 if after is None else _us(after, self.chip.clock_hz)

    @cached_property
    def _menus(self) -> dict[tuple[str, int], Menu]:
        return {}


def _ratio(value: PerMille | None, carried: str) -> float:
    return CARRIED[carried] if value is None else value.value / 1000


def _us(duration: Duration, clock_hz: float) -> float:
    return duration.value / clock_hz * 1e6 if duration.in_cycles else duration.value / 1e6


def _cycles(duration: Duration, clock_hz: float) -> float:
    return float(duration.value) if duration.in_cycles else duration.value * 1e-12 * clock_hz


def chip_of(gpu: GpuSpec) -> Chip:
    """The numbers of a board; rates and latencies at its highest clock."""
    sm, micro, got = gpu.sm, gpu.micro, gpu.achieved
    clock = float(sm.max_clock.value)
    peak = float(gpu.dram.bandwidth.value)
    l2_peak = micro.l2_bandwidth.value / clock if micro.l2_bandwidth is not None else float(gpu.l2.bandwidth_per_clock.value)
    read = micro.dram_read_bandwidth.value if micro.dram_read_bandwidth is not None else CARRIED["dram_read"] * peak
    read = peak * got.dram_read.value / 1000 if got.dram_read is not None else read
    usable = got.l2_usable.value / 1000 if got.l2_usable is not None else USABLE[min(2, gpu.l2.partitions.value)]
    latency = _cycles(got.l2_latency, clock) if got.l2_latency is not None else _hit(gpu, clock)
    energy = gpu.energy
    return Chip(
        name=gpu.name, sms=sm.count.value, clock_hz=clock,
        tensor_macs={k: v.value for k, v in sm.tensor_macs.items()}, simt_macs={k: v.value for k, v in sm.simt_macs.items()},
        sfu_per_cycle=sm.sfu_per_clock.value, shared_bytes=sm.shared_max.value,
        cta_shared_bytes=sm.shared_reserved_per_cta.value if sm.shared_reserved_per_cta is not None else 0,
        max_ctas=sm.max_ctas.value, max_threads=sm.max_threads.value,
        port_bytes=float((got.port or sm.l2_bytes_per_clock).value),
        l2_bytes=l2_peak * (_ratio(got.l2_bandwidth, "l2_bandwidth")), l2_latency=latency,
        l2_usable_bytes=gpu.l2.size.value * usable, l2_ways=min(MAX_WAYS, gpu.l2.ways.value), dram_read_hz=read,
        dram_write_hz=peak * _ratio(got.dram_write, "dram_write"),
        dram_latency=_cycles(got.dram_latency, clock) if got.dram_latency is not None else _miss(gpu, clock, latency),
        dram_servers=min(MAX_DRAM_SERVERS, gpu.dram.channels.value), dram_slice_bytes=gpu.dram.interleave.value,
        tensor_efficiency=_ratio(got.tensor, "tensor"), simt_efficiency=_ratio(got.simt, "simt"),
        power_cap_w=gpu.power.cap.value / 1e6,
        static_w=(gpu.power.cap.value * CARRIED["static_share"] if gpu.power.static is None else gpu.power.static.value) / 1e6,
        mac_pj={k: v.value / 1e3 for k, v in energy.tensor_mac.items()},
        lane_pj={k: v.value / 1e3 for k, v in energy.simt_mac.items()},
        l2_byte_pj=energy.l2_bit.value * 8 / 1e3 if energy.l2_bit is not None else 0.0,
        byte_pj=energy.traffic_bit.value * 8 / 1e3 if energy.traffic_bit is not None else 0.0,
        governor_us=gpu.power.window.value / 1e6 if gpu.power.window is not None else CARRIED["window_us"],
    )  # fmt: skip


def _hit(gpu: GpuSpec, clock: float) -> float:
    """Cycles of an L2 hit: the mean of the near and the far partition."""
    near, far = gpu.micro.l2_latency, gpu.micro.l2_far_latency
    if near is None:
        return 300.0
    return (_cycles(near, clock) + _cycles(far or near, clock)) / 2


def _miss(gpu: GpuSpec, clock: float, hit: float) -> float:
    """Cycles of a miss beyond a hit."""
    dram = gpu.micro.dram_latency
    return CARRIED["dram_latency"] if dram is None else max(0.0, _cycles(dram, clock) - hit)


def costs_of(stack: StackSpec, clock_hz: float) -> Costs:
    """What a stack's kernels cost, on SMs of a clock."""
    costs, launch, alone = stack.gemm.costs, stack.fixed.launch, stack.fixed.alone
    return Costs(
        launch_us=_us(launch, clock_hz) if launch is not None else CARRIED["launch_us"],
        cta_launch=_cycles(costs.cta_launch, clock_hz), step=_cycles(costs.step, clock_hz),
        epilogue=_cycles(costs.epilogue, clock_hz), epilogue_bytes=float(costs.epilogue_bytes.value),
        split_us=_us(costs.split_pass, clock_hz), step_least=_cycles(costs.step_least, clock_hz),
        alone_us=_us(alone, clock_hz) if alone is not None else 0.0,
    )  # fmt: skip
