"""LPDDR5: commands and timing rules of one x16 channel in bank-group mode (4 x 4 banks), bursts of 16.

Simplifications, each on purpose:

- ACT is ACT-1 and ACT-2 back to back, two clocks of the command bus; nothing may come between, so tAAD never binds. Row
  timing counts from the second clock, where Ramulator 2.1 counts from ACT-1.
- WCK is always on: no CAS command before a column command, and no synchronisation.
- A per-bank refresh works on one bank and sixteen make a round. The standard pairs banks, eight to a round; time under
  refresh per bank is the same.

Beyond :mod:`.common`: PREA takes tRPab; a write keeps its bank group busy for twice its burst (BL/n_max), which Ramulator
2.1 counts before tWTR_L; REFpb has one gap to the next REFpb (tRREFD, tpbR2pbR of the standard) and a shorter one to ACT
(tPBR2ACT). Refresh management takes as long as refresh in every preset.
"""

from ..spec import DramStandard, Term
from .common import (
    BANK,
    COMMAND_BUS,
    DERIVED,
    PSEUDO,
    RANK,
    REFPB,
    RFMPB,
    bank_refresh_rules,
    column_rules,
    core_commands,
    management_rules,
    power_commands,
    power_rules,
    rank_rules,
    read_to_write_rules,
    refresh_rules,
    rfm_all,
    row_rules,
    rule,
    timing_of,
    write_to_read_rules,
)

COMMANDS = (*core_commands(RANK, act_clocks=2), REFPB, rfm_all(RANK), RFMPB, *power_commands(RANK))

RULES = (
    COMMAND_BUS,
    *row_rules(RANK, "REFpb"),
    rule("tRPab", BANK, "PREA", "act", "nRPab", Term.PRECHARGE),  # C4
    *column_rules(RANK, PSEUDO),
    *read_to_write_rules(RANK, PSEUDO),
    *write_to_read_rules(RANK, group_burst="nBL + nBL"),
    *rank_rules(),
    *refresh_rules(RANK),
    rule("tRPab-REF", RANK, "PREA", "ref", "nRPab", Term.REFRESH),  # Ramulator 2.1 has tRPpb here
    *bank_refresh_rules(RANK, other_act="nPBR2ACT"),
    *management_rules(RANK, other_act="nPBR2ACT"),
    *power_rules(RANK),
    rule("tRPab-SRE", RANK, "PREA", "SRE", "nRPab", Term.POWER_DOWN),
)

TIMING = timing_of(
    RULES,
    {
        "tRPab": "PREA to ACT",
        "tRREFD": "REFpb to REFpb, another bank (tpbR2pbR)",
        "tPBR2ACT": "REFpb to ACT, another bank",
    },
)

LPDDR5 = DramStandard("lpddr5", COMMANDS, RULES, TIMING, DERIVED)
