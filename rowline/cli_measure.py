"""The verb ``measure``. Imports nothing heavy: the suite itself runs without any of the command line's packages."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer


def measure(
    device: Annotated[Literal["cuda", "cpu"], typer.Option("--device", help="What to measure.")] = "cuda",
    suite: Annotated[Literal["transformer", "micro"], typer.Option("--suite", help="Which kernels.")] = "transformer",
    out: Annotated[Path, typer.Option("--out", "-o", help="The KernelLog to write.")] = Path("log.parquet"),
    limit_s: Annotated[float, typer.Option("--limit-s", help="Stop after so many seconds; 0: when done.")] = 0.0,
    points: Annotated[int, typer.Option(help="So many kernels of the suite; 0: all.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the log that is there.")] = False,
    seed: Annotated[int, typer.Option(help="Of operands, choice and order of kernels.")] = 0,
    only: Annotated[str, typer.Option("--filter", help="Only these ops, comma separated.")] = "",
    scale: Annotated[float, typer.Option(help="Make all kernels smaller, for a CPU.")] = 1.0,
    counters: Annotated[int, typer.Option(help="Kernels whose hardware counters ncu reads, where there is one.")] = 48,
    repeats: Annotated[int, typer.Option(min=1, help="Samples of a burst at most.")] = 20,
    sustain_s: Annotated[float, typer.Option(help="Seconds of a sustained loop, after as many to settle.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Time the kernels of a suite on a GPU, or on this CPU, into a KernelLog. Progress on stderr; Ctrl-C keeps what there is.

    Example: rowline measure --device cpu --suite micro --scale 0.05 --limit-s 60 -o micro.parquet
    """
    from rowline.arch.yamltree import ConfigError
    from rowline.workloads.measure.campaign import Campaign, Request
    from rowline.workloads.measure.device import MeasureError, open_device
    from rowline.workloads.measure.timing import Pace

    words = tuple(word.strip() for word in only.split(",") if word.strip())
    pace = Pace(repeats=repeats, sustain_s=sustain_s)
    request = Request(suite, out, limit_s, points, resume, seed, words, scale, counters, pace)
    try:
        answer = Campaign(request, open_device(device)).run()
    except MeasureError as error:
        raise ConfigError([str(error)]) from error
    if as_json:
        print(json.dumps(answer))
        return
    print(f"{answer['rows']} rows of {answer['kernels']} kernels in {answer['wall_s']:.0f} s: {answer['log']}")
    for reason, count in answer["skipped"].items():
        print(f"  skipped {count}: {reason}")
