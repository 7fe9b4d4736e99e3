"""GPU presets: derived throughputs equal the printed ones, DRAM equals its channels, and the lint sees what it should."""

from typing import Any

import pytest
from rowline.arch import gpu_lint
from rowline.arch.gpu import Architecture, GpuSpec
from rowline.arch.gpu_lint import dram_peak_bytes_per_s, lint
from rowline.arch.loader import list_gpus, load_device, load_gpu
from rowline.arch.values import SourceKind
from rowline.arch.yamltree import ConfigError

# SMs, dense bf16 (V100, T4: fp16) TFLOP/s, fp32 TFLOP/s, GB/s, GiB, L2 MiB, W: as printed
KNOWN = {
    "t4": (40, 65, 8.1, 320, 16, 4, 70),
    "v100-pcie": (80, 112, 14, 900, 32, 6, 250),
    "v100-sxm2": (80, 125, 15.7, 900, 32, 6, 300),
    "a100-sxm-40gb": (108, 312, 19.5, 1555, 40, 40, 400),
    "a100-sxm-80gb": (108, 312, 19.5, 2039, 80, 40, 400),
    "a100-pcie-40gb": (108, 312, 19.5, 1555, 40, 40, 250),
    "a100-pcie-80gb": (108, 312, 19.5, 1935, 80, 40, 300),
    "h100-sxm": (132, 989.4, 66.9, 3352, 80, 50, 700),
    "h100-pcie": (114, 756.4, 51.2, 2039, 80, 50, 350),
    "h200": (132, 989.4, 66.9, 4800, 140, 50, 700),
    "l4": (58, 121, 30.3, 300, 24, 48, 72),
    "l40s": (142, 366.5, 91.6, 864, 48, 96, 350),
}
H200 = load_gpu("h200")


def changed(gpu: GpuSpec, **changes: str) -> GpuSpec:
    """A copy with other values, past the validators: ``sm__count="1"`` is sm.count."""
    copy = gpu
    for key, text in changes.items():
        part, name = key.split("__")
        holder: Any = getattr(copy, part)
        value = type(getattr(holder, name)).model_validate({"value": text})
        copy = copy.model_copy(update={part: holder.model_copy(update={name: value})})
    return copy


def test_every_gpu_is_known() -> None:
    assert set(list_gpus()) == set(KNOWN)
    assert {load_gpu(name).architecture for name in KNOWN} == set(Architecture)


@pytest.mark.parametrize("name", KNOWN)
def test_a_gpu_is_what_is_printed(name: str) -> None:
    count, tensor, simt, bandwidth, capacity, l2, watts = KNOWN[name]
    gpu = load_gpu(name)
    dtype = "bf16" if "bf16" in gpu.sm.tensor_macs else "fp16"
    assert gpu.sm.count.value == count
    assert gpu.tensor_ops_per_s(dtype, gpu.datasheet.tensor_clock.value) == pytest.approx(tensor * 1e12, rel=0.01)
    assert gpu.simt_ops_per_s("fp32", gpu.datasheet.simt_clock.value) == pytest.approx(simt * 1e12, rel=0.01)
    assert gpu.dram.bandwidth.value == bandwidth * 10**9
    assert dram_peak_bytes_per_s(gpu) == pytest.approx(bandwidth * 1e9, rel=0.03)
    assert gpu.dram.capacity.value == capacity * 2**30
    assert gpu.l2.size.value == l2 * 2**20
    assert gpu.power.cap.value == watts * 10**6


@pytest.mark.parametrize("name", KNOWN)
def test_no_preset_has_a_problem(name: str) -> None:
    assert lint(load_gpu(name)) == []


@pytest.mark.parametrize("name", KNOWN)
def test_every_printed_throughput_is_derived(name: str) -> None:
    """Tighter than the lint where the sheet prints three digits or more: 1 percent, for each type that it prints."""
    gpu = load_gpu(name)
    for dtype, rate in gpu.datasheet.tensor.items():
        assert gpu.tensor_ops_per_s(dtype, gpu.datasheet.tensor_clock.value) == pytest.approx(rate.value, rel=0.01)
    assert gpu.datasheet.tensor.keys() == gpu.sm.tensor_macs.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_measured_names_its_benchmark(name: str) -> None:
    sourced = load_gpu(name).sourced()
    named = ("gpu-benches", "mt4g", "AI_kernels", "ifarm-gpus", "cuda-demo", "nvidia-smi listings")
    for key, value in sourced.items():
        if value.kind == SourceKind.MEASURED:
            assert any(word in value.ref for word in named), key
        if value.kind == SourceKind.FITTED:
            assert key.split(".")[0] in ("achieved", "energy", "power", "dram"), f"{key}: a datum of the sheet is not fitted"


def test_the_h200_is_an_h100_with_other_memory() -> None:
    h100 = load_gpu("h100-sxm")
    assert h100.sm == H200.sm and h100.l2 == H200.l2 and h100.datasheet == H200.datasheet
    assert h100.dram.device != H200.dram.device
    assert h100.micro.dram_read_bandwidth != H200.micro.dram_read_bandwidth


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"sm__count": "130"}, "datasheet.tensor.bf16: 989.4 TOP/s, but rate and clock come to 974.4"),
        ({"sm__max_clock": "1.9 GHz"}, "datasheet: throughputs at 1.98 GHz, above sm.max_clock"),
        ({"sm__shared_max": "257 KiB"}, "sm.shared_max: 257 KiB is above l1_and_shared"),
        ({"sm__shared_max_per_cta": "228 KiB"}, "sm.shared_max_per_cta: 228 KiB with what is reserved"),
        ({"sm__max_threads": "2050"}, "sm.max_threads: 2050 is no whole number of warps"),
        ({"sm__register_file": "128 KiB"}, "sm.register_file: 128 KiB leaves fewer than 32 registers"),
        ({"l2__line": "80 B"}, "l2.line: 80 B is no multiple"),
        ({"l2__slices": "96"}, "l2.size: 50 MiB is no whole number of sets"),
        ({"l2__slices": "5"}, "l2.slices: 5 are not the same in each of 2"),
        ({"l2__bandwidth_per_clock": "4900"}, "micro.l2_bandwidth: 9.77 TB/s is above"),
        ({"micro__l2_usable": "60 MB"}, "micro.l2_usable: 60 MB is above"),
        ({"l2__partitions": "1"}, "micro.l2_far_latency"),
        ({"dram__bandwidth": "4.7 TB/s"}, "dram.bandwidth: 4.7 TB/s, but channels of hbm3e-6400 come to 4915.2"),
        ({"dram__capacity": "190 GiB"}, "dram.capacity: 190 GiB, but channels of hbm3e-6400 have 144 GiB"),
        ({"micro__dram_read_bandwidth": "4.9 TB/s"}, "micro.dram_read_bandwidth: 4.9 TB/s is not between"),
        ({"micro__dram_copy_bandwidth": "2 TB/s"}, "micro.dram_copy_bandwidth: 2 TB/s is not between"),
        ({"micro__l2_latency": "30 ck"}, "micro.l1_latency: 19.19 ns is above l2_latency"),
        ({"micro__dram_latency": "200 ns"}, "micro.l2_far_latency: 239.9 ns is above dram_latency"),
    ],
)  # fmt: skip
def test_each_rule_of_the_lint_fires(changes: dict[str, str], part: str) -> None:
    problems = lint(changed(H200, **changes))
    assert any(problem.startswith(part) for problem in problems), problems


def test_the_lint_asks_for_the_rate_of_a_printed_throughput() -> None:
    sm = H200.sm.model_copy(update={"tensor_macs": {k: v for k, v in H200.sm.tensor_macs.items() if k != "fp8"}})
    assert lint(H200.model_copy(update={"sm": sm})) == ["sm.tensor_macs.fp8: missing, but the data sheet has 1978.9 TOP/s"]


def test_the_lint_looks_into_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_lint, "lint_device", lambda device: [f"{device.name} is odd"])
    assert lint(H200) == ["dram.device: hbm3e-6400 is odd"]


@pytest.mark.parametrize(
    ("sets", "part"),
    [
        (["sm.tensor_macs.fp4=8192"], "sm.tensor_macs.fp4: unknown type; known: fp64"),
        (["datasheet.simt.fp4=1 TOP/s"], "datasheet.simt.fp4: unknown type"),
        (["sm.max_clock=1.8 GHz"], "needs base_clock <= boost_clock <= max_clock"),
        (["power.idle=701 W"], "power.idle: above power.cap"),
        (["power.cap=170 W"], "power.static: not below power.cap"),
        (["dram.device=hbm4"], "dram.device: unknown device"),
        (["dram.devise=hbm3-6400"], 'dram.devise: unknown key; did you mean "device"?'),
        (["micro.l2_latency=3"], "micro.l2_latency: needs a unit of time"),
        (["dram.bandwidth=4.8 TB"], "dram.bandwidth: needs a unit of bandwidth"),
        (["datasheet.tensor.bf16=989 TFLOP/s"], "datasheet.tensor.bf16: needs a unit of op_rate"),
        (["architecture=kepler"], "architecture: Input should be 'volta'"),
    ],
)  # fmt: skip
def test_refusals(sets: list[str], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_gpu("h200", sets)
    assert part in str(caught.value) and len(caught.value.problems) == 1


def test_overrides_and_other_devices() -> None:
    gpu = load_gpu("h200", ["dram.device=hbm3-6400", "sm.count=100", "energy.tensor_mac.bf16=1.5 pJ"])
    assert (gpu.dram.device, gpu.sm.count.value, gpu.energy.tensor_mac["bf16"].value) == ("hbm3-6400", 100, 1500)
    assert load_gpu("h200") is load_gpu("h200", [])  # read once
    assert load_device(gpu.dram.device).standard == "hbm3"
    with pytest.raises(ConfigError, match='unknown GPU "h2000"; did you mean "h200"'):
        load_gpu("h2000")


def test_sources_can_be_listed() -> None:
    assumed = H200.resting_on(SourceKind.ASSUMED)
    assert "l2.ways" in assumed and "sm.count" not in assumed
    assert "micro.l2_bandwidth" in H200.resting_on(SourceKind.MEASURED)
    assert "sm.tensor_macs.bf16" in H200.sourced()
