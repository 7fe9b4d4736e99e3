"""What every HTML page of a report shares: one file, no network, text escaped, scripts known by their digest."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from plotly.offline import get_plotlyjs

FOLDER = Path(__file__).resolve().parent / "html"
MAX_PAGE_BYTES = 6_000_000
"""No page is larger; 4.8 MB of that are the plotting library."""

DRAW = (
    "for (const p of {plots}) Plotly.newPlot(p.id, p.data, p.layout, "
    '{{responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", displayModeBar: p.tools ?? "hover"}});'
)
"""Draws the plots; without the button that would upload a plot to its maker's cloud."""


def render(template: str, plots: Sequence[dict[str, Any]], tables: bool, **context: Any) -> str:
    """A page as text.

    Args:
        plots: each with ``id`` (of the element that it fills), ``data`` and ``layout``, as plotly takes them; ``tools`` false:
            without buttons.
        tables: whether the page has tables to sort and filter.
        context: what else the template wants. All of it is escaped.
    """
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(figure=figure, short=short)
    scripts = [get_plotlyjs(), DRAW.format(plots=script_json(plots))]
    if tables:
        scripts.append((FOLDER / "table.js.j2").read_text(encoding="utf-8"))
    return environment.get_template(template).render(policy=policy(*scripts), scripts=scripts, **context)


def policy(*scripts: str) -> str:
    """Content security policy: these scripts and no other, no request to anywhere."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def script_json(data: Any) -> str:
    """JSON that may stand in a script: no tag can end or begin in it, no line separator end a line."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def label(text: object, limit: int = 60) -> str:
    """Text as plotly may show it: it reads some tags in names and labels, so all are escaped."""
    shown = str(text)
    return html.escape(shown if len(shown) <= limit else shown[: limit - 3] + "...")


def figure(value: float | None, digits: int = 1) -> str:
    """A number with fixed digits, a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def short(value: Any) -> str:
    """A value as a table shows it: four digits of a fraction, all of a whole number."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def rounded(values: Any) -> list[float]:
    """Four digits of each value: more cannot be seen."""
    return [float(f"{value:.4g}") for value in values]
