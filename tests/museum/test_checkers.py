"""Checkers of peers that miss what they are for, and runs that do not repeat."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.sim.judge import LogJudge
from rowline.sim.memory import Channel
from rowline.sim.reference import checker
from rowline.sim.reference.checker import check
from rowline.sim.reference.facets import Event
from rowline.sim.reference.spacings import Paths
from rowline.sim.reference.traits import Row
from rowline.traces.commands import IssueLog
from rowline.traces.formats.commandlog import COMMANDLOG

from ..conformance.verdicts import Row as Line
from ..conformance.verdicts import written
from .exhibit import Exhibit, claim, hall
from .issue import quiet
from .serve import table

DDR4, HBM2 = quiet("ddr4-3200"), quiet("hbm2-2000")
REFRESHED = load_device("ddr4-3200")
Rules = Callable[[DramDevice, IssueLog], list[str]]


def ours(device: DramDevice, log: IssueLog) -> list[str]:
    """The rules that our checker finds broken."""
    return [each.rule for each in check(device, log, refresh=device.refresh.mode != "off")]


def finds(rule: str, device: DramDevice, what: str, *rows: Line) -> Callable[[Rules], None]:
    """A check: a checker finds this rule broken in this log."""
    return lambda rules: claim(rule in rules(device, written(device, *rows)), f"nothing is said of {what}")


class Assigns(Paths):
    """At ACT, the time of the bank's next read is assigned, whatever it waited for before."""

    def record(self, event: Event) -> None:
        if event.trait.row == Row.OPEN:
            waits = {number for number, spacing in self.waits["RD"] if spacing.rule in ("tWTRS", "tWTRL")}
            self.last = {key: each for key, each in self.last.items() if key[0] not in waits}
        super().record(event)


def assigning(device: DramDevice, log: IssueLog) -> list[str]:
    """Our checker with that part replaced."""
    kept = checker.Paths
    try:
        checker.Paths = Assigns
        return ours(device, log)
    finally:
        checker.Paths = kept


def without_register_space(device: DramDevice, log: IssueLog) -> list[str]:
    """Commands to rows with bit 12 set are not checked."""
    return ours(device, log[(log["row"] < 0) | (log["row"] & 1 << 12 == 0)])


def widest_gap(device: DramDevice, log: IssueLog) -> list[str]:
    """Refresh is in order if no two refreshes are more than 9 tREFI apart."""
    times = log["cycle"][log["cmd"] == device.dram_standard.index["REFab"]]
    late = np.diff(times, prepend=0).max() > 9 * device.refresh_interval
    return ["refresh-debt"] if late else []


INTERVAL = REFRESHED.refresh_interval
ALWAYS_LATE = [
    (name, 0, row, 2 * number * INTERVAL + after)
    for number in range(1, 15)
    for name, row, after in (("REFab", -1, 0), ("ACT", 1, 800), ("PRE", -1, 900))
]

# the converter


def foreign_log() -> np.ndarray:
    """A log with a per-bank refresh, of a device that has none."""
    log = np.zeros(2, COMMANDLOG)
    log["clk"], log["cmd"] = (0, 1000), (0, 1)
    log["row"] = (-1, 1)
    return log


def inexpressible(names: list[str]) -> None:
    """A command that the device does not have is refused."""
    try:
        LogJudge(DDR4, refresh=False).feed(names, foreign_log())
    except ValueError as error:
        claim("has no command REFpb" in str(error), str(error))
    else:
        claim(False, "REFpb passes for a device that has none")


# once more

REQUESTS = table((5 * i, i % 4 == 0, i % 16, i // 16, i % 64) for i in range(64))


def two_runs(leftover: bool) -> tuple[list[int], list[int]]:
    """The latencies of two runs; ``leftover``: of the second the counters are where those of the first were, and not cleared."""
    runs = list[list[int]]()
    for number in range(2):
        channel = Channel(DDR4, Controller(), judged=False, logged=False)
        if leftover and number:
            channel.machine.histogram[: len(runs[0])] = runs[0]
        for _ in channel.feed(REQUESTS, more=False):
            pass
        runs.append(channel.machine.histogram.tolist())
    return runs[0], runs[1]


def alike(runs: tuple[list[int], list[int]]) -> None:
    """Two runs of one input count the same."""
    one, other = runs
    claim(one == other, f"the first run counts {sum(one)} reads by latency, the second {sum(other)}")


ZEROS = '("timing.tCL=0 ck", "timing.tCWL=0 ck", "timing.tRTP=0 ck", "timing.tXP=0 ck", "timing.tCKE=0 ck", "timing.tWTRS=0 ck")'
LINT = f"""from rowline.arch.lint import lint
from rowline.arch.loader import load_device
print(lint(load_device("ddr4-3200", {ZEROS})))"""
SETS = f"""from rowline.arch.loader import load_device
from rowline.arch.standards.common import MEANING
device = load_device("ddr4-3200", {ZEROS})
print([name for name in device.timing.keys() & MEANING.keys() if device.timing[name].value == 0])"""


def repeats(program: str) -> None:
    """A program prints the same whatever the hash seed."""
    printed = {
        subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True,
                       check=True, text=True).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    claim(len(printed) == 1, "problems are listed in another order under another hash seed")


TOO_SOON = finds(
    "tWTRS", quiet("ddr4-3200", "timing.tRCDRD=10 ck"), "a read that an ACT let come before tWTR was over",
    ("ACT", 0, 1, 0), ("WR", 0, 1, 1000), ("ACT", 4, 1, 1002), ("RD", 4, 1, 1014),
)  # fmt: skip
IN_REGISTERS = finds(
    "tRCDRD", HBM2, "a read too soon after the ACT of row 0x1abc", ("ACT", 0, 0x1ABC, 0), ("RD", 0, 0x1ABC, 5)
)  # fmt: skip
NEVER_CAUGHT_UP = finds("refresh-debt", REFRESHED, "refreshes of which every second is left out", *ALWAYS_LATE)

EXHIBITS = [
    Exhibit(
        "assigned-not-maximum", "PIMSimulator (dram-timing A)",
        "its checker assigns at ACT when the next read may come: tWTR is lost",
        "a read within tWTR is found, with an ACT between write and read", TOO_SOON, lambda: ours, lambda: assigning,
    ),
    Exhibit(
        "rows-that-are-not-checked", "PIMSimulator (dram-timing 0.8)", "commands to rows with bit 12 set skip the check",
        "tRCD is checked in every row", IN_REGISTERS, lambda: ours, lambda: without_register_space,
    ),
    Exhibit(
        "always-late", "DRAMPetri #6", "checking for a gap of 9 tREFI accepts refreshes that always come late",
        "refreshes that come at half the rate are found, however short the gaps", NEVER_CAUGHT_UP,
        lambda: ours, lambda: widest_gap,
    ),
    Exhibit(
        "translated-for-the-checker", "DRAMsim3 (dram-timing 0.7)",
        "the converter to the Verilog model turns per-bank refresh into refresh, so nobody could notice tRFCb",
        "a command that the device does not have is refused", inexpressible,
        lambda: ["REFpb", "ACT"], lambda: ["REFab", "ACT"],
    ),
    Exhibit(
        "statistics-not-cleared", "gem5 #289", "a statistic was not initialised, so results differed between builds",
        "two runs of one input count the same", alike, lambda: two_runs(leftover=False), lambda: two_runs(leftover=True),
    ),
    Exhibit(
        "order-of-a-set", "Accel-Sim #60, MGPUSim #17, #32, #45", "the same run gives another result",
        "the lint's problems come in one order whatever the hash seed (ours did not, until this exhibit)", repeats,
        lambda: LINT, lambda: SETS,
    ),
]  # fmt: skip

test_ours, test_seeded = hall(EXHIBITS)
