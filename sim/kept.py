"""Where simulations that differ in little keep what they would make again: found by its content, never changed."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Keeper(Protocol):
    """Keeps things by key. Keys hold all that a thing depends on, so that what is kept equals what would be made."""

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What was made for an equal key before, or what ``make`` makes now."""
        ...


class Anew:
    """Keeps nothing."""

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What ``make`` makes."""
        return make()
