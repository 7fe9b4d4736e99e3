"""Predicted against measured kernel times: groups, baselines on the same rows, the worst kernels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .gpu_baselines import ThreeScalars, fit_three, remeasured_us
from .gpu_work import ATTENTION_OPS, MATRIX_OPS
from .validation_rows import SAME_WORK, Columns, Selection
from .validation_stats import mape, percent, score

KEYS = ["gpu", "framework", "op", "dtype"]
TILE, WORST, SHORT_KV = 128, 10, 1024
_SHAPE = ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv")


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        answer: plain data, the keys of ``rowline validate --json`` but for the files and ``wall_s`` (docs/cli.md).
        points: the compared rows, with ``predicted_us``, ``roofline_us``, ``fitted_us``, ``other_us``, ``bound``, ``choice``.
    """

    answer: dict[str, Any]
    points: pd.DataFrame


def compare(chosen: Selection, predicted: Columns) -> Comparison:
    """Statistics of predictions against the measurements of ``chosen``.

    Args:
        chosen: the rows.
        predicted: one entry a row of ``chosen.columns()``: ``latency_us`` (microseconds, nan where there is none),
            ``bound``, ``choice``, ``skipped`` (reason, or "").
    """
    frame = chosen.frame
    fits = _fits(frame)
    points = frame.iloc[chosen.rows].copy()
    points["predicted_us"] = np.asarray(predicted["latency_us"], dtype=float)
    for name in ("bound", "choice"):
        points[name] = np.asarray(predicted[name], dtype=object)
    points["roofline_us"] = np.maximum(points["compute_us"], points["memory_us"])
    points["fitted_us"] = _fitted(points, fits)
    same = [name for name in SAME_WORK if name in frame]
    touched = frame.loc[frame["gpu"].isin(points["gpu"].unique())]
    other_us, other_name = remeasured_us(touched, same)
    points["other_us"] = pd.Series(other_us, index=touched.index).loc[points.index]
    points["other_framework"] = pd.Series(other_name, index=touched.index, dtype=object).loc[points.index]
    good = np.isfinite(points["predicted_us"]) & (points["predicted_us"] > 0)
    reasons = pd.Series(np.asarray(predicted["skipped"], dtype=object)[~good.to_numpy()]).replace("", "no prediction")
    skipped = dict(chosen.skipped)
    for reason, count in reasons.value_counts().items():
        skipped[str(reason)] = skipped.get(str(reason), 0) + int(count)
    points = points[good]
    answer = {
        "rows": len(points),
        "groups": list(_groups(points, fits)),
        "worst": worst(points),
        "skipped": dict(sorted(skipped.items(), key=lambda kv: (-kv[1], kv[0]))),
        "not_selected": chosen.not_selected,
        "rows_read": chosen.read,
        "fits": [fit.as_data(key) for key, fit in sorted(fits.items())],
    }
    return Comparison(answer, points)


def regimes(points: pd.DataFrame) -> dict[str, np.ndarray]:
    """Rows of one op by regime, each bool (n,): "all" first. Regimes may overlap and need not cover all rows.

    gemm, bmm: decode (M <= 16), m17-256, wave (M >= 128, K >= 1024, 0.5 to 8 waves of 128 x 128 tiles over the SMs),
    large (M >= 128, more than 8 waves). Attention: d<=128, d>128 (head_dim), short (seq_kv <= 1024), long.
    """
    found = {"all": np.ones(len(points), dtype=bool)}
    op = points["op"].iloc[0]
    if op in MATRIX_OPS:
        m, n, k = (points[name].to_numpy(dtype=float) for name in ("m", "n", "k"))
        tiles = np.ceil(m / TILE) * np.ceil(n / TILE) * points["batch"].to_numpy(dtype=float)
        waves = tiles / points["sms"].to_numpy(dtype=float)
        found["decode"] = m <= 16
        found["m17-256"] = (m > 16) & (m <= 256)
        found["wave"] = (m >= 128) & (k >= 1024) & (waves >= 0.5) & (waves <= 8)
        found["large"] = (m >= 128) & (waves > 8)
    elif op in ATTENTION_OPS:
        width, keys = points["head_dim"].to_numpy(), points["seq_kv"].to_numpy()
        found |= {"d<=128": width <= 128, "d>128": width > 128, "short": keys <= SHORT_KV, "long": keys > SHORT_KV}
    return found


def worst(points: pd.DataFrame, count: int = WORST) -> list[dict[str, Any]]:
    """The kernels with the largest ``|predicted / measured - 1|``, largest first; ties in the order of the rows."""
    measured, predicted = _arrays(points, "latency_us", "predicted_us")
    found: list[dict[str, Any]] = []
    for position in np.argsort(-np.abs(predicted / measured - 1.0), kind="stable")[:count]:
        row: Any = points.iloc[position]
        found.append(
            {key: str(row[key]) for key in (*KEYS, "family")}
            | {"shape": {key: int(row[key]) for key in _SHAPE if row[key]}}
            | {"measured_us": float(row["latency_us"]), "predicted_us": round(float(row["predicted_us"]), 4)}
            | {"error": percent(row["predicted_us"] / row["latency_us"] - 1.0), "bound": str(row["bound"])}
            | {"choice": str(row["choice"]), "unseen": bool(row["unseen"])}
        )
    return found


@dataclass(frozen=True)
class _Fit:
    """Three scalars and which rows they were fitted on."""

    scalars: ThreeScalars
    on: str

    def as_data(self, key: tuple[str, ...]) -> dict[str, Any]:
        s = self.scalars
        rounded = {name: None if v is None else round(v, 5) for name, v in vars(s).items() if name != "rows"}
        return dict(zip(KEYS, key, strict=True)) | rounded | {"rows": s.rows, "fitted_on": self.on}


def _fits(frame: pd.DataFrame) -> dict[tuple[str, ...], _Fit]:
    """The three-scalar fit of every (gpu, framework, op, dtype), on its seen families where there are enough of them."""
    fits: dict[tuple[str, ...], _Fit] = {}
    for key, rows in frame.groupby(KEYS, sort=True, observed=True):
        for on, part in (("seen families", rows.loc[~rows["unseen"]]), ("the rows themselves", rows)):
            scalars = fit_three(*_arrays(part, "compute_us", "memory_us", "latency_us"))
            if scalars is not None:
                fits[_names(key)] = _Fit(scalars, on)
                break
    return fits


def _fitted(points: pd.DataFrame, fits: dict[tuple[str, ...], _Fit]) -> np.ndarray:
    """Prediction of the three-scalar fits in microseconds, (n,); nan where there is no fit."""
    fitted = np.full(len(points), np.nan)
    for key, rows in points.groupby(KEYS, sort=False, observed=True).indices.items():
        fit = fits.get(_names(key))
        if fit is not None:
            part = points.iloc[rows]
            fitted[rows] = fit.scalars.predict_us(*_arrays(part, "compute_us", "memory_us"))
    return fitted


def _names(key: Any) -> tuple[str, ...]:
    return tuple(str(part) for part in key)


def _arrays(frame: pd.DataFrame, *names: str) -> list[np.ndarray]:
    return [frame[name].to_numpy(dtype=float) for name in names]


def _groups(points: pd.DataFrame, fits: dict[tuple[str, ...], _Fit]) -> Iterator[dict[str, Any]]:
    """One entry a (gpu, framework, op, dtype, regime) that has rows."""
    for key, rows in points.groupby(KEYS, sort=True, observed=True):
        names = _names(key)
        fit = fits.get(names)
        for regime, mask in regimes(rows).items():
            if mask.any():
                yield {
                    **dict(zip(KEYS, names, strict=True)), "regime": regime, **_figures(rows.loc[mask]),
                    "fitted_on": None if fit is None else fit.on,
                }  # fmt: skip


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    """Figures of one group: the model's, the baselines' on the same rows, and the model's by split."""
    measured, predicted, other = _arrays(rows, "latency_us", "predicted_us", "other_us")
    again = np.isfinite(other)
    names = rows["other_framework"].to_numpy()[again]
    hidden = rows["unseen"].to_numpy(dtype=bool)
    return {
        **score(measured, predicted),
        "roofline_mape": percent(mape(measured, rows["roofline_us"])),
        "fitted_mape": percent(mape(measured, rows["fitted_us"])),
        "floor_mape": percent(mape(measured[again], other[again])),
        "floor_n": int(again.sum()),
        "floor_against": str(names[0]) if len(names) else None,
        "seen": score(measured[~hidden], predicted[~hidden]),
        "unseen": score(measured[hidden], predicted[hidden]),
    }
