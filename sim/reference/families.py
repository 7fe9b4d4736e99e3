"""The standards as the legality checker sees them: each one's commands, and over which banks its parts are shared."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .aim import AIM
from .hbmpim import ATTACC, HBM_PIM
from .traits import Row, Span, Traits, dram


@dataclass(frozen=True)
class Family:
    """One standard.

    Attributes:
        traits: its commands.
        array: over which banks activations (tRRDS, tFAW), precharges (tPPD), turnarounds (tRTW, tWTRS), and
            refreshes of single banks (tRREFD) are spaced.
        columns: over which banks column commands of one direction are spaced by tCCDS.
        operands: over which banks operands and results are shared that are not kept in the array.
        group_bursts: bursts of its own length for which a write keeps its bank group busy.
        split_bus: row and column commands have buses of their own.
        half_clocks: how long a command stays on its bus, in halves of a clock, where that is not one clock.
        ticks_per_clock: 2 where commands may begin at half clocks.
    """

    traits: Traits
    array: Span = Span.CHANNEL
    columns: Span = Span.CHANNEL
    operands: Span = Span.CHANNEL
    group_bursts: int = 1
    split_bus: bool = False
    half_clocks: Mapping[str, int] = field(default_factory=dict[str, int])
    ticks_per_clock: int = 1

    def length(self, name: str) -> int:
        """Half clocks for which the command ``name`` stays on its bus."""
        return self.half_clocks.get(name, 2)


def _hbm3_lengths(traits: Traits) -> dict[str, int]:
    """An activation lasts one and a half clocks, other row commands half a clock, column commands one."""
    return {name: 3 if trait.row == Row.OPEN else 1 for name, trait in traits.items() if not trait.is_column}


_DDR5 = dram(Span.RANK, Span.RANK, per_bank="sb", per_bank_span=Span.STRIPE, managed=True)
_GDDR6 = dram(Span.CHANNEL, Span.CHANNEL)
_HBM2 = dram(Span.PSEUDO, Span.CHANNEL)
_HBM3 = dram(Span.PSEUDO, Span.CHANNEL, managed=True)
_HBM3_PIM = _HBM3 | ATTACC
_TWO_CLOCKS = {name: 4 for name in ("ACT", "RD", "WR", "RDA", "WRA")}

FAMILIES: dict[str, Family] = {
    "ddr4": Family(dram(Span.RANK, Span.RANK, per_bank=""), Span.RANK, Span.RANK),
    "ddr5": Family(_DDR5, Span.RANK, Span.RANK, half_clocks=_TWO_CLOCKS),
    "lpddr5": Family(dram(Span.RANK, Span.RANK, managed=True), Span.RANK, Span.RANK, group_bursts=2, half_clocks={"ACT": 4}),
    "gddr6": Family(_GDDR6),
    "gddr6-pim": Family(_GDDR6 | AIM),
    "hbm2": Family(_HBM2, Span.PSEUDO, Span.PSEUDO, split_bus=True, half_clocks={"ACT": 4}),
    "hbm2e": Family(_HBM2, Span.PSEUDO, Span.RANK, split_bus=True, half_clocks={"ACT": 4}),
    "hbm3": Family(_HBM3, Span.PSEUDO, Span.RANK, split_bus=True, half_clocks=_hbm3_lengths(_HBM3), ticks_per_clock=2),
    "hbm-pim": Family(
        _HBM2 | HBM_PIM, Span.PSEUDO, Span.PSEUDO, Span.PSEUDO, split_bus=True, half_clocks={"ACT": 4, "ACTHAB": 4}
    ),
    "hbm3-pim": Family(
        _HBM3_PIM, Span.PSEUDO, Span.RANK, Span.BANK, split_bus=True, half_clocks=_hbm3_lengths(_HBM3_PIM), ticks_per_clock=2
    ),
}
"""Standard -> family."""


def family_of(standard: str) -> Family:
    """The family of a standard.

    Raises:
        ValueError: the checker does not know it.
    """
    if standard not in FAMILIES:
        raise ValueError(f"the checker does not know the standard {standard}")
    return FAMILIES[standard]
