"""The devices on which the conformance kit runs: found in the registry and the presets, so that a new one needs no edit here.

Of each standard the first preset (PIM presets all), and the same with two ranks where the standard has rules between ranks
and the preset has one; each in every refresh mode that it supports.
"""

from functools import cache

from pydantic import ValidationError
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import list_devices, list_presets, load_device, load_system
from rowline.arch.standards import STANDARDS

MODES = tuple(RefreshMode)
TWO_RANKS = "-x2"


def refresh_mode(device: DramDevice, mode: RefreshMode) -> DramDevice:
    """A copy of ``device`` that refreshes in another way."""
    refresh = device.refresh.model_copy(update={"mode": mode})
    return DramDevice.model_validate(device.model_copy(update={"refresh": refresh}).model_dump())


def supports(device: DramDevice, mode: RefreshMode) -> bool:
    """Whether a device can be refreshed so."""
    try:
        refresh_mode(device, mode)
    except ValidationError:
        return False
    return True


@cache
def first_of(standard: str) -> str:
    """The preset that stands for a standard."""
    return next(name for name in list_devices() if load_device(name).standard == standard)


def _names() -> list[str]:
    names = list[str]()
    for standard in STANDARDS.values():
        presets = [name for name in list_presets("pim") if load_device(name).standard == standard.name]
        names += presets or [first_of(standard.name)]
        ranks = load_device(names[-1]).organization.ranks.value
        if ranks == 1 and any(rule.sibling for rule in standard.rules):
            names.append(names[-1] + TWO_RANKS)
    return names


@cache
def device(name: str, mode: RefreshMode | None = None) -> DramDevice:
    """A device by the name of its preset, its standard, or a system; ``mode`` replaces its refresh mode."""
    if mode is not None:
        return refresh_mode(device(name), mode)
    if name.endswith(TWO_RANKS):
        return load_device(name.removesuffix(TWO_RANKS), ("organization.ranks=2",))
    if name in STANDARDS:
        return load_device(first_of(name))
    return load_device(name) if name in list_devices() else load_system(name).device


@cache
def widest(standard: str) -> DramDevice:
    """The device of a standard with most ranks: all of its rules can hold there."""
    return max((device(name) for name in NAMES if device(name).standard == standard), key=lambda each: each.organization.banks)


NAMES = tuple(_names())
CASES = [(name, mode) for name in NAMES for mode in MODES if supports(device(name), mode)]
