"""GDDR6: commands and timing rules, over the sixteen banks of one channel; values live in ``presets/dram``.

A part has two such channels; a channel has no ranks, so what DDR counts over a rank counts over the channel.
"""

from ..spec import DramStandard, Term
from .common import (
    CHANNEL,
    COMMAND_BUS,
    DERIVED,
    REFPB,
    activation_window,
    bank_refresh_rules,
    column_rules,
    core_commands,
    power_commands,
    power_rules,
    refresh_rules,
    row_rules,
    rule,
    timing_of,
    write_to_read_rules,
)

COMMANDS = (*core_commands(CHANNEL), REFPB, *power_commands(CHANNEL))

RULES = (
    COMMAND_BUS,
    *row_rules(CHANNEL, "REFpb"),
    activation_window("t32AW", CHANNEL, "n32AW", 32, "REFpb"),  # C21, as DRAMsim3 has it
    *column_rules(CHANNEL, CHANNEL),
    rule("tRTW", CHANNEL, "rd", "wr", "nCL + nBL + nBTA - nCWL", Term.TURNAROUND),  # C15
    *write_to_read_rules(CHANNEL),
    *refresh_rules(CHANNEL),
    *bank_refresh_rules(CHANNEL),
    *power_rules(CHANNEL),
)

TIMING = timing_of(
    RULES,
    {
        "tBTA": "idle time on the data bus between a read and a write burst",
        "t32AW": "window of 32 bank activations; 0 where there is none",
    },
)

GDDR6 = DramStandard("gddr6", COMMANDS, RULES, TIMING, DERIVED)
