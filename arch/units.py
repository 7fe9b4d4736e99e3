"""Clock domains, quantities with units, and the only place where time is rounded.

Base units are integers wherever a simulation depends on them: picoseconds, hertz, bytes, bits per second.
A clock is an integer frequency, never a rounded period. Minimum times become cycles by ceiling,
refresh intervals by floor.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

PS_PER_S = 10**12


@dataclass(frozen=True)
class Clock:
    """A clock domain of ``freq_hz`` hertz (integer)."""

    freq_hz: int

    def cycles_ceil(self, time_ps: int) -> int:
        """Smallest number of cycles that lasts at least ``time_ps`` (for minimum times)."""
        return -(-time_ps * self.freq_hz // PS_PER_S)

    def cycles_floor(self, time_ps: int) -> int:
        """Largest number of cycles that lasts at most ``time_ps`` (for refresh intervals)."""
        return time_ps * self.freq_hz // PS_PER_S

    def edge_ps(self, cycles: int) -> int:
        """Time of clock edge ``cycles`` in ps, rounded up where the period is no whole number of ps."""
        return -(-cycles * PS_PER_S // self.freq_hz)

    @property
    def period_ps(self) -> Fraction:
        """Exact period in ps."""
        return Fraction(PS_PER_S, self.freq_hz)


class UnitError(ValueError):
    """A quantity is malformed, has no unit, the wrong unit, or lies outside its physical range."""


def _si(base: str, *prefixes: str) -> dict[str, Fraction]:
    scale = {"f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
    return {p + base: Fraction(10) ** scale[p] for p in prefixes}


_BYTES = {"B": Fraction(1), "kB": Fraction(10**3), "MB": Fraction(10**6), "GB": Fraction(10**9)} | {
    f"{p}iB": Fraction(2 ** (10 * (i + 1))) for i, p in enumerate("KMG")
}

# dimension -> (unit -> factor to the base unit, name of the base unit)
DIMENSIONS: dict[str, tuple[dict[str, Fraction], str]] = {
    "time": ({k: v * PS_PER_S for k, v in _si("s", "p", "n", "u", "m", "").items()}, "ps"),
    "frequency": (_si("Hz", "", "k", "M", "G"), "Hz"),
    "size": (_BYTES, "B"),
    "rate": (_si("b/s", "", "k", "M", "G", "T"), "b/s"),
    "bandwidth": (_si("B/s", "", "k", "M", "G", "T"), "B/s"),
    "op_rate": (_si("OP/s", "", "G", "T"), "OP/s"),
    "energy": ({k: v * 10**15 for k, v in _si("J", "f", "p", "n", "u", "m", "").items()}, "fJ"),
    "energy_per_bit": ({k: v * 10**15 for k, v in _si("J/b", "f", "p", "n").items()}, "fJ/b"),
    "power": ({k: v * 10**6 for k, v in _si("W", "u", "m", "").items()}, "uW"),
    "current": ({k: v * 10**6 for k, v in _si("A", "u", "m", "").items()}, "uA"),
    "voltage": ({k: v * 10**6 for k, v in _si("V", "u", "m", "").items()}, "uV"),
    "area": ({"mm2": Fraction(10**6), "um2": Fraction(1)}, "um2"),
}

_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,2})?|[+-]?\.\d+)\s*([A-Za-z/0-9]*)\s*", re.ASCII)


def split_quantity(text: str) -> tuple[Fraction, str]:
    """Split ``"28 ns"`` into an exact number and its unit (``""`` if there is none).

    Raises:
        UnitError: the text is no finite decimal number followed by at most one unit.
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        raise UnitError(f'expected a number with a unit, got "{text[:40]}"')
    return Fraction(match[1]), match[2]


def to_base(text: str, dimension: str) -> int:
    """Convert ``"28 ns"`` to a whole number of the base unit of ``dimension`` (here 28000 ps).

    Raises:
        UnitError: unit missing, of another dimension, or the value is negative or no whole number of base units.
    """
    units, base = DIMENSIONS[dimension]
    number, unit = split_quantity(text)
    if unit not in units:
        got = f'got unit "{unit}"' if unit else "got none"
        raise UnitError(f"needs a unit of {dimension} (one of {', '.join(units)}), {got}")
    value = number * units[unit]
    if value < 0:
        raise UnitError(f"must not be negative, got {text.strip()}")
    if value.denominator != 1:
        raise UnitError(f"{text.strip()} is no whole number of {base}")
    return int(value)


def format_quantity(value: int, dimension: str) -> str:
    """Shortest exact text of ``value`` base units, readable by :func:`to_base`."""
    units, base = DIMENSIONS[dimension]
    best = f"{value} {base}" if base in units else f"{value}"
    for unit, factor in sorted(units.items(), key=lambda kv: kv[1]):
        scaled = Fraction(value) / factor
        if scaled.denominator == 1:
            text = f"{scaled.numerator} {unit}"
        elif math.gcd(scaled.denominator, 10**6) == scaled.denominator and scaled >= 1:
            whole, millionths = divmod(int(scaled * 10**6), 10**6)
            text = f"{whole}.{millionths:06d}".rstrip("0") + f" {unit}"
        else:
            continue
        if len(text) <= len(best):
            best = text
    return best
