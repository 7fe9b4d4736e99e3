"""A memory system: channels of a device, each behind its own controller, fed with requests in trace order.

Channels share nothing: each takes the requests of a trace that are its own, in order, as fast as its queues accept them.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..arch.controller import Controller
from ..arch.device import DramDevice
from ..traces.commands import ISSUED, IssueLog
from .address import PLACED
from .judge import Judge
from .kernels import layout as at
from .kernels import memory_layout as ml
from .kernels.frfcfs import run_controller
from .kernels.gates import Machine
from .memory_machine import build_machine

LOG_ROWS = 1 << 16
_NOT_SERVED = np.empty((0, 3), np.int64)


class MemoryStuck(RuntimeError):
    """The controller has requests and nothing to wait for: a bug of ours."""


class Channel:
    """One channel and its controller.

    Args:
        judged: hold every command against the legality judge.
        logged: yield the commands.
    """

    def __init__(self, device: DramDevice, controller: Controller, judged: bool, logged: bool) -> None:
        self.machine: Machine = build_machine(device, controller)
        self.judge = Judge(device, refresh=device.refresh.mode != "off") if judged else None
        self._logged = logged
        self._log = np.empty(LOG_ROWS if judged or logged else 0, ISSUED)

    def feed(self, requests: NDArray[np.void], more: bool = True) -> Iterator[IssueLog]:
        """Serve the next requests (``address.PLACED``) of the trace; ``more``: others will follow.

        Yields the commands issued meanwhile, piece by piece, if the channel is logged; must be iterated to the end.

        Raises:
            MemoryStuck: see there.
        """
        variables = self.machine.variables
        variables[ml.V_POSITION] = 0
        status = ml.PAUSED
        while status in (ml.PAUSED, ml.LOG_FULL):
            status = run_controller(self.machine, requests, len(requests), more, self._log, _NOT_SERVED)
            if status == ml.STUCK:
                raise MemoryStuck(f"the controller is stuck at tick {variables[ml.V_TICK]}")
            issued = self._log[: variables[ml.V_LOGGED]]
            variables[ml.V_LOGGED] = 0
            if self.judge is not None:
                self.judge.feed(issued)
            if self._logged and len(issued):
                yield issued.copy()
        variables[ml.V_BASE] += len(requests)

    def finish(self) -> Iterator[IssueLog]:
        """Serve what is left once the trace has ended; as :meth:`feed`."""
        return self.feed(np.empty(0, PLACED), more=False)

    def rest(self, end: int) -> None:
        """Idle, refreshed, until the slowest channel is done at tick ``end``; what is open then is booked up to there."""
        m = self.machine
        if self.end_tick < end:
            m.variables[ml.V_UNTIL] = end
            for _ in self.finish():
                pass
        for bank in np.flatnonzero(m.banks[ml.B_ROW] >= 0).tolist():
            m.variables[ml.V_OPEN_TICKS] += max(0, end - m.banks[ml.B_OPEN_SINCE, bank])
        per_power = m.ranks.shape[1] // m.power.shape[1]
        for rank in range(m.ranks.shape[1]):
            state, closed = int(m.power[ml.P_STATE, rank // per_power]), int(m.ranks[ml.G_OPEN, rank] == 0)
            background = {ml.AWAKE: closed, ml.DOWN: 2 + closed, ml.ASLEEP: ml.BG_SELF_REFRESH}[state]
            m.ranks[ml.G_TIME + background, rank] += max(0, end - m.ranks[ml.G_SINCE, rank])
            m.ranks[ml.G_SINCE, rank] = end

    @property
    def end_tick(self) -> int:
        """Tick at which the last data ends, or the last command has been issued."""
        last = int(self.machine.variables[ml.V_LAST_ISSUE]) >> at.RULE_BITS
        return max(int(self.machine.variables[ml.V_LAST_DATA]), last + 1 if last >= 0 else 0)

    @property
    def state_ticks(self) -> NDArray[np.int64]:
        """Ticks that each rank spent in each background state: int64[ranks, 5]."""
        return self.machine.ranks[ml.G_TIME :].T
