"""GDDR6 with near-bank MAC units: the PIM commands on top of :mod:`.gddr6`.

Names and gaps follow the only public encoding of the GDDR6-AiM command set (aim_simulator, commit 0f28a07), written
here over the banks that a command touches instead of one rule a command pair. Differences, each on purpose:

- single-bank, bank-group (4) and all-bank MAC exist side by side;
- operand dependencies that the peer leaves out are rules: WRGB to MAC, MAC to RDMAC16, WRMAC16 to MAC, AF16 to RDAF16,
  RDCP to the users of the global buffer, WR to MAC in the same bank group;
- PRE to PRE waits tPPD, not tRP; refresh blocks every command but power-down entry for tRFC.
"""

from ..spec import Command, DramStandard, Level, RowEffect, Term
from .common import BANK, CHANNEL, DERIVED, GROUP, WRITE_TO_CLOSED, WRITE_TO_PRECHARGE, rule
from .gddr6 import COMMANDS, RULES, TIMING

_ACCESS = RowEffect.ACCESS


def _cmd(name: str, footprint: Level, row: RowEffect, classes: str, bus: str = "") -> Command:
    return Command(name, footprint, row, frozenset(classes.split()), bus)


# classes: mac = multiply-accumulate; array_rd = reads the array for the MAC unit or the global buffer;
# gb_user = takes its operand from the global buffer; reg_rd / reg_wr = bursts from / to registers and the global buffer
PIM_COMMANDS = (
    _cmd("ACT4", GROUP, RowEffect.OPEN, "act act_rrd"),
    _cmd("ACT16", CHANNEL, RowEffect.OPEN, "act"),
    _cmd("PRE4", GROUP, RowEffect.CLOSE, "pre"),
    _cmd("MAC", BANK, _ACCESS, "mac array_rd gb_user"),
    _cmd("MAC4", GROUP, _ACCESS, "mac array_rd gb_user"),
    _cmd("MAC16", CHANNEL, _ACCESS, "mac array_rd gb_user"),
    _cmd("AF16", CHANNEL, _ACCESS, ""),
    _cmd("EWMUL16", CHANNEL, _ACCESS, "array_rd"),
    _cmd("RDCP", BANK, _ACCESS, "array_rd"),
    _cmd("WRCP", BANK, _ACCESS, "gb_user array_wr"),
    _cmd("WRA16", CHANNEL, RowEffect.ACCESS_CLOSE, "array_wr", "write"),
    _cmd("WRGB", CHANNEL, RowEffect.NONE, "reg_wr", "write"),
    _cmd("WRMAC16", CHANNEL, RowEffect.NONE, "reg_wr", "write"),
    _cmd("RDMAC16", CHANNEL, RowEffect.NONE, "reg_rd", "read"),
    _cmd("RDAF16", CHANNEL, RowEffect.NONE, "reg_rd", "read"),
    _cmd("TMOD", CHANNEL, RowEffect.NONE, "mode"),
)

PIM_RULES = (
    # row to column
    rule("tRCDMAC", BANK, "act", "mac", "nRCDMAC", Term.ACTIVATE),
    rule("tRCDAF", BANK, "act", "AF16", "nRCDAF", Term.ACTIVATE),
    rule("tRCDEWMUL", BANK, "act", "EWMUL16", "nRCDEWMUL", Term.ACTIVATE),
    rule("tRCDRDCP", BANK, "act", "RDCP", "nRCDRDCP", Term.ACTIVATE),
    rule("tRCDWRCP", BANK, "act", "WRCP", "nRCDWRCP", Term.ACTIVATE),
    rule("tRCDWR-WRA16", BANK, "act", "WRA16", "nRCDWR", Term.ACTIVATE),
    # column to row
    rule("tRTP-PIM", BANK, "array_rd AF16", "pre", "nRTP", Term.READ_TO_PRECHARGE),
    rule("tWR-WRCP", BANK, "WRCP", "pre", WRITE_TO_PRECHARGE, Term.WRITE_RECOVERY),
    rule("tWR-EWMUL", BANK, "EWMUL16", "pre", "nCWL + nWR", Term.WRITE_RECOVERY),
    rule("tWR-WRA16", BANK, "WRA16", "pre", WRITE_TO_PRECHARGE, Term.WRITE_RECOVERY),
    rule("tWRA16-ACT", BANK, "WRA16", "act", WRITE_TO_CLOSED, Term.PRECHARGE),
    rule("tWRA16-REFab", CHANNEL, "WRA16", "REFab", WRITE_TO_CLOSED, Term.REFRESH),
    rule("tWRA16-REFpb", BANK, "WRA16", "REFpb", WRITE_TO_CLOSED, Term.REFRESH),
    # as tWR-RDA: the implicit precharge must not cut the recovery of an array write short; peers lack these
    rule("tWR-RDA-WRCP", BANK, "WRCP", "RDA", "nCWL + nBL + nWR - nRTP", Term.WRITE_RECOVERY),
    rule("tWR-RDA-EWMUL", BANK, "EWMUL16", "RDA", "nCWL + nWR - nRTP", Term.WRITE_RECOVERY),
    # column to column: the array path of a bank group, the shared path of the channel, the MAC unit's own rate
    rule("tCCDL-PIM-RD", GROUP, "rd array_rd", "rd array_rd", "nCCDL", Term.COLUMN),
    rule("tCCDS-PIM-RD", CHANNEL, "rd array_rd reg_rd", "rd array_rd reg_rd", "nCCDS", Term.COLUMN),
    rule("tCCDL-REG-RD", CHANNEL, "rd array_rd reg_rd", "reg_rd", "nCCDL", Term.BUFFER_IO),
    rule("tCCDL-RD-REG", CHANNEL, "reg_rd", "rd array_rd", "nCCDL", Term.BUFFER_IO),
    rule("tCCDS-PIM-WR", CHANNEL, "wr array_wr reg_wr", "wr array_wr reg_wr", "nCCDS", Term.COLUMN),
    rule("tCCDL-PIM-WR", GROUP, "wr array_wr EWMUL16", "wr array_wr EWMUL16", "nCCDL", Term.COLUMN),
    rule("tCCDL-WRMAC", CHANNEL, "wr array_wr EWMUL16 WRMAC16", "WRMAC16", "nCCDL", Term.BUFFER_IO),
    rule("tCCDL-WRMAC-WR", CHANNEL, "WRMAC16", "wr array_wr EWMUL16", "nCCDL", Term.BUFFER_IO),
    rule("tMAC", BANK, "mac", "mac", "nMAC", Term.COLUMN),
    # the external bus
    rule("tBL-PIM-RD", CHANNEL, "rd reg_rd", "rd reg_rd", "nBL", Term.BUFFER_IO),
    rule("tBL-PIM-WR", CHANNEL, "wr WRA16 reg_wr", "wr WRA16 reg_wr", "nBL", Term.BUFFER_IO),
    rule("tRTW-WRA16", CHANNEL, "rd", "WRA16", "nCL + nBL + nBTA - nCWL", Term.TURNAROUND),
    rule("tRTW-WRGB", CHANNEL, "rd", "WRGB", "nCL + nBL + nBTA - nCWLGB", Term.TURNAROUND),
    rule("tRTW-WRMAC", CHANNEL, "rd", "WRMAC16", "nCL + nBL + nBTA - nCWLREG", Term.TURNAROUND),
    rule("tRTW-REG-WR", CHANNEL, "reg_rd", "wr WRA16", "nCLREG + nBL + nBTA - nCWL", Term.TURNAROUND),
    rule("tRTW-REG-WRGB", CHANNEL, "reg_rd", "WRGB", "nCLREG + nBL + nBTA - nCWLGB", Term.TURNAROUND),
    rule("tRTW-REG-WRMAC", CHANNEL, "reg_rd", "WRMAC16", "nCLREG + nBL + nBTA - nCWLREG", Term.TURNAROUND),
    rule("tWTRS-WRA16", CHANNEL, "WRA16", "rd reg_rd", "nCWL + nBL + nWTRS", Term.TURNAROUND),
    rule("tWTRS-REG", CHANNEL, "wr", "reg_rd", "nCWL + nBL + nWTRS", Term.TURNAROUND),
    rule("tWTRL-REG", CHANNEL, "wr WRA16", "reg_rd", "nCWL + nBL + nWTRL", Term.TURNAROUND),
    rule("tWTRS-WRGB", CHANNEL, "WRGB", "rd reg_rd", "nCWLGB + nBL + nWTRS", Term.TURNAROUND),
    rule("tWTRS-WRMAC", CHANNEL, "WRMAC16", "rd reg_rd", "nCWLREG + nBL + nWTRS", Term.TURNAROUND),
    rule("tWTRL-WRMAC", CHANNEL, "WRMAC16", "reg_rd", "nCWLREG + nBL + nWTRL", Term.TURNAROUND),
    # bursts of one direction but of different latency must not meet on the external bus; peers lack these
    rule("tBUS-RD-REG", CHANNEL, "rd", "reg_rd", "nCL + nBL - nCLREG", Term.BUFFER_IO),
    rule("tBUS-REG-RD", CHANNEL, "reg_rd", "rd", "nCLREG + nBL - nCL", Term.BUFFER_IO),
    rule("tBUS-WR-GB", CHANNEL, "wr WRA16", "WRGB", "nCWL + nBL - nCWLGB", Term.BUFFER_IO),
    rule("tBUS-GB-WR", CHANNEL, "WRGB", "wr WRA16", "nCWLGB + nBL - nCWL", Term.BUFFER_IO),
    rule("tBUS-WR-REG", CHANNEL, "wr WRA16", "WRMAC16", "nCWL + nBL - nCWLREG", Term.BUFFER_IO),
    rule("tBUS-REG-WR", CHANNEL, "WRMAC16", "wr WRA16", "nCWLREG + nBL - nCWL", Term.BUFFER_IO),
    rule("tBUS-GB-REG", CHANNEL, "WRGB", "WRMAC16", "nCWLGB + nBL - nCWLREG", Term.BUFFER_IO),
    rule("tBUS-REG-GB", CHANNEL, "WRMAC16", "WRGB", "nCWLREG + nBL - nCWLGB", Term.BUFFER_IO),
    # operands
    rule("tWRGB-MAC", CHANNEL, "WRGB", "gb_user", "nCWLGB + nBL + nGBRD", Term.BUFFER_IO),
    rule("tRDCP-GB", CHANNEL, "RDCP", "gb_user", "nRDCPGB", Term.BUFFER_IO),
    rule("tWRMAC-MAC", CHANNEL, "WRMAC16", "mac AF16", "nWRMACMAC", Term.BUFFER_IO),
    rule("tMAC-RDMAC", CHANNEL, "mac", "reg_rd AF16", "nMACRD", Term.BUFFER_IO),
    rule("tAF-RDAF", CHANNEL, "AF16", "RDAF16", "nAFRD", Term.BUFFER_IO),
    rule("tWTR-MAC", GROUP, "wr WRCP", "array_rd", "nCWL + nBL + nWTRMAC", Term.TURNAROUND),
    # modes
    rule("tMODCH", CHANNEL, "TMOD", "any", "nMODCH", Term.MODE_SWITCH),
    rule("tMAC-TMOD", CHANNEL, "mac", "TMOD", "nMACMOD", Term.MODE_SWITCH),
    # refresh and power-down: register accesses wait for refresh too, and work is finished before the clock stops
    rule("tRFCab-REG", CHANNEL, "REFab", "reg_rd reg_wr mode", "nRFCab", Term.REFRESH),
    rule("tWRA16-SRE", CHANNEL, "WRA16", "SRE", WRITE_TO_CLOSED, Term.POWER_DOWN),
    rule("tPIM-RD-PDE", CHANNEL, "array_rd AF16", "PDE SRE", "nCL + nBL + nCMD", Term.POWER_DOWN),
    rule("tPIM-WR-PDE", CHANNEL, "array_wr EWMUL16", "PDE SRE", WRITE_TO_PRECHARGE + " + nCMD", Term.POWER_DOWN),
    rule("tREG-RD-PDE", CHANNEL, "reg_rd", "PDE SRE", "nCLREG + nBL + nCMD", Term.POWER_DOWN),
    rule("tWRGB-PDE", CHANNEL, "WRGB", "PDE SRE", "nCWLGB + nBL + nCMD", Term.POWER_DOWN),
    rule("tWRMAC-PDE", CHANNEL, "WRMAC16", "PDE SRE", "nCWLREG + nBL + nCMD", Term.POWER_DOWN),
)

PIM_TIMING = {
    "tRCDMAC": "ACT to MAC",
    "tRCDAF": "ACT to AF16",
    "tRCDEWMUL": "ACT to EWMUL16",
    "tRCDRDCP": "ACT to RDCP",
    "tRCDWRCP": "ACT to WRCP",
    "tCLREG": "RDMAC16 or RDAF16 to first data",
    "tCWLREG": "WRMAC16 to first data",
    "tCWLGB": "WRGB to first data",
    "tGBRD": "end of the WRGB burst to the MAC that uses it",
    "tRDCPGB": "RDCP to the command that uses the global buffer",
    "tWRMACMAC": "WRMAC16 to the MAC that accumulates on it",
    "tMACRD": "last MAC to RDMAC16: depth of the MAC pipeline",
    "tAFRD": "AF16 to RDAF16",
    "tWTRMAC": "end of write burst to MAC, same bank group",
    "tMODCH": "mode switch between bank commands and register accesses; 0 where there is none",
    "tMACMOD": "last MAC to a mode switch",
}

PIM_DERIVED = {"nMAC": "clock cycles that the MAC unit needs for one column: elements over lanes, at the MAC clock"}

GDDR6_PIM = DramStandard(
    "gddr6-pim", COMMANDS + PIM_COMMANDS, RULES + PIM_RULES, TIMING | PIM_TIMING, DERIVED | PIM_DERIVED,
    activate_all="ACT16",
)  # fmt: skip
