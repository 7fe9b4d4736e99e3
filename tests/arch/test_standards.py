"""The standards as data: names are unique and known, every parameter is used, every latency evaluates."""

import ast

import pytest
from rowline.arch.loader import list_presets, load_system
from rowline.arch.spec import DramStandard, Level, RowEffect, Term, evaluate
from rowline.arch.standards import STANDARDS

STANDARD = pytest.mark.parametrize("standard", STANDARDS.values(), ids=list(STANDARDS))
UNUSED_TIMING: dict[str, str] = {}  # parameter -> why no rule uses it
PARAMS = {"nA": 3, "nB": 5, "nC": 7}


def names(expression: str) -> set[str]:
    return {n.id for n in ast.walk(ast.parse(expression, mode="eval")) if isinstance(n, ast.Name)} - {"max"}


@STANDARD
def test_names_are_unique(standard: DramStandard) -> None:
    for group in (standard.rules, standard.commands):
        found = [item.name for item in group]
        assert len(found) == len(set(found))
    assert list(standard.index) == [c.name for c in standard.commands]


@STANDARD
def test_every_class_that_a_rule_names_has_members(standard: DramStandard) -> None:
    known = {"any"} | {c.name for c in standard.commands} | {cls for c in standard.commands for cls in c.classes}
    named = {cls for rule in standard.rules for cls in (*rule.preceding, *rule.following)}
    assert named <= known
    assert known - named - {c.name for c in standard.commands} <= {"mode", "power"}  # rules name their members
    for rule in standard.rules:
        assert standard.members(rule.preceding) and standard.members(rule.following)
        assert len(set(rule.preceding)) == len(rule.preceding) and len(set(rule.following)) == len(rule.following)


@STANDARD
def test_every_timing_parameter_is_used(standard: DramStandard) -> None:
    used = {name for rule in standard.rules for name in names(rule.latency)}
    given = {"n" + name[1:] for name in standard.timing} | set(standard.derived)
    assert used <= given
    assert given - used == {"n" + name[1:] for name in UNUSED_TIMING}
    assert not set(standard.derived) & {"n" + name[1:] for name in standard.timing}
    assert all(name[0] == "t" and meaning for name, meaning in standard.timing.items())


@STANDARD
def test_every_rule_is_well_formed(standard: DramStandard) -> None:
    params = {"n" + name[1:]: 1 + i for i, name in enumerate(standard.timing)} | dict.fromkeys(standard.derived, 2)
    for rule in standard.rules:
        assert rule.cycles(params) >= 0
        if rule.term != Term.COMMAND_BUS:  # a bus without a parameter is taken for one tick
            assert rule.cycles(dict.fromkeys(params, 0)) == 0
        assert rule.window >= 1 and isinstance(rule.scope, Level)
        for command in standard.members((*rule.preceding, *rule.following)):
            # an all-bank command meets another at any scope; a rule never asks for less than what a command touches
            assert command.footprint in Level


@STANDARD
def test_every_command_can_follow_and_be_followed(standard: DramStandard) -> None:
    """Each command takes part in more than the rule of the command bus, and rows have what opens and closes them."""
    for command in standard.commands:
        named = [r for r in standard.rules if command in standard.members(tuple(set(r.following) - {"any"}))]
        assert named, command.name
    effects = {c.row for c in standard.commands}
    assert effects >= {RowEffect.OPEN, RowEffect.CLOSE, RowEffect.ACCESS, RowEffect.ACCESS_CLOSE, RowEffect.REFRESH}
    assert {c.bus for c in standard.commands} == {"", "read", "write"}


@pytest.mark.parametrize("name", list_presets("system"))
def test_the_rules_of_the_presets_evaluate(name: str) -> None:
    device = load_system(name).device
    for rule in device.dram_standard.rules:
        assert 0 <= rule.cycles(device.params) < 10**6


@pytest.mark.parametrize(
    ("text", "value"),
    [("nA", 3), ("4", 4), ("nA + nB - 2", 6), ("nA - nB", -2), ("max(nA, nB - 1) + nC", 11), ("nA - (nB - nC)", 5),
     ("max(1, max(nB, nC))", 7)],
)  # fmt: skip
def test_evaluate(text: str, value: int) -> None:
    assert evaluate(text, PARAMS) == value


@pytest.mark.parametrize(
    "text",
    ["nA * nB", "nA / 2", "nA ** 9", "-nA", "nD", "1.5", "'x'", "min(nA, nB)", "max(nA, key=nB)", "nA.real", "nA[0]",
     "__import__('os').system('true')", "(lambda: 1)()", "nA if nB else nC", "nA < nB", "[nA]", "f'{nA}'", "nA and nB",
     "max(*nA)", "max()", "True", "None", "(nA := 3)", "~nA", "nA << 3", "", "nA nB", "nA; nB", "import os"],
)  # fmt: skip
def test_evaluate_refuses_anything_else(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)) as caught:
        evaluate(text, PARAMS)
    assert isinstance(caught.value, ValueError), "a ValueError, as promised"


def test_a_negative_latency_asks_for_nothing() -> None:
    rule = next(r for r in STANDARDS["gddr6"].rules if r.name == "tRTW")
    params = dict.fromkeys(("nCL", "nBL", "nBTA"), 0) | {"nCWL": 9}
    assert evaluate(rule.latency, params) == -9 and rule.cycles(params) == 0
