"""One trial: its identity, and that what a worker keeps changes nothing in what it returns."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rowline.experiment import RunConfig, run_experiment
from rowline.sweeps.fingerprint import code_version
from rowline.sweeps.memo import Memo, cache_folder, traced
from rowline.sweeps.points import Points
from rowline.sweeps.space import load_space
from rowline.sweeps.trial import INFEASIBLE, Kept, expand_point, run_trial, run_with, trial_id
from rowline.workloads.models.registry import get_model

TINY = "name: tiny\nn_layers: 3\nd_model: 128\nn_heads: 4\nn_positions: 128\nvocab_size: 1000\n"
SPACE = """
base: {{arch: pim-gpt, workload: {model}, prompt_tokens: 5, generated_tokens: 3}}
axes:
  - {{key: channels, values: [4, 8, 12]}}
  - {{key: device.organization.bank_groups, values: [2, 4]}}
  - {{key: device.pim.mac_lanes, values: [8, 16]}}
  - {{key: device.timing.tCCDL, values: [1 ns, 2 ns]}}
  - {{key: device.timing.tCL, values: [20 ns, 25 ns]}}
  - {{key: host.clock, values: [500 MHz, 1 GHz]}}
  - {{key: device.power.idd4r, values: [400 mA, 530 mA]}}
  - {{key: mapping.lm_head_on_pim, values: [true, false]}}
  - {{key: generated_tokens, values: [1, 3]}}
"""
CODE = """
import json, sys
from pathlib import Path
from rowline.sweeps.points import Points
from rowline.sweeps.space import load_space
from rowline.sweeps.trial import expand_point, run_trial, trial_id
space = load_space(Path(sys.argv[1]))
config = expand_point(space, next(Points(space).grid()))
stats = run_trial(config)
print(json.dumps([trial_id(config), stats, "torch" in sys.modules], sort_keys=True))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWLINE_CACHE", str(tmp_path / "cache"))


def configs(folder: Path, count: int, text: str = SPACE) -> list[dict[str, Any]]:
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "space.yaml").write_text(text.format(model=folder / "tiny.yaml"))
    space = load_space(folder / "space.yaml")
    points = list(Points(space).grid())
    random.Random(3).shuffle(points)
    return [expand_point(space, point) for point in points[:count]]


def test_kept_and_fresh_runs_agree_key_by_key(tmp_path: Path) -> None:
    """Each configuration in a worker that keeps much, in one that keeps so little that it forgets, in one that keeps nothing, and
    as ``rowline run`` does it."""
    much, little, nothing = Kept(64), Kept(2), Kept(0)
    for config in configs(tmp_path, 24):
        whole = run_experiment(RunConfig.model_validate(config["run"])).result.stats
        for kept in (much, little, nothing):
            stats = run_with(kept, config)
            assert stats.pop("area_m2") == pytest.approx(0.64e-6)
            assert stats.keys() == whole.keys()
            for key, value in whole.items():
                assert stats[key] == value, key
    assert much.parts.hits > 200 and much.graphs.made == 1 and nothing.parts.hits == 0


def test_identity(tmp_path: Path) -> None:
    found = configs(tmp_path, 30)
    ids = {trial_id(config) for config in found}
    assert len(ids) == 30 and all(len(i) == 32 for i in ids)
    assert trial_id(found[0]) == trial_id(dict(reversed(found[0].items())))
    assert found[0]["code"] == code_version()
    for part in ("hardware", "workload", "code"):
        assert trial_id(found[0] | {part: "other"}) not in ids
    spelled = "axes:\n  - {{key: host.clock, values: [{}]}}\n"
    one, other = (load_space(_written(tmp_path, spelled.format(value))) for value in ("1 GHz", "1000 MHz"))
    assert {trial_id(expand_point(s, next(Points(s).grid()))) for s in (one, other)} == {
        trial_id(expand_point(one, {"host.clock": "1 GHz"}))
    }


def _written(folder: Path, text: str) -> Path:
    (folder / "spelled.yaml").write_text(text)
    return folder / "spelled.yaml"


def test_what_makes_no_sense_or_does_not_fit_is_infeasible(tmp_path: Path) -> None:
    config = configs(tmp_path, 1)[0]
    for overrides, told in (
        ({"device.organization.rows": "16"}, "does not fit"), ({"host.sram": "1 kB"}, "host.sram"),
        ({"device.timing.tRC": "1 ns"}, "device.timing.tRC"), ({"sm.count": "3"}, "sm"),
    ):  # fmt: skip
        run = config["run"] | {"overrides": config["run"]["overrides"] | overrides}
        assert told in run_trial(config | {"run": run})[INFEASIBLE]
    assert "only for a GPU" in run_trial(config | {"run": config["run"] | {"gpu": {"launch": "eager"}}})[INFEASIBLE]
    assert "n_positions" in run_trial(config | {"run": config["run"] | {"prompt_tokens": 500}})[INFEASIBLE]


def test_code_or_files_that_changed_meanwhile_are_noticed(tmp_path: Path) -> None:
    config = configs(tmp_path, 1)[0]
    for part in ("hardware", "workload", "code"):
        with pytest.raises(RuntimeError, match=f"{part} of this worker"):
            run_trial(config | {part: "0"})


def test_on_a_gpu(tmp_path: Path) -> None:
    """The same there: kernels that an equal device ran before are not simulated again, and nothing changes."""
    text = (
        "base: {{arch: h100-sxm, workload: {model}, prompt_tokens: 7, generated_tokens: 3}}\naxes:\n"
        "  - {{key: sm.count, values: [64, 132]}}\n  - {{key: launch, values: [graph, eager]}}\n"
        "  - {{key: generated_tokens, values: [1, 3, 4]}}\n"
    )
    much, little = Kept(64), Kept(1)
    for config in configs(tmp_path, 8, text):
        whole = run_experiment(RunConfig.model_validate(config["run"])).result.stats
        assert run_with(much, config) == whole == run_with(little, config) and whole["latency_s"] > 0
    assert much.kernels.hits > much.kernels.made > 0 and much.graphs.made == 2


def test_a_second_worker_finds_the_graph_and_needs_no_torch(tmp_path: Path) -> None:
    configs(tmp_path, 1)
    command = [sys.executable, "-c", CODE, str(tmp_path / "space.yaml")]
    seeds = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2", "3")]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=env) for env in seeds]
    first, second, third = (run.stdout.rstrip().removesuffix("]").rpartition(", ") for run in runs)
    assert first[0] == second[0] == third[0] and [r[2] for r in (first, second, third)] == ["true", "false", "false"]


def test_a_damaged_graph_is_traced_anew(tmp_path: Path) -> None:
    from rowline.workloads.tracer import trace_decode

    model = get_model("gpt2-small").changed(n_layers=1)
    graph = traced("decode", model, lambda: trace_decode(model))
    (file,) = cache_folder().glob("*.parquet")
    whole = file.read_bytes()

    def unwanted() -> Any:
        raise AssertionError("was on the disk")

    assert traced("decode", model, unwanted) == graph
    for damaged in (whole[:-7], whole[: len(whole) // 2] + b"\0" + whole[len(whole) // 2 + 1 :], b""):
        file.write_bytes(damaged)
        assert traced("decode", model, lambda: graph) == graph
        assert traced("decode", model, unwanted) == graph
    assert [f.name for f in cache_folder().iterdir()] == [file.name]


def test_memo_keeps_the_latest() -> None:
    memo, made = Memo(2), list[int]()

    def make(n: int) -> int:
        made.append(n)
        return n

    for n in (1, 2, 1, 3, 1, 2):
        assert memo.get(n, lambda n=n: make(n)) == n
    assert made == [1, 2, 3, 2] and (memo.hits, memo.made) == (2, 4)
