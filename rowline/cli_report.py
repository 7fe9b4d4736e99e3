"""The verbs ``report``, ``compare`` and ``timeline``. Imports nothing heavy: each verb imports what it needs."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rowline.cli_options import complete_run, complete_study


def complete_both(incomplete: str) -> list[str]:
    """Studies and run folders below ``out`` that begin so."""
    return [*complete_study(incomplete), *complete_run(incomplete)]


def report(
    target: Annotated[
        str, typer.Argument(metavar="STUDY|RUN", help="Folder of a study or of a run.", autocompletion=complete_both)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write.", show_default="report.html in the folder")
    ] = None,
    form: Annotated[
        Literal["html", "md", "csv"] | None, typer.Option("--format", help="Format.", show_default="by the file's name")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What rowline validate --json printed, beside a run on a GPU.",
                     show_default="validation.json in the run folder, if there is one"),
    ] = None,
) -> None:
    """Write what a run or a study found as one HTML page that needs no network, as Markdown or as CSV.

    Example: rowline report out/pim_banks -o pim_banks.html
    """
    from rowline import reporting

    path = out or reporting.default_file(target, reporting.form_of(out, form))
    warnings: list[str] = []
    reporting.write(target, path, form, validation, warnings.append)
    for line in warnings:
        print(f"rowline: warning: {line}", file=sys.stderr)
    print(f"wrote {path}")


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders, or their stats.json; two or more.", autocompletion=complete_run),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Put runs side by side: results with ratios to the first run, and keys in which the configurations differ.

    Example: rowline compare out/base out/faster-clock
    """
    from rowline.comparing import compare as compared

    answer = compared(runs)
    if as_json:
        print(json.dumps(answer))
    else:
        from rowline.terminal_compare import print_comparison

        print_comparison(answer)


def timeline(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", autocompletion=complete_run)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write; .gz and .zst are compressed.")
    ] = Path("timeline.json.gz"),
    window: Annotated[
        str | None, typer.Option(metavar="T0:T1", help='Only this time, such as "10us:12us".', show_default="all")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Only these channels, such as 0,1.", show_default="all")] = None,
    level: Annotated[
        Literal["passes", "ops", "commands"], typer.Option(help="Passes; operations too; every command too.")
    ] = "ops",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Write a run as a timeline for the Perfetto UI or chrome://tracing.

    Example: rowline timeline out/base --window 10us:12us --channels 0 --level commands -o base.json.gz
    """
    from rowline.timeline import TimelineJob, write_timeline

    answer = write_timeline(TimelineJob(run, out, window, channels, level))
    print(json.dumps(answer) if as_json else f"wrote {answer['slices']} slices to {out}")
