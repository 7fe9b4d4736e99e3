"""Models on GPUs: kernels of an OpGraph, their stream, and a run's figures against closed forms and bounds."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.sim.gpu.device import Device
from rowline.sim.gpu.generate import Program, RawGpuRun, simulate_program
from rowline.sim.gpu.kernels import Attention, Gemm, Rowwise
from rowline.sim.gpu.loop import Launch, Loop, residency, resident_share
from rowline.sim.gpu.results import GpuRunResult
from rowline.sim.gpu.run import macs, time_kernel
from rowline.sim.mapping.gpu import Operands, map_pass
from rowline.sim.mapping.placement import MappingError
from rowline.sim.processes.gpu import Batch, run_stream
from rowline.traces.opgraph import OpGraph
from rowline.workloads.closed_form import decode_macs, prefill_macs
from rowline.workloads.models.gpt import GptConfig
from rowline.workloads.models.registry import get_model, list_models
from rowline.workloads.tracer import trace_decode, trace_prefill

TINY = GptConfig(name="tiny", n_layers=2, d_model=256, n_heads=4, n_positions=256, vocab_size=1000)
FUSED, PLAIN = "cublas-hopper", "cublas-turing"


@cache
def decode_graph(name: str) -> OpGraph:
    return trace_decode(model_of(name))


@cache
def prefill_graph(name: str, prompt: int) -> OpGraph:
    return trace_prefill(model_of(name), prompt)


def model_of(name: str) -> GptConfig:
    return TINY if name == "tiny" else get_model(name)


@cache
def simulated(
    gpu: str = "h200", stack: str = FUSED, model: str = "gpt2-small", prompt: int = 1, tokens: int = 4, launch: str = "graph",
    dtype: str = "bf16", sets: tuple[str, ...] = (), stack_sets: tuple[str, ...] = (),
) -> GpuRunResult:  # fmt: skip
    device = Device(load_gpu(gpu, sets), load_stack(stack, stack_sets))
    decode = decode_graph(model)
    prefill = prefill_graph(model, prompt) if prompt > 1 else decode.at(1)
    plans = [map_pass(graph, device.stack, dtype) for graph in (prefill, decode)]
    return GpuRunResult(simulate_program(Program(device, dtype, Launch(launch), prompt, tokens, *plans)))


# the kernels of a graph


@pytest.mark.parametrize("stack", [FUSED, PLAIN])
@pytest.mark.parametrize("name", list_models())
def test_kernels_do_the_multiply_adds_of_the_model(name: str, stack: str) -> None:
    plan = map_pass(decode_graph(name), load_stack(stack), "fp16")
    for kv_length in (1, 777):
        parts = decode_macs(get_model(name), kv_length)
        expected = parts.block_weights + parts.attention + parts.lm_head
        assert sum(macs(step.at(kv_length)) for step in plan.steps) == expected
        assert sum(step.macs + step.macs_per_kv * kv_length for step in plan.steps) == expected
    config = get_model(name)
    matrices = config.n_layers * (4 * config.d_model**2 + 2 * config.d_model * config.d_ff) + config.vocab_size * config.d_model
    assert plan.weight_bytes == 2 * matrices
    assert plan.kv_bytes_per_token == 2 * 2 * config.n_layers * config.d_model


def test_a_prompt_counts_unmasked_scores_once() -> None:
    parts = prefill_macs(get_model("gpt2-small"), 100)
    expected = parts.block_weights + parts.attention + parts.lm_head
    graph = prefill_graph("gpt2-small", 100)
    for stack in (FUSED, PLAIN):
        assert sum(step.macs for step in map_pass(graph, load_stack(stack), "fp16").steps) == expected
    assert sum(macs(step.kernel) for step in map_pass(graph, load_stack(FUSED), "fp16").steps) == expected
    done = sum(macs(step.kernel) for step in map_pass(graph, load_stack(PLAIN), "fp16").steps)
    assert done - expected == parts.attention * 100 / 101 * 2 - parts.attention  # without FlashAttention, masked ones too


def test_a_block_is_the_kernels_that_the_stack_launches() -> None:
    def names(stack: str, *sets: str) -> list[str]:
        steps = map_pass(decode_graph("tiny"), load_stack(stack, sets), "fp16").steps
        return [step.name for step in steps if step.layer == 0]

    ends = ["gemm", "add", "layernorm", "gemm", "gelu", "gemm", "add"]
    assert names(FUSED) == ["layernorm", "gemm", "attn_decode", *ends]
    assert names(PLAIN) == ["layernorm", "gemm", "kv_write", "bmm", "softmax", "bmm", *ends]
    fused = names(FUSED, "fusion.activation=true", "fusion.residual=true")
    assert fused == ["layernorm", "gemm", "attn_decode", "gemm", "layernorm", "gemm", "gemm"]
    apart = names(FUSED, "fusion.bias=false")
    assert apart.count("add") == 2 + 4 and apart[:3] == ["layernorm", "gemm", "add"]


def test_shapes_of_kernels() -> None:
    steps = {s.op_class: s for s in map_pass(decode_graph("tiny"), load_stack(FUSED), "bf16").steps}
    assert steps["attn.qkv"].kernel == Gemm(1, 768, 256, "bf16")
    assert steps["lm_head"].kernel == Gemm(1, 1000, 256, "bf16")
    assert steps["attention"].at(99) == Attention("decode", "bf16", 1, 4, 4, 64, 1, 99)
    plain = [s for s in map_pass(decode_graph("tiny"), load_stack(PLAIN), "fp16").steps if s.op_class == "attention"][:3]
    assert [s.at(99) for s in plain] == [
        Gemm(1, 99, 64, "fp16", 4), Rowwise("softmax", "fp16", 4, 99), Gemm(1, 64, 99, "fp16", 4)
    ]  # fmt: skip
    assert {s.operands for s in plain} == {Operands.WEIGHTS}
    prompt = map_pass(prefill_graph("tiny", 20), load_stack(PLAIN), "fp16").steps
    assert [s.operands for s in prompt if s.name == "bmm"] == [Operands.FRESH] * 4
    kernels = {s.op_class: s.kernel for s in prompt}
    assert kernels["kv_write"] == Rowwise("kv_write", "fp16", 20, 256) and kernels["lm_head"] == Gemm(1, 1000, 256, "fp16")


def test_an_operation_without_a_kernel_is_refused() -> None:
    graph = decode_graph("tiny")
    odd = replace(graph, ops=(*graph.ops[:3], replace(graph.ops[3], kind="mul"), *graph.ops[4:]))
    with pytest.raises(MappingError, match='blocks.0.ln_1: no kernel for operation "mul"'):
        map_pass(odd, load_stack(FUSED), "bf16")


# what a program finds in the L2


def test_residency_of_a_program() -> None:
    cold = residency(Loop(program_bytes=math.inf), 100.0, 10.0, 10.0, 50.0)
    assert cold == residency(Loop(program_bytes=1e6), 100.0, 10.0, 10.0, 50.0)
    assert (cold.weights, cold.inputs, cold.outputs) == (0.0, 1.0, 0.0)
    part = residency(Loop(program_bytes=80.0), 100.0, 10.0, 10.0, 50.0)
    assert 0 < part.weights == part.outputs == resident_share(80.0, 50.0) < 1
    assert residency(Loop(program_bytes=math.inf), 0.0, 90.0, 10.0, 50.0).inputs < 0.5
    assert residency(Loop(program_bytes=40.0), 100.0, 90.0, 10.0, 50.0).inputs == 1.0


def test_inputs_are_warm_and_weights_are_cold_in_a_program() -> None:
    device, program = Device(load_gpu("h200"), load_stack(FUSED)), Loop(program_bytes=math.inf)
    gemm = time_kernel(Gemm(64, 4096, 4096, "bf16"), device, program, "gemm").run.result
    assert gemm.dram_read_bytes == pytest.approx(2 * 4096 * 4096, rel=0.01)
    norm = time_kernel(Rowwise("layernorm", "bf16", 1024, 1024), device, program, "layernorm").run.result
    assert norm.dram_read_bytes == 0
    added = time_kernel(Rowwise("add", "bf16", 1024, 1024), device, program, "add").run.result
    assert added.dram_read_bytes == pytest.approx(2 * 1024 * 1024, rel=0.05)  # the residual of before, and what was just made
    gather = time_kernel(Rowwise("embedding", "bf16", 1024, 1024), device, program, "embedding").run.result
    assert gather.dram_read_bytes == pytest.approx(2 * 1024 * 1024, rel=0.05)
    decode = Attention("decode", "bf16", 1, 32, 32, 128, 1, 4096)
    cache = 2 * 2 * 32 * 128 * 4096
    assert time_kernel(decode, device, program, "attn_decode").run.result.dram_read_bytes == pytest.approx(cache, rel=0.02)
    small = time_kernel(decode._replace(seq_kv=128), device, Loop(program_bytes=8e6), "attn_decode").run.result
    assert small.dram_read_bytes == 0


# the stream


def test_a_graph_waits_for_its_launch_only() -> None:
    starts, ends = run_stream([Batch(5, [10, 20]), Batch(5, [7])])
    assert (starts, ends) == ([5, 15, 35], [15, 35, 42])  # the second was launched at 10
    starts, ends = run_stream([Batch(5, [10]), Batch(50, [7])])
    assert (starts, ends) == ([5, 55], [15, 62])
    assert run_stream([]) == ([], [])


def test_eager_launches_hide_behind_long_kernels_only() -> None:
    long, short = ([Batch(4, [ps]) for _ in range(100)] for ps in (9, 3))
    assert run_stream(long)[1][-1] == 4 + 100 * 9
    assert run_stream(short)[1][-1] == 100 * 4 + 3


# runs


def test_a_decode_pass_reads_weights_and_cache_once() -> None:
    result = simulated(prompt=128, tokens=3)
    config, d = get_model("gpt2-small"), 768
    weights = 2 * (config.n_layers * 12 * d * d + config.vocab_size * d)
    cache = 2 * 2 * config.n_layers * d * (129 + 130)
    phase = result.stats["phases"]["decode"]
    assert phase["dram_read_bytes"] == pytest.approx(2 * weights + cache, rel=0.01)
    assert phase["dram_write_bytes"] < 0.01 * phase["dram_read_bytes"]
    assert phase["latency_s"] > 2 * weights / load_gpu("h200").dram.bandwidth.value
    prompt = result.stats["phases"]["prefill"]
    assert weights < prompt["dram_read_bytes"] < 1.2 * weights


def test_a_small_model_stays_in_the_l2() -> None:
    stats = simulated(model="tiny", tokens=3).stats
    weights = 2 * (2 * 12 * 256**2 + 1000 * 256)
    assert stats["phases"]["prefill"]["dram_read_bytes"] > 0.99 * weights  # the first pass finds nothing
    assert stats["phases"]["decode"]["dram_read_bytes"] < 0.01 * weights
    assert stats["phases"]["decode"]["l2_hit_rate"] > 0.99


def test_alike_kernels_are_simulated_once() -> None:
    raw = simulated(tokens=4).raw
    attention = [k for k in raw.kernels if isinstance(k, Attention)]
    assert sorted(k.seq_kv for k in attention) == [1, 2, 3, 4]
    assert len(raw.kernels) - len(attention) == 2 * 9  # embedding, add, norm, 4 products, GELU, LM head: first use, later ones
    assert len(raw.start_ps) == 4 * len(raw.program.decode.steps)


def check_sums(result: GpuRunResult) -> dict[str, Any]:
    stats, raw = result.stats, result.raw
    assert stats["prefill_latency_s"] + stats["decode_latency_s"] == pytest.approx(stats["latency_s"], abs=2e-12)
    for key in ("latency_breakdown_s", "latency_by_term_s"):
        assert min(stats[key].values()) >= 0
        assert sum(stats[key].values()) == pytest.approx(stats["latency_s"], rel=1e-9)
    for key in ("energy_breakdown_j", "energy_by_op_class_j"):
        assert min(stats[key].values()) >= 0
        assert sum(stats[key].values()) == pytest.approx(stats["energy_j"], rel=1e-9)
    for key in ("macs", "dram_bytes", "launches", "energy_j"):
        assert sum(p[key] for p in stats["phases"].values()) == pytest.approx(stats[key], rel=1e-9)
    shares = sum(k["share"] for k in stats["kernels"])
    assert shares == pytest.approx(1 - stats["latency_breakdown_s"]["host"] / stats["latency_s"], rel=1e-9)
    assert sum(k["calls"] for k in stats["kernels"]) == stats["launches"] == len(raw.start_ps)
    assert sum(k["calls"] * k["dram_bytes"] for k in stats["kernels"]) == pytest.approx(stats["dram_bytes"])
    assert all(before <= start for before, start in zip(raw.end_ps, raw.start_ps[1:], strict=False))
    rows = result.ops()
    assert rows["macs"].sum() == stats["macs"] and rows["end_ps"].max() == round(stats["latency_s"] * 1e12)
    assert rows["dram_read_bytes"].sum() + rows["dram_write_bytes"].sum() == stats["dram_bytes"]
    return stats


@pytest.mark.parametrize(
    ("gpu", "stack", "dtype", "launch"),
    [("h200", FUSED, "bf16", "graph"), ("t4", PLAIN, "fp16", "graph"), ("l4", "torch-2.1-simt", "fp32", "eager")],
)
def test_the_numbers_belong_together(gpu: str, stack: str, dtype: str, launch: str) -> None:
    stats = check_sums(simulated(gpu, stack, prompt=16, tokens=4, dtype=dtype, launch=launch))
    config = get_model("gpt2-small")
    one, prompt = decode_macs(config, 0), prefill_macs(config, 16)
    decoded = 3 * (one.block_weights + one.lm_head) + sum(decode_macs(config, kv).attention for kv in (17, 18, 19))
    assert stats["macs"] == prompt.block_weights + prompt.attention + prompt.lm_head + decoded
    assert stats["tpot_s"] == pytest.approx(stats["decode_latency_s"] / 3)


def test_one_token_of_one_has_no_decode() -> None:
    stats = check_sums(simulated(model="tiny", tokens=1))
    assert stats["tpot_s"] is None and stats["decode_latency_s"] == 0 and {k["phase"] for k in stats["kernels"]} == {"prefill"}


def test_faster_memory_and_bigger_chips_are_faster() -> None:
    turing, hopper = (PLAIN, "fp16"), (FUSED, "bf16")
    boards = {"t4": turing, "v100-sxm2": turing, "h100-sxm": hopper, "h200": hopper}
    tpot = {gpu: simulated(gpu, stack, dtype=dtype).stats["tpot_s"] for gpu, (stack, dtype) in boards.items()}
    assert tpot["t4"] > 1.3 * tpot["v100-sxm2"] > 1.3 * tpot["h200"]
    assert tpot["h100-sxm"] > tpot["h200"]


def test_a_batched_prompt_is_faster_than_its_tokens() -> None:
    stats = simulated(prompt=128, tokens=3).stats
    assert stats["phases"]["prefill"]["latency_s"] < 4 * stats["tpot_s"]


def test_a_slow_host_sets_the_pace() -> None:
    graph, eager = (simulated("l4", "torch-2.1-simt", dtype="fp32", tokens=4, launch=how) for how in ("graph", "eager"))
    known = {name: eager.raw.program.device.host_us(name) for name in load_stack("torch-2.1-simt").fixed.eager}
    host_us = sum(known.get(step.name, min(known.values())) for step in eager.raw.program.decode.steps)
    assert eager.stats["tpot_s"] == pytest.approx(host_us * 1e-6, rel=0.02)
    assert eager.stats["tpot_s"] > 1.2 * graph.stats["tpot_s"]
    assert eager.stats["latency_breakdown_s"]["host"] > 0.1 * eager.stats["latency_s"]
    assert eager.stats["host_launches"] == eager.stats["launches"] and graph.stats["host_launches"] == 4


def test_products_on_scalar_lanes_have_energy_and_the_cap() -> None:
    """T4 in fp32: each multiply-add of a product costs what the lanes take, padding and traffic beside, and 70 W hold."""
    free, held = (
        simulated("t4", "torch-2.1-simt", prompt=512, tokens=2, dtype="fp32", sets=sets)
        for sets in (("power.cap=500 W",), ("power.window=1 us",))
    )
    chip = free.raw.program.device.chip
    least = 33e-12 * sum(macs(free.raw.kernels[i]) for ids in free.raw.ids for i in ids)
    assert free.stats["energy_breakdown_j"]["arithmetic"] == pytest.approx(least, rel=1e-6)
    assert free.stats["energy_breakdown_j"]["memory"] > 0 and free.raw.held == [1.0, 1.0]
    assert held.raw.held[0] > 1.2 and chip.static_w == 26
    seconds = held.raw.prefill_end_ps * 1e-12
    joules = sum(held.raw.timings[i].joules for i in held.raw.ids[0]) * held.raw.spent[0]
    assert joules / seconds + chip.static_w == pytest.approx(70, rel=0.01)


def power_w(raw: RawGpuRun, index: int) -> float:
    """Mean power of a pass."""
    before = sum(len(ids) for ids in raw.ids[:index])
    last = before + len(raw.ids[index]) - 1
    seconds = (raw.end_ps[last] - raw.end_ps[before - 1]) * 1e-12
    return sum(raw.timings[i].joules for i in raw.ids[index]) * raw.spent[index] / seconds + raw.program.device.chip.static_w


def test_the_cap_holds_after_its_window() -> None:
    free, held = (simulated(tokens=64, sets=sets) for sets in ((), ("power.cap=190 W", "power.window=10 ms")))
    assert free.raw.held == free.raw.spent == [1.0] * 64
    factors, cap = held.raw.held, 190.0
    assert factors[0] == 1.0 and factors[-1] > 1.0
    assert held.raw.spent[0] == 1.0 > held.raw.spent[-1]  # a lower clock, and voltage
    assert power_w(free.raw, 63) > cap and power_w(held.raw, 63) == pytest.approx(cap, rel=1e-3)
    first = next(i for i, factor in enumerate(factors) if factor > 1)
    done = held.raw.end_ps[sum(len(ids) for ids in held.raw.ids[: first + 1]) - 1]
    assert 10e9 < done < 10e9 + 2 * 1e12 * held.stats["tpot_s"]
    assert held.stats["latency_by_term_s"]["power"] > 0
    assert any("power cap" in note for note in held.stats["notes"])
    check_sums(held)
