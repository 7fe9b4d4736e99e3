"""Campaigns from end to end: on this CPU, and on a fake GPU with graphs, power and failures."""

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rowline.traces.formats.files import FormatError
from rowline.traces.kernellog import KernelRow, read_kernel_log, to_rows
from rowline.workloads.measure import _operands, campaign, logfile
from rowline.workloads.measure.campaign import Campaign, Request
from rowline.workloads.measure.device import Device, MeasureError, board_name, cuda_device, open_device
from rowline.workloads.measure.kernel import row_key
from rowline.workloads.measure.telemetry import NoTelemetry, Reading
from rowline.workloads.measure.timing import Pace

from .fakecuda import FakeCuda

ROOT = Path(__file__).resolve().parents[2]
PACE = Pace(sample_us=20, repeats=3, burst_s=0.005, sustain_s=0.005, warmups=1, warm_s=0.0)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """The suite turns gradients and attention backends off for the process; put them back."""
    cuda = torch.backends.cuda
    before, grad = (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()), torch.is_grad_enabled()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny kernels; other tests may run beside this one
    yield
    torch.set_num_threads(threads)
    torch.set_grad_enabled(grad)
    cuda.enable_flash_sdp(before[0])
    cuda.enable_mem_efficient_sdp(before[1])
    cuda.enable_math_sdp(before[2])


@pytest.fixture
def cpu() -> Device:
    """This CPU, said to have a small cache, so that few copies exceed it."""
    return replace(open_device("cpu"), cache_bytes=1 << 14, most_flops=1e7)


def request(path: Path, **changes: Any) -> Request:
    return replace(Request("transformer", path, scale=0.01, points=24, pace=PACE), **changes)


def run(asked: Request, device: Device) -> dict[str, Any]:
    return Campaign(asked, device, io.StringIO()).run()


def rows_of(path: Path) -> list[KernelRow]:
    return to_rows(read_kernel_log(path)[1])


def test_a_campaign_on_the_cpu(tmp_path: Path, cpu: Device) -> None:
    path = tmp_path / "log.parquet"
    answer = run(request(path), cpu)
    header, _ = read_kernel_log(path)
    rows = rows_of(path)
    assert answer["rows"] == len(rows) > 40 and answer["kernels"] == 24
    assert header.suite == "transformer" and header.torch == torch.__version__ and header.date.startswith("20")
    assert sum(answer["skipped"].values()) == len(header.skipped)
    for row in rows:
        assert (row.source, row.launch, row.flags) == ("rowline", "eager", "") and row.latency_us > 0 and row.spread_us >= 0
        assert row.copies == 1 if row.l2 != "cold" else row.copies >= 2
        assert row.checked < 1 and math.isnan(row.power_w) and row.gpu.startswith("CPU-")
    assert {row.l2 for row in rows} == {"warm", "cold", "flush"}


def test_the_micro_suite_on_the_cpu(tmp_path: Path, cpu: Device) -> None:
    path = tmp_path / "log.parquet"
    run(request(path, suite="micro", scale=0.001, points=40), cpu)
    rows = rows_of(path)
    assert {"launch", "stream_read", "l2_read", "l2_latency"} <= {row.op for row in rows}
    assert {"", "one"} <= {logfile.variant_of(row) for row in rows if row.op == "launch"}
    assert {row.clock_mode for row in rows} == {"burst", "sustained"} and all(row.flags == "" for row in rows)


def test_resuming_measures_nothing_twice_and_the_rest(tmp_path: Path, cpu: Device) -> None:
    path, whole = tmp_path / "log.parquet", tmp_path / "whole.parquet"
    run(request(path, points=8), cpu)
    first = rows_of(path)
    with pytest.raises(MeasureError, match="there already; --resume goes on with it"):
        run(request(path), cpu)
    run(request(path, resume=True), cpu)
    run(request(whole), cpu)
    rows = rows_of(path)
    assert str(rows[: len(first)]) == str(first)  # as they were, NaN and all
    keys = [row_key(row, logfile.variant_of(row)) for row in rows]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {row_key(row, logfile.variant_of(row)) for row in rows_of(whole)}
    assert read_kernel_log(path)[0].skipped.keys() == read_kernel_log(whole)[0].skipped.keys()


def test_a_log_of_something_else_is_not_resumed(tmp_path: Path, cpu: Device) -> None:
    path = tmp_path / "log.parquet"
    run(request(path, points=1), cpu)
    for change, word in (({"seed": 3}, "settings"), ({"suite": "micro"}, "suite")):
        with pytest.raises(MeasureError, match=f"cannot be resumed: its {word} is "):
            run(request(path, resume=True, **change), cpu)
    with pytest.raises(MeasureError, match="its device is"):
        run(request(path, resume=True), replace(cpu, facts=cpu.facts | {"device": "other"}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match="damaged"):
        run(request(path, resume=True), cpu)


def interrupted_after(count: int, error: BaseException, real: Callable[..., Any]) -> Callable[..., Any]:
    done = [0]

    def build(*arguments: Any) -> Any:
        done[0] += 1
        if done[0] > count:
            raise error
        return real(*arguments)

    return build


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.parquet"
    monkeypatch.setattr(_operands, "build", interrupted_after(7, KeyboardInterrupt(), _operands.build))
    with pytest.raises(KeyboardInterrupt):
        run(request(path), cpu)
    assert len(rows_of(path)) == 7 and [file.name for file in tmp_path.iterdir()] == ["log.parquet"]


def test_a_checkpoint_is_written_meanwhile(tmp_path: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "log.parquet", list[int]()
    monkeypatch.setattr(logfile, "CHECKPOINT_S", 0.0)
    real = _operands.build

    def build(*arguments: Any) -> Any:
        seen.append(len(rows_of(path)))
        return real(*arguments)

    monkeypatch.setattr(_operands, "build", build)
    run(request(path, points=4), cpu)
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(seen)) and seen[0] == 0 and seen[-1] > 4
    assert len(rows_of(path)) - seen[-1] in (0, 1)


def test_out_of_time_stops_and_says_so(tmp_path: Path, cpu: Device) -> None:
    path, said = tmp_path / "log.parquet", io.StringIO()
    Campaign(request(path, limit_s=1e-6), cpu, said).run()
    assert rows_of(path) == [] and "out of time after 0 rows; --resume goes on (0 s left)" in said.getvalue()


def test_out_of_memory_and_unable_are_reasons_not_crashes(tmp_path: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch calls it."""

    for error, reason in (
        (OutOfMemoryError("CUDA out of memory. Tried"), "out of memory"),
        (NotImplementedError("no fp8 here\nmore"), "NotImplementedError: no fp8 here"),
    ):
        path = tmp_path / f"{type(error).__name__}.parquet"
        with monkeypatch.context() as patch:
            patch.setattr(_operands, "build", interrupted_after(2, error, _operands.build))
            answer = run(request(path, points=6, only=("gemm",)), cpu)
        assert answer["rows"] == 2 and answer["skipped"][reason] >= 6 and reason in read_kernel_log(path)[0].skipped.values()
        assert run(request(path, points=6, only=("gemm",), resume=True), cpu)["rows"] == 2  # what was skipped stays so


def test_what_does_not_fit_is_skipped(tmp_path: Path, cpu: Device) -> None:
    answer = run(request(tmp_path / "a.parquet", only=("gemm",), points=5), replace(cpu, usable_bytes=1, most_flops=1.0))
    assert answer["rows"] == 0 and set(answer["skipped"]) == {"needs more memory than there is"}
    answer = run(request(tmp_path / "b.parquet", only=("gemm",), points=5), replace(cpu, most_flops=1.0))
    assert set(answer["skipped"]) == {"more than 1e+00 operations"}


def test_a_wrong_result_is_flagged(tmp_path: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    real = _operands.build

    def build(*arguments: Any) -> Any:
        return [replace(case, call=lambda case=case: case.call() * 3) for case in real(*arguments)]

    monkeypatch.setattr(_operands, "build", build)
    run(request(tmp_path / "log.parquet", only=("softmax",), points=3), cpu)
    assert {row.flags for row in rows_of(tmp_path / "log.parquet")} == {"wrong_result"}


WRONG = {
    "--suite all: not one of transformer, micro": {"suite": "all"},
    "--filter conv: not one of gemm": {"only": ("gemm", "conv")},
    "--scale 0: must be above 0": {"scale": 0},
    "--limit-s, --points, --counters and --sustain-s: must not be negative": {"limit_s": -1.0},
    "--limit-s and --sustain-s: must be finite": {"limit_s": float("nan")},
    "--repeats: must be at least 1": {"pace": Pace(repeats=0)},
}


@pytest.mark.parametrize("problem", WRONG)
def test_bad_requests(tmp_path: Path, cpu: Device, problem: str) -> None:
    with pytest.raises(MeasureError) as error:
        Campaign(request(tmp_path / "a.parquet", **WRONG[problem]), cpu)
    assert str(error.value).startswith(problem) and list(tmp_path.iterdir()) == []


def test_no_folder_and_no_device(tmp_path: Path, cpu: Device) -> None:
    with pytest.raises(MeasureError, match="no such folder"):
        Campaign(request(tmp_path / "none" / "a.parquet"), cpu)
    if not torch.cuda.is_available():
        with pytest.raises(MeasureError, match="torch finds no CUDA device"):
            open_device("cuda")


class Meter:
    """A GPU that draws 500 W of the fake's clock."""

    slow = False

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def read(self) -> Reading:
        return Reading(480.0, 1755.0, 3201.0, 61.0, self._cuda.clock * 1e-6 * 500e3)

    def limits(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeCuda, Device]:
    """A fake GPU: operands and results are real and on the CPU, time is the fake's, 10 us a call."""
    cuda, real = FakeCuda(), _operands.build
    namespace = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="12.8"), __version__="2.9")

    def build(*arguments: Any) -> Any:
        return [replace(case, call=cuda.wrapped(case.call, 10.0)) for case in real(*arguments)]

    monkeypatch.setattr(_operands, "build", build)
    device = cuda_device(namespace)
    monkeypatch.setattr(type(device.timer), "now", lambda timer: cuda.clock / 1e6)
    return cuda, replace(device, kind="cpu", telemetry=Meter(cuda))


def test_a_gpu_is_measured_with_graphs_and_power(tmp_path: Path, fake: tuple[FakeCuda, Device]) -> None:
    path = tmp_path / "log.parquet"
    run(request(path, points=36, pace=replace(PACE, sample_us=300)), fake[1])
    rows = rows_of(path)
    assert {(row.launch, row.l2, row.clock_mode) for row in rows} == {
        ("graph", "warm", "burst"), ("graph", "cold", "burst"), ("eager", "warm", "burst"), ("eager", "flush", "burst"),
        ("graph", "warm", "sustained"),
    }  # fmt: skip
    for row in rows:
        expected = 12.0 if row.launch == "eager" else 10.0
        assert expected <= row.latency_us < expected + 0.1 and row.gpu == "H200-SXM-141GB" and row.framework == "torch-2.9"
        assert row.sm_clock_mhz == 1755.0 and row.temperature_c == 61.0
        if row.clock_mode == "sustained":
            assert row.power_w == pytest.approx(500.0) and row.energy_mj == pytest.approx(row.latency_us * 0.5, rel=0.01)
        else:
            assert math.isnan(row.power_w) and math.isnan(row.energy_mj)
    header, _ = read_kernel_log(path)
    assert (header.device, header.cuda, header.sm_count, header.l2_bytes) == ("NVIDIA H200", "12.8", 132, 16 << 10)


def test_a_gpu_that_fails_ends_the_campaign_and_keeps_the_log(tmp_path: Path, fake: tuple[FakeCuda, Device],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    cuda, device = fake
    path, built = tmp_path / "log.parquet", _operands.build
    done = [0]

    def build(*arguments: Any) -> Any:
        done[0] += 1
        cuda.broken = done[0] > 5
        return built(*arguments)

    monkeypatch.setattr(_operands, "build", build)
    with pytest.raises(MeasureError, match="the device failed at .*illegal memory access.*--resume goes on without it"):
        run(request(path), device)
    assert len(rows_of(path)) == 5 and len(read_kernel_log(path)[0].skipped) >= 1


def test_boards_are_called_as_in_the_public_measurements() -> None:
    names = {
        "NVIDIA H200": "H200-SXM-141GB", "NVIDIA H100 80GB HBM3": "H100-SXM5-80GB", "Tesla T4": "T4", "NVIDIA L40S": "L40S",
        "NVIDIA A100-SXM4-80GB": "A100-SXM4-80GB", "Tesla V100-PCIE-32GB": "V100-PCIE-32GB",
    }  # fmt: skip
    assert {name: board_name(name) for name in names} == names


def test_a_gpu_that_tells_nothing_is_measured_all_the_same(tmp_path: Path, fake: tuple[FakeCuda, Device]) -> None:
    run(request(tmp_path / "log.parquet", points=4, only=("gemm",)), replace(fake[1], telemetry=NoTelemetry()))
    rows = rows_of(tmp_path / "log.parquet")
    assert any(row.clock_mode == "sustained" for row in rows) and all(math.isnan(row.power_w) for row in rows)


BARE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pydantic", "pydantic_core", "typer", "rich", "numba", "simpy", "ruamel", "pandas", "optuna"}:
            raise ImportError(name + " is not on this machine")
sys.meta_path.insert(0, Nothing())
from rowline.workloads.measure.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def bare(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The suite from a checkout that is not installed, with nothing but torch, numpy and pyarrow."""
    command = [sys.executable, "-c", BARE, "--device", "cpu", "--scale", "0.001", "--repeats", "2", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".types")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_bare_machine_can_measure(tmp_path: Path) -> None:
    words = ("--suite", "micro", "--points", "3", "-o", "log.parquet", "--sustain-s", "0.01")
    done = bare(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"] == len(rows_of(tmp_path / "log.parquet")) >= 3 and "launch fp32 n1" in done.stderr
    again = bare(tmp_path, *words)
    assert again.returncode == 2 and again.stderr == "rowline: log.parquet: there already; --resume goes on with it\n"


def test_the_command_line_verb(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rowline", "measure", "--device", "cpu", "--suite", "micro", "--filter", "launch",
               "--repeats", "2", "-o", "log.parquet", "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == len(rows_of(tmp_path / "log.parquet")) == 3
    wrong = subprocess.run([*command, "--filter", "conv"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert wrong.returncode == 2 and wrong.stderr.startswith("rowline: --filter conv: not one of ")


def test_suites_are_those_of_the_command_line() -> None:
    assert campaign.SUITES == ("transformer", "micro")
