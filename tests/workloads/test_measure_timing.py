"""The measuring loops, held against a GPU whose every microsecond is known."""

import pytest
from rowline.workloads.measure.timing import (
    CpuTimer,
    CudaTimer,
    Pace,
    Timed,
    burst,
    calls_per_sample,
    estimate_us,
    flushed,
    sustained,
)

from .fakecuda import LAUNCH_US, REPLAY_US, FakeCuda


class FakeTimer(CudaTimer):
    """Of the fake's clock also on the host's side."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__(cuda)
        self._fake = cuda

    def now(self) -> float:
        return self._fake.clock / 1e6


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


def test_a_graph_has_the_kernels_time_and_a_share_of_its_launch(cuda: FakeCuda) -> None:
    timed = burst(FakeTimer(cuda), [cuda.busy(10.0)], "graph", 30, Pace(repeats=7, warm_s=0.0))
    assert timed.samples == pytest.approx([10 + REPLAY_US / 30] * 7) and (cuda.captures, cuda.calls) == (1, 1 + 30)
    assert cuda.replays == 7 + Pace().warmups


def test_eager_has_the_hosts_launch_in_it(cuda: FakeCuda) -> None:
    timed = burst(FakeTimer(cuda), [cuda.busy(10.0)], "eager", 30, Pace())
    assert timed.median() == pytest.approx(10 + LAUNCH_US) and cuda.captures == 0


def test_copies_go_round(cuda: FakeCuda) -> None:
    order: list[int] = []
    run = CudaTimer(cuda).loop([lambda i=i: order.append(i) for i in range(3)], "eager", 7)
    run()
    assert order == [0, 1, 2, 0, 1, 2, 0]


def test_sweeping_the_cache_is_not_timed(cuda: FakeCuda) -> None:
    sweeps = [0]

    def flush() -> None:
        sweeps[0] += 1
        cuda.clock += 1000

    timed = flushed(FakeTimer(cuda), [cuda.busy(5.0)], flush, Pace(repeats=6, warm_s=0.0))
    assert timed.samples == pytest.approx([5 + LAUNCH_US] * 6) and sweeps[0] == 6 + Pace().warmups


def test_sustained_settles_as_long_as_it_measures(cuda: FakeCuda) -> None:
    looks: list[float] = []
    settled: list[float] = []
    timed = sustained(
        FakeTimer(cuda), [cuda.busy(100.0)], "graph", 9, Pace(sustain_s=0.5), 0.05,
        lambda: looks.append(cuda.clock), lambda: settled.append(cuda.clock),
    )  # fmt: skip
    assert 0.5e6 <= settled[0] < 0.57e6 and 0.5 <= timed.seconds < 0.56
    assert timed.calls == len(timed.samples) * 9 and timed.calls * 100e-6 == pytest.approx(timed.seconds, rel=0.01)
    assert 9 <= len(looks) <= 11 and min(looks) > settled[0]


def test_a_kernel_that_fills_a_burst_is_run_a_few_times_only(cuda: FakeCuda) -> None:
    timed = burst(FakeTimer(cuda), [cuda.busy(400e3)], "graph", 1, Pace())
    assert len(timed.samples) == 3 and cuda.replays == 4
    assert Pace().samples(20e3) == 10 and Pace().samples(1.0) == 20 and Pace(repeats=2).samples(1e9) == 2


def test_an_idle_device_is_brought_to_its_clock_first(cuda: FakeCuda) -> None:
    burst(FakeTimer(cuda), [cuda.busy(999.0)], "graph", 1, Pace(repeats=5))
    assert cuda.replays == 10 + 5


def test_a_sample_is_long_enough_and_whole_rounds() -> None:
    pace = Pace(sample_us=300)
    assert calls_per_sample(10.0, 1, pace) == 30 and calls_per_sample(1e6, 1, pace) == 1
    assert calls_per_sample(10.0, 7, pace) == 35 and calls_per_sample(1e6, 7, pace) == 7
    assert calls_per_sample(0.01, 1, pace) == 512


def test_the_estimate_is_of_a_call_after_all_were_warmed_up(cuda: FakeCuda) -> None:
    assert estimate_us(FakeTimer(cuda), [cuda.busy(10.0), cuda.busy(90.0)]) == pytest.approx(12.0)
    assert cuda.calls == 2 + 3


def test_a_capture_that_fails_tells_its_own_error(cuda: FakeCuda) -> None:
    def impossible() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaTimer(cuda).loop([impossible], "graph", 1)
    assert burst(FakeTimer(cuda), [cuda.busy(1.0)], "graph", 1, Pace()).median() > 0  # no capture was left open


def test_median_and_quartile_range() -> None:
    assert Timed([1.0, 2.0, 3.0, 4.0, 100.0]).median() == 3.0 and Timed([1.0, 2.0, 3.0, 4.0, 100.0]).spread() == 2.0
    assert Timed([7.0]).spread() == 0.0


def test_the_cpu_is_timed_by_its_clock() -> None:
    seen: list[str] = []
    times = CpuTimer().laps(lambda: seen.append("run"), 2, lambda: seen.append("before"), lambda: seen.append("after"))
    assert seen == ["before", "run", "before", "run", "after"] and all(0 < time < 1e6 for time in times)
