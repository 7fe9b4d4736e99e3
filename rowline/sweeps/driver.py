"""The loop of a sweep: take points from a source, answer them from the store or have workers run them, keep what comes back.

The numbers of trials follow the source's order, so that the table of a study is the same however many workers there were and
however often it was interrupted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, Protocol

from rowline.arch.yamltree import ConfigError
from rowline.sweeps.front import Front, Verdict, best_of, cost, judge
from rowline.sweeps.model import Space
from rowline.sweeps.points import Point, Points, numbers
from rowline.sweeps.pool import Done
from rowline.sweeps.sources import Source, planned_trials, source_of
from rowline.sweeps.store import Record, Store
from rowline.sweeps.trial import INFEASIBLE, expand_point, trial_id

POLL_S, ELSEWHERE_S = 0.2, 0.5


class Workers(Protocol):
    """What the driver needs of :class:`rowline.sweeps.pool.Pool`."""

    def submit(self, key: str, payload: Any) -> None:
        """Have a trial run."""
        ...

    def poll(self, wait_s: float = 0.0) -> list[Done]:
        """Trials that ended; waits at most so long for one."""
        ...


@dataclass(frozen=True)
class Trial:
    """A trial as the table shows it."""

    id: str
    number: int
    params: dict[str, Any]
    objectives: dict[str, float]
    state: Literal["complete", "failed", "infeasible"]
    reason: str | None
    cached: bool


@dataclass
class Outcome:
    """What a sweep has so far.

    Attributes:
        planned: how many trials there will be at most.
        vectors: of complete trials, by id: objectives to be made small.
    """

    space: Space
    planned: int
    trials: list[Trial] = field(default_factory=list)
    front: Front = field(default_factory=Front)
    vectors: dict[str, tuple[float, ...]] = field(default_factory=dict)
    began: float = field(default_factory=monotonic)
    cached: int = 0
    failed: int = 0
    run_here: int = 0

    @property
    def wall_s(self) -> float:
        """Seconds since the sweep began."""
        return monotonic() - self.began

    @property
    def eta_s(self) -> float | None:
        """Seconds that are left, at the pace of the trials run so far; None before the first."""
        if not self.run_here:
            return None
        return self.wall_s / self.run_here * (self.planned - len(self.trials))

    def best(self) -> list[Trial]:
        """For each objective the trial that is best in it."""
        by_id = {t.id: t for t in self.trials}
        return [by_id[key] for key in best_of(self.vectors)]

    def add(self, trial: Trial) -> None:
        """Take a trial in."""
        self.trials.append(trial)
        self.failed += trial.state == "failed"
        self.cached += trial.cached and trial.state != "failed"
        if trial.state == "complete":
            self.vectors[trial.id] = vector = cost(self.space.goals, trial.objectives)
            self.front.add(trial.id, vector)

    def as_json(self) -> dict[str, Any]:
        """The object of ``rowline sweep --json``."""
        table = sorted(self.trials, key=lambda t: t.number)
        done = sum(t.state != "failed" and not t.cached for t in table)
        kept = ("id", "number", "params", "objectives", "state", "reason")
        return {
            "study": self.space.name,
            "trials": [{name: getattr(t, name) for name in kept} for t in table],
            "pareto": [t.id for t in table if t.id in self.front.members],
            "counts": {
                "done": done, "cached": self.cached, "failed": self.failed,
                "infeasible": sum(t.state == "infeasible" for t in table),
            },
            "wall_s": self.wall_s,
        }  # fmt: skip


@dataclass
class _Open:
    """A trial that has no answer yet."""

    number: int
    point: Point
    config: dict[str, Any]


class Driver:
    """Runs one sweep.

    Args:
        window: how many trials may be on their way at once.
        retry_failed: run trials again that are kept as failed.
        on_change: called with the outcome so far whenever something came in, and every 0.2 s.
    """

    def __init__(
        self,
        space: Space,
        store: Store,
        workers: Workers,
        window: int,
        retry_failed: bool = False,
        on_change: Callable[[Outcome], None] = lambda outcome: None,
    ):
        self.space, self.store, self.workers, self.window = space, store, workers, window
        self.retry_failed, self.on_change = retry_failed, on_change
        points = Points(space)
        self.source: Source = source_of(space, points)
        self.outcome = Outcome(space, planned_trials(space, points))
        self._open: dict[str, _Open] = {}
        self._elsewhere: set[str] = set()
        self._next_number, self._looked = 0, 0.0

    def run(self) -> Outcome:
        """Until every trial has an answer.

        Raises:
            ConfigError: an objective asks for what the stats do not have.
            StoreError, PoolError: see those.
        """
        while True:
            self._fill()
            if not self._open:
                if self.source.finished:
                    return self.outcome
                continue
            for done in self.workers.poll(POLL_S):
                self._take_in(done)
            if self._elsewhere and monotonic() - self._looked > ELSEWHERE_S:
                self._look_elsewhere()
            self.on_change(self.outcome)

    def _fill(self) -> None:
        """Take points until enough are on their way; those that the store has are answered at once."""
        while len(self._open) < self.window and not self.source.finished:
            fresh: list[str] = []
            while len(self._open) < self.window and (point := self.source.next()) is not None:
                config = expand_point(self.space, point)
                key, number = trial_id(config), self._next_number
                self._next_number += 1
                record = self.store.get(key)
                if record is not None and not (self.retry_failed and record.state == "failed"):
                    self._answer(key, number, point, record)
                    continue
                self._open[key] = _Open(number, point, config)
                fresh.append(key)
            if not fresh:
                return
            self._claim(fresh)

    def _claim(self, keys: list[str]) -> None:
        claim = self.store.claim(keys, retry_failed=self.retry_failed)
        for key in claim.mine:
            self._elsewhere.discard(key)
            self.workers.submit(key, self._open[key].config)
        self._elsewhere |= set(claim.elsewhere)
        for key in claim.done:
            self._elsewhere.discard(key)
            record = self.store.get(key)
            assert record is not None
            waiting = self._open.pop(key)
            self._answer(key, waiting.number, waiting.point, record)

    def _look_elsewhere(self) -> None:
        """What another process had in work may be done now, or the process may be gone."""
        self._looked = monotonic()
        self._claim(sorted(self._elsewhere, key=lambda key: self._open[key].number))

    def _answer(self, key: str, number: int, point: Point, record: Record) -> None:
        """An answer of the store, held against the limits as they are now."""
        verdict = Verdict(record.state, record.objectives, record.reason)
        if record.stats:
            verdict = judge(self.space, point, record.stats)
        self._tell(key, number, point, verdict, cached=True)

    def _take_in(self, done: Done) -> None:
        """A worker's answer, kept before it counts."""
        trial = self._open[done.key]
        stats: Mapping[str, Any] = done.value or {}
        if done.value is None:
            ended = f"{done.reason or 'no answer'}" + (f" (signal {done.signal})" if done.signal is not None else "")
            verdict = Verdict("failed", {}, ended)
        elif INFEASIBLE in stats:
            verdict, stats = Verdict("infeasible", {}, str(stats[INFEASIBLE])), {}
        else:
            verdict = judge(self.space, trial.point, stats)
            self._check_objectives(verdict)
        params = numbers(trial.point)
        self.store.put(Record(
            done.key, trial.number, params, trial.config, verdict.objectives, dict(stats), verdict.state, verdict.reason,
            done.wall_s, done.attempts,
        ))  # fmt: skip
        self._open.pop(done.key)
        self.outcome.run_here += 1
        self._tell(done.key, trial.number, trial.point, verdict, cached=False)

    def _check_objectives(self, verdict: Verdict) -> None:
        """The first result shows whether the objectives exist; without them every trial would be in vain."""
        if verdict.missing is not None and not self.outcome.vectors and "arch" not in self.space.axis_index:
            raise ConfigError([f"{verdict.missing.place}: {verdict.reason}"])

    def _tell(self, key: str, number: int, point: Point, verdict: Verdict, cached: bool) -> None:
        objectives = verdict.objectives
        self.outcome.add(Trial(key, number, numbers(point), objectives, verdict.state, verdict.reason, cached))
        self.source.tell(number, verdict)
