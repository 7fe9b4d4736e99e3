"""Random commands by the million through the in-order engine, not one of them early: the judge looks at each.

Normally 10^6 on every device of the kit in every refresh mode. 10^8 a standard: ``python -m pytest -m slow -s
tests/sim/test_many_commands.py``, about a minute each on one core.
"""

import resource
import time

import numpy as np
import pytest
from rowline.arch.device import RefreshMode
from rowline.arch.standards import STANDARDS

from ..conformance.devices import CASES, device, refresh_mode, supports, widest
from ..conformance.floods import Flood, flood

MILLION = 1_000_000
GROWTH_MIB = 64
"""By how much memory may grow between the first million commands and the last."""


def memory_mib() -> int:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def assert_all_came(one: Flood) -> None:
    """Every command that may stand in a stream was issued, and so was refresh."""
    standard, refresh = one.device.dram_standard, one.device.refresh
    wanted = {c.name for c in standard.commands if "power" not in c.classes and c.row.value != "refresh"}
    if refresh.mode != RefreshMode.OFF:
        wanted.add(one.device.refresh_command.name)
    issued = {standard.commands[cmd].name for cmd in np.flatnonzero(one.counts)}
    assert wanted <= issued, wanted - issued


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_million_commands_without_a_violation(name: str, mode: RefreshMode) -> None:
    one = flood(device(name, mode), MILLION)
    assert one.judge.commands == one.issued >= MILLION
    assert_all_came(one)


def test_the_same_seed_gives_the_same_flood() -> None:
    dev = device(CASES[0][0], CASES[0][1])
    one, same, other = flood(dev, 50_000, seed=3), flood(dev, 50_000, seed=3), flood(dev, 50_000, seed=4)
    assert one.state.tolist() == same.state.tolist() != other.state.tolist()


def _flood_of(standard: str, mode: RefreshMode, commands: int) -> Flood:
    """So many commands in one refresh mode, in chunks; memory does not grow."""
    one = Flood(refresh_mode(widest(standard), mode), seed=2)
    while one.issued < min(MILLION, commands):
        one.step()
    held = memory_mib()
    while one.issued < commands:
        one.step()
    one.close()
    assert memory_mib() - held < GROWTH_MIB
    assert_all_came(one)
    return one


@pytest.mark.slow
@pytest.mark.parametrize("standard", STANDARDS)
def test_a_hundred_million_commands_without_a_violation(standard: str) -> None:
    modes = [mode for mode in RefreshMode if supports(widest(standard), mode)]
    begin = time.perf_counter()
    issued = sum(_flood_of(standard, mode, 100 * MILLION // len(modes) + 1).issued for mode in modes)
    taken = time.perf_counter() - begin
    print(f"\n{standard}: {issued:,} commands, 0 violations, {taken:.0f} s, at most {memory_mib()} MiB")
    assert issued >= 100 * MILLION
