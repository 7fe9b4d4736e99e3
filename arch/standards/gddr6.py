"""GDDR6: commands and timing rules.

Rule numbers (C1 to C32) are those of the table of core edges in ``docs/models.md``; values live in ``presets/dram``.
A rule that peers are known to miss says so. Sources: JESD250 as encoded by public simulators; no vendor text was read.
"""

from ..spec import Command, DramStandard, Level, RowEffect, Term, TimingRule

BANK, GROUP, CHANNEL = Level.BANK, Level.BANKGROUP, Level.CHANNEL
WRITE_TO_PRECHARGE = "nCWL + nBL + nWR"

COMMANDS = (
    Command("ACT", BANK, RowEffect.OPEN, frozenset({"act", "act_rrd"})),
    Command("PRE", BANK, RowEffect.CLOSE, frozenset({"pre"})),
    Command("PREA", CHANNEL, RowEffect.CLOSE, frozenset({"pre"})),
    Command("RD", BANK, RowEffect.ACCESS, frozenset({"rd"}), "read"),
    Command("WR", BANK, RowEffect.ACCESS, frozenset({"wr"}), "write"),
    Command("RDA", BANK, RowEffect.ACCESS_CLOSE, frozenset({"rd"}), "read"),
    Command("WRA", BANK, RowEffect.ACCESS_CLOSE, frozenset({"wr"}), "write"),
    Command("REFab", CHANNEL, RowEffect.REFRESH, frozenset({"ref"})),
    Command("REFpb", BANK, RowEffect.REFRESH, frozenset({"ref"})),
)


def rule(
    name: str, scope: Level, pre: str, post: str, latency: str, term: Term, window: int = 1
) -> TimingRule:
    return TimingRule(name, scope, tuple(pre.split()), tuple(post.split()), latency, term, window)


RULES = (
    rule("tCMD", CHANNEL, "any", "any", "nCMD", Term.COMMAND_BUS),  # C23
    # rows
    rule("tRC", BANK, "act", "act", "nRC", Term.ACTIVATE),  # C1
    rule("tRCDRD", BANK, "act", "rd", "nRCDRD", Term.ACTIVATE),  # C2
    rule("tRCDWR", BANK, "act", "wr", "nRCDWR", Term.ACTIVATE),  # C2
    rule("tRAS", BANK, "act", "pre", "nRAS", Term.ACTIVATE),  # C3
    rule("tRP", BANK, "pre", "act", "nRP", Term.PRECHARGE),  # C4
    rule("tRTP", BANK, "rd", "pre", "nRTP", Term.READ_TO_PRECHARGE),  # C5, C10
    rule("tWR", BANK, "wr", "pre", WRITE_TO_PRECHARGE, Term.WRITE_RECOVERY),  # C6, C10
    rule("tRDA-ACT", BANK, "RDA", "act", "nRTP + nRP", Term.PRECHARGE),  # C7; tRAS is covered by tRC
    rule("tWRA-ACT", BANK, "WRA", "act", WRITE_TO_PRECHARGE + " + nRP", Term.PRECHARGE),  # C8
    # C9, missed by most peers: the implicit precharge must not cut write recovery short
    rule("tWR-RDA", BANK, "WR", "RDA", "nCWL + nBL + max(nWR - nRTP, nWTRL)", Term.WRITE_RECOVERY),
    rule("tRRDS", CHANNEL, "act_rrd", "act_rrd", "nRRDS", Term.ACTIVATE),  # C19
    rule("tRRDL", GROUP, "act_rrd", "act_rrd", "nRRDL", Term.ACTIVATE),  # C19
    rule("tFAW", CHANNEL, "act", "act", "nFAW", Term.ACTIVATE, window=4),  # C20
    rule("tPPD", CHANNEL, "pre", "pre", "nPPD", Term.PRECHARGE),  # C22, both directions
    # columns and the data bus
    rule("tCCDS-RD", CHANNEL, "rd", "rd", "nCCDS", Term.COLUMN),  # C12
    rule("tCCDL-RD", GROUP, "rd", "rd", "nCCDL", Term.COLUMN),  # C11
    rule("tCCDS-WR", CHANNEL, "wr", "wr", "nCCDS", Term.COLUMN),
    rule("tCCDL-WR", GROUP, "wr", "wr", "nCCDL", Term.COLUMN),
    rule("tBL-RD", CHANNEL, "rd", "rd", "nBL", Term.BUFFER_IO),  # C13
    rule("tBL-WR", CHANNEL, "wr", "wr", "nBL", Term.BUFFER_IO),
    rule("tRTW", CHANNEL, "rd", "wr", "nCL + nBL + nBTA - nCWL", Term.TURNAROUND),  # C15
    rule("tWTRS", CHANNEL, "wr", "rd", "nCWL + nBL + nWTRS", Term.TURNAROUND),  # C16
    rule("tWTRL", GROUP, "wr", "rd", "nCWL + nBL + nWTRL", Term.TURNAROUND),  # C17
    # refresh
    rule("tRC-REFab", CHANNEL, "act", "REFab", "nRC", Term.REFRESH),  # C24
    rule("tRP-REFab", CHANNEL, "pre", "REFab", "nRP", Term.REFRESH),
    rule("tRDA-REFab", CHANNEL, "RDA", "REFab", "nRTP + nRP", Term.REFRESH),
    rule("tWRA-REFab", CHANNEL, "WRA", "REFab", WRITE_TO_PRECHARGE + " + nRP", Term.REFRESH),
    rule("tRFCab", CHANNEL, "REFab", "any", "nRFCab", Term.REFRESH),  # C25: the device takes nothing meanwhile
    rule("tRC-REFpb", BANK, "act", "REFpb", "nRC", Term.REFRESH),  # C30
    rule("tRP-REFpb", BANK, "pre", "REFpb", "nRP", Term.REFRESH),
    rule("tRDA-REFpb", BANK, "RDA", "REFpb", "nRTP + nRP", Term.REFRESH),
    rule("tWRA-REFpb", BANK, "WRA", "REFpb", WRITE_TO_PRECHARGE + " + nRP", Term.REFRESH),
    rule("tRRDS-REFpb", CHANNEL, "act_rrd", "REFpb", "nRRDS", Term.REFRESH),  # C30, strict (D6)
    rule("tRRDL-REFpb", GROUP, "act_rrd", "REFpb", "nRRDL", Term.REFRESH),
    rule("tRFCpb-ACT", BANK, "REFpb", "act", "nRFCpb", Term.REFRESH),  # C26
    rule("tRFCpb-REFpb", BANK, "REFpb", "REFpb", "nRFCpb", Term.REFRESH),  # C26
    rule("tRFCpb-REFab", CHANNEL, "REFpb", "REFab", "nRFCpb", Term.REFRESH),  # C27
    rule("tRREFD-ACT", CHANNEL, "REFpb", "act", "nRREFD", Term.REFRESH),  # C28
    rule("tRREFD-REFpb", CHANNEL, "REFpb", "REFpb", "nRREFD", Term.REFRESH),  # C28
)

TIMING = {
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
    "tBTA": "idle time on the data bus between a read and a write burst",
    "tWTRS": "end of write burst to RD, another bank group",
    "tWTRL": "end of write burst to RD, same bank group",
    "tRFCab": "REFab to the next command",
    "tRFCpb": "REFpb to ACT, same bank",
    "tRREFD": "REFpb to ACT or REFpb, another bank",
}

DERIVED = {"nBL": "clock cycles of one burst on the data bus: access size over (width x pin rate)"}

GDDR6 = DramStandard("gddr6", COMMANDS, RULES, TIMING, DERIVED)
