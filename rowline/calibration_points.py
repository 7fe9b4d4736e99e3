"""``rowline calibrate --points``: a few constants of a GPU and its stack from at most 60 measured kernels."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rowline.sim.gpu.fit_choice as choice
import rowline.sim.gpu.fit_keys as fk
from rowline.arch.boards import board_names, gpu_for_board, match_stack
from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.values import Sourced, SourceKind
from rowline.arch.yamltree import ConfigError, printable
from rowline.calibration import answer_of
from rowline.calibration_fit import FitResult, fit, shared_key
from rowline.calibration_micro import sha256
from rowline.preset_extend import refuse_existing, write_extensions
from rowline.reports.split import unseen_rows
from rowline.reports.validation_rows import SKIPPED_FLAGS
from rowline.sim.gpu.fit import Effort
from rowline.sim.gpu.fit_rows import Row, RowGroup, rows_of
from rowline.traces.kernellog import read_kernel_log

MOST_POINTS = 60
PRIOR = 0.05
"""What a number e times as large or as small must gain in loss: where a search begins is known better than that."""
REPORTED = 2000
"""Rows not used, at most, that the error is reported on."""
GPU_KEYS = ("achieved.tensor", "achieved.simt", "achieved.l2_bandwidth", "achieved.l2_usable", "achieved.dram_read",
            "achieved.dram_write")  # fmt: skip
STACK_KEYS = ("fixed.launch", "gemm.costs.step_least", "gemm.costs.split_pass")


@dataclass(frozen=True)
class PointsJob:
    """``gpu``, ``stack``: preset or YAML file; none: those of the log's rows. ``out``: the GPU's new YAML file."""

    log: Path
    gpu: str | None = None
    stack: str | None = None
    framework: str | None = None
    max_points: int = MOST_POINTS
    seed: int = 0
    out: Path | None = None
    effort: Effort = Effort(limit_s=600)
    jobs: int = 1


def calibrate_points(job: PointsJob, quiet: bool = False) -> dict[str, Any]:
    """Fit the keys on drawn rows, and score the rows not drawn.

    Raises:
        ConfigError: more points than allowed, no such GPU or stack, no rows that fit.
        rowline.traces.formats.files.FormatError: the log is damaged.
    """
    if not 1 <= job.max_points <= MOST_POINTS:
        raise ConfigError([f"--max-points {job.max_points}: must be 1 to {MOST_POINTS}"])
    refuse_existing(job.out)
    columns = read_kernel_log(job.log)[1]
    gpu, framework, places = _chosen(job, columns)
    gpu_name = job.gpu or gpu.name
    rows, skipped = rows_of(columns, places)
    stack_name = job.stack or _stack(framework, gpu, rows)
    whole = RowGroup(gpu_name, stack_name, framework, str(job.log), rows)
    hidden = unseen_rows(columns["family"])
    group = choice.spread_points(whole, hidden, job.max_points, job.seed)
    if not group.rows:
        raise ConfigError([f"{printable(str(job.log), 500)}: no row of a seen family that {gpu_name} and {stack_name} can run"])
    keys = [
        shared_key((fk.Key(scope, name, path),), {gpu_name: stack_name})
        for scope, name, paths in (("gpu", gpu_name, GPU_KEYS), ("stack", stack_name, STACK_KEYS))
        for path in paths
    ]
    result = fit([group], keys, job.effort, job.jobs, quiet, PRIOR)
    moved = {o.key.keys[0]: o for o in result.outcomes if o.status == "moved"}
    ref = _source(job, group, result)
    values = {key: o.end.model_copy(update={"kind": SourceKind.FITTED, "ref": ref}) for key, o in moved.items()}
    changes = tuple((key.scope, key.path, value) for key, value in values.items())
    on: dict[str, dict[str, Sourced]] = {"gpu": {}, "stack": {}}
    for key, value in values.items():
        on[key.scope][key.path] = value
    written = []
    if job.out is not None and values:
        written = write_extensions(job.out, gpu, gpu_name, on["gpu"], load_stack(stack_name), stack_name, on["stack"])
    more = {
        "mode": "points", "gpu": gpu.name, "log": str(job.log), "seed": job.seed, "points": [row.place for row in group.rows],
        "not_used": choice.scores(choice.unused(whole, group, REPORTED, job.seed), hidden, changes),
        "skipped": skipped, "written": written,
    }  # fmt: skip
    return answer_of(result, [group], more)


def _chosen(job: PointsJob, columns: dict[str, Any]) -> tuple[GpuSpec, str, list[int]]:
    """The GPU, the framework and the rows of both that no flag speaks against."""
    given = load_gpu(job.gpu) if job.gpu else None
    boards = sorted({str(name) for name in columns["gpu"]})
    if given is None and len(boards) > 1:
        raise ConfigError([f"{printable(str(job.log), 500)}: rows of {printable(', '.join(boards), 200)}: name one with --gpu"])
    gpu = given or gpu_for_board(boards[0] if boards else "")
    names = {gpu.name, *(name.lower() for name in gpu.boards)} | {b for b, preset in board_names().items() if preset == gpu.name}
    wanted = choice.unflagged(columns, SKIPPED_FLAGS) & choice.among(columns["gpu"], lambda name: name.strip().lower() in names)
    frameworks = sorted({str(name) for name in columns["framework"][wanted]})
    if job.framework is not None:
        frameworks = [name for name in frameworks if name == job.framework]
    if len(frameworks) != 1:
        held = printable(", ".join(sorted({str(name) for name in columns["framework"][wanted]})) or "none", 300)
        raise ConfigError([f"{printable(str(job.log), 500)}: frameworks on {gpu.name}: {held}; name one with --framework"])
    wanted &= choice.equal(columns, framework=frameworks)
    return gpu, frameworks[0], wanted.nonzero()[0].tolist()


def _stack(framework: str, gpu: GpuSpec, rows: Sequence[Row]) -> str:
    """The stack of the framework; one that can do what most products ask for."""
    dtypes = [row.kernel.dtype for row in rows if row.op in ("gemm", "bmm")]
    return match_stack(framework, gpu.architecture, max(sorted(set(dtypes)), key=dtypes.count) if dtypes else None).stack.name


def _source(job: PointsJob, group: RowGroup, result: FitResult) -> str:
    """What a fitted number rests on."""
    return (
        f"{group.framework}, {len(group.rows)} rows of {job.log.name} sha256 {sha256(job.log)}, seed {job.seed}, "
        f"{datetime.now(UTC):%Y-%m-%d}; loss {100 * result.before:.2f} -> {100 * result.after:.2f} %; rowline calibrate --points"
    )
