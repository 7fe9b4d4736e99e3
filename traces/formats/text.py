"""Lines of text into rows of a table: whole blocks at a time, and line by line where a block is not plain.

A format says how it reads a plain block (``fast``, which answers None as soon as anything is unusual) and how it reads
one line (``slow``, which knows every reason to refuse one). A block that is not plain is tidied first (comments, tabs,
runs of blanks), and read line by line only if that does not help. So the speed of a clean file and the exact complaint
about a bad one come from different code; ``tests/traces/test_formats_requests.py`` holds the two against each other.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from .files import BLOCK_BYTES, DEFAULT_LIMITS, FormatError, Limits, PathLike, printable, text_blocks

_BOM: Final = b"\xef\xbb\xbf"
_DECIMAL: Final = re.compile(rb"[0-9]{1,30}")
_HEXADECIMAL: Final = re.compile(rb"0[xX]([0-9a-fA-F]{1,30})")
_COMMENT: Final = re.compile(rb"#[^\n]*")
_BLANK, _LINE_END = 32, 10


class LineProblem(Exception):
    """Why a line cannot be read; the reader adds where it stands."""


class Lines(Protocol):
    """How one format reads; an instance serves one file, from its first line on."""

    dtype: np.dtype[Any]
    separator: str  # " " for blanks and tabs, in runs

    def fast(self, block: bytes) -> NDArray[np.void] | None:
        """The rows of a plain block, or None; state changes only with the rows."""
        ...

    def slow(self, fields: list[bytes]) -> tuple[int, ...]:
        """One line; raises LineProblem."""
        ...


def read_lines(
    path: PathLike,
    lines: Lines,
    chunk: int,
    limits: Limits = DEFAULT_LIMITS,
    block_bytes: int = BLOCK_BYTES,
    skip: int = 0,
) -> Iterator[NDArray[np.void]]:
    """The rows of a file after its first ``skip`` lines, at most ``chunk`` at a time."""
    for first_line, block in text_blocks(path, limits, block_bytes):
        passed = max(skip + 1 - first_line, 0)
        if passed:
            kept = block.split(b"\n", passed)
            block, first_line = (kept[passed], skip + 1) if len(kept) > passed else (b"", first_line)
        rows = _rows_of(path, lines, first_line, block)
        for begin in range(0, len(rows), chunk):
            yield rows[begin : begin + chunk]


def _rows_of(path: PathLike, lines: Lines, first_line: int, block: bytes) -> NDArray[np.void]:
    if first_line == 1:
        block = block.removeprefix(_BOM)
    if b"\r" in block:
        if block.count(b"\r") != block.count(b"\r\n"):
            return _line_by_line(path, lines, first_line, block)
        block = block.replace(b"\r\n", b"\n")
    rows = lines.fast(block)
    if rows is None:
        rows = lines.fast(tidy(block, lines.separator))
    return _line_by_line(path, lines, first_line, block) if rows is None else rows


def tidy(block: bytes, separator: str = " ") -> bytes:
    """The same lines without comments; where blanks separate, with one between fields and none at the ends."""
    if b"#" in block:
        block = _COMMENT.sub(b"", block)
    if separator != " ":
        return block
    block = block.replace(b"\t", b" ")
    text = np.frombuffer(block, np.uint8)
    blank = text == _BLANK
    after = blank | (text == _LINE_END)
    blank[1:] &= after[:-1]  # a blank that follows a blank or begins a line
    return text[~blank].tobytes().removeprefix(b" ").replace(b" \n", b"\n").removesuffix(b" ")


def fields_of(line: bytes, separator: str = " ") -> list[bytes]:
    """The fields of one line, without its comment; none of a line that says nothing."""
    line = line.partition(b"#")[0].replace(b"\t", b" ").removesuffix(b"\r").strip(b" ")
    if not line:
        return []
    if separator == " ":
        return [field for field in line.split(b" ") if field]
    return [field.strip(b" ") for field in line.split(separator.encode())]


def numbered_fields(path: PathLike, separator: str, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[int, list[bytes]]]:
    """Line number and fields of each line that says something."""
    for first_line, block in text_blocks(path, limits):
        block = block.removeprefix(_BOM) if first_line == 1 else block
        for line, text in enumerate(block.split(b"\n"), first_line):
            if fields := fields_of(text, separator):
                yield line, fields


def _line_by_line(path: PathLike, lines: Lines, first_line: int, block: bytes) -> NDArray[np.void]:
    rows: list[tuple[int, ...]] = []
    for line, text in enumerate(block.split(b"\n"), first_line):
        fields = fields_of(text, lines.separator)
        if fields:
            try:
                rows.append(lines.slow(fields))
            except LineProblem as problem:
                raise FormatError(path, line, str(problem)) from None
    return np.array(rows, lines.dtype)


def number(text: bytes, what: str, most: int, least: int = 0) -> int:
    """A whole number in decimal, or hexadecimal after ``0x``, within bounds; raises LineProblem."""
    value = -1 if text == b"-1" and least < 0 else None
    if _DECIMAL.fullmatch(text):
        value = int(text)
    elif match := _HEXADECIMAL.fullmatch(text):
        value = int(match[1], 16)
    if value is None:
        negative = text[:1] == b"-" and (_DECIMAL.fullmatch(text[1:]) or _HEXADECIMAL.fullmatch(text[1:]))
        raise LineProblem(f"{what} {printable(text)!s} {'is negative' if negative else 'is no whole number'}")
    if value > most:
        raise LineProblem(f"{what} {printable(text)} is beyond {most}")
    return value


def counted(fields: list[bytes], form: str, count: int) -> None:
    """Raise LineProblem unless there are ``count`` fields."""
    if len(fields) != count:
        raise LineProblem(f"{len(fields)} field{'s' * (len(fields) != 1)}, expected {count}: {form}")


def within(values: NDArray[np.int64], most: int, least: int = 0) -> bool:
    """Whether all values lie in least..most."""
    return not len(values) or bool(values.min() >= least and values.max() <= most)


def positions(words: list[str], known: dict[str, int]) -> NDArray[np.int64] | None:
    """The meaning of each word of a text column, or None if one is unknown."""
    if any(word not in known for word in words):
        return None
    return np.array([known[word] for word in words], np.int64)
