"""``rowline validate``: kernel logs in, predictions beside them, the comparison out."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rowline.arch.yamltree import ConfigError, printable

if TYPE_CHECKING:
    from rowline.arch.gpu import GpuSpec
    from rowline.reports.gpu_baselines import Datasheet
    from rowline.reports.validation import Comparison
    from rowline.reports.validation_rows import Choice

Columns = dict[str, Any]
Predictor = Callable[[Columns], Columns]
OnProgress = Callable[[int, int | None], None]

CHUNK_ROWS = 512  # rows that a process predicts between two moves of the progress bar
OWN_LOGS = Path(__file__).resolve().parent.parent / "reports" / "kernellogs"


@dataclass(frozen=True)
class ValidationJob:
    """What to compare; see ``docs/cli.md``. No ``against``: the project's own kernel logs.

    ``gpu_spec``, ``stack_spec``: presets or YAML files to simulate in place of what the rows name.
    """

    against: tuple[str, ...] = ()
    gpu: str | None = None
    op: str | None = None
    framework: str | None = None
    split: Literal["all", "seen", "unseen"] = "all"
    sample: int | None = None
    seed: int = 0
    jobs: int = 1
    gpu_spec: str | None = None
    stack_spec: str | None = None


def validate(
    job: ValidationJob, on_progress: OnProgress = lambda done, total: None, predict: Predictor | None = None
) -> "tuple[Comparison, list[str]]":
    """Compare predictions with kernel logs.

    Args:
        job: what to compare.
        on_progress: called with the rows predicted so far and their number.
        predict: columns of rows to columns ``latency_us``, ``bound``, ``choice``, ``skipped``; by default the simulator. With
            several jobs it must be a function of a module that a fresh process can import.

    Returns:
        The comparison, and the files that were read.

    Raises:
        ConfigError: no log, no row that the options choose, or options that are wrong.
        rowline.traces.formats.files.FormatError: a log is damaged.
    """
    if job.jobs < 1 or (job.sample is not None and job.sample < 1) or job.seed < 0:
        raise ConfigError(["--jobs and --sample: must be 1 or more, --seed 0 or more"])
    files = log_files(job.against)
    from rowline.reports import validation, validation_rows
    from rowline.traces.kernellog import read_kernel_log

    columns = validation_rows.join([read_kernel_log(path)[1] for path in files])
    boards, frameworks, ops = ({str(x) for x in columns[name]} for name in ("gpu", "framework", "op"))
    specs = specifications(boards)
    sheets = {board: None if spec is None else datasheet(spec) for board, spec in specs.items()}
    chosen = validation_rows.select(columns, _choice(job, specs, frameworks, ops), sheets)
    if not len(chosen.rows) and not chosen.skipped:
        raise ConfigError(["no row of the logs is of the GPU, op, framework and split asked for"])
    predicted = predict_rows(chosen.columns(), predict or simulator(job.gpu_spec, job.stack_spec), job.jobs, on_progress)
    return validation.compare(chosen, predicted), files


def simulator(gpu: str | None = None, stack: str | None = None) -> Predictor:
    """The predictor that ``rowline validate`` uses, with specifications of one's own where named.

    Raises:
        ConfigError: a specification is wrong.
    """
    from rowline.arch.loader import load_gpu, load_stack
    from rowline.sim.gpu.predict import predict_columns

    if gpu is not None:
        load_gpu(gpu)
    if stack is not None:
        load_stack(stack)
    return partial(predict_columns, gpu=gpu, stack=stack)


def log_files(against: Iterable[str]) -> list[str]:
    """Files to read: those named, all of a folder named, or the project's own.

    Raises:
        ConfigError: there is none.
    """
    named = list(against)
    found: list[str] = []
    for name in named or [str(OWN_LOGS)]:
        path = Path(name)
        inside = sorted(str(f) for f in path.glob("*.parquet")) if path.is_dir() else [name]
        if not named and not (path.is_dir() and inside):
            raise ConfigError(
                ["the project has no kernel log of its own yet (no GPU could be had to measure on): name one with --against FILE"]
            )
        if not inside or not (path.is_dir() or path.is_file()):
            raise ConfigError([f"{printable(name, 500)}: {'no *.parquet in this folder' if path.is_dir() else 'no such file'}"])
        found += [file for file in inside if file not in found]
    return found


def specifications(boards: Iterable[str]) -> "dict[str, GpuSpec | None]":
    """The GPU preset that stands for each board name of a log; None where there is none."""
    from rowline.arch.boards import board_names, gpu_for_board

    known = board_names()
    return {board: gpu_for_board(board) if board.strip().lower() in known else None for board in boards}


def datasheet(spec: "GpuSpec") -> "Datasheet":
    """What the roofline needs of a GPU: tensor cores where they know the type, else scalar lanes."""
    from rowline.reports.gpu_baselines import Datasheet

    rates = {**spec.datasheet.simt, **spec.datasheet.tensor}
    flops = {dtype: float(rate.value) for dtype, rate in rates.items()}
    return Datasheet(spec.name, spec.sm.count.value, flops, float(spec.dram.bandwidth.value))


def _choice(job: ValidationJob, specs: "dict[str, GpuSpec | None]", frameworks: set[str], ops: set[str]) -> "Choice":
    """The options against what the logs hold.

    Raises:
        ConfigError: an option names nothing that is in the logs.
    """
    from rowline.reports.validation_rows import Choice

    boards = {
        board for board, spec in specs.items()
        if job.gpu and job.gpu.casefold() in (board.casefold(), *((spec.name, *map(str.casefold, spec.boards)) if spec else ()))
    }  # fmt: skip
    wanted = job.framework or ""
    stacks = {name for name in frameworks if wanted and (name == wanted or name.startswith(wanted + "-"))}
    problems = [
        f"--{option} {printable(value)}: not in the logs, which hold {', '.join(printable(x) for x in sorted(held))}"
        for option, value, found, held in (
            ("gpu", job.gpu, boards, specs), ("framework", job.framework, stacks, frameworks),
            ("op", job.op, {job.op} & ops, ops),
        )
        if value is not None and not found
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)
    return Choice(
        frozenset(boards) if job.gpu else None, job.op, frozenset(stacks) if job.framework else None,
        job.split, job.sample, job.seed,
    )  # fmt: skip


def predict_rows(columns: Columns, predict: Predictor, jobs: int, on_progress: OnProgress) -> Columns:
    """Predictions of all rows in their order, chunk by chunk in ``jobs`` processes, whose number changes nothing in them."""
    from rowline.reports.validation_rows import chunks, join

    total, done = len(columns["op"]), 0
    if not total:
        return predict(columns)
    parts: list[Columns] = []
    for part in _answers(predict, list(chunks(columns, CHUNK_ROWS)), jobs):
        parts.append(part)
        done += len(part["latency_us"])
        on_progress(done, total)
    return join(parts)


def _answers(predict: Predictor, parts: list[Columns], jobs: int) -> Iterator[Columns]:
    """The prediction of each part, in order."""
    if min(jobs, len(parts)) == 1:
        yield from map(predict, parts)
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(jobs, len(parts)), mp_context=context, initializer=start_worker)
    try:
        yield from pool.map(predict, parts)
    except BaseException as error:  # also Ctrl-C, or a reader that went away: what is being predicted is not waited for
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ConfigError(["a process that predicted kernels was killed (out of memory?): try fewer --jobs"]) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """A worker leaves Ctrl-C to its parent, and goes when the parent goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
