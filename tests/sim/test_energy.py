"""Energy per event against the power figures that the values came from."""

import pytest
from rowline.arch.loader import load_system
from rowline.sim.energy import COMPONENTS, energy_table

AIM = load_system("aim")


def energy_pj(system, command: str, component: str) -> float:
    table = energy_table(system)
    index = system.device.dram_standard.index[command]
    return table.per_command[index, COMPONENTS.index(component)] / 1000


def test_aim_commands_cost_what_cent_books():
    """CENT's power script, mW a channel: ACT 66.3 over tRC 44.5 ns, RD 438.15 and WR 553.15 above standby; MAC = 3 reads."""
    assert energy_pj(AIM, "ACT", "activate") == pytest.approx(66.3 * 44.5, rel=0.01)
    assert energy_pj(AIM, "ACT16", "activate") == pytest.approx(16 * 66.3 * 44.5, rel=0.01)
    assert energy_pj(AIM, "RD", "read_write") == pytest.approx(438.15 * 1.0, rel=1e-3)
    assert energy_pj(AIM, "WR", "read_write") == pytest.approx(553.15 * 1.0, rel=1e-3)
    assert energy_pj(AIM, "MAC16", "mac_array") == pytest.approx(3 * 438.15 * 1.0, rel=1e-3)
    assert energy_pj(AIM, "MAC", "mac_array") == pytest.approx(3 * 438.15 / 16, rel=1e-3)
    assert energy_pj(AIM, "WRGB", "link") == pytest.approx(256 * 5.5)
    table = energy_table(AIM)
    assert (table.active_uw, table.precharged_uw) == pytest.approx((263750, 183150), rel=1e-4)


def test_mac_to_read_ratio_is_the_parameter_it_says():
    one = load_system("aim", ["device.pim.mac_to_read_energy=1"])
    assert energy_pj(AIM, "MAC16", "mac_array") == pytest.approx(3 * energy_pj(one, "MAC16", "mac_array"), rel=1e-6)


def test_pim_gpt_mac_logic_is_the_papers_power():
    """149.29 mW a channel for one MAC column of 1 ns."""
    assert energy_pj(load_system("pim-gpt"), "MAC16", "mac_logic") == pytest.approx(149.29, rel=1e-6)
