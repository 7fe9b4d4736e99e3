"""``python -m rowline.workloads.measure``: the suite on a machine where nothing is installed but torch, numpy and pyarrow."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from ...traces.formats.files import FormatError
from . import counters
from .campaign import SUITES, Campaign, Request
from .device import MeasureError, open_device
from .timing import Pace


def parser() -> argparse.ArgumentParser:
    """The command line; the same options as ``rowline measure``."""
    words = argparse.ArgumentParser(prog="rowline measure", description="Measure kernels on a GPU or this CPU into a KernelLog.")
    words.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    words.add_argument("--suite", default="transformer", choices=SUITES)
    words.add_argument("-o", "--out", type=Path, default=Path("log.parquet"), help="the KernelLog to write")
    words.add_argument("--limit-s", type=float, default=0.0, help="stop after so many seconds; 0: when done")
    words.add_argument("--points", type=int, default=0, help="so many kernels of the suite; 0: all")
    words.add_argument("--resume", action="store_true", help="go on with the log that is there")
    words.add_argument("--seed", type=int, default=0, help="of operands, choice and order of kernels")
    words.add_argument("--filter", default="", help="only these ops, comma separated")
    words.add_argument("--scale", type=float, default=1.0, help="make all kernels smaller, for a CPU")
    words.add_argument("--counters", type=int, default=48, help="kernels whose hardware counters ncu reads")
    words.add_argument("--repeats", type=int, default=20, help="samples of a burst at most")
    words.add_argument("--sustain-s", type=float, default=1.0, help="seconds of a sustained loop, after as many to settle")
    words.add_argument("--replay", help=argparse.SUPPRESS)
    return words


def request_of(given: argparse.Namespace) -> Request:
    """The request that a command line is."""
    only = tuple(word.strip() for word in given.filter.split(",") if word.strip())
    pace = Pace(repeats=given.repeats, sustain_s=given.sustain_s)
    return Request(given.suite, given.out, given.limit_s, given.points, given.resume, given.seed, only, given.scale,
                   given.counters, pace)  # fmt: skip


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input or a device that failed, 130 interrupted (the log holds what there was)."""
    given = parser().parse_args(arguments)
    if given.replay:
        counters.replay(given.replay)
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        print(json.dumps(Campaign(request_of(given), open_device(given.device)).run()))
    except (MeasureError, FormatError, OSError) as error:
        print(f"rowline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"rowline: interrupted; {given.out} holds what was measured, --resume goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
