"""A study in a notebook: trials as a table, the front, what the parameters matter, plots; and a trial run again."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rowline import reporting
from rowline.api.display import Plots, card, lines, table
from rowline.arch.yamltree import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from rowline.api.run import Run
    from rowline.reports.drawing import Backend
    from rowline.reports.ranking import Objective, Trial
    from rowline.reports.study_html import StudyReport
    from rowline.sweeps.model import Space


def sweep(
    space: str | Path | Mapping[str, Any],
    *,
    trials: int | None = None,
    jobs: int | None = None,
    timeout_s: float | None = None,
    seed: int | None = None,
    resume: bool = False,
    engine: str | None = None,
    storage: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> "Study":
    """Run a model over a space of design points, as ``rowline sweep`` does; points that the study has are not run again.

    Args:
        space: file of a space, or the same as plain data (docs/sweep.md); then it is written to ``<name>.yaml`` in the folder.
        trials, seed: in place of those of the space.
        jobs: worker processes, by default one a core.
        timeout_s: of one trial.
        resume: the study must be there; its failed trials are tried again.
        engine: ``dask://host:port``.
        storage: ``postgresql://...``, in place of a store in the folder.
        out: folder of the study, by default ``out/<name>``.
        progress: progress on stderr.

    Raises:
        rowline.arch.yamltree.ConfigError: the space is wrong, each problem with file, line and key.
        rowline.sweeps.store.StoreError: the study is damaged, locked or out of space.
    """
    from rowline import terminal_sweep
    from rowline.sweeps import study
    from rowline.sweeps.options import check_options

    check_options(storage, trials=trials, jobs=jobs, timeout=timeout_s, seed=seed)
    if resume and out is not None and not reporting.is_study(str(storage or out)):
        raise ConfigError([f"{storage or out}: no study to resume"])
    loaded, folder = _loaded(space, None if out is None else Path(out), {"trials": trials, "seed": seed})
    n_jobs = jobs or study.cores()
    limit = study.default_memory_bytes(n_jobs)
    choices = study.Choices(storage or folder, folder, n_jobs, timeout_s, limit, engine, resume)
    with terminal_sweep.progress(not progress) as on_change:
        study.run_sweep(loaded, choices, on_change)
    return Study(storage or str(folder))


def _loaded(space: str | Path | Mapping[str, Any], folder: Path | None, method: Mapping[str, Any]) -> "tuple[Space, Path]":
    """A space and the folder of its study. Plain data goes to ``<name>.yaml`` there, once it has been found sound."""
    from rowline import rundir
    from rowline.sweeps.space import load_space

    if not isinstance(space, Mapping):
        loaded = load_space(Path(space), method)
        return loaded, folder or Path("out") / loaded.name
    with TemporaryDirectory() as scratch:
        first = Path(scratch) / f"{folder.name if folder is not None else 'study'}.yaml"
        first.write_text(rundir.to_yaml(dict(space)), encoding="utf-8")
        try:
            name = load_space(first, method).name
        except ConfigError as error:
            raise ConfigError([problem.replace(str(first), "space") for problem in error.problems]) from None
    folder = folder or Path("out") / name
    path = folder / f"{name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    reporting.put(path, rundir.to_yaml(dict(space)))
    return load_space(path, method), folder


class Study:
    """A study: what :func:`rowline.sweeps` gives, or :func:`rowline.load` of a study's folder or address.

    Attributes:
        target: folder, or address in a server.
        plot: :class:`StudyPlots`.
    """

    def __init__(self, target: str):
        self.target = target
        self.plot = StudyPlots(self)

    @cached_property
    def report_data(self) -> "StudyReport":
        """What pages and plots are made from."""
        from rowline.reporting import study_report

        return study_report(self.target)

    @property
    def space(self) -> Mapping[str, Any]:
        """What was asked for: base, axes, constraints, objectives, method."""
        return self.report_data.space

    @property
    def objectives(self) -> "list[Objective]":
        """What was wanted."""
        return list(self.report_data.objectives)

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row a trial (columns: :func:`rowline.reports.frames.trials`)."""
        return self._frame(self.report_data.trials)

    @cached_property
    def pareto(self) -> "pd.DataFrame":
        """The trials that no other beats, the best by the first objective first; with one objective, the best."""
        front = [trial.id for trial in self.report_data.front]
        every = self.trials
        return every.set_index("id").loc[front].reset_index()[list(every.columns)]

    @cached_property
    def importance(self) -> "pd.DataFrame":
        """What each parameter explains of each objective: ``parameter, objective, share, trend``."""
        from rowline.reports.frames import importance

        return importance(self.report_data.influences)

    def _frame(self, trials: "Any") -> "pd.DataFrame":
        from rowline.reports import frames

        report = self.report_data
        names = {str(each.get("name")): str(each["stat"]) for each in report.space.get("objectives") or [] if each.get("stat")}
        return frames.trials(trials, report.objectives, names, report.front)

    def stats(self, number: int) -> dict[str, Any]:
        """The object of ``rowline run --json`` of a trial, with ``area_m2`` where the system states an area.

        Raises:
            ConfigError: no such trial, or it has no result.
        """
        stats = self._record(number).stats
        if not stats:
            raise ConfigError([f"trial {number}: {self._trial(number).reason or 'has no result'}"])
        return stats

    def breakdown(self, key: str) -> "pd.DataFrame":
        """One part of the stats of every complete trial, a column an entry, such as ``energy_breakdown_j``.

        Raises:
            ConfigError: the stats have no such part.
        """
        from rowline.reports.frames import parts

        found: dict[int, Mapping[str, Any]] = {}
        with self._store() as store:
            for record in store.records():
                if record.state == "complete":
                    part = record.stats.get(key)
                    if not isinstance(part, dict):
                        raise ConfigError([f"breakdown {key!r}: no part of the stats, such as energy_breakdown_j"])
                    found[record.number] = part
        return parts(found)

    def run(self, number: int, progress: bool = False) -> "Run":
        """A trial run again, for its operations, commands and timeline.

        Raises:
            ConfigError: no such trial, or its configuration makes no sense.
        """
        from rowline.api.run import run
        from rowline.experiment import OF_MODEL, RunConfig

        config = RunConfig.model_validate(self._record(number).config["run"])
        gpu = config.gpu.model_dump(exclude_none=True) if config.gpu else {}
        changes = config.model.model_dump(exclude_none=True) if config.model else {}
        model = {f"{OF_MODEL}{key}": str(value) for key, value in changes.items()}
        return run(
            arch=config.arch, workload=config.workload, prompt=config.prompt_tokens, tokens=config.generated_tokens,
            overrides=config.overrides | model, progress=progress, **gpu,
            **({} if gpu else {"lm_head": config.mapping.lm_head_on_pim, "vectors_per_row": config.mapping.vectors_per_row}),
        )  # fmt: skip

    def report(self, out: str | Path) -> Path:
        """Write the study as .html, .md or .csv."""
        return reporting.write(self.target, Path(out))

    def _trial(self, number: int) -> "Trial":
        for trial in self.report_data.trials:
            if trial.number == number:
                return trial
        raise ConfigError([f"trial {number}: the study has {len(self.report_data.trials)}, from 0"])

    def _record(self, number: int) -> Any:
        with self._store() as store:
            record = store.get(self._trial(number).id)
        assert record is not None
        return record

    def _store(self) -> Any:
        from rowline.sweeps.store import Store

        return Store.open(self.target, create=False)

    def _figures(self) -> list[tuple[str, str]]:
        from rowline.reports.study_html import cards

        return cards(self.report_data)

    def __len__(self) -> int:
        return len(self.report_data.trials)

    def __repr__(self) -> str:
        return lines(f"Study {self.report_data.name}", self._figures())

    def _repr_html_(self) -> str:
        return card(f"Study {self.report_data.name}", self._figures()) + table(self.pareto, 10)


class StudyPlots(Plots):
    """Plots of a study."""

    def __init__(self, study: Study):
        self._study = study

    def _drawn(self) -> "list[Trial]":
        from rowline.reports import figures_study

        report = self._study.report_data
        drawn = figures_study.drawn(report.trials, report.front)
        if not drawn:
            raise ConfigError([f"{self._study.target}: no complete trial to draw"])
        return drawn

    def _objective(self, name: str | None, default: int) -> "Objective":
        found = self._study.objectives
        for objective in found:
            if objective.name == name:
                return objective
        if name is not None or default >= len(found):
            names = ", ".join(o.name for o in found)
            raise ConfigError([f"objective {name or default + 1!r}: the study has {names}"])
        return found[default]

    def pareto(self, x: str | None = None, y: str | None = None, backend: "Backend" = "plotly") -> Any:
        """Two objectives against each other, with the front; the first two, if left out."""
        from rowline.reports import figures_study

        across, up = self._objective(x, 0), self._objective(y, 1)
        plot = figures_study.pareto("pareto", self._drawn(), self._study.report_data.front, across, up)
        return self._draw(plot, f"{up.name} against {across.name}", backend)

    def history(self, objective: str | None = None, backend: "Backend" = "plotly") -> Any:
        """An objective, trial by trial, and the best so far."""
        from rowline.reports import figures_study

        chosen = self._objective(objective, 0)
        return self._draw(figures_study.history("history", self._drawn(), chosen), f"{chosen.name}, trial by trial", backend)

    def parallel(self, backend: "Backend" = "plotly") -> Any:
        """A line a trial through an axis a parameter and objective."""
        from rowline.reports import figures_study

        report = self._study.report_data
        plot = figures_study.parallel(self._drawn(), report.front, report.objectives)
        return self._draw(plot, "parallel coordinates", backend)

    def importance(self, backend: "Backend" = "plotly") -> Any:
        """What each parameter explains of each objective."""
        from rowline.reports import figures_study

        report = self._study.report_data
        if not report.influences:
            raise ConfigError(["importance: needs four complete trials or more"])
        return self._draw(figures_study.importance(report.influences, report.objectives), "importance of the parameters", backend)

    def breakdown(self, key: str = "energy_breakdown_j", backend: "Backend" = "plotly") -> Any:
        """The front's trials taken apart: a part of their stats in ms, mJ or counts."""
        from rowline.reports import figures_study
        from rowline.reports.study_html import BREAKDOWNS, parts_of

        keys = {identity: key for key, identity, *_ in BREAKDOWNS}
        known = {keys[identity]: (unit, parts) for identity, _, unit, parts in parts_of(self._study.report_data)}
        if key not in known:
            raise ConfigError([f"breakdown {key!r}: the front's trials have {', '.join(known)}"])
        unit, parts = known[key]
        return self._draw(figures_study.stacked("parts", parts, unit), key, backend)
