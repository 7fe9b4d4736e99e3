"""HBM3: commands and timing rules of a channel; values live in ``presets/dram``.

As :mod:`.hbm2`, with these differences. Commands may issue at half clocks, so a tick is half a clock: ACT lasts three
(its halves at rising, falling and rising edge), other row commands one, column commands two. A pseudo-channel (32 bit,
burst of 8: 32 B) has a rank for each stack ID. Precharges stand tPPD apart, and there is refresh management (C31), which
keeps banks busy as refresh does. That column commands and ACT start at a rising edge only is not modelled, nor is it by
Ramulator.

Sources: JESD238 as encoded by Ramulator 2.1 (c5b1c3a); no JEDEC text was read. Ramulator lacks, and this has: recovery
of a write before an RDA (C9), RDA and WRA before PREA (C10), REFab before REFab and REFpb (C25), REFpb before REFab
(C27), PREA, RDA and WRA before REFpb (C30), RFMpb before RFMpb (C31), and C29 and C33. It holds writes of two stack IDs
tCCDR apart; here that is for reads only (D5).
"""

from ..spec import DramStandard
from .common import (
    CHANNEL,
    DERIVED,
    PSEUDO,
    RANK,
    RFMPB,
    bank_refresh_rules,
    column_rules,
    management_rules,
    power_commands,
    read_to_write_rules,
    refresh_rules,
    rfm_all,
    row_rules,
    timing_of,
    write_to_read_rules,
)
from .hbm2 import BUS_RULES, COLUMN_COMMANDS, ROW_COMMANDS, STACK_RULES, STACK_TIMING, hbm_power_rules, on_bus

TICKS_PER_CLOCK = 2
ACT_HALVES, ROW_HALVES = 3, 1

COMMANDS = (
    *on_bus("row", (*ROW_COMMANDS, rfm_all(PSEUDO), RFMPB), ACT_HALVES, ROW_HALVES),
    *on_bus("col", COLUMN_COMMANDS),
    *on_bus("row", power_commands(CHANNEL), ACT_HALVES, ROW_HALVES),
)

RULES = (
    *BUS_RULES,
    *row_rules(PSEUDO, "REFpb"),
    *column_rules(RANK, PSEUDO),
    *STACK_RULES,
    *read_to_write_rules(PSEUDO, PSEUDO),
    *write_to_read_rules(PSEUDO),
    *refresh_rules(PSEUDO),
    *bank_refresh_rules(PSEUDO),
    *management_rules(PSEUDO),
    *hbm_power_rules(TICKS_PER_CLOCK),
)

TIMING = timing_of(RULES, STACK_TIMING)

HBM3 = DramStandard("hbm3", COMMANDS, RULES, TIMING, DERIVED, ticks_per_clock=TICKS_PER_CLOCK)
