"""Energy of a channel's DRAM commands and power of its waiting, from the IDD currents of a device. Integers in fJ and uW.

The formulae are those of Micron's TN-41-01 (power of DDR3), with the currents of :class:`~rowline.arch.device.PowerModel`:

- an activation and its precharge: VDD (IDD0 tRC - IDD3N tRAS - IDD2N (tRC - tRAS)), for each bank activated. Nothing where
  that is negative: the IDD3N of DDR5 is measured with all banks open and exceeds IDD0, with one (DDR5 presets, ``pim-gpt``);
- a read or write: VDD (IDD4R or IDD4W - IDD3N) x the time of its burst, for each bank that a command accesses;
- a refresh of all banks: VDD (IDD5B - base) tRFC, refresh management likewise over tRFM;
- a refresh of one bank (or stripe): VDD (IDD5PB - base) tRFCpb; without IDD5PB its share of a refresh of all banks;
- waiting: VDD x IDD3N while a bank is open, IDD2N while none is, IDD3P and IDD2P in power-down, IDD6 in self-refresh. Where
  a device does not say what it draws in power-down or self-refresh, nothing is saved: it draws what it would without.

Commands that only move registers, modes or clocks cost nothing; what the MAC units of PIM do is booked in :mod:`.energy`.

A current is that of one chip, times ``power.devices``, chips of one rank. Where a channel has pseudo-channels it is that of
the whole channel with all of them at work alike, so that each has its share. Power is of one rank (stack ID) of one
pseudo-channel.

``base`` is the current that is booked as waiting while the refresh lasts, so that both together are IDD5B. That is IDD2N
here: the banks are closed. The formula of TN-41-01, and DRAMsim3, subtract IDD3N, though DRAMsim3 books a rank in refresh as
precharged: its sum stays VDD (IDD3N - IDD2N) tRFC below IDD5B. ``refresh_base="idd3n"`` does as they do.

What else is different in DRAMsim3 (its ``configuration.cc``):

- tRC is tRAS + tRP there, and it subtracts IDD2N x tRP; here tRC may be longer, and IDD2N is subtracted for all the rest;
- the time of a burst is its ``burst_cycle``, here nBL, clocks of the data bus (tCCD_S is as long in all presets). Both are
  4 for DDR4. Its GDDR6 takes one cycle for 16 beats, which at eight beats a command clock last two: half of our energy;
- a refresh of one bank has negative energy where IDD5PB is below IDD3N; here it has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arch.device import DramDevice
from ..arch.spec import Command, Level, RowEffect

RefreshBase = Literal["idd2n", "idd3n"]

EVENTS: tuple[str, ...] = ("activate", "read", "write", "refresh")
STATES: tuple[str, ...] = ("active", "precharged", "active_power_down", "precharged_power_down", "self_refresh")
"""Of a rank: a bank is open, none is, power-down with and without an open bank, self-refresh."""


@dataclass(frozen=True)
class EnergyPerEvent:
    """What a device's commands and its waiting cost.

    Attributes:
        per_command: int64[commands] in fJ.
        event: for each command the one of :data:`EVENTS` it is booked under, or "".
        state_uw: int64[len(STATES)], power in uW of one rank of one pseudo-channel.
    """

    per_command: NDArray[np.int64]
    event: tuple[str, ...]
    state_uw: NDArray[np.int64]


def dram_energy(device: DramDevice, refresh_base: RefreshBase = "idd2n") -> EnergyPerEvent:
    """Energy per event of one channel; ``refresh_base``: the current below that of a refresh."""
    commands = device.dram_standard.commands
    events = tuple(_event(command) for command in commands)
    per_command = [_command_fj(device, each, event, refresh_base) for each, event in zip(commands, events, strict=True)]
    unit = 10**6 * device.organization.pseudo_channels.value  # uV x uA = 1e-12 W
    powers = [_nearest(device.power.vdd.value * current, unit) for current in state_currents_ua(device)]
    return EnergyPerEvent(np.array(per_command, np.int64), events, np.array(powers, np.int64))


def energy_by_part_fj(
    device: DramDevice, counts: ArrayLike, state_ticks: ArrayLike, refresh_base: RefreshBase = "idd2n"
) -> dict[str, int]:
    """Energy in fJ by event and state, exactly added.

    Args:
        device: the channel.
        counts: int[commands], commands issued.
        state_ticks: int[..., len(STATES)], ticks spent in each state; leading dimensions are ranks, and are added.
        refresh_base: as for :func:`dram_energy`.

    Returns:
        A value for each of :data:`EVENTS` and :data:`STATES`.

    Raises:
        ValueError: an argument has another shape, or a number in it is negative.
    """
    energy = dram_energy(device, refresh_base)
    issued, ticks = np.asarray(counts, np.int64), np.asarray(state_ticks, np.int64)
    if issued.shape != energy.per_command.shape:
        raise ValueError(f"counts: {len(energy.per_command)} commands are needed, got an array {issued.shape}")
    if ticks.ndim == 0 or ticks.shape[-1] != len(STATES):
        raise ValueError(f"state_ticks: the last dimension must be {len(STATES)}, got an array {ticks.shape}")
    if issued.min(initial=0) < 0 or ticks.min(initial=0) < 0:
        raise ValueError("counts and state_ticks must not be negative")
    parts = dict.fromkeys(EVENTS + STATES, 0)
    for event, number, each in zip(energy.event, issued.tolist(), energy.per_command.tolist(), strict=True):
        if event:
            parts[event] += number * each
    spent: Sequence[int] = ticks.reshape(-1, len(STATES)).sum(axis=0).tolist()
    for state, current, number in zip(STATES, state_currents_ua(device), spent, strict=True):
        parts[state] = _fj(device, current, number)
    return parts


def total_energy_fj(device: DramDevice, counts: ArrayLike, state_ticks: ArrayLike, refresh_base: RefreshBase = "idd2n") -> int:
    """The sum of :func:`energy_by_part_fj`."""
    return sum(energy_by_part_fj(device, counts, state_ticks, refresh_base).values())


def state_currents_ua(device: DramDevice) -> tuple[int, ...]:
    """Currents in uA of all chips of a rank (of all pseudo-channels together), one for each of :data:`STATES`."""
    p = device.power
    idd3p, idd2p = p.idd3p or p.idd3n, p.idd2p or p.idd2n
    currents = (p.idd3n, p.idd2n, idd3p, idd2p, p.idd6 or idd2p)
    return tuple(current.value * p.devices.value for current in currents)


def column_fj(device: DramDevice, write: bool, cycles: int) -> int:
    """Energy of reading or writing at full rate for ``cycles`` ticks, above active standby."""
    p = device.power
    current = (p.idd4w if write else p.idd4r).value - p.idd3n.value
    return _fj(device, current * p.devices.value, cycles)


def _event(command: Command) -> str:
    if command.row == RowEffect.OPEN:
        return "activate"
    if command.is_a("ref"):
        return "refresh"
    if command.row in (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE):
        return "write" if command.name.startswith("WR") else "read"
    return ""


def _command_fj(device: DramDevice, command: Command, event: str, refresh_base: RefreshBase) -> int:
    banks = len(device.organization.touched(command, 0))
    if event == "activate":
        return banks * _activation_fj(device)
    if event == "refresh":
        return _refresh_fj(device, command, banks, refresh_base)
    return banks * column_fj(device, event == "write", device.params["nBL"]) if event else 0


def _activation_fj(device: DramDevice) -> int:
    """One bank, opened and closed. Charge is summed before it is rounded."""
    n, p = device.params, device.power
    charge = p.idd0.value * n["nRC"] - p.idd3n.value * n["nRAS"] - p.idd2n.value * (n["nRC"] - n["nRAS"])
    return max(0, _fj(device, charge * p.devices.value, 1))


def _refresh_fj(device: DramDevice, command: Command, banks: int, refresh_base: RefreshBase) -> int:
    n, p, org = device.params, device.power, device.organization
    base = (p.idd2n if refresh_base == "idd2n" else p.idd3n).value
    kind = "nRFM" if command.name.startswith("RFM") else "nRFC"
    if command.is_a("ref_one") and p.idd5pb is not None:
        return max(0, _fj(device, (p.idd5pb.value - base) * p.devices.value, n[kind + "pb"]))
    whole = _fj(device, (p.idd5b.value - base) * p.devices.value * org.pseudo_channels.value, n[kind + "ab"])
    return max(0, whole * banks // (org.banks_at(Level.RANK) * org.pseudo_channels.value))


def _fj(device: DramDevice, current_ua: int, cycles: int) -> int:
    """Energy in fJ, to the nearest, of a current (of all pseudo-channels together) over a number of ticks, of one of them."""
    femto = 1000 * device.power.vdd.value * current_ua * cycles  # uV x uA / Hz = 1e-12 J
    return _nearest(femto, device.device_clock.freq_hz * device.organization.pseudo_channels.value)


def _nearest(number: int, divisor: int) -> int:
    return (2 * number + divisor) // (2 * divisor)
