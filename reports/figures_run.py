"""The plots of one run, as plotly takes them: where its time and energy went, its roofline, how busy it was, its commands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .ceilings import Ceilings
from .page import label, rounded, short

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2", "#7f7f7f", "#bcbd22")
MARGIN = {"t": 24, "r": 12, "b": 48, "l": 60}
LOG = {"type": "log", "dtick": 1, "exponentformat": "SI"}
LEGEND = {"orientation": "h", "y": -0.18}
SIDES = ("top right", "bottom right", "top left", "bottom left")
BINS = 240
"""Intervals into which the time of a run is cut for the plot of utilisation."""

Floats = NDArray[np.float64]
Plot = dict[str, Any]


def bars(identity: str, parts: dict[str, float], unit: str, log: bool = False) -> Plot:
    """A bar a part, the largest on top; parts of nothing are left out."""
    found = sorted(((name, value) for name, value in parts.items() if value > 0), key=lambda each: each[1])
    total = sum(value for _, value in found)
    data = {
        "type": "bar", "orientation": "h", "x": rounded(v for _, v in found), "y": [label(name) for name, _ in found],
        "text": [f"{v / total:.1%}" if not log else short(v) for _, v in found], "textposition": "auto",
        "hovertemplate": f"%{{y}}: %{{x}} {unit}, %{{text}}<extra></extra>", "marker": {"color": COLOURS[0]},
    }  # fmt: skip
    axis: dict[str, Any] = {"title": {"text": unit}, "automargin": True} | (LOG if log else {"rangemode": "tozero"})
    layout = {"xaxis": axis, "yaxis": {"automargin": True}, "margin": MARGIN | {"l": 20, "t": 6}}
    return {"id": identity, "data": [data], "layout": layout, "tools": False}


def roofline(ops: pd.DataFrame, peaks: Ceilings, traffic: Sequence[str]) -> tuple[Plot, list[str]]:
    """Operations against the roof: a marker an op class of a phase, larger the more of the time it takes.

    Args:
        traffic: columns of ``ops`` whose sum the roof's slope bounds.

    Returns:
        the plot; the classes that have no place in it, since they multiply nothing or move nothing.
    """
    keys = ["phase", "op_class", *(["kernel"] if "kernel" in ops else [])]
    frame: Any = ops.assign(bytes=ops[list(traffic)].sum(axis=1), span=ops["end_ps"] - ops["start_ps"])
    sums = frame.groupby(keys, sort=True, observed=True)[["macs", "bytes", "span"]].sum().reset_index()
    placed = sums[(sums["macs"] > 0) & (sums["bytes"] > 0) & (sums["span"] > 0)]
    absent = sorted({str(c) for c in sums["op_class"]} - {str(c) for c in placed["op_class"]})
    intensity = 2.0 * placed["macs"] / placed["bytes"]
    rate = 2e12 * placed["macs"] / placed["span"]
    data: list[dict[str, Any]] = _roof(peaks, intensity.to_numpy())
    total = float(sums["span"].sum()) or 1.0
    size = 8 + 40 * np.sqrt(placed["span"].to_numpy(float) / total)
    first = placed.groupby("op_class", observed=True)["span"].transform("max").to_numpy() == placed["span"].to_numpy()
    order = np.lexsort((rate, intensity))
    sides = np.empty(len(placed), dtype=object)  # neighbours do not write over each other
    sides[order[first[order]]] = [SIDES[i % len(SIDES)] for i in range(int(first.sum()))]
    for number, phase in enumerate(sorted({str(p) for p in placed["phase"]})):
        rows = (placed["phase"] == phase).to_numpy()
        part = placed[rows]
        told = [
            f"{label(row['op_class'])} ({label(phase)}), {row['span'] / total:.1%} of the busy time<br>"
            f"{short(float(x))} op/byte of {peaks.traffic}, {short(float(y) / 1e9)} Gop/s"
            for row, x, y in zip(part.to_dict("records"), intensity[rows], rate[rows], strict=True)
        ]
        data.append({
            "type": "scatter", "mode": "markers+text", "name": label(phase), "x": rounded(intensity[rows]),
            "y": rounded(rate[rows]), "text": [label(n) if f else "" for n, f in zip(part["op_class"], first[rows], strict=True)],
            "textposition": [side or SIDES[0] for side in sides[rows]], "cliponaxis": False,
            "textfont": {"size": 10, "color": COLOURS[number]}, "hovertext": told, "hoverinfo": "text",
            "marker": {"color": COLOURS[number], "opacity": 0.75, "size": rounded(size[rows])},
        })  # fmt: skip
    layout = {
        "xaxis": LOG | {"exponentformat": "power", "title": {"text": f"operations a byte of {peaks.traffic}"}},
        "yaxis": LOG | {"exponentformat": "power", "title": {"text": "operations/s"}, "automargin": True}, "margin": MARGIN,
        "legend": LEGEND,
    }  # fmt: skip
    return {"id": "roofline", "data": data, "layout": layout}, absent


def _roof(peaks: Ceilings, intensity: Floats) -> list[dict[str, Any]]:
    """Slope and flat part, over the range of the operations and the ridge."""
    ridge = peaks.ops_per_s / peaks.bytes_per_s
    ends = [ridge, *intensity.tolist()]
    low, high = min(ends) / 3, max(ends) * 3
    x = [low, ridge, high]
    y = [min(peaks.ops_per_s, v * peaks.bytes_per_s) for v in x]
    name = f"roof: {short(peaks.bytes_per_s / 1e9)} GB/s, {short(peaks.ops_per_s / 1e12)} Top/s"
    return [{"type": "scatter", "mode": "lines", "name": name, "x": rounded(x), "y": rounded(y), "hoverinfo": "skip",
             "line": {"color": "#333", "width": 2}}]  # fmt: skip


def spread(start: Floats, end: Floats, amount: Floats, edges: Floats) -> Floats:
    """``amount`` of each interval, spread evenly over it, summed up between each two ``edges``."""
    ends = np.maximum(end, start + 1)
    at = np.concatenate((start, ends))
    slope = np.concatenate((amount / (ends - start), -amount / (ends - start)))
    order = np.argsort(at, kind="stable")
    at, slope = at[order], np.cumsum(slope[order])
    total = np.concatenate(([0.0], np.cumsum(slope[:-1] * np.diff(at))))
    return np.diff(np.interp(edges, at, total))


def utilisation(frame: pd.DataFrame, peaks: Ceilings) -> Plot:
    """Shares of what the machine can do, interval by interval."""
    ops: Any = frame
    edges = np.linspace(0.0, float(ops["end_ps"].max()), BINS + 1)
    width = edges[1] - edges[0]
    seconds = width / 1e12
    start, end = ops["start_ps"].to_numpy(float), ops["end_ps"].to_numpy(float)

    def sums(values: Any, rows: NDArray[np.bool_]) -> Floats:
        return spread(start[rows], end[rows], np.asarray(values, float)[rows], edges)

    every = np.ones(len(ops), bool)
    macs = 2 * sums(ops["macs"], every) / (peaks.ops_per_s * seconds)
    if peaks.bank_bytes_per_s is not None:
        asic = (ops["unit"] == "asic").to_numpy()
        lines = {
            "banks: MAC columns of their peak": macs,
            "buses: link bytes of their peak": sums(ops["link_bytes"], every) / (peaks.bytes_per_s * seconds),
            "channels: a PIM step runs": sums(end - start, ~asic) / width,
        }
        energy = np.where(asic, ops["energy_fj"].to_numpy(float), 0.0)
        power = float((energy / np.maximum(end - start, 1)).max())
        if power > 0:  # a step's energy is that of the time in which it works, at one power; some steps work all of theirs
            lines["ASIC: it works"] = sums(energy / power, asic) / width
    else:
        dram = ops["dram_read_bytes"] + ops["dram_write_bytes"]
        lines = {
            "arithmetic of its peak": macs,
            "DRAM bytes of their peak": sums(dram, every) / (peaks.bytes_per_s * seconds),
            "a kernel runs": sums(end - start, every) / width,
        }
    middle = rounded((edges[:-1] + edges[1:]) / 2e9)
    data = [
        {"type": "scatter", "mode": "lines", "name": name, "x": middle, "y": rounded(100 * np.minimum(values, 1.0)),
         "line": {"color": COLOURS[i], "width": 1.3}, "hovertemplate": "%{x} ms: %{y} %<extra></extra>"}
        for i, (name, values) in enumerate(lines.items())
    ]  # fmt: skip
    layout = {"xaxis": {"title": {"text": "ms"}}, "yaxis": {"title": {"text": "%"}, "range": [0, 102]}, "margin": MARGIN,
              "legend": LEGEND}  # fmt: skip
    return {"id": "utilisation", "data": data, "layout": layout}
