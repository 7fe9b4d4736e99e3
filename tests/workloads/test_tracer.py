"""Traced graphs: shapes, order, roles and producers, counts against the closed form, and reproducibility."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rowline.traces.opgraph import KV_LEN, KV_PAST, Op, OpGraph
from rowline.workloads import tracer
from rowline.workloads.closed_form import block_parameter_count, decode_macs, parameter_count, prefill_macs
from rowline.workloads.costs import cost_of
from rowline.workloads.models.gpt import GptConfig, build_gpt
from rowline.workloads.models.registry import get_model, list_models
from rowline.workloads.tracer import trace_decode, trace_prefill

TINY = GptConfig(name="tiny", n_layers=2, d_model=32, n_heads=4, vocab_size=61, n_positions=600)
BLOCK = [
    "layer_norm", "linear", "kv_append", "kv_append", "sdpa", "linear", "add", "layer_norm", "linear", "gelu",
    "linear", "add",
]  # fmt: skip


def flops(graph: OpGraph, wanted: Callable[[Op], bool]) -> int:
    """FLOPs of the ops that are wanted."""
    return sum(op.flops for op in graph.ops if wanted(op))


@pytest.fixture(scope="module")
def templates() -> dict[str, OpGraph]:
    """The decode template of each of the eight models."""
    return {name: trace_decode(get_model(name)) for name in list_models()}


@pytest.mark.parametrize("kv_length", [1, 2, 129, 1024])
@pytest.mark.parametrize("name", list_models())
def test_decode_flops_equal_the_closed_form(templates: dict[str, OpGraph], name: str, kv_length: int) -> None:
    graph, macs = templates[name].at(kv_length), decode_macs(get_model(name), kv_length)
    graph.verify()
    assert flops(graph, lambda op: op.kind == "linear" and op.layer >= 0) == 2 * macs.block_weights
    assert flops(graph, lambda op: op.kind == "sdpa") == 2 * macs.attention
    assert flops(graph, lambda op: op.module == "lm_head") == 2 * macs.lm_head
    assert flops(graph, lambda op: True) == 2 * (macs.block_weights + macs.attention + macs.lm_head)


@pytest.mark.parametrize("name", list_models())
def test_facts_and_weight_bytes_equal_the_closed_form(templates: dict[str, OpGraph], name: str) -> None:
    graph, config = templates[name], get_model(name)
    assert graph.fact("params") == parameter_count(config)
    assert graph.fact("block_params") == block_parameter_count(config)
    assert (graph.fact("layers"), graph.fact("head_dim")) == (config.n_layers, config.head_dim)
    in_blocks = [op for op in graph.ops if op.layer >= 0 and op.weight_name]
    n_weights = sum(
        product(shape)
        for op in in_blocks
        for shape, role in zip(op.in_shapes, op.roles, strict=True)
        if role == "weight"
    )
    assert n_weights == block_parameter_count(config)
    kv_bytes = sum(op.bytes_read_per_kv for op in graph.ops)
    assert kv_bytes == 2 * config.n_layers * config.d_model * 2, "K and V of each layer, 2 bytes an element"


def product(shape: tuple[int, ...]) -> int:
    """Elements of a shape."""
    result = 1
    for dim in shape:
        result *= dim
    return result


@pytest.mark.parametrize("name", ["gpt2-small", "gpt3-xl"])
@pytest.mark.parametrize("prompt_tokens", [1, 2, 100])
def test_prefill_flops_equal_the_closed_form(name: str, prompt_tokens: int) -> None:
    config = get_model(name)
    graph, macs = trace_prefill(config, prompt_tokens), prefill_macs(config, prompt_tokens)
    assert (graph.phase, graph.n_new_tokens, graph.kv_length) == ("prefill", prompt_tokens, prompt_tokens)
    assert flops(graph, lambda op: op.kind == "linear" and op.layer >= 0) == 2 * macs.block_weights
    assert flops(graph, lambda op: op.kind == "sdpa") == 2 * macs.attention
    assert flops(graph, lambda op: op.module == "lm_head") == 2 * macs.lm_head


@pytest.mark.parametrize("kv_length", [1, 2, 3, 32, 61, 257, 600])
def test_a_template_equals_a_direct_trace(kv_length: int) -> None:
    template = trace_decode(TINY)
    direct = tracer._record_pass(build_gpt(TINY), kv_length - 1, 1, with_logits=True)
    expected = replace(template, ops=direct, kv_length=kv_length)
    assert template.at(kv_length) == expected
    assert template.at(kv_length).digest() == expected.digest()


def test_a_prompt_of_one_token_is_a_decode_pass_on_an_empty_cache() -> None:
    assert trace_prefill(TINY, 1).ops == trace_decode(TINY).at(1).ops


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_each_block_is_the_same_chain(phase: str) -> None:
    graph = trace_decode(TINY) if phase == "decode" else trace_prefill(TINY, 5)
    assert [op.kind for op in graph.ops] == ["embedding"] * 2 + ["add"] + 2 * BLOCK + ["layer_norm", "linear"]
    residual = 2
    for layer in range(2):
        at = 3 + layer * len(BLOCK)
        block = graph.ops[at : at + len(BLOCK)]
        assert {op.layer for op in block} == {layer}
        first_producers = [op.producers[0] - at for op in block]
        assert first_producers == [residual - at, 0, -1 - at, -1 - at, 1, 4, residual - at, 6, 7, 8, 9, 6]
        assert [op.producers[1] for op in block[2:4]] == [at + 1, at + 1], "k and v come from the fused projection"
        assert block[4].producers == (at + 1, at + 2, at + 3)
        assert (block[6].producers, block[11].producers) == ((residual, at + 5), (at + 6, at + 10))
        residual = at + 11
    assert graph.ops[-2].producers == (residual, -1, -1)


def test_roles_weights_and_slices_of_one_block() -> None:
    """The fused projection's three thirds, the cache and the weights can be told from the graph alone."""
    block = [op for op in trace_decode(TINY).ops if op.layer == 1]
    by_module = {op.module: op for op in block if op.kind == "linear"}
    qkv = by_module["blocks.1.attn.qkv"]
    assert (qkv.roles, qkv.weight_name) == (("activation", "weight", "weight"), "blocks.1.attn.qkv.weight")
    assert (qkv.weight_shape, qkv.has_bias, qkv.out_shapes) == ((96, 32), True, ((1, 1, 96),))
    assert qkv.in_dtypes == ("bfloat16",) * 3
    k, v = (op for op in block if op.kind == "kv_append")
    assert (k.roles, k.in_shapes) == (("kv", "activation"), ((1, 4, KV_PAST, 8), (1, 4, 1, 8)))
    assert (k.out_shapes, k.bytes_read, k.bytes_written) == (((1, 4, KV_LEN, 8),), 64, 64)
    assert (k.bytes_read_per_kv, k.bytes_written_per_kv) == (0, 0), "a cache grows in place"
    (sdpa,) = (op for op in block if op.kind == "sdpa")
    assert sdpa.roles == ("activation", "kv", "kv")
    assert (k.attr("in1_slice"), v.attr("in1_slice"), sdpa.attr("in0_slice")) == (1, 2, 0)
    assert k.attr("in1_slices") == v.attr("in1_slices") == sdpa.attr("in0_slices") == 3
    assert [sdpa.attr(name) for name in ("heads", "kv_heads", "head_dim", "causal")] == [4, 4, 8, 0]
    assert sdpa.module == "blocks.1.attn"


def test_the_graph_outside_the_blocks() -> None:
    tied, untied = trace_decode(TINY), trace_decode(TINY.changed(tied_lm_head=False))
    assert tied.ops[-1].weight_name == tied.ops[0].weight_name == "token_embedding.weight"
    assert untied.ops[-1].weight_name == "lm_head.weight"
    assert not tied.ops[-1].has_bias
    assert tied.ops[0].roles == tied.ops[1].roles == ("index", "weight")
    assert (tied.ops[0].layer, tied.ops[-1].layer) == (-1, -1)
    assert tied.ops[0].bytes_read == 8 + 2 * 32, "one index and one row, not the whole table"


def test_a_pass_without_logits_ends_with_the_last_block() -> None:
    whole, short = trace_decode(TINY), trace_decode(TINY, with_logits=False)
    assert short.ops == whole.ops[:-2]


def test_a_prefill_takes_the_logits_of_the_last_token() -> None:
    graph = trace_prefill(TINY, 5)
    assert graph.ops[-1].out_shapes == ((1, 1, 61),)
    assert graph.ops[-2].attr("in0_first_row") == 4
    sdpa = next(op for op in graph.ops if op.kind == "sdpa")
    assert (sdpa.attr("causal"), sdpa.attr("in0_slice"), sdpa.flops) == (1, 0, 4 * 32 * 15)


@pytest.mark.parametrize("prompt_tokens", [0, 601])
def test_a_prompt_must_fit(prompt_tokens: int) -> None:
    with pytest.raises(ValueError, match=rf"a prompt of {prompt_tokens} tokens is outside 1\.\.600"):
        trace_prefill(TINY, prompt_tokens)


def test_graphs_are_bit_equal_in_other_processes(templates: dict[str, OpGraph]) -> None:
    code = (
        "from rowline.workloads.models.registry import get_model\n"
        "from rowline.workloads.tracer import trace_decode, trace_prefill\n"
        "for name in ('gpt2-small', 'gpt3-xl'): print(trace_decode(get_model(name)).digest())\n"
        "print(trace_prefill(get_model('gpt2-small'), 33).digest())"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed in ("1", "2")
    ]
    here = [templates["gpt2-small"], templates["gpt3-xl"], trace_prefill(get_model("gpt2-small"), 33)]
    for run in runs:
        assert run.communicate()[0].split() == [graph.digest() for graph in here]
        assert run.returncode == 0


def test_the_largest_template_is_traced_in_two_seconds(templates: dict[str, OpGraph]) -> None:
    """The fixture has imported torch and warmed it up. CPU time, of the best of three: other work on the machine is not ours."""
    tries: list[float] = []
    for _ in range(3):
        start = time.process_time()
        trace_decode(get_model("gpt2-xl"))
        tries.append(time.process_time() - start)
    assert min(tries) < 2.0


def test_a_traced_graph_survives_a_file(templates: dict[str, OpGraph], tmp_path: Path) -> None:
    path = tmp_path / "gpt2-xl.parquet"
    templates["gpt2-xl"].to_parquet(path)
    assert OpGraph.from_parquet(path) == templates["gpt2-xl"]
    assert path.stat().st_size < 100_000


def changed_op(**changes: object) -> tuple[Op, Op]:
    """The attention of TINY as recorded at the two KV lengths, the second one tampered with."""
    model = build_gpt(TINY)
    a, b = (
        next(op for op in tracer._record_pass(model, n - 1, 1, True) if op.kind == "sdpa") for n in tracer._KV_LENGTHS
    )
    return a, replace(b, **changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": "elsewhere"}, "module depends on the KV length"),
        ({"out_shapes": ((1, 4, 520, 8),)}, r"dimension \(1, 520\) is not the KV length"),
        ({"out_shapes": ((1, 4, 8),)}, "rank of a tensor depends on the KV length"),
        ({"flops": 0}, "counts are not linear"),
        ({"bytes_read": 1}, "counts are not linear"),
    ],
)
def test_whatever_else_depends_on_the_kv_length_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tracer._merged(*changed_op(**changes))


def test_a_matrix_product_without_a_rule_is_refused() -> None:
    op = replace(trace_decode(TINY).at(5).ops[4], kind="other:bmm")
    with pytest.raises(ValueError, match="matrix product other:bmm has no counting rule"):
        cost_of(op)
