"""A plot as the pages hold it (plain data) -> a figure of plotly for the screen, or of matplotlib for print."""

import html
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arch.yamltree import ConfigError, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Backend = Literal["plotly", "matplotlib"]
Plot = dict[str, Any]
PRINT_SIZE = (7.0, 4.0)
_STYLES = {"dot": ":", "dash": "--", "solid": "-"}


def figure(plot: Plot, title: str, backend: Backend = "plotly") -> Any:
    """A ``plotly.graph_objects.Figure``, or a ``matplotlib.figure.Figure`` that belongs to no window.

    Raises:
        ConfigError: the backend is neither.
        ModuleNotFoundError: matplotlib is not installed (extra ``notebook``).
    """
    if backend == "matplotlib":
        return _printed(plot, title)
    if backend != "plotly":
        raise ConfigError([f"backend {printable(repr(backend))}: expected plotly or matplotlib"])
    import plotly.graph_objects as go

    layout = plot["layout"] | {"title": {"text": html.escape(title), "font": {"size": 15}}, "template": "plotly_white"}
    layout["margin"] = layout.get("margin", {}) | {"t": 56}
    return go.Figure({"data": plot["data"], "layout": layout})


def _printed(plot: Plot, title: str) -> Any:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=PRINT_SIZE, layout="constrained")
    axes = drawn.subplots()
    layout = plot["layout"]
    _bars(axes, [trace for trace in plot["data"] if trace["type"] == "bar"], layout.get("barmode") == "stack")
    for trace in plot["data"]:
        if trace["type"] == "bar":
            continue
        if trace["type"] != "scatter":
            raise ValueError(f"a plot of {trace['type']} has no form for print")
        _scatter(axes, trace)
    for note in layout.get("annotations", []):
        text = html.unescape(re.sub(r"</?b>", "", str(note["text"])))
        axes.text(note["x"], note["y"], text, fontsize=6, ha=note.get("xanchor", "center"))
    for side in "xy":
        _axis(axes, side, layout.get(f"{side}axis", {}))
    axes.set_title(title, fontsize=10)
    axes.grid(True, alpha=0.3, linewidth=0.5)
    axes.set_axisbelow(True)
    if sum(bool(trace.get("name")) and trace.get("showlegend", True) for trace in plot["data"]) > 1:
        drawn.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return drawn


def _bars(axes: "Axes", traces: list[Plot], stacked: bool) -> None:
    """Bars beside or on top of each other; of horizontal ones the first is at the bottom, as in plotly."""
    if not traces:
        return
    flat = traces[0].get("orientation") == "h"
    names = list(dict.fromkeys(name for trace in traces for name in trace["y" if flat else "x"]))
    places, end = np.arange(len(names), dtype=float), np.zeros(len(names))
    thick = 0.8 if stacked else 0.8 / len(traces)
    for number, trace in enumerate(traces):
        sizes = dict(zip(trace["y" if flat else "x"], trace["x" if flat else "y"], strict=True))
        values = np.array([float(sizes.get(name) or 0.0) for name in names])
        at = places if stacked else places + (number - (len(traces) - 1) / 2) * thick
        begin: dict[str, Any] = {"left" if flat else "bottom": end if stacked else 0.0}
        shown: Any = (axes.barh if flat else axes.bar)(at, values, thick, label=_name(trace), color=_colour(trace), **begin)
        end = end + values
        if len(traces) == 1 and trace.get("text") is not None:
            axes.bar_label(shown, labels=[html.unescape(str(t)) for t in trace["text"]], fontsize=7, padding=2)
            axes.margins(x=0.12) if flat else axes.margins(y=0.12)
    (axes.set_yticks if flat else axes.set_xticks)(places, [html.unescape(str(name)) for name in names])


def _scatter(axes: "Axes", trace: Plot) -> None:
    mode, line, marker = trace.get("mode", "markers"), trace.get("line", {}), trace.get("marker", {})
    x = [np.nan if v is None else v for v in trace["x"]]
    y = [np.nan if v is None else v for v in trace["y"]]
    if "lines" in mode:
        steps = {"hv": "steps-post", "vh": "steps-pre"}.get(str(line.get("shape")), "default")
        axes.plot(
            x, y, _STYLES.get(str(line.get("dash", "solid")), "-"), color=line.get("color") or _colour(trace), drawstyle=steps,
            linewidth=min(float(line.get("width", 1.5)), 6.0), label=_name(trace) if "markers" not in mode else None,
            solid_capstyle="butt",
        )  # fmt: skip
    if "markers" in mode:
        size = np.asarray(marker.get("size", 6), float)
        colour = marker.get("color")
        axes.scatter(x, y, s=size**2 / 2, c=colour if colour is None or isinstance(colour, str) else list(colour),
                     alpha=marker.get("opacity", 1.0), label=_name(trace), linewidths=0)  # fmt: skip
    if "text" in mode:
        for at_x, at_y, text in zip(x, y, trace["text"], strict=True):
            axes.annotate(html.unescape(str(text)), (at_x, at_y), fontsize=6, xytext=(3, 3), textcoords="offset points")


def _axis(axes: "Axes", side: str, layout: Plot) -> None:
    title = layout.get("title", {})
    text = html.unescape(str(title.get("text", "") if isinstance(title, dict) else title))
    (axes.set_xlabel if side == "x" else axes.set_ylabel)(text, fontsize=8)
    axes.tick_params(axis="x" if side == "x" else "y", labelsize=7)
    if layout.get("type") == "log":
        (axes.set_xscale if side == "x" else axes.set_yscale)("log")
    if (ends := layout.get("range")) is not None and layout.get("type") != "log":
        (axes.set_xlim if side == "x" else axes.set_ylim)(*ends)
    if (ticks := layout.get("tickvals")) is not None:
        shown = [html.unescape(str(t)) for t in layout.get("ticktext", ticks)]
        (axes.set_xticks if side == "x" else axes.set_yticks)(ticks, shown)
    if layout.get("showticklabels") is False or layout.get("visible") is False:
        (axes.set_xticks if side == "x" else axes.set_yticks)([])


def _name(trace: Plot) -> str | None:
    return html.unescape(str(trace["name"])) if trace.get("name") and trace.get("showlegend", True) else None


def _colour(trace: Plot) -> str | None:
    colour = trace.get("marker", {}).get("color")
    return colour if isinstance(colour, str) else None
