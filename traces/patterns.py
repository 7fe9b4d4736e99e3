"""Synthetic request traces: simple patterns of byte addresses, in chunks of the REQUEST table.

========= =====================================================================================================
stream    one access after the other, from address 0 to the end of the memory, and again
random    accesses drawn uniformly from the whole memory
stride    address 0, one stride further, and so on, modulo the capacity
pingpong  two rows of one bank in turn; each pair one column further, round the row: a row conflict every time
mixed     a stream of reads from address 0 and a stream of writes from the middle of the memory, in turn
========= =====================================================================================================

The same arguments give the same requests, whatever the chunk and the version of numpy (only raw words of PCG64 are used, whose
sequence numpy keeps).
"""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from .requests import MAX_CYCLE, Requests, empty_requests

PATTERNS: Final = ("stream", "random", "stride", "pingpong", "mixed")
CHUNK: Final = 1 << 15
MAX_CHUNK: Final = 1 << 18
MAX_REQUESTS: Final = 1 << 40
MAX_CAPACITY: Final = 1 << 44
MAX_INTERVAL: Final = 1 << 24
_MAX_PART: Final = 1 << 20  # of denominators

Ints = NDArray[np.int64]
Number = Fraction | int | float


@dataclass(frozen=True)
class _Shape:
    """What the patterns know of the memory, in bytes; ``size`` is the capacity in whole accesses."""

    size: int
    access: int
    stride: int
    step: int
    columns: int
    share: Fraction
    seed: int


def pattern(
    name: str,
    requests: int,
    *,
    capacity_bytes: int,
    access_bytes: int,
    row_bytes: int,
    stride_bytes: int | None = None,
    step_bytes: int | None = None,
    seed: int = 0,
    write_share: Number | None = None,
    interval: Number = 0,
    chunk: int = CHUNK,
) -> Iterator[Requests]:
    """The requests of a pattern, at most ``chunk`` at a time.

    Args:
        name: one of :data:`PATTERNS`.
        requests: how many.
        capacity_bytes: of the memory; a rest that holds no access is left out.
        access_bytes: of one request.
        row_bytes: of one row of one bank.
        stride_bytes: of ``stride``, default one row; of ``pingpong``, from one row of a bank to the next, without a default,
            since the address mapping decides.
        step_bytes: of ``pingpong``, from one column of a row to the next; default one access.
        seed: of addresses and writes that are drawn.
        write_share: share of writes, default 0; drawn for each request. For ``mixed`` default 1/2, and spread evenly.
        interval: ticks from one request to the next; request i is offered from tick floor(i x interval) on. 0: as fast as
            they are accepted.
        chunk: requests of a chunk.

    Raises:
        ValueError: there is no such pattern, or an argument is out of range; at once, not when iteration begins.
    """
    if name not in PATTERNS:
        _refuse(name)
    _within("requests", requests, 0, MAX_REQUESTS)
    _within("chunk", chunk, 1, MAX_CHUNK)
    _within("seed", seed, 0, 2**64 - 1)
    _within("access_bytes", access_bytes, 1, MAX_CAPACITY)
    _within("capacity_bytes", capacity_bytes, access_bytes * (2 if name == "mixed" else 1), MAX_CAPACITY)
    _within("row_bytes", row_bytes, access_bytes, MAX_CAPACITY)
    if name == "pingpong" and stride_bytes is None:
        raise ValueError("pingpong: needs stride_bytes, from one row of a bank to the next")
    size = capacity_bytes // access_bytes * access_bytes
    stride = row_bytes if stride_bytes is None else stride_bytes
    step = access_bytes if step_bytes is None else step_bytes
    _within("stride_bytes", stride, 1, MAX_CAPACITY)
    _within("step_bytes", step, 0, MAX_CAPACITY)
    if name == "pingpong" and row_bytes // access_bytes * step > MAX_CAPACITY:
        raise ValueError(f"step_bytes: {step} for each of {row_bytes // access_bytes} columns is above {MAX_CAPACITY}")
    if name == "pingpong" and stride >= size:
        raise ValueError(f"pingpong: stride_bytes {stride} leads out of a memory of {size} bytes")
    share = _fraction("write_share", Fraction(1, 2) if write_share is None and name == "mixed" else write_share or 0)
    if share > 1:
        raise ValueError(f"write_share: {share} is above 1")
    apart = _fraction("interval", interval)
    if apart > MAX_INTERVAL:
        raise ValueError(f"interval: {interval} is above {MAX_INTERVAL} ticks")
    if apart * requests > MAX_CYCLE:
        raise ValueError(f"interval: the last request would arrive after cycle {MAX_CYCLE}")
    shape = _Shape(size, access_bytes, stride % size, step % size, row_bytes // access_bytes, share, seed)
    return _chunks(_MAKERS[name](shape), requests, apart, chunk)


def _refuse(name: str) -> NoReturn:
    near = difflib.get_close_matches(name[:40].lower(), PATTERNS, n=1, cutoff=0.5)
    hint = f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(PATTERNS)}"
    raise ValueError(f"no pattern {ascii(name[:40])}{hint}")


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: {value} is not from {low} to {high}")


def _fraction(name: str, value: Number) -> Fraction:
    """An exact fraction; a float becomes the simplest one near it, so that 0.1 is a tenth."""
    if value != value or value in (float("inf"), float("-inf")) or value < 0:
        raise ValueError(f"{name}: {value} is no number from 0 on")
    return Fraction(value).limit_denominator(_MAX_PART)


Maker = Callable[[int, int], tuple[Ints, NDArray[np.bool_] | None]]
"""Addresses of the next requests and which are writes (None: none), from their first number and how many. Called in order."""


def _chunks(make: Maker, requests: int, interval: Fraction, chunk: int) -> Iterator[Requests]:
    for first in range(0, requests, chunk):
        table = empty_requests(min(chunk, requests - first))
        addresses, writes = make(first, len(table))
        table["address"] = addresses
        if writes is not None:
            table["write"] = writes
        if interval:
            table["arrive"] = _multiples(first, len(table), interval)
        yield table


def _multiples(first: int, length: int, factor: Fraction) -> Ints:
    """floor(i x factor) for ``length`` numbers i from ``first`` on, exactly."""
    whole, rest = divmod(first * factor.numerator, factor.denominator)
    products = np.arange(length, dtype=np.int64) * factor.numerator
    if factor.denominator == 1:
        return products + whole
    return (products + rest) // factor.denominator + whole


def _steps(first: int, length: int, step: int, size: int) -> Ints:
    """i x step modulo ``size`` for ``length`` numbers i from ``first`` on."""
    begin = first * step % size
    addresses = np.arange(begin, begin + length * step, step, dtype=np.int64) if step else np.zeros(length, np.int64)
    return addresses if begin + length * step <= size else addresses % size


class _Draws:
    """Raw words of 64 bit of one purpose."""

    def __init__(self, seed: int, purpose: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, purpose]))

    def words(self, length: int) -> NDArray[np.uint64]:
        return self._bits.random_raw(length)

    def below(self, bound: int, length: int) -> Ints:
        """Numbers below ``bound``; where it is no power of two uneven by less than bound / 2**64."""
        words = self.words(length)
        few = words & np.uint64(bound - 1) if bound & (bound - 1) == 0 else words % np.uint64(bound)
        return few.astype(np.int64)


def _drawn_writes(shape: _Shape) -> Callable[[int], NDArray[np.bool_] | None]:
    """Which of the next requests are writes: each with the probability of the share, to 2**-32."""
    draws, limit = _Draws(shape.seed, 1), shape.share.numerator * 2**32 // shape.share.denominator

    def writes(length: int) -> NDArray[np.bool_] | None:
        return (draws.words(length) >> np.uint64(32)) < np.uint64(limit) if limit else None

    return writes


def _stream(shape: _Shape) -> Maker:
    writes = _drawn_writes(shape)
    return lambda first, length: (_steps(first, length, shape.access, shape.size), writes(length))


def _stride(shape: _Shape) -> Maker:
    writes = _drawn_writes(shape)
    return lambda first, length: (_steps(first, length, shape.stride, shape.size), writes(length))


def _random(shape: _Shape) -> Maker:
    writes, draws = _drawn_writes(shape), _Draws(shape.seed, 0)
    return lambda first, length: (draws.below(shape.size // shape.access, length) * shape.access, writes(length))


def _pingpong(shape: _Shape) -> Maker:
    writes = _drawn_writes(shape)

    def make(first: int, length: int) -> tuple[Ints, NDArray[np.bool_] | None]:
        number = np.arange(first, first + length, dtype=np.int64)
        columns = (number >> 1) % shape.columns
        return ((number & 1) * shape.stride + columns * shape.step) % shape.size, writes(length)

    return make


def _mixed(shape: _Shape) -> Maker:
    half = shape.size // shape.access // 2 * shape.access

    def make(first: int, length: int) -> tuple[Ints, NDArray[np.bool_] | None]:
        before = _multiples(first, length + 1, shape.share)  # writes before each request
        writes = before[1:] > before[:-1]
        reads = np.arange(first, first + length, dtype=np.int64) - before[:-1]
        addresses = np.where(writes, before[:-1], reads) % (half // shape.access) * shape.access
        addresses[writes] += half
        return addresses, writes

    return make


_MAKERS: Final[dict[str, Callable[[_Shape], Maker]]] = {
    "stream": _stream,
    "random": _random,
    "stride": _stride,
    "pingpong": _pingpong,
    "mixed": _mixed,
}
