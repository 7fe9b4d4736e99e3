"""Clocks round one way each, quantities are exact, and what is not a quantity is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rowline.arch.units import (
    DIMENSIONS,
    PS_PER_S,
    Clock,
    UnitError,
    format_quantity,
    split_quantity,
    to_base,
)

FREQUENCIES = st.integers(1, 10**11)
TIMES_PS = st.integers(0, 10**15)
NAMED = st.sampled_from([d for d in DIMENSIONS])


@given(FREQUENCIES, TIMES_PS)
def test_ceil_is_the_smallest_number_that_lasts_long_enough(freq_hz: int, time_ps: int) -> None:
    clock = Clock(freq_hz)
    n = clock.cycles_ceil(time_ps)
    assert n * clock.period_ps >= time_ps
    assert n == 0 or (n - 1) * clock.period_ps < time_ps


@given(FREQUENCIES, TIMES_PS)
def test_floor_is_the_largest_number_that_fits(freq_hz: int, time_ps: int) -> None:
    clock = Clock(freq_hz)
    n = clock.cycles_floor(time_ps)
    assert n * clock.period_ps <= time_ps < (n + 1) * clock.period_ps
    exact = (time_ps * freq_hz) % PS_PER_S == 0
    assert clock.cycles_ceil(time_ps) == n + (0 if exact else 1)


@given(FREQUENCIES, st.integers(0, 10**12))
def test_an_edge_is_never_before_its_cycle(freq_hz: int, cycles: int) -> None:
    clock = Clock(freq_hz)
    edge = clock.edge_ps(cycles)
    assert 0 <= edge - cycles * clock.period_ps < 1
    if clock.period_ps >= 1:
        assert clock.cycles_floor(edge) == cycles


@given(FREQUENCIES, TIMES_PS, TIMES_PS)
def test_rounding_is_monotone(freq_hz: int, a: int, b: int) -> None:
    clock, low, high = Clock(freq_hz), min(a, b), max(a, b)
    assert clock.cycles_ceil(low) <= clock.cycles_ceil(high)
    assert clock.cycles_floor(low) <= clock.cycles_floor(high)


def test_a_clock_is_no_rounded_period() -> None:
    """1.75 GHz has a period of 571.43 ps; 2^40 cycles of it lose nothing."""
    clock = Clock(1_750_000_000)
    assert clock.period_ps == Fraction(4000, 7)
    assert clock.edge_ps(7 * 2**40) == 4000 * 2**40
    assert (clock.cycles_ceil(571), clock.cycles_ceil(572), clock.cycles_floor(1142)) == (1, 2, 1)


@given(NAMED, st.integers(0, 2**62))
def test_what_is_printed_reads_back_as_the_same_number(dimension: str, value: int) -> None:
    assert to_base(format_quantity(value, dimension), dimension) == value


@given(NAMED, st.integers(0, 10**6), st.integers(0, 12))
def test_round_numbers_read_back_too(dimension: str, value: int, zeros: int) -> None:
    assert to_base(format_quantity(value * 10**zeros, dimension), dimension) == value * 10**zeros


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("28 ns", "time", 28_000), ("44.5ns", "time", 44_500), (" 1.9 us ", "time", 1_900_000), ("1e3 ps", "time", 1000),
        ("1.0E-3 ms", "time", 10**6), ("+2 s", "time", 2 * 10**12), (".5 ns", "time", 500), ("5. ns", "time", 5000),
        ("2 GHz", "frequency", 2 * 10**9), ("2 KiB", "size", 2048), ("2 kB", "size", 2000), ("1 GiB", "size", 2**30),
        ("16 Gb/s", "rate", 16 * 10**9), ("5.5 pJ/b", "energy_per_bit", 5500), ("149.29 mW", "power", 149_290),
        ("122 mA", "current", 122_000), ("1.25 V", "voltage", 1_250_000), ("0.64 mm2", "area", 640_000),
    ],
)  # fmt: skip
def test_quantities(text: str, dimension: str, value: int) -> None:
    assert to_base(text, dimension) == value


@pytest.mark.parametrize(
    ("text", "dimension", "part"),
    [
        ("28", "time", "got none"), ("28 NS", "time", '"NS"'), ("28 GHz", "time", "GHz"), ("28 parsec", "time", "parsec"),
        ("-1 ns", "time", "negative"), ("0.5 ps", "time", "no whole number of ps"), ("1 Kb", "size", "Kb"),
        ("2 kiB", "size", "kiB"), ("0.3 B", "size", "no whole number of B"), ("16 GB/s", "rate", "GB/s"),
        ("1 MW", "power", "MW"), ("1e-12 s s", "time", "expected"),
    ],
)  # fmt: skip
def test_wrong_units_say_what_is_wrong(text: str, dimension: str, part: str) -> None:
    with pytest.raises(UnitError, match=part.replace("/", "/")):
        to_base(text, dimension)


BAD_NUMBERS = [
    "", " ", "ns", "nan", "nan ns", "inf", "-inf ns", "1e400 ns", "1e400", "1e999999999 s", "0x10 ns", "1_000 ns", "1,5 ns",
    "1 2 ns", "--1 ns", "1..2 ns", "1e ns", "1/2 ns", "12:30:00", "1 ns;", "1 n s", "9" * 5000, "1 " + "n" * 100,
    "\x1b[31m1 ns", "1\x00ns", "٣ ns", "½ ns", "１ ns", "1 µs", "true", "None", "~",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("dimension", ["time", "size"])
def test_no_quantity(text: str, dimension: str) -> None:
    with pytest.raises(UnitError) as caught:
        to_base(text, dimension)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=80))
def test_any_text_is_a_quantity_or_a_unit_error(text: str) -> None:
    try:
        number, unit = split_quantity(text)
    except UnitError:
        return
    assert number.denominator < 10**100 and abs(number) < 10**163 and len(unit) <= 64


def test_every_unit_of_a_dimension_is_read() -> None:
    for dimension, (units, base) in DIMENSIONS.items():
        assert units.get(base, 1) == 1
        for unit, factor in units.items():
            big = 10**15
            assert to_base(f"{big} {unit}", dimension) == big * factor
