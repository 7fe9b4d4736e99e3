"""Fields of a model changed from outside: on the command line, in a file, as an axis."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rowline.arch.yamltree import ConfigError
from rowline.experiment import changed_model, load_config
from rowline.runfiles import command_of

import rowline as rl


def test_a_changed_model_runs_as_a_file_of_its_shape_does(tmp_path: Path) -> None:
    file = tmp_path / "six.yaml"
    file.write_text("name: six\nn_layers: 6\nd_model: 768\nn_heads: 12\nn_positions: 1024\n")
    changed = rl.run(workload="gpt2-small", tokens=2, overrides={"workload.n_layers": 6}, progress=False)
    written = rl.run(workload=str(file), tokens=2, progress=False)
    for key in ("latency_s", "energy_j", "commands", "macs"):
        assert changed.stats[key] == written.stats[key]
    assert changed.stats["workload"] == "gpt2-small (n_layers=6)"


def test_the_command_of_a_run_says_what_was_changed(tmp_path: Path) -> None:
    words = ["run", "--workload", "gpt2-small", "--tokens", "1", "--set", "workload.n_layers=2", "--out", str(tmp_path / "r")]
    done = subprocess.run([sys.executable, "-m", "rowline", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    run = rl.load(tmp_path / "r")
    assert "workload.n_layers=2" in run.command and json.loads((tmp_path / "r/stats.json").read_text())["latency_s"] > 0
    assert len(run.commands(window="0us:2us")) > 100


def test_a_file_may_hold_them_and_options_go_over_it(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("workload: gpt2-small\nmodel: {n_layers: 3, n_positions: 64}\n")
    config = load_config(file, {"overrides": {"workload.n_layers": "5"}})
    model = changed_model(config)
    assert (model.n_layers, model.n_positions, model.d_model) == (5, 64, 768) and "n_positions=64" in command_of(config)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [("workload.n_headz", "3", 'did you mean "n_heads"'), ("workload.n_heads", "7", "not a multiple"),
     ("workload.d_ff", "x", "d_ff=x"),
     ("workload.n_layers", "-1", "n_layers"), ("workload.dtype", "int3", "dtype=int3")],
)  # fmt: skip
def test_what_is_wrong_is_named(key: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        rl.run(workload="gpt2-small", tokens=1, overrides={key: value}, progress=False)
