"""A stream that brings two commands together: what must be open is opened long before, and little comes between them."""

from dataclasses import dataclass

from rowline.arch.device import DramDevice
from rowline.arch.spec import Command, Level, RowEffect, TimingRule

from .builder import ACCESSES, Builder

SETTLED = 1000
"""Cycles after which nothing that opened rows before matters any more."""

AFTER_DUE = 10
ENTRY = {"PDX": "PDE", "SRX": "SRE"}
EXIT = {"PDE": "PDX", "SRE": "SRX"}
NEEDS_CLOSED = (RowEffect.OPEN, RowEffect.IDLE, RowEffect.REFRESH)


@dataclass(frozen=True)
class Pair:
    """A stream in which ``after`` follows ``before``; ``awake``: power states are entered and left in turn."""

    builder: Builder
    before: Command
    after: Command
    awake: bool


def write_pair(device: DramDevice, rule: TimingRule, a: Command, b: Command, apart: int, awake: bool) -> Pair | None:
    """``a`` (as often as the rule counts) and then ``b``, ``apart`` banks further. None if rows do not allow it."""
    builder = Builder(device)
    try:
        _write(builder, rule, a, b, apart, awake)
    except AssertionError:
        return None
    return Pair(builder, a, b, awake)


def _write(builder: Builder, rule: TimingRule, a: Command, b: Command, apart: int, awake: bool) -> None:
    interval = builder.device.refresh_interval
    refreshed = [command.row == RowEffect.REFRESH for command in (a, b)]
    if all(refreshed):
        rounds = builder.device.refresh_units if apart == 0 else 0
        builder.add("PREA", release=(rounds + 1 + (apart > 0)) * interval + AFTER_DUE)  # not safe: they become overdue
        builder.add("PREA", safe=True)
    elif refreshed[0]:
        _open(builder, a, 0, b, apart)
        first = len(builder.rows)
        _ready(builder, b, apart)
        if awake and b.name in ENTRY:
            _add(builder, _named(builder, ENTRY[b.name]), apart)
        _add(builder, b, apart)
        builder.rows[first] = (*builder.rows[first][:-1], 1)
        builder.not_before[first] = interval
    else:
        at, then = (apart, 0) if refreshed[1] else (0, apart)
        _open(builder, a, at, b, then)
        leave_early = awake and a.name == "SRX"  # time asleep counts as refreshed, so it ends before the first falls due
        begin = interval + (-2 if leave_early else AFTER_DUE) if refreshed[1] else SETTLED
        if awake and a.name in ENTRY:
            _add(builder, _named(builder, ENTRY[a.name]), at)
        _repeat(builder, rule, a, at, begin)
        if rule.window > 1:
            then = _next_bank(builder, rule)
        if awake and a.name in EXIT and b.name != EXIT[a.name]:
            _add(builder, _named(builder, EXIT[a.name]), at)
        _ready(builder, b, then)
        if refreshed[1]:
            builder.add("PREA", safe=True, release=begin)
            return
        if awake and b.name in ENTRY and a.name != ENTRY[b.name]:
            _add(builder, _named(builder, ENTRY[b.name]), then)
        _add(builder, b, then)
        if b.row == RowEffect.ACCESS_CLOSE and b.footprint == Level.BANK:
            builder.add("ACT", then)  # shows whether the automatic precharge came too early


def _named(builder: Builder, name: str) -> Command:
    return builder.standard.commands[builder.standard.index[name]]


def unit_of(device: DramDevice, command: Command, bank: int) -> int:
    """The unit of ``command`` that holds ``bank``."""
    organization = device.organization
    bank %= organization.banks
    if command.stripe:
        per_group = organization.banks_per_group.value
        return bank // organization.banks_at(Level.RANK) * per_group + bank % per_group
    return bank // organization.banks_at(command.footprint)


def _add(builder: Builder, command: Command, bank: int, release: int = 0, safe: bool = False) -> None:
    """Append ``command`` where it touches ``bank``."""
    builder.add(command.name, unit_of(builder.device, command, bank), release=release, safe=safe)


def _touched(builder: Builder, command: Command, bank: int) -> set[int]:
    return set(builder.banks(command, unit_of(builder.device, command, bank)))


def _open(builder: Builder, a: Command, at: int, b: Command, then: int) -> None:
    """Open, before anything else, the rows that the two need."""
    first, second = _touched(builder, a, at), _touched(builder, b, then)
    wanted = first if a.row in ACCESSES else set[int]()
    rests = a.row in (RowEffect.REFRESH, RowEffect.IDLE)
    if b.row in ACCESSES and not (rests and first < second):  # else all are opened at once, after ``a``
        wanted |= second - (first if a.row in NEEDS_CLOSED else set())
    _open_banks(builder, wanted)


def _open_banks(builder: Builder, wanted: set[int]) -> None:
    """Open these banks, by one command where there is one for just them."""
    wanted = wanted - set(builder.open_row)
    for command in builder.standard.commands:
        if wanted and command.row == RowEffect.OPEN and _touched(builder, command, min(wanted)) == wanted:
            _add(builder, command, min(wanted))
            return
    for bank in sorted(wanted):
        builder.add("ACT", bank)


def _repeat(builder: Builder, rule: TimingRule, a: Command, at: int, begin: int) -> None:
    """``a`` as often as the rule counts, each time in another bank of its scope."""
    if rule.window == 1:
        _add(builder, a, at, release=begin)
        return
    for step in range(rule.window):
        bank = _next_bank(builder, rule)
        _add(builder, a, bank, release=begin if step == 0 else 0)


def _next_bank(builder: Builder, rule: TimingRule) -> int:
    """A closed bank in the first instance of the rule's scope; all are closed if there is none."""
    banks = range(builder.device.organization.banks_at(rule.scope))
    if all(bank in builder.open_row for bank in banks):
        builder.add("PREA")
    return next(bank for bank in banks if bank not in builder.open_row)


def _ready(builder: Builder, command: Command, bank: int) -> None:
    """Bring the banks of ``command`` into the state that it needs."""
    touched = _touched(builder, command, bank)
    if command.row in ACCESSES:
        _open_banks(builder, touched)
        return
    opened = touched & set(builder.open_row)
    if command.row not in NEEDS_CLOSED or not opened:
        return
    closers = [
        (len(builder.banks(each, 0)), number)
        for number, each in enumerate(builder.standard.commands)
        if each.row == RowEffect.CLOSE and opened <= _touched(builder, each, min(opened))
    ]
    _add(builder, builder.standard.commands[min(closers)[1]], min(opened))
