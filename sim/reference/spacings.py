"""The paths of a device that must be free again: which commands take them, over which banks, for how long.

Written per part of the device from the commands' traits. What needs more than the time since the last command of a kind
has a module of its own: rows (:mod:`.rowcheck`), bursts (:mod:`.columncheck`), owed refreshes (:mod:`.refreshcheck`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .facets import Demand, Event, Geometry, Point, Times
from .traits import Power, Row, Span, Trait, Upkeep


@dataclass(frozen=True)
class Spacing:
    """A command of ``before`` comes ``gap`` ps after each one of ``after`` that took the same path.

    Attributes:
        rule: timing parameter, for reports.
        after, before: names of commands.
        scope: over which banks the path is shared.
        gap: from the ``origin`` of the earlier command to the ``target`` of the later.
        others: the path is shared with the other ranks of the pseudo-channel, and only with them.
    """

    rule: str
    after: frozenset[str]
    before: frozenset[str]
    scope: Span
    gap: int
    origin: Point = Point.ACCEPT
    target: Point = Point.ACCEPT
    others: bool = False


def spacings(times: Times) -> list[Spacing]:
    """All paths of a device."""
    found = [*_buses(times), *_modes(times), *_activations(times), *_columns(times), *_turnarounds(times), *_operands(times)]
    return [each for each in (*found, *_upkeep(times), *_power(times)) if each.after and each.before]


def _named(times: Times, wanted: Callable[[Trait], bool]) -> frozenset[str]:
    return frozenset(name for name, trait in times.family.traits.items() if wanted(trait))


def _buses(times: Times) -> Iterator[Spacing]:
    """One command at a time on each command bus, for as long as it lasts."""
    family, everything = times.family, frozenset(times.family.traits)
    columns = _named(times, lambda trait: trait.is_column)
    least = times.of("tCMD") if times.has("tCMD") else 0
    for bus in (columns, everything - columns) if family.split_bus else (everything,):
        for ticks in sorted({times.on_bus(name) for name in bus}):
            after = frozenset(name for name in bus if times.on_bus(name) == ticks)
            gap = max(least, times.spent(ticks))
            yield Spacing("tCMD", after, bus, Span.CHANNEL, gap, Point.FIRST, Point.FIRST)
    if family.split_bus:
        yield Spacing("order", everything, everything, Span.CHANNEL, 0, Point.FIRST, Point.FIRST)


def _modes(times: Times) -> Iterator[Spacing]:
    """The modes of a PIM device: a change stops all, and waits for MAC units and registers."""
    everything = frozenset(times.family.traits)
    if times.has("tMODCH"):
        mode, mac = frozenset({"TMOD"}), _named(times, lambda trait: "mac" in trait.paths)
        yield Spacing("tMODCH", mode, everything, Span.CHANNEL, times.of("tMODCH"))
        yield Spacing("tMACMOD", mac, mode, Span.CHANNEL, times.of("tMACMOD"))
    if times.has("tMODE"):
        modes = _named(times, lambda trait: trait.mode)
        registers = {name: trait for name, trait in times.family.traits.items() if trait.row == Row.NONE}
        stores = frozenset(name for name, trait in registers.items() if trait.stores)
        senses = frozenset(name for name, trait in registers.items() if trait.senses)
        yield Spacing("tMODE", modes, everything, Span.PSEUDO, times.of("tMODE"))
        yield Spacing("tWR", stores, modes, Span.PSEUDO, times.of("tWR"), Point.END)
        yield Spacing("tRTP", senses, modes, Span.PSEUDO, times.of("tRTP"))


def _activations(times: Times) -> Iterator[Spacing]:
    """How fast banks may be activated one after the other, and precharged."""
    array = times.family.array
    acts = _named(times, lambda trait: trait.staggers)
    like = acts | _named(times, lambda trait: trait.upkeep in (Upkeep.REFRESH_BANK, Upkeep.MANAGE_BANK))
    yield Spacing("tRRDS", acts, like, array, times.of("tRRDS"))
    yield Spacing("tRRDL", acts, like, Span.GROUP, times.of("tRRDL"))
    if times.has("tPPD"):
        closes = _named(times, lambda trait: trait.row == Row.CLOSE)
        yield Spacing("tPPD", closes, closes, array, times.of("tPPD"))


def _columns(times: Times) -> Iterator[Spacing]:
    """The paths that column commands take, each direction its own."""
    takers = {path: _named(times, lambda trait, path=path: path in trait.paths)
              for path in ("read", "write", "group-read", "group-write", "mac", "die")}  # fmt: skip
    for path in ("read", "write"):
        yield Spacing("tCCDS", takers[path], takers[path], times.family.columns, times.of("tCCDS"))
        rule = "tCCDLWR" if path == "write" and times.has("tCCDLWR") else "tCCDL"
        group = takers[f"group-{path}"]
        yield Spacing(rule, group, group, Span.GROUP, times.of(rule))
    if times.has("tCCDR"):
        reads = _named(times, lambda trait: trait.bus == "read")
        yield Spacing("tCCDR", reads, reads, Span.RANK, times.of("tCCDR"), others=True)
    if takers["mac"]:
        yield Spacing("tMAC", takers["mac"], takers["mac"], Span.BANK, times.mac)
    plain, die = _named(times, lambda trait: trait.row != Row.NONE and bool(trait.bus)), takers["die"]
    for after, before in ((plain | die, die), (die, plain)) if die else ():
        yield Spacing("data-path", after, before, Span.PSEUDO, times.burst)
        yield Spacing("tCCDL", after, before, Span.GROUP, times.of("tCCDL"))
    for rule, name in (("tCCDAB", "MACAB"), ("tCCDSB", "MACSB")):  # so many MACs at once are spaced for their power
        if times.has(rule):
            yield Spacing(rule, frozenset({name}), frozenset({"MACAB", "MACSB"}), Span.CHANNEL, times.of(rule))


def _turnarounds(times: Times) -> Iterator[Spacing]:
    """From reads to writes and back."""
    array = times.family.array
    reads, writes = (_named(times, lambda trait, way=way: trait.turn == way) for way in ("read", "write"))
    if times.has("tBTA"):
        yield Spacing("tBTA", reads, writes, array, times.of("tBTA"), Point.END, Point.START)
    if times.has("tRTW"):
        yield Spacing("tRTW", reads, writes, array, times.of("tRTW"))
    yield Spacing("tWTRS", writes, reads, array, times.of("tWTRS"), Point.END)
    for thing, scope in (("array", Span.GROUP), ("registers", Span.CHANNEL)):
        after = _named(times, lambda trait, thing=thing: thing in trait.wtr_written)
        before = _named(times, lambda trait, thing=thing: thing in trait.wtr_read)
        busy = times.burst * (times.family.group_bursts - 1) if thing == "array" else 0
        yield Spacing("tWTRL", after, before, scope, busy + times.of("tWTRL"), Point.END)


def _operands(times: Times) -> Iterator[Spacing]:
    """What a command takes must be ready: buffer contents, accumulators, results, freshly written array data."""
    supplies = {supply for trait in times.family.traits.values() for supply in trait.supplies}
    for supply in sorted(supplies, key=lambda each: (each.operand, each.delay)):
        if not supply.delay or times.has(supply.delay):
            after = _named(times, lambda trait, supply=supply: supply in trait.supplies)
            before = _named(times, lambda trait, supply=supply: supply.operand in trait.needs)
            scope = Span.GROUP if supply.operand == "array" else times.family.operands
            origin = Point.END if supply.after_burst else Point.ACCEPT
            gap = times.of(supply.delay) if supply.delay else 0
            yield Spacing(supply.delay or supply.operand, after, before, scope, gap, origin)


def _upkeep(times: Times) -> Iterator[Spacing]:
    """What refreshes and refresh management keep busy."""
    awake = _named(times, lambda trait: trait.power in (Power.NONE, Power.SLEEP))
    opens, rests = (_named(times, lambda trait, row=row: trait.row == row) for row in (Row.OPEN, Row.REST))
    single = _named(times, lambda trait: trait.upkeep in (Upkeep.REFRESH_BANK, Upkeep.MANAGE_BANK))
    for name, trait in times.family.traits.items():
        after, array = frozenset({name}), times.family.array
        managed = trait.upkeep in (Upkeep.MANAGE_ALL, Upkeep.MANAGE_BANK)
        if trait.upkeep in (Upkeep.REFRESH_ALL, Upkeep.MANAGE_ALL):
            rule = "tRFMab" if managed else "tRFCab"
            yield Spacing(rule, after, awake, trait.span, times.of(rule))
        elif trait.upkeep != Upkeep.NONE:
            rule = "tRFMpb" if managed else "tRFCpb"
            yield Spacing(rule, after, opens | rests, Span.BANK, times.of(rule))
            act = "tPBR2ACT" if times.has("tPBR2ACT") else "tRREFD"
            yield Spacing(act, after, opens, array, times.of(act))
            yield Spacing("tRREFD", after, single, array, times.of("tRREFD"))


def _power(times: Times) -> Iterator[Spacing]:
    """Entry into power-down and self-refresh once all work is over, and how long each lasts."""
    traits = times.family.traits
    if "PDE" not in traits:
        return
    span, everything, clock = traits["PDE"].span, frozenset(traits), times.spent(times.ticks)
    entries = frozenset({"PDE", "SRE"})
    stores = _named(times, lambda trait: bool(trait.stores))
    bursts = _named(times, lambda trait: bool(trait.bus)) - stores
    inner = _named(times, lambda trait: trait.senses or trait.is_column and not trait.stores)  # as if it were read out
    yield Spacing("burst-to-PDE", bursts, entries, span, clock, Point.END)
    yield Spacing("write-to-PDE", stores, entries, span, times.of("tWR") + clock, Point.END)
    yield Spacing("array-to-PDE", inner - bursts, entries, span, times.of("tCL") + times.burst + clock)
    for rule, after, before in (
        ("tCKE", "PDE", frozenset({"PDX"})), ("tXP", "PDX", everything),
        ("tCKESR", "SRE", frozenset({"SRX"})), ("tXS", "SRX", everything),
    ):  # fmt: skip
        yield Spacing(rule, frozenset({after}), before, span, times.of(rule))


def other_ranks(geometry: Geometry, places: range) -> Iterator[int]:
    """The ranks of the pseudo-channel that holds the first of ``places``, but these."""
    ranks = geometry.size[Span.PSEUDO] // geometry.size[Span.RANK]
    first = places[0] // ranks * ranks
    yield from (rank for rank in range(first, first + ranks) if rank not in places)


class Paths:
    """All spacings, with the last command that took each path at each place."""

    def __init__(self, times: Times) -> None:
        self.geometry = times.geometry
        numbered = list(enumerate(spacings(times)))
        names = times.family.traits
        self.waits = {name: [each for each in numbered if name in each[1].before] for name in names}
        self.takes = {name: [each for each in numbered if name in each[1].after] for name in names}
        self.last: dict[tuple[int, int], Event] = {}

    def demands(self, event: Event) -> Iterator[Demand]:
        """Each path that ``event`` takes must be free again."""
        for number, spacing in self.waits[event.name]:
            places = self.geometry.places(spacing.scope, event.banks)
            for place in other_ranks(self.geometry, places) if spacing.others else places:
                if (number, place) in self.last:
                    earlier = self.last[number, place]
                    late = earlier.at[spacing.origin] + spacing.gap - event.at[spacing.target]
                    yield Demand(spacing.rule, earlier, event.time + late)

    def record(self, event: Event) -> None:
        """Occupy the paths; of two bursts the one that ends later counts."""
        for number, spacing in self.takes[event.name]:
            for place in self.geometry.places(spacing.scope, event.banks):
                known = self.last.get((number, place))
                if known is None or known.at[spacing.origin] <= event.at[spacing.origin]:
                    self.last[number, place] = event
