"""A process that writes to a study is killed, interrupted, starved of disk or let down by it: nothing acknowledged is lost."""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rowline.sweeps.store import Store

from . import writer

WRITER = str(Path(__file__).with_name("writer.py"))
RESTART_S, INTERRUPT_S = 2.0, 2.0


class Run:
    """A writer process and what it said."""

    def __init__(self, study: Path, trials: int, **more: str):
        self.said = study.parent / f"said-{time.monotonic_ns()}"
        self.said.touch()
        self.began = time.monotonic()
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, WRITER, str(study), str(trials)], stdout=out, stderr=subprocess.PIPE, env=os.environ | more
            )

    def end(self, timeout_s: float = 120) -> int:
        _, errors = self.process.communicate(timeout=timeout_s)
        self.errors = errors.decode()
        return self.process.returncode

    @property
    def acknowledged(self) -> list[int]:
        return [int(line) for line in self.said.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def first_word_s(self) -> float | None:
        """Seconds until the first acknowledged trial; None where it ended without one."""
        while not self.said.stat().st_size:
            if self.process.poll() is not None:
                return None
            assert time.monotonic() < self.began + 60
            time.sleep(0.005)
        return time.monotonic() - self.began


def expected(tmp_path: Path, trials: int) -> str:
    """The table that nobody interrupted."""
    study = tmp_path / "uninterrupted"
    assert Run(study, trials).end() == 0
    with Store.open(study, create=False) as store:
        return writer.table(store)


def check(study: Path, acknowledged: set[int]) -> None:
    with Store.open(study, create=False) as store:
        kept = [record.number for record in store.records()]
        assert store.verify() == []
    assert acknowledged <= set(kept) and len(kept) == len(set(kept))


def finish(study: Path, trials: int, acknowledged: list[int], table: str) -> None:
    """Let a writer end the plan. All is there once, and no acknowledged trial was worked out again."""
    run = Run(study, trials)
    assert run.end() == 0, run.errors
    acknowledged += run.acknowledged
    with Store.open(study, create=False) as store:
        assert writer.table(store) == table
        assert store.verify() == []
    assert len(acknowledged) == len(set(acknowledged)) and set(acknowledged) <= set(range(trials))


def kill_at_random(tmp_path: Path, kills: int, trials: int, seed: int) -> None:
    table, draw, done = expected(tmp_path, trials), random.Random(seed), 0
    restarts: list[float] = []
    while done < kills:
        study = tmp_path / f"study{done}"
        acknowledged: list[int] = []
        while done < kills:
            run = Run(study, trials)
            if draw.random() < 0.2:  # while it starts
                time.sleep(draw.uniform(0.02, 0.2))
            else:
                restarts += [s for s in [run.first_word_s()] if s is not None]
                time.sleep(draw.uniform(0, 0.15))
            run.process.send_signal(signal.SIGKILL)
            ended = run.end()
            acknowledged += run.acknowledged
            if ended == 0:
                break
            assert ended == -signal.SIGKILL, run.errors
            done += 1
            if done % 3 == 0 and acknowledged:  # else the next writer is the first to open what was left
                check(study, set(acknowledged))
        finish(study, trials, acknowledged, table)
    median_s = sorted(restarts)[len(restarts) // 2]
    print(f"{done} kills; first trial kept {median_s:.2f} s after a start, {max(restarts):.2f} s at most")
    assert median_s < RESTART_S


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=15, trials=60, seed=1)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=200, trials=150, seed=2)


def stored(study: Path) -> int:
    """Trials that the study holds; more than were acknowledged, where an interrupt came between the two."""
    with Store.open(study, create=False) as store:
        return sum(store.counts().values())


def interrupt_at_random(tmp_path: Path, times: int, seed: int) -> None:
    trials, draw = 60, random.Random(seed)
    table, study = expected(tmp_path, trials), tmp_path / "study"
    acknowledged: list[int] = []
    for number in range(times):
        run = Run(study, trials)
        run.first_word_s()
        time.sleep(draw.uniform(0, 0.1))
        begin = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        ended = run.end()
        acknowledged += run.acknowledged
        if ended == -signal.SIGINT and stored(study) == trials:  # it was done; Python was putting itself away
            ended = 0
        assert ended in (0, 130), run.errors
        assert ended == 0 or (run.errors == "" and time.monotonic() - begin < INTERRUPT_S)
        check(study, set(acknowledged))
        assert not list((study / "owners").iterdir())  # nothing is left claimed
        if ended == 0 or len(acknowledged) > trials - 5:
            finish(study, trials, acknowledged, table)
            study, acknowledged = tmp_path / f"study{number}", []


def test_interrupts_leave_the_store_valid(tmp_path: Path) -> None:
    interrupt_at_random(tmp_path, 6, seed=3)


@pytest.mark.slow
def test_a_hundred_interrupts(tmp_path: Path) -> None:
    interrupt_at_random(tmp_path, 100, seed=4)


def two_processes(tmp_path: Path, rounds: int, trials: int) -> None:
    table = expected(tmp_path, trials)
    for number in range(rounds):
        study = tmp_path / f"study{number}"
        runs = [Run(study, trials), Run(study, trials)]
        assert [run.end() for run in runs] == [0, 0], [run.errors for run in runs]
        both = [run.acknowledged for run in runs]
        assert sorted(both[0] + both[1]) == list(range(trials))  # the union exactly, nothing twice
        with Store.open(study, create=False) as store:
            assert writer.table(store) == table


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    two_processes(tmp_path, rounds=2, trials=80)


@pytest.mark.slow
def test_two_processes_share_a_study_often(tmp_path: Path) -> None:
    two_processes(tmp_path, rounds=20, trials=300)


def test_the_other_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    trials = 120
    table, study = expected(tmp_path, trials), tmp_path / "study"
    runs = [Run(study, trials), Run(study, trials)]
    runs[0].first_word_s()
    runs[0].process.send_signal(signal.SIGSTOP)  # alive, so its claims are its own
    time.sleep(0.3)
    runs[0].process.kill()
    runs[0].end()
    assert runs[1].end() == 0
    acknowledged = runs[0].acknowledged + runs[1].acknowledged
    assert len(acknowledged) == len(set(acknowledged))
    finish(study, trials, acknowledged, table)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The preloaded library; see failing.c."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux's LD_PRELOAD")
    library = tmp_path_factory.mktemp("shim") / "failing.so"
    source = Path(__file__).with_name("failing.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return str(library)


TRIALS = 10


def count_calls(tmp_path: Path, shim: str) -> int:
    """How often a whole run writes, syncs or resizes a file of the study."""
    count = tmp_path / "count"
    run = Run(tmp_path / "counted", TRIALS, LD_PRELOAD=shim, FAIL_PATH="study.db", FAIL_AT="0", FAIL_COUNT=str(count))
    assert run.end() == 0
    return int(count.read_text())


def fail(tmp_path: Path, shim: str, at: int, kind: str, forever: bool, table: str) -> int:
    study = tmp_path / f"study-{at}-{kind}-{forever}"
    more = {"FAIL_FOREVER": "1"} if forever else {}
    run = Run(study, TRIALS, LD_PRELOAD=shim, FAIL_PATH="study.db", FAIL_AT=str(at), FAIL_KIND=kind, **more)
    ended = run.end()
    where = f"call {at} fails with {kind}: {run.errors}"
    assert ended in (0, 5), where
    if ended == 5:
        assert run.errors.startswith("StoreWriteError: ") and run.errors.count("\n") == 1 and str(study) in run.errors, where
    else:
        assert run.errors == "" and len(run.acknowledged) == TRIALS, where
    acknowledged = run.acknowledged
    if acknowledged:
        check(study, set(acknowledged))
    # a trial may have reached the disk though its writer was told otherwise: it then counts as there, and is not run again
    finish(study, TRIALS, acknowledged, table)
    shutil.rmtree(study)
    return ended


FULL, BROKEN, AGAIN = str(errno.ENOSPC), str(errno.EIO), str(errno.EINTR)
KINDS = [(FULL, False), (FULL, True), (BROKEN, False), (AGAIN, False), ("short", False)]


def test_failing_writes_lose_nothing(tmp_path: Path, shim: str) -> None:
    table, calls = expected(tmp_path, TRIALS), count_calls(tmp_path, shim)
    assert calls > 100
    draw = random.Random(5)
    ends = [fail(tmp_path, shim, draw.randint(1, calls), *KINDS[number % len(KINDS)], table) for number in range(15)]
    assert ends.count(5) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "forever"), KINDS)
def test_every_write_fails_once(tmp_path: Path, shim: str, kind: str, forever: bool) -> None:
    table, calls = expected(tmp_path, TRIALS), count_calls(tmp_path, shim)
    ends = [fail(tmp_path, shim, at, kind, forever, table) for at in range(1, calls + 1)]
    print(f"{calls} calls fail with {kind}: {ends.count(5)} runs ended with the error")
    if kind != AGAIN:  # SQLite writes again, but takes a sync that was interrupted for one that failed
        assert (5 in ends) == (kind != "short")


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """As a disk that is full from some size on: the kernel refuses to let any file of the process grow past 100 kB."""
    trials = 200
    table, study = expected(tmp_path, trials), tmp_path / "study"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        run = Run(study, trials)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert run.end() == 5
    assert run.errors.startswith(f"StoreWriteError: {study}") and "what was acknowledged is kept" in run.errors
    acknowledged = run.acknowledged
    assert 5 < len(acknowledged) < trials
    check(study, set(acknowledged))
    finish(study, trials, acknowledged, table)
