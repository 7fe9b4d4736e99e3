"""A kernel to be measured, and a way to measure it: plain data that knows no torch."""

from dataclasses import astuple, dataclass, replace
from typing import Final

from ...traces.kernellog import KernelRow

OPERAND_BYTES: Final = {"fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1, "int64": 8}
RESULT_BYTES: Final = OPERAND_BYTES | {"fp8": 2, "int8": 4}
"""fp8 products come out as bf16, int8 products as int32."""
PRODUCTS: Final = ("gemm", "gemm_peak", "wave", "k_step", "split_k")
"""Ops that are C[m,n] = A[m,k] * W[n,k]^T."""


@dataclass(frozen=True)
class Kernel:
    """One kernel with its shape; the fields mean what the columns of KernelLog mean.

    `variant` tells kernels of one shape apart: the attention backend (``flash``, ``cudnn``), or ``one`` for a graph of a
    single node.
    """

    op: str
    dtype: str
    m: int = 0
    n: int = 0
    k: int = 0
    batch: int = 1
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    seq_q: int = 0
    seq_kv: int = 0
    variant: str = ""

    def label(self) -> str:
        """Op, dtype and the numbers that are not 0: ``gemm bf16 m16 n4096 k4096``."""
        names = ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv")
        shorts = ("m", "n", "k", "b", "h", "kv", "d", "q", "s")
        numbers = [f"{s}{getattr(self, f)}" for f, s in zip(names, shorts, strict=True) if getattr(self, f) > (f == "batch")]
        return " ".join([self.op, self.dtype, *numbers, *([self.variant] if self.variant else [])])

    def scaled(self, scale: float) -> "Kernel":
        """The kernel with tokens, widths, sequences and batch times `scale`; multiples of 16 stay such, nothing gets 0."""

        def less(value: int) -> int:
            step = 16 if value % 16 == 0 else 1
            return max(step, round(value * scale / step) * step) if value else 0

        m = self.m if self.op == "l2_read" else less(self.m)
        return replace(self, m=m, n=less(self.n), k=less(self.k), batch=max(1, round(self.batch * scale)),
                       seq_q=less(self.seq_q) if self.seq_q != 1 else 1, seq_kv=less(self.seq_kv))  # fmt: skip


@dataclass(frozen=True)
class Mode:
    """A way to run a kernel; see the columns launch, l2 and clock_mode of KernelLog."""

    launch: str = "graph"
    l2: str = "warm"
    clock: str = "burst"

    def label(self) -> str:
        """``graph cold burst``."""
        return f"{self.launch} {self.l2} {self.clock}"


JobKey = tuple[str | int, ...]


def job_key(kernel: Kernel, mode: Mode) -> JobKey:
    """What makes a measurement the same as another one."""
    return (*astuple(kernel), *astuple(mode))


def row_key(row: KernelRow, variant: str) -> JobKey:
    """The key of the job that a row of a log is of."""
    kernel = Kernel(row.op, row.dtype, row.m, row.n, row.k, row.batch, row.heads, row.kv_heads, row.head_dim, row.seq_q,
                    row.seq_kv, variant)  # fmt: skip
    return job_key(kernel, Mode(row.launch, row.l2, row.clock_mode))


def touched_bytes(kernel: Kernel) -> int:
    """Bytes of operands and results that one call reads or writes, each byte counted once."""
    size, out = OPERAND_BYTES[kernel.dtype], RESULT_BYTES[kernel.dtype]
    m, n, k = kernel.m, kernel.n, kernel.k
    if kernel.op in PRODUCTS or kernel.op == "bmm":
        return kernel.batch * ((m * k + n * k) * size + m * n * out)
    if kernel.op.startswith("attn_"):
        query = 2 * kernel.heads * kernel.seq_q
        return kernel.batch * kernel.head_dim * size * (query + 2 * kernel.kv_heads * kernel.seq_kv)
    if kernel.op in ("stream_read", "stream_write", "l2_read"):
        return n * size
    if kernel.op == "l2_latency":  # a line of 128 bytes for each step of the search
        return 128 * max(1, n.bit_length())
    passes = 3 if kernel.op in ("silu_mul", "add") else 2
    return passes * max(m, 1) * n * size


def allocated_bytes(kernel: Kernel, copies: int) -> int:
    """Device memory that `copies` of the operands and results need; tables and caches are shared by the copies."""
    size = OPERAND_BYTES[kernel.dtype]
    if kernel.op in ("embedding", "kv_write"):
        return kernel.n * kernel.k * size + copies * touched_bytes(kernel)
    if kernel.op == "l2_latency":
        return copies * kernel.n * size
    return copies * touched_bytes(kernel)


def flops(kernel: Kernel) -> int:
    """Floating-point (or integer) operations of one call; a few per element where no product is computed."""
    if kernel.op in PRODUCTS or kernel.op == "bmm":
        return 2 * kernel.batch * kernel.m * kernel.n * kernel.k
    if kernel.op.startswith("attn_"):
        pairs = kernel.seq_q * kernel.seq_kv // (2 if kernel.op == "attn_prefill" else 1)
        return 4 * kernel.batch * kernel.heads * pairs * kernel.head_dim
    return 8 * max(kernel.m, 1) * kernel.n


def copies_to_exceed(kernel: Kernel, cache_bytes: int, most: int) -> int:
    """Copies of the operands whose bytes are 2.5 times the cache, at least 2; 0 if more than `most` would be needed.

    2.5 times, since a cache that does not replace strictly by age may keep lines somewhat longer than its size says.
    """
    copies = max(2, -(-5 * cache_bytes // (2 * max(1, touched_bytes(kernel)))))
    return copies if copies <= most else 0
