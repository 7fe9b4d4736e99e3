"""The kernel behind one call, so that tests can hold it against the oracle."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rowline.arch.device import DramDevice
from rowline.arch.spec import TimingRule
from rowline.sim.compile import TimingTable, compile_device
from rowline.sim.kernels import layout as at
from rowline.sim.kernels.inorder import advance, finish
from rowline.traces.commands import ISSUED, CommandStream, IssueLog

LOG_LENGTH = 100_000
EXTRA_RULES = 64
"""Rules that a mutant of a table may have beyond those of its standard."""
FIELDS = [name for name in ISSUED.names or () if name]


class Outcome(NamedTuple):
    """What a run left behind; ``state`` is the whole vector of the one channel."""

    log: IssueLog
    state: NDArray[np.int64]
    result: NDArray[np.int64]
    counts: NDArray[np.int64]
    arrivals: NDArray[np.int64]

    @property
    def status(self) -> int:
        """How the last call ended."""
        return int(self.result[at.R_STATUS])

    @property
    def position(self) -> int:
        """The stream row at which the kernel stands."""
        return int(self.state[at.T_STREAM_POS])

    @property
    def last_issue(self) -> int:
        """Cycle of the last command."""
        return int(self.state[at.T_LAST_ISSUE]) >> at.RULE_BITS

    @property
    def waits(self) -> int:
        """Sum of all booked waits."""
        return int(self.result[at.R_WAIT_ORDER :].sum())

    def figures(self, table: TimingTable) -> list[list[int]]:
        """All that must not depend on how the run was cut or logged: state, result and counts.

        Scratch space, the status of the last call, the number of log rows and R_START (which has a test of its own)
        are left out.
        """
        result = self.result.copy()
        result[[at.R_STATUS, at.R_LOGGED, at.R_START]] = 0
        state = self.state[: table.scalars[at.S_SCRATCH]]
        return [state.tolist(), result.tolist(), self.counts.tolist(), self.arrivals.tolist()]


def run_kernel(
    device: DramDevice,
    stream: CommandStream,
    not_before: Sequence[int] | int = 0,
    horizon: int | None = None,
    rules: tuple[TimingRule, ...] | None = None,
    used: frozenset[str] | None = None,
    chop: Sequence[tuple[int, int]] | None = None,
    t_end: int | None = None,
    logged: bool = True,
    table: TimingTable | None = None,
) -> Outcome:
    """Run one channel.

    Args:
        not_before: release cycle of all rows, or of each; in the latter case each row is a call of its own.
        horizon: of the last call; none if not given.
        rules, used: as for :func:`compile_device`.
        chop: (end, horizon) of calls that go before the last one, which goes to the end of the stream.
        t_end: if given, ``finish`` up to this cycle, provided that the stream was issued to its end.
        logged: whether to keep a log.
        table: what :func:`compile_device` gave, in place of ``rules`` and ``used``.
    """
    table = compile_device(device, rules, used) if table is None else table
    state = table.new_state(1)[0]
    n_rules = len(device.dram_standard.rules if rules is None else rules) + EXTRA_RULES
    result = np.zeros(at.N_RESULT + n_rules, np.int64)
    result[at.R_START], result[at.R_END] = at.FOREVER, at.NEVER
    counts = np.zeros(len(device.dram_standard.commands), np.int64)
    arrivals = np.full(int(stream["tile"].max(initial=-1)) + 1, at.NEVER, np.int64)
    log = np.empty(LOG_LENGTH if logged else 0, ISSUED)
    for end, until in [*(chop or ()), (len(stream), at.FOREVER if horizon is None else horizon)]:
        result[at.R_STATUS] = at.OK
        while state[at.T_STREAM_POS] < end and result[at.R_STATUS] == at.OK:
            row = int(state[at.T_STREAM_POS])
            release, stop = (not_before, end) if isinstance(not_before, int) else (not_before[row], row + 1)
            advance(*table.arrays, state, stream, stop, 0, release, until, arrivals, result, counts, log)
        if result[at.R_STATUS] in (at.ILLEGAL_ROW, at.LOG_FULL):
            break
    if t_end is not None and result[at.R_STATUS] == at.OK:
        finish(*table.arrays, state, t_end, result, counts, log)
    assert result[at.R_STATUS] != at.LOG_FULL
    return Outcome(log[: result[at.R_LOGGED]].copy(), state, result, counts, arrivals)


def first_difference(device: DramDevice, one: IssueLog, other: IssueLog) -> str:
    """Where two logs part, in words; empty if they are equal in every field."""
    names = [command.name for command in device.dram_standard.commands]
    for index in range(max(len(one), len(other))):
        rows = [tuple(log[index][f] for f in FIELDS) if index < len(log) else None for log in (one, other)]
        if rows[0] != rows[1]:
            words = [(names[row[1]], *map(int, row)) if row else "nothing" for row in rows]
            return f"row {index}: {words[0]} against {words[1]}"
    return ""
