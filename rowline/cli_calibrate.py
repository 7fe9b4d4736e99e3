"""The verb ``calibrate``. Imports nothing heavy: it imports what it needs when it runs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rowline.cli_options import complete_gpu, complete_stack


def calibrate(
    gpu: Annotated[
        str | None, typer.Option("--gpu", help="Preset or YAML file.", show_default="the log's", autocompletion=complete_gpu)
    ] = None,
    log: Annotated[Path | None, typer.Option("--log", help="Derive constants from this micro-benchmark log.")] = None,
    points: Annotated[Path | None, typer.Option("--points", help="Fit a few constants to kernels of this log.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="YAML file to write, which extends the GPU.")] = None,
    stack: Annotated[
        str | None, typer.Option("--stack", help="Preset or YAML file.", show_default="the log's", autocompletion=complete_stack)
    ] = None,
    framework: Annotated[str | None, typer.Option("--framework", help="--points: only rows of this framework.")] = None,
    max_points: Annotated[int, typer.Option("--max-points", help="--points: kernels to fit to, 60 at most.")] = 60,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the rows drawn.")] = 0,
    shipped: Annotated[list[str] | None, typer.Option("--shipped", metavar="PLAN", help="Fit the shipped constants.")] = None,
    against: Annotated[Path, typer.Option("--against", help="--shipped: folder of public logs.")] = Path("../shared/data/gpu"),
    rows: Annotated[int, typer.Option(min=0, help="--shipped: rows of each group; 0: as planned.")] = 0,
    keys: Annotated[list[str] | None, typer.Option("--key", metavar="TEXT", help="--shipped: only keys with this text.")] = None,
    write: Annotated[bool, typer.Option("--write", help="--shipped: put the values into the presets.")] = False,
    limit_s: Annotated[float, typer.Option("--limit-s", min=0, help="Seconds of a search; 0: until it ends.")] = 600.0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes of a fit.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:
    """Work out the constants of a GPU from measurements: of micro-benchmarks, or of at most 60 kernels.

    Example: rowline calibrate --gpu h200 --log micro.parquet -o my-h200.yaml
    """
    from rowline.arch.yamltree import ConfigError

    if sum((log is not None, points is not None, bool(shipped))) != 1:
        raise ConfigError(["give one of --log FILE, --points FILE and --shipped PLAN"])
    from rowline import calibration, calibration_micro, calibration_points, terminal_calibrate
    from rowline.sim.gpu.fit import Effort

    effort, answer = Effort(limit_s=limit_s), dict[str, Any]()
    if log is not None:
        answer = calibration_micro.calibrate_micro(calibration_micro.MicroJob(log, gpu, stack, out))
    elif points is not None:
        task = calibration_points.PointsJob(points, gpu, stack, framework, max_points, seed, out, effort, jobs)
        answer = calibration_points.calibrate_points(task, quiet or as_json)
    else:
        job = calibration.ShippedJob(tuple(shipped or ()), against, rows, seed, tuple(keys or ()), effort, jobs, write)
        answer = calibration.fit_shipped(job, quiet)
    if as_json:
        print(json.dumps(answer))
    elif not quiet:
        terminal_calibrate.print_micro(answer) if answer["mode"] == "micro" else terminal_calibrate.print_fit(answer)
