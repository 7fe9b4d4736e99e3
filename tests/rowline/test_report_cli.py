"""``rowline report`` as people run it: of real runs and a real study, and of folders that are damaged or none."""

import csv
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from rowline.reporting import is_study, run_report, study_report
from rowline.reports.ranking import Objective, Trial, front
from rowline.runfiles import command_of, load_run
from rowline.sweep.front import Front
from rowline.sweep.store import Record, Store

from .runs import change_stats, made, rowline


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs["pim"], tmp_path / "run"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "banks"
    with Store.open(folder) as store:
        objectives = [{"name": "tpot", "direction": "min", "limit": None}, {"name": "rate", "direction": "max", "limit": 5.0}]
        store.set_note("study", {"name": "banks", "axes": [{"key": "channels", "values": 4}], "objectives": objectives})
        for i in range(4):
            run = {"arch": "pim-gpt", "workload": "gpt2-small", "overrides": {"channels": str(2**i)}}
            record = Record(f"id{i}", i, {"channels": str(2**i)}, {"run": run}, {"tpot": 1.0 / (i + 1), "rate": float(i)},
                            {"latency_breakdown_s": {"mlp": 1.0}})  # fmt: skip
            store.put(record)
        store.put(Record("id9", 9, {"channels": "0"}, {"run": {}}, {}, {}, "failed", "=died"))
    return folder


@pytest.mark.parametrize("name", ["pim", "gpu"])
def test_a_run_is_reported_in_every_format(
    runs: dict[str, Path], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stats = json.loads((runs[name] / "stats.json").read_text())
    for file in ("a.html", "a.md", "a.csv"):
        assert rowline(capsys, "report", runs[name], "-o", tmp_path / file) == (0, f"wrote {tmp_path / file}\n", "")
    page = (tmp_path / "a.html").read_text()
    assert len(page) < 6_000_000 and "tiny" in page
    for assumed in stats["assumed"]:
        assert assumed.split(".")[-1] in page
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert sum(int(row["macs"]) for row in rows) == stats["macs"]
    assert sum(int(row["calls"]) for row in rows) == len(run_report(runs[name]).ops)
    if name == "pim":
        assert sum(int(row["link_bytes"]) for row in rows) == stats["link_bytes"]
    assert f"{stats['latency_s'] * 1e6:.4g} us" in (tmp_path / "a.md").read_text()


def test_the_command_asks_for_the_same_run(runs: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import shlex

    files = load_run(runs["wide"])
    words = shlex.split(command_of(files.run))
    code, out, _ = rowline(capsys, *words[1:], "--json", "--out", tmp_path / "again")
    assert code == 0
    again = json.loads(out)
    assert {k: v for k, v in again.items() if k != "wall_s"} == {k: v for k, v in files.stats.items() if k != "wall_s"}


def test_a_study_is_reported(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rowline(capsys, "report", study)[:2] == (0, f"wrote {study / 'report.html'}\n")
    report = study_report(str(study))
    assert [(o.name, o.minimise, o.limit) for o in report.objectives] == [("tpot", True, None), ("rate", False, 5.0)]
    assert [t.id for t in report.front] == ["id3"] and report.stats.keys() == {"id3"}
    assert report.commands["id3"].endswith("--set channels=8") and report.command == f"rowline sweep banks.yaml --out {study}"
    code, _, _ = rowline(capsys, "report", study, "--format", "csv", "-o", study / "x.txt")
    rows = list(csv.DictReader(io.StringIO((study / "x.txt").read_text())))
    assert code == 0 and [row["state"] for row in rows] == ["front", "complete", "complete", "complete", "failed"]
    assert rows[-1]["reason"] == "'=died"


def test_the_front_is_that_of_the_sweep() -> None:
    rng = random.Random(3)
    trials = [Trial(str(i), i, {}, {"a": rng.randint(0, 9), "b": rng.randint(0, 9)}, "complete", "", 0.0) for i in range(80)]
    theirs = Front()
    for trial in trials:
        theirs.add(trial.id, (trial.objectives["a"], -trial.objectives["b"]))
    assert {t.id for t in front(trials, [Objective("a"), Objective("b", False)])} == theirs.members.keys()


def test_a_study_without_a_note_has_the_objectives_of_its_trials(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.put(Record("a", 0, {}, {}, {"energy_j": 1.0}))
    assert is_study(str(tmp_path)) and [o.name for o in study_report(str(tmp_path)).objectives] == ["energy_j"]


def damaged(key: str, value: Any) -> Any:
    return lambda stats: stats.update({key: value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (damaged("latency_s", "fast"), "stats.json  latency_s: "), (damaged("latency_s", -1.0), "stats.json  latency_s: "),
        (damaged("phases", {}), "stats.json  phases.prefill: "), (damaged("macs", 10**40), "stats.json  macs: "),
        (damaged("commands", None), "stats.json  commands: "), (damaged("notes", [1]), "stats.json  notes.0: "),
        (lambda stats: stats.pop("energy_breakdown_j"), "stats.json  energy_breakdown_j: "),
        (damaged("row_hit_rate", "all"), "stats.json  row_hit_rate: "),
    ],
)  # fmt: skip
def test_damaged_stats_are_refused_by_key(copy: Path, change: Any, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    change_stats(copy, change)
    code, out, err = rowline(capsys, "report", copy)
    assert code == 2 and not out and told in err and "Traceback" not in err
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("stats.json", b"{"), ("stats.json", b'{"latency_s": NaN}'), ("stats.json", b"[" * 100_000), ("stats.json", b"\xff"),
        ("stats.json", b"[]"), ("config.yaml", b"run: {}"), ("config.yaml", b"run: {arch: pim-gpt}\nsystem: {name: x}\n"),
        ("config.yaml", b"run: [\n"), ("ops.parquet", b"PAR1"), ("ops.parquet", b""),
    ],
)  # fmt: skip
def test_damaged_files_are_refused_by_name(copy: Path, file: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / file).write_bytes(content)
    code, out, err = rowline(capsys, "report", copy)
    assert code == 2 and not out and file in err.splitlines()[0]


def test_bits_that_flipped_in_the_log_are_seen(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "ops.parquet"
    whole = path.read_bytes()
    for place in range(40, len(whole) // 3, 997):  # pages; what stands behind them is checked by its reader
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        code, _, err = rowline(capsys, "report", copy, "-o", copy / "x.csv")
        assert code == 2 and "ops.parquet" in err, place
    (copy / "ops.parquet").unlink()
    assert rowline(capsys, "report", copy)[0] == 2


@pytest.mark.parametrize("target", ["nowhere", ".", "\0", "x" * 5000])
def test_what_is_no_run_and_no_study_is_refused_in_a_line(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = rowline(capsys, "report", target)
    assert code == 2 and not out and len(err.splitlines()) == 1


def test_a_name_that_says_no_format_is_refused(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = rowline(capsys, "report", runs["pim"], "-o", "report.pdf")
    assert code == 2 and "report.pdf: name it .html, .md or .csv" in err
    code, _, err = rowline(capsys, "report", runs["pim"], "-o", "no/such/folder/report.html")
    assert code == 2 and "no/such/folder" in err
    assert rowline(capsys, "report", "postgresql://me:secret@nowhere/db")[2].count("secret") == 0
