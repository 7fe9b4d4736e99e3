"""The plots of a command log: rows of banks over time with the commands to them, and what the commands waited for."""

from typing import Any

import numpy as np
import pandas as pd

from .figures_run import COLOURS, LEGEND, MARGIN, Plot, bars
from .page import label

MOST_COMMANDS, MOST_VISITS = 20_000, 5_000


def banks(commands: pd.DataFrame, visits: pd.DataFrame, most_banks: int) -> Plot:
    """A line a bank: where it is thick a row is open; markers are the commands, those to several banks below the first bank.

    Args:
        commands: of one channel, as :func:`..traces.analyze.command_frame` gives them, with ``place`` (bank numbered through the
            channel, -1: several).
        visits: of the same channel.

    Raises:
        ValueError: there are more than can be drawn.
    """
    if len(commands) > MOST_COMMANDS or len(visits) > MOST_VISITS:
        raise ValueError(
            f"{len(commands)} commands and {len(visits)} open rows: at most {MOST_COMMANDS} and {MOST_VISITS} can be drawn; "
            "take a shorter window"
        )
    data: list[dict[str, Any]] = []
    for parity, colour in enumerate(("#9ecae1", "#c6c6c6")):  # rows that follow each other are told apart
        some = visits[visits["row"] % 2 == parity]
        data.append({
            "type": "scatter", "mode": "lines", "name": ("even row open", "odd row open")[parity],
            "x": _spans(some["open_ps"] / 1e3, some["close_ps"] / 1e3), "y": _spans(some["bank"], some["bank"]),
            "line": {"color": colour, "width": 9}, "hoverinfo": "skip",
        })  # fmt: skip
    for number, (name, some) in enumerate(commands.groupby("command", observed=True)):
        data.append({
            "type": "scatter", "mode": "markers", "name": label(name), "x": (some["time_ps"] / 1e3).tolist(),
            "y": some["place"].tolist(), "marker": {"size": 5, "color": COLOURS[number % len(COLOURS)]}, "hoverinfo": "text",
            "text": [
                f"{label(name)} row {row} column {column}<br>{time / 1e3:.1f} ns, {gap / 1e3:.1f} ns after the one before<br>"
                f"decided by {label(rule)}"
                for row, column, time, gap, rule in zip(
                    some["row"], some["column"], some["time_ps"], some["gap_ps"], some["rule"], strict=True
                )
            ],
        })  # fmt: skip
    places = range(-1, most_banks)
    layout = {
        "xaxis": {"title": {"text": "ns"}}, "margin": MARGIN, "legend": LEGEND,
        "yaxis": {
            "title": {"text": "bank"}, "tickvals": list(places), "ticktext": ["several", *map(str, range(most_banks))],
            "range": [-1.7, most_banks - 0.3], "automargin": True,
        },
    }  # fmt: skip
    return {"id": "banks", "data": data, "layout": layout}


def waits(table: pd.DataFrame) -> Plot:
    """A bar a rule: for how long commands waited on it; :func:`..traces.analyze.waits` gives the table."""
    sums: Any = table.groupby("rule", observed=True)["gap_ps"].sum()
    return bars("waits", {str(rule): gap / 1e3 for rule, gap in sums.items()}, "ns")


def timeline(ops: pd.DataFrame) -> Plot:
    """The operations of a stretch of a run, at most MOST_VISITS: a line a unit and op class, thick while it works."""
    names = sorted({(str(u), str(c)) for u, c in zip(ops["unit"], ops["op_class"], strict=True)})
    data: list[dict[str, Any]] = []
    for number, (unit, op_class) in enumerate(names):
        some = ops[(ops["unit"] == unit) & (ops["op_class"] == op_class)]
        at = pd.Series(np.full(len(some), number))
        data.append({
            "type": "scatter", "mode": "lines", "name": label(f"{unit} {op_class}"), "showlegend": False,
            "x": _spans(some["start_ps"] / 1e6, some["end_ps"] / 1e6), "y": _spans(at, at),
            "line": {"color": COLOURS[number % len(COLOURS)], "width": 11}, "hoverinfo": "x+name",
        })  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "us"}}, "margin": MARGIN,
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": [label(" ".join(name)) for name in names],
                  "range": [-0.7, len(names) - 0.3], "automargin": True},
    }  # fmt: skip
    return {"id": "timeline", "data": data, "layout": layout}


def _spans(begin: Any, end: Any) -> list[float | None]:
    """Ends of lines one after another, with a gap after each."""
    found: list[float | None] = []
    for a, b in zip(begin.tolist(), end.tolist(), strict=True):
        found += [a, b, None]
    return found
