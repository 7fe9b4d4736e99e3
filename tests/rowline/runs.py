"""Runs of a small model, made once a session and copied where a test wants to damage them."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from rowline.cli import _guard, app
from rowline.experiment import load_config, run_experiment
from rowline.rundir import provenance, write_run

MODEL = "name: tiny\nn_layers: 2\nd_model: 128\nn_heads: 2\nn_positions: 128\nvocab_size: 1000\n"


@cache
def made(root: Path) -> dict[str, Path]:
    """Run folders under ``root``: a PIM system, the same with twice the channels, a GPU."""
    model = root / "tiny.yaml"
    model.write_text(MODEL)
    common: dict[str, Any] = {"workload": str(model), "prompt_tokens": 3, "generated_tokens": 3}
    asked: dict[str, dict[str, Any]] = {
        "pim": {"arch": "pim-gpt"}, "wide": {"arch": "pim-gpt", "overrides": {"channels": "16"}}, "gpu": {"arch": "h200"},
    }  # fmt: skip
    for name, request in asked.items():
        begin = perf_counter()
        done = run_experiment(load_config(None, common | request))
        stats = done.result.stats | {"wall_s": 0.0, "provenance": provenance(done)}
        write_run(root / name, done, stats, begin)
    return {name: root / name for name in asked}


def rowline(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = _guard(lambda: app([str(arg) for arg in args], standalone_mode=False))
    out, err = capsys.readouterr()
    return code, out, err


def change_stats(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit ``stats.json`` of a folder."""
    path = folder / "stats.json"
    stats = json.loads(path.read_text())
    change(stats)
    path.write_text(json.dumps(stats))
