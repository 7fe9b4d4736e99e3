"""The points of a space, one at a time: never a list of them, however many there are.

A point holds the axes that are there, in their order, with their values as text. The sequence of points depends on space and seed
alone, so that any number of workers, and a run that was interrupted, answers the same ones.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from rowline.arch.yamltree import ConfigError, printable
from rowline.sweeps.grammar import Expression, ExpressionError
from rowline.sweeps.keys import KeyProblem
from rowline.sweeps.model import AxisValues, Space
from rowline.sweeps.quantities import Value, typed

Point = dict[str, str]
COUNT_LIMIT = 5_000_000
"""Conditions are evaluated for at most so many points when points are counted."""
_SHUFFLE_LIMIT = 1 << 20
_MISSES = 100_000
_CACHED_VALUES = 10_000


@dataclass(frozen=True)
class Size:
    """How many points a space has; ``exact`` is false where conditions were not tried on all, then it is an upper bound."""

    points: int
    exact: bool


class Points:
    """Enumerates a space."""

    def __init__(self, space: Space):
        self.space = space
        self.sizes = [len(axis.texts) for axis in space.axes]
        index = space.axis_index
        self._due: list[list[tuple[int, Expression]]] = [[] for _ in range(len(space.axes) + 1)]  # by the last axis they name
        for number, constraint in enumerate(space.constraints):
            last = max((index[name] for name in constraint.names if name in index), default=-1)
            self._due[last + 1].append((number, constraint))
        decided = [i for i, due in enumerate(self._due) if due] + [i + 1 for i, axis in enumerate(space.axes) if axis.when]
        self._free_from = max(decided, default=0)  # axes from here on are all there, in all combinations
        self._names = {n for e in (*space.constraints, *(a.when for a in space.axes if a.when)) for n in e.names}
        self._texts: list[Sequence[str]] = [list(a.texts) if len(a.texts) <= _CACHED_VALUES else a.texts for a in space.axes]
        self._typed = [_typer(texts) for texts in self._texts]

    @property
    def product(self) -> int:
        """Points of the full grid, conditions aside."""
        return prod(self.sizes)

    def count(self, limit: int = COUNT_LIMIT, enough: int | None = None) -> Size:
        """How many points there are; once there are ``enough``, no more are looked for."""
        rest = prod(self.sizes[self._free_from :])
        found = walked = 0
        for _ in self._walk(0, {}, self._start(), self._free_from):
            found, walked = found + rest, walked + 1
            if walked >= limit:
                return Size(self.product, False)
            if enough is not None and found >= enough:
                return Size(found, False)
        return Size(found, True)

    def grid(self) -> Iterator[Point]:
        """All points, the last axis fastest."""
        return self._walk(0, {}, self._start(), len(self.sizes))

    def shuffled(self, seed: int) -> Iterator[Point]:
        """All points of a space in random order; of a huge one, random points without repetition, until they are hard to find."""
        draw, total = random.Random(seed), self.product
        if total <= _SHUFFLE_LIMIT:
            order = list(range(total))
            draw.shuffle(order)
            return self._distinct(iter(order), total)
        return self._distinct(iter(lambda: draw.randrange(total), -1), _MISSES)

    def quasi_random(self, seed: int) -> Iterator[Point]:
        """Points of a Halton sequence whose digits are permuted by ``seed``, without repetition: even in every axis."""
        return self._distinct(self._halton(seed), min(_MISSES, 1000 + 20 * self.product))

    def _halton(self, seed: int) -> Iterator[int]:
        draw, bases = random.Random(seed), _primes(len(self.sizes))
        orders: list[list[int]] = []
        for base in bases:
            order = list(range(1, base))
            draw.shuffle(order)
            orders.append([0, *order])
        number = 0
        while True:
            number += 1
            flat = 0
            for size, base, order in zip(self.sizes, bases, orders, strict=True):
                above, below, rest = 0, 1, number
                while rest:
                    rest, digit = divmod(rest, base)
                    above, below = above * base + order[digit], below * base
                flat = flat * size + above * size // below
            yield flat

    def _distinct(self, numbers: Iterator[int], limit: int) -> Iterator[Point]:
        """The points at these numbers of the full grid; those that are none, or came before, left out. Ends with the
        numbers, or when more than ``limit`` in a row gave nothing."""
        seen: set[tuple[int, ...]] = set()
        misses = 0
        for flat in numbers:
            places = self._places(flat)
            point = self.build(places.__getitem__)
            key = tuple(p if axis.key in point else -1 for p, axis in zip(places, self.space.axes, strict=True)) if point else ()
            if point is None or key in seen:
                misses += 1
                if misses > limit:
                    return
                continue
            misses = 0
            seen.add(key)
            yield point

    def _places(self, flat: int) -> list[int]:
        places: list[int] = []
        for size in reversed(self.sizes):
            flat, place = divmod(flat, size)
            places.append(place)
        return places[::-1]

    def build(self, choose: Callable[[int], int]) -> Point | None:
        """The point whose axes, as far as they are there, have the values at the places that ``choose`` gives them; None where
        a constraint does not hold."""
        point, env = Point(), self._start()
        if not self._holds(0, env):
            return None
        for i, axis in enumerate(self.space.axes):
            if self._is_there(axis, env):
                place = choose(i)
                point[axis.key], env[axis.key] = self._texts[i][place], self._typed[i](place)
                if axis.key == "arch":
                    env.arch = point["arch"]
            if not self._holds(i + 1, env):
                return None
        return point

    def _start(self) -> "_Env":
        return _Env(self.space)

    def _walk(self, depth: int, point: Point, env: "_Env", until: int) -> Iterator[Point]:
        if not self._holds(depth, env):
            return
        if depth == until:
            yield dict(point)
            return
        axis, arch = self.space.axes[depth], env.arch
        if not self._is_there(axis, env):
            yield from self._walk(depth + 1, point, env, until)
            return
        needed = axis.key in self._names
        for place in range(self.sizes[depth]):
            point[axis.key] = self._texts[depth][place]
            if needed:
                env[axis.key] = self._typed[depth](place)
            if axis.key == "arch":
                env.arch = point["arch"]
            yield from self._walk(depth + 1, point, env, until)
        del point[axis.key]
        env.pop(axis.key, None)
        env.arch = arch

    def _is_there(self, axis: AxisValues, env: "_Env") -> bool:
        return axis.when is None or self._evaluate(axis.when, env, f"when of {axis.key}")

    def _holds(self, depth: int, env: "_Env") -> bool:
        return all(self._evaluate(e, env, f"constraints.{number}") for number, e in self._due[depth])

    def _evaluate(self, expression: Expression, env: "_Env", what: str) -> bool:
        try:
            return bool(expression.evaluate(env))
        except (ExpressionError, KeyProblem) as error:
            shown = ", ".join(f"{k} {v}" for k, v in env.items()) or "the base"
            place = self.space.places.get(what, f"{self.space.file}  {what}")
            raise ConfigError([f"{place}: {error} at {printable(shown, 200)}"]) from None


class _Env(dict[str, Value]):
    """Values by name: of the axes that are there, else of base and hardware."""

    def __init__(self, space: Space):
        super().__init__()
        self.arch, self._fixed = space.base.arch, space.fixed
        if self.arch not in space.fixed.archs:
            self.arch = space.fixed.archs[0]

    def __missing__(self, key: str) -> Value:
        found = self._fixed.typed(self.arch, key)
        if found is None:
            raise KeyProblem(f"{key} has no value with {self.arch}")
        return found[0]


def _typer(texts: Sequence[str]) -> Callable[[int], Value]:
    """Place -> value of the text there; the latest are remembered."""

    @lru_cache(_CACHED_VALUES)
    def value(place: int) -> Value:
        return typed(texts[place])[0]

    return value


def _primes(count: int) -> list[int]:
    primes: list[int] = []
    number = 2
    while len(primes) < count:
        if all(number % p for p in primes):
            primes.append(number)
        number += 1
    return primes


def numbers(point: Mapping[str, str]) -> dict[str, Any]:
    """A point as results show it: plain numbers as numbers, truth values as such, all else as text."""
    return {key: _plain(text) for key, text in point.items()}


def _plain(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if text.removeprefix("-").isdecimal() and len(text) < 18:
        return int(text)
    try:
        return float(text) if set(text) <= set("+-.0123456789eE") else text
    except ValueError:
        return text
