"""``rowline sweep`` as people run it: the example, the JSON object, one worker or two, Ctrl-C, kill -9, verify, dry runs."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rowline.sweeps.store import Store
from rowline.terminal_sweep import duration

ROOT = Path(__file__).parents[2]
TINY = "name: tiny\nn_layers: 2\nd_model: 64\nn_heads: 4\nn_positions: 128\nvocab_size: 1000\n"
SPACE = """
base: {arch: pim-gpt, workload: tiny.yaml, generated_tokens: 3}
axes:
  - {key: channels, values: [2, 4, 8]}
  - {key: device.pim.mac_lanes, values: [8, 16]}
  - {key: host.clock, range: {from: 200 MHz, to: 1 GHz, step: 200 MHz}}
objectives: [{key: tpot}, {key: energy}]
"""


def rowline(folder: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rowline", "sweep", *words],
        cwd=folder, capture_output=True, text=True, timeout=300, env=os.environ | {"COLUMNS": "120"}, **more,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "s.yaml").write_text(SPACE)
    return tmp_path


def test_the_example(tmp_path: Path) -> None:
    begin = time.perf_counter()
    done = rowline(tmp_path, str(ROOT / "examples" / "pim_banks.yaml"), "--jobs", "2", "--out", "study", "--json")
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - begin < 60
    found = json.loads(done.stdout)
    assert len(found["trials"]) == 32 and found["counts"]["done"] == 32 and found["counts"]["failed"] == 0
    for trial in found["trials"]:
        assert trial.keys() == {"id", "number", "params", "objectives", "state", "reason"}
        assert trial["params"]["channels"] * trial["params"]["device.organization.bank_groups"] <= 64
        assert (trial["state"] == "complete") == (trial["reason"] is None) == (trial["objectives"]["tpot"] <= 5e-4)
    front = [t for t in found["trials"] if t["id"] in found["pareto"]]
    fastest = min((t for t in found["trials"]), key=lambda t: t["objectives"]["tpot"])
    assert fastest in front and 1 < len(front) < 10
    assert (tmp_path / "study" / "study.db").is_file() and (tmp_path / "study" / "trials.parquet").is_file()
    shown = rowline(tmp_path, str(ROOT / "examples" / "pim_banks.yaml"), "--out", "study")
    assert "(0 run, 32 from the store, 2 infeasible, 0 failed)" in shown.stdout
    assert f"* on the Pareto front ({len(front)} of 30)" in shown.stdout and "infeasible, 1: tpot" in shown.stdout


def test_one_worker_or_two_and_once_more(folder: Path) -> None:
    tables: list[Any] = []
    for jobs in ("1", "2"):
        done = rowline(folder, "s.yaml", "--jobs", jobs, "--out", f"by{jobs}", "--json")
        tables.append(json.loads(done.stdout))
    again = json.loads(rowline(folder, "s.yaml", "--out", "by1", "--json", "--resume").stdout)
    assert again["counts"] == {"done": 0, "cached": 30, "failed": 0, "infeasible": 0}
    for table in (tables[1], again):
        assert (table["trials"], table["pareto"]) == (tables[0]["trials"], tables[0]["pareto"])
    first, second = (folder / f"by{jobs}" / "trials.parquet" for jobs in "12")
    assert first.read_bytes() == second.read_bytes()


def test_a_larger_space_runs_only_what_is_new(folder: Path) -> None:
    rowline(folder, "s.yaml", "--jobs", "2", "--out", "study", "--trials", "7", "-q")
    more = json.loads(rowline(folder, "s.yaml", "--jobs", "2", "--out", "study", "--json").stdout)
    assert more["counts"] == {"done": 23, "cached": 7, "failed": 0, "infeasible": 0}


def test_failed_trials_are_told(folder: Path) -> None:
    done = rowline(folder, "s.yaml", "--jobs", "1", "--out", "study", "--trials", "2", "--timeout", "0.001", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 4 and found["counts"]["failed"] == 2 and found["pareto"] == []
    assert all(t["state"] == "failed" and "0.001" in t["reason"] for t in found["trials"])


def begun(folder: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "rowline", "sweep", "s.yaml", "--jobs", "2", "--out", "cut", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


SOON = [pytest.param(0.025 * i, marks=pytest.mark.slow) for i in range(1, 101)]


@pytest.mark.parametrize("after_s", [0.2, 0.8, 1.6, 2.2, *SOON])
def test_ctrl_c(folder: Path, after_s: float) -> None:
    process = begun(folder)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    begin = time.perf_counter()
    _, err = process.communicate(timeout=30)
    early = (-signal.SIGINT, 1) if after_s < 0.08 else ()  # Python itself is still starting
    assert time.perf_counter() - begin < 2 and process.returncode in (130, 0, *early)
    assert process.returncode != 130 or err.splitlines()[-1] == "rowline: interrupted"
    if (folder / "cut" / "study.db").exists():
        assert rowline(folder, "verify", "cut").returncode == 0


def test_killed_and_taken_up_again(folder: Path) -> None:
    """Killed at random moments until it gets through: the table of one that was left alone, no trial run twice."""
    whole = json.loads(rowline(folder, "s.yaml", "--jobs", "2", "--out", "whole", "--json").stdout)
    draw, kept = random.Random(1), 0
    for _ in range(4):
        process = begun(folder)
        time.sleep(draw.uniform(0.8, 2.2))
        process.kill()
        process.communicate(timeout=30)
        if (folder / "cut" / "study.db").exists():
            with Store.open(folder / "cut", create=False) as store:
                now = sum(store.counts().values())
            assert now >= kept
            kept = now
    found = json.loads(rowline(folder, "s.yaml", "--jobs", "2", "--out", "cut", "--json").stdout)
    assert (found["trials"], found["pareto"]) == (whole["trials"], whole["pareto"])
    assert found["counts"]["cached"] == kept and found["counts"]["done"] == 30 - kept
    with Store.open(folder / "whole") as one, Store.open(folder / "cut") as other:
        assert [r.line() for r in one.records()] == [r.line() for r in other.records()]


def test_verify(folder: Path) -> None:
    assert rowline(folder, "verify", "nowhere").returncode == 3
    rowline(folder, "s.yaml", "--jobs", "1", "--out", "study", "--trials", "3", "-q")
    sound = rowline(folder, "verify", "study", "--json")
    assert sound.returncode == 0 and json.loads(sound.stdout) == {"study": "study", "sound": True, "problems": []}
    file = folder / "study" / "study.db"
    data = bytearray(file.read_bytes())
    at = data.index(b'"latency_s":') + 14
    data[at] ^= 1
    file.write_bytes(data)
    damaged = rowline(folder, "verify", "study")
    assert damaged.returncode == 3 and "study.db" in damaged.stderr and "Traceback" not in damaged.stderr
    refused = rowline(folder, "s.yaml", "--out", "study")
    assert refused.returncode == 3 and refused.stderr.startswith("rowline: ") and "Traceback" not in refused.stderr


def test_dry_run(folder: Path) -> None:
    done = rowline(folder, "s.yaml", "--dry-run", "--jobs", "2", "--json", "--trials", "20")
    found = json.loads(done.stdout)
    assert (found["points"], found["points_exact"], found["full_grid"], found["trials"]) == (30, True, 30, 20)
    assert found["axes"] == {"channels": 3, "device.pim.mac_lanes": 2, "host.clock": 5}
    assert 0 < found["probe_s"]["warm"] < found["probe_s"]["first"] and found["estimate_s"] > 0
    assert not (folder / "out").exists()
    shown = rowline(folder, "s.yaml", "--dry-run").stdout
    assert "30 points of a full grid of 30; grid: 30 trials" in shown and "probe: " in shown


XL = """
base: {arch: pim-gpt, workload: gpt3-xl, generated_tokens: 1}
axes:
  - {key: channels, values: [8, 12, 16, 24, 32]}
  - {key: device.timing.tCCDL, values: [1 ns, 1.5 ns, 2 ns, 3 ns]}
  - {key: device.pim.mac_lanes, values: [4, 8, 16, 32, 64]}
  - {key: host.clock, range: {from: 100 MHz, to: 1 GHz, step: 100 MHz}}
"""


@pytest.mark.slow
def test_a_thousand_decode_steps_of_gpt3_xl_in_three_minutes(tmp_path: Path) -> None:
    (tmp_path / "xl.yaml").write_text(XL)
    begin = time.perf_counter()
    found = json.loads(rowline(tmp_path, "xl.yaml", "--jobs", "2", "--out", "xl", "--json").stdout)
    assert time.perf_counter() - begin < 180
    assert found["counts"] == {"done": 1000, "cached": 0, "failed": 0, "infeasible": 0}


def test_a_million_points_are_counted_in_little_memory(folder: Path) -> None:
    """Of the sweep and of its probe's worker, whose graph is on the disk from a run before."""
    axes = "".join(
        f"  - {{key: {key}, range: {{from: {low}, to: {high}, step: {step}}}}}\n"
        for key, low, high, step in (
            ("channels", 8, 107, 1), ("device.pim.mac_lanes", 1, 100, 1), ("host.clock", "100 MHz", "1090 MHz", "10 MHz")
        )
    )  # fmt: skip
    (folder / "big.yaml").write_text("base: {arch: pim-gpt, workload: tiny.yaml, generated_tokens: 1}\naxes:\n" + axes)
    rowline(folder, "big.yaml", "--trials", "1", "--jobs", "1", "--out", "one", "-q")
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'rowline', 'sweep', 'big.yaml', '--dry-run'], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    assert "1000000 points of a full grid of 1000000" in done.stdout
    assert int(done.stdout.splitlines()[-1]) < 300 * 1024


def test_durations() -> None:
    assert [duration(s) for s in (3.21, 61, 200, 8100)] == ["3.2 s", "61 s", "3 min", "2 h 15 min"]
