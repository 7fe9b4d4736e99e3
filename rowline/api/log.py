"""A command log in a notebook: every command, bank by bank, row by row, and the rules that they waited on."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rowline.api.display import Plots, card, lines, table
from rowline.arch.yamltree import ConfigError
from rowline.traces import opwindow
from rowline.traces.commands import ISSUED

if TYPE_CHECKING:
    import pandas as pd

    from rowline.reports.drawing import Backend
    from rowline.sim.window import Watched
    from rowline.traces.commands import IssueLog
    from rowline.traces.formats.header import LogHeader


class CommandLog:
    """Commands of some channels, in the order of issue: of :meth:`rowline.api.run.Run.commands`, or of a Parquet command log.

    A *gap* is the time from the command before, of the same channel, booked under the rule that decided the command's cycle. A
    *visit* is a row of a bank from the command that opens it to the one that closes it.

    Attributes:
        parts: header and log of each channel.
        frame: one row a command (columns: :func:`rowline.traces.analyze.command_frame`); of a run also ``op``, ``op_class``,
            ``layer`` and ``pass_index`` of the operation that it belongs to (-1 and ``""``: of none, as a refresh at the end).
        plot: :class:`LogPlots`.
    """

    def __init__(self, parts: "Mapping[int, tuple[LogHeader, IssueLog]]", extra: Mapping[int, Mapping[str, Any]] | None = None):
        self.parts, self._extra = parts, extra or {}
        self.plot = LogPlots(self)

    @classmethod
    def of_window(
        cls, watched: "Watched", headers: "Mapping[int, LogHeader]", ops: opwindow.Columns, window_ps: tuple[int, int]
    ) -> "CommandLog":
        """What channels did in a window of a run."""
        from rowline.traces.analyze import edges_ps

        spans = watched.span_rows()
        pim = np.flatnonzero(ops["unit"] == "pim")
        parts: dict[int, tuple[Any, Any]] = {}
        extra: dict[int, dict[str, Any]] = {}
        for channel, logs in watched.logs.items():
            steps = [step for step, owner, _, _ in spans if owner == channel]
            steps += [-1] * (len(logs) - len(steps))  # refreshes after the last step
            log = np.concatenate([np.empty(0, ISSUED), *logs])
            step = np.repeat(np.array(steps, np.int64), [len(each) for each in logs])
            times = edges_ps(log, headers[channel])
            inside = (times >= window_ps[0]) & (times < window_ps[1])
            log, step = log[inside], step[inside]
            row = np.where(step >= 0, pim[step], 0) if len(pim) else step
            known = step >= 0
            parts[channel] = (headers[channel], log)
            extra[channel] = {
                "op_class": np.where(known, ops["op_class"][row], ""), "layer": np.where(known, ops["layer"][row], -1),
                "op": np.where(known, ops["op"][row], -1), "pass_index": np.where(known, ops["pass_index"][row], -1),
            }  # fmt: skip
        return cls(parts, extra)

    @property
    def channels(self) -> list[int]:
        """Channels that there are commands of."""
        return list(self.parts)

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """One row a command."""
        from rowline.traces import analyze

        frames = [
            analyze.command_frame(log, header).assign(**self._extra.get(channel, {}))
            for channel, (header, log) in self.parts.items()
        ]
        return analyze.joined(frames)

    @cached_property
    def visits(self) -> "pd.DataFrame":
        """One row a visit (columns: :func:`rowline.traces.analyze.row_visits`)."""
        from rowline.traces import analyze

        return analyze.joined([analyze.row_visits(log, header) for header, log in self.parts.values()])

    @cached_property
    def banks(self) -> "pd.DataFrame":
        """One row a bank (columns: :func:`rowline.traces.analyze.bank_table`)."""
        from rowline.traces import analyze

        return analyze.joined([analyze.bank_table(log, header) for header, log in self.parts.values()])

    def waits(self, *by: str) -> "pd.DataFrame":
        """Where the time between commands went, rule by rule, within each value of the columns ``by`` of :attr:`frame`.

        Raises:
            ConfigError: there is no such column.
        """
        from rowline.traces.analyze import waits

        if unknown := [name for name in by if name not in self.frame]:
            raise ConfigError([f"waits: no column {unknown[0]!r}; there are {', '.join(map(str, self.frame.columns))}"])
        return waits(self.frame, *by)

    def why(self, visit: int) -> "pd.DataFrame":
        """Where the time of one visit went (its row number in :attr:`visits`): commands, gaps and share, rule by rule.

        The gaps add up to ``open_for_ps`` of the visit.

        Raises:
            ConfigError: there is no such visit.
        """
        from rowline.traces.analyze import waits

        return waits(self.of_visit(visit).iloc[1:])

    def of_visit(self, visit: int) -> "pd.DataFrame":
        """The commands of the channel from the one that opens a visit's row to the one that closes it.

        Raises:
            ConfigError: there is no such visit.
        """
        if not 0 <= visit < len(self.visits):
            raise ConfigError([f"visit {visit}: there are {len(self.visits)}, from 0"])
        chosen: Any = self.visits.iloc[visit]
        of_channel = self.frame[self.frame["channel"] == chosen["channel"]]
        return of_channel.iloc[int(chosen["first_command"]) : int(chosen["last_command"]) + 1]

    def __len__(self) -> int:
        return sum(len(log) for _, log in self.parts.values())

    def _figures(self) -> list[tuple[str, str]]:
        frame = self.frame
        span = f"{frame['time_ps'].min() / 1e3:,.1f} to {frame['time_ps'].max() / 1e3:,.1f} ns" if len(frame) else "none"
        return [
            ("commands", f"{len(frame):,}"), ("channels", ", ".join(map(str, self.channels)) or "none"), ("time", span),
            ("rows opened", f"{len(self.visits):,}"),
        ]  # fmt: skip

    def __repr__(self) -> str:
        return lines("Command log", self._figures())

    def _repr_html_(self) -> str:
        return card("Command log", self._figures()) + table(self.frame, 10)


class LogPlots(Plots):
    """Plots of a command log."""

    def __init__(self, log: CommandLog):
        self._log = log

    def banks(self, channel: int | None = None, backend: "Backend" = "plotly") -> Any:
        """Rows of each bank of a channel (the first, if left out) over time, with every command and its reason.

        Raises:
            ConfigError: no such channel, or too much to draw.
        """
        from rowline.reports import figures_log

        log = self._log
        chosen = (log.channels[0] if log.channels else 0) if channel is None else channel
        if chosen not in log.channels:
            raise ConfigError([f"channel {chosen}: the log holds {log.channels}"])
        header, raw = log.parts[chosen]
        touched = map(header.touched, raw["cmd"].tolist(), raw["unit"].tolist())
        place = [banks[0] if len(banks) == 1 else -1 for banks in touched]
        frame: Any = log.frame
        visits: Any = log.visits
        commands = frame[frame["channel"] == chosen].assign(place=place)
        try:
            plot = figures_log.banks(commands, visits[visits["channel"] == chosen], header.banks)
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        return self._draw(plot, f"channel {chosen}, bank by bank", backend)

    def waits(self, backend: "Backend" = "plotly") -> Any:
        """What the time between commands was spent on."""
        from rowline.reports.figures_log import waits

        return self._draw(waits(self._log.waits()), "time between commands, by the rule that decided it", backend)
