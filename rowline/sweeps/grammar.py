"""Expressions over named keys: ``channels * device.organization.banks_per_group <= 64 and host.clock >= 500 MHz``.

Grammar, loosest first: ``or``, ``and``, ``not``, comparisons (which chain), ``+ -``, ``* / // %``, unary ``-``, and the atoms
number (with an optional unit), ``'text'``, ``true``, ``false``, dotted name, ``min(..)``, ``max(..)``, ``abs(..)``,
``(..)``. Arithmetic is exact: quantities are fractions of SI units. Dimensions are checked before anything is evaluated, so that
``device.timing.tRP < 12`` is refused and not read as 12 seconds.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rowline.sweeps.quantities import NUMBER, UNITS, Dims, Type, Value, describe, quantity, whole

MAX_LENGTH, MAX_DEPTH = 500, 24


class ExpressionError(ValueError):
    """An expression is malformed or makes no sense; ``column`` counts from 1."""

    def __init__(self, column: int, message: str):
        super().__init__(f"column {column}: {message}")
        self.column = column


_WORDS = {"and", "or", "not", "true", "false", "min", "max", "abs"}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?)(?:\s*(?P<unit>KNOWN)(?![\w/]))?
    |(?P<name>[A-Za-z_]\w*(?:\.\w+)*)
    |(?P<text>'[^']*'|"[^"]*")
    |(?P<op>//|<=|>=|==|!=|[-+*/%<>(),])
    )""".replace("KNOWN", "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))),
    re.VERBOSE | re.ASCII,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
        names: the keys that it uses, each with the column at which it stands first.
        evaluate: values of the names -> result. Raises ExpressionError where it divides by zero.
        type_of: types of the names -> type of the result. Raises ExpressionError where types do not go together.
    """

    text: str
    names: dict[str, int]
    evaluate: Callable[[Mapping[str, Value]], Any]
    type_of: Callable[[Mapping[str, Type]], Type]


@dataclass(frozen=True)
class _Node:
    """A part of an expression, in both of its readings."""

    value: Callable[[Mapping[str, Value]], Any]
    type: Callable[[Mapping[str, Type]], Type]


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        ExpressionError: it is malformed, too long or nested too deep.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(MAX_LENGTH + 1, f"longer than {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text), len(text) + 1)
    node = parser.either(0)
    if parser.kind != "end":
        raise ExpressionError(parser.column, f'expected an operator, got "{parser.word}"')
    return Expression(text, parser.names, node.value, node.type)


def _tokens(text: str) -> list[tuple[str, str, int, str]]:
    """(kind, word, column, unit) of each token."""
    tokens: list[tuple[str, str, int, str]] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
            raise ExpressionError(column, f'unexpected "{text[column - 1]}"')
        kind = "number" if match["number"] else match.lastgroup
        word = match[kind]
        kind = "op" if kind == "name" and word in _WORDS else kind
        tokens.append((kind, word, match.start(match.lastgroup if kind != "number" else "number") + 1, match["unit"] or ""))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent; each method parses one level of precedence."""

    def __init__(self, tokens: list[tuple[str, str, int, str]], end: int):
        self.tokens, self.at, self.names = [*tokens, ("end", "the end", end, "")], 0, dict[str, int]()

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def word(self) -> str:
        return self.tokens[self.at][1]

    @property
    def column(self) -> int:
        return self.tokens[self.at][2]

    def take(self, *words: str) -> str:
        """The next operator if it is one of ``words``, else nothing."""
        if self.kind == "op" and self.word in words:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def require(self, word: str) -> None:
        if not self.take(word):
            raise ExpressionError(self.column, f'expected "{word}", got "{self.word}"')

    def either(self, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise ExpressionError(self.column, f"nested more than {MAX_DEPTH} deep")
        node, column = self.both(depth), self.column
        while self.take("or"):
            node = _logic(node, self.both(depth), column, "or", lambda a, b: lambda e: a(e) or b(e))
        return node

    def both(self, depth: int) -> _Node:
        node, column = self.negation(depth), self.column
        while self.take("and"):
            node = _logic(node, self.negation(depth), column, "and", lambda a, b: lambda e: a(e) and b(e))
        return node

    def negation(self, depth: int) -> _Node:
        column = self.column
        if not self.take("not"):
            return self.comparison(depth)
        if depth > MAX_DEPTH:
            raise ExpressionError(column, f"nested more than {MAX_DEPTH} deep")
        inner = self.negation(depth + 1)
        return _Node(lambda e: not inner.value(e), lambda t: _need_truth(inner.type(t), column, "not"))

    def comparison(self, depth: int) -> _Node:
        node = left = self.sum(depth)
        chained, column = False, self.column
        while word := self.take(*_COMPARE):
            right = self.sum(depth)
            link = _compared(left, right, column, word)
            node = _logic(node, link, column, "and", lambda a, b: lambda e: a(e) and b(e)) if chained else link
            left, chained, column = right, True, self.column
        return node

    def sum(self, depth: int) -> _Node:
        node, column = self.product(depth), self.column
        while word := self.take("+", "-"):
            node, column = _arithmetic(node, self.product(depth), column, word), self.column
        return node

    def product(self, depth: int) -> _Node:
        node, column = self.unary(depth), self.column
        while word := self.take("*", "//", "/", "%"):
            node, column = _arithmetic(node, self.unary(depth), column, word), self.column
        return node

    def unary(self, depth: int) -> _Node:
        column = self.column
        if not self.take("-"):
            return self.atom(depth)
        if depth > MAX_DEPTH:
            raise ExpressionError(column, f"nested more than {MAX_DEPTH} deep")
        inner = self.unary(depth + 1)
        return _Node(lambda e: -inner.value(e), lambda t: _need_number(inner.type(t), column, "-"))

    def atom(self, depth: int) -> _Node:
        kind, word, column, unit = self.tokens[self.at]
        if function := self.take("min", "max", "abs"):
            return self.call(function, column, depth)
        if self.take("("):
            node = self.either(depth + 1)
            self.require(")")
            return node
        if self.take("true", "false"):
            return _constant(word == "true", "truth")
        if kind not in ("number", "text", "name"):
            raise ExpressionError(column, f'expected a value, got "{word}"')
        self.at += 1
        if kind == "name":
            self.names.setdefault(word, column)
            return _Node(lambda e: e[word], lambda t: t[word])
        if kind == "text":
            return _constant(word[1:-1], "text")
        value, dims, _ = quantity(f"{word} {unit}")
        return _constant(value, dims)

    def call(self, function: str, column: int, depth: int) -> _Node:
        self.require("(")
        arguments = [self.either(depth + 1)]
        while self.take(","):
            arguments.append(self.either(depth + 1))
        self.require(")")
        if (function == "abs") != (len(arguments) == 1):
            wanted = "one argument" if function == "abs" else "two arguments or more"
            raise ExpressionError(column, f"{function} needs {wanted}")
        values, types = [a.value for a in arguments], [a.type for a in arguments]

        def check(t: Mapping[str, Type]) -> Type:
            found = [_need_number(of(t), column, function) for of in types]
            for other in found[1:]:
                _same(found[0], other, column, function)
            return found[0]

        if function == "abs":
            return _Node(lambda e: abs(values[0](e)), check)
        pick = min if function == "min" else max
        return _Node(lambda e: pick(v(e) for v in values), check)


def _constant(value: Value, kind: Type) -> _Node:
    return _Node(lambda e: value, lambda t: kind)


def _logic(a: _Node, b: _Node, column: int, word: str, join: Callable[[Any, Any], Callable[[Mapping[str, Value]], Any]]) -> _Node:
    def check(t: Mapping[str, Type]) -> Type:
        _need_truth(a.type(t), column, word)
        return _need_truth(b.type(t), column, word)

    return _Node(join(a.value, b.value), check)


def _compared(a: _Node, b: _Node, column: int, word: str) -> _Node:
    compare, left, right = _COMPARE[word], a.value, b.value

    def check(t: Mapping[str, Type]) -> Type:
        one, other = a.type(t), b.type(t)
        _same(one, other, column, word)
        if isinstance(one, str) and word not in ("==", "!="):
            raise ExpressionError(column, f'"{word}" does not order {one} values')
        return "truth"

    return _Node(lambda e: compare(left(e), right(e)), check)


def _arithmetic(a: _Node, b: _Node, column: int, word: str) -> _Node:
    left, right = a.value, b.value

    def divided(e: Mapping[str, Value]) -> Any:
        over, under = left(e), right(e)
        if under == 0:
            raise ExpressionError(column, "division by zero")
        if word == "/":
            return whole(Fraction(over) / under)
        return over // under if word == "//" else over % under

    def check(t: Mapping[str, Type]) -> Type:
        one, other = _need_number(a.type(t), column, word), _need_number(b.type(t), column, word)
        if word in ("+", "-", "%", "//"):
            _same(one, other, column, word)
            return NUMBER if word == "//" else one
        sign = 1 if word == "*" else -1
        return tuple(x + sign * y for x, y in zip(one, other, strict=True))

    simple: dict[str, Callable[[Mapping[str, Value]], Any]] = {
        "+": lambda e: left(e) + right(e), "-": lambda e: left(e) - right(e), "*": lambda e: left(e) * right(e),
    }  # fmt: skip
    return _Node(simple.get(word, divided), check)


def _need_number(found: Type, column: int, word: str) -> Dims:
    if isinstance(found, str):
        raise ExpressionError(column, f'"{word}" needs numbers, got a {found} value')
    return found


def _need_truth(found: Type, column: int, word: str) -> Type:
    if found != "truth":
        raise ExpressionError(column, f'"{word}" needs conditions, got {describe(found)}')
    return found


def _same(one: Type, other: Type, column: int, word: str) -> None:
    if one != other:
        raise ExpressionError(column, f'"{word}" between {describe(one)} and {describe(other)}')
