"""What the checker knows and the rule tables do not: each proposed rule is needed and enough; lost refreshes show."""

import numpy as np
import pytest
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import TimingRule
from rowline.sim.reference.checker import check
from rowline.sim.reference.oracle import run_oracle
from rowline.traces.commands import IssueLog

from .builder import Builder
from .devices import CASES, device
from .directed import tight_device
from .gaps import PROPOSED, missing_rules
from .streams import random_stream

VIOLATIONS = {"data-bus", "tWR+tRP"}
"""What the checker calls the rules that the standards lack."""


def broken(dev: DramDevice, log: IssueLog, refresh: bool = True) -> set[str]:
    """The violated rules."""
    return {violation.rule for violation in check(dev, log, refresh)}


@pytest.mark.parametrize("gap", PROPOSED["gddr6-pim"], ids=lambda gap: gap.name)
def test_each_gap_is_one(gap: TimingRule) -> None:
    """A stream that is illegal with the rules the standard has now, and legal with this one more."""
    quiet = device("aim", RefreshMode.OFF)
    if gap not in missing_rules(quiet):
        pytest.skip("the standard has this rule by now")
    tight = tight_device(quiet, gap)
    builder = Builder(tight)
    before, after = (tight.dram_standard.members(side)[0].name for side in (gap.preceding, gap.following))
    builder.add("ACT16")
    builder.add(before, release=200)
    builder.add(after, release=200 + gap.cycles(tight.params) - 1)
    if after == "RDA":
        builder.add("ACT")  # the automatic precharge was early
    rules = tight.dram_standard.rules
    found = broken(tight, run_oracle(tight, builder.stream(), builder.not_before))
    assert found and found <= VIOLATIONS
    assert not broken(tight, run_oracle(tight, builder.stream(), builder.not_before, rules=(*rules, gap)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_the_standards_lack_nothing_else(name: str, mode: RefreshMode, seed: int) -> None:
    dev = device(name, mode)
    stream, not_before = random_stream(dev, seed, length=150)
    assert broken(dev, run_oracle(dev, stream, not_before)) <= (VIOLATIONS if missing_rules(dev) else set())


@pytest.mark.parametrize("mode", [RefreshMode.ALL_BANK, RefreshMode.PER_BANK])
def test_a_refresh_dropped_is_noticed(mode: RefreshMode) -> None:
    """Any single one, where the limit of postponed refreshes is reached; what is left is legal but for the debt."""
    dev = device("aim", mode)
    limit = dev.refresh.interval.cycles_floor(dev.device_clock) * (1 + dev.refresh.postpone_limit.value)
    builder = Builder(dev)
    builder.add("ACT")
    builder.add("RD", release=limit + 10)
    builder.add("RD", release=limit + 300)
    log = run_oracle(dev, builder.stream(), builder.not_before)
    assert not broken(dev, log)
    names = [command.name for command in dev.dram_standard.commands]
    refreshes = [place for place, cmd in enumerate(log["cmd"]) if names[cmd].startswith("REF")]
    assert refreshes
    for place in refreshes:
        rest = np.delete(log, place)
        assert broken(dev, rest) & {"refresh-debt", "refresh-order"}
        assert not broken(dev, rest, refresh=False)
