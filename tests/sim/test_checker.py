"""The checker: silent on what the oracle issues, and not silent once any one rule is a cycle too short."""

import numpy as np
import pytest
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import TimingRule
from rowline.arch.values import Frequency
from rowline.sim.reference.checker import Violation, check
from rowline.sim.reference.oracle import run_oracle
from rowline.traces.commands import ISSUED, IssueLog

from ..conformance.devices import CASES, device
from ..conformance.directed import candidates, weaken, weaken_edge
from ..conformance.streams import UNREACHABLE, Builder, pair_stream, random_stream, tight_device

SEEDS = 4
QUIET = device("aim", RefreshMode.OFF)
AIM = device("aim")
PER_BANK = device("aim", RefreshMode.PER_BANK)

SHADOWED = {
    "tCCDS-RD": "tCCDS-PIM-RD asks for the same",
    "tCCDL-RD": "tCCDL-PIM-RD asks for the same",
    "tCCDS-WR": "tCCDS-PIM-WR asks for the same",
    "tCCDL-WR": "tCCDL-PIM-WR asks for the same",
    "tBL-RD": "tBL-PIM-RD asks for the same",
    "tBL-WR": "tBL-PIM-WR asks for the same",
    "tWTRS-REG": "tWTRL-REG asks for tWTRL between the same commands, and tWTRS is never longer",
}
"""Rules of gddr6-pim whose loss changes no log, and the rule that makes up for them."""


def log_of(dev: DramDevice, *rows: tuple[str, int, int, int]) -> IssueLog:
    """A log written by hand: name, unit, row and cycle."""
    index = dev.dram_standard.index
    return np.array([(cycle, index[name], unit, row, -1, -1) for name, unit, row, cycle in rows], ISSUED)


def rules_of(violations: list[Violation]) -> list[str]:
    """The violated rules, in the order of the log."""
    return [violation.rule for violation in violations]


def all_rules(dev: DramDevice) -> tuple[TimingRule, ...]:
    """The standard's rules and those that it lacks."""
    return dev.dram_standard.rules


def assert_clean(dev: DramDevice, seed: int) -> None:
    """The checker has nothing to say about a random stream."""
    stream, not_before = random_stream(dev, seed, length=150)
    log = run_oracle(dev, stream, not_before, rules=all_rules(dev))
    assert [violation.text for violation in check(dev, log)] == []


# silent on legal logs


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_oracle_logs_are_legal(name: str, mode: RefreshMode, seed: int) -> None:
    assert_clean(device(name, mode), seed)


@pytest.mark.parametrize("frequency", ["1.75 GHz", "877192982 Hz", "2999999999 Hz"])
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_legal_whatever_the_clock(name: str, mode: RefreshMode, frequency: str) -> None:
    """Minima rounded up to cycles satisfy the checker's ps, also where a period is no whole number of ps."""
    changes = {"clock": Frequency.model_validate(frequency), "timing": device(name, mode).timing}
    assert_clean(DramDevice.model_validate(device(name, mode).model_copy(update=changes).model_dump()), seed=7)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_legal_with_multi_bank_activations_in_the_window(seed: int) -> None:
    values = QUIET.model_dump()
    values["multi_bank_activation_in_window"] = "true"
    values["timing"]["tFAW"] = "60 ns"
    assert_clean(DramDevice.model_validate(values), seed)


# every rule counts


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        pytest.param(name, rule, id=f"{name}-{rule.name}")
        for name in ("gddr6", "aim")
        for rule in device(name).dram_standard.rules
    ],
)
def test_a_rule_one_cycle_shorter_is_noticed(name: str, rule: TimingRule) -> None:
    dev = tight_device(device(name), rule)
    directed = pair_stream(dev, rule)
    if rule.name in UNREACHABLE:
        assert directed is None
        return
    assert directed is not None
    assert directed.alone == (name == "gddr6" or rule.name not in SHADOWED)
    if directed.alone:
        rules = all_rules(dev)
        assert check(dev, run_oracle(dev, directed.stream, directed.not_before, rules=rules)) == []
        log = run_oracle(dev, directed.stream, directed.not_before, rules=weaken(rules, rule))
        assert check(dev, log) != []


@pytest.mark.parametrize("name", ["gddr6", "aim"])
def test_every_edge_of_every_rule_is_watched(name: str) -> None:
    """A rule is one cycle short between two commands only: wherever that changes a log, the checker objects to one."""
    moved: set[tuple[str, str, str]] = set()
    noticed: set[tuple[str, str, str]] = set()
    for rule in device(name).dram_standard.rules[1:]:  # all but tCMD, which has no edges of its own
        dev = tight_device(device(name), rule)
        rules = all_rules(dev)
        for builder, pair in candidates(dev, rule):
            stream, edge = builder.stream(), (rule.name, pair[0].name, pair[1].name)
            if edge in noticed:
                continue
            log = run_oracle(dev, stream, builder.not_before, rules=rules)
            short = run_oracle(dev, stream, builder.not_before, rules=weaken_edge(dev.dram_standard, rules, rule, pair))
            if log["cycle"].tolist() != short["cycle"].tolist():
                moved.add(edge)
                if check(dev, short, limit=1):
                    noticed.add(edge)
    assert len(moved) >= {"gddr6": 75, "aim": 400}[name]
    assert moved - noticed == set()


# what the rule tables may not know


@pytest.mark.parametrize(
    ("rows", "rule", "earliest"),
    [
        ((("RD", 0, 1, 36), ("RDMAC16", 0, -1, 86)), "data-bus", 88),
        ((("WR", 0, 1, 28), ("WRGB", 0, -1, 33)), "data-bus", 35),
        ((("WR", 0, 1, 28), ("WRMAC16", 0, -1, 33)), "data-bus", 35),
        ((("WRCP", 0, 1, 48), ("RDA", 0, 1, 50), ("ACT", 0, 2, 100)), "tWR+tRP", 48 + 6 + 2 + 33 + 32),
        ((("EWMUL16", 0, 1, 36), ("RDA", 0, 1, 38), ("ACT", 0, 2, 92)), "tWR+tRP", 36 + 6 + 33 + 32),
    ],
)
def test_parts_of_the_device_tell_what_pairs_of_commands_hide(
    rows: tuple[tuple[str, int, int, int], ...], rule: str, earliest: int
) -> None:
    """Bursts of different latency that meet, and automatic precharges that come before the data are stored."""
    found = check(QUIET, log_of(QUIET, ("ACT16", 0, 1, 0), *rows))
    assert rule in rules_of(found)
    violation = next(each for each in found if each.rule == rule)
    assert violation.index == len(rows)
    assert violation.earliest_ps == earliest * 500


def test_a_violation_says_what_came_too_early_after_what() -> None:
    log = log_of(QUIET, ("ACT", 3, 1, 0), ("RD", 3, 1, 30))
    text = "row 1: RD bank 3 at 15000 ps: tRCDRD: 3000 ps too early, after ACT bank 3 at 0 ps (row 0)"
    wanted = Violation(1, "tRCDRD", "RD bank 3 at 15000 ps", "ACT bank 3 at 0 ps (row 0)", 15000, 18000, text)
    assert check(QUIET, log) == [wanted]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ((("ACT", 3, 1, 0), ("ACT", 3, 1, 200)), "bank 3 is open at row 1"),
        ((("ACT", 3, 1, 0), ("RD", 3, 2, 200)), "bank 3 is open at row 1, not 2"),
        ((("ACT", 3, 1, 0), ("MAC16", 0, 1, 200)), "bank 0 is closed"),
        ((("ACT", 3, 1, 0), ("RDA", 3, 1, 200), ("RD", 3, 1, 400)), "bank 3 is closed"),
        ((("ACT", 3, 1, 0), ("REFab", 0, -1, 200)), "bank 3 is open at row 1"),
        ((("ACT", 3, 1, 0), ("REFpb", 3, -1, 200)), "bank 3 is open at row 1"),
    ],
)
def test_row_state(rows: tuple[tuple[str, int, int, int], ...], text: str) -> None:
    found = check(QUIET, log_of(QUIET, *rows))
    assert rules_of(found) == ["row-state"]
    assert found[0].text.split(": ", 3)[3].split(", after")[0] == text


def test_a_log_out_of_order_is_noticed() -> None:
    assert rules_of(check(QUIET, log_of(QUIET, ("WRGB", 0, -1, 100), ("PREA", 0, -1, 99)))) == ["tCMD"]


def test_what_is_not_in_the_device_is_refused() -> None:
    with pytest.raises(ValueError, match="unit 16, which does not exist"):
        check(QUIET, log_of(QUIET, ("PRE", 16, -1, 0)))


def test_the_number_of_violations_can_be_limited() -> None:
    log = log_of(QUIET, *[("WRGB", 0, -1, cycle) for cycle in range(20)])
    assert len(check(QUIET, log)) > 5
    assert check(QUIET, log, limit=5) == check(QUIET, log)[:5]


# refresh


def test_a_log_without_refresh_owes_it() -> None:
    builder = Builder(QUIET)
    builder.add("WRGB", release=9 * 3800 - 1)
    builder.add("WRGB", release=9 * 3800)
    log = run_oracle(QUIET, builder.stream(), builder.not_before)
    assert [(each.index, each.rule) for each in check(AIM, log)] == [(1, "refresh-debt")]
    assert check(AIM, log, refresh=False) == check(QUIET, log) == []


@pytest.mark.parametrize("mode", [RefreshMode.ALL_BANK, RefreshMode.PER_BANK])
def test_a_device_that_may_postpone_less_is_owed_more(mode: RefreshMode) -> None:
    values = device("aim", mode).model_dump()
    values["refresh"]["postpone_limit"] = "7"
    strict = DramDevice.model_validate(values)
    builder = Builder(strict)
    builder.add("ACT16")
    builder.add("MAC16", count=20000)
    log = run_oracle(device("aim", mode), builder.stream(), rules=all_rules(strict))
    assert check(device("aim", mode), log) == []
    assert set(rules_of(check(strict, log))) == {"refresh-debt"}


def test_a_refresh_may_not_be_early() -> None:
    assert check(AIM, log_of(AIM, ("REFab", 0, -1, 3800), ("REFab", 0, -1, 7600))) == []
    found = check(AIM, log_of(AIM, ("REFab", 0, -1, 3800), ("REFab", 0, -1, 7599)))
    assert [(each.rule, each.earliest_ps) for each in found] == [("refresh-early", 3_800_000)]


def test_banks_are_refreshed_in_turn() -> None:
    log = log_of(PER_BANK, ("REFpb", 0, -1, 237), ("REFpb", 2, -1, 474))
    assert rules_of(check(PER_BANK, log)) == ["refresh-order"]


def test_paying_late_is_legal_but_nothing_else_is() -> None:
    """Past the limit a precharge may stand only directly before a refresh, an activation only directly after."""
    late = 9 * 3800
    opened = ("ACT", 1, 5, 0)
    paid = [("PREA", 0, -1, late), ("REFab", 0, -1, late + 40), ("ACT", 1, 5, late + 280)]
    assert check(AIM, log_of(AIM, opened, *paid)) == []
    idle = [("PREA", 0, -1, late), ("WRGB", 0, -1, late + 1), ("REFab", 0, -1, late + 40)]
    assert [each.index for each in check(AIM, log_of(AIM, opened, *idle))] == [1, 2]
