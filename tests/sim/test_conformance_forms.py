"""Closed forms that every device must meet to the tick: latencies of an idle channel, peak bandwidth, refresh, data buses.

All formulae are written from the parameters; nothing here asks the rule tables.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import Level
from rowline.traces.commands import IssueLog

from ..conformance.adversarial import KINDS, adversarial_stream
from ..conformance.builder import Builder
from ..conformance.devices import CASES, NAMES, device
from ..conformance.kernel import run_kernel
from ..conformance.streams import close_all, random_stream

IDLE = 5000
"""Ticks after which nothing that went before matters; refresh is off."""

OWN_LATENCY = {"WRGB": "nCWLGB", "WRMAC16": "nCWLREG", "RDMAC16": "nCLREG", "RDAF16": "nCLREG"}
"""Bursts that begin at a time of their own, where the device has that parameter."""

REFRESHED = [(name, mode) for name, mode in CASES if mode != RefreshMode.OFF]


def length(dev: DramDevice, name: str) -> int:
    """Ticks that a command stays on the command bus; timing counts from the end of that."""
    standard = dev.dram_standard
    return standard.ticks(standard.commands[standard.index[name]])


def burst_end(dev: DramDevice, name: str, cycle: int) -> int:
    """When the burst of a column command has left the data bus; latencies count from the last clock of the command."""
    n = dev.params
    late = length(dev, name) - dev.dram_standard.ticks_per_clock
    return cycle + late + n["nCL" if name == "RD" else "nCWL"] + n["nBL"]


# latency


@pytest.mark.parametrize("access", ["RD", "WR"])
@pytest.mark.parametrize("name", NAMES)
def test_latency_of_an_idle_channel(name: str, access: str) -> None:
    """Hit: the access. Miss: ACT first. Conflict: PRE, ACT. Each from the release of its first command to the last data."""
    dev = device(name, RefreshMode.OFF)
    n, read = dev.params, access == "RD"
    builder = Builder(dev)
    builder.add("ACT", row=1)
    builder.add(access, release=IDLE)
    builder.add("PRE", release=2 * IDLE)
    builder.add("ACT", row=2, release=3 * IDLE)
    builder.add(access)
    builder.add("PRE", release=4 * IDLE)
    builder.add("ACT", row=3)
    builder.add(access)
    cycles = run_kernel(dev, builder.stream(), builder.not_before).log["cycle"].tolist()
    hit, miss, conflict = (burst_end(dev, access, cycles[last]) - begin * IDLE for last, begin in ((1, 1), (4, 3), (7, 4)))
    clock = dev.dram_standard.ticks_per_clock
    data = n["nCL" if read else "nCWL"] + n["nBL"]
    column, act, pre = length(dev, access), length(dev, "ACT"), length(dev, "PRE")
    opening = n["nRCDRD" if read else "nRCDWR"]
    assert hit == column - clock + data
    assert miss == act - clock + opening + data
    assert conflict == pre - clock + n["nRP"] + opening + data


# bandwidth


def spread(dev: DramDevice) -> list[int]:
    """A bank of every bank group of the first rank of each pseudo-channel; pseudo-channels change fastest, then groups."""
    org = dev.organization
    group, pseudo = org.banks_at(Level.BANKGROUP), org.banks_at(Level.PSEUDOCHANNEL)
    return [p * pseudo + g * group for g in range(org.bank_groups.value) for p in range(org.pseudo_channels.value)]


@pytest.mark.parametrize("access", ["RD", "WR"])
@pytest.mark.parametrize("name", NAMES)
def test_peak_bandwidth(name: str, access: str) -> None:
    """Accesses that alternate over bank groups and pseudo-channels fill each data bus: a burst every max(nBL, nCCDS)."""
    dev = device(name, RefreshMode.OFF)
    n, org = dev.params, dev.organization
    banks, columns = spread(dev), org.columns
    builder = Builder(dev)
    for bank in banks:
        builder.add("ACT", bank)
    for column in range(columns):
        for bank in banks:
            builder.add(access, bank, col=column, release=IDLE)
    log = run_kernel(dev, builder.stream(), builder.not_before).log[len(banks) :]
    every = max(n["nBL"], n["nCCDS"])
    assert org.pseudo_channels.value * max(n.get("nCMD", 0), length(dev, access)) <= every, "the command bus is no limit"
    again = n["nCCDLWR"] if access == "WR" and "nCCDLWR" in n else n["nCCDL"]
    assert every * org.bank_groups.value >= again, "each group's turn comes in time"
    pseudo = log["unit"] // org.banks_at(Level.PSEUDOCHANNEL)
    for number in range(org.pseudo_channels.value):
        cycles = log["cycle"][pseudo == number]
        assert len(cycles) == columns * org.bank_groups.value
        assert np.diff(cycles).tolist() == [every] * (len(cycles) - 1)


# refresh


def owed(dev: DramDevice, log: IssueLog) -> NDArray[np.int64]:
    """Refreshes that are due but not issued at each row of the log, before it."""
    refreshes = log["cmd"] == dev.dram_standard.index[dev.refresh_command.name]
    done = np.cumsum(refreshes) - refreshes
    return log["cycle"] // dev.refresh_interval - done


@pytest.mark.parametrize(("name", "mode"), REFRESHED)
def test_refresh_comes_as_often_as_it_must(name: str, mode: RefreshMode) -> None:
    """Over at least 20 tREFI each unit is refreshed as often as tREFI has passed, give or take one; debt stays in its limit."""
    dev = device(name, mode)
    stream, not_before = random_stream(dev, 11, length=100, idle=0.1)
    builder = close_all(Builder(dev))
    stream, not_before = np.concatenate([stream, builder.stream()]), [*not_before, *builder.not_before]
    units, interval = dev.refresh_units, dev.refresh_interval
    busy = int(run_kernel(dev, stream, not_before).log["cycle"][-1])
    t_end = max(busy, 20 * units * interval) + 7
    log = run_kernel(dev, stream, not_before, t_end=t_end).log
    refreshes = log[log["cmd"] == dev.dram_standard.index[dev.refresh_command.name]]
    assert len(refreshes) == t_end // interval
    counts = np.bincount(refreshes["unit"], minlength=units)
    assert len(counts) == units and (abs(counts - t_end / (units * interval)) <= 1).all()
    assert (refreshes["cycle"] >= (np.arange(len(refreshes)) + 1) * interval).all(), "none is early"


@pytest.mark.parametrize("kind", ["refresh-storm", "conflicts"])
@pytest.mark.parametrize(("name", "mode"), REFRESHED)
def test_debt_never_passes_its_limit(name: str, mode: RefreshMode, kind: str) -> None:
    """Whatever changes no row and follows the stream finds at most ``postpone_limit`` refreshes of each unit owed."""
    dev = device(name, mode)
    stream, not_before = adversarial_stream(dev, kind, seed=2, length=200)
    log = run_kernel(dev, stream, not_before).log
    accesses = np.isin(log["cmd"], [dev.dram_standard.index[each] for each in ("RD", "WR")])
    assert accesses.any()
    assert owed(dev, log)[accesses].max() <= dev.refresh.postpone_limit.value * dev.refresh_units


# data bus


def bursts(dev: DramDevice, log: IssueLog) -> dict[int, list[tuple[int, int]]]:
    """Intervals of the bursts on each data bus, in order of their begin."""
    n, standard, org = dev.params, dev.dram_standard, dev.organization
    size, found = org.banks_at(Level.PSEUDOCHANNEL), dict[int, list[tuple[int, int]]]()
    for row in log:
        command = standard.commands[row["cmd"]]
        if not command.bus:
            continue
        own = OWN_LATENCY.get(command.name, "")
        latency = n[own] if own in n else n["nCL" if command.bus == "read" else "nCWL"]
        begin = int(row["cycle"]) + length(dev, command.name) - standard.ticks_per_clock + latency
        for pseudo in sorted({bank // size for bank in org.touched(command, int(row["unit"]))}):
            found.setdefault(pseudo, []).append((begin, begin + n["nBL"]))
    return {pseudo: sorted(each) for pseudo, each in found.items()}


@pytest.mark.parametrize("kind", [*KINDS, "random"])
@pytest.mark.parametrize("name", NAMES)
def test_bursts_never_overlap(name: str, kind: str) -> None:
    dev = device(name, RefreshMode.OFF)
    stream, not_before = random_stream(dev, 5, length=300) if kind == "random" else adversarial_stream(dev, kind, 3, 200)
    log = run_kernel(dev, stream, not_before).log
    for intervals in bursts(dev, log).values():
        begins, ends = np.array(intervals).T
        assert (begins[1:] >= ends[:-1]).all()
