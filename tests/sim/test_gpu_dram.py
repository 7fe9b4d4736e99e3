"""The DRAM rate of homogeneous stretches: what the engine yields, and that a server with that rate is as good as the engine."""

import time

import numpy as np
import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.sim.gpu import dram_stream as ds
from rowline.sim.kernels import memory_layout as ml
from rowline.sim.memory import Channel

CHANNELS = {"hbm2e-3200": 40, "hbm3-6400": 80, "gddr6-14000": 16}
PATTERNS = {"read": ds.READ, "write": ds.WRITE, "copy": ds.COPY, "triad": ds.TRIAD, "scattered": ds.SCATTERED}


def device_of(name: str, refresh: str = "per_bank") -> DramDevice:
    return load_device(name, [f"refresh.mode={refresh}"])


def engine_time_ps(device: DramDevice, pattern: ds.Pattern, channels: int, size_bytes: int, seed: int) -> int:
    """The engine's own run of a stretch, from the first request to the end of the last data, all channels alike."""
    access = device.organization.access_size.value
    requests = size_bytes // channels // access
    controller = ds.gpu_controller(device)
    job = ds._Job("", pattern, channels, ds.INTERLEAVE.value, requests, seed, device, controller)
    placed = ds._requests(job)[-requests:]
    assert len(placed) * access * channels == size_bytes
    channel = Channel(device, controller, judged=False, logged=False)
    assert [*channel.feed(placed), *channel.finish()] == []
    counted = channel.machine.variables
    assert counted[ml.V_READS] + counted[ml.V_WRITES] == requests
    return channel.end_tick * 10**12 // device.device_clock.freq_hz


@pytest.mark.parametrize("refresh", ["all_bank", "per_bank"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", CHANNELS)
def test_the_server_and_the_engine_agree_on_a_homogeneous_stretch(name: str, pattern: str, refresh: str) -> None:
    """Bytes over rate, and the latency once, against a run from an empty channel to the last data; within 1 %."""
    device, channels = device_of(name, refresh), CHANNELS[name]
    result = ds.stream_efficiency(device, PATTERNS[pattern], channels)
    size = 200_000 * device.organization.access_size.value * channels
    served = result.time_ps(size, channels) + result.latency_ps
    assert served == pytest.approx(engine_time_ps(device, PATTERNS[pattern], channels, size, seed=0), rel=0.01)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", CHANNELS)
def test_the_rate_depends_little_on_length_and_places(name: str, pattern: str) -> None:
    device, channels = device_of(name), CHANNELS[name]
    base = ds.stream_efficiency(device, PATTERNS[pattern], channels).efficiency
    longer = ds.stream_efficiency(device, PATTERNS[pattern], channels, requests=2 * PATTERNS[pattern].enough).efficiency
    other = ds.stream_efficiency(device, PATTERNS[pattern], channels, seed=7).efficiency
    assert longer == pytest.approx(base, rel=0.01)
    assert other == pytest.approx(base, rel=0.02)


@pytest.mark.parametrize("name", CHANNELS)
def test_what_costs_costs(name: str) -> None:
    """Turning the bus round, opening rows, and refreshing all banks at once; and nothing exceeds the peak."""
    device, channels = device_of(name), CHANNELS[name]
    rate = {k: ds.stream_efficiency(device, p, channels).efficiency for k, p in PATTERNS.items()}
    assert 1 > rate["read"] > rate["triad"] > rate["copy"] > rate["scattered"] > 0
    assert ds.stream_efficiency(device_of(name, "all_bank"), ds.READ, channels).efficiency < rate["read"]
    wide = ds.stream_efficiency(device, ds.SCATTERED, channels, interleave_bytes=2048).efficiency
    assert wide > 1.5 * rate["scattered"]


@pytest.mark.parametrize("name", CHANNELS)
def test_without_refresh_one_stream_reads_at_the_peak(name: str) -> None:
    """One linear stream, its rows opened ahead in other banks: the bus hardly idles, and never moves more than its peak."""
    one = ds.Pattern(1, 0, granule_bytes=2 << 20, run_bytes=64 << 20)
    assert 0.98 < ds.stream_efficiency(device_of(name, "off"), one).efficiency <= 1.001  # the queue ends less full than it began


@pytest.mark.parametrize("name", CHANNELS)
def test_the_latency_is_that_of_a_closed_bank(name: str) -> None:
    device = device_of(name)
    n, standard = device.params, device.dram_standard
    length = {c.name: standard.ticks(c) for c in standard.commands}
    ticks = n["nRCDRD"] + length["ACT"] - standard.ticks_per_clock + n["nCL"] + n["nBL"]
    clock = device.device_clock.freq_hz
    assert ds.stream_efficiency(device).latency_ps == -(-ticks * 10**12 // clock)


def test_the_channels_share_of_a_granule() -> None:
    """Pieces of the interleave, or of a channel's share where that is more; every piece contiguous, turns as the pattern says."""
    device = load_device("hbm2-2000", ["refresh.mode=off"])
    access = device.organization.access_size.value
    pattern = ds.Pattern(2, 1, granule_bytes=32 << 10, run_bytes=64 << 10)
    for channels, piece in ((4, 8192), (8, 4096), (512, 256)):
        job = ds._Job("", pattern, channels, 256, 5000, 0, device, ds.gpu_controller(device))
        placed, per = ds._requests(job), piece // access
        writes = placed["write"][: len(placed) // per * per].reshape(-1, per)
        assert (writes == writes[:, :1]).all()
        assert writes[:9, 0].tolist() == [0, 1, 0] * 3
    assert ds.Pattern(4, 2).turns().count(True) == 2 and ds.Pattern(0, 3).turns() == [True] * 3


def test_time_is_bytes_over_rate() -> None:
    result = ds.StreamResult(1000, ticks=500, ticks_per_s=10**9, peak_bytes_per_s=4 * 10**9, row_hit_rate=0, latency_ps=1)
    assert (result.bytes_per_s, result.efficiency) == (2e9, 0.5)
    assert result.time_ps(4000) == 2_000_000 and result.time_ps(4000, 4) == 500_000
    assert result.time_ps(1, 3) == 167  # 166.7 ps, by ceiling


def test_the_same_content_is_simulated_once() -> None:
    first = ds.stream_efficiency(device_of("gddr6-14000"), ds.READ, 16)
    begin = time.perf_counter()
    assert ds.stream_efficiency(device_of("gddr6-14000"), ds.Pattern(4, 0), 16) is first
    assert time.perf_counter() - begin < 0.2  # what loading a device takes
    other = load_device("gddr6-14000", ["refresh.mode=per_bank", "timing.tRCDRD=40 ns"])
    assert ds.stream_efficiency(other, ds.READ, 16).latency_ps > first.latency_ps


@pytest.mark.parametrize(
    ("streams", "sizes"), [((0, 0), (1, 1)), ((-1, 2), (1, 1)), ((1, 0), (0, 1)), ((1, 0), (2, 1))]
)
def test_patterns_that_cannot_be_are_refused(streams: tuple[int, int], sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        ds.Pattern(*streams, *sizes)


@pytest.mark.parametrize(("channels", "requests", "interleave"), [(0, 1, 256), (1, 0, 256), (1, 1, 0), (1, 1, 33)])
def test_numbers_that_cannot_be_are_refused(channels: int, requests: int, interleave: int) -> None:
    with pytest.raises(ValueError):
        ds.stream_efficiency(device_of("gddr6-14000"), ds.READ, channels, requests=requests, interleave_bytes=interleave)


@pytest.mark.bench
@pytest.mark.parametrize("name", CHANNELS)
def test_speed(name: str) -> None:
    """Below 0.3 s a stream, once compiled."""
    device = device_of(name)
    ds.stream_efficiency(device, requests=1000)
    for seed in np.arange(100, 102).tolist():
        begin = time.process_time()
        ds.stream_efficiency(device, ds.READ, CHANNELS[name], seed=seed)
        assert time.process_time() - begin < 0.3
