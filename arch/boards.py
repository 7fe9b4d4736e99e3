"""From the names that logs use to specifications: which GPU a board is, which stack a framework is.

A framework of an unknown version stands for the nearest version of the same family on the same architecture; an unknown one
for the generic stack of the architecture. How a stack was found comes with it, for reports to say.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from .gpu import Architecture, GpuSpec
from .loader import list_gpus, list_stacks, load_gpu, load_stack, nearest
from .stack import StackSpec
from .yamltree import ConfigError, printable

_VERSION = re.compile(r"(.*?)[-=]*(\d+(?:\.\d+)*).*", re.ASCII)


class StackMatch(NamedTuple):
    """A stack, and how it was found: ``exact``, ``nearest version of vllm: vllm-0.24.0``, ``generic for hopper``, ..."""

    stack: StackSpec
    how: str


@lru_cache(maxsize=1)
def board_names() -> dict[str, str]:
    """Name of a board, in small letters -> GPU preset. Names of presets are among them."""
    names: dict[str, str] = {}
    for preset in list_gpus():
        names[preset] = preset
        for board in load_gpu(preset).boards:
            names[board.lower()] = preset
    return names


def gpu_for_board(name: str) -> GpuSpec:
    """The GPU that a log or a driver calls ``name`` (``A100-SXM4-80GB``, ``NVIDIA H200``); case does not matter.

    Raises:
        ConfigError: no GPU has that name.
    """
    known = board_names()
    preset = known.get(name.strip().lower())
    if preset is None:
        raise ConfigError([f'unknown board "{printable(name)}"{nearest(name, known)} Known GPUs: {", ".join(list_gpus())}'])
    return load_gpu(preset)


def split_framework(framework: str) -> tuple[str, tuple[int, ...]]:
    """``vllm-0.24.0`` -> ``("vllm", (0, 24, 0))``; a name without a version has an empty one."""
    match = _VERSION.fullmatch(framework) if len(framework) <= 200 else None
    if match is None:
        return framework, ()
    return match[1], tuple(int(part[:9]) for part in match[2].split("."))


def _distance(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """How far two versions are apart, most significant part first."""
    length = max(len(a), len(b))
    padded = [version + (0,) * (length - len(version)) for version in (a, b)]
    return tuple(abs(x - y) for x, y in zip(*padded, strict=True))


def match_stack(framework: str, architecture: Architecture | str, dtype: str | None = None) -> StackMatch:
    """The stack that stands for a framework on an architecture.

    In this order: a stack that names the framework; one that names another version of it, the nearest; the generic one of the
    architecture; any of the architecture. With ``dtype``, only stacks that have a GEMM menu for it.

    Raises:
        ConfigError: no stack of the architecture, or none with kernels for ``dtype``.
    """
    stacks = [load_stack(name) for name in list_stacks()]
    usable = [s for s in stacks if architecture in s.architectures and (dtype is None or s.gemm.has_menu(dtype))]
    if not usable:
        what = f" with kernels for {printable(dtype)}" if dtype is not None else ""
        raise ConfigError([f"no stack for {printable(str(architecture))}{what}; known: {', '.join(list_stacks())}"])
    for stack in usable:
        if framework in stack.frameworks:
            return StackMatch(stack, "exact")
    family, version = split_framework(framework)
    named = [(split_framework(name), name, stack) for stack in usable for name in stack.frameworks]
    kin = [(_distance(version, other), other, name, stack) for (of, other), name, stack in named if of == family]
    if kin:
        distance = min(each[0] for each in kin)
        _, _, name, stack = max((each for each in kin if each[0] == distance), key=lambda each: each[1:3])  # of two the newer
        return StackMatch(stack, f"nearest version of {family}: {name}")
    for stack in usable:
        if stack.generic:
            return StackMatch(stack, f"generic for {architecture}")
    return StackMatch(usable[0], f"the only kind for {dtype or architecture}")


def stack_for_framework(framework: str, architecture: Architecture | str, dtype: str | None = None) -> StackSpec:
    """As :func:`match_stack`, without the word on how it was found."""
    return match_stack(framework, architecture, dtype).stack
