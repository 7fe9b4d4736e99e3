"""What a memory simulation measured: plain numbers from the integer counters of its channels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arch.device import DramDevice
from ..arch.spec import RowEffect
from .dram_energy import energy_by_part_fj
from .kernels import memory_layout as ml
from .memory import Channel
from .memory_machine import LATENCY_BINS

PERCENTILES = (50, 95, 99)
_KINDS = {"row_hits": ml.HIT, "row_misses": ml.MISS, "row_conflicts": ml.CONFLICT, "forwarded": ml.FORWARDED, "merged": ml.MERGED}


def summarise(device: DramDevice, channels: Sequence[Channel]) -> dict[str, Any]:
    """End the channels together, and give the statistics of ``docs/cli.md`` (``rowline dram --json``).

    Time runs from tick 0 to the end of the last data of the slowest channel. Bytes are those of column commands; the
    bandwidth's denominator is that time, the efficiency's the peak rate of all data buses.
    """
    own_ends = [c.end_tick for c in channels]
    end = max(own_ends)
    for channel in channels:
        channel.rest(end)
    standard, ticks_per_s = device.dram_standard, device.device_clock.freq_hz
    variables = np.sum([c.machine.variables for c in channels], axis=0).tolist()
    counts = np.sum([c.machine.counts for c in channels], axis=0)
    columns = sum(
        n for n, c in zip(counts.tolist(), standard.commands, strict=True)
        if c.row in (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE)
    )  # fmt: skip
    org, seconds = device.organization, end / ticks_per_s
    peak = device.bus.bandwidth_bits_per_s * org.pseudo_channels.value * len(channels) / 8
    achieved = columns * org.access_size.value / seconds if end else 0.0
    buses, banks = org.pseudo_channels.value * len(channels), org.banks * len(channels)
    return {
        "cycles": -(-end // standard.ticks_per_clock),
        "time_s": seconds,
        "requests": variables[ml.V_READS] + variables[ml.V_WRITES],
        "reads": variables[ml.V_READS],
        "writes": variables[ml.V_WRITES],
        **{name: variables[ml.V_KIND + kind] for name, kind in _KINDS.items()},
        "commands": {c.name: n for c, n in zip(standard.commands, counts.tolist(), strict=True) if n},
        "refreshes": int(counts[standard.index[device.refresh_command.name]]),
        "bandwidth_bytes_per_s": achieved,
        "peak_bandwidth_bytes_per_s": peak,
        "efficiency": achieved / peak,
        "bus_utilization": columns * device.params["nBL"] / (end * buses) if end else 0.0,
        "bank_utilization": variables[ml.V_OPEN_TICKS] / (end * banks) if end else 0.0,
        "read_latency_ns": _latency(channels, 1e9 / ticks_per_s),
        **_energy(device, channels, counts),
        "violations": _violations(channels),
        "per_channel": [_channel(c, -(-own // standard.ticks_per_clock)) for c, own in zip(channels, own_ends, strict=True)],
    }


def _channel(channel: Channel, cycles: int) -> dict[str, int]:
    v = channel.machine.variables.tolist()
    return {
        "cycles": cycles,
        "reads": v[ml.V_READS],
        "writes": v[ml.V_WRITES],
        **{name: v[ml.V_KIND + kind] for name, kind in _KINDS.items()},
    }


def _violations(channels: Sequence[Channel]) -> int | None:
    """Commands that the judge found illegal; None if it was not asked."""
    if any(c.judge is None for c in channels):
        return None
    return sum(sum(c.judge.counts.values()) for c in channels if c.judge is not None)


def _energy(device: DramDevice, channels: Sequence[Channel], counts: NDArray[np.int64]) -> dict[str, Any]:
    states = np.concatenate([c.state_ticks for c in channels])
    parts = energy_by_part_fj(device, counts, states)
    return {"energy_j": sum(parts.values()) / 1e15, "energy_breakdown_j": {k: v / 1e15 for k, v in parts.items()}}


def _latency(channels: Sequence[Channel], tick_ns: float) -> dict[str, float | None]:
    """Mean, percentiles (nearest rank, exact to a tick up to LATENCY_BINS) and maximum, from acceptance to the data's end."""
    histogram = np.sum([c.machine.histogram for c in channels], axis=0)
    reads = int(histogram.sum())
    if reads == 0:
        return dict.fromkeys(("mean", *(f"p{p}" for p in PERCENTILES), "max"))
    total = sum(int(c.machine.variables[ml.V_LATENCY_SUM]) for c in channels)
    longest = max(int(c.machine.variables[ml.V_LATENCY_MAX]) for c in channels)
    running = np.cumsum(histogram)
    at = {f"p{p}": int(np.searchsorted(running, math.ceil(reads * p / 100))) for p in PERCENTILES}
    ticks = {name: longest if bin_ >= LATENCY_BINS else bin_ for name, bin_ in at.items()}
    return {
        "mean": total / reads * tick_ns,
        **{name: value * tick_ns for name, value in ticks.items()},
        "max": longest * tick_ns,
    }
