"""A run folder or a study -> what :mod:`rowline.reports` shows of it."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from rowline.arch.yamltree import ConfigError
from rowline.experiment import RunConfig
from rowline.runfiles import RunFiles, command_of, is_run, load_run, located, read_ops

if TYPE_CHECKING:
    from rowline.reports.ceilings import Ceilings
    from rowline.reports.run_html import RunReport
    from rowline.reports.study_html import Objective, StudyReport

Form = Literal["html", "md", "csv"]
SUFFIXES: dict[str, Form] = {"html": "html", "htm": "html", "md": "md", "markdown": "md", "csv": "csv"}
STUDY = "study.db"
STUDY_NOTE = "study"
"""Under which a study keeps what it is of (:func:`rowline.sweeps.study.describe`)."""


def form_of(path: Path | None, asked: Form | None) -> Form:
    """The format asked for, or what the file's name says, or HTML.

    Raises:
        ConfigError: the name says nothing known.
    """
    if asked is not None or path is None:
        return asked or "html"
    form = SUFFIXES.get(path.suffix.lower().removeprefix("."))
    if form is None:
        raise ConfigError([f"-o {path}: name it .html, .md or .csv, or give --format"])
    return form


def default_file(target: str, form: Form) -> Path:
    """``report.<form>`` in the folder.

    Raises:
        ConfigError: the study lies in no folder.
    """
    from rowline.sweeps.store import is_url

    if is_url(target):
        raise ConfigError(["report: a study in a server has no folder; give -o FILE"])
    return Path(target) / f"report.{form}"


def is_study(target: str) -> bool:
    """Whether ``target`` names a study: a folder with its store, or the address of one in a server."""
    from rowline.sweeps.store import is_url

    return is_url(target) or (Path(target) / STUDY).is_file()


def write(
    target: str, path: Path, form: Form | None = None, validation: Path | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> Path:  # fmt: skip
    """Write the report of a run folder or a study; the file appears only when complete. See :func:`report`.

    Raises:
        OSError: the file cannot be written.
    """
    return put(path, report(target, form_of(path, form), validation, warn))


def put(path: Path, text: str) -> Path:
    """Write a report; the file appears only when complete.

    Raises:
        OSError: the file cannot be written.
    """
    from rowline.traces.formats.files import partial_file

    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path


def report(target: str, form: Form, validation: Path | None = None, warn: Callable[[str], None] = lambda line: None) -> str:
    """The report of a run folder or a study as text.

    Args:
        validation: what ``rowline validate --json`` printed, to stand beside a run on a GPU.
        warn: called with a line for the reader, such as a check that does not hold.

    Raises:
        ConfigError: it is neither, or a file of a run is damaged.
        rowline.sweeps.store.StoreError: the store of a study is damaged.
    """
    from rowline.reports import study_html

    try:
        study = is_study(target)
    except (OSError, ValueError):  # a name that no file can have
        study = False
    if study:
        if validation is not None:
            raise ConfigError(["--validation: only for a run"])
        return {"html": study_html.render, "md": study_html.markdown, "csv": study_html.csv}[form](study_report(target))
    return run_text(run_report(located(target, is_run, "a run folder or a study"), validation, judge=form != "csv"), form, warn)


def run_text(found: "RunReport", form: Form, warn: Callable[[str], None] = lambda line: None) -> str:
    """The report of a run as text; ``warn`` is called with a line for each check that does not hold."""
    from rowline.reports import run_html
    from rowline.reports.checks import failed

    for check in failed(found.checks):
        warn(f"a check of this run does not hold: {check.what}: {check.value}, expected {check.expected}")
    return {"html": run_html.render, "md": run_html.markdown, "csv": run_html.csv}[form](found)


def run_report(folder: Path, validation: Path | None = None, judge: bool = False) -> "RunReport":
    """What is reported of a run.

    Args:
        validation: see :func:`report`.
        judge: simulate the first commands of a system with PIM again, and judge them.

    Raises:
        ConfigError: a file of the folder is missing or damaged, or ``validation`` is.
    """
    files = load_run(folder)
    return report_of(files, read_ops(files), validation, judge)


def report_of(files: RunFiles, columns: Mapping[str, Any], validation: Path | None = None, judge: bool = False) -> "RunReport":
    """As :func:`run_report`, of a run whose files are at hand."""
    from rowline.reports.run_html import RunReport, frame_of
    from rowline.run_checks import checks_of
    from rowline.validation_file import measured_of

    measured = measured_of(files, validation)
    peaks, ops = _peaks(files.machine, files.stats), frame_of(columns)
    checks = checks_of(files, ops, peaks, columns if judge else None)
    return RunReport(str(files.folder), files.stats, files.config, ops, peaks, command_of(files.run), checks, measured)


def _peaks(machine: Any, stats: dict[str, Any]) -> "Ceilings":
    from rowline.reports.ceilings import Ceilings

    try:
        return Ceilings.of(machine, str(stats.get("dtype", "")))
    except KeyError:
        raise ConfigError([f"dtype {stats['dtype']}: {machine.name} has no rate for it"]) from None


def study_report(target: str) -> "StudyReport":
    """What is reported of a study; results are read for the front alone, however many trials there are.

    Raises:
        rowline.sweeps.store.StoreError: the store is damaged.
    """
    from rowline.reports.ranking import Trial, front
    from rowline.reports.study_html import TAKEN_APART, StudyReport
    from rowline.sweeps.store import Store, is_url

    with Store.open(target, create=False) as store:
        trials = [
            Trial(r.id, r.number, r.params, r.objectives, r.state, r.reason or "", r.wall_s) for r in store.records()
        ]
        note = store.note(STUDY_NOTE)
        space: Mapping[str, Any] = note if isinstance(note, dict) else {}
        objectives = _objectives(space, trials)
        best = front(trials, objectives)
        name = store.name if is_url(target) else target  # an address may hold a password
        found = {trial.id: record for trial in best[:100] if (record := store.get(trial.id)) is not None}
    stats = {trial.id: found[trial.id].stats for trial in best[:TAKEN_APART] if trial.id in found}
    commands = {key: _command(record.config) for key, record in found.items()}
    place = ["--storage" if is_url(target) else "--out", name]
    return StudyReport(name, space, objectives, trials, stats, shlex.join([*_sweep(space), *place]), commands)


def _sweep(space: Mapping[str, Any]) -> list[str]:
    """The words that ask for the same study, but for where it is kept."""
    file = space.get("file") or (f"{space['name']}.yaml" if space.get("name") else "SPACE.yaml")
    changed = space.get("changed")
    options = {key: value for key, value in (changed if isinstance(changed, dict) else {}).items() if key in ("trials", "seed")}
    return ["rowline", "sweep", str(file), *(word for key, value in options.items() for word in (f"--{key}", str(value)))]


def _objectives(space: Mapping[str, Any], trials: list[Any]) -> "list[Objective]":
    """Those of the space; of a study that does not say, the names that its trials have, all to be small."""
    from rowline.reports.ranking import Objective, unit_of

    asked = [each for each in space.get("objectives") or [] if isinstance(each, dict)]
    found = [
        Objective(
            str(each["name"]), each.get("direction") != "max", each.get("limit"),
            "" if each.get("expr") else unit_of(str(each.get("stat") or each["name"])),
        )
        for each in asked if "name" in each
    ]  # fmt: skip
    names = {name for trial in trials for name in trial.objectives}
    if found and (not names or all(o.name in names for o in found)):
        return found
    return [Objective(name, unit=unit_of(name)) for name in sorted(names)] or [Objective("latency_s", unit="s")]


def _command(config: Mapping[str, Any]) -> str:
    """The run that a trial was; nothing where its configuration is not that of a run."""
    try:
        return command_of(RunConfig.model_validate(config.get("run", config)))
    except ValidationError:
        return ""
