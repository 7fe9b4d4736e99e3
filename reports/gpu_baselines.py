"""What a prediction has to beat, on the same rows: datasheet roofline, three-scalar fit, another measurement of the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..arch.boards import split_framework

MIN_FIT_ROWS = 8  # fewer rows say nothing about three scalars
MAX_FIT_ROWS = 3000  # drawn evenly over the rows sorted by time; more change no digit that matters
_GRID, _ROUNDS, _IRLS_STEPS = 21, 5, 12


@dataclass(frozen=True)
class Datasheet:
    """What a roofline needs of a GPU: its preset's name, SMs, dense FLOP/s by dtype at boost clock, DRAM bytes/s."""

    name: str
    sms: int
    flops_per_s: Mapping[str, float]
    bandwidth_bytes_per_s: float


def limits_us(
    flops: np.ndarray, size_bytes: np.ndarray, dtype: Any, sheets: list[Datasheet | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Least compute and memory time of every row in microseconds, both (n,); nan where the datasheet has no figure.

    ``flops``, ``size_bytes`` (n,) from :func:`rowline.reports.gpu_work.work`; ``dtype`` n names; ``sheets`` n entries.
    Rows without FLOPs take no compute time whatever their dtype.
    """
    rates: dict[int, tuple[float, Mapping[str, float]]] = {id(None): (np.nan, {})}
    rates |= {id(s): (s.bandwidth_bytes_per_s, s.flops_per_s) for s in sheets if s is not None}
    bandwidth = np.array([rates[id(s)][0] for s in sheets])
    peak = np.array([rates[id(s)][1].get(d, np.nan) for s, d in zip(sheets, dtype, strict=True)])
    with np.errstate(invalid="ignore"):
        compute = np.where(flops == 0, 0.0, flops / peak * 1e6)
    return compute, size_bytes / bandwidth * 1e6


@dataclass(frozen=True)
class ThreeScalars:
    """``t0_us + max(compute_us / e_compute, memory_us / e_memory)``; an efficiency is None where it bounds no row."""

    t0_us: float
    e_compute: float | None
    e_memory: float | None
    rows: int

    def predict_us(self, compute_us: np.ndarray, memory_us: np.ndarray) -> np.ndarray:
        """Time of rows in microseconds, (n,), from their least compute and memory times."""
        parts = [t / e for t, e in ((compute_us, self.e_compute), (memory_us, self.e_memory)) if e]
        return self.t0_us + (np.maximum.reduce(parts) if parts else np.zeros(len(compute_us)))


def fit_three(compute_us: np.ndarray, memory_us: np.ndarray, measured_us: np.ndarray) -> ThreeScalars | None:
    """Fit the three scalars to least mean relative error; None with fewer than MIN_FIT_ROWS rows. All (n,), finite.

    For a fixed ratio of the two efficiencies the form is linear in the other two scalars and is solved by reweighted
    least squares towards least absolute relative error; the ratio is searched on a grid that is refined around its best.
    """
    if len(measured_us) < MIN_FIT_ROWS:
        return None
    order = np.argsort(measured_us, kind="stable")
    if len(order) > MAX_FIT_ROWS:
        order = order[np.linspace(0, len(order) - 1, MAX_FIT_ROWS).round().astype(int)]
    x, y, t = compute_us[order], memory_us[order], measured_us[order]
    if not x.any() or not y.any():
        t0, slope, _ = _fit_line(np.maximum(x, y), t)
        e = 1 / slope if slope else None
        return ThreeScalars(t0, e if x.any() else None, e if y.any() else None, len(measured_us))
    centre, half = 0.0, 4.0  # of ln(e_memory / e_compute): from 1/55 to 55
    for _ in range(_ROUNDS):
        ratios = centre + np.linspace(-half, half, _GRID)
        errors = [_fit_line(np.maximum(np.exp(r) * x, y), t)[2] for r in ratios]
        centre, half = float(ratios[int(np.argmin(errors))]), half * 2.0 / (_GRID - 1) * 1.5
    t0, slope, _ = _fit_line(np.maximum(np.exp(centre) * x, y), t)
    compute_binds = np.exp(centre) * x > y
    e_compute = float(np.exp(-centre) / slope) if slope and compute_binds.any() else None
    return ThreeScalars(t0, e_compute, 1 / slope if slope and not compute_binds.all() else None, len(measured_us))


def _fit_line(x: np.ndarray, t: np.ndarray) -> tuple[float, float, float]:
    """t0, slope (neither below 0) and mean relative error of ``t0 + slope x`` against ``t``."""
    a, b = 1.0 / t, x / t  # relative: a t0 + b slope should be 1
    weight = np.ones(len(t))
    best = (0.0, 0.0, float("inf"))
    for _ in range(_IRLS_STEPS):
        wa, wb = weight * a, weight * b
        aa, ab, bb, ra, rb = wa @ a, wa @ b, wb @ b, wa.sum(), wb.sum()
        det = aa * bb - ab * ab
        t0, slope = ((bb * ra - ab * rb) / det, (aa * rb - ab * ra) / det) if det > 1e-12 * aa * bb else (0.0, -1.0)
        if t0 < 0 or slope < 0:  # the better of the two edges
            edges = [(0.0, rb / bb if bb else 0.0), (ra / aa, 0.0)]
            t0, slope = min(edges, key=lambda e: float((weight * (a * e[0] + b * e[1] - 1) ** 2).sum()))
        residual = np.abs(a * t0 + b * slope - 1)
        error = float(residual.mean())
        if error < best[2]:
            best = (float(t0), float(slope), error)
        weight = 1.0 / np.maximum(residual, 1e-6)
    return best


def nearest_version(framework: str, others: list[str]) -> str | None:
    """Which of ``others`` is another version of the same stack, the nearest one (on a tie the newer); None without one."""
    stack, version = split_framework(framework)
    close: list[tuple[tuple[int, ...], tuple[int, ...], str]] = []
    for other in others:
        name, its = split_framework(other)
        if name == stack and its != version and version and its:
            length = max(len(its), len(version))
            a, b = (v + (0,) * (length - len(v)) for v in (its, version))
            close.append((tuple(abs(i - j) for i, j in zip(a, b, strict=True)), tuple(-i for i in a), other))
    return min(close)[2] if close else None


def remeasured_us(frame: pd.DataFrame, same: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Another measurement of every row's shape: by the nearest other version of its stack on its GPU.

    Args:
        frame: rows with ``gpu``, ``framework``, ``latency_us`` and the columns of ``same``.
        same: columns that say what was measured and how; all must agree. Repeats of one shape count by their median.

    Returns:
        (microseconds, framework) of the other measurement, both (n,): nan and None where there is none.
    """
    other_us = np.full(len(frame), np.nan)
    other_name = np.full(len(frame), None, dtype=object)
    position = pd.Series(np.arange(len(frame)), index=frame.index)
    for _, of_gpu in frame.groupby(["gpu", "op", "dtype"], sort=False, observed=True):
        names = [str(name) for name in of_gpu["framework"].unique()]
        for name in names:
            near = nearest_version(name, names)
            if near is None:
                continue
            mine, theirs = of_gpu.loc[of_gpu["framework"] == name], of_gpu.loc[of_gpu["framework"] == near]
            medians: Any = theirs.groupby(same, sort=False, observed=True, as_index=False).agg(other=("latency_us", "median"))
            found = mine[same].merge(medians, on=same, how="left")["other"].to_numpy(dtype=float)
            rows = position.loc[mine.index].to_numpy()
            other_us[rows] = found
            other_name[rows[~np.isnan(found)]] = near
    return other_us, other_name
