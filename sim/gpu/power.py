"""The clock that follows power: a kernel that would need more than the board's cap runs at the cap.

A call needs the energy of its multiply-adds and of the bytes that it moves, beside what the board draws all the time. Where
that over the call's time is above what the cap leaves, the governor lowers the clock, and the voltage with it, until it is
not. The governor looks at the mean over a window: a loop shorter than that is not held back, and of a longer one what comes
after the window.
"""

from .engine import GridResult
from .loop import Loop
from .machine import Chip

VOLTAGE_FLOOR = 0.5
"""Voltage towards which it falls with the clock, as a share of that of the highest clock. FITTED: NeuSight's fp32 products on
A100 PCIe 40 and 80 GB, and on T4 by itself (0.54); see docs/gpu-gemm-kinds.md."""


def dynamic_joules(chip: Chip, dtype: str, macs: float, dram_bytes: float, activity: float) -> float:
    """Energy of a call beyond what the board draws all the time.

    ``activity``: energy of a multiply-add on these operands, over that on normally distributed ones.
    """
    each = chip.mac_pj if dtype in chip.tensor_macs else chip.lane_pj
    return (macs * each.get(dtype, 0.0) * activity + dram_bytes * chip.byte_pj) * 1e-12


def dram_us(chip: Chip, result: GridResult) -> float:
    """Time that the DRAM alone takes for a launch's bytes, which does not follow the SM clock."""
    return (result.dram_read_bytes / chip.dram_read_hz + result.dram_write_bytes / chip.dram_write_hz) * 1e6


def capped_us(us: float, memory_us: float, joules: float, chip: Chip, loop: Loop) -> float:
    """Time of a call of ``us`` at the highest clock, with the power cap; of it the DRAM alone takes ``memory_us``."""
    slow = sustained_us(us, memory_us, joules, chip)
    return us + (slow - us) * (1.0 if loop.sustained else _held_back(us, chip.governor_us, loop))


def _held_back(us: float, window_us: float, loop: Loop) -> float:
    """Share of the timed calls that come after the governor's window."""
    begin, end = loop.warm_calls * us, (loop.warm_calls + loop.timed_calls) * us
    return min(1.0, max(0.0, (end - max(begin, window_us)) / (end - begin)))


def sustained_us(us: float, memory_us: float, joules: float, chip: Chip) -> float:
    """Time of a call, over and over, at the clock that holds the cap; ``us`` and ``joules`` are those of the highest clock.

    Voltage falls with the clock, energy with its square; what the DRAM takes, ``memory_us``, does not follow the clock.
    """
    room = (chip.power_cap_w - chip.static_w) * 1e-6

    def holds(share: float) -> bool:
        voltage = VOLTAGE_FLOOR + (1 - VOLTAGE_FLOOR) * share
        return joules * voltage**2 <= room * max(us / share, memory_us)

    if holds(1.0):
        return us
    low, high = 0.05, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return max(us / low, memory_us)
