"""What the standards share: the core commands and edges, as functions of the level at which a standard counts them.

A standard is put together from these and its own rules. ``scope`` is the level whose banks share row and column
resources: RANK for DDR and LPDDR (one stack ID or pseudo-channel of HBM, as its module says), CHANNEL for GDDR6.
Rule numbers (C1 to C33) are those of the table of core edges in ``docs/models.md``. An edge that peers are known to miss says
so. Sources: the standards as encoded by public simulators (Ramulator 2.1, DRAMSys 5.5, DRAMsim3, gem5); no JEDEC or
vendor text was read.

Classes of commands that rules name:

=========== ==========================================================================================================
act         opens rows; ``act_rrd`` those whose spacing tRRD governs
pre         closes rows
rd, wr      column commands, with and without auto-precharge
ref         all-bank and per-bank refresh and refresh management: REFab, REFpb, RFMab, RFMpb
ref_all     the two of them that need every bank closed
ref_one     the two of them that need one bank (or a stripe) closed
power       power-down and self-refresh, entry and exit
=========== ==========================================================================================================
"""

import re
from collections.abc import Iterable, Mapping

from ..spec import Command, Level, RowEffect, Term, TimingRule

BANK, GROUP, RANK, PSEUDO, CHANNEL = Level
WRITE_TO_PRECHARGE = "nCWL + nBL + nWR"
WRITE_TO_CLOSED = WRITE_TO_PRECHARGE + " + nRP"
BLOCKED = "act pre rd wr ref SRE"
"""What a refresh of all banks keeps waiting: all but power-down, which may be entered while it runs."""


def command(
    name: str, footprint: Level, row: RowEffect, classes: str, bus: str = "", clocks: int = 1, *, stripe: bool = False
) -> Command:
    """One command; ``classes`` is a blank-separated text, ``clocks`` its length on the command bus."""
    return Command(name, footprint, row, frozenset(classes.split()), bus, 2 * clocks, stripe)


def rule(
    name: str, scope: Level, pre: str, post: str, latency: str, term: Term, window: int = 1,
    *, sibling: bool = False, new_round: bool = False,
) -> TimingRule:  # fmt: skip
    """One timing rule; ``pre`` and ``post`` are blank-separated classes and names of commands."""
    return TimingRule(name, scope, tuple(pre.split()), tuple(post.split()), latency, term, window, sibling, new_round)


# commands


def core_commands(scope: Level, act_clocks: int = 1, column_clocks: int = 1) -> tuple[Command, ...]:
    """ACT, PRE, PREA, RD, WR, RDA, WRA and REFab; PREA and REFab touch all banks of ``scope``."""
    access, close = RowEffect.ACCESS, RowEffect.ACCESS_CLOSE
    return (
        command("ACT", BANK, RowEffect.OPEN, "act act_rrd", clocks=act_clocks),
        command("PRE", BANK, RowEffect.CLOSE, "pre"),
        command("PREA", scope, RowEffect.CLOSE, "pre"),
        command("RD", BANK, access, "rd", "read", column_clocks),
        command("WR", BANK, access, "wr", "write", column_clocks),
        command("RDA", BANK, close, "rd", "read", column_clocks),
        command("WRA", BANK, close, "wr", "write", column_clocks),
        command("REFab", scope, RowEffect.REFRESH, "ref ref_all"),
    )


REFPB = command("REFpb", BANK, RowEffect.REFRESH, "ref ref_one")
RFMPB = command("RFMpb", BANK, RowEffect.IDLE, "ref ref_one")


def rfm_all(scope: Level) -> Command:
    """RFMab: refresh management of all banks of ``scope``."""
    return command("RFMab", scope, RowEffect.IDLE, "ref ref_all")


def power_commands(scope: Level) -> tuple[Command, ...]:
    """Entry and exit of power-down (rows may be open) and of self-refresh (all banks closed)."""
    return (
        command("PDE", scope, RowEffect.NONE, "power"),
        command("PDX", scope, RowEffect.NONE, "power"),
        command("SRE", scope, RowEffect.IDLE, "power"),
        command("SRX", scope, RowEffect.NONE, "power"),
    )


# rules


COMMAND_BUS = rule("tCMD", CHANNEL, "any", "any", "nCMD", Term.COMMAND_BUS)  # C23; HBM has two buses


def activation_window(name: str, scope: Level, latency: str, window: int, refresh_bank: str) -> TimingRule:
    """C20, C21. Per-bank refresh stands in the same window; whether it counts is up to the device (D1)."""
    both = f"act {refresh_bank}".strip()
    return rule(name, scope, both, both, latency, Term.ACTIVATE, window)


def row_rules(scope: Level, refresh_bank: str = "", *, precharges_apart: bool = True) -> tuple[TimingRule, ...]:
    """Opening and closing rows. ``precharges_apart``: the standard has tPPD."""
    apart = (rule("tPPD", scope, "pre", "pre", "nPPD", Term.PRECHARGE),)  # C22, both directions
    return (
        rule("tRC", BANK, "act", "act", "nRC", Term.ACTIVATE),  # C1
        rule("tRCDRD", BANK, "act", "rd", "nRCDRD", Term.ACTIVATE),  # C2
        rule("tRCDWR", BANK, "act", "wr", "nRCDWR", Term.ACTIVATE),  # C2
        rule("tRAS", BANK, "act", "pre", "nRAS", Term.ACTIVATE),  # C3
        rule("tRP", BANK, "pre", "act", "nRP", Term.PRECHARGE),  # C4
        rule("tRTP", BANK, "rd", "pre", "nRTP", Term.READ_TO_PRECHARGE),  # C5, C10
        rule("tWR", BANK, "wr", "pre", WRITE_TO_PRECHARGE, Term.WRITE_RECOVERY),  # C6, C10
        rule("tRDA-ACT", BANK, "RDA", "act", "nRTP + nRP", Term.PRECHARGE),  # C7; tRAS is covered by tRC
        rule("tWRA-ACT", BANK, "WRA", "act", WRITE_TO_CLOSED, Term.PRECHARGE),  # C8
        # C9, missed by most peers: the implicit precharge must not cut write recovery short
        rule("tWR-RDA", BANK, "WR", "RDA", "nCWL + nBL + max(nWR - nRTP, nWTRL)", Term.WRITE_RECOVERY),
        rule("tRRDS", scope, "act_rrd", "act_rrd", "nRRDS", Term.ACTIVATE),  # C19
        rule("tRRDL", GROUP, "act_rrd", "act_rrd", "nRRDL", Term.ACTIVATE),  # C19
        activation_window("tFAW", scope, "nFAW", 4, refresh_bank),  # C20
        *(apart if precharges_apart else ()),
    )


def column_rules(scope: Level, bus: Level, write_group: str = "nCCDL") -> tuple[TimingRule, ...]:
    """Column commands of one direction, and their bursts on the data bus that the banks of ``bus`` share."""
    return (
        rule("tCCDS-RD", scope, "rd", "rd", "nCCDS", Term.COLUMN),  # C12
        rule("tCCDL-RD", GROUP, "rd", "rd", "nCCDL", Term.COLUMN),  # C11
        rule("tCCDS-WR", scope, "wr", "wr", "nCCDS", Term.COLUMN),
        rule("tCCDL-WR", GROUP, "wr", "wr", write_group, Term.COLUMN),
        rule("tBL-RD", bus, "rd", "rd", "nBL", Term.BUFFER_IO),  # C13
        rule("tBL-WR", bus, "wr", "wr", "nBL", Term.BUFFER_IO),
    )


def write_to_read_rules(scope: Level, group_burst: str = "nBL") -> tuple[TimingRule, ...]:
    """C16, C17: from the end of the write burst, which keeps its own bank group busy for ``group_burst``."""
    return (
        rule("tWTRS", scope, "wr", "rd", "nCWL + nBL + nWTRS", Term.TURNAROUND),
        rule("tWTRL", GROUP, "wr", "rd", f"nCWL + {group_burst} + nWTRL", Term.TURNAROUND),
    )


def read_to_write_rules(scope: Level, bus: Level) -> tuple[TimingRule, ...]:
    """C15. Peers use five formulae for the gap, so it is a value of the preset; the bursts must not meet either."""
    return (
        rule("tRTW", scope, "rd", "wr", "nRTW", Term.TURNAROUND),
        rule("tRTW-BUS", bus, "rd", "wr", "nCL + nBL - nCWL", Term.TURNAROUND),
    )


def rank_rules() -> tuple[TimingRule, ...]:
    """C18: bursts of different ranks stay a bubble apart. Peers swap signs here (LPDDR5) or leave WR to WR out."""
    return (
        rule("tRTRS-RD-RD", RANK, "rd", "rd", "nBL + nRTRS", Term.BUFFER_IO, sibling=True),
        rule("tRTRS-RD-WR", RANK, "rd", "wr", "nCL + nBL + nRTRS - nCWL", Term.TURNAROUND, sibling=True),
        rule("tRTRS-WR-RD", RANK, "wr", "rd", "nCWL + nBL + nRTRS - nCL", Term.TURNAROUND, sibling=True),
        rule("tRTRS-WR-WR", RANK, "wr", "wr", "nBL + nRTRS", Term.BUFFER_IO, sibling=True),
    )


def closed_rules(name: str, scope: Level, following: str, term: Term) -> tuple[TimingRule, ...]:
    """Banks are closed and recovered before ``following``, a command that needs them so; rules end in ``-name``."""
    return (
        rule(f"tRC-{name}", scope, "act", following, "nRC", term),
        rule(f"tRP-{name}", scope, "pre", following, "nRP", term),
        rule(f"tRDA-{name}", scope, "RDA", following, "nRTP + nRP", term),
        rule(f"tWRA-{name}", scope, "WRA", following, WRITE_TO_CLOSED, term),
    )


def refresh_rules(scope: Level) -> tuple[TimingRule, ...]:
    """All-bank refresh, and what must be closed before refresh management of all banks (C31)."""
    return (
        *closed_rules("REFab", scope, "ref_all", Term.REFRESH),  # C24
        # C25: the device takes nothing meanwhile; several peers lack REFab to REFab and REFab to REFpb
        rule("tRFCab", scope, "REFab", BLOCKED, "nRFCab", Term.REFRESH),
    )


def bank_refresh_rules(scope: Level, name: str = "REFpb", other_act: str = "nRREFD") -> tuple[TimingRule, ...]:
    """Per-bank refresh ``name``: REFpb, or REFsb over a stripe; ``other_act`` is its gap to ACT of another bank."""
    return (
        *closed_rules(name, BANK, "ref_one", Term.REFRESH),  # C30
        rule(f"tRRDS-{name}", scope, "act_rrd", "ref_one", "nRRDS", Term.REFRESH),  # C30, strict (D6)
        rule(f"tRRDL-{name}", GROUP, "act_rrd", "ref_one", "nRRDL", Term.REFRESH),
        rule("tRFCpb-ACT", BANK, name, "act", "nRFCpb", Term.REFRESH),  # C26
        rule(f"tRFCpb-{name}", BANK, name, "ref_one", "nRFCpb", Term.REFRESH),  # C26
        rule("tRFCpb-REFab", scope, name, "ref_all SRE", "nRFCpb", Term.REFRESH),  # C27
        rule("tRREFD-ACT", scope, name, "act", other_act, Term.REFRESH),  # C28
        rule(f"tRREFD-{name}", scope, name, "ref_one", "nRREFD", Term.REFRESH),  # C28
        # C29, only DRAMSys has it: the last refresh of a round ends before the next round begins (D7)
        rule("tRFCpb-ROUND", scope, name, name, "nRFCpb", Term.REFRESH, new_round=True),
    )


def management_rules(scope: Level, name: str = "RFMpb", other_act: str = "nRREFD") -> tuple[TimingRule, ...]:
    """C31: refresh management keeps banks busy as refresh does; peers lack RFMpb to RFMpb.

    What must happen before it stands in :func:`refresh_rules` and :func:`bank_refresh_rules`.
    """
    return (
        rule("tRFMab", scope, "RFMab", BLOCKED, "nRFMab", Term.REFRESH),
        rule("tRFMpb-ACT", BANK, name, "act ref_one", "nRFMpb", Term.REFRESH),
        rule("tRFMpb-REFab", scope, name, "ref_all SRE", "nRFMpb", Term.REFRESH),
        rule(f"tRREFD-{name}", scope, name, "ref_one", "nRREFD", Term.REFRESH),
        rule(f"tRREFD-{name}-ACT", scope, name, "act", other_act, Term.REFRESH),
    )


def power_rules(scope: Level) -> tuple[TimingRule, ...]:
    """C33: power-down and self-refresh. One clock from ACT, PRE or a refresh to PDE is what tCMD asks for anyway."""
    return (
        *closed_rules("SRE", scope, "SRE", Term.POWER_DOWN),
        rule("tRD-PDE", scope, "rd", "PDE SRE", "nCL + nBL + nCMD", Term.POWER_DOWN),
        rule("tWR-PDE", scope, "wr", "PDE SRE", WRITE_TO_PRECHARGE + " + nCMD", Term.POWER_DOWN),
        rule("tCKE", scope, "PDE", "PDX", "nCKE", Term.POWER_DOWN),
        rule("tXP", scope, "PDX", "any", "nXP", Term.POWER_DOWN),
        rule("tCKESR", scope, "SRE", "SRX", "nCKESR", Term.POWER_DOWN),
        rule("tXS", scope, "SRX", "any", "nXS", Term.POWER_DOWN),
    )


# parameters

DERIVED = {"nBL": "clock cycles of one burst on the data bus: access size over (width x pin rate)"}

MEANING = {
    "tCMD": "one command on the command bus",
    "tRC": "ACT to ACT, same bank",
    "tRCDRD": "ACT to RD",
    "tRCDWR": "ACT to WR",
    "tRAS": "ACT to PRE",
    "tRP": "PRE to ACT",
    "tRTP": "RD to PRE",
    "tWR": "end of write burst to PRE",
    "tRRDS": "ACT to ACT, another bank group",
    "tRRDL": "ACT to ACT, same bank group",
    "tFAW": "window of four bank activations",
    "tPPD": "PRE to PRE",
    "tCL": "RD to first data",
    "tCWL": "WR to first data",
    "tCCDS": "column to column, another bank group",
    "tCCDL": "column to column, same bank group",
    "tRTW": "RD to WR",
    "tWTRS": "end of write burst to RD, another bank group",
    "tWTRL": "end of write burst to RD, same bank group",
    "tRTRS": "idle time on the data bus between bursts of different ranks",
    "tRFCab": "REFab to the next command",
    "tRFCpb": "REFpb to ACT, same bank",
    "tRREFD": "REFpb to ACT or REFpb, another bank",
    "tRFMab": "RFMab to the next command",
    "tRFMpb": "RFMpb to ACT, same bank",
    "tCKE": "shortest power-down",
    "tXP": "power-down exit to the next command",
    "tCKESR": "shortest self-refresh",
    "tXS": "self-refresh exit to the next command",
}


def timing_of(rules: Iterable[TimingRule], own: Mapping[str, str]) -> dict[str, str]:
    """The timing parameters that ``rules`` use, with their meanings; ``own`` adds or replaces meanings."""
    used = dict.fromkeys(name for each in rules for name in re.findall(r"\bn[A-Z0-9]\w*", each.latency))
    meaning = {**MEANING, **own}
    return {"t" + name[1:]: meaning["t" + name[1:]] for name in used if name not in DERIVED}
