"""The checker: silent on what the oracle issues, and of one mind with the model about any two commands."""

from functools import cache

import pytest
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.standards import STANDARDS
from rowline.arch.units import Clock
from rowline.arch.values import Duration, Frequency
from rowline.sim.judge import Judge, compile_judge
from rowline.sim.reference.checker import Violation, check
from rowline.sim.reference.families import FAMILIES
from rowline.sim.reference.oracle import run_oracle
from rowline.traces.commands import IssueLog

from ..conformance.builder import Builder
from ..conformance.devices import CASES, NAMES, device, first_of
from ..conformance.streams import random_stream
from ..conformance.verdicts import Row, close_pairs, written

SEEDS = 2
QUIET = device("aim", RefreshMode.OFF)
AIM = device("aim")
PER_BANK = device("aim", RefreshMode.PER_BANK)


def log_of(dev: DramDevice, *rows: Row) -> IssueLog:
    """A log written by hand: name, unit, row and cycle."""
    return written(dev, *rows)


def rules_of(violations: list[Violation]) -> list[str]:
    """The violated rules, in the order of the log."""
    return [violation.rule for violation in violations]


def assert_clean(dev: DramDevice, seed: int) -> None:
    """The checker has nothing to say about a random stream."""
    stream, not_before = random_stream(dev, seed, length=150)
    log = run_oracle(dev, stream, not_before)
    assert [violation.text for violation in check(dev, log)] == []


# silent on legal logs


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_oracle_logs_are_legal(name: str, mode: RefreshMode, seed: int) -> None:
    assert_clean(device(name, mode), seed)


@pytest.mark.parametrize("slower", [1, 1_234_567])
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_legal_whatever_the_clock(name: str, mode: RefreshMode, slower: int) -> None:
    """Minima rounded up to cycles satisfy the checker's ps, also where a period is no whole number of ps."""
    dev = device(name, mode)
    clock = Frequency.model_validate(f"{dev.clock.value - slower} Hz")
    assert_clean(DramDevice.model_validate(dev.model_copy(update={"clock": clock}).model_dump()), seed=7)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_legal_with_multi_bank_activations_in_the_window(seed: int) -> None:
    values = QUIET.model_dump()
    values["multi_bank_activation_in_window"] = "true"
    values["timing"]["tFAW"] = "60 ns"
    assert_clean(DramDevice.model_validate(values), seed)


# every pair of commands


@cache
def whole_clocks(name: str) -> DramDevice:
    """A device whose times are whole clocks, two ranks where it has ranks: one tick early is early in ps, too."""
    dev = device(f"{name}-x2" if f"{name}-x2" in NAMES else name, RefreshMode.OFF)
    clock = Clock(dev.clock.value)
    timing = {key: Duration.model_validate({"value": f"{value.cycles(clock)} ck"}) for key, value in dev.timing.items()}
    return DramDevice.model_validate(dev.model_copy(update={"timing": timing}).model_dump())


RECOVERS_LATER = "the precharge of an RDA waits for write recovery instead, see test_write_recovery_before_an_rda"
MODEL_STRICTER = {
    ("WR", "RDA"): RECOVERS_LATER,
    ("WRCP", "RDA"): RECOVERS_LATER,
    ("EWMUL16", "RDA"): RECOVERS_LATER,
    ("WRHAB", "RDA"): RECOVERS_LATER,
    ("WRPIM", "RDA"): RECOVERS_LATER,
    ("WRGB", "PDE"): "hbm3-pim takes it for a read, whose burst ends later",
    ("WRGB", "SRE"): "as WRGB to PDE",
}
"""Pairs in which one tick less than the model asks for is no violation, and why."""


@pytest.mark.parametrize("name", STANDARDS)
def test_model_and_judge_ask_for_the_same_between_any_two_commands(name: str) -> None:
    """At the model's gap nothing is wrong, a tick earlier something is; for all pairs at all relative places."""
    dev = whole_clocks(first_of(name))
    wrong, unseen, number = list[str](), set[tuple[str, str]](), 0
    for pair in close_pairs(dev):
        number += 1
        if found := verdicts(dev, pair.log(pair.gap)):
            wrong.append(f"{pair.name}: {found[0].text}")
        if pair.gap > 0 and not verdicts(dev, pair.log(pair.gap - 1)):
            unseen.add((pair.a.name, pair.b.name))
    assert wrong == []
    assert unseen <= MODEL_STRICTER.keys()
    assert number > 200


def verdicts(dev: DramDevice, log: IssueLog) -> list[Violation]:
    """What the judge, which test_judge holds against the checker, says of a log without refresh."""
    judge = Judge(dev, refresh=False)
    judge.feed(log)
    return judge.violations


@pytest.mark.parametrize("name", STANDARDS)
def test_every_timing_parameter_matters(name: str) -> None:
    """None is overlooked, nor read under another name."""
    dev = device(first_of(name))
    base = _tables(dev)
    for key in dev.timing:
        longer = Duration.model_validate({"value": "900 ck"})
        changed = dev.model_copy(update={"timing": dev.timing | {key: longer}})
        assert _tables(changed) != base, key


def _tables(dev: DramDevice) -> list[list[int]]:
    return [table.ravel().tolist() for table in compile_judge(dev).tables]


@pytest.mark.parametrize("name", STANDARDS)
def test_every_command_is_known(name: str) -> None:
    assert set(FAMILIES[name].traits) == {command.name for command in STANDARDS[name].commands}


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
    log = run_oracle(device("aim", mode), builder.stream())
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


@pytest.mark.parametrize("early", [0, 1])
def test_write_recovery_before_an_rda(early: int) -> None:
    """An RDA soon after a write is legal; its precharge waits for the write."""
    dev = changed(whole_clocks("ddr4"), tWR="60 ck", tRC="60 ck")
    n = dev.params
    stored = n["nRCDWR"] + n["nCWL"] + n["nBL"]
    opened: tuple[Row, ...] = (("ACT", 0, 1, 0), ("WR", 0, 1, n["nRCDWR"]), ("RDA", 0, 1, stored + n["nWTRL"]))
    log = log_of(dev, *opened, ("ACT", 0, 1, stored + 60 + n["nRP"] - early))
    assert rules_of(check(dev, log)) == ["tWR+tRP"] * early


# windows


@pytest.mark.parametrize(("count", "rule"), [(4, "tFAW"), (32, "t32AW")])
@pytest.mark.parametrize("early", [0, 1])
def test_windows(count: int, rule: str, early: int) -> None:
    """So many activations, and the next a tick before the window allows it."""
    dev = changed(whole_clocks("gddr6"), tFAW="500 ck", t32AW="9000 ck", tRRDS="1 ck", tRRDL="1 ck", tRC="160 ck")
    per_bank = 250  # activations of a bank after another; four in a window at most
    cycles = [100 * i if count == 4 else per_bank * i for i in range(count)]
    window = 500 if count == 4 else 9000
    rows: list[Row] = []
    for i, cycle in enumerate([*cycles, window - early]):
        if i >= 16:
            rows.append(("PRE", i % 16, -1, cycle - 100))
        rows.append(("ACT", i % 16, 1, cycle))
    rows.sort(key=lambda row: row[3])
    assert rules_of(check(dev, log_of(dev, *rows))) == [rule] * early


@pytest.mark.parametrize("counts", ["true", "false"])
def test_a_refresh_in_the_window_counts_where_the_device_says_so(counts: str) -> None:
    dev = changed(whole_clocks("gddr6"), tFAW="500 ck", tRRDS="1 ck", tRRDL="1 ck", tRREFD="1 ck")
    dev = DramDevice.model_validate(dev.model_dump() | {"refresh_in_activation_window": counts})
    rows: list[Row] = [("ACT", 0, 1, 0), ("REFpb", 4, -1, 50), ("ACT", 1, 1, 100), ("ACT", 2, 1, 150), ("ACT", 3, 1, 499)]
    assert rules_of(check(dev, log_of(dev, *rows), refresh=False)) == (["tFAW"] if counts == "true" else [])


def test_each_rank_has_its_own_window() -> None:
    dev = changed(whole_clocks("ddr4-2400"), tFAW="500 ck", tRRDS="1 ck", tRRDL="1 ck")
    rows: list[Row] = [("ACT", 4 * i, 1, 10 * i) for i in range(8)]
    assert check(dev, log_of(dev, *rows)) == []


def changed(dev: DramDevice, **timing: str) -> DramDevice:
    """A copy with other times."""
    values = dev.model_dump()
    return DramDevice.model_validate(values | {"timing": values["timing"] | timing})


# refresh of others, rounds, power


@pytest.mark.parametrize("early", [0, 1])
def test_a_round_ends_before_the_next_begins(early: int) -> None:
    dev = whole_clocks("gddr6")
    n = dev.params
    cycles = [n["nRFCpb"] * i for i in range(16)]
    again = cycles[-1] + n["nRFCpb"] - early
    log = log_of(dev, *[("REFpb", i, -1, cycle) for i, cycle in enumerate(cycles)], ("REFpb", 3, -1, again))
    assert rules_of(check(dev, log, refresh=False)) == ["tRFCpb"] * early
    middle = log_of(dev, *[("REFpb", i, -1, n["nRREFD"] * i) for i in range(16)])
    assert check(dev, middle, refresh=False) == []


def test_refreshes_of_others_come_in_any_order_but_often_enough() -> None:
    """Ranks refresh by themselves; each may owe its nine intervals and the one of its phase, no more."""
    dev = device("ddr4-2400-x2")
    interval = dev.refresh_interval * 2
    regular: list[Row] = [("REFab", rank, -1, interval * (i + 1) + 500 * rank) for i in range(20) for rank in (1, 0)]
    regular.sort(key=lambda row: row[3])
    assert check(dev, log_of(dev, *regular), order=False) == []
    swapped = [(name, 1 - rank, row, cycle) for name, rank, row, cycle in regular]
    assert check(dev, log_of(dev, *swapped), order=False) == []
    assert "refresh-order" in rules_of(check(dev, log_of(dev, *swapped)))
    one_rank = [row for row in regular if row[1] == 1]
    found = check(dev, log_of(dev, *one_rank), order=False)
    assert [each.rule for each in found] == []  # a refresh pays; another command does not
    late = log_of(dev, *one_rank, ("PDE", 0, -1, 21 * interval))
    assert rules_of(check(dev, late, order=False)) == ["refresh-debt"]
    hasty = log_of(dev, *[("REFab", 0, -1, 2000 * (i + 1)) for i in range(20)])
    assert set(rules_of(check(dev, hasty, order=False))) == {"refresh-early"}


def test_self_refresh_settles_the_debt() -> None:
    dev = device("ddr4-2400")
    interval, long = dev.refresh_interval, 100 * dev.refresh_interval
    for order in (True, False):
        slept = log_of(dev, ("SRE", 0, -1, 10), ("SRX", 0, -1, long), ("ACT", 0, 1, long + 5 * interval))
        assert check(dev, slept, order=order) == []
        awake = log_of(dev, ("SRE", 0, -1, 10), ("SRX", 0, -1, long), ("ACT", 0, 1, long + 12 * interval))
        assert rules_of(check(dev, awake, order=order)) == ["refresh-debt"]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ((("PDE", 0, -1, 0), ("ACT", 0, 1, 900)), "rank 0 is in power-down, after PDE rank 0 at 0 ps (row 0)"),
        ((("PDE", 0, -1, 0), ("SRX", 0, -1, 900)), "rank 0 is in power-down, after PDE rank 0 at 0 ps (row 0)"),
        ((("SRE", 0, -1, 0), ("PDX", 0, -1, 900)), "rank 0 is in self-refresh, after SRE rank 0 at 0 ps (row 0)"),
        ((("PDX", 0, -1, 0),), "rank 0 has nothing to leave"),
        ((("PDE", 0, -1, 0), ("PDX", 0, -1, 900), ("SRX", 0, -1, 1800)), "rank 0 has nothing to leave"),
    ],
)
def test_power_states(rows: tuple[Row, ...], text: str) -> None:
    dev = device("ddr4-2400-x2", RefreshMode.OFF)
    found = check(dev, log_of(dev, *rows))
    assert [each.rule for each in found] == ["power-state"]
    assert found[0].text.split(": ", 3)[3] == text


def test_the_other_rank_stays_awake() -> None:
    dev = device("ddr4-2400-x2", RefreshMode.OFF)
    rows: list[Row] = [("PDE", 0, -1, 0), ("ACT", 16, 1, 100), ("RD", 16, 1, 200), ("PDX", 0, -1, 300), ("ACT", 0, 1, 400)]
    assert check(dev, log_of(dev, *rows)) == []


def test_bursts_of_two_ranks_stay_apart() -> None:
    dev = device("ddr4-2400-x2", RefreshMode.OFF)
    opened: list[Row] = [("ACT", 0, 1, 0), ("ACT", 16, 1, 100)]
    assert rules_of(check(dev, log_of(dev, *opened, ("RD", 0, 1, 200), ("RD", 16, 1, 205)))) == ["tRTRS"]
    assert check(dev, log_of(dev, *opened, ("RD", 0, 1, 200), ("RD", 16, 1, 206))) == []


def test_two_command_buses_keep_the_order_of_the_log() -> None:
    dev = device("hbm2", RefreshMode.OFF)
    opened: list[Row] = [("ACT", 0, 1, 0)]
    assert check(dev, log_of(dev, *opened, ("RD", 0, 1, 100), ("PRE", 4, -1, 100))) == []
    assert rules_of(check(dev, log_of(dev, *opened, ("RD", 0, 1, 100), ("PRE", 4, -1, 99)))) == ["order"]
