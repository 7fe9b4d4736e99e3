"""How the objects of a notebook show themselves: a heading and a few figures, nothing in them that could act."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowline.reports.drawing import Backend


def card(title: str, figures: Iterable[tuple[str, str]], notes: Sequence[str] = ()) -> str:
    """A small table as HTML, all text escaped."""
    cell = "<td style='text-align:left'>"
    rows = "".join(
        f"<tr>{cell}{html.escape(name)}</td>{cell}<b>{html.escape(value)}</b></td></tr>"
        for name, value in figures
    )
    told = "".join(f"<div style='color:#666'>{html.escape(note)}</div>" for note in notes)
    return f"<div><div style='font-weight:600'>{html.escape(title)}</div><table>{rows}</table>{told}</div>"


def table(frame: Any, rows: int) -> str:
    """The first rows of a DataFrame as HTML, all text escaped."""
    return str(frame.head(rows).to_html())


def lines(title: str, figures: Iterable[tuple[str, str]]) -> str:
    """The same as text."""
    return "\n".join([title, *(f"  {name}: {value}" for name, value in figures)])


class Plots:
    """Base of the ``plot`` attribute of an object: each method is a plot.

    Every one takes ``backend``: ``plotly`` (a ``plotly.graph_objects.Figure``) or ``matplotlib`` (a ``matplotlib.figure.Figure``,
    for print: ``figure.savefig("x.pdf")``; extra ``notebook``).
    """

    def _draw(self, plot: Mapping[str, Any], title: str, backend: "Backend") -> Any:
        from rowline.reports.drawing import figure

        return figure(dict(plot), title, backend)
