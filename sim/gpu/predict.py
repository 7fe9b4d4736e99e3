"""Columns of a kernel log in, simulated times out."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ...arch.boards import gpu_for_board, match_stack
from ...arch.loader import load_gpu, load_stack
from ...arch.yamltree import ConfigError
from .device import Device
from .protocols import kernel_of, loop_of
from .run import Timing, time_kernel

Columns = dict[str, Any]
_DESCRIBES = ("op", "dtype", "m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "seq_q", "seq_kv", "gpu", "framework",
              "protocol", "launch", "l2", "copies", "clock_mode", "repeats", "flags", "extra")  # fmt: skip
_MISSING: Mapping[str, Any] = {"launch": "", "l2": "", "copies": 0, "clock_mode": "", "repeats": 0, "flags": "", "extra": ""}


def predict_columns(columns: Mapping[str, Any], gpu: str | None = None, stack: str | None = None) -> Columns:
    """Simulate every row; rows alike are simulated once.

    Args:
        columns: columns of a kernel log, n rows, those of the shared schema at least.
        gpu, stack: specifications (presets or YAML files) to use in place of those that the rows name.

    Returns:
        Columns of n rows: ``latency_us`` (nan where not modelled), ``bound``, ``choice``, ``skipped`` (why, or empty),
        ``dram_bytes`` and ``l2_hit_rate``.
    """
    rows = len(columns["op"])
    given = [columns[name] if name in columns else [_MISSING[name]] * rows for name in _DESCRIBES]
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    answers: list[tuple[Any, ...]] = []
    for values in zip(*given, strict=True):
        if values not in known:
            known[values] = _answer(dict(zip(_DESCRIBES, values, strict=True)), gpu, stack)
        answers.append(known[values])
    names = ("latency_us", "bound", "choice", "skipped", "dram_bytes", "l2_hit_rate")
    if not answers:
        return {name: np.empty(0, object if name in names[1:4] else float) for name in names}
    return {
        name: np.array(column, dtype=object if name in names[1:4] else float)
        for name, column in zip(names, zip(*answers, strict=True), strict=True)
    }


@lru_cache(maxsize=64)
def device_for(board: str, framework: str, dtype: str, op: str, gpu: str | None = None, stack: str | None = None) -> Device:
    """The device that a log's board and framework stand for; GEMM kernels decide by type which stack can do it.

    ``gpu`` and ``stack`` name specifications to use instead.

    Raises:
        ConfigError: an unknown board, no stack for it, or a specification that is wrong.
    """
    spec = gpu_for_board(board) if gpu is None else load_gpu(gpu)
    if stack is not None:
        return Device(spec, load_stack(stack))
    return Device(spec, match_stack(framework, spec.architecture, dtype if op in ("gemm", "bmm") else None).stack)


def predict_row(row: Mapping[str, Any], gpu: str | None = None, stack: str | None = None) -> Timing:
    """Simulate one row.

    Raises:
        ConfigError: an unknown board, no stack for it, or a specification that is wrong.
        KeyError: an operation or type that is not modelled.
        ValueError: sizes that make no sense.
    """
    device = device_for(str(row["gpu"]), str(row["framework"]), str(row["dtype"]), str(row["op"]), gpu, stack)
    return time_kernel(kernel_of(row), device, loop_of(row), str(row["op"]))


def _answer(row: Mapping[str, Any], gpu: str | None, stack: str | None) -> tuple[Any, ...]:
    try:
        timing = predict_row(row, gpu, stack)
    except ConfigError as error:
        return np.nan, "", "", "; ".join(error.problems), np.nan, np.nan
    except KeyError as error:
        return np.nan, "", "", f"not modelled: {row['op']} {row['dtype']} ({error.args[0]})", np.nan, np.nan
    except ValueError as error:
        return np.nan, "", "", str(error), np.nan, np.nan
    result = timing.run.result
    hit_rate = result.l2_hit_bytes / result.l2_read_bytes if result.l2_read_bytes else np.nan
    return (
        timing.us, timing.bound, timing.run.choice, "", float(result.dram_read_bytes + result.dram_write_bytes), hit_rate,
    )  # fmt: skip
