"""Random legal streams by the million: a compiled generator, the in-order engine and the judge, chunk by chunk."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import RowEffect
from rowline.sim.compile import compile_device
from rowline.sim.judge import Judge
from rowline.sim.kernels import layout as at
from rowline.sim.kernels.inorder import advance, finish
from rowline.traces.commands import ISSUED, empty_stream

SLICE = 2000
"""Rows that one release time serves."""

LOG_ROWS = 400_000
_NONE, _OPEN, _CLOSE, _ACCESS, _ACCESS_CLOSE, _IDLE = range(6)
_CODES = {
    RowEffect.NONE: _NONE, RowEffect.OPEN: _OPEN, RowEffect.CLOSE: _CLOSE, RowEffect.ACCESS: _ACCESS,
    RowEffect.ACCESS_CLOSE: _ACCESS_CLOSE, RowEffect.IDLE: _IDLE,
}  # fmt: skip
_SHARES = {_NONE: 2, _OPEN: 6, _CLOSE: 2, _ACCESS: 9, _ACCESS_CLOSE: 2, _IDLE: 1}


@njit(cache=True)
def _fill(stream, rows, lottery, effects, firsts, steps, counts, units, n_rows, n_columns, run, safe):
    """Write legal rows: draw a command and a unit until the open rows allow them. ``rows``: open row of each bank."""
    closed = 0
    for bank in range(len(rows)):
        closed += rows[bank] < 0
    for i in range(len(stream)):
        cmd, unit, first, row = 0, 0, 0, 0
        while True:
            cmd = lottery[np.random.randint(len(lottery))]
            unit = np.random.randint(units[cmd])
            first, row = firsts[cmd, unit], rows[firsts[cmd, unit]]
            effect, legal = effects[cmd], True
            if effect in (_NONE, _CLOSE):
                break
            if effect in (_ACCESS, _ACCESS_CLOSE) and row < 0:
                continue
            wanted = -1 if effect in (_OPEN, _IDLE) else row
            for step in range(counts[cmd]):
                legal = legal and rows[first + step * steps[cmd]] == wanted
            if legal:
                break
        effect = effects[cmd]
        accesses = effect in (_ACCESS, _ACCESS_CLOSE)
        count = 1 + np.random.randint(run) if effect == _ACCESS and np.random.random() < 0.2 else 1
        stream[i].cmd, stream[i].unit, stream[i].count = cmd, unit, count
        stream[i].safe = closed == len(rows) and np.random.random() < safe
        stream[i].row = row if accesses else (np.random.randint(n_rows) if effect == _OPEN else -1)
        stream[i].col = np.random.randint(n_columns - count + 1) if accesses else -1
        if effect in (_OPEN, _CLOSE, _ACCESS_CLOSE):
            after = stream[i].row if effect == _OPEN else -1
            for step in range(counts[cmd]):
                bank = first + step * steps[cmd]
                closed += int(rows[bank] >= 0 and after < 0) - int(rows[bank] < 0 and after >= 0)
                rows[bank] = after


@njit(cache=True)
def _seed(number):
    np.random.seed(number)


@dataclass
class Flood:
    """A channel, a generator that feeds it, and a judge that looks on. Memory does not grow with what was issued."""

    device: DramDevice
    seed: int = 1
    issued: int = 0
    now: int = 0
    log: NDArray[np.void] = field(default_factory=lambda: np.empty(LOG_ROWS, ISSUED))

    def __post_init__(self) -> None:
        standard, org = self.device.dram_standard, self.device.organization
        commands = standard.commands
        self.table, self.judge = compile_device(self.device), Judge(self.device, limit=5)
        self.state = self.table.new_state(1)[0]
        self.rng = np.random.default_rng(self.seed)
        self.rows = np.full(org.banks, -1, np.int64)
        used = [i for i, c in enumerate(commands) if c.row != RowEffect.REFRESH and "power" not in c.classes]
        shares = np.array([_CODES.get(c.row, _NONE) for c in commands])
        number = {code: max(sum(shares[i] == code for i in used), 1) for code in _SHARES}
        draws = [max(1, 60 * _SHARES[int(shares[i])] // number[int(shares[i])]) for i in used]
        units = [org.units(c) for c in commands]
        firsts = np.zeros((len(commands), max(units)), np.int64)
        for i, command in enumerate(commands):
            firsts[i, : units[i]] = [org.touched(command, unit)[0] for unit in range(units[i])]
        touched = [org.touched(command, 0) for command in commands]
        steps, counts = np.array([each.step for each in touched]), np.array([len(each) for each in touched])
        self.tables = (
            np.repeat(used, draws), shares, firsts, steps, counts, np.array(units), org.rows.value, org.columns,
            min(16, org.columns),
        )  # fmt: skip
        self.counts = np.zeros(len(commands), np.int64)
        _seed(self.seed)

    def step(self, rows: int = SLICE) -> None:
        """Generate some rows, issue them after an idle time, and judge what was issued."""
        stream = empty_stream(rows)
        _fill(stream, self.rows, *self.tables, 0.5)
        interval = max(self.device.refresh_interval, 100)
        if self.rng.random() < 0.3:
            self.now += int(self.rng.integers(20 * interval))
        self.state[at.T_STREAM_POS] = 0
        self._run(advance, stream, len(stream), 0, self.now, at.FOREVER, np.zeros(0, np.int64))
        self.now = max(self.now, int(self.state[at.T_LAST_ISSUE]) >> at.RULE_BITS)

    def close(self) -> None:
        """Close all banks and let the refreshes go that are due by then and soon after."""
        standard = self.device.dram_standard
        closing = standard.commands[standard.index["PREA"]]
        stream = empty_stream(self.device.organization.units(closing))
        stream["cmd"], stream["unit"] = standard.index["PREA"], np.arange(len(stream))
        self.rows[:] = -1
        self.state[at.T_STREAM_POS] = 0
        self._run(advance, stream, len(stream), 0, self.now, at.FOREVER, np.zeros(0, np.int64))
        self._run(finish, self.now + 3 * self.device.refresh.interval.cycles_floor(self.device.device_clock))

    def _run(self, kernel, *arguments) -> None:
        result = np.zeros(at.N_RESULT + len(self.device.dram_standard.rules), np.int64)
        result[at.R_START], result[at.R_END] = at.FOREVER, at.NEVER
        kernel(*self.table.arrays, self.state, *arguments, result, self.counts, self.log)
        assert result[at.R_STATUS] == at.OK, int(result[at.R_STATUS])
        log = self.log[: result[at.R_LOGGED]]
        self.judge.feed(log)
        self.issued += len(log)
        assert self.judge.counts == {}, self.judge.violations[0].text


def flood(device: DramDevice, commands: int, seed: int = 1) -> Flood:
    """Issue at least so many random commands, all judged."""
    one = Flood(device, seed)
    while one.issued < commands:
        one.step()
    one.close()
    assert device.refresh.mode == RefreshMode.OFF or one.issued > commands
    return one
