"""The verbs ``dram`` and ``check``. Imports nothing heavy: each verb imports what it needs."""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import typer

from rowline.cli_options import Json, Quiet, complete_device

Device = Annotated[
    str,
    typer.Option("--device", help="Device preset or YAML file; `rowline show dram` lists them.", autocompletion=complete_device),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the device, or of the controller (controller.KEY)."),
]


def dram(
    device: Device = "hbm3-6400",
    trace: Annotated[Path | None, typer.Option("--trace", help="Requests to serve; none: a pattern.")] = None,
    form: Annotated[
        Literal["auto", "ramulator", "ramulator-vector", "dramsim3", "parquet", "aim-isr"],
        typer.Option("--format", help="Format of the trace."),
    ] = "auto",
    pattern: Annotated[str, typer.Option(help="stream, random, stride, pingpong or mixed.")] = "stream",
    requests: Annotated[int, typer.Option(help="Requests of the pattern.")] = 1_000_000,
    write_share: Annotated[
        float | None, typer.Option(help="Share of writes in the pattern.", show_default="0; mixed 0.5")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Bytes from one request of a stride to the next.")] = None,
    interval: Annotated[str, typer.Option(help='Time between requests of the pattern, such as "1 us".')] = "0 ck",
    seed: Annotated[int, typer.Option(help="Of the pattern.")] = 0,
    channels: Annotated[int, typer.Option(help="Channels of the device.")] = 1,
    mapping: Annotated[str | None, typer.Option(help="Address fields, such as ro-ra-ba-co-bg-pc-ch.")] = None,
    policy: Annotated[Literal["frfcfs", "fcfs"] | None, typer.Option(help="Scheduler.")] = None,
    row_policy: Annotated[Literal["open", "closed", "timeout"] | None, typer.Option(help="When rows are closed.")] = None,
    refresh: Annotated[Literal["all_bank", "per_bank", "off"] | None, typer.Option(help="Refresh mode.")] = None,
    controller: Annotated[Path | None, typer.Option(help="YAML file of a controller.")] = None,
    sets: Sets = None,
    wrap: Annotated[bool, typer.Option("--wrap", help="Take addresses beyond the capacity modulo it.")] = False,
    checked: Annotated[bool, typer.Option("--judge/--no-judge", help="Judge every command's legality.")] = True,
    log: Annotated[Path | None, typer.Option("--log", help="Write the commands: .csv, .parquet, .json (timeline).")] = None,
    log_format: Annotated[str, typer.Option(help="csv, parquet, chrome, ramulator or dramsim3.")] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a request trace, or a synthetic pattern, with memory controllers.

    Example: rowline dram --device ddr5-4800 --pattern random --requests 1000000
    """
    begin = perf_counter()
    from rowline import memory

    job = memory.MemoryJob(
        device, trace, form, pattern, requests, write_share, stride, interval, seed, channels, controller, mapping, policy,
        row_policy, refresh, tuple(sets or ()), wrap, checked, log, log_format,
    )  # fmt: skip
    if form == "aim-isr":
        _instructions(job, begin, as_json, quiet)
        return
    memory.prepare(job)  # what can be refused is refused before anything slow begins
    from rowline import terminal, terminal_memory

    with terminal.progress(quiet or as_json, "requests") as on_progress:
        stats = memory.run_memory(job, on_progress)
    stats["wall_s"] = perf_counter() - begin
    if as_json:
        print(json.dumps(stats))
    elif not quiet:
        again = f"rowline check {log} --device {device}" if log else f"rowline dram --device {device} --log commands.csv.gz"
        terminal_memory.print_memory(stats, again)


def _instructions(job: Any, begin: float, as_json: bool, quiet: bool) -> None:
    """AiM instructions instead of requests."""
    from rowline import instructions, terminal_memory
    from rowline.arch.yamltree import ConfigError

    if job.trace is None:
        raise ConfigError(["--format aim-isr: needs --trace"])
    stats = instructions.run_instructions(job)
    stats["wall_s"] = perf_counter() - begin
    if as_json:
        print(json.dumps(stats))
    elif not quiet:
        terminal_memory.print_instructions(stats)


def check(
    target: Annotated[str, typer.Argument(help="YAML file, run folder, study (folder or URL), or command log.")],
    kind: Annotated[
        Literal[
            "run", "space", "system", "device", "gpu", "stack", "model", "controller", "host", "run-folder", "study", "log"
        ]
        | None,
        typer.Option("--as", help="What it should be.", show_default="what its keys or files say"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="Of a command log: device preset or YAML file.", autocompletion=complete_device),
    ] = None,
    form: Annotated[
        Literal["csv", "dramsim3", "parquet"] | None, typer.Option("--format", help="Refuse a log of another format.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file, or of a log's device.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh/--no-refresh", help="Of a log: whether refreshes must have come in time.")
    ] = True,
    limit: Annotated[
        int, typer.Option(min=0, max=100_000, help="Of a log: violations to report; all are counted.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Say whether a file or folder is what it should be; nothing is simulated. A command log, ours or another simulator's
    (CSV, Parquet, DRAMsim3's), is judged against a device.

    Exit code 0: sound; 1: a log that violates a rule; 2: wrong; 3: a damaged study.

    Example: rowline check my-run.yaml

    Example: rowline check commands.csv.gz --device ddr5-4800
    """
    from rowline import checking
    from rowline.arch.yamltree import printable

    verdict = checking.check_target(target, kind, sets or (), checking.LogChoices(device, form, refresh, limit))
    if as_json:
        print(json.dumps(verdict.as_json()))
    elif verdict.details:
        from rowline import terminal_memory

        terminal_memory.print_check(verdict.details)
    else:
        if verdict.kind is not None:
            print(verdict.line())
        for problem in verdict.problems:
            print(f"rowline: {printable(problem, 2000)}", file=sys.stderr)
    if verdict.exit_code:
        raise typer.Exit(verdict.exit_code)
