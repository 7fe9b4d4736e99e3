"""Requests of Ramulator 2.1 and DRAMsim3 through our controller, with each peer's timing values, queues and watermarks.

A peer's policies go in as options of ours (docs/controller.md); none is set for a single case. What then differs stands in the
tables of docs/validation-dram.md, which ``python -m pytest -q -s tests/crosssim/test_requests.py -k table`` prints.
Ticks count from the first at which the peer can issue: its clk 1 (Ramulator) or 2 (DRAMsim3) is our tick 0.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rowline.arch.controller import Controller

from ..conformance.served import run_fast
from .peers import DATA, cases, configuration, device_of, requests_of, table

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "validation-dram.md"

RAMULATOR = {
    "read_queue": 32, "write_queue": 32, "write_high": "0.8", "write_low": "0.2", "row_hit_cap": 0,
    "finish_opened": True, "refresh_postpone": 0, "refresh_together": True,
}  # fmt: skip
"""All but ``prefer``, by the scheduler: FRFCFS takes the oldest ready request. Watermarks and queues: the peer's JSON."""
DRAMSIM3 = {
    "read_queue": 32, "write_queue": 32, "bank_queue": 8, "write_high": "0.99", "row_hit_cap": 4, "prefer": "row",
    "finish_opened": True, "refresh_postpone": 0,
}  # fmt: skip
"""Writes are served once 32 wait. Its bank queues take turns, whatever they need; of our orders that of ``row`` is nearest."""

OUR_NAMES = {
    "activate": "ACT", "read": "RD", "write": "WR", "read_p": "RDA", "write_p": "WRA", "precharge": "PRE", "refresh": "REFab",
    "PREpb": "PRE", "PREab": "PREA",
}  # fmt: skip
COLUMNS = ("RD", "WR", "RDA", "WRA")

NOTES = {
    ("ramulator2", "bg_interleave"): "a",
    ("ramulator2", "mixed_rand_rw"): "b",
    ("ramulator2", "mixed_seq_rw"): "a, b",
    ("ramulator2", "rand_read"): "b",
    ("ramulator2", "rand_read_rowhitsched"): "b",
    ("ramulator2", "refresh_rand_read"): "b, c",
    ("ramulator2", "refresh_seq_read"): "c",
    ("dramsim3", "mixed_rand_rw"): "d, e, f",
    ("dramsim3", "mixed_seq_rw"): "d, e",
}
"""(Simulator, case) -> what causes the difference, a letter of the document. Others of DRAMsim3: d; no note at 0."""

EXCEPTIONS = {("ramulator2/gddr6", "bg_interleave"): -2.70, ("dramsim3/gddr6", "mixed_seq_rw"): 11.61}
"""Case out of tolerance -> its difference in percent."""

MERGED_READS = {"mixed_rand_rw": 1}
"""Reads of DRAMsim3 that join one of the same place, which waits (requests 804 and 834): the peer issues no command."""

Changes = tuple[tuple[str, Any], ...]
_QUEUES_40: Changes = (("read_queue", 40), ("write_queue", 40))
_COMMON_PLACES: Changes = (("bank_queue", 0), ("read_queue", 160))
WHAT_IF: list[tuple[str, str, Changes]] = [
    *(("ramulator2/" + name, "mixed_rand_rw", (("finish_opened", False),)) for name in ("ddr4", "gddr6", "hbm2")),
    *(("ramulator2/" + name, "mixed_rand_rw", _QUEUES_40) for name in ("ddr4", "gddr6", "hbm2")),
    ("ramulator2/hbm2", "refresh_rand_read", (("refresh_together", False),)),
    ("ramulator2/hbm2", "refresh_seq_read", (("refresh_together", False),)),
    ("dramsim3/ddr4_3200", "stride_row", (("prefer", "oldest"),)),
    ("dramsim3/ddr4_3200", "mixed_rand_rw", (("write_low", "0"),)),
    ("dramsim3/gddr6", "mixed_seq_rw", (("write_low", "0"),)),
    ("dramsim3/ddr4_3200", "seq_read", _COMMON_PLACES),
    ("dramsim3/gddr6_close", "seq_read", (("row_policy", "closed"),)),
]
"""What one changed setting does to a case: the evidence for the document's reasons."""

Command = tuple[int, str, int, int]


class Comparison(NamedTuple):
    """Both logs, in our ticks, names and banks: (tick, command, bank, row of an ACT)."""

    ours: list[Command]
    theirs: list[Command]
    requests: int

    @staticmethod
    def last(log: list[Command]) -> int:
        """Tick of the last column command."""
        return max(tick for tick, name, *_ in log if name in COLUMNS)

    @property
    def percent(self) -> float:
        """Difference in ticks."""
        return 100 * (self.last(self.ours) / self.last(self.theirs) - 1)

    @property
    def same(self) -> int:
        """Commands before the first that differs."""
        pairs = zip(self.ours, self.theirs, strict=False)
        return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(self.ours), len(self.theirs)))

    def columns(self, log: list[Command]) -> dict[str, int]:
        """Column commands by kind."""
        names = [name for _, name, *_ in log]
        return {name: names.count(name) for name in COLUMNS}

    def effort(self, log: list[Command]) -> tuple[int, int]:
        """Activations, and changes between reads and writes."""
        kinds = [name[0] for _, name, *_ in log if name in COLUMNS]
        turns = sum(one != other for one, other in zip(kinds, kinds[1:], strict=False))
        return sum(name == "ACT" for _, name, *_ in log), turns


def controller_of(config: str, case: str, changes: Changes = ()) -> Controller:
    """The peer's controller in our terms."""
    if config.startswith("ramulator2"):
        by_row = "RowHit" in configuration(config)["cases"][case]["scheduler"]
        tree: dict[str, Any] = RAMULATOR | {"prefer": "column" if by_row else "oldest"}
    else:
        tree = DRAMSIM3 | {"row_policy": "auto_precharge" if config.endswith("close") else "open"}
    return Controller.model_validate(tree | dict(changes))


@cache
def compared(config: str, case: str, changes: Changes = ()) -> Comparison:
    """A case in both simulators, up to the last column command; with other settings of ours if ``changes`` are given."""
    ramulator = config.startswith("ramulator2")
    device = device_of(config, not ramulator or configuration(config)["cases"][case]["refresh"] != "none")
    requests = requests_of(config, case)
    log, names = run_fast(device, controller_of(config, case, changes), requests)[0].log, device.dram_standard.commands
    ours = [
        (tick, names[cmd].name, unit, row if names[cmd].name == "ACT" else -1)
        for tick, cmd, unit, row in zip(*(log[name].tolist() for name in ("cycle", "cmd", "unit", "row")), strict=True)
    ]
    return Comparison(ours, _their_log(config, case), len(requests))


def _their_log(config: str, case: str) -> list[Command]:
    org, start = device_of(config).organization, 1 if config.startswith("ramulator2") else 2
    theirs: list[Command] = []
    for line in table(config, case, "cmd"):
        name, part = OUR_NAMES.get(line["cmd"], line["cmd"]), int(line.get("pseudochannel", 0))
        group, bank = int(line.get("bankgroup", line.get("bg", 0))), int(line["bank"])
        unit = (part * org.bank_groups.value + group) * org.banks_per_group.value + bank
        if name in ("PREA", "REFab"):
            unit = part
        theirs.append((int(line["clk"]) - start, name, unit, int(line["row"]) if name == "ACT" else -1))
    last = Comparison.last(theirs)
    return [command for command in theirs if command[0] <= last]


def tolerance(case: str) -> float:
    """What may differ, in percent."""
    return 5 if "rand" in case or "mixed" in case else 2


@pytest.mark.parametrize(("config", "case"), cases())
def test_same_columns_and_cycles(config: str, case: str) -> None:
    both, simulator = compared(config, case), config.split("/")[0]
    expected = both.columns(both.theirs)
    if simulator == "dramsim3" and case in MERGED_READS:
        expected["RDA" if config.endswith("close") else "RD"] += MERGED_READS[case]
    assert both.columns(both.ours) == expected
    if (config, case) in EXCEPTIONS:
        assert abs(both.percent) > tolerance(case)
        assert both.percent == pytest.approx(EXCEPTIONS[config, case], abs=0.005)
    else:
        assert abs(both.percent) <= tolerance(case)


def test_their_last_cycle_is_what_they_say() -> None:
    for config, case in cases():
        said = configuration(config)["cases"][case]
        last = said["last_rw_clk"] - 1 if config.startswith("ramulator2") else said["last_rw_cmd_clk"] - 2
        assert Comparison.last(_their_log(config, case)) == last


def test_the_two_reads_that_dramsim3_merges() -> None:
    requests = requests_of("dramsim3/gddr6", "mixed_rand_rw")
    assert requests["write"][[804, 834]].tolist() == [0, 0]
    assert len(np.unique(requests[[804, 834]][["bank", "row", "col"]])) == 1


def lines() -> list[str]:
    """The table of the document."""
    found = ["| simulator | configuration | case | requests | theirs | ours | difference | equal commands | why |"]
    found.append("|---|---|---|---|---|---|---|---|---|")
    for config, case in cases():
        both, (simulator, standard) = compared(config, case), config.split("/")
        equal = "all" if both.ours == both.theirs else f"{both.same:,} of {len(both.theirs):,}"
        theirs, ours = both.last(both.theirs), both.last(both.ours)
        note = "" if theirs == ours else NOTES.get((simulator, case), "d" if simulator == "dramsim3" else "?")
        difference = "0" if theirs == ours else f"{both.percent:+.2f} %"
        if (config, case) in EXCEPTIONS:
            difference = f"**{difference}**"
        cells = (simulator, standard, case, f"{both.requests:,}", f"{theirs:,}", f"{ours:,}", difference, equal, note)
        found.append(f"| {' | '.join(cells)} |")
    return found


def what_if() -> list[str]:
    """The table of single changes."""
    found = ["| simulator | configuration | case | changed | difference | instead of |", "|---|---|---|---|---|---|"]
    for config, case, changes in WHAT_IF:
        text = ", ".join(f"`{name}: {str(value).lower()}`" for name, value in changes)
        plain, changed = compared(config, case).percent, compared(config, case, changes).percent
        cells = (*config.split("/"), case, text, f"{changed:+.2f} %", f"{plain:+.2f} %")
        found.append(f"| {' | '.join(cells)} |")
    return found


def test_the_document_has_this_table() -> None:
    found = lines()
    print("\n" + "\n".join(found))
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(found) in text
    for letter in {letter for line in found[2:] for letter in line.split("|")[-2].split(",") if letter.strip()}:
        assert f"\n- **{letter.strip()}** " in text


def test_the_document_has_this_table_of_changes() -> None:
    found = what_if()
    print("\n" + "\n".join(found))
    assert "\n".join(found) in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("config", "case", "theirs", "ours"),
    [
        ("ramulator2/ddr4", "bg_interleave", (48, 0), (32, 0)),
        ("ramulator2/gddr6", "bg_interleave", (78, 0), (48, 0)),
        ("ramulator2/hbm2", "bg_interleave", (166, 0), (96, 0)),
        ("dramsim3/gddr6", "mixed_seq_rw", (142, 125), (187, 141)),
    ],
)
def test_activations_and_turns_that_the_document_names(
    config: str, case: str, theirs: tuple[int, int], ours: tuple[int, int]
) -> None:
    both = compared(config, case)
    assert (both.effort(both.theirs), both.effort(both.ours)) == (theirs, ours)
