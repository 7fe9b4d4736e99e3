"""Request traces of DRAMsim3: ``0x1f00 READ 12``, that is address, operation and the cycle of arrival.

As there, an address is hexadecimal whether or not it begins with ``0x``, and a cycle is decimal. The peer takes every word
that it does not know for a read; here an unknown word is an error.
"""

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..requests import MAX_ADDRESS, MAX_CYCLE, REQUEST, VECTOR, Requests, empty_requests
from .columnar import split
from .files import printable
from .text import LineProblem, counted, number, positions, within

_OPS: Final = {"READ": 0, "read": 0, "P_MEM_RD": 0, "P_FETCH": 0, "IFETCH": 0} | {
    word: 1 for word in ("WRITE", "write", "P_MEM_WR", "BOFF")
}
_BARE: Final = re.compile(rb"(?m)^(?=[0-9a-fA-F])(?!0x)")


class RequestLines:
    """``address operation cycle``; the cycles never fall."""

    separator = " "

    def __init__(self) -> None:
        self.dtype: np.dtype[Any] = REQUEST
        self._last = 0

    def fast(self, block: bytes) -> NDArray[np.void] | None:
        """See :class:`.text.Lines`."""
        if b"-" in block:
            return None
        block = block.replace(b"0X", b"0x") if b"X" in block else block
        prefixed = self._prefixed(block)
        if prefixed < block.count(b"\n"):
            block = _BARE.sub(b"0x", block)
            prefixed = self._prefixed(block)
        columns = split(block, " ", "iti")
        if columns is None:
            return None
        address, (codes, words), cycle = columns
        write = positions(words, _OPS)
        assert isinstance(address, np.ndarray) and isinstance(cycle, np.ndarray)
        if write is None or prefixed != len(address) or not within(address, MAX_ADDRESS):
            return None
        falls = len(cycle) and (cycle[0] < self._last or bool((cycle[1:] < cycle[:-1]).any()))
        if falls or not within(cycle, MAX_CYCLE):
            return None
        requests = empty_requests(len(address))
        requests["arrive"], requests["address"], requests["write"] = cycle, address, write[codes]
        self._last = int(cycle[-1]) if len(cycle) else self._last
        return requests

    @staticmethod
    def _prefixed(block: bytes) -> int:
        """How many lines begin with ``0x``; -1 if an x stands anywhere else."""
        beginning = block.count(b"\n0x") + block.startswith(b"0x")
        return beginning if block.count(b"x") == beginning else -1

    def slow(self, fields: list[bytes]) -> tuple[int, ...]:
        """See :class:`.text.Lines`."""
        counted(fields, "address, operation, cycle", 3)
        plain = fields[0] if fields[0][:2].lower() == b"0x" or fields[0][:1] == b"-" else b"0x" + fields[0]
        try:
            address = number(plain, "address", MAX_ADDRESS)
        except LineProblem as problem:
            raise LineProblem(str(problem).replace(printable(plain), printable(fields[0]))) from None
        write = _OPS.get(fields[1].decode("latin-1"))
        if write is None:
            raise LineProblem(f"unknown operation {printable(fields[1])}, expected READ or WRITE")
        if fields[2][:2].lower() == b"0x":
            raise LineProblem(f"cycle {printable(fields[2])} is not decimal")
        cycle = number(fields[2], "cycle", MAX_CYCLE)
        if cycle < self._last:
            raise LineProblem(f"cycle {cycle} comes before cycle {self._last} of the request before")
        self._last = cycle
        return (cycle, address, write, *[-1] * len(VECTOR))


def request_text(requests: Requests) -> bytes:
    """The lines of requests by address."""
    rows = zip(*[requests[name].tolist() for name in ("address", "write", "arrive")], strict=True)
    return "".join([f"0x{a:x} {'WRITE' if w else 'READ'} {cycle}\n" for a, w, cycle in rows]).encode()
