"""``rowline run --arch <GPU>`` as people run it: the JSON object, the run folder, refusals."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rowline.arch.loader import is_gpu, list_gpus, list_presets
from rowline.arch.yamltree import read_yaml
from rowline.experiment import load_config, run_experiment
from rowline.traces.gpulog import GPU_OPLOG_COLUMNS, GPU_OPLOG_TABLE
from rowline.traces.oplog import OPLOG_TABLE
from rowline.traces.schema import read_table

import rowline as face

SHARED = {
    "arch", "workload", "prompt_tokens", "generated_tokens", "latency_s", "prefill_latency_s", "decode_latency_s", "tpot_s",
    "energy_j", "energy_breakdown_j", "energy_by_op_class_j", "latency_breakdown_s", "latency_by_term_s", "macs",
    "effective_bandwidth_bytes_per_s", "peak_bandwidth_bytes_per_s", "phases", "assumed", "fitted", "notes", "wall_s",
    "provenance",
}  # fmt: skip
GPU_ONLY = {
    "gpu", "stack", "launch", "dtype", "kernels", "dram_bytes", "dram_read_bytes", "dram_write_bytes", "l2_hit_rate", "launches",
    "host_launches",
}  # fmt: skip
MODEL = "name: tiny\nn_layers: 2\nd_model: 128\nn_heads: 2\nn_positions: 128\nvocab_size: 1000\n"


def rowline(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "rowline", *args], cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    texts = {
        "tiny": MODEL, "full": MODEL + "dtype: float32\n",
        "mine": "extends: gpu/h200\nname: mine\ndram:\n  bandwidth: 2400 GB/s\n",
        "typo": "extends: gpu/h200\nname: mine\nl2:\n  sizze: 40 MiB\n",
        "run": "arch: t4\nworkload: tiny.yaml\ngpu: {launch: eager}\n", "stak": "arch: t4\ngpu:\n  stak: cublas-turing\n",
        "over": "arch: h200\noverrides:\n  stack.fusion.bia: true\n", "pim": "arch: aim\ngpu: {launch: eager}\n",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def runs(files: Path) -> list[tuple[Path, dict[str, Any]]]:
    found: list[tuple[Path, dict[str, Any]]] = []
    for i in range(2):
        folder = files / f"out{i}"
        done = rowline(files, "run", "--arch", "h200", "--workload", "tiny.yaml", "--prompt", "8", "--tokens", "4", "--json",
                       "--out", str(folder))  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append((folder, json.loads(done.stdout)))
    return found


def test_the_keys(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    stats = runs[0][1]
    assert stats.keys() == SHARED | GPU_ONLY
    assert (stats["arch"], stats["stack"], stats["dtype"], stats["launch"]) == ("h200", "cublas-hopper", "bf16", "graph")
    assert stats["phases"].keys() == {"prefill", "decode"}
    for kernel in stats["kernels"]:
        assert kernel.keys() == {
            "op", "op_class", "phase", "shape", "dtype", "calls", "us", "us_range", "choice", "bound", "dram_bytes", "share",
            "ctas", "ctas_per_sm", "waves", "occupancy", "bytes_in_flight", "stalls",
        }  # fmt: skip
        assert kernel["us_range"][0] <= kernel["us"] * (1 + 1e-9) and kernel["us"] <= kernel["us_range"][1] * (1 + 1e-9)
        assert kernel["stalls"].keys() == {"arithmetic", "latency", "sm_feed", "l2", "dram", "launch"}
        assert sum(kernel["stalls"].values()) == pytest.approx(1) and 0 < kernel["occupancy"] <= 1
        assert kernel["waves"] * 132 * kernel["ctas_per_sm"] == pytest.approx(kernel["ctas"], rel=1e-9)  # of an H200's SMs
    assert "stack.fusion.bias" in stats["assumed"] and "gpu.achieved.dram_read" in stats["fitted"]


def test_two_runs_are_one(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    first, second = ({k: v for k, v in stats.items() if k != "wall_s"} for _, stats in runs)
    assert json.dumps(first) == json.dumps(second)
    tables = [read_table(folder / "ops.parquet", GPU_OPLOG_TABLE) for folder, _ in runs]
    assert tables[0] == tables[1]


def test_the_run_folder(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    folder, stats = runs[0]
    assert sorted(f.name for f in folder.iterdir()) == ["config.yaml", "ops.parquet", "stats.json"]
    assert json.loads((folder / "stats.json").read_text()).keys() == stats.keys()
    config = read_yaml(folder / "config.yaml").plain()
    assert isinstance(config, dict) and config.keys() == {"run", "model", "gpu", "stack"}
    assert config["gpu"]["name"] == "h200" and config["stack"]["fusion"]["bias"]["value"] == "true"
    rows, metadata = read_table(folder / "ops.parquet", GPU_OPLOG_TABLE)
    assert tuple(rows[0]) == GPU_OPLOG_COLUMNS and metadata["graph"] == stats["provenance"]["graph_digest"]
    assert len(rows) == stats["launches"] and sum(r["macs"] for r in rows) == stats["macs"]
    assert {(r["pass_index"], r["phase"], r["kv_length"]) for r in rows} == {
        (0, "prefill", 8), (1, "decode", 9), (2, "decode", 10), (3, "decode", 11)
    }  # fmt: skip
    by_class: dict[str, int] = {}
    for r in rows:
        by_class[r["op_class"]] = by_class.get(r["op_class"], 0) + r["end_ps"] - r["start_ps"]
    shown = {k: v for k, v in stats["latency_breakdown_s"].items() if k != "host"}
    assert {k: v * 1e-12 for k, v in by_class.items()} == pytest.approx(shown)
    dynamic = sum(r["energy_fj"] for r in rows) * 1e-15
    assert dynamic == pytest.approx(stats["energy_j"] - stats["energy_breakdown_j"]["static"], rel=1e-9)


def test_what_people_see(files: Path) -> None:
    done = rowline(files, "run", "run.yaml", "--tokens", "2", "--out", "seen")
    assert done.returncode == 0, done.stderr
    assert "arch t4   stack cublas-turing   fp16   launch eager   workload tiny" in done.stdout
    assert "time by op class" in done.stdout and "next: rowline show stack cublas-turing" in done.stdout
    assert "softmax" in done.stdout and "note: stack.attention: none" in done.stdout


def test_a_file_and_overrides_change_the_gpu_and_its_stack(files: Path) -> None:
    def stats(*args: str) -> dict[str, Any]:
        done = rowline(files, "run", "--workload", "tiny.yaml", "--tokens", "2", "--json", *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    mine = stats("--arch", "mine.yaml", "--set", "stack.fusion.activation=true", "--dtype", "fp16")
    assert (mine["arch"], mine["dtype"], mine["peak_bandwidth_bytes_per_s"]) == ("mine", "fp16", 2400 * 10**9)
    assert "gelu" not in mine["latency_breakdown_s"]
    full = stats("--arch", "l4", "--workload", "full.yaml")
    assert full["dtype"] == "fp32"


def test_show_arch_lists_both_kinds(files: Path) -> None:
    assert rowline(files, "show", "arch").stdout.split() == list_presets("system") + list_gpus()
    assert json.loads(rowline(files, "show", "arch", "t4", "-f", "json").stdout)["name"] == "t4"
    assert is_gpu(str(files / "mine.yaml")) and not is_gpu("aim") and not is_gpu(str(files / "tiny.yaml"))


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown GPU": (("--arch", "h2000"), 'unknown system "h2000"; did you mean "h200"?'),
    "too little memory": (("--arch", "h200", "--set", "dram.capacity=100 MiB"), "144958976 bytes short of 104857600"),
    "stack of another chip": (("--arch", "h200", "--stack", "cublas-turing"), "is for turing, volta; h200 is hopper"),
    "unknown stack": (("--arch", "h200", "--stack", "cublas"), 'unknown stack "cublas"; did you mean "cublas-'),
    "type that the chip lacks": (("--arch", "t4", "--dtype", "bf16"), "--dtype bf16: t4 has no rate for it"),
    "type that the stack lacks": (("--arch", "l4", "--stack", "torch-2.1-simt", "--dtype", "bf16"), "no matrix products in bf16"),
    "unknown type": (("--arch", "h200", "--dtype", "fp5"), "--dtype"),
    "unknown launch": (("--arch", "h200", "--launch", "foo"), "--launch"),
    "options of a GPU on a system": (("--arch", "aim", "--launch", "eager"), "--stack, --launch and --dtype: only for a GPU"),
    "the same in a CONFIG": (("pim.yaml",), "--stack, --launch and --dtype: only for a GPU"),
    "options of a system on a GPU": (("--arch", "h200", "--no-lm-head"), "only for a system with PIM"),
    "no unit": (("--arch", "h200", "--set", "l2.size=5"), "--set l2.size=5  l2.size: needs a unit of size"),
    "misspelt key of the stack": (("--arch", "l4", "--set", "stack.fusion.bia=true"), "--set stack.fusion.bia=true  fusion.bia:"),
    "misspelt key in a GPU file": (("--arch", "typo.yaml"), 'typo.yaml:4  l2.sizze: unknown key; did you mean "size"?'),
    "misspelt choice in a CONFIG": (("stak.yaml",), 'stak.yaml:3  gpu.stak: unknown key; did you mean "stack"?'),
    "misspelt stack key in a CONFIG": (("over.yaml",), 'over.yaml:3  fusion.bia: unknown key; did you mean "bias"?'),
    "context too short": (("--arch", "h200", "--tokens", "1025"), "n_positions of 1024"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refusals_take_one_line(files: Path, case: str) -> None:
    args, part = BAD[case]
    done = rowline(files, "run", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr and done.stderr.startswith("rowline: ") and len(done.stderr.splitlines()) == 1
    assert not (files / "out").exists() or not any("partial" in f.name for f in (files / "out").rglob("*"))


def test_a_gpu_places_no_tensors(files: Path) -> None:
    done = rowline(files, "show", "mapping", "--arch", "h200")
    assert done.returncode == 2 and "a GPU, which places no tensors" in done.stderr


def test_runs_on_pim_are_as_before(files: Path) -> None:
    done = rowline(files, "run", "--workload", "tiny.yaml", "--tokens", "2", "--json", "--out", "pim")
    stats = json.loads(done.stdout)
    assert stats.keys() > SHARED and not GPU_ONLY & stats.keys() and {"row_hit_rate", "commands", "cycles"} < stats.keys()
    config = read_yaml(files / "pim" / "config.yaml").plain()
    assert isinstance(config, dict) and config.keys() == {"run", "model", "system"} and "gpu" not in config["run"]
    assert read_table(files / "pim" / "ops.parquet", OPLOG_TABLE)[0][0]["unit"] in ("pim", "asic")


def test_from_python() -> None:
    result = face.run(arch="h200", workload="gpt2-small", tokens=2, launch="eager", progress=False)
    assert result.stats["launch"] == "eager"
    assert result.ops["kernel"].tolist().count("attn_decode") == 24


@pytest.mark.parametrize("choice", [{}, {"dtype": "fp32", "stack": "torch-2.1-simt"}])
def test_causes_of_the_kernels_are_those_of_the_run(choice: dict[str, Any]) -> None:
    """What each kernel says of itself adds up to what the run says; how many CTAs it has is exact whatever library it is of."""
    asked = {"arch": "l4", "workload": "gpt2-small", "prompt_tokens": 20, "generated_tokens": 3, "gpu": choice}
    stats = run_experiment(load_config(None, asked)).result.stats
    for cause in ("arithmetic", "latency", "sm_feed", "l2", "dram", "launch"):
        total = sum(k["share"] * k["stalls"][cause] for k in stats["kernels"]) * stats["latency_s"]
        assert total == pytest.approx(stats["latency_by_term_s"][cause], rel=1e-6, abs=1e-12), cause
    for kernel in stats["kernels"]:
        assert kernel["waves"] * 58 * kernel["ctas_per_sm"] == pytest.approx(kernel["ctas"], rel=1e-9), kernel["choice"]
