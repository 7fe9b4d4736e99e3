"""Each edge of each timing rule by itself: it holds a command back to the very cycle, and its loss is noticed.

``python -m pytest -s tests/sim/test_rules.py -k survivors`` prints the score and the edges that no stream can make bind, each
with what stands in for it.
"""

from collections import Counter
from functools import cache

import pytest
from rowline.arch.device import RefreshMode
from rowline.arch.standards import STANDARDS
from rowline.sim.compile import compile_device
from rowline.sim.judge import Judge
from rowline.sim.reference.oracle import run_oracle

from ..conformance.devices import CASES as DEVICES
from ..conformance.devices import device
from ..conformance.directed import drop, shifts, thinned
from ..conformance.excuses import excuse
from ..conformance.gates import CASES, Edge, Gate, edges, gate_of
from ..conformance.kernel import first_difference, run_kernel
from ..conformance.streams import random_stream

STRICTER = {
    ("gddr6-pim", "tBL-PIM-RD"): "issues stay a burst apart even where latencies differ and the bursts would not meet",
    ("gddr6-pim", "tBL-PIM-WR"): "as tBL-PIM-RD",
    ("hbm-pim", "tBL-RD"): "RDPIM is a read in all respects, though nothing leaves the stack",
    ("hbm-pim", "tRTW-BUS"): "as tBL-RD",
    ("hbm-pim", "tRTW-REG-BUS"): "as tBL-RD",
    ("hbm3-pim", "tPIM-PDE"): "WRGB counts with the latency of a read, which is the longer one",
}
"""Rules some edges of which ask for more than the judge does, so that it has nothing to say about one cycle less."""

LEAST_SCORE = 0.9


def assert_tight(edge: Edge, gate: Gate) -> None:
    """The edge decides: kernel and oracle issue the command at the cycle before it plus the gap, and blame the rule."""
    standard = STANDARDS[edge.standard]
    assert first_difference(gate.device, gate.log, run_oracle(gate.device, gate.stream, gate.not_before)) == "", edge.name
    late, before = gate.log[gate.position], gate.log[: gate.position]
    assert late["cmd"] == standard.index[edge.after.name], edge.name
    assert late["rule"] == standard.rules.index(edge.rule), edge.name
    gap = standard.gap(edge.rule, edge.before, edge.after, gate.device.params)
    earlier = before["cycle"][before["cmd"] == standard.index[edge.before.name]]
    assert late["cycle"] - gap in earlier, edge.name


def judged(edge: Edge, gate: Gate) -> bool:
    """Whether the judge, which does not know the rule tables, refuses the log that is one cycle short, and only that."""
    if not gate.awake:
        return False  # it refuses the stream as such: power states are not left as they were entered
    legal, short = Judge(gate.device), Judge(gate.device)
    legal.feed(gate.log)
    assert legal.counts == {}, (edge.name, legal.violations[0].text)
    short.feed(gate.short)
    assert short.counts or (edge.standard, edge.rule.name) in STRICTER, edge.name
    return bool(short.counts)


def decisive(edge: Edge) -> Gate | None:
    """A gate of the edge, on whatever device it binds; none if it is excused."""
    gate, excused = gate_of(edge), excuse(edge)
    assert gate is None or not excused, f"{edge.name} binds, though {excused}"
    if gate is None and not excused:
        gate = next(filter(None, (gate_of(edge, shift) for shift in shifts(STANDARDS[edge.standard])[1:])), None)
        assert gate is not None, f"{edge.name}: no stream makes it bind, and nothing excuses it"
    return gate


@pytest.mark.parametrize(("standard", "name"), CASES)
def test_every_edge_is_tight_or_excused(standard: str, name: str) -> None:
    """Blocked at c - 1, open at c; with the edge a cycle short the kernel's log changes and the judge refuses it."""
    found = [(edge, gate) for edge in edges(standard, name) if (gate := decisive(edge)) is not None]
    for edge, gate in found:
        assert_tight(edge, gate)
    refused = [judged(edge, gate) for edge, gate in found]
    assert not found or any(refused) or name == "tCMD"
    if found:
        _, gate = found[0]
        dropped = compile_device(gate.device, drop(gate.device.dram_standard.rules, found[0][0].rule))
        log = run_kernel(gate.device, gate.stream, gate.not_before, table=dropped).log
        assert log["cycle"].tolist() != gate.log["cycle"].tolist()


@pytest.mark.parametrize("standard", STANDARDS)
def test_survivors(standard: str) -> None:
    """How many edges are caught, and which are not. What is not excused is caught, or the test above fails."""
    every = [edge for name, rule in CASES if name == standard for edge in edges(name, rule)]
    excused = {edge: reason for edge in every if (reason := excuse(edge))}
    score = 1 - len(excused) / len(every)
    print(f"\n{standard}: {len(every) - len(excused)} of {len(every)} edges caught ({score:.1%}); {len(excused)} survive:")
    reasons = Counter((edge.rule.name, reason) for edge, reason in excused.items())
    for (rule, reason), count in reasons.items():
        print(f"  {rule} ({count}): {reason}")
    assert score >= {"gddr6-pim": 0.75}.get(standard, LEAST_SCORE)


@cache
def survivors(standard: str) -> dict[str, list[Edge]]:
    """The excused edges of a standard, by rule."""
    found = {name: [edge for edge in edges(standard, name) if excuse(edge)] for each, name in CASES if each == standard}
    return {name: excused for name, excused in found.items() if excused}


@pytest.mark.parametrize(("name", "mode"), DEVICES)
def test_without_the_survivors_of_a_rule_nothing_changes(name: str, mode: RefreshMode) -> None:
    """Rule by rule, since two rules may stand in for each other."""
    dev = device(name, mode)
    streams = [random_stream(dev, 500 + seed, length=300) for seed in range(2)]
    logs = [run_kernel(dev, *each).log for each in streams]
    for excused in survivors(dev.dram_standard.name).values():
        table = compile_device(dev, thinned(dev.dram_standard, excused[0].rule, {(e.before, e.after) for e in excused}))
        for stream, log in zip(streams, logs, strict=True):
            thin = run_kernel(dev, *stream, table=table).log
            assert thin["cycle"].tolist() == log["cycle"].tolist(), excused[0].name
