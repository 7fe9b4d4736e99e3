"""DDR5: commands and timing rules of one 32 bit sub-channel of one or more ranks.

ACT and the column commands take two clocks of the command bus. Refresh comes for all banks (REFab) or for one bank of
every bank group (REFsb, after PREsb where rows are open), and so does refresh management (RFMab, RFMsb). Writes to the
same bank group have a gap of their own, tCCDLWR. Beyond :mod:`.common`:

- tRREFD is tREFSBRD of the standard, from REFsb to ACT of another bank. Public simulators do not agree on whether the
  next REFsb waits tREFSBRD or tRFCsb; tRREFD is taken for both, and tRFCsb at the end of a round.
- Write pattern, partial write masks and on-die ECC are left out, and so is the shorter tCCD_L_WR2 that whole bursts to
  x8 and x16 chips may use: presets give the gap that they mean.
"""

from ..spec import DramStandard, RowEffect
from .common import (
    COMMAND_BUS,
    DERIVED,
    PSEUDO,
    RANK,
    bank_refresh_rules,
    column_rules,
    command,
    core_commands,
    management_rules,
    power_commands,
    power_rules,
    rank_rules,
    read_to_write_rules,
    refresh_rules,
    rfm_all,
    row_rules,
    timing_of,
    write_to_read_rules,
)

COMMANDS = (
    *core_commands(RANK, act_clocks=2, column_clocks=2),
    command("PREsb", RANK, RowEffect.CLOSE, "pre", stripe=True),
    command("REFsb", RANK, RowEffect.REFRESH, "ref ref_one", stripe=True),
    rfm_all(RANK),
    command("RFMsb", RANK, RowEffect.IDLE, "ref ref_one", stripe=True),
    *power_commands(RANK),
)

RULES = (
    COMMAND_BUS,
    *row_rules(RANK, "REFsb"),
    *column_rules(RANK, PSEUDO, write_group="nCCDLWR"),
    *read_to_write_rules(RANK, PSEUDO),
    *write_to_read_rules(RANK),
    *rank_rules(),
    *refresh_rules(RANK),
    *bank_refresh_rules(RANK, "REFsb"),
    *management_rules(RANK, "RFMsb"),
    *power_rules(RANK),
)

TIMING = timing_of(
    RULES,
    {
        "tCCDLWR": "write to write, same bank group",
        "tRFCpb": "REFsb to ACT, same bank (tRFCsb)",
        "tRREFD": "REFsb to ACT or REFsb, another bank (tREFSBRD)",
        "tRFMpb": "RFMsb to ACT, same bank (tRFMsb)",
    },
)

DDR5 = DramStandard("ddr5", COMMANDS, RULES, TIMING, DERIVED, refresh_bank="REFsb", close_bank="PREsb")
