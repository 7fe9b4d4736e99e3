"""What behaves like ``torch.cuda`` as far as the suite uses it, on a clock that only moves when something is run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

LAUNCH_US = 2.0  # of a call from the host
REPLAY_US = 1.0  # of a graph


class FakeCuda:
    """`busy(us)` makes calls; `clock` (us) adds what runs. A call that is captured takes no time, its replay does."""

    def __init__(self) -> None:
        self.clock, self.calls, self.captures, self.replays, self.broken = 0.0, 0, 0, 0, False
        self._captured: list[float] | None = None

    def busy(self, duration_us: float) -> Callable[[], None]:
        def call() -> None:
            self.calls += 1
            if self._captured is not None:
                self._captured.append(duration_us)
            else:
                self.clock += duration_us + LAUNCH_US

        return call

    def wrapped(self, call: Callable[[], Any], duration_us: float) -> Callable[[], Any]:
        """A real call that also takes time on this clock."""
        timed = self.busy(duration_us)

        def both() -> Any:
            timed()
            return call()

        return both

    def synchronize(self) -> None:
        if self.broken:
            raise RuntimeError("an illegal memory access was encountered")

    def empty_cache(self) -> None:
        pass

    def Stream(self) -> object:
        return object()

    @contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        yield

    def Event(self, enable_timing: bool) -> "FakeEvent":
        assert enable_timing
        return FakeEvent(self)

    def CUDAGraph(self) -> "FakeGraph":
        return FakeGraph(self)

    def mem_get_info(self) -> tuple[int, int]:
        return 100 << 20, 200 << 20

    def get_device_properties(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(
            name="NVIDIA H200", uuid="00000000-1111-2222-3333-444444444444", multi_processor_count=132,
            L2_cache_size=16 << 10, total_memory=200 << 20,
        )  # fmt: skip


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self._at = cuda, -1.0

    def record(self) -> None:
        self._at = self._cuda.clock

    def elapsed_time(self, other: "FakeEvent") -> float:
        assert self._at >= 0 and other._at >= 0
        return (other._at - self._at) / 1e3


class FakeGraph:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self._durations = cuda, list[float]()

    def capture_begin(self) -> None:
        assert self._cuda._captured is None
        self._cuda._captured = self._durations
        self._cuda.captures += 1

    def capture_end(self) -> None:
        self._cuda._captured = None

    def replay(self) -> None:
        assert self._cuda._captured is None
        self._cuda.replays += 1
        self._cuda.clock += sum(self._durations) + REPLAY_US
