"""Kernel logs made up for tests: planted times, so that every statistic of them is known."""

from typing import Any

import numpy as np
from rowline.reports.gpu_baselines import Datasheet

SHEET = Datasheet("toy", 100, {"bf16": 1e15, "fp32": 5e13}, 2e12)
SHAPE = ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv")
TEXTS = {"gpu": "TOY", "framework": "vllm-0.2.0", "op": "gemm", "dtype": "bf16", "protocol": "loop", "flags": "", "family": "f"}


def log(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns of a log; what a row does not say is a bf16 GEMM of one item on board TOY."""
    columns: dict[str, Any] = {
        name: np.array([row.get(name, default) for row in rows], dtype=object) for name, default in TEXTS.items()
    }
    for name in SHAPE:
        columns[name] = np.array([row.get(name, 1 if name == "batch" else 0) for row in rows], dtype=np.int64)
    columns["latency_us"] = np.array([row.get("latency_us", 1.0) for row in rows], dtype=float)
    return columns


def gemms(count: int, seed: int = 0, **common: Any) -> list[dict[str, Any]]:
    """Random GEMMs; families by n and k as in real logs; times are 1 us and up."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        m, n, k = (int(2**x) for x in rng.uniform(0, 13, 3))
        row = {"m": m, "n": n, "k": k, "family": f"gemm:n{n}:k{k}", "latency_us": float(rng.uniform(1, 100))}
        rows.append(row | common)
    return rows


def predictions(us: Any, skipped: Any = "") -> dict[str, Any]:
    """What a predictor returns: times in microseconds, bound, choice, and a reason for what it does not predict."""
    us = np.asarray(us, dtype=float)
    full = [np.full(len(us), text, dtype=object) for text in ("dram", "tile 128x128", skipped)]
    return {"latency_us": us, "bound": full[0], "choice": full[1], "skipped": full[2]}
