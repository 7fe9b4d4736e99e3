"""A stream of kernels as SimPy processes: a host that launches, and a GPU that runs what was launched, in order.

The host hands over batches: a CUDA graph with all kernels of a pass, or one kernel after another. It does not wait for
results, so it runs ahead of the GPU where it launches faster than that computes; where it does not, the GPU waits. Time is
integer picoseconds.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import simpy


@dataclass(frozen=True)
class Batch:
    """What one launch of the host brings: host time for it, and how long each of its kernels takes."""

    host_ps: int
    kernels_ps: Sequence[int]


def run_stream(batches: Iterable[Batch]) -> tuple[list[int], list[int]]:
    """Run all batches; time 0 is when the host begins with the first.

    Returns:
        Start and end of each kernel in ps.
    """
    env = simpy.Environment()
    queue = simpy.Store(env)
    starts: list[int] = []
    ends: list[int] = []

    def host() -> Generator[simpy.Event, None, None]:
        for batch in batches:
            yield env.timeout(batch.host_ps)
            queue.put(batch.kernels_ps)
        queue.put(None)

    def gpu() -> Generator[simpy.Event, Any, None]:
        while (kernels := (yield queue.get())) is not None:
            for duration in kernels:
                starts.append(int(env.now))
                yield env.timeout(duration)
                ends.append(int(env.now))

    env.process(host())
    env.process(gpu())
    env.run()
    return starts, ends
