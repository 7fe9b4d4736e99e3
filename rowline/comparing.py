"""Runs side by side: their figures with ratios to the first, and the keys in which their configurations differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowline.arch.yamltree import ConfigError, printable, read_yaml
from rowline.runfiles import CONFIG, STATS, is_run, read_stats

MAX_RUNS = 64
LARGEST = 1e30
"""Numbers beyond it are no results."""
NOT_RESULTS = ("wall_s", "provenance", "kernels", "prompt_tokens", "generated_tokens", "vectors_per_row")
"""Keys of the stats that are not compared: they say what was asked, or how it was run."""


@dataclass(frozen=True)
class Compared:
    """One run: what it is called, its stats, and the leaves of its configuration by dotted key (None: not known)."""

    path: str
    stats: dict[str, Any]
    config: dict[str, str] | None


def compare(targets: Sequence[str]) -> dict[str, Any]:
    """The object of ``rowline compare --json``.

    Args:
        targets: run folders, or their ``stats.json``.

    Raises:
        ConfigError: fewer than two, something is no run or damaged, or there is nothing to compare.
    """
    _check_number(len(targets))
    return side_by_side([_read(target) for target in targets])


def side_by_side(runs: Sequence[Compared]) -> dict[str, Any]:
    """As :func:`compare`, of runs at hand.

    Raises:
        ConfigError: fewer than two, or too many.
    """
    _check_number(len(runs))
    figures = [dict(_numbers(run.stats, "")) for run in runs]
    keys = list(dict.fromkeys(key for each in figures for key in each))
    compared = [_line(key, [each.get(key) for each in figures]) for key in keys]
    return {
        "runs": [
            {"path": run.path} | {k: run.stats[k] for k in ("arch", "workload", "prompt_tokens", "generated_tokens")}
            for run in runs
        ],
        "keys": compared,
        "differ": _differences(runs),
    }  # fmt: skip


def _check_number(count: int) -> None:
    if not 2 <= count <= MAX_RUNS:
        raise ConfigError([f"compare: needs 2 to {MAX_RUNS} runs, got {count}"])


def leaves_of(config: Any) -> dict[str, str]:
    """Leaves of a configuration by dotted key; where a value has a source, the value alone."""
    return dict(_leaves(config, ""))


def _read(target: str) -> Compared:
    path = Path(target)
    try:
        folder = path if path.is_dir() else path.parent if path.name == STATS else None
        known = folder is not None and is_run(folder)
        exists = path.exists()
    except (OSError, ValueError):  # a name that no file can have
        folder, known, exists = None, False, False
    if folder is None or not known:
        what = "not a run folder, nor the stats.json of one" if exists else "no such file or folder"
        raise ConfigError([f"{printable(target, 4096)}: {what}"])
    stats = read_stats(folder / STATS)
    config = folder / CONFIG
    return Compared(target, stats, leaves_of(read_yaml(config).plain()) if config.is_file() else None)


def _numbers(data: dict[str, Any], path: str) -> Iterator[tuple[str, float]]:
    """Dotted keys of the results that are numbers."""
    for key, value in data.items():
        if not path and key in NOT_RESULTS:
            continue
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST:
            yield f"{path}{key}", value


def _line(key: str, values: list[float | None]) -> dict[str, Any]:
    """A key's values, and their ratios to the first; null where a run has no such key, or where the first is 0."""
    first = values[0]
    ratios = [v / first if first and abs(first) > 1 / LARGEST and v is not None else None for v in values]
    return {"key": key, "values": values, "ratios": ratios}


def _leaves(data: Any, path: str) -> Iterator[tuple[str, str]]:
    """Dotted keys of a configuration; where a value has a source, the value alone."""
    if isinstance(data, dict) and "value" in data and data.keys() <= {"value", "kind", "ref"}:
        yield path.removesuffix("."), str(data["value"])
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, f"{path}{key}.")
    else:
        yield path.removesuffix("."), ", ".join(map(str, data)) if isinstance(data, list) else "" if data is None else str(data)


def _differences(runs: Sequence[Compared]) -> list[dict[str, Any]]:
    """Keys of the configurations that do not have one value in all; null where a run's has none.

    Parts that only some runs have at all (the system of one, the GPU of another) count as one key.
    """
    known = [run.config for run in runs if run.config is not None]
    heads = [{key.partition(".")[0] for key in each} for each in known]
    partial = set().union(*heads) - set.intersection(*heads) if heads else set[str]()
    found = [
        {"key": head, "values": [None if r.config is None else str(any(_under(k, head) for k in r.config)).lower() for r in runs]}
        for head in sorted(partial)
    ]
    for key in dict.fromkeys(key for each in known for key in each):
        values = [None if run.config is None else run.config.get(key) for run in runs]
        told = {v for run, v in zip(runs, values, strict=True) if run.config is not None}
        if len(told) > 1 and key.partition(".")[0] not in partial:
            found.append({"key": key, "values": values})
    return found


def _under(key: str, head: str) -> bool:
    return key == head or key.startswith(f"{head}.")
