"""A run beside what was measured of its GPU: the groups of ``rowline validate --json`` that are of its board and stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .figures_run import COLOURS, MARGIN, Plot
from .page import label, rounded
from .tables import Cell, Column, Table

MOST_BARS = 30
"""Groups in the plot, those with most kernels; the table has all."""
LABEL = 36
"""Letters of the name of a bar."""
FIGURES = ("mape", "median_ape", "p90_ape", "bias", "spearman", "roofline_mape", "fitted_mape", "floor_mape")
TITLES = ("MAPE %", "median %", "P90 %", "bias %", "rank", "roofline %", "fitted %", "again %")
BARS = (("simulated", "mape"), ("roofline", "roofline_mape"), ("fitted roofline", "fitted_mape"))


@dataclass(frozen=True)
class Measured:
    """What is known of measurements.

    Attributes:
        notes: sentences for the reader; what stands in for a table where there is none.
        groups: entries of ``groups`` of ``rowline validate --json`` (docs/cli.md).
    """

    notes: Sequence[str]
    groups: Sequence[Mapping[str, Any]] = ()


def measured_table(measured: Measured) -> Table:
    """A row a group, its baselines beside it."""
    words = tuple(Column(name, text=True) for name in ("stack", "op", "type", "regime"))
    hidden = (Column("unseen"), Column("unseen MAPE %"))
    columns = (*words, Column("kernels"), *(Column(title) for title in TITLES), *hidden)
    rows: list[tuple[Cell, ...]] = []
    for group in measured.groups:
        unseen = group["unseen"]
        named = [str(group[key]) for key in ("framework", "op", "dtype", "regime")]
        rows.append((*named, group["n"], *(group[key] for key in FIGURES), unseen["n"], unseen["mape"]))
    return Table(columns, rows, frozenset(i for i, group in enumerate(measured.groups) if group["regime"] == "all"))


def errors(measured: Measured) -> list[Plot]:
    """Mean error of each group of all regimes, as bars beside those of the baselines; nothing without a group."""
    whole = [group for group in measured.groups if group["regime"] == "all" and group["mape"] is not None]
    shown = sorted(whole, key=lambda group: -group["n"])[:MOST_BARS]
    if not shown:
        return []
    stacks = {str(group["framework"]) for group in shown}
    names: list[str] = []
    for group in shown:
        name = label(f"{group['op']} {group['dtype']}" + (f", {group['framework']}" if len(stacks) > 1 else ""), LABEL)
        names.append(name if name not in names else f"{name} ({len(names) + 1})")  # alike once cut short, two bars all the same
    data = []
    for number, (title, key) in enumerate(BARS):
        found = [(name, group[key]) for name, group in zip(names, shown, strict=True) if group[key] is not None]
        if found:
            data.append({
                "type": "bar", "orientation": "h", "name": title, "x": rounded(value for _, value in found),
                "y": [name for name, _ in found], "marker": {"color": COLOURS[number]},
                "hovertemplate": "%{y}: %{x} %<extra></extra>",
            })  # fmt: skip
    axis = {"title": {"text": "mean error, %"}, "rangemode": "tozero", "automargin": True}
    order = {"type": "category", "categoryorder": "array", "categoryarray": names, "autorange": "reversed", "automargin": True}
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom"}
    layout = {"barmode": "group", "xaxis": axis, "yaxis": order, "margin": MARGIN | {"l": 20, "t": 40}, "legend": legend,
              "height": 120 + 48 * len(names)}  # fmt: skip
    return [{"id": "measured-errors", "data": data, "layout": layout, "tools": False}]
