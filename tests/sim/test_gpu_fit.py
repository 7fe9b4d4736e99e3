"""Fits: the search finds what can be found, keys stand where they say, planted constants come back from simulated rows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.values import Duration, SourceKind
from rowline.arch.yamltree import ConfigError
from rowline.calibration_fit import fit, shared_key
from rowline.sim.gpu import fit_keys as fk
from rowline.sim.gpu.fit import Effort, Parameter, at_bound, search, sensitivity
from rowline.sim.gpu.fit_rows import Row, RowGroup, predicted_us, rows_of
from rowline.sim.gpu.kernels import Gemm
from rowline.sim.gpu.loop import Loop

# ---------------------------------------------------------------- the search


def bowl(goal: dict[str, int]):
    """A loss that is 0 at a goal, with a ridge between the parameters."""

    def loss(values) -> float:
        away = [math.log(values[name] / there) for name, there in goal.items()]
        return sum(abs(x) for x in away) + abs(sum(away)) / 2

    return loss


def test_the_search_finds_a_minimum_from_far_away() -> None:
    goal = {"a": 640, "b": 90, "c": 100_000}
    starts = {"a": 200, "b": 300, "c": 90_000}
    found = search([Parameter(n, s, 1, 10**6) for n, s in starts.items()], bowl(goal), Effort(rounds=200))
    assert found.finished and found.loss < 0.03 < found.loss_before
    assert {name: pytest.approx(there, rel=0.02) for name, there in goal.items()} == found.values


def test_the_search_stays_within_bounds_and_says_when_it_stops_there() -> None:
    p = Parameter("a", 500, 400, 600)
    found = search([p], bowl({"a": 900}))
    assert found.values == {"a": 600} and at_bound(p, 600) and not at_bound(p, 599)


def test_a_loss_that_nothing_changes_keeps_the_start() -> None:
    found = search([Parameter("a", 500, 1, 1000)], lambda values: 0.5)
    assert found.values == {"a": 500} and found.loss == 0.5 and found.finished


def test_the_search_stops_when_its_time_is_over() -> None:
    tried: list[int] = []

    def slow(values) -> float:
        tried.append(values["a"])
        return sum(range(20_000)) / values["a"]  # some work, so that the clock moves on

    found = search([Parameter("a", 10, 1, 10**9)], slow, Effort(limit_s=0.05, rounds=10**6, least=0.0))
    assert not found.finished and 1 < len(tried) < 10**4


def test_small_whole_numbers_move_by_one_at_least() -> None:
    p = Parameter("a", 5, 1, 9)
    assert p.moved(5, 1.01) == 6 and p.moved(5, 0.99) == 4 and p.moved(9, 1.5) == 9


def test_sensitivity_is_the_growth_a_tenth_off() -> None:
    p = Parameter("a", 1000, 1, 10**6)
    assert sensitivity(p, {"a": 1000}, 1.0, lambda v: 1 + abs(v["a"] / 1000 - 1)) == pytest.approx(0.1)
    assert sensitivity(p, {"a": 1000}, 1.0, lambda v: 1.0) == 0


# ---------------------------------------------------------------- keys


def test_keys_are_read_and_wrong_ones_refused() -> None:
    assert fk.parse_key("gpu:h100-sxm.achieved.tensor") == ("gpu", "h100-sxm", "achieved.tensor")
    assert fk.parse_key("stack:torch-2.1-simt.rowwise.sync").preset == "torch-2.1-simt"  # the name has dots
    for wrong in ("achieved.tensor", "gpu:nothing.l2.size", "gpu:h200.achieved.tensr", "gpu:h200.l2", "stack:cublas-hopper.name"):
        with pytest.raises(ConfigError):
            fk.parse_key(wrong)


def test_a_key_holds_for_what_extends_its_preset_unless_that_says_otherwise() -> None:
    assert fk.holds_for(fk.parse_key("gpu:h100-sxm.achieved.tensor"), "h200")
    assert not fk.holds_for(fk.parse_key("gpu:h100-sxm.dram.bandwidth"), "h200")  # has its own
    assert not fk.holds_for(fk.parse_key("gpu:h100-sxm.achieved.tensor"), "a100-sxm-80gb")
    assert fk.holds_for(fk.parse_key("gpu:h200.achieved.tensor"), "h200")
    assert not fk.holds_for(fk.parse_key("gpu:h200.achieved.tensor"), "h100-sxm")


def test_numbers_are_replaced_and_taken_away() -> None:
    gpu = load_gpu("h100-sxm")
    share = fk.value_at(gpu, "achieved.tensor")
    energy = fk.value_at(gpu, "energy.tensor_mac.bf16")
    assert share is not None and energy is not None
    other = fk.replaced(gpu, {"achieved.tensor": fk.valued(share, 700), "energy.tensor_mac.bf16": None, "power.window": None})
    assert fk.value_at(other, "achieved.tensor") == fk.valued(share, 700)
    assert other.power.window is None and set(other.energy.tensor_mac) == set(gpu.energy.tensor_mac) - {"bf16"}
    assert fk.value_at(gpu, "achieved.tensor") == share  # the first is as it was
    assert fk.replaced(other, {"energy.tensor_mac.bf16": energy}).energy.tensor_mac["bf16"] == energy


def test_what_is_missing_starts_from_what_a_simulation_takes() -> None:
    gpu = load_gpu("l40s", ["achieved.tensor=0.5"])
    none = fk.replaced(gpu, {"achieved.tensor": None, "achieved.dram_latency": None})
    from rowline.sim.gpu.device import CARRIED, Device

    device = Device(none, load_stack("cublas-ampere"))
    assert fk.start_of(none, "achieved.tensor", device).value == round(1000 * CARRIED["tensor"])
    latency = fk.start_of(none, "achieved.dram_latency", device)
    assert isinstance(latency, Duration) and latency.in_cycles and latency.value == round(device.chip.dram_latency)
    with pytest.raises(ConfigError, match="no value to start from"):
        fk.start_of(fk.replaced(gpu, {"micro.l1_latency": None}), "micro.l1_latency", device)


@pytest.mark.parametrize(
    ("text", "base", "kept"), [("0.8", 812.4, 812), ("56", 55.6, 56)], ids=["share", "count"]
)  # fmt: skip
def test_fitted_numbers_are_rounded_as_the_file_holds_them(text: str, base: float, kept: int) -> None:
    path = "achieved.tensor" if "." in text else "achieved.port"
    number = fk.parse_value(load_gpu("h200"), path, text, SourceKind.FITTED, "x")
    assert fk.rounded(number, base) == kept


def test_times_keep_four_digits_and_bounds_are_physical() -> None:
    stack, gpu = load_stack("cublas-hopper"), load_gpu("h200")
    launch = fk.parse_value(stack, "fixed.launch", "2.2 us", SourceKind.FITTED, "x")
    assert fk.rounded(launch, 2_123_456) == 2_123_000
    share = fk.parse_value(gpu, "achieved.tensor", "0.8", SourceKind.FITTED, "x")
    assert fk.bounds(share, "achieved.tensor", gpu) == (50, 1000)
    port = fk.parse_value(gpu, "achieved.port", "50", SourceKind.FITTED, "x")
    assert fk.bounds(port, "achieved.port", gpu)[1] == gpu.sm.l2_bytes_per_clock.value


# ---------------------------------------------------------------- rows


def products(count: int, seed: int) -> tuple[Row, ...]:
    """Products from launch-bound to compute-bound, some streaming weights, some held in the L2."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for i in range(count):
        m, n, k = (64 * max(1, round(2**x / 64)) for x in rng.uniform((3, 9, 9), (12, 13, 13)))
        rows.append(Row(Gemm(m if m > 64 else 16, n, k, "bf16", 1, 2.0, 2.0, 2.0), Loop(copies=6, timed_calls=6), "gemm", 1.0, i))
    return tuple(rows)


def measured(group: RowGroup, planted: dict[str, str]) -> RowGroup:
    """The rows with the times that a device with planted numbers would have."""
    specs = {"gpu": load_gpu(group.gpu), "stack": load_stack(group.stack)}
    changes = []
    for text, value in planted.items():
        key = fk.parse_key(text)
        changes.append((key.scope, key.path, fk.parse_value(specs[key.scope], key.path, value, SourceKind.MEASURED, "planted")))
    times = predicted_us(group, changes)
    assert np.isfinite(times).all()
    return replace(group, rows=tuple(replace(row, us=float(us)) for row, us in zip(group.rows, times, strict=True)))


PLANTED = {
    "gpu:h100-sxm.achieved.tensor": "0.65", "gpu:h200.achieved.dram_read": "0.7", "stack:cublas-hopper.fixed.launch": "3 us",
}  # fmt: skip
GROUP = RowGroup("h200", "cublas-hopper", "planted", "simulated", products(24, 1))


def test_planted_constants_come_back() -> None:
    group = measured(GROUP, PLANTED)
    keys = [shared_key((fk.parse_key(text),), {"h100-sxm": "cublas-hopper", "h200": "cublas-hopper"}) for text in PLANTED]
    result = fit([group], keys, Effort(rounds=40, least=0.003), jobs=1, quiet=True)
    assert result.before > 0.1 and result.after < 0.015
    for outcome, value in zip(result.outcomes, PLANTED.values(), strict=True):
        spec = load_gpu("h200") if outcome.key.keys[0].scope == "gpu" else load_stack("cublas-hopper")
        path = outcome.key.keys[0].path
        assert outcome.end.value == pytest.approx(fk.parse_value(spec, path, value, SourceKind.FITTED, "").value, rel=0.03)
        assert outcome.status == "moved" and outcome.decided and outcome.sensitivity > 0.01
        assert outcome.without is not None and outcome.without > result.after


def test_a_number_that_does_not_matter_is_dropped_and_stays_where_it_was() -> None:
    group = measured(replace(GROUP, rows=GROUP.rows[:8]), {})
    lanes = shared_key((fk.parse_key("gpu:h200.achieved.simt"),), {"h200": "cublas-hopper"})
    result = fit([group], [lanes], Effort(rounds=2), jobs=1, quiet=True)
    assert [o.status for o in result.outcomes] == ["not identified"] and not result.outcomes[0].decided
    assert result.outcomes[0].end.value == lanes.start.value and result.after == result.before


def test_a_number_that_runs_away_is_at_its_bound_and_goes_back() -> None:
    group = measured(replace(GROUP, rows=GROUP.rows[:8]), {"stack:cublas-hopper.fixed.launch": "400 us"})
    launch = shared_key((fk.parse_key("stack:cublas-hopper.fixed.launch"),), {})
    result = fit([group], [launch], Effort(rounds=40), jobs=1, quiet=True)
    assert result.outcomes[0].status == "at bound" and result.outcomes[0].end.value == launch.start.value


def test_keys_that_share_a_value_move_together() -> None:
    names = ("gpu:h100-sxm.energy.tensor_mac.bf16", "gpu:h100-sxm.energy.tensor_mac.fp16")
    shared = shared_key(tuple(map(fk.parse_key, names)), {})
    assert shared.name == " = ".join(names) and shared.removable
    with pytest.raises(ConfigError, match="different kinds"):
        shared_key((fk.parse_key(names[0]), fk.parse_key("gpu:h100-sxm.achieved.port")), {"h100-sxm": "cublas-hopper"})


@pytest.mark.slow  # fresh processes may have to compile
def test_two_processes_find_what_one_finds() -> None:
    group = measured(replace(GROUP, rows=GROUP.rows[:6]), PLANTED)
    launch = shared_key((fk.parse_key("stack:cublas-hopper.fixed.launch"),), {})
    one, two = (fit([group], [launch], Effort(rounds=2), jobs, quiet=True) for jobs in (1, 2))
    assert one.outcomes[0].end == two.outcomes[0].end != launch.start
    assert one.after == pytest.approx(two.after, rel=1e-9)


def test_rows_that_are_not_modelled_are_counted() -> None:
    columns = {
        "op": ["gemm", "fft"], "dtype": ["bf16"] * 2, "m": [16] * 2, "n": [64] * 2, "k": [64] * 2, "batch": [1] * 2,
        "protocol": ["cudagraph-6weights"] * 2, "framework": ["vllm-0.24.0"] * 2, "latency_us": [3.0] * 2,
    }  # fmt: skip
    rows, reasons = rows_of(columns, [0, 1])
    assert [row.place for row in rows] == [0] and rows[0].loop.copies == 6 and sum(reasons.values()) == 1
