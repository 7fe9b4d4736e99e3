"""``rowline calibrate --points``: a few constants of a GPU and its stack from at most 60 measured kernels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import rowline.sim.gpu.fit_keys as fk
from rowline.arch.boards import board_names, gpu_for_board, match_stack
from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.values import Sourced, SourceKind
from rowline.arch.yamltree import ConfigError, printable
from rowline.calibration import Columns, among, answer_of, usable
from rowline.calibration_fit import FitResult, fit, shared_key
from rowline.calibration_micro import sha256
from rowline.preset_extend import refuse_existing, write_extensions
from rowline.reports.split import unseen_rows
from rowline.sim.gpu.fit import Effort
from rowline.sim.gpu.fit_rows import Change, Row, RowGroup, predicted_us, relative_errors, rows_of
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
    group = _drawn(whole, hidden, job)
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
        "not_used": _scored(_rest(whole, group, job.seed), hidden, changes), "skipped": skipped, "written": written,
    }  # fmt: skip
    return answer_of(result, [group], more)


def _chosen(job: PointsJob, columns: Columns) -> tuple[GpuSpec, str, np.ndarray]:
    """The GPU, the framework and the rows of both that no flag speaks against."""
    given = load_gpu(job.gpu) if job.gpu else None
    boards = sorted({str(name) for name in columns["gpu"]})
    if given is None and len(boards) > 1:
        raise ConfigError([f"{printable(str(job.log), 500)}: rows of {printable(', '.join(boards), 200)}: name one with --gpu"])
    gpu = given or gpu_for_board(boards[0] if boards else "")
    names = {gpu.name, *(name.lower() for name in gpu.boards)} | {b for b, preset in board_names().items() if preset == gpu.name}
    wanted = usable(columns, hidden=True) & among(columns["gpu"], lambda name: name.strip().lower() in names)
    frameworks = sorted({str(name) for name in columns["framework"][wanted]})
    if job.framework is not None:
        frameworks = [name for name in frameworks if name == job.framework]
    if len(frameworks) != 1:
        held = printable(", ".join(sorted({str(name) for name in columns["framework"][wanted]})) or "none", 300)
        raise ConfigError([f"{printable(str(job.log), 500)}: frameworks on {gpu.name}: {held}; name one with --framework"])
    wanted &= among(columns["framework"], lambda name: name == frameworks[0])
    return gpu, frameworks[0], np.flatnonzero(wanted)


def _stack(framework: str, gpu: GpuSpec, rows: Sequence[Row]) -> str:
    """The stack of the framework; one that can do what most products ask for."""
    dtypes = [row.kernel.dtype for row in rows if row.op in ("gemm", "bmm")]
    return match_stack(framework, gpu.architecture, max(sorted(set(dtypes)), key=dtypes.count) if dtypes else None).stack.name


def _drawn(whole: RowGroup, hidden: np.ndarray, job: PointsJob) -> RowGroup:
    """The points: each op has as many, spread over its rows by their time; of seen families, and only what the stack can run."""
    rng = np.random.default_rng(job.seed)
    by_op: dict[str, list[Row]] = {}
    for row in sorted((row for row in whole.rows if not hidden[row.place]), key=lambda row: (row.us, row.place)):
        by_op.setdefault(row.op, []).append(row)
    points: list[Row] = []
    for number, op in enumerate(sorted(by_op)):
        share = (job.max_points - len(points)) // (len(by_op) - number)
        for stretch in np.array_split(np.arange(len(by_op[op])), min(share, len(by_op[op]))) if share else ():
            some = [by_op[op][i] for i in rng.permutation(stretch)[:3]]
            good = np.isfinite(predicted_us(replace(whole, rows=tuple(some)), ()))
            points += [row for row, fine in zip(some, good, strict=True) if fine][:1]
    if not points:
        raise ConfigError([f"{printable(whole.source, 500)}: no row that can be simulated on {whole.gpu}, {whole.stack}"])
    return replace(whole, rows=tuple(points))


def _rest(whole: RowGroup, used: RowGroup, seed: int) -> RowGroup:
    """The rows not used, or a draw of them."""
    taken = {row.place for row in used.rows}
    rest = [row for row in whole.rows if row.place not in taken]
    if len(rest) > REPORTED:
        rest = [rest[i] for i in np.sort(np.random.default_rng(seed).choice(len(rest), REPORTED, replace=False))]
    return replace(whole, rows=tuple(rest))


def _source(job: PointsJob, group: RowGroup, result: FitResult) -> str:
    """What a fitted number rests on."""
    return (
        f"{group.framework}, {len(group.rows)} rows of {job.log.name} sha256 {sha256(job.log)}, seed {job.seed}, "
        f"{datetime.now(UTC):%Y-%m-%d}; loss {100 * result.before:.2f} -> {100 * result.after:.2f} %; rowline calibrate --points"
    )


def _scored(rest: RowGroup, hidden: np.ndarray, changes: tuple[Change, ...]) -> list[dict[str, Any]]:
    """Errors on the rows not used, before and after, by op and split, in percent."""
    before, after = (relative_errors(rest, predicted_us(rest, some, fast=False)) for some in ((), changes))
    kinds = [(row.op, "unseen" if hidden[row.place] else "seen") for row in rest.rows]
    found: list[dict[str, Any]] = []
    for op, split in sorted(set(kinds)):
        of = np.array([kind == (op, split) for kind in kinds]) & np.isfinite(before) & np.isfinite(after)
        if of.any():
            mapes = [float(100 * np.abs(errors[of]).mean()) for errors in (before, after)]
            found.append({"op": op, "split": split, "rows": int(of.sum()), "mape_before": mapes[0], "mape_after": mapes[1]})
    return found
