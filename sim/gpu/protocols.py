"""Rows of a kernel log: which kernel, and how the loop that timed it ran.

What each protocol does is said in the README of the public measurements and in ``docs/measure.md``; who filled the operands
with what is known by framework.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .kernels import Attention, Gemm, Kernel, Rowwise
from .loop import Launch, Loop

UNINITIALISED = 0.707
"""Energy of a multiply-add on vLLM's weights, which are never filled, over that on random ones. FITTED: GEMM rows of vllm-0.24.0
on H100 and H200, seen families; rows that were repeated for a second (vllm-0.22.0) draw what random ones do."""
ROWWISE = ("softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "add", "rope", "embedding", "kv_write")
PHASES = {"attn_prefill": "prefill", "attn_encoder": "encoder", "attn_decode": "decode"}
PARALLEL = ("phi-1", "phi-2")
"""Models whose attention and MLP stand side by side: what a log of theirs calls one add is x + attention + MLP, two kernels.
By the definition of the model in transformers, ``PhiDecoderLayer``; a log names the model in ``extra``."""
_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0}
_PUBLIC: Mapping[str, Loop] = {
    "cudagraph-6weights": Loop(copies=6, warm_calls=18, timed_calls=36),
    "cudagraph-same-buffers": Loop(alone=True, warm_calls=3, timed_calls=6),
    "eager-cudaevent-best5of20": Loop(launch=Launch.EAGER, sustained=True),
    "profiler-kernel-sum-1us-resolution": Loop(launch=Launch.KERNEL, warm_calls=2, timed_calls=20),
    "eager-hostclock-sync": Loop(launch=Launch.EAGER),
    "loop-hostclock": Loop(sustained=True),
}
_SUSTAINED = ("vllm-0.22.0",)
"""Frameworks whose rows were repeated until power was steady."""


def kernel_of(row: Mapping[str, Any]) -> Kernel:
    """The kernel of a row.

    Raises:
        KeyError: an operation or type that is not modelled.
    """
    op, dtype = str(row["op"]), str(row["dtype"])
    m, n, k, batch = int(row["m"]), int(row["n"]), int(row["k"]), max(1, int(row["batch"]))
    if op in ("gemm", "bmm"):
        size = _BYTES[dtype]
        written = 4.0 if dtype == "int8" else max(2.0, size)  # int8 products are written as int32
        return Gemm(m, n, k, dtype, batch, size, size, written)
    if op in PHASES:
        heads, kv_heads, head_dim = int(row["heads"]), int(row["kv_heads"]), int(row["head_dim"])
        return Attention(PHASES[op], dtype, batch, heads, kv_heads, head_dim, int(row["seq_q"]), int(row["seq_kv"]))
    if op in ROWWISE:
        parallel = op == "add" and any(model in str(row.get("extra", "")) for model in PARALLEL)
        return Rowwise(op, dtype, m, n, 2 if parallel else 1)
    raise KeyError(op)


def loop_of(row: Mapping[str, Any]) -> Loop:
    """The loop of a row: a public protocol by its name, ours by its columns."""
    framework = str(row["framework"])
    public = _PUBLIC.get(str(row["protocol"]))
    if public is None:
        return _own(row)
    loop = replace(public, sustained=public.sustained or framework in _SUSTAINED)
    if framework.startswith("sglang"):
        if row["op"] == "gemm":
            return replace(loop, shared_inputs=False)
        return replace(loop, timed_calls=20)
    if framework.startswith("vllm") and row["op"] == "gemm" and not loop.sustained:
        return replace(loop, activity=UNINITIALISED)
    return loop


def _own(row: Mapping[str, Any]) -> Loop:
    """A row of ``rowline measure``."""
    return Loop(
        copies=max(1, int(row["copies"])), cold=row["l2"] in ("cold", "flush"), sustained=row["clock_mode"] == "sustained",
        launch=Launch.EAGER if row["launch"] == "eager" else Launch.GRAPH, timed_calls=max(1, int(row["repeats"])),
    )  # fmt: skip
