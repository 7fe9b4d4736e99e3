"""``rowline report`` as people run it: of real runs and a real study, and of folders that are damaged or none."""

import csv
import io
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rowline.reporting import is_study, run_report, study_report
from rowline.reports.ranking import Objective, Trial, front
from rowline.runfiles import command_of, load_run
from rowline.sweeps.front import Front
from rowline.sweeps.space import load_space
from rowline.sweeps.store import Record, Store
from rowline.sweeps.study import Choices, describe, opened

from rowline import timeline

from .runs import MODEL, change_stats, made, rowline


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


def told_of(page: Path, capsys: pytest.CaptureFixture[str], run: Path, *options: str | Path) -> tuple[str, str]:
    """The report of a run as Markdown, and what went to stderr."""
    code, _, err = rowline(capsys, "report", run, "-o", page, *options)
    assert code == 0, err
    return page.read_text(), err


def test_a_run_is_checked_while_it_is_reported(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, run in runs.items():
        text, err = told_of(tmp_path / f"{name}.md", capsys, run)
        section = text.partition("## Checks of this run")[2].partition("## ")[0]
        assert not err and "not hold" not in text and "not tried" not in section and section.count("| yes |") > 17
        assert "| multiply-accumulates, by formula |" in section
        judged = [line for line in section.splitlines() if "simulated again and judged" in line]
        assert len(judged) == (0 if name == "gpu" else 1)
        if judged:
            assert "(all of the run), 0 violations" in judged[0]
            assert int(judged[0].split(" | ")[2].split()[0].replace(",", "")) > 500


def test_what_does_not_hold_is_told_at_the_top_and_on_stderr(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_stats(copy, lambda stats: stats["energy_breakdown_j"].update(link=1.0))
    for form in ("html", "md", "csv"):
        code, out, err = rowline(capsys, "report", copy, "--format", form)
        assert code == 0 and out
        assert err.startswith("rowline: warning: a check of this run does not hold: sum of energy by component")
        assert len(err.splitlines()) == 1
    assert "**Does not hold**: sum of energy by component" in (copy / "report.md").read_text()[:200]
    assert '<div class="bad-box">' in (copy / "report.html").read_text()


def test_commands_that_come_too_early_are_found(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = timeline.simulate_again

    def early(*args: Any) -> Any:
        watched = again(*args)
        watched.logs[0][0]["cycle"][1:] -= 1
        return watched

    monkeypatch.setattr(timeline, "simulate_again", early)
    text, err = told_of(tmp_path / "a.md", capsys, copy)
    assert "simulated again and judged" in err and " violations: " in text and "**Does not hold**" in text


@pytest.mark.parametrize(("name", "tried"), [("pim", 2), ("gpu", 1)])
def test_what_has_changed_since_is_not_called_wrong(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, tried: int
) -> None:
    run = Path(shutil.copytree(runs[name], tmp_path / "run"))
    model = tmp_path / "other.yaml"
    config = run / "config.yaml"
    whole = config.read_text().replace(str(runs[name].parent / "tiny.yaml"), str(model))
    config.write_text(whole)
    assert "| not tried |" not in told_of(tmp_path / "a.md", capsys, run)[0]  # a run knows its model's shape
    config.write_text(re.sub(r"^model:\n(?:  .*\n)+", "", whole, flags=re.MULTILINE))  # those of older versions did not
    text, err = told_of(tmp_path / "a.md", capsys, run)
    assert not err and text.count("| not tried |") == tried and "the workload cannot be read" in text
    model.write_text(MODEL.replace("n_layers: 2", "n_layers: 1"))
    text, err = told_of(tmp_path / "a.md", capsys, run)
    assert not err and text.count("| not tried |") == tried and "the workload has changed since" in text
    model.write_text(MODEL)
    assert "| not tried |" not in told_of(tmp_path / "a.md", capsys, run)[0]


def group(gpu: str, framework: str = "vllm-0.24.0", **more: Any) -> dict[str, Any]:
    figures = {"n": 50, "mape": 7.5, "median_ape": 6.0, "p90_ape": 15.0, "bias": 1.0, "spearman": 0.99, "roofline_mape": 55.0,
               "fitted_mape": 21.0, "floor_mape": None, "unseen": {"n": 10, "mape": 8.5}}  # fmt: skip
    return {"gpu": gpu, "framework": framework, "op": "gemm", "dtype": "bf16", "regime": "all"} | figures | more


def test_measurements_are_shown_beside_a_run_on_a_gpu(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file, page = Path(shutil.copytree(runs["gpu"], tmp_path / "run")), tmp_path / "v.json", tmp_path / "a.md"
    assert "rowline validate --gpu h200" in told_of(page, capsys, run)[0]
    mine = [group("NVIDIA H200"), group("h200", "sglang-0.5.14", op="bmm"), group("H100-SXM", op="softmax")]
    file.write_text(json.dumps({"groups": mine}))
    text = told_of(page, capsys, run, "--validation", file)[0].partition("## Compared with")[2]
    assert "| vllm-0.24.0 | gemm | bf16 | all | 50 | 7.5 |" in text and "sglang" not in text and "softmax" not in text
    file.write_text(json.dumps({"groups": mine[1:]}))
    assert "None of them is the run" in told_of(page, capsys, run, "--validation", file)[0]
    file.write_text(json.dumps({"groups": mine[2:]}))
    assert "has no group for h200: it holds H100-SXM." in told_of(page, capsys, run, "--validation", file)[0]
    (run / "validation.json").write_text(json.dumps({"groups": mine}))
    assert rowline(capsys, "report", run)[0] == 0
    assert '<div id="measured-errors"' in (run / "report.html").read_text()
    assert rowline(capsys, "report", run, "--format", "csv")[0] == 0


def test_a_system_with_pim_has_no_measurements(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "v.json"
    file.write_text(json.dumps({"groups": [group("H200")]}))
    text, _ = told_of(tmp_path / "a.md", capsys, runs["pim"], "--validation", file)
    assert "No measurement of silicon is public" in text and "docs/validation-pim.md" in text and "is of GPUs" in text


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"groups": 1}', '{"groups": [{}]}', '{"groups": [{"gpu": 3}]}',
     json.dumps({"groups": [group("x", mape="7")]}), json.dumps({"groups": [group("x", unseen=None)]}),
     json.dumps({"groups": [group("x", n=-1)]}), '{"groups": [{"n": NaN}]}',
     "\x00"],
)  # fmt: skip
def test_a_malformed_validation_is_refused(
    runs: dict[str, Path], tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "v.json", tmp_path / "a.html"
    file.write_text(content)
    for name in ("gpu", "pim"):
        code, out, err = rowline(capsys, "report", runs[name], "-o", page, "--validation", file)
        assert code == 2 and not out and len(err.splitlines()) == 1 and "v.json" in err and not page.exists()


def test_validation_is_of_runs_and_must_be_there(
    runs: dict[str, Path], study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = rowline(capsys, "report", runs["gpu"], "--validation", tmp_path / "none.json")
    assert code == 2 and "none.json" in err
    code, _, err = rowline(capsys, "report", study, "--validation", tmp_path / "none.json")
    assert code == 2 and "--validation: only for a run" in err


def test_a_study_says_where_it_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The space as it was given, the options that the file does not have, and the code; another note resumes all the same."""
    file, out = tmp_path / "my space.yaml", tmp_path / "out"
    file.write_text("axes:\n- {key: channels, values: [1, 2, 4]}\nmethod: {name: random, trials: 2, seed: 1}\n")
    space = load_space(file, {"trials": 1, "seed": 1})
    choices = Choices(out, out, 1)
    with opened(space, choices) as store:
        note = store.note("study")
    assert note["file"] == str(file) and note["changed"] == {"trials": 1}
    assert note["provenance"].keys() == {"rowline", "git_revision", "code", "python", "packages"}
    with Store.open(out) as store:
        store.put(Record("a", 0, {"channels": "1"}, {}, {"latency": 1.0}))
        store.set_note("study", note | {"provenance": {"code": "another"}})
        kept = list(store.records())
    with opened(load_space(file, {"seed": 7}), Choices(out, out, 1, resume=True)) as store:
        assert store.note("study")["changed"] == {"seed": 7} and store.note("study")["provenance"] == note["provenance"]
        assert list(store.records()) == kept
    report = study_report(str(out))
    assert report.command == f"rowline sweep '{file}' --seed 7 --out {out}"
    assert rowline(capsys, "report", out, "--format", "md")[0] == 0
    text = (out / "report.md").read_text()
    told = text.partition("## Provenance")[2]
    assert "| packages.numpy |" in told and note["provenance"]["code"] in told and "provenance.code" not in text
    file.unlink()
    assert describe(space)["changed"] == {}
