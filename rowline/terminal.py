"""What people see: progress, tables, and the next command to try."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.workloads.models.gpt import GptConfig

if TYPE_CHECKING:
    from rowline.sim.mapping.pim_gpt import Mapping

PIPE_WIDTH = 160
OnPass = Callable[[int, int | None], None]


@contextmanager
def progress(silent: bool, of_what: str = "passes") -> Iterator[OnPass]:
    """A progress bar on stderr, by default over passes; yields the function that moves it (no total: it only counts)."""
    if silent:
        yield lambda done, total: None
        return
    columns = (
        TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TextColumn(of_what), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, refresh_per_second=4, disable=not shown) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def plain_console() -> Console:
    """Standard output as plain text: names come from files and may look like markup. Wide where it is no terminal."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def si(value: float, unit: str) -> str:
    """``0.00123, "s"`` -> ``1.230 ms``."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "u")):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value / 1e-9:.4g} n{unit}" if value else f"0 {unit}"


def print_run(stats: dict[str, Any], folder: Path, again: str) -> None:
    """The summary of a run; ``again`` is the next command to try."""
    console = plain_console()
    console.print(
        f"arch {printable(stats['arch'])}   workload {printable(stats['workload'])}   prompt {stats['prompt_tokens']}   "
        f"generated {stats['generated_tokens']}"
    )
    table = Table("phase", box=None, pad_edge=False, header_style="bold")
    for title in ("latency", "tokens/s", "energy", "row hits", "PIM util", "GB/s of peak"):
        table.add_column(title, justify="right")
    peak = stats["peak_bandwidth_bytes_per_s"]
    for name, phase in stats["phases"].items():
        rate = phase["effective_bandwidth_bytes_per_s"]
        table.add_row(
            name, si(phase["latency_s"], "s"), f"{phase['tokens_per_s']:.1f}", si(phase["energy_j"], "J"),
            f"{phase['row_hit_rate']:.2%}", f"{phase['pim_utilization']:.1%}",
            f"{rate / 1e9:.0f} / {peak / 1e9:.0f} ({rate / peak:.1%})",
        )  # fmt: skip
    console.print(table)
    tpot = "-" if stats["tpot_s"] is None else si(stats["tpot_s"], "s")
    console.print(
        f"total {si(stats['latency_s'], 's')} ({tpot} a token), {si(stats['energy_j'], 'J')}, "
        f"row hits {stats['row_hit_rate']:.2%} (weights {stats['weight_row_hit_rate']:.2%}), "
        f"{stats['macs']:.4g} MACs, {sum(stats['commands'].values()):.4g} commands, {stats['refreshes']} refreshes"
    )
    print_parts(console, stats)
    console.print(f"wrote {folder} in {stats['wall_s']:.1f} s   next: {again}", soft_wrap=True)


def percentages(parts: dict[str, float]) -> dict[str, float]:
    """Shares in tenths of a per cent that add up to 100.0 exactly (largest remainders are rounded up)."""
    total = sum(parts.values())
    if total <= 0:
        return dict.fromkeys(parts, 0.0)
    exact = {k: v / total * 1000 for k, v in parts.items()}
    floor = {k: int(v) for k, v in exact.items()}
    short = 1000 - sum(floor.values())
    for name in sorted(exact, key=lambda k: floor[k] - exact[k])[:short]:
        floor[name] += 1
    return {k: v / 10 for k, v in floor.items()}


def grouped(names: list[str]) -> dict[str, list[str]]:
    """Dotted names by what stands before the last dot."""
    groups: dict[str, list[str]] = {}
    for name in names:
        head, _, tail = name.rpartition(".")
        groups.setdefault(head, []).append(tail)
    return groups


def print_parts(console: Console, stats: dict[str, Any]) -> None:
    """Where time and energy of a run went, and what it rests on."""
    print_breakdown(console, "time by op class", stats["latency_breakdown_s"], "s")
    print_breakdown(console, "time by cause", stats["latency_by_term_s"], "s")
    print_breakdown(console, "energy by component", stats["energy_breakdown_j"], "J")
    print_basis(console, stats)


def print_basis(console: Console, stats: dict[str, Any]) -> None:
    """What the figures rest on: values without a found source, and notes."""
    console.print(f"rests on {len(stats['assumed'])} ASSUMED values:")
    for group, names in grouped(stats["assumed"]).items():
        console.print(f"  {group + ': ' if group else ''}{' '.join(names)}", soft_wrap=True)
    for note in stats["notes"]:
        console.print(f"note: {note}", soft_wrap=True)


def print_breakdown(console: Console, title: str, parts: dict[str, float], unit: str) -> None:
    table = Table(title, "", "", box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = table.columns[2].justify = "right"
    shares = percentages(parts)
    for name, value in sorted(parts.items(), key=lambda kv: -kv[1]):
        if value:
            table.add_row(f"  {name}", si(value, unit), f"{shares[name]:.1f} %")
    console.print(table)


def print_stream(answer: dict[str, Any]) -> None:
    """The account of a weight stream."""
    console = plain_console()
    rate, peak = answer["effective_bandwidth_bytes_per_s"], answer["peak_bandwidth_bytes_per_s"]
    console.print(
        f"arch {printable(answer['arch'])}   matrix {answer['outputs']} x {answer['inputs']}   "
        f"{rate / 1e12:.3f} of {peak / 1e12:.3f} TB/s ({rate / peak:.1%})   row hits {answer['row_hit_rate']:.2%}"
    )
    print_breakdown(console, "time by cause", answer["latency_by_term_s"], "s")
    console.print(f"taken out: {', '.join(answer['without']) or 'nothing'}; can be: {', '.join(answer['removable'])}")


def print_workload(model: GptConfig, as_json: bool) -> None:
    """A model's shape and its decode pass."""
    from rowline.workloads.tracer import trace_decode

    graph = trace_decode(model)
    rows = [
        {"op": o.index, "kind": o.kind, "module": o.module, "inputs": o.in_shapes, "roles": o.roles,
         "producers": o.producers, "outputs": o.out_shapes}
        for o in graph.ops
    ]  # fmt: skip
    if as_json:
        print(json.dumps({"model": model.model_dump(mode="json"), "ops": rows}))
        return
    console = plain_console()
    console.print("  ".join(f"{k}={printable(str(v), 2000)}" for k, v in model.model_dump().items() if v != ""))
    console.print("one decode pass; -1 stands for the KV length, -2 for the cache before it")
    table = Table("op", "kind", "module", "inputs", "outputs", "from", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        inputs = " ".join(str(list(s)) for s in row["inputs"])
        outputs = " ".join(str(list(s)) for s in row["outputs"])
        table.add_row(
            str(row["op"]), row["kind"], row["module"], inputs, outputs, ",".join(str(p) for p in row["producers"])
        )
    console.print(table)


def print_mapping(mapping: "Mapping", as_json: bool) -> None:
    """Where tensors live: region by region, or bank by bank as JSON."""
    from dataclasses import asdict

    from rowline.sim.mapping.placement import placements

    regions = list(mapping.regions.values())
    if as_json:
        print(json.dumps({"placements": [asdict(p) for p in placements(mapping.geometry, regions)]}))
        return
    console = plain_console()
    table = Table("tensor", "role", "shape", "rows of each bank", "chunks", "segments a bank", box=None, pad_edge=False,
                  header_style="bold")  # fmt: skip
    for r in regions:
        chunks = " ".join(f"{c.width}x{c.stride}" for c in r.chunks)
        low, high = min(r.chunks[0].segments), max(r.chunks[0].segments)
        segments = str(low) if low == high else f"{low} to {high}"
        rows = f"{r.row} to {r.row + r.rows - 1}"
        table.add_row(r.tensor, r.role, f"{r.outputs} x {r.inputs}", rows, chunks, segments)
    console.print(table)
    used = sum(r.rows for r in regions)
    g = mapping.geometry
    console.print(
        f"{used} of {g.rows} rows in each of {g.channels} x {g.banks} banks ({used / g.rows:.1%}); "
        "chunks are elements x columns of a segment"
    )
