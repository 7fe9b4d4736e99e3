"""``rowline calibrate``: numbers of a GPU and of a software stack from measurements, each with its source."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rowline.sim.gpu.fit_choice as choice
import rowline.sim.gpu.fit_keys as fk
from rowline.arch.boards import board_names, match_stack
from rowline.arch.loader import PRESETS, load_gpu
from rowline.arch.values import Sourced, SourceKind
from rowline.arch.yamltree import ConfigError, printable
from rowline.calibration_fit import FitResult, Outcome, SharedKey, fit, shared_key
from rowline.calibration_plans import PLANS, GroupPlan, joined
from rowline.preset_edit import edit_file
from rowline.reports.split import unseen_rows
from rowline.reports.validation_rows import SKIPPED_FLAGS
from rowline.sim.gpu.fit import Effort
from rowline.sim.gpu.fit_rows import RowGroup, rows_of
from rowline.traces.kernellog import read_kernel_log


@dataclass(frozen=True)
class ShippedJob:
    """A fit of the constants that are shipped.

    ``rows``: of each group, 0 as planned; ``keys``: only keys that hold one of these texts, if any.
    """

    plans: tuple[str, ...]
    against: Path
    rows: int = 0
    seed: int = 0
    keys: tuple[str, ...] = ()
    effort: Effort = Effort(limit_s=600)
    jobs: int = 1
    write: bool = False


def fit_shipped(job: ShippedJob, quiet: bool = False) -> dict[str, Any]:
    """Fit named plans together, and write the presets where asked. The answer: ``groups``, ``keys`` and losses.

    Raises:
        ConfigError: no such plan, file, rows or keys.
        rowline.traces.formats.files.FormatError: a log is damaged.
    """
    unknown = [name for name in job.plans if name not in PLANS]
    if unknown or not job.plans:
        raise ConfigError([f"no plan {printable(' '.join(unknown))}; known: {', '.join(PLANS)}"])
    plan = joined(list(job.plans))
    groups = [_planned(group, job) for group in plan.groups]
    stacks = {group.gpu: group.stack for group in groups}
    names = [tuple(map(fk.parse_key, keys)) for keys in plan.keys]
    names = [keys for keys in names if not job.keys or any(word in " ".join(map(str, keys)) for word in job.keys)]
    if not names:
        raise ConfigError([f"no key of the plan holds {printable(' or '.join(job.keys))}"])
    keys = [shared_key(each, stacks) for each in names]
    result = fit(groups, keys, job.effort, job.jobs, quiet)
    written: list[str] = []
    if job.write:
        mode = " ".join(f"--shipped {name}" for name in job.plans)
        written = write_presets(PRESETS, [o for o in result.outcomes if o.decided], groups, mode, job.seed)
    return answer_of(result, groups, {"mode": "shipped", "plans": list(job.plans), "seed": job.seed, "written": written})


def _planned(plan: GroupPlan, job: ShippedJob) -> RowGroup:
    """Rows of a group, drawn from the seen families."""
    path = job.against / plan.file
    columns = read_kernel_log(path)[1]
    boards = {name for name, preset in board_names().items() if preset == plan.gpu}
    wanted = choice.unflagged(columns, SKIPPED_FLAGS) & ~unseen_rows(columns["family"])
    wanted &= choice.among(columns["gpu"], lambda name: name.strip().lower() in boards)
    wanted &= choice.equal(columns, framework=(plan.framework,), op=plan.ops, dtype=plan.dtypes)
    if plan.head_dim:
        wanted &= columns["head_dim"] <= plan.head_dim
    rows = rows_of(columns, choice.drawn(wanted, job.rows or plan.rows, job.seed))[0]
    stack = match_stack(plan.framework, load_gpu(plan.gpu).architecture, plan.dtypes[0] if plan.ops == ("gemm",) else None).stack
    group = choice.runnable(RowGroup(plan.gpu, stack.name, plan.framework, plan.file, rows))
    if not group.rows:
        what = f"no rows of {plan.framework} {' '.join(plan.ops)} on {plan.gpu} in seen families that {stack.name} can run"
        raise ConfigError([f"{printable(str(path), 500)}: {what}"])
    return group


def write_presets(
    folder: Path, outcomes: Iterable[Outcome], groups: Sequence[RowGroup], mode: str, seed: int
) -> list[str]:
    """Put fitted numbers into the preset files they stand in, with the rows that decided them as their source.

    Args:
        folder: holds ``gpu`` and ``stack``, folders of YAML files.
        mode: the options that named the fit.

    Returns:
        The files written.
    """
    edits: dict[Path, dict[str, Sourced]] = {}
    for outcome in outcomes:
        ref = source_of(outcome.key, groups, mode, seed)
        number = outcome.end.model_copy(update={"kind": SourceKind.FITTED, "ref": ref})
        for key in outcome.key.keys:
            edits.setdefault(folder / key.scope / f"{key.preset}.yaml", {})[key.path] = number
    for path, values in edits.items():
        edit_file(path, values)
    return [str(path) for path in edits]


def source_of(key: SharedKey, groups: Sequence[RowGroup], mode: str, seed: int) -> str:
    """Which rows decided a number: frameworks and GPUs, files, how many, seed, date, and the command."""
    of = [g for g in groups if any(_takes(k, g) for k in key.keys)]
    what = ", ".join(dict.fromkeys(f"{g.framework} on {g.gpu}" for g in of))
    files = ", ".join(dict.fromkeys(Path(g.source).name for g in of))
    rows = sum(len(g.rows) for g in of)
    return f"{what}; seen families of {files}, {rows} rows, seed {seed}, {datetime.now(UTC):%Y-%m-%d}; rowline calibrate {mode}"


def _takes(key: fk.Key, group: RowGroup) -> bool:
    preset = group.gpu if key.scope == "gpu" else group.stack
    return preset == key.preset or fk.holds_for(key, preset)


def answer_of(result: FitResult, groups: Sequence[RowGroup], more: dict[str, Any]) -> dict[str, Any]:
    """A fit as plain data; errors and losses in percent."""
    return more | {
        "loss_before": 100 * result.before, "loss_after": 100 * result.after, "finished": result.finished,
        "wall_s": result.wall_s,
        "groups": [
            {"gpu": g.gpu, "stack": g.stack, "framework": g.framework, "file": g.source, "rows": len(g.rows),
             "ops": sorted({row.op for row in g.rows}), "mape_before": 100 * a, "mape_after": 100 * b,
             "mape_full_effort": 100 * c}
            for g, a, b, c in zip(groups, result.groups_before, result.groups_after, result.groups_full, strict=True)
        ],
        "keys": [
            {"key": o.key.name, "start": o.key.start.text, "end": o.end.text, "status": o.status,
             "loss_without": None if o.without is None else 100 * o.without, "sensitivity": 100 * o.sensitivity}
            for o in result.outcomes
        ],
    }  # fmt: skip
