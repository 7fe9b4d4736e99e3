"""One run as a page, as Markdown, or as CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import figures_run, page
from .ceilings import Ceilings
from .checks import Check, check_table, failed
from .measured import Measured, errors, measured_table
from .tables import Cell, Column, Table, config_table, flat, md_text, shares, to_csv, to_markdown

MAX_ROWS = 1500
"""Rows of a table on the page; the CSV has all."""
SOURCES_SHOWN = ("ASSUMED", "FITTED")


@dataclass(frozen=True)
class RunReport:
    """A finished run as it is reported.

    Attributes:
        name: what the page calls it, such as its folder.
        stats, config: as the run folder holds them (docs/cli.md), the configuration with its sources.
        ops: rows of the OpLog or of the GpuOpLog.
        peaks: of the machine.
        command: what reproduces the run.
        checks: what it was held to; empty where nobody has.
        measured: what was measured of its machine; None where nobody has looked.
    """

    name: str
    stats: dict[str, Any]
    config: dict[str, Any]
    ops: pd.DataFrame
    peaks: Ceilings
    command: str
    checks: Sequence[Check] = ()
    measured: Measured | None = None

    @property
    def gpu(self) -> bool:
        """Whether it ran on a GPU."""
        return self.peaks.bank_bytes_per_s is None


def frame_of(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Columns of a log as a table; its words as categories, which group fast."""
    return pd.DataFrame({k: pd.Categorical(v) if v.dtype == object else v for k, v in columns.items()})


def render(report: RunReport) -> str:
    """The page as text."""
    stats = report.stats
    plots = [
        figures_run.bars("latency-class", _milli(stats["latency_breakdown_s"]), "ms"),
        figures_run.bars("latency-term", _milli(stats["latency_by_term_s"]), "ms"),
        figures_run.bars("energy-part", _milli(stats["energy_breakdown_j"]), "mJ"),
        figures_run.bars("energy-class", _milli(stats["energy_by_op_class_j"]), "mJ"),
    ]
    traffic = ["dram_read_bytes", "dram_write_bytes"] if report.gpu else ["link_bytes"]
    roof, absent = figures_run.roofline(report.ops, report.peaks, traffic)
    mix = figures_run.bars("mix", command_mix(report), "kernels" if report.gpu else "commands", log=True)
    plots += [roof, figures_run.utilisation(report.ops, report.peaks), mix]
    bars = errors(report.measured) if report.measured else []
    config = config_table(report.config)
    resting = Table(config.columns, [row for row in config.rows if row[2] in SOURCES_SHOWN])
    layers = op_table(report, by_layer=True)
    return page.render(
        "run.html.j2", plots + bars, tables=True, report=report, stats=stats, cards=cards(stats), phases=phase_table(stats),
        absent=absent, config=config, resting=resting, by_class=op_table(report), layers=layers.first(MAX_ROWS),
        rows=len(layers.rows), kernels=kernel_table(stats), provenance=provenance_table(stats),
        wrong=failed(report.checks), checks=check_table(report.checks), bars=[plot["id"] for plot in bars],
        measured=measured_table(report.measured) if report.measured else None,
    )  # fmt: skip


def markdown(report: RunReport) -> str:
    """Summary, phases, breakdowns, operations by class, checks, what it rests on, and the command, as Markdown."""
    stats = report.stats
    parts = [
        f"# Run {md_text(report.name)}\n",
        "".join(f"**Does not hold**: {md_text(c.what)}: {md_text(c.value)}, expected {md_text(c.expected)}\n\n"
                for c in failed(report.checks)),
        "".join(f"- {name}: {md_text(value)}\n" for name, value in cards(stats)),
        f"Reproduce:\n\n    {' '.join(report.command.split())}\n",
        "## Phases\n", to_markdown(phase_table(stats)),
        "## Time\n", to_markdown(shares("op class", "ms", _milli(stats["latency_breakdown_s"]))),
        to_markdown(shares("cause", "ms", _milli(stats["latency_by_term_s"]))),
        "## Energy\n", to_markdown(shares("component", "mJ", _milli(stats["energy_breakdown_j"]))),
        to_markdown(shares("op class", "mJ", _milli(stats["energy_by_op_class_j"]))),
        "## Operations\n", to_markdown(op_table(report)), *_validation(report),
        "## What it rests on\n",
        f"{len(stats['assumed'])} ASSUMED and {len(stats['fitted'])} FITTED values.\n",
        "".join(f"- {md_text(note)}\n" for note in stats["notes"]),
        "## Provenance\n", to_markdown(provenance_table(stats)),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _validation(report: RunReport) -> list[str]:
    """Checks and measurements in Markdown."""
    parts = ["## Checks of this run\n", to_markdown(check_table(report.checks))] if report.checks else []
    if report.measured:
        parts += ["## Compared with measurements\n", *(f"{md_text(note)}\n" for note in report.measured.notes)]
        parts += [to_markdown(measured_table(report.measured))] if report.measured.groups else []
    return parts


def csv(report: RunReport) -> str:
    """The operations by class and layer as CSV."""
    return to_csv(op_table(report, by_layer=True))


def cards(stats: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures to read first, with what they are."""
    tokens = stats["phases"]["decode"]["tokens_per_s"] or stats["phases"]["prefill"]["tokens_per_s"]
    rate, peak = stats["effective_bandwidth_bytes_per_s"], stats["peak_bandwidth_bytes_per_s"]
    found = [
        ("machine", str(stats["arch"])), ("workload", str(stats["workload"])),
        ("tokens in, out", f"{stats['prompt_tokens']}, {stats['generated_tokens']}"),
        ("latency", _si(stats["latency_s"], "s")), ("to the first token", _si(stats["prefill_latency_s"], "s")),
        *([] if stats["tpot_s"] is None else [("a token after it", _si(stats["tpot_s"], "s"))]),
        ("tokens a second", page.short(float(tokens))), ("energy", _si(stats["energy_j"], "J")),
        (f"of {_si(peak, 'B/s')} peak", f"{rate / peak:.1%}" if peak else "-"),
    ]  # fmt: skip
    shares_of = {"row_hit_rate": "row hits", "pim_utilization": "MAC columns of the time", "l2_hit_rate": "L2 hits"}
    return found + [(name, f"{stats[key]:.1%}") for key, name in shares_of.items() if stats.get(key) is not None]


def phase_table(stats: dict[str, Any]) -> Table:
    """Prefill and decode, a column each."""
    prefill, decode = stats["phases"]["prefill"], stats["phases"]["decode"]
    columns = (Column("", text=True), Column("prefill"), Column("decode"))
    return Table(columns, [(key, prefill[key], decode.get(key)) for key in prefill])


def command_mix(report: RunReport) -> dict[str, float]:
    """How many commands of each kind the channels issued; on a GPU, how many kernels ran."""
    if not report.gpu:
        return report.stats["commands"]
    return {str(name): int(n) for name, n in report.ops["kernel"].value_counts().items()}


def op_table(report: RunReport, by_layer: bool = False) -> Table:
    """The operations, those that take most of the time first."""
    ops, gpu = report.ops, report.gpu
    keys = ["phase", "unit", "op_class", *(["kernel"] if gpu else []), *(["layer"] if by_layer else [])]
    frame: Any = ops.assign(us=(ops["end_ps"] - ops["start_ps"]) / 1e6)
    if gpu:
        frame = frame.assign(dram_bytes=frame["dram_read_bytes"] + frame["dram_write_bytes"])
    amounts = ["macs", *(["dram_bytes", "l2_read_bytes"] if gpu else ["link_bytes", "commands"]), "energy_fj"]
    grouped = frame.groupby(keys, sort=True, observed=True)
    times = grouped["us"].agg(["size", "sum", "mean", "min", "max"])
    sums = grouped[amounts].sum()
    whole = float(frame["us"].sum()) or 1.0
    rows: list[tuple[Cell, ...]] = []
    for key, time, amount in zip(times.index, times.to_numpy(), sums.to_numpy(), strict=True):
        words = [int(k) if isinstance(k, (int, np.integer)) else str(k) for k in key]
        of_us = (int(time[0]), *map(float, time[1:]), 100 * float(time[1]) / whole)
        rows.append((*words, *of_us, *map(int, amount[:-1]), float(amount[-1]) / 1e9))
    rows.sort(key=lambda row: -float(row[len(keys) + 1] or 0.0))
    titles = ["calls", "us", "us each", "least us", "most us", "% of busy time", *amounts[:-1], "energy uJ"]
    columns = [Column(k, text=k != "layer") for k in keys] + [Column(title) for title in titles]
    return Table(tuple(columns), rows)


def kernel_table(stats: dict[str, Any]) -> Table | None:
    """The distinct kernels of a run on a GPU; None for others."""
    if "kernels" not in stats:
        return None
    words = tuple(Column(name, text=True) for name in ("kernel", "op class", "phase", "shape", "type"))
    columns = (
        *words, Column("calls"), Column("us each"), Column("% of time"), Column("bound by", text=True), Column("CTAs"),
        Column("CTAs an SM holds"), Column("waves"), Column("% of places held"), Column("KiB in flight"),
        Column("where its time goes", text=True), Column("choice", text=True),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for entry in stats["kernels"]:
        shape = " ".join(f"{k} {'-'.join(map(str, v)) if isinstance(v, list) else v}" for k, v in entry["shape"].items())
        rows.append((
            entry["op"], entry["op_class"], entry["phase"], shape, entry["dtype"], entry["calls"], entry["us"],
            100 * entry["share"], entry["bound"], entry.get("ctas"), entry.get("ctas_per_sm"), entry.get("waves"),
            _times(entry.get("occupancy"), 100), _times(entry.get("bytes_in_flight"), 1 / 1024), _causes(entry.get("stalls")),
            entry["choice"],
        ))  # fmt: skip
    return Table(columns, rows)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _causes(shares_of: Mapping[str, float] | None) -> str:
    """Causes of a kernel's time, the largest first, those under 1 % left out; a dash where they are not known."""
    found = sorted((shares_of or {}).items(), key=lambda each: -each[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in found if share >= 0.01) or "-"


def provenance_table(stats: dict[str, Any]) -> Table:
    """Versions and digests."""
    columns = (Column("what", text=True), Column("value", text=True, wrap=True))
    return Table(columns, [(key, str(value)) for key, value in flat(stats.get("provenance", {}))])


def _milli(parts: dict[str, float]) -> dict[str, float]:
    return {name: value * 1e3 for name, value in parts.items()}


def _si(value: float, unit: str) -> str:
    """Four digits with a prefix."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u")):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value / 1e-9:.4g} n{unit}" if value else f"0 {unit}"
