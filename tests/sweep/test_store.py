"""The store: what goes in comes out, claims, damage is seen, and PostgreSQL does the same."""

import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rowline.sweeps.store import Claim, Record, Store, StoreBusyError, StoreError, StoreWriteError, verify_study
from rowline.traces.formats.trials import read_trials

from . import writer
from .server import postgres

ID = [writer.trial_id(number) for number in range(100)]
_studies = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new study goes."""
    if request.param == "postgres":
        return f"{request.getfixturevalue('server')}#study{next(_studies)}"
    return str(tmp_path / "study")


def fill(target: str | Path, trials: int) -> None:
    with Store.open(target) as store:
        for number in range(trials):
            store.put(writer.record(number))


def test_what_goes_in_comes_out(target: str) -> None:
    params = {"a b": "naïve \u0000 \ud800 😀", "n": 2**70, "x": [1, None]}
    odd = Record(ID[1], 1, params, {}, {"latency": 1e-300, "edp": -0.0}, {"s": {}}, wall_s=0.1 + 0.2, attempts=3)
    failed = Record(ID[0], 7, {}, {}, {}, {}, "failed", "line\x00break\n", 5.0)
    with Store.open(target) as store:
        assert store.put(odd) and store.put(failed)
    with Store.open(target, create=False) as store:
        assert store.get(ID[1]) == odd and store.get(ID[0]) == failed and store.get(ID[2]) is None
        assert list(store.records()) == [odd, failed]  # by number
        assert store.counts() == {"complete": 1, "failed": 1, "infeasible": 0}
        assert store.verify() == []
    assert verify_study(target) == []


def test_a_trial_is_kept_once(target: str) -> None:
    first = writer.record(1)
    with Store.open(target) as store:
        assert store.put(first)
        assert not store.put(replace(first, wall_s=9.0))
        assert not store.put(replace(first, state="failed", reason="timeout", objectives={}))
        with pytest.raises(StoreError, match="two results"):
            store.put(replace(first, objectives={"latency": 1.0}))
        assert store.get(first.id) == first and store.verify() == []


def test_a_failed_trial_may_be_tried_again(target: str) -> None:
    done = writer.record(1)
    failed = replace(done, state="failed", reason="died", objectives={}, stats={})
    with Store.open(target) as store:
        store.put(failed)
        assert store.claim([done.id]) == Claim([], [done.id], [])
        assert store.claim([done.id], retry_failed=True) == Claim([done.id], [], [])
        assert not store.put(replace(failed, reason="again"))
        assert store.put(done) and store.get(done.id) == done
        assert store.counts() == {"complete": 1, "failed": 0, "infeasible": 0}
        assert store.verify() == []


@pytest.mark.parametrize(
    "part", [{"objectives": {"latency": float("nan")}}, {"stats": {"x": float("inf")}}, {"params": {"x": object()}}, {"id": ""}]
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, part: dict[str, object]) -> None:
    with Store.open(tmp_path) as store:
        with pytest.raises(ValueError, match="trial 3: "):
            store.put(replace(writer.record(3), **part))  # type: ignore[arg-type]
        assert list(store.records()) == []
        assert store.put(writer.record(4))


def test_claims_are_exclusive_while_their_owner_lives(target: str) -> None:
    with Store.open(target) as one, Store.open(target) as two:
        one.put(writer.record(0))
        assert one.claim(ID[:3] + ID[1:2]) == Claim(ID[1:3], ID[:1], [])
        assert one.claim(ID[1:3]).mine == ID[1:3]
        assert two.claim(ID[:5]) == Claim(ID[3:5], ID[:1], ID[1:3])
        one.release(ID[1:2])
        assert two.claim(ID[1:3]) == Claim(ID[1:2], [], ID[2:3])
        one.close()
        assert two.claim(ID[2:3]).mine == ID[2:3]
        assert two.put(writer.record(2))
        kept = two.get(ID[2])
        assert kept is not None and kept.attempts == 1


_CLAIM = """
import os, sys
from rowline.sweeps.store import Store
store = Store.open(sys.argv[1])
store.claim(sys.argv[2:])
os.kill(os.getpid(), 9)
"""


def test_claims_of_a_dead_process_are_free_at_once_and_counted(target: str) -> None:
    Store.open(target).close()
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", _CLAIM, target, *ID[:2]], timeout=60, check=False).returncode == -9
    with Store.open(target) as store:
        assert store.claim(ID[:3]).mine == ID[:3]
        store.put(writer.record(0))
        store.put(writer.record(2))
        first, third = store.get(ID[0]), store.get(ID[2])
        assert first is not None and first.attempts == 3
        assert third is not None and third.attempts == 1


def test_many_ids_at_a_time(target: str) -> None:
    ids = [f"{number:06d}" for number in range(2500)]
    with Store.open(target) as store:
        assert store.claim(ids).mine == ids
        for number in (0, 401, 2499):
            store.put(replace(writer.record(number), id=ids[number]))
        assert store.claim(ids).done == [ids[0], ids[401], ids[2499]]
        assert [record.number for record in store.records()] == [0, 401, 2499]


def test_records_are_of_one_moment(target: str) -> None:
    fill(target, 3)
    with Store.open(target) as store:
        records = store.records()
        assert next(records).number == 0
        store.put(writer.record(3))
        assert [record.number for record in records] == [1, 2]
        assert sum(1 for _ in store.records()) == 4


def test_notes(target: str) -> None:
    with Store.open(target) as store:
        assert store.note("space") is None
        store.set_note("space", {"b": 1, "a": [1.5]})
        store.set_note("space", {"b": 2})
        store.put(writer.record(0))
    with Store.open(target) as store:
        assert store.note("space") == {"b": 2} and store.verify() == []


@pytest.mark.slow
def test_writers_share_a_study_on_a_server(server: str, tmp_path: Path) -> None:
    """Two processes, one of them killed on the way: the table equals that of SQLite."""
    fill(tmp_path / "alone", 150)
    target = f"{server}#shared"
    command = [sys.executable, writer.__file__, target, "150"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert runs[0].stdout is not None
    runs[0].stdout.readline()
    runs[0].kill()
    outputs = [run.communicate(timeout=120) for run in runs]
    assert runs[1].returncode == 0, outputs[1][1]
    with Store.open(target, create=False) as shared, Store.open(tmp_path / "alone") as alone:
        assert writer.table(shared) == writer.table(alone)
        assert shared.export_parquet(tmp_path / "1.parquet") == alone.export_parquet(tmp_path / "2.parquet") == 150
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


@pytest.mark.slow
def test_a_lost_connection_is_taken_up_again(server: str) -> None:
    import psycopg

    with Store.open(f"{server}#lost") as store:
        assert store.claim(ID[:1]).mine == ID[:1]
        with psycopg.connect(server) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rowline sweep'")
        assert store.put(writer.record(0))
        with Store.open(f"{server}#lost") as second:
            assert second.counts()["complete"] == 1
            assert store.claim(ID[1:2]).mine == second.claim(ID[1:2]).elsewhere == ID[1:2]


@pytest.mark.slow
def test_a_damaged_row_on_a_server(server: str) -> None:
    import psycopg

    target = f"{server}#rotten"
    fill(target, 5)
    with psycopg.connect(server, autocommit=True) as other:
        other.execute("""UPDATE rowline_rotten.trials SET objectives = '{"latency":1}' WHERE number = 3""")
    with Store.open(target) as store, pytest.raises(StoreError, match=r"#rotten: damaged: trial 3 "):
        list(store.records())
    assert len(verify_study(target)) == 1
    with psycopg.connect(server, autocommit=True) as other:
        other.execute("DELETE FROM rowline_rotten.trials WHERE number = 3")
    with pytest.raises(StoreError, match="do not add up"):
        Store.open(target)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://x@127.0.0.1:9/none#a", "127.0.0.1"), ("postgresql://h/d#UPPER", "may hold a-z"),
        ("postgresql://h:port/d", "port"),
    ],  # fmt: skip
)
def test_a_server_that_is_not_there(url: str, message: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(url)
    assert "\n" not in str(caught.value)


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no study there"):
        Store.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        Store.open(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(200)])
def test_another_file_in_its_place(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(StoreError, match="study.db: damaged") as caught:
        Store.open(tmp_path)
    assert caught.value.exit_code == 3
    assert len(verify_study(tmp_path)) == 1


def test_another_database_in_its_place(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "study.db") as other:
        other.execute("CREATE TABLE trials (id)")
    other.close()
    with pytest.raises(StoreError, match="its tables are others"):
        Store.open(tmp_path)


def test_a_database_that_is_gone_or_older_than_what_was_acknowledged(tmp_path: Path) -> None:
    study = tmp_path / "study"
    fill(study, 2)
    old = (study / "study.db").read_bytes()
    fill(study, 4)
    (study / "study.db").write_bytes(old)
    with pytest.raises(StoreError, match="holds 2 writes of 4 acknowledged"):
        Store.open(study)
    (study / "study.db").unlink()
    for create in (False, True):
        with pytest.raises(StoreError, match="gone"):
            Store.open(study, create)
    (study / "study.db-acked").write_text("?")
    with pytest.raises(StoreError, match="study.db-acked: damaged; remove it"):
        Store.open(study)


def test_a_nearly_full_disk_takes_no_new_trials_but_keeps_what_runs(tmp_path: Path) -> None:
    with Store.open(tmp_path, min_free_bytes=2**60) as store:
        with pytest.raises(StoreWriteError, match="bytes free") as caught:
            store.claim(ID[:1])
        assert caught.value.exit_code == 5
        assert store.put(writer.record(0))


def test_a_lock_that_is_kept_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowline.sweeps.store_sqlite.BUSY_S", 0.1)
    with Store.open(tmp_path) as store:
        other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="another process") as caught:
            store.put(writer.record(0))
        assert caught.value.exit_code == 6
        other.rollback()
        other.close()
        assert store.put(writer.record(0))


@pytest.mark.slow
def test_a_lock_on_a_server_that_is_kept_for_too_long(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    monkeypatch.setattr("rowline.sweeps.store_postgres.BUSY_S", 0.1)
    with Store.open(f"{server}#kept") as store, psycopg.connect(server) as other:
        other.execute("SELECT id FROM rowline_kept.seal FOR UPDATE")
        with pytest.raises(StoreBusyError, match="another process"):
            store.put(writer.record(0))
        other.rollback()
        assert store.put(writer.record(0))


def test_an_interrupt_gets_through_while_another_process_writes(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = subprocess.Popen([sys.executable, writer.__file__, str(tmp_path), "5"], stderr=subprocess.PIPE)
    while not list((tmp_path / "owners").glob("*")):  # it is about to claim
        time.sleep(0.01)
    time.sleep(0.2)
    waiting.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert waiting.wait(60) == 130 and time.monotonic() - begin < 2
    other.rollback()
    other.close()
    with Store.open(tmp_path) as store:
        assert store.verify() == [] and store.claim(ID[:5]).elsewhere == []


def test_an_interrupt_between_statements_leaves_nothing_open(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        with pytest.raises(KeyboardInterrupt), store._backend.writing() as query:
            query("DELETE FROM seal")
            raise KeyboardInterrupt
        store._backend._connection.execute("BEGIN IMMEDIATE")  # interrupted before anything could see to its end
        assert store.put(writer.record(0)) and store.verify() == []


# Damage. Whatever a flipped bit or a lost end does to a file: an error of one line, or the very table that was written.


def study_files(folder: Path, trials: int, clean: bool) -> tuple[dict[str, bytes], str]:
    """A study's files, after it was closed, or with everything still in the WAL; and its table."""
    with Store.open(folder) as store:
        store.set_note("seed", 7)
        for number in range(trials):
            store.put(writer.record(number))
        table = writer.table(store)
        left = {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file() and f.suffix != ".db-shm"}
    if clean:
        left = {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}
    return left, table


def seen(folder: Path, table: str, trials: int) -> bool:
    """Whether damage was noticed; if not, all must be as it was, and work can go on."""
    try:
        with Store.open(folder, create=False) as store:
            assert writer.table(store) == table
            assert store.note("seed") == 7
            assert not store.claim(ID[:trials]).mine
            store.put(writer.record(trials))
            assert sum(1 for _ in store.records()) == trials + 1
    except StoreError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
        return True
    assert verify_study(folder) == []
    return False


def damage(tmp_path: Path, name: str, clean: bool, flips: int, cuts: int, seed: int) -> tuple[int, int]:
    """Flip bits, one at a time, and cut off ends of one file; how many were noticed."""
    trials, draw = 30, random.Random(seed)
    files, table = study_files(tmp_path / "whole", trials, clean)
    noticed = [0, 0]
    for attempt in range(flips + cuts):
        broken, cut = bytearray(files[name]), attempt >= flips
        if cut:
            del broken[draw.randrange(len(broken)) :]
        else:
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        folder = tmp_path / f"broken{attempt}"
        folder.mkdir()
        for other, content in files.items():
            (folder / other).write_bytes(broken if other == name else content)
        noticed[cut] += seen(folder, table, trials)
        shutil.rmtree(folder)
    return noticed[0], noticed[1]


def test_damage_to_a_closed_study_is_never_silent(tmp_path: Path) -> None:
    flips, cuts = damage(tmp_path, "study.db", True, flips=60, cuts=20, seed=1)
    assert flips > 30 and cuts == 20


def test_damage_to_the_log_of_a_killed_process_is_never_silent(tmp_path: Path) -> None:
    flips, cuts = damage(tmp_path, "study.db-wal", False, flips=40, cuts=20, seed=2)
    assert flips > 20 and cuts == 20


@pytest.mark.slow
@pytest.mark.parametrize(("name", "clean"), [("study.db", True), ("study.db-wal", False), ("study.db-acked", True)])
def test_much_damage_is_never_silent(tmp_path: Path, name: str, clean: bool) -> None:
    flips, cuts = damage(tmp_path, name, clean, flips=500, cuts=200, seed=3)
    print(f"{name}: {flips} of 500 flips and {cuts} of 200 cuts noticed, the others changed nothing")


def test_verify_names_what_is_damaged(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    path = tmp_path / "study.db"
    path.write_bytes(path.read_bytes().replace(b"ValueError: no. 5", b"ValueError: no. 6"))
    with Store.open(tmp_path) as store:
        assert store.get(ID[4]) == replace(writer.record(4), wall_s=store.get(ID[4]).wall_s)  # type: ignore[union-attr]
        with pytest.raises(StoreError, match=f"damaged: trial 5 .{ID[5]}. is not what was written"):
            store.get(ID[5])
    problems = verify_study(tmp_path)
    assert len(problems) == 1 and "trial 5 " in problems[0]


def test_parquet_holds_the_study(tmp_path: Path) -> None:
    fill(tmp_path / "study", 30)
    with Store.open(tmp_path / "study") as store:
        assert store.export_parquet(tmp_path / "trials.parquet") == 30
        records = list(store.records())
    rows = read_trials(tmp_path / "trials.parquet")
    for record, row in zip(records, rows, strict=True):
        assert (row["number"], row["id"], row["state"], row["reason"]) == (record.number, record.id, record.state, record.reason)
        assert {k.removeprefix("params."): v for k, v in row.items() if k.startswith("params.")} == record.params
        assert row["objectives.latency"] == record.objectives.get("latency")
        assert (row["config"], row["stats"]) == (record.config, record.stats)


def test_parquet_of_mixed_and_empty_columns(tmp_path: Path) -> None:
    values = [1, 2.5, "a", True, None, 2**70]
    with Store.open(tmp_path / "study") as store:
        assert store.export_parquet(tmp_path / "empty.parquet") == 0
        for number, value in enumerate(values):
            params = {"mixed": value, "number": float(number) if number else 0, "none": None} | ({"flag": True} if number else {})
            store.put(Record(ID[number], number, params, {}, {}))
        store.export_parquet(tmp_path / "mixed.parquet")
    assert read_trials(tmp_path / "empty.parquet") == []
    rows = read_trials(tmp_path / "mixed.parquet")
    assert [row["params.mixed"] for row in rows] == ["1", "2.5", '"a"', "true", None, str(2**70)]
    assert [row["params.number"] for row in rows] == [0, 1, 2, 3, 4, 5] and isinstance(rows[0]["params.number"], float)
    assert [row["params.flag"] for row in rows] == [None, True, True, True, True, True]


def test_damaged_parquet_is_never_silent(tmp_path: Path) -> None:
    fill(tmp_path / "study", 30)
    path, draw, noticed = tmp_path / "trials.parquet", random.Random(4), 0
    with Store.open(tmp_path / "study") as store:
        store.export_parquet(path)
    whole, rows = path.read_bytes(), read_trials(path)
    for attempt in range(150):
        broken = bytearray(whole)
        if attempt % 3:
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        else:
            del broken[draw.randrange(len(broken)) :]
        path.write_bytes(broken)
        try:
            assert read_trials(path) == rows
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            noticed += 1
    assert noticed > 90  # the others lie in statistics and page headers that change nothing
    with pytest.raises(FileNotFoundError):
        read_trials(tmp_path / "none")


def test_a_parquet_file_that_cannot_be_written(tmp_path: Path) -> None:
    fill(tmp_path / "study", 3)
    with Store.open(tmp_path / "study") as store:
        with pytest.raises(StoreWriteError, match="none/trials.parquet"):
            store.export_parquet(tmp_path / "none" / "trials.parquet")
        (tmp_path / "folder.parquet").mkdir()
        with pytest.raises(StoreWriteError, match="folder"):
            store.export_parquet(tmp_path / "folder.parquet")
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]
