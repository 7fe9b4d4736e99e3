"""What a DRAM standard is: commands, timing rules and parameter names, all as data.

A :class:`TimingRule` says that a command of class ``following`` may issue no earlier than ``latency`` cycles after
a command of class ``preceding`` wherever the banks that both touch meet at ``scope``: they share a bank, they share a
bank group, or they are merely in the same channel. A command that works on several banks at once (ACT4, MAC16, PREA)
touches all of them, so one row rule serves the single-bank, bank-group and all-bank forms alike.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property


class Level(IntEnum):
    """What a command touches, and where a rule applies; ordered from fine to coarse."""

    BANK = 0
    BANKGROUP = 1
    CHANNEL = 2


class RowEffect(StrEnum):
    """What a command needs of, and does to, the rows of the banks it touches."""

    NONE = "none"  # register and bus commands: rows do not matter
    OPEN = "open"  # needs the banks closed, opens the addressed row
    CLOSE = "close"  # closes whatever is open
    ACCESS = "access"  # needs the addressed row open
    ACCESS_CLOSE = "access_close"  # needs it open, leaves the banks closed (auto-precharge)
    REFRESH = "refresh"  # needs the banks closed


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
    HOST = "host"


@dataclass(frozen=True)
class Command:
    """One DRAM or PIM command.

    Attributes:
        footprint: which banks it touches: one bank, one bank group, or all banks of the channel.
        classes: names by which timing rules refer to it (its own name is always one of them).
        row: its effect on rows.
        bus: direction of its burst on the external data bus: ``"read"``, ``"write"`` or ``""``.
    """

    name: str
    footprint: Level
    row: RowEffect = RowEffect.NONE
    classes: frozenset[str] = frozenset()
    bus: str = ""

    def is_a(self, cls: str) -> bool:
        """True where a rule that names ``cls`` applies to this command."""
        return cls in ("any", self.name) or cls in self.classes


@dataclass(frozen=True)
class TimingRule:
    """``following`` waits ``latency`` cycles after the ``window``-th last ``preceding``, at ``scope``.

    ``latency`` is an expression over cycle parameters (``"nCWL + nBL + nWR"``); ``term`` is the cause its waiting
    is booked under. With ``window`` > 1 the count is of banks activated, see
    :func:`rowline.sim.compile.compile_device`.
    """

    name: str
    scope: Level
    preceding: tuple[str, ...]
    following: tuple[str, ...]
    latency: str
    term: Term
    window: int = 1

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
    """

    name: str
    commands: tuple[Command, ...]
    rules: tuple[TimingRule, ...]
    timing: Mapping[str, str]
    derived: Mapping[str, str]

    @cached_property
    def index(self) -> dict[str, int]:
        """Command name -> position in ``commands``."""
        return {c.name: i for i, c in enumerate(self.commands)}

    def members(self, classes: tuple[str, ...]) -> tuple[Command, ...]:
        """The commands that any of ``classes`` names, in the order of ``commands``."""
        return tuple(c for c in self.commands if any(c.is_a(cls) for cls in classes))
