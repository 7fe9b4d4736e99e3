"""Trials of a study ranked: which no other beats, and which parameters their results depend on."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arch.units import DIMENSIONS, UnitError, split_quantity

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]
MOST_TRIALS = 5000
MOST_LEVELS = 10
"""Values of a number that make groups of their own; more are put together by rank into as many groups."""


@dataclass(frozen=True)
class Objective:
    """What a study wants: a key of the results, to be small or large, in ``unit`` where that is known."""

    name: str
    minimise: bool = True
    limit: str | float | None = None
    unit: str = ""

    @property
    def title(self) -> str:
        """``latency (s)``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def shown(self, value: float | str | None) -> str:
        """A value with its unit, to four digits: ``78.99 us``."""
        if not isinstance(value, (int, float)):
            return "-" if value is None else str(value)
        if self.unit == "m2":
            return f"{value * 1e6:.4g} mm2"
        if self.unit not in _PREFIXED or not value:
            return f"{value:.4g} {self.unit}".rstrip()
        power = next((p for p in range(12, -15, -3) if abs(value) >= 0.99995 * 10.0**p), -15)
        return f"{value / 10.0**power:.4g} {_PREFIXES[power // 3 + 5]}{self.unit}"


_PREFIXED, _PREFIXES = ("B/s", "B", "s", "J", "W", "J s"), ("f", "p", "n", "u", "m", "", "k", "M", "G", "T")
_ENDS = {
    "tokens_per_s": "tokens/s", "_bytes_per_s": "B/s", "_per_s": "1/s", "_bytes": "B", "_s": "s", "_j": "J", "_w": "W",
    "_m2": "m2", "edp": "J s",
}  # fmt: skip
"""What a key of the stats is measured in, by how it ends; the first that fits."""


def unit_of(stat: str) -> str:
    """The unit of a dotted key of the stats, by how its last part ends that names one; nothing where none does."""
    for part in reversed(stat.split(".")):
        for end, unit in _ENDS.items():
            if part.endswith(end):
                return unit
    return ""


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
        share: of the variance of the objective (of its logarithm, where it is positive), what groups of values of the
            parameter explain by themselves (a main effect), less what chance would, from 0 to 1. Chance is what the
            main effects of all parameters together leave. None where there are too few trials to tell.
        trend: rank correlation with the parameter; None where its values are words.
    """

    parameter: str
    objective: str
    share: float | None
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
    scales = {name: numbers([t.params.get(name) for t in done]) for name in names}
    groups = _grouped([([t.params.get(name) for t in done], scales[name]) for name in names])
    found: list[Influence] = []
    for objective in objectives:
        results = np.array([t.objectives[objective.name] for t in done], float)
        for name, share in zip(names, _shares(results, groups), strict=True):
            scale = scales[name]
            trend = None if scale is None else correlation(ranks(np.array(scale)), ranks(results))
            found.append(Influence(name, objective.name, share, trend))
    return sorted(found, key=lambda each: names.index(each.parameter))


def _grouped(columns: Sequence[tuple[Sequence[Any], list[float] | None]]) -> list[Groups | None]:
    """The group of each trial by each parameter (its values, and those as numbers).

    A full grid is taken as it is. Elsewhere numbers make fewer groups, at least two, until half of the trials are left to judge
    chance by; words that make so many groups that less than a third would be left are None: they can explain nothing.
    """
    scales = [None if scale is None else np.array(scale) for _, scale in columns]
    natural = [
        np.unique(np.array([str(v) for v in values]) if scale is None else scale, return_inverse=True)[1].reshape(-1)
        for (values, _), scale in zip(columns, scales, strict=True)
    ]
    if not natural:
        return []
    trials, full = len(natural[0]), [int(g.max()) + 1 for g in natural]
    levels = [k if scale is None else min(k, MOST_LEVELS) for k, scale in zip(full, scales, strict=True)]
    is_grid = len(columns) > 1 and math.prod(full) == len(np.unique(np.column_stack(natural), axis=0))
    if not is_grid and 3 * _free(trials, levels) < trials:
        while 2 * _free(trials, levels) < trials:
            most = max((k for k, scale in zip(levels, scales, strict=True) if scale is not None), default=0)
            if most <= 2:
                break
            levels[next(i for i, k in enumerate(levels) if k == most and scales[i] is not None)] -= 1
        while 3 * _free(trials, levels) < trials and max(levels) > 2:
            levels[levels.index(max(levels))] = 1
    found: list[Groups | None] = []
    for group, count, kept, scale in zip(natural, full, levels, scales, strict=True):
        if scale is not None and kept < count:
            group = (ranks(scale) / trials * kept).astype(np.int64).clip(0, kept - 1)
        found.append(group if kept > 1 else None)
    return found


def _free(trials: int, levels: Sequence[int]) -> int:
    """Trials that the main effects of parameters with so many groups leave to judge chance by."""
    return trials - 1 - sum(k - 1 for k in levels)


def _shares(results: Floats, groups: Sequence[Groups | None]) -> list[float | None]:
    """The share of each parameter, given the group of each trial."""
    y = np.log(results) if results.min() > 0 else results
    y = y - y.mean()
    total = float((y**2).sum())
    if total <= 1e-24 * max(1.0, float((results**2).sum())):
        return [0.0] * len(groups)
    known = [g for g in groups if g is not None]
    blocks = [np.eye(int(g.max()) + 1)[g][:, 1:] for g in known]
    model = np.column_stack([np.ones(len(y)), *blocks])
    fit, _, rank, _ = np.linalg.lstsq(model, y, rcond=None)
    free = len(y) - int(rank)
    if free <= 0:
        return [None] * len(groups)
    noise = float(((y - model @ fit) ** 2).sum()) / free
    ends = np.cumsum([1, *(block.shape[1] for block in blocks)])
    explained: list[float] = []
    for number, (group, block) in enumerate(zip(known, blocks, strict=True)):
        effect = block @ fit[ends[number] : ends[number + 1]]
        chance = (int((np.bincount(group) > 0).sum()) - 1) * noise
        explained.append(min(1.0, max(0.0, (float((effect * y).sum()) - chance) / total)))
    shares = iter(explained)
    return [None if g is None else next(shares) for g in groups]


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
