"""``rowline compare`` as people run it."""

import json
import shutil
from pathlib import Path

import pytest

from .runs import change_stats, made, rowline


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("runs"))


def test_runs_stand_side_by_side(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = rowline(capsys, "compare", runs["pim"], runs["wide"] / "stats.json", "--json")
    assert (code, err) == (0, "")
    got = json.loads(out)
    assert got.keys() == {"runs", "keys", "differ"}
    assert [run["arch"] for run in got["runs"]] == ["pim-gpt", "pim-gpt"]
    lines = {each["key"]: each for each in got["keys"]}
    first, second = (json.loads((runs[name] / "stats.json").read_text()) for name in ("pim", "wide"))
    latency = lines["latency_s"]
    assert latency["values"] == [first["latency_s"], second["latency_s"]]
    assert latency["ratios"] == [1.0, second["latency_s"] / first["latency_s"]]
    assert lines["commands.MAC16"]["values"] == [first["commands"]["MAC16"], second["commands"]["MAC16"]]
    assert lines["phases.decode.energy_j"]["values"][0] == first["phases"]["decode"]["energy_j"]
    assert not {"wall_s", "prompt_tokens", "provenance.python"} & lines.keys()
    differ = {each["key"]: each["values"] for each in got["differ"]}
    assert differ == {"run.overrides.channels": [None, "16"], "system.channels": ["8", "16"]}


def test_a_run_is_like_itself(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    got = json.loads(rowline(capsys, "compare", runs["gpu"], runs["gpu"], "--json")[1])
    assert got["differ"] == [] and {r for each in got["keys"] for r in each["ratios"]} <= {1.0, None}
    assert all(each["ratios"] == [1.0, 1.0] or not each["values"][0] for each in got["keys"])


def test_machines_of_two_kinds_differ_as_a_whole(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    got = json.loads(rowline(capsys, "compare", runs["pim"], runs["gpu"], "--json")[1])
    differ = {each["key"]: each["values"] for each in got["differ"]}
    assert differ["system"] == ["true", "false"] and differ["gpu"] == ["false", "true"]
    assert differ["run.arch"] == ["pim-gpt", "h200"]
    assert not [key for key in differ if key.startswith(("system.", "gpu."))]
    lines = {each["key"]: each for each in got["keys"]}
    assert lines["dram_bytes"]["values"][0] is None and lines["dram_bytes"]["ratios"] == [None, None]
    text = rowline(capsys, "compare", runs["pim"], runs["gpu"])[1]
    assert "B/A" in text and "energy_j" in text and f"{lines['latency_s']['ratios'][1]:.3f}" in text


def test_stats_alone_can_be_compared(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "stats.json"
    shutil.copy(runs["pim"] / "stats.json", copy)
    got = json.loads(rowline(capsys, "compare", copy, runs["pim"], "--json")[1])
    assert got["differ"] == [] and got["runs"][0]["path"] == str(copy)


def test_numbers_beyond_measure_are_left_out(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(runs["pim"], tmp_path / "run"))
    change_stats(copy, lambda stats: stats.update({"huge": 10**400, "tiny": 5e-324, "yes": True}))
    code, out, _ = rowline(capsys, "compare", copy, copy, "--json")
    lines = {each["key"]: each for each in json.loads(out)["keys"]}
    assert code == 0 and "huge" not in lines and "yes" not in lines and lines["tiny"]["ratios"] == [None, None]
    assert "Infinity" not in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["pim"], "needs 2 to 64 runs, got 1"), (["pim"] * 65, "needs 2 to 64 runs, got 65"),
        (["pim", "nowhere"], "nowhere: no such file or folder"), (["pim", "."], "not a run folder"),
        (["pim", "tiny.yaml"], "tiny.yaml: not a run folder, nor the stats.json of one"),
        (["pim", "\0"], "no such file or folder"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_a_line(
    runs: dict[str, Path], args: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs["pim"].parent)
    code, out, err = rowline(capsys, "compare", *args)
    assert code == 2 and not out and told in err and len(err.splitlines()) == 1


def test_damaged_stats_are_refused(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(runs["pim"], tmp_path / "run"))
    change_stats(copy, lambda stats: stats.update({"energy_j": None}))
    code, out, err = rowline(capsys, "compare", runs["pim"], copy)
    assert code == 2 and not out and "stats.json  energy_j: " in err
