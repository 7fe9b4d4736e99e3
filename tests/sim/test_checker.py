"""The legality checker: silent on what is legal, and loud on what is not."""

from collections.abc import Sequence

import numpy as np
import pytest
from rowline.arch.device import DramDevice, RefreshMode
from rowline.sim.reference.checker import check
from rowline.sim.reference.oracle import run_oracle
from rowline.traces.commands import BINDING_START, ISSUED, IssueLog

from ..conformance.builder import Builder
from ..conformance.devices import CASES, device
from ..conformance.directed import tight_device
from ..conformance.gaps import PROPOSED, missing_rules
from ..conformance.gates import BINDING_CASES, covered, gate_of
from ..conformance.streams import random_stream

AIM = device("aim", RefreshMode.ALL_BANK)
QUIET = device("aim", RefreshMode.OFF)
PER_BANK = device("aim", RefreshMode.PER_BANK)
INTERVAL = AIM.refresh_interval

GAP_VIOLATIONS = {"data-bus", "tWR+tRP"}
"""What the checker calls the rules that the standards lack."""


def log_of(dev: DramDevice, *lines: tuple[int, str, int, int]) -> IssueLog:
    """A log by hand: cycle, command, unit, row."""
    index = dev.dram_standard.index
    rows = [(cycle, index[name], unit, row, -1, BINDING_START) for cycle, name, unit, row in lines]
    return np.array(rows, ISSUED)


def broken(dev: DramDevice, log: IssueLog, refresh: bool = True) -> list[tuple[int, str]]:
    """Row and rule of all violations."""
    return [(violation.index, violation.rule) for violation in check(dev, log, refresh)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_the_oracle_is_legal(name: str, mode: RefreshMode, seed: int) -> None:
    """With the rules that the standards have, and those that :mod:`gaps` says they should have."""
    dev = device(name, mode)
    stream, not_before = random_stream(dev, seed, length=150)
    log = run_oracle(dev, stream, not_before, rules=dev.dram_standard.rules + missing_rules(dev))
    assert [violation.text for violation in check(dev, log)] == []
    plain = run_oracle(dev, stream, not_before)
    assert {rule for _, rule in broken(dev, plain)} <= (GAP_VIOLATIONS if missing_rules(dev) else set())


@pytest.mark.parametrize(("standard", "name"), BINDING_CASES)
def test_a_rule_one_cycle_short_is_noticed(standard: str, name: str) -> None:
    """Survivors are the rules of ``gates.COVERED`` (on PIM devices): there the log stays the same, so it stays legal."""
    gate = gate_of(standard, name)
    stream, not_before = gate.pair.stream, gate.pair.not_before
    assert broken(gate.device, run_oracle(gate.device, stream, not_before)) == []
    found = broken(gate.device, run_oracle(gate.device, stream, not_before, rules=gate.weaker))
    assert bool(found) != covered(standard, name)


@pytest.mark.parametrize("gap", PROPOSED["gddr6-pim"], ids=lambda gap: gap.name)
def test_each_gap_is_one(gap) -> None:
    """A stream that is illegal with the rules the standard has now, and legal with this one more."""
    if gap not in missing_rules(QUIET):
        pytest.skip("the standard has this rule by now")
    tight = tight_device(QUIET, gap)
    builder = Builder(tight)
    before, after = (tight.dram_standard.members(side)[0].name for side in (gap.preceding, gap.following))
    builder.add("ACT16")
    builder.add(before)
    builder.add(after)
    if after == "RDA":
        builder.add("ACT")
    rules = tight.dram_standard.rules
    found = broken(tight, run_oracle(tight, builder.stream()))
    assert found and {rule for _, rule in found} <= GAP_VIOLATIONS
    assert broken(tight, run_oracle(tight, builder.stream(), rules=(*rules, gap))) == []


def forced_log(dev: DramDevice) -> IssueLog:
    """A log in which a refresh is forced, with a row open."""
    builder = Builder(dev)
    builder.add("ACT", 0)
    builder.add("RD", 0, release=INTERVAL * 9 + 10)
    builder.add("RD", 0, release=INTERVAL * 9 + 100)
    return run_oracle(dev, builder.stream(), builder.not_before)


@pytest.mark.parametrize("dev", [AIM, PER_BANK], ids=["all_bank", "per_bank"])
def test_a_refresh_dropped_is_noticed(dev: DramDevice) -> None:
    """Any single one, where the limit of postponed refreshes is reached."""
    log = forced_log(dev)
    assert broken(dev, log) == []
    names = [command.name for command in dev.dram_standard.commands]
    refreshes = [place for place, cmd in enumerate(log["cmd"]) if names[cmd].startswith("REF")]
    assert refreshes
    for place in refreshes:
        rules = {rule for _, rule in broken(dev, np.delete(log, place))}
        assert rules & {"refresh-debt", "refresh-order"}
        assert broken(dev, np.delete(log, place), refresh=False) == []


def idle(*cycles: int) -> IssueLog:
    """Refreshes at these cycles, and a command at the end of the tenth interval."""
    return log_of(AIM, *((cycle, "REFab", 0, -1) for cycle in cycles), (10 * INTERVAL, "WRGB", 0, -1))


def test_a_refresh_overdue_is_noticed() -> None:
    """Up to eight may be owed; the ninth is one too many, whatever comes then."""
    assert broken(AIM, idle(INTERVAL, 2 * INTERVAL)) == []
    assert broken(AIM, idle(INTERVAL)) == [(1, "refresh-debt")]
    assert broken(AIM, idle()) == [(0, "refresh-debt")]


def test_a_refresh_early_is_noticed() -> None:
    assert broken(AIM, idle(INTERVAL - 1, 2 * INTERVAL)) == [(0, "refresh-early")]
    assert broken(AIM, idle(INTERVAL, 2 * INTERVAL - 1)) == [(1, "refresh-early")]


def test_banks_out_of_turn_are_noticed() -> None:
    each = PER_BANK.refresh_interval
    assert broken(PER_BANK, log_of(PER_BANK, (each, "REFpb", 0, -1), (2 * each, "REFpb", 1, -1))) == []
    assert broken(PER_BANK, log_of(PER_BANK, (each, "REFpb", 1, -1))) == [(0, "refresh-order")]


def test_a_refresh_of_an_open_bank_is_noticed() -> None:
    assert broken(AIM, log_of(AIM, (0, "ACT", 2, 3), (INTERVAL, "REFab", 0, -1))) == [(1, "row-state")]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ([(0, "RD", 3, 5)], 0),  # never opened
        ([(0, "ACT", 3, 5), (200, "RD", 3, 6)], 1),  # another row
        ([(0, "ACT", 3, 5), (200, "RD", 4, 5)], 1),  # another bank
        ([(0, "ACT", 3, 5), (200, "PRE", 3, -1), (300, "RD", 3, 5)], 2),  # closed again
        ([(0, "ACT", 3, 5), (200, "RDA", 3, 5), (300, "RD", 3, 5)], 2),  # closed by itself
        ([(0, "ACT", 3, 5), (200, "ACT", 3, 5)], 1),  # opened twice
        ([(0, "ACT", 3, 5), (200, "MAC16", 0, 5)], 1),  # one bank of sixteen
    ],
)
def test_the_row_state_is_judged(lines: Sequence[tuple[int, str, int, int]], place: int) -> None:
    assert broken(QUIET, log_of(QUIET, *lines)) == [(place, "row-state")]


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        # burst 2; tCL 50 and tCLREG 0 for reads, tCWL 6, tCWLGB 1 and tCWLREG 1 for writes
        (("RD", 0, 5), ("RD", 4, 5), 2),
        (("RD", 0, 5), ("RDMAC16", 0, -1), 52),
        (("WR", 0, 5), ("WRGB", 0, -1), 7),
        (("WR", 0, 5), ("WRMAC16", 0, -1), 7),
        (("WRGB", 0, -1), ("WRMAC16", 0, -1), 2),
    ],
)
def test_overlapping_bursts_are_noticed(first: tuple[str, int, int], second: tuple[str, int, int], apart: int) -> None:
    for gap, wanted in ((apart, False), (apart - 1, True)):
        lines = [(200, *first), (200 + gap, *second)]
        log = log_of(QUIET, (0, "ACT", 0, 5), (50, "ACT", 4, 5), *lines)
        assert ((3, "data-bus") in broken(QUIET, log)) == wanted


def test_the_bus_needs_time_to_turn_round() -> None:
    for gap, rules in ((50, []), (49, [(2, "tBTA")])):
        lines = [(0, "ACT", 0, 5), (100, "RD", 0, 5), (100 + gap, "WR", 0, 5)]
        assert broken(QUIET, log_of(QUIET, *lines)) == rules


def test_violations_can_be_limited_and_tell_what_happened() -> None:
    log = log_of(QUIET, (0, "ACT", 3, 5), (10, "RD", 3, 5), (20, "PRE", 3, -1))
    assert len(check(QUIET, log)) == 3  # tRCD, then tRAS and tRTP
    (only,) = check(QUIET, log, limit=1)
    assert (only.rule, only.time_ps, only.earliest_ps) == ("tRCDRD", 5000, 18000)
    assert only.text == "row 1: RD bank 3 at 5000 ps: tRCDRD: 13000 ps too early, after ACT bank 3 at 0 ps (row 0)"


@pytest.mark.parametrize("unit", [-1, 16])
def test_banks_that_do_not_exist_are_refused(unit: int) -> None:
    with pytest.raises(ValueError, match=f"PRE addresses unit {unit}, which does not exist"):
        check(QUIET, log_of(QUIET, (0, "PRE", unit, -1)))
