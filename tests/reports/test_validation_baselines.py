"""The baselines: work of a kernel, roofline, planted scalars found again, measurements paired."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rowline.reports.gpu_baselines import (
    MAX_FIT_ROWS,
    fit_three,
    limits_us,
    nearest_version,
    remeasured_us,
)
from rowline.reports.gpu_work import work

from .logs import SHEET, log

SAME = ["op", "dtype", "m", "n", "k", "batch", "protocol", "flags"]


def one(**row: object) -> tuple[float, float]:
    flops, size = work(log([dict(row)]))
    return float(flops[0]), float(size[0])


def test_work_of_matrices() -> None:
    assert one(m=2, n=3, k=5) == (60, 2 * (10 + 15 + 6))
    assert one(op="bmm", m=2, n=3, k=5, batch=7, dtype="fp32") == (7 * 60, 7 * 4 * 31)
    assert one(m=2, n=3, k=5, dtype="fp8") == (60, 10 + 15 + 2 * 6)  # written as bf16
    assert one(m=2, n=3, k=5, dtype="int8") == (60, 10 + 15 + 4 * 6)


def test_work_of_rows() -> None:
    assert one(op="add", m=4, n=8) == (0, 2 * 3 * 32)
    assert one(op="softmax", m=4, n=8, dtype="fp32") == (0, 4 * 2 * 32)
    assert one(op="embedding", m=4, n=8, k=50257) == (0, 2 * 2 * 32)  # the rows read, not the table


def test_causal_attention_counts_the_pairs_that_a_loop_counts() -> None:
    b, h, g, d, q, s = 2, 8, 2, 64, 5, 9
    shape = {"batch": b, "heads": h, "kv_heads": g, "head_dim": d}
    pairs = sum(1 for i in range(q) for j in range(s) if j <= s - q + i)
    flops, size = one(op="attn_prefill", seq_q=q, seq_kv=s, **shape)
    assert flops == 4 * b * h * d * pairs
    assert size == 2 * (2 * b * h * q * d + 2 * b * g * s * d)
    square, _ = one(op="attn_prefill", seq_q=s, seq_kv=s, **shape)
    assert square == 4 * b * h * s * s * d * (s + 1) / (2 * s)  # as the shared data's notes have it
    assert one(op="attn_decode", seq_q=1, seq_kv=s, **shape)[0] == 4 * b * h * s * d
    assert one(op="attn_encoder", seq_q=s, seq_kv=s, **shape)[0] == 4 * b * h * s * s * d


def test_work_of_what_is_not_known_is_nan() -> None:
    assert np.isnan(one(op="sort", m=4, n=8)).all()
    assert np.isnan(one(dtype="fp4", m=4, n=8, k=2)).all()


def test_limits_are_work_over_the_datasheet() -> None:
    compute, memory = limits_us(np.array([1e9, 0.0, 1e9]), np.array([2e6] * 3), ["bf16", "fp4", "bf16"], [SHEET, SHEET, None])
    assert compute[:2] == pytest.approx([1.0, 0.0])
    assert memory[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan([compute[2], memory[2]]).all()
    nameless, _ = limits_us(np.array([1.0]), np.array([1.0]), ["fp4"], [SHEET])
    assert np.isnan(nameless[0])


@pytest.mark.parametrize(("t0", "e_compute", "e_memory"), [(3.0, 0.7, 0.8), (40.0, 0.4, 0.9), (0.0, 0.95, 0.1)])
@pytest.mark.parametrize("rows", [200, 2 * MAX_FIT_ROWS])
def test_fit_finds_planted_scalars(t0: float, e_compute: float, e_memory: float, rows: int) -> None:
    rng = np.random.default_rng(rows)
    x, y = 10 ** rng.uniform(-1, 3, (2, rows))
    time = t0 + np.maximum(x / e_compute, y / e_memory)
    outliers = rng.random(rows) < 0.1  # least absolute errors do not follow a few wild rows
    fit = fit_three(x, y, np.where(outliers, time * 3, time))
    assert fit is not None and fit.rows == rows
    assert (fit.t0_us, fit.e_compute, fit.e_memory) == (
        pytest.approx(t0, abs=0.05), pytest.approx(e_compute, rel=0.01), pytest.approx(e_memory, rel=0.01),
    )  # fmt: skip
    assert fit.predict_us(x, y) == pytest.approx(time, rel=0.02)


def test_fit_without_flops_and_with_an_idle_term() -> None:
    y = np.linspace(1, 100, 50)
    fit = fit_three(np.zeros(50), y, 5 + y / 0.5)
    assert fit is not None
    assert (fit.t0_us, fit.e_compute, fit.e_memory) == (pytest.approx(5), None, pytest.approx(0.5))
    idle = fit_three(y * 1e-4, y, 5 + y / 0.5)
    assert idle is not None
    assert (idle.e_compute, idle.e_memory) == (None, pytest.approx(0.5))
    constant = fit_three(np.zeros(50), y, np.full(50, 4.0))
    assert constant is not None
    assert constant.predict_us(np.zeros(50), y) == pytest.approx(np.full(50, 4.0))


def test_fit_beats_every_other_choice_nearby() -> None:
    rng = np.random.default_rng(5)
    x, y = 10 ** rng.uniform(-1, 3, (2, 500))
    time = (3 + np.maximum(x / 0.7, y / 0.8)) * np.exp(rng.normal(0, 0.2, 500))
    fit = fit_three(x, y, time)
    assert fit is not None and fit.e_compute and fit.e_memory
    error = np.abs(fit.predict_us(x, y) / time - 1).mean()
    for name in ("t0_us", "e_compute", "e_memory"):
        for factor in (0.9, 1.1):
            other = replace(fit, **{name: vars(fit)[name] * factor})
            assert np.abs(other.predict_us(x, y) / time - 1).mean() > error


def test_too_few_rows_are_not_fitted() -> None:
    assert fit_three(np.ones(7), np.ones(7), np.ones(7)) is None


def test_versions() -> None:
    assert nearest_version("vllm-0.24.0", ["vllm-0.14.0", "sglang-0.24.0", "vllm-0.22.0", "vllm-0.24.0"]) == "vllm-0.22.0"
    assert nearest_version("vllm-0.23", ["vllm-0.22.0", "vllm-0.24.0"]) == "vllm-0.24.0"  # equally near: the newer
    assert nearest_version("vllm-0.24", ["sglang-0.5.14", "torch+sarathi"]) is None
    assert nearest_version("torch+sarathi", ["torch+sarathi", "torch-2.1.0"]) is None


def test_planted_pairs_are_found_and_nothing_else() -> None:
    shapes = [{"m": m, "n": 64, "k": 64} for m in range(1, 6)]
    new = [s | {"framework": "vllm-2.0", "latency_us": 10.0 * s["m"]} for s in shapes]
    old = [s | {"framework": "vllm-1.0", "latency_us": 11.0 * s["m"]} for s in shapes[:3]]
    repeat = [shapes[0] | {"framework": "vllm-1.0", "latency_us": 13.0}]  # median of 11 and 13
    strange = [
        shapes[3] | {"framework": "vllm-1.0", "protocol": "other"},
        shapes[3] | {"framework": "vllm-1.0", "gpu": "OTHER"},
        shapes[3] | {"framework": "sglang-1.0"},
        shapes[3] | {"framework": "vllm-1.0", "dtype": "fp32"},
    ]
    frame = pd.DataFrame(log(new + old + repeat + strange))
    other, name = remeasured_us(frame, SAME)
    assert other[:3] == pytest.approx([12.0, 22.0, 33.0])
    assert name[:3].tolist() == ["vllm-1.0"] * 3
    assert other[5:9] == pytest.approx([10.0, 20.0, 30.0, 10.0])
    assert np.isnan(other[[3, 4, 9, 10, 11, 12]]).all()
    assert set(name[[3, 4, 9, 10, 11, 12]]) == {None}
