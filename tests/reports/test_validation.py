"""Selection and comparison: which rows count, in which group, with which figures."""

import json
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rowline.reports.gpu_baselines import MIN_FIT_ROWS
from rowline.reports.split import unseen
from rowline.reports.validation import compare, regimes
from rowline.reports.validation_rows import Choice, Selection, chunks, join, select

from .logs import SHEET, gemms, log, predictions

SHEETS = {"TOY": SHEET, "OTHER": SHEET, "NOWHERE": None}
KEYS = {"gpu", "framework", "op", "dtype", "regime", "n", "mape", "median_ape", "p90_ape", "bias", "spearman",
        "roofline_mape", "fitted_mape", "floor_mape"}  # fmt: skip


def chosen(rows: list[dict[str, Any]], choice: Choice | None = None) -> Selection:
    return select(log(rows), choice or Choice(), SHEETS)


def exact(selection: Selection, factor: float = 1.0) -> dict[str, np.ndarray]:
    return predictions(selection.columns()["latency_us"] * factor)


def test_flags_and_unknowns_are_counted_by_reason_and_left_out() -> None:
    good = {"m": 8, "n": 8, "k": 8}
    rows = [good, good | {"flags": "includes_kv_write"}]
    flags = ("host_launch_floor", "coarse_timer,above_dram_peak_L2_resident", "m_step_gt2.5x")
    rows += [good | {"flags": flag} for flag in flags]
    rows += [good | {"gpu": "NOWHERE"}, good | {"op": "sort"}, good | {"dtype": "fp4"}, good | {"dtype": "int8"}]
    got = chosen(rows)
    assert got.rows.tolist() == [0, 1] and len(got.frame) == 2
    assert got.skipped == {
        "host_launch_floor": 1, "coarse_timer": 1, "m_step_gt2.5x": 1, "unknown GPU NOWHERE": 1, "unknown op sort": 1,
        "unknown dtype fp4": 1, "no peak rate for int8 on TOY": 1,
    }  # fmt: skip
    assert got.read == len(rows) == len(got.rows) + sum(got.skipped.values())


def test_options_select_and_account_for_every_row() -> None:
    rows = gemms(40) + gemms(30, gpu="OTHER") + gemms(20, op="bmm") + gemms(10, framework="sglang-1.0")
    rows += gemms(5, flags="coarse_timer")
    got = chosen(rows, Choice(frozenset({"TOY"}), "gemm", frozenset({"vllm-0.2.0"})))
    assert (len(got.rows), got.skipped, got.not_selected) == (40, {"coarse_timer": 5}, 60)
    assert len(got.frame) == 100  # fits see all that is usable


def test_split_is_ours() -> None:
    rows = gemms(300)
    hidden = [unseen(str(row["family"])) for row in rows]
    assert 0 < sum(hidden) < 300
    for split, count in (("unseen", sum(hidden)), ("seen", 300 - sum(hidden)), ("all", 300)):
        got = chosen(rows, Choice(split=split))  # type: ignore[arg-type]
        assert len(got.rows) == count
        allowed = {r["family"] for r, h in zip(rows, hidden, strict=True) if split in ("all", "unseen" if h else "seen")}
        assert set(got.columns()["family"]) == allowed


def test_sample_is_drawn_by_the_seed_among_usable_rows() -> None:
    rows = gemms(200) + gemms(50, flags="coarse_timer")
    first, again, other = (chosen(rows, Choice(sample=60, seed=seed)).rows.tolist() for seed in (1, 1, 2))
    assert first == again == sorted(set(first)) and len(first) == 60
    assert first != other
    assert chosen(rows, Choice(sample=10**6)).rows.tolist() == list(range(200))
    got = chosen(rows, Choice(sample=60))
    assert got.read == len(got.rows) + sum(got.skipped.values()) + got.not_selected


def test_groups_hold_what_a_plain_loop_finds() -> None:
    rows = gemms(150, 1) + gemms(120, 2, framework="sglang-1.0") + gemms(90, 3, dtype="fp32") + gemms(60, 4, gpu="OTHER")
    selection = chosen(rows)
    rng = np.random.default_rng(0)
    predicted = selection.columns()["latency_us"] * np.exp(rng.normal(0, 0.3, len(rows)))
    answer = compare(selection, predictions(predicted)).answer
    found = {(g["gpu"], g["framework"], g["dtype"], g["regime"]): g for g in answer["groups"]}
    names = [(r.get("gpu", "TOY"), r.get("framework", "vllm-0.2.0"), r.get("dtype", "bf16")) for r in rows]
    for name in set(names):
        mine = [i for i in range(len(rows)) if names[i] == name]
        tests = {"all": (0, 10**9), "decode": (0, 16), "m17-256": (17, 256)}
        for regime, (low, high) in tests.items():
            members = [i for i in mine if low <= rows[i]["m"] <= high]
            group = found[(*name, regime)]
            errors = [abs(predicted[i] / rows[i]["latency_us"] - 1) for i in members]
            assert group["n"] == len(members)
            assert group["mape"] == pytest.approx(100 * sum(errors) / len(errors), abs=1e-3)
            roof = []
            for i in members:
                m, n, k = (rows[i][x] for x in "mnk")
                size = (4 if name[2] == "fp32" else 2) * (m * k + n * k + m * n)
                limit = max(2 * m * n * k / SHEET.flops_per_s[name[2]], size / SHEET.bandwidth_bytes_per_s) * 1e6
                roof.append(abs(limit / rows[i]["latency_us"] - 1))
            assert group["roofline_mape"] == pytest.approx(100 * sum(roof) / len(roof), abs=1e-3)
            hidden = [unseen(rows[i]["family"]) for i in members]
            assert (group["unseen"]["n"], group["seen"]["n"]) == (sum(hidden), len(hidden) - sum(hidden))
            parts = [(group[s]["mape"] or 0) * group[s]["n"] for s in ("seen", "unseen")]
            assert sum(parts) == pytest.approx(group["mape"] * group["n"], rel=1e-4)
    assert answer["rows"] == sum(g["n"] for g in answer["groups"] if g["regime"] == "all") == len(rows)


def test_matrix_regimes() -> None:
    cases = {  # SHEET has 100 SMs: 50 tiles are half a wave, 800 are eight
        (16, 128 * 800, 1024): {"decode"},
        (17, 64, 64): {"m17-256"},
        (128, 128 * 50, 1024): {"m17-256", "wave"},
        (128, 128 * 50, 1023): {"m17-256"},
        (128, 128 * 49, 1024): {"m17-256"},
        (1024, 128 * 100, 1024): {"wave"},
        (1024, 128 * 100 + 1, 1024): {"large"},
        (127, 128 * 900, 1024): {"m17-256"},
        (300, 64, 64): set(),
    }
    points = pd.DataFrame(log([{"m": m, "n": n, "k": k} for m, n, k in cases])).assign(sms=100)
    found = regimes(points)
    assert found.pop("all").all()
    for row, expected in enumerate(cases.values()):
        assert {name for name, mask in found.items() if mask[row]} == expected
    bmm = pd.DataFrame(log([{"op": "bmm", "m": 128, "n": 128, "k": 1024, "batch": 50}])).assign(sms=100)
    assert regimes(bmm)["wave"].tolist() == [True]


def test_attention_regimes() -> None:
    rows = [{"op": "attn_decode", "head_dim": d, "seq_kv": s} for d, s in ((64, 1024), (128, 1025), (129, 10), (256, 4096))]
    found = regimes(pd.DataFrame(log(rows)).assign(sms=100))
    assert {name: mask.astype(int).tolist() for name, mask in found.items()} == {
        "all": [1, 1, 1, 1], "d<=128": [1, 1, 0, 0], "d>128": [0, 0, 1, 1], "short": [1, 0, 1, 0], "long": [0, 1, 0, 1],
    }  # fmt: skip


def planted(rows: int, hidden: bool) -> list[dict[str, Any]]:
    """GEMMs of families on one side of the split whose times follow three scalars exactly."""
    found = [r for r in gemms(40 * rows) if unseen(str(r["family"])) == hidden][:rows]
    for r in found:
        m, n, k = (int(r[x]) for x in "mnk")
        compute, memory = 2 * m * n * k / 1e15 * 1e6, 2 * (m * n + m * k + n * k) / 2e12 * 1e6
        r["latency_us"] = 4 + max(compute / 0.6, memory / 0.7)
    return found


def test_fit_uses_seen_families_and_is_applied_to_all() -> None:
    rows = planted(200, False) + planted(60, True)
    for row in rows[200:]:
        row["latency_us"] = 2 * float(row["latency_us"])  # had these been fitted, the fit would be another
    selection = chosen(rows, Choice(split="unseen"))
    answer = compare(selection, exact(selection)).answer
    assert answer["fits"][0] | {"gpu": ""} == {
        "gpu": "", "framework": "vllm-0.2.0", "op": "gemm", "dtype": "bf16", "rows": 200, "fitted_on": "seen families",
        "t0_us": pytest.approx(4, rel=0.02), "e_compute": pytest.approx(0.6, rel=0.02), "e_memory": pytest.approx(0.7, rel=0.02),
    }  # fmt: skip
    group = answer["groups"][0]
    assert (group["n"], group["fitted_mape"], group["fitted_on"]) == (60, pytest.approx(50, abs=0.5), "seen families")
    assert group["mape"] == 0.0 and group["spearman"] == 1.0


def test_fit_on_the_rows_themselves_says_so() -> None:
    selection = chosen(planted(60, True))
    group = compare(selection, exact(selection)).answer["groups"][0]
    assert group["fitted_on"] == "the rows themselves" and group["fitted_mape"] < 1
    few = chosen(gemms(MIN_FIT_ROWS - 1))
    group = compare(few, exact(few)).answer["groups"][0]
    assert (group["fitted_on"], group["fitted_mape"]) == (None, None)


def test_floor_of_planted_pairs() -> None:
    old = gemms(50, framework="vllm-0.1.0")
    new = [row | {"framework": "vllm-0.2.0", "latency_us": 1.25 * float(row["latency_us"])} for row in old]
    selection = chosen(old[:40] + new)
    groups = {g["framework"]: g for g in compare(selection, exact(selection)).answer["groups"] if g["regime"] == "all"}
    assert groups["vllm-0.1.0"]["floor_mape"] == pytest.approx(25.0)
    assert groups["vllm-0.2.0"]["floor_mape"] == pytest.approx(20.0)
    assert groups["vllm-0.2.0"]["floor_n"] == 40 and groups["vllm-0.2.0"]["floor_against"] == "vllm-0.1.0"
    alone = chosen(old + new, Choice(frameworks=frozenset({"vllm-0.2.0"})))  # the other version need not be shown
    assert compare(alone, exact(alone)).answer["groups"][0]["floor_mape"] == pytest.approx(20.0)
    single = chosen(old)
    assert compare(single, exact(single)).answer["groups"][0]["floor_mape"] is None


def test_what_is_not_predicted_is_skipped_with_its_reason() -> None:
    selection = chosen([*gemms(20), *gemms(3, flags="coarse_timer")])
    us = selection.columns()["latency_us"].copy()
    us[:5], us[5], us[6] = np.nan, np.inf, 0.0
    reasons = np.array(["no such tile"] * 4 + [""] * 16, dtype=object)
    answer = compare(selection, predictions(us) | {"skipped": reasons}).answer
    assert answer["skipped"] == {"no such tile": 4, "no prediction": 3, "coarse_timer": 3}
    assert answer["rows"] == 13 == answer["rows_read"] - sum(answer["skipped"].values())


def test_worst_kernels_in_order() -> None:
    selection = chosen(gemms(30))
    factors = np.ones(30)
    factors[[3, 9, 27]] = (0.2, 2.5, 1.4)  # errors 80, 150, 40 %
    answer = compare(selection, predictions(selection.columns()["latency_us"] * factors)).answer
    assert len(answer["worst"]) == 10
    rows = [selection.frame.iloc[i] for i in (9, 3, 27)]
    for got, row, error in zip(answer["worst"], rows, (150.0, -80.0, 40.0), strict=False):
        assert got["error"] == pytest.approx(error)
        assert got["shape"] == {"m": row["m"], "n": row["n"], "k": row["k"], "batch": 1}
        assert (got["bound"], got["choice"], got["measured_us"]) == ("dram", "tile 128x128", row["latency_us"])


def test_answer_is_plain_json_without_nan() -> None:
    selection = chosen(gemms(3) + gemms(2, op="add"))
    answer = compare(selection, exact(selection)).answer
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert all(group.keys() >= KEYS for group in answer["groups"])
    nothing = compare(chosen(gemms(2, flags="coarse_timer")), predictions([])).answer
    assert (nothing["rows"], nothing["groups"], nothing["worst"]) == (0, [], [])


def test_join_and_chunks() -> None:
    a, b = log(gemms(5)), log(gemms(7, 1))
    whole = join([a, b | {"launch": np.full(7, "eager")}])
    assert whole.keys() == a.keys()
    assert join(list(chunks(whole, 5)))["m"].tolist() == [*a["m"], *b["m"]]
    assert [len(part["op"]) for part in chunks(whole, 5)] == [5, 5, 2]


def test_a_hundred_thousand_rows_in_three_seconds() -> None:
    rng = np.random.default_rng(0)
    base = log(gemms(2000) + gemms(2000, 1, framework="vllm-0.1.0", dtype="fp32") + gemms(1000, 2, gpu="OTHER"))
    pick = rng.integers(0, 5000, 100_000)
    columns = {name: values[pick] for name, values in base.items()}
    columns["m"] = rng.integers(1, 5000, 100_000)
    begin = time.process_time()
    selection = select(columns, Choice(), SHEETS)
    answer = compare(selection, exact(selection, 1.1)).answer
    assert time.process_time() - begin < 3
    assert answer["rows"] == 100_000
