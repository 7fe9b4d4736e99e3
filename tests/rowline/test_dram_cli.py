"""``rowline dram`` and ``rowline check`` as people run them."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rowline.memory import MemoryJob, run_memory
from rowline.traces.formats.requests import write_requests
from rowline.traces.patterns import pattern

KEYS = {
    "cycles", "requests", "reads", "writes", "row_hits", "row_misses", "row_conflicts", "commands", "refreshes",
    "bandwidth_bytes_per_s", "peak_bandwidth_bytes_per_s", "efficiency", "read_latency_ns", "energy_j", "violations", "wall_s",
}  # fmt: skip


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "rowline", *args]


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "ROWLINE_DEBUG"} | {"COLUMNS": "120", "NO_COLOR": "1"}


def rowline(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)


def stats_of(cwd: Path, *args: str) -> dict[str, Any]:
    run = rowline(cwd, "dram", "--json", *args)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def without_origin(stats: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in stats.items() if k not in ("wall_s", "trace", "pattern", "seed")}


def test_json_has_the_promised_keys_and_adds_up(tmp_path: Path) -> None:
    stats = stats_of(tmp_path, "--device", "ddr4-2400", "--pattern", "mixed", "--requests", "20000", "--channels", "2")
    assert stats.keys() >= KEYS
    assert stats["read_latency_ns"].keys() == {"mean", "p50", "p95", "p99", "max"}
    assert stats["requests"] == 20000 == stats["reads"] + stats["writes"]
    kinds = ("row_hits", "row_misses", "row_conflicts", "forwarded", "merged")
    assert sum(stats[k] for k in kinds) == 20000
    for key in ("reads", "writes", *kinds):
        assert sum(c[key] for c in stats["per_channel"]) == stats[key]
    assert max(c["cycles"] for c in stats["per_channel"]) == stats["cycles"]
    assert stats["commands"]["RD"] + stats["commands"]["WR"] == sum(stats[k] for k in kinds[:3])
    assert stats["violations"] == 0
    assert stats["peak_bandwidth_bytes_per_s"] == 2 * 19.2e9
    assert stats["efficiency"] == pytest.approx(stats["bandwidth_bytes_per_s"] / stats["peak_bandwidth_bytes_per_s"])
    assert 0 < stats["bus_utilization"] <= 1 and 0 < stats["bank_utilization"] <= 1
    assert sum(stats["energy_breakdown_j"].values()) == pytest.approx(stats["energy_j"])


@pytest.mark.parametrize("name", ["stream", "random", "stride", "pingpong", "mixed"])
def test_every_pattern_does_what_it_is_for(name: str) -> None:
    interval = "200 ns" if name == "pingpong" else "0 ck"  # closer together, hits of a row would be served in one go
    stats = run_memory(MemoryJob(device="ddr4-2400", pattern=name, requests=3000, interval=interval))
    assert stats["violations"] == 0
    share = {kind: stats[kind] / 3000 for kind in ("row_hits", "row_conflicts")}
    if name in ("stream", "mixed"):
        assert share["row_hits"] > (0.98 if name == "stream" else 0.7)
    elif name == "pingpong":
        assert share["row_conflicts"] > 0.9
    else:
        assert share["row_hits"] < 0.05


@pytest.mark.parametrize("form", ["trace.ramulator", "trace.dramsim3.gz", "trace.parquet", "trace.ramulator.zst"])
def test_a_trace_is_served_as_the_pattern_that_it_was_made_of(tmp_path: Path, form: str) -> None:
    sizes = {"capacity_bytes": 2**33, "access_bytes": 64, "row_bytes": 8192}
    chunks = pattern("random", 5000, seed=3, write_share=0.25, **sizes)  # type: ignore[arg-type]
    path = tmp_path / form
    write_requests(path, chunks, next(f for f in ("ramulator", "dramsim3", "parquet") if f in form))
    own = run_memory(MemoryJob(device="ddr4-2400", pattern="random", requests=5000, seed=3, write_share=0.25))
    assert without_origin(run_memory(MemoryJob(device="ddr4-2400", trace=path))) == without_origin(own)


def test_clocks_of_a_trace_are_clocks_where_ticks_are_half_of_them(tmp_path: Path) -> None:
    path = tmp_path / "two.dramsim3"
    path.write_text("0x0 READ 0\n0x40000 READ 1000\n")
    stats = run_memory(MemoryJob(device="hbm3-6400", trace=path, format="dramsim3"))
    assert 1000 < stats["cycles"] < 1100


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet", "csv.zst"])
def test_logs_are_judged_legal_by_the_other_verb(tmp_path: Path, suffix: str) -> None:
    log = f"commands.{suffix}"
    device = ("--device", "hbm2-2000")
    stats = stats_of(tmp_path, *device, "--pattern", "random", "--requests", "3000", "--channels", "2", "--log", log)
    total = 0
    for channel in range(2):
        run = rowline(tmp_path, "check", f"commands.ch{channel}.{suffix}", *device, "--json")
        assert run.returncode == 0, run.stdout + run.stderr
        total += json.loads(run.stdout)["commands"]
    assert 0 <= sum(stats["commands"].values()) - total <= 8  # refreshes of the channel that waits for the other


def test_an_illegal_log_is_found_and_named(tmp_path: Path) -> None:
    stats_of(tmp_path, "--device", "ddr4-2400", "--pattern", "random", "--requests", "50", "--log", "ours.csv")
    lines = (tmp_path / "ours.csv").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if ",RD," in line)
    cells = lines[at].split(",")
    lines[at] = ",".join([str(int(cells[0]) - 1), *cells[1:]])
    lines = [lines[0], *sorted(lines[1:], key=lambda line: int(line.split(",")[0]))]
    (tmp_path / "early.csv").write_text("\n".join(lines) + "\n")
    run = rowline(tmp_path, "check", "early.csv", "--device", "ddr4-2400")
    assert run.returncode == 1
    assert "tRCDRD" in run.stdout and "too early" in run.stdout and f"line {at + 1}" in run.stdout


def test_timelines_are_json_with_a_track_a_bank(tmp_path: Path) -> None:
    stats_of(tmp_path, "--device", "ddr4-2400", "--requests", "500", "--log", "timeline.json.gz")
    events = json.loads(gzip.decompress((tmp_path / "timeline.json.gz").read_bytes()))["traceEvents"]
    names = {e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert len(names) >= 17  # sixteen banks and the data bus


ISR = """AiM WR_GB 64 0 1
AiM MAC_ABK 64 1 7
AiM RD_MAC 0 1
AiM EOC
"""


def test_instructions_run_and_their_log_is_legal(tmp_path: Path) -> None:
    (tmp_path / "x.isr").write_text(ISR)
    args = ("--device", "gddr6-aim", "--trace", "x.isr", "--format", "aim-isr", "--log", "isr.parquet")
    stats = stats_of(tmp_path, *args)
    assert stats["commands"]["MAC16"] == stats["commands"]["WRGB"] == 64
    assert stats["violations"] == 0 and stats["channels"] == 1
    run = rowline(tmp_path, "check", "isr.parquet", "--device", "gddr6-aim", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["commands"] == sum(stats["commands"].values())
    refused = rowline(tmp_path, "dram", *args, "--policy", "fcfs")
    assert refused.returncode == 2 and "there is no controller to set" in refused.stderr


BAD = {
    "device": (("--device", "ddr4-2401"), 'unknown device "ddr4-2401"; did you mean "ddr4-2400"?'),
    "device key": (("--set", "timing.tRPP=5 ns"), "timing.tRPP: unknown key; did you mean"),
    "controller key": (("--set", "controller.read_queu=5"), 'read_queu: unknown key; did you mean "read_queue"?'),
    "controller value": (("--set", "controller.write_low=0.9"), "write_low: must be below write_high"),
    "postponing": (("--set", "controller.refresh_postpone=99"), "controller.refresh_postpone: 99 is more than"),
    "mapping": (("--mapping", "ro-xx-co"), "--mapping"),
    "missing field": (("--mapping", "ro-co"), "--mapping"),
    "pattern": (("--pattern", "steam"), 'did you mean "stream"?'),
    "requests": (("--requests", "-1"), "requests: "),
    "interval": (("--interval", "5"), "--interval 5: needs a unit of time"),
    "channels": (("--channels", "0"), "--channels 0"),
    "no file": (("--trace", "nothing.trace"), "nothing.trace"),
    "bad line": (("--trace", "bad.trace", "--format", "ramulator"), "bad.trace:3: "),
    "beyond": (("--trace", "far.trace", "--format", "ramulator"), "far.trace: request 1: address"),
    "the trace itself": (("--trace", "bad.trace", "--format", "ramulator", "--log", "./bad.trace"), "is the trace itself"),
    "late": (("--trace", "late.trace", "--format", "dramsim3"), "late.trace: request 1: arrives after cycle"),
    "no field": (("--device", "hbm2-2000", "--log", "x.trace", "--log-format", "dramsim3"), "no field for pseudo-channels"),
    "log name": (("--log", "log.xyz"), "--log log.xyz: name it"),
    "per-bank refresh": (("--device", "ddr4-2400", "--refresh", "per_bank"), "ddr4 has no per-bank refresh"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.trace").write_text("LD 0x10\nST 0x20\nLD zebra\n")
    (tmp_path / "late.trace").write_text("0x0 READ 0\n0x40 READ 1000000000000000\n")
    (tmp_path / "far.trace").write_text("LD 0x10\nLD 0xfffffffffff\n")
    args, message = BAD[name]
    begin = time.perf_counter()
    run = rowline(tmp_path, "dram", "--requests", "10", *args)
    assert run.returncode == 2, run.stdout + run.stderr
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) <= 2
    assert time.perf_counter() - begin < 20  # the goal is a second; machines that run tests are busy
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".trace",)]


@pytest.mark.parametrize("delay", [0.4, 3.0])
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, delay: float) -> None:
    args = ("dram", "--requests", "10000000", "--pattern", "random", "--log", "commands.csv.gz")
    process = subprocess.Popen(command(*args), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    begin = time.perf_counter()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert time.perf_counter() - begin < 20
    assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_trace(tmp_path: Path) -> None:
    peaks: list[int] = []
    for requests in (300_000, 3_000_000):
        code = (
            "import resource, sys; from rowline.memory import MemoryJob, run_memory\n"
            f"run_memory(MemoryJob(device='ddr4-3200', requests={requests}))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
        peaks.append(int(run.stdout))
    assert peaks[1] < peaks[0] + 40_000  # KiB


def test_reruns_are_equal_whatever_the_hash_seed(tmp_path: Path) -> None:
    args = command("dram", "--device", "lpddr5-6400", "--pattern", "random", "--requests", "5000", "--json")
    outputs = []
    for seed in ("0", "7"):
        run = subprocess.run(args, env=environment() | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        outputs.append(without_origin(json.loads(run.stdout)))
    assert outputs[0] == outputs[1]


def test_power_down_saves_energy() -> None:
    """Sparse reads: rank idle most of the time."""
    base = MemoryJob(device="ddr4-2400", pattern="random", requests=300, interval="2 us")
    down = MemoryJob(**{**base.__dict__, "sets": ("controller.power_down=50 ns", "controller.row_policy=closed")})
    awake, asleep = run_memory(base), run_memory(down)
    assert asleep["commands"]["PDE"] > 200
    assert asleep["violations"] == awake["violations"] == 0
    assert asleep["energy_j"] < 0.9 * awake["energy_j"]


def test_channels_that_wait_cost_what_waiting_costs() -> None:
    """All requests go to the first of two channels; the other is refreshed and stands by as long."""
    job = MemoryJob(device="ddr4-3200", requests=5000, interval="100 ns", mapping="ch-ro-ra-ba-co-bg")
    one, two = run_memory(job), run_memory(MemoryJob(**{**job.__dict__, "channels": 2}))
    assert two["refreshes"] == pytest.approx(2 * one["refreshes"], abs=2)
    standby = ("active", "precharged")
    spent = [sum(stats["energy_breakdown_j"][k] for k in standby) for stats in (one, two)]
    assert 1.5 * spent[0] < spent[1] < 2 * spent[0]
    assert two["time_s"] == one["time_s"] and two["violations"] == 0


def test_self_refresh_forgives_no_postponed_refresh(tmp_path: Path) -> None:
    """Bursts of reads that postpone refreshes, with pauses long enough for self-refresh between them."""
    lines = [f"{64 * i:#x} READ {start + 4 * i}" for start in range(0, 12 * 90_000, 90_000) for i in range(20_000)]
    (tmp_path / "bursts.trc").write_text("\n".join(lines))
    job = MemoryJob(device="ddr4-3200", trace=tmp_path / "bursts.trc", format="dramsim3")
    stats = run_memory(MemoryJob(**{**job.__dict__, "sets": ("controller.self_refresh=20 ns",)}))
    plain = run_memory(job)
    assert stats["commands"]["SRE"] >= 11 and stats["violations"] == 0
    assert stats["refreshes"] > 0.8 * plain["refreshes"]


def test_self_refresh_replaces_refresh() -> None:
    job = MemoryJob(
        device="ddr4-2400", pattern="random", requests=20, interval="100 us", sets=("controller.self_refresh=20 us",)
    )
    stats = run_memory(job)
    assert stats["commands"]["SRE"] == pytest.approx(20, abs=1)
    assert stats["refreshes"] < 0.5 * stats["time_s"] / 7.8e-6
    assert stats["violations"] == 0
    assert stats["energy_breakdown_j"]["self_refresh"] > 0


def test_percentiles_are_those_of_the_latencies() -> None:
    from rowline.arch.loader import load_controller, load_device
    from rowline.sim.kernels import memory_layout as ml
    from rowline.sim.memory import Channel
    from rowline.sim.memory_results import summarise

    device = load_device("ddr4-2400")
    channel = Channel(device, load_controller(), judged=False, logged=False)
    latencies = np.array([5] * 50 + [9] * 45 + [20] * 4 + [100_000])
    channel.machine.histogram[:] = np.bincount(np.minimum(latencies, len(channel.machine.histogram) - 1), minlength=65537)
    channel.machine.variables[ml.V_LATENCY_SUM] = latencies.sum()
    channel.machine.variables[ml.V_LATENCY_MAX] = 100_000
    tick = 1e9 / device.device_clock.freq_hz
    found = summarise(device, [channel])["read_latency_ns"]
    assert [found[k] / tick for k in ("p50", "p95", "p99", "max")] == pytest.approx([5, 9, 20, 100_000])
    assert found["mean"] / tick == pytest.approx(latencies.mean())
