"""A search over whole numbers: one after another, in steps that are shares of the value, halved where neither direction helps.

Knows no GPU: a parameter has a value, bounds and a rounding; a loss is a function of all values.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

Values = dict[str, int]
Loss = Callable[[Mapping[str, int]], float]
NO_EFFECT = 1e-3
"""Share of the loss that a parameter must be worth."""


@dataclass(frozen=True)
class Parameter:
    """A number to be found, in whole units: where it begins, and how far it may go. ``rounded``: a real number as it is kept."""

    name: str
    start: int
    low: int
    high: int
    rounded: Callable[[float], int] = field(default=round)

    def moved(self, value: int, factor: float) -> int:
        """The value times a factor, within bounds, at least one unit away from it."""
        there = self.rounded(value * factor)
        if there == value:
            there = value + (1 if factor > 1 else -1)
        return min(self.high, max(self.low, there))


@dataclass(frozen=True)
class Effort:
    """How long to search: first step and least step (shares), rounds over all parameters, seconds (0: no limit)."""

    step: float = 0.12
    least: float = 0.004
    rounds: int = 20
    limit_s: float = 0.0


@dataclass(frozen=True)
class Found:
    """What a search found. ``finished``: no step helps any more; else the time or the rounds were over."""

    values: Values
    loss_before: float
    loss: float
    rounds: int
    finished: bool


Watch = Callable[[int, str, float], None]


def search(parameters: list[Parameter], loss: Loss, effort: Effort = Effort(), watch: Watch = lambda *_: None) -> Found:
    """Lower a loss. ``watch`` is called with round, parameter and loss after each parameter."""
    begin = perf_counter()
    values: Values = {p.name: p.start for p in parameters}
    steps = {p.name: effort.step for p in parameters}
    before = best = loss(values)
    rounds = 0

    def late() -> bool:
        return effort.limit_s > 0 and perf_counter() - begin > effort.limit_s

    while rounds < effort.rounds and not late() and any(step >= effort.least for step in steps.values()):
        rounds += 1
        for p in parameters:
            if steps[p.name] < effort.least or late():
                continue
            gained = _try(p, steps[p.name], values, best, loss)
            if gained is None:
                steps[p.name] /= 2
            else:
                best, steps[p.name] = gained, steps[p.name] * 1.3
            watch(rounds, p.name, best)
    return Found(values, before, best, rounds, all(step < effort.least for step in steps.values()))


def _try(p: Parameter, step: float, values: Values, best: float, loss: Loss) -> float | None:
    """Move one parameter up, else down, where that lowers the loss; the lower loss."""
    old = values[p.name]
    for sign in (1, -1):
        there = p.moved(old, math.exp(sign * step))
        if there == old:
            continue
        now = loss(values | {p.name: there})
        if now < best * (1 - 1e-6):
            values[p.name] = there
            return now
    return None


def at_bound(p: Parameter, value: int) -> bool:
    """Whether a parameter has gone as far as it may."""
    return value in (p.low, p.high)


def sensitivity(p: Parameter, values: Mapping[str, int], best: float, loss: Loss, share: float = 0.1) -> float:
    """By how much of itself the loss grows when a parameter is a tenth off (within its bounds): the mean of both directions."""
    around = {p.moved(values[p.name], factor) for factor in (1 + share, 1 - share)} - {values[p.name]}
    losses = [loss({**values, p.name: there}) for there in around]
    return sum(losses) / len(losses) / best - 1 if losses and best > 0 else 0.0
