"""What each DRAM and PIM command does to the parts of the device, for the legality checker.

Written from the commands' meaning, by part (rows, column paths, data bus, operands), not from the rule tables of the
standards: the checker must not inherit their omissions. What differs from standard to standard is in :mod:`.families`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Row(Enum):
    """What a command does with rows."""

    NONE = "none"
    OPEN = "open"
    CLOSE = "close"
    ACCESS = "access"
    AUTO_CLOSE = "access, then precharge by itself"
    REST = "needs the banks closed and precharged, and leaves them so"


class Span(Enum):
    """How many banks a command works on, or over which banks a path is shared."""

    BANK = "bank"
    STRIPE = "bank of each group"
    GROUP = "bank group"
    RANK = "rank"
    PSEUDO = "pseudo-channel"
    CHANNEL = "channel"


class Upkeep(Enum):
    """Refresh commands and their like."""

    NONE = ""
    REFRESH_ALL = "refreshes all banks of its span"
    REFRESH_BANK = "refreshes a bank, or one of each group"
    MANAGE_ALL = "refresh management of all banks of its span"
    MANAGE_BANK = "refresh management of a bank, or of one of each group"


class Power(Enum):
    """What a command does to the power state of its span."""

    NONE = ""
    DOWN = "enters power-down"
    UP = "leaves power-down"
    SLEEP = "enters self-refresh"
    WAKE = "leaves self-refresh"


@dataclass(frozen=True)
class Supply:
    """What a later command may need: ``operand`` is usable ``delay`` after issue, or after its write burst ends."""

    operand: str
    delay: str  # a timing parameter, or "" where it is usable at once
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
        inside: direction in which it drives the data paths although nothing goes over the bus.
        paths: column paths that it occupies: ``read`` and ``write`` are shared by several bank groups, ``group-read``
            and ``group-write`` belong to one bank group, ``mac`` to one bank, ``die`` is the way to the buffer die of a
            stack, which plain reads and writes take as well.
        staggers: its activation waits tRRD after others of its kind (an all-bank one staggers its banks by itself).
        needs, supplies: operands it takes and gives; ``array`` is kept by bank group.
        wtr_written, wtr_read: what a write burst changes and a read looks at, where tWTR_L and not tWTR_S separates
            them: ``array`` (by bank group) or ``registers``. A register read goes through the paths of all groups.
        mode: it changes the mode of its banks.
        upkeep, power: what it refreshes, and whether it changes the power state.
    """

    span: Span
    row: Row = Row.NONE
    after_act: str = ""
    senses: bool = False
    stores: str = ""
    bus: str = ""
    data_after: str = ""
    inside: str = ""
    paths: frozenset[str] = frozenset()
    staggers: bool = False
    needs: frozenset[str] = frozenset()
    supplies: tuple[Supply, ...] = ()
    wtr_written: frozenset[str] = frozenset()
    wtr_read: frozenset[str] = frozenset()
    mode: bool = False
    upkeep: Upkeep = Upkeep.NONE
    power: Power = Power.NONE

    @property
    def turn(self) -> str:
        """Direction in which it drives the data paths."""
        return self.bus or self.inside

    @property
    def is_column(self) -> bool:
        """Whether it goes over the column command bus, where there is one."""
        return bool(self.paths or self.bus)


Traits = Mapping[str, Trait]


def words(text: str) -> frozenset[str]:
    """A set of words."""
    return frozenset(text.split())


READ_PATHS, WRITE_PATHS = words("read group-read"), words("write group-write")


def read(row: Row) -> Trait:
    """A read of one bank over the external bus."""
    return Trait(Span.BANK, row, "tRCDRD", senses=True, bus="read", data_after="tCL", paths=READ_PATHS,
                 wtr_read=words("array"))  # fmt: skip


def write(row: Row, *supplies: Supply) -> Trait:
    """A write to one bank over the external bus."""
    return Trait(Span.BANK, row, "tRCDWR", stores="burst", bus="write", data_after="tCWL", paths=WRITE_PATHS,
                 supplies=supplies, wtr_written=words("array"))  # fmt: skip


def dram(
    all_banks: Span, power: Span | None = None, per_bank: str = "pb", per_bank_span: Span = Span.BANK, managed: bool = False
) -> dict[str, Trait]:
    """The commands of plain DRAM.

    Args:
        all_banks: span of PREA, REFab and RFMab.
        power: span of the power commands; None where there are none.
        per_bank: suffix of the per-bank forms of refresh (``pb`` or ``sb``), "" where there are none.
        per_bank_span: span of these forms.
        managed: whether there is refresh management.
    """
    traits = {
        "ACT": Trait(Span.BANK, Row.OPEN, staggers=True),
        "PRE": Trait(Span.BANK, Row.CLOSE),
        "PREA": Trait(all_banks, Row.CLOSE),
        "RD": read(Row.ACCESS),
        "RDA": read(Row.AUTO_CLOSE),
        "WR": write(Row.ACCESS),
        "WRA": write(Row.AUTO_CLOSE),
        "REFab": Trait(all_banks, Row.REST, upkeep=Upkeep.REFRESH_ALL),
    }
    if per_bank:
        traits[f"REF{per_bank}"] = Trait(per_bank_span, Row.REST, upkeep=Upkeep.REFRESH_BANK)
    if per_bank_span == Span.STRIPE:
        traits["PREsb"] = Trait(Span.STRIPE, Row.CLOSE)
    if managed:
        traits["RFMab"] = Trait(all_banks, Row.REST, upkeep=Upkeep.MANAGE_ALL)
        traits[f"RFM{per_bank}"] = Trait(per_bank_span, Row.REST, upkeep=Upkeep.MANAGE_BANK)
    if power is not None:
        traits["PDE"] = Trait(power, power=Power.DOWN)
        traits["PDX"] = Trait(power, power=Power.UP)
        traits["SRE"] = Trait(power, Row.REST, power=Power.SLEEP)
        traits["SRX"] = Trait(power, power=Power.WAKE)
    return traits
