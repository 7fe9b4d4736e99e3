"""How far predictions are from measurements, as plain numbers. Every error here is relative: predicted / measured - 1."""

from typing import Any

import numpy as np
import pandas as pd

# how many decimals a report keeps: per cent to 0.0001, correlation to 0.000001
_PERCENT_DECIMALS, _RANK_DECIMALS = 4, 6


def mape(measured: Any, predicted: Any) -> float:
    """Mean of ``|predicted / measured - 1|``, as a fraction; nan without rows. Both (n,), one unit, measured above 0."""
    return float(_ape(measured, predicted).mean()) if len(measured) else float("nan")


def spearman(a: Any, b: Any) -> float | None:
    """Rank correlation of two (n,) arrays, -1 to 1, ties at their mean rank; None where undefined (n < 2, or one is constant)."""
    if len(a) < 2:
        return None
    ranks = [pd.Series(np.asarray(x, dtype=float)).rank().to_numpy() for x in (a, b)]
    first, second = (r - r.mean() for r in ranks)
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if scale == 0.0:
        return None
    return float(np.clip((first * second).sum() / scale, -1.0, 1.0))


def score(measured: Any, predicted: Any) -> dict[str, Any]:
    """n, MAPE, median, 90th percentile (linear between ranks) and bias (median ratio - 1) in per cent; rank correlation.

    Both (n,), one unit, above 0. Without rows every figure but ``n`` is None.
    """
    n = len(measured)
    if not n:
        return {"n": 0, "mape": None, "median_ape": None, "p90_ape": None, "bias": None, "spearman": None}
    ape = _ape(measured, predicted)
    median, p90 = np.quantile(ape, (0.5, 0.9))
    rank = spearman(measured, predicted)
    return {
        "n": n,
        "mape": percent(ape.mean()),
        "median_ape": percent(median),
        "p90_ape": percent(p90),
        "bias": percent(np.median(np.asarray(predicted, float) / np.asarray(measured, float)) - 1.0),
        "spearman": None if rank is None else round(rank, _RANK_DECIMALS),
    }


def percent(fraction: float) -> float | None:
    """A fraction in per cent, rounded for a report; None for nan."""
    return None if np.isnan(fraction) else round(float(fraction) * 100.0, _PERCENT_DECIMALS)


def _ape(measured: Any, predicted: Any) -> np.ndarray:
    return np.abs(np.asarray(predicted, dtype=float) / np.asarray(measured, dtype=float) - 1.0)
