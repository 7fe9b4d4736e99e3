"""A command stream through the in-order engine, its log piece by piece: memory does not grow with its length in time."""

from collections.abc import Iterator

import numpy as np

from ..arch.device import DramDevice
from ..traces.commands import ISSUED, CommandStream, IssueLog
from .compile import compile_device
from .kernels import layout as at
from .kernels.inorder import advance

STEP = 1 << 16
"""Cycles simulated between two pieces of the log. In none can more than two commands issue, one on each bus."""


class IllegalCommand(ValueError):
    """The rows that are open do not allow row ``index`` of the stream."""

    def __init__(self, index: int) -> None:
        super().__init__(f"command {index} of the stream needs other rows open or closed")
        self.index = index


def issue_stream(device: DramDevice, stream: CommandStream, not_before: int = 0) -> Iterator[IssueLog]:
    """The commands of ``stream``, refreshes included, as they issue on one channel.

    Args:
        stream: COMMAND rows, in the order in which they are to issue.
        not_before: cycle before which none of them may.

    Raises:
        IllegalCommand: see there.
    """
    table = compile_device(device)
    state = table.new_state(1)[0]
    result = np.zeros(at.N_RESULT + len(device.dram_standard.rules), np.int64)
    counts = np.zeros(len(device.dram_standard.commands), np.int64)
    arrivals = np.zeros(int(stream["tile"].max(initial=-1)) + 1, np.int64)
    forced = 3 * device.organization.banks  # a forced round, which may go past the horizon
    log = np.empty(2 * STEP + forced + at.CHANNEL, ISSUED)
    horizon, result[at.R_STATUS] = not_before, at.STOPPED_AT_HORIZON
    while result[at.R_STATUS] == at.STOPPED_AT_HORIZON:
        horizon, result[at.R_STATUS], result[at.R_LOGGED] = horizon + STEP, at.OK, 0
        advance(*table.arrays, state, stream, len(stream), 0, not_before, horizon, arrivals, result, counts, log)
        if result[at.R_STATUS] == at.ILLEGAL_ROW:
            raise IllegalCommand(int(state[at.T_STREAM_POS]))
        if result[at.R_LOGGED]:
            yield log[: result[at.R_LOGGED]].copy()
