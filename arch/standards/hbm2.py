"""HBM2 and HBM2E: commands and timing rules of a channel in pseudo-channel mode; values live in ``presets/dram``.

The pseudo-channels of a channel share the row command bus and the column command bus, which work side by side. Each has
its own banks, its own part of the data bus (64 bit, burst of 4: 32 B) and its own array timing, so that what DDR counts
over a rank counts over a pseudo-channel here. Only power-down and self-refresh belong to the channel: it has one CKE.

ACT takes two clocks on the row bus and timing counts from the second. :meth:`~rowline.arch.spec.DramStandard.gap` puts
that in: here PRE to ACT is plainly tRP (tRP - 1 between issues) and ACT to RD plainly tRCDRD (tRCDRD + 1).

HBM2E adds stack IDs: ranks of a pseudo-channel. Reads within one wait tCCDS, of two tCCDR (C14, D5: never across
pseudo-channels, as DRAMSys had it until 5.4); writes of two share nothing but the data bus.

Sources: JESD235 as encoded by Ramulator 2.1 (c5b1c3a) and DRAMSys 5.5 (2107966); no JEDEC text was read. tRTP is the
longer one (same bank group) where a device has two, as both peers count it.
"""

from collections.abc import Iterable
from dataclasses import replace

from ..spec import Command, DramStandard, Term, TimingRule
from .common import (
    CHANNEL,
    DERIVED,
    PSEUDO,
    RANK,
    REFPB,
    WRITE_TO_PRECHARGE,
    bank_refresh_rules,
    closed_rules,
    column_rules,
    core_commands,
    power_commands,
    read_to_write_rules,
    refresh_rules,
    row_rules,
    rule,
    timing_of,
    write_to_read_rules,
)

# C23: one command a clock on each of the two command buses
BUS_RULES = (
    rule("tROW", CHANNEL, "row", "row", "1", Term.COMMAND_BUS),
    rule("tCOL", CHANNEL, "col", "col", "1", Term.COMMAND_BUS),
)

STACK_RULES = (rule("tCCDR", RANK, "rd", "rd", "nCCDR", Term.COLUMN, sibling=True),)  # C14

STACK_TIMING = {"tCCDR": "RD to RD, another stack ID of the pseudo-channel"}


def on_bus(bus: str, commands: Iterable[Command], act_half_clocks: int = 4, half_clocks: int = 2) -> tuple[Command, ...]:
    """``commands`` with the bus that each takes, ``row`` or ``col``, as one more class, and its length there."""
    return tuple(
        replace(c, classes=c.classes | {bus}, half_clocks=act_half_clocks if c.is_a("act") else half_clocks) for c in commands
    )


def hbm_power_rules(ticks: int) -> tuple[TimingRule, ...]:
    """C33, of which only DRAMSys has all. ``ticks`` of a clock, by which the last burst is to be over before PDE.

    One clock from ACT, PRE or a refresh to PDE is what the row bus asks for anyway.
    """
    return (
        *closed_rules("SRE", CHANNEL, "SRE", Term.POWER_DOWN),
        rule("tRD-PDE", CHANNEL, "rd", "PDE SRE", f"nCL + nBL + {ticks}", Term.POWER_DOWN),
        rule("tWR-PDE", CHANNEL, "wr", "PDE SRE", f"{WRITE_TO_PRECHARGE} + {ticks}", Term.POWER_DOWN),
        rule("tCKE", CHANNEL, "PDE", "PDX", "nCKE", Term.POWER_DOWN),
        rule("tXP", CHANNEL, "PDX", "any", "nXP", Term.POWER_DOWN),
        rule("tCKESR", CHANNEL, "SRE", "SRX", "nCKESR", Term.POWER_DOWN),
        rule("tXS", CHANNEL, "SRX", "any", "nXS", Term.POWER_DOWN),
    )


_CORE = core_commands(PSEUDO)
ROW_COMMANDS = (*(c for c in _CORE if not c.bus), REFPB)
COLUMN_COMMANDS = tuple(c for c in _CORE if c.bus)
POWER_COMMANDS = power_commands(CHANNEL)

COMMANDS = on_bus("row", ROW_COMMANDS) + on_bus("col", COLUMN_COMMANDS) + on_bus("row", POWER_COMMANDS)

_BEFORE = BUS_RULES + row_rules(PSEUDO, "REFpb", precharges_apart=False)
_AFTER = (
    *read_to_write_rules(PSEUDO, PSEUDO),
    *write_to_read_rules(PSEUDO),
    *refresh_rules(PSEUDO),
    *bank_refresh_rules(PSEUDO),
    *hbm_power_rules(1),
)

RULES = (*_BEFORE, *column_rules(PSEUDO, PSEUDO), *_AFTER)
HBM2 = DramStandard("hbm2", COMMANDS, RULES, timing_of(RULES, {}), DERIVED)

STACKED_RULES = (*_BEFORE, *column_rules(RANK, PSEUDO), *STACK_RULES, *_AFTER)
HBM2E = DramStandard("hbm2e", COMMANDS, STACKED_RULES, timing_of(STACKED_RULES, STACK_TIMING), DERIVED)
