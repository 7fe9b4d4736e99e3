"""Sourced numbers: what they accept, what they say when they do not, and that they come back from their dump."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rowline.arch.units import Clock
from rowline.arch.values import (
    Area,
    Count,
    CountOrZero,
    Current,
    Duration,
    EnergyPerBit,
    Flag,
    Frequency,
    PerMille,
    PinRate,
    Power,
    Size,
    Sourced,
    SourceKind,
    Voltage,
)

KINDS = [Frequency, Size, PinRate, EnergyPerBit, Power, Current, Voltage, Area, Count, CountOrZero, Flag, PerMille, Duration]
TYPES = pytest.mark.parametrize("kind", KINDS)


def message(kind: type[Sourced], data: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(data)
    return caught.value.errors()[0]["msg"]


@TYPES
def test_the_whole_range_comes_back_from_its_dump(kind: type[Sourced]) -> None:
    for value in {kind.low, kind.low + 1, (kind.low + kind.high) // 2, kind.high}:
        if kind.low <= value <= kind.high:
            text = kind.model_construct(value=value).text
            first = kind.model_validate({"value": text, "kind": "PAPER", "ref": "x"})
            assert first.value == value
            assert kind.model_validate(first.model_dump(mode="json")) == first


@TYPES
def test_outside_the_range_is_refused(kind: type[Sourced]) -> None:
    above = kind.model_construct(value=kind.high + 1).text
    assert kind is Flag or "outside its physical range" in message(kind, above)
    if kind.low > 0:
        assert "outside its physical range" in message(kind, kind.model_construct(value=kind.low - 1).text)


@TYPES
@pytest.mark.parametrize("bad", [None, [], {}, {"a": 1}, {"value": None}, {"value": []}, {"value": {}}, True, "", "x", "nan"])
def test_no_value(kind: type[Sourced], bad: Any) -> None:
    if kind is Flag and bad is True:
        pytest.skip("YAML scalars are text: true arrives as a string")
    said = message(kind, bad)
    assert len(said) < 250 and "NoneType" not in said and "dict" not in said


@TYPES
def test_a_bare_scalar_counts_as_assumed(kind: type[Sourced]) -> None:
    value = kind.model_validate(kind.model_construct(value=kind.low + 1).text)
    assert (value.kind, value.ref) == (SourceKind.ASSUMED, "no source given")


@TYPES
def test_values_do_not_change_and_take_no_other_keys(kind: type[Sourced]) -> None:
    text = kind.model_construct(value=kind.low).text
    value = kind.model_validate(text)
    with pytest.raises(ValidationError, match="frozen"):
        value.value = 3  # type: ignore[misc]
    for extra in ({"unit": "ns"}, {"kind": "GUESS"}, {"kind": "paper"}, {"ref": None}, {"kind": None}):
        with pytest.raises(ValidationError):
            kind.model_validate({"value": text} | extra)


def test_counts_are_whole_numbers_without_a_unit() -> None:
    assert Count.model_validate("1e3").value == 1000
    assert CountOrZero.model_validate("0").value == 0
    for bad in ("0", "-1", "1.5", "3 B", "1e40", "010x"):
        message(Count, bad)
    assert Count.model_validate("010").value == 10  # decimal, never octal


def test_flags_are_true_or_false_and_nothing_else() -> None:
    assert Flag.model_validate("true").value == 1 and Flag.model_validate("false").value == 0
    for bad in ("yes", "on", "1", "0", "True", "no"):
        assert "true or false" in message(Flag, bad)


def test_ratios_have_three_decimals() -> None:
    assert PerMille.model_validate("3.0").value == 3000
    assert PerMille.model_validate("0.125").text == "0.125"
    message(PerMille, "0.1234")
    message(PerMille, "3 %")


@given(st.integers(0, 10**6))
def test_ratios_come_back(value: int) -> None:
    assert PerMille.model_validate(PerMille.model_construct(value=value).text).value == value


def test_times_and_cycles() -> None:
    clock = Clock(1_750_000_000)
    ns, ck = Duration.model_validate("28 ns"), Duration.model_validate("2 ck")
    assert (ns.cycles(clock), ns.cycles_floor(clock), ns.ps(clock), ns.text) == (49, 49, 28_000, "28 ns")
    assert (ck.cycles(clock), ck.cycles_floor(clock), ck.ps(clock), ck.text) == (2, 2, 1143, "2 ck")
    assert Duration.model_validate("1 ns").cycles(clock) == 2 and Duration.model_validate("1 ns").cycles_floor(clock) == 1
    for bad in ("1.5 ck", "-1 ck", "1 Ck", "5", "1e40 ck"):
        message(Duration, bad)
    assert message(Duration, "2000000000000 ck").startswith("Value error, 2000000000000 ck is outside")


def test_cycles_are_written_as_a_unit_and_not_behind_the_readers_back() -> None:
    """``in_cycles: true`` beside ``28 ns`` would make 28000 cycles of it."""
    assert "in_cycles" in message(Duration, {"value": "28 ns", "in_cycles": "true"})
    assert "in_cycles" in message(Duration, {"value": "28 ck", "in_cycles": False})
