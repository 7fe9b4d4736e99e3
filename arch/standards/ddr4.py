"""DDR4: commands and timing rules of a channel of one or more ranks.

Four-activate window, column and activate spacing are counted over a rank, the data bus and the command bus over the
channel. Additive latency is 0; refresh is all-bank at the normal rate (no fine granularity), and there is no refresh
management. Sources: as in :mod:`.common`.
"""

from ..spec import DramStandard
from .common import (
    COMMAND_BUS,
    DERIVED,
    PSEUDO,
    RANK,
    column_rules,
    core_commands,
    power_commands,
    power_rules,
    rank_rules,
    read_to_write_rules,
    refresh_rules,
    row_rules,
    timing_of,
    write_to_read_rules,
)

COMMANDS = (*core_commands(RANK), *power_commands(RANK))

RULES = (
    COMMAND_BUS,
    *row_rules(RANK, precharges_apart=False),
    *column_rules(RANK, PSEUDO),
    *read_to_write_rules(RANK, PSEUDO),
    *write_to_read_rules(RANK),
    *rank_rules(),
    *refresh_rules(RANK),
    *power_rules(RANK),
)

DDR4 = DramStandard("ddr4", COMMANDS, RULES, timing_of(RULES, {}), DERIVED)
