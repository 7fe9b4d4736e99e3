"""What people see of runs side by side."""

from typing import Any

from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import plain_console

MOST_DIFFERENCES = 40


def print_comparison(answer: dict[str, Any]) -> None:
    """The runs, what differs in their configurations, and their figures with ratios to the first."""
    console = plain_console()
    runs, names = answer["runs"], [chr(65 + i) if i < 26 else f"R{i + 1}" for i in range(len(answer["runs"]))]
    for name, run in zip(names, runs, strict=True):
        told = f"{run['arch']}   {run['workload']}   prompt {run['prompt_tokens']}   generated {run['generated_tokens']}"
        console.print(f"{name}  {printable(run['path'], 200)}   {printable(told, 200)}", soft_wrap=True)
    if answer["differ"]:
        table = Table("configuration", *names, box=None, pad_edge=False, header_style="bold")
        for each in answer["differ"][:MOST_DIFFERENCES]:
            table.add_row(printable(each["key"], 80), *("-" if v is None else printable(v, 40) for v in each["values"]))
        console.print(table)
        if (more := len(answer["differ"]) - MOST_DIFFERENCES) > 0:
            console.print(f"and {more} keys more (--json has all)")
    else:
        console.print("the configurations do not differ")
    table = Table("result", names[0], box=None, pad_edge=False, header_style="bold")
    for name in names[1:]:
        table.add_column(name)
        table.add_column(f"{name}/{names[0]}")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in answer["keys"]:
        cells = [_number(each["values"][0])]
        for value, ratio in list(zip(each["values"], each["ratios"], strict=True))[1:]:
            cells += [_number(value), "-" if ratio is None else f"{ratio:.3f}"]
        table.add_row(printable(each["key"], 80), *cells)
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) and abs(value) < 10**9 else f"{value:.5g}"
