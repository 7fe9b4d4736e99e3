"""Objectives that no run can have, conditions that cannot be computed, spaces without points: told before anything runs."""

from pathlib import Path
from typing import Any

import pytest
from rowline.arch.yamltree import ConfigError
from rowline.experiment import RunConfig
from rowline.sweeps.fingerprint import code_version, hardware_digest, workload_digest
from rowline.sweeps.options import check_options
from rowline.sweeps.space import load_space
from rowline.sweeps.statkeys import keys_of
from rowline.sweeps.store import Store
from rowline.sweeps.study import Choices, opened, run_sweep
from rowline.sweeps.trial import Kept, run_with

SPACE = """base: {{workload: gpt2-small, generated_tokens: 2}}
axes:
  - key: channels
    values: [4, 8]
{more}
objectives:
  - key: {key}
"""


def space_file(folder: Path, key: str = "latency", more: str = "") -> Path:
    file = folder / "space.yaml"
    file.write_text(SPACE.format(key=key, more=more))
    return file


def has_numbers(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_numbers(each) for each in value.values())
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


@pytest.mark.parametrize("arch", ["pim-gpt", "h200"])
def test_the_keys_are_those_of_real_runs(arch: str) -> None:
    run = RunConfig(arch=arch, generated_tokens=2).model_dump(mode="json", exclude_none=True)
    digests = {"hardware": hardware_digest(arch, None), "workload": workload_digest("gpt2-small"), "code": code_version()}
    stats = run_with(Kept(), {"run": run} | digests)
    assert keys_of(arch) == {key for key, value in stats.items() if has_numbers(value)}


@pytest.mark.parametrize(
    "key", ["latnecy", "l2_hit_rate", "comands.ACT16"]
)
def test_an_objective_that_no_run_has_is_told_with_its_line(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"space.yaml:7 .*objectives.0.key.*{key}.*"):
        load_space(space_file(tmp_path, key))


@pytest.mark.parametrize(
    "key", ["latency", "tpot", "energy", "edp", "area", "commands.MAC16", "phases.decode.latency_s", "row_hit_rate"]
)
def test_the_others_are_fine(key: str, tmp_path: Path) -> None:
    assert load_space(space_file(tmp_path, key)).goals[0].name == key


def test_a_condition_that_divides_by_zero_is_told_with_its_line(tmp_path: Path) -> None:
    space = load_space(space_file(tmp_path, more="constraints:\n  - 1 / (channels - 8) < 1"))
    with pytest.raises(ConfigError, match=r"space.yaml:6 .*constraints.0: .*division by zero at channels 8"):
        run_sweep(space, Choices(tmp_path / "s", tmp_path / "s", 1))


def test_a_space_without_points_is_told(tmp_path: Path) -> None:
    space = load_space(space_file(tmp_path, more="constraints:\n  - channels > 100"))
    with pytest.raises(ConfigError, match="no point of the space"):
        run_sweep(space, Choices(tmp_path / "s", tmp_path / "s", 1))


def test_a_study_without_trials_may_be_given_other_objectives(tmp_path: Path) -> None:
    choices = Choices(tmp_path / "s", tmp_path / "s", 1)
    for key in ("latency", "energy"):
        with opened(load_space(space_file(tmp_path, key)), choices) as store:
            assert store.note("study")["objectives"][0]["name"] == key
    with Store.open(tmp_path / "s", create=False) as store:
        assert not sum(store.counts().values())


@pytest.mark.parametrize(
    "wrong",
    [{"jobs": 0}, {"jobs": -1}, {"timeout": float("nan")}, {"trials": 0}, {"seed": -1}, {"storage": "mysql://x"}, {"jobs": "2"}],
)
def test_options_that_make_no_sense_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))}"):
        check_options(**wrong)
