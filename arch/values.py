"""Numbers that came from outside: each carries its unit and its source.

In YAML a value is either a plain scalar (``28 ns``) or a mapping ``{value: 28 ns, kind: PAPER, ref: "..."}``.
A value without a source counts as ASSUMED.
"""

from enum import StrEnum
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

from .units import DIMENSIONS, Clock, UnitError, format_quantity, split_quantity, to_base

_YAML_NAMES: dict[type, str] = {dict: "a mapping", list: "a list", type(None): "nothing", bool: "a truth value"}


class SourceKind(StrEnum):
    """Where a number comes from."""

    STANDARD = "STANDARD"
    DATASHEET = "DATASHEET"
    PAPER = "PAPER"
    MEASURED = "MEASURED"
    FITTED = "FITTED"
    ASSUMED = "ASSUMED"


class Spec(BaseModel):
    """Base of every specification: immutable, unknown keys refused, no inf or nan."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Sourced(Spec):
    """A number with a source. ``value`` is in the base unit of ``dimension`` (see :mod:`.units`)."""

    dimension: ClassVar[str] = ""
    low: ClassVar[int] = 0
    high: ClassVar[int] = 2**62

    value: int
    kind: SourceKind = SourceKind.ASSUMED
    ref: str = "no source given"

    @model_validator(mode="before")
    @classmethod
    def _from_scalar(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            data = {"value": data}
        raw = cast(dict[str, Any], data)
        if "value" not in raw:
            raise ValueError("needs a value")
        if isinstance(raw["value"], (dict, list, type(None), bool)):
            raise ValueError(f"expected {cls._expects()}, got {_YAML_NAMES[type(cast(object, raw['value']))]}")
        return raw | {"value": cls._parse(str(raw["value"]))}

    @classmethod
    def _expects(cls) -> str:
        return f"a {cls.dimension} such as {format_quantity(max(cls.low, 1000), cls.dimension)}"

    @classmethod
    def _parse(cls, text: str) -> int:
        return to_base(text, cls.dimension)

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if not self.low <= self.value <= self.high:
            low, high = (self._text(v) for v in (self.low, self.high))
            raise ValueError(f"{self.text} is outside its physical range {low} to {high}")
        return self

    @classmethod
    def _text(cls, value: int) -> str:
        return format_quantity(value, cls.dimension)

    @property
    def text(self) -> str:
        """The value with its unit, as YAML would hold it."""
        return self._text(self.value)

    @model_serializer
    def _dump(self) -> dict[str, str]:
        return {"value": self.text, "kind": str(self.kind), "ref": self.ref}


class Frequency(Sourced):
    """Clock frequency; value in Hz."""

    dimension, low, high = "frequency", 10**6, 10**11


class Size(Sourced):
    """Capacity; value in bytes."""

    dimension, low, high = "size", 1, 2**45


class PinRate(Sourced):
    """Data rate of one pin; value in bits per second."""

    dimension, low, high = "rate", 10**6, 10**12


class Bandwidth(Sourced):
    """Value in bytes per second; GB is 10^9."""

    dimension, low, high = "bandwidth", 10**6, 10**15


class OpRate(Sourced):
    """Arithmetic throughput; value in operations per second, two for a multiply-add."""

    dimension, low, high = "op_rate", 10**9, 10**17


class Energy(Sourced):
    """Value in fJ."""

    dimension, low, high = "energy", 0, 10**15


class EnergyPerBit(Sourced):
    """Value in fJ per bit."""

    dimension, low, high = "energy_per_bit", 0, 10**9


class Power(Sourced):
    """Value in uW."""

    dimension, low, high = "power", 0, 10**10


class Current(Sourced):
    """Value in uA."""

    dimension, low, high = "current", 0, 10**9


class Voltage(Sourced):
    """Value in uV."""

    dimension, low, high = "voltage", 10**5, 10**7


class Area(Sourced):
    """Value in square micrometres."""

    dimension, low, high = "area", 0, 10**10


class Count(Sourced):
    """A whole number without a unit."""

    low, high = 1, 2**31

    @classmethod
    def _expects(cls) -> str:
        return "a whole number"

    @classmethod
    def _parse(cls, text: str) -> int:
        number, unit = split_quantity(text)
        if unit or number.denominator != 1:
            raise UnitError(f'expected a whole number without a unit, got "{text}"')
        return int(number)

    @classmethod
    def _text(cls, value: int) -> str:
        return str(value)


class CountOrZero(Count):
    """A whole number from 0 on."""

    low = 0


class Flag(Sourced):
    """A yes or no with a source; value 1 or 0."""

    high = 1

    @classmethod
    def _expects(cls) -> str:
        return "true or false"

    @classmethod
    def _parse(cls, text: str) -> int:
        if text not in ("true", "false"):
            raise UnitError(f'expected true or false, got "{text}"')
        return int(text == "true")

    @classmethod
    def _text(cls, value: int) -> str:
        return "true" if value else "false"


class PerMille(Sourced):
    """A ratio, written as a plain decimal (``3.0``) and held in thousandths."""

    low, high = 0, 10**6

    @classmethod
    def _expects(cls) -> str:
        return "a ratio"

    @classmethod
    def _parse(cls, text: str) -> int:
        number, unit = split_quantity(text)
        if unit or (number * 1000).denominator != 1:
            raise UnitError(f'expected a ratio with at most 3 decimals and no unit, got "{text}"')
        return int(number * 1000)

    @classmethod
    def _text(cls, value: int) -> str:
        return f"{value // 1000}.{value % 1000:03d}".rstrip("0").rstrip(".")


class Duration(Sourced):
    """A timing parameter: a time (``28 ns``) or a number of device clock cycles (``2 ck``).

    ``value`` is in ps, or in cycles where ``in_cycles`` is true.
    """

    dimension, low, high = "time", 0, 10**12

    in_cycles: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_cycles(cls, data: Any) -> Any:
        """Accept ``2 ck`` beside ``1 ns``; runs before the scalar is parsed as a time."""
        raw = cast(dict[str, Any], data) if isinstance(data, dict) else {"value": data}
        if "in_cycles" in raw:
            raise ValueError('in_cycles: unknown key (write "2 ck" for cycles)')
        if isinstance(raw.get("value"), str):
            number, unit = split_quantity(raw["value"])
            if unit == "ck":
                if number.denominator != 1 or number < 0:
                    raise UnitError(f'cycles must be a whole number from 0 on, got "{raw["value"]}"')
                return raw | {"value": f"{number} ps", "in_cycles": True}
            if unit not in DIMENSIONS["time"][0]:
                got = f'got unit "{unit}"' if unit else "got none"
                raise UnitError(f"needs a unit of time (ps, ns, us, ms, s, or ck for device cycles), {got}")
        return raw

    @property
    def text(self) -> str:
        """The value with its unit, as YAML would hold it."""
        return f"{self.value} ck" if self.in_cycles else self._text(self.value)

    def cycles(self, clock: Clock) -> int:
        """Minimum number of ``clock`` cycles (ceiling)."""
        return self.value if self.in_cycles else clock.cycles_ceil(self.value)

    def cycles_floor(self, clock: Clock) -> int:
        """Number of ``clock`` cycles, rounded down (refresh intervals)."""
        return self.value if self.in_cycles else clock.cycles_floor(self.value)

    def ps(self, clock: Clock) -> int:
        """The time in ps."""
        return clock.edge_ps(self.value) if self.in_cycles else self.value


def sourced_values(spec: BaseModel) -> dict[str, Sourced]:
    """Every number with a source in a specification, by its dotted name (``device.timing.tRP``)."""
    found: dict[str, Sourced] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, Sourced):
            found[path] = node
        elif isinstance(node, BaseModel):
            for name in type(node).model_fields:
                walk(getattr(node, name), f"{path}.{name}" if path else name)
        elif isinstance(node, dict):
            for name, value in cast(dict[str, Any], node).items():
                walk(value, f"{path}.{name}")

    walk(spec, "")
    return found
