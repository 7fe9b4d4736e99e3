"""The kernel against the oracle, and against itself under cuts, shifts and idle time; on every device of the kit."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rowline.arch.device import DramDevice, RefreshMode
from rowline.sim.compile import compile_device
from rowline.sim.judge import Judge
from rowline.sim.kernels import layout as at
from rowline.sim.reference.oracle import IllegalStream, run_oracle
from rowline.traces.commands import BINDING_HOST, BINDING_START, IssueLog, empty_stream, expand_runs

from ..conformance.adversarial import KINDS, adversarial_stream
from ..conformance.builder import Builder
from ..conformance.devices import CASES, MODES, NAMES, device, supports
from ..conformance.kernel import first_difference, run_kernel
from ..conformance.streams import close_all, random_stream

SEEDS, LENGTH = 3, 150
REFRESHED = [(name, mode) for name, mode in CASES if mode != RefreshMode.OFF]


def assert_legal(dev: DramDevice, log: IssueLog) -> None:
    """The judge has nothing to say."""
    judge = Judge(dev, limit=3)
    judge.feed(log)
    assert [violation.text for violation in judge.violations] == []


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_kernel_and_oracle_agree(name: str, mode: RefreshMode, seed: int) -> None:
    """Cycle, command, place and deciding rule; and what the kernel adds up is what its log says."""
    dev = device(name, mode)
    stream, not_before = random_stream(dev, seed, length=LENGTH)
    run = run_kernel(dev, stream, not_before)
    assert run.status == at.OK
    assert first_difference(dev, run.log, run_oracle(dev, stream, not_before)) == ""
    assert_legal(dev, run.log)
    assert run.waits == run.last_issue == run.log["cycle"][-1]
    assert run.counts.tolist() == np.bincount(run.log["cmd"], minlength=len(run.counts)).tolist()
    gaps = np.diff(run.log["cycle"], prepend=0)
    booked = np.bincount(run.log["rule"] + at.N_RESULT, gaps, len(run.result)).astype(int)
    assert booked[at.R_WAIT_DUE :].tolist() == run.result[at.R_WAIT_DUE :].tolist()
    assert (run.result[at.R_START], run.result[at.R_END]) == (run.log["cycle"][0], run.log["cycle"][-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_kernel_and_oracle_agree_under_pressure(name: str, mode: RefreshMode, kind: str) -> None:
    """Streams that press on one weak spot; run twice, they give the same."""
    dev = device(name, mode)
    stream, not_before = adversarial_stream(dev, kind, seed=1, length=80)
    run, again = run_kernel(dev, stream, not_before), run_kernel(dev, stream, not_before)
    assert run.status == at.OK
    assert first_difference(dev, run.log, run_oracle(dev, stream, not_before)) == ""
    assert first_difference(dev, run.log, again.log) == ""
    assert_legal(dev, run.log)


@given(seed=st.integers(1000, 2**32), case=st.sampled_from(CASES), idle=st.sampled_from([0.0, 0.03, 0.2]))
@settings(max_examples=25, deadline=None)
def test_kernel_and_oracle_agree_on_any_seed(seed: int, case: tuple[str, RefreshMode], idle: float) -> None:
    dev = device(*case)
    stream, not_before = random_stream(dev, seed, length=80, idle=idle, max_count=30)
    run = run_kernel(dev, stream, not_before)
    assert first_difference(dev, run.log, run_oracle(dev, stream, not_before)) == ""


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_the_end_is_refreshed_alike(name: str, mode: RefreshMode) -> None:
    dev = device(name, mode)
    stream, not_before = random_stream(dev, 3, length=40)
    builder = close_all(Builder(dev))
    stream, not_before = np.concatenate([stream, builder.stream()]), [*not_before, *builder.not_before]
    t_end = 50 * max(dev.refresh_interval, 1) + int(run_oracle(dev, stream, not_before)["cycle"][-1])
    run = run_kernel(dev, stream, not_before, t_end=t_end)
    assert first_difference(dev, run.log, run_oracle(dev, stream, not_before, t_end=t_end)) == ""
    silent = run_kernel(dev, stream, not_before, t_end=t_end, logged=False)
    assert silent.figures(compile_device(dev)) == run.figures(compile_device(dev))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_run_is_the_same_as_its_commands(name: str, mode: RefreshMode, seed: int) -> None:
    dev, table = device(name, mode), compile_device(device(name, mode))
    stream, not_before = random_stream(dev, seed, length=LENGTH, max_count=60)
    singles = np.repeat(not_before, stream["count"]).tolist()
    whole, single = run_kernel(dev, stream, not_before), run_kernel(dev, expand_runs(stream), singles)
    assert first_difference(dev, whole.log, single.log) == ""
    single.state[at.T_STREAM_POS] = len(stream)
    assert whole.figures(table) == single.figures(table)


@pytest.mark.parametrize(("seed", "logged"), [(0, True), (1, False)])
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_cuts_change_nothing(name: str, mode: RefreshMode, seed: int, logged: bool) -> None:
    """A run in one call, in slices of the stream, and under one horizon after another."""
    dev, table = device(name, mode), compile_device(device(name, mode))
    stream, releases = random_stream(dev, seed, length=LENGTH, max_count=30)
    rng = np.random.default_rng(seed)
    for not_before in (releases, int(rng.integers(100_000))):
        whole = run_kernel(dev, stream, not_before, logged=logged, table=table)
        ends = sorted(rng.integers(0, len(stream), 12).tolist())
        horizons = sorted(rng.integers(0, whole.last_issue + 100, 25).tolist())
        near = sorted(run_kernel(dev, stream, not_before, table=table).log["cycle"][:: 1 + len(stream) // 10].tolist())
        for chop in (
            [(end, at.FOREVER) for end in ends],
            [(len(stream), until) for until in horizons],
            [(len(stream), until + step) for until in near for step in (-1, 0)],
            list(zip(ends, horizons, strict=False)),
        ):
            cut = run_kernel(dev, stream, not_before, chop=chop, logged=logged, table=table)
            assert first_difference(dev, cut.log, whole.log) == ""
            assert cut.figures(table) == whole.figures(table)


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_no_command_passes_the_horizon(name: str, mode: RefreshMode) -> None:
    """A run cut short holds just the commands up to there.

    A forced refresh goes as a whole once it is due: it is completed past the horizon, and a precharge for one that is
    due past the horizon waits, though it comes before.
    """
    dev = device(name, mode)
    standard, index = dev.dram_standard, dev.dram_standard.index
    closing = {index[n] for n in ("PREA", standard.close_bank)} if mode != RefreshMode.OFF else set[int]()
    names = {dev.refresh_command.name, "ACT", "PREA", standard.close_bank, standard.activate_all} - {""}
    inserted = {index[n] for n in names}
    for seed in range(2):
        stream, not_before = random_stream(dev, seed, length=LENGTH)
        whole = run_kernel(dev, stream, not_before)
        for horizon in np.linspace(0, whole.last_issue, 9, dtype=int).tolist():
            run = run_kernel(dev, stream, not_before, horizon=horizon)
            past = run.log[run.log["cycle"] > horizon]
            assert first_difference(dev, run.log, whole.log[: len(run.log)]) == ""
            left = whole.log[len(run.log) :]
            assert set(left["cmd"][left["cycle"] <= horizon].tolist()) <= closing
            assert set(past["cmd"].tolist()) <= inserted
            assert mode != RefreshMode.OFF or not len(past)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NAMES)
def test_without_refresh_a_shift_of_all_releases_shifts_all_cycles(name: str, seed: int) -> None:
    dev = device(name, RefreshMode.OFF)
    stream, not_before = random_stream(dev, seed, length=LENGTH)
    base = int(compile_device(dev).scalars[at.S_MAX_GAP])
    one = run_kernel(dev, stream, [base + each for each in not_before])
    for shift in (1, 12_345, 10**12):
        other = run_kernel(dev, stream, [base + shift + each for each in not_before])
        other.log["cycle"] -= shift
        assert first_difference(dev, other.log, one.log) == ""


@pytest.mark.parametrize(("name", "mode"), REFRESHED)
def test_with_refresh_a_shift_by_whole_rounds_shifts_all_cycles(name: str, mode: RefreshMode) -> None:
    dev = device(name, mode)
    period = dev.refresh_interval * dev.refresh_units
    for seed in range(2):
        stream, not_before = random_stream(dev, seed, length=LENGTH)
        stream["safe"][0] = 1  # the refreshes of the idle time go before it
        base, shift = 3 * period + 7, 11 * period
        one = run_kernel(dev, stream, [base + each for each in not_before])
        other = run_kernel(dev, stream, [base + shift + each for each in not_before])
        tails = [one.log[one.log["cycle"] >= base], other.log[other.log["cycle"] >= base + shift]]
        tails[1]["cycle"] -= shift
        assert first_difference(dev, tails[1], tails[0]) == ""
        assert len(other.log) - len(one.log) == 11 * dev.refresh_units


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_skipped_idle_time_is_booked_as_if_lived_through(name: str, mode: RefreshMode, seed: int) -> None:
    dev, table = device(name, mode), compile_device(device(name, mode))
    stream, not_before = random_stream(dev, seed, length=60, idle=0.0, safe=1.0)
    pause = np.cumsum(np.random.default_rng(seed).random(60) < 0.1) * 300 * max(dev.refresh_interval, 1)
    releases = (np.array(not_before) + pause).tolist()
    lived, skipped = run_kernel(dev, stream, releases), run_kernel(dev, stream, releases, logged=False)
    assert skipped.figures(table) == lived.figures(table)


@pytest.mark.parametrize("work_first", [False, True])
@pytest.mark.parametrize(("name", "mode"), REFRESHED)
def test_long_idle_time_costs_nothing(name: str, mode: RefreshMode, work_first: bool) -> None:
    """16 million refreshes, before or after a row is opened and closed.

    They are lived through one by one where a round cannot begin on time, since the last bank of the one before is busy for
    longer than an interval (HBM, bank by bank).
    """
    dev = device(name, mode)
    number = 16_000_000 if compile_device(dev).scalars[at.S_REFRESH_GAP] <= dev.refresh_interval else 50_000
    t_end = number * dev.refresh_interval
    builder = Builder(dev)
    builder.add("ACT", safe=True, release=0 if work_first else t_end + 5)
    close_all(builder)
    run_kernel(dev, builder.stream(), t_end=1, logged=False)  # compile
    begin = time.perf_counter()
    run = run_kernel(dev, builder.stream(), builder.not_before, t_end=t_end, logged=False)
    taken = time.perf_counter() - begin
    assert run.counts[dev.dram_standard.index[dev.refresh_command.name]] == number
    assert run.waits == run.last_issue >= t_end
    assert taken < 0.2


def test_the_first_command_is_the_same_with_and_without_a_log() -> None:
    dev = device("aim", RefreshMode.ALL_BANK)
    builder = Builder(dev)
    builder.add("PREA", safe=True, release=12 * dev.refresh_interval + 5)
    for logged in (True, False):
        run = run_kernel(dev, builder.stream(), builder.not_before, logged=logged)
        assert run.result[at.R_START] == 12 * dev.refresh_interval + dev.params["nRFCab"]


@pytest.mark.parametrize("seed", range(1))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_tables_of_the_used_commands_alone_give_the_same_cycles(name: str, mode: RefreshMode, seed: int) -> None:
    dev = device(name, mode)
    stream, not_before = random_stream(dev, seed, length=12, max_count=30)
    used = frozenset(dev.dram_standard.commands[cmd].name for cmd in stream["cmd"])
    full, lean = run_kernel(dev, stream, not_before), run_kernel(dev, stream, not_before, used=used)
    assert first_difference(dev, lean.log, full.log) == ""
    assert len(compile_device(dev, used=used).predecessors) < len(compile_device(dev).predecessors)


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("name", NAMES)
def test_illegal_streams_stop_at_the_row_at_which_the_oracle_stops(name: str, seed: int) -> None:
    """A random stream with one row taken out or put elsewhere."""
    mode = MODES[seed % len(MODES)]
    dev = device(name, mode if supports(device(name), mode) else RefreshMode.OFF)
    stream, not_before = random_stream(dev, seed, length=60)
    rng = np.random.default_rng(seed)
    rows = list(range(len(stream)))
    rows.insert(int(rng.integers(len(stream))), rows.pop(int(rng.integers(len(stream)))))
    broken, releases = stream[rows], [not_before[row] for row in rows]
    run = run_kernel(dev, broken, releases)
    try:
        log = run_oracle(dev, broken, releases)
    except IllegalStream as offence:
        assert (run.status, run.position) == (at.ILLEGAL_ROW, offence.index)
        log = run_oracle(dev, broken[: offence.index], releases[: offence.index])
        assert first_difference(dev, run.log[: len(log)], log) == ""
    else:
        assert run.status == at.OK
        assert first_difference(dev, run.log, log) == ""


@pytest.mark.parametrize("name", ["ACT", "WRA", "PRE"])
def test_a_run_of_what_changes_rows_is_illegal(name: str) -> None:
    """Only commands that leave rows alone may run."""
    dev = device("aim", RefreshMode.OFF)
    builder = Builder(dev)
    if name == "WRA":
        builder.add("ACT")
    builder.add(name, count=2)
    with pytest.raises(IllegalStream):
        run_oracle(dev, builder.stream())
    assert run_kernel(dev, builder.stream()).status == at.ILLEGAL_ROW


def test_refresh_may_not_stand_in_a_stream() -> None:
    dev = device("aim")
    stream = empty_stream(2)
    stream["cmd"] = [dev.dram_standard.index["PREA"], dev.dram_standard.index["REFab"]]
    run = run_kernel(dev, stream)
    assert (run.status, run.position, len(run.log)) == (at.ILLEGAL_ROW, 1, 1)


def test_a_tile_arrives_with_the_last_command_of_its_run() -> None:
    dev = device("aim")
    builder = Builder(dev)
    builder.add("RDMAC16", count=3, release=20)
    builder.add("RDMAC16")
    builder.add("RDMAC16")
    stream = builder.stream()
    stream["tile"], stream["macs"] = [1, 0, 1], [5, 0, 7]
    run = run_kernel(dev, stream, builder.not_before)
    assert run.arrivals.tolist() == [run.log["cycle"][3], run.log["cycle"][4]]
    assert run.result[at.R_MACS] == 22
    assert run.log["rule"][0] == BINDING_HOST
    assert run_kernel(dev, stream).log["rule"][0] == BINDING_START


def test_refreshes_of_single_banks_do_not_starve_what_needs_all() -> None:
    """ACTAB waits tRFCpb for every bank, longer than until the next falls due: whole rounds go before it, or none."""
    dev = device("hbm3-attacc", RefreshMode.PER_BANK)
    assert dev.params["nRFCpb"] > dev.refresh_interval
    builder = Builder(dev)
    for step in range(4):
        builder.add("ACTAB", row=step, safe=True, release=(step * dev.refresh_units + 10) * dev.refresh_interval)
        builder.add("PREAB")
    run = run_kernel(dev, builder.stream(), builder.not_before)
    assert first_difference(dev, run.log, run_oracle(dev, builder.stream(), builder.not_before)) == ""
    assert run.counts[dev.dram_standard.index["REFpb"]] == 3 * dev.refresh_units
    assert_legal(dev, run.log)
