"""A run as a timeline that Perfetto and chrome://tracing show: who worked when, and in a window every command and its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rowline.arch.gpu import GpuSpec
from rowline.arch.system import System
from rowline.arch.units import UnitError, format_quantity, to_base
from rowline.arch.yamltree import ConfigError, printable
from rowline.runfiles import RunFiles, is_run, load_run, located, read_ops
from rowline.traces import opwindow

if TYPE_CHECKING:
    from rowline.sim.window import Watched
    from rowline.traces.formats.timeline import Timeline

Level = Literal["passes", "ops", "commands"]
RUN, HOST, LINKS, FIRST_CHANNEL = 1, 2, 3, 10
"""Numbers of processes: the run and its passes, the ASIC or GPU, links or memory, and the first channel."""
SMALLER = "narrow --window, name fewer --channels, or choose a coarser --level"


@dataclass(frozen=True)
class TimelineJob:
    """What is asked for.

    Attributes:
        window: ``T0:T1`` with units; either end may be left out.
        channels: numbers with commas; None: all.
    """

    run: str
    out: Path
    window: str | None = None
    channels: str | None = None
    level: Level = "ops"


def write_timeline(job: TimelineJob) -> dict[str, Any]:
    """Write the file; what it holds in numbers.

    Raises:
        ConfigError: the run is damaged, the window or channels are not its, or there would be too many slices.
    """
    files = load_run(located(job.run, is_run, "a run folder"))
    return timeline_of(files, read_ops(files), job)


def timeline_of(files: RunFiles, ops: Mapping[str, Any], job: TimelineJob) -> dict[str, Any]:
    """As :func:`write_timeline`, of a run whose files are at hand."""
    from rowline.traces.formats.timeline import TooManySlices, timeline_writer

    if job.level not in get_args(Level):
        raise ConfigError([f"level {printable(str(job.level))}: expected one of {', '.join(get_args(Level))}"])
    window = window_of(job.window, opwindow.end_ps(ops))
    channels = _channels(job.channels, files)
    _check_size(job, files, ops, window, channels)
    about = {"arch": str(files.stats["arch"]), "workload": str(files.stats["workload"]), "run": str(files.folder)}
    try:
        with timeline_writer(job.out, about) as timeline:
            _passes(timeline, ops, window)
            if job.level != "passes":
                _units(timeline, files, ops, window, channels, job.level == "commands")
    except TooManySlices as error:
        raise ConfigError([f"timeline: {error}: {SMALLER}"]) from None
    return {"path": str(job.out), "slices": timeline.slices, "begin_ps": window[0], "end_ps": window[1], "level": job.level}


def window_of(text: str | None, run_end_ps: int) -> tuple[int, int]:
    """Begin and end in ps of ``T0:T1``.

    Raises:
        ConfigError: no times, or none of the run.
    """
    if text is None:
        return 0, run_end_ps
    ends = text.split(":")
    told = f"--window {printable(text)}"
    if len(ends) != 2:
        raise ConfigError([f'{told}: expected "T0:T1", such as "10us:12us"'])
    try:
        begin = to_base(ends[0], "time") if ends[0].strip() else 0
        end = to_base(ends[1], "time") if ends[1].strip() else run_end_ps
    except UnitError as error:
        raise ConfigError([f"{told}: {printable(str(error), 200)}"]) from None
    if begin >= end or begin >= run_end_ps:
        raise ConfigError([f"{told}: needs T0 before T1 and before the end of the run at {format_quantity(run_end_ps, 'time')}"])
    return begin, min(end, run_end_ps)


def _channels(text: str | None, files: RunFiles) -> tuple[int, ...]:
    """Channels asked for, in order."""
    if isinstance(files.machine, GpuSpec):
        if text is not None:
            raise ConfigError(["--channels: a GPU's memory is simulated as servers, which have no tracks of their own"])
        return ()
    there = files.machine.channels.value
    if text is None:
        return tuple(range(there))
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and len(word) < 6 and int(word) < there for word in words):
        raise ConfigError([f"--channels {printable(text)}: expected numbers from 0 to {there - 1}, such as 0,1"])
    return tuple(sorted({int(word) for word in words}))


def _check_size(
    job: TimelineJob, files: RunFiles, ops: Mapping[str, Any], window: tuple[int, int], channels: tuple[int, ...]
) -> None:
    """Refuse what would be too large before anything is simulated."""
    from rowline.traces.formats.timeline import MAX_SLICES

    if job.level == "passes":
        return
    if isinstance(files.machine, GpuSpec):
        slices = 5 * len(opwindow.rows_inside(ops, *window, "gpu"))
    else:
        pim = opwindow.rows_inside(ops, *window, "pim")
        slices = len(opwindow.rows_inside(ops, *window, "asic")) + len(pim) * (len(channels) + 1)
        if job.level == "commands":
            slices += opwindow.total(ops, "commands", pim) * len(channels) // files.machine.channels.value
    if slices > MAX_SLICES:
        raise ConfigError([f"timeline: about {slices} slices, more than {MAX_SLICES}: {SMALLER}"])


def _passes(timeline: "Timeline", ops: Mapping[str, Any], window: tuple[int, int]) -> None:
    """A slice a pass of the run."""
    timeline.process(RUN, "run")
    tracks = {"prefill": 0, "decode": 1}
    for name, track in tracks.items():
        timeline.track(RUN, track, name)
    for each in opwindow.passes_inside(ops, *window):
        facts = {"phase": printable(each.phase), "kv_length": each.kv_length}
        timeline.slice(RUN, tracks.get(each.phase, 0), f"pass {each.number}", each.start_ps, each.end_ps, facts)


def _units(
    timeline: "Timeline", files: RunFiles, ops: Mapping[str, Any], window: tuple[int, int], channels: tuple[int, ...],
    commands: bool,
) -> None:  # fmt: skip
    """ASIC, links and channels of a system with PIM; kernels and memory of a GPU."""
    if isinstance(files.machine, GpuSpec):
        from rowline import timeline_gpu

        timeline_gpu.kernels(timeline, ops, opwindow.rows_inside(ops, *window, "gpu"), commands, files.stats)
        return
    watched = simulate_again(files, ops, window, channels, commands)
    _asic(timeline, ops, opwindow.rows_inside(ops, *window, "asic"))
    _links(timeline, ops, opwindow.rows_inside(ops, *window, "pim"))
    track = files.machine.device.organization.banks + files.machine.device.organization.pseudo_channels.value + 1
    for channel in channels:
        process = FIRST_CHANNEL + channel
        timeline.process(process, f"channel {channel}")
        timeline.track(process, track, "steps")
    for step, channel, start, end in watched.span_rows():
        if start < window[1] and end > window[0]:  # others of its channels may reach into the window
            timeline.slice(FIRST_CHANNEL + channel, track, _name(ops, step), start, end, _facts(ops, step))
    if commands:
        _commands(timeline, files.machine, watched, window)


def _commands(timeline: "Timeline", system: System, watched: "Watched", window: tuple[int, int]) -> None:
    """Each command of the channels watched, with the rule that it waited on, bank by bank."""
    from rowline.memory_log import data_bus, log_header
    from rowline.traces.formats.chrome import ChannelEvents

    bus = data_bus(system.device)
    for channel, logs in watched.logs.items():
        events = ChannelEvents(log_header(system.device, channel), bus, FIRST_CHANNEL + channel, window)
        for name in list(events.names())[1:]:  # the process has its name already
            timeline.event(name)
        for log in logs:
            timeline.events(events.of(log))
        timeline.events(events.still_open())


def simulate_again(
    files: RunFiles, ops: Mapping[str, Any], window: tuple[int, int], channels: tuple[int, ...], commands: bool
) -> "Watched":
    """What the channels did in a window, from the configuration of the run; held against what the run left behind.

    Raises:
        ConfigError: the workload is another now, or the times are.
    """
    from rowline.experiment import map_workload
    from rowline.sim.window import Window, watch

    assert isinstance(files.machine, System)
    mapping = map_workload(files.run, files.machine, files.model)
    other = f"{printable(str(files.folder), 4096)}: simulating it again gives other"
    if mapping.graph.digest() != (files.stats.get("provenance") or {}).get("graph_digest", mapping.graph.digest()):
        raise ConfigError([f"{other} operations: the workload has changed since"])
    asked = Window(*window, channels, commands)
    watched, times = watch(mapping, files.run.prompt_tokens, files.run.generated_tokens, asked)
    if not opwindow.same_times(ops, "pim", times):
        raise ConfigError([f"{other} times: code or presets have changed since; run it again with this version"])
    return watched


def _asic(timeline: "Timeline", ops: Mapping[str, Any], rows: list[int]) -> None:
    """A track a kind of work of the ASIC."""
    timeline.process(HOST, "ASIC")
    every = opwindow.rows_inside(ops, 0, opwindow.end_ps(ops), "asic")  # a track has one number, whatever the window
    tracks = {name: number for number, name in enumerate(sorted({str(ops["op_class"][row]) for row in every}))}
    for name, number in tracks.items():
        timeline.track(HOST, number, printable(name))
    for row in rows:
        start, end = int(ops["start_ps"][row]), int(ops["end_ps"][row])
        timeline.slice(HOST, tracks[str(ops["op_class"][row])], _name(ops, row), start, end, _facts(ops, row))


def _links(timeline: "Timeline", ops: Mapping[str, Any], rows: list[int]) -> None:
    """The rate over all links, step by step."""
    timeline.process(LINKS, "links")
    last = 0
    for row in rows:
        start, end = int(ops["start_ps"][row]), int(ops["end_ps"][row])
        if start > last:
            timeline.counter(LINKS, "GB/s of all links", last, 0)
        rate = float(ops["link_bytes"][row]) * 1e3 / max(end - start, 1)
        timeline.counter(LINKS, "GB/s of all links", max(start, last), round(rate, 4))
        last = max(last, end)
    timeline.counter(LINKS, "GB/s of all links", last, 0)


def _name(ops: Mapping[str, Any], row: int) -> str:
    layer = int(ops["layer"][row])
    name = printable(str(ops["op_class"][row]))
    return name if layer < 0 else f"{name} {layer}"


def _facts(ops: Mapping[str, Any], row: int) -> dict[str, str | int | float]:
    names = ("pass_index", "phase", "kv_length", "layer", "op", "macs", "link_bytes", "commands")
    return {name: str(ops[name][row]) if name == "phase" else int(ops[name][row]) for name in names}
