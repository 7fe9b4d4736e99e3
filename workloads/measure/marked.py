"""Kernels told apart in a profile: before each call, and after it, a marker kernel that nothing else launches.

Imports no torch: `cuda` is ``torch.cuda``, or what behaves like it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

MARKER = "spin_kernel"
"""Part of the name of the kernel behind ``torch.cuda._sleep``."""
Item = TypeVar("Item")


def mark(cuda: Any) -> None:
    """Launch a marker."""
    cuda._sleep(1)


def between(launched: Iterable[tuple[str, Item]], count: int) -> list[list[tuple[str, Item]]]:
    """What was launched in each of `count` calls, of kernels in order as (name, anything).

    Raises ValueError if there are not two markers a call.
    """
    parts: list[list[tuple[str, Item]]] = [[]]
    for name, item in launched:
        if MARKER in name:
            parts.append([])
        else:
            parts[-1].append((name, item))
    if len(parts) != 2 * count + 1:
        raise ValueError(f"{len(parts) - 1} markers in the profile, expected {2 * count}")
    return parts[1::2]


def shorten(names: Sequence[str], limit: int = 120) -> str:
    """Names of the kernels of one call in the order of launch, without their parameter lists."""
    return " + ".join(name.removeprefix("void ").split("(")[0][:limit] or name[:limit] for name in names)
