"""A run folder or a study -> what :mod:`rowline.reports` shows of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rowline.arch.gpu import GpuSpec
from rowline.arch.yamltree import ConfigError
from rowline.runfiles import command_of, is_run, load_run, located, read_ops

if TYPE_CHECKING:
    from rowline.reports.run_html import RunReport

Form = Literal["html", "md", "csv"]
FORMS: tuple[Form, ...] = ("html", "md", "csv")


def form_of(path: Path | None, asked: Form | None) -> Form:
    """The format asked for, or what the file's name says, or HTML.

    Raises:
        ConfigError: the name says nothing known.
    """
    if asked is not None or path is None:
        return asked or "html"
    suffix = path.suffix.lower().removeprefix(".")
    for form in FORMS:
        if suffix in (form, {"md": "markdown", "html": "htm"}.get(form)):
            return form
    raise ConfigError([f"-o {path}: name it .html, .md or .csv, or give --format"])


def report(target: str, form: Form) -> str:
    """The report of a run folder or a study as text.

    Raises:
        ConfigError: it is neither, or damaged.
    """
    from rowline.reports import run_html

    folder = located(target, is_run, "a run folder or a study")
    found = run_report(folder)
    return {"html": run_html.render, "md": run_html.markdown, "csv": run_html.csv}[form](found)


def run_report(folder: Path) -> "RunReport":
    """What is reported of a run.

    Raises:
        ConfigError: a file of the folder is missing or damaged.
    """
    from rowline.reports.run_html import RunReport, frame_of

    files = load_run(folder)
    ops = frame_of(read_ops(files))
    return RunReport(str(folder), files.stats, files.config, ops, _peaks(files.machine, files.stats), command_of(files.run))


def _peaks(machine: Any, stats: dict[str, Any]) -> Any:
    from rowline.reports.ceilings import Ceilings

    if not isinstance(machine, GpuSpec):
        return Ceilings.of_system(machine)
    try:
        return Ceilings.of_gpu(machine, str(stats["dtype"]))
    except KeyError:
        raise ConfigError([f"dtype {stats['dtype']}: {machine.name} has no rate for it"]) from None
