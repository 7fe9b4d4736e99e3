"""Request traces of Ramulator 2: ``LD 0x1f00`` / ``ST 64`` by address, ``R 0,0,1,2,77,3`` / ``W ...`` by vector.

Neither says when a request arrives, so all are offered from cycle 0 on.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..requests import MAX_ADDRESS, MAX_LEVEL, REQUEST, VECTOR, Requests, empty_requests
from .columnar import split
from .files import printable
from .text import LineProblem, counted, number, positions, within

DEFAULT_LEVELS: Final = ("channel", "rank", "bank_group", "bank", "row", "column")
_ADDRESS_OPS: Final = {"LD": 0, "ST": 1}
_VECTOR_OPS: Final = {"R": 0, "W": 1}


def check_levels(levels: Sequence[str]) -> tuple[str, ...]:
    """The levels of a vector as a tuple; raises ValueError unless each is one of ours, once, with a row."""
    unknown = [level for level in levels if level not in VECTOR]
    if unknown:
        raise ValueError(f"no level {printable(unknown[0])!r}; there are {', '.join(VECTOR)}")
    if len(set(levels)) != len(levels) or "row" not in levels:
        raise ValueError(f"levels {', '.join(levels)}: each once, and row among them")
    return tuple(levels)


class AddressLines:
    """``LD address`` and ``ST address``."""

    separator = " "

    def __init__(self) -> None:
        self.dtype: np.dtype[Any] = REQUEST

    def fast(self, block: bytes) -> NDArray[np.void] | None:
        """See :class:`.text.Lines`."""
        columns = None if b"-" in block else split(block, " ", "ti")
        if columns is None:
            return None
        (codes, words), address = columns
        write = positions(words, _ADDRESS_OPS)
        assert isinstance(address, np.ndarray)
        if write is None or not within(address, MAX_ADDRESS):
            return None
        requests = empty_requests(len(address))
        requests["address"] = address
        requests["write"] = write[codes]
        return requests

    def slow(self, fields: list[bytes]) -> tuple[int, ...]:
        """See :class:`.text.Lines`."""
        write = _op(fields[0], _ADDRESS_OPS)
        counted(fields, "LD or ST, address", 2)
        return (0, number(fields[1], "address", MAX_ADDRESS), write, *[-1] * len(VECTOR))


class VectorLines:
    """``R vector`` and ``W vector``; what the numbers of a vector are depends on the DRAM, so the caller says it."""

    separator = " "

    def __init__(self, levels: Sequence[str] = DEFAULT_LEVELS) -> None:
        self.dtype: np.dtype[Any] = REQUEST
        self._levels = check_levels(levels)

    def fast(self, block: bytes) -> NDArray[np.void] | None:
        """See :class:`.text.Lines`.

        With the blank after ``R`` or ``W`` made a comma a line has one separator. It has the right form if each row has
        one blank and every blank followed one of these letters, which no number holds.
        """
        joined = block.replace(b"R ", b"R,").replace(b"W ", b"W,")
        if b"-" in block or b" " in joined:
            return None
        columns = split(joined, ",", "t" + "i" * len(self._levels))
        if columns is None:
            return None
        codes, words = columns[0]
        write = positions(words, _VECTOR_OPS)
        if write is None or block.count(b" ") != len(codes):
            return None
        requests = empty_requests(len(codes))
        requests["write"] = write[codes]
        for level, values in zip(self._levels, columns[1:], strict=True):
            assert isinstance(values, np.ndarray)
            if not within(values, MAX_LEVEL):
                return None
            requests[level] = values
        return requests

    def slow(self, fields: list[bytes]) -> tuple[int, ...]:
        """See :class:`.text.Lines`."""
        write = _op(fields[0], _VECTOR_OPS)
        counted(fields, "R or W, vector without blanks", 2)
        numbers = fields[1].split(b",")
        if len(numbers) != len(self._levels):
            raise LineProblem(
                f"vector of {len(numbers)} number{'s' * (len(numbers) != 1)}, expected "
                f"{len(self._levels)}: {','.join(self._levels)}"
            )
        place = {level: number(text, level, MAX_LEVEL) for level, text in zip(self._levels, numbers, strict=True)}
        return (0, -1, write, *[place.get(level, -1) for level in VECTOR])


def _op(text: bytes, known: dict[str, int]) -> int:
    write = known.get(text.decode("latin-1"))
    if write is None:
        raise LineProblem(f"unknown operation {printable(text)}, expected {' or '.join(known)}")
    return write


def address_text(requests: Requests) -> bytes:
    """The lines of requests by address."""
    rows = zip(requests["write"].tolist(), requests["address"].tolist(), strict=True)
    return "".join([f"ST 0x{address:x}\n" if write else f"LD 0x{address:x}\n" for write, address in rows]).encode()


def vector_text(requests: Requests, levels: Sequence[str]) -> bytes:
    """The lines of requests by vector."""
    form = ",".join(["%d"] * len(levels)) + "\n"
    rows = zip(*[requests[level].tolist() for level in levels], strict=True)
    writes = requests["write"].tolist()
    return "".join([("W " if w else "R ") + form % row for w, row in zip(writes, rows, strict=True)]).encode()
