"""Where points come from: an enumeration, or an Optuna sampler that learns from the answers.

A sampler proposes ``batch`` points before any of them is told, and is told in the order of proposal: what it proposes depends
on space and seed alone, not on the number of workers, and a study that is taken up again replays it from the store.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from rowline.sweeps.front import Verdict, cost
from rowline.sweeps.model import Space
from rowline.sweeps.points import Point, Points

if TYPE_CHECKING:
    import optuna

DEFAULT_TRIALS = 100
_DULL_BATCHES = 3


class Source(Protocol):
    """Hands out points; the n-th one handed out is trial n."""

    finished: bool

    def next(self) -> Point | None:
        """The next point; None if there is none, or none before more answers are told."""
        ...

    def tell(self, number: int, verdict: Verdict) -> None:
        """The answer to trial ``number``."""
        ...


def planned_trials(space: Space, points: Points) -> int:
    """How many trials there will be at most."""
    asked = space.method.trials
    if asked is None and space.method.name != "grid":
        asked = DEFAULT_TRIALS
    available = points.count(enough=asked).points
    return available if asked is None else min(asked, available)


def source_of(space: Space, points: Points) -> Source:
    """The source that a space's method names."""
    method = space.method
    if method.name in ("nsga2", "tpe"):
        return Sampler(space, points)
    if method.name == "grid":
        return Enumeration(points.grid(), method.trials)
    order = points.shuffled(method.seed) if method.name == "random" else points.quasi_random(method.seed)
    return Enumeration(order, method.trials or DEFAULT_TRIALS)


class Enumeration:
    """Points that do not depend on answers."""

    def __init__(self, points: Iterator[Point], trials: int | None):
        self._points, self.finished = islice(points, trials), False

    def next(self) -> Point | None:
        """See the protocol."""
        point = next(self._points, None)
        self.finished = point is None
        return point

    def tell(self, number: int, verdict: Verdict) -> None:
        """Answers change nothing."""


class Sampler:
    """NSGA-II or TPE of Optuna, through ask and tell. Each point is handed out once; what it proposes again is told again."""

    def __init__(self, space: Space, points: Points):
        self._space, self._points = space, points
        self._study, self._left = _study(space), space.method.trials or DEFAULT_TRIALS
        self._numbers: dict[tuple[tuple[str, str], ...], int] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._batch: list[tuple[optuna.Trial, int]] = []
        self._fresh: list[Point] = []
        self._unseen = points.shuffled(space.method.seed)
        self.finished = False

    def next(self) -> Point | None:
        """See the protocol."""
        if not self._fresh:
            if any(number not in self._verdicts for _, number in self._batch):
                return None
            self._tell_batch()
            dull = 0
            while self._left and not self._fresh and dull < _DULL_BATCHES:
                self._ask_batch()
                dull += 1
                if not self._fresh:
                    self._tell_batch()
            if self._left and not self._fresh:
                self._ask_unseen()
        if self._fresh:
            return self._fresh.pop(0)
        self.finished = True
        return None

    def tell(self, number: int, verdict: Verdict) -> None:
        """See the protocol."""
        self._verdicts[number] = verdict

    def _ask_batch(self) -> None:
        for _ in range(self._space.method.batch):
            self._ask()

    def _ask_unseen(self) -> None:
        """The sampler is content with what it has seen: a random point that it has not seen, if there is one."""
        for point in self._unseen:
            if tuple(point.items()) not in self._numbers:
                places = {a.key: a.texts.index(point[a.key]) for a in self._space.axes if a.key in point}
                self._study.enqueue_trial(places)
                self._ask()
                return

    def _ask(self) -> None:
        trial = self._study.ask()
        point = self._points.build(lambda i: self._suggest(trial, i))
        key = tuple((point or {}).items())
        if point is None or (key not in self._numbers and not self._left):
            _fail(self._study, trial)
            return
        if key not in self._numbers:
            self._left -= 1
            self._numbers[key] = len(self._numbers)
            self._fresh.append(point)
        self._batch.append((trial, self._numbers[key]))

    def _suggest(self, trial: "optuna.Trial", index: int) -> int:
        axis, size = self._space.axes[index], self._points.sizes[index]
        if axis.ordered:
            return trial.suggest_int(axis.key, 0, size - 1)
        return trial.suggest_categorical(axis.key, list(range(size)))

    def _tell_batch(self) -> None:
        for trial, number in self._batch:
            verdict = self._verdicts[number]
            if len(verdict.objectives) < len(self._space.goals):
                _fail(self._study, trial)
                continue
            for goal, excess in zip(self._space.goals, verdict.excess, strict=True):
                if goal.limit is not None:
                    trial.set_constraint(goal.name, excess)
            self._study.tell(trial, cost(self._space.goals, verdict.objectives))
        self._batch.clear()


def _fail(study: "optuna.Study", trial: "optuna.Trial") -> None:
    from optuna.trial import TrialState

    study.tell(trial, state=TrialState.FAIL)


def _study(space: Space) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if space.method.name == "nsga2":
        sampler = optuna.samplers.NSGAIISampler(population_size=space.method.batch, seed=space.method.seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=space.method.seed)
    return optuna.create_study(sampler=sampler, directions=[optuna.study.StudyDirection.MINIMIZE] * len(space.goals))
