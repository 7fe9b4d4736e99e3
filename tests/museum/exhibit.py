"""The museum: bugs that escaped from other simulators, each with a check that ours passes and a copy with the bug does not.

An exhibit runs one check twice: on what we have, and on the same with the bug seeded and nothing else changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest


class Caught(AssertionError):
    """What a check raises; no other error counts as a bug that was noticed."""


def claim(holds: bool, otherwise: str) -> None:
    """A check's one statement, and what is wrong if it does not hold."""
    if not holds:
        raise Caught(otherwise)


@dataclass(frozen=True)
class Exhibit:
    """A bug of a peer.

    Attributes:
        name: in tests and in ``docs/museum.md``.
        peer: who had it, and where that is told: an issue thread, or a numbered finding of our fact files.
        wrong: what went wrong there.
        test: what ``check`` asks for.
        check: raises :class:`Caught` where the bug is.
        ours, seeded: what is checked: ours, and a copy with the bug.
    """

    name: str
    peer: str
    wrong: str
    test: str
    check: Callable[[Any], None]
    ours: Callable[[], Any]
    seeded: Callable[[], Any]


@cache
def caught(exhibit: Exhibit) -> str:
    """What the check says of the seeded copy; "" if it says nothing."""
    try:
        exhibit.check(exhibit.seeded())
    except Caught as found:
        return str(found)
    return ""


def hall(exhibits: Sequence[Exhibit]) -> tuple[Callable[[Exhibit], None], Callable[[Exhibit], None]]:
    """The two tests of these exhibits."""
    each = pytest.mark.parametrize("exhibit", exhibits, ids=[exhibit.name for exhibit in exhibits])

    @each
    def ours(exhibit: Exhibit) -> None:
        exhibit.check(exhibit.ours())

    @each
    def seeded(exhibit: Exhibit) -> None:
        assert caught(exhibit) != "", "the seeded bug goes unnoticed"

    return ours, seeded
