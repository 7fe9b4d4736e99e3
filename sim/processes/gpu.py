"""A stream of kernels as SimPy processes: a host that launches, and a GPU that runs what was launched, in order.

The host hands over batches: a CUDA graph with all kernels of a pass, or one kernel after another. It does not wait for
results, so it runs ahead of the GPU where it launches faster than that computes; where it does not, the GPU waits. Time is
integer picoseconds.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import simpy


@dataclass(frozen=True)
class Batch:
    """What one launch of the host brings: host time for it, and how long each of its kernels takes."""

    host_ps: int
    kernels_ps: Sequence[int]


class _Queue:
    """Launches that the GPU has not begun with; it alone waits for one to come."""

    def __init__(self, env: simpy.Environment):
        self.env = env
        self.waiting: deque[Sequence[int]] = deque()
        self.closed = False
        self.event: simpy.Event | None = None

    def put(self, kernels_ps: Sequence[int] | None) -> None:
        """Add a launch, or say that no more will come."""
        if kernels_ps is None:
            self.closed = True
        else:
            self.waiting.append(kernels_ps)
        if self.event is not None:
            event, self.event = self.event, None
            event.succeed()

    def came(self) -> simpy.Event:
        """Event of the next launch, or of the end."""
        self.event = self.env.event()
        return self.event


def run_stream(batches: Iterable[Batch]) -> tuple[list[int], list[int]]:
    """Run all batches; time 0 is when the host begins with the first.

    Returns:
        Start and end of each kernel in ps.
    """
    env = simpy.Environment()
    queue = _Queue(env)
    starts: list[int] = []
    ends: list[int] = []

    def host() -> Generator[simpy.Event, None, None]:
        for batch in batches:
            yield env.timeout(batch.host_ps)
            queue.put(batch.kernels_ps)
        queue.put(None)

    def gpu() -> Generator[simpy.Event, None, None]:
        while queue.waiting or not queue.closed:
            if not queue.waiting:
                yield queue.came()
                continue
            for duration in queue.waiting.popleft():
                starts.append(int(env.now))
                yield env.timeout(duration)
                ends.append(int(env.now))

    env.process(host())
    env.process(gpu())
    env.run()
    return starts, ends
