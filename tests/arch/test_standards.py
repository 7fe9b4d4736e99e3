"""The standards as data: names are unique and known, every parameter is used, every latency evaluates."""

import ast

import pytest
from rowline.arch.loader import list_devices, load_device
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
    assert known - named - {c.name for c in standard.commands} <= {"power"}  # rules name their members
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
        # what a rule adds to its parameters is one clock at most, of a standard that has no parameter for that
        assert rule.cycles(dict.fromkeys(params, 0)) <= standard.ticks_per_clock
        assert rule.window >= 1 and isinstance(rule.scope, Level)


@STANDARD
def test_every_command_can_follow_and_be_followed(standard: DramStandard) -> None:
    """Each command takes part in more than the rule of the command bus, and rows have what opens and closes them."""
    for command in standard.commands:
        named = [r for r in standard.rules if command in standard.members(tuple(set(r.following) - {"any"}))]
        assert named, command.name
    effects = {c.row for c in standard.commands}
    assert effects >= {RowEffect.OPEN, RowEffect.CLOSE, RowEffect.ACCESS, RowEffect.ACCESS_CLOSE, RowEffect.REFRESH}
    assert {c.bus for c in standard.commands} == {"", "read", "write"}


@STANDARD
def test_what_the_engine_asks_for_by_name_is_there(standard: DramStandard) -> None:
    """All-bank commands go to the same banks, per-bank refresh finds its precharge, power commands come in pairs."""
    index = standard.index
    command = {name: standard.commands[i] for name, i in index.items()}
    assert command["PREA"].footprint == command["REFab"].footprint >= Level.RANK
    assert not command["PREA"].stripe and not command["REFab"].stripe
    assert all(c.footprint == Level.RANK for c in standard.commands if c.stripe)
    if standard.refresh_bank in index:
        refresh, close = command[standard.refresh_bank], command[standard.close_bank]
        assert (refresh.footprint, refresh.stripe) == (close.footprint, close.stripe)
        assert (refresh.row, close.row) == (RowEffect.REFRESH, RowEffect.CLOSE)
    else:
        assert not any(c.is_a("ref_one") for c in standard.commands)
    if standard.activate_all:
        assert command[standard.activate_all].row == RowEffect.OPEN
    power = {"PDE", "PDX", "SRE", "SRX"}
    assert power <= set(index) and {command[name].footprint for name in power} <= {Level.RANK, Level.PSEUDOCHANNEL, Level.CHANNEL}
    assert command["PDE"].row == RowEffect.NONE and command["SRE"].row == RowEffect.IDLE
    assert all(c.half_clocks >= 1 for c in standard.commands)


@STANDARD
def test_rules_apply_where_they_can(standard: DramStandard) -> None:
    for rule in standard.rules:
        assert not rule.sibling or (rule.scope == Level.RANK and rule.window == 1)
        assert not rule.new_round or rule.preceding == rule.following == (standard.refresh_bank,)
        assert rule.window == 1 or "act" in rule.preceding
        assert rule.latency.count("nCMD") <= 1


EDGES = {
    "C1": "ACT ACT", "C2 read": "ACT RD", "C2 write": "ACT WR", "C3": "ACT PRE", "C3 all": "ACT PREA", "C4": "PRE ACT",
    "C4 all": "PREA ACT", "C5": "RD PRE", "C5 all": "RD PREA", "C6": "WR PRE", "C6 all": "WR PREA", "C7": "RDA ACT",
    "C8": "WRA ACT", "C9": "WR RDA", "C10 read": "RDA PREA", "C10 write": "WRA PREA", "C11": "RDA RD", "C12": "WRA WR",
    "C15": "RD WRA", "C16": "WR RD", "C24 act": "ACT REFab", "C24 pre": "PREA REFab", "C24 read": "RDA REFab",
    "C24 write": "WRA REFab", "C25 act": "REFab ACT", "C25 ref": "REFab REFab", "C25 pre": "REFab PREA", "C25 rd": "REFab RD",
    "C33 rd": "RD PDE", "C33 pdx": "PDE PDX", "C33 xp": "PDX ACT", "C33 ab": "WRA PDE", "C33 sre": "PRE SRE",
    "C33 wra": "WRA SRE", "C33 ref": "REFab SRE", "C33 srx": "SRE SRX", "C33 xs": "SRX REFab", "C33 xs rd": "SRX RD",
}  # fmt: skip
ONE_EDGES = {
    "C25": "REFab REF1", "C26": "REF1 ACT", "C26 ref": "REF1 REF1", "C27": "REF1 REFab", "C30 act": "ACT REF1",
    "C30 pre": "PRE REF1", "C30 all": "PREA REF1", "C30 read": "RDA REF1", "C30 write": "WRA REF1", "C33": "REF1 SRE",
}  # fmt: skip
RFM_EDGES = {
    "act": "ACT RFMab", "pre": "PREA RFMab", "read": "RDA RFMab", "write": "WRA RFMab", "ref": "REFab RFMab", "one": "REF1 RFMab",
    "after": "RFMab ACT", "refab": "RFMab REFab", "self": "RFMab RFMab", "refone": "RFMab REF1", "rfmone": "RFMab RFM1",
    "one act": "RFM1 ACT", "one one": "RFM1 RFM1", "one ref": "RFM1 REF1", "ref one": "REF1 RFM1", "one all": "RFM1 REFab",
    "act one": "ACT RFM1", "pre one": "PRE RFM1", "wra one": "WRA RFM1", "sre": "RFMab SRE", "one sre": "RFM1 SRE",
}  # fmt: skip


@STANDARD
def test_no_core_edge_is_missing(standard: DramStandard) -> None:
    """The most common bug of peers is not a wrong number but a missing pair of commands: each must have a rule."""
    edges = list(EDGES.values())
    one = standard.refresh_bank if standard.refresh_bank in standard.index else ""
    if one:
        edges += ONE_EDGES.values()
    if "RFMab" in standard.index:
        edges += RFM_EDGES.values()
    for edge in edges:
        first, second = (
            standard.commands[standard.index[name.replace("REF1", one).replace("RFM1", one.replace("REF", "RFM"))]]
            for name in edge.split()
        )
        between = [
            rule
            for rule in standard.rules
            if rule.term != Term.COMMAND_BUS and not rule.sibling and not rule.new_round and rule.window == 1
            if first in standard.members(rule.preceding) and second in standard.members(rule.following)
        ]
        assert between, edge


@STANDARD
def test_refresh_stands_in_the_activation_window(standard: DramStandard) -> None:
    """D1: one mixed queue; whether a refresh counts in it is the device's to say."""
    windows = [rule for rule in standard.rules if rule.window > 1]
    assert windows
    for rule in windows:
        assert rule.preceding == rule.following
        assert (standard.refresh_bank in rule.preceding) == (standard.refresh_bank in standard.index)


@pytest.mark.parametrize("name", ["ddr4", "ddr5", "lpddr5"])
def test_ranks_keep_their_bursts_apart(name: str) -> None:
    """C18, worked out by hand for tCL 20, tCWL 12, a burst of 4 and a bubble of 2: data follow at 20 and 12."""
    params = {"nCL": 20, "nCWL": 12, "nBL": 4, "nRTRS": 2}
    found = {rule.name: rule.cycles(params) for rule in STANDARDS[name].rules if rule.sibling}
    assert found == {"tRTRS-RD-RD": 6, "tRTRS-WR-WR": 6, "tRTRS-RD-WR": 14, "tRTRS-WR-RD": 0}


def test_lengths_of_commands() -> None:
    """Two clocks for ACT and columns of DDR5, and for ACT of LPDDR5; gaps run from last clock to last clock."""
    ddr5, lpddr5 = STANDARDS["ddr5"], STANDARDS["lpddr5"]
    two = {c.name for c in ddr5.commands if c.half_clocks == 4}
    assert two == {"ACT", "RD", "WR", "RDA", "WRA"} and {c.name for c in lpddr5.commands if c.half_clocks == 4} == {"ACT"}
    params = {"nRAS": 10, "nRCDRD": 10, "nRP": 10, "nCMD": 1}
    for standard, expected in ((ddr5, (11, 10, 9, 2)), (lpddr5, (11, 11, 9, 2)), (STANDARDS["ddr4"], (10, 10, 10, 1))):
        gaps: list[int] = []
        for name, a, b in (("tRAS", "ACT", "PRE"), ("tRCDRD", "ACT", "RD"), ("tRP", "PRE", "ACT"), ("tCMD", "ACT", "ACT")):
            rule = next(r for r in standard.rules if r.name == name)
            first, second = standard.commands[standard.index[a]], standard.commands[standard.index[b]]
            gaps.append(standard.gap(rule, first, second, params))
        assert tuple(gaps) == expected, standard.name


def test_a_write_of_lpddr5_keeps_its_bank_group_for_two_bursts() -> None:
    rule = next(r for r in STANDARDS["lpddr5"].rules if r.name == "tWTRL")
    assert rule.cycles({"nCWL": 9, "nBL": 2, "nWTRL": 10}) == 23


@pytest.mark.parametrize("name", list_devices())
def test_the_rules_of_the_presets_evaluate(name: str) -> None:
    device = load_device(name)
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
