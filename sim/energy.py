"""Counters x energy per event. Integers in femtojoules, so that no order of summation matters.

Per command, from the currents of one channel (JEDEC IDD conditions):

- an activation and its precharge: VDD (IDD0 tRC - IDD3N tRAS - IDD2N (tRC - tRAS)), for each bank activated;
- a read or write column: VDD (IDD4R or IDD4W - IDD3N) x tCCDS; copies between bank and buffer likewise;
- an all-bank MAC column: ``mac_to_read_energy`` x VDD (IDD4R - IDD3N) x tCCDL, plus ``mac_power`` while the MAC units work;
  a MAC on fewer banks in proportion; EWMUL16 a quarter, AF16 sixteen reads (as CENT books them);
- a refresh: VDD (IDD5B - IDD2N) tRFC; a per-bank refresh one over the number of banks of that;
- background: VDD IDD3N while any bank of the channel is open, VDD IDD2N else;
- the link: ``energy`` x the bits of each burst on the data bus;
- the ASIC: active power for the cycles in which it works, idle power for the rest.

Buffer and register access inside the device is not booked: no source gives it apart from the MAC.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arch.device import DramDevice
from ..arch.spec import RowEffect
from ..arch.system import System

COMPONENTS: tuple[str, ...] = ("activate", "read_write", "mac_array", "mac_logic", "refresh", "link")
_PER_FJ = 10**9  # uV x uA x ps = 1e-24 J


@dataclass(frozen=True)
class EnergyTable:
    """Energy of one command by component, int64[commands, components] in fJ, and background power in uW a channel."""

    per_command: NDArray[np.int64]
    active_uw: int
    precharged_uw: int


def energy_table(system: System) -> EnergyTable:
    """Energy per event of a system."""
    device = system.device
    standard, power = device.dram_standard, device.power
    table = np.zeros((len(standard.commands), len(COMPONENTS)), np.int64)
    bits = device.organization.access_size.value * 8
    for i, command in enumerate(standard.commands):
        banks = len(device.organization.touched(command, 0))
        if command.row == RowEffect.OPEN:
            table[i, COMPONENTS.index("activate")] = banks * _activation_fj(device)
        elif command.row == RowEffect.REFRESH:
            share = device.organization.banks // banks
            refresh = _fj(device, power.idd5b.value - power.idd2n.value, device.params["nRFCab"])
            table[i, COMPONENTS.index("refresh")] = refresh // share
        elif command.row in (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE):
            _book_access(device, command.name, banks, table[i])
        if command.bus:
            table[i, COMPONENTS.index("link")] = bits * system.link.energy.value
    vdd = power.vdd.value
    return EnergyTable(table, vdd * power.idd3n.value // 10**6, vdd * power.idd2n.value // 10**6)


def _book_access(device: DramDevice, name: str, banks: int, row: NDArray[np.int64]) -> None:
    read = _fj(device, device.power.idd4r.value - device.power.idd3n.value, device.params["nCCDS"])
    write = _fj(device, device.power.idd4w.value - device.power.idd3n.value, device.params["nCCDS"])
    pim = device.pim
    if pim is not None and (name.startswith("MAC") or name == "EWMUL16"):
        column = _fj(device, device.power.idd4r.value - device.power.idd3n.value, device.params["nCCDL"])
        all_banks = column * pim.mac_to_read_energy.value // 1000
        share = banks if name.startswith("MAC") else device.organization.banks // 4
        row[COMPONENTS.index("mac_array")] = all_banks * share // device.organization.banks
        logic = pim.mac_power.value * _cycles_ps(device, device.params["nMAC"]) // 1000  # uW x ps = 1e-18 J
        row[COMPONENTS.index("mac_logic")] = logic * share // device.organization.banks
    else:
        each = write if name.startswith("WR") else read
        row[COMPONENTS.index("read_write")] = each * banks


def _cycles_ps(device: DramDevice, cycles: int) -> int:
    return device.device_clock.edge_ps(cycles)


def _fj(device: DramDevice, current_ua: int, cycles: int) -> int:
    """Energy in fJ of a current over a number of device cycles."""
    return device.power.vdd.value * current_ua * _cycles_ps(device, cycles) // _PER_FJ


def _activation_fj(device: DramDevice) -> int:
    n, p = device.params, device.power
    charge = p.idd0.value * n["nRC"] - p.idd3n.value * n["nRAS"] - p.idd2n.value * (n["nRC"] - n["nRAS"])
    return max(0, p.vdd.value * charge * _cycles_ps(device, 1000) // 1000 // _PER_FJ)

