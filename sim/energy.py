"""Counters x energy per event of a system with PIM. Integers in femtojoules, so that no order of summation matters.

Per command:

- activations, columns and refreshes of the DRAM, and its background: :mod:`.dram_energy`; copies between bank and buffer
  cost what a read or write of the bank costs;
- an all-bank MAC column: ``mac_to_read_energy`` x VDD (IDD4R - IDD3N) x tCCDL, plus ``mac_power`` while the MAC units work;
  a MAC on fewer banks in proportion; EWMUL16 a quarter, AF16 sixteen reads (as CENT books them);
- the link: ``energy`` x the bits of each burst on the data bus;
- the ASIC: active power for the cycles in which it works, idle power for the rest.

Buffer and register access inside the device is not booked: no source gives it apart from the MAC.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arch.device import DramDevice
from ..arch.system import System
from .dram_energy import STATES, column_fj, dram_energy, state_currents_ua

COMPONENTS: tuple[str, ...] = ("activate", "read_write", "mac_array", "mac_logic", "refresh", "link")
_OF_EVENT = {"activate": "activate", "read": "read_write", "write": "read_write", "refresh": "refresh"}


@dataclass(frozen=True)
class EnergyTable:
    """Energy of one command by component, int64[commands, components] in fJ, and background power in uW a channel."""

    per_command: NDArray[np.int64]
    active_uw: int
    precharged_uw: int


def energy_table(system: System) -> EnergyTable:
    """Energy per event of a system."""
    device = system.device
    commands, dram = device.dram_standard.commands, dram_energy(device)
    table = np.zeros((len(commands), len(COMPONENTS)), np.int64)
    bits = device.organization.access_size.value * 8
    for i, command in enumerate(commands):
        if device.pim is not None and (command.name.startswith("MAC") or command.name == "EWMUL16"):
            array, logic = _mac_fj(device, command.name, len(device.organization.touched(command, 0)))
            table[i, COMPONENTS.index("mac_array")], table[i, COMPONENTS.index("mac_logic")] = array, logic
        elif dram.event[i]:
            table[i, COMPONENTS.index(_OF_EVENT[dram.event[i]])] = dram.per_command[i]
        if command.bus:
            table[i, COMPONENTS.index("link")] = bits * system.link.energy.value
    active, precharged = (_channel_uw(device, state) for state in ("active", "precharged"))
    return EnergyTable(table, active, precharged)


def _channel_uw(device: DramDevice, state: str) -> int:
    """Power of all ranks of a channel in one state."""
    current = state_currents_ua(device)[STATES.index(state)]
    return device.power.vdd.value * current * device.organization.ranks.value // 10**6


def _mac_fj(device: DramDevice, name: str, banks: int) -> tuple[int, int]:
    """Energy of the array and of the logic for one column of a MAC command on ``banks`` banks, or of EWMUL16."""
    pim = device.pim
    assert pim is not None
    all_banks = column_fj(device, False, device.params["nCCDL"]) * pim.mac_to_read_energy.value // 1000
    logic = pim.mac_power.value * device.device_clock.edge_ps(device.params["nMAC"]) // 1000  # uW x ps = 1e-18 J
    share = banks if name.startswith("MAC") else device.organization.banks // 4
    return all_banks * share // device.organization.banks, logic * share // device.organization.banks
