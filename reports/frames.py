"""Tidy tables of a run and of a study, for notebooks: units are in the names of the columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..arch.units import DIMENSIONS, UnitError, split_quantity
from .ranking import Influence, Objective, Trial
from .tables import Table

_SUFFIX = {
    "time": "ps", "frequency": "hz", "size": "bytes", "rate": "bits_per_s", "bandwidth": "bytes_per_s", "op_rate": "ops_per_s",
    "energy": "fj", "energy_per_bit": "fj_per_bit", "power": "uw", "current": "ua", "voltage": "uv", "area": "um2",
}  # fmt: skip
_UNITS = {unit: (name, factor) for name, (units, _) in DIMENSIONS.items() for unit, factor in units.items()}
LATENCY = {"op_class": "latency_breakdown_s", "cause": "latency_by_term_s"}
ENERGY = {"component": "energy_breakdown_j", "op_class": "energy_by_op_class_j"}


def breakdown(stats: Mapping[str, Any], keys: Mapping[str, str], value: str) -> pd.DataFrame:
    """Parts of a total in each of the ways in which it is taken apart (``keys``: way -> key of the stats), the largest first.

    Columns: ``by``, ``name``, ``value``, ``share``; the shares of one way add up to 1.
    """
    rows: list[tuple[str, str, float, float]] = []
    for by, key in keys.items():
        parts = stats[key]
        total = sum(parts.values())
        ordered = sorted(parts.items(), key=lambda part: -part[1])
        rows += [(by, name, float(amount), amount / total if total else 0.0) for name, amount in ordered]
    return pd.DataFrame(rows, columns=["by", "name", value, "share"])


def phases(stats: Mapping[str, Any]) -> pd.DataFrame:
    """Prefill and decode, a row each."""
    return pd.DataFrame(stats["phases"]).T.rename_axis("phase").reset_index().infer_objects()


def operations(ops: Mapping[str, Any]) -> pd.DataFrame:
    """An OpLog or GpuOpLog with ``duration_ps`` after ``end_ps``; its words as categories."""
    frame = pd.DataFrame({k: pd.Categorical(v) if v.dtype.kind in "OUT" else v for k, v in ops.items()})
    frame.insert(list(frame.columns).index("end_ps") + 1, "duration_ps", frame["end_ps"] - frame["start_ps"])
    return frame


def kernels(stats: Mapping[str, Any]) -> pd.DataFrame:
    """The distinct kernels of a run on a GPU (``kernels[]`` of docs/cli.md); shapes in columns of their own."""
    rows = [{k: v for k, v in entry.items() if k != "shape"} | entry["shape"] for entry in stats["kernels"]]
    frame = pd.DataFrame(rows)
    return frame.rename(columns={"us": "latency_us", "us_range": "latency_range_us"})


def of_table(table: Table) -> pd.DataFrame:
    """A table of a report."""
    return pd.DataFrame([list(row) for row in table.rows], columns=[column.title for column in table.columns])


def trials(
    found: Sequence[Trial], objectives: Sequence[Objective], stats: Mapping[str, str], best: Sequence[Trial]
) -> pd.DataFrame:
    """One row a trial, by number.

    Columns: ``number``, ``id``, ``state``, ``pareto`` (no other beats it), parameters, objectives, ``wall_s``, ``reason``.
    A parameter that is a quantity is a number in base units, its column ends in them (``host.clock_hz``); an objective that is a
    key of the stats is named as that (``stats``: name -> key, such as ``tpot`` -> ``tpot_s``).
    """
    ordered = sorted(found, key=lambda t: t.number)
    names = list(dict.fromkeys(name for t in ordered for name in t.params))
    front = {t.id for t in best}
    columns: dict[str, Any] = {
        "number": [t.number for t in ordered], "id": [t.id for t in ordered], "state": [t.state for t in ordered],
        "pareto": [t.id in front for t in ordered],
    }  # fmt: skip
    for name in names:
        title, values = parameter(name, [t.params.get(name) for t in ordered])
        columns[title] = values
    for objective in objectives:
        columns[stats.get(objective.name) or objective.name] = [t.objectives.get(objective.name) for t in ordered]
    columns |= {"wall_s": [t.wall_s for t in ordered], "reason": [t.reason for t in ordered]}
    return pd.DataFrame(columns)


def parameter(name: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Title and values of a column: quantities of one dimension as numbers in base units, others as they are."""
    found: list[Any] = []
    dimensions: set[str] = set()
    for value in values:
        if value is None:
            found.append(None)
            continue
        try:
            number, unit = split_quantity(value) if isinstance(value, str) else (None, "")
        except UnitError:
            return name, list(values)
        if number is None or unit not in _UNITS:
            return name, list(values)
        dimension, factor = _UNITS[unit]
        dimensions.add(dimension)
        exact = number * factor
        found.append(int(exact) if exact.denominator == 1 else float(exact))
    if len(dimensions) != 1:
        return name, list(values)
    return f"{name}_{_SUFFIX[dimensions.pop()]}", found


def importance(found: Sequence[Influence]) -> pd.DataFrame:
    """What each parameter explains of each objective: ``share`` of the variance, ``trend`` (rank correlation)."""
    columns = ["parameter", "objective", "share", "trend"]
    return pd.DataFrame([(i.parameter, i.objective, i.share, i.trend) for i in found], columns=columns)


def records(rows: Any) -> pd.DataFrame:
    """Plain data, a row a record, or columns by name."""
    return pd.DataFrame(rows)


def parts(found: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """One part of the stats of several trials: a row a trial, a column an entry; 0 where a trial has no such entry."""
    frame = pd.DataFrame.from_dict(dict(found), orient="index").fillna(0)
    return frame.rename_axis("number").sort_index().reset_index()
