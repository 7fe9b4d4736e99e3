"""Values of an axis that are computed: ranges with a step (never held as a list), and logarithmic ones."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import overload

from rowline.arch.units import UnitError, split_quantity
from rowline.sweeps.quantities import quantity

MAX_STEPS = 10**7


class StepsProblem(ValueError):
    """A range makes no sense; ``key`` names its part that is wrong."""

    def __init__(self, key: str, message: str):
        super().__init__(message)
        self.key = key


class Steps(Sequence[str]):
    """``begin + i * step`` for ``count`` values of i, in a unit, each spelled when it is asked for."""

    def __init__(self, begin: Fraction, step: Fraction, count: int, unit: str, spell: Callable[[str], str]):
        self.begin, self.step, self.length, self.unit, self.spell = begin, step, count, unit, spell

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[str]": ...
    def __getitem__(self, index: int | slice) -> "str | Sequence[str]":
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.length))]
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return self.spell(decimal_text(self.begin + index % self.length * self.step, self.unit))


def decimal_text(value: Fraction, unit: str) -> str:
    """An exact decimal with its unit; a fraction that is no finite decimal is rounded to 15 digits."""
    if value.denominator == 1:
        number = str(value.numerator)
    else:
        number = f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
        number = number.rstrip("0") if "." in number else number
    return f"{number} {unit}".strip()


def _part(key: str, text: str) -> tuple[Fraction, str]:
    try:
        value, unit = split_quantity(text)
        if unit and unit != "ck":
            quantity(text)
    except UnitError as error:
        raise StepsProblem(key, str(error)) from None
    return value, unit


def _in_unit(key: str, text: str, unit: str) -> Fraction:
    """A number in ``unit``, whatever unit of that dimension it was given in."""
    value, own = _part(key, text)
    if own == unit:
        return value
    if not own or not unit or "ck" in (own, unit):
        raise StepsProblem(key, f'needs the unit "{unit}" as in from' if unit else f'has a unit, "{own}", but from has none')
    mine, theirs = quantity(f"1 {own}"), quantity(f"1 {unit}")
    if mine[2] != theirs[2]:
        raise StepsProblem(key, f'"{own}" does not go with "{unit}" of from')
    return value * Fraction(mine[0]) / Fraction(theirs[0])


def range_steps(begin: str, to: str, step: str, spell: Callable[[str], str]) -> Steps:
    """``begin``, ``begin + step``, ... as long as they do not go beyond ``to``.

    Raises:
        StepsProblem: units differ in kind, or there would be no value, or more than ``MAX_STEPS``.
    """
    first, unit = _part("from", begin)
    last, size = _in_unit("to", to, unit), _in_unit("step", step, unit)
    if size <= 0:
        raise StepsProblem("step", f'must be above 0, got "{step}"')
    if last < first:
        raise StepsProblem("to", f'is below from, "{begin}"')
    count = (last - first) // size + 1
    if count > MAX_STEPS:
        raise StepsProblem("step", f"makes {count} values; at most {MAX_STEPS} are supported")
    return Steps(first, size, count, unit, spell)


def log_steps(begin: str, to: str, count: int, spell: Callable[[str], str]) -> list[str]:
    """``count`` values from ``begin`` to ``to`` by a constant factor: to four digits, whole where both ends are whole
    and bare. Values that rounding made equal stand once.

    Raises:
        StepsProblem: units differ in kind, the ends are not above 0 and ascending, or a value does not do.
    """
    first, unit = _part("from", begin)
    last = _in_unit("to", to, unit)
    if first <= 0:
        raise StepsProblem("from", f'must be above 0, got "{begin}"')
    if last <= first:
        raise StepsProblem("to", f'is not above from, "{begin}"')
    whole = not unit and first.denominator == last.denominator == 1
    factor = (float(last) / float(first)) ** (1 / (count - 1))
    texts: list[str] = []
    for i in range(count):
        value = float(first) * factor**i
        rounded = Fraction(round(value)) if whole else Fraction(f"{value:.4g}")
        exact = first if i == 0 else last if i == count - 1 else rounded
        try:
            texts.append(spell(decimal_text(exact, unit)))
        except ValueError as error:
            key = "from" if i == 0 else "to" if i == count - 1 else "count"
            raise StepsProblem(key, f"{error} (value {i + 1} of {count})") from None
    return list(dict.fromkeys(texts))
