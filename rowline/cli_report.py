"""The verbs ``report``, ``compare`` and ``timeline``. Imports nothing heavy: each verb imports what it needs."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    target: Annotated[str, typer.Argument(metavar="STUDY|RUN", help="Folder of a study or of a run.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write.", show_default="report.html in the folder")
    ] = None,
    form: Annotated[
        Literal["html", "md", "csv"] | None, typer.Option("--format", help="Format.", show_default="by the file's name")
    ] = None,
) -> None:
    """Write what a run or a study found as one HTML page that needs no network, as Markdown or as CSV.

    Example: rowline report out/pim_banks -o pim_banks.html
    """
    from rowline import reporting
    from rowline.traces.formats.files import partial_file

    kind = reporting.form_of(out, form)
    text = reporting.report(target, kind)
    path = out or Path(target) / f"report.{kind}"
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {path}")


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders, or their stats.json; two or more.")],
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
