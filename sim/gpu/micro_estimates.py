"""Constants of a GPU straight from the rows of its micro-benchmarks: medians, plateaus and slopes, no simulation.

A slope is the median over all pairs of rows of (t_j - t_i) / (x_j - x_i): what every row pays alike (launch, ends) is not in it,
and a few odd rows do not move it. What each estimate rests on is in its ``how``; ``docs/calibrate.md`` has the equations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arch.gpu import DTYPE_BYTES, GpuSpec

Floats = NDArray[np.float64]
STREAM_FROM = 4
"""Streams of at least so many times the L2 show the DRAM."""
PLATEAU = (1 / 8, 1 / 2)
"""Buffers of these shares of the L2 show its bandwidth: well above what the L1 caches add, well below its capacity."""
KEPT = 0.9
"""Share of the plateau down to which a buffer still counts as held."""


@dataclass(frozen=True)
class Estimate:
    """A derived number.

    Attributes:
        path: dotted name in the GPU's specification.
        value: in the base unit of that number (cycles where ``in_cycles``).
        how: the equation in words.
        rows: of the log that it rests on.
        spread: half the quartile range over the median, of the pairs or rows; nan where there is one.
    """

    path: str
    value: float
    how: str
    rows: int
    spread: float = np.nan
    in_cycles: bool = False


@dataclass
class Findings:
    """Estimates by dotted name, and for what has none the reason."""

    found: dict[str, Estimate] = field(default_factory=lambda: {})
    missing: dict[str, str] = field(default_factory=lambda: {})

    def take(self, path: str, estimate: Estimate | None, reason: str) -> None:
        """Note an estimate, or why there is none."""
        if estimate is not None and np.isfinite(estimate.value) and estimate.value > 0:
            self.found[path] = estimate
        else:
            self.missing[path] = reason


@dataclass(frozen=True)
class Micro:
    """Rows of a micro-benchmark log as arrays of one length; ``clock_hz``: the SM clock of a row, the highest where not read."""

    op: NDArray[Any]
    dtype: NDArray[Any]
    m: Floats
    n: Floats
    us: Floats
    launch: NDArray[Any]
    l2: NDArray[Any]
    clock_mode: NDArray[Any]
    one: NDArray[np.bool_]
    power_w: Floats
    clock_hz: Floats
    clock_read: NDArray[np.bool_]

    def pick(self, op: str, **texts: str) -> NDArray[np.int64]:
        """Positions of an op's rows with these texts in columns."""
        wanted = (self.op == op) & ~self.one
        for name, text in texts.items():
            wanted = wanted & (getattr(self, name) == text)
        return np.flatnonzero(wanted)


def micro_of(columns: Mapping[str, Any], gpu: GpuSpec) -> Micro:
    """The columns of a KernelLog, rows with a wrong result left out."""
    good = np.array(["wrong_result" not in str(flags) for flags in columns["flags"]], dtype=bool)
    texts, numbers = ("op", "dtype", "launch", "l2", "clock_mode", "extra"), ("m", "n", "latency_us", "power_w", "sm_clock_mhz")
    text = {name: np.asarray(columns[name], dtype=object)[good] for name in texts}
    number = {name: np.asarray(columns[name], dtype=np.float64)[good] for name in numbers}
    read = np.isfinite(number["sm_clock_mhz"]) & (number["sm_clock_mhz"] > 0)
    clock = np.where(read, number["sm_clock_mhz"] * 1e6, float(gpu.sm.max_clock.value))
    return Micro(
        text["op"], text["dtype"], number["m"], number["n"], number["latency_us"], text["launch"], text["l2"], text["clock_mode"],
        np.array(['"one"' in str(extra) for extra in text["extra"]], dtype=bool), number["power_w"], clock, read,
    )  # fmt: skip


def pair_slopes(x: Floats, t: Floats) -> Floats:
    """(t_j - t_i) / (x_j - x_i) of all pairs with distinct x, float64[pairs]."""
    i, j = np.triu_indices(len(x), 1)
    apart = x[i] != x[j]
    return (t[j] - t[i])[apart] / (x[j] - x[i])[apart]


def _spread(values: Floats) -> float:
    if len(values) < 2:
        return np.nan
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float((high - low) / 2 / abs(middle)) if middle else np.nan


def estimates(columns: Mapping[str, Any], gpu: GpuSpec) -> Findings:
    """All that a micro-benchmark log says about a GPU."""
    micro, findings = micro_of(columns, gpu), Findings()
    _launches(micro, findings)
    _dram(micro, gpu, findings)
    _l2(micro, gpu, findings)
    _latencies(micro, findings)
    _peaks(micro, gpu, findings)
    _power(micro, gpu, findings)
    for path, why in _NEVER.items():
        if path not in findings.found:
            findings.missing.setdefault(path, why)
    return findings


_NEVER: Mapping[str, str] = {
    "achieved.l2_usable": "no micro-benchmark has all SMs read the same data",
    "achieved.l2_bandwidth": "a share in matrix products; --points",
    "achieved.port": "no micro-benchmark loads one SM alone",
    "achieved.l2_latency": "latency under load; --points",
    "achieved.dram_latency": "latency under load; --points",
    "power.window": "no row begins before the governor acts and ends after",
}


def _launches(micro: Micro, findings: Findings) -> None:
    for path, launch, where in (
        ("micro.graph_launch", "graph", "a node of a long graph"), ("micro.stream_launch", "eager", "one of many from Python"),
    ):  # fmt: skip
        at = micro.pick("launch", launch=launch, l2="warm")
        value = float(np.median(micro.us[at])) * 1e6 if len(at) else np.nan
        how = f"time of a kernel of one element, {where}"
        findings.take(path, Estimate(path, value, how, len(at)), f"no row launch, {launch}")


def _stream(micro: Micro, gpu: GpuSpec, op: str, moved: float) -> Estimate | None:
    """Bytes a second of a stream: the slope of time over bytes, of rows far above the L2."""
    at = micro.pick(op, launch="graph", l2="cold", clock_mode="burst")
    if len(at) < 2:
        at = micro.pick(op, launch="graph", l2="warm", clock_mode="burst")
    size = moved * 4 * micro.n[at]
    far = size >= STREAM_FROM * gpu.l2.size.value
    slopes = pair_slopes(size[far], micro.us[at][far])
    slopes = slopes[slopes > 0]
    if not len(slopes):
        return None
    how = f"{op}: bytes over time, slope over sizes from {STREAM_FROM} x L2"
    return Estimate("", 1e6 / float(np.median(slopes)), how, int(far.sum()), _spread(slopes))


def _dram(micro: Micro, gpu: GpuSpec, findings: Findings) -> None:
    reads = _stream(micro, gpu, "stream_read", 1)
    writes = _stream(micro, gpu, "stream_write", 1)
    copies = _stream(micro, gpu, "stream_copy", 2)
    peak = float(gpu.dram.bandwidth.value)
    for name, got in (("read", reads), ("write", writes), ("copy", copies)):
        path = f"micro.dram_{name}_bandwidth"
        findings.take(path, got and _named(got, path), f"fewer than two rows stream_{name} of {STREAM_FROM} x L2 and more")
    path = "achieved.dram_read"
    how = "micro.dram_read_bandwidth over dram.bandwidth"
    share = reads and Estimate(path, 1000 * reads.value / peak, how, reads.rows, reads.spread)
    findings.take(path, share, "needs stream_read")
    path = "achieved.dram_write"
    if reads is not None and copies is not None and 2 / copies.value > 1 / reads.value:
        value = 1 / (2 / copies.value - 1 / reads.value)
        how = "w of 2 / copy = 1 / read + 1 / w, over dram.bandwidth: reads and writes take turns"
        findings.take(path, Estimate(path, 1000 * value / peak, how, copies.rows + reads.rows, copies.spread), "")
    else:
        findings.take(path, None, "needs stream_read and stream_copy")


def _named(estimate: Estimate, path: str) -> Estimate:
    return Estimate(path, estimate.value, estimate.how, estimate.rows, estimate.spread, estimate.in_cycles)


def _l2(micro: Micro, gpu: GpuSpec, findings: Findings) -> None:
    at = micro.pick("l2_read", launch="graph", l2="warm")
    sizes, rates, spreads = [], [], []
    for n in np.unique(micro.n[at]):
        same = at[micro.n[at] == n]
        slopes = pair_slopes(micro.m[same] * n * 4, micro.us[same])
        if len(slopes) and np.median(slopes) > 0:
            sizes.append(4 * n)
            rates.append(1e6 / float(np.median(slopes)))
            spreads.append(_spread(slopes))
    size, rate = np.array(sizes), np.array(rates)
    share = size / gpu.l2.size.value
    flat = (share >= PLATEAU[0]) & (share <= PLATEAU[1])
    path = "micro.l2_bandwidth"
    if not flat.any():
        findings.take(path, None, f"no l2_read of two passes and more, {PLATEAU[0]} to {PLATEAU[1]} of the L2")
        findings.take("micro.l2_usable", None, "needs l2_bandwidth")
        return
    plateau = float(np.median(rate[flat]))
    how = f"l2_read: bytes over time, slope over passes; median of buffers of {PLATEAU[0]} to {PLATEAU[1]} of the L2"
    reads = findings.found.get("micro.dram_read_bandwidth")
    if reads is not None and plateau < 1.2 * reads.value:
        findings.take(path, None, "l2_read is no faster than DRAM: the kernel's arithmetic bounds it")
        findings.take("micro.l2_usable", None, "needs l2_bandwidth")
        return
    findings.take(path, Estimate(path, plateau, how, int(flat.sum()), _spread(rate[flat])), "")
    path = "micro.l2_usable"
    how = f"the buffer at which l2_read falls to {KEPT} of that, between sizes by logarithms"
    knee = _knee(size, rate, KEPT * plateau, PLATEAU[1] * gpu.l2.size.value)
    findings.take(path, None if knee is None else Estimate(path, knee, how, len(size)), "l2_read does not fall beyond the L2")


def _knee(size: Floats, rate: Floats, level: float, after: float) -> float | None:
    """Size at which the rate first falls to a level, between two sizes by logarithms; None where it never does."""
    for i in range(1, len(size)):
        if size[i] > after and rate[i] < level <= rate[i - 1]:
            part = (rate[i - 1] - level) / (rate[i - 1] - rate[i])
            return float(size[i - 1] * (size[i] / size[i - 1]) ** part)
    return None


def _latencies(micro: Micro, findings: Findings) -> None:
    for path, l2, where in (("micro.l2_latency", "warm", "the L2"), ("micro.dram_latency", "flush", "DRAM")):
        at = micro.pick("l2_latency", l2=l2)
        slopes = pair_slopes(np.log2(micro.n[at]), micro.us[at] * 1e-6 * micro.clock_hz[at])
        how = f"l2_latency from {where}: cycles, slope over log2(n); a load and a compare"
        value = float(np.median(slopes)) if len(slopes) else np.nan
        findings.take(path, Estimate(path, value, how, len(at), _spread(slopes), True), f"fewer than two rows l2_latency, {l2}")


def _peaks(micro: Micro, gpu: GpuSpec, findings: Findings) -> None:
    """The best product's share of the rate at the clock it ran at."""
    tensor, simt = [], []
    for i in micro.pick("gemm_peak", clock_mode="burst", l2="warm"):
        dtype = str(micro.dtype[i])
        rates = gpu.sm.tensor_macs if dtype in gpu.sm.tensor_macs else gpu.sm.simt_macs
        if dtype not in rates or not micro.clock_read[i]:
            continue
        most = rates[dtype].value * gpu.sm.count.value * micro.clock_hz[i]
        share = micro.n[i] ** 2 * micro.m[i] / (micro.us[i] * 1e-6 * most)
        if rates is gpu.sm.tensor_macs and dtype in ("bf16", "fp16"):
            tensor.append(share)
        elif rates is gpu.sm.simt_macs and dtype == "fp32":
            simt.append(share)
    for path, shares in (("achieved.tensor", tensor), ("achieved.simt", simt)):
        how = "gemm_peak: multiply-adds over time, over the rate at the clock that was read; the best product, its ends included"
        value = Estimate(path, 1000 * max(shares), how, len(shares)) if shares else None
        findings.take(path, value, "no gemm_peak in a burst with its clock read")


def _power(micro: Micro, gpu: GpuSpec, findings: Findings) -> None:
    static_w, joules_per_byte = _traffic_power(micro, gpu, findings)
    dtypes = [dtype for dtype in ("bf16", "fp16", "fp8", "int8") if dtype in gpu.sm.tensor_macs]
    for table, dtype in (*(("tensor_mac", dtype) for dtype in dtypes), ("simt_mac", "fp32")):
        path = f"energy.{table}.{dtype}"
        values = list(_mac_energies(micro, dtype, static_w, joules_per_byte))
        how = "gemm_peak, sustained: (power - static) x time less traffic, over the multiply-adds"
        value = Estimate(path, float(np.median(values)) * 1e15, how, len(values), _spread(np.array(values))) if values else None
        findings.take(path, value, f"no sustained gemm_peak of {dtype} with its power")


def _traffic_power(micro: Micro, gpu: GpuSpec, findings: Findings) -> tuple[float, float]:
    """Watts drawn without traffic and joules of a byte of it, from sustained streams; the specification's where unknown."""
    rates, powers = [], []
    for op, moved in (("stream_read", 1), ("stream_write", 1), ("stream_copy", 2)):
        for i in micro.pick(op, clock_mode="sustained"):
            size = moved * 4 * micro.n[i]
            held, streamed = size <= gpu.l2.size.value / 4, size >= STREAM_FROM * gpu.l2.size.value
            if np.isfinite(micro.power_w[i]) and (streamed or (held and micro.l2[i] == "warm")):
                rates.append(0.0 if held else size / (micro.us[i] * 1e-6))
                powers.append(float(micro.power_w[i]))
    rate, power = np.array(rates), np.array(powers)
    static = gpu.power.static.value / 1e6 if gpu.power.static is not None else np.nan
    bits = gpu.energy.traffic_bit
    per_byte = bits.value * 8e-15 if bits is not None else 0.0
    reason = "needs sustained streams with their power, in the L2 and far above it"
    if not (rate == 0).any() or not (rate > 0).any():
        findings.take("power.static", None, reason)
        findings.take("energy.traffic_bit", None, reason)
        return static, per_byte
    held_w = power[rate == 0]
    static = float(np.median(held_w))
    each = (power[rate > 0] - static) / rate[rate > 0]
    per_byte = float(np.median(each))
    path, how = "power.static", "median power of sustained streams that the L2 holds"
    findings.take(path, Estimate(path, static * 1e6, how, len(held_w), _spread(held_w)), reason)
    path, how = "energy.traffic_bit", "sustained streams: (power - static) over bytes a second"
    findings.take(path, Estimate(path, per_byte / 8 * 1e15, how, len(each), _spread(each)), "power does not grow with traffic")
    return static, max(0.0, per_byte)


def _mac_energies(micro: Micro, dtype: str, static_w: float, joules_per_byte: float) -> Iterator[float]:
    """Joules of a multiply-add, of each sustained product whose power is known; its traffic is what it must move."""
    for i in micro.pick("gemm_peak", dtype=dtype, clock_mode="sustained"):
        if np.isfinite(micro.power_w[i]) and np.isfinite(static_w):
            seconds, edge = float(micro.us[i]) * 1e-6, float(micro.m[i])
            moved = 3 * edge**2 * DTYPE_BYTES[dtype]
            yield ((float(micro.power_w[i]) - static_w) * seconds - moved * joules_per_byte) / edge**3
