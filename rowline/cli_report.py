"""The verbs ``report``, ``compare`` and ``timeline``. Imports nothing heavy: each verb imports what it needs."""

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
