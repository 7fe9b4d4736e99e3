"""The devices on which the conformance kit runs."""

from functools import cache

from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import PRESETS, apply_sets, build, expand, load_system
from rowline.arch.yamltree import read_yaml

from .directed import refresh_mode

NAMES = ("aim", "pim-gpt", "gddr6")
MODES = tuple(RefreshMode)
CASES = [(name, mode) for name in NAMES for mode in MODES]

PLAIN_SETS = ("timing.tRAS=33.5 ns",)
"""The plain preset alone does not validate: its tRAS and tRP, each rounded up, are one cycle longer than its tRC."""


@cache
def device(name: str, mode: RefreshMode | None = None) -> DramDevice:
    """The channel of a system preset, or plain GDDR6 without PIM commands; ``mode`` replaces its refresh mode."""
    if mode is not None:
        return refresh_mode(device(name), mode)
    if name == "gddr6":
        tree = expand(read_yaml(PRESETS / "dram" / "gddr6-8gb-1250mv.yaml"))
        return build(DramDevice, apply_sets(tree, PLAIN_SETS))
    return load_system(name).device
