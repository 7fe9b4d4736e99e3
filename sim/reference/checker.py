"""The legality checker: judges an issue log in picoseconds, whoever wrote it.

It works from another form than the rule tables of :mod:`rowline.arch.standards`: row-open intervals, bursts on
the data bus, paths that are free again, operands that are ready, refreshes that are owed. It reads the device's values,
but neither the standard's rules nor their latencies. How it rounds is written in :mod:`.facets`.

This is the readable form. :mod:`rowline.sim.judge` is the fast one: same parts, same verdicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...arch.device import DramDevice
from ...traces.commands import IssueLog
from .columncheck import DataBus
from .debtcheck import RefreshDebt
from .facets import Demand, Event, Facet, Times
from .powercheck import PowerStates
from .refreshcheck import RefreshRounds
from .rowcheck import Activations, RowIntervals
from .spacings import Paths


@dataclass(frozen=True)
class Violation:
    """A command that came too early, or that the state of the device forbids.

    Attributes:
        index: row of the log.
        rule: the timing parameter or state that was violated.
        command: the offending command; ``earlier``: the one it conflicts with (empty if there is none).
        time_ps: when it came; ``earliest_ps``: when it could have (the same, if no waiting would have helped).
        text: one line for people.
    """

    index: int
    rule: str
    command: str
    earlier: str
    time_ps: int
    earliest_ps: int
    text: str

    @property
    def early_ps(self) -> int:
        """By how much it came too early; 0 if no waiting would have helped."""
        return self.earliest_ps - self.time_ps


def check(
    device: DramDevice, log: IssueLog, refresh: bool = True, limit: int | None = None, order: bool = True
) -> list[Violation]:
    """Judge ``log``; an empty list means that it is legal. Of one command, violations come in the order of their rules.

    Args:
        device: the channel that the log is of.
        log: a table of ``ISSUED`` rows, in order of issue.
        refresh: whether refreshes must have come in time (False for logs of simulators that do not refresh).
        limit: stop after this many violations.
        order: whether refreshes must keep to the schedule of our own engine, unit after unit.

    Raises:
        ValueError: the log holds a command that the checker does not know, or a unit that the device does not have.
    """
    times = Times(device)
    facets: list[Facet] = [
        Paths(times), RowIntervals(times), Activations(times), DataBus(times), RefreshRounds(times), PowerStates(times),
    ]  # fmt: skip
    debt = RefreshDebt(times, order)
    if refresh:
        facets.append(debt)
    found: list[Violation] = []
    before: tuple[Event, dict[str, Demand]] | None = None
    for event in _events(times, log):
        if before is not None:
            found += _verdicts(*before, debt.unpaid if debt.withdrawn(event) else None)
        if limit is not None and len(found) >= limit:
            return found[:limit]
        worst: dict[str, Demand] = {}
        for facet in facets:
            for demand in facet.demands(event):
                broken = demand.fault or event.time < demand.earliest
                if broken and (demand.rule not in worst or worst[demand.rule].earliest < demand.earliest):
                    worst[demand.rule] = demand
        for facet in facets:
            facet.record(event)
        before = event, worst
    if before is not None:
        found += _verdicts(*before, debt.unpaid)
    return found[:limit]


def _verdicts(event: Event, worst: dict[str, Demand], unpaid: Demand | None) -> list[Violation]:
    """What is wrong with ``event``, a precharge that was to pay a debt and did not included."""
    if unpaid is not None:
        worst = worst | {unpaid.rule: unpaid}
    return [violation(event, worst[rule]) for rule in sorted(worst)]


def _events(times: Times, log: IssueLog) -> Iterator[Event]:
    """The rows of ``log`` with times and touched banks."""
    names = [command.name for command in times.device.dram_standard.commands]
    rows = zip(log["cycle"].tolist(), log["cmd"].tolist(), log["unit"].tolist(), log["row"].tolist(), strict=True)
    for index, (cycle, number, unit, row) in enumerate(rows):
        if not 0 <= number < len(names) or names[number] not in times.family.traits:
            name = names[number] if 0 <= number < len(names) else f"number {number}"
            raise ValueError(f"row {index}: the checker does not know the command {name}")
        if not 0 <= unit < times.geometry.units(times.family.traits[names[number]].span):
            raise ValueError(f"row {index}: {names[number]} addresses unit {unit}, which does not exist")
        yield times.event(index, cycle, names[number], unit, row)


def violation(event: Event, demand: Demand) -> Violation:
    """A demand that was not met, in words."""
    earlier = f"{demand.earlier.label} (row {demand.earlier.index})" if demand.earlier else ""
    early = demand.earliest - event.time
    reason = demand.fault or f"{early} ps too early"
    text = f"row {event.index}: {event.label}: {demand.rule}: {reason}" + (f", after {earlier}" if earlier else "")
    return Violation(event.index, demand.rule, event.label, earlier, event.first, event.first + early, text)
