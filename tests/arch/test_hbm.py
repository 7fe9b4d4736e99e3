"""HBM: parameters as their sources have them, gaps as Ramulator and DRAMSys count them, and the PIM commands on top."""

import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import PRESETS, load_device
from rowline.arch.spec import Level, RowEffect
from rowline.arch.standards import STANDARDS

NAMES = sorted(f"{folder}/{p.stem}" for folder in ("dram", "pim") for p in (PRESETS / folder).glob("hbm*.yaml"))
STANDARD = pytest.mark.parametrize("standard", ["hbm2", "hbm2e", "hbm3", "hbm-pim", "hbm3-pim"])


def gap(device: DramDevice, a: str, b: str, level: Level, *, sibling: bool = False) -> int:
    """Ticks from ``a`` to ``b`` on single banks that have ``level`` in common, and no finer one; windows apart.

    A command on more banks than one is taken to include the bank of the other.
    """
    standard = device.dram_standard
    first, second = standard.commands[standard.index[a]], standard.commands[standard.index[b]]
    gaps = [0]
    for rule in standard.rules:
        if rule.window > 1 or rule.new_round or rule.sibling != (sibling and rule.sibling):
            continue
        meets = sibling if rule.sibling else max(rule.scope, first.footprint, second.footprint) >= level
        if meets and first in standard.members(rule.preceding) and second in standard.members(rule.following):
            gaps.append(standard.gap(rule, first, second, device.params))
    return max(gaps)


BANK, GROUP, RANK, PC, CHANNEL = Level

# Ramulator 2.1 HBM2_8Gb, HBM2_2000Mbps, in clocks (its nRTPL, nRFC are tRTP, tRFCab here); tRTW is its formula for RD to WR
HBM2_2000 = {
    "nBL": 2, "nCL": 14, "nCWL": 5, "nRCDRD": 14, "nRCDWR": 12, "nRP": 14, "nRAS": 34, "nRC": 48, "nWR": 16, "nRTP": 5,
    "nCCDS": 2, "nCCDL": 4, "nWTRS": 6, "nWTRL": 8, "nRRDS": 4, "nRRDL": 4, "nFAW": 15, "nRFCab": 350, "nRFCpb": 160,
    "nRREFD": 8, "nRTW": 13,
}  # fmt: skip
# Ramulator 2.1 HBM3_6400Mbps, in clocks; tRREFD as its own formula has it, max(3 ck, 8 ns)
HBM3_6400 = {
    "nBL": 2, "nCL": 20, "nCWL": 10, "nRCDRD": 31, "nRCDWR": 15, "nRP": 26, "nRAS": 45, "nRC": 72, "nWR": 33, "nRTP": 9,
    "nCCDS": 2, "nCCDL": 4, "nCCDR": 3, "nRRDS": 4, "nRRDL": 5, "nFAW": 24, "nWTRS": 7, "nWTRL": 10, "nRTW": 20, "nPPD": 2,
    "nRFCpb": 320, "nRFCab": 560, "nRFMab": 560, "nRFMpb": 320, "nRREFD": 13,
}  # fmt: skip


@pytest.mark.parametrize(("name", "ticks", "clocks"), [("hbm2-2000", 1, HBM2_2000), ("hbm3-6400", 2, HBM3_6400)])
def test_parameters_are_those_of_the_source_in_ticks(name: str, ticks: int, clocks: dict[str, int]) -> None:
    device = load_device(name)
    assert device.dram_standard.ticks_per_clock == ticks
    assert {key: device.params[key] for key in clocks} == {key: ticks * value for key, value in clocks.items()}
    powered = {"nCKE", "nXP", "nCKESR", "nXS"}
    assert device.params.keys() == clocks.keys() | powered


@pytest.mark.parametrize("name", NAMES)
def test_presets(name: str) -> None:
    folder, stem = name.split("/")
    device = load_device(stem)
    n, org = device.params, device.organization
    assert device.name == stem and (device.pim is not None) == (folder == "pim")
    assert org.access_size.value == 32 and org.row_size.value == 1024
    # a burst is a whole number of ticks, two clocks
    assert n["nBL"] * device.bus.bandwidth_bits_per_s == 256 * device.device_clock.freq_hz
    assert n["nBL"] == n["nCCDS"] == 2 * device.dram_standard.ticks_per_clock
    assert n["nRTW"] >= n["nCL"] + n["nBL"] - n["nCWL"]
    assert n["nXS"] > n["nRFCab"] >= n["nRFCpb"]
    # one all-bank refresh for each pseudo-channel
    assert device.refresh_units == 2 and abs(device.device_clock.edge_ps(2 * device.refresh_interval) - 3_900_000) < 2000


# capacity of a channel in Gib, bandwidth of its pseudo-channels together in Gb/s, pseudo-channels, stack IDs
SIZES = {
    "hbm2-2000": (16, 256.0, 1), "hbm2-2000-8gb": (8, 256.0, 1), "hbm2-1600": (8, 204.8, 1), "hbm2-2400": (8, 307.2, 1),
    "hbm2e-3200": (16, 409.6, 2), "hbm2e-3200-4h": (8, 409.6, 1),
    "hbm2e-3600": (16, 460.8, 2), "hbm3-5200": (8, 332.8, 2), "hbm3-6400": (8, 409.6, 2),
    "hbm3-6400-4h": (4, 409.6, 1), "hbm3-6400-16h": (16, 409.6, 4), "hbm2-pim": (2, 256.0, 1), "hbm3-attacc": (8, 332.8, 2),
    "hbm3-attacc-npc": (8, 332.8, 2), "hbm2-1754": (8, 224.512, 1), "hbm2-2430": (8, 311.04, 1),
    "hbm2e-3200-at-3024": (16, 387.072, 2), "hbm3e-6400": (12, 409.6, 2),
}  # fmt: skip


def test_capacity_and_bandwidth() -> None:
    found = {}
    for name in NAMES:
        device = load_device(name.split("/")[1])
        org = device.organization
        rate = org.pseudo_channels.value * device.bus.bandwidth_bits_per_s / 1e9
        found[device.name] = (org.capacity_bytes * 8 >> 30, rate, org.ranks.value)
    assert found == SIZES


# pair, level they have in common, gap in clocks as Ramulator's harness measures it and DRAMSys writes it out
HBM2_GAPS = [
    ("ACT", "ACT", BANK, 48), ("ACT", "RD", BANK, 14 + 1), ("ACT", "WR", BANK, 12 + 1), ("ACT", "PRE", BANK, 34 + 1),
    ("ACT", "PREA", PC, 34 + 1), ("PRE", "ACT", BANK, 14 - 1), ("PREA", "ACT", PC, 14 - 1), ("RD", "PRE", BANK, 5),
    ("WR", "PRE", BANK, 23), ("RDA", "ACT", BANK, 19 - 1), ("WRA", "ACT", BANK, 37 - 1), ("ACT", "REFab", PC, 48 + 1),
    ("PRE", "REFab", PC, 14), ("RDA", "REFab", PC, 19), ("WRA", "REFab", PC, 37), ("REFab", "ACT", PC, 350 - 1),
    ("REFab", "PREA", PC, 350), ("ACT", "ACT", PC, 4), ("ACT", "ACT", GROUP, 4), ("ACT", "REFpb", PC, 4 + 1),
    ("ACT", "REFpb", BANK, 48 + 1), ("PRE", "REFpb", BANK, 14), ("REFpb", "ACT", BANK, 160 - 1), ("REFpb", "ACT", PC, 8 - 1),
    ("RD", "RD", PC, 2), ("RD", "RD", GROUP, 4), ("WR", "WR", PC, 2), ("WR", "WR", GROUP, 4), ("RD", "WR", PC, 13),
    ("WR", "RD", PC, 13), ("WR", "RD", GROUP, 15),
    # what Ramulator lacks
    ("WR", "RDA", BANK, 18), ("RDA", "PREA", PC, 5), ("WRA", "PREA", PC, 23), ("REFab", "REFab", PC, 350),
    ("REFab", "REFpb", PC, 350), ("REFpb", "REFpb", PC, 8), ("REFpb", "REFpb", BANK, 160), ("REFpb", "REFab", PC, 160),
    ("PREA", "REFpb", PC, 14), ("RDA", "REFpb", BANK, 19), ("WRA", "REFpb", BANK, 37),
    # two pseudo-channels share the command buses and nothing else
    ("ACT", "ACT", CHANNEL, 2), ("ACT", "PRE", CHANNEL, 2), ("PRE", "ACT", CHANNEL, 1), ("RD", "RD", CHANNEL, 1),
    ("WR", "RD", CHANNEL, 1), ("ACT", "RD", CHANNEL, 0), ("RD", "PRE", CHANNEL, 0), ("REFab", "REFab", CHANNEL, 1),
    # C33, the power of a channel
    ("RD", "PDE", CHANNEL, 17), ("WR", "PDE", CHANNEL, 24), ("PDE", "PDX", CHANNEL, 8), ("PDX", "ACT", CHANNEL, 7),
    ("SRE", "SRX", CHANNEL, 9), ("SRX", "REFab", CHANNEL, 358), ("ACT", "SRE", CHANNEL, 49), ("WRA", "SRE", CHANNEL, 37),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "level", "clocks"), HBM2_GAPS, ids=[f"{a}-{b}-{lv.name}" for a, b, lv, _ in HBM2_GAPS])
def test_hbm2_gaps(a: str, b: str, level: Level, clocks: int) -> None:
    assert gap(load_device("hbm2-2000"), a, b, level) == clocks


# in ticks of half a clock: ACT lasts three, other row commands one, column commands two; Ramulator's correction likewise
HBM3_GAPS = [
    ("ACT", "ACT", BANK, 144), ("ACT", "RD", BANK, 62 + 1), ("ACT", "WR", BANK, 30 + 1), ("ACT", "PRE", BANK, 90 + 2),
    ("PRE", "ACT", BANK, 52 - 2), ("RD", "PRE", BANK, 18 + 1), ("WR", "PRE", BANK, 2 * (10 + 2 + 33) + 1),
    ("RDA", "ACT", BANK, 18 + 52 - 1), ("PRE", "PRE", PC, 4), ("PREA", "PRE", PC, 4), ("PRE", "PREA", PC, 4),
    ("RD", "RD", RANK, 4), ("RD", "RD", GROUP, 8), ("RD", "WR", PC, 40), ("WR", "RD", PC, 38), ("WR", "RD", GROUP, 44),
    ("ACT", "ACT", PC, 8), ("ACT", "ACT", GROUP, 10), ("REFab", "ACT", PC, 1120 - 2), ("REFab", "REFpb", PC, 1120),
    ("REFpb", "ACT", PC, 26 - 2), ("REFpb", "ACT", BANK, 640 - 2), ("ACT", "REFpb", PC, 8 + 2), ("ACT", "REFpb", GROUP, 10 + 2),
    ("RFMab", "ACT", PC, 1120 - 2), ("RFMab", "REFab", PC, 1120), ("RFMpb", "ACT", BANK, 640 - 2), ("RFMpb", "RFMpb", BANK, 640),
    ("RFMpb", "RFMpb", PC, 26), ("RFMpb", "REFpb", BANK, 640), ("RFMpb", "REFab", PC, 640), ("REFpb", "RFMpb", PC, 26),
    ("ACT", "RFMab", PC, 144 + 2), ("WRA", "RFMpb", BANK, 2 * (10 + 2 + 33 + 26) + 1), ("WR", "RDA", BANK, 2 * (12 + 24)),
    ("ACT", "ACT", CHANNEL, 3), ("PRE", "ACT", CHANNEL, 1), ("RD", "WR", CHANNEL, 2), ("ACT", "RD", CHANNEL, 0),
    ("RD", "PDE", CHANNEL, 2 * (20 + 2 + 1) + 1),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "level", "ticks"), HBM3_GAPS, ids=[f"{a}-{b}-{lv.name}" for a, b, lv, _ in HBM3_GAPS])
def test_hbm3_gaps(a: str, b: str, level: Level, ticks: int) -> None:
    assert gap(load_device("hbm3-6400"), a, b, level) == ticks


@pytest.mark.parametrize(("name", "same", "other"), [("hbm3-6400", 4, 6), ("hbm2e-3200", 2, 3)])
def test_stack_ids(name: str, same: int, other: int) -> None:
    """tCCDS within a stack ID, tCCDR between two, for reads only; writes of two share the data bus (D5)."""
    device = load_device(name)
    assert gap(device, "RD", "RD", RANK) == same
    assert gap(device, "RD", "RD", PC, sibling=True) == gap(device, "RDA", "RD", PC, sibling=True) == other
    assert gap(device, "WR", "WR", PC, sibling=True) == gap(device, "RD", "RD", PC) == device.params["nBL"]


@STANDARD
def test_two_command_buses(standard: str) -> None:
    commands = STANDARDS[standard].commands
    assert all(len(c.classes & {"row", "col"}) == 1 for c in commands)
    moves = {c.name for c in commands if c.row in (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE) or c.bus}
    assert moves <= {c.name for c in commands if c.is_a("col")}
    acts = {c.half_clocks for c in commands if c.is_a("act")}
    assert acts == ({3} if STANDARDS[standard].ticks_per_clock == 2 else {4})
    buses = [r for r in STANDARDS[standard].rules if r.term == "command_bus"]
    assert [(r.preceding, r.following, r.scope) for r in buses] == [((b,), (b,), CHANNEL) for b in ("row", "col")]


@STANDARD
def test_rounds_and_windows(standard: str) -> None:
    """C29 and D1: once each, in a pseudo-channel."""
    rules = STANDARDS[standard].rules
    rounds = [r for r in rules if r.new_round]
    windows = [r for r in rules if r.window > 1]
    assert [(r.scope, r.latency, r.following) for r in rounds] == [(PC, "nRFCpb", ("REFpb",))]
    assert [(r.scope, r.window, r.preceding, r.following) for r in windows] == [(PC, 4, ("act", "REFpb"), ("act", "REFpb"))]
    assert load_device("hbm2-2000").refresh_in_activation_window.value == 1


def test_hbm_pim() -> None:
    """All banks of a pseudo-channel in lock step, at tCCDL; modes between closed banks."""
    device = load_device("hbm2-pim")
    n = device.params
    for a, b in [
        ("RDHAB", "RDHAB"),
        ("RDPIM", "RDPIM"),
        ("RD", "RDHAB"),
        ("WRPIM", "WRPIM"),
        ("WRGRF", "WRCRF"),
        ("RD", "RDGRF"),
    ]:
        assert gap(device, a, b, PC) == n["nCCDL"] == n["nMAC"] == 4
        assert gap(device, a, b, CHANNEL) == 1
    assert gap(device, "ACTHAB", "RDPIM", PC) == gap(device, "ACT", "RDPIM", PC) == n["nRCDRD"] + 1
    assert gap(device, "ACT", "ACTHAB", PC) == gap(device, "ACTHAB", "ACT", PC) == n["nRC"]
    assert gap(device, "PREHAB", "ACT", PC) == n["nRP"] - 1
    assert gap(device, "RDPIM", "PREHAB", PC) == n["nRTP"]
    assert gap(device, "WRPIM", "RDPIM", PC) == gap(device, "WRGRF", "RDPIM", PC) == n["nCWL"] + n["nBL"] + n["nWTRL"]
    assert n["nMODE"] == n["nRCDWR"] + n["nCWL"] + n["nBL"] + n["nWR"] + n["nRP"]
    for mode in ("MODSB", "MODHAB", "MODPIM"):
        assert device.dram_standard.commands[device.dram_standard.index[mode]].row == RowEffect.IDLE
        assert gap(device, "PREHAB", mode, PC) == n["nRP"] and gap(device, "WRCRF", mode, PC) == n["nCWL"] + n["nBL"] + n["nWR"]
        assert gap(device, "REFab", mode, PC) == n["nRFCab"] and gap(device, "REFpb", mode, PC) == n["nRFCpb"]
        assert (
            gap(device, mode, "WRCRF", PC) == gap(device, mode, "MODPIM", PC) == n["nMODE"] == gap(device, mode, "ACTHAB", PC) + 1
        )
        assert gap(device, mode, "ACT", CHANNEL) == 1
    assert gap(device, "REFab", "WRGRF", PC) == n["nRFCab"]


def test_attacc() -> None:
    """AttAcc's own gaps, in ticks, and those that it lacks."""
    device = load_device("hbm3-attacc")
    org, standard, n = device.organization, device.dram_standard, device.params
    stripe = standard.commands[standard.index["MACSB"]]
    assert org.units(stripe) == 2 * 2 * 4 and list(org.touched(stripe, 5)) == [17, 21, 25, 29]
    assert gap(device, "MACAB", "MACAB", CHANNEL) == gap(device, "MACSB", "MACSB", CHANNEL) == 2 * 6
    assert gap(load_device("hbm3-attacc-npc"), "MACAB", "MACAB", CHANNEL) == 2 * 4
    assert gap(device, "MACPB", "MACPB", GROUP) == 2 * 4 and gap(device, "MACPB", "MACPB", RANK) == 2 * 2
    assert gap(device, "ACTAB", "ACTAB", CHANNEL) == 2 * 64
    for act, mac, pre in [("ACTAB", "MACAB", "PREAB"), ("ACTSB", "MACSB", "PRESB"), ("ACTPB", "MACPB", "PREPB")]:
        assert gap(device, act, mac, BANK) == 2 * 19 + 1
        assert gap(device, act, pre, BANK) == 2 * 45 + 2
        assert gap(device, mac, pre, BANK) == 2 * 8 + 1
        assert gap(device, pre, act, BANK) == 2 * 19 - 2
        # what AttAcc lacks: between these and plain commands
        assert gap(device, "ACT", act, BANK) == gap(device, act, "ACT", BANK) == n["nRC"]
        assert gap(device, "WR", mac, GROUP) == n["nCWL"] + n["nBL"] + n["nWTRL"]
        assert gap(device, "RD", mac, GROUP) == gap(device, mac, "RD", GROUP) == n["nCCDL"]
        assert gap(device, "REFpb", act, BANK) == n["nRFCpb"] - 2 and gap(device, pre, "REFpb", BANK) == n["nRP"]
        assert gap(device, act, "REFab", PC) == n["nRC"] + 2
    assert gap(device, "WRGB", "MACAB", CHANNEL) == n["nCWL"] + n["nBL"]
    assert gap(device, "RD", "WRGB", PC) == n["nRTW"] and gap(device, "RD", "MVSB", PC) == n["nBL"]
    assert gap(device, "MVSB", "MVGB", GROUP) == n["nCCDL"] and gap(device, "MACAB", "MVGB", CHANNEL) == 2  # the column bus
    assert device.multi_bank_activation_in_window.value == 0
