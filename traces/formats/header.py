"""What a reader of an issue log has to know of the device: command and rule names, and the places of a channel.

``ISSUED`` holds indices. A :class:`LogHeader` says what they mean, without the device: a log that carries it explains
itself. Whoever has the device fills it in.
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..commands import IssueLog
from .files import printable

FOOTPRINTS: Final = ("bank", "bank_group", "rank", "pseudo_channel", "channel")
ROW_EFFECTS: Final = ("none", "open", "close", "access", "access_close", "refresh", "idle")
BINDINGS: Final = {-1: "start", -2: "host", -3: "refresh_due", -4: "order"}
"""Names of the values below 0 of the rule column, see :mod:`...traces.commands`."""

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,63}")
"""A command or rule name: nothing that a table, a terminal or a spreadsheet could take for something else."""


@dataclass(frozen=True)
class LoggedCommand:
    """One command: which banks it touches (one of FOOTPRINTS), and what it does to rows (one of ROW_EFFECTS).

    ``stripe``: it touches one bank of each bank group of a rank, the same in all.
    """

    name: str
    footprint: str
    row: str = "none"
    stripe: bool = False


@dataclass(frozen=True)
class LogHeader:
    """A channel as its log needs it; ``clock_hz`` is the frequency of the cycles that the log counts."""

    device: str
    standard: str
    clock_hz: int
    commands: tuple[LoggedCommand, ...]
    rules: tuple[str, ...]
    bank_groups: int
    banks_per_group: int
    ranks: int = 1
    pseudo_channels: int = 1
    channel: int = 0

    def __post_init__(self) -> None:
        for name in (*(command.name for command in self.commands), *self.rules):
            if not NAME.fullmatch(name):
                raise ValueError(f"{printable(name)!r} is no name for a command or rule")
        for command in self.commands:
            if command.footprint not in FOOTPRINTS or command.row not in ROW_EFFECTS:
                raise ValueError(f"{command.name}: footprint {command.footprint!r}, row {command.row!r} are not known")
        counts = (self.clock_hz, self.bank_groups, self.banks_per_group, self.ranks, self.pseudo_channels)
        if any(type(count) is not int for count in (*counts, self.channel)) or min(counts) < 1 or self.channel < 0:
            raise ValueError("a log header counts from 1: clock, bank groups, banks, ranks, pseudo-channels")

    @property
    def names(self) -> list[str]:
        """Command names, by index."""
        return [command.name for command in self.commands]

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return self.sizes()[4]

    def sizes(self) -> tuple[int, int, int, int, int]:
        """Banks of one bank, bank group, rank, pseudo-channel, channel."""
        rank = self.banks_per_group * self.bank_groups
        return 1, self.banks_per_group, rank, rank * self.ranks, rank * self.ranks * self.pseudo_channels

    def rule_name(self, rule: int) -> str:
        """Name of a rule, or of what else decided a cycle."""
        return self.rules[rule] if rule >= 0 else BINDINGS.get(rule, f"other{rule}")

    def touched(self, cmd: int, unit: int) -> range:
        """Banks that a command touches, numbered through the channel."""
        command, sizes = self.commands[cmd], self.sizes()
        if command.stripe:
            rank, bank = divmod(unit, self.banks_per_group)
            return range(rank * sizes[2] + bank, (rank + 1) * sizes[2], self.banks_per_group)
        size = sizes[FOOTPRINTS.index(command.footprint)]
        return range(unit * size, (unit + 1) * size)

    def places(self, log: IssueLog) -> dict[str, NDArray[np.int64]]:
        """Channel, pseudo-channel, rank, bank group and bank of each row of a log; -1 where a command goes to all."""
        sizes = self.sizes()
        footprint = np.array([FOOTPRINTS.index(command.footprint) for command in self.commands])
        stripes = np.array([command.stripe for command in self.commands], bool)
        cmd, unit = log["cmd"], log["unit"].astype(np.int64)
        level, stripe = footprint[cmd], stripes[cmd]
        first = unit * np.array(sizes)[level]
        across = unit // self.banks_per_group * sizes[2] + unit % self.banks_per_group
        first = np.where(stripe, across, first)
        place = {
            "channel": np.full(len(log), self.channel, np.int64),
            "pseudo_channel": first // sizes[3],
            "rank": first // sizes[2] % self.ranks,
            "bank_group": first // sizes[1] % self.bank_groups,
            "bank": first % self.banks_per_group,
        }
        place["pseudo_channel"][level > 3] = -1
        place["rank"][level > 2] = -1
        place["bank_group"][level > 1] = -1
        place["bank"][(level > 0) & ~stripe] = -1
        return place

    def check(self, log: IssueLog) -> None:
        """Raise ValueError where a log names a command, rule or unit that there is not."""
        if not len(log):
            return
        units = np.array(
            [self.banks // (self.bank_groups if c.stripe else self.sizes()[FOOTPRINTS.index(c.footprint)]) for c in self.commands]
        )
        cmd = log["cmd"]
        if cmd.min() < 0 or cmd.max() >= len(self.commands):
            raise ValueError("the log holds a command that its header does not know")
        if log["unit"].min() < 0 or bool((log["unit"] >= units[cmd]).any()):
            raise ValueError("the log holds a place that the channel of its header does not have")
        if log["rule"].max() >= len(self.rules):
            raise ValueError("the log holds a rule that its header does not know")

    def to_json(self) -> str:
        """The header as text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "LogHeader":
        """The header back from :meth:`to_json`; raises ValueError where it cannot be one."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["commands"] = tuple(LoggedCommand(**command) for command in fields["commands"])
            fields["rules"] = tuple(fields["rules"])
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"not the header of a command log ({printable(str(error))})") from error
