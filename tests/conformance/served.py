"""The memory controller's kernel behind one call, and its slow twin's answer in the same form."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice
from rowline.sim.address import PLACED
from rowline.sim.kernels import memory_layout as ml
from rowline.sim.kernels.frfcfs import run_controller
from rowline.sim.kernels.gates import Machine
from rowline.sim.memory_machine import build_machine
from rowline.sim.reference import controller as twin
from rowline.traces.commands import ISSUED, IssueLog

KINDS = ("hit", "miss", "conflict", "forwarded", "merged")


class Answer(NamedTuple):
    """The log, and (kind, accepted, done) of each request."""

    log: IssueLog
    served: list[tuple[str, int, int]]


def placed(requests: NDArray[np.void]) -> NDArray[np.void]:
    """A table of requests in the kernel's form."""
    out = np.zeros(len(requests), PLACED)
    for name in ("arrive", "write", "bank", "row", "col"):
        out[name] = requests[name]
    return out


def run_fast(
    device: DramDevice, controller: Controller, requests: NDArray[np.void], cuts: Sequence[int] = (), log_rows: int = 200_000
) -> tuple[Answer, Machine]:
    """The kernel's answer; ``cuts``: where the trace is cut into calls; ``log_rows``: room of the log between two calls."""
    machine, table = build_machine(device, controller), placed(requests)
    served, log = np.zeros((len(table), 3), np.int64), np.empty(log_rows, ISSUED)
    pieces: list[IssueLog] = []
    bounds = [0, *cuts, len(table)]
    v = machine.variables
    for begin, end in zip(bounds, bounds[1:], strict=False):
        status, v[ml.V_POSITION], v[ml.V_BASE] = ml.LOG_FULL, 0, begin
        while status == ml.LOG_FULL:
            status = run_controller(machine, table[begin:end], end - begin, end < len(table), log, served)
            pieces.append(log[: v[ml.V_LOGGED]].copy())
            v[ml.V_LOGGED] = 0
        assert status == (ml.DONE if end == len(table) else ml.NEED_REQUESTS)
    return Answer(np.concatenate(pieces), [(KINDS[kind], at, done) for kind, at, done in served.tolist()]), machine


def run_slow(device: DramDevice, controller: Controller, requests: NDArray[np.void]) -> Answer:
    """The twin's answer."""
    log, served = twin.run_controller(device, controller, requests)
    return Answer(log, [(each.kind, each.accepted, each.done) for each in served])
