"""Stretches of a run's time and channels, as a notebook gives them."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from rowline.arch.yamltree import ConfigError, printable

Window = str | tuple[str | int | None, str | int | None] | None
"""``"10us:12us"``, or begin and end, each a quantity (``"10 us"``), whole picoseconds, or None; None: the whole run."""


def window_text(window: Window) -> str | None:
    """A window as ``T0:T1``.

    Raises:
        ConfigError: it is none.
    """
    if window is None or isinstance(window, str):
        return window
    try:
        begin, end = window
    except (TypeError, ValueError):
        raise ConfigError([f'window {printable(repr(window))}: expected "T0:T1", or begin and end']) from None
    return f"{_end(begin)}:{_end(end)}"


def _end(end: Any) -> str:
    if end is None:
        return ""
    if isinstance(end, Integral):
        return f"{int(end)} ps"
    if isinstance(end, str):
        return end
    raise ConfigError([f'window: {printable(repr(end))} is neither a quantity such as "10 us" nor whole picoseconds'])


def channel_numbers(channels: int | Iterable[int], there: int) -> tuple[int, ...]:
    """Numbers of channels, in order, each once.

    Raises:
        ConfigError: something is no channel, or there is none.
    """
    given = [channels] if isinstance(channels, Integral) else list(channels) if isinstance(channels, Iterable) else [channels]
    if not given or not all(isinstance(c, Integral) and 0 <= int(c) < there for c in given):
        raise ConfigError([f"channels {printable(repr(given), 200)}: expected numbers from 0 to {there - 1}"])
    return tuple(sorted({int(c) for c in given if isinstance(c, Integral)}))
