"""Directed streams: for each edge of a timing rule a device and a short stream in which that edge decides when a command goes.

An edge is a pair of commands between which a rule holds.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import Command, DramStandard, TimingRule
from rowline.arch.values import Duration, Frequency, PinRate

from .devices import refresh_mode
from .pairs import Pair, write_pair

LONG, SHORT = 64, 0
"""Cycles that :func:`tight_device` gives to the parameters of the rule in question, and to all others."""

LEAST = {"tCMD": 1, "tRP": 1, "tRTP": 1}
"""Cycles that are left of what may not vanish."""

KEEP_SHORT = {"max(nWR - nRTP, nWTRL)": ("tCWL", "tWTRL")}
"""Part of a latency -> parameters that it adds up and that would hide the rule if they were long."""

ORDERED = (("tCCDS", "tCCDL"), ("tRRDS", "tRRDL"), ("tWTRS", "tWTRL"), ("tRFCpb", "tRFCab"), ("tRP", "tRPab"))
"""Parameters of which the second is never below the first."""

ANY = ("any",)
POWER = {"PDE", "PDX", "SRE", "SRX"}


def whole(rule: TimingRule) -> bool:
    """Whether a rule has no edges of its own: what holds for all commands alike, or for a count of them."""
    return rule.window > 1 or rule.new_round or rule.preceding == rule.following == ANY


def edges_of(standard: DramStandard, rule: TimingRule) -> list[tuple[Command, Command]]:
    """Pairs of commands between which ``rule`` holds; one that stands for all where it has no edges of its own."""
    before, after = standard.members(rule.preceding), standard.members(rule.following)
    if rule.preceding == rule.following == ANY:
        return [(before[standard.index["PRE"]], after[standard.index["PRE"]])]
    pairs = sorted(((a, b) for a in before for b in after), key=lambda pair: pair[0] is not pair[1])
    return pairs[:1] if whole(rule) else pairs


def weaken(rules: tuple[TimingRule, ...], rule: TimingRule) -> tuple[TimingRule, ...]:
    """The rules, with ``rule`` one cycle shorter."""
    return tuple(replace(each, latency=f"{each.latency} - 1") if each is rule else each for each in rules)


def drop(rules: tuple[TimingRule, ...], rule: TimingRule) -> tuple[TimingRule, ...]:
    """The rules without ``rule``, each in its place."""
    return tuple(replace(each, latency="0") if each is rule else each for each in rules)


def weaken_edge(
    standard: DramStandard, rules: tuple[TimingRule, ...], rule: TimingRule, pair: tuple[Command, Command]
) -> tuple[TimingRule, ...]:
    """The rules, with ``rule`` one cycle shorter between the commands of ``pair`` only."""
    a, b = pair
    after = tuple(c.name for c in standard.members(rule.following) if c is not b)
    edge = replace(rule, preceding=(a.name,), following=(b.name,), latency=f"{rule.latency} - 1")
    return (*without(standard, rules, rule, a), replace(rule, preceding=(a.name,), following=after), edge)


def without(standard: DramStandard, rules: tuple[TimingRule, ...], rule: TimingRule, a: Command) -> tuple[TimingRule, ...]:
    """The rules, but ``rule`` does not hold after ``a``."""
    before = tuple(c.name for c in standard.members(rule.preceding) if c is not a)
    return tuple(replace(each, preceding=before) if each is rule else each for each in rules)


def shifts(standard: DramStandard) -> list[str]:
    """What some rule subtracts: one cycle of it moves bursts apart, so that rules of equal length part company."""
    found = {name for each in standard.rules for name in re.findall(r"(?<=- )n\w+", each.latency)}
    return ["", *sorted({"t" + name[1:] for name in found} - LEAST.keys())]


def thinned(standard: DramStandard, rule: TimingRule, gone: set[tuple[Command, Command]]) -> tuple[TimingRule, ...]:
    """The rules, but ``rule`` does not hold between the pairs in ``gone``."""
    parts = [
        replace(rule, preceding=(a.name,), following=after)
        for a in standard.members(rule.preceding)
        if (after := tuple(b.name for b in standard.members(rule.following) if (a, b) not in gone))
    ]
    return (*drop(standard.rules, rule), *parts)


def tight_device(device: DramDevice, rule: TimingRule, mode: RefreshMode, shift: str = "") -> DramDevice:
    """A copy of ``device`` whose values make ``rule`` bind: what it adds up is long, everything else is short.

    The copy passes the same validation as any device. ``shift`` is one cycle more than short.
    """
    added = {"t" + name[1:] for name in re.findall(r"(?<!- )\bn\w+", rule.latency)}
    hides = {name for part, names in KEEP_SHORT.items() if part in rule.latency for name in names}
    long = added - hides - ({"tCMD"} if added != {"tCMD"} else set())
    cycles = {name: LONG if name in long else LEAST.get(name, SHORT) for name in device.timing}
    if shift in cycles:
        cycles[shift] = max(cycles[shift], SHORT + 1)
    for fine, coarse in ORDERED:
        if fine in cycles and coarse in cycles:
            cycles[coarse] = max(cycles[fine], cycles[coarse])
    cycles["tRC"] = max(cycles["tRC"], cycles["tRAS"] + cycles["tRP"])
    changes: dict[str, object] = {
        "timing": {name: Duration.model_validate({"value": f"{number} ck"}) for name, number in cycles.items()}
    }
    if rule.latency == "nBL":
        bits = device.organization.access_size.value * 8
        rate = bits * device.device_clock.freq_hz // (LONG * device.bus.width.value)
        changes["bus"] = device.bus.model_copy(update={"pin_rate": PinRate.model_validate(f"{rate} b/s")})
    if rule.latency == "nMAC" and device.pim is not None:
        beats = -(-device.organization.elements_per_column // device.pim.mac_lanes.value)
        clock = Frequency.model_validate(f"{beats * device.device_clock.freq_hz // LONG} Hz")
        changes["pim"] = device.pim.model_copy(update={"mac_clock": clock})
    return refresh_mode(device.model_copy(update=changes), mode)


def mode_for(standard: DramStandard, *pair: Command) -> RefreshMode:
    """The refresh mode in which these commands can come."""
    names = {command.name for command in pair}
    if standard.refresh_bank in names:
        return RefreshMode.PER_BANK
    return RefreshMode.ALL_BANK if "REFab" in names else RefreshMode.OFF


def edge_streams(device: DramDevice, rule: TimingRule, a: Command, b: Command) -> Iterator[Pair]:
    """Streams in which ``rule`` may bind between ``a`` and ``b``: all relative places, those at the rule's scope first.

    Those that leave power states as they enter them come before those that do not: the engine takes both.
    """
    for awake in (True, False):
        for apart in _distances(device, rule):
            pair = write_pair(device, rule, a, b, apart, awake)
            if pair is not None:
                yield pair
        if not (POWER & {a.name, b.name}):
            return


@cache
def _levels(device_banks: tuple[int, ...]) -> list[tuple[int, int]]:
    """(level, banks apart): two banks that far apart first meet at that level."""
    found, last = [(0, 0)], 1
    for level, size in enumerate(device_banks[1:], start=1):
        if size > last:
            found.append((level, last))
        last = size
    return found


def _distances(device: DramDevice, rule: TimingRule) -> list[int]:
    """How many banks ``b`` may be from ``a``: just at the scope of the rule, then nearer, then farther."""
    sizes = tuple(device.organization.banks_at(level) for level in type(rule.scope))
    levels = _levels(sizes)
    if rule.sibling:
        return [apart for level, apart in levels if level == rule.scope + 1]
    inside = [apart for level, apart in reversed(levels) if level <= rule.scope]
    return inside + [apart for level, apart in levels if level > rule.scope]


def mutant(standard: DramStandard, rule: TimingRule, pair: tuple[Command, Command]) -> tuple[TimingRule, ...]:
    """The standard's rules with one edge a cycle short (or the rule, where it has no edges of its own)."""
    return weaken(standard.rules, rule) if whole(rule) else weaken_edge(standard, standard.rules, rule, pair)
