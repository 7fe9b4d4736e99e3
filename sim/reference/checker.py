"""The legality checker: judges an issue log in picoseconds, whoever wrote it.

It works from another form than the rule tables of :mod:`rowline.arch.standards`: row-open intervals, bursts on
the data bus, paths that are free again, operands that are ready, refreshes that are owed. It reads the device's values,
but neither the standard's rules nor their latencies. How it rounds is written in :mod:`.facets`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...arch.device import DramDevice
from ...traces.commands import IssueLog
from .columncheck import ColumnPaths, CommandBus, DataBus, Operands
from .facets import Demand, Event, Facet, Times
from .refreshcheck import RefreshBusy, RefreshDebt
from .rowcheck import Activations, RowIntervals
from .traits import TRAITS, Span


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


def check(device: DramDevice, log: IssueLog, refresh: bool = True, limit: int | None = None) -> list[Violation]:
    """Judge ``log``; an empty list means that it is legal.

    Args:
        device: the channel that the log is of.
        log: a table of ``ISSUED`` rows, in order of issue.
        refresh: whether refreshes must have come in time (False for logs of simulators that do not refresh).
        limit: stop after this many violations.

    Raises:
        ValueError: the log holds a command that the checker does not know, or a bank that the device does not have.
    """
    times = Times(device)
    facets: list[Facet] = [
        CommandBus(times),
        RowIntervals(times, device.organization.banks),
        Activations(times),
        ColumnPaths(times),
        DataBus(times),
        Operands(times),
        RefreshBusy(times),
    ]
    if refresh:
        facets.append(RefreshDebt(device))
    found: list[Violation] = []
    for event in _events(device, log):
        worst: dict[str, Demand] = {}
        for facet in facets:
            for demand in facet.demands(event):
                broken = demand.fault or event.time < demand.earliest
                if broken and (demand.rule not in worst or worst[demand.rule].earliest < demand.earliest):
                    worst[demand.rule] = demand
        for facet in facets:
            facet.record(event)
        found += [_violation(event, demand) for demand in worst.values()]
        if limit is not None and len(found) >= limit:
            return found[:limit]
    return found


def _events(device: DramDevice, log: IssueLog) -> Iterator[Event]:
    """The rows of ``log`` with times and touched banks."""
    names = [command.name for command in device.dram_standard.commands]
    banks, per_group = device.organization.banks, device.organization.banks_per_group.value
    width = {Span.BANK: 1, Span.GROUP: per_group, Span.CHANNEL: banks}
    order = [names[number] for number in log["cmd"]] + [""]
    for index, (cycle, unit, row) in enumerate(
        zip(log["cycle"].tolist(), log["unit"].tolist(), log["row"].tolist(), strict=True)
    ):
        name = order[index]
        if name not in TRAITS:
            raise ValueError(f"row {index}: the checker does not know the command {name}")
        trait = TRAITS[name]
        touched = range(unit * width[trait.span], (unit + 1) * width[trait.span])
        if touched.start < 0 or touched.stop > banks:
            raise ValueError(f"row {index}: {name} addresses unit {unit}, which does not exist")
        groups = range(touched.start // per_group, (touched.stop - 1) // per_group + 1)
        time = device.device_clock.edge_ps(cycle)
        yield Event(index, cycle, time, name, trait, unit, row, touched, groups, order[index + 1])


def _violation(event: Event, demand: Demand) -> Violation:
    earlier = f"{demand.earlier.label} (row {demand.earlier.index})" if demand.earlier else ""
    reason = demand.fault or f"{demand.earliest - event.time} ps too early"
    text = f"row {event.index}: {event.label}: {demand.rule}: {reason}" + (f", after {earlier}" if earlier else "")
    return Violation(event.index, demand.rule, event.label, earlier, event.time, demand.earliest, text)
