"""HBM3 with near-bank GEMV units and a softmax unit on the buffer die, as AttAcc has it: the commands on top of :mod:`.hbm3`.

=================== ====================================================================================================
ACTAB, PREAB, MACAB open, close, multiply-accumulate in every bank of the channel (PREAB is AttAcc's PREA)
ACTSB, PRESB, MACSB the same in one bank, of one number, of each bank group of a stack ID
ACTPB, PREPB, MACPB the same in one bank, whose column goes to the GEMV unit of the buffer die. AttAcc broadcasts these to
                    both pseudo-channels; here each takes a command of its own, see ``docs/pim-hbm.md``
WRGB                write the buffer of GEMV units from the data bus
MVSB, MVGB          move results to the softmax unit, and its results to the buffer of GEMV units
SFM                 softmax
=================== ====================================================================================================

Gaps are those of attacc_simulator (c600051), which holds them between its own commands only. Here the classes act, pre and
mac bind multi-bank and plain commands alike, so what it lacks comes in: ACT to ACTAB and back (tRC), RD and WR to MACs in
one bank group (tCCDL, tWTRL), PRE and PREA to every ACT, refresh of one bank, ACT to MAC and MAC to PRE of any form. Added
on purpose, with parameters: operands (WRGB or MVGB to MAC, MAC to MVSB, softmax), turnarounds of WRGB on the data bus.
Multi-bank activations stand in no window and no tRRD, as there (D9): its power limit is the spacing of the MACs.
"""

from ..spec import DramStandard, RowEffect, Term
from .common import (
    BANK,
    CHANNEL,
    DERIVED,
    GROUP,
    PSEUDO,
    RANK,
    command,
    rule,
    timing_of,
)
from .hbm2 import on_bus
from .hbm3 import ACT_HALVES, COMMANDS, ROW_HALVES, RULES, STACK_TIMING, TICKS_PER_CLOCK

_OPEN, _CLOSE, _ACCESS, _NONE = RowEffect.OPEN, RowEffect.CLOSE, RowEffect.ACCESS, RowEffect.NONE

# mac: reads the array for a GEMV unit; path: takes the data path between a bank and the buffer die, as RD and WR do;
# operand: fills a buffer that MACs read
PIM_COMMANDS = (
    *on_bus(
        "row",
        (
            command("ACTAB", CHANNEL, _OPEN, "act"),
            command("ACTSB", RANK, _OPEN, "act", stripe=True),
            command("ACTPB", BANK, _OPEN, "act act_rrd"),
            command("PREAB", CHANNEL, _CLOSE, "pre"),
            command("PRESB", RANK, _CLOSE, "pre", stripe=True),
            command("PREPB", BANK, _CLOSE, "pre"),
        ),
        ACT_HALVES,
        ROW_HALVES,
    ),
    *on_bus(
        "col",
        (
            command("MACAB", CHANNEL, _ACCESS, "mac"),
            command("MACSB", RANK, _ACCESS, "mac", stripe=True),
            command("MACPB", BANK, _ACCESS, "mac path"),
            command("WRGB", BANK, _NONE, "path operand", "write"),
            command("MVSB", BANK, _NONE, "path"),
            command("MVGB", BANK, _NONE, "path operand"),
            command("SFM", CHANNEL, _NONE, "path"),
        ),
    ),
)

PIM_RULES = (
    # rows
    rule("tRCDRD-MAC", BANK, "act", "mac", "nRCDRD", Term.ACTIVATE),
    rule("tRTP-MAC", BANK, "mac", "pre", "nRTP", Term.READ_TO_PRECHARGE),
    # MACs: power limit (AttAcc), the unit's own rate, and the arrays of a bank group, which reads and writes use too
    rule("tCCDAB", CHANNEL, "MACAB", "MACAB MACSB", "nCCDAB", Term.COLUMN),
    rule("tCCDSB", CHANNEL, "MACSB", "MACAB MACSB", "nCCDSB", Term.COLUMN),
    rule("tMAC", BANK, "mac", "mac", "nMAC", Term.COLUMN),
    rule("tCCDL-MAC", GROUP, "rd mac", "mac", "nCCDL", Term.COLUMN),
    rule("tCCDL-MAC-RD", GROUP, "mac", "rd wr", "nCCDL", Term.COLUMN),
    rule("tWTRL-MAC", GROUP, "wr", "mac", "nCWL + nBL + nWTRL", Term.TURNAROUND),
    # the data path to the buffer die: what moves on it keeps the gaps of columns (AttAcc), in either direction
    rule("tBL-PATH", PSEUDO, "rd wr path", "path", "nBL", Term.BUFFER_IO),
    rule("tBL-PATH-RW", PSEUDO, "path", "rd wr", "nBL", Term.BUFFER_IO),
    rule("tCCDS-PATH", RANK, "rd wr path", "path", "nCCDS", Term.COLUMN),
    rule("tCCDS-PATH-RW", RANK, "path", "rd wr", "nCCDS", Term.COLUMN),
    rule("tCCDL-PATH", GROUP, "rd wr path", "path", "nCCDL", Term.COLUMN),
    rule("tCCDL-PATH-RW", GROUP, "path", "rd wr", "nCCDL", Term.COLUMN),
    # the data bus: WRGB is a write burst on it; AttAcc lacks these
    rule("tRTW-WRGB", PSEUDO, "rd", "WRGB", "nRTW", Term.TURNAROUND),
    rule("tRTW-WRGB-BUS", PSEUDO, "rd", "WRGB", "nCL + nBL - nCWL", Term.TURNAROUND),
    rule("tWTRS-WRGB", PSEUDO, "WRGB", "rd", "nCWL + nBL + nWTRS", Term.TURNAROUND),
    # operands and results; AttAcc lacks these
    rule("tGB-MAC", BANK, "operand", "mac", "nCWL + nBL + nGBRD", Term.BUFFER_IO),
    rule("tMAC-MVSB", BANK, "mac", "MVSB", "nMACRD", Term.BUFFER_IO),
    rule("tMVSB-SFM", BANK, "MVSB", "SFM", "nCL + nBL", Term.BUFFER_IO),
    rule("tSFM", BANK, "SFM", "MVGB", "nSFM", Term.BUFFER_IO),
    # C25, C31: refresh keeps the rest of the pseudo-channel waiting, too. C33
    rule("tRFCab-PIM", PSEUDO, "REFab", "path mac", "nRFCab", Term.REFRESH),
    rule("tRFMab-PIM", PSEUDO, "RFMab", "path mac", "nRFMab", Term.REFRESH),
    rule("tPIM-PDE", CHANNEL, "path mac", "PDE SRE", f"nCL + nBL + {TICKS_PER_CLOCK}", Term.POWER_DOWN),
)

PIM_MEANING = {
    "tCCDAB": "MACAB to MACAB or MACSB",
    "tCCDSB": "MACSB to MACSB or MACAB",
    "tGBRD": "end of the burst into the buffer of a GEMV unit to the MAC that uses it",
    "tMACRD": "last MAC to MVSB: depth of the MAC pipeline",
    "tSFM": "SFM to MVGB",
}

PIM_DERIVED = {"nMAC": "ticks that a GEMV unit needs for one column: elements over lanes, at its clock"}

ALL_RULES = (*RULES, *PIM_RULES)
TIMING = timing_of((r for r in ALL_RULES if r.latency not in PIM_DERIVED), STACK_TIMING | PIM_MEANING)

HBM3_PIM = DramStandard(
    "hbm3-pim", (*COMMANDS, *PIM_COMMANDS), ALL_RULES, TIMING, DERIVED | PIM_DERIVED,
    ticks_per_clock=TICKS_PER_CLOCK, activate_all="ACTAB",
)  # fmt: skip
