"""Tables of a report, and the same as CSV and Markdown. Nothing in a cell can act where it is opened."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .page import short

Cell = str | int | float | None
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ACTIVE = ("=", "+", "-", "@", "\t", "\r", "\n")
_MARKS = re.compile(r"([\\`*_\[\]|~#])")


@dataclass(frozen=True)
class Column:
    """Title of a column, with its unit; ``text``: its cells are words, ``wrap``: long ones."""

    title: str
    text: bool = False
    wrap: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; a number is finite, or None. ``marked``: rows that stand out."""

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]
    marked: frozenset[int] = field(default=frozenset())

    def first(self, most: int) -> "Table":
        """The first ``most`` rows."""
        return Table(self.columns, self.rows[:most], self.marked)


def csv_cell(value: Cell) -> str:
    """A cell that no spreadsheet takes for a formula: text that begins like one, and is no number, follows an apostrophe."""
    if value is None:
        return ""
    text = str(value)
    return "'" + text if text.startswith(_ACTIVE) and not _NUMBER.fullmatch(text) else text


def to_csv(table: Table) -> str:
    """The table as CSV (RFC 4180)."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow([csv_cell(column.title) for column in table.columns])
    writer.writerows([csv_cell(cell) for cell in row] for row in table.rows)
    return stream.getvalue()


def md_text(value: object) -> str:
    """Text as Markdown shows it: no markup, no tags, one line."""
    line = " ".join(str(value).split())
    return _MARKS.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_markdown(table: Table) -> str:
    """The table in Markdown."""
    head = " | ".join(md_text(column.title) for column in table.columns)
    rule = "|".join("---" if column.text else "---:" for column in table.columns)
    rows = (" | ".join(md_text(short(cell)) for cell in row) for row in table.rows)
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {row} |" for row in rows)]) + "\n"


def shares(title: str, unit: str, parts: dict[str, float]) -> Table:
    """Parts of a whole, the largest first; those of nothing are left out."""
    total = math.fsum(parts.values())
    found = sorted(((name, value) for name, value in parts.items() if value), key=lambda each: -each[1])
    columns = (Column(title, text=True), Column(unit), Column("% of all"))
    return Table(columns, [(name, value, 100 * value / total if total else None) for name, value in found])


def flat(data: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Dotted name and value of each leaf of plain data; a sourced value (``value``, ``kind``, ``ref``) is one leaf."""
    if isinstance(data, dict) and not (data.keys() >= {"value", "kind"} and data.keys() <= {"value", "kind", "ref"}):
        for key, value in data.items():
            yield from flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, data


def config_table(config: dict[str, Any]) -> Table:
    """An expanded configuration: a row a key, with the source of its value."""
    rows: list[tuple[Cell, ...]] = []
    for key, value in flat(config):
        if isinstance(value, dict):
            rows.append((key, str(value["value"]), str(value["kind"]), str(value.get("ref", ""))))
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
            rows.append((key, shown, "", ""))
    columns = (Column("key", text=True), Column("value", text=True), Column("source", text=True),
               Column("reference", text=True, wrap=True))  # fmt: skip
    return Table(columns, rows)
