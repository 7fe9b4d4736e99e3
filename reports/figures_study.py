"""The plots of a study: trials against each other, parallel coordinates, what parameters matter, the best ones taken apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .figures_run import COLOURS, LEGEND, MARGIN, Plot
from .page import label, rounded, short
from .ranking import Influence, Objective, Trial, numbers, varied

MAX_POINTS = 1500
"""Trials in a plot; those of the front are always among them."""
QUARTERS = (("best quarter", "#21918c"), ("second", "#5ec962"), ("third", "#c8d62b"), ("last", "#bdbdbd"))
MOST_TICKS, MOST_PARTS = 8, 14
BEST = "#d62728"
PARTS = (*COLOURS, "#393b79", "#e7969c", "#637939", "#c7c7c7")


def drawn(trials: Sequence[Trial], best: Sequence[Trial], most: int = MAX_POINTS) -> list[Trial]:
    """Complete trials to draw: at most ``most``, spread evenly over the study, and the best (as many as fit)."""
    chosen = {t.id for t in best[:most]}
    rest = [t for t in trials if t.state == "complete" and t.id not in chosen]
    room = most - len(chosen)
    if len(rest) > room:
        rest = [rest[i] for i in np.linspace(0, len(rest) - 1, room).astype(int)]
    kept = chosen | {t.id for t in rest}
    return [t for t in trials if t.id in kept]


def told(trial: Trial, params: bool, objectives: Sequence[Objective]) -> str:
    """What a marker says."""
    known = {objective.name: objective for objective in objectives}
    parts = [f"{label(name)} = {label(known.get(name, Objective(name)).shown(v))}" for name, v in trial.objectives.items()]
    parts += [f"{label(name)}: {label(value, 40)}" for name, value in list(trial.params.items())[:16]] if params else []
    return "<br>".join([f"<b>trial {trial.number}</b>", *parts])


def pareto(identity: str, trials: Sequence[Trial], best: Sequence[Trial], x: Objective, y: Objective) -> Plot:
    """Two objectives against each other, and the front."""
    ids = {t.id for t in best}
    rest = [t for t in trials if t.id not in ids]
    front = sorted(best, key=lambda t: t.objectives[x.name])
    data = [
        {"type": "scatter", "mode": "markers", "name": "trials", "x": rounded(t.objectives[x.name] for t in rest),
         "y": rounded(t.objectives[y.name] for t in rest), "text": [told(t, False, (x, y)) for t in rest], "hoverinfo": "text",
         "marker": {"size": 6, "opacity": 0.5, "color": COLOURS[0]}},
        {"type": "scatter", "mode": "markers", "name": "Pareto front", "x": rounded(t.objectives[x.name] for t in front),
         "y": rounded(t.objectives[y.name] for t in front), "text": [told(t, True, (x, y)) for t in front], "hoverinfo": "text",
         "marker": {"size": 9, "color": BEST}},
    ]  # fmt: skip
    if len(front) > 1 and len(best[0].objectives) == 2:
        data[1] |= {"mode": "lines+markers", "line": {"color": BEST, "width": 1, "shape": "hv" if x.minimise else "vh"}}
    layout = {"xaxis": _axis(x), "yaxis": _axis(y), "margin": MARGIN, "legend": LEGEND, "hoverlabel": {"align": "left"}}
    return {"id": identity, "data": data, "layout": layout}


def history(identity: str, trials: Sequence[Trial], objective: Objective) -> Plot:
    """One objective, trial by trial, and the best so far."""
    done = sorted((t for t in trials if t.state == "complete"), key=lambda t: t.number)
    values = [t.objectives[objective.name] for t in done]
    best = np.minimum.accumulate(values) if objective.minimise else np.maximum.accumulate(values)
    at = [t.number for t in done]
    data = [
        {"type": "scatter", "mode": "markers", "name": "trials", "x": at, "y": rounded(values),
         "text": [told(t, True, (objective,)) for t in done], "hoverinfo": "text",
         "marker": {"size": 6, "opacity": 0.6, "color": COLOURS[0]}},
        {"type": "scatter", "mode": "lines", "name": "best so far", "x": at, "y": rounded(best), "hoverinfo": "skip",
         "line": {"color": BEST, "shape": "hv"}},
    ]  # fmt: skip
    layout = {"xaxis": {"title": {"text": "trial"}}, "yaxis": _axis(objective), "margin": MARGIN, "legend": LEGEND,
              "hoverlabel": {"align": "left"}}  # fmt: skip
    return {"id": identity, "data": data, "layout": layout}


def _axis(objective: Objective) -> dict[str, Any]:
    way = "smaller is better" if objective.minimise else "larger is better"
    return {"title": {"text": f"{label(objective.title)}, {way}"}, "exponentformat": "power", "automargin": True}


def parallel(trials: Sequence[Trial], best: Sequence[Trial], objectives: Sequence[Objective]) -> Plot:
    """A line a trial through an axis a parameter and objective; colour by rank in the first objective, the front apart."""
    columns = [(name, [t.params.get(name) for t in trials]) for name in varied(trials)]
    columns += [(o.title, [t.objectives[o.name] for t in trials]) for o in objectives]
    heights, notes = [], []
    for place, (name, values) in enumerate(columns):
        height, ticks = _height(values)
        heights.append(height)
        notes.append(_note(place, 1.1, label(name if len(name) <= 26 else f"...{name[-23:]}"), bold=True))
        notes += [_note(place, y, label(text, 18), right=True) for y, text in ticks]
    rank = np.argsort(np.argsort(heights[len(columns) - len(objectives)], kind="stable"), kind="stable")
    shade = rank * len(QUARTERS) // max(1, len(trials))
    if not objectives[0].minimise:
        shade = len(QUARTERS) - 1 - shade
    ids = {t.id for t in best}
    groups: dict[str, list[int]] = {}
    for index, trial in enumerate(trials):
        groups.setdefault("front" if trial.id in ids else str(int(shade[index])), []).append(index)
    order = [*(str(s) for s in reversed(range(len(QUARTERS)))), "front"]
    data = [_lines(key, groups[key], heights, trials, objectives[0].name) for key in order if key in groups]
    axis = {"tickmode": "array", "tickvals": list(range(len(columns))), "showticklabels": False, "gridcolor": "#999",
            "zeroline": False, "range": [-0.35, len(columns) - 0.75], "fixedrange": True}  # fmt: skip
    layout = {
        "xaxis": axis, "yaxis": {"visible": False, "range": [-0.06, 1.16], "fixedrange": True}, "annotations": notes,
        "margin": MARGIN | {"l": 12, "b": 20}, "legend": LEGEND | {"y": -0.05}, "hovermode": "closest",
    }  # fmt: skip
    return {"id": "parallel", "data": data, "layout": layout}


def _height(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values stand on an axis from 0 to 1, and its ticks."""
    scale = numbers(values)
    words = sorted({str(v) for v in values}) if scale is None else []
    found = scale if scale is not None else [float(words.index(str(v))) for v in values]
    low, high = min(found), max(found)
    heights = [(v - low) / (high - low) if high > low else 0.5 for v in found]
    ticks = {round(h, 3): v if isinstance(v, str) else short(v) for h, v in zip(heights, values, strict=True)}
    if len(ticks) > MOST_TICKS:
        ticks = {h: ticks[h] for h in (min(ticks), max(ticks))}
    return heights, sorted(ticks.items())


def _note(x: float, y: float, text: str, bold: bool = False, right: bool = False) -> dict[str, Any]:
    return {
        "x": x, "y": y, "text": f"<b>{text}</b>" if bold else text, "showarrow": False, "font": {"size": 11 if bold else 10},
        "xanchor": "right" if right else "center", "xshift": -4 if right else 0, "bgcolor": "rgba(255,255,255,0.75)",
    }  # fmt: skip


def _lines(key: str, rows: list[int], heights: list[list[float]], trials: Sequence[Trial], by: str) -> dict[str, Any]:
    """The lines of some trials as one line with gaps."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for row in rows:
        x += [*range(len(heights)), None]
        y += [*(round(column[row], 3) for column in heights), None]
        text += [f"trial {trials[row].number}"] * (len(heights) + 1)
    front = key == "front"
    name = "Pareto front" if front else f"{label(by)}: {QUARTERS[int(key)][0]}"
    line = {"color": BEST, "width": 2} if front else {"color": QUARTERS[int(key)][1], "width": 1}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "text": text, "hoverinfo": "text", "line": line,
            "opacity": 1.0 if front else 0.55}  # fmt: skip


def importance(found: Sequence[Influence], objectives: Sequence[Objective]) -> Plot:
    """Shares of variance, a group of bars a parameter; no bar where a share cannot be told."""
    names = list(dict.fromkeys(each.parameter for each in found))
    names.sort(key=lambda name: max(each.share or 0.0 for each in found if each.parameter == name))
    data: list[dict[str, Any]] = []
    for number, objective in enumerate(objectives):
        shares = {each.parameter: each.share for each in found if each.objective == objective.name}
        percent = [None if (share := shares[name]) is None else round(100 * share, 2) for name in names]
        data.append({
            "type": "bar", "orientation": "h", "name": label(objective.name), "y": [label(name) for name in names],
            "x": percent, "marker": {"color": COLOURS[number % len(COLOURS)]},
            "hovertemplate": "%{y}: %{x} %<extra></extra>",
        })  # fmt: skip
    layout = {"xaxis": {"title": {"text": "% of the variance"}, "range": [0, 100]}, "yaxis": {"automargin": True},
              "margin": MARGIN | {"l": 20, "t": 6}, "legend": LEGEND, "barmode": "group", "showlegend": True}  # fmt: skip
    return {"id": "importance", "data": data, "layout": layout, "tools": False}


def stacked(identity: str, parts: Mapping[str, Mapping[str, float]], unit: str) -> Plot:
    """A bar a trial, cut into its parts; the smallest parts of all trials go together."""
    totals: dict[str, float] = {}
    for each in parts.values():
        for name, value in each.items():
            totals[name] = totals.get(name, 0.0) + value
    names = sorted((name for name, total in totals.items() if total > 0), key=lambda name: -totals[name])
    shown = names if len(names) <= MOST_PARTS else names[: MOST_PARTS - 1]
    values = {name: [each.get(name, 0.0) for each in parts.values()] for name in shown}
    if len(shown) < len(names):
        values["others"] = [sum(each.get(name, 0.0) for name in names[len(shown) :]) for each in parts.values()]
    data = [
        {"type": "bar", "name": label(name), "x": [label(trial) for trial in parts], "y": rounded(column),
         "hovertemplate": f"%{{x}}, {label(name)}: %{{y}} {unit}<extra></extra>", "marker": {"color": PARTS[i % len(PARTS)]}}
        for i, (name, column) in enumerate(values.items())
    ]  # fmt: skip
    layout = {"barmode": "stack", "yaxis": {"title": {"text": unit}, "automargin": True}, "xaxis": {"type": "category"},
              "margin": MARGIN, "legend": LEGEND}  # fmt: skip
    return {"id": identity, "data": data, "layout": layout, "tools": False}
