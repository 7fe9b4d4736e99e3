"""A stretch of a run looked at closely: when each channel worked on each step, and every command with the rule it waited on.

The run is simulated again up to the end of the window. Each step goes through the engine as ever; those that reach into the
window go through it a second time, channel by channel from the state before, with the log on.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..traces.commands import ISSUED, IssueLog
from .engine import plan_passes
from .kernels import inorder
from .kernels import layout as at
from .mapping.pim_gpt import Mapping
from .pim_machine import PassRun, PimMachine, SimulationError
from .processes.host import run_host

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """What is looked at: from ``begin_ps`` up to ``end_ps``; commands of ``channels``, none where ``commands`` is false."""

    begin_ps: int
    end_ps: int
    channels: tuple[int, ...]
    commands: bool = True


@dataclass
class Watched:
    """What was seen.

    Attributes:
        spans: for each step of a channel that reaches into the window: number of the step (row of the OpLog), channel, start
            and end in ps.
        logs: for each channel, the commands of those steps, refreshes included, in order of issue.
    """

    spans: list[Ints] = field(default_factory=lambda: [])
    logs: dict[int, list[IssueLog]] = field(default_factory=lambda: {})

    def span_rows(self) -> list[tuple[int, int, int, int]]:
        """The rows of ``spans``."""
        return [tuple(row) for part in self.spans for row in part.tolist()]


class _WindowOver(Exception):
    """Nothing that comes later can reach into the window."""


def watch(mapping: Mapping, prompt_tokens: int, generated_tokens: int, window: Window) -> tuple[Watched, Ints]:
    """Simulate a generation up to the end of a window.

    Returns:
        what was seen, and start and end in ps of each step simulated, of the first ones there are.

    Raises:
        SimulationError: as :func:`rowline.sim.engine.simulate`.
    """
    runs = plan_passes(mapping, prompt_tokens, generated_tokens)
    machine = _WatchedMachine(mapping, runs, sorted({s.op_class for s in mapping.slots}), window)
    try:
        end_ps = run_host(machine)
    except _WindowOver:
        pass
    else:
        machine.watch_tail(end_ps)
    return machine.watched, np.array(machine.times, np.int64).reshape(-1, 2)


class _WatchedMachine(PimMachine):
    """A machine that notes what its channels do in a window."""

    def __init__(self, mapping: Mapping, runs: list[PassRun], classes: list[str], window: Window):
        super().__init__(mapping, runs, classes)
        self.window, self.watched = window, Watched(logs={c: [] for c in window.channels})
        self.times: list[tuple[int, int]] = []
        self._chosen = np.array(window.channels, np.int64)

    def issue(self, index: int, step: int, now_ps: int) -> None:
        """As of the machine; the step is noted where it reaches into the window."""
        if now_ps >= self.window.end_ps:
            raise _WindowOver
        size = self.table.state_size
        before = self.channels[:, :size].copy() if self.window.commands else None
        super().issue(index, step, now_ps)
        number = self.pim_base[index] + step
        first, last = self.records.steps[number, [at.P_START, at.P_END]].tolist()
        self.times.append((self._device_clock.edge_ps(first), self._device_clock.edge_ps(last + 1)))
        if self.times[-1][1] <= self.window.begin_ps:
            return
        what, run = self.runs[index].plan.pim[step], self.runs[index]
        template = self.lowering.template(what.slot, run.kv_lengths[what.token])
        works = self._chosen[template.slices[0, self._chosen] != template.slices[1, self._chosen]]
        self._note(number, works)
        if before is None:
            return
        not_before = self._device_clock.cycles_ceil(now_ps) + self._link_cycles
        for channel in works.tolist():
            state = before[channel].copy()
            state[at.T_STREAM_POS], state[at.T_RUN_POS] = template.slices[0, channel], 0
            result, counts, log = self._empty(channel)
            inorder.advance(
                *self._table, state, template.stream, template.slices[1, channel], what.row_shift, not_before, at.FOREVER,
                np.empty(template.tiles, np.int64), result, counts, log,
            )  # fmt: skip
            if result[at.R_STATUS] != at.OK or result[at.R_LOGGED] != len(log):
                raise SimulationError(f"channel {channel}: simulating step {number} again gives {result[at.R_LOGGED]} commands")
            self.watched.logs[channel].append(log)

    def _note(self, number: int, channels: Ints) -> None:
        """Spans of the channels that worked on a step; theirs lie where the engine left its results."""
        size = self.table.state_size
        results = self.channels[channels, 2 * size :]
        edge = self._device_clock.edge_ps
        rows = [
            (number, channel, edge(start), edge(end + 1))
            for channel, start, end in zip(
                channels.tolist(), results[:, at.R_START].tolist(), results[:, at.R_END].tolist(), strict=True
            )
        ]
        if rows:
            self.watched.spans.append(np.array(rows, np.int64))

    def _empty(self, channel: int) -> tuple[Ints, Ints, IssueLog]:
        """Result, counts, and a log for as many commands as the engine counted in the channel's last step."""
        width, commands = self.records.waits.shape[1], len(self.device.dram_standard.commands)
        result = np.zeros(width, np.int64)
        result[at.R_START], result[at.R_END] = at.FOREVER, at.NEVER
        issued = int(self.channels[channel, 2 * self.table.state_size + width :].sum())
        return result, np.zeros(commands, np.int64), np.empty(issued, ISSUED)

    def watch_tail(self, host_end_ps: int) -> None:
        """Refreshes that fall due between the last step and the end of the run."""
        latest = max((end for _, end in self.times), default=0)
        end_ps = max(host_end_ps, latest)
        if not self.window.commands or end_ps <= self.window.begin_ps:
            return
        end, size = self.device.device_clock.cycles_ceil(end_ps), self.table.state_size
        for channel in self.window.channels:
            result = np.zeros(self.records.waits.shape[1], np.int64)
            counts = np.zeros(len(self.device.dram_standard.commands), np.int64)
            inorder.finish(*self._table, self.channels[channel, :size].copy(), end, result, counts, np.empty(0, ISSUED))
            log = np.empty(int(counts.sum()), ISSUED)
            result[:], counts[:] = 0, 0
            inorder.finish(*self._table, self.channels[channel, :size].copy(), end, result, counts, log)
            if len(log):
                self.watched.logs[channel].append(log)
