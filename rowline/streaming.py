"""Stream one weight matrix through the MAC units: achieved bandwidth and where the rest went, cause by cause."""

from collections.abc import Sequence
from typing import Any

from rowline.arch.loader import load_system, nearest
from rowline.arch.yamltree import ConfigError

REMOVABLE: dict[str, tuple[str, ...]] = {
    "activate": ("device.timing.tRCDMAC=0 ns", "device.timing.tRAS=0 ns"),
    "read_to_precharge": ("device.timing.tRTP=0 ns",),
    "precharge": ("device.timing.tRP=0 ns",),
    "refresh": ("device.refresh.mode=off",),
    "buffer_io": (
        "device.pim.reset_by_write=false", "device.timing.tMACRD=0 ns", "device.timing.tGBRD=0 ns",
        "device.timing.tWRMACMAC=0 ns",
    ),
    "turnaround": ("device.timing.tBTA=0 ns", "device.timing.tWTRS=0 ns", "device.timing.tWTRL=0 ns"),
    "mode_switch": ("device.timing.tMODCH=0 ns", "device.timing.tMACMOD=0 ns"),
}  # fmt: skip
"""Cause -> overrides that take it out; tRC follows, see ``_overrides``."""


def stream_weights(
    arch: str, sets: Sequence[str], outputs: int, inputs: int, without: Sequence[str]
) -> dict[str, Any]:
    """Multiply a weight matrix [outputs, inputs] once, the vector being there from the start.

    Raises:
        ConfigError: unknown arch, key or cause, or a matrix that does not fit.
    """
    for cause in without:
        if cause not in REMOVABLE:
            hint = nearest(cause, REMOVABLE)
            raise ConfigError([f"--without {cause}: unknown cause{hint} Known: {', '.join(REMOVABLE)}"])
    if not (1 <= outputs <= 2**24 and 1 <= inputs <= 2**24):
        raise ConfigError(["--outputs and --inputs: must lie between 1 and 2^24"])
    system = load_system(arch, [*sets, *_overrides(arch, sets, without)])
    from rowline.sim.weight_stream import run_weight_stream

    return {**run_weight_stream(system, outputs, inputs), "without": list(without), "removable": list(REMOVABLE)}


def _overrides(arch: str, sets: Sequence[str], without: Sequence[str]) -> list[str]:
    """Overrides that take the causes out; tRC follows tRAS + tRP."""
    plain = [text for cause in without for text in REMOVABLE[cause]]
    if not {"activate", "precharge"} & set(without):
        return plain
    timing = load_system(arch, tuple(sets)).device.timing
    t_ras = "0 ns" if "activate" in without else timing["tRAS"].text
    t_rp = "0 ns" if "precharge" in without else timing["tRP"].text
    both = {"activate", "precharge"} <= set(without)
    t_rc = "0 ns" if both else t_rp if "activate" in without else t_ras
    return [*plain, f"device.timing.tRC={t_rc}"]
