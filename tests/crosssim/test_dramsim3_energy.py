"""Energies that DRAMsim3 (commit 2981759) printed, from its own command counts, cycles of each state, currents and timing.

DRAMsim3 prints VDD x I x cycles (V x mA x ck), which times tCK in ns is pJ. Its device is built here from the values of the
case. At a clock of 1 GHz its figures are pJ as they stand and all of them must come out to the last fJ; at its own tCK, which is
no whole number of hertz, to a millionth, where 1 % was asked for.

Two things are done as DRAMsim3 does them: refresh is booked above IDD3N, and a burst of its GDDR6 takes one cycle (16 beats
a clock). ``test_what_is_different_here`` says what our own presets make of the same.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.sim.dram_energy import EVENTS, STATES, dram_energy, energy_by_part_fj, total_energy_fj

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram" / "dramsim3"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")

CONFIGS = {"ddr4_3200": "ddr4-3200", "gddr6": "gddr6-14000", "gddr6_close": "gddr6-14000"}
CASES = [
    (config, case)
    for config in CONFIGS
    for case in (json.loads((DATA / f"{config}.json").read_text())["cases"] if DATA.is_dir() else ["none"])
]
OUR_NAMES = {
    "activate": "ACT",
    "precharge": "PRE",
    "read": "RD",
    "write": "WR",
    "read_p": "RDA",
    "write_p": "WRA",
    "refresh": "REFab",
}
PRINTED = {
    "activate": "act_energy",
    "read": "read_energy",
    "write": "write_energy",
    "refresh": "ref_energy",
    "active": "act_stb_energy",
    "precharged": "pre_stb_energy",
}


def load(config: str) -> dict[str, Any]:
    return json.loads((DATA / f"{config}.json").read_text())


def device_of(config: str, clock_hz: int, **changes: str) -> DramDevice:
    """The device of a configuration; what no formula of energy uses stays as in our preset, where its lint allows."""
    peer = load(config)
    t, power, org = peer["effective_timing"], peer["config"]["power"], peer["config"]["dram_structure"]
    width = int(peer["config"]["system"]["bus_width"])
    bytes_per_burst = peer["bytes_per_request"]
    pin_rate = bytes_per_burst * 8 * clock_hz // (width * t["burst_cycle"])
    sets = {
        "clock": f"{clock_hz} Hz",
        "bus.width": str(width),
        "bus.pin_rate": f"{pin_rate} b/s",
        "timing.tRC": f"{t['tRC']:.0f} ck",
        "timing.tRAS": f"{t['tRAS']:.0f} ck",
        "timing.tRP": f"{t['tRP']:.0f} ck",
        "timing.tRFCab": f"{t['tRFC']:.0f} ck",
        "refresh.interval": "20 us",
        "power.vdd": f"{power['VDD']} V",
        "power.devices": str(width // int(org["device_width"])),
        "power.idd5b": f"{power['IDD5AB']} mA",
        "power.idd6": f"{power['IDD6x']} mA",
    }
    for name in ("IDD0", "IDD2N", "IDD2P", "IDD3N", "IDD3P", "IDD4R", "IDD4W"):
        sets[f"power.{name.lower()}"] = f"{power[name]} mA"
    if "tRFCb" not in t["defaulted_by_simulator"]:
        sets |= {"timing.tRFCpb": f"{t['tRFCb']:.0f} ck", "power.idd5pb": f"{power['IDD5PB']} mA"}
    sets |= changes
    return load_device(CONFIGS[config], [f"{key}={value}" for key, value in sets.items()])


def work_of(device: DramDevice, run: dict[str, Any]) -> tuple[list[int], list[list[int]]]:
    """Commands issued, and ticks of each state of each rank."""
    counts = [0] * len(device.dram_standard.commands)
    for name, number in run["cmd_counts"].items():
        counts[device.dram_standard.index[OUR_NAMES[name]]] = number
    ticks = [[run["rank_active_cycles"][rank], run["all_bank_idle_cycles"][rank], 0, 0, 0] for rank in run["rank_active_cycles"]]
    return counts, ticks


def printed_of(run: dict[str, Any]) -> dict[str, float]:
    """The printed energies under our names; per-bank refresh never came up."""
    assert run["refb_energy"] == 0 and run["num_refb_cmds"] == 0
    return {ours: sum(run[name].values()) if isinstance(run[name], dict) else run[name] for ours, name in PRINTED.items()}


def tck_ns(config: str) -> Fraction:
    return Fraction(load(config)["config"]["timing"]["tCK"])


@pytest.mark.parametrize(("config", "case"), CASES)
def test_energies_are_those_printed(config: str, case: str) -> None:
    run = load(config)["cases"][case]
    printed, tck = printed_of(run), tck_ns(config)

    unit = device_of(config, 10**9)
    parts = energy_by_part_fj(unit, *work_of(unit, run), refresh_base="idd3n")
    assert parts == {name: round(printed.get(name, 0) * 1000) for name in EVENTS + STATES}
    assert sum(parts.values()) == round(run["total_energy"] * 1000)

    real = device_of(config, round(10**9 / tck))
    parts = energy_by_part_fj(real, *work_of(real, run), refresh_base="idd3n")
    for name, value in printed.items():
        assert parts[name] == pytest.approx(value * float(tck) * 1000, rel=1e-6), name
    total = total_energy_fj(real, *work_of(real, run), refresh_base="idd3n")
    assert total == sum(parts.values()) == pytest.approx(run["total_energy"] * float(tck) * 1000, rel=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_different_here(config: str) -> None:
    """Refresh above IDD2N, so that the background under it and it come to IDD5B; a burst of GDDR6 of two cycles."""
    peer = load(config)
    t, power = peer["effective_timing"], {key: float(value) for key, value in peer["config"]["power"].items()}
    unit = device_of(config, 10**9)
    index, chips = unit.dram_standard.index, unit.power.devices.value
    per_command = dram_energy(unit).per_command
    waiting = power["VDD"] * power["IDD2N"] * t["tRFC"] * chips
    assert per_command[index["REFab"]] == round(1000 * (power["VDD"] * power["IDD5AB"] * t["tRFC"] * chips - waiting))
    ours = dram_energy(device_of(config, 10**9, **{"bus.pin_rate": "8 Gb/s" if "gddr6" in config else "2 Gb/s"})).per_command
    factor = 2 if "gddr6" in config else 1
    assert ours[index["RD"]] == factor * per_command[index["RD"]]
    assert ours[index["WR"]] == factor * per_command[index["WR"]]
    if "gddr6" in config:  # IDD5PB is 45 mA, below both standby currents
        assert per_command[index["REFpb"]] == 0
