"""The comparison as one HTML page: two plots and two tables, no network, nothing in it that a log's names could run."""

import html
from typing import Any

import numpy as np
import pandas as pd

from . import page
from .page import rounded as _short
from .validation import Comparison

MAX_POINTS = 2500  # the page stays under 6 MB, 4.8 of which are the plotting library
BAND = 0.1
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2", "#7f7f7f", "#bcbd22")


def render(comparison: Comparison, files: list[str], split: str) -> str:
    """The page as text. ``files``: the logs compared with, ``split``: which families, both as a reader should see them."""
    points = sampled(comparison.points)
    groups = comparison.answer["groups"]
    return page.render(
        "validation.html.j2", plots(points), tables=False, answer=comparison.answer, files=files, split=split,
        shown=len(points), fitted_on=sorted({g["fitted_on"] for g in groups if g["fitted_on"]}),
    )  # fmt: skip


def sampled(points: pd.DataFrame, most: int = MAX_POINTS) -> pd.DataFrame:
    """At most ``most`` rows, the ten largest errors among them, the others drawn evenly at random (always the same ones)."""
    if len(points) <= most:
        return points
    error = np.abs(points["predicted_us"].to_numpy() / points["latency_us"].to_numpy() - 1.0)
    order = np.argsort(-error, kind="stable")
    drawn = np.random.default_rng(0).choice(order[10:], most - 10, replace=False)
    return points.iloc[np.sort(np.concatenate([order[:10], drawn]))]


def plots(points: pd.DataFrame) -> list[dict[str, Any]]:
    """The two plots."""
    axis = {"type": "log", "title": {"text": "measured, us"}}
    band = {"type": "log", "title": {"text": "predicted, us"}}
    size = {"type": "log", "title": {"text": "least time by the datasheet (compute or memory), us"}}
    error = {"title": {"text": "predicted / measured - 1, %"}, "zeroline": True}
    return [
        {"id": "correlation", "data": [*_band(points), *_traces(points, "latency_us", "predicted_us")],
         "layout": {"xaxis": axis, "yaxis": band, "margin": {"t": 20}}},
        {"id": "error", "data": _traces(points, "roofline_us", "error"),
         "layout": {"xaxis": size, "yaxis": error, "margin": {"t": 20}}},
    ]  # fmt: skip


def _traces(points: pd.DataFrame, x: str, y: str) -> list[dict[str, Any]]:
    """One set of markers an op, in a colour of its own; y may be the error in per cent."""
    points = points.assign(error=(points["predicted_us"] / points["latency_us"] - 1.0) * 100.0)
    found: list[dict[str, Any]] = []
    for number, op in enumerate(sorted(str(name) for name in points["op"].unique())):
        rows = points.loc[points["op"] == op]
        found.append({
            "type": "scatter", "mode": "markers", "name": html.escape(op), "x": _short(rows[x]), "y": _short(rows[y]),
            "text": [_label(row) for row in rows.to_dict("records")], "hoverinfo": "text",
            "marker": {"size": 4, "opacity": 0.6, "color": COLOURS[number % len(COLOURS)]},
        })  # fmt: skip
    return found


def _band(points: pd.DataFrame) -> list[dict[str, Any]]:
    """The diagonal and lines BAND above and below it, over the range of the measurements."""
    if not len(points):
        return []
    ends = np.array([points["latency_us"].min(), points["latency_us"].max()], dtype=float)
    lines = ((1.0, "equal", "solid"), (1 + BAND, f"+{BAND:.0%}", "dot"), (1 - BAND, f"-{BAND:.0%}", "dot"))
    return [
        {"type": "scatter", "mode": "lines", "name": name, "x": _short(ends), "y": _short(ends * factor), "hoverinfo": "skip",
         "line": {"color": "#888", "width": 1, "dash": dash}}
        for factor, name, dash in lines
    ]  # fmt: skip


def _label(row: dict[str, Any]) -> str:
    """What a marker says; plotly reads some tags in it, so that all are escaped."""
    shape = " ".join(
        f"{key}={row[key]}" for key in ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv") if row[key]
    )
    text = f"{row['gpu']} {row['framework']} {row['op']} {row['dtype']} {shape}"
    told = f"measured {row['latency_us']:.4g} us, predicted {row['predicted_us']:.4g} us; {row['bound']}; {row['choice']}"
    return f"{html.escape(text[:160])}<br>{html.escape(told[:160])}"
