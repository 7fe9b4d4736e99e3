"""What people see of a calibration."""

from typing import Any

from rich.console import Console
from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import plain_console


def _table(left: str, right: str) -> Table:
    """A table whose columns are named in two texts, comma separated: those to the left, then numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for name in filter(None, left.split(",")):
        table.add_column(name)
    for name in filter(None, right.split(",")):
        table.add_column(name, justify="right")
    return table


def print_micro(answer: dict[str, Any]) -> None:
    """Old and new values, what the log does not show, and the files written."""
    console = plain_console()
    log, device = printable(answer["log"], 500), answer["device"]
    console.print(f"{answer['gpu']} from {log}, measured on {device}; stack {answer['stack']}")
    for note in answer["notes"]:
        console.print(f"note: {note}")
    console.print()
    table = _table("key", "old,,new,,+- %,rows")
    for d in answer["derived"]:
        spread = "-" if d["spread"] is None else f"{d['spread']:.1f}"
        table.add_row(d["key"], d["old"] or "-", d["old_kind"] or "", d["new"], d["kind"], spread, str(d["rows"]))
    console.print(table)
    console.print("+-: half the quartile range of the pairs of rows, or of the rows, that a value is the median of\n")
    missing = _table("not in the log,why", "")
    for m in answer["missing"]:
        missing.add_row(m["key"], m["why"])
    console.print(missing)
    _written(console, answer)


def print_fit(answer: dict[str, Any]) -> None:
    """Groups, keys with what became of them, losses and files."""
    console = plain_console()
    groups = _table("gpu,stack,framework,ops", "rows,before %,after %,full effort %")
    for g in answer["groups"]:
        errors = [f"{g[name]:.2f}" for name in ("mape_before", "mape_after", "mape_full_effort")]
        groups.add_row(g["gpu"], g["stack"], printable(g["framework"]), " ".join(g["ops"]), str(g["rows"]), *errors)
    console.print(groups)
    console.print()
    keys = _table("key", "start,end,loss without,10 % off,")
    for k in answer["keys"]:
        without = "-" if k["loss_without"] is None else f"{k['loss_without']:.3f}"
        keys.add_row(k["key"], k["start"], k["end"], without, f"{k['sensitivity']:+.2f} %", k["status"])
    console.print(keys)
    end = "no step lowers it further" if answer["finished"] else "stopped by its limit"
    console.print(f"loss {answer['loss_before']:.3f} % -> {answer['loss_after']:.3f} %, {end}, {answer['wall_s']:.0f} s")
    console.print("kept: moving it does not help by 0.1 %; at bound, not identified: dropped. In all three the start holds")
    if "not_used" in answer:
        console.print("\nrows not used:")
        rest = _table("op,split", "rows,before %,after %")
        for n in answer["not_used"]:
            rest.add_row(n["op"], n["split"], str(n["rows"]), f"{n['mape_before']:.2f}", f"{n['mape_after']:.2f}")
        console.print(rest)
        if any(n["mape_after"] > n["mape_before"] for n in answer["not_used"]):
            console.print("worse on rows not used: the points stand for other kernels than these")
        for reason, count in answer["skipped"].items():
            console.print(f"left out {count}: {printable(reason, 200)}")
    _written(console, answer)


def _written(console: Console, answer: dict[str, Any]) -> None:
    for path in answer["written"]:
        console.print(f"wrote {printable(path, 500)}")
