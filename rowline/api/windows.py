"""Stretches of a run's time, as a notebook gives them."""

Window = str | tuple[str | int, str | int] | None
"""``"10us:12us"``, or begin and end, each a quantity (``"10 us"``) or whole picoseconds; None: the whole run."""


def window_text(window: Window) -> str | None:
    """A window as ``T0:T1``."""
    if window is None or isinstance(window, str):
        return window
    return ":".join(f"{end} ps" if isinstance(end, int) else end for end in window)
