"""Runs, logs and comparisons as a notebook has them."""

# what pandas gives back is a union of all that it could be, which a checker cannot tell apart
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rowline.api.log import CommandLog
from rowline.api.run import Run
from rowline.arch.yamltree import ConfigError

import rowline as rl

WINDOW = ("5 us", "8 us")


@pytest.fixture(scope="module")
def run() -> Run:
    return rl.run(arch="pim-gpt", workload="gpt2-small", tokens=3, overrides={"host.clock": "500 MHz"})


@pytest.fixture(scope="module")
def gpu() -> Run:
    return rl.run(arch="h200", workload="gpt2-small", tokens=2, launch="eager")


@pytest.fixture(scope="module")
def log(run: Run) -> CommandLog:
    return run.commands(window=WINDOW, channels=(0, 3))


def test_a_run_is_what_the_command_line_gives(run: Run) -> None:
    words = ["run", "--workload", "gpt2-small", "--tokens", "3", "--set", "host.clock=500 MHz", "--json"]
    done = subprocess.run([sys.executable, "-m", "rowline", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told, mine = json.loads(done.stdout), dict(run.stats)
    for stats in (told, mine):
        stats.pop("wall_s")
    assert told == json.loads(json.dumps(mine))
    folder = Path(done.stderr.split()[-1])
    assert rl.load(folder).ops.equals(run.ops)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def test_tables_add_up_to_the_stats(run: Run) -> None:
    for table, value, total in ((run.energy, "energy_j", "energy_j"), (run.latency, "latency_s", "latency_s")):
        sums = table.groupby("by")[value].sum()
        assert len(sums) == 2 and sums.tolist() == pytest.approx([run.stats[total]] * 2, rel=1e-9)
        assert table.groupby("by")["share"].sum().tolist() == pytest.approx([1, 1])
    assert int(run.ops["macs"].sum()) == run.stats["macs"]
    assert (run.ops["duration_ps"] == run.ops["end_ps"] - run.ops["start_ps"]).all()
    assert run.by_class["macs"].sum() == run.stats["macs"]
    assert run.phases["latency_s"].sum() == pytest.approx(run.stats["latency_s"])
    row = run.sources.set_index("key").loc["system.host.clock"]
    assert row["value"] == "500 MHz"


def test_commands_are_those_of_the_window(run: Run, log: CommandLog) -> None:
    frame = log.frame
    assert set(frame["channel"]) == {0, 3} and frame["time_ps"].between(5_000_000, 7_999_999).all()
    whole = run.commands(channels=(0,))
    assert run.stats["commands"]["MAC16"] > int((whole.frame["command"] == "MAC16").sum()) > 0
    inside = whole.frame[whole.frame["time_ps"].between(5_000_000, 7_999_999)]
    some = frame[frame["channel"] == 0]
    told = ["cycle", "row", "column", "bank", "op"]
    assert inside[told].to_numpy().tolist() == some[told].to_numpy().tolist()
    names = run.ops.set_index("op")["op_class"]
    for op, op_class in frame.loc[frame["op"] >= 0, ["op", "op_class"]].drop_duplicates().itertuples(index=False):
        assert op_class in set(names.loc[[op]])


def test_all_channels_together_issue_what_the_stats_say(run: Run) -> None:
    channels = run.config["system"]["channels"]
    count = int(channels["value"] if isinstance(channels, dict) else channels)
    counts = run.commands(channels=range(count)).frame["command"].value_counts()
    assert {name: n for name, n in counts.items() if n} == {name: n for name, n in run.stats["commands"].items() if n}


def test_why_a_row_was_open_so_long(log: CommandLog) -> None:
    for visit in (0, 5, len(log.visits) - 1):
        assert log.why(visit)["gap_ps"].sum() == log.visits["open_for_ps"].iloc[visit]
    assert set(log.banks["channel"]) == {0, 3} and len(log.banks) == 32
    assert "op_class" in log.waits("op_class")
    with pytest.raises(ConfigError, match="visit 100000"):
        log.why(100_000)
    with pytest.raises(ConfigError, match="no column"):
        log.waits("nothing")


@pytest.mark.parametrize("backend", ["plotly", "matplotlib"])
def test_every_plot_is_one_call_away(run: Run, gpu: Run, log: CommandLog, backend: str, tmp_path: Path) -> None:
    figures = [run.plot.latency(backend=backend), run.plot.latency("cause", backend), run.plot.energy("op_class", backend)]
    names = ("roofline", "utilisation", "commands")
    figures += [getattr(each.plot, name)(backend=backend) for each in (run, gpu) for name in names]
    figures += [run.plot.timeline("0us:30us", backend), gpu.plot.timeline(backend=backend)]
    figures += [log.plot.waits(backend), log.plot.banks(3, backend)]
    for number, figure in enumerate(figures):
        if backend == "plotly":
            assert figure.to_plotly_json()["data"] and figure.layout.title.text
        else:
            figure.savefig(tmp_path / f"{number}.pdf")
            assert (tmp_path / f"{number}.pdf").stat().st_size > 2000
            assert figure.axes[0].has_data()


def test_timelines(run: Run, tmp_path: Path) -> None:
    path = run.timeline(tmp_path / "t.json.gz", window="0us:10us", channels=(1,), level="commands")
    events = json.loads(gzip.decompress(path.read_bytes()))
    assert len(events["traceEvents"] if isinstance(events, dict) else events) > 1000


def test_saved_and_loaded_again(run: Run, log: CommandLog, tmp_path: Path) -> None:
    again = rl.load(run.save(tmp_path / "run"))
    assert isinstance(again, Run) and again.stats == json.loads(json.dumps(run.stats))
    assert again.command == run.command and again.folder == tmp_path / "run"
    assert again.commands(window=WINDOW, channels=(0, 3)).frame.equals(log.frame)
    with pytest.raises(ConfigError, match="already"):
        again.save(tmp_path / "elsewhere")


def test_a_gpu_has_kernels_and_no_commands(run: Run, gpu: Run) -> None:
    assert gpu.kernels["share"].sum() <= 1 and set(gpu.kernels["phase"]) == {"prefill", "decode"}
    with pytest.raises(ConfigError, match="without commands"):
        gpu.commands()
    with pytest.raises(ConfigError, match="no GPU"):
        _ = run.kernels


def test_runs_side_by_side(run: Run, gpu: Run) -> None:
    both = rl.compare(run, gpu)
    line = both.figures.set_index("key").loc["latency_s"]
    assert line["B/A"] == pytest.approx(gpu.stats["latency_s"] / run.stats["latency_s"])
    assert len(both.differ) and "B/A" in repr(both) and "<table" in both._repr_html_()
    with pytest.raises(ConfigError, match="2 to"):
        rl.compare(run)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"arch": "pim-gtp"}, "pim-gtp"), ({"tokens": 0}, "--tokens 0"), ({"overrides": {"chanels": 3}}, "chanels"),
     ({"workload": "gpt9"}, "gpt9"), ({"stack": "cublas-hopper"}, "only for a GPU"), ({"tokens": 5000}, "gpt2-small")],
)  # fmt: skip
def test_wrong_arguments_are_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        rl.run(**wrong)


@pytest.mark.parametrize("window", ["8us:5us", "nonsense", ("1 s", "2 s"), ("1", "2")])
def test_wrong_windows_are_named(run: Run, window: str | tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="window"):
        run.commands(window=window)


def test_wrong_channels_are_named(run: Run) -> None:
    with pytest.raises(ConfigError, match="channels"):
        run.commands(channels=(99,))


def test_everything_shows_itself_and_nothing_acts(run: Run, gpu: Run, log: CommandLog) -> None:
    for each in (run, gpu, log, rl.workload("gpt2-small")):
        assert "<script" not in each._repr_html_() and "<table" in each._repr_html_() and len(repr(each)) > 40


def test_names_are_escaped(tmp_path: Path) -> None:
    shape = {"name": "<script>alert(1)</script>", "n_layers": 1, "d_model": 64, "n_heads": 2, "vocab_size": 64, "n_positions": 32}
    file = tmp_path / "model.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in shape.items()))
    try:
        made = rl.run(workload=str(file), tokens=2)
    except ConfigError as error:
        assert "name" in str(error)
    else:
        assert "<script" not in made._repr_html_()


def test_other_files_are_loaded_by_what_they_hold(run: Run, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "run") if run._experiment else run.folder
    assert rl.load(folder / "ops.parquet").equals(run.ops)
    rl_log = tmp_path / "commands.parquet"
    done = subprocess.run(
        [sys.executable, "-m", "rowline", "dram", "--device", "ddr5-4800", "--requests", "500", "--log", str(rl_log)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = rl.load(rl_log)
    assert isinstance(loaded, CommandLog) and len(loaded) > 500 and len(loaded.visits) and loaded.waits()["gap_ps"].sum() > 0
    for wrong in (tmp_path / "nothing", tmp_path, "\0"):
        with pytest.raises(ConfigError):
            rl.load(wrong)
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(ConfigError, match="not a readable Parquet"):
        rl.load(tmp_path / "text.parquet")


def test_import_is_quick_and_the_interface_is_told() -> None:
    assert {"run", "sweep", "load", "validate", "compare", "workload", "dram"} <= set(dir(rl))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rl.nonsense


@pytest.mark.parametrize("suffix", ["html", "md", "csv"])
def test_a_run_in_memory_writes_the_report_that_its_folder_would(run: Run, suffix: str, tmp_path: Path) -> None:
    mine = run.report(tmp_path / f"mine.{suffix}").read_text(encoding="utf-8")
    folder = run.folder if run.folder.is_dir() else run.save(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-m", "rowline", "report", str(folder), "-o", str(tmp_path / f"its.{suffix}")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    its = (tmp_path / f"its.{suffix}").read_text(encoding="utf-8")
    assert len(its) == pytest.approx(len(mine), rel=0.01) and mine.count("\n") == its.count("\n")
    with pytest.raises(ConfigError, match="name it"):
        run.report(tmp_path / "report.pdf")
