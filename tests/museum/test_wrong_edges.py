"""Timing rules that peers have, but swapped, typed for other commands, or longer than they are: too late is wrong as well."""

from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.arch.spec import Level

from .exhibit import Exhibit, claim, hall
from .issue import PER_BANK, Issued, Rules, apart, edit, issue, legal, quiet

DDR4_RANKS = quiet("ddr4-3200", "organization.ranks=2")
LPDDR5_RANKS = quiet("lpddr5-6400", "organization.ranks=2")
AIM, HBM2_PIM, HBM3 = quiet("gddr6-aim"), quiet("hbm2-pim"), quiet("hbm3-6400")
GDDR6_PER_BANK = load_device("gddr6-14000", (PER_BANK, "refresh.interval=7.6 us"))
LEGAL = "what the engine issues is legal to the checker, which knows bursts and not rules"

RANKS = "ACT 0 row 1; ACT 16 row 1; {} 0 at 1000; {} 16"
READS_THEN_WRITE = "ACT 0 row 1; ACT 16 row 1; RD 0 at 1000; RD 0; RD 0; WR 16"
PSEUDO = "ACT 0 row 1; ACT 32 row 1; RD 0 at 1000; RD 32"
GROUPS = "ACT 0 row 1; ACT 4 row 1; {} 0 at 1000; {} 4"
ONE_GROUP = "ACT 0 row 1; ACT 1 row 1; WR 0 at 1000; RD 1"


def swapped(device: DramDevice) -> Rules:
    """Turnarounds between ranks with the lengths of each other; the common data bus is seen rank by rank."""
    lengths = {
        "tRTRS-RD-WR": "nBL + nRTRS",
        "tRTRS-WR-RD": "nCL + nBL + nRTRS - nCWL",
    }
    standard = device.dram_standard
    rules = [edit(device, name, latency=text) for name, text in lengths.items()] + [edit(device, "tRTW-BUS", scope=Level.RANK)]
    changed = {one.name: one for edited in rules for one, was in zip(edited, standard.rules, strict=True) if one != was}
    return tuple(changed.get(each.name, each) for each in standard.rules)


def both_ways(rules: Rules | None = None) -> tuple[Issued, Issued]:
    """A row closed by PRE, and the same row closed by the read itself."""
    device = quiet("ddr4-3200")
    by_hand, by_itself = "ACT 0 row 1; RD 0 at 1000; PRE 0; ACT 0 row 2", "ACT 0 row 1; RDA 0 at 1000; ACT 0 row 2"
    return issue(device, by_hand, rules), issue(device, by_itself, rules)


def same_end(logs: tuple[Issued, Issued]) -> None:
    """The next ACT comes at the same cycle."""
    by_hand, by_itself = (int(each.log["cycle"][-1]) for each in logs)
    claim(by_hand == by_itself, f"ACT at {by_hand} after RD and PRE, at {by_itself} after RDA")


DOUBLE = quiet("ddr5-4800", "timing.tWTRL=23333 ps")  # 10 ns and tCWL, 32 clocks

EXHIBITS = [
    Exhibit(
        "swapped-turnarounds", "ramulator2 2.1, LPDDR5 (dram-timing 0.3)",
        "RD to WR and WR to RD of another rank have each other's length, and nothing else watches the bus", LEGAL, legal,
        lambda: issue(LPDDR5_RANKS, READS_THEN_WRITE),
        lambda: issue(LPDDR5_RANKS, READS_THEN_WRITE, swapped(LPDDR5_RANKS)),
    ),
    Exhibit(
        "write-typed-as-read", "Ramulator #47, #110", "the rule for WR to WR of another rank names RD as the first", LEGAL, legal,
        lambda: issue(DDR4_RANKS, RANKS.format("WR", "WR")),
        lambda: issue(DDR4_RANKS, RANKS.format("WR", "WR"), edit(DDR4_RANKS, "tRTRS-WR-WR", preceding=("rd",))),
    ),
    Exhibit(
        "ccdr-across-pseudo-channels", "DRAMSys #58, until 5.4.0", "tCCDR, meant for stack IDs, holds across pseudo-channels",
        "reads of two pseudo-channels follow each other as the command bus allows", apart(2, 3, lambda n: 2),
        lambda: issue(HBM3, PSEUDO), lambda: issue(HBM3, PSEUDO, edit(HBM3, "tCCDR", scope=Level.CHANNEL, sibling=False)),
    ),
    Exhibit(
        "other-banks-wait-trfc", "DRAMsim3 #24 (dram-timing 0.7)", "REFb makes every other bank wait the all-bank tRFC",
        "ACT of another bank comes tRREFD after REFpb", apart(0, 1, lambda n: n["nRREFD"]),
        lambda: issue(GDDR6_PER_BANK, "ACT 1 row 1 at 840 safe"),
        lambda: issue(GDDR6_PER_BANK, "ACT 1 row 1 at 840 safe", edit(GDDR6_PER_BANK, "tRREFD-ACT", latency="nRFCab")),
    ),
    Exhibit(
        "symmetric-precharge", "DRAMsim3 (dram-timing C7)", "RDA to ACT includes a burst that RD, PRE, ACT does not",
        "a row closed by PRE and one closed by RDA can be opened at the same cycle", same_end,
        both_ways, lambda: both_ways(edit(quiet("ddr4-3200"), "tRDA-ACT", latency="nBL + nRTP + nRP")),
    ),
    Exhibit(
        "latency-counted-twice", "gem5 #3490 (dram-timing D10)", "DDR5 tWTR holds tCWL, which is then added again",
        "RD comes 10 ns (24 clocks) after the write's data, same bank group", apart(2, 3, lambda n: n["nCWL"] + n["nBL"] + 24),
        lambda: issue(quiet("ddr5-4800"), ONE_GROUP), lambda: issue(DOUBLE, ONE_GROUP),
    ),
    Exhibit(
        "precharges-apart", "aim_simulator (dram-timing C22)", "PRE to PRE waits tRP", "PRE of two banks are tPPD apart",
        apart(2, 3, lambda n: n["nPPD"]), lambda: issue(AIM, GROUPS.format("PRE", "PRE")),
        lambda: issue(AIM, GROUPS.format("PRE", "PRE"), edit(AIM, "tPPD", latency="nRP")),
    ),
    Exhibit(
        "long-turnaround-everywhere", "PIMSimulator (dram-timing C16)", "tWTR_L holds for every bank of the rank",
        "RD of another bank group comes tWTRS after the write's data", apart(2, 3, lambda n: n["nCWL"] + n["nBL"] + n["nWTRS"]),
        lambda: issue(HBM2_PIM, GROUPS.format("WR", "RD")),
        lambda: issue(HBM2_PIM, GROUPS.format("WR", "RD"), edit(HBM2_PIM, "tWTRS", latency="nCWL + nBL + nWTRL")),
    ),
]  # fmt: skip

test_ours, test_seeded = hall(EXHIBITS)
