"""An OpGraph as the kernels that a software stack launches for it on a GPU.

A matrix product takes its bias, GELU and residual along where the stack fuses them; elsewhere each is a kernel of its own. With
FlashAttention one call writes the new keys and values and attends. A stack without it multiplies queries with keys, takes the
softmax (scaled and masked in the same kernel) and multiplies with values, each for all heads in one launch, after a kernel that
writes the cache. Masked scores are then computed all the same; ``macs`` counts useful ones only.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any, NamedTuple

from ...arch.stack import StackSpec
from ...traces.opgraph import KV_LEN, Op, OpGraph
from ..gpu.kernels import Attention, Gemm, Kernel, Rowwise
from ..gpu.machine import ELEMENT_BYTES
from .pim_gpt import op_class
from .placement import MappingError

DTYPE_NAMES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
"""Types of models and how kernels call them."""
_ROWWISE = {"layer_norm": "layernorm", "gelu": "gelu", "add": "add", "embedding": "embedding"}


class Operands(StrEnum):
    """Where the operands of a kernel come from."""

    WEIGHTS = "weights"  # one of them is a weight or the KV cache, last used a pass ago
    FRESH = "fresh"  # all have been made in this pass, just before


class Step(NamedTuple):
    """A kernel of a pass.

    Attributes:
        kernel: what runs; in ``grows``, if that is not empty, it holds 1 for the KV length.
        name: the operation's name in kernel logs.
        op_class: what its time is booked under; layer: block, -1 outside; op: index in the graph.
        macs: useful multiply-adds; macs_per_kv: more of them for each token of KV length.
    """

    kernel: Kernel
    name: str
    op_class: str
    layer: int
    op: int
    operands: Operands = Operands.WEIGHTS
    macs: int = 0
    macs_per_kv: int = 0
    grows: str = ""

    def at(self, kv_length: int) -> Kernel:
        """The kernel of a pass that attends to ``kv_length`` tokens."""
        if not self.grows:
            return self.kernel
        values: dict[str, Any] = {self.grows: kv_length}
        return self.kernel._replace(**values)


@dataclass(frozen=True)
class KernelPlan:
    """The kernels of a pass in order, of a prompt or, for any KV length, of a decode pass.

    Attributes:
        weight_bytes: of all matrices, once.
        kv_bytes_per_token: of the keys and values of all layers.
    """

    graph: OpGraph
    steps: tuple[Step, ...]
    weight_bytes: float
    kv_bytes_per_token: float


def map_pass(graph: OpGraph, stack: StackSpec, dtype: str) -> KernelPlan:
    """The kernels of one pass with elements of ``dtype``.

    Raises:
        MappingError: an operation that no kernel stands for.
    """
    mapper = _Mapper(graph, stack, dtype)
    for op in graph.ops:
        mapper.take(op)
    size = ELEMENT_BYTES[dtype]
    weights = sum(prod(op.weight_shape) for op in graph.ops if op.kind == "linear") * size
    heads = sum(int(op.attr("kv_heads")) * int(op.attr("head_dim")) for op in graph.ops if op.kind == "sdpa")
    return KernelPlan(graph, tuple(mapper.steps), weights, 2 * heads * size)


class _Mapper:
    """Turns ops into steps, in order."""

    def __init__(self, graph: OpGraph, stack: StackSpec, dtype: str):
        self.graph, self.stack, self.dtype = graph, stack, dtype
        self.steps: list[Step] = []

    def take(self, op: Op) -> None:
        """Add the kernels of an op."""
        if op.kind == "linear":
            self._linear(op)
        elif op.kind == "sdpa":
            self._attention(op) if self.stack.attention is not None else self._plain_attention(op)
        elif op.kind == "kv_append":
            self._append(op)
        elif op.kind in _ROWWISE:
            if not self._rides(op):
                self._rowwise(op, _ROWWISE[op.kind], op.out_shapes[0])
        else:
            raise MappingError(f'{op.module or "model"}: no kernel for operation "{op.kind}"')

    def _add(self, op: Op, kernel: Kernel, name: str, op_class_: str, **more: Any) -> None:
        self.steps.append(Step(kernel, name, op_class_, op.layer, op.index, **more))

    def _linear(self, op: Op) -> None:
        rows, (n, k), size = prod(op.in_shapes[0][:-1]), op.weight_shape, ELEMENT_BYTES[self.dtype]
        gemm = Gemm(rows, n, k, self.dtype, 1, size, size, size)
        self._add(op, gemm, "gemm", op_class(op), macs=op.flops // 2)
        if op.has_bias and not self.stack.fusion.bias.value:
            self._add(op, Rowwise("add", self.dtype, rows, n), "add", "bias")

    def _rides(self, op: Op) -> bool:
        """Whether an op is done where the product before it is written."""
        fusion = self.stack.fusion
        fused = {"gelu": fusion.activation, "add": fusion.residual}.get(op.kind)
        products = [p for p in op.producers if p >= 0 and self.graph.ops[p].kind == "linear"]
        return bool(fused is not None and fused.value and products)

    def _rowwise(self, op: Op, name: str, shape: tuple[int, ...], op_class_: str = "") -> None:
        kernel = Rowwise(name, self.dtype, prod(shape[:-1]), shape[-1])
        self._add(op, kernel, name, op_class_ or op.kind)

    def _append(self, op: Op) -> None:
        """One kernel writes keys and values; with FlashAttention it belongs to the call that attends."""
        readers = [o for o in self.graph.ops[op.index :] if o.kind == "sdpa" and op.index in o.producers]
        if self.stack.attention is None and readers and readers[0].producers[2] == op.index:
            _, heads, tokens, head_dim = op.in_shapes[1]
            self._rowwise(op, "kv_write", (tokens, heads * head_dim), "kv_write")

    def _attention(self, op: Op) -> None:
        (batch, heads, queries, head_dim), (_, kv_heads, kv_length, _) = op.in_shapes[:2]
        phase = "decode" if queries == 1 else "prefill"
        grows = "seq_kv" if kv_length == KV_LEN else ""
        kernel = Attention(phase, self.dtype, batch, heads, kv_heads, head_dim, queries, 1 if grows else kv_length)
        macs = {"macs": op.flops // 2, "macs_per_kv": op.flops_per_kv // 2}
        self._add(op, kernel, f"attn_{phase}", "attention", grows=grows, **macs)

    def _plain_attention(self, op: Op) -> None:
        (batch, heads, queries, head_dim), (_, _, kv_length, _) = op.in_shapes[:2]
        template, size, units = kv_length == KV_LEN, ELEMENT_BYTES[self.dtype], batch * heads
        kv = 1 if template else kv_length
        fresh = Operands.FRESH if kv == queries and not template else Operands.WEIGHTS
        half, half_per_kv = op.flops // 4, op.flops_per_kv // 4
        sizes = (units, size, size, size)

        def grows(field: str) -> str:
            return field if template else ""

        self._add(op, Gemm(queries, kv, head_dim, self.dtype, *sizes), "bmm", "attention", operands=fresh,
                  macs=half, macs_per_kv=half_per_kv, grows=grows("n"))  # fmt: skip
        self._add(op, Rowwise("softmax", self.dtype, units * queries, kv), "softmax", "attention", grows=grows("elements"))
        self._add(op, Gemm(queries, head_dim, kv, self.dtype, *sizes), "bmm", "attention", operands=fresh,
                  macs=op.flops // 2 - half, macs_per_kv=op.flops_per_kv // 2 - half_per_kv, grows=grows("k"))  # fmt: skip
