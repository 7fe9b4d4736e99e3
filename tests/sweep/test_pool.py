"""The pool: a trial that goes wrong fails alone, and nothing outlives the supervisor."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rowline.sweeps.dask_pool import DaskPool
from rowline.sweeps.pool import Done, Pool, PoolError

ENTRY, HERE = "faulty:trial", str(Path(__file__).parent)
MEMORY = 300_000_000


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)


def results(pool: Pool | DaskPool, within_s: float = 60) -> dict[str, Done]:
    """All that was submitted, by key."""
    found: dict[str, Done] = {}
    until = time.monotonic() + within_s
    while pool.outstanding:
        assert time.monotonic() < until, f"still waiting after {found}"
        for done in pool.poll(1):
            assert done.key not in found
            found[done.key] = done
    return found


def workers(parent: int | None = None) -> list[int]:
    """Processes that a pool of this process (or of another) started and that still run."""
    suffix = f"\0{parent or os.getpid()}\0".encode()
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if b"rowline.sweeps.pool_worker\0" in command and command.endswith(suffix) and state != "Z":
            found.append(int(folder.name))
    return found


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], within_s: float = 3) -> bool:
    until = time.monotonic() + within_s
    while any(running(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_back_under_their_keys(jobs: int) -> None:
    with Pool(jobs, entry=ENTRY) as pool:
        for x in range(50):
            pool.submit(f"trial {x}", {"do": "square", "x": x})
        found = results(pool)
        assert {key: done.value for key, done in found.items()} == {f"trial {x}": x * x for x in range(50)}
        assert all(done.reason is None and done.attempts == 1 for done in found.values())
        assert pool.poll(5) == []  # at once, as nothing is outstanding
    assert workers() == []


def test_workers_stay_warm_and_are_as_many_as_asked_for() -> None:
    with Pool(2, entry=ENTRY) as pool:
        for number in range(12):
            pool.submit(str(number), {"do": "pid", "seconds": 0.05})
        assert len({done.value for done in results(pool).values()}) == 2
        assert len(workers()) == 2


def test_workers_start_only_as_work_comes() -> None:
    with Pool(4, entry=ENTRY) as pool:
        assert workers() == []
        pool.submit("one", {"do": "square", "x": 1})
        results(pool)
        assert len(workers()) == 1


SIGNALS = {"abort": signal.SIGABRT, "segfault": signal.SIGSEGV, "kill": signal.SIGKILL}
REASONS = {
    "raise": "ValueError: two lines (faulty.py:", "exit": "SystemExit: 3", "leave": "worker left with exit code 7 (gone)",
    "abort": "worker died: SIGABRT", "segfault": "worker died: SIGSEGV", "kill": "worker died: SIGKILL",
    "nan": "ValueError: Out of range float", "object": "TypeError: Object of type object is not JSON",
    "huge": "MemoryError", "allocate": "MB of memory, 300 MB are allowed",
    "hang in C": "ran longer than 2 s", "sleep": "ran longer than 2 s",
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "huge": {"bytes": 10**12}, "allocate": {"step_bytes": 10**7}, "sleep": {"seconds": 600},
}  # fmt: skip


def check_faults(pool: Pool | DaskPool, log: Path) -> None:
    """Every fault, each between trials that go well: those all do, each fault has its reason, and deaths are tried thrice."""
    for number, fault in enumerate(REASONS):
        pool.submit(f"before {number}", {"do": "square", "x": number})
        pool.submit(fault, {"do": fault, "log": str(log)} | MORE.get(fault, {}))
        pool.submit(f"after {number}", {"do": "echo", "text": "ü"})
    found = results(pool, 120)
    assert len(found) == 3 * len(REASONS)
    tries = [line.rpartition(" ")[0] for line in log.read_text().splitlines()]
    for number, (fault, reason) in enumerate(REASONS.items()):
        assert found[f"before {number}"].value == number**2
        assert found[f"after {number}"].value == {"do": "echo", "text": "ü"}
        done = found[fault]
        assert done.value is None and reason in str(done.reason) and "\n" not in str(done.reason), done
        assert done.signal == SIGNALS.get(fault)
        dies = fault in SIGNALS or fault == "leave"
        assert done.attempts == (3 if dies else done.attempts) and tries.count(fault) == done.attempts, done
        assert dies or fault == "allocate" or done.attempts == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_trial_that_goes_wrong_fails_alone(jobs: int, tmp_path: Path) -> None:
    with Pool(jobs, timeout_s=2, memory_bytes=MEMORY, entry=ENTRY) as pool:
        check_faults(pool, tmp_path / "log")
    assert workers() == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_trial_whose_worker_died_is_begun_again(times: int, tmp_path: Path) -> None:
    with Pool(1, entry=ENTRY) as pool:
        pool.submit("a", {"do": "dies", "marker": str(tmp_path / "marker"), "times": times})
        assert (done := results(pool)["a"]).value == "alive" and done.attempts == times + 1 and done.reason is None


def kill_workers(kills: int, seed: int) -> None:
    trials, draw, hit = 3 * kills, random.Random(seed), 0
    with Pool(2, entry=ENTRY) as pool:
        for x in range(trials):
            pool.submit(str(x), {"do": "pid", "seconds": 0.02})
        found: dict[str, Done] = {}
        while pool.outstanding:
            found |= {done.key: done for done in pool.poll(draw.uniform(0, 0.1))}
            busy = [w for w in pool._workers if w.trial is not None and w.trial.attempts < 3]
            if busy and hit < kills:
                draw.choice(busy).process.kill()
                hit += 1
    assert len(found) == trials and all(done.reason is None for done in found.values())
    # a kill may come just after the answer was written; each other one costs its trial, and only it, one attempt
    assert trials < sum(done.attempts for done in found.values()) <= trials + hit


def test_killed_workers_cost_nothing_but_time() -> None:
    kill_workers(8, seed=1)


@pytest.mark.slow
def test_a_hundred_killed_workers() -> None:
    kill_workers(100, seed=2)


def test_memory_that_an_earlier_trial_left_is_not_held_against_the_next() -> None:
    with Pool(1, memory_bytes=MEMORY, entry=ENTRY) as pool:
        pool.submit("first", {"do": "keep", "bytes": 200_000_000})
        pool.submit("second", {"do": "keep", "bytes": 190_000_000})
        found = results(pool)
    assert found["first"].reason is None and found["second"].reason is None
    assert found["first"].value != found["second"].value


def test_large_messages_and_noise() -> None:
    with Pool(2, entry=ENTRY) as pool:
        pool.submit("noise", {"do": "noise"})
        pool.submit("big", {"do": "big", "length": 20_000_000})
        pool.submit("echo", {"do": "echo", "text": "y" * 5_000_000})
        found = results(pool)
    assert found["noise"].value == "quiet"
    assert len(found["big"].value) == 20_000_000 and len(found["echo"].value["text"]) == 5_000_000


def test_what_cannot_be_sent_or_asked_for() -> None:
    with Pool(1, entry=ENTRY) as pool:
        with pytest.raises(ValueError, match="payload of a"):
            pool.submit("a", {1, 2})
        assert pool.outstanding == 0
    for jobs, timeout_s, memory_bytes in ((0, None, None), (1, 0, None), (1, None, -1)):
        with pytest.raises(ValueError, match="positive"):
            Pool(jobs, timeout_s, memory_bytes)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [("faulty:none", "has no attribute 'none'"), ("nothing_of_that_name:f", "No module named"), ("dying:f", "exit code 9 (bye)")],
)
def test_a_function_that_cannot_be_loaded(entry: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying.py").write_text("import os, sys\nprint('bye', file=sys.stderr, flush=True)\nos._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{tmp_path}")
    with Pool(2, entry=entry) as pool:
        pool.submit("a", {})
        with pytest.raises(PoolError) as caught:
            results(pool)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert workers() == []


def test_closing_ends_what_runs_and_what_it_started(tmp_path: Path) -> None:
    with Pool(2, entry=ENTRY) as pool:
        pool.submit("c", {"do": "hang in C"})
        pool.submit("child", {"do": "child", "pids": str(tmp_path / "pids")})
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
            pool.poll(0.05)
        pids = [*map(int, (tmp_path / "pids").read_text().split()), *workers()]
        assert len(set(pids)) == 3
        begin = time.monotonic()
        assert pool.close() == []
        assert time.monotonic() - begin < 1
    assert gone(pids)


def test_closing_may_wait_for_what_runs() -> None:
    with Pool(2, entry=ENTRY) as pool:
        for number in range(6):
            pool.submit(str(number), {"do": "pid", "seconds": 0.5})
        while len([w for w in pool._workers if w.trial]) < 2:
            pool._step(0.01)
        assert {done.key for done in pool.close(kill=False)} == {"0", "1"}
    assert workers() == []


SUPERVISOR = """
import sys
from rowline.sweeps.pool import Pool
with Pool(2, entry="faulty:trial") as pool:
    pool.submit("a", {"do": "hang in C"})
    pool.submit("b", {"do": "sleep", "seconds": 600})
    pool.submit("c", {"do": "square", "x": 1})
    while not all(w.trial for w in pool._workers) or len(pool._workers) < 2:
        pool.poll(0.05)
    print(*[w.process.pid for w in pool._workers], flush=True)
    while True:
        pool.poll(1.0)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_its_supervisor(number: signal.Signals) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert supervisor.stdout is not None
    pids = [int(word) for word in supervisor.stdout.readline().split()]
    assert len(pids) == 2 and all(map(running, pids))
    supervisor.send_signal(number)
    supervisor.communicate(timeout=20)
    assert gone(pids)
    assert workers(supervisor.pid) == []


@contextmanager
def cluster() -> Iterator[str]:
    """A scheduler and one worker process with two threads."""
    pytest.importorskip("distributed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    host, _, port = address.partition(":")
    starts = [["scheduler", "--host", host, "--port", port], ["worker", f"tcp://{address}", "--host", host, "--nthreads", "2"]]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{start[0]}", *start[1:], "--no-dashboard"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        for start in starts
    ]  # fmt: skip
    try:
        yield f"dask://{address}"
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_dask_ends_trials_as_the_local_pool_does(tmp_path: Path) -> None:
    with cluster() as address:
        with DaskPool(address, timeout_s=2, memory_bytes=MEMORY, entry=ENTRY) as pool:
            assert pool.jobs == 2
            check_faults(pool, tmp_path / "log")
        with DaskPool(address, entry=ENTRY) as pool:
            for number in range(8):
                pool.submit(str(number), {"do": "pid", "seconds": 0.5})
            first = pool.poll(20)
            left = pool.close(kill=False)
            assert 0 < len(first) + len(left) < 8 and all(done.reason is None for done in first + left)
        with DaskPool(address, entry=ENTRY) as pool:
            pool.submit("child", {"do": "child", "pids": str(tmp_path / "pids")})
            while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
                assert pool.poll(0.05) == []
        assert gone([int(word) for word in (tmp_path / "pids").read_text().split()])


@pytest.mark.slow
def test_dask_without_scheduler_and_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("rowline.sweeps.dask_pool.CONNECT_S", 2.0)
    with pytest.raises(PoolError, match="no Dask scheduler answers at 127.0.0.1:9"):
        DaskPool("dask://127.0.0.1:9")
    with cluster() as address:
        pool = DaskPool(address, entry=ENTRY)
        pool.submit("a", {"do": "sleep", "seconds": 30})
    with pytest.raises(PoolError, match="is gone"):
        results(pool)
    pool.close()
