"""What the PIM commands of GDDR6 do to the parts of the device, for the legality checker."""

from .traits import READ_PATHS, WRITE_PATHS, Row, Span, Supply, Trait, words, write

_WRITTEN = Supply("array", "tWTRMAC", after_burst=True)


def _mac(span: Span) -> Trait:
    return Trait(span, Row.ACCESS, "tRCDMAC", senses=True, paths=READ_PATHS | {"mac"},
                 needs=words("array buffer preset"), supplies=(Supply("sum", "tMACRD"),))  # fmt: skip


def _read_register(needs: str) -> Trait:
    return Trait(Span.CHANNEL, bus="read", data_after="tCLREG", paths=READ_PATHS, needs=words(needs),
                 wtr_read=words("array registers"))  # fmt: skip


AIM: dict[str, Trait] = {
    "WR": write(Row.ACCESS, _WRITTEN),
    "WRA": write(Row.AUTO_CLOSE, _WRITTEN),
    "ACT4": Trait(Span.GROUP, Row.OPEN, staggers=True),
    "ACT16": Trait(Span.CHANNEL, Row.OPEN),
    "PRE4": Trait(Span.GROUP, Row.CLOSE),
    "MAC": _mac(Span.BANK),
    "MAC4": _mac(Span.GROUP),
    "MAC16": _mac(Span.CHANNEL),
    "AF16": Trait(
        Span.CHANNEL, Row.ACCESS, "tRCDAF", senses=True, needs=words("sum preset"),
        supplies=(Supply("activated", "tAFRD"),),
    ),
    "EWMUL16": Trait(
        Span.CHANNEL, Row.ACCESS, "tRCDEWMUL", senses=True, stores="latency", data_after="tCWL",
        needs=words("array"), paths=READ_PATHS | {"group-write"},
    ),
    "RDCP": Trait(
        Span.BANK, Row.ACCESS, "tRCDRDCP", senses=True, paths=READ_PATHS, needs=words("array"),
        supplies=(Supply("buffer", "tRDCPGB"),),
    ),
    "WRCP": Trait(
        Span.BANK, Row.ACCESS, "tRCDWRCP", stores="burst", data_after="tCWL", paths=WRITE_PATHS,
        needs=words("buffer"), supplies=(_WRITTEN,),
    ),
    "WRA16": Trait(
        Span.CHANNEL, Row.AUTO_CLOSE, "tRCDWR", stores="burst", bus="write", data_after="tCWL", paths=WRITE_PATHS,
        wtr_written=words("array"),
    ),
    "WRGB": Trait(
        Span.CHANNEL, bus="write", data_after="tCWLGB", paths=words("write"),
        supplies=(Supply("buffer", "tGBRD", after_burst=True),),
    ),
    "WRMAC16": Trait(
        Span.CHANNEL, bus="write", data_after="tCWLREG", paths=WRITE_PATHS, supplies=(Supply("preset", "tWRMACMAC"),),
        wtr_written=words("registers"),
    ),
    "RDMAC16": _read_register("sum"),
    "RDAF16": _read_register("sum activated"),
    "TMOD": Trait(Span.CHANNEL),
}  # fmt: skip
