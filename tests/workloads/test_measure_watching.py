"""What watches a GPU from outside: NVML, nvidia-smi, the profiler and Nsight Compute, each by what it would answer."""

import ctypes
import io
import json
import math
import os
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from rowline.traces.kernellog import KernelHeader, KernelRow
from rowline.workloads.measure import _operands, counters, marked, naming
from rowline.workloads.measure.__main__ import main
from rowline.workloads.measure.campaign import Campaign, Request
from rowline.workloads.measure.kernel import Kernel
from rowline.workloads.measure.logfile import LogFile
from rowline.workloads.measure.telemetry import NoTelemetry, NvidiaSmi, Nvml, Reading, Watch, open_telemetry

GEMM, NORM = Kernel("gemm", "bf16", 16, 64, 64), Kernel("rmsnorm", "bf16", 4, 64)


class FakeNvml:
    """NVML's calls that the suite makes; no energy counter, as on cards before Volta."""

    def __init__(self) -> None:
        self.uuid = b""

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        self.uuid = uuid
        return 6 if b"ffff" in uuid else 0

    def _set(self, pointer: Any, value: int) -> int:
        pointer._obj.value = value
        return 0

    def nvmlDeviceGetPowerUsage(self, handle: Any, value: Any) -> int:
        return self._set(value, 512300)

    def nvmlDeviceGetClockInfo(self, handle: Any, kind: int, value: Any) -> int:
        return self._set(value, {1: 1755, 2: 3201}[kind])

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, kind: int, value: Any) -> int:
        return self._set(value, {1: 1980, 2: 3202}[kind])

    def nvmlDeviceGetTemperature(self, handle: Any, kind: int, value: Any) -> int:
        return self._set(value, 55)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, value: Any) -> int:
        assert isinstance(value._obj, ctypes.c_ulonglong)
        return 3

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, value: Any) -> int:
        return self._set(value, 700000)

    def nvmlSystemGetDriverVersion(self, text: Any, length: int) -> int:
        text.value = b"570.86.15"
        return 0


def test_nvml_is_read_in_watts_and_megahertz() -> None:
    library = FakeNvml()
    nvml = Nvml(library, "0000-1111")
    reading = nvml.read()
    assert (reading.power_w, reading.sm_clock_mhz, reading.mem_clock_mhz, reading.temperature_c) == (512.3, 1755, 3201, 55)
    assert math.isnan(reading.energy_mj) and library.uuid == b"GPU-0000-1111"
    assert nvml.limits() == {
        "driver": "570.86.15", "max_sm_clock_mhz": 1980, "max_mem_clock_mhz": 3202, "power_cap_w": 700,
    }  # fmt: skip
    with pytest.raises(OSError, match="knows no GPU-ffff"):
        Nvml(library, "GPU-ffff")


def test_nvidia_smi_is_read_where_there_is_no_nvml() -> None:
    answers = {
        "power.draw": "88.1", "clocks.sm": "1500", "clocks.mem": "[N/A]", "temperature.gpu": "40", "driver_version": "535.1",
        "clocks.max.sm": "1590", "clocks.max.mem": "5001", "power.limit": "70.00",
    }  # fmt: skip

    def run(command: Any) -> str:
        assert command[1] == "--id=GPU-1" and command[3] == "--format=csv,noheader,nounits"
        return ", ".join(answers[name] for name in command[2].removeprefix("--query-gpu=").split(",")) + "\n"

    smi = NvidiaSmi("1", run)
    reading = smi.read()
    assert (reading.power_w, reading.sm_clock_mhz, reading.temperature_c) == (88.1, 1500, 40)
    assert math.isnan(reading.mem_clock_mhz)
    assert smi.limits()["driver"] == "535.1" and smi.limits()["power_cap_w"] == 70
    with pytest.raises(OSError, match="unexpected answer"):
        NvidiaSmi("1", lambda command: "a, b, c")


def test_without_either_nothing_is_told_and_the_note_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setenv("PATH", "")
    telemetry, note = open_telemetry("x")
    assert isinstance(telemetry, NoTelemetry) and note == "telemetry: none (libnvidia-ml.so.1: cannot open shared object file)"


def test_a_watch_counts_from_when_it_settled() -> None:
    class Rising:
        slow, energy = False, 0.0

        def read(self) -> Reading:
            self.energy += 100
            return Reading(power_w=self.energy, energy_mj=self.energy)

        def limits(self) -> dict[str, Any]:
            return {}

    watch = Watch(Rising())
    watch.look()
    watch.settled()
    watch.look()
    watch.look()
    assert watch.mean("power_w") == 350 and watch.last().power_w == 400 and watch.energy_mj() == 300
    assert math.isnan(watch.mean("sm_clock_mhz"))


def test_kernels_between_markers() -> None:
    spin = "at::cuda::(anonymous namespace)::spin_kernel(long)"
    names = ["setup", spin, "a", "b", spin, "more setup", spin, spin]
    parts = marked.between([(name, 0) for name in names], 2)
    assert [[name for name, _ in part] for part in parts] == [["a", "b"], []]
    with pytest.raises(ValueError, match="3 markers in the profile, expected 4"):
        marked.between([(name, 0) for name in names[:-1]], 2)
    assert marked.shorten(["void cutlass::K<int>(Params)", "x" * 200]) == "cutlass::K<int> + " + "x" * 120


def row(kernel: Kernel, l2: str) -> KernelRow:
    return KernelRow(
        "H200", kernel.op, kernel.dtype, 1.0, kernel="torch.mm", m=kernel.m, n=kernel.n, k=kernel.k, batch=1, l2=l2,
        launch="graph", clock_mode="burst",
    )  # fmt: skip


class StubCampaign:
    """As much of a campaign as is looked at once the times are taken."""

    def __init__(self, folder: Path) -> None:
        rows = [row(GEMM, "warm"), row(GEMM, "cold"), row(NORM, "warm")]
        self.log = LogFile(folder / "log.parquet", KernelHeader(), rows)
        self.request = Request("transformer", folder / "log.parquet", counters=2)
        self.left = 1000.0

    def left_s(self) -> float:
        return self.left

    def say(self, text: str, always: bool = False) -> None:
        pass

    def campaign(self) -> Campaign:
        return cast(Campaign, self)


def test_names_and_grids_come_from_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"grid": [4, 2, 1], "block": [256, 1, 1]}
    events = [
        {"cat": "kernel", "name": "splitKreduce", "ts": 9, "dur": 1, "args": {"grid": [9, 1, 1], "block": [32, 1, 1]}},
        {"cat": "kernel", "name": "void gemm_128x128<float>(P)", "ts": 5, "dur": 7, "args": long},
        {"cat": "cpu_op", "name": "aten::mm", "ts": 1},
    ]
    launched = naming.launches_in(events)
    assert [name for name, _ in launched] == ["void gemm_128x128<float>(P)", "splitKreduce"]
    stub = StubCampaign(tmp_path)
    monkeypatch.setattr(naming, "launches_of", lambda kernels, seed: [launched if k == GEMM else [] for k in kernels])
    naming.name_kernels(stub.campaign())
    first, _, last = stub.log.rows
    assert first.kernel == "gemm_128x128<float> + splitKreduce" and last.kernel == "torch.mm"
    assert first.extra == '{"kernels": 2, "grid": [4, 2, 1], "block": [256, 1, 1]}'
    stub.log.rows = [replace(first, kernel="torch.mm")]
    stub.left = 0.0
    naming.name_kernels(stub.campaign())
    assert stub.log.notes == ["kernel names: out of time, 1 kernels have none"]


NCU = """#!{python}
import json, sys
words = sys.argv[1:]
asked = json.load(open(words[words.index("--replay") + 1]))
cold = words[words.index("--cache-control") + 1] == "all"
assert words[words.index("-m") + 1] == "rowline.workloads.measure" and "off" in words
print("==PROF== Connected to process 7")
print('"ID","Process ID","Kernel Name","Metric Name","Metric Unit","Metric Value"')
number = 0
def kernel(name, values):
    global number
    metrics = words[words.index("--metrics") + 1].split(",")
    for metric, value in zip(metrics, values):
        print(f'"{{number}}","7","{{name}}","{{metric}}","x","{{value:,}}"')
    number += 1
for at, k in enumerate(asked["kernels"]):
    kernel("spin_kernel(long)", (0, 0, 0, 0))
    if k["op"] == "gemm":
        kernel("gemm", (3000000 if cold else 1000, 500, 75, 25))
        kernel("reduce", (0, 500, 0, 100))
    kernel("spin_kernel(long)", (0, 0, 0, 0))
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    script = folder / "ncu"
    script.write_text(text)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])


def test_counters_of_warm_and_cold_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, NCU.format(python=sys.executable))
    stub = StubCampaign(tmp_path)
    counters.count(stub.campaign())
    warm, cold, norm = stub.log.rows
    assert (warm.dram_bytes, warm.l2_hit_rate) == (2000.0, 0.375) and cold.dram_bytes == 3001000.0
    assert math.isnan(norm.dram_bytes) and stub.log.notes == []


FAILING = {
    "#!/bin/sh\necho '==ERROR== ERR_NVGPUCTRPERM - no permission'\nexit 1\n": "ncu: exit code 1 ==ERROR== ERR_NVGPUCTRPERM",
    "#!/bin/sh\necho '\"ID\",\"Name\"'\necho '\"0\",\"x\"'\n": "not a table of ncu: lacks 'Kernel Name'",
    "#!/bin/sh\necho nothing\n": "0 markers in the profile, expected 4",
}


@pytest.mark.parametrize("script", FAILING)
def test_a_failing_ncu_leaves_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    install(tmp_path, monkeypatch, script)
    stub = StubCampaign(tmp_path)
    counters.count(stub.campaign())
    assert len(stub.log.notes) == 1 and FAILING[script] in stub.log.notes[0] and math.isnan(stub.log.rows[0].dram_bytes)


def test_no_ncu_no_kernels_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 9\n")
    stub = StubCampaign(tmp_path)
    stub.left = 0.0
    counters.count(stub.campaign())
    assert stub.log.notes == ["counters: out of time"]
    monkeypatch.setenv("PATH", "")
    counters.count(stub.campaign())
    assert stub.log.notes[1:] == ["counters: no ncu on this machine"]
    stub.log.notes, stub.request = [], replace(stub.request, counters=0)
    counters.count(stub.campaign())
    assert stub.log.notes == []


def test_a_child_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(subprocess.TimeoutExpired):
        counters.counted(str(tmp_path / "ncu"), [GEMM], "none", 0, 0.2)


class Recorder:
    """Stands in for what the child asks of torch.cuda, and keeps the order of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        for module, name, word in (
            (torch.cuda, "synchronize", ""), (torch.cuda, "_sleep", "mark"), (torch.cuda.profiler, "start", "start"),
            (torch.cuda.profiler, "stop", "stop"),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, lambda *given, word=word: self.seen.append(word) if word else None)
        monkeypatch.setattr(_operands, "build", self.build)
        monkeypatch.setattr(_operands, "quiet_settings", lambda: None)

    def build(self, kernel: Kernel, device: str, seed: int, copies: int) -> list[_operands.Case]:
        assert (device, seed, copies) == ("cuda", 4, 1)
        if kernel == NORM:
            raise RuntimeError("no such kernel here")
        return [_operands.Case(lambda: self.seen.append("call") or torch.zeros(1), {})]


def test_the_child_shows_ncu_one_warm_call_between_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, recorder = tmp_path / "kernels.json", Recorder(monkeypatch)
    file.write_text(json.dumps({"seed": 4, "kernels": [asdict(GEMM), asdict(NORM)]}))
    assert main(["--replay", str(file)]) == 0
    assert recorder.seen == [*["call"] * 3, "start", "mark", "call", "mark", "stop", "start", "mark", "mark", "stop"]


def test_the_profile_is_taken_of_one_call_between_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)

    class Profile:
        """Every marker and call as an event of a trace."""

        def __init__(self, activities: Any) -> None:
            assert activities == [torch.profiler.ProfilerActivity.CUDA]

        def __enter__(self) -> "Profile":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def export_chrome_trace(self, path: str) -> None:
            names = {"mark": "spin_kernel(long)", "call": "gemm"}
            events = [{"cat": "kernel", "name": names[word], "ts": at, "dur": 1} for at, word in enumerate(recorder.seen)]
            Path(path).write_text(json.dumps({"traceEvents": events}))

    monkeypatch.setattr(torch.profiler, "profile", Profile)
    assert naming.launches_of([GEMM, GEMM], 4) == [[("gemm", {"dur": 1, "args": {}})]] * 2
    assert recorder.seen == ["call", "mark", "call", "mark"] * 2


def test_a_profile_that_fails_leaves_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(kernels: Any, seed: int) -> Any:
        raise RuntimeError("CUPTI is in use")

    stub = StubCampaign(tmp_path)
    monkeypatch.setattr(naming, "launches_of", failing)
    naming.name_kernels(stub.campaign())
    assert stub.log.notes == ["kernel names: RuntimeError: CUPTI is in use"] and stub.log.rows[0].kernel == "torch.mm"


def test_progress_tells_the_time_left(tmp_path: Path) -> None:
    said = io.StringIO()
    stub = cast(Any, Campaign.__new__(Campaign))
    stub.request, stub._begin, stub._said, stub._progress = Request("micro", tmp_path, limit_s=0.0), 0.0, 0.0, said
    stub.say("working", True)
    assert said.getvalue() == "working\n"
