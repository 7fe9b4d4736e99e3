"""``rowline timeline`` as people run it: what is in the file is what the run did."""

import gzip
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rowline.arch.loader import load_device
from rowline.runfiles import load_run, read_ops
from rowline.traces.formats import timeline as writer

from rowline import timeline

from .runs import change_stats, made, rowline


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("runs"))


def drawn(capsys: pytest.CaptureFixture[str], run: Path, *args: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Events of a timeline, and what the command said."""
    path = run.parent / "t.json.gz"
    code, out, err = rowline(capsys, "timeline", run, "-o", path, "--json", *args)
    assert (code, err) == (0, "")
    whole = json.loads(gzip.decompress(path.read_bytes()))
    assert len([e for e in whole["traceEvents"] if e["ph"] != "M"]) == json.loads(out)["slices"]
    return whole["traceEvents"], json.loads(out)


def processes(events: list[dict[str, Any]]) -> dict[str, int]:
    return {e["args"]["name"]: e["pid"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}


def slices(events: list[dict[str, Any]], process: int) -> list[dict[str, Any]]:
    return [e for e in events if e["ph"] == "X" and e["pid"] == process]


def tracks(events: list[dict[str, Any]], process: int) -> dict[str, int]:
    return {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name" and e["pid"] == process}


def test_operations_of_a_pim_system(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    events, said = drawn(capsys, runs["pim"])
    names = processes(events)
    assert names.keys() == {"run", "ASIC", "links", *(f"channel {c}" for c in range(8))} and said["level"] == "ops"
    ops = read_ops(load_run(runs["pim"]))
    assert len(slices(events, names["run"])) == len(set(ops["pass_index"].tolist())) == 5
    assert len(slices(events, names["ASIC"])) == int((ops["unit"] == "asic").sum())
    assert tracks(events, names["ASIC"]).keys() == set(ops["op_class"][ops["unit"] == "asic"].tolist())
    spans: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for channel in range(8):
        for each in slices(events, names[f"channel {channel}"]):
            spans.setdefault((each["args"]["pass_index"], each["args"]["op"]), []).append(each)
    begin = min(round(e["ts"] * 1e6) for part in spans.values() for e in part)
    end = max(round((e["ts"] + e["dur"]) * 1e6) for part in spans.values() for e in part)
    pim = ops["unit"] == "pim"
    assert (begin, end) == (int(ops["start_ps"][pim].min()), int(ops["end_ps"][pim].max()))
    rates = [e["args"]["value"] for e in events if e["ph"] == "C"]
    assert max(rates) <= 8 * 32 * 1.001 and rates[-1] == 0  # GB/s of eight links


def test_every_command_of_a_channel_and_its_rule(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    events, _ = drawn(capsys, runs["pim"], "--level", "commands")
    names = processes(events)
    stats = json.loads((runs["pim"] / "stats.json").read_text())
    rules = {rule.name for rule in load_device("gddr6-pim-gpt").dram_standard.rules} | {"start", "host", "refresh_due", "order"}
    counted: Counter[str] = Counter()
    for channel in range(8):
        process = names[f"channel {channel}"]
        buses = {tid for name, tid in tracks(events, process).items() if name.startswith("data bus")}
        commands = [e for e in slices(events, process) if "rule" in e.get("args", {}) and e["tid"] not in buses]
        assert {e["args"]["rule"] for e in commands} <= rules and len({e["args"]["rule"] for e in commands}) > 5
        cycles = [e["args"]["cycle"] for e in commands]
        assert cycles == sorted(cycles)
        counted.update(e["name"] for e in commands)
        assert len([name for name in tracks(events, process) if name.startswith("group")]) == 16
    assert counted == stats["commands"]


def test_a_window_is_a_part_of_the_whole(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    whole, said = drawn(capsys, runs["pim"], "--level", "commands", "--channels", "1")
    begin, end = said["end_ps"] // 3, said["end_ps"] // 2
    part, told = drawn(capsys, runs["pim"], "--level", "commands", "--channels", " 1", "--window", f"{begin}ps:{end}ps")
    assert (told["begin_ps"], told["end_ps"]) == (begin, end)

    def inside(e: dict[str, Any]) -> bool:
        start = round(e["ts"] * 1e6)
        return start < end and start + round(e["dur"] * 1e6) > begin

    assert [e for e in whole if e["ph"] == "X" and inside(e)] == [e for e in part if e["ph"] == "X"]
    assert 0 < len(part) < len(whole) // 2


def test_kernels_of_a_gpu(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    events, _ = drawn(capsys, runs["gpu"], "--level", "commands")
    names = processes(events)
    assert names.keys() == {"run", "GPU", "memory"}
    ops = read_ops(load_run(runs["gpu"]))
    drawn_kernels = [e for e in slices(events, names["GPU"]) if e["tid"] == 0]
    assert [round(e["ts"] * 1e6) for e in drawn_kernels] == ops["start_ps"].tolist()
    assert sum(e["args"]["macs"] for e in drawn_kernels) == int(ops["macs"].sum())
    assert all(e["args"]["ctas"] > 0 for e in drawn_kernels)
    assert {e["name"] for e in events if e["ph"] == "C"} == {
        "L2 reads, GB/s", "DRAM reads, GB/s", "DRAM writes, GB/s", "L2 hits, %"
    }  # fmt: skip
    assert max(e["args"]["value"] for e in events if e["name"] == "DRAM reads, GB/s") < 4800
    coarse, _ = drawn(capsys, runs["gpu"], "--level", "passes")
    assert processes(coarse).keys() == {"run"} and len(coarse) < 20


class Drawn(writer.Timeline):
    """Slices as they were drawn."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), 10**6)
        self.seen: list[tuple[int, int]] = []
        self.facts: dict[int, list[dict[str, Any]]] = {0: [], 1: []}

    def slice(self, process: int, track: int, name: str, begin_ps: int, end_ps: int, args: Any) -> None:
        self.seen.append((begin_ps, end_ps))
        self.facts[track].append(args)


def test_waves_fill_their_kernel() -> None:
    from rowline.timeline_gpu import _waves

    for count, parts in (
        (2.5, [(100, 140), (140, 180), (180, 200)]), (0.4, [(100, 200)]), (65.0, [(100, 200)]), (0.0, [(100, 200)]),
        (0.0005, [(100, 200)]),
    ):  # fmt: skip
        pen = Drawn()
        _waves(pen, 100, 200, count)
        assert pen.seen == parts
    assert pen.facts[1] == [{"of": 1, "filled": 0.0005}]


def test_waves_are_those_of_the_distinct_kernels(runs: dict[str, Path]) -> None:
    from rowline.timeline_gpu import kernels

    files = load_run(runs["gpu"])
    ops = read_ops(files)
    rows, exact, rough = list(range(len(ops["op"]))), Drawn(), Drawn()
    kernels(exact, ops, rows, True, files.stats)
    kernels(rough, ops, rows, True)
    places = {(k["op_class"], k["phase"], k["choice"]): k for k in files.stats["kernels"]}
    for row, each in zip(rows, exact.facts[0], strict=True):
        kernel = places[str(ops["op_class"][row]), each["phase"], each["choice"]]
        assert all(each[key] == kernel[key] > 0 for key in ("ctas", "ctas_per_sm", "waves"))
    assert len(exact.facts[1]) >= len(rows) <= len(rough.facts[1])  # each has one, also where the choice says 0.0 waves
    assert {0.0} < {each["waves"] for each in rough.facts[0]} and all("ctas" not in each for each in rough.facts[0])
    differing = [k | {"waves": 7.0} for k in files.stats["kernels"]]
    drawn_so = Drawn()
    kernels(drawn_so, ops, rows, True, {"kernels": files.stats["kernels"] + differing})
    assert drawn_so.facts == rough.facts  # which of two is meant cannot be told


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--window", "5us:3us"], "needs T0 before T1"), (["--window", "1:2"], "needs a unit of time"),
        (["--window", "1us"], 'expected "T0:T1"'), (["--window", "9s:10s"], "before the end of the run"),
        (["--channels", "8"], "expected numbers from 0 to 7"), (["--channels", "-1"], "expected numbers from 0 to 7"),
        (["--channels", "x"], "expected numbers from 0 to 7"), (["--channels", ""], "expected numbers from 0 to 7"),
    ],
)  # fmt: skip
def test_what_the_run_does_not_have_is_refused(
    runs: dict[str, Path], args: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = rowline(capsys, "timeline", runs["pim"], "-o", tmp_path / "t.json", *args)
    assert code == 2 and not out and told in err and not list(tmp_path.iterdir())


def test_too_many_slices_are_refused_before_and_while_they_are_made(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(writer, "MAX_SLICES", 500)
    code, _, err = rowline(capsys, "timeline", runs["pim"], "-o", tmp_path / "t.json")
    assert code == 2 and "more than 500: narrow --window" in err and not list(tmp_path.iterdir())
    with pytest.raises(writer.TooManySlices), writer.timeline_writer(tmp_path / "x.json", {}, 2) as pen:
        for at in range(3):
            pen.counter(1, "c", at, 0)
    assert not list(tmp_path.iterdir())


def test_a_run_that_does_not_fit_its_configuration_is_refused(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(runs["pim"], tmp_path / "run"))
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("value: 25 ns", "value: 26 ns"))
    code, _, err = rowline(capsys, "timeline", copy, "-o", tmp_path / "t.json")
    assert code == 2 and "gives other times" in err
    (copy / "config.yaml").write_text(config)
    change_stats(copy, lambda stats: stats["provenance"].update(graph_digest="0"))
    code, _, err = rowline(capsys, "timeline", copy, "-o", tmp_path / "t.json")
    assert code == 2 and "gives other operations" in err
    assert timeline.window_of(None, 5) == (0, 5) and timeline.window_of(":3ps", 5) == (0, 3)
    assert rowline(capsys, "timeline", runs["gpu"], "--channels", "0")[0] == 2
