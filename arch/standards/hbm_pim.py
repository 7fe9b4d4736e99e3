"""HBM-PIM (Samsung's FIMDRAM, Aquabolt-XL): the PIM commands on top of :mod:`.hbm2`.

The part has no PIM opcodes: what a plain command does depends on the mode of its pseudo-channel, which changes when
reserved rows are touched. Here each meaning is a command of its own, and a change of mode is one, too:

========================== =============================================================================================
MODSB, MODHAB, MODPIM      to single-bank, all-bank, all-bank PIM mode. Each stands for the ACT, WR, PRE of a reserved
                           row, which tMODE lasts; banks are closed before and after
ACTHAB, PREHAB             ACT and PRE of every bank of the pseudo-channel, in all-bank and PIM mode
RDHAB, WRHAB               column commands of every bank in all-bank mode
RDPIM, WRPIM               column commands in PIM mode: each starts one instruction of the program in every PIM block.
                           RDPIM moves nothing on the data bus; WRPIM does, as it may bring an operand
WRCRF, WRGRF, WRSRF, RDGRF program, vector and scalar registers of all PIM blocks
========================== =============================================================================================

Facts are those of PIMSimulator (b464dde): multi-bank commands are gated as commands to one bank group (tCCDL). That comes
of their footprint, as every bank rule of :mod:`.hbm2` holds for each bank they touch. What that simulator lacks is here:
the activation window, per-bank refresh, and refresh around changes of mode. Not modelled, see ``docs/pim-hbm.md``: which
mode allows what, even and odd banks apart, the program that the PIM blocks run.
"""

from ..spec import DramStandard, RowEffect, Term
from .common import (
    BANK,
    CHANNEL,
    DERIVED,
    GROUP,
    PSEUDO,
    WRITE_TO_PRECHARGE,
    closed_rules,
    command,
    rule,
    timing_of,
)
from .hbm2 import COMMANDS, RULES, on_bus

_ACCESS = RowEffect.ACCESS

# reg_wr, reg_rd: bursts to and from the registers of the PIM blocks; pim: starts an instruction there
PIM_COMMANDS = (
    *on_bus(
        "row",
        (
            command("ACTHAB", PSEUDO, RowEffect.OPEN, "act"),
            command("PREHAB", PSEUDO, RowEffect.CLOSE, "pre"),
            command("MODSB", PSEUDO, RowEffect.IDLE, "mode"),
            command("MODHAB", PSEUDO, RowEffect.IDLE, "mode"),
            command("MODPIM", PSEUDO, RowEffect.IDLE, "mode"),
        ),
    ),
    *on_bus(
        "col",
        (
            command("RDHAB", PSEUDO, _ACCESS, "rd", "read"),
            command("WRHAB", PSEUDO, _ACCESS, "wr", "write"),
            command("RDPIM", PSEUDO, _ACCESS, "rd pim"),
            command("WRPIM", PSEUDO, _ACCESS, "wr pim", "write"),
            command("WRCRF", PSEUDO, RowEffect.NONE, "reg_wr", "write"),
            command("WRGRF", PSEUDO, RowEffect.NONE, "reg_wr", "write"),
            command("WRSRF", PSEUDO, RowEffect.NONE, "reg_wr", "write"),
            command("RDGRF", PSEUDO, RowEffect.NONE, "reg_rd", "read"),
        ),
    ),
)

PIM_RULES = (
    # registers are reached as a bank group is: same column gaps and turnarounds
    rule("tCCDL-REG-RD", GROUP, "rd reg_rd", "reg_rd", "nCCDL", Term.BUFFER_IO),
    rule("tCCDL-RD-REG", GROUP, "reg_rd", "rd", "nCCDL", Term.BUFFER_IO),
    rule("tCCDL-REG-WR", GROUP, "wr reg_wr", "reg_wr", "nCCDL", Term.BUFFER_IO),
    rule("tCCDL-WR-REG", GROUP, "reg_wr", "wr", "nCCDL", Term.BUFFER_IO),
    rule("tRTW-REG-WR", PSEUDO, "rd reg_rd", "reg_wr", "nRTW", Term.TURNAROUND),
    rule("tRTW-REG-RD", PSEUDO, "reg_rd", "wr", "nRTW", Term.TURNAROUND),
    rule("tRTW-REG-BUS", PSEUDO, "rd reg_rd", "reg_wr", "nCL + nBL - nCWL", Term.TURNAROUND),
    rule("tRTW-BUS-REG", PSEUDO, "reg_rd", "wr", "nCL + nBL - nCWL", Term.TURNAROUND),
    rule("tWTRL-REG-WR", GROUP, "reg_wr", "rd reg_rd", "nCWL + nBL + nWTRL", Term.TURNAROUND),
    rule("tWTRL-REG-RD", GROUP, "wr", "reg_rd", "nCWL + nBL + nWTRL", Term.TURNAROUND),
    # C9: as tWR-RDA; missed by the peer, too
    rule("tWR-RDA-HAB", BANK, "WRHAB WRPIM", "RDA", "nCWL + nBL + max(nWR - nRTP, nWTRL)", Term.WRITE_RECOVERY),
    # PIM blocks: their own rate, and results in time. Register writes are there in time: RDPIM waits tWTRL, WRPIM's
    # own burst comes later
    rule("tPIM", BANK, "pim", "pim", "nMAC", Term.COLUMN),
    rule("tPIM-GRF", PSEUDO, "pim", "reg_rd reg_wr", "nPIMREG", Term.BUFFER_IO),
    # modes: banks closed and recovered, refresh over, registers written; then nothing for as long as the change lasts
    *closed_rules("MODE", PSEUDO, "mode", Term.MODE_SWITCH),
    rule("tRFCab-MODE", PSEUDO, "REFab", "mode reg_rd reg_wr", "nRFCab", Term.REFRESH),
    rule("tRFCpb-MODE", PSEUDO, "REFpb", "mode", "nRFCpb", Term.REFRESH),
    rule("tREG-MODE", PSEUDO, "reg_wr", "mode", WRITE_TO_PRECHARGE, Term.MODE_SWITCH),
    rule("tRDREG-MODE", PSEUDO, "reg_rd", "mode", "nRTP", Term.MODE_SWITCH),
    rule("tMODE", PSEUDO, "mode", "any", "nMODE", Term.MODE_SWITCH),
    # C33
    rule("tREG-PDE", CHANNEL, "reg_wr", "PDE SRE", WRITE_TO_PRECHARGE + " + 1", Term.POWER_DOWN),
    rule("tRDREG-PDE", CHANNEL, "reg_rd", "PDE SRE", "nCL + nBL + 1", Term.POWER_DOWN),
)

PIM_MEANING = {
    "tMODE": "change of mode: ACT, WR and PRE of the reserved row",
    "tPIMREG": "PIM instruction to an access of its registers: depth of the PIM pipeline",
}

PIM_DERIVED = {"nMAC": "ticks that a PIM block needs for one column: elements over lanes, at its clock"}

ALL_RULES = RULES + PIM_RULES
TIMING = timing_of((r for r in ALL_RULES if r.latency not in PIM_DERIVED), PIM_MEANING)
HBM_PIM = DramStandard("hbm-pim", COMMANDS + PIM_COMMANDS, ALL_RULES, TIMING, DERIVED | PIM_DERIVED)
