"""Energy per DRAM command by hand, for every preset, and how counts and times add up."""

from fractions import Fraction

import numpy as np
import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import list_devices, load_device
from rowline.arch.spec import Level
from rowline.sim.dram_energy import EVENTS, STATES, dram_energy, energy_by_part_fj, total_energy_fj

DDR4, DDR5, HBM2 = (load_device(name) for name in ("ddr4-3200", "ddr5-4800", "hbm2e-3200"))


def command_fj(device: DramDevice, name: str, **options: str) -> int:
    return int(dram_energy(device, **options).per_command[device.dram_standard.index[name]])  # pyright: ignore[reportArgumentType]


def test_ddr4_by_hand() -> None:
    """ddr4-3200: 1.2 V, 0.625 ns, eight chips; in V x mA x ns = pJ."""
    assert command_fj(DDR4, "ACT") == 1000 * 1.2 * (57 * 74 - 52 * 52 - 37 * 22) * 0.625 * 8
    assert command_fj(DDR4, "RD") == command_fj(DDR4, "RDA") == 1000 * 1.2 * (168 - 52) * 4 * 0.625 * 8
    assert command_fj(DDR4, "WR") == command_fj(DDR4, "WRA") == 1000 * 1.2 * (150 - 52) * 4 * 0.625 * 8
    assert command_fj(DDR4, "REFab") == 1000 * 1.2 * (250 - 37) * 350 * 8
    assert command_fj(DDR4, "REFab", refresh_base="idd3n") == 1000 * 1.2 * (250 - 52) * 350 * 8
    assert [command_fj(DDR4, name) for name in ("PRE", "PREA", "PDE", "PDX", "SRE", "SRX")] == [0] * 6
    assert dram_energy(DDR4).state_uw.tolist() == [1200 * 8 * current for current in (52, 37, 43, 25, 30)]


def test_refresh_of_one_bank_has_its_own_current_or_its_share() -> None:
    n = DDR5.params["nRFCpb"]
    expected = Fraction(11, 10) * (135 - 92) * 4 * n * Fraction(10**6, 2400)  # mA x V x ns, in fJ
    assert command_fj(DDR5, "REFsb") == round(expected)
    lpddr = load_device("lpddr5-6400")
    assert command_fj(lpddr, "REFpb") == command_fj(lpddr, "REFab") // 16
    assert command_fj(lpddr, "RFMab") == command_fj(lpddr, "REFab")


def test_pseudo_channels_share_the_currents_of_their_channel() -> None:
    whole = HBM2.power
    assert HBM2.organization.pseudo_channels.value == 2
    power = dram_energy(HBM2).state_uw
    assert power[0] == whole.vdd.value * whole.idd3n.value // (2 * 10**6)
    seconds = Fraction(HBM2.params["nBL"], HBM2.device_clock.freq_hz)
    current = whole.idd4r.value - whole.idd3n.value
    assert command_fj(HBM2, "RD") == round(whole.vdd.value * current * seconds * 1000 / 2)
    per_refresh = len(HBM2.organization.touched(HBM2.refresh_command, 0))
    assert per_refresh in (HBM2.organization.banks_at(Level.RANK), HBM2.organization.banks_at(Level.PSEUDOCHANNEL))


def test_a_device_without_low_power_currents_saves_nothing() -> None:
    device = load_device("gddr6-14000")
    assert device.power.idd2p is None and device.power.idd6 is None
    active, precharged, *low = dram_energy(device).state_uw.tolist()
    assert low == [active, precharged, precharged]


@pytest.mark.parametrize("name", list_devices())
def test_every_preset_has_sensible_energies(name: str) -> None:
    device = load_device(name)
    energy = dram_energy(device)
    assert set(energy.event) <= {*EVENTS, ""}
    for command, event, each in zip(device.dram_standard.commands, energy.event, energy.per_command, strict=True):
        free = not event or (event == "activate" and device.power.idd0.value < device.power.idd3n.value)
        assert (each == 0) == free and each >= 0, command.name
        assert bool(event) or not command.is_a("rd") and not command.is_a("wr") and not command.is_a("act")
        assert event == "write" if command.is_a("wr") else event != "write" or command.name.startswith("WR")
    assert device.params["nBL"] == device.params["nCCDS"]  # so it does not matter which of them a column lasts
    active, precharged, active_down, precharged_down, asleep = energy.state_uw.tolist()
    assert active >= precharged >= precharged_down > 0 and active >= active_down > 0 and asleep > 0


def test_whose_currents_leave_nothing_for_an_activation() -> None:
    """Their IDD3N, of all banks open, exceeds IDD0: known, and to be said wherever their energy is shown."""
    free = [name for name in list_devices() if command_fj(load_device(name), "ACT") == 0]
    assert free == ["ddr5-3200", "ddr5-4800", "ddr5-4800-32gb", "ddr5-6400", "gddr6-pim-gpt"]


def test_parts_add_up_whatever_the_order() -> None:
    index = DDR4.dram_standard.index
    counts = np.zeros(len(index), np.int64)
    counts[[index["ACT"], index["RD"], index["RDA"], index["REFab"], index["PRE"]]] = [10**12, 7, 5, 3, 99]
    ticks = np.array([[1, 2, 3, 4, 5], [10**15, 0, 0, 0, 0]])
    parts = energy_by_part_fj(DDR4, counts, ticks)
    assert tuple(parts) == EVENTS + STATES
    assert parts["activate"] == 10**12 * command_fj(DDR4, "ACT") and parts["read"] == 12 * command_fj(DDR4, "RD")
    assert parts["write"] == 0 and parts["refresh"] == 3 * command_fj(DDR4, "REFab")
    assert parts["active"] == (10**15 + 1) * 312_000  # 499.2 mW over 0.625 ns
    assert total_energy_fj(DDR4, counts, ticks) == sum(parts.values())
    assert total_energy_fj(DDR4, counts, ticks[::-1]) == sum(parts.values())


@pytest.mark.parametrize(
    ("counts", "ticks", "problem"),
    [
        ([1, 2], np.zeros(5), "counts: 12 commands are needed"),
        (np.zeros(12), np.zeros((2, 4)), "state_ticks: the last dimension must be 5"),
        (np.zeros(12), 3, "state_ticks: the last dimension must be 5"),
        (-np.ones(12), np.zeros(5), "must not be negative"),
    ],
)
def test_what_does_not_fit_is_refused(counts: object, ticks: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        energy_by_part_fj(DDR4, counts, ticks)  # pyright: ignore[reportArgumentType]
