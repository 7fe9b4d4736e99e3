"""Each timing rule by itself: it holds a command back to the very cycle, and the kernel's table holds that rule."""

import numpy as np
import pytest
from rowline.arch.standards import STANDARDS
from rowline.sim.reference.checker import check
from rowline.sim.reference.oracle import run_oracle

from ..conformance.devices import device
from ..conformance.directed import UNREACHABLE, pair_stream, tight_device
from ..conformance.gates import BASE, BINDING_CASES, CASES, COVERED, covered, gate_of
from ..conformance.kernel import first_difference, run_kernel


@pytest.mark.parametrize(("standard", "name"), BINDING_CASES)
def test_the_kernel_issues_at_the_cycle_of_the_rule(standard: str, name: str) -> None:
    """``cycle(B) = cycle(A) + latency``, with this rule as the one that decided."""
    gate = gate_of(standard, name)
    tight, rule, pair = gate.device, gate.rule, gate.pair
    run = run_kernel(tight, pair.stream, pair.not_before)
    assert first_difference(tight, run.log, run_oracle(tight, pair.stream, pair.not_before)) == ""
    index = tight.dram_standard.index
    late = run.log[pair.position]
    assert (late["cmd"], late["rule"]) == (index[pair.pair[1]], tight.dram_standard.rules.index(rule))
    preceding = [index[command.name] for command in tight.dram_standard.members(rule.preceding)]
    before = run.log[: pair.position]
    earlier = before["cycle"][np.isin(before["cmd"], preceding)].tolist()
    assert int(late["cycle"]) - rule.cycles(tight.params) in earlier
    assert check(tight, run.log) == []


@pytest.mark.parametrize(("standard", "name"), BINDING_CASES)
def test_one_cycle_earlier_is_illegal(standard: str, name: str) -> None:
    """The command at c - 1, and nothing else moved: the checker, which does not know the rule tables, refuses it."""
    gate = gate_of(standard, name)
    tight, pair = gate.device, gate.pair
    log = run_kernel(tight, pair.stream, pair.not_before).log[: pair.position + 1]
    log["cycle"][pair.position] -= 1
    closes_itself = name.startswith("tWR-RDA")  # an RDA is early only for the precharge that follows it by itself
    if closes_itself:
        log = run_kernel(tight, pair.stream, pair.not_before, rules=gate.weaker).log
    assert [violation for violation in check(tight, log) if violation.index == pair.position + closes_itself]


@pytest.mark.parametrize(("standard", "name"), BINDING_CASES)
def test_a_kernel_table_with_the_rule_one_cycle_short_is_caught(standard: str, name: str) -> None:
    gate = gate_of(standard, name)
    tight, pair = gate.device, gate.pair
    run = run_kernel(tight, pair.stream, pair.not_before, rules=gate.weaker)
    difference = first_difference(tight, run.log, run_oracle(tight, pair.stream, pair.not_before))
    assert difference  # also where another rule takes over at the same cycle: the deciding rule is in the log
    same_cycles = run.log["cycle"].tolist() == run_oracle(tight, pair.stream, pair.not_before)["cycle"].tolist()
    assert same_cycles == covered(standard, name) == (not pair.alone)


def test_the_exceptions_exist() -> None:
    """Lists of exceptions name rules that are there, so that they shrink when a rule goes."""
    names = {name for _, name in CASES}
    assert set(UNREACHABLE) | set(COVERED) <= names
    assert len(UNREACHABLE) + len(COVERED) <= 8
    for standard, name in CASES:
        if name in UNREACHABLE:
            rule = next(each for each in STANDARDS[standard].rules if each.name == name)
            tight = tight_device(device(BASE[standard]), rule)
            assert pair_stream(tight, rule) is None
