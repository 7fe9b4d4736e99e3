"""The kernels of transformers, from GPT-2 to Llama 70B in whole and in shards, and shapes that no model has.

The widths are those of published models, which is why they are here; a model that is fitted on them must not be scored on
them alone, so widths between them are there too.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

from .kernel import Kernel
from .order import stratified

# (outputs n, inputs k) of the projections
GPT: Final = tuple(
    pair for d in (768, 1024, 1600, 2048, 4096, 5120, 12288) for pair in ((3 * d, d), (d, d), (4 * d, d), (d, 4 * d))
)
LLAMA: Final = (
    (6144, 4096), (28672, 4096), (14336, 4096), (4096, 14336), (22016, 4096), (4096, 11008),
    (10240, 8192), (8192, 8192), (57344, 8192), (8192, 28672), (1280, 8192), (8192, 1024), (7168, 8192), (8192, 3584),
)  # fmt: skip
HEADS: Final = ((50304, 768), (50257, 1600), (32000, 4096), (128256, 4096))
UNUSUAL: Final = (
    (64, 64), (128, 512), (256, 16384), (16384, 256), (1000, 1000), (1536, 7168), (2112, 7168), (7168, 2304), (3000, 4000),
    (4095, 4097), (5000, 640), (640, 5000), (9216, 3072), (11111, 2222), (24576, 1536), (1920, 30000),
)  # fmt: skip
TOKENS: Final = (
    1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 32, 33, 48, 64, 65, 96, 100, 127, 128, 129, 160, 192, 200, 256, 257, 300, 384, 500,
    512, 513, 640, 768, 769, 1000, 1024, 1025, 1280, 1536, 2000, 2048, 2049, 3000, 3072, 4096, 4097, 5000, 6144, 8191, 8192,
    10000, 12288, 16384,
)  # fmt: skip
MAX_FLOPS: Final = 2e13
"""A kernel of more work (20 ms on the fastest GPU here) says nothing that a smaller one does not."""

# dtype -> how many of the grid are measured
GEMMS: Final = {"bf16": 640, "fp16": 120, "fp8": 180, "fp32": 140, "int8": 110}
HEAD_SHAPES: Final = (  # query heads, key/value heads, elements a head
    (12, 12, 64), (16, 16, 64), (25, 25, 64), (32, 32, 64), (32, 32, 128), (32, 8, 128), (64, 8, 128), (8, 1, 128), (40, 40, 128),
    (28, 4, 128), (96, 96, 128), (16, 16, 256), (8, 4, 256), (16, 1, 256),
)  # fmt: skip
ROW_OPS: Final = ("softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "add")
ROW_TOKENS: Final = (1, 3, 8, 32, 100, 128, 512, 1000, 2048, 4096, 8192, 16384)
ROW_WIDTHS: Final = (768, 1600, 2048, 4096, 5000, 5120, 8192, 14336, 16384, 28672)


def transformer_kernels(seed: int) -> list[Kernel]:
    """All kernels of the suite in the order in which to measure them. The seed picks and orders them."""
    chosen = [*_gemms(seed), *_bmms(seed), *_prefills(seed), *_decodes(seed), *_rows(seed), *_moves(seed)]
    return stratified(chosen, seed)


def _gemms(seed: int) -> Iterator[Kernel]:
    shapes = sorted({*GPT, *LLAMA, *HEADS, *UNUSUAL})
    for dtype, count in GEMMS.items():
        slow = 20 if dtype == "fp32" else 1  # SIMT units
        grid = [Kernel("gemm", dtype, m, n, k) for m, (n, k) in product(TOKENS, shapes) if _allowed(dtype, m, n, k)]
        yield from stratified((g for g in grid if 2 * g.m * g.n * g.k * slow <= MAX_FLOPS), seed)[:count]


def _allowed(dtype: str, m: int, n: int, k: int) -> bool:
    """What the libraries take: fp8 needs multiples of 16, int8 of 8 and more than 16 rows."""
    if dtype == "fp8":
        return n % 16 == 0 and k % 16 == 0
    return dtype != "int8" or (n % 8 == 0 and k % 8 == 0 and m > 16)


def _bmms(seed: int) -> Iterator[Kernel]:
    items = (1, 8, 16, 32, 96, 128)
    shapes = ((64, 512), (128, 512), (512, 128), (128, 2048), (2048, 128), (1024, 64), (1024, 1024), (192, 448))
    grid = [
        Kernel("bmm", dtype, m, n, k, batch=b)
        for dtype, m, (n, k), b in product(("bf16", "fp16"), (1, 16, 100, 128, 512, 1024, 4096), shapes, items)
        if b * (m * k + n * k + m * n) < 1 << 30
    ]
    yield from stratified(grid, seed)[:120]


def _prefills(seed: int) -> Iterator[Kernel]:
    batches, lengths = (1, 2, 4, 8, 16, 32), (64, 128, 200, 256, 512, 1000, 1024, 2048, 3000, 4096, 8192, 16384)
    grid = [
        Kernel(op, "bf16", batch=b, heads=h, kv_heads=kv, head_dim=d, seq_q=s, seq_kv=s, variant=backend)
        for op, backend, b, (h, kv, d), s in product(
            ("attn_prefill", "attn_encoder"), ("flash", "cudnn"), batches, HEAD_SHAPES, lengths
        )
        if b * s <= 32768 and 4 * b * h * s * s * d <= MAX_FLOPS
    ]
    order = stratified(grid, seed)
    for op, backend, count in (("attn_prefill", "flash", 130), ("attn_prefill", "cudnn", 90), ("attn_encoder", "flash", 40)):
        yield from [kernel for kernel in order if (kernel.op, kernel.variant) == (op, backend)][:count]


def _decodes(seed: int) -> Iterator[Kernel]:
    batches, lengths = (1, 2, 4, 8, 16, 32, 64, 128, 256), (16, 64, 128, 300, 512, 1024, 2048, 4096, 5000, 8192, 16384, 32768)
    grid = [
        Kernel("attn_decode", "bf16", batch=b, heads=h, kv_heads=kv, head_dim=d, seq_q=1, seq_kv=s, variant="flash")
        for b, (h, kv, d), s in product(batches, HEAD_SHAPES, lengths)
        if b * kv * s * d * 4 < 8 << 30
    ]
    yield from stratified(grid, seed)[:190]


def _rows(seed: int) -> Iterator[Kernel]:
    for op in ROW_OPS:
        dtypes = ("bf16", "fp32") if op in ("softmax", "layernorm", "add", "gelu") else ("bf16",)
        grid = [Kernel(op, dtype, m, n) for dtype, m, n in product(dtypes, ROW_TOKENS, ROW_WIDTHS)]
        yield from stratified(grid, seed)[: 28 * len(dtypes)]


def _moves(seed: int) -> Iterator[Kernel]:
    ropes = [
        Kernel("rope", "bf16", m, (h + kv) * d, heads=h, kv_heads=kv, head_dim=d)
        for m, (h, kv, d) in product(ROW_TOKENS, HEAD_SHAPES)
    ]
    tables = ((768, 50257), (2048, 50257), (4096, 32000), (4096, 128256), (8192, 128256))
    lookups = [Kernel("embedding", "bf16", m, n, vocabulary) for m, (n, vocabulary) in product(ROW_TOKENS, tables)]
    writes = [
        Kernel("kv_write", "bf16", m, 2 * kv * d, 32768, kv_heads=kv, head_dim=d)
        for m, (kv, d) in product(ROW_TOKENS, ((1, 128), (4, 128), (8, 128), (12, 64), (32, 128)))
    ]
    for grid in (ropes, lookups, writes):
        yield from stratified(grid, seed)[:36]
