"""In which order kernels are measured, and which ways each is run: a campaign cut short has still seen a bit of everything."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random

from .kernel import PRODUCTS, Kernel, Mode, flops, touched_bytes

WARM = Mode()
COLD = Mode(l2="cold")
EAGER = Mode(launch="eager")
FLUSH = Mode(launch="eager", l2="flush")
SUSTAINED = Mode(clock="sustained")
EAGER_EVERY, FLUSH_EVERY, SUSTAINED_EVERY = 3, 6, 12


def stratum(kernel: Kernel) -> tuple[str | int, ...]:
    """Kernels that are alike: op, dtype, variant, tokens by a factor of 4, bytes and work by a factor of 16."""
    tokens = max(kernel.m, kernel.seq_q, kernel.batch if kernel.op == "attn_decode" else 0)
    scale = [math.log(max(1, x), 16) for x in (touched_bytes(kernel), flops(kernel))]
    return (kernel.op, kernel.dtype, kernel.variant, kernel.head_dim, tokens.bit_length() // 2, *(int(x) for x in scale))


def stratified(kernels: Iterable[Kernel], seed: int) -> list[Kernel]:
    """The kernels, none twice, so that every beginning of the list is a sample of all.

    Each op is spread evenly over the list, within an op each stratum, and within a stratum the order is random. The same
    seed gives the same order on every machine.
    """
    ops: dict[str, dict[tuple[str | int, ...], list[Kernel]]] = defaultdict(lambda: defaultdict(list))
    for kernel in dict.fromkeys(kernels):
        ops[kernel.op][stratum(kernel)].append(kernel)
    random = Random(seed)
    ordered: list[list[Kernel]] = []
    for op in sorted(ops):
        members = [ops[op][key] for key in sorted(ops[op])]
        for group in members:
            random.shuffle(group)
        ordered.append(_spread(members, [random.random() for _ in members]))
    return _spread(ordered, [0.5] * len(ordered))


def _spread(groups: Sequence[Sequence[Kernel]], offsets: Sequence[float]) -> list[Kernel]:
    """One list of all groups: the i-th of a group's s kernels at (i + offset) / s of it."""
    pairs = zip(groups, offsets, strict=True)
    placed = [((i + offset) / len(group), kernel) for group, offset in pairs for i, kernel in enumerate(group)]
    placed.sort(key=lambda item: item[0])
    return [kernel for _, kernel in placed]


def modes_of(kernel: Kernel, rank: int) -> list[Mode]:
    """The ways to run the kernel that is number `rank` of its op: all in a graph, warm and cold; some in other ways too."""
    if kernel.op == "launch":
        return [WARM] if kernel.variant else [WARM, EAGER, FLUSH]
    if kernel.op == "gemm_peak":
        return [WARM, SUSTAINED, COLD]
    if kernel.op in ("wave", "k_step", "split_k", "l2_read"):
        return [WARM]
    if kernel.op == "l2_latency":
        return [WARM, FLUSH]
    modes = [WARM, COLD]
    if rank % EAGER_EVERY == 0:
        modes.append(EAGER)
    if rank % FLUSH_EVERY == 1:
        modes.append(FLUSH)
    heavy = kernel.op in PRODUCTS or kernel.op in ("attn_prefill", "attn_decode") or kernel.op.startswith("stream_")
    if heavy and rank % SUSTAINED_EVERY == 2:
        modes.append(SUSTAINED)
    return modes


def plan(kernels: Sequence[Kernel], launches: tuple[str, ...]) -> list[tuple[Kernel, list[Mode]]]:
    """Each kernel with its modes; where the device lacks graphs, a mode with a graph is run eagerly."""
    ranks: dict[str, int] = defaultdict(int)
    planned: list[tuple[Kernel, list[Mode]]] = []
    for kernel in kernels:
        modes = modes_of(kernel, ranks[kernel.op])
        ranks[kernel.op] += 1
        possible = [mode if mode.launch in launches else Mode("eager", mode.l2, mode.clock) for mode in modes]
        planned.append((kernel, list(dict.fromkeys(possible))))
    return planned
