"""The memory controller for exhibits: our kernel, and the slow twin with a method replaced."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice
from rowline.sim.address import PLACED
from rowline.sim.reference.controller import Twin
from rowline.sim.reference.upkeep import Rows, Upkeep
from rowline.traces.commands import ISSUED

from ..conformance.served import run_fast
from .issue import Issued

Place = tuple[int, int, int, int, int]
TwinMaker = Callable[[DramDevice, Controller, np.ndarray], Twin]


@dataclass(frozen=True)
class Served(Issued):
    """What a controller issued, and what became of how many requests: kinds of those that were served."""

    requests: int
    kinds: list[str]


def table(places: Iterable[Place]) -> np.ndarray:
    """Requests from arrival, write, bank, row and column of each."""
    rows = list(places)
    out = np.zeros(len(rows), PLACED)
    for number, name in enumerate(("arrive", "write", "bank", "row", "col")):
        out[name] = [row[number] for row in rows]
    return out


def by_kernel(device: DramDevice, requests: np.ndarray, **controller: object) -> Served:
    """What our kernel does."""
    answer, _ = run_fast(device, Controller.model_validate(controller), requests)
    return Served(device, answer.log, len(requests), [kind for kind, *_ in answer.served])


def by_twin(maker: TwinMaker, device: DramDevice, requests: np.ndarray, limit: int = 30_000, **controller: object) -> Served:
    """What a twin does in ``limit`` ticks."""
    twin = maker(device, Controller.model_validate(controller).fitted(device), requests)
    tick = 0
    while twin.busy and tick < limit:
        twin.step(tick)
        tick += 1
    kinds = [twin.served[index].kind for index in sorted(twin.served)]
    return Served(device, np.array(twin.rows.log, ISSUED), len(requests), kinds)


def with_parts(rows: type[Rows] = Rows, upkeep: type[Upkeep] = Upkeep) -> TwinMaker:
    """A twin whose rows, or whose refresh and power, are of another class."""

    def make(device: DramDevice, controller: Controller, requests: np.ndarray) -> Twin:
        twin = Twin(device, controller, requests)
        twin.rows = rows(device)
        twin.upkeep = upkeep(twin.rows, controller)
        return twin

    return make
