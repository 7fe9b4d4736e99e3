"""A study: a space, its store and its workers put together; and what a sweep would take, from a probe."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rowline.arch.yamltree import ConfigError
from rowline.sweeps import fingerprint
from rowline.sweeps.driver import Driver, Outcome
from rowline.sweeps.model import Space
from rowline.sweeps.points import Points
from rowline.sweeps.pool import Done, Pool
from rowline.sweeps.sources import DEFAULT_TRIALS
from rowline.sweeps.store import Store, is_url
from rowline.sweeps.trial import INFEASIBLE, expand_point, trial_id

AHEAD = 2
"""Trials on their way for each worker: one runs, one waits."""
_PROBES = 5
_START_S = 3.0


@dataclass(frozen=True)
class Choices:
    """How a sweep runs; none of it changes what it finds.

    Attributes:
        target: folder of the study, or ``postgresql://...``.
        folder: where files beside the store go; the folder of the study where it is one.
        engine: ``dask://host:port``; None: processes on this machine.
        resume: the study must be there, and trials that are kept as failed are run again.
    """

    target: str | Path
    folder: Path
    jobs: int
    timeout_s: float | None = None
    memory_bytes: int | None = None
    engine: str | None = None
    resume: bool = False


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory_bytes(jobs: int) -> int | None:
    """Four fifths of the machine's memory, shared out over the workers; None where it is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 4 // 5 // jobs
    except (ValueError, OSError, AttributeError):
        return None


@contextmanager
def workers(choices: Choices) -> Iterator[Any]:
    """The pool that the choices ask for; no worker is left behind it."""
    if choices.engine is None:
        pool: Any = Pool(choices.jobs, choices.timeout_s, choices.memory_bytes)
    else:
        from rowline.sweeps.dask_pool import DaskPool

        if not choices.engine.startswith("dask://"):
            raise ConfigError([f"--engine {choices.engine}: expected dask://host:port"])
        pool = DaskPool(choices.engine, choices.timeout_s, choices.memory_bytes)
    try:
        yield pool
    finally:
        pool.close(kill=True)


def run_sweep(space: Space, choices: Choices, on_change: Callable[[Outcome], None] = lambda outcome: None) -> Outcome:
    """Run a study, or the rest of it.

    Raises:
        ConfigError: the study was made with other objectives, or ``resume`` finds none.
        StoreError, PoolError: see those.
    """
    fingerprint.forget()
    with opened(space, choices) as store, workers(choices) as pool:
        driver = Driver(space, store, pool, AHEAD * pool.jobs, choices.resume, on_change)
        if not driver.outcome.planned:
            raise ConfigError([f"{space.file}: no point of the space holds its constraints"])
        outcome = driver.run()
        store.export_parquet(choices.folder / "trials.parquet")
    return outcome


@contextmanager
def opened(space: Space, choices: Choices) -> Iterator[Store]:
    """The store of a study, which notes what it is a study of.

    Raises:
        ConfigError: the study was made with other objectives, or ``resume`` finds none.
    """
    is_new = not is_url(choices.target) and not (Path(choices.target) / "study.db").exists()
    if choices.resume and is_new:
        raise ConfigError([f"{choices.target}: no study to resume"])
    choices.folder.mkdir(parents=True, exist_ok=True)
    with Store.open(choices.target, create=not choices.resume) as store:
        about, before = describe(space), store.note("study")
        if before is not None and before.get("objectives") != about["objectives"] and sum(store.counts().values()):
            raise ConfigError([f"{store.name}: made with other objectives than {space.file} has; give another --out"])
        if before != about:
            store.set_note("study", about)
        yield store


def describe(space: Space) -> dict[str, Any]:
    """What a study is of, as plain data: kept as note ``study`` of the store.

    Also where its space came from (``file``, and of ``method`` what is ``changed`` against it) and the code (``provenance``).
    """
    from rowline.rundir import code_provenance

    return {
        "name": space.name,
        "file": space.file,
        "changed": _changed(space),
        "base": space.base.model_dump(mode="json", exclude_none=True),
        "axes": [{"key": a.key, "values": len(a.texts), "when": a.when.text if a.when else None} for a in space.axes],
        "constraints": [c.text for c in space.constraints],
        "objectives": [
            {
                "name": g.name, "stat": g.stat, "expr": g.expr.text if g.expr else None,
                "direction": "max" if g.maximize else "min", "limit": g.limit,
            }
            for g in space.goals
        ],
        "method": space.method.model_dump(mode="json", exclude_none=True),
        "provenance": code_provenance(),
    }  # fmt: skip


def _changed(space: Space) -> dict[str, Any]:
    """Of ``trials`` and ``seed``, what is not as the file has it: options gave it."""
    from rowline.arch.loader import build, expand
    from rowline.arch.yamltree import read_yaml
    from rowline.sweeps.schema import SpaceFile

    try:
        own = build(SpaceFile, expand(read_yaml(Path(space.file)))).method
    except ConfigError:  # it is gone, or another by now
        return {}
    return {key: value for key in ("trials", "seed") if (value := getattr(space.method, key)) != getattr(own, key)}


def dry_run(space: Space, choices: Choices, probe: bool = True) -> dict[str, Any]:
    """What a sweep would take. The probe runs a few points in a worker of its own; the last of them, warm, is what counts.

    Returns:
        ``points`` (of the space, conditions tried), ``points_exact`` (false where they were not tried on all: then an upper
        bound), ``full_grid``, ``axes``, ``trials``; ``probe_s`` (first, cold, and warm), ``estimate_s`` and ``store_bytes``.
    """
    points = Points(space)
    size = points.count()
    asked = space.method.trials or (size.points if space.method.name == "grid" else DEFAULT_TRIALS)
    trials = min(asked, size.points)
    answer: dict[str, Any] = {
        "study": space.name,
        "method": space.method.model_dump(mode="json", exclude_none=True),
        "axes": {axis.key: len(axis.texts) for axis in space.axes},
        "full_grid": points.product,
        "points": size.points,
        "points_exact": size.exact,
        "trials": trials,
        "jobs": choices.jobs,
    }
    if not probe or not trials:
        return answer
    times, written, reason = list[float](), 0, ""
    with Pool(1, choices.timeout_s, choices.memory_bytes) as pool:
        for point in islice(points.quasi_random(space.method.seed), _PROBES):
            config = expand_point(space, point)
            done = _answer(pool, trial_id(config), config)
            if done.value is None or INFEASIBLE in done.value:
                reason = done.reason if done.value is None else done.value[INFEASIBLE]
                continue
            times.append(done.wall_s)
            written = len(str(done.value)) + len(str(config))
            if len(times) == 3:
                break
    if times:
        warm = min(times[1:], default=times[0])
        answer["probe_s"] = {"first": times[0], "warm": warm}
        answer["estimate_s"] = _START_S + times[0] - warm + warm * trials / min(choices.jobs, trials)
        answer["store_bytes"] = written * trials
    else:
        answer["probe_failed"] = reason
    return answer


def _answer(pool: Pool, key: str, config: dict[str, Any]) -> Done:
    pool.submit(key, config)
    while not (ended := pool.poll(0.5)):
        pass
    return ended[0]
