"""Request traces in and out, whatever their format.

Memory does not grow with the length of a trace: it is read in blocks and handed on in chunks of the REQUEST table.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..requests import REQUEST, Requests, first_bad
from ..schema import INT64, Column, TableSpec
from . import dramsim3, ramulator
from .columnar import INT8, INT32, ParquetPieces, write_parquet
from .files import DEFAULT_LIMITS, FormatError, Limits, PathLike, check_regular, partial_file, printable, suffixes, text_writer
from .text import Lines, numbered_fields, read_lines

FORMATS: Final = ("ramulator", "ramulator-vector", "dramsim3", "parquet")
CHUNK: Final = 1 << 18

_MEANINGS: Final = {
    "arrive": (INT64, "cycle", "cycle before which the request is not offered"),
    "address": (INT64, "byte", "address; -1 where a vector is given"),
    "write": (INT8, "1", "1: write, 0: read"),
    "channel": (INT32, "", "channel; -1 where an address is given or the level is not named"),
    "pseudo_channel": (INT32, "", "pseudo-channel; -1 as channel"),
    "rank": (INT32, "", "rank; -1 as channel"),
    "bank_group": (INT32, "", "bank group; -1 as channel"),
    "bank": (INT32, "", "bank of the group; -1 as channel"),
    "row": (INT32, "", "row; -1 as channel"),
    "column": (INT32, "", "index of the burst in the row; -1 as channel"),
}
SPEC: Final = TableSpec("requests", 1, tuple(Column(name, *facts) for name, facts in _MEANINGS.items()))


def detect(path: PathLike) -> str:
    """The format of a request trace: by the name for Parquet, else by the first line that says something."""
    check_regular(path)
    with open(path, "rb") as file:
        if file.read(4) == b"PAR1" or suffixes(path)[0] == ".parquet":
            return "parquet"
    for line, fields in numbered_fields(path, " "):
        word = fields[0].decode("latin-1")
        if word in ("LD", "ST"):
            return "ramulator"
        if word in ("AiM", "R", "W") and (word == "AiM" or fields[1:2] in ([b"MEM"], [b"GPR"], [b"CFR"])):
            raise FormatError(path, line, "an AiM ISR trace, which holds instructions and not requests")
        if word in ("R", "W"):
            return "ramulator-vector"
        if len(fields) == 3 and fields[1][:1].isalpha():
            return "dramsim3"
        problem = "no format of requests known here: expected LD/ST address, R/W vector or address op cycle, not"
        raise FormatError(path, line, f"{problem} {printable(b' '.join(fields))}")
    raise FormatError(path, None, "holds no request to tell the format by")


def read_requests(
    path: PathLike,
    format: str = "auto",
    levels: Sequence[str] = ramulator.DEFAULT_LEVELS,
    chunk: int = CHUNK,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Requests]:
    """The requests of a trace, at most ``chunk`` at a time.

    Files packed with gzip or zstd are unpacked on the way. ``levels`` names the numbers of a ``ramulator-vector``.

    Raises:
        FormatError: the file, or a line of it, is not what the format allows; for the format itself at once, for the lines
            when iteration gets there.
        FileNotFoundError: there is no such file.
        ValueError: there is no such format or level.
    """
    check_regular(path)
    format = detect(path) if format == "auto" else format
    if format == "parquet":
        return _read_parquet(path, chunk, limits)
    return read_lines(path, _lines(format, levels), chunk, limits)


def _lines(format: str, levels: Sequence[str]) -> Lines:
    if format == "ramulator":
        return ramulator.AddressLines()
    if format == "ramulator-vector":
        return ramulator.VectorLines(levels)
    if format == "dramsim3":
        return dramsim3.RequestLines()
    raise ValueError(f"no format {printable(format)!r} of requests; there are auto, {', '.join(FORMATS)}")


def _read_parquet(path: PathLike, chunk: int, limits: Limits) -> Iterator[Requests]:
    allowed = limits.of(os.stat(path).st_size)
    done = 0
    try:
        for piece in ParquetPieces(path, SPEC, chunk, allowed):
            requests = np.empty(len(piece["arrive"]), REQUEST)
            for name, values in piece.items():
                requests[name] = values
            bad = first_bad(requests)
            if bad:
                raise FormatError(path, None, f"request {done + bad[0]} {bad[1]}")
            yield requests
            done += len(requests)
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, None, printable(str(error), 400)) from error


def write_requests(
    path: PathLike, chunks: Iterable[Requests], format: str, levels: Sequence[str] = ramulator.DEFAULT_LEVELS
) -> int:
    """Write a trace and return its number of requests; the file appears only when complete.

    The name decides the packing (``.gz``, ``.zst``). Raises ValueError where the format cannot hold a request.
    """
    if format == "parquet":
        with partial_file(path) as partial:
            return write_parquet(partial, SPEC, _pieces(chunks), {})
    _lines(format, levels)
    count = 0
    with text_writer(path) as file:
        for requests in _checked(chunks):
            file.write(_text(requests, format, levels, count))
            count += len(requests)
    return count


def _text(requests: Requests, format: str, levels: Sequence[str], before: int) -> bytes:
    needed = levels if format == "ramulator-vector" else ("address",)
    for name in needed:
        if len(requests) and requests[name].min() < 0:
            at = before + int(np.argmax(requests[name] < 0))
            raise ValueError(f"request {at} has no {name}, which {format} needs")
    if format == "ramulator":
        return ramulator.address_text(requests)
    if format == "dramsim3":
        return dramsim3.request_text(requests)
    return ramulator.vector_text(requests, levels)


def _checked(chunks: Iterable[Requests]) -> Iterator[Requests]:
    """The chunks, of which each request can be one and none arrives before the one before."""
    done, last = 0, 0
    for requests in chunks:
        bad = first_bad(requests)
        if bad:
            raise ValueError(f"request {done + bad[0]} {bad[1]}")
        arrive = requests["arrive"]
        falls = np.flatnonzero(np.diff(arrive, prepend=last) < 0)
        if len(falls):
            raise ValueError(f"request {done + int(falls[0])} arrives before the one before it")
        yield requests
        done, last = done + len(requests), int(arrive[-1]) if len(arrive) else last


def _pieces(chunks: Iterable[Requests]) -> Iterator[dict[str, NDArray[Any]]]:
    for requests in _checked(chunks):
        yield {name: np.ascontiguousarray(requests[name]) for name in _MEANINGS}
