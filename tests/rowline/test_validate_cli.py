"""``rowline validate`` as people run it, and as code calls it, with predictors that are made up."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rowline.arch.yamltree import ConfigError
from rowline.cli import _guard, app
from rowline.gpu_validation import CHUNK_ROWS, ValidationJob, datasheet, predict_rows, specifications
from rowline.traces.kernellog import KernelHeader, KernelRow, to_columns, write_kernel_log

from rowline import gpu_validation

GROUP = {"gpu", "framework", "op", "dtype", "regime", "n", "mape", "median_ape", "p90_ape", "bias", "spearman",
         "roofline_mape", "fitted_mape", "floor_mape"}  # fmt: skip
H200, A100 = "H200-SXM-141GB", "A100-SXM4-80GB"


def rows(count: int, **common: Any) -> list[KernelRow]:
    rng = np.random.default_rng(count)
    found: list[KernelRow] = []
    for _ in range(count):
        m, n, k = (int(2**x) for x in rng.uniform(4, 12, 3))
        shape: dict[str, Any] = {"gpu": H200, "op": "gemm", "dtype": "bf16", "framework": "vllm-0.24.0", "m": m, "n": n, "k": k}
        found.append(KernelRow(**(shape | {"latency_us": float(rng.uniform(2, 50)), "batch": 1} | common)))
    return found


def write(path: Path, found: list[KernelRow]) -> Path:
    write_kernel_log(path, KernelHeader(), to_columns(found))
    return path


def by_a_tenth(columns: dict[str, Any]) -> dict[str, Any]:
    """A predictor that is 10 % above every measurement, and knows no M of 16."""
    us = np.where(columns["m"] == 16, np.nan, columns["latency_us"] * 1.1)
    text = [np.full(len(us), name, dtype=object) for name in ("mma", "tile 64x64", "")]
    reason = np.where(columns["m"] == 16, "no tile", "").astype(object)
    return {"latency_us": us, "bound": text[0], "choice": text[1], "skipped": reason}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    found = rows(60) + rows(30, gpu=A100, framework="sglang-0.5.10") + rows(4, gpu="Mystery 9000") + rows(3, m=16)
    return write(tmp_path / "log.parquet", found + rows(5, flags="coarse_timer") + rows(2, op="stream_read"))


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str) -> tuple[int, str, str]:
    monkeypatch.setattr(gpu_validation, "simulator", lambda gpu, stack: by_a_tenth)
    code = _guard(lambda: app(["validate", *args], standalone_mode=False))
    out, err = capsys.readouterr()
    return code, out, err


def test_json_has_the_promised_keys(log: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "--against", str(log), "--json", "--jobs", "1")
    answer = json.loads(out)
    assert code == 0
    assert answer.keys() >= {"groups", "worst", "rows", "skipped", "wall_s"}
    assert answer["rows"] == 90 and answer["wall_s"] > 0
    assert answer["skipped"] == {"coarse_timer": 5, "unknown GPU Mystery 9000": 4, "no tile": 3, "unknown op stream_read": 2}
    whole = [group for group in answer["groups"] if group["regime"] == "all"]
    assert [(g["gpu"], g["framework"], g["n"]) for g in whole] == [(A100, "sglang-0.5.10", 30), (H200, "vllm-0.24.0", 60)]
    for group in answer["groups"]:
        assert group.keys() >= GROUP
        assert (group["mape"], group["bias"]) == (pytest.approx(10), pytest.approx(10))
    assert len(answer["worst"]) == 10
    assert answer["worst"][0].keys() >= {"shape", "measured_us", "predicted_us", "bound", "choice"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["--gpu", "h200"], 60), (["--gpu", "a100-sxm4-80gb"], 30), (["--framework", "vllm"], 60), (["--op", "gemm"], 90),
     (["--framework", "sglang-0.5.10"], 30)],
)  # fmt: skip
def test_options(log: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: int) -> None:
    code, out, _ = run(capsys, monkeypatch, str(log), "--json", "--jobs", "1", *options)
    answer = json.loads(out)
    assert (code, answer["rows"]) == (0, expected)
    assert answer["rows"] + sum(answer["skipped"].values()) + answer["not_selected"] == answer["rows_read"] == 104


def test_sample(log: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    args = (str(log), "--json", "--jobs", "1", "--sample", "20", "--seed")
    first, again, other = (json.loads(run(capsys, monkeypatch, *args, seed)[1]) for seed in ("3", "3", "4"))
    assert first["rows"] + first["skipped"].get("no tile", 0) == 20
    assert first["groups"] == again["groups"] != other["groups"]


def test_splits_add_up(log: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {}
    for split in ("all", "seen", "unseen"):
        counts[split] = json.loads(run(capsys, monkeypatch, str(log), "--json", "--split", split, "--jobs", "1")[1])["rows"]
    assert counts["all"] == counts["seen"] + counts["unseen"] and counts["unseen"] > 0


def test_table_and_page(log: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, monkeypatch, str(log), str(tmp_path), "--html", str(page), "--jobs", "1")
    assert code == 0 and page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "compared 90 of 104 rows" in out and "tile 64x64" in out and "coarse_timer 5" in out
    assert [f.name for f in tmp_path.iterdir() if f.name.endswith(".partial")] == []


def test_names_in_a_log_cannot_write_to_the_terminal(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = write(tmp_path / "evil.parquet", rows(20, framework="vllm-1\x1b[2J[red]") + rows(2, gpu="\x1b]0;x\x07"))
    code, out, _ = run(capsys, monkeypatch, str(evil), "--jobs", "1")
    assert code == 0 and "\x1b" not in out and "\x07" not in out and "[red]" in out


def bad(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    (tmp_path / "empty").mkdir()
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 not really")
    good = str(write(tmp_path / "good.parquet", rows(5)))
    return {
        "missing": (["--against", "nowhere.parquet"], "nowhere.parquet: no such file"),
        "folder": (["--against", str(tmp_path / "empty")], "no *.parquet"),
        "damaged": (["--against", str(damaged)], "damaged.parquet"),
        "gpu": (["--against", good, "--gpu", "h900"], f"--gpu h900: not in the logs, which hold {H200}"),
        "op": (["--against", good, "--op", "sort"], "--op sort: not in the logs, which hold gemm"),
        "framework": (["--against", good, "--framework", "vll"], "--framework vll: not in the logs"),
        "page": (["--against", good, "--html", "no/such/page.html"], "no such folder"),
        "page that is a folder": (["--against", good, "--html", str(tmp_path)], "is a folder"),
        "sample": (["--against", good, "--sample", "0"], "--sample"),
        "split": (["--against", good, "--split", "half"], "--split"),
    }


@pytest.mark.parametrize("case", ["missing", "folder", "damaged", "gpu", "op", "framework", "page", "sample", "split"])
def test_bad_input_is_one_line_and_exit_code_two(
    case: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, expected = bad(tmp_path)[case]
    code, out, err = run(capsys, monkeypatch, *args, "--jobs", "1")
    assert (code, out) == (2, "")
    assert expected in err and len(err.splitlines()) == 1


def test_rows_of_the_other_split_only_is_no_row(tmp_path: Path) -> None:
    from rowline.reports.split import unseen

    found = [row for row in rows(200) if not unseen(f"gemm:n{row.n}:k{row.k}")]
    job = ValidationJob((str(write(tmp_path / "seen.parquet", found)),), split="unseen")
    with pytest.raises(ConfigError, match="no row"):
        gpu_validation.validate(job, predict=by_a_tenth)


def test_without_a_log_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_validation, "OWN_LOGS", tmp_path / "none")
    with pytest.raises(ConfigError, match="--against FILE"):
        gpu_validation.log_files(())
    (tmp_path / "none").mkdir()
    mine = write(tmp_path / "none" / "h200.parquet", rows(5))
    assert gpu_validation.log_files(()) == [str(mine)]
    assert gpu_validation.log_files([str(mine), str(mine.parent)]) == [str(mine)]  # named twice, read once


def test_datasheets_of_presets() -> None:
    found = specifications(["NVIDIA H200", "h200-sxm-141gb", "Mystery 9000"])
    assert found["Mystery 9000"] is None
    sheets = [datasheet(spec) for spec in found.values() if spec is not None]
    assert len(sheets) == 2 and sheets[0] == sheets[1]
    assert sheets[0].bandwidth_bytes_per_s == 4.8e12 and sheets[0].sms == 132
    assert sheets[0].flops_per_s["bf16"] == pytest.approx(989.4e12, rel=1e-3)  # tensor cores
    assert sheets[0].flops_per_s["fp32"] == pytest.approx(66.9e12, rel=1e-2)  # scalar lanes: TF32 is another type


PREDICTOR = '''
import os
import numpy as np

def die(columns):
    os._exit(9)

def predict(columns):
    us = columns["latency_us"] * 1.1
    text = np.full(len(us), "", dtype=object)
    return {"latency_us": us, "bound": text, "choice": text, "skipped": text}
'''


def test_any_number_of_jobs_gives_the_same_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_predictor.py").write_text(PREDICTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    import made_up_predictor  # type: ignore[import-not-found]

    columns = to_columns(rows(3 * CHUNK_ROWS + 7))
    seen: list[tuple[int, int | None]] = []
    one, two = (
        predict_rows(columns, made_up_predictor.predict, jobs, lambda done, total: seen.append((done, total))) for jobs in (1, 2)
    )
    assert one["latency_us"].tolist() == two["latency_us"].tolist() == (columns["latency_us"] * 1.1).tolist()
    steps = [CHUNK_ROWS, 2 * CHUNK_ROWS, 3 * CHUNK_ROWS, len(columns["op"])]
    assert [done for done, _ in seen] == steps * 2


def test_a_worker_that_dies_is_an_error_and_not_a_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying_predictor.py").write_text(PREDICTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    import dying_predictor  # type: ignore[import-not-found]

    columns = to_columns(rows(2 * CHUNK_ROWS))
    with pytest.raises(ConfigError, match="killed"):
        predict_rows(columns, dying_predictor.die, 2, lambda done, total: None)
    assert multiprocessing.active_children() == []


def test_help_names_the_options() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rowline", "validate", "--help"], capture_output=True, text=True, timeout=60,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0
    for option in ("--against", "--gpu", "--op", "--framework", "--sample", "--seed", "--split", "--json", "--html", "--jobs"):
        assert option in done.stdout
