"""Address mappings: which channel, bank, row and column an address means, and requests as the controller's kernel takes them.

How a mapping is written, see :mod:`.address_fields`. With ``bank_hash`` the bank is exclusive-ored with the lowest bits of the
row, and the bank group with the next ones, so that rows that would conflict in one bank spread over all (permutation-based
interleaving; Zhang, Zhu and Zhang, MICRO 2000). The row itself stays, so the mapping remains one to one.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arch.device import DramDevice, Organization
from ..traces.requests import VECTOR
from .address_fields import mapping_fields, sizes_of, width_of

PLACED = np.dtype(
    [
        ("arrive", np.int64),  # tick from which on the request is offered
        ("write", np.int8),  # 1: write, 0: read
        ("channel", np.int32),
        ("bank", np.int32),  # numbered through the channel: pseudo-channel, rank, bank group, bank
        ("row", np.int32),
        ("col", np.int32),  # index of the access in the row
    ],
    align=True,
)

_BLOCK = 1 << 14  # addresses worked on at a time; their intermediate arrays stay in the second-level cache

Ints = NDArray[np.int64]


class Decoded(NamedTuple):
    """Places of n accesses, int32[n] each; ``bank`` is numbered through the channel."""

    channel: NDArray[np.int32]
    bank: NDArray[np.int32]
    row: NDArray[np.int32]
    col: NDArray[np.int32]


class PlaceError(ValueError):
    """A request lies outside the memory; ``index`` is its number."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"request {index}: {problem}")
        self.index = index


class _Piece(NamedTuple):
    """Bits from ``low`` of an address are bits from ``at`` of a number, ``width`` of them."""

    low: int
    at: int
    width: int


def default_mapping(device: DramDevice) -> str:
    """The mapping of a device for which none was chosen: ``ro-ra-ba-co-bg-pc-ch`` for all standards.

    Consecutive accesses go to different channels, then to different pseudo-channels, then to different bank groups, since only
    column commands to different groups follow each other at tCCD_S, which is what the peak rate needs in every standard with
    groups. Then the columns of the open rows are used up (the row-buffer locality of open-page mappings such as gem5's
    RoRaBaCoCh and Ramulator's RoBaRaCoCh). The bank lies above the column, so that a stream opens the next rows in other banks
    and need not wait for tRC; the rank above that, since a change of rank costs a bubble on the bus, and the row on top, where
    its number need not be a power of two.
    """
    del device  # a level of one instance takes no bits, so one text serves them all
    return "ro-ra-ba-co-bg-pc-ch"


@dataclass(frozen=True)
class AddressMap:
    """A mapping fitted to a memory; make it with :meth:`of`.

    Attributes:
        text: the mapping as given.
        organization: of one channel.
        channels: how many there are.
        hash_mask: bits of the row that go into the bank, 0 without hashing.
    """

    text: str
    organization: Organization
    channels: int
    hash_mask: int
    _pieces: tuple[tuple[_Piece, ...], ...]  # of channel, bank, row, col

    @classmethod
    def of(cls, device: DramDevice, channels: int, text: str = "", bank_hash: bool = False) -> Self:
        """Fit a mapping (empty: the default) to ``channels`` channels of a device.

        Raises:
            ValueError: the text is no mapping, lacks a field or gives it the wrong number of bits, or sizes are no powers
                of two where they must be.
        """
        org, text = device.organization, text or default_mapping(device)
        access = org.access_size.value
        if access & (access - 1):
            raise ValueError(f"access_size: {org.access_size.text} is no power of two, which an address mapping needs")
        sizes = sizes_of(org, channels)
        fields = mapping_fields(text, sizes)
        wb, wg, wr = (width_of(sizes[name]) for name in ("ba", "bg", "ra"))
        bank = {"ba": (1, 0), "bg": (1, wb), "ra": (1, wb + wg), "pc": (1, wb + wg + wr)}
        target = {"ch": (0, 0), **bank, "ro": (2, 0), "co": (3, 0)}
        pieces: tuple[list[_Piece], ...] = ([], [], [], [])
        low, done = width_of(access), dict.fromkeys(sizes, 0)
        for name, width in reversed(fields):
            number, base = target[name]
            if width:
                _join(pieces[number], _Piece(low, base + done[name], width))
            low, done[name] = low + width, done[name] + width
        if low > 62:
            raise ValueError(f'mapping "{text}": addresses of {low} bits, at most 62 are supported')
        mask = min(1 << (wb + wg), 1 << (org.rows.value.bit_length() - 1)) - 1 if bank_hash else 0
        return cls(text, org, channels, mask, tuple(tuple(group) for group in pieces))

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all channels."""
        return self.channels * self.organization.capacity_bytes

    @property
    def row_stride(self) -> int:
        """Rows from one to the next that an address with the same bank field finds in the same bank."""
        return self.hash_mask + 1

    def decode(self, addresses: ArrayLike, *, wrap: bool = False, first: int = 0) -> Decoded:
        """Places of byte addresses, int64[n].

        Args:
            addresses: any byte of an access stands for it.
            wrap: take addresses beyond the capacity modulo it.
            first: number of the first request, for errors.

        Raises:
            PlaceError: an address is negative, or beyond the capacity without ``wrap``.
        """
        given = np.asarray(addresses, np.int64)
        places = Decoded(*(np.empty(len(given), np.int32) for _ in range(4)))
        self._decode_into(given, places, wrap, first)
        return places

    def _decode_into(self, addresses: Ints, places: Decoded, wrap: bool, first: int) -> None:
        numbers = [np.empty(min(_BLOCK, len(addresses)), np.int64) for _ in range(4)]
        spare = np.empty(min(_BLOCK, len(addresses)), np.int64)
        for begin in range(0, len(addresses), _BLOCK):
            block = self._inside(addresses[begin : begin + _BLOCK], wrap, first + begin)
            size = len(block)
            for number, pieces in zip(numbers, self._pieces, strict=True):
                _gather(block, pieces, number[:size], spare[:size])
            if self.hash_mask:
                self._hash(numbers[1][:size], numbers[2][:size], spare[:size])
            for place, number in zip(places, numbers, strict=True):
                place[begin : begin + size] = number[:size]

    def _inside(self, block: Ints, wrap: bool, first: int) -> Ints:
        """The block, with addresses that are inside the memory."""
        capacity = self.capacity_bytes
        if block.min() < 0:
            at = int(np.argmax(block < 0))
            raise PlaceError(first + at, f"address {block[at]} is negative")
        if block.max() < capacity:
            return block
        if not wrap:
            at = int(np.argmax(block >= capacity))
            raise PlaceError(first + at, f"address {block[at]:#x} is beyond the capacity of {capacity:#x} bytes")
        return block & (capacity - 1) if capacity & (capacity - 1) == 0 else block % capacity

    def _hash(self, bank: Ints, row: Ints, spare: Ints) -> None:
        """Exclude bank and group with the row, in place; the same undoes it. Group bits lie above bank bits in both."""
        np.bitwise_and(row, self.hash_mask, out=spare)
        np.bitwise_xor(bank, spare, out=bank)

    def encode(self, channel: ArrayLike, bank: ArrayLike, row: ArrayLike, col: ArrayLike) -> Ints:
        """Byte addresses, int64[n], of the first bytes of accesses: the inverse of :meth:`decode`. Arguments broadcast.

        Raises:
            PlaceError: a number is outside its level.
        """
        given = np.broadcast_arrays(*(np.atleast_1d(np.asarray(each, np.int64)) for each in (channel, bank, row, col)))
        bounds = (self.channels, self.organization.banks, self.organization.rows.value, self.organization.columns)
        for name, values, bound in zip(Decoded._fields, given, bounds, strict=True):
            _check(name, values, bound)
        numbers = [values.copy() for values in given]
        self._hash(numbers[1], numbers[2], np.empty_like(numbers[1]))
        addresses = np.zeros(numbers[0].shape, np.int64)
        for number, pieces in zip(numbers, self._pieces, strict=True):
            for low, at, width in pieces:
                addresses |= ((number >> at) & ((1 << width) - 1)) << low
        return addresses


def place(requests: np.ndarray, address_map: AddressMap, *, wrap: bool = False, first: int = 0) -> np.ndarray:
    """Requests (``traces.requests.REQUEST``) as PLACED[n]: those with an address by the mapping, the rest by their own vector.

    A vector need not name a level of which there is one. Where it names a bank and no bank group, banks count through the rank.
    Vectors mean physical banks: they are never hashed.

    Args:
        requests: REQUEST[n].
        address_map: the mapping.
        wrap: take addresses beyond the capacity modulo it.
        first: number of the first request in its trace, for errors.

    Raises:
        PlaceError: a request lies outside the memory, or its vector lacks a level.
    """
    placed = np.zeros(len(requests), PLACED)
    placed["arrive"], placed["write"] = requests["arrive"], requests["write"]
    addressed = requests["address"] >= 0
    if addressed.all():
        places = Decoded(*(placed[name] for name in Decoded._fields))
        address_map._decode_into(np.ascontiguousarray(requests["address"]), places, wrap, first)
        return placed
    index = np.flatnonzero(~addressed)
    for name, values in zip(Decoded._fields, _vectors(requests[index], address_map, index + first), strict=True):
        placed[name][index] = values
    index = np.flatnonzero(addressed)
    try:
        found = address_map.decode(requests["address"][index], wrap=wrap)
    except PlaceError as error:
        at = int(index[error.index])
        raise PlaceError(first + at, str(error).partition(": ")[2]) from None
    for name, values in zip(Decoded._fields, found, strict=True):
        placed[name][index] = values
    return placed


def _vectors(requests: np.ndarray, address_map: AddressMap, numbers: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Channel, bank, row and column of requests with vectors; ``numbers`` are theirs in the trace."""
    sizes = sizes_of(address_map.organization, address_map.channels)
    values = {name: requests[name].astype(np.int64) for name in VECTOR}
    flat = values["bank_group"] < 0  # the bank counts through the rank
    in_rank = sizes["bg"] * sizes["ba"]
    for (field, size), name in zip(sizes.items(), VECTOR, strict=True):
        each = values[name]
        if field == "bg":
            _check(name, each[~flat], size, numbers[~flat])
            each[flat] = 0
            continue
        bound = np.where(flat, in_rank, size) if field == "ba" else np.full(len(each), size)
        missing = (each < 0) & (bound > 1)
        if missing.any():
            at = int(np.argmax(missing))
            raise PlaceError(int(numbers[at]), f"names no {name}, of which there are {bound[at]}")
        each[each < 0] = 0
        _check(name, each, bound, numbers)
    rank = values["pseudo_channel"] * sizes["ra"] + values["rank"]
    bank = rank * in_rank + values["bank_group"] * sizes["ba"] + values["bank"]
    return values["channel"], bank, values["row"], values["column"]


def _check(name: str, values: Ints, bound: int | Ints, numbers: Ints | None = None) -> None:
    """Raise PlaceError where a value is not from 0 to below its bound; ``numbers`` are those of the requests."""
    bad = (values < 0) | (values >= bound)
    if bad.any():
        at = int(np.argmax(bad))
        number = at if numbers is None else int(numbers[at])
        limit = int(np.broadcast_to(bound, values.shape)[at])
        raise PlaceError(number, f"{name} {values[at]} is not from 0 to {limit - 1}")


def _join(pieces: list[_Piece], piece: _Piece) -> None:
    """Append a piece, or widen the last one where both are next to each other in address and number."""
    if pieces:
        last = pieces[-1]
        if last.low + last.width == piece.low and last.at + last.width == piece.at:
            pieces[-1] = last._replace(width=last.width + piece.width)
            return
    pieces.append(piece)


def _gather(block: Ints, pieces: tuple[_Piece, ...], out: Ints, spare: Ints) -> None:
    """Collect a number's bits from addresses."""
    if not pieces:
        out.fill(0)
    for i, (low, at, width) in enumerate(pieces):
        into = spare if i else out
        shift = np.right_shift if low >= at else np.left_shift
        shift(block, abs(low - at), out=into)
        np.bitwise_and(into, ((1 << width) - 1) << at, out=into)
        if i:
            np.bitwise_or(out, spare, out=out)
