"""Logs written by hand for the judge: any two commands, at any relative place, as close as the rules of the model allow."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rowline.arch.device import DramDevice
from rowline.arch.spec import Command, Level, RowEffect, TimingRule
from rowline.traces.commands import ISSUED, IssueLog

from .builder import ACCESSES

FAR = 20_000
"""Ticks that separate what prepares the banks from the pair in question: longer than any rule."""
ENTRY = {"PDX": "PDE", "SRX": "SRE"}
Row = tuple[str, int, int, int]


def written(device: DramDevice, *rows: Row) -> IssueLog:
    """A log from name, unit, row and cycle of each command."""
    index = device.dram_standard.index
    return np.array([(cycle, index[name], unit, row, -1, -1) for name, unit, row, cycle in rows], ISSUED)


@dataclass(frozen=True)
class Close:
    """Command ``b`` after ``a``, ``gap`` ticks later at the earliest by the rules of the model (0: no rule asks for any)."""

    device: DramDevice
    a: Command
    b: Command
    places: tuple[int, int]
    gap: int
    before: tuple[Row, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.a.name} {self.places[0]} to {self.b.name} {self.places[1]}"

    def log(self, gap: int) -> IssueLog:
        """The log with the pair ``gap`` ticks apart."""
        then = FAR + (self.before[-1][3] if self.before else 0)
        pair = ((self.a.name, self.places[0], 1, then), (self.b.name, self.places[1], 1, then + gap))
        return written(self.device, *self.before, *pair)


def meet(device: DramDevice, rule: TimingRule, one: range, other: range) -> bool:
    """Whether commands on these banks meet under ``rule``."""

    def instances(level: Level, banks: range) -> set[int]:
        return {bank // device.organization.banks_at(level) for bank in banks}

    together = bool(instances(rule.scope, one) & instances(rule.scope, other))
    side_by_side = bool(instances(Level.PSEUDOCHANNEL, one) & instances(Level.PSEUDOCHANNEL, other))
    return side_by_side and not together if rule.sibling else together


def model_gap(device: DramDevice, a: Command, b: Command, places: tuple[int, int]) -> int:
    """What the rules of the model ask for between two commands, windows and rounds of refresh aside."""
    standard, organization = device.dram_standard, device.organization
    one, other = organization.touched(a, places[0]), organization.touched(b, places[1])
    return max(
        (
            standard.gap(rule, a, b, device.params)
            for rule in standard.rules
            if rule.window == 1 and not rule.new_round
            and any(a.is_a(cls) for cls in rule.preceding) and any(b.is_a(cls) for cls in rule.following)
            and meet(device, rule, one, other)
        ),
        default=0,
    )  # fmt: skip


def unit_of(device: DramDevice, command: Command, bank: int) -> int:
    """The unit of ``command`` that touches ``bank``."""
    if command.stripe:
        size, per_group = device.organization.banks_at(Level.RANK), device.organization.banks_per_group.value
        return bank // size * per_group + bank % per_group
    return bank // device.organization.banks_at(command.footprint)


def close_pairs(device: DramDevice) -> Iterator[Close]:
    """Every two commands at every relative place, where the rows allow it."""
    organization, seen = device.organization, set[tuple[str, str, int, int]]()
    steps = sorted({0} | {organization.banks_at(level) % organization.banks for level in Level})
    for a in device.dram_standard.commands:
        for b in device.dram_standard.commands:
            for step in steps:
                places = unit_of(device, a, 0), unit_of(device, b, step)
                before = _prepare(device, (a, places[0]), (b, places[1]))
                if before is not None and (a.name, b.name, *places) not in seen:
                    seen.add((a.name, b.name, *places))
                    yield Close(device, a, b, places, model_gap(device, a, b, places), before)


def _prepare(device: DramDevice, one: tuple[Command, int], other: tuple[Command, int]) -> tuple[Row, ...] | None:
    """Commands that bring the banks (and the power state) to where both may come; None where that cannot be."""
    (a, at_a), (b, at_b) = one, other
    banks_a, banks_b = (device.organization.touched(command, unit) for command, unit in (one, other))
    common = set(banks_a) & set(banks_b)
    open_first = {bank for bank in banks_a if a.row in ACCESSES}
    if b.row in ACCESSES:
        if a.row in (RowEffect.CLOSE, RowEffect.ACCESS_CLOSE, RowEffect.REFRESH, RowEffect.IDLE) and common:
            return None
        open_first |= set(banks_b) - (common if a.row == RowEffect.OPEN else set())
    if b.row in (RowEffect.OPEN, RowEffect.REFRESH, RowEffect.IDLE):
        still_open = open_first - (set(banks_a) if a.row in (RowEffect.CLOSE, RowEffect.ACCESS_CLOSE) else set())
        if still_open & set(banks_b) or (a.row == RowEffect.OPEN and common):
            return None
    if a.row in (RowEffect.OPEN, RowEffect.REFRESH, RowEffect.IDLE) and open_first & set(banks_a):
        return None
    prepared: list[tuple[str, int, int]] = [("ACT", bank, 1) for bank in sorted(open_first)]
    if a.name in ENTRY.values():
        if common and b.name != next(leaves for leaves, enters in ENTRY.items() if enters == a.name):
            return None
    elif b.name in ENTRY and not (a.name in ENTRY and not common):
        return None
    for command, unit in (one, other):
        if command.name in ENTRY and not (command is b and a.name == ENTRY[b.name] and at_a == at_b):
            prepared.append((ENTRY[command.name], unit, -1))
    if len(prepared) != len(set(prepared)) or ({name for name, *_ in prepared} & {"SRE"} and open_first):
        return None
    return tuple((name, unit, row, FAR * i) for i, (name, unit, row) in enumerate(prepared))
