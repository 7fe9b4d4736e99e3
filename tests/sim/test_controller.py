"""The memory controller's kernel against its slow twin, tick by tick, on every standard and every kind of controller."""

import numpy as np
import pytest
from rowline.arch.controller import Controller
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import load_controller, load_device
from rowline.sim.kernels import memory_layout as ml
from rowline.sim.memory import Channel
from rowline.sim.reference.checker import check

from ..conformance.directed import refresh_mode
from ..conformance.kernel import first_difference
from ..conformance.requests import ARRIVALS, controllers, random_requests, request_table
from ..conformance.served import placed, run_fast, run_slow

DEVICES = {
    "ddr4-2400": (),
    "ddr4-3200": ("organization.ranks=2",),
    "ddr5-4800": ("refresh.interval=1.95 us",),
    "lpddr5-6400": (),
    "gddr6-14000": (),
    "gddr6-aim": (),
    "hbm2-2000": (),
    "hbm2e-3200": (),
    "hbm3-6400": ("organization.ranks=2",),
}
PLACES = ("random", "streams", "pingpong", "two_banks", "writes", "duplicates")


def device_of(name: str, mode: RefreshMode) -> DramDevice:
    """A device with another refresh mode; all-bank where it has no per-bank refresh."""
    device = load_device(name, DEVICES[name])
    if mode == RefreshMode.PER_BANK and device.dram_standard.refresh_bank not in device.dram_standard.index:
        mode = RefreshMode.ALL_BANK
    return refresh_mode(device, mode)


def cases() -> list[tuple[str, RefreshMode, int, str, str]]:
    """Every device with every mode, places and arrivals changing with them, each place and arrival with every device."""
    found: list[tuple[str, RefreshMode, int, str, str]] = []
    for d, name in enumerate(DEVICES):
        for m, mode in enumerate(RefreshMode):
            for p, places in enumerate(PLACES):
                if (d + m + p) % 3 == 0 or places == "random":
                    found.append((name, mode, 100 * d + 10 * m + p, places, list(ARRIVALS)[(d + m + p) % len(ARRIVALS)]))
    return found


@pytest.mark.parametrize(("name", "mode", "seed", "places", "arrivals"), cases())
def test_kernel_and_twin_agree(name: str, mode: RefreshMode, seed: int, places: str, arrivals: str) -> None:
    device = device_of(name, mode)
    controller, requests = controllers(seed, device), random_requests(device, seed, places, arrivals, 120)
    fast, _ = run_fast(device, controller, requests)
    slow = run_slow(device, controller, requests)
    assert first_difference(device, fast.log, slow.log) == ""
    assert fast.served == slow.served
    assert [violation.text for violation in check(device, fast.log)] == []


@pytest.mark.parametrize("seed", range(8))
def test_the_outcome_does_not_depend_on_how_a_trace_is_cut(seed: int) -> None:
    device = device_of(list(DEVICES)[seed], RefreshMode.ALL_BANK)
    controller, requests = controllers(seed, device), random_requests(device, seed, PLACES[seed % 6], "bursty", 300)
    whole, machine = run_fast(device, controller, requests)
    rng = np.random.default_rng(seed)
    cuts = sorted(rng.choice(np.arange(1, 300), 20, replace=False).tolist())
    for pieces in ([], cuts, list(range(1, 300))):
        cut, other = run_fast(device, controller, requests, pieces, log_rows=ml.LOG_ROOM + 5)
        assert first_difference(device, whole.log, cut.log) == ""
        assert cut.served == whole.served
        for name in ("counts", "histogram", "ranks"):
            assert (getattr(machine, name) == getattr(other, name)).all(), name


def test_arrivals_shift_everything_else_stays() -> None:
    device = device_of("ddr4-2400", RefreshMode.OFF)
    requests = random_requests(device, 3, "random", "sparse", 150)
    one, _ = run_fast(device, Controller(), requests)
    requests["arrive"] += 12345
    other, _ = run_fast(device, Controller(), requests)
    first = other.log["cycle"][0] - one.log["cycle"][0]
    assert first > 0
    assert (other.log["cycle"] - one.log["cycle"] == first).all()


@pytest.mark.parametrize("name", DEVICES)
def test_unloaded_latencies_are_the_formulas(name: str) -> None:
    """A row miss, a hit and a conflict, far apart: from acceptance to the end of the data, to the tick."""
    device = device_of(name, RefreshMode.OFF)
    n, standard = device.params, device.dram_standard
    length = {c.name: standard.ticks(c) for c in standard.commands}
    data = length["RD"] - standard.ticks_per_clock + n["nCL"] + n["nBL"]
    open_row = n["nRCDRD"] + length["ACT"] - length["RD"]
    conflict = n["nRP"] + length["PRE"] - length["ACT"]
    apart = 5000
    requests = request_table([(0, 0, 1, 7, 0), (apart, 0, 1, 7, 1), (2 * apart, 0, 1, 8, 0)])
    answer, _ = run_fast(device, Controller(), requests)
    assert [kind for kind, _, _ in answer.served] == ["miss", "hit", "conflict"]
    assert [done - at for _, at, done in answer.served] == [open_row + data, data, conflict + open_row + data]


@pytest.mark.parametrize("name", DEVICES)
def test_streams_reach_the_peak_of_the_bus(name: str) -> None:
    """Hits in the open rows of all bank groups and pseudo-channels, in turn: one burst every max(tCCDS, burst), and no idling."""
    device = device_of(name, RefreshMode.OFF)
    org, n = device.organization, device.params
    groups, buses = org.bank_groups.value, org.pseudo_channels.value
    per_bus, in_group = org.banks // buses, org.banks_per_group.value
    count = org.columns * groups
    index = np.arange(count * buses)
    requests = request_table([(0, 0, 0, 0, 0)] * len(index))
    requests["bank"] = index % buses * per_bus + index // buses % groups * in_group
    requests["col"] = index // (buses * groups)
    answer, _ = run_fast(device, load_controller(sets=["read_queue=64"]), requests)
    columns = answer.log[answer.log["col"] >= 0]
    spacing = max(n["nCCDS"], n["nBL"], -(-n["nCCDL"] // groups))
    for bus in range(buses):
        cycles = np.sort(columns["cycle"][columns["unit"] // per_bus == bus])
        assert len(cycles) == count
        assert (np.diff(cycles)[4 * groups :] == spacing).all()


def test_idle_time_costs_no_ticks() -> None:
    device = device_of("ddr4-2400", RefreshMode.ALL_BANK)
    requests = random_requests(device, 1, "random", "dense", 400)
    dense = Channel(device, Controller(), judged=False, logged=False)
    sparse = Channel(device, Controller(), judged=False, logged=False)
    list(dense.feed(placed(requests), more=False))
    requests["arrive"] = np.arange(400) * 1200  # one a microsecond
    list(sparse.feed(placed(requests), more=False))
    looks = [int(c.machine.variables[ml.V_LOOKS]) for c in (dense, sparse)]
    assert sparse.end_tick > 20 * dense.end_tick
    assert looks[1] < 2 * looks[0]


def test_refreshes_are_counted_and_never_owed_beyond_the_limit() -> None:
    for name in ("ddr4-2400", "hbm2-2000"):
        for mode in (RefreshMode.ALL_BANK, RefreshMode.PER_BANK):
            device = device_of(name, mode)
            requests = random_requests(device, 5, "random", "dense", 40_000)
            answer, machine = run_fast(device, Controller(), requests)
            end = int(answer.log["cycle"][-1])
            issued = int(machine.counts[device.dram_standard.index[device.refresh_command.name]])
            owed = device.refresh.postpone_limit.value * device.refresh_units
            assert end // device.refresh_interval - owed <= issued <= end // device.refresh_interval
            assert [violation.text for violation in check(device, answer.log[:3000])] == []


@pytest.mark.parametrize("name", ["ddr4-2400", "hbm2-2000"])
def test_without_postponement_there_is_a_refresh_an_interval(name: str) -> None:
    device = device_of(name, RefreshMode.ALL_BANK)
    requests = random_requests(device, 6, "random", "dense", 20_000)
    answer, machine = run_fast(device, load_controller(sets=["refresh_postpone=0"]), requests)
    issued = int(machine.counts[device.dram_standard.index["REFab"]])
    assert abs(issued - int(answer.log["cycle"][-1]) // device.refresh_interval) <= 1
    assert issued > 10


def test_what_a_device_cannot_do_is_refused() -> None:
    device = load_device("ddr4-2400")
    for sets, problem in (
        (["refresh_postpone=9"], "postpone"),
        (["refresh_pull_in=9"], "pull_in"),
    ):
        with pytest.raises(ValueError, match=problem):
            load_controller(sets=sets).fitted(device)
