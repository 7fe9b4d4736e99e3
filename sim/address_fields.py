"""How an address mapping is written.

A mapping is a text of fields, most significant first: ``ch`` channel, ``pc`` pseudo-channel, ``ra`` rank (or stack ID), ``bg``
bank group, ``ba`` bank, ``ro`` row, ``co`` column. They are joined, as in DRAMsim3 (``rochrababgco``), or separated by ``-``. A
field may stand in several pieces, each but one of which gives its number of bits: in ``ro-co4-ba-bg-co1-ch`` the column has four
bits high up and one just above the channel, and must have five in all; one piece without a number takes the bits that are left.
A level of one instance needs no field. Below the lowest field lie the bits of the bytes of one access.
"""

import re

from ..arch.device import Organization
from ..arch.loader import nearest

FIELDS = {
    "ch": "channel",
    "pc": "pseudo-channel",
    "ra": "rank",
    "bg": "bank group",
    "ba": "bank",
    "ro": "row",
    "co": "column",
}
_FIELD = re.compile(f"({'|'.join(FIELDS)})([0-9]{{0,2}})")
_MAX_TEXT = 100


def sizes_of(organization: Organization, channels: int) -> dict[str, int]:
    """Instances of each field, in the order of :data:`FIELDS`."""
    org = organization
    levels = (org.pseudo_channels, org.ranks, org.bank_groups, org.banks_per_group, org.rows)
    return dict(zip(FIELDS, (channels, *(level.value for level in levels), org.columns), strict=True))


def width_of(size: int) -> int:
    return (size - 1).bit_length()


def mapping_fields(text: str, sizes: dict[str, int]) -> list[tuple[str, int]]:
    """Fields of a mapping with their widths, most significant first.

    Raises:
        ValueError: see :meth:`AddressMap.of`.
    """
    parsed = _parse(text)
    for name, size in sizes.items():
        counts = [count for field, count in parsed if field == name]
        given, bits = sum(count or 0 for count in counts), width_of(size)
        if bits and not counts:
            raise ValueError(f'mapping "{text}": lacks {name}, the {FIELDS[name]}, which has {bits} bits')
        if counts.count(None) > 1:
            raise ValueError(f'mapping "{text}": {name} stands in several pieces, of which only one may lack a number of bits')
        if given > bits or (None not in counts and given != bits):
            raise ValueError(f'mapping "{text}": {name} has {given} bits, the {FIELDS[name]} needs {bits}')
        parsed = [(field, bits - given if field == name and count is None else count) for field, count in parsed]
    fields = [(field, count or 0) for field, count in parsed]
    top = [(field, width) for field, width in fields if width][:1]
    for name, size in sizes.items():
        if size & (size - 1) and top != [(name, width_of(size))]:
            what = f"{size} is no power of two, so the {FIELDS[name]} must be whole and the most significant field"
            raise ValueError(f'mapping "{text}": {name}: {what}')
    return fields


def _parse(text: str) -> list[tuple[str, int | None]]:
    """Fields of a mapping and their numbers of bits, where given."""
    if len(text) > _MAX_TEXT:
        raise ValueError(f"mapping of {len(text)} characters, at most {_MAX_TEXT} are read")
    found: list[tuple[str, int | None]] = []
    for part in text.strip().lower().split("-"):
        at = 0
        while at < len(part) or not part:
            match = _FIELD.match(part, at)
            if match is None:
                word = part if "-" in text else part[at : at + 2]
                hint = nearest(word.rstrip("0123456789"), FIELDS) or f"; fields are {', '.join(FIELDS)}"
                raise ValueError(f'mapping "{ascii(text)[1:-1]}": unknown field "{ascii(word)[1:-1]}"{hint}')
            found.append((match[1], int(match[2]) if match[2] else None))
            at = match.end()
    return found
