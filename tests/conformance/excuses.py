"""Why no stream can make an edge bind: each excuse names what asks for as much, and is computed, not listed.

An edge is excused only if what stands in for it asks for at least as much on every preset of its standard, and on the
devices on which the edge's own rule is long and all else short.
"""

from collections.abc import Iterator
from functools import cache

from rowline.arch.device import DramDevice
from rowline.arch.loader import list_devices, load_device
from rowline.arch.spec import Command, Level, RowEffect, TimingRule
from rowline.arch.standards import STANDARDS

from .builder import ACCESSES
from .directed import shifts, whole
from .gates import Edge, tight
from .pairs import NEEDS_CLOSED

CLOSERS = (RowEffect.CLOSE, RowEffect.ACCESS_CLOSE)
LEAVES_OPEN = (RowEffect.OPEN, RowEffect.ACCESS)
LEAVES_CLOSED = (RowEffect.REFRESH, RowEffect.IDLE, *CLOSERS)


@cache
def presets(standard: str) -> tuple[DramDevice, ...]:
    """All presets of a standard."""
    return tuple(load_device(name) for name in list_devices() if load_device(name).standard == standard)


def excuse(edge: Edge) -> str:
    """Why the edge cannot bind; empty if it can."""
    if edge.mode is None:
        return "a device refreshes either all banks or one by one"
    devices = [tight(edge.standard, edge.rule.name, edge.mode, shift) for shift in shifts(STANDARDS[edge.standard])]
    for reason, stand_in in _stand_ins(edge, (*devices, *presets(edge.standard))):
        if stand_in:
            return reason
    return ""


def _stand_ins(edge: Edge, devices: tuple[DramDevice, ...]) -> Iterator[tuple[str, bool]]:
    """What might ask for as much, and whether it does."""
    rule, a, b = edge.rule, edge.before, edge.after
    if rule.term == rule.term.COMMAND_BUS and rule.preceding == ("any",):
        return
    for other in STANDARDS[edge.standard].rules:
        if other is not rule and not whole(other) and not whole(rule) and _covers(other, rule, a, b):
            enough = all(_gap(dev, other, a, b) >= _gap(dev, rule, a, b) for dev in devices)
            yield f"{other.name} holds between them too and asks for as much", enough
    if not whole(rule) and a is b and a.row == RowEffect.REFRESH and rule.scope == Level.BANK:
        for other in STANDARDS[edge.standard].rules:
            if other.new_round and other.latency == rule.latency:
                yield f"refreshes come in turn, so {other.name} has asked for it at the first of the round", True
    between = _between(edge)
    if between:
        names = ", ".join(command.name for command in between)
        enough = all(_path(dev, a, c, b) >= _gap(dev, rule, a, b) for dev in devices for c in between)
        yield f"the rows need one of {names} between them, which takes as long", enough


def _between(edge: Edge) -> list[Command]:
    """Commands of which one must come between the two, for the sake of the rows; none if the two can do without."""
    rule, a, b = edge.rule, edge.before, edge.after
    standard = STANDARDS[edge.standard]
    if whole(rule) or rule.sibling:
        return []
    narrow, wide = sorted((_level(a), _level(b)))
    if rule.scope != Level.BANK and wide < max(narrow, rule.scope):
        return []  # where the rule holds, the two need not touch one bank
    if a.row in LEAVES_OPEN and b.row in NEEDS_CLOSED:
        return [c for c in standard.commands if c.row in CLOSERS and c is not b]
    if a.row in LEAVES_CLOSED and b.row in ACCESSES:
        return [c for c in standard.commands if c.row == RowEffect.OPEN]
    return []


def _level(command: Command) -> int:
    """The widest level of which a command touches all banks."""
    return Level.BANK if command.stripe else command.footprint


def _covers(other: TimingRule, rule: TimingRule, a: Command, b: Command) -> bool:
    """Whether ``other`` holds between the two wherever ``rule`` does."""
    if not (any(a.is_a(cls) for cls in other.preceding) and any(b.is_a(cls) for cls in other.following)):
        return False
    if rule.sibling or other.sibling:
        return rule.sibling == other.sibling or (rule.sibling and other.scope >= Level.PSEUDOCHANNEL)
    bankwise = all(c.stripe or c.footprint == Level.BANK for c in (a, b))
    place, wanted = (
        Level.BANK if each.scope == Level.BANK and bankwise else max(each.scope, a.footprint, b.footprint)
        for each in (other, rule)
    )
    return place >= wanted


def _gap(dev: DramDevice, rule: TimingRule, a: Command, b: Command) -> int:
    return dev.dram_standard.gap(rule, a, b, dev.params)


def _path(dev: DramDevice, a: Command, c: Command, b: Command) -> int:
    """What the rules ask for from ``a`` over ``c`` to ``b``, all on one bank."""
    return _most(dev, a, c) + _most(dev, c, b)


def _most(dev: DramDevice, a: Command, b: Command) -> int:
    """The largest gap between two commands that touch one bank."""
    rules = [
        each for each in dev.dram_standard.rules
        if each.window == 1 and not each.new_round and not each.sibling
        and any(a.is_a(cls) for cls in each.preceding) and any(b.is_a(cls) for cls in each.following)
    ]  # fmt: skip
    return max((_gap(dev, each, a, b) for each in rules), default=0)
