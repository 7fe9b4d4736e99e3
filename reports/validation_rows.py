"""Which rows of the kernel logs are compared: options, flags, specifications, the unseen split and the sample."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from .gpu_baselines import Datasheet, limits_us
from .gpu_work import KNOWN_OPS, work
from .split import unseen_rows

# rows whose time is not the kernel's, or that no neighbour supports: counted, never compared
SKIPPED_FLAGS = ("host_launch_floor", "coarse_timer", "m_step_gt2.5x")
# what says that two rows measured the same thing in the same way, where the log has it
SAME_WORK = ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv", "protocol", "flags",
             "launch", "l2", "copies", "clock_mode")  # fmt: skip

Columns = dict[str, Any]
Sheets = Mapping[str, Datasheet | None]
Split = Literal["all", "seen", "unseen"]


@dataclass(frozen=True)
class Choice:
    """What to compare: boards and frameworks as the logs name them (None: all), op, split, sample size and its seed."""

    boards: frozenset[str] | None = None
    op: str | None = None
    frameworks: frozenset[str] | None = None
    split: Split = "all"
    sample: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Selection:
    """Rows to compare.

    Attributes:
        frame: all usable rows, whatever the options say, index 0..; columns of the log and
            ``compute_us``, ``memory_us`` (least times of the datasheet), ``unseen``, ``sms``. Fits and
            re-measurements use all of them.
        rows: positions in ``frame`` of the rows to compare, ascending.
        skipped: why chosen rows are not compared: reason -> rows.
        read: rows in the logs.
        not_selected: rows that the options leave out, among them those that the sample did not draw.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    skipped: dict[str, int]
    read: int
    not_selected: int

    def columns(self) -> Columns:
        """The rows to compare as columns of a log, for a predictor."""
        chosen = self.frame.iloc[self.rows].drop(columns=["compute_us", "memory_us", "unseen", "sms"])
        return {str(name): chosen[name].to_numpy() for name in chosen}


def join(parts: list[Columns]) -> Columns:
    """Logs one under the other: the columns that all of them have."""
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in shared}


def chunks(columns: Columns, rows: int) -> Iterator[Columns]:
    """Slices of at most ``rows`` rows, in order."""
    total = len(columns["op"])
    for first in range(0, total, rows):
        yield {name: values[first : first + rows] for name, values in columns.items()}


def select(columns: Columns, choice: Choice, sheets: Sheets) -> Selection:
    """Rows to compare, and why others are not.

    Args:
        columns: columns of a KernelLog, n rows; ``latency_us`` above 0.
        choice: the options.
        sheets: datasheet of each board in the log; None where there is no specification.
    """
    texts = {name: _codes(columns[name]) for name in ("gpu", "framework", "op", "dtype", "flags", "family")}
    n = len(columns["op"])
    hidden = unseen_rows(columns["family"])
    wanted = np.ones(n, dtype=bool)
    for name, allowed in (("gpu", choice.boards), ("framework", choice.frameworks), ("op", choice.op)):
        if allowed is not None:
            wanted &= _isin(texts[name], {allowed} if isinstance(allowed, str) else allowed)
    if choice.split != "all":
        wanted &= hidden == (choice.split == "unseen")
    reasons, compute_us, memory_us = _reasons(columns, texts, sheets)
    usable = reasons == ""
    skipped = pd.Series(reasons[wanted & ~usable], dtype=object).value_counts()
    chosen = np.flatnonzero(wanted & usable)
    dropped = n - int(wanted.sum())
    if choice.sample is not None and choice.sample < len(chosen):
        dropped += len(chosen) - choice.sample
        chosen = np.sort(np.random.default_rng(choice.seed).choice(chosen, choice.sample, replace=False))
    frame = pd.DataFrame({name: np.asarray(values)[usable] for name, values in columns.items()})
    sms = np.array([0 if sheet is None else sheet.sms for sheet in map(sheets.__getitem__, texts["gpu"][1])] or [0])
    frame = frame.assign(
        compute_us=compute_us[usable], memory_us=memory_us[usable], unseen=hidden[usable], sms=sms[texts["gpu"][0]][usable]
    )
    position = np.cumsum(usable) - 1
    counts = {str(reason): int(count) for reason, count in sorted(skipped.items(), key=lambda kv: (-kv[1], str(kv[0])))}
    return Selection(frame, position[chosen], counts, n, dropped)


Codes = tuple[np.ndarray, list[str]]


def _codes(values: Any) -> Codes:
    codes, distinct = pd.factorize(np.asarray(values, dtype=object))
    return codes, [str(name) for name in distinct]


def _isin(column: Codes, allowed: set[str] | frozenset[str]) -> np.ndarray:
    return np.array([name in allowed for name in column[1]] or [False])[column[0]]


def _reasons(columns: Columns, texts: dict[str, Codes], sheets: Sheets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Why each row cannot be compared ("" where it can), and its least compute and memory time in microseconds."""
    boards, ops, dtypes = texts["gpu"], texts["op"], texts["dtype"]
    reasons = np.full(len(boards[0]), "", dtype=object)

    def note(rows: np.ndarray, reason: Any) -> None:
        rows = rows & (reasons == "")
        reasons[rows] = reason[rows] if isinstance(reason, np.ndarray) else reason

    for flag in SKIPPED_FLAGS:
        named = [flag in text.split(",") for text in texts["flags"][1]]
        note(np.array(named or [False])[texts["flags"][0]], flag)
    unspecified = {name for name in boards[1] if sheets[name] is None}
    for name in sorted(unspecified):
        note(_isin(boards, {name}), f"unknown GPU {name}")
    for name in sorted(set(ops[1]) - set(KNOWN_OPS)):
        note(_isin(ops, {name}), f"unknown op {name}")
    flops, size_bytes = work(columns)
    for name in dtypes[1]:
        note(_isin(dtypes, {name}) & np.isnan(size_bytes), f"unknown dtype {name}")
    names = np.array(boards[1], dtype=object)[boards[0]]
    types = np.array(dtypes[1], dtype=object)[dtypes[0]]
    compute_us, memory_us = limits_us(flops, size_bytes, types, [sheets[name] for name in names])
    note(np.isnan(compute_us), "no peak rate for " + types + " on " + names)
    return reasons, compute_us, memory_us
