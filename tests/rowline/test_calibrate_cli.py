"""``rowline calibrate``: planted constants come back, files say where numbers are from, bad input is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.values import Sourced, SourceKind
from rowline.arch.yamltree import ConfigError
from rowline.calibration import write_presets
from rowline.calibration_fit import Outcome, shared_key
from rowline.calibration_plans import PLANS, joined
from rowline.cli import _guard, app
from rowline.preset_edit import edited
from rowline.sim.gpu import fit_keys as fk
from rowline.sim.gpu.device import Device
from rowline.sim.gpu.fit_rows import RowGroup
from rowline.sim.gpu.kernels import Gemm
from rowline.sim.gpu.loop import Loop
from rowline.sim.gpu.micro_estimates import estimates, pair_slopes
from rowline.sim.gpu.run import time_kernel
from rowline.traces.kernellog import KernelHeader, KernelRow, to_columns, write_kernel_log
from rowline.workloads.measure.micro import micro_kernels

H200 = "NVIDIA H200"
READ, COPY, L2 = 4.1e12, 3.6e12, 8.0e12  # bytes a second
USABLE, LAUNCH_US, HIT, MISS = 40e6, 1.5, 310.0, 900.0
STATIC_W, BYTE_J, MAC_J, CLOCK = 160.0, 90e-12, 1.3e-12, 1.7e9


def device_us(row: KernelRow) -> float:
    """How long a made-up device with the constants above takes."""
    size = 4 * row.n
    if row.op == "launch":
        return LAUNCH_US if row.launch == "graph" else 4 * LAUNCH_US
    if row.op.startswith("stream"):
        moved = size * (2 if row.op == "stream_copy" else 1)
        rate = {"stream_read": READ, "stream_write": 3.9e12, "stream_copy": COPY}[row.op]
        return 3.0 + moved / (rate if moved > USABLE or row.l2 == "cold" else L2) * 1e6
    if row.op == "l2_read":
        return 3.0 + row.m * size / (L2 if size <= USABLE else READ) * 1e6
    if row.op == "l2_latency":
        return 2.0 + math.log2(row.n) * (HIT if row.l2 == "warm" else MISS) / CLOCK * 1e6
    rate = {"bf16": 2048, "fp16": 2048, "fp32": 128}.get(row.dtype, 4096) * 132 * CLOCK * 0.75
    return 2.5 + row.m * row.n * row.k / rate * 1e6


def micro_rows(gpu: str = H200) -> list[KernelRow]:
    """The suite on the made-up device: power and clock as it draws and runs, times with half a percent of noise."""
    rng = np.random.default_rng(0)
    found: list[KernelRow] = []
    for kernel in micro_kernels(0, 132):
        if kernel.variant:
            continue
        modes = [("graph", "warm", "burst"), ("graph", "cold", "burst"), ("graph", "warm", "sustained")]
        modes += [("eager", "warm", "burst"), ("eager", "flush", "burst")]
        for launch, l2, clock in modes:
            row = KernelRow(gpu, kernel.op, kernel.dtype, 1.0, framework="torch-2.9.0", m=kernel.m, n=kernel.n, k=kernel.k,
                            launch=launch, l2=l2, clock_mode=clock, repeats=10, sm_clock_mhz=CLOCK / 1e6)  # fmt: skip
            us = device_us(row) * (1 + 0.005 * rng.standard_normal())
            found.append(replace(row, latency_us=us, power_w=watts(row, us) if clock == "sustained" else math.nan))
    return found


def watts(row: KernelRow, us: float) -> float:
    moved, macs = 0.0, 0.0
    if row.op.startswith("stream"):
        size = 4 * row.n * (2 if row.op == "stream_copy" else 1)
        moved = size if size > USABLE else 0.0
    elif row.op == "gemm_peak":
        moved, macs = 3 * 2.0 * row.m**2, float(row.m) ** 3
    return STATIC_W + (moved * BYTE_J + macs * MAC_J) / (us * 1e-6)


HEADER = KernelHeader(device=H200, date="2026-05-04T12:00:00Z", sm_count=132, power_cap_w=650.0)


def write(path: Path, rows: list[KernelRow], header: KernelHeader = HEADER) -> Path:
    write_kernel_log(path, header, to_columns(rows))
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("micro") / "micro.parquet", micro_rows())


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = _guard(lambda: app(["calibrate", *map(str, args)], standalone_mode=False))
    out, err = capsys.readouterr()
    return code, out, err


# ---------------------------------------------------------------- micro-benchmarks


def test_estimates_find_what_was_planted() -> None:
    found = estimates(to_columns(micro_rows()), load_gpu("h200")).found
    write_share = 1 / (2 / COPY - 1 / READ) / 4.8e12
    planted = {
        "micro.dram_read_bandwidth": READ, "micro.dram_copy_bandwidth": COPY, "micro.dram_write_bandwidth": 3.9e12,
        "achieved.dram_read": 1000 * READ / 4.8e12, "achieved.dram_write": 1000 * write_share, "micro.l2_bandwidth": L2,
        "micro.graph_launch": LAUNCH_US * 1e6, "micro.stream_launch": 4 * LAUNCH_US * 1e6, "micro.l2_latency": HIT,
        "micro.dram_latency": MISS, "achieved.tensor": 750, "achieved.simt": 750, "power.static": STATIC_W * 1e6,
        "energy.traffic_bit": BYTE_J / 8 * 1e15, "energy.tensor_mac.bf16": MAC_J * 1e15,
    }  # fmt: skip
    for path, value in planted.items():
        assert found[path].value == pytest.approx(value, rel=0.03), path
    assert 0.8 * USABLE < found["micro.l2_usable"].value < 1.25 * USABLE  # sizes stand a third apart there


def test_a_few_odd_rows_do_not_move_a_slope() -> None:
    x = np.arange(1.0, 12.0)
    t = 5 + 2 * x
    t[[3, 7]] = 100, 1
    assert np.median(pair_slopes(x, t)) == pytest.approx(2)


def test_what_the_log_lacks_is_named_and_not_guessed() -> None:
    rows = [row for row in micro_rows() if row.op not in ("stream_copy", "l2_read")]
    rows = [replace(row, power_w=math.nan, sm_clock_mhz=math.nan) for row in rows]
    findings = estimates(to_columns(rows), load_gpu("h200"))
    gone = {"micro.dram_copy_bandwidth", "achieved.dram_write", "micro.l2_bandwidth", "micro.l2_usable", "power.static",
            "energy.traffic_bit", "energy.tensor_mac.bf16", "achieved.tensor", "achieved.simt"}  # fmt: skip
    assert gone <= findings.missing.keys() and not gone & findings.found.keys()
    assert "micro.dram_read_bandwidth" in findings.found and all(findings.missing.values())


def test_a_sum_that_is_no_faster_than_dram_shows_no_l2() -> None:
    rows = [replace(row, latency_us=row.latency_us * 3) if row.op == "l2_read" else row for row in micro_rows()]
    findings = estimates(to_columns(rows), load_gpu("h200"))
    assert "arithmetic" in findings.missing["micro.l2_bandwidth"] and "micro.l2_usable" in findings.missing


def test_wrong_results_are_not_used() -> None:
    rows = micro_rows()
    wrong = [replace(row, latency_us=row.latency_us * 9, flags="wrong_result") for row in rows if row.op == "launch"]
    found = estimates(to_columns(rows + wrong), load_gpu("h200")).found
    assert found["micro.graph_launch"].value == pytest.approx(LAUNCH_US * 1e6, rel=0.02)


def test_a_log_becomes_a_gpu_that_says_where_its_numbers_are_from(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.yaml"
    code, text, err = run(capsys, "--gpu", "h200", "--log", log, "-o", out, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(text)
    assert answer["written"] == [str(out), str(tmp_path / "mine-stack.yaml")] and answer["notes"] == []
    gpu, stack = load_gpu(str(out)), load_stack(str(tmp_path / "mine-stack.yaml"))
    assert gpu.name == "mine" and gpu.sm == load_gpu("h200").sm and gpu.power.cap.value == 650 * 10**6
    derived = {d["key"].partition(".")[2]: d for d in answer["derived"]}
    for path, number in gpu.sourced().items():
        if path in derived:
            assert number.kind is SourceKind.MEASURED and "micro.parquet sha256" in number.ref and "2026-05-04" in number.ref
            assert H200 in number.ref and derived[path]["new"] == number.text
        else:
            assert number == load_gpu("h200").sourced()[path]
    assert stack.fixed.launch is not None and stack.fixed.launch.kind is SourceKind.FITTED
    assert Device(gpu, stack).chip.dram_read_hz == pytest.approx(READ, rel=0.02)
    code, _, err = run(capsys, "--gpu", "h200", "--log", log, "-o", out)
    assert code == 2 and "is there already" in err and len(err.splitlines()) == 1


def test_the_table_names_old_new_and_missing(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "--log", log)  # the GPU is known by the log's board
    assert code == 0 and "gpu:h200.micro.dram_read_bandwidth" in text and "3888 GB/s" in text
    assert "achieved.l2_usable" in text.partition("not in the log")[2]


def test_a_log_of_another_board_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "l.parquet", micro_rows("Mystery 9000"), replace(HEADER, sm_count=64))
    code, text, _ = run(capsys, "--gpu", "h100-sxm", "--log", path, "--json")
    assert code == 0
    assert json.loads(text)["notes"] == ["the log is of Mystery 9000, which is no name of h100-sxm",
                                         "the log's device has 64 SMs, h100-sxm has 132"]  # fmt: skip
    code, _, err = run(capsys, "--log", path)
    assert code == 2 and "unknown board" in err


# ---------------------------------------------------------------- points


def kernels(count: int) -> list[KernelRow]:
    """Products as a device simulates them whose tensor cores and launches are not those of the preset."""
    gpu, stack = load_gpu("h200", ["achieved.tensor=0.6"]), load_stack("cublas-hopper", ["fixed.launch=3 us"])
    device, rng, found = Device(gpu, stack), np.random.default_rng(3), list[KernelRow]()
    for _ in range(count):
        m, n, k = (64 * round(2 ** float(x)) for x in rng.uniform((0, 3, 3), (6, 7, 7)))
        us = time_kernel(Gemm(m, n, k, "bf16", 1, 2.0, 2.0, 2.0), device, Loop(timed_calls=5), "gemm").us
        found.append(KernelRow(H200, "gemm", "bf16", us, framework="vllm-0.24.0", m=m, n=n, k=k, batch=1,
                               launch="graph", l2="warm", copies=1, clock_mode="burst", repeats=5))  # fmt: skip
    return found


def test_points_give_labelled_constants_and_the_error_on_other_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "points.parquet", kernels(60)), tmp_path / "fit.yaml"
    code, text, err = run(capsys, "--gpu", "h200", "--points", path, "--max-points", 16, "--seed", 5, "-o", out, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(text)
    keys = {k["key"]: k for k in answer["keys"]}
    assert len(answer["points"]) == 16 == len(set(answer["points"]))
    assert sum(n["rows"] for n in answer["not_used"]) == 44
    assert all(n["mape_after"] < n["mape_before"] / 2 for n in answer["not_used"])
    assert keys["gpu:h200.achieved.simt"]["status"] == "not identified"
    got = load_gpu(str(out)).achieved
    assert got.tensor is not None and got.tensor.value == pytest.approx(600, rel=0.1) and got.tensor.kind is SourceKind.FITTED
    assert "16 rows of points.parquet" in got.tensor.ref and "seed 5" in got.tensor.ref and " -> " in got.tensor.ref
    launch = load_stack(str(tmp_path / "fit-stack.yaml")).fixed.launch
    assert launch is not None and launch.value == pytest.approx(3_000_000, rel=0.15)
    assert got.simt == load_gpu("h200").achieved.simt  # dropped: not written


# ---------------------------------------------------------------- refusals


def test_bad_input_is_one_line_and_exit_code_2(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = write(tmp_path / "few.parquet", kernels(2) + [replace(kernels(1)[0], framework="other-1.0")])
    cpu = write(tmp_path / "cpu.parquet", [KernelRow("CPU", "launch", "fp32", 1.0, launch="", l2="")])
    mixed = write(tmp_path / "mixed.parquet", [KernelRow(g, "launch", "fp32", 1.0) for g in (H200, "CPU")])
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    for args, words in (
        ((), "give one of"),
        (("--log", log, "--points", few), "give one of"),
        (("--log", tmp_path / "none.parquet"), "none.parquet"),
        (("--log", tmp_path / "junk.parquet"), "junk.parquet"),
        (("--gpu", "h900", "--log", log), 'unknown GPU "h900"'),
        (("--gpu", "h200", "--log", few), "no micro-benchmarks"),
        (("--gpu", "h200", "--log", cpu), "nothing can be derived"),
        (("--gpu", "h200", "--log", mixed), "several GPUs"),
        (("--log", log, "-o", tmp_path / "x.txt"), "must end in .yaml"),
        (("--log", log, "-o", tmp_path / "no" / "x.yaml"), "no such folder"),
        (("--points", few, "--max-points", 61), "must be 1 to 60"),
        (("--points", few, "--max-points", 0), "must be 1 to 60"),
        (("--gpu", "h200", "--points", few), "name one with --framework"),
        (("--gpu", "t4", "--points", few), "name one with --framework"),
        (("--shipped", "nothing"), "known: gemm-hopper"),
        (("--shipped", "gemm-hopper", "--against", tmp_path), "gemm_aic_h100.parquet"),
    ):  # fmt: skip
        code, out, err = run(capsys, *args)
        assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1, (args, err)


# ---------------------------------------------------------------- shipped constants


def number(text: str, ref: str = 'said "so"') -> Sourced:
    return fk.parse_value(load_gpu("h200"), "achieved.tensor", text, SourceKind.FITTED, ref)


TEXT = """# a board
name: x
achieved:  # what kernels reach
  tensor: {value: 0.8, kind: FITTED, ref: "one # two"}  # a comment
  port: {value: 54, kind: FITTED, ref: "y"}
power:
  cap: {value: 7 W}
"""


def test_a_number_is_put_into_its_line_and_all_else_stays() -> None:
    after = edited(TEXT, "achieved.tensor", number("0.75"), "f")
    assert after.split("\n")[3] == '  tensor: {value: 0.75, kind: FITTED, ref: "said \\"so\\""}  # a comment'
    assert [a for a, b in zip(after.split("\n"), TEXT.split("\n"), strict=True) if a != b] == [after.split("\n")[3]]


def test_a_missing_number_goes_below_its_section_or_makes_one() -> None:
    lines = edited(TEXT, "achieved.simt", number("0.9"), "f").split("\n")
    assert lines[5].startswith("  simt: {value: 0.9,") and lines[6] == "power:"
    lines = edited(TEXT, "energy.tensor_mac.bf16", number("0.9"), "f").split("\n")
    assert lines[7:10] == ["energy:", "  tensor_mac:", f"    bf16: {lines[9].strip()[6:]}"]


def test_what_lines_cannot_edit_is_refused() -> None:
    for text in ("a: {tensor: {value: 1}}\n", "a:\n  tensor:\n    value: 0.5\n"):
        with pytest.raises(ConfigError, match="cannot be edited"):
            edited(text, "a.tensor", number("0.9"), "f")


def test_fitted_numbers_are_written_with_the_rows_they_rest_on(tmp_path: Path) -> None:
    for scope, name in (("gpu", "h100-sxm"), ("stack", "cublas-hopper")):
        (tmp_path / scope).mkdir()
        source = Path(fk.PRESETS) / scope / f"{name}.yaml"
        (tmp_path / scope / source.name).write_text(source.read_text())
    keys = [shared_key((fk.parse_key(k),), {"h100-sxm": "cublas-hopper"})
            for k in ("gpu:h100-sxm.achieved.tensor", "stack:cublas-hopper.fixed.launch")]  # fmt: skip
    outcomes = [Outcome(key, fk.valued(key.start, key.start.value + 1000 * i), "moved", None, 0.1) for i, key in enumerate(keys)]
    group = RowGroup("h200", "cublas-hopper", "vllm-0.24.0", "gemm.parquet", ())
    written = write_presets(tmp_path, outcomes, [group], "--shipped test", 7)
    gpu, stack = load_gpu(written[0]), load_stack(written[1])
    assert gpu.achieved.tensor is not None and stack.fixed.launch is not None
    assert stack.fixed.launch.value == keys[1].start.value + 1000
    for value in (gpu.achieved.tensor, stack.fixed.launch):
        assert value.kind is SourceKind.FITTED and "vllm-0.24.0 on h200" in value.ref and "seed 7" in value.ref
        assert "--shipped test" in value.ref and "gemm.parquet" in value.ref


def test_plans_name_keys_and_presets_that_exist() -> None:
    plan = joined(list(PLANS))
    assert len(plan.groups) == len({*plan.groups}) and len(plan.keys) == len({*plan.keys})
    for keys in plan.keys:
        assert all(fk.parse_key(key) for key in keys)
    for group in plan.groups:
        assert load_gpu(group.gpu).name == group.gpu
