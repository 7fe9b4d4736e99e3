"""Streams for exhibits about timing rules: a script, the engine with the rules of a device or with edited ones, the checker."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import load_device
from rowline.arch.spec import TimingRule
from rowline.sim.reference.checker import Violation, check
from rowline.sim.reference.oracle import run_oracle
from rowline.traces.commands import IssueLog

from ..conformance.builder import Builder
from ..conformance.kernel import run_kernel
from .exhibit import claim

Rules = tuple[TimingRule, ...]
OFF = "refresh.mode=off"
PER_BANK = "refresh.mode=per_bank"


@dataclass(frozen=True)
class Issued:
    """What was issued on a device."""

    device: DramDevice
    log: IssueLog

    @property
    def names(self) -> list[str]:
        """Names of the commands."""
        return [self.device.dram_standard.commands[number].name for number in self.log["cmd"].tolist()]

    @property
    def violations(self) -> list[Violation]:
        """What the checker finds."""
        return check(self.device, self.log, refresh=self.device.refresh.mode != RefreshMode.OFF)


_STEP = re.compile(r"(?P<name>\w+) (?P<unit>\d+)(?: row (?P<row>\d+))?(?: at (?P<release>\d+))?(?P<safe> safe)?")


def issue(device: DramDevice, script: str, rules: Rules | None = None, kernel: bool = True) -> Issued:
    """Issue a script: commands such as ``ACT 0 row 3``, ``at`` a cycle at the earliest, ``safe`` for refresh; ``;`` between.

    By the kernel, or by the oracle.
    """
    builder = Builder(device)
    for text in script.split(";"):
        step = _STEP.fullmatch(text.strip())
        assert step is not None, text
        row, release = int(step["row"] or 0), int(step["release"] or 0)
        builder.add(step["name"], int(step["unit"]), row=row, release=release, safe=step["safe"] is not None)
    if not kernel:
        return Issued(device, run_oracle(device, builder.stream(), builder.not_before, rules=rules))
    outcome = run_kernel(device, builder.stream(), builder.not_before, rules=rules)
    assert outcome.position == len(builder.rows)
    return Issued(device, outcome.log)


def edit(device: DramDevice, *names: str, **changes: Any) -> Rules:
    """The device's rules with some of them changed; without changes they are dropped."""
    known = {rule.name for rule in device.dram_standard.rules}
    assert known.issuperset(names), names
    changes = changes or {"latency": "0"}
    return tuple(replace(each, **changes) if each.name in names else each for each in device.dram_standard.rules)


def cut(device: DramDevice, *pairs: tuple[str, str]) -> Rules:
    """The device's rules without any gap between these pairs of commands (command bus aside)."""
    standard, rules = device.dram_standard, list[TimingRule]()
    for each in device.dram_standard.rules:
        before, after = standard.members(each.preceding), standard.members(each.following)
        gone = [(a, b) for a, b in pairs if a in {c.name for c in before} and b in {c.name for c in after}]
        if not gone or each.window > 1 or each.term == "command_bus":
            rules.append(each)
            continue
        for one in before:
            kept = tuple(other.name for other in after if (one.name, other.name) not in gone)
            rules.append(replace(each, preceding=(one.name,), following=kept))
    return tuple(rules)


def legal(issued: Issued) -> None:
    """The checker, which does not know the rules, finds nothing wrong."""
    found = issued.violations
    claim(not found, found[0].text if found else "")


def apart(first: int, second: int, due: Callable[[dict[str, int]], int]) -> Callable[[Issued], None]:
    """A check: two rows of the log stand exactly so many ticks apart."""

    def check_gap(issued: Issued) -> None:
        cycles, names = issued.log["cycle"].tolist(), issued.names
        gap, expected = cycles[second] - cycles[first], due(issued.device.params)
        claim(gap == expected, f"{names[second]} comes {gap} ticks after {names[first]}, {expected} are due")

    return check_gap


def quiet(name: str, *sets: str) -> DramDevice:
    """A device without refresh."""
    return load_device(name, (OFF, *sets))
