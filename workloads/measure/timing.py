"""The measuring loops, the same on every device: a burst, each call after the cache was swept, sustained.

A :class:`Timer` is what a device has to offer; nothing here imports torch.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns
from typing import Any, Protocol

Call = Callable[[], Any]
MOST_CALLS = 512
"""Calls of one sample, and so copies of the operands, at most."""


class Timer(Protocol):
    """How a device runs and times calls. `launches` are the ways to launch that it has, the preferred first."""

    launches: tuple[str, ...]

    def loop(self, calls: Sequence[Call], launch: str, count: int) -> Call:
        """Something that, called, starts `count` calls, going round through `calls`."""
        ...

    def laps(self, run: Call, count: int, before: Call | None = None, meanwhile: Call | None = None) -> list[float]:
        """Time `count` runs one by one, in microseconds; `before` each, untimed. `meanwhile` is called while they run."""
        ...

    def now(self) -> float:
        """Seconds on the host's clock."""
        ...


class CpuTimer:
    """Calls on the CPU, timed by the host's clock."""

    launches: tuple[str, ...] = ("eager",)

    def loop(self, calls: Sequence[Call], launch: str, count: int) -> Call:
        """See :class:`Timer`."""
        chain = [calls[i % len(calls)] for i in range(count)]

        def run() -> None:
            for call in chain:
                call()

        return run

    def laps(self, run: Call, count: int, before: Call | None = None, meanwhile: Call | None = None) -> list[float]:
        """See :class:`Timer`; what is to happen meanwhile happens after."""
        times: list[float] = []
        for _ in range(count):
            if before:
                before()
            begin = perf_counter_ns()
            run()
            times.append((perf_counter_ns() - begin) / 1e3)
        if meanwhile:
            meanwhile()
        return times

    def now(self) -> float:
        """See :class:`Timer`."""
        return perf_counter()


class CudaTimer:
    """Calls on the current CUDA device, timed by events. `cuda` is ``torch.cuda``, or what behaves like it."""

    launches: tuple[str, ...] = ("graph", "eager")

    def __init__(self, cuda: Any) -> None:
        self._cuda, self._stream = cuda, cuda.Stream()

    def loop(self, calls: Sequence[Call], launch: str, count: int) -> Call:
        """See :class:`Timer`. A graph is captured here, so that replaying it is all that is timed."""
        chain = CpuTimer().loop(calls, "eager", count)
        return self._captured(calls[0], chain) if launch == "graph" else chain

    def _captured(self, first: Call, chain: Call) -> Call:
        """A graph of the chain. One call goes before, so that what a library sets up on a stream is not captured."""
        cuda = self._cuda
        cuda.synchronize()
        graph = cuda.CUDAGraph()
        with cuda.stream(self._stream):
            first()
            cuda.synchronize()
            graph.capture_begin()
            try:
                chain()
            except BaseException:
                with suppress(RuntimeError):  # the capture is void; the first error is the one to tell
                    graph.capture_end()
                raise
            graph.capture_end()
        cuda.synchronize()
        return graph.replay

    def laps(self, run: Call, count: int, before: Call | None = None, meanwhile: Call | None = None) -> list[float]:
        """See :class:`Timer`."""
        cuda = self._cuda
        pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(count)]
        for begin, end in pairs:
            if before:
                before()
            begin.record()
            run()
            end.record()
        if meanwhile:
            meanwhile()
        cuda.synchronize()
        return [begin.elapsed_time(end) * 1e3 for begin, end in pairs]

    def now(self) -> float:
        """See :class:`Timer`."""
        return perf_counter()


@dataclass(frozen=True)
class Pace:
    """How long to measure. A sample is as many calls as take `sample_us`, a burst 3 to `repeats` samples, `burst_s` if it can.

    Before a burst come `warmups` samples and more until `warm_s` are over, which brings an idle device to its clock.
    """

    sample_us: float = 300.0
    repeats: int = 20
    burst_s: float = 0.2
    sustain_s: float = 1.0
    warmups: int = 3
    warm_s: float = 0.01

    def samples(self, sample_us: float) -> int:
        """Samples of this length that fit a burst."""
        return max(min(3, self.repeats), min(self.repeats, int(self.burst_s * 1e6 / max(sample_us, 1e-3))))


@dataclass(frozen=True)
class Timed:
    """Times per call of each sample in us; while they ran (sustained only) `seconds` went by for `calls` calls."""

    samples: list[float]
    calls: int = 0
    seconds: float = 0.0

    def median(self) -> float:
        """Median in us."""
        return statistics.median(self.samples)

    def spread(self) -> float:
        """Upper minus lower quartile in us, 0 of a single sample."""
        if len(self.samples) < 2:
            return 0.0
        lower, _, upper = statistics.quantiles(self.samples, n=4, method="inclusive")
        return upper - lower


def estimate_us(timer: Timer, calls: Sequence[Call]) -> float:
    """About how long one call takes, all copies having been called once."""
    timer.laps(timer.loop(calls, "eager", len(calls)), 1)
    return max(1e-2, min(timer.laps(timer.loop(calls[:1], "eager", 1), 3)))


def calls_per_sample(call_us: float, copies: int, pace: Pace) -> int:
    """As many calls as fill a sample, and whole rounds through the copies."""
    calls = min(MOST_CALLS, math.ceil(pace.sample_us / call_us))
    return max(1, math.ceil(calls / copies)) * copies


def burst(timer: Timer, calls: Sequence[Call], launch: str, count: int, pace: Pace, meanwhile: Call | None = None) -> Timed:
    """Samples of `count` calls, as few as tell."""
    run = timer.loop(calls, launch, count)
    times = timer.laps(run, pace.samples(_warmed_us(timer, run, pace)), None, meanwhile)
    return Timed([time / count for time in times])


def _warmed_us(timer: Timer, run: Call, pace: Pace, before: Call | None = None) -> float:
    """Time of a run after warming up; of one run if that takes a whole burst."""
    times = timer.laps(run, 1, before)
    while (len(times) < pace.warmups or sum(times) < pace.warm_s * 1e6) and sum(times) < pace.burst_s * 1e6:
        times += timer.laps(run, 1, before)
    return times[-1]


def flushed(timer: Timer, calls: Sequence[Call], flush: Call, pace: Pace, meanwhile: Call | None = None) -> Timed:
    """Single calls, the cache swept before each; they start while the sweep still runs, so the host's time is not in."""
    run = timer.loop(calls, "eager", 1)
    return Timed(timer.laps(run, pace.samples(_warmed_us(timer, run, pace, flush)), flush, meanwhile))


def sustained(
    timer: Timer, calls: Sequence[Call], launch: str, count: int, pace: Pace,
    chunk_s: float = 0.05, meanwhile: Call | None = None, settled: Call | None = None,
) -> Timed:  # fmt: skip
    """Samples without pause for `pace.sustain_s`; the same time again before, not looked at, lets the clock settle.

    `settled` is called when that is over, `meanwhile` in each chunk of about `chunk_s`.
    """
    run = timer.loop(calls, launch, count)
    per_chunk = max(1, round(chunk_s * 1e6 / _warmed_us(timer, run, pace)))
    begin = timer.now()
    while timer.now() - begin < pace.sustain_s:
        timer.laps(run, per_chunk)
    if settled:
        settled()
    times: list[float] = []
    begin = timer.now()
    while not times or timer.now() - begin < pace.sustain_s:
        times += timer.laps(run, per_chunk, None, meanwhile)
    return Timed([time / count for time in times], len(times) * count, timer.now() - begin)
