"""From rows of kernel logs to times: boards, stacks, protocols, power, menus, what is not modelled."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rowline.arch.boards import match_stack
from rowline.arch.loader import list_gpus, list_stacks, load_gpu, load_stack
from rowline.sim.gpu.device import CARRIED, Device, chip_of
from rowline.sim.gpu.kernels import Attention, Gemm, Rowwise
from rowline.sim.gpu.loop import Launch, Loop
from rowline.sim.gpu.menu import ctas_per_sm, menu_of
from rowline.sim.gpu.power import capped_us, dynamic_joules, sustained_us
from rowline.sim.gpu.predict import predict_columns, predict_row
from rowline.sim.gpu.protocols import kernel_of, loop_of
from rowline.sim.gpu.run import macs, time_kernel

ROW: dict[str, Any] = {
    "gpu": "H100-SXM5-80GB", "framework": "vllm-0.24.0", "op": "gemm", "dtype": "bf16", "m": 64, "n": 4096, "k": 4096,
    "batch": 1, "heads": 0, "kv_heads": 0, "head_dim": 0, "seq_q": 0, "seq_kv": 0, "protocol": "cudagraph-6weights",
    "flags": "", "launch": "", "l2": "", "copies": 0, "clock_mode": "", "repeats": 0,
}  # fmt: skip
OWN = ROW | {"protocol": "cudagraph-warm-burst", "framework": "torch-2.13.0", "launch": "graph", "l2": "warm", "repeats": 50}


def table(*rows: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows], dtype=object) for name in ROW}


def test_columns_come_back_in_order_and_rows_alike_are_alike():
    other = ROW | {"m": 2048}
    got = predict_columns(table(ROW, other, ROW))
    assert got["latency_us"][0] == got["latency_us"][2] < got["latency_us"][1]
    assert got["latency_us"][1] == predict_row(other).us
    assert (got["skipped"] == "").all() and got["choice"][0].startswith("tile ")
    assert predict_columns(table())["latency_us"].shape == (0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"op": "conv"}, "not modelled: conv"),
        ({"dtype": "fp4"}, "fp4"),
        ({"gpu": "Voodoo2"}, 'unknown board "Voodoo2"'),
        ({"op": "launch"}, "not modelled: launch"),
    ],
)
def test_what_is_not_modelled_says_why(change: dict[str, Any], reason: str):
    got = predict_columns(table(ROW | change, ROW))
    assert np.isnan(got["latency_us"][0]) and reason in got["skipped"][0]
    assert got["latency_us"][1] > 0


def test_kernels_of_rows():
    assert kernel_of(ROW) == Gemm(64, 4096, 4096, "bf16")
    assert kernel_of(ROW | {"dtype": "fp8"}) == Gemm(64, 4096, 4096, "fp8", 1, 1, 1, 2)
    attention = {"op": "attn_decode", "batch": 8, "heads": 32, "kv_heads": 8, "head_dim": 128, "seq_q": 1, "seq_kv": 1025}
    assert kernel_of(ROW | attention) == Attention("decode", "bf16", 8, 32, 8, 128, 1, 1025)
    assert kernel_of(ROW | {"op": "softmax", "dtype": "fp32"}) == Rowwise("softmax", "fp32", 64, 4096)


def test_loops_of_protocols():
    six = loop_of(ROW)
    assert (six.copies, six.shared_inputs, six.launch, six.sustained) == (6, True, Launch.GRAPH, False)
    assert six.activity < 1, "vLLM's weights are never filled"
    other = loop_of(ROW | {"framework": "sglang-0.5.14"})
    assert (other.shared_inputs, other.activity) == (False, 1.0)
    assert loop_of(ROW | {"framework": "vllm-0.22.0"}).sustained
    assert loop_of(ROW | {"protocol": "eager-cudaevent-best5of20"}).launch is Launch.EAGER
    assert loop_of(ROW | {"protocol": "profiler-kernel-sum-1us-resolution"}).launch is Launch.KERNEL
    own = loop_of(OWN | {"copies": 7, "l2": "cold", "launch": "eager", "clock_mode": "sustained"})
    assert (own.copies, own.cold, own.launch, own.sustained) == (7, True, Launch.EAGER, True)


def test_the_loop_is_part_of_the_time():
    """8 MB of weights: six copies exceed the L2; the same again does not; a flush empties it."""
    row = OWN | {"n": 2048, "k": 2048}
    warm, cold = (predict_row(row | {"l2": l2, "copies": 1}).us for l2 in ("warm", "flush"))
    six = predict_row(ROW | {"n": 2048, "k": 2048}).us
    assert warm < six <= cold * 1.02
    gemm = Gemm(64, 2048, 2048, "bf16")
    graph, kernel = (time_kernel(gemm, HOPPER, Loop(launch=x), "gemm").us for x in (Launch.GRAPH, Launch.KERNEL))
    assert graph - kernel == pytest.approx(HOPPER.gap_us)


HOPPER = Device(load_gpu("h100-sxm"), load_stack("cublas-hopper"))


def test_eager_calls_take_the_hosts_time_first():
    row = ROW | {"gpu": "T4", "framework": "torch-2.1.0-cu121", "op": "add", "dtype": "fp32", "m": 8, "n": 64, "k": 0,
                 "protocol": "eager-cudaevent-best5of20"}  # fmt: skip
    got = predict_row(row)
    assert got.bound == "host" and got.us == pytest.approx(26, abs=1)
    assert predict_row(row | {"m": 65536, "n": 4096}).us > 100 * got.us


@pytest.mark.parametrize("gpu", list_gpus())
def test_every_board_runs_a_product_attention_and_a_row_kernel(gpu: str):
    spec = load_gpu(gpu)
    dtype = "bf16" if "bf16" in spec.sm.tensor_macs else "fp16"
    device = Device(spec, match_stack("unknown", spec.architecture, dtype).stack)
    for kernel, op in (
        (Gemm(256, 4096, 4096, dtype), "gemm"), (Attention("decode", dtype, 4, 32, 8, 128, 1, 2048), "attn_decode"),
        (Attention("prefill", dtype, 1, 32, 8, 128, 1024, 1024), "attn_prefill"),
        (Rowwise("rmsnorm", dtype, 512, 4096), "rmsnorm"),
    ):  # fmt: skip
        if isinstance(kernel, Attention) and device.stack.attention is None:
            assert spec.architecture in ("volta", "turing"), "FlashAttention 2 needs Ampere"
            continue
        got = time_kernel(kernel, device, Loop(cold=True), op)
        chip = device.chip
        least = macs(kernel) / (chip.sms * chip.clock_hz * chip.tensor_macs[dtype]) * 1e6
        assert least < got.us < 1e5
        assert got.us >= got.run.result.dram_read_bytes / spec.dram.bandwidth.value * 1e6
        assert got.bound in ("arithmetic", "latency", "sm_feed", "l2", "dram", "launch", "power")


def test_what_a_specification_leaves_open_is_carried():
    bare = load_gpu("l4").model_copy(update={"achieved": load_gpu("l4").achieved.model_copy(update={"tensor": None})})
    assert chip_of(bare).tensor_efficiency == CARRIED["tensor"]
    assert chip_of(load_gpu("h100-sxm", ["achieved.tensor=0.5"])).tensor_efficiency == 0.5


def test_power_cap():
    chip = replace(HOPPER.chip, power_cap_w=700, static_w=170, mac_pj={"bf16": 2.0}, byte_pj=100.0, governor_us=25_000)
    joules = dynamic_joules(chip, "bf16", 1e12, 1e9, 0.5)
    assert joules == pytest.approx(1.0 + 0.1)
    need = 2 * 530e-6 * 1000.0  # twice what the cap leaves for a call of 1 ms
    loop = Loop(warm_calls=3, timed_calls=6)
    assert capped_us(1000.0, 0.0, need, chip, loop) == 1000.0, "nine milliseconds are over before the governor looks"
    slow = sustained_us(1000.0, 0.0, need, chip)
    assert capped_us(1000.0, 0.0, need, chip, replace(loop, sustained=True)) == slow
    assert 1000 < slow < 2000, "voltage falls with the clock, so the energy does too"
    assert capped_us(10_000.0, 0.0, 10 * need, chip, loop) == 10 * slow, "30 to 90 ms: all of it is after the window"
    assert capped_us(10_000.0, 0.0, 10 * need, replace(chip, governor_us=60_000), loop) == pytest.approx(
        10_000 + (10 * slow - 10_000) / 2, rel=1e-6
    )


@pytest.mark.parametrize("stack", list_stacks())
def test_menus_fit_their_chips(stack: str):
    spec = load_stack(stack)
    for gpu in map(load_gpu, list_gpus()):
        if gpu.architecture not in spec.architectures:
            continue
        for menu in spec.gemm.menus.values():
            for dtype in menu.dtypes:
                if dtype not in gpu.sm.tensor_macs and dtype not in gpu.sm.simt_macs:
                    continue
                kernels = menu_of(spec.gemm, dtype, gpu).kernels
                assert kernels and all(k.slots >= 1 and k.stages >= 1 for k in kernels)
                for tile in menu.all_tiles(dtype):
                    fit = ctas_per_sm(tile, menu, dtype, gpu)
                    shared = fit * tile.shared_bytes({"fp32": 4, "fp8": 1, "int8": 1}.get(dtype, 2))
                    assert shared <= gpu.sm.shared_max.value
