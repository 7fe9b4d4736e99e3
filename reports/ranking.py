"""Trials of a study ranked: which no other beats, and which parameters their results depend on."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arch.units import DIMENSIONS, UnitError, split_quantity

Floats = NDArray[np.float64]
MOST_TRIALS = 5000
MOST_LEVELS = 10
"""Values of a number that make groups of their own; more are put together by rank into as many groups."""


@dataclass(frozen=True)
class Objective:
    """What a study wants: a key of the results, to be small or large."""

    name: str
    minimise: bool = True
    limit: str | None = None


@dataclass(frozen=True)
class Trial:
    """One trial; ``objectives`` has a value of each objective where ``state`` is complete."""

    id: str
    number: int
    params: Mapping[str, Any]
    objectives: Mapping[str, float]
    state: str
    reason: str
    wall_s: float


def front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The trials that no other beats: as good in every objective and better in one. Best by the first objective first.

    Of trials with equal results all are kept.
    """
    done = [t for t in trials if t.state == "complete" and all(o.name in t.objectives for o in objectives)]
    if not done or not objectives:
        return []
    signs = np.array([1.0 if o.minimise else -1.0 for o in objectives])
    costs = np.array([[t.objectives[o.name] for o in objectives] for t in done]) * signs
    order = np.lexsort(costs.T[::-1])
    kept: list[int] = []
    best = np.empty((0, len(objectives)))
    for index in order:  # whoever beats a trial comes before it in this order
        cost = costs[index]
        if not bool(((best <= cost).all(axis=1) & (best < cost).any(axis=1)).any()):
            kept.append(int(index))
            best = np.vstack((best, cost))
    return [done[i] for i in kept]


def numbers(values: Sequence[Any]) -> list[float] | None:
    """Values of an axis as numbers, quantities in the base unit of theirs; None where they are words."""
    found: list[float] = []
    kinds: set[str] = set()
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return None
        try:
            number, unit = split_quantity(value) if isinstance(value, str) else (value, "")
        except UnitError:
            return None
        kind, factor = _UNITS.get(unit, (unit, 1))
        kinds.add(kind)
        found.append(float(number * factor))
    return found if len(kinds) == 1 and all(map(math.isfinite, found)) else None


_UNITS: dict[str, tuple[str, Any]] = {
    unit: (dimension, factor) for dimension, (units, _) in DIMENSIONS.items() for unit, factor in units.items()
}


def varied(trials: Sequence[Trial]) -> list[str]:
    """Parameters that do not have one value in all trials, in their first order."""
    seen: dict[str, set[Hashable]] = {}
    for trial in trials:
        for name in trial.params:
            seen.setdefault(name, set())
    for trial in trials:
        for name, values in seen.items():
            values.add(str(trial.params.get(name)))
    return [name for name, values in seen.items() if len(values) > 1]


@dataclass(frozen=True)
class Influence:
    """How much of an objective one parameter explains.

    Attributes:
        share: of the variance of the objective (of its logarithm, where it is positive), what the groups of equal values of
            the parameter explain by themselves (a main effect), less what chance would, from 0 to 1. Chance is what the
            main effects of all parameters together leave.
        trend: rank correlation with the parameter; None where its values are words.
    """

    parameter: str
    objective: str
    share: float
    trend: float | None


def influences(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Influence]:
    """Of every parameter on every objective, over the complete trials; empty where there are fewer than four.

    Of many trials MOST_TRIALS count, spread evenly over the study.
    """
    done = [t for t in trials if t.state == "complete" and all(o.name in t.objectives for o in objectives)]
    if len(done) < 4:
        return []
    if len(done) > MOST_TRIALS:
        done = [done[i] for i in np.linspace(0, len(done) - 1, MOST_TRIALS).astype(int)]
    names = varied(done)
    columns = {name: [t.params.get(name) for t in done] for name in names}
    scales = {name: numbers(values) for name, values in columns.items()}
    groups = {name: _groups(columns[name], scales[name]) for name in names}
    found: list[Influence] = []
    for objective in objectives:
        results = np.array([t.objectives[objective.name] for t in done], float)
        shares = _shares(results, list(groups.values()))
        for name, share in zip(names, shares, strict=True):
            scale = scales[name]
            trend = None if scale is None else correlation(ranks(np.array(scale)), ranks(results))
            found.append(Influence(name, objective.name, share, trend))
    return sorted(found, key=lambda each: names.index(each.parameter))


def _groups(values: Sequence[Any], scale: list[float] | None) -> NDArray[np.int64]:
    """The group of each value."""
    if scale is None:
        return np.unique(np.array([str(v) for v in values]), return_inverse=True)[1].reshape(-1)
    levels, group = np.unique(np.array(scale), return_inverse=True)
    if len(levels) <= MOST_LEVELS:
        return group.reshape(-1)
    return (ranks(np.array(scale)) / len(values) * MOST_LEVELS).astype(np.int64).clip(0, MOST_LEVELS - 1)


def _shares(results: Floats, groups: list[NDArray[np.int64]]) -> list[float]:
    """The share of each parameter, given the group of each trial."""
    y = np.log(results) if results.min() > 0 else results
    y = y - y.mean()
    total = float((y**2).sum())
    if total <= 1e-24 * max(1.0, float((results**2).sum())) or not groups:
        return [0.0] * len(groups)
    model = np.column_stack([np.ones(len(y)), *(np.eye(int(g.max()) + 1)[g][:, 1:] for g in groups)])
    fit, _, rank, _ = np.linalg.lstsq(model, y, rcond=None)
    free = len(y) - int(rank)
    noise = float(((y - model @ fit) ** 2).sum()) / free if free > 0 else 0.0
    found: list[float] = []
    for group in groups:
        sizes = np.bincount(group)
        between = float((np.bincount(group, y) ** 2 / np.maximum(sizes, 1)).sum())
        used = int((sizes > 0).sum())
        exact = used < len(y) and free > 0
        found.append(min(1.0, max(0.0, (between - (used - 1) * noise) / total)) if exact else 0.0)
    return found


def ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes + 1) / 2.0)[group.reshape(-1)]


def correlation(x: Floats, y: Floats) -> float:
    """Pearson's; 0 where one does not vary."""
    a, b = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0
