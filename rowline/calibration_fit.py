"""Numbers of specifications fitted to rows of kernel logs.

Rows are simulated in processes; :mod:`rowline.sim.gpu.fit` finds the values.
"""

import math
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Literal

import rowline.sim.gpu.fit_keys as fk
from rowline.arch.values import Sourced
from rowline.arch.yamltree import ConfigError
from rowline.gpu_validation import start_worker
from rowline.sim.gpu.fit import NO_EFFECT, Effort, Parameter, at_bound, search, sensitivity
from rowline.sim.gpu.fit_rows import Change, RowGroup, device_with, predicted_us, relative_errors

Status = Literal["moved", "kept", "at bound", "not identified"]
"""kept: moving it does not lower the loss by a thousandth of itself. All but moved ones end where they began."""
DROPPED = ("at bound", "not identified")
_groups: tuple[RowGroup, ...] = ()


@dataclass(frozen=True)
class SharedKey:
    """Keys that have one value. ``start``: that of the first, in the specification it stands in."""

    keys: tuple[fk.Key, ...]
    start: Sourced
    parameter: Parameter
    absent: Sourced | None
    """What stands for a number that is not there; None: it is taken out, see ``removable``."""
    removable: bool

    @property
    def name(self) -> str:
        return " = ".join(map(str, self.keys))


@dataclass(frozen=True)
class Outcome:
    """What became of a key. ``without``: the loss (with a fit's effort) with the number left out, None where it cannot be.

    ``sensitivity``: by how much of itself the loss grows with the value a tenth off, the mean of both directions.
    """

    key: SharedKey
    end: Sourced
    status: Status
    without: float | None
    sensitivity: float

    @property
    def decided(self) -> bool:
        """Whether the rows decide the value."""
        return self.status not in DROPPED


@dataclass(frozen=True)
class FitResult:
    """A fit: losses before and after, mean absolute relative error of each group before, after, and with full effort."""

    outcomes: tuple[Outcome, ...]
    before: float
    after: float
    groups_before: tuple[float, ...]
    groups_after: tuple[float, ...]
    groups_full: tuple[float, ...]
    finished: bool
    wall_s: float


def shared_key(names: Sequence[fk.Key], stack_of: Mapping[str, str]) -> SharedKey:
    """Keys that have one value, ready for a search. ``stack_of``: a stack preset for each GPU preset.

    Raises:
        ConfigError: no such numbers, or numbers of different kinds.
    """
    first = names[0]
    spec = fk.load(first.scope, first.preset)
    device = device_with(first.preset, stack_of[first.preset], ()) if first.scope == "gpu" and first.preset in stack_of else None
    start = fk.start_of(spec, first.path, device)
    kinds = {fk.value_type(fk.load(key.scope, key.preset), key.path) for key in names}
    if len(kinds) > 1:
        raise ConfigError([f"{' = '.join(map(str, names))}: numbers of different kinds"])
    low, high = fk.bounds(start, first.path, spec)
    name = " = ".join(map(str, names))
    parameter = Parameter(name, start.value, low, high, partial(fk.rounded, start))
    removable = all(fk.optional(fk.load(key.scope, key.preset), key.path) for key in names)
    absent = None if removable else fk.neutral(spec, first.path)
    return SharedKey(tuple(names), start, parameter, absent, removable)


class Scorer:
    """Simulates groups of rows with changed numbers; one evaluation of a group is remembered by what concerns it."""

    def __init__(self, groups: Sequence[RowGroup], keys: Sequence[SharedKey], jobs: int, pool: ProcessPoolExecutor | None):
        self.groups, self.keys, self.jobs, self.pool = tuple(groups), tuple(keys), jobs, pool
        self._known: dict[tuple[int, tuple[Change, ...]], float] = {}
        self._concerns = [[self._paths(key, group) for key in keys] for group in self.groups]

    @staticmethod
    def _paths(key: SharedKey, group: RowGroup) -> list[tuple[str, str]]:
        """Scope and dotted name of those of the keys that a group's GPU or stack takes."""
        of = {"gpu": group.gpu, "stack": group.stack}
        return [(k.scope, k.path) for k in key.keys if of[k.scope] == k.preset or fk.holds_for(k, of[k.scope])]

    def changes(self, index: int, values: Mapping[str, int | None]) -> tuple[Change, ...]:
        """The numbers that take others' places in a group; None leaves one out."""
        found: list[Change] = []
        for key, paths in zip(self.keys, self._concerns[index], strict=True):
            value = values[key.name]
            found += [(*path, key.absent if value is None else fk.valued(key.start, value)) for path in paths]
        return tuple(found)

    def losses(self, values: Mapping[str, int | None], fast: bool = True) -> list[float]:
        """Mean absolute relative error of each group."""
        wanted = [(i, self.changes(i, values)) for i in range(len(self.groups))]
        new = [each for each in wanted if not fast or each not in self._known]
        found = dict(zip(new, self._evaluate(new, fast), strict=True))
        if fast:
            self._known |= found
        return [found[each] if each in found else self._known[each] for each in wanted]

    def loss(self, values: Mapping[str, int | None]) -> float:
        """The mean over the groups."""
        each = self.losses(values)
        return sum(each) / len(each)

    def _evaluate(self, wanted: list[tuple[int, tuple[Change, ...]]], fast: bool) -> list[float]:
        """Sums over parts of a group, one part a process."""
        tasks = [(i, changes, part, self.jobs, fast) for i, changes in wanted for part in range(self.jobs)]
        if self.pool is None:
            sums = [_error_sum(self.groups, *task) for task in tasks]
        else:
            try:
                sums = list(self.pool.map(_in_worker, tasks))
            except BrokenProcessPool:
                raise ConfigError(["a process that simulated kernels was killed (out of memory?): try fewer --jobs"]) from None
        per = [sum(sums[n * self.jobs : (n + 1) * self.jobs]) for n in range(len(wanted))]
        return [total / len(self.groups[i].rows) for total, (i, _) in zip(per, wanted, strict=True)]


def _error_sum(
    groups: Sequence[RowGroup], index: int, changes: tuple[Change, ...], part: int, parts: int, fast: bool
) -> float:
    """Sum of absolute relative errors of a part of a group; a row that no longer runs counts as one."""
    group = groups[index].part(part, parts)
    errors = relative_errors(group, predicted_us(group, changes, fast))
    return float(abs(errors[errors == errors]).sum() + (errors != errors).sum())


def _in_worker(task: tuple[int, tuple[Change, ...], int, int, bool]) -> float:
    return _error_sum(_groups, *task)


def _start(groups: tuple[RowGroup, ...]) -> None:
    global _groups
    _groups = groups
    start_worker()


@contextmanager
def scorer(groups: Sequence[RowGroup], keys: Sequence[SharedKey], jobs: int) -> Iterator[Scorer]:
    """A scorer with its processes (none for one job)."""
    if jobs <= 1:
        yield Scorer(groups, keys, 1, None)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(tuple(groups),))
    try:
        yield Scorer(groups, keys, jobs, pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def fit(
    groups: Sequence[RowGroup], keys: Sequence[SharedKey], effort: Effort, jobs: int, quiet: bool = False, prior: float = 0.0
) -> FitResult:
    """Fit the keys; put back those that the rows do not decide, and fit the others once more where that changed anything.

    ``effort.limit_s`` is for the searches; what each key is worth is asked afterwards. ``prior``: what the search adds to the
    loss for each key, times the square of the logarithm of end over start: few rows shall not carry a number far away.
    """
    begin = perf_counter()
    with scorer(groups, keys, jobs) as score:
        values = {key.name: key.parameter.start for key in keys}
        groups_before, before = score.losses(values), score.loss(values)
        outcomes: dict[str, Outcome] = {}
        free, finished = list(keys), True
        for spare in (effort, Effort(effort.step / 2, effort.least, effort.rounds, effort.limit_s / 4)):
            values, finished = _search(score, free, values, spare, quiet, prior)
            outcomes |= {key.name: _outcome(score, key, values) for key in free}
            back = [key for key in free if outcomes[key.name].status != "moved" and values[key.name] != key.parameter.start]
            values |= {key.name: key.parameter.start for key in back}
            free = [key for key in free if key not in back]
            if not back:
                break
        after, full = score.losses(values), score.losses(values, fast=False)
    ended = tuple(replace(outcomes[key.name], end=fk.valued(key.start, values[key.name])) for key in keys)
    return FitResult(
        ended, before, sum(after) / len(after), tuple(groups_before), tuple(after), tuple(full), finished, perf_counter() - begin
    )


def _search(
    score: Scorer, keys: list[SharedKey], values: dict[str, int], effort: Effort, quiet: bool, prior: float
) -> tuple[dict[str, int], bool]:
    """Search over some keys, the others as they are: the values of all, and whether no step helps any more."""
    moving = [replace(key.parameter, start=values[key.name]) for key in keys]
    begin = perf_counter()

    def watch(number: int, name: str, loss: float) -> None:
        if not quiet:
            print(f"round {number}  {perf_counter() - begin:5.0f} s  loss {100 * loss:.3f} %  {name}", file=sys.stderr)

    def loss(some: Mapping[str, int]) -> float:
        away = sum(math.log(some[key.name] / key.parameter.start) ** 2 for key in keys) if prior else 0.0
        return score.loss({**values, **some}) + prior * away

    found = search(moving, loss, effort, watch)
    return values | found.values, found.finished


def _outcome(score: Scorer, key: SharedKey, values: dict[str, int]) -> Outcome:
    """What a key is worth where the search ended."""
    best, value = score.loss(values), values[key.name]
    without = score.loss({**values, key.name: None}) if key.removable or key.absent is not None else None
    off = sensitivity(key.parameter, values, best, score.loss)
    status: Status = "kept" if value == key.parameter.start else "moved"
    if at_bound(key.parameter, value):
        status = "at bound"
    elif off < NO_EFFECT:
        status = "not identified"
    elif status == "moved" and score.loss({**values, key.name: key.parameter.start}) < best * (1 + NO_EFFECT):
        status = "kept"
    return Outcome(key, fk.valued(key.start, value), status, without, off)
