"""The DRAM presets: known cycles, bandwidths and capacities, overrides, and how devices are loaded."""

from pathlib import Path

import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import list_devices, list_presets, load_device
from rowline.arch.spec import Level
from rowline.arch.yamltree import ConfigError

# MB/s of one channel, MiB of one rank, banks, columns; then clocks as Ramulator 2.1 (LPDDR5-5500: gem5) has them, where
# the preset gives times: BL, CL, CWL, RCDRD, RP, RAS, RC, WR, RTP, CCDS, CCDL, RRDS, RRDL, WTRL, FAW
KNOWN = {
    "ddr4-2400": (19200, 8192, 16, 128, "4 16 12 16 16 39 55 18 9 4 6 4 6 9 26"),
    "ddr4-3200": (25600, 8192, 16, 128, "4 22 16 22 22 52 74 24 12 4 8 4 8 12 34"),
    "ddr4-3200-16gb": (25600, 16384, 16, 128, "4 22 16 22 22 52 74 24 12 4 8 4 8 12 34"),
    "ddr5-3200": (12800, 8192, 32, 64, "8 24 22 24 24 52 76 48 12 8 8 8 8 16 32"),
    "ddr5-4800": (19200, 8192, 32, 64, "8 34 32 34 34 77 111 72 18 8 12 8 12 24 32"),
    "ddr5-4800-32gb": (19200, 16384, 32, 64, "8 34 32 34 34 77 111 72 18 8 12 8 12 24 32"),
    "ddr5-6400": (25600, 8192, 32, 64, "8 46 44 46 46 103 149 96 24 8 16 8 16 32 32"),
    "lpddr5-5500": (11000, 1024, 16, 64, "2 16 8 13 13 29 42 24 8 2 4 4 4 9 16"),
    "lpddr5-6400": (12800, 1024, 16, 64, "2 17 9 15 15 34 49 28 8 2 4 4 4 10 16"),
    "lpddr5-6400-16gb": (12800, 2048, 16, 64, "2 17 9 15 15 34 49 28 8 2 4 4 4 10 16"),
    "gddr6-14000": (28000, 512, 16, 64, "2 24 6 27 27 53 80 27 4 2 4 8 8 11 29"),
    "gddr6-14000-16gb": (28000, 1024, 16, 128, "2 24 6 27 27 53 80 27 4 2 4 8 8 11 29"),
    "gddr6-16000": (32000, 512, 16, 64, "2 28 7 35 35 67 102 35 5 2 4 13 13 13 50"),
    "gddr6-14000-at-10000": (20000, 1024, 16, 128, "2 18 5 20 20 38 58 20 3 2 4 6 6 8 21"),
    "gddr6-14000-at-12500": (25000, 1024, 16, 128, "2 22 6 25 25 48 73 25 4 2 4 8 8 10 26"),
    "gddr6-18000": (36000, 1024, 16, 128, "2 31 8 35 35 69 104 35 6 2 4 11 11 15 38"),
    "gddr6-8gb-1250mv": (32000, 512, 16, 64, "2 28 7 35 35 67 102 35 5 2 4 13 13 13 50"),
}  # fmt: skip
CLOCKS = ["BL", "CL", "CWL", "RCDRD", "RP", "RAS", "RC", "WR", "RTP", "CCDS", "CCDL", "RRDS", "RRDL", "WTRL", "FAW"]


def test_every_preset_of_these_standards_is_known() -> None:
    families = ("ddr4", "ddr5", "lpddr5", "gddr6")
    assert {name for name in list_presets("dram") if load_device(name).standard in families} == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_a_preset_is_what_its_name_says(name: str) -> None:
    bandwidth, rank, banks, columns, clocks = KNOWN[name]
    device = load_device(name)
    org = device.organization
    assert device.bus.bandwidth_bits_per_s == bandwidth * 8 * 10**6
    assert org.banks_at(Level.RANK) * org.rows.value * org.row_size.value == rank * 2**20 == org.capacity_bytes
    assert (org.banks, org.columns) == (banks, columns)
    assert [device.params[f"n{each}"] for each in CLOCKS] == [int(each) for each in clocks.split()]


@pytest.mark.parametrize("name", KNOWN)
def test_speed_and_density_change_what_they_should(name: str) -> None:
    """A denser part refreshes longer at the same speed; a faster one has the same analogue times within a clock or two."""
    device = load_device(name)
    if name.endswith("gb") and not name.startswith("gddr6-8gb"):
        smaller = load_device(name.rsplit("-", 1)[0])
        assert device.params["nRFCab"] > smaller.params["nRFCab"] and device.params["nXS"] > smaller.params["nXS"]
        assert device.organization.capacity_bytes == 2 * smaller.organization.capacity_bytes
        assert device.params["nRC"] == smaller.params["nRC"]
    row_cycle_ns = device.params["nRC"] * 1e9 / device.clock.value
    assert 45 <= row_cycle_ns <= 62
    assert 5 <= device.params["nWR"] * 1e9 / device.clock.value <= 40


@pytest.mark.parametrize("name", [name for name in KNOWN if not name.startswith("gddr6")])
def test_more_ranks(name: str) -> None:
    one, four = load_device(name), load_device(name, ["organization.ranks=4"])
    assert four.organization.banks == 4 * one.organization.banks
    assert four.organization.capacity_bytes == 4 * one.organization.capacity_bytes
    assert four.refresh_units == 4 * one.refresh_units and four.refresh_interval == one.refresh_interval // 4
    command = four.dram_standard.commands[four.dram_standard.index["PREA"]]
    assert list(four.organization.touched(command, 2)) == list(range(2 * one.organization.banks, 3 * one.organization.banks))


def test_same_bank_refresh_of_ddr5() -> None:
    device = load_device("ddr5-4800", ["refresh.mode=per_bank", "refresh.interval=1.95 us", "organization.ranks=2"])
    assert device.refresh_command.name == "REFsb" and device.refresh_units == 2 * 4
    assert list(device.organization.touched(device.refresh_command, 5)) == [33 + 4 * group for group in range(8)]
    assert device.refresh_interval == 4680 // 8


def test_per_bank_refresh_where_there_is_one() -> None:
    assert load_device("lpddr5-6400", ["refresh.mode=per_bank"]).refresh_units == 16
    assert load_device("gddr6-14000", ["refresh.mode=per_bank"]).refresh_units == 16
    with pytest.raises(ConfigError, match="ddr4 has no per-bank refresh"):
        load_device("ddr4-2400", ["refresh.mode=per_bank"])


def test_devices_are_found_by_bare_name() -> None:
    assert list_devices() == sorted({*list_presets("dram"), *list_presets("pim")})
    assert load_device("gddr6-aim").pim is not None and load_device("gddr6-16000").pim is None
    assert load_device("ddr4-2400") is load_device("ddr4-2400", [])  # read once
    assert load_device("ddr4-2400", ["timing.tRC=60 ck"]).params["nRC"] == 60


def test_a_device_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: dram/ddr4-2400\nname: mine\ntiming:\n  tRC: 57 ck\n")
    device = load_device(str(path), ["organization.ranks=2"])
    assert isinstance(device, DramDevice) and (device.name, device.params["nRC"], device.organization.banks) == ("mine", 57, 32)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("extends: dram/ddr4-2400\nname: other\ntiming:\n  tRCC: 57 ck\n")
    with pytest.raises(ConfigError, match=r'wrong\.yaml:4  timing\.tRCC: unknown key; did you mean "tRC"'):
        load_device(str(wrong))


@pytest.mark.parametrize(
    ("name", "sets", "part"),
    [
        ("ddr4-2401", [], 'unknown device "ddr4-2401"; did you mean "ddr4-2400"?'),
        ("aim", [], 'unknown device "aim"'),
        ("nowhere/x.yaml", [], "No such file"),
        ("ddr4-2400", ["timing.tFAWW=3 ck"], 'timing.tFAWW: unknown key; did you mean "tFAW"?'),
        ("ddr4-2400", ["timing.tPPD=3 ck"], "timing.tPPD: unknown key"),
        ("ddr4-2400", ["organization.ranks=3"], "organization.ranks: 3 is no power of two"),
        ("ddr4-3200", ["power.idd4r=45 mA"], "must not be below idd3n"),
        ("lpddr5-6400", ["timing.tRC=48 ck"], "timing.tRC: 48 ck is below tRAS + tRP, 49 ck"),
    ],
)  # fmt: skip
def test_refusals(name: str, sets: list[str], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_device(name, sets)
    assert part in str(caught.value) and all(line.isprintable() for line in caught.value.problems)
