"""A run as a timeline that Perfetto and chrome://tracing show: who worked when, and in a window every command and its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import build
from rowline.arch.system import System
from rowline.arch.units import UnitError, format_quantity, to_base
from rowline.arch.yamltree import ConfigError, printable
from rowline.runfiles import RunFiles, is_run, load_run, located, read_ops

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
    from rowline.traces.formats.timeline import TooManySlices, timeline_writer

    files = load_run(located(job.run, is_run, "a run folder"))
    ops = read_ops(files)
    begin, end = window_of(job.window, int(ops["end_ps"].max()))
    channels = _channels(job.channels, files)
    inside = (ops["start_ps"] < end) & (ops["end_ps"] > begin)
    _check_size(job, files, ops, inside, channels)
    about = {"arch": str(files.stats["arch"]), "workload": str(files.stats["workload"]), "run": str(files.folder)}
    try:
        with timeline_writer(job.out, about) as timeline:
            _passes(timeline, ops, inside)
            if isinstance(files.machine, GpuSpec):
                from rowline import timeline_gpu

                if job.level != "passes":
                    timeline_gpu.kernels(timeline, ops, np.flatnonzero(inside), job.level == "commands")
            elif job.level != "passes":
                _system(timeline, files, ops, inside, (begin, end), channels, job.level == "commands")
    except TooManySlices as error:
        raise ConfigError([f"timeline: {error}: {SMALLER}"]) from None
    return {"path": str(job.out), "slices": timeline.slices, "begin_ps": begin, "end_ps": end, "level": job.level}


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
    job: TimelineJob, files: RunFiles, ops: Mapping[str, Any], inside: Any, channels: tuple[int, ...]
) -> None:
    """Refuse what would be too large before anything is simulated."""
    from rowline.traces.formats.timeline import MAX_SLICES

    rows = int(inside.sum())
    slices = rows
    if job.level == "passes":
        return
    if isinstance(files.machine, System):
        pim = inside & (ops["unit"] == "pim")
        share = len(channels) / files.machine.channels.value
        slices = rows + int(pim.sum()) * (len(channels) + 1)
        if job.level == "commands":
            slices += int(ops["commands"][pim].sum() * share)
    if slices > MAX_SLICES:
        raise ConfigError([f"timeline: about {slices} slices, more than {MAX_SLICES}: {SMALLER}"])


def _passes(timeline: "Timeline", ops: Mapping[str, Any], inside: Any) -> None:
    """A slice a pass of the run."""
    timeline.process(RUN, "run")
    index = ops["pass_index"]
    order = np.argsort(index, kind="stable")
    numbers, first = np.unique(index[order], return_index=True)
    starts = np.minimum.reduceat(ops["start_ps"][order], first)
    ends = np.maximum.reduceat(ops["end_ps"][order], first)
    shown = {int(n) for n in np.unique(index[inside])}
    tracks = {"prefill": 0, "decode": 1}
    for name, track in tracks.items():
        timeline.track(RUN, track, name)
    for number, row, start, end in zip(numbers.tolist(), order[first].tolist(), starts.tolist(), ends.tolist(), strict=True):
        if number in shown:
            phase, kv = str(ops["phase"][row]), int(ops["kv_length"][row])
            timeline.slice(RUN, tracks.get(phase, 0), f"pass {number}", start, end, {"phase": phase, "kv_length": kv})


def _system(
    timeline: "Timeline", files: RunFiles, ops: Mapping[str, Any], inside: Any, window: tuple[int, int],
    channels: tuple[int, ...], commands: bool,
) -> None:  # fmt: skip
    """ASIC, links and channels of a system with PIM."""
    _asic(timeline, ops, np.flatnonzero(inside & (ops["unit"] == "asic")))
    pim = np.flatnonzero(inside & (ops["unit"] == "pim"))
    _links(timeline, ops, pim)
    watched = simulate_again(files, ops, window, channels, commands)
    spans = watched.span_table()
    header_of = _header_maker(files)
    for channel in channels:
        process = FIRST_CHANNEL + channel
        timeline.process(process, f"channel {channel}")
        track = header_of(channel).banks + 64  # behind those of the banks
        timeline.track(process, track, "steps")
        for step, _, start, end in spans[spans[:, 1] == channel].tolist():
            timeline.slice(process, track, _name(ops, step), start, end, _facts(ops, step))
    if commands:
        _commands(timeline, files, watched, window)


def _commands(timeline: "Timeline", files: RunFiles, watched: "Watched", window: tuple[int, int]) -> None:
    """Each command of the channels watched, with the rule that it waited on, bank by bank."""
    from rowline.memory_log import data_bus
    from rowline.traces.formats.chrome import ChannelEvents

    assert isinstance(files.machine, System)
    header_of, bus = _header_maker(files), data_bus(files.machine.device)
    for channel, logs in watched.logs.items():
        events = ChannelEvents(header_of(channel), bus, FIRST_CHANNEL + channel, window)
        for name in list(events.names())[1:]:  # the process has its name already
            timeline.event(name)
        for log in logs:
            timeline.events(events.of(log))
        timeline.events(events.still_open())


def _header_maker(files: RunFiles) -> Any:
    from rowline.memory_log import log_header

    assert isinstance(files.machine, System)
    device = files.machine.device
    return lambda channel: log_header(device, channel)


def simulate_again(
    files: RunFiles, ops: Mapping[str, Any], window: tuple[int, int], channels: tuple[int, ...], commands: bool
) -> "Watched":
    """What the channels did in a window, from the configuration of the run; held against what the run left behind.

    Raises:
        ConfigError: the workload is another now, or the times are.
    """
    from rowline.experiment import load_model, map_workload
    from rowline.sim.window import Window, watch

    parts = files.tree.value
    assert isinstance(parts, dict)
    mapping = map_workload(files.run, build(System, parts["system"]), load_model(files.run.workload))
    other = f"{printable(str(files.folder), 4096)}: simulating it again gives other"
    if mapping.graph.digest() != (files.stats.get("provenance") or {}).get("graph_digest", mapping.graph.digest()):
        raise ConfigError([f"{other} operations: the workload has changed since"])
    asked = Window(*window, channels, commands)
    watched, times = watch(mapping, files.run.prompt_tokens, files.run.generated_tokens, asked)
    pim = np.flatnonzero(ops["unit"] == "pim")[: len(times)]
    before = np.column_stack((ops["start_ps"][pim], ops["end_ps"][pim]))
    if before.shape != times.shape or bool((before != times).any()):
        raise ConfigError([f"{other} times: code or presets have changed since; run it again with this version"])
    return watched


def _asic(timeline: "Timeline", ops: Mapping[str, Any], rows: Any) -> None:
    """A track a kind of work of the ASIC."""
    timeline.process(HOST, "ASIC")
    tracks = {name: number for number, name in enumerate(sorted({str(name) for name in ops["op_class"][rows]}))}
    for name, number in tracks.items():
        timeline.track(HOST, number, printable(name))
    for row in rows.tolist():
        start, end = int(ops["start_ps"][row]), int(ops["end_ps"][row])
        timeline.slice(HOST, tracks[str(ops["op_class"][row])], _name(ops, row), start, end, _facts(ops, row))


def _links(timeline: "Timeline", ops: Mapping[str, Any], rows: Any) -> None:
    """The rate over all links, step by step."""
    timeline.process(LINKS, "links")
    last = 0
    for row in rows.tolist():
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
