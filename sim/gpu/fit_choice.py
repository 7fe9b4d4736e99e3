"""Which rows of a kernel log a fit uses, and what is said of the others."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fit_rows import Change, Row, RowGroup, predicted_us, relative_errors

Columns = Mapping[str, Any]
Bools = NDArray[np.bool_]
TRIES = 3
"""Rows of a stretch that are asked whether they can be simulated, before the stretch is given up."""


def among(values: Any, wanted: Callable[[str], bool]) -> Bools:
    """Which of many texts satisfy a test, bool[n]; each distinct one is asked once."""
    distinct, codes = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    return np.array([wanted(str(text)) for text in distinct] or [False])[codes]


def unflagged(columns: Columns, flags: Collection[str]) -> Bools:
    """Rows without any of these flags, bool[n]."""
    return ~among(columns["flags"], lambda text: any(flag in text for flag in flags))


def equal(columns: Columns, **allowed: Collection[str]) -> Bools:
    """Rows whose columns hold one of these texts each, bool[n]."""
    wanted = np.ones(len(columns["op"]), dtype=bool)
    for name, texts in allowed.items():
        wanted &= among(columns[name], lambda text, texts=texts: text in texts)
    return wanted


def drawn(wanted: Bools, count: int, seed: int) -> list[int]:
    """At most ``count`` of the rows wanted, ascending."""
    places = np.flatnonzero(wanted)
    rng = np.random.default_rng(seed)
    return sorted(rng.choice(places, min(count, len(places)), replace=False).tolist()) if len(places) else []


def runnable(group: RowGroup) -> RowGroup:
    """The rows that the group's GPU and stack have kernels for."""
    good = np.isfinite(predicted_us(group, ()))
    return replace(group, rows=tuple(row for row, fine in zip(group.rows, good, strict=True) if fine))


def spread_points(whole: RowGroup, hidden: Bools, count: int, seed: int) -> RowGroup:
    """At most ``count`` rows that are not hidden: each op has as many, one drawn from each stretch of its rows by time."""
    rng = np.random.default_rng(seed)
    by_op: dict[str, list[Row]] = {}
    for row in sorted((row for row in whole.rows if not hidden[row.place]), key=lambda row: (row.us, row.place)):
        by_op.setdefault(row.op, []).append(row)
    points: list[Row] = []
    for number, op in enumerate(sorted(by_op)):
        share = min((count - len(points)) // (len(by_op) - number), len(by_op[op]))
        for stretch in np.array_split(np.arange(len(by_op[op])), share) if share else ():
            some = replace(whole, rows=tuple(by_op[op][i] for i in rng.permutation(stretch)[:TRIES]))
            points += runnable(some).rows[:1]
    return replace(whole, rows=tuple(points))


def unused(whole: RowGroup, used: RowGroup, most: int, seed: int) -> RowGroup:
    """The rows that a group has beyond another one, or a draw of them."""
    taken = {row.place for row in used.rows}
    rest = [row for row in whole.rows if row.place not in taken]
    return replace(whole, rows=tuple(rest[i] for i in drawn(np.ones(len(rest), dtype=bool), most, seed)))


def scores(rest: RowGroup, hidden: Bools, changes: tuple[Change, ...]) -> list[dict[str, Any]]:
    """Mean absolute errors in percent, without and with changed numbers, by op and split; rows that can be simulated."""
    before, after = (relative_errors(rest, predicted_us(rest, some, fast=False)) for some in ((), changes))
    kinds = [(row.op, "unseen" if hidden[row.place] else "seen") for row in rest.rows]
    found: list[dict[str, Any]] = []
    for op, split in sorted(set(kinds)):
        of = np.array([kind == (op, split) for kind in kinds]) & np.isfinite(before) & np.isfinite(after)
        if of.any():
            mapes = [float(100 * np.abs(errors[of]).mean()) for errors in (before, after)]
            found.append({"op": op, "split": split, "rows": int(of.sum()), "mape_before": mapes[0], "mape_after": mapes[1]})
    return found
