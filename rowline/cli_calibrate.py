"""The verb ``calibrate``. Imports nothing heavy: it imports what it needs when it runs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def calibrate(
    shipped: Annotated[list[str] | None, typer.Option("--shipped", metavar="PLAN", help="Fit the shipped constants.")] = None,
    against: Annotated[Path, typer.Option("--against", help="--shipped: folder of public logs.")] = Path("../shared/data/gpu"),
    rows: Annotated[int, typer.Option(min=0, help="--shipped: rows of each group; 0: as planned.")] = 0,
    keys: Annotated[list[str] | None, typer.Option("--key", metavar="TEXT", help="--shipped: only keys with this text.")] = None,
    write: Annotated[bool, typer.Option("--write", help="--shipped: put the values into the presets.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the rows drawn.")] = 0,
    limit_s: Annotated[float, typer.Option("--limit-s", min=0, help="Seconds of a search; 0: until it ends.")] = 600.0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:
    """Work out the constants of a GPU from measurements.

    Example: rowline calibrate --gpu h200 --log micro.parquet -o my-h200.yaml
    """
    from rowline import calibration, terminal_calibrate
    from rowline.sim.gpu.fit import Effort

    effort = Effort(limit_s=limit_s)
    job = calibration.ShippedJob(tuple(shipped or ()), against, rows, seed, tuple(keys or ()), effort, jobs, write)
    answer: dict[str, Any] = calibration.fit_shipped(job, quiet)
    if as_json:
        print(json.dumps(answer))
    elif not quiet:
        terminal_calibrate.print_fit(answer)
