"""What people see of ``rowline show``: a workload, placements, a study, a run."""

import json
import shlex
from collections.abc import Iterable
from typing import Any

from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import plain_console, print_parts, si

ROWS = 15


def clean(data: Any) -> Any:
    """Plain data whose texts hold no control characters: runs and studies come from anywhere."""
    if isinstance(data, dict):
        return {printable(str(key), 2000): clean(value) for key, value in data.items()}
    if isinstance(data, list):
        return [clean(each) for each in data]
    return printable(data, 2000) if isinstance(data, str) else data


def print_workload(data: dict[str, Any]) -> None:
    """The answer of :func:`rowline.showing.workload`."""
    console, model = plain_console(), data["model"]
    told = "  ".join(f"{k}={printable(str(v), 2000)}" for k, v in model.items() if v != "")
    console.print(f"{told}  params={data['params']}", soft_wrap=True)
    for each in data["passes"]:
        console.print(_heading(each))
        table = Table("kind", "ops", "MACs", "bytes read", "bytes written", box=None, pad_edge=False, header_style="bold")
        for column in table.columns[1:]:
            column.justify = "right"
        for kind in each["kinds"]:
            table.add_row(kind["kind"], str(kind["ops"]), *_amounts(kind))
        totals = {key: sum(kind[key] for kind in each["kinds"]) for key in each["kinds"][0] if key != "kind"}
        table.add_row("all", str(totals["ops"]), *_amounts(totals))
        console.print(table)
        ops = data.get("prefill_ops" if each["phase"] == "prefill" else "ops")
        if ops:
            _print_operations(ops)
    if "ops" not in data:
        console.print(f"next: {shlex.join(['rowline', 'show', 'workload', model['name'], '--expanded'])}", soft_wrap=True)


def _heading(each: dict[str, Any]) -> str:
    """Which pass it is."""
    tokens = f"{each['phase']} pass, {each['n_new_tokens']} new token{'s' if each['n_new_tokens'] > 1 else ''}"
    if each["kv_length"] is None:
        return f"{tokens}; KV stands for the KV length, those of this pass included; in shapes -1 is KV, -2 is KV - 1"
    return f"{tokens}, KV length {each['kv_length']}"


def _amounts(of: dict[str, Any]) -> list[str]:
    """MACs and bytes, with what grows with the KV length."""
    cells: list[str] = []
    for key in ("macs", "bytes_read", "bytes_written"):
        fixed, grows = of[key], of[f"{key}_per_kv"]
        parts = [str(fixed)] * (fixed != 0 or not grows) + [f"{grows} x KV"] * (grows != 0)
        cells.append(" + ".join(parts))
    return cells


def _print_operations(ops: list[dict[str, Any]]) -> None:
    titles = ("op", "kind", "module", "inputs", "outputs", "from", "MACs", "bytes read", "bytes written")
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for each in ops:
        shapes = [" ".join(str(shape).replace(" ", "") for shape in each[key]) for key in ("inputs", "outputs")]
        producers = ",".join(map(str, each["producers"]))
        table.add_row(str(each["op"]), each["kind"], each["module"], *shapes, producers, *_amounts(each))
    plain_console().print(table)


def print_placements(data: dict[str, Any]) -> None:
    """Placements of :func:`rowline.showing.mapping`, bank by bank."""
    print(f"{data['rows_used']} of {data['rows']} rows in each of {data['channels']} x {data['banks']} banks")
    print(f"{'channel':>7} {'bank':>4} {'rows':>15} {'bytes':>10}  tensor")
    for each in sorted(data["placements"], key=lambda p: (p["channel"], p["bank"], p["row_begin"])):
        rows = f"{each['row_begin']} to {each['row_end'] - 1}" if each["row_end"] > each["row_begin"] else "none"
        print(f"{each['channel']:>7} {each['bank']:>4} {rows:>15} {each['bytes_used']:>10}  {printable(each['tensor'], 200)}")


def print_study(data: dict[str, Any]) -> None:
    """The answer of :func:`rowline.showing.study`."""
    console, space, counts = plain_console(), data["space"], data["counts"]
    console.print(
        f"{printable(data['study'], 500)}: {sum(counts.values())} trials ("
        + ", ".join(f"{count} {state}" for state, count in counts.items()) + ")",
        soft_wrap=True,
    )  # fmt: skip
    if isinstance(base := space.get("base"), dict):
        told = [f"{key} {value}" for key, value in base.items() if not isinstance(value, dict)]
        console.print(f"base: {printable('   '.join(told), 500)}", soft_wrap=True)
    axes = [a for a in space.get("axes") or [] if isinstance(a, dict)]
    if axes:
        told = [f"{a.get('key')} ({a.get('values')} values)" for a in axes]
        console.print(f"axes: {printable('   '.join(told), 2000)}", soft_wrap=True)
    goals = [f"{o['name']} {o['direction']}" + (f" limit {o['limit']}" if o["limit"] else "") for o in data["objectives"]]
    console.print(f"objectives: {printable(', '.join(goals), 500)}", soft_wrap=True)
    if data["front"]:
        _print_front(data)
        if data["front"][0]["command"]:
            console.print(f"the first of them: {printable(data['front'][0]['command'], 2000)}", soft_wrap=True)
    console.print(f"next: {shlex.join(['rowline', 'report', printable(data['study'], 2000)])}", soft_wrap=True)


def _print_front(data: dict[str, Any]) -> None:
    front, names = data["front"], [o["name"] for o in data["objectives"]]
    keys = list(dict.fromkeys(key for trial in front for key in trial["params"]))
    table = Table("trial", *(printable(k) for k in keys), box=None, pad_edge=False, header_style="bold")
    for objective in data["objectives"]:
        unit = f" ({objective['unit']})" if objective["unit"] else ""
        table.add_column(printable(f"{objective['name']}{unit}"), justify="right")
    for trial in front[:ROWS]:
        values = [printable(str(trial["params"].get(key, "-"))) for key in keys]
        table.add_row(str(trial["number"]), *values, *(f"{trial['objectives'][name]:.6g}" for name in names))
    console = plain_console()
    console.print("the trials that no other beats in every objective:" if len(names) > 1 else "the best trials:")
    console.print(table)
    if len(front) > ROWS:
        console.print(f"... and {len(front) - ROWS} more")


def print_trials(trials: Iterable[dict[str, Any]]) -> None:
    """Trials as they come: a line of what was asked and found, and one of the whole configuration."""
    for trial in trials:
        found = [f"{name} {value:.6g}" for name, value in trial["objectives"].items()]
        asked = [f"{key} {value}" for key, value in trial["params"].items()]
        told = "   ".join([*asked, *found, *([trial["reason"]] if trial["reason"] else [])])
        print(f"trial {trial['number']} {trial['state']}: {printable(told, 2000)}")
        print(f"  {printable(json.dumps(trial['config']), 10**7)}")


def print_run(data: dict[str, Any]) -> None:
    """The answer of :func:`rowline.showing.run`."""
    console, stats = plain_console(), data["stats"]
    console.print(
        f"{printable(data['run'], 500)}: arch {printable(stats['arch'])}   workload {printable(stats['workload'])}   prompt "
        f"{stats['prompt_tokens']}   generated {stats['generated_tokens']}", soft_wrap=True,
    )  # fmt: skip
    table = Table("phase", "latency", "tokens/s", "energy", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, phase in stats["phases"].items():
        table.add_row(name, si(phase["latency_s"], "s"), f"{phase['tokens_per_s']:.1f}", si(phase["energy_j"], "J"))
    console.print(table)
    tpot = "-" if stats["tpot_s"] is None else si(stats["tpot_s"], "s")
    rate, peak = stats["effective_bandwidth_bytes_per_s"], stats["peak_bandwidth_bytes_per_s"]
    console.print(
        f"total {si(stats['latency_s'], 's')} ({tpot} a token), {si(stats['energy_j'], 'J')}, {stats['macs']:.4g} MACs, "
        f"{si(rate, 'B/s')} of {si(peak, 'B/s')}"
    )
    print_parts(console, stats)
    if "config" in data:
        from rowline.rundir import to_yaml

        print(to_yaml(data["config"]), end="")
    console.print(f"the same again: {printable(data['command'], 2000)}", soft_wrap=True)
    console.print(f"next: {shlex.join(['rowline', 'report', printable(data['run'], 2000)])}", soft_wrap=True)
