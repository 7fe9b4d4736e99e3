"""Every edge of every timing rule as a gate: a device and a stream in which the edge, and nothing else, holds a command back."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import Command, TimingRule
from rowline.arch.standards import STANDARDS
from rowline.sim.compile import TimingTable, compile_device
from rowline.traces.commands import CommandStream, IssueLog

from .devices import widest
from .directed import edge_streams, edges_of, mode_for, mutant, tight_device
from .kernel import run_kernel

CASES = [(standard.name, rule.name) for standard in STANDARDS.values() for rule in standard.rules]


@dataclass(frozen=True)
class Edge:
    """A rule of a standard and two commands between which it holds."""

    standard: str
    rule: TimingRule
    before: Command
    after: Command

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.standard}: {self.rule.name}: {self.before.name} to {self.after.name}"

    @property
    def mode(self) -> RefreshMode | None:
        """The refresh mode in which both commands can come; None: there is none."""
        standard = STANDARDS[self.standard]
        if {"REFab", standard.refresh_bank} == {self.before.name, self.after.name}:
            return None
        return mode_for(standard, self.before, self.after)


@dataclass(frozen=True)
class Gate:
    """A stream in which an edge decides.

    Attributes:
        log: what the kernel makes of the stream; ``short``: the same with the edge one cycle short.
        position: the first row in which they differ: the command that the edge holds back.
        awake: power states are entered and left in turn, so that the stream is legal in all respects.
    """

    device: DramDevice
    stream: CommandStream
    not_before: list[int]
    log: IssueLog
    short: IssueLog
    position: int
    awake: bool


@cache
def rule_of(standard: str, name: str) -> TimingRule:
    """A rule by name."""
    return next(each for each in STANDARDS[standard].rules if each.name == name)


def edges(standard: str, name: str) -> list[Edge]:
    """The edges of a rule."""
    rule = rule_of(standard, name)
    return [Edge(standard, rule, a, b) for a, b in edges_of(STANDARDS[standard], rule)]


@cache
def tight(standard: str, name: str, mode: RefreshMode, shift: str = "") -> DramDevice:
    """The device on which a rule is to bind."""
    return tight_device(widest(standard), rule_of(standard, name), mode, shift)


@cache
def tight_table(standard: str, name: str, mode: RefreshMode, shift: str) -> TimingTable:
    """The same, compiled."""
    return compile_device(tight(standard, name, mode, shift))


def gate_of(edge: Edge, shift: str = "") -> Gate | None:
    """The first stream in which one cycle less on this edge changes a cycle; None if there is none."""
    if edge.mode is None:
        return None
    where = edge.standard, edge.rule.name, edge.mode, shift
    return _gate_on(edge, tight(*where), tight_table(*where))


def _gate_on(edge: Edge, dev: DramDevice, table: TimingTable) -> Gate | None:
    weaker = compile_device(dev, mutant(dev.dram_standard, edge.rule, (edge.before, edge.after)))
    for pair in edge_streams(dev, edge.rule, edge.before, edge.after):
        stream, not_before = pair.builder.stream(), pair.builder.not_before
        log = run_kernel(dev, stream, not_before, table=table).log
        short = run_kernel(dev, stream, not_before, table=weaker).log
        differs = log["cycle"] != short["cycle"] if len(log) == len(short) else np.ones(1, bool)
        if differs.any():
            return Gate(dev, stream, not_before, log, short, int(np.argmax(differs)), pair.awake)
    return None
