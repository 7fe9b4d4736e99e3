"""Directed streams: for each timing rule a device and a short stream in which that rule decides when a command goes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import Command, DramStandard, Level, RowEffect, TimingRule
from rowline.arch.values import Duration, Frequency, PinRate
from rowline.sim.reference.oracle import run_oracle
from rowline.traces.commands import CommandStream

from .builder import ACCESSES, Builder

LONG, SHORT = 50, 1
"""Cycles that :func:`tight_device` gives to the parameters of the rule in question, and to all others."""

KEEP_SHORT = {"tWR-RDA": ("tCWL", "tWTRL")}
"""Parameters that a rule adds up and that would hide it if they were long."""

UNREACHABLE = {
    "tRFCpb-REFab": "a device refreshes either all banks or one by one, and a stream may not hold refresh commands",
}
"""Rules that no stream can make bind, on any device, and why."""


def weaken(rules: tuple[TimingRule, ...], rule: TimingRule) -> tuple[TimingRule, ...]:
    """The rules, with ``rule`` one cycle shorter."""
    return tuple(replace(each, latency=f"{each.latency} - 1") if each is rule else each for each in rules)


def weaken_edge(
    standard: DramStandard, rules: tuple[TimingRule, ...], rule: TimingRule, pair: tuple[Command, Command]
) -> tuple[TimingRule, ...]:
    """The rules, with ``rule`` one cycle shorter between the commands of ``pair`` only."""
    a, b = pair
    before = tuple(c.name for c in standard.members(rule.preceding) if c is not a)
    after = tuple(c.name for c in standard.members(rule.following) if c is not b)
    others = tuple(replace(each, preceding=before) if each is rule else each for each in rules)
    edge = replace(rule, preceding=(a.name,), following=(b.name,), latency=f"{rule.latency} - 1")
    return (*others, replace(rule, preceding=(a.name,), following=after), edge)


def refresh_mode(device: DramDevice, mode: RefreshMode) -> DramDevice:
    """A copy of ``device`` that refreshes in another way."""
    refresh = device.refresh.model_copy(update={"mode": mode})
    return DramDevice.model_validate(device.model_copy(update={"refresh": refresh}).model_dump())


def tight_device(device: DramDevice, rule: TimingRule) -> DramDevice:
    """A copy of ``device`` whose values make ``rule`` bind: what it adds up is long, everything else is short.

    The copy passes the same validation as any device.
    """
    added = {"t" + name[1:] for name in re.findall(r"(?<!- )\bn\w+", rule.latency)}
    long = added.difference(KEEP_SHORT.get(rule.name, ()))
    cycles = {name: LONG if name in long else SHORT for name in device.timing}
    for fine, coarse in (("tCCDS", "tCCDL"), ("tRRDS", "tRRDL"), ("tWTRS", "tWTRL"), ("tRFCpb", "tRFCab")):
        cycles[coarse] = max(cycles[fine], cycles[coarse])
    cycles["tRC"] = max(cycles["tRC"], cycles["tRAS"] + cycles["tRP"])
    changes: dict[str, object] = {
        "timing": {name: Duration.model_validate({"value": f"{number} ck"}) for name, number in cycles.items()}
    }
    if rule.latency == "nBL":
        bits = device.organization.access_size.value * 8
        rate = bits * device.clock.value // (LONG * device.bus.width.value)
        changes["bus"] = device.bus.model_copy(update={"pin_rate": PinRate.model_validate(f"{rate} b/s")})
    if rule.latency == "nMAC" and device.pim is not None:
        beats = -(-device.organization.elements_per_column // device.pim.mac_lanes.value)
        clock = Frequency.model_validate(f"{beats * device.clock.value // LONG} Hz")
        changes["pim"] = device.pim.model_copy(update={"mac_clock": clock})
    names = rule.preceding + rule.following
    mode = RefreshMode.PER_BANK if "REFpb" in names else RefreshMode.ALL_BANK if "REFab" in names else RefreshMode.OFF
    return refresh_mode(device.model_copy(update=changes), mode)


@dataclass(frozen=True)
class PairStream:
    """A directed stream.

    Attributes:
        pair: the preceding and the following command between which the rule binds.
        position: row of the log in which the following command stands.
        alone: whether the rule alone holds it back: with the rule one cycle shorter, the log changes.
    """

    stream: CommandStream
    not_before: list[int]
    pair: tuple[str, str]
    position: int
    alone: bool


def pair_stream(device: DramDevice, rule: TimingRule) -> PairStream | None:
    """A short stream in which ``rule`` decides when a command goes, or None if there is none on this device.

    All pairs of a preceding and a following command, in all relative places, are tried on the oracle. The first in
    which the rule binds alone is taken; failing that, the first in which it binds.
    """
    standard = device.dram_standard
    index = standard.rules.index(rule)
    found: PairStream | None = None
    for builder, (a, b) in candidates(device, rule):
        stream = builder.stream()
        log = run_oracle(device, stream, builder.not_before)
        hits = np.flatnonzero((log["rule"] == index) & (log["cmd"] == standard.index[b.name]))
        if not len(hits):
            continue
        weaker = run_oracle(device, stream, builder.not_before, rules=weaken(standard.rules, rule))
        alone = len(weaker) != len(log) or bool((weaker["cycle"] != log["cycle"]).any())
        if alone or found is None:
            found = PairStream(stream, builder.not_before, (a.name, b.name), int(hits[-1]), alone)
        if alone:
            break
    return found


def candidates(device: DramDevice, rule: TimingRule) -> Iterator[tuple[Builder, tuple[Command, Command]]]:
    """Streams in which ``rule`` may bind between a pair of commands; pairs of the same command first."""
    standard = device.dram_standard
    before, after = standard.members(rule.preceding), standard.members(rule.following)
    pairs = sorted(((a, b) for a in before for b in after), key=lambda pair: pair[0] is not pair[1])
    size = device.organization.banks_per_group.value
    for a, b in pairs:
        for apart in (0, 1, size, 2 * size + 1):
            builder = Builder(device)
            if _write_pair(builder, a, b, apart, rule.window):
                yield builder, (a, b)


def _write_pair(builder: Builder, a: Command, b: Command, apart: int, window: int) -> bool:
    """Write ``a`` (``window`` times, each in another bank group) and then ``b``, ``apart`` banks further."""
    refreshes = RowEffect.REFRESH in (a.row, b.row)
    overdue = int(2.5 * builder.device.refresh_interval) if refreshes else 0
    if b.name == "REFpb":
        overdue = 40 * builder.device.refresh_interval  # more than one round, so that one bank's turn comes twice
    if a.row == RowEffect.REFRESH:
        return _write_after_refresh(builder, b, apart, overdue)
    start = apart if refreshes else 0  # the first refresh is that of bank 0
    if a.row != RowEffect.OPEN:
        _open_for(builder, [(a, start)] if refreshes else [(a, 0), (b, apart)])
    for step in range(window):
        unit = _unit(builder, a, start + step * (builder.device.organization.banks_per_group.value + 1))
        if not builder.legal(a, unit):
            return False
        builder.add(a.name, unit, release=overdue)
    if refreshes:
        return _refresh_now(builder)
    bank = 1 if window > 1 else apart
    if not _make_legal(builder, b, bank):
        return False
    builder.add(b.name, _unit(builder, b, bank))
    if b.row == RowEffect.ACCESS_CLOSE and b.footprint == Level.BANK:
        builder.add("ACT", bank)  # shows whether the automatic precharge came too early
    return True


def _unit(builder: Builder, command: Command, bank: int) -> int:
    """The unit of ``command`` that holds ``bank``."""
    return bank % builder.device.organization.banks // len(builder.banks(command, 0))


def _open_for(builder: Builder, needs: list[tuple[Command, int]]) -> None:
    """Open, before anything else, the rows that accesses need."""
    accesses = [(command, bank) for command, bank in needs if command.row in ACCESSES]
    if any(command.footprint == Level.CHANNEL for command, _ in accesses):
        builder.add("ACT16")
        return
    for command, bank in accesses:
        for each in builder.banks(command, _unit(builder, command, bank)):
            if each not in builder.open_row:
                builder.add("ACT", each)


def _make_legal(builder: Builder, command: Command, bank: int) -> bool:
    """Bring the banks of ``command`` into a state in which it can be issued, if that takes little."""
    unit = _unit(builder, command, bank)
    if builder.legal(command, unit):
        return True
    touched = builder.banks(command, unit)
    if command.row == RowEffect.OPEN:
        builder.add(*(("PRE", unit) if len(touched) == 1 else ("PREA", 0)))
    elif command.footprint == Level.CHANNEL and not builder.open_row:
        builder.add("ACT16")
    elif command.footprint != Level.CHANNEL:
        for each in touched:
            if each not in builder.open_row:
                builder.add("ACT", each)
    return builder.legal(command, unit)


def _refresh_now(builder: Builder) -> bool:
    """Let the refreshes that are overdue go here."""
    if builder.open_row:
        builder.add("PREA")
    builder.add("ACT", safe=True)
    return True


def _write_after_refresh(builder: Builder, b: Command, apart: int, overdue: int) -> bool:
    """Let ``b`` follow refreshes directly: those that the first command has let become overdue."""
    builder.add("PREA", release=overdue)
    if b.row == RowEffect.REFRESH:
        return _refresh_now(builder)
    if b.row in ACCESSES:
        return False
    builder.add(b.name, _unit(builder, b, apart), safe=True)
    return True
