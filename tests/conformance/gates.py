"""One gate a timing rule: a device on which the rule binds and a stream in which it does."""

import functools
from dataclasses import dataclass

from rowline.arch.device import DramDevice
from rowline.arch.spec import TimingRule
from rowline.arch.standards import STANDARDS

from .devices import device
from .directed import UNREACHABLE, PairStream, pair_stream, tight_device, weaken

BASE = {"gddr6": "gddr6", "gddr6-pim": "aim"}
"""Standard -> the device whose values are tightened."""

COVERED = {
    **dict.fromkeys(
        ("tCCDS-RD", "tCCDL-RD", "tCCDS-WR", "tCCDL-WR", "tBL-RD", "tBL-WR"),
        "only on a PIM device: a PIM rule over more commands has the same latency; binds alone on plain GDDR6",
    ),
    "tWTRS-REG": "tWTRL-REG is the same rule with tWTRL, which is never below tWTRS; it ties with it at best",
}
"""Rules that bind on a PIM device only together with another: one cycle short, they change nothing there, and why."""

CASES = [(standard.name, rule.name) for standard in STANDARDS.values() for rule in standard.rules]
BINDING_CASES = [case for case in CASES if case[1] not in UNREACHABLE]


@dataclass(frozen=True)
class Gate:
    """A rule, a device on which it binds, and a stream in which it does."""

    device: DramDevice
    rule: TimingRule
    pair: PairStream

    @property
    def weaker(self) -> tuple[TimingRule, ...]:
        """The rules of the device with this one a cycle short."""
        return weaken(self.device.dram_standard.rules, self.rule)


@functools.cache
def gate_of(standard: str, name: str) -> Gate:
    """The directed stream of a rule."""
    rule = next(each for each in STANDARDS[standard].rules if each.name == name)
    tight = tight_device(device(BASE[standard]), rule)
    pair = pair_stream(tight, rule)
    assert pair is not None, f"no stream makes {name} bind"
    return Gate(tight, rule, pair)


def covered(standard: str, name: str) -> bool:
    """Whether another rule hides this one."""
    return standard == "gddr6-pim" and name in COVERED
