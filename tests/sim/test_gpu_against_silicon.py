"""Samples of measured kernels that nothing was fitted on: the figures of docs/validation-gpu.md hold, with room for the sample.

Reads the public measurements beside the checkout; skipped where they are absent. The whole comparison is ``rowline validate``.
"""

from pathlib import Path

import pytest
from rowline.gpu_validation import ValidationJob, validate

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpu"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: public measurements of GPU kernels")
GEMM = [
    ("gemm_aic_h100.parquet", "h100-sxm", "vllm-0.24.0", 6.3),
    ("gemm_aic_h200.parquet", "h200", "vllm-0.24.0", 5.8),
    ("gemm_aic_a100.parquet", "a100-sxm-80gb", "sglang-0.5.10", 7.2),
]
ATTENTION = [
    ("h100-sxm", "vllm-0.24.0", "attn_prefill", 6.2), ("h100-sxm", "vllm-0.24.0", "attn_decode", 5.4),
    ("h200", "vllm-0.24.0", "attn_prefill", 6.3), ("h200", "vllm-0.24.0", "attn_decode", 5.8),
    ("a100-sxm-80gb", "vllm-0.14.0", "attn_prefill", 5.0), ("a100-sxm-80gb", "vllm-0.14.0", "attn_decode", 6.1),
]  # fmt: skip
ROOM = 1.3
"""A sample's mean may be this much worse: 250 rows of a spread of 8 % have a standard error of 0.5 %."""


def group(file: str, gpu: str, framework: str, op: str, dtype: str = "bf16", rows: int = 250) -> dict:
    job = ValidationJob((str(DATA / file),), gpu, op, framework, "unseen", rows, seed=11)
    answer = validate(job)[0].answer
    return next(g for g in answer["groups"] if g["regime"] == "all" and g["dtype"] == dtype)


@pytest.mark.parametrize(("file", "gpu", "framework", "mape"), GEMM)
def test_products(file: str, gpu: str, framework: str, mape: float):
    got = group(file, gpu, framework, "gemm")
    assert got["mape"] < ROOM * mape and abs(got["bias"]) < 4
    assert got["spearman"] > 0.99
    assert got["mape"] < 0.8 * got["fitted_mape"] < got["roofline_mape"], "better than what it is to beat"


@pytest.mark.parametrize(("gpu", "framework", "op", "mape"), ATTENTION)
def test_attention(gpu: str, framework: str, op: str, mape: float):
    got = group("attention_aic.parquet", gpu, framework, op, rows=150)
    assert got["mape"] < ROOM * mape and got["spearman"] > 0.98
    assert got["mape"] < 0.6 * got["fitted_mape"]


def test_an_h200_is_an_h100_with_other_memory():
    """The H100's numbers, its shares of bandwidth too, with the memory of the H200."""
    spec = str(Path(__file__).resolve().parents[2] / "examples" / "carry" / "h200-from-h100.yaml")
    job = ValidationJob(
        (str(DATA / "gemm_aic_h200.parquet"),), "h200", "gemm", "vllm-0.24.0", "unseen", 300, seed=12, gpu_spec=spec
    )  # fmt: skip
    answer = validate(job)[0].answer
    got = next(g for g in answer["groups"] if g["regime"] == "all" and g["dtype"] == "bf16")
    assert got["mape"] < ROOM * 6
