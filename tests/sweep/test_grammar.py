"""Expressions: precedence and exactness against Python's own fractions, dimensions, and errors that name a column."""

import operator
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rowline.sweeps.grammar import MAX_DEPTH, MAX_LENGTH, ExpressionError, parse
from rowline.sweeps.quantities import NUMBER, quantity, typed

VALUES = {"channels": 8, "host.clock": 10**9, "device.timing.tRP": Fraction(12, 10**9), "arch": "aim", "on": True}
TYPES: dict[str, Any] = {
    "channels": NUMBER, "host.clock": quantity("1 GHz")[1], "device.timing.tRP": quantity("1 ns")[1], "arch": "text",
    "on": "truth",
}  # fmt: skip


def result(text: str) -> Any:
    expression = parse(text)
    expression.type_of(TYPES)
    return expression.evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("7 // 2 * 2 + 7 % 2", 7), ("1 / 3 * 3 == 1", True), ("- - 3", 3), ("-2 * 3", -6),
        ("0.1 + 0.2 == 0.3", True), ("8 - 4 - 2", 2), ("64 / 4 / 2", 8), ("1e3", 1000), ("2.50", Fraction(5, 2)),
        ("channels * 16 <= 128 and host.clock >= 500 MHz", True), ("1 <= channels < 8", False), ("4 < channels <= 8 == 8", True),
        ("not channels > 3 or on", True), ("not (channels > 3 or on)", False), ("true and false or true", True),
        ("arch == 'aim'", True), ('arch != "aim"', False), ("min(3, channels, 5) + max(1, 2) + abs(-4)", 9),
        ("device.timing.tRP * host.clock", 12), ("10 GB/s / 2 == 5 GB/s", True), ("12 ns == device.timing.tRP", True),
        ("1 GiB > 1 GB", True), ("device.timing.tRP // 5 ns", 2), ("device.timing.tRP % 5 ns == 2 ns", True), ("on", True),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    assert result(text) == value and type(result(text)) is not float


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a value"), ("1 +", 4, "expected a value"), ("(1", 3, 'expected ")"'), ("2 channels", 3, "operator"),
        ("1 = 2", 3, 'unexpected "="'), ("a..b", 2, 'unexpected "."'), ("'abc", 1, "unexpected"), ("min(1)", 1, "two arguments"),
        ("abs(1, 2)", 1, "one argument"), ("min 1", 5, 'expected "("'), ("1 and", 6, "expected a value"), ("__import__('os')",
        11, ""),
        ("channels ** 2", 11, "expected a value"), ("channels[0]", 9, "unexpected"), ("lambda: 1", 7, "unexpected"),
        ("3 parsec", 3, "operator"), ("channels / 0", 10, "division by zero"), ("channels % (8 - channels)", 10, "by zero"),
    ],
)  # fmt: skip
def test_malformed(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=f"column {column}: ") as error:
        result(text)
    assert error.value.column == column and message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "device.timing.tRP < 12", "channels + 3 ns", "host.clock == device.timing.tRP", "arch < 'b'", "arch + 1",
        "channels and on",
        "not channels", "-arch", "min(1, 2 ns)", "abs(on)", "arch == 1", "on < true", "max('a', 'b')", "1 < 2 < 'x'",
    ],
)  # fmt: skip
def test_types_that_do_not_go_together(text: str) -> None:
    with pytest.raises(ExpressionError, match="column"):
        parse(text).type_of(TYPES)


def test_limits() -> None:
    with pytest.raises(ExpressionError, match="longer than"):
        parse("1" * (MAX_LENGTH + 1))
    for nested in ("(" * 200 + "1", "not " * 120 + "on", "-" * 200 + "1"):
        with pytest.raises(ExpressionError, match=f"more than {MAX_DEPTH} deep"):
            parse(nested)
    assert result("+".join(["1"] * 250)) == 250


def test_names_and_where_they_stand() -> None:
    assert parse("channels + host.clock * channels > 3").names == {"channels": 1, "host.clock": 12}


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1


@pytest.mark.parametrize("seed", range(30))
def test_random_arithmetic_equals_fractions(seed: int) -> None:
    """A random tree, printed with all its parentheses, and evaluated here by other code."""
    draw = random.Random(seed)
    operators = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}

    def tree(depth: int) -> tuple[str, Fraction]:
        if depth == 0 or draw.random() < 0.2:
            number = draw.randrange(1, 100)
            return str(number), Fraction(number)
        (left, a), (right, b), word = tree(depth - 1), tree(depth - 1), draw.choice(list(operators))
        word = "+" if word == "/" and b == 0 else word
        return f"({left} {word} {right})", operators[word](a, b)

    text, value = tree(4)
    assert parse(text).evaluate({}) == value


def test_typed() -> None:
    assert typed("12 ns") == (Fraction(12, 10**9), quantity("1 s")[1]) and typed("8") == (8, NUMBER)
    assert typed("true") == (True, "truth") and typed("gpt2-small") == ("gpt2-small", "text")
