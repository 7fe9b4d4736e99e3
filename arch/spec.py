"""What a DRAM standard is: commands, timing rules and parameter names, all as data.

A :class:`TimingRule` says that a command of class ``following`` may issue no earlier than ``latency`` cycles after
a command of class ``preceding`` wherever the banks that both touch meet at ``scope``: they share a bank, a bank group, a
rank, a pseudo-channel, or they are merely in the same channel. A command that works on several banks at once (ACT4,
MAC16, PREA) touches all of them, so one row rule serves the single-bank, bank-group and all-bank forms alike.

Time is counted in ticks of the command clock, or of half its period where the standard says so (``ticks_per_clock``). A
command is issued at the first tick of its stay on the command bus; the standards count timing from the last tick of one
command to the last tick of the next, so a rule's gap between issues is its latency plus the length of the earlier minus
the length of the later. :meth:`DramStandard.gap` is the one place where that is done.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property


class Level(IntEnum):
    """What a command touches, and where a rule applies; ordered from fine to coarse.

    RANK is a rank of a module, or the banks of one stack ID (SID) in an HBM stack. A channel without ranks or
    pseudo-channels has one of each.
    """

    BANK = 0
    BANKGROUP = 1
    RANK = 2
    PSEUDOCHANNEL = 3
    CHANNEL = 4


class RowEffect(StrEnum):
    """What a command needs of, and does to, the rows of the banks it touches."""

    NONE = "none"  # register and bus commands: rows do not matter
    OPEN = "open"  # needs the banks closed, opens the addressed row
    CLOSE = "close"  # closes whatever is open
    ACCESS = "access"  # needs the addressed row open
    ACCESS_CLOSE = "access_close"  # needs it open, leaves the banks closed (auto-precharge)
    REFRESH = "refresh"  # needs the banks closed
    IDLE = "idle"  # needs the banks closed, and leaves them so (self-refresh entry, refresh management)


class Term(StrEnum):
    """The cause a waiting cycle is booked under."""

    COLUMN = "column"
    ACTIVATE = "activate"
    READ_TO_PRECHARGE = "read_to_precharge"
    PRECHARGE = "precharge"
    WRITE_RECOVERY = "write_recovery"
    BUFFER_IO = "buffer_io"
    TURNAROUND = "turnaround"
    MODE_SWITCH = "mode_switch"
    COMMAND_BUS = "command_bus"
    REFRESH = "refresh"
    POWER_DOWN = "power_down"
    HOST = "host"


@dataclass(frozen=True)
class Command:
    """One DRAM or PIM command.

    Attributes:
        footprint: which banks it touches: one bank, or all banks of a bank group, a rank, a pseudo-channel, the channel.
        classes: names by which timing rules refer to it (its own name is always one of them).
        row: its effect on rows.
        bus: direction of its burst on the external data bus: ``"read"``, ``"write"`` or ``""``.
        half_clocks: how long it occupies the command bus, in halves of a clock period.
        stripe: it touches one bank of each bank group of a rank (footprint RANK), the same in all (DDR5 REFsb). Its
            unit is rank x banks per group + that bank.
    """

    name: str
    footprint: Level
    row: RowEffect = RowEffect.NONE
    classes: frozenset[str] = frozenset()
    bus: str = ""
    half_clocks: int = 2
    stripe: bool = False

    def is_a(self, cls: str) -> bool:
        """True where a rule that names ``cls`` applies to this command."""
        return cls in ("any", self.name) or cls in self.classes


@dataclass(frozen=True)
class TimingRule:
    """``following`` waits ``latency`` cycles after the ``window``-th last ``preceding``, at ``scope``.

    ``latency`` is an expression over cycle parameters (``"nCWL + nBL + nWR"``); ``term`` is the cause its waiting
    is booked under. With ``window`` > 1 the count is of banks activated, see
    :func:`rowline.sim.compile.compile_device`. A ``sibling`` rule (scope RANK) holds between commands of different
    ranks of one pseudo-channel instead of the same. A ``new_round`` rule (between refreshes) holds only where the later
    one goes to the first unit, that is begins a new round over the banks.
    """

    name: str
    scope: Level
    preceding: tuple[str, ...]
    following: tuple[str, ...]
    latency: str
    term: Term
    window: int = 1
    sibling: bool = False
    new_round: bool = False

    def cycles(self, params: Mapping[str, int]) -> int:
        """Evaluate ``latency``; a negative result means that the rule asks for nothing."""
        return max(0, evaluate(self.latency, params))


def evaluate(expression: str, params: Mapping[str, int]) -> int:
    """Evaluate a latency expression: names, whole numbers, ``+``, ``-``, ``max(...)``; nothing else.

    Raises:
        ValueError: the expression holds anything else or names an unknown parameter.
    """

    def walk(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                return number
            case ast.Name(id=name) if name in params:
                return params[name]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return walk(left) + walk(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return walk(left) - walk(right)
            case ast.Call(func=ast.Name(id="max"), args=[_, *_] as args, keywords=[]):
                return max(walk(arg) for arg in args)
            case _:
                raise ValueError(f'latency "{expression}": cannot evaluate "{ast.unparse(node)}"')

    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError as error:
        raise ValueError(f'latency "{expression}": {error.msg}') from None
    return walk(tree.body)


@dataclass(frozen=True)
class DramStandard:
    """A DRAM standard, possibly with PIM commands on top.

    Attributes:
        timing: timing parameter (``tRCDRD``) -> what it means. A device must give each of them.
        derived: cycle parameter (``nBL``) that the device derives from its organisation, never from a typed number.
        ticks_per_clock: 2 where commands may issue at half clocks.
        refresh_bank, close_bank: what per-bank refresh issues, and what closes the banks that it needs.
        activate_all: command that opens one row in all banks of the channel, "" if there is none.
    """

    name: str
    commands: tuple[Command, ...]
    rules: tuple[TimingRule, ...]
    timing: Mapping[str, str]
    derived: Mapping[str, str]
    ticks_per_clock: int = 1
    refresh_bank: str = "REFpb"
    close_bank: str = "PRE"
    activate_all: str = ""

    @cached_property
    def index(self) -> dict[str, int]:
        """Command name -> position in ``commands``."""
        return {c.name: i for i, c in enumerate(self.commands)}

    def ticks(self, command: Command) -> int:
        """Ticks for which a command occupies the command bus."""
        return max(1, command.half_clocks * self.ticks_per_clock // 2)

    def gap(self, rule: TimingRule, a: Command, b: Command, params: Mapping[str, int]) -> int:
        """Ticks from the issue of ``a`` to the earliest issue of ``b`` under ``rule``; 0 if it asks for nothing.

        A command bus rule counts from the first tick of ``a`` to the first of ``b``: a command that lasts longer than
        one clock holds the bus for so much longer.
        """
        latency = rule.cycles(params)
        if latency == 0:
            return 0
        if rule.term == Term.COMMAND_BUS:
            return max(latency, self.ticks(a))
        return max(0, latency + self.ticks(a) - self.ticks(b))

    def members(self, classes: tuple[str, ...]) -> tuple[Command, ...]:
        """The commands that any of ``classes`` names, in the order of ``commands``."""
        return tuple(c for c in self.commands if any(c.is_a(cls) for cls in classes))
