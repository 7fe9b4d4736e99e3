"""``rowline check``: a command log of any simulator before the judge.

Everything heavy is imported by :func:`check_log`, so that the command line stays quick.
"""

import re
import time
from collections.abc import Iterable
from typing import Any


def check_log(
    path: str,
    device_name: str,
    sets: Iterable[str] = (),
    format: str | None = None,
    refresh: bool = True,
    limit: int = 20,
    order: bool | None = None,
) -> dict[str, Any]:
    """Judge a command log, all channels of it.

    Args:
        path: a log that :func:`rowline.traces.formats.commandlog.read_command_log` reads.
        device_name: preset or YAML file of one channel; ``sets`` are overrides ``dotted.key=value``.
        format: refuse the log if it is of another format (csv, dramsim3 or parquet).
        refresh: whether refreshes must have come in time.
        limit: how many violations to report; all are counted.
        order: whether refreshes must keep to the order of our own engine. By default only where the log says that it is
            ours (Parquet).

    Returns:
        log, device, channels, commands, violations (how many), by_rule, first (the first of them: index, line, channel,
        rule, command, earlier, time_ps, earliest_ps, early_ps, text), wall_s, commands_per_s.

    Raises:
        ConfigError: the device or its overrides are wrong.
        FormatError: the file is damaged, of another format, or does not fit the device.
    """
    from rowline.arch.loader import load_device
    from rowline.sim.judge import LogJudge
    from rowline.traces.formats.commandlog import our_names, read_command_log
    from rowline.traces.formats.files import FormatError

    device = load_device(device_name, sets)
    begin = time.perf_counter()
    log = read_command_log(path)
    if format not in (None, log.form):
        raise FormatError(path, None, f"is a log of format {log.form}, not {format}")
    above = {"csv": 2, "dramsim3": 1}.get(log.form)  # line of the first row
    judge = LogJudge(device, refresh, log.header is not None if order is None else order, limit)
    try:
        if log.header is not None:
            for issued in log.issues():
                judge.feed_issues(log.names, log.header.channel, issued)
        else:
            for chunk in log:
                judge.feed(our_names(log.names), chunk)
    except FormatError:
        raise
    except ValueError as error:
        found = re.fullmatch(r"row (\d+): (.*)", str(error))
        if found is None:
            raise
        raise FormatError(path, None if above is None else int(found[1]) + above, found[2]) from None
    wall = time.perf_counter() - begin
    return {
        "log": path,
        "device": device.name,
        "channels": len(judge.judges),
        "commands": judge.commands,
        "violations": sum(judge.counts.values()),
        "by_rule": judge.counts,
        "first": [_finding(each, above) for each in judge.findings],
        "wall_s": wall,
        "commands_per_s": judge.commands / wall,
    }


def _finding(found: Any, above: int | None) -> dict[str, Any]:
    """One violation as plain data."""
    violation = found.violation
    return {
        "index": found.row,
        "line": None if above is None else found.row + above,
        "channel": found.channel,
        "rule": violation.rule,
        "command": violation.command,
        "earlier": violation.earlier,
        "time_ps": violation.time_ps,
        "earliest_ps": violation.earliest_ps,
        "early_ps": violation.early_ps,
        "text": violation.text,
    }
