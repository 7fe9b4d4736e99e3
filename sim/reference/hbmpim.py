"""What the PIM commands of HBM-PIM and of AttAcc do to the parts of the device, for the legality checker."""

from .traits import READ_PATHS, WRITE_PATHS, Row, Span, Supply, Trait, words

# HBM-PIM: registers are reached as the banks of all groups are. Instructions start with column commands of all banks

_INSTRUCTION = Supply("registers", "tPIMREG")


def _all_read(bus: str) -> Trait:
    paths = READ_PATHS if bus else READ_PATHS | {"mac"}
    return Trait(Span.PSEUDO, Row.ACCESS, "tRCDRD", senses=True, bus=bus, inside="read", data_after="tCL" if bus else "",
                 paths=paths, wtr_read=words("array"), supplies=() if bus else (_INSTRUCTION,))  # fmt: skip


def _all_write(more: str, *supplies: Supply) -> Trait:
    return Trait(Span.PSEUDO, Row.ACCESS, "tRCDWR", stores="burst", bus="write", data_after="tCWL",
                 paths=WRITE_PATHS | words(more), wtr_written=words("array"), supplies=supplies)  # fmt: skip


_MODE = Trait(Span.PSEUDO, Row.REST, mode=True)
_WRITE_REGISTERS = Trait(
    Span.PSEUDO, stores="burst", bus="write", data_after="tCWL", paths=WRITE_PATHS, wtr_written=words("array"),
    needs=words("registers"),
)  # fmt: skip

HBM_PIM: dict[str, Trait] = {
    "ACTHAB": Trait(Span.PSEUDO, Row.OPEN),
    "PREHAB": Trait(Span.PSEUDO, Row.CLOSE),
    "MODSB": _MODE,
    "MODHAB": _MODE,
    "MODPIM": _MODE,
    "RDHAB": _all_read("read"),
    "WRHAB": _all_write(""),
    "RDPIM": _all_read(""),
    "WRPIM": _all_write("mac", _INSTRUCTION),
    "WRCRF": _WRITE_REGISTERS,
    "WRGRF": _WRITE_REGISTERS,
    "WRSRF": _WRITE_REGISTERS,
    "RDGRF": Trait(
        Span.PSEUDO, senses=True, bus="read", data_after="tCL", paths=READ_PATHS, wtr_read=words("array"),
        needs=words("registers"),
    ),
}  # fmt: skip

# AttAcc: MACs of many banks use the arrays only; what goes to the buffer die takes the way of reads and writes

_OUT = words("read write die")


def _mac(span: Span, paths: frozenset[str]) -> Trait:
    return Trait(span, Row.ACCESS, "tRCDRD", senses=True, paths=paths | words("group-read group-write mac"),
                 wtr_read=words("array"), needs=words("buffer"), supplies=(Supply("sum", "tMACRD"),))  # fmt: skip


ATTACC: dict[str, Trait] = {
    "ACTAB": Trait(Span.CHANNEL, Row.OPEN),
    "ACTSB": Trait(Span.STRIPE, Row.OPEN),
    "ACTPB": Trait(Span.BANK, Row.OPEN, staggers=True),
    "PREAB": Trait(Span.CHANNEL, Row.CLOSE),
    "PRESB": Trait(Span.STRIPE, Row.CLOSE),
    "PREPB": Trait(Span.BANK, Row.CLOSE),
    "MACAB": _mac(Span.CHANNEL, frozenset()),
    "MACSB": _mac(Span.STRIPE, frozenset()),
    "MACPB": _mac(Span.BANK, _OUT),
    "WRGB": Trait(
        Span.BANK, bus="write", data_after="tCWL", paths=_OUT, supplies=(Supply("buffer", "tGBRD", after_burst=True),)
    ),
    "MVSB": Trait(
        Span.BANK, data_after="tCL", paths=_OUT, needs=words("sum"), supplies=(Supply("scores", "", after_burst=True),)
    ),
    "MVGB": Trait(
        Span.BANK, data_after="tCWL", paths=_OUT, needs=words("softmax"),
        supplies=(Supply("buffer", "tGBRD", after_burst=True),),
    ),
    "SFM": Trait(Span.CHANNEL, paths=_OUT, needs=words("scores"), supplies=(Supply("softmax", "tSFM"),)),
}  # fmt: skip
