"""``rowline check``: is a file or folder what it should be? Nothing is simulated. Also checks what ``rowline run`` is asked."""

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice
from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import apply_sets, build, expand, load_controller, load_device, load_gpu, load_stack, load_system
from rowline.arch.stack import StackSpec
from rowline.arch.system import HostAsic, System
from rowline.arch.yamltree import ConfigError, Node, Place, printable, read_yaml
from rowline.cli_options import overrides_of
from rowline.experiment import RunConfig, check, load_config, load_model
from rowline.workloads.models.gpt import GptConfig

if TYPE_CHECKING:
    from pydantic import BaseModel

Kind = Literal["run", "space", "system", "device", "gpu", "stack", "model", "controller", "host", "run-folder", "study", "log"]
WORDS: dict[Kind, str] = {
    "run": "a run configuration",
    "space": "a sweep space",
    "system": "a system",
    "device": "a DRAM device",
    "gpu": "a GPU",
    "stack": "a software stack",
    "model": "a model",
    "controller": "a memory controller",
    "host": "a host ASIC",
    "run-folder": "a run folder",
    "study": "a study",
    "log": "a command log",
}
FOLDERS: tuple[Kind, ...] = ("run-folder", "study")
DAMAGED_STUDY = 3
_PARTS = {
    "rowline.oplog": "the operations of a run", "rowline.gpu_oplog": "the kernels of a run on a GPU",
    "rowline.opgraph": "the operations of a model", "rowline.kernellog": "measured kernels", "requests": "a request trace",
    "trials 1": "the trials of a study",
}  # fmt: skip
"""Tables of ours that are no command logs."""
_LOG_NAMES = (".csv", ".parquet", ".pq", ".gz", ".zst", ".trace", ".log", ".txt", ".cmd")
_COMMON = ("name", "notes")
"""Keys that say nothing about what a file is."""
_OWN_PLACE = re.compile(r"[^\s:]*:\d+(:|  )|--set ")
"""How a problem begins that says already where it is."""
_SAYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unknown system", ("arch",)), ("unknown workload", ("workload",)), ("unknown stack", ("gpu.stack",)),
    ("workload ", ("generated_tokens", "prompt_tokens", "workload")), ("--stack", ("gpu.stack", "arch")),
    ("--stack, ", ("gpu",)), ("--dtype", ("gpu.dtype", "workload")), ("--lm-head", ("mapping",)),
    ("dram.capacity", ("workload", "arch")), ("host.sram", ("workload", "arch")), ("device.pim", ("arch",)),
    ("system ", ("arch",)),
)  # fmt: skip
"""How a problem of a run begins -> the keys of its file that it may be about; the longest that fits counts."""


@dataclass(frozen=True)
class Verdict:
    """What was found out about a file or folder.

    Attributes:
        kind: what it was taken for; None where that cannot be told.
        problems: one line each; none: it is sound.
        details: of a command log, what the judge found (:func:`rowline.judging.check_log`).
        exit_code: 0 sound, 1 a log that violates a rule, 2 wrong, 3 a damaged study, 5 its server cannot be reached, 6 another
            process keeps it locked.
    """

    target: str
    kind: Kind | None
    problems: list[str]
    details: dict[str, Any] = field(default_factory=lambda: {})
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        """The object of ``rowline check --json``."""
        head = {"target": _shown(self.target), "kind": self.kind, "sound": not self.exit_code, "problems": self.problems}
        return head | self.details

    def line(self) -> str:
        """The verdict as one line."""
        what = WORDS[self.kind] if self.kind else "nothing known"
        count = len(self.problems)
        found = "sound" if not self.exit_code else f"not sound: {count} problem{'s' if count != 1 else ''}"
        return f"{printable(_shown(self.target), 255)}: {what}, {found}"


def _shown(target: str) -> str:
    """A target without the password that a URL may hold."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1@", target)


@dataclass(frozen=True)
class LogChoices:
    """How a command log is judged; see :func:`rowline.judging.check_log`."""

    device: str | None = None
    form: str | None = None
    refresh: bool = True
    limit: int = 20


def check_target(target: str, kind: Kind | None = None, sets: Sequence[str] = (), log: LogChoices | None = None) -> Verdict:
    """Check a file, a folder, or the URL of a study. Nothing is raised about the target: all is in the verdict.

    Args:
        target: a YAML file, a command log, a run folder, a study.
        kind: what it should be; None: what its keys or its files say.
        sets: overrides ``dotted.key=value`` of the device of a log, or of the file itself.
        log: given of a command log alone.
    """
    choices = log or LogChoices()
    try:
        kind = kind or _kind_of(target, choices)
    except ConfigError as error:
        return Verdict(target, None, error.problems, exit_code=2)
    try:
        _check_options(kind, sets, choices)
        if kind == "log":
            return _check_log(target, sets, choices)
        if kind == "study":
            problems, code = _check_study(target)
            return Verdict(target, kind, problems, exit_code=code)
        _check_run_folder(target) if kind == "run-folder" else _CHECKS[kind](_file_name(target), sets)
    except ConfigError as error:
        return Verdict(target, kind, _located(target, error.problems), exit_code=2)
    return Verdict(target, kind, [])


def _file_name(target: str) -> str:
    """``target`` so that no loader takes it for the name of a preset."""
    return target if target.endswith((".yaml", ".yml")) or "/" in target else f"./{target}"


def _located(target: str, problems: Iterable[str]) -> list[str]:
    """Problems, each of which names a file."""
    name = printable(target, 255)
    return [p if _OWN_PLACE.match(p) or name in p else f"{name}: {p}" for p in problems]


def _kind_of(target: str, log: LogChoices) -> Kind:
    """What a target is, from what its name, its folder or its keys say.

    Raises:
        ConfigError: there is nothing, or nothing known.
    """
    from rowline.sweeps.store import is_url

    if is_url(target):
        return "study"
    path, name = Path(target), printable(target, 255)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
        kind = _kind_of_folder(path) if is_folder else None
    except OSError as error:
        raise ConfigError([f"{name}: {error.strerror or error}"]) from None
    except ValueError as error:  # a name that holds a NUL
        raise ConfigError([f"{name}: {error}"]) from None
    if kind is not None:
        return kind
    if is_folder:
        raise ConfigError([f"{name}: neither a run folder (no stats.json) nor a study (no study.db)"])
    if not is_there:
        raise ConfigError([f"{name}: no such file or folder"])
    _refuse_parts(path, name)
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    if not is_yaml and (log.device is not None or log.form is not None or path.suffix.lower() in _LOG_NAMES):
        return "log"
    root = read_yaml(path)
    return _kind_of_keys(root if "extends" not in _keys(root) else expand(root), name)


def _refuse_parts(path: Path, name: str) -> None:
    """Refuse a file that is a part of a run folder or of a study.

    Raises:
        ConfigError: it is one.
    """
    if not path.is_file():
        return
    what, folder = "", str(path.parent)
    if path.suffix.lower() in (".parquet", ".pq"):
        from rowline.traces.schema import table_name

        try:
            table = table_name(path)
        except ValueError:  # the judge says what is wrong with it
            table = None
        what = _PARTS.get(table or "", "")
        if table not in ("rowline.oplog", "rowline.gpu_oplog", "trials 1"):
            folder = ""
    elif path.suffix.lower() == ".json":
        from rowline.runfiles import STATS, read_json

        stats = path.name == STATS or {"latency_s", "phases", "provenance"} <= read_json(path).keys()
        what = "the results of a run" if stats else ""
    elif path.name == "study.db":
        what = "the database of a study"
    if what:
        command = shlex.join(["rowline", "check", printable(folder, 255)])
        told = f"; check takes the folder: {command}" if folder else "; no log of commands"
        raise ConfigError([f"{name}: {what}{told}"])


def _kind_of_folder(path: Path) -> Kind | None:
    if (path / "study.db").is_file():
        return "study"
    return "run-folder" if any((path / f).is_file() for f in ("stats.json", "ops.parquet", "config.yaml")) else None


def _keys(root: Node) -> dict[str, Node]:
    return root.value if isinstance(root.value, dict) else {}


def _kind_of_keys(root: Node, name: str) -> Kind:
    """The kind of file that has most of the keys; misspelt ones count a little.

    Raises:
        ConfigError: no kind has any of them.
    """
    found = [key for key in _keys(root) if key not in _COMMON]
    if "run" in found and ("system" in found or "gpu" in found):
        raise ConfigError([f"{name}: the configuration in a run folder; check the folder"])
    best: tuple[int, Kind | None] = (0, None)
    for kind, model in _models().items():
        keys = [key for key in model.model_fields if key not in _COMMON]
        near = [key for key in found if key not in keys and difflib.get_close_matches(key, keys, n=1, cutoff=0.75)]
        score = 100 * sum(key in keys for key in found) + len(near)
        best = max(best, (score, kind), key=lambda pair: pair[0])
    if best[1] is None:
        told = ", ".join(printable(key) for key in found[:5]) or "none"
        raise ConfigError([f"{root.place}: its keys ({told}) do not tell what it is; say --as {', '.join(get_args(Kind))}"])
    return best[1]


def _models() -> "dict[Kind, type[BaseModel]]":
    from rowline.sweeps.schema import SpaceFile

    return {
        "run": RunConfig, "space": SpaceFile, "system": System, "device": DramDevice, "gpu": GpuSpec, "stack": StackSpec,
        "model": GptConfig, "controller": Controller, "host": HostAsic,
    }  # fmt: skip


def _check_options(kind: Kind, sets: Sequence[str], log: LogChoices) -> None:
    """Refuse options that the kind has no use for, and a log without its device."""
    if kind == "log":
        if log.device is None:
            raise ConfigError(["a command log is judged against a device; say which with --device"])
        return
    for name, given in (("--device", log.device), ("--format", log.form)):
        if given is not None:
            raise ConfigError([f"{name} is for a command log, and this is {WORDS[kind]}"])
    if sets and kind in ("space", "model", *FOLDERS):
        raise ConfigError([f"--set: not with {WORDS[kind]}"])


def _check_log(target: str, sets: Sequence[str], choices: LogChoices) -> Verdict:
    """Judge a command log."""
    from rowline.judging import check_log
    from rowline.traces.formats.files import FormatError

    assert choices.device is not None
    try:
        answer = check_log(target, choices.device, sets, choices.form, choices.refresh, choices.limit)
    except FileNotFoundError:
        raise ConfigError(["no such file"]) from None
    except OSError as error:
        raise ConfigError([f"{error.strerror or error}"]) from None
    except FormatError as error:
        raise ConfigError([str(error)]) from None
    texts = [_violation(target, each) for each in answer["first"]]
    return Verdict(target, "log", texts, answer, 1 if answer["violations"] else 0)


def _violation(target: str, found: dict[str, Any]) -> str:
    line = "" if found["line"] is None else f":{found['line']}"
    return printable(f"{target}{line}: {found['text']}", 2000)


def _check_study(target: str) -> tuple[list[str], int]:
    """Problems of a study, and the exit code.

    Raises:
        ConfigError: there is no such folder.
    """
    from rowline.sweeps.store import Store, StoreError, is_url, verify_study

    if is_url(target):
        try:
            with Store.open(target, create=False) as store:
                problems = store.verify()
        except StoreError as error:
            told, found = str(error), re.match(r"[^:]*://(?:[^@/]*@)?([^/:]+):(\d+)/", target)
            if found is not None:  # the store's name for itself is without the port
                told = told.replace(f"//{found[1]}/", f"//{found[1]}:{found[2]}/", 1)
            return [told], error.exit_code
        return problems, DAMAGED_STUDY if problems else 0
    if not Path(target).is_dir():
        raise ConfigError(["no such folder"])
    if not any(Path(target).glob("study.db*")):  # without its database but with its other files it is a damaged one
        raise ConfigError(["no study there"])
    problems = verify_study(Path(target))
    return problems, DAMAGED_STUDY if problems else 0


def _check_run_folder(target: str) -> None:
    """Read a run folder whole, and hold its parts against each other; nothing is simulated again.

    Raises:
        ConfigError: a file is missing or damaged, or checks do not hold.
    """
    from rowline.reporting import run_report
    from rowline.reports.checks import failed

    wrong = failed(run_report(Path(target)).checks)
    if wrong:
        raise ConfigError([f"{check.what}: {check.value}, expected {check.expected}" for check in wrong])


def _check_run(name: str, sets: Sequence[str]) -> None:
    overrides = overrides_of(sets)
    checked_request(Path(name), {"overrides": overrides} if overrides else {})


def _check_space(name: str, sets: Sequence[str]) -> None:
    from rowline.sweeps.space import load_space

    load_space(Path(name))


_CHECKS: dict[Kind, Callable[[str, Sequence[str]], object]] = {
    "run": _check_run,
    "space": _check_space,
    "system": load_system,
    "device": load_device,
    "gpu": load_gpu,
    "stack": load_stack,
    "model": lambda name, sets: load_model(name),
    "controller": lambda name, sets: load_controller(Path(name), sets),
    "host": lambda name, sets: build(HostAsic, apply_sets(expand(read_yaml(Path(name))), sets)),
}


def checked_request(file: Path | None, changes: dict[str, Any]) -> RunConfig:
    """The configuration of a run, of which all has been checked that can be without tracing.

    Args:
        file: with the keys of a run.
        changes: go over them.

    Raises:
        ConfigError: anything is wrong; a problem of the file names its line and key.
    """
    given = set(changes) | {f"gpu.{key}" for key in changes.get("gpu", {})}
    try:
        request = load_config(file, changes)
        check(request)
    except ConfigError as error:
        if file is None:
            raise
        raise ConfigError([_placed(file, given, problem) for problem in error.problems]) from None
    return request


def _placed(file: Path, given: set[str], problem: str) -> str:
    """A problem with the place in the file that it is about, unless it has one, or is about an option."""
    fitting = [(begin, keys) for begin, keys in _SAYS if problem.startswith(begin)]
    if _OWN_PLACE.match(problem) or not fitting:
        return problem
    try:
        root = expand(read_yaml(file))
    except ConfigError:
        return problem
    for key in max(fitting)[1]:
        place = _place(root, key)
        if place is not None and key not in given:
            return f"{place}  {key}: {problem.removeprefix('workload ')}"
    return problem


def _place(node: Node, key: str) -> Place | None:
    """Where a dotted key stands; None where it does not."""
    place: Place | None = None
    for part in key.split("."):
        inside = _keys(node)
        if part not in inside:
            return None
        place, node = node.key_places.get(part, node.place), inside[part]
    return place
