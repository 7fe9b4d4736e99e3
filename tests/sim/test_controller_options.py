"""Options of the controller that its peers have: by hand, and the kernel against its slow twin.

DDR4-2400 in ticks: tRCD 16, tRP 16, tRTP 9, tCCD_L 6, tRTW 10, tCWL 12, tWR 18, burst 4. Banks 0 to 3 are one group.
"""

import numpy as np
import pytest
from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import load_device
from rowline.sim.reference.checker import check

from ..conformance.kernel import first_difference
from ..conformance.requests import ARRIVALS, PLACES, controllers, random_requests, request_table
from ..conformance.served import run_fast, run_slow

OFF = load_device("ddr4-2400", ["refresh.mode=off"])
DEVICES = {
    "ddr4-2400": ("refresh.interval=1000 ck", "organization.ranks=2"),
    "gddr6-14000": ("refresh.mode=per_bank",),
    "hbm2-2000": ("refresh.interval=2000 ck",),
}
READ, WRITE = 0, 1


def issued(controller: Controller, rows: list[tuple[int, int, int, int, int]], device: DramDevice = OFF) -> list[str]:
    """What both controllers issue for requests (arrive, write, bank, row, col): "tick command bank"."""
    requests = request_table([(arrive, bool(write), bank, row, col) for arrive, write, bank, row, col in rows])
    fast, _ = run_fast(device, controller, requests)
    assert first_difference(device, fast.log, run_slow(device, controller, requests).log) == ""
    names = [command.name for command in device.dram_standard.commands]
    return [f"{entry['cycle']} {names[entry['cmd']]} {entry['unit']}" for entry in fast.log]


def optional(seed: int, device: DramDevice) -> Controller:
    """A random controller with some of the options."""
    rng = np.random.default_rng([seed, 8])
    changes = {
        "bank_queue": [0, 1, 2, 8][int(rng.integers(4))],
        "finish_opened": bool(rng.integers(2)),
        "row_policy": ["auto_precharge", "open", "closed", "timeout"][int(rng.integers(4))],
        "prefer": ["row", "column", "oldest"][int(rng.integers(3))],
        "refresh_together": device.refresh.mode != RefreshMode.PER_BANK and bool(rng.integers(2)),
    }
    return Controller.model_validate(controllers(seed, device).model_dump() | changes)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("number", range(3))
def test_kernel_and_twin_agree(name: str, places: str, number: int) -> None:
    device = load_device(name, DEVICES[name])
    seed = 1000 * number + 10 * list(DEVICES).index(name) + list(PLACES).index(places)
    controller = optional(seed, device)
    requests = random_requests(device, seed, places, list(ARRIVALS)[seed % 3], 120)
    fast, _ = run_fast(device, controller, requests)
    slow = run_slow(device, controller, requests)
    assert first_difference(device, fast.log, slow.log) == ""
    assert fast.served == slow.served
    assert [violation.text for violation in check(device, fast.log)] == []


def test_a_bank_queue_holds_requests_back() -> None:
    """Two reads of bank 0 wait in its own queue, one in the common place; that of bank 4 is offered until there is room."""
    rows = [(0, READ, 0, 1, 0), (0, READ, 0, 1, 1), (0, READ, 0, 1, 2), (0, READ, 4, 1, 0)]
    common = {"read_queue": 1}
    assert issued(Controller.model_validate(common | {"bank_queue": 2}), rows)[:3] == ["0 ACT 0", "16 RD 0", "17 ACT 4"]
    assert issued(Controller.model_validate(common | {"bank_queue": 3}), rows)[:2] == ["0 ACT 0", "4 ACT 4"]
    assert issued(Controller.model_validate(common), rows[:2]) == ["0 ACT 0", "16 RD 0", "22 RD 0"]


def test_hits_beyond_the_bank_queue_do_not_overtake() -> None:
    rows = [(0, READ, 0, 1, 0), (1, READ, 0, 2, 0), (2, READ, 0, 1, 1)]
    plain = issued(Controller(), rows)
    assert plain[:3] == ["0 ACT 0", "16 RD 0", "22 RD 0"]
    deep = issued(Controller.model_validate({"bank_queue": 2}), rows)
    assert deep == plain
    shallow = issued(Controller.model_validate({"bank_queue": 1}), rows)
    assert [line.split()[1] for line in shallow] == ["ACT", "RD", "PRE", "ACT", "RD", "PRE", "ACT", "RD"]


def test_a_row_opened_for_a_read_is_finished_in_write_mode() -> None:
    """Two writes turn the mode at tick 2; the row that the read opened at 0 is closed for them, or read first."""
    rows = [(0, READ, 0, 1, 0), (1, WRITE, 0, 2, 0), (2, WRITE, 0, 2, 1)]
    tree = {"write_queue": 2, "write_high": "0.5", "write_low": "0.1"}
    plain = issued(Controller.model_validate(tree), rows)
    assert [line.split()[1] for line in plain] == ["ACT", "PRE", "ACT", "WR", "WR", "PRE", "ACT", "RD"]
    finished = issued(Controller.model_validate(tree | {"finish_opened": True}), rows)
    assert finished == ["0 ACT 0", "16 RD 0", "39 PRE 0", "55 ACT 0", "71 WR 0", "77 WR 0"]


def test_a_blocked_bank_finishes_what_it_opened() -> None:
    """Refresh is due at 1000, at once; the ACT of 990 is for a read."""
    device = load_device("ddr4-2400", ["refresh.interval=1000 ck"])
    tree = {"refresh_postpone": 0}
    plain = issued(Controller.model_validate(tree), [(990, READ, 0, 1, 0)], device)
    assert plain[:3] == ["990 ACT 0", "1029 PREA 0", "1045 REFab 0"] and len(plain) == 5
    finished = issued(Controller.model_validate(tree | {"finish_opened": True}), [(990, READ, 0, 1, 0)], device)
    assert finished == ["990 ACT 0", "1006 RD 0"]


def test_auto_precharge_closes_after_each_column_command() -> None:
    rows = [(0, READ, 0, 1, 0), (0, READ, 0, 1, 1)]
    assert issued(Controller.model_validate({"row_policy": "closed"}), rows) == ["0 ACT 0", "16 RD 0", "22 RDA 0"]
    assert issued(Controller.model_validate({"row_policy": "auto_precharge"}), rows) == [
        "0 ACT 0", "16 RDA 0", "55 ACT 0", "71 RDA 0",
    ]  # fmt: skip


def test_row_commands_first() -> None:
    """At tick 16 the read of bank 0 and the ACT of bank 4 may both go."""
    rows = [(0, READ, 0, 1, 0), (16, READ, 4, 1, 0)]
    assert issued(Controller(), rows) == ["0 ACT 0", "16 RD 0", "17 ACT 4", "33 RD 4"]
    assert issued(Controller.model_validate({"prefer": "row"}), rows) == ["0 ACT 0", "16 ACT 4", "17 RD 0", "32 RD 4"]


def test_refreshes_by_turns_or_together() -> None:
    """Two ranks, tREFI 2000: one due every 1000, or two every 2000. Rank 0 must be closed first."""
    device = load_device("ddr4-2400", ["refresh.interval=2000 ck", "organization.ranks=2"])
    late = [(0, READ, 0, 1, 0), (2500, READ, 0, 1, 0)]

    def refreshes(**tree: object) -> list[str]:
        return [line for line in issued(Controller.model_validate(tree), late, device) if "REFab" in line]

    assert refreshes(refresh_postpone=0) == ["1016 REFab 0", "2000 REFab 1"]
    assert refreshes(refresh_postpone=0, refresh_together=True) == ["2016 REFab 0", "2017 REFab 1"]
    with pytest.raises(ValueError, match="refresh_together: needs all-bank refresh"):
        Controller.model_validate({"refresh_together": True}).fitted(load_device("gddr6-14000", ["refresh.mode=per_bank"]))


@pytest.mark.parametrize("postpone", [0, 1, 2])
def test_together_no_more_is_owed_than_may_be_postponed(postpone: int) -> None:
    device = load_device("hbm2-2000", ["refresh.interval=1000 ck", f"refresh.postpone_limit={max(1, postpone)}"])
    tree = {"refresh_together": True, "refresh_postpone": postpone}
    requests = random_requests(device, postpone, "random", "dense", 1500)
    fast, _ = run_fast(device, Controller.model_validate(tree), requests)
    assert [violation.text for violation in check(device, fast.log)] == []
    names = [command.name for command in device.dram_standard.commands]
    when = fast.log["cycle"][fast.log["cmd"] == names.index("REFab")].tolist()
    assert len(when) >= 4
    first = 1000 * max(1, postpone)
    assert first <= when[0] <= when[1] < first + 200


def test_bank_queue_has_a_limit() -> None:
    with pytest.raises(ValueError, match="bank_queue: at most 64"):
        Controller.model_validate({"bank_queue": 65})
