"""What people see of a calibration."""

from typing import Any

from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import plain_console


def print_fit(answer: dict[str, Any]) -> None:
    """Groups, keys with what became of them, losses and files."""
    console = plain_console()
    groups = Table(box=None, pad_edge=False)
    for name in ("gpu", "stack", "framework", "ops", "rows", "before %", "after %", "full effort %"):
        groups.add_column(name, justify="right" if name == "rows" or "%" in name else "left")
    for g in answer["groups"]:
        errors = [f"{g[name]:.2f}" for name in ("mape_before", "mape_after", "mape_full_effort")]
        groups.add_row(g["gpu"], g["stack"], printable(g["framework"]), " ".join(g["ops"]), str(g["rows"]), *errors)
    console.print(groups)
    console.print()
    keys = Table(box=None, pad_edge=False)
    for name in ("key", "start", "end", "loss without", "10 % off", ""):
        keys.add_column(name, justify="left" if name in ("key", "") else "right")
    for k in answer["keys"]:
        without = "-" if k["loss_without"] is None else f"{k['loss_without']:.3f}"
        keys.add_row(k["key"], k["start"], k["end"], without, f"+{k['sensitivity']:.2f} %", k["status"])
    console.print(keys)
    end = "no step lowers it further" if answer["finished"] else "stopped by its limit"
    console.print(f"loss {answer['loss_before']:.3f} % -> {answer['loss_after']:.3f} %, {end}, {answer['wall_s']:.0f} s")
    console.print("kept: moving it does not help by 0.1 %; at bound, not identified: dropped. In all three the start holds")
    for path in answer["written"]:
        console.print(f"wrote {printable(path, 500)}")
