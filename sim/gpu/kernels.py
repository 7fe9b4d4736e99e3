"""What can be run on a GPU: kernels by what they compute, not how."""

from typing import NamedTuple


class Gemm(NamedTuple):
    """C[m, n] = A[m, k] B[n, k]^T, ``batch`` times with operands of their own; bytes of the elements of A, B and C."""

    m: int
    n: int
    k: int
    dtype: str
    batch: int = 1
    a_bytes: float = 2
    b_bytes: float = 2
    out_bytes: float = 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """(m, n, k)."""
        return self.m, self.n, self.k


class Attention(NamedTuple):
    """softmax(Q K^T) V for ``batch`` sequences.

    ``phase``: prefill (causal, the queries are the last ``seq_q`` of ``seq_kv`` tokens), encoder (not causal), decode (one
    query token a sequence, keys in a paged cache).
    """

    phase: str
    dtype: str
    batch: int
    heads: int
    kv_heads: int
    head_dim: int
    seq_q: int
    seq_kv: int


class Rowwise(NamedTuple):
    """A kernel over ``rows`` rows of ``elements`` elements; ``op`` as in the KernelLog.

    softmax, layernorm, rmsnorm, gelu: one input, one output. add: two inputs. silu_mul: input rows of 2 x elements (gate and up).
    rope: ``rows`` tokens, ``elements`` of all their query and key heads, in place. embedding: ``rows`` gathered of a table.
    kv_write: ``rows`` tokens, ``elements`` of key and value each. ``calls``: kernels that the operation takes, one after another:
    the sum of three tensors is two.
    """

    op: str
    dtype: str
    rows: int
    elements: int
    calls: int = 1


Kernel = Gemm | Attention | Rowwise
