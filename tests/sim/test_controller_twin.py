"""The slow memory controller against cases worked out by hand from ``docs/controller.md``.

Most run on DDR4-2400, in ticks: tRCD 16, tRP 16, tRAS 39, tRC 55, tRTP 9, tRRD_S 4, tCCD_L 6, tCL 16, tCWL 12, tWR 18, tRTW 10,
tWTR_S 3, tWTR_L 9, tRTRS 2, burst 4; tRFC 420, tXP 8, tCKE 6, tXS 432. Banks 0 to 3 are one group, 4 to 7 the next; a second rank
begins at bank 16. HBM2-2000: tRCDRD 14, tRP 14, tRTP 5, tRRD 4, tCL 14, burst 2, tRFCpb 160; ACT lasts two ticks, timing counts
from the second, and bank 16 is the first of the second pseudo-channel.
"""

from typing import Any

import pytest
from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device, load_system
from rowline.sim.reference.checker import check
from rowline.sim.reference.controller import Served, run_controller
from rowline.traces.commands import BINDING_HOST, BINDING_REFRESH_DUE, BINDING_START

from ..conformance.requests import ARRIVALS, PLACES, controllers, random_requests, request_table

OFF = load_device("ddr4-2400", ["refresh.mode=off"])
OFF_2 = load_device("ddr4-2400", ["refresh.mode=off", "organization.ranks=2"])
EVERY = load_device("ddr4-2400", ["refresh.interval=1000 ck"])
"""A refresh falls due every 1000 ticks."""
EVERY_2 = load_device("ddr4-2400", ["refresh.interval=2000 ck", "organization.ranks=2"])
"""The same, and they go to two ranks in turn."""
HBM = load_device("hbm2-2000", ["refresh.mode=off"])
HBM_EVERY = load_device("hbm2-2000", ["refresh.interval=2000 ck"])
HBM_PER_BANK = load_device("hbm2-2000", ["refresh.interval=32000 ck", "refresh.mode=per_bank"])
"""Bank k mod 32 is due every 1000 ticks."""

READ, WRITE = 0, 1
Place = tuple[int, bool | int, int, int, int]


class Run:
    """One run, which must be legal: what was issued when, and what became of the requests."""

    def __init__(self, device: DramDevice, requests: list[Place], **controller: Any) -> None:
        fitted = Controller.model_validate(controller)
        self.device = device
        self.log, self.served = run_controller(device, fitted, request_table(requests))
        assert check(device, self.log) == []

    @property
    def issued(self) -> list[tuple[int, str, int]]:
        """Tick, name and unit of each command."""
        names = [command.name for command in self.device.dram_standard.commands]
        return [(int(row["cycle"]), names[row["cmd"]], int(row["unit"])) for row in self.log]

    @property
    def deciders(self) -> list[str | int]:
        """The rule that decided each tick, or a BINDING value."""
        rules = self.device.dram_standard.rules
        return [rules[rule].name if rule >= 0 else int(rule) for rule in self.log["rule"]]

    def ticks(self, name: str) -> list[int]:
        """When commands of this name went."""
        return [tick for tick, each, _ in self.issued if each == name]


# single requests


def test_unloaded_miss_hit_and_conflict():
    """Latency is tRCD + tCL + burst for a miss, tCL + burst for a hit, and tRP more than a miss for a conflict."""
    run = Run(OFF, [(10, READ, 0, 5, 3), (100, READ, 0, 5, 4), (200, READ, 0, 6, 3)])
    assert run.issued == [(10, "ACT", 0), (26, "RD", 0), (100, "RD", 0), (200, "PRE", 0), (216, "ACT", 0), (232, "RD", 0)]
    assert run.served == [Served("miss", 10, 46), Served("hit", 100, 120), Served("conflict", 200, 252)]
    assert run.deciders == [BINDING_HOST, "tRCDRD", BINDING_HOST, BINDING_HOST, "tRP", "tRCDRD"]
    assert run.log["row"].tolist() == [5, 5, 5, -1, 6, 6] and run.log["col"].tolist() == [-1, 3, 4, -1, -1, 3]


def test_unloaded_write():
    """With no read there the mode is write at once: ACT at 0, WR after tRCD, data until tCWL + burst later."""
    run = Run(OFF, [(0, WRITE, 0, 5, 3)])
    assert run.issued == [(0, "ACT", 0), (16, "WR", 0)]
    assert run.served == [Served("miss", 0, 32)]
    assert run.deciders == [BINDING_START, "tRCDWR"]


def test_nothing_to_do():
    """No request, no command."""
    run = Run(OFF, [])
    assert len(run.log) == 0 and run.served == []


def test_data_end_of_a_long_command():
    """HBM3 column commands last two half clocks: ticks(command) - ticks_per_clock adds nothing; DDR5 ones last two clocks: 1."""
    for name in ("hbm3-6400", "ddr5-4800"):
        device = load_device(name, ["refresh.mode=off"])
        run = Run(device, [(0, READ, 0, 5, 3)])
        issue, extra = run.ticks("RD")[0], 1 if name == "ddr5-4800" else 0
        assert run.served[0].done == issue + extra + device.params["nCL"] + device.params["nBL"]


# acceptance


def test_one_request_a_tick():
    """Three that arrive together are accepted at 0, 1 and 2; activations are tRRD_S apart."""
    run = Run(OFF, [(0, READ, bank, 5, 0) for bank in (0, 4, 8)])
    assert [each.accepted for each in run.served] == [0, 1, 2]
    assert run.ticks("ACT") == [0, 4, 8]


def test_head_of_line():
    """One read place: the second read enters the tick after the first left (RD at 16), and the write behind it comes after."""
    run = Run(OFF, [(0, READ, 0, 5, 0), (0, READ, 4, 1, 0), (0, WRITE, 8, 1, 0)], read_queue=1)
    assert [each.accepted for each in run.served] == [0, 17, 18]


def test_forwarding_and_merging():
    """Reads and writes of a queued write's place end where they are; once it was issued (16) a read goes to the DRAM.

    That read waits tCWL + burst + tWTR_L = 25 after WR.
    """
    place = (4, 7, 0)
    run = Run(OFF, [(0, WRITE, *place), (0, READ, *place), (0, WRITE, *place), (20, READ, *place)])
    assert run.issued == [(0, "ACT", 4), (16, "WR", 4), (41, "RD", 4)]
    assert run.served == [Served("miss", 0, 32), Served("forwarded", 1, 2), Served("merged", 2, 2), Served("hit", 20, 61)]


def test_forwarding_needs_no_place():
    """The read queue is full from 1 on, yet the read of the written place is forwarded at 2; so is another column not."""
    run = Run(OFF, [(0, WRITE, 8, 1, 0), (0, READ, 0, 5, 0), (0, READ, 8, 1, 0), (0, READ, 8, 1, 1)], read_queue=1)
    assert run.served[2] == Served("forwarded", 2, 3)
    assert run.served[3].kind != "forwarded" and run.served[3].accepted == run.ticks("RD")[0] + 1


# mode


def test_high_watermark():
    """More than 2 of 5 places: with the third write, at 3, writes are served, and until none (low 1) is left, at 32.

    ACT of bank 4 waits tRRD_S after bank 0; WR tRCD and then tCCD_L; RD tCWL + burst + tWTR_S = 19 after the last WR.
    """
    requests = [(0, READ, 0, 5, 0), *[(0, WRITE, 4, 7, col) for col in range(3)], (0, READ, 0, 5, 1)]
    run = Run(OFF, requests, write_queue=5, write_high="0.4", write_low="0.2")
    assert run.issued == [
        (0, "ACT", 0), (4, "ACT", 4), (20, "WR", 4), (26, "WR", 4), (32, "WR", 4), (51, "RD", 0), (57, "RD", 0),
    ]  # fmt: skip
    assert [each.done for each in run.served] == [71, 36, 42, 48, 77]


def test_low_watermark():
    """More than 3 of 5: the fourth write, at 4. Below 2, after the WR at 32, reads go; the last write when no read is left.

    It comes tRTW = 10 after the last RD.
    """
    requests = [(0, READ, 0, 5, 0), *[(0, WRITE, 4, 7, col) for col in range(4)], (0, READ, 0, 5, 1)]
    run = Run(OFF, requests, write_queue=5, write_high="0.6", write_low="0.4")
    assert run.issued == [
        (0, "ACT", 0), (4, "ACT", 4), (20, "WR", 4), (26, "WR", 4), (32, "WR", 4), (51, "RD", 0), (57, "RD", 0), (67, "WR", 4),
    ]  # fmt: skip


def test_below_the_watermark_reads_come_first():
    """Two writes are not more than 2: both reads go (16, 22) before the mode changes; ACT for the write at 23."""
    requests = [(0, READ, 0, 5, 0), (0, WRITE, 4, 7, 0), (0, WRITE, 4, 7, 1), (0, READ, 0, 5, 1)]
    run = Run(OFF, requests, write_queue=5, write_high="0.4", write_low="0.2")
    assert run.issued == [(0, "ACT", 0), (16, "RD", 0), (22, "RD", 0), (23, "ACT", 4), (39, "WR", 4), (45, "WR", 4)]


# scheduling


HITS = [(0, READ, 0, 5, 0), (0, READ, 0, 6, 0), (0, READ, 0, 5, 1), (0, READ, 0, 5, 2), (0, READ, 0, 5, 3)]


def test_row_hit_cap():
    """Two hits overtake row 6, then PRE goes for it, after tRAS; the last request finds its row closed again."""
    run = Run(OFF, HITS, row_hit_cap=2)
    assert run.issued == [
        (0, "ACT", 0), (16, "RD", 0), (22, "RD", 0), (28, "RD", 0),
        (39, "PRE", 0), (55, "ACT", 0), (71, "RD", 0),
        (94, "PRE", 0), (110, "ACT", 0), (126, "RD", 0),
    ]  # fmt: skip
    assert [each.kind for each in run.served] == ["miss", "conflict", "hit", "hit", "conflict"]


def test_no_row_hit_cap():
    """All hits go first (16, 22, 28, 34); PRE waits tRTP after the last."""
    run = Run(OFF, HITS, row_hit_cap=0)
    assert run.issued[4:] == [(34, "RD", 0), (43, "PRE", 0), (59, "ACT", 0), (75, "RD", 0)]


def test_cap_counts_only_while_one_waits():
    """The three hits at 16, 22, 28 overtake nobody; the one that arrives behind row 6 does, and is the only one that may."""
    requests = [*[(0, READ, 0, 5, col) for col in range(3)], (27, READ, 0, 6, 0), (28, READ, 0, 5, 3), (28, READ, 0, 5, 4)]
    run = Run(OFF, requests, row_hit_cap=1)
    assert run.ticks("RD")[:4] == [16, 22, 28, 34]
    assert run.ticks("PRE")[0] == 43, "tRTP after the fourth"


def test_fcfs():
    """Bank 4 waits for both of bank 0, though it could have been activated at 4; its ACT is the tick after the last RD."""
    requests = [(0, READ, 0, 5, 0), (0, READ, 0, 6, 0), (0, READ, 4, 1, 0)]
    ready = Run(OFF, requests)
    assert ready.ticks("ACT") == [0, 4, 55] and ready.ticks("RD") == [16, 20, 71]
    run = Run(OFF, requests, scheduler="fcfs")
    assert run.issued == [
        (0, "ACT", 0), (16, "RD", 0), (39, "PRE", 0), (55, "ACT", 0), (71, "RD", 0), (72, "ACT", 4), (88, "RD", 4),
    ]  # fmt: skip


def test_fcfs_takes_no_later_hit():
    """Row 6 is older than the second request for row 5: it closes the row."""
    run = Run(OFF, HITS[:3], scheduler="fcfs")
    assert run.ticks("PRE") == [39, 94] and [each.kind for each in run.served] == ["miss", "conflict", "conflict"]


@pytest.mark.parametrize(("prefer", "read", "activate"), [("column", 104, 105), ("oldest", 105, 104)])
def test_prefer(prefer: str, read: int, activate: int):
    """At 104 ACT of bank 8 (accepted 101, tRRD_S after bank 4's) and a RD accepted at 104 are both ready."""
    requests = [(0, READ, 0, 5, 0), (100, READ, 4, 1, 0), (101, READ, 8, 1, 0), (104, READ, 0, 5, 1)]
    run = Run(OFF, requests, prefer=prefer)
    assert run.ticks("ACT") == [0, 100, activate]
    assert run.ticks("RD")[1] == read


# row policy


def test_closed():
    """RD while another request of the row is there, RDA for the last; then tRC (55), later than tRTP + tRP after 22."""
    run = Run(OFF, [(0, READ, 0, 5, 0), (0, READ, 0, 5, 1), (50, READ, 0, 5, 2)], row_policy="closed")
    assert run.issued == [(0, "ACT", 0), (16, "RD", 0), (22, "RDA", 0), (55, "ACT", 0), (71, "RDA", 0)]
    assert [each.kind for each in run.served] == ["miss", "hit", "miss"]


def test_closed_looks_at_one_queue():
    """A write of the row in the other queue does not keep it open."""
    run = Run(OFF, [(0, READ, 0, 5, 0), (0, WRITE, 0, 5, 1)], row_policy="closed")
    assert [name for _, name, _ in run.issued] == ["ACT", "RDA", "ACT", "WRA"]


def test_timeout():
    """50 ticks after the RD at 16 the row is closed; the hit at 110 is none any more."""
    run = Run(OFF, [(0, READ, 0, 5, 0), (110, READ, 0, 5, 1)], row_policy="timeout", row_timeout="50 ck")
    assert run.issued == [(0, "ACT", 0), (16, "RD", 0), (66, "PRE", 0), (110, "ACT", 0), (126, "RD", 0)]
    assert run.served[1].kind == "miss"


def test_timeout_begins_anew():
    """A RD at 60 puts it off to 110; then an ACT for a request (class 3) goes before the PRE (class 4)."""
    requests = [(0, READ, 0, 5, 0), (60, READ, 0, 5, 1), (110, READ, 4, 1, 0)]
    run = Run(OFF, requests, row_policy="timeout", row_timeout="50 ck")
    assert run.issued[2:] == [(60, "RD", 0), (110, "ACT", 4), (111, "PRE", 0), (126, "RD", 4)]


def test_queued_requests_stop_the_timeout():
    """A write waits in its queue for the open row (reads are served): the row stays open, though idle for 20 ticks."""
    requests = [(0, READ, 0, 5, 0), (0, WRITE, 0, 5, 1), *[(20 + 10 * i, READ, 4, 1, i) for i in range(4)]]
    run = Run(OFF, requests, row_policy="timeout", row_timeout="20 ck")
    assert run.ticks("PRE") == [] and run.served[1].kind == "hit"


# refresh


def test_refresh_when_idle():
    """Due at 1000: the open row is closed, tRP later comes the refresh; a request at 1100 waits for its end."""
    run = Run(EVERY, [(0, READ, 0, 5, 0), (1100, READ, 4, 1, 0)])
    assert run.issued[2:] == [(1000, "PREA", 0), (1016, "REFab", 0), (1436, "ACT", 4), (1452, "RD", 4)]
    assert run.deciders[2:4] == [BINDING_HOST, "tRP-REFab"]


def test_refresh_of_closed_banks():
    """Nothing to close: it goes when it is due."""
    run = Run(EVERY, [(0, READ, 0, 5, 0), (1500, READ, 4, 1, 0)], row_policy="closed")
    assert run.issued[2] == (1000, "REFab", 0) and run.deciders[2] == BINDING_REFRESH_DUE


def test_refresh_waits_for_requests():
    """A request is queued from 995 to its RD at 1011; PREA waits tRAS (995 + 39)."""
    run = Run(EVERY, [(995, READ, 0, 5, 0), (1900, READ, 0, 5, 0)])
    assert run.issued == [
        (995, "ACT", 0), (1011, "RD", 0), (1034, "PREA", 0), (1050, "REFab", 0), (1900, "ACT", 0), (1916, "RD", 0),
    ]  # fmt: skip


@pytest.mark.parametrize("postpone", [0, 1])
def test_urgent_refresh(postpone: int):
    """At 1000 it may wait no longer (max(1, 0) = 1): the RD of the row opened at 995 is blocked until the row is open again.

    The closing was not for the request, which therefore counts as a miss.
    """
    run = Run(EVERY, [(995, READ, 0, 5, 0)], refresh_postpone=postpone)
    assert run.issued == [(995, "ACT", 0), (1034, "PREA", 0), (1050, "REFab", 0), (1470, "ACT", 0), (1486, "RD", 0)]
    assert run.served == [Served("miss", 995, 1506)]


def test_refresh_postponed_until_urgent():
    """Hits every 6 ticks from 16 on and never an empty queue: at 2000 two are owed, and one goes; the other may wait."""
    run = Run(EVERY, [(0, READ, 0, 5, col % 128) for col in range(400)], refresh_postpone=2)
    reads = run.ticks("RD")
    assert reads[:331] == list(range(16, 1997, 6))
    assert [each for each in run.issued if each[1] not in ("RD",)] == [
        (0, "ACT", 0), (2005, "PREA", 0), (2021, "REFab", 0), (2441, "ACT", 0),
    ]  # fmt: skip
    assert reads[331] == 2457 and reads[-1] == 2457 + 6 * 68


def test_refresh_pulled_in():
    """With two allowed, two go while nothing is there (0 and tRFC later); at 500 the request waits for the second to end."""
    for pull_in, refreshes, activate in ((0, [], 500), (1, [0], 500), (2, [0, 420], 840)):
        run = Run(EVERY, [(500, READ, 0, 5, 0)], refresh_pull_in=pull_in)
        assert run.ticks("REFab") == refreshes and run.ticks("ACT") == [activate]


def test_refresh_pulled_in_only_while_empty():
    """One ahead from 0 on; the next may be pulled in from 1000 on, but a request is there until 1016."""
    run = Run(EVERY, [(1000, READ, 0, 5, 0), (1900, READ, 0, 5, 0)], refresh_pull_in=1)
    assert run.issued == [
        (0, "REFab", 0), (1000, "ACT", 0), (1016, "RD", 0), (1039, "PREA", 0), (1055, "REFab", 0),
        (1900, "ACT", 0), (1916, "RD", 0),
    ]  # fmt: skip


def test_refresh_goes_round_the_ranks():
    """Rank 0 at 1000, rank 1 at 2000: there, class 1, it goes before a RD of rank 0 that is as ready."""
    requests = [(1900, READ, 0, 5, 0), (2000, READ, 0, 5, 1)]
    run = Run(EVERY_2, requests)
    assert run.issued == [
        (1000, "REFab", 0), (1900, "ACT", 0), (1916, "RD", 0), (2000, "REFab", 1), (2001, "RD", 0),
    ]  # fmt: skip


def test_only_the_unit_of_the_refresh_counts():
    """Requests for rank 1 do not keep a refresh of rank 0 waiting, even where it is not urgent."""
    run = Run(EVERY_2, [(995, READ, 16, 5, 0)])
    assert run.issued == [(995, "ACT", 16), (1000, "REFab", 0), (1011, "RD", 16)]


def test_refresh_of_pseudo_channels():
    """Refreshes go to the two pseudo-channels in turn; PREA closes the one whose turn it is (tRP 14)."""
    run = Run(HBM_EVERY, [(0, READ, 0, 5, 0), (0, READ, 16, 5, 0), (1500, READ, 16, 5, 1), (2500, READ, 0, 5, 0)])
    assert [each for each in run.issued if each[1] in ("PREA", "REFab")] == [
        (1000, "PREA", 0), (1014, "REFab", 0), (2000, "PREA", 1), (2014, "REFab", 1),
    ]  # fmt: skip
    assert run.served[2].kind == "hit" and run.served[3].kind == "miss"


def test_per_bank_refresh():
    """Bank 0 at 1000, bank 1 at 2000: PRE of that bank only. ACT of bank 1 waits tRFCpb, less the tick that ACT is longer."""
    run = Run(HBM_PER_BANK, [(0, READ, 0, 5, 0), (0, READ, 1, 5, 0), (2100, READ, 1, 5, 0)])
    assert run.issued == [
        (0, "ACT", 0), (4, "ACT", 1), (15, "RD", 0), (19, "RD", 1),
        (1000, "PRE", 0), (1014, "REFpb", 0), (2000, "PRE", 1), (2014, "REFpb", 1), (2173, "ACT", 1), (2188, "RD", 1),
    ]  # fmt: skip
    assert run.served[0].done == 31 and run.served[2].kind == "miss"


def test_per_bank_refresh_waits_for_its_bank():
    """A request for bank 0 at 1000 goes first; the refresh is wanted from 1001 on, PRE waits tRTP. Bank 1 would not matter."""
    run = Run(HBM_PER_BANK, [(0, READ, 0, 5, 0), (1000, READ, 0, 5, 1), (1100, READ, 1, 5, 0)])
    assert run.issued[2:5] == [(1000, "RD", 0), (1005, "PRE", 0), (1019, "REFpb", 0)]
    other = Run(HBM_PER_BANK, [(0, READ, 1, 5, 0), (1000, READ, 1, 5, 1)])
    assert other.issued[2:] == [(1000, "REFpb", 0), (1000, "RD", 1)], "on the row bus and on the column bus"


def test_same_bank_refresh_of_ddr5():
    """Its unit is a bank of every group: PREsb closes banks 0, 4, 8, ..., and REFsb refreshes them."""
    device = load_device("ddr5-4800", ["refresh.mode=per_bank", "refresh.interval=4000 ck"])
    assert device.refresh_interval == 1000
    run = Run(device, [(0, READ, 0, 5, 0), (0, READ, 1, 5, 0), (1900, READ, 1, 5, 1)])
    assert run.issued[4:6] == [(1000, "PREsb", 0), (1000 + device.params["nRP"], "REFsb", 0)]
    assert run.served[2].kind == "hit"


# two buses, two ranks


def test_two_commands_on_one_tick():
    """RD of bank 0 at 15 on the column bus, and ACT of the other pseudo-channel, accepted at 15, on the row bus: best first."""
    run = Run(HBM, [(0, READ, 0, 5, 0), (15, READ, 16, 5, 0)])
    assert run.issued == [(0, "ACT", 0), (15, "RD", 0), (15, "ACT", 16), (30, "RD", 16)]


def test_ranks_take_turns_on_the_data_bus():
    """ACT in another rank needs no tRRD; RD in another rank waits burst + tRTRS = 6."""
    run = Run(OFF_2, [(0, READ, 0, 5, 0), (0, READ, 16, 5, 0)])
    assert run.issued == [(0, "ACT", 0), (1, "ACT", 16), (16, "RD", 0), (22, "RD", 16)]


# power


def test_power_down():
    """50 ticks after the RD, with the row open; a request at 200 wakes the channel, and finds it open, tXP later."""
    run = Run(OFF, [(0, READ, 0, 5, 0), (200, READ, 0, 5, 1)], power_down="50 ck")
    assert run.issued == [(0, "ACT", 0), (16, "RD", 0), (66, "PDE", 0), (200, "PDX", 0), (208, "RD", 0)]
    assert run.served[1] == Served("hit", 200, 228)


def test_power_down_rules():
    """As soon as the data are over (RD + tCL + burst + 1); no exit before tCKE."""
    run = Run(OFF, [(0, READ, 0, 5, 0), (38, READ, 0, 5, 1)], power_down="1 ck")
    assert run.issued[2:] == [(37, "PDE", 0), (43, "PDX", 0), (51, "RD", 0)]


def test_power_down_of_ranks():
    """Each by itself: rank 1 50 ticks from the start, rank 0 50 after its RD; each woken by its own requests."""
    run = Run(OFF_2, [(0, READ, 0, 5, 0), (200, READ, 16, 5, 0)], power_down="50 ck")
    assert run.issued[2:] == [(50, "PDE", 1), (66, "PDE", 0), (200, "PDX", 1), (208, "ACT", 16), (224, "RD", 16)]


def test_power_down_and_refresh():
    """The refresh due at 1000 wakes it: PDX, PREA after tXP, REFab; PDE 50 later, which may be while the refresh runs."""
    run = Run(EVERY, [(0, READ, 0, 5, 0), (1500, READ, 0, 5, 0)], power_down="50 ck")
    assert run.issued[2:] == [
        (66, "PDE", 0), (1000, "PDX", 0), (1008, "PREA", 0), (1024, "REFab", 0), (1074, "PDE", 0),
        (1500, "PDX", 0), (1508, "ACT", 0), (1524, "RD", 0),
    ]  # fmt: skip


def test_wake_up_comes_lowest_unit_first_then_refresh():
    """At 2000 rank 0 has a request, rank 1 a refresh: PDX 0, PDX 1. At 2008 ACT is ready, at 2009 the refresh."""
    run = Run(EVERY_2, [(2000, READ, 0, 5, 0), (2000, READ, 4, 5, 0)], power_down="500 ck")
    late = [each for each in run.issued if each[0] >= 2000]
    assert late[:5] == [(2000, "PDX", 0), (2001, "PDX", 1), (2008, "ACT", 0), (2009, "REFab", 1), (2012, "ACT", 4)]


def test_wake_up_goes_before_refresh():
    """Rank 0 is down since 600, rank 1 closed since its RDA at 1916: at 2000 both PDX 0 and the refresh of rank 1 are ready."""
    requests = [(0, READ, 0, 5, 0), (1900, READ, 16, 5, 0), (2000, READ, 0, 5, 0)]
    run = Run(EVERY_2, requests, power_down="500 ck", row_policy="closed")
    assert [each for each in run.issued if each[0] >= 2000] == [
        (2000, "PDX", 0), (2001, "REFab", 1), (2008, "ACT", 0), (2024, "RDA", 0),
    ]  # fmt: skip


def test_timeout_goes_before_power_down():
    """Both from 66 on. The PRE (class 4) goes first and is a command to the unit: 50 more ticks to PDE."""
    requests = [(0, READ, 0, 5, 0), (200, READ, 0, 5, 0)]
    run = Run(OFF, requests, row_policy="timeout", row_timeout="50 ck", power_down="50 ck")
    assert run.issued[2:4] == [(66, "PRE", 0), (116, "PDE", 0)]


def test_self_refresh():
    """100 ticks after the RD at 16 PREA, then SRE. SRX at 5500 for a request; then k is 5, so that the next is due at 6000.

    It is the only refresh before the channel sleeps again: from 6048 on, SRE after tRFC (6016 + 420).
    """
    run = Run(EVERY, [(0, READ, 0, 5, 0), (5500, READ, 0, 5, 0), (6900, READ, 0, 5, 0)], self_refresh="100 ck")
    assert run.issued == [
        (0, "ACT", 0), (16, "RD", 0), (116, "PREA", 0), (132, "SRE", 0),
        (5500, "SRX", 0), (5932, "ACT", 0), (5948, "RD", 0), (6000, "PREA", 0), (6016, "REFab", 0), (6436, "SRE", 0),
        (6900, "SRX", 0), (7332, "ACT", 0), (7348, "RD", 0),
    ]  # fmt: skip
    assert [each.kind for each in run.served] == ["miss"] * 3


def test_self_refresh_without_a_gap():
    """In self-refresh for less than an interval with one refresh pulled in: k stays at 1, max(1, 0)."""
    requests = [(0, READ, 0, 5, 0), (900, READ, 0, 5, 0), (1950, READ, 0, 5, 0)]
    run = Run(EVERY, requests, refresh_pull_in=1, self_refresh="800 ck")
    # PREA at 39 (tRAS), REFab at 55; asleep from 816 on; SRX at 900, and from 1000 on k = 1 is no more than floor(t / I)
    assert run.issued[2:7] == [(39, "PREA", 0), (55, "REFab", 0), (816, "SRE", 0), (900, "SRX", 0), (1332, "ACT", 0)]
    assert run.issued[8:10] == [(1371, "PREA", 0), (1387, "REFab", 0)]


def test_power_down_then_self_refresh():
    """Down at 66; at 116 the channel goes to sleep: PDX, PREA after tXP, SRE after tRP."""
    run = Run(EVERY, [(0, READ, 0, 5, 0), (900, READ, 0, 5, 0)], power_down="50 ck", self_refresh="100 ck")
    assert run.issued[2:7] == [(66, "PDE", 0), (116, "PDX", 0), (124, "PREA", 0), (140, "SRE", 0), (900, "SRX", 0)]


def test_self_refresh_of_ranks():
    """Lowest unit first: PREA of rank 0, SRE of rank 1, and SRE of rank 0 after tRP; both wake for a request of either.

    k is 5 from 5501 on: the refresh due at 6000 is that of rank 1.
    """
    requests = [(0, READ, 0, 5, 0), (5500, READ, 0, 5, 0), (6100, READ, 0, 5, 0)]
    run = Run(EVERY_2, requests, self_refresh="100 ck")
    assert run.issued[2:9] == [
        (116, "PREA", 0), (117, "SRE", 1), (132, "SRE", 0), (5500, "SRX", 0), (5501, "SRX", 1), (5932, "ACT", 0), (5948, "RD", 0),
    ]  # fmt: skip
    assert run.issued[9] == (6000, "REFab", 1)


def test_urgent_refresh_keeps_the_channel_awake():
    """Nothing sleeps while a refresh is urgent: at 1000 it goes first, and then SRE, after tRFC."""
    run = Run(EVERY, [(1990, READ, 0, 5, 0)], self_refresh="1000 ck", refresh_postpone=1)
    assert run.issued[:3] == [(1000, "REFab", 0), (1420, "SRE", 0), (1990, "SRX", 0)]


# the judge, and what holds for every run


MIXES = [(places, arrivals) for places in PLACES for arrivals in ARRIVALS]


def judged() -> dict[str, DramDevice]:
    """The devices whose logs go to the judge."""
    return {
        "ddr4": load_device("ddr4-2400", ["organization.ranks=2", "refresh.interval=4000 ck"]),
        "hbm2": load_device("hbm2-2000", ["refresh.interval=3000 ck"]),
        "hbm2-pb": load_device("hbm2-2000", ["refresh.mode=per_bank"]),
        "hbm3": load_device("hbm3-6400"),
        "ddr5-sb": load_device("ddr5-4800", ["refresh.mode=per_bank"]),
        "lpddr5-pb": load_device("lpddr5-6400", ["refresh.mode=per_bank"]),
        "aim": load_system("aim").device,
    }


@pytest.mark.parametrize("name", judged())
@pytest.mark.parametrize("seed", range(4))
def test_random_runs_are_legal(name: str, seed: int):
    """The judge finds nothing, and every request is served after it was accepted, by as many commands as kinds ask for."""
    device = judged()[name]
    places, arrivals = MIXES[(5 * seed + len(name)) % len(MIXES)]
    requests = random_requests(device, seed, places, arrivals, length=80)
    log, served = run_controller(device, controllers(seed, device), requests)
    assert check(device, log) == []
    assert len(served) == len(requests)
    assert all(each.done > each.accepted or each.kind == "merged" for each in served)
    columns = sum(each.kind not in ("forwarded", "merged") for each in served)
    assert int((log["col"] >= 0).sum()) == columns
    assert (log["cycle"][1:] >= log["cycle"][:-1]).all()
