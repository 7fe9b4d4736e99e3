"""What a checked space is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rowline.experiment import RunConfig
from rowline.sweeps.grammar import Expression
from rowline.sweeps.keys import RUN_KEYS, Hardware, KeyProblem, run_value
from rowline.sweeps.quantities import Type, Value, typed
from rowline.sweeps.schema import Method

NAMED = {
    "latency": "latency_s",
    "tpot": "tpot_s",
    "ttft": "prefill_latency_s",
    "energy": "energy_j",
    "area": "area_m2",
}
"""Short names of objectives. ``edp`` is energy x latency; ``cost`` needs an ``expr``."""


@dataclass(frozen=True)
class AxisValues:
    """A checked axis.

    Attributes:
        texts: its values, each in its one spelling.
        when: the condition under which the axis is there.
        ordered: the values are numbers.
    """

    key: str
    texts: Sequence[str]
    when: Expression | None
    ordered: bool


@dataclass(frozen=True)
class Goal:
    """A checked objective: ``expr`` where it is computed, else the dotted key ``stat``; ``limit`` in the unit of the stats."""

    name: str
    stat: str
    expr: Expression | None
    maximize: bool
    limit: float | None
    place: str


@dataclass(frozen=True)
class Space:
    """A checked space."""

    name: str
    file: str
    base: RunConfig
    axes: tuple[AxisValues, ...]
    constraints: tuple[Expression, ...]
    goals: tuple[Goal, ...]
    method: Method
    fixed: "Fixed"
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where conditions stand, by ``constraints.0`` or ``when of KEY``."""

    @cached_property
    def axis_index(self) -> dict[str, int]:
        """Position of each axis by its key."""
        return {axis.key: i for i, axis in enumerate(self.axes)}


class Fixed:
    """Values of keys that are no axis, or of axes that are not there: of the base run and of its hardware.

    Where ``arch`` is an axis the hardware is that of the point.
    """

    def __init__(self, base: RunConfig, archs: Sequence[str]):
        self.base, self.archs = base, tuple(archs)
        stack = base.gpu.stack if base.gpu else None
        own = Hardware(base.arch, tuple(base.overrides.items()), stack)
        self._hardware = {name: own if name == base.arch else Hardware(name, (), stack) for name in self.archs}
        self._known: dict[tuple[str, str], tuple[Value, Type] | None] = {}

    def hardware(self, arch: str) -> Hardware:
        """The hardware of an arch of the space."""
        return self._hardware[arch]

    def first_fitting(self, use: Callable[[Hardware], Any]) -> Any:
        """What ``use`` makes of the first hardware that it does not refuse; the first refusal if there is none.

        Raises:
            KeyProblem: that refusal.
        """
        first: KeyProblem | None = None
        for hardware in self._hardware.values():
            try:
                return use(hardware)
            except KeyProblem as problem:
                first = first or problem
        assert first is not None
        raise first

    def typed(self, arch: str, key: str) -> tuple[Value, Type] | None:
        """Value and type of a key; None where it has no value with this arch.

        Raises:
            KeyProblem: no arch of the space has such a key.
        """
        if (arch, key) not in self._known:
            if key in RUN_KEYS:
                text = arch if key == "arch" else run_value(self.base, key)
            else:
                self.first_fitting(lambda hardware: hardware.type_of(key))
                try:
                    text = self._hardware[arch].value(key)
                except KeyProblem:
                    text = None
            self._known[arch, key] = None if text is None else typed(text)
        return self._known[arch, key]

    def type_of(self, key: str) -> Type | None:
        """Type of a key in the first arch that has a value for it; None if none has.

        Raises:
            KeyProblem: no arch of the space has such a key.
        """
        found = [pair for arch in self.archs if (pair := self.typed(arch, key)) is not None]
        return found[0][1] if found else None
