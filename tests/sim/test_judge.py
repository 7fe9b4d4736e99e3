"""The judge: the checker's verdicts, word for word, whatever is wrong with a log; and no part of it is idle."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
import pytest
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import load_device
from rowline.arch.units import Clock
from rowline.arch.values import Duration, Frequency
from rowline.sim.judge import Judge
from rowline.sim.judge import layout as at
from rowline.sim.judge.kernel import judge
from rowline.sim.judge.tables import Compiled, Tables, compile_judge, new_state
from rowline.sim.reference.checker import check
from rowline.sim.reference.traits import Span
from rowline.traces.commands import ISSUED, IssueLog

from ..conformance.devices import CASES, device
from ..conformance.kernel import run_kernel
from ..conformance.streams import random_stream
from ..conformance.verdicts import close_pairs, written

COMMANDS = 120


@cache
def legal_log(name: str, mode: RefreshMode, seed: int) -> IssueLog:
    """What the engine makes of a random stream, cut short."""
    dev = device(name, mode)
    stream, not_before = random_stream(dev, seed, length=COMMANDS)
    return run_kernel(dev, stream, not_before).log[: 4 * COMMANDS]


def spoiled(dev: DramDevice, log: IssueLog, rng: np.random.Generator) -> IssueLog:
    """The log with one in ten of its rows moved, dropped, swapped, doubled, or sent elsewhere."""
    log, commands, organization = log.copy(), dev.dram_standard.commands, dev.organization
    for i in rng.choice(np.arange(1, len(log) - 1), len(log) // 10, replace=False):
        match rng.integers(7):
            case 0:
                log["cycle"][i] -= rng.integers(1, 30)
            case 1:
                log[[i, i + 1]] = log[[i + 1, i]]
            case 2:
                log[i] = log[i - 1]
            case 3:
                log["unit"][i] = rng.integers(organization.units(commands[log["cmd"][i]]))
            case 4:
                log["row"][i] += 1
            case 5:
                log["cmd"][i] = rng.integers(len(commands))
                log["unit"][i] = rng.integers(organization.units(commands[log["cmd"][i]]))
            case _:
                log["cycle"][i:] -= rng.integers(1, 40)
    return np.delete(log, rng.integers(len(log), size=3))


def judged(dev: DramDevice, log: IssueLog, cuts: list[int], **how: bool) -> Judge:
    """The judge after the log, in pieces."""
    done = Judge(dev, limit=100_000, **how)
    for piece in np.split(log, cuts):
        done.feed(piece)
    return done


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_same_verdicts_as_the_checker(name: str, mode: RefreshMode, seed: int) -> None:
    """However the log is spoiled and cut: same rows, rules, times and words."""
    dev, rng = device(name, mode), np.random.default_rng(seed)
    log = spoiled(dev, legal_log(name, mode, seed), rng)
    how = {"refresh": bool(rng.random() < 0.8), "order": bool(rng.random() < 0.5)}
    expected = check(dev, log, **how)
    done = judged(dev, log, sorted(rng.integers(len(log), size=4).tolist()), **how)
    assert len(expected) > 20
    assert done.violations == expected
    assert sum(done.counts.values()) == len(expected)
    assert done.commands == len(log)


@pytest.mark.parametrize("frequency", ["877192982 Hz", "1515151515 Hz"])
def test_same_verdicts_whatever_the_clock(frequency: str) -> None:
    """A period that is no whole number of ps."""
    clock = Frequency.model_validate(frequency).model_dump()
    dev = DramDevice.model_validate(device("ddr4-2400").model_dump() | {"clock": clock})
    log = spoiled(dev, legal_log("ddr4-2400", RefreshMode.ALL_BANK, 1), np.random.default_rng(1))
    log["cycle"] += 10**12
    assert judged(dev, log, [50]).violations == check(dev, log)


def test_a_log_without_end_is_kept_in_bounded_space() -> None:
    dev = device("gddr6-14000", RefreshMode.OFF)
    log = written(dev, *[("PREA", 0, -1, 0)] * 5000)
    short, long = Judge(dev, limit=10), Judge(dev, limit=100_000)
    for each in (short, long):
        each.feed(log)
    assert short.violations == long.violations[:10] == check(dev, log, limit=10)
    assert short.counts == long.counts == {"tCMD": 4999, "tPPD": 4999}


def test_a_precharge_that_does_not_pay_is_found_across_pieces() -> None:
    dev = device("gddr6-14000", RefreshMode.ALL_BANK)
    late = 9 * dev.refresh_interval
    paid = written(dev, ("PREA", 0, -1, late), ("REFab", 0, -1, late + 100))
    unpaid = written(dev, ("PREA", 0, -1, late), ("PDE", 0, -1, late + 100))
    for log in (paid, unpaid):
        done = Judge(dev)
        done.feed(log[:1])
        assert [each.text for each in done.violations] == [each.text for each in check(dev, log[:1])] != []
        assert done.counts == {"refresh-debt": 1}
        done.feed(log[1:])
        assert done.violations == check(dev, log)


@pytest.mark.parametrize(
    ("cmd", "unit", "problem"),
    [(0, 16, "row 3: ACT addresses unit 16, which does not exist"), (99, 0, "row 3: .* number 99"), (-1, 0, "row 3")],
)
def test_what_is_not_in_the_device_is_refused(cmd: int, unit: int, problem: str) -> None:
    dev = device("gddr6-14000", RefreshMode.OFF)
    log = written(dev, ("PRE", 0, -1, 0), ("PRE", 1, -1, 100), ("PRE", 2, -1, 200))
    done = Judge(dev)
    done.feed(log[:2])
    bad = log.copy()
    bad["cmd"][1], bad["unit"][1] = cmd, unit
    with pytest.raises(ValueError, match=problem):
        done.feed(bad)
    with pytest.raises(ValueError, match=problem):
        check(dev, np.concatenate([log[:2], bad]))


# the judge on trial

Change = Callable[[Tables], None]
FAR, LONGEST = 100_000, 1 << 15
TRIED = ("ddr4-2400-x2", "ddr5-3200-x2", "lpddr5-5500-x2", "gddr6-14000", "gddr6-aim", "hbm2e-3200", "hbm2-pim", "hbm3-attacc")

SURVIVORS = {
    "tRFCpb before REFpb": "the same bank again begins a round, which waits as long",
    "tRFCpb before REFsb": "as before REFpb",
    "tCCDL before MACPB": "arrays and the way to the die are both kept for as long",
    **dict.fromkeys(
        [f"burst of {name}" for name in ("RDHAB", "WRHAB", "WRPIM", "WRCRF", "WRGRF", "WRSRF", "RDGRF")],
        "all banks: tCCDL keeps bursts of one direction apart, tRTW and tWTRL others",
    ),
}
"""Checks that no log misses, and why."""


@cache
def on_trial(name: str) -> Compiled:
    """The tables of a device in whole clocks, in which tRC is more than tRAS and tRP."""
    dev = device(name, RefreshMode.OFF)
    clock = Clock(dev.clock.value)
    cycles = {key: value.cycles(clock) + 5 * (key == "tRC") for key, value in dev.timing.items()}
    timing = {key: Duration.model_validate({"value": f"{number} ck"}) for key, number in cycles.items()}
    dev = DramDevice.model_validate(dev.model_copy(update={"timing": timing}).model_dump())
    return compile_judge(dev, refresh=False)


def verdict(compiled: Compiled, log: IssueLog) -> list[tuple[int, ...]]:
    """Rows, rules and times, from tables as they stand."""
    state, found = new_state(compiled), np.zeros((50, at.N_FINDING), np.int64)
    cycle, cmd, unit, row = (np.ascontiguousarray(log[name], np.int64) for name in ("cycle", "cmd", "unit", "row"))
    judge(compiled.tables, state, cycle, cmd, unit, row, found)
    return [tuple(each) for each in found[: state.numbers[at.X_FOUND], : at.F_EARLY + 1].tolist()]


def noticed(compiled: Compiled, change: Change, logs: Iterable[IssueLog]) -> bool:
    """Whether the verdict on some log is another once the tables are changed."""
    tables = Tables(*(table.copy() for table in compiled.tables))
    change(tables)
    worse = compiled._replace(tables=tables)
    return any(verdict(worse, log) != verdict(compiled, log) for log in logs)


def take(where: Callable[[Tables], np.ndarray], by: int | None) -> Change:
    """Numbers of the tables made smaller, or 0."""

    def change(tables: Tables) -> None:
        part = where(tables)
        part[...] = 0 if by is None else part - by

    return change


def closest(compiled: Compiled, a: str, b: str, unit: int, rule: int) -> IssueLog | None:
    """``b`` at ``unit`` after ``a``, as late as ``rule`` still objects, whatever the state; None if it never does."""

    def log(apart: int) -> IssueLog:
        return written(compiled.times.device, (a, 0, 1, FAR), (b, unit, 1, FAR + apart))

    def objects(apart: int) -> bool:
        return any(index == 1 and broken == rule for index, broken, _ in verdict(compiled, log(apart)))

    if not objects(0):
        return None
    low, high = 0, LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if objects(middle) else (low, middle)
    return log(low)


@pytest.mark.parametrize("name", TRIED)
def test_every_wait_is_missed(name: str) -> None:
    """A clock shorter, or dropped: the log that comes just too early for it is judged otherwise."""
    compiled = on_trial(name)
    commands, waits, marks = compiled.tables.commands, compiled.tables.waits, compiled.tables.marks
    clock, survivors, tried = compiled.times.spent(compiled.times.ticks), set[str](), 0
    leavers = [(compiled.names[c], marks[m, at.M_BASE])
               for c in range(len(commands)) for m in range(commands[c, at.C_MARK_LO], commands[c, at.C_MARK_HI])]  # fmt: skip
    for owner, b in enumerate(compiled.names):
        for k in range(commands[owner, at.C_WAIT_LO], commands[owner, at.C_WAIT_HI]):
            rule, base, gap = (int(waits[k, field]) for field in (at.W_RULE, at.W_BASE, at.W_GAP))
            rank = compiled.times.geometry.size[Span.RANK] if waits[k, at.W_OTHERS] else 0
            logs = [closest(compiled, a, b, rank, rule) for a, left in leavers if left == base]
            logs = [log for log in logs if log is not None]
            if gap == 0 and not logs:
                continue  # asks for nothing
            tried += 1
            for by in (clock, at.FOREVER // 2):
                if not noticed(compiled, take(lambda t, k=k: t.waits[k, at.W_GAP : at.W_GAP + 1], by), logs):
                    survivors.add(f"{compiled.rules[rule]} before {b}")
    assert tried > 60
    assert survivors <= SURVIVORS.keys()


def state_mutants(compiled: Compiled) -> Iterator[tuple[str, Change]]:
    """Row times a clock shorter, and parts that a command no longer has."""
    tables, clock = compiled.tables, compiled.times.spent(compiled.times.ticks)
    times = {"tRAS": at.S_TRAS, "tRTP": at.S_TRTP, "tWR": at.S_TWR, "tRC": at.S_TRC, "burst": at.S_BURST, "tRTRS": at.S_BUBBLE}
    for name, field in times.items():
        if tables.scalars[field] > 0:
            yield name, take(lambda t, f=field: t.scalars[f : f + 1], clock)
    for number, command in enumerate(compiled.names):
        closes = tables.commands[number, at.C_ROW] in (at.ROW_CLOSE, at.ROW_AUTO)
        for what, field, by in (
            ("tRCD", at.C_AFTER_ACT, clock), ("tRP", at.C_PRECHARGE, clock), ("row", at.C_ROW, None), ("burst", at.C_BUS, None),
        ):  # fmt: skip
            if tables.commands[number, field] > 0 and (field != at.C_PRECHARGE or closes):
                yield f"{what} of {command}", take(lambda t, n=number, f=field: t.commands[n, f : f + 1], by)
    yield "power states", take(lambda t: t.scalars[at.S_HAS_POWER : at.S_HAS_POWER + 1], None)


@pytest.mark.parametrize("name", TRIED)
def test_every_row_time_and_state_is_missed(name: str) -> None:
    """Some pair of commands, a tick too close or in the wrong state, is judged otherwise."""
    compiled = on_trial(name)
    dev = compiled.times.device
    logs = [pair.log(gap) for pair in close_pairs(dev) for gap in (pair.gap, max(pair.gap - 1, 0))]
    wrong = [("ACT", 0, 1, FAR * 2)]
    logs += [written(dev, ("ACT", 0, 2, 0), (a, 0, 3, FAR), *wrong) for a in dev.dram_standard.index]
    logs += [written(dev, ("ACT", bank, 2, 0), ("PDE", 0, -1, FAR), ("ACT", bank, 2, FAR + 200)) for bank in (0, 1)]
    ras, rc = (compiled.times.of(name) // compiled.times.spent(compiled.times.ticks) for name in ("tRAS", "tRC"))
    ticks = compiled.times.ticks
    logs.append(written(dev, ("ACT", 0, 1, 0), ("PRE", 0, -1, (ras + 2) * ticks), ("ACT", 0, 1, rc * ticks - 1)))
    assert {what for what, change in state_mutants(compiled) if not noticed(compiled, change, logs)} <= SURVIVORS.keys()


@pytest.mark.bench
@pytest.mark.parametrize("name", ["ddr4-2400", "gddr6-14000", "ddr5-3200", "lpddr5-5500", "hbm2-1600", "hbm3-5200", "gddr6-aim"])
def test_speed(name: str) -> None:
    """At least three million commands a second."""
    dev = device(name, RefreshMode.OFF)
    stream, not_before = random_stream(dev, 1, length=3000, idle=0)
    log = run_kernel(dev, stream, not_before).log
    many = 1_000_000 // len(log)
    long = np.tile(log, many)
    long["cycle"] += np.repeat(np.arange(many) * (int(log["cycle"][-1]) + 5000), len(log))
    done = Judge(dev)
    done.feed(log[:1])
    begin = time.perf_counter()
    Judge(dev).feed(long)
    rate = len(long) / (time.perf_counter() - begin)
    print(f"{name}: {rate / 1e6:.1f} M commands/s")
    assert rate > 2e6  # on a machine that does other things, too


@pytest.mark.parametrize("order", [True, False])
def test_self_refresh_forgives_nothing_that_was_owed(order: bool) -> None:
    """Eight refreshes are postponed when self-refresh begins, and still are when it ends: a ninth may not come due."""
    dev = load_device("ddr4-2400")
    index, interval, n = dev.dram_standard.index, dev.refresh_interval, dev.params
    begin = 8 * interval + 10
    end = begin + 20 * interval
    act = end + n["nXS"]
    spare = 2 * interval if not order else 0  # of others' logs the phase is not known
    rows = [
        (begin, "SRE", -1), (end, "SRX", -1), (act, "ACT", 3), (act + 100, "RD", 3), (end + interval + spare + 5, "RD", 3),
    ]  # fmt: skip
    log = np.array([(cycle, index[name], 0, row, -1, -1) for cycle, name, row in rows], ISSUED)
    found = check(dev, log, order=order)
    assert [(v.index, v.rule) for v in found] == [(4, "refresh-debt")]
    compiled = judged(dev, log, [], order=order).violations
    assert [(v.index, v.rule, v.text) for v in compiled] == [(v.index, v.rule, v.text) for v in found]
    assert check(dev, log[:4], order=order) == []
