"""What the DRAM engine itself yields for the access patterns of GPU kernels: a rate for homogeneous stretches, and a latency.

Channels are alike and share nothing, so one is simulated, kept saturated, over a hundred thousand requests; a stretch of a
kernel then takes bytes over (efficiency x peak), which tests hold against the engine's own run of that stretch.

A kernel's traffic is a number of concurrent streams. Each, in its turn, moves a ``granule`` of contiguous bytes, and goes on to
somewhere else after ``run`` bytes. Of every ``channels x interleave`` contiguous bytes a channel has ``interleave``: it sees
pieces of that size, or, where a granule is larger than all channels' pieces together, of its share of the granule.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...arch.controller import Controller
from ...arch.device import DramDevice
from ...arch.units import PS_PER_S
from ...arch.values import Size
from ..address import PLACED, AddressMap
from ..kernels import memory_layout as ml
from ..memory import Channel

Ints = NDArray[np.int64]

_ACCEL_SIM = "Accel-Sim's GPU configurations; the vendor publishes none"
INTERLEAVE = Size.model_validate({"value": "256 B", "kind": "ASSUMED", "ref": f"dramid@8 of {_ACCEL_SIM}"})
QUEUE_PER_BUS = 64
WARM_REQUESTS = 6_000


@dataclass(frozen=True)
class Pattern:
    """Concurrent streams, as they leave the second-level cache.

    Attributes:
        reads, writes: how many streams of each.
        granule_bytes: contiguous bytes that a stream moves in its turn.
        run_bytes: contiguous bytes after which a stream goes on elsewhere, drawn; at least a granule.
    """

    reads: int
    writes: int
    granule_bytes: int = 256 << 10
    run_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if self.reads < 0 or self.writes < 0 or self.reads + self.writes == 0:
            raise ValueError(f"{self.reads} and {self.writes} streams: there must be some")
        if not 1 <= self.granule_bytes <= self.run_bytes:
            raise ValueError(f"granules of {self.granule_bytes} bytes in runs of {self.run_bytes}: must be from 1 to the run's")

    @property
    def enough(self) -> int:
        """Requests of a channel after which the rate depends on the drawn places by less than a percent."""
        return 200_000 if self.run_bytes > self.granule_bytes else 50_000

    def turns(self) -> list[bool]:
        """Which of a round's turns are writes: both kinds evenly spread."""
        both = [((i + 0.5) / self.reads, False) for i in range(self.reads)]
        both += [((i + 0.5) / self.writes, True) for i in range(self.writes)]
        return [write for _, write in sorted(both)]


READ, WRITE = Pattern(4, 0), Pattern(0, 4)
COPY, TRIAD = Pattern(4, 4), Pattern(4, 2)
SCATTERED = Pattern(4, 0, granule_bytes=4096, run_bytes=4096)
"""Granules of 4 KiB anywhere."""


@dataclass(frozen=True)
class StreamResult:
    """What a saturated channel does.

    Attributes:
        moved_bytes, ticks: in the measured stretch; ``ticks_per_s`` of them a second.
        peak_bytes_per_s: of the channel's data buses.
        row_hit_rate: share of requests that found their row open, the whole run counted.
        latency_ps: of a read of a closed bank in an idle channel, from the controller's acceptance to the end of the data.
    """

    moved_bytes: int
    ticks: int
    ticks_per_s: int
    peak_bytes_per_s: int
    row_hit_rate: float
    latency_ps: int

    @property
    def bytes_per_s(self) -> float:
        """Rate of one channel."""
        return self.moved_bytes * self.ticks_per_s / self.ticks

    @property
    def efficiency(self) -> float:
        """Share of the peak rate, 0 to 1."""
        return self.bytes_per_s / self.peak_bytes_per_s

    def time_ps(self, size_bytes: int, channels: int = 1) -> int:
        """Time in which ``channels`` channels move ``size_bytes`` between them, without the latency; by ceiling."""
        return -(-size_bytes * self.ticks * PS_PER_S // (self.moved_bytes * self.ticks_per_s * channels))


@dataclass(frozen=True)
class _Job:
    """One simulation; equal if the content is."""

    content: str
    pattern: Pattern
    channels: int
    interleave_bytes: int
    requests: int
    seed: int
    device: DramDevice = field(compare=False)
    controller: Controller = field(compare=False)


def gpu_controller(device: DramDevice) -> Controller:
    """The controller of a GPU's channel: places for 64 reads and 64 writes of each data bus, and hashed banks.

    Refresh is not postponed: in a steady stream what is put off falls due all the same.
    """

    def assumed(value: object) -> dict[str, object]:
        return {"value": value, "kind": "ASSUMED", "ref": _ACCEL_SIM}

    places = assumed(QUEUE_PER_BUS * device.organization.pseudo_channels.value)
    high, low = assumed("0.875"), assumed("0.5")
    queues = {"read_queue": places, "write_queue": places, "write_high": high, "write_low": low}
    return Controller.model_validate({**queues, "bank_hash": True, "refresh_postpone": 0})


def stream_efficiency(
    device: DramDevice,
    pattern: Pattern = READ,
    channels: int = 1,
    *,
    interleave_bytes: int = INTERLEAVE.value,
    controller: Controller | None = None,
    requests: int | None = None,
    seed: int = 0,
) -> StreamResult:
    """Simulate one of ``channels`` channels under a pattern; remembered by content.

    Args:
        device: the channel; its refresh mode matters most of all (all-bank refresh stops the bus for tRFC every tREFI).
        channels: over which the streams are spread.
        interleave_bytes: contiguous bytes of a channel; a multiple of the device's access size.
        controller: default :func:`gpu_controller`.
        requests: measured, after a stretch that fills the queues; default :attr:`Pattern.enough`.
        seed: of the places that streams go to.

    Raises:
        ValueError: an argument is out of range, or the device has sizes that an address mapping cannot have.
    """
    access, count = device.organization.access_size.value, pattern.enough if requests is None else requests
    if channels < 1 or count < 1 or interleave_bytes < 1 or interleave_bytes % access:
        raise ValueError(f"{channels} channels, {count} requests, interleave of {interleave_bytes} bytes, accesses of {access}")
    used = controller or gpu_controller(device)
    content = device.model_dump_json() + used.model_dump_json()
    return _simulate(_Job(content, pattern, channels, interleave_bytes, count, seed, device, used))


@lru_cache(maxsize=256)
def _simulate(job: _Job) -> StreamResult:
    device, organization = job.device, job.device.organization
    placed, access = _requests(job), organization.access_size.value
    channel = Channel(device, job.controller, judged=False, logged=False)
    warm = len(placed) - job.requests
    _feed(channel, placed[:warm])
    begin = int(channel.machine.variables[ml.V_TICK])
    _feed(channel, placed[warm:])
    variables = channel.machine.variables
    ticks = int(variables[ml.V_TICK]) - begin
    served = int(variables[ml.V_READS] + variables[ml.V_WRITES])
    peak = device.bus.bandwidth_bits_per_s * organization.pseudo_channels.value // 8
    hits = int(variables[ml.V_KIND + ml.HIT]) / max(1, served)
    return StreamResult(job.requests * access, ticks, device.device_clock.freq_hz, peak, hits, _latency_ps(job))


def _feed(channel: Channel, placed: NDArray[np.void]) -> None:
    for _ in channel.feed(placed):
        pass


def _latency_ps(job: _Job) -> int:
    """One read, alone; by ceiling."""
    channel = Channel(job.device, job.controller, judged=False, logged=False)
    _feed(channel, np.zeros(1, PLACED))
    for _ in channel.finish():
        pass
    return -(-int(channel.machine.variables[ml.V_LATENCY_SUM]) * PS_PER_S // job.device.device_clock.freq_hz)


def _requests(job: _Job) -> NDArray[np.void]:
    """The requests of the channel: its pieces of the streams' granules, the streams taking turns."""
    access, pattern = job.device.organization.access_size.value, job.pattern
    address_map = AddressMap.of(job.device, 1, job.controller.mapping, job.controller.bank_hash)
    piece = _share(pattern.granule_bytes, job)
    run = max(1, _share(pattern.run_bytes, job) // piece)  # pieces
    turns = np.array(pattern.turns())
    accesses = piece // access
    index = np.arange(-(-(WARM_REQUESTS + job.requests) // accesses), dtype=np.int64)
    stream, number = index % len(turns), index // len(turns)
    number += stream * run // len(turns)  # their runs do not end together
    runs, inside = number // run, number % run
    places = max(1, address_map.capacity_bytes // (run * piece))
    words = np.random.PCG64(np.random.SeedSequence(job.seed)).random_raw(len(turns) * (int(runs.max()) + 1))
    begin = (words % np.uint64(places)).astype(np.int64)[runs * len(turns) + stream] * run
    first = (begin + inside) * piece
    addresses = (first[:, None] + np.arange(accesses) * access).ravel() % address_map.capacity_bytes
    placed = np.zeros(WARM_REQUESTS + job.requests, PLACED)
    decoded = address_map.decode(addresses[: len(placed)])
    placed["bank"], placed["row"], placed["col"] = decoded.bank, decoded.row, decoded.col
    placed["write"] = np.repeat(turns[stream], accesses)[: len(placed)]
    return placed


def _share(size_bytes: int, job: _Job) -> int:
    """Bytes of a channel in so many contiguous ones, in whole pieces of the interleave, at least one."""
    return max(1, size_bytes // job.channels // job.interleave_bytes) * job.interleave_bytes
