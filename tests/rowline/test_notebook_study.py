"""Studies and validations as a notebook has them."""

# what pandas gives back is a union of all that it could be, which a checker cannot tell apart
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false, reportOperatorIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false

import json
from pathlib import Path
from typing import Any

import pytest
from rowline.api.study import Study
from rowline.arch.yamltree import ConfigError

import rowline as rl

SPACE: dict[str, Any] = {
    "base": {"arch": "pim-gpt", "workload": "gpt2-small", "generated_tokens": 2},
    "axes": [
        {"key": "channels", "values": [4, 8]}, {"key": "host.clock", "values": ["250 MHz", "1 GHz"]},
        {"key": "mapping.vectors_per_row", "values": [1, 2]},
    ],
    "objectives": [{"key": "latency", "limit": "300 us"}, {"key": "energy"}],
    "method": {"name": "grid"},
}  # fmt: skip
GEMM = Path(__file__).resolve().parents[3] / "shared/data/gpu/gemm_aic_h200.parquet"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return rl.sweep(SPACE, jobs=1, out=tmp_path_factory.mktemp("studies") / "small", progress=False)


def test_trials_have_units_in_their_names(study: Study) -> None:
    trials = study.trials
    assert list(trials["number"]) == list(range(8)) == list(range(len(study)))
    assert sorted(set(trials["host.clock_hz"])) == [250_000_000, 1_000_000_000]
    assert {"latency_s", "energy_j", "channels", "mapping.vectors_per_row", "pareto", "reason", "wall_s"} <= set(trials)
    assert set(trials.loc[trials["pareto"], "id"]) == set(study.pareto["id"])
    done = trials[trials["state"] == "complete"]
    assert (done["latency_s"] <= 300e-6).all() and done["latency_s"].is_unique is not None
    assert trials.loc[trials["state"] == "infeasible", "reason"].str.contains("limit").all()


def test_a_study_is_answered_from_its_store_the_second_time(study: Study) -> None:
    """And the second call of ``rl.sweep`` finds the function, not the package of its parts."""
    before = study.trials
    again = rl.sweep(SPACE, jobs=1, out=study.target, progress=False)
    assert again.trials.equals(before)
    assert rl.load(study.target).trials.equals(before)


def test_a_trial_run_again_gives_what_the_store_has(study: Study) -> None:
    number = int(study.pareto["number"].iloc[0])
    stats, run = study.stats(number), study.run(number)
    assert {key: run.stats[key] for key in ("latency_s", "energy_j", "commands")} == {
        key: stats[key] for key in ("latency_s", "energy_j", "commands")
    }
    with pytest.raises(ConfigError, match="trial 99"):
        study.run(99)


def test_parts_of_the_stats_of_all_trials(study: Study) -> None:
    parts = study.breakdown("energy_breakdown_j").set_index("number")
    energy = study.trials.set_index("number")["energy_j"]
    assert parts.sum(axis=1).tolist() == pytest.approx(energy.loc[parts.index].tolist())
    with pytest.raises(ConfigError, match="nothing"):
        study.breakdown("nothing")


@pytest.mark.parametrize("backend", ["plotly", "matplotlib"])
def test_every_plot_is_one_call_away(study: Study, backend: str, tmp_path: Path) -> None:
    plot = study.plot
    figures = [plot.pareto(backend=backend), plot.pareto("energy", "latency", backend), plot.history("energy", backend)]
    figures += [plot.parallel(backend), plot.importance(backend), plot.breakdown("latency_breakdown_s", backend)]
    for figure in figures:
        if backend == "plotly":
            assert figure.to_plotly_json()["data"]
        else:
            figure.savefig(tmp_path / "figure.png")
            assert figure.axes[0].has_data()
    with pytest.raises(ConfigError, match="objective 'area'"):
        plot.pareto("area")
    with pytest.raises(ConfigError, match="breakdown"):
        plot.breakdown("nothing")
    with pytest.raises(ConfigError, match="backend"):
        plot.pareto(backend="gnuplot")


def test_it_shows_itself(study: Study) -> None:
    assert "trials" in repr(study) and "<table" in study._repr_html_() and "<script" not in study._repr_html_()
    assert set(study.importance["parameter"]) <= {"channels", "host.clock", "mapping.vectors_per_row"}
    assert study.space["method"]["name"] == "grid" and [o.name for o in study.objectives] == ["latency", "energy"]


def test_the_space_lies_beside_the_study(study: Study) -> None:
    file = Path(study.target) / "small.yaml"
    assert file.is_file()
    assert rl.sweep(file, jobs=1, out=study.target, progress=False).trials.equals(study.trials)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"axes": [{"key": "chanels", "values": [1]}]}, "chanels"), ({"name": "../x"}, "name"),
     ({"method": {"name": "gird"}}, "method")],
)  # fmt: skip
def test_wrong_spaces_are_told_with_file_and_line(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        rl.sweep(SPACE | change, out=tmp_path / "s", progress=False)


@pytest.mark.skipif(not GEMM.is_file(), reason="needs the shared measurements beside the checkout")
def test_validation(tmp_path: Path) -> None:
    found = rl.validate(GEMM, framework="vllm-0.24.0", split="unseen", sample=60, progress=False)
    assert len(found.rows) == found.answer["rows"] == 60
    assert found.groups["n"].max() <= 60 and "roofline_mape" in found.groups and len(found.worst) == 10
    ratio = found.rows["predicted_us"] / found.rows["latency_us"] - 1
    every = found.groups[found.groups["regime"] == "all"]
    assert (every["mape"] * every["n"]).sum() / every["n"].sum() == pytest.approx(100 * ratio.abs().mean(), abs=0.1)
    for backend in ("plotly", "matplotlib"):
        for figure in (found.plot.correlation(backend), found.plot.errors(backend)):
            assert figure.data if backend == "plotly" else figure.axes[0].has_data()
    assert "MAPE" in repr(found) and "<table" in found._repr_html_()
    assert found.report(tmp_path / "v.html").stat().st_size > 4_000_000
    assert json.dumps(found.answer)


def test_validation_without_logs_says_so() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        rl.validate("nothing.parquet")


def test_files_that_change_between_sweeps_are_read_again(tmp_path: Path) -> None:
    """In one process: what was known of a file by its name must not become a wrong identity of a trial."""
    model = tmp_path / "model.yaml"
    space = SPACE | {"base": SPACE["base"] | {"workload": str(model)}, "axes": [{"key": "channels", "values": [4, 8]}]}
    space |= {"objectives": [{"key": "latency"}]}
    found: list[list[float]] = []
    for layers in (1, 2):
        model.write_text(f"name: m\nn_layers: {layers}\nd_model: 128\nn_heads: 2\nvocab_size: 512\nn_positions: 64\n")
        found.append(rl.sweep(space, jobs=1, out=tmp_path / f"s{layers}", progress=False).trials["latency_s"].tolist())
    assert all(after > before for before, after in zip(*found, strict=True))


def test_hardware_files_that_change_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    clocks: list[str] = []
    for clock in ("250 MHz", "1 GHz"):
        file.write_text(f"extends: system/pim-gpt\nname: mine\nhost: {{clock: {clock}}}\n")
        run = rl.run(arch=str(file), workload="gpt2-small", tokens=1, progress=False)
        clocks.append(run.sources.set_index("key")["value"]["system.host.clock"])
    assert clocks == ["250 MHz", "1 GHz"]
