"""What a finished run must hold to: its parts against its sums, its tables against each other, its times against its peaks."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .ceilings import Ceilings
from .tables import Column, Table

CLOSE = 1e-9
"""Relative difference of sums that are equal: what is added up are whole picoseconds and femtojoules."""
RATES = ("row_hit_rate", "weight_row_hit_rate", "pim_utilization", "l2_hit_rate", "non_vmm_latency_share")
SUMS = (
    ("latency_breakdown_s", "time by operation", "latency_s", "s"), ("latency_by_term_s", "time by cause", "latency_s", "s"),
    ("energy_breakdown_j", "energy by component", "energy_j", "J"),
    ("energy_by_op_class_j", "energy by operation", "energy_j", "J"),
)  # fmt: skip
WHOLES = (("latency_s", "latency", "s"), ("energy_j", "energy", "J"), ("macs", "multiply-accumulates", ""))


@dataclass(frozen=True)
class Check:
    """One thing that must hold: what, what was found, what was expected. ``holds`` is None where it could not be tried."""

    what: str
    value: str
    expected: str
    holds: bool | None


def run_checks(stats: Mapping[str, Any], ops: pd.DataFrame, peaks: Ceilings) -> list[Check]:
    """Checks of a run that need nothing but what its folder holds.

    Args:
        stats: the object of ``stats.json``.
        ops: rows of the OpLog or of the GpuOpLog.
        peaks: of the machine.
    """
    gpu = peaks.bank_bytes_per_s is None
    return [*_sums(stats), *_phases(stats), *_tables(stats, ops, gpu), *_bounds(stats, ops, peaks, gpu)]


def closed_form(stats: Mapping[str, Any], macs: int) -> Check:
    """The multiply-accumulates of a run against those of its workload by formula."""
    return Check("multiply-accumulates, by formula", f"{stats['macs']:,}", f"= {macs:,}", stats["macs"] == macs)


def failed(checks: Iterable[Check]) -> list[Check]:
    """Those that do not hold."""
    return [check for check in checks if check.holds is False]


def check_table(checks: Iterable[Check]) -> Table:
    """A row a check; those that do not hold stand out."""
    words = {True: "yes", False: "NO", None: "not tried"}
    columns = (Column("holds", text=True), Column("what", text=True, wrap=True), Column("value", text=True),
               Column("expected", text=True, wrap=True))  # fmt: skip
    found = list(checks)
    rows = [(words[c.holds], c.what, c.value, c.expected) for c in found]
    return Table(columns, rows, frozenset(i for i, c in enumerate(found) if c.holds is False))


def _number(value: float, unit: str) -> str:
    """Ten digits of a fraction, all of a whole number."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:.10g}"
    return f"{text} {unit}".rstrip()


def _equal(what: str, value: float, whole: float, unit: str) -> Check:
    close = math.isclose(value, whole, rel_tol=CLOSE, abs_tol=1e-18)
    return Check(what, _number(value, unit), f"= {_number(whole, unit)}", value == whole if isinstance(whole, int) else close)


def _sums(stats: Mapping[str, Any]) -> Iterator[Check]:
    """Breakdowns add up, and no part is less than nothing."""
    for key, name, total, unit in SUMS:
        yield _equal(f"sum of {name}", math.fsum(stats[key].values()), stats[total], unit)
    least = min(min(stats[key].values(), default=0.0) / (stats[total] or 1.0) for key, _, total, _ in SUMS)
    yield Check("smallest part of a breakdown", f"{least:.3g} of the whole", ">= 0", least >= -CLOSE)


def _phases(stats: Mapping[str, Any]) -> Iterator[Check]:
    """Prefill and decode make the whole."""
    parts = [stats["phases"][name] for name in ("prefill", "decode")]
    for key, name, unit in WHOLES:
        if all(isinstance(part.get(key), (int, float)) for part in parts):
            yield _equal(f"{name} of prefill and decode", sum(part[key] for part in parts), stats[key], unit)
    first, later = stats["prefill_latency_s"], stats["decode_latency_s"]
    yield _equal("to the first token, and after it", first + later, stats["latency_s"], "s")


def _tables(stats: Mapping[str, Any], ops: Any, gpu: bool) -> Iterator[Check]:
    """The table of operations says what the summary says."""
    sums: dict[str, int] = {str(name): int(ops[name].sum()) for name in ops.columns if ops[name].dtype == np.int64}
    yield _equal("ops.parquet: multiply-accumulates", sums["macs"], stats["macs"], "")
    yield _equal("ops.parquet: end of the last operation", int(ops["end_ps"].max()) / 1e12, stats["latency_s"], "s")
    standby = stats["energy_by_op_class_j"].get("standby", 0.0)
    yield _equal("ops.parquet: energy, and standby", sums["energy_fj"] / 1e15 + standby, stats["energy_j"], "J")
    if gpu:
        for key in ("dram_read_bytes", "dram_write_bytes"):
            if isinstance(stats.get(key), int):
                yield _equal(f"ops.parquet: DRAM {key.split('_')[1]} bytes", sums[key], stats[key], "B")
        if isinstance(stats.get("launches"), int):
            yield _equal("ops.parquet: kernels", len(ops), stats["launches"], "")
            yield _equal("calls of the distinct kernels", sum(k["calls"] for k in stats["kernels"]), stats["launches"], "")
        host = stats["latency_breakdown_s"].get("host", 0.0) / (stats["latency_s"] or 1.0)
        shares = math.fsum([host, *(kernel["share"] for kernel in stats["kernels"])])
        yield _equal("shares of the distinct kernels, and host", shares, 1.0, "")
        return
    if isinstance(stats.get("link_bytes"), int):
        yield _equal("ops.parquet: bytes over the links", sums["link_bytes"], stats["link_bytes"], "B")
    issued = sum(stats["commands"].values())
    least = issued - sum(n for name, n in stats["commands"].items() if name.startswith("REF"))
    told = f"{least:,} to {issued:,}: all but refreshes after the last step"
    yield Check("ops.parquet: commands", f"{sums['commands']:,}", told, least <= sums["commands"] <= issued)


def _bounds(stats: Mapping[str, Any], ops: pd.DataFrame, peaks: Ceilings, gpu: bool) -> Iterator[Check]:
    """Nothing is faster than the machine."""
    rate, peak = stats["effective_bandwidth_bytes_per_s"], stats["peak_bandwidth_bytes_per_s"]
    slack = 1 + CLOSE
    yield Check("effective bandwidth", _number(rate / 1e9, "GB/s"), f"<= {_number(peak / 1e9, 'GB/s')}", rate <= peak * slack)
    wholes = [("", stats), *((f" of {name}", stats["phases"][name]) for name in ("prefill", "decode"))]
    known = [(key, of, part[key]) for of, part in wholes for key in RATES if isinstance(part.get(key), (int, float))]
    rates = [(key.replace("_", " ") + of, share) for key, of, share in known]
    if rates:
        low, high = min(rates, key=lambda each: each[1]), max(rates, key=lambda each: each[1])
        told = f"{low[1]:.6g} ({low[0]}) to {high[1]:.6g} ({high[0]})"
        yield Check(f"{len(rates)} hit rates and shares", told, "0 to 1", low[1] >= 0 and high[1] <= slack)
    traffic: Any = ops["dram_read_bytes"] + ops["dram_write_bytes"] if gpu else ops["link_bytes"]
    work = 2.0 * ops["macs"].to_numpy(float) / peaks.ops_per_s
    moved = np.asarray(traffic, float) / peaks.bytes_per_s
    bound = max(float(work.sum()), float(moved.sum()))
    name = "arithmetic" if work.sum() >= moved.sum() else f"bytes of {peaks.traffic}"
    latency = stats["latency_s"]
    yield Check("latency", _number(latency, "s"), f">= {_number(bound, 's')}, the roofline: {name}", latency * slack >= bound)
    span = (ops["end_ps"] - ops["start_ps"]).to_numpy(float) / 1e12
    least = np.maximum(work, moved)
    some = least > 0
    if some.any():
        ratio = float((span[some] / least[some]).min())
        yield Check(
            f"time of each of {int(some.sum()):,} operations over its roofline", f"least {ratio:.6g}", ">= 1", ratio * slack >= 1
        )
