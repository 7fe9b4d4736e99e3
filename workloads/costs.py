"""FLOPs and bytes of one operation from its shapes: the counting rules that traces/opgraph.py states.

The rules look at the kind, the shapes and the dtypes only, so that they give the same for a recorded op and for a
template's op at some KV length.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..traces.opgraph import DTYPE_BYTES, OTHER, Op, Shape, Value

_UNCOUNTED_MATRIX_OPS: Final = frozenset({"mm", "addmm", "bmm", "baddbmm", "mv", "dot", "convolution", "einsum"})


@dataclass(frozen=True)
class Cost:
    """What one op does: FLOPs (two per multiply-accumulate), bytes read, bytes written."""

    flops: int
    bytes_read: int
    bytes_written: int


def cost_of(op: Op) -> Cost:
    """The cost of a concrete `op`; its own count fields are not read.

    Raises ValueError for a matrix product that was not recorded as linear or sdpa: counting it as 0 would be silently
    wrong.
    """
    if op.kind.removeprefix(OTHER) in _UNCOUNTED_MATRIX_OPS:
        raise ValueError(f"op {op.index} in {op.module!r}: matrix product {op.kind} has no counting rule")
    attrs = dict(op.attrs)
    flops = _FLOPS[op.kind](op.in_shapes, attrs) if op.kind in _FLOPS else 0
    in_bytes = [_size_bytes(shape, dtype) for shape, dtype in zip(op.in_shapes, op.in_dtypes, strict=True)]
    written = sum(_size_bytes(shape, dtype) for shape, dtype in zip(op.out_shapes, op.out_dtypes, strict=True))
    if op.kind == "embedding":
        return Cost(flops, in_bytes[0] + written, written)
    if op.kind == "kv_append":
        return Cost(flops, in_bytes[1], in_bytes[1])
    return Cost(flops, sum(in_bytes), written)


def _size_bytes(shape: Shape, dtype: str) -> int:
    """Bytes of a dense tensor."""
    return math.prod(shape) * DTYPE_BYTES[dtype]


def _linear_flops(in_shapes: tuple[Shape, ...], attrs: Mapping[str, Value]) -> int:
    """2 * rows * n * k for x [..., k] and weight [n, k]; the bias add is not counted."""
    return 2 * math.prod(in_shapes[0]) * in_shapes[1][0]


def _sdpa_flops(in_shapes: tuple[Shape, ...], attrs: Mapping[str, Value]) -> int:
    """q.k and p.v over all (query, key) pairs.

    If causal over those with key <= query: torch aligns its mask top left.
    """
    *batch_and_heads, n_queries, key_width = in_shapes[0]
    n_keys, value_width = in_shapes[1][-2], in_shapes[2][-1]
    pairs = n_queries * n_keys
    if attrs["causal"]:
        pairs = sum(min(query + 1, n_keys) for query in range(n_queries))
    return 2 * math.prod(batch_and_heads) * pairs * (key_width + value_width)


_FLOPS: Final[dict[str, Callable[[tuple[Shape, ...], Mapping[str, Value]], int]]] = {
    "linear": _linear_flops,
    "sdpa": _sdpa_flops,
}
