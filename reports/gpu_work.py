"""What a kernel has to do at least: floating-point operations and bytes, from its shape alone.

Columns are those of a KernelLog: gemm C[m,n] = A[m,k] W[n,k]^T, bmm the same for each of ``batch`` items, row-wise ops
``m`` rows of ``n`` elements, attention ``batch`` sequences. Inputs and outputs move once; K and V once per KV head.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

MATRIX_OPS = ("gemm", "bmm")
ATTENTION_OPS = ("attn_prefill", "attn_encoder", "attn_decode")
# operands of m x n elements that a row-wise op reads and writes
ROW_OPERANDS = {
    "softmax": 2, "layernorm": 2, "rmsnorm": 2, "gelu": 2, "silu_mul": 3, "add": 3, "rope": 2, "embedding": 2, "kv_write": 2,
}  # fmt: skip
KNOWN_OPS = (*MATRIX_OPS, *ATTENTION_OPS, *ROW_OPERANDS)
INPUT_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
OUTPUT_BYTES = INPUT_BYTES | {"fp8": 2, "int8": 4}  # fp8 GEMMs write bf16, int8 GEMMs int32

Columns = Mapping[str, Any]


def work(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs (a MAC is two) and least bytes of every row, both float (n,); nan for an op or dtype that is not known.

    Row-wise ops have no FLOPs here: their arithmetic is never what bounds them. Attention FLOPs are the two products;
    a causal query sees its own position and what came before it, with ``seq_kv - seq_q`` cached tokens ahead of the first.
    """
    op = np.asarray(columns["op"], dtype=object)
    flops = np.full(len(op), np.nan)
    size = np.full(len(op), np.nan)
    for name in KNOWN_OPS:
        rows = np.flatnonzero(op == name)
        if len(rows):
            part = {key: np.asarray(columns[key])[rows].astype(float) for key in _SHAPE}
            dtype = np.asarray(columns["dtype"], dtype=object)[rows]
            read = np.array([INPUT_BYTES.get(d, np.nan) for d in dtype])
            write = np.array([OUTPUT_BYTES.get(d, np.nan) for d in dtype])
            flops[rows], size[rows] = _one_op(name, part, read, write)
    unknown = np.isnan(size)
    flops[unknown] = np.nan
    return flops, size


_SHAPE = ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv")


def _one_op(name: str, c: dict[str, np.ndarray], read: np.ndarray, write: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Work of rows that are all of one op."""
    if name in MATRIX_OPS:
        m, n, k, batch = c["m"], c["n"], c["k"], c["batch"]
        return 2 * batch * m * n * k, batch * ((m + n) * k * read + m * n * write)
    if name in ROW_OPERANDS:
        elements = c["m"] * c["n"]
        return np.zeros(len(elements)), elements * ((ROW_OPERANDS[name] - 1) * read + write)
    queries, keys, width = c["seq_q"], c["seq_kv"], c["batch"] * c["head_dim"]
    pairs = queries * (2 * keys - queries + 1) / 2 if name == "attn_prefill" else queries * keys
    kv = 2 * width * c["kv_heads"] * keys * read
    return 4 * width * c["heads"] * pairs, kv + width * c["heads"] * queries * (read + write)
