"""The verb ``validate``. Imports nothing heavy: it imports what it needs when it runs."""

import json
import os
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import typer

from rowline.cli_options import complete_gpu, complete_stack


def validate(
    logs: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More logs, as --against.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="FILE...", help="Kernel logs (Parquet), or folders of them.", show_default="our own"),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", help="Only this GPU: a preset or a board as the logs name it.", autocompletion=complete_gpu),
    ] = None,
    op: Annotated[str | None, typer.Option("--op", help="Only this op, such as gemm or attn_decode.")] = None,
    framework: Annotated[
        str | None, typer.Option("--framework", help="Only this stack, such as vllm-0.24.0, or vllm for all its versions.")
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Compare this many rows, drawn at random.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sample.")] = 0,
    split: Annotated[
        Literal["all", "seen", "unseen"], typer.Option("--split", help="Shape families that the model was built on, or not.")
    ] = "all",
    gpu_spec: Annotated[
        str | None,
        typer.Option("--gpu-spec", metavar="SPEC", help="Simulate this GPU, a preset or YAML, in place of the rows'.",
                     autocompletion=complete_gpu),
    ] = None,
    stack_spec: Annotated[
        str | None,
        typer.Option("--stack-spec", metavar="SPEC", help="Simulate this stack in place of the rows'.",
                     autocompletion=complete_stack),
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes.", show_default="one a core")] = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write plots and tables as one page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:  # fmt: skip
    """Compare simulated kernel times with measured ones.

    Example: rowline validate --against log.parquet --gpu h200 --op gemm
    """
    begin = perf_counter()
    from rowline import gpu_validation, terminal, terminal_validate

    files = (*(against or ()), *(logs or ()))
    processes = jobs or os.cpu_count() or 1
    job = gpu_validation.ValidationJob(files, gpu, op, framework, split, sample, seed, processes, gpu_spec, stack_spec)
    if page is not None and not page.resolve().parent.is_dir():
        raise FileNotFoundError(2, "no such folder", str(page.parent))
    if page is not None and page.is_dir():
        raise IsADirectoryError(21, "is a folder", str(page))
    with terminal.progress(quiet or as_json, "kernels") as on_progress:
        comparison, read = gpu_validation.validate(job, on_progress)
    if page is not None:
        _write_page(page, comparison, read, split)
    answer: dict[str, Any] = comparison.answer | {
        "files": read, "gpu": gpu, "op": op, "framework": framework, "split": split, "sample": sample, "seed": seed,
        "gpu_spec": gpu_spec, "stack_spec": stack_spec,
        "wall_s": perf_counter() - begin,
    }  # fmt: skip
    if as_json:
        print(json.dumps(answer))
    elif not quiet:
        terminal_validate.print_validation(answer, page)


def _write_page(path: Path, comparison: Any, files: list[str], split: str) -> None:
    from rowline.reporting import put
    from rowline.reports.validation_html import render

    put(path, render(comparison, files, split))
