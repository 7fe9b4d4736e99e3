"""The judge over every command log of the DRAM simulators, each with the peer's own timing values.

Values that a peer lacks do not matter, as no log holds power-down, refresh of single banks or more than one rank. Refresh is
judged where the case refreshes: all of DRAMsim3's, and those of Ramulator that are named so.
"""

from dataclasses import dataclass

import pytest
from rowline.arch.device import DramDevice
from rowline.sim.judge import LogJudge
from rowline.traces.formats.commandlog import our_names, read_command_log

from .peers import DATA, cases, device_of

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")

RDA_REF = (
    "Bug of DRAMsim3, beside what the facts say of its RDA (A, D3): after an RDA a refresh waits tRTP + tRP only, 29 cycles in"
    " these logs, and the activation is forgotten. So a refresh cuts tRAS and tRC of a row short that was opened, read once and"
    " closed by itself."
)


@dataclass(frozen=True)
class Finding:
    """What the judge has against a log: violations by rule, and whose fault they are."""

    counts: dict[str, int]
    why: str


FINDINGS = {
    ("dramsim3/gddr6_close", "seq_read"): Finding({"tRAS+tRP": 11, "tRC": 11}, RDA_REF),
    ("dramsim3/gddr6_close", "rand_read"): Finding({"tRAS+tRP": 1, "tRC": 1}, RDA_REF),
    ("dramsim3/gddr6_close", "sparse_refresh"): Finding({"tRAS+tRP": 8, "tRC": 8}, RDA_REF),
}
"""All others are clean. No difference D1 to D12 shows in these logs: the peer's values stand for its formulae (D2, D10 to
D12), D3 and D8 make a peer wait longer, and the rest needs refresh of single banks (D1, D6, D7), stack IDs (D5), PIM commands
(D9) or an automatic precharge soon after a write (D4)."""


def judged(config: str, case: str, device: DramDevice, refresh: bool) -> LogJudge:
    """The judge after a case's log."""
    log = read_command_log(DATA / f"{config}.{case}.cmd.csv.gz")
    judge = LogJudge(device, refresh)
    for chunk in log:
        judge.feed(our_names(log.names), chunk)
    return judge


def refreshes(config: str, case: str) -> bool:
    """Whether the peer refreshed in this case."""
    return config.startswith("dramsim3") or case.startswith("refresh")


@pytest.mark.parametrize(("config", "case"), cases())
def test_the_log_is_legal_or_its_faults_are_known(config: str, case: str) -> None:
    judge = judged(config, case, device_of(config), refreshes(config, case))
    assert judge.commands > 2000
    assert judge.counts == (FINDINGS[config, case].counts if (config, case) in FINDINGS else {})


@pytest.mark.parametrize(("config", "case"), FINDINGS)
def test_known_faults_are_what_they_are_said_to_be(config: str, case: str) -> None:
    """Each is a REFab after the RDA of a row that has not been open for tRAS."""
    found = judged(config, case, device_of(config), True).findings
    assert len(found) == sum(FINDINGS[config, case].counts.values())
    verdicts = [each.violation for each in found]
    assert {(each.rule, each.command.split()[0], each.earlier.split()[0]) for each in verdicts} == {
        ("tRAS+tRP", "REFab", "RDA"),
        ("tRC", "REFab", "ACT"),
    }
    assert FINDINGS[config, case].why


_COMMON = "tRC tRCDRD tRCDWR tRAS tRP tRTP tWR tRRDS tRRDL tCWL tCCDS tCCDL tWTRS tWTRL tRFCab"
BINDING = {
    "ramulator2/ddr4": f"{_COMMON} tCMD tFAW tRTW",
    "ramulator2/gddr6": f"{_COMMON} tCMD tPPD tCL tBTA",
    "ramulator2/hbm2": f"{_COMMON} tRTW",
    "dramsim3/ddr4_3200": f"{_COMMON} tCMD tFAW tRTW",
    "dramsim3/gddr6": f"{_COMMON} tCMD tPPD tCL tBTA t32AW",
}
"""Values that some log of a configuration uses to the cycle: with one more, the judge objects."""


@pytest.mark.parametrize("config", BINDING)
def test_the_logs_put_every_value_to_use(config: str) -> None:
    """That the logs are clean says something: of nearly each value one cycle more would not be."""
    device = device_of(config)
    binding = {name for name in device.timing if _binds(config, device, name)}
    assert binding == set(BINDING[config].split())


def _binds(config: str, device: DramDevice, name: str) -> bool:
    value = device.timing[name]
    longer = value.model_copy(update={"value": value.value + 1})
    strict = device.model_copy(update={"timing": device.timing | {name: longer}})
    return any(judged(config, case, strict, refreshes(config, case)).counts for each, case in cases() if each == config)
