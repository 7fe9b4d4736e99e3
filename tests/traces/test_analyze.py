"""Tables about command logs, against a walk over the commands one by one."""

# what pandas gives back is a union of all that it could be, which a checker cannot tell apart
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false

from typing import Any

import numpy as np
import pandas as pd
import pytest
from rowline.traces import analyze
from rowline.traces.commands import ISSUED, IssueLog
from rowline.traces.formats.header import LoggedCommand, LogHeader

COMMANDS = (
    LoggedCommand("ACT", "bank", "open"), LoggedCommand("PRE", "bank", "close"), LoggedCommand("RD", "bank", "access"),
    LoggedCommand("RDA", "bank", "access_close"), LoggedCommand("ACTg", "bank_group", "open"),
    LoggedCommand("PREA", "channel", "close"), LoggedCommand("MAC", "channel", "access"),
    LoggedCommand("RDs", "bank", "access", stripe=True), LoggedCommand("REF", "channel", "refresh"),
)  # fmt: skip
RULES = ("tRCD", "tCCD", "tRP")


def header(clock_hz: int = 10**9, channel: int = 0) -> LogHeader:
    return LogHeader("test", "TEST", clock_hz, COMMANDS, RULES, bank_groups=2, banks_per_group=3, channel=channel)


def random_log(seed: int, length: int = 400) -> IssueLog:
    """Commands in order of time; whether they are legal does not matter here."""
    rng = np.random.default_rng(seed)
    log = np.zeros(length, ISSUED)
    log["cycle"] = np.cumsum(rng.integers(0, 9, length))
    log["cmd"] = rng.integers(0, len(COMMANDS), length)
    units = np.array([6, 6, 6, 6, 2, 1, 1, 3, 1])
    log["unit"] = rng.integers(0, 1 << 30, length) % units[log["cmd"]]
    log["row"], log["col"] = rng.integers(0, 5, length), rng.integers(0, 8, length)
    log["rule"] = rng.integers(-4, len(RULES), length)
    return log


def slow_visits(log: IssueLog, about: LogHeader) -> list[dict[str, Any]]:
    """Row by row, as a person would read the log."""
    open_rows: dict[int, dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    period = 10**12 // about.clock_hz
    for cycle, cmd, unit, row, _, _ in log.tolist():
        effect = about.commands[cmd].row
        for bank in about.touched(cmd, unit):
            visit = open_rows.get(bank)
            if visit is not None and effect in ("access", "access_close"):
                visit["columns"] += 1
                if visit["first_column_ps"] == -1:
                    visit["first_column_ps"] = cycle * period
            if visit is not None and effect in ("close", "access_close", "open"):
                found.append(open_rows.pop(bank) | {"close_ps": cycle * period, "cut": False})
            if effect == "open":
                open_rows[bank] = {"bank": bank, "row": row, "open_ps": cycle * period, "columns": 0, "first_column_ps": -1}
    end = int(log["cycle"][-1]) * period
    return found + [visit | {"close_ps": end, "cut": True} for visit in open_rows.values()]


@pytest.mark.parametrize("seed", range(12))
def test_visits_are_those_of_a_walk_over_the_log(seed: int) -> None:
    log = random_log(seed)
    slow = pd.DataFrame(slow_visits(log, header())).sort_values(["open_ps", "bank", "close_ps"], ignore_index=True)
    fast = analyze.row_visits(log, header()).sort_values(["open_ps", "bank", "close_ps"], ignore_index=True)
    names = list(slow.columns)
    pd.testing.assert_frame_equal(fast[names].astype(int), slow[names].astype(int))


@pytest.mark.parametrize("seed", range(4))
def test_gaps_add_up(seed: int) -> None:
    log = random_log(seed)
    frame = analyze.command_frame(log, header())
    assert frame["gap_ps"].sum() == frame["time_ps"].iloc[-1] - frame["time_ps"].iloc[0]
    table = analyze.waits(frame)
    assert table["gap_ps"].sum() == frame["gap_ps"].sum() and table["commands"].sum() == len(log)
    assert table["share"].sum() == pytest.approx(1.0)
    by_bank = analyze.waits(frame, "bank")
    sums = by_bank.groupby("rule", observed=True)["gap_ps"].sum().to_dict()
    assert sums == dict(zip(table["rule"], table["gap_ps"], strict=True))


def test_the_slowest_rule_of_a_visit() -> None:
    log = random_log(3)
    frame, visits = analyze.command_frame(log, header()), analyze.row_visits(log, header())
    for visit in visits.itertuples():
        gaps = frame.iloc[visit.first_command + 1 : visit.last_command + 1].groupby("rule", observed=True)["gap_ps"].sum()
        assert visit.slowest_ps == (gaps.max() if len(gaps) else 0)
        assert gaps.sum() == visit.open_for_ps
        assert gaps[visit.slowest_rule] == visit.slowest_ps if visit.slowest_rule else visit.slowest_ps == 0


def test_banks_hold_all_visits() -> None:
    log = random_log(5)
    banks, visits = analyze.bank_table(log, header(channel=3)), analyze.row_visits(log, header())
    assert len(banks) == 6 and set(banks["channel"]) == {3}
    assert banks["activations"].sum() == len(visits) and banks["columns"].sum() == visits["columns"].sum()
    assert (banks["open_ps"] >= visits.groupby("bank")["open_for_ps"].sum().reindex(banks["bank"], fill_value=0).to_numpy()).all()
    assert banks["open_share"].between(0, 1).all()


def test_rows_that_the_log_finds_or_leaves_open() -> None:
    """Bank 0: open before (an access tells), bank 1: a precharge of nothing, bank 2: still open at the end."""
    log = np.zeros(5, ISSUED)
    log["cycle"], log["unit"] = [0, 10, 20, 30, 50], [0, 0, 1, 2, 2]
    log["cmd"] = [2, 1, 1, 0, 2]  # RD, PRE, PRE, ACT, RD
    visits, banks = analyze.row_visits(log, header()), analyze.bank_table(log, header())
    assert visits[["bank", "open_ps", "close_ps", "columns", "cut"]].to_numpy().tolist() == [[2, 30_000, 50_000, 1, True]]
    assert banks["open_ps"].tolist() == [10_000, 0, 20_000, 0, 0, 0]


def test_a_period_that_is_no_whole_number_of_ps_rounds_up() -> None:
    log = random_log(0, 5)
    log["cycle"] = [0, 1, 2, 3, 10**9]
    assert analyze.edges_ps(log, header(3 * 10**9)).tolist() == [0, 334, 667, 1000, 333_333_333_334]


def test_an_empty_log_has_empty_tables() -> None:
    log = np.empty(0, ISSUED)
    assert len(analyze.command_frame(log, header())) == 0 and len(analyze.row_visits(log, header())) == 0
    assert analyze.bank_table(log, header())["activations"].tolist() == [0] * 6
    assert len(analyze.waits(analyze.command_frame(log, header()))) == 0


def test_a_log_that_does_not_fit_its_header_is_refused() -> None:
    log = random_log(0)
    log["unit"][7] = 99
    with pytest.raises(ValueError, match="place"):
        analyze.row_visits(log, header())
