"""Lint of one DRAM device: what a preset must satisfy, beyond what :class:`DramDevice` refuses outright.

The rules are cheap and found live oddities in the presets of other simulators (facts: Ramulator 2.1's tRRD_L below its
tRRD_S at DDR5-3200, tRC below tRAS + tRP for GDDR6, tRFCpb above tRFCab for small HBM). A problem is something no part can
have; a note is something that a reader of the results should know.
"""

from collections.abc import Iterator
from fractions import Fraction

from .device import DramDevice
from .spec import Level
from .standards.common import MEANING
from .units import Clock

ORDERED = (
    ("CCDS", "CCDL"), ("RRDS", "RRDL"), ("WTRS", "WTRL"), ("CCDL", "CCDLWR"), ("RP", "RPab"), ("RFCpb", "RFCab"),
    ("RFMpb", "RFMab"), ("RREFD", "RFCpb"), ("RFCab", "XS"),
)  # fmt: skip
"""Pairs of timing parameters, where a standard has them, of which the first may not be above the second."""

OVERHEAD = (Fraction(1, 100), Fraction(20, 100))
"""Share of time under all-bank refresh that is taken for plausible."""


def lint(device: DramDevice) -> list[str]:
    """Problems of ``device``, one text each; an empty list if there are none."""
    return [*_timing(device), *_bus(device), *_capacity(device), *_refresh(device)]


def notes(device: DramDevice) -> list[str]:
    """What holds, but should be known."""
    n = device.params
    found: list[str] = []
    if "nFAW" in n and n["nFAW"] <= 4 * n["nRRDS"]:
        found.append(f"tFAW: {n['nFAW']} is no more than 4 tRRDS, {4 * n['nRRDS']}: inert")
    if device.organization.rank_size is None:
        found.append("organization.rank_size: not given, so the capacity is not checked")
    return found


def _timing(device: DramDevice) -> Iterator[str]:
    n = device.params
    for first, second in ORDERED:
        low, high = n.get(f"n{first}"), n.get(f"n{second}")
        if low is not None and high is not None and low > high:
            yield f"t{first}: {low} is above t{second}, {high}"
    if n["nRC"] < n["nRAS"] + n["nRP"]:
        yield f"tRC: {n['nRC']} is below tRAS + tRP, {n['nRAS'] + n['nRP']}"
    if n["nCCDS"] < n["nBL"]:
        yield f"tCCDS: {n['nCCDS']} is below the burst, {n['nBL']}"
    for name in sorted(device.timing.keys() & MEANING.keys()):
        if n["n" + name[1:]] <= 0:
            yield f"{name}: nothing was given"


def _bus(device: DramDevice) -> Iterator[str]:
    beats = Fraction(device.bus.pin_rate.value, device.clock.value)
    if beats.denominator != 1 or int(beats) not in (1, 2, 4, 8, 16):
        yield f"bus.pin_rate: {float(beats):g} beats a clock"
    burst = Fraction(device.organization.access_size.value * 8, device.bus.width.value)
    if burst.denominator != 1 or int(burst) & (int(burst) - 1):
        yield f"bus.width: a burst of {float(burst):g} beats"
    # the derived burst length, against the bandwidth of the pins
    bits = device.organization.access_size.value * 8 * device.device_clock.freq_hz
    if bits != device.params["nBL"] * device.bus.bandwidth_bits_per_s:
        yield f"bus: {device.params['nBL']} cycles a burst are not width x pin_rate"


def _capacity(device: DramDevice) -> Iterator[str]:
    org = device.organization
    levels = org.banks_at(Level.RANK) * org.rows.value * org.row_size.value
    if org.rank_size is not None and org.rank_size.value != levels:
        yield f"organization.rank_size: {org.rank_size.text}, but its levels come to {levels / 2**20:g} MiB"


def _refresh(device: DramDevice) -> Iterator[str]:
    interval = device.refresh.interval.cycles_floor(Clock(device.clock.value)) * device.dram_standard.ticks_per_clock
    busy = device.params["nRFCab"]
    low, high = OVERHEAD
    if busy >= interval:
        yield f"tRFCab: {busy} is not below the refresh interval, {interval}"
    elif not low <= Fraction(busy, interval) <= high:
        yield f"tRFCab: refresh takes {busy / interval:.1%} of the time"
