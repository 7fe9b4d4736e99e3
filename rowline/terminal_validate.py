"""What people see of a comparison with measured kernel times."""

from pathlib import Path
from typing import Any

from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import plain_console


def print_validation(answer: dict[str, Any], page: Path | None) -> None:
    """Groups, the worst kernels, and what was left out."""
    console = plain_console()
    console.print(_groups(answer["groups"]))
    console.print(
        "errors in % of the measured time; fit: three scalars a group; floor: another version of the stack, same shapes; "
        "unseen: MAPE of the families that nothing was chosen on"
    )
    if answer["worst"]:
        console.print(_worst(answer["worst"]))
    skipped = "   ".join(f"{printable(reason, 200)} {count}" for reason, count in answer["skipped"].items())
    console.print(f"compared {answer['rows']} of {answer['rows_read']} rows, {answer['not_selected']} not selected")
    console.print(f"skipped: {skipped or 'none'}", soft_wrap=True)
    wrote = f"wrote {printable(str(page), 500)}" if page else "next: --html FILE for plots"
    console.print(f"done in {answer['wall_s']:.1f} s   {wrote}", soft_wrap=True)


def _groups(groups: list[dict[str, Any]]) -> Table:
    table = Table("GPU", "stack", "op", "type", "regime", box=None, pad_edge=False, header_style="bold")
    for title in ("n", "MAPE", "median", "P90", "bias", "rank", "roofline", "fit", "floor", "unseen"):
        table.add_column(title, justify="right")
    for g in groups:
        names = [printable(str(g[key])) if g["regime"] == "all" else "" for key in ("gpu", "framework", "op", "dtype")]
        figures = [g[key] for key in ("mape", "median_ape", "p90_ape", "bias")]
        others = [g[key] for key in ("roofline_mape", "fitted_mape", "floor_mape")] + [g["unseen"]["mape"]]
        table.add_row(
            *names, g["regime"], str(g["n"]), *map(_figure, figures), _figure(g["spearman"], 3), *map(_figure, others)
        )
    return table


def _worst(kernels: list[dict[str, Any]]) -> Table:
    table = Table("worst kernels", "stack", "op", "shape", box=None, pad_edge=False, header_style="bold")
    for title in ("measured us", "predicted us", "error %"):
        table.add_column(title, justify="right")
    table.add_column("bound by")
    table.add_column("choice")
    for kernel in kernels:
        shape = " ".join(f"{key}={value}" for key, value in kernel["shape"].items())
        table.add_row(
            printable(kernel["gpu"]), printable(kernel["framework"]), f"{kernel['op']} {kernel['dtype']}", shape,
            f"{kernel['measured_us']:.4g}", f"{kernel['predicted_us']:.4g}", _figure(kernel["error"]),
            printable(kernel["bound"]), printable(kernel["choice"], 100),
        )  # fmt: skip
    return table


def _figure(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
