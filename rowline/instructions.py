"""``rowline dram --format aim-isr``: AiM instructions, expanded to commands and issued in order, channel by channel."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.arch.yamltree import ConfigError
from rowline.memory import CONTROLLER, MemoryJob, numbered

FORMAT = "aim-isr"


def run_instructions(job: MemoryJob) -> dict[str, Any]:
    """Issue an instruction trace on a device with the AiM command set; keys in ``docs/cli.md``.

    Raises:
        ConfigError: the device has no such commands, or an option does not go with instructions.
        FormatError: the trace is damaged, or asks for what the device does not have.
    """
    begin = perf_counter()
    if any(text.startswith(CONTROLLER) for text in job.sets) or job.policy or job.row_policy or job.controller:
        raise ConfigError([f"--format {FORMAT}: instructions are issued in order; there is no controller to set"])
    if job.mapping is not None or job.channels != MemoryJob.channels or job.wrap:
        options = "--mapping, --channels and --wrap"
        raise ConfigError([f"--format {FORMAT}: instructions name channels, banks and rows; {options} do not apply"])
    sets = [*job.sets, *([f"refresh.mode={job.refresh}"] if job.refresh else [])]
    device = load_device(job.device, sets)
    from rowline.sim.isr import IsrError, expand
    from rowline.traces.formats.aim_isr import read_isr
    from rowline.traces.formats.files import FormatError

    assert job.trace is not None
    try:
        expansion = expand(read_isr(job.trace), device)
    except IsrError as error:
        raise FormatError(job.trace, error.line, error.problem) from None
    except FormatError:
        raise
    except ValueError as error:
        raise ConfigError([f"--device {job.device}: {error}"]) from None
    totals = [
        _channel(job, device, number, stream, expansion.starts[number], len(expansion.streams))
        for number, stream in expansion.streams.items()
    ]
    return {**_summary(job, device, totals), "wall_s": perf_counter() - begin}


def _channel(job: MemoryJob, device: DramDevice, number: int, stream: Any, start: int, of: int) -> dict[str, Any]:
    """Issue the stream of one channel; count, judge and write its commands."""
    from rowline.sim.judge import Judge
    from rowline.sim.stream_run import issue_stream

    counts = [0] * len(device.dram_standard.commands)
    judge = Judge(device, refresh=device.refresh.mode != "off") if job.checked else None
    last = -1

    def commands() -> Iterator[Any]:
        nonlocal last
        for piece in issue_stream(device, stream, start):
            if judge is not None:
                judge.feed(piece)
            for command in piece["cmd"].tolist():
                counts[command] += 1
            last = int(piece["cycle"][-1])
            yield piece

    if job.log is None:
        for _ in commands():
            pass
    else:
        from rowline.memory_log import write_log

        name = job.log if of == 1 else job.log.with_name(numbered(job.log.name, number))
        write_log(name, job.log_format, commands(), device, number)
    found = None if judge is None else sum(judge.counts.values())
    return {"channel": number, "cycles": last + 1, "counts": counts, "violations": found}


def _summary(job: MemoryJob, device: DramDevice, channels: list[dict[str, Any]]) -> dict[str, Any]:
    standard = device.dram_standard
    total = [sum(c["counts"][i] for c in channels) for i in range(len(standard.commands))]
    end = max((c["cycles"] for c in channels), default=0)
    bursts = sum(n for n, command in zip(total, standard.commands, strict=True) if command.bus)
    seconds = end / device.device_clock.freq_hz
    moved = bursts * device.organization.access_size.value
    return {
        "device": device.name,
        "channels": len(channels),
        "trace": str(job.trace),
        "cycles": -(-end // standard.ticks_per_clock),
        "time_s": seconds,
        "commands": {c.name: n for c, n in zip(standard.commands, total, strict=True) if n},
        "reads": sum(n for n, c in zip(total, standard.commands, strict=True) if c.bus == "read"),
        "writes": sum(n for n, c in zip(total, standard.commands, strict=True) if c.bus == "write"),
        "refreshes": total[standard.index[device.refresh_command.name]],
        "bandwidth_bytes_per_s": moved / seconds if end else 0.0,
        "peak_bandwidth_bytes_per_s": device.bus.bandwidth_bits_per_s * len(channels) / 8,
        "violations": sum(c["violations"] for c in channels) if job.checked else None,
        "per_channel": [{"channel": c["channel"], "cycles": -(-c["cycles"] // standard.ticks_per_clock)} for c in channels],
    }
