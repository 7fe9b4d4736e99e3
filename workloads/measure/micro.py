"""Micro-benchmarks: kernels that each show one constant of a device.

| op | the call | what it shows |
|---|---|---|
| launch | one element incremented | cost of a kernel: a node of a long graph, a graph of one node (variant ``one``), eager |
| stream_read, _write, _copy | sum, fill, copy of n elements | DRAM bandwidth by size; small sizes warm: what the L2 adds |
| l2_read | sum over m passes of n elements, one kernel | the slope over m at one n is the bandwidth of where n elements fit |
| l2_latency | one key searched in n sorted elements | one thread, log2(n) dependent loads: the slope over log2(n) is a load's \
latency, from the L2 when warm, from DRAM when flushed |
| gemm_peak | large square product | matrix rate by dtype, in a burst and sustained |
| wave | product of m tokens, a row of 128 x 128 tiles as wide as all SMs | cost of a wave: the steps over m |
| k_step | product of a tile an SM | the slope over k is the time of a K step with all SMs busy |
| split_k | product of few tiles and long k | what splitting k buys |
"""

from collections.abc import Iterator

from .kernel import Kernel
from .order import stratified

MIB = 1 << 20


def micro_kernels(seed: int, sm_count: int) -> list[Kernel]:
    """The suite in its order, for a device of `sm_count` SMs. The constants that everything rests on come first."""
    first = [Kernel("launch", "fp32", n=1), Kernel("launch", "fp32", n=1, variant="one")]
    groups = (_streams(), _caches(), _peaks(), _products(sm_count))
    return first + stratified((kernel for group in groups for kernel in group), seed)


def _streams() -> Iterator[Kernel]:
    for op in ("stream_read", "stream_write", "stream_copy"):
        for power in range(13):  # 1 MiB to 4 GiB in all
            size = MIB << power
            yield Kernel(op, "fp32", n=size // 4 // (2 if op == "stream_copy" else 1))


def _caches() -> Iterator[Kernel]:
    for kib in (256, 512, 1024, 2048, 4096, 8192, 12288, 16384, 24576, 32768, 40960, 49152, 65536, 98304, 131072, 262144):
        for passes in (4, 16, 64):
            yield Kernel("l2_read", "fp32", m=passes, n=kib * 256)
    for power in range(6, 29, 2):
        yield Kernel("l2_latency", "int64", m=1, n=1 << power)


def _peaks() -> Iterator[Kernel]:
    for dtype in ("bf16", "fp16", "fp8", "int8"):
        for edge in (2048, 4096, 8192, 16384):
            yield Kernel("gemm_peak", dtype, edge, edge, edge)
    for edge in (2048, 4096, 8192):
        yield Kernel("gemm_peak", "fp32", edge, edge, edge)


def _products(sm_count: int) -> Iterator[Kernel]:
    width = 128 * sm_count
    for dtype in ("bf16", "fp32"):
        for m in sorted({*range(64, 1025, 64), *(e + x for e in (128, 256, 384, 512, 640) for x in (-1, 1))}):
            yield Kernel("wave", dtype, m, width, 1024)
        for k in (64, 128, 256, 512, 1024, 2048, 4096, 8192):
            yield Kernel("k_step", dtype, 128, width, k)
    for m in (16, 64, 128):
        for n in (128, 512, 2048):
            for k in (1024, 4096, 16384, 65536):
                yield Kernel("split_k", "bf16", m, n, k)
