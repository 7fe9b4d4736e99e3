"""What each DRAM and PIM command does to the parts of the device, for the legality checker.

Written from the commands' meaning, by part (rows, column paths, data bus, operands), not from the rule tables of the
standards: the checker must not inherit their omissions.
"""

from dataclasses import dataclass
from enum import Enum


class Row(Enum):
    """What a command does with rows."""

    NONE = "none"
    OPEN = "open"
    CLOSE = "close"
    ACCESS = "access"
    AUTO_CLOSE = "access, then precharge by itself"
    REFRESH = "refresh"


class Span(Enum):
    """How many banks a command works on."""

    BANK = "bank"
    GROUP = "bank group"
    CHANNEL = "channel"


@dataclass(frozen=True)
class Supply:
    """What a later command may need: ``operand`` is usable ``delay`` after issue, or after its write burst ends."""

    operand: str
    delay: str
    after_burst: bool = False


@dataclass(frozen=True)
class Trait:
    """One command.

    Attributes:
        after_act: timing parameter from activation to this access.
        senses: reads the sense amplifiers, so precharge waits tRTP.
        stores: writes the array; ``"burst"``: its data has arrived when a write burst would have ended,
            ``"latency"``: when one would have begun. Precharge waits tWR from there.
        bus: direction of its burst on the external bus, and ``data_after``: the parameter from issue to first data.
        paths: column paths that it occupies: ``read`` and ``write`` are shared by the channel, ``group-read`` and
            ``group-write`` belong to one bank group, ``mac`` to one bank.
        staggers: its activation waits tRRD after others of its kind (an all-bank one staggers its banks by itself).
        needs, supplies: operands it takes and gives; ``array`` is kept by bank group.
        wtr_written, wtr_read: what a write burst changes and a read looks at, where tWTR_L and not tWTR_S separates
            them: ``array`` (by bank group) or ``registers``. A register read goes through the paths of all groups.
    """

    span: Span
    row: Row = Row.NONE
    after_act: str = ""
    senses: bool = False
    stores: str = ""
    bus: str = ""
    data_after: str = ""
    paths: frozenset[str] = frozenset()
    staggers: bool = False
    needs: frozenset[str] = frozenset()
    supplies: tuple[Supply, ...] = ()
    wtr_written: frozenset[str] = frozenset()
    wtr_read: frozenset[str] = frozenset()


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_READ_PATHS, _WRITE_PATHS = _set("read group-read"), _set("write group-write")
_WRITTEN = Supply("array", "tWTRMAC", after_burst=True)


def _read(row: Row) -> Trait:
    return Trait(Span.BANK, row, "tRCDRD", senses=True, bus="read", data_after="tCL", paths=_READ_PATHS,
                 wtr_read=_set("array"))  # fmt: skip


def _write(row: Row) -> Trait:
    return Trait(Span.BANK, row, "tRCDWR", stores="burst", bus="write", data_after="tCWL", paths=_WRITE_PATHS,
                 supplies=(_WRITTEN,), wtr_written=_set("array"))  # fmt: skip


def _mac(span: Span) -> Trait:
    return Trait(span, Row.ACCESS, "tRCDMAC", senses=True, paths=_READ_PATHS | {"mac"},
                 needs=_set("array buffer preset"), supplies=(Supply("sum", "tMACRD"),))  # fmt: skip


def _read_register(needs: str) -> Trait:
    return Trait(Span.CHANNEL, bus="read", data_after="tCLREG", paths=_READ_PATHS, needs=_set(needs),
                 wtr_read=_set("array registers"))  # fmt: skip


TRAITS = {
    "ACT": Trait(Span.BANK, Row.OPEN, staggers=True),
    "ACT4": Trait(Span.GROUP, Row.OPEN, staggers=True),
    "ACT16": Trait(Span.CHANNEL, Row.OPEN),
    "PRE": Trait(Span.BANK, Row.CLOSE),
    "PRE4": Trait(Span.GROUP, Row.CLOSE),
    "PREA": Trait(Span.CHANNEL, Row.CLOSE),
    "RD": _read(Row.ACCESS),
    "RDA": _read(Row.AUTO_CLOSE),
    "WR": _write(Row.ACCESS),
    "WRA": _write(Row.AUTO_CLOSE),
    "REFab": Trait(Span.CHANNEL, Row.REFRESH),
    "REFpb": Trait(Span.BANK, Row.REFRESH),
    "MAC": _mac(Span.BANK),
    "MAC4": _mac(Span.GROUP),
    "MAC16": _mac(Span.CHANNEL),
    "AF16": Trait(
        Span.CHANNEL, Row.ACCESS, "tRCDAF", senses=True, needs=_set("sum preset"),
        supplies=(Supply("activated", "tAFRD"),),
    ),
    "EWMUL16": Trait(
        Span.CHANNEL, Row.ACCESS, "tRCDEWMUL", senses=True, stores="latency", data_after="tCWL",
        needs=_set("array"), paths=_READ_PATHS | {"group-write"},
    ),
    "RDCP": Trait(
        Span.BANK, Row.ACCESS, "tRCDRDCP", senses=True, paths=_READ_PATHS, needs=_set("array"),
        supplies=(Supply("buffer", "tRDCPGB"),),
    ),
    "WRCP": Trait(
        Span.BANK, Row.ACCESS, "tRCDWRCP", stores="burst", data_after="tCWL", paths=_WRITE_PATHS,
        needs=_set("buffer"), supplies=(_WRITTEN,),
    ),
    "WRA16": Trait(
        Span.CHANNEL, Row.AUTO_CLOSE, "tRCDWR", stores="burst", bus="write", data_after="tCWL", paths=_WRITE_PATHS,
        wtr_written=_set("array"),
    ),
    "WRGB": Trait(
        Span.CHANNEL, bus="write", data_after="tCWLGB", paths=_set("write"),
        supplies=(Supply("buffer", "tGBRD", after_burst=True),),
    ),
    "WRMAC16": Trait(
        Span.CHANNEL, bus="write", data_after="tCWLREG", paths=_WRITE_PATHS, supplies=(Supply("preset", "tWRMACMAC"),),
        wtr_written=_set("registers"),
    ),
    "RDMAC16": _read_register("sum"),
    "RDAF16": _read_register("sum activated"),
    "TMOD": Trait(Span.CHANNEL),
}  # fmt: skip
