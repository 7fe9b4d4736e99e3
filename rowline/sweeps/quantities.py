"""Values with units as expressions see them: exact numbers in SI units, with their dimensions."""

from fractions import Fraction

from rowline.arch.units import DIMENSIONS, UnitError, split_quantity

_BASES = ("s", "B", "b", "J", "A", "m2", "OP")
Dims = tuple[int, ...]
Type = Dims | str
"""Exponents of the SI bases of a number; ``text`` or ``truth`` of other values."""
Value = int | Fraction | str | bool
NUMBER: Dims = (0,) * len(_BASES)


def _dims(**exponents: int) -> Dims:
    return tuple(exponents.get(b, 0) for b in _BASES)


# dimension of arch.units -> (its base unit in SI, exponents)
_SI: dict[str, tuple[Fraction, Dims]] = {
    "time": (Fraction(1, 10**12), _dims(s=1)),
    "frequency": (Fraction(1), _dims(s=-1)),
    "size": (Fraction(1), _dims(B=1)),
    "rate": (Fraction(1), _dims(b=1, s=-1)),
    "bandwidth": (Fraction(1), _dims(B=1, s=-1)),
    "op_rate": (Fraction(1), _dims(OP=1, s=-1)),
    "energy": (Fraction(1, 10**15), _dims(J=1)),
    "energy_per_bit": (Fraction(1, 10**15), _dims(J=1, b=-1)),
    "power": (Fraction(1, 10**6), _dims(J=1, s=-1)),
    "current": (Fraction(1, 10**6), _dims(A=1)),
    "voltage": (Fraction(1, 10**6), _dims(J=1, A=-1, s=-1)),
    "area": (Fraction(1, 10**12), _dims(m2=1)),
}
UNITS: dict[str, tuple[Fraction, Dims, str]] = {
    unit: (factor * _SI[name][0], _SI[name][1], name) for name, (units, _) in DIMENSIONS.items() for unit, factor in units.items()
}  # fmt: skip


def quantity(text: str) -> tuple[int | Fraction, Dims, str]:
    """``"28 ns"`` -> its value in SI units, the exponents, and the name of the dimension (empty for plain numbers).

    Raises:
        UnitError: no number, or a unit that is not known.
    """
    number, unit = split_quantity(text)
    factor, dims, name = UNITS.get(unit, (Fraction(1), NUMBER, "")) if unit else (Fraction(1), NUMBER, "")
    if unit and not name:
        raise UnitError(f'unknown unit "{unit}"')
    return whole(number * factor), dims, name


def from_si(value: int | Fraction, dimension: str) -> Fraction:
    """SI units -> base units of a dimension of :mod:`rowline.arch.units`."""
    return Fraction(value) / _SI[dimension][0]


def whole(value: int | Fraction) -> int | Fraction:
    """An int where that is exact: quicker to compute with."""
    return value.numerator if value.denominator == 1 else value


def typed(text: str) -> tuple[Value, Type]:
    """The value that a scalar of a configuration has in expressions: a truth value, a quantity, else text."""
    if text in ("true", "false"):
        return text == "true", "truth"
    try:
        value, dims, _ = quantity(text)
    except UnitError:
        return text, "text"
    return value, dims


def describe(found: Type) -> str:
    """A type in words: ``a number``, ``a value in s``, ``text``."""
    if isinstance(found, str):
        return f"a {found} value"
    parts = [base if n == 1 else f"{base}^{n}" for base, n in zip(_BASES, found, strict=True) if n]
    return f"a value in {' '.join(parts)}" if parts else "a plain number"
