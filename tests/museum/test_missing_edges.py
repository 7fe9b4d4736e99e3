"""Timing rules that peers lack between some pair of commands. The engine without the rule issues what our checker refuses."""

from collections.abc import Callable
from dataclasses import replace

from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.arch.spec import Level

from .exhibit import Exhibit, claim, hall
from .issue import PER_BANK, Issued, Rules, cut, edit, issue, legal, quiet

LEGAL = "what the engine issues is legal to the checker, which has no table of rules"


def edge(
    name: str, peer: str, wrong: str, device: DramDevice, script: str, rules: Callable[[DramDevice], Rules], test: str = LEGAL
) -> Exhibit:
    """An exhibit in which a script is issued by the device's rules and by edited ones."""
    return Exhibit(name, peer, wrong, test, legal, lambda: issue(device, script), lambda: issue(device, script, rules(device)))


RECOVERY = ("gddr6-14000", "ddr5-3200", "lpddr5-6400", "hbm2-1600", "hbm3-6400")
WRITE_THEN_RDA = "ACT 0 row 1; WR 0 at 1000; RDA 0; ACT 0 row 2"


def recovered(logs: dict[str, Issued]) -> None:
    """Of each device, the ACT after an RDA finds the bank recovered from the write before it."""
    early = {name: found[0].early_ps for name, log in logs.items() if (found := log.violations)}
    claim(not early, "ACT early by " + ", ".join(f"{ps} ps ({name})" for name, ps in early.items()))


def write_then_rda(seeded: bool) -> dict[str, Issued]:
    """The script on each device."""
    devices = {name: quiet(name) for name in RECOVERY}
    return {name: issue(each, WRITE_THEN_RDA, edit(each, "tWR-RDA") if seeded else None) for name, each in devices.items()}


def two_histories(device: DramDevice) -> Rules:
    """A window for activations and one for refreshes, in place of the common one."""
    alike = {"preceding": ("act",), "following": ("act",)}
    window = next(each for each in device.dram_standard.rules if each.name == "tFAW")
    refreshes = [replace(window, preceding=("REFpb",), following=("REFpb",))]
    return (*edit(device, "tFAW", **alike), *refreshes)


COUNTED = load_device("gddr6-14000", (PER_BANK, "refresh_in_activation_window=true", "timing.tFAW=100 ck"))
MIXED = "ACT 4 row 1 at 180; ACT 8 row 1; ACT 12 row 1; ACT 5 row 1 at 208 safe"


def by_oracle(script: str, rules: Rules | None = None) -> Issued:
    """As :func:`issue`, by the oracle: in the kernel all windows share one history."""
    return issue(COUNTED, script, rules, kernel=False)


AIM = quiet("gddr6-aim")
AIM_ROWS = """ACT 0 row 1; RD 0 at 1000; PRE 0; ACT 1 row 1; WR 1 at 2000; PRE 1;
    ACT 0 row 2 at 3000; ACT 4 row 2; PRE 0 at 4000; PRE 4; ACT 0 row 1 at 5000; PRE 0; ACT 0 row 2"""


def none_broken(issued: Issued) -> None:
    """The checker finds nothing; if it does, all rules that it finds broken are told."""
    broken = sorted({each.rule for each in issued.violations})
    claim(not broken, f"broken: {', '.join(broken)}")


EXHIBITS = [
    Exhibit(
        "write-recovery-before-rda", "ramulator2 2.1, all seven standards (dram-timing 0.2); DRAMsim3; aim_simulator",
        "WR to RDA waits for the turnaround only, so the automatic precharge cuts write recovery short",
        "on five standards, ACT after WR and RDA to one bank finds it recovered", recovered,
        lambda: write_then_rda(seeded=False), lambda: write_then_rda(seeded=True),
    ),
    edge(
        "wra-then-prea", "ramulator2 2.1; aim_simulator (dram-timing C10)", "no gap from RDA or WRA to PREA",
        quiet("gddr6-14000"), "ACT 0 row 1; WRA 0 at 100; PREA 0", lambda d: cut(d, ("WRA", "PREA"), ("RDA", "PREA")),
    ),
    edge(
        "rfm-then-rfm", "ramulator2 #133 (dram-timing C31)", "RFMpb to RFMpb of the same bank is missing",
        quiet("hbm3-6400"), "RFMpb 0; RFMpb 0", lambda d: cut(d, ("RFMpb", "RFMpb")),
    ),
    edge(
        "refpb-then-refpb", "ramulator2 #134 (dram-timing C28)", "REFpb to REFpb of another bank is missing",
        load_device("hbm2-1600", (PER_BANK,)), "ACT 3 row 1; RD 3 at 24900; RD 3 at 25000", lambda d: edit(d, "tRREFD-REFpb"),
    ),
    edge(
        "refresh-round", "all peers but DRAMSys 5 (dram-timing C29)", "a new round of per-bank refresh cuts the last one short",
        load_device("gddr6-14000", (PER_BANK, "timing.tRREFD=2 ck")), "ACT 3 row 1; RD 3 at 26700; RD 3 at 40000",
        lambda d: edit(d, "tRFCpb-ROUND"),
    ),
    edge(
        "prea-inside-refresh", "ramulator2 #139, #143", "PREA is allowed while REFab is under way",
        load_device("gddr6-14000"), "PREA 0 at 3330 safe", lambda d: cut(d, ("REFab", "PREA")),
    ),
    edge(
        "refresh-after-auto-precharge", "Ramulator PR #57, PR #83 (dram-timing C24)",
        "REF does not wait for the implicit precharge of RDA and WRA; a power model noticed, not a timing test",
        load_device("ddr4-3200"), "ACT 0 row 1 at 12400; WRA 0; ACT 1 row 1 at 12500 safe",
        lambda d: edit(d, "tRDA-REFab", "tWRA-REFab"),
    ),
    edge(
        "refresh-after-prea", "ramulator2 2.1 (dram-timing C4)", "LPDDR5's PREA to REFab takes tRPpb, not tRPab",
        load_device("lpddr5-6400"), "ACT 0 row 1 at 3080; PREA 0; ACT 1 row 1 at 3125 safe", lambda d: edit(d, "tRPab-REF"),
    ),
    edge(
        "refreshed-bank-waits", "DRAMsim3 #24 (dram-timing 0.7)", "tRFCb is never enforced on the bank that is refreshed",
        load_device("gddr6-14000", (PER_BANK,)), "ACT 0 row 1 at 210 safe", lambda d: edit(d, "tRFCpb-ACT"),
    ),
    edge(
        "window-by-bank", "LiteDRAM #17, #18", "tFAW is counted bank by bank, not over the rank",
        quiet("ddr4-3200"), "; ".join(f"ACT {4 * i % 15} row 1" for i in range(5)), lambda d: edit(d, "tFAW", scope=Level.BANK),
    ),
    edge(
        "activations-spaced", "LiteDRAM #19", "tRRD is missing", quiet("ddr4-3200"), "ACT 0 row 1; ACT 4 row 1; ACT 5 row 1",
        lambda d: edit(d, "tRRDS", "tRRDL"),
    ),
    edge(
        "window-never-filled", "PIMSimulator (dram-timing 0.8)",
        "the activation window is checked, but no activation is ever entered in it",
        quiet("hbm2-pim", "timing.tFAW=24 ns"), "; ".join(f"ACT {4 * i % 15} row 1" for i in range(5)), lambda d: edit(d, "tFAW"),
    ),
    Exhibit(
        "two-histories", "ramulator2 2.1, GDDR6 (dram-timing D1)",
        "activations and per-bank refreshes have a window each, so a mix of both in one window is never caught",
        LEGAL, legal, lambda: by_oracle(MIXED), lambda: by_oracle(MIXED, two_histories(COUNTED)),
    ),
    Exhibit(
        "rows-of-aim", "aim_simulator before af65d80 (dram-timing A)",
        "ACT to ACT, RD to PRE, WR to PRE and PRE to PRE were wrong for a year; one commit mended all four",
        "as above, with a script in which each of the four rules decides once", none_broken,
        lambda: issue(AIM, AIM_ROWS), lambda: issue(AIM, AIM_ROWS, edit(AIM, "tRC", "tRTP", "tWR", "tPPD")),
    ),
    edge(
        "buffer-before-mac", "aim_simulator (dram-timing B.3)", "WRGB to MAC16: no wait for the operand in the global buffer",
        AIM, "ACT16 0 row 1; WRGB 0 at 1000; MAC16 0", lambda d: edit(d, "tWRGB-MAC"),
    ),
    edge(
        "mac-before-result", "aim_simulator (dram-timing B.3)", "MAC16 to RDMAC16 waits tCCDL, however deep the MAC pipeline",
        quiet("gddr6-aim", "timing.tMACRD=10 ck"), "ACT16 0 row 1; MAC16 0 at 1000; RDMAC16 0", lambda d: edit(d, "tMAC-RDMAC"),
    ),
    edge(
        "act-then-actab", "attacc_simulator (dram-timing C1)", "no gap between ACT and ACTAB, which opens the same bank",
        quiet("hbm3-attacc", "timing.tRC=70 ns"), "ACT 0 row 1; PRE 0; ACTAB 0 row 1", lambda d: cut(d, ("ACT", "ACTAB")),
    ),
    edge(
        "write-then-mac", "attacc_simulator (dram-timing B.5)", "no gap between a plain WR and the MAC that reads what it wrote",
        quiet("hbm3-attacc"), "ACTAB 0 row 1; WR 0 at 1000; MACAB 0", lambda d: cut(d, ("WR", "MACAB")),
    ),
]  # fmt: skip

test_ours, test_seeded = hall(EXHIBITS)
