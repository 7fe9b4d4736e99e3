"""An issue log as a Chrome trace (JSON), which Perfetto and chrome://tracing show: a track a bank, one for the data bus.

First comes the data bus (of each pseudo-channel). A bank's track has the intervals in which a row is open and the
commands to that bank; a command to more than one bank stands once, on a track of its own. Times are microseconds with
six decimals, that is exact picoseconds: they are written as decimal numbers and never pass through a float.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, cast

from ..commands import IssueLog
from .files import PathLike, text_writer
from .header import LogHeader
from .logwriters import checked

PS_PER_S: Final = 10**12
FOREVER_PS: Final = 1 << 62


@dataclass(frozen=True)
class DataBus:
    """When each command, by index, moves data: ``latency_ps`` after its issue, for ``duration_ps``; 0: no burst."""

    latency_ps: tuple[int, ...]
    duration_ps: tuple[int, ...]


def write_chrome(path: PathLike, chunks: Iterable[IssueLog], header: LogHeader, bus: DataBus) -> int:
    """Write a log and return its number of commands; the file appears only when complete.

    Raises ValueError where a log does not fit its header or falls back in time.
    """
    if not len(bus.latency_ps) == len(bus.duration_ps) == len(header.commands):
        raise ValueError("a latency and a duration for each command of the header")
    events = ChannelEvents(header, bus)
    about = {"device": header.device, "standard": header.standard, "clock_hz": header.clock_hz, "channel": header.channel}
    with text_writer(path) as file:
        file.write(b'{"displayTimeUnit":"ns","otherData":' + json.dumps(about).encode() + b',"traceEvents":[\n')
        file.write(",\n".join(events.names()).encode())
        for log in checked(chunks, header):
            file.write(("".join(",\n" + event for event in events.of(log))).encode())
        file.write(("".join(",\n" + event for event in events.still_open())).encode())
        file.write(b"\n]}\n")
    return events.commands


def microseconds(ps: int) -> str:
    """A time as a JSON number."""
    return f"{ps // 10**6}.{ps % 10**6:06d}"


class ChannelEvents:
    """Turns the commands of a channel into events, and remembers the open row of each bank.

    Args:
        process: number of the channel's process; none: the channel's own.
        window_ps: begin and end; what lies outside altogether makes no event.
    """

    def __init__(
        self, header: LogHeader, bus: DataBus, process: int | None = None, window_ps: tuple[int, int] = (0, FOREVER_PS)
    ) -> None:
        self.commands = 0
        self._header, self._bus, self._window = header, bus, window_ps
        self._process = header.channel if process is None else process
        self._wide = header.pseudo_channels  # track of commands to more than one bank; the banks follow it
        self._open: dict[int, tuple[int, int]] = {}  # bank -> (row, ps since when)
        self._end_ps = 0

    def names(self) -> Iterator[str]:
        """The process is the channel; its threads are the tracks, in order."""
        header = self._header
        yield self._meta("process_name", 0, {"name": f"{header.device} channel {header.channel}"})
        tracks = ["data bus"] if self._wide == 1 else [f"data bus of pc {each}" for each in range(self._wide)]
        tracks.append("more than one bank")
        sizes = header.sizes()
        for bank in range(header.banks):
            words = [f"pc {bank // sizes[3]}"] if header.pseudo_channels > 1 else []
            words += [f"rank {bank // sizes[2] % header.ranks}"] if header.ranks > 1 else []
            tracks.append(" ".join([*words, f"group {bank // sizes[1] % header.bank_groups}", f"bank {bank % sizes[1]}"]))
        for track, name in enumerate(tracks):
            yield self._meta("thread_name", track, {"name": name})
            yield self._meta("thread_sort_index", track, {"sort_index": track})

    def _meta(self, kind: str, track: int, args: dict[str, str | int]) -> str:
        return json.dumps({"ph": "M", "name": kind, "pid": self._process, "tid": track, "args": args})

    def _slice(self, name: str, track: int, begin_ps: int, end_ps: int, args: str = "") -> Iterator[str]:
        if begin_ps < self._window[1] and end_ps > self._window[0]:
            span = f'"ts":{microseconds(begin_ps)},"dur":{microseconds(end_ps - begin_ps)}'
            yield f'{{"ph":"X","name":{json.dumps(name)},"pid":{self._process},"tid":{track},{span}{args}}}'

    def _edge_ps(self, cycle: int) -> int:
        """Time of a clock edge in ps, rounded up where the period is no whole number of ps, as everywhere in Rowline."""
        return -(-cycle * PS_PER_S // self._header.clock_hz)

    def of(self, log: IssueLog) -> Iterator[str]:
        """The events of some commands: rows that they close, then they themselves and their bursts."""
        names = ("cycle", "cmd", "unit", "row", "col", "rule")
        rows = cast(Iterator[tuple[int, int, int, int, int, int]], zip(*[log[name].tolist() for name in names], strict=True))
        for cycle, cmd, unit, row, col, rule in rows:
            command = self._header.commands[cmd]
            begin, end = self._edge_ps(cycle), self._edge_ps(cycle + 1)
            self._end_ps = max(self._end_ps, end)
            banks = self._header.touched(cmd, unit)
            if command.row in ("close", "access_close"):
                yield from self._close(banks, begin)
            elif command.row == "open":
                yield from self._close(banks, begin)
                self._open.update((bank, (row, begin)) for bank in banks)
            facts = {"cycle": cycle, "row": row, "col": col, "rule": self._header.rule_name(rule)}
            args = f',"args":{json.dumps(facts)}'
            track = self._wide + 1 + banks[0] if len(banks) == 1 else self._wide
            yield from self._slice(command.name, track, begin, end, args)
            if self._bus.duration_ps[cmd]:
                start = begin + self._bus.latency_ps[cmd]
                yield from self._slice(
                    command.name, banks[0] // self._header.sizes()[3], start, start + self._bus.duration_ps[cmd], args
                )
                self._end_ps = max(self._end_ps, start + self._bus.duration_ps[cmd])
            self.commands += 1

    def _close(self, banks: Iterable[int], now_ps: int) -> Iterator[str]:
        for bank in banks:
            if bank in self._open:
                row, since = self._open.pop(bank)
                yield from self._slice(f"row {row}", self._wide + 1 + bank, since, now_ps)

    def still_open(self) -> Iterator[str]:
        """Rows that nothing closed are open to the end of the log."""
        yield from self._close(sorted(self._open), self._end_ps)
