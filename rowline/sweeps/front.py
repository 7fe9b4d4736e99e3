"""From the stats of a run to its objectives, from objectives to the Pareto front and the ranking."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from rowline.arch.loader import nearest
from rowline.sweeps.grammar import ExpressionError
from rowline.sweeps.keys import KeyProblem
from rowline.sweeps.model import Goal, Space
from rowline.sweeps.points import Point
from rowline.sweeps.quantities import Value, typed
from rowline.sweeps.store_rows import State


class NoSuchKey(ValueError):
    """An objective asks for what the stats of a run do not have."""


@dataclass(frozen=True)
class Verdict:
    """What a run is worth: its objectives (empty where there are none), and why it is not complete.

    Attributes:
        excess: how far each limit was overrun, relative to the limit; 0 where it holds.
        missing: an objective asks for a key that the stats do not have.
    """

    state: State
    objectives: dict[str, float]
    reason: str | None = None
    excess: tuple[float, ...] = ()
    missing: Goal | None = None


def lookup(stats: Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted key; parts of the key may themselves hold dots (``latency_breakdown_s.attn.qkv``).

    Raises:
        NoSuchKey: there is none.
    """
    if dotted in stats:
        return stats[dotted]
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        below = stats.get(".".join(parts[:cut]))
        if isinstance(below, Mapping):
            return lookup(below, ".".join(parts[cut:]))
    raise NoSuchKey(f'no key "{dotted}" in the stats{nearest(parts[-1], stats)}')


def judge(space: Space, point: Point, stats: Mapping[str, Any]) -> Verdict:
    """The objectives of a run, held against their limits."""
    objectives, excess, reasons = dict[str, float](), list[float](), list[str]()
    for goal in space.goals:
        try:
            value = _objective(space, goal, point, stats)
        except (NoSuchKey, ExpressionError) as error:
            gone = goal if isinstance(error, NoSuchKey) else None
            return Verdict("infeasible", {}, f"objective {goal.name}: {error}", missing=gone)
        objectives[goal.name] = value
        over = 0.0 if goal.limit is None else (value - goal.limit) * (-1 if goal.maximize else 1)
        excess.append(max(over, 0.0) / (abs(goal.limit or 0.0) or 1.0))
        if over > 0:
            reasons.append(f"{goal.name} {value:.6g} is {'below' if goal.maximize else 'above'} its limit {goal.limit:.6g}")
    return Verdict("infeasible" if reasons else "complete", objectives, "; ".join(reasons) or None, tuple(excess))


def _objective(space: Space, goal: Goal, point: Point, stats: Mapping[str, Any]) -> float:
    if goal.expr is not None:
        value = goal.expr.evaluate(_Names(space, point, stats))
    elif goal.name == "edp":
        value = _number(stats, "energy_j") * _number(stats, "latency_s")
    else:
        value = _number(stats, goal.stat)
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ExpressionError(1, "is no finite number")
    return result


def _number(stats: Mapping[str, Any], key: str) -> Fraction:
    value = lookup(stats, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        what = "null" if value is None else "a truth value" if isinstance(value, bool) else type(value).__name__
        raise ExpressionError(1, f"{key} is {what} in this run, not a number")
    return Fraction(value)


class _Names(dict[str, Value]):
    """Names of an objective's expression: of the point, else of base and hardware, else of the stats."""

    def __init__(self, space: Space, point: Point, stats: Mapping[str, Any]):
        super().__init__({key: typed(text)[0] for key, text in point.items()})
        self.space, self.stats = space, stats
        self.arch = point.get("arch", space.base.arch)

    def __missing__(self, key: str) -> Value:
        try:
            found = self.space.fixed.typed(self.arch, key)
        except KeyProblem:
            found = None
        return _number(self.stats, key) if found is None else found[0]


def cost(goals: Sequence[Goal], objectives: Mapping[str, float]) -> tuple[float, ...]:
    """Objectives in the order of the goals, all to be made small."""
    return tuple(-objectives[g.name] if g.maximize else objectives[g.name] for g in goals)


@dataclass
class Front:
    """The points that no other one beats in every objective, as they come in. Equal points stay side by side."""

    members: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def add(self, key: str, vector: tuple[float, ...]) -> bool:
        """Offer a point; whether it is on the front now."""
        if any(_beats(other, vector) for other in self.members.values()):
            return False
        self.members = {k: v for k, v in self.members.items() if not _beats(vector, v)}
        self.members[key] = vector
        return True


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def ranked(vectors: Mapping[str, tuple[float, ...]], front: Iterable[str]) -> list[str]:
    """Keys from best to worst: the front first, each part by the first objective, then the others in turn."""
    best = set(front)
    return sorted(vectors, key=lambda key: (key not in best, vectors[key], key))


def best_of(vectors: Mapping[str, tuple[float, ...]]) -> Iterator[str]:
    """For each objective the key of its best point; nothing where there are no points."""
    if vectors:
        for i in range(len(next(iter(vectors.values())))):
            yield min(vectors, key=lambda key: (vectors[key][i], vectors[key], key))
