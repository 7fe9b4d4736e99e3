"""The keys of a SPACE.yaml. What they mean together is checked in :mod:`rowline.sweeps.space`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rowline.arch.values import Spec
from rowline.experiment import RunConfig
from rowline.gpu_run import GpuChoices

MAX_AXES, MAX_TRIALS = 64, 10**7
Text = Annotated[str, Field(min_length=1, max_length=256)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[\w\-]+)*$", max_length=128)]


class Base(RunConfig):
    """The run that axes change: the keys of a CONFIG of ``rowline run``, and short names of those of ``gpu``."""

    stack: str | None = None
    launch: Literal["graph", "eager"] | None = None
    dtype: Literal["bf16", "fp16", "fp32"] | None = None

    def run(self) -> RunConfig:
        """The run's configuration."""
        short = {k: getattr(self, k) for k in ("stack", "launch", "dtype") if getattr(self, k) is not None}
        data = self.model_dump(exclude={"stack", "launch", "dtype"})
        if short:
            data["gpu"] = (self.gpu or GpuChoices()).model_dump() | short
        return RunConfig.model_validate(data)


class Range(Spec):
    """``from`` up to ``to`` at most, in steps."""

    begin: Text = Field(alias="from")
    to: Text
    step: Text


class Log(Spec):
    """``count`` values from ``from`` to ``to``, each the same factor above the one before (to four digits)."""

    begin: Text = Field(alias="from")
    to: Text
    count: int = Field(ge=2, le=10_000)


class Axis(Spec):
    """A key and the values that it takes.

    Attributes:
        when: the axis is there only where this holds; elsewhere the key keeps its base value.
    """

    key: Key
    values: tuple[Text, ...] | None = Field(default=None, min_length=1)
    range: Range | None = None
    log: Log | None = None
    when: Text | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in ("values", "range", "log") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of values, range and log, got {' and '.join(given) or 'none'}")
        return self


class Objective(Spec):
    """What to make small or large.

    Attributes:
        key: a dotted key of the stats, or one of the names of ``rowline.sweeps.space.NAMED``.
        limit: a run beyond it is infeasible.
        expr: computes the objective from keys of the space, of the hardware and of the stats.
    """

    key: Key
    direction: Literal["min", "max"] = "min"
    limit: Text | None = None
    expr: Text | None = None


class Method(Spec):
    """Which points, and in which order.

    Attributes:
        trials: at most so many; a grid without it is walked whole.
        batch: nsga2 and tpe: points proposed together before any of them is told, whatever the number of workers.
    """

    name: Literal["grid", "random", "quasi-random", "nsga2", "tpe"] = "grid"
    trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    seed: int = Field(default=0, ge=0, lt=2**32)
    batch: int = Field(default=16, ge=2, le=1024)


class SpaceFile(Spec):
    """A SPACE.yaml."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w\-.]*$", max_length=64)] | None = None
    base: Base = Base()
    axes: tuple[Axis, ...] = Field(min_length=1, max_length=MAX_AXES)
    constraints: tuple[Text, ...] = Field(default=(), max_length=64)
    objectives: tuple[Objective, ...] = Field(default=(Objective(key="latency"),), min_length=1, max_length=8)
    method: Method = Method()
