"""``rowline dram``: a request trace or a pattern through memory controllers, to statistics and, if wanted, a command log."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_controller, load_device, nearest
from rowline.arch.units import PS_PER_S, Clock, UnitError
from rowline.arch.values import Duration, SourceKind, sourced_values
from rowline.arch.yamltree import ConfigError, printable

if TYPE_CHECKING:
    from rowline.sim.address import AddressMap
    from rowline.sim.memory import Channel

Progress = Callable[[int, int | None], None]
MAX_CHANNELS = 1024
MAX_TICK = 1 << 48
CONTROLLER = "controller."


@dataclass(frozen=True)
class MemoryJob:
    """What is simulated.

    Attributes:
        device: preset or YAML file of one channel.
        trace: a file of requests, or None for ``pattern``; ``format`` is one of ``traces.formats``, or ``auto``.
        requests, write_share, stride, interval, seed: of the pattern; ``stride`` in bytes (default: a new row each
            time, under the default mapping), ``interval`` a time or ``4 ck``.
        controller: YAML file of a controller.
        sets: overrides ``dotted.key=value``, of the device, or of the controller after ``controller.``.
        wrap: take addresses beyond the capacity modulo it.
        checked: hold every command against the legality judge.
        log: file for the commands, in ``log_format``; with several channels one file each, named ``NAME.chN.SUFFIX``.
    """

    device: str = "hbm3-6400"
    trace: Path | None = None
    format: str = "auto"
    pattern: str = "stream"
    requests: int = 1_000_000
    write_share: float | None = None
    stride: int | None = None
    interval: str = "0 ck"
    seed: int = 0
    channels: int = 1
    controller: Path | None = None
    mapping: str | None = None
    policy: str | None = None
    row_policy: str | None = None
    refresh: str | None = None
    sets: tuple[str, ...] = ()
    wrap: bool = False
    checked: bool = True
    log: Path | None = None
    log_format: str = "auto"


def run_memory(job: MemoryJob, on_progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Simulate; the keys of the answer are in ``docs/cli.md``.

    Args:
        on_progress: called with (requests served, requests in all or None where a trace does not say).

    Raises:
        ConfigError: device, controller or an option is wrong.
        FormatError: the trace is damaged, or does not fit the memory.
        OSError: a file cannot be read or written.
    """
    begin = perf_counter()
    device, controller = prepare(job)
    from rowline.sim.memory_results import summarise

    address_map = _address_map(job, device, controller)
    source = _source(job, device, address_map)
    if job.log is None:
        channels = _all_channels(job, device, controller, source, on_progress)
    else:
        channels = [_logged_channel(job, device, controller, source, c, on_progress) for c in range(job.channels)]
    stats = summarise(device, channels)
    origin = {"trace": str(job.trace)} if job.trace is not None else {"pattern": job.pattern, "seed": job.seed}
    head = {"device": device.name, "channels": job.channels, **origin, "mapping": address_map.text}
    rests_on = {"assumed": assumed(device), "notes": _notes(device)}
    return {**head, **stats, **rests_on, "wall_s": perf_counter() - begin}


def assumed(device: DramDevice) -> list[str]:
    """Names of the device's values that have no found source."""
    return [name for name, value in sourced_values(device).items() if value.kind == SourceKind.ASSUMED]


def _notes(device: DramDevice) -> list[str]:
    """What a reader of the figures should know."""
    from rowline.sim.dram_energy import dram_energy

    if dram_energy(device).per_command[device.dram_standard.index["ACT"]] > 0:
        return []
    return ["activation energy is 0: IDD0 lies below the standby currents over tRC"]


def prepare(job: MemoryJob) -> tuple[DramDevice, Controller]:
    """Device and controller of a job, all that can be refused early being refused.

    Raises:
        ConfigError: see :func:`run_memory`.
    """
    if not 1 <= job.channels <= MAX_CHANNELS:
        raise ConfigError([f"--channels {job.channels}: must lie between 1 and {MAX_CHANNELS}"])
    device_sets = [text for text in job.sets if not text.startswith(CONTROLLER)]
    controller_sets = [text.removeprefix(CONTROLLER) for text in job.sets if text.startswith(CONTROLLER)]
    named = {"scheduler": job.policy, "row_policy": job.row_policy, "mapping": job.mapping}
    controller_sets += [f"{key}={value}" for key, value in named.items() if value is not None]
    if job.log is not None and job.trace is not None and job.log.resolve() == job.trace.resolve():
        raise ConfigError([f"--log {printable(str(job.log), 500)}: is the trace itself"])
    if job.refresh is not None:
        device_sets.append(f"refresh.mode={job.refresh}")
    device = load_device(job.device, device_sets)
    try:
        return device, load_controller(job.controller, controller_sets).fitted(device)
    except ValidationError as error:
        raise ConfigError([str(e["msg"]) for e in error.errors()]) from None
    except ValueError as error:
        raise ConfigError([f"controller.{error}"]) from None


def _address_map(job: MemoryJob, device: DramDevice, controller: Controller) -> "AddressMap":
    from rowline.sim.address import AddressMap

    try:
        return AddressMap.of(device, job.channels, controller.mapping, controller.bank_hash)
    except ValueError as error:
        raise ConfigError([f"--mapping: {error}"]) from None


@dataclass(frozen=True)
class _Source:
    """Requests as the controllers take them, from the start each time :meth:`chunks` is called."""

    job: MemoryJob
    device: DramDevice
    address_map: "AddressMap"
    total: int | None

    def chunks(self) -> Iterator[Any]:
        """Pieces of the trace, in order."""
        from rowline.sim.address import PlaceError, place
        from rowline.traces.formats.files import FormatError

        first, ticks = 0, self.device.dram_standard.ticks_per_clock
        for requests in _requests(self.job, self.device, self.address_map):
            try:
                placed = place(requests, self.address_map, wrap=self.job.wrap, first=first)
            except PlaceError as error:
                raise FormatError(self.job.trace or self.job.pattern, None, str(error)) from None
            if self.job.trace is not None:
                _check_cycles(self.job.trace, placed, first, MAX_TICK // ticks)
                placed["arrive"] *= ticks  # traces count clocks
            first += len(placed)
            yield placed


def _check_cycles(trace: Path, placed: Any, first: int, most: int) -> None:
    """Refuse a request that arrives later than the engine can count."""
    from rowline.traces.formats.files import FormatError

    late = placed["arrive"] > most
    if late.any():
        raise FormatError(trace, None, f"request {first + int(late.argmax())}: arrives after cycle {most}")


def _source(job: MemoryJob, device: DramDevice, address_map: "AddressMap") -> _Source:
    source = _Source(job, device, address_map, job.requests if job.trace is None else None)
    _requests(job, device, address_map)  # what is wrong with the trace or pattern as such shows now
    return source


def _requests(job: MemoryJob, device: DramDevice, address_map: "AddressMap") -> Iterator[Any]:
    if job.trace is not None:
        from rowline.traces.formats.requests import read_requests

        org = device.organization
        named = {"pseudo_channel": org.pseudo_channels.value > 1, "rank": org.ranks.value > 1 or org.pseudo_channels.value == 1}
        levels = ["channel", *(k for k, v in named.items() if v), "bank_group", "bank", "row", "column"]
        return read_requests(job.trace, job.format, levels)
    return _pattern(job, device, address_map)


def _pattern(job: MemoryJob, device: DramDevice, address_map: "AddressMap") -> Iterator[Any]:
    from rowline.traces.patterns import PATTERNS, pattern

    org, stride, step = device.organization, job.stride, None
    if job.pattern not in PATTERNS:
        raise ConfigError([f"--pattern {printable(job.pattern)}: unknown{nearest(job.pattern, PATTERNS)}"])
    if job.pattern == "stride" and stride is None:  # past all the rows that a stream has open at a time: a new row each time
        stride = org.row_size.value * org.bank_groups.value * org.pseudo_channels.value * job.channels
    if job.pattern == "pingpong":  # two rows of one bank
        origin, row, column = address_map.encode(0, 0, [0, address_map.row_stride % org.rows.value, 0], [0, 0, 1]).tolist()
        stride, step = stride or row - origin, column - origin
    try:
        return pattern(
            job.pattern, job.requests, capacity_bytes=address_map.capacity_bytes, access_bytes=org.access_size.value,
            row_bytes=org.row_size.value, stride_bytes=stride, step_bytes=step, seed=job.seed, write_share=job.write_share,
            interval=_interval(job.interval, device),
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError([f"--pattern {job.pattern}: {error}"]) from None


def _interval(text: str, device: DramDevice) -> Fraction:
    """Ticks between two requests."""
    try:
        value = Duration.model_validate(text)
    except (ValidationError, UnitError) as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        raise ConfigError([f"--interval {printable(text)}: {problem}"]) from None
    ticks = device.dram_standard.ticks_per_clock
    if value.in_cycles:
        return Fraction(value.value * ticks)
    return Fraction(value.value * Clock(device.clock.value).freq_hz * ticks, PS_PER_S)


def _all_channels(
    job: MemoryJob, device: DramDevice, controller: Controller, source: _Source, on_progress: Progress
) -> "list[Channel]":
    """All channels side by side, without a log."""
    from rowline.sim.memory import Channel

    channels = [Channel(device, controller, job.checked, logged=False) for _ in range(job.channels)]
    done = 0
    for placed in source.chunks():
        for number, channel in enumerate(channels):
            own = placed if len(channels) == 1 else placed[placed["channel"] == number]
            for _ in channel.feed(own):
                pass
        done += len(placed)
        on_progress(done, source.total)
    for channel in channels:
        for _ in channel.finish():
            pass
    return channels


def _logged_channel(
    job: MemoryJob, device: DramDevice, controller: Controller, source: _Source, number: int, on_progress: Progress
) -> "Channel":
    """One channel, its commands written as they come; each channel reads the trace for itself."""
    from rowline.memory_log import write_log
    from rowline.sim.memory import Channel

    channel = Channel(device, controller, job.checked, logged=True)
    assert job.log is not None
    name = job.log if job.channels == 1 else job.log.with_name(numbered(job.log.name, number))

    def commands() -> Iterator[Any]:
        done = 0
        for placed in source.chunks():
            yield from channel.feed(placed[placed["channel"] == number])
            done += len(placed)
            on_progress(done, source.total)
        yield from channel.finish()

    write_log(name, job.log_format, commands(), device, number)
    return channel


def numbered(name: str, channel: int) -> str:
    """``log.csv.gz`` -> ``log.ch3.csv.gz``."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}.ch{channel}{dot}{suffix}"
