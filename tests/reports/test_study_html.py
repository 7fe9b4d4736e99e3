"""The page, the Markdown and the CSV of a study, and how its trials are ranked."""

import csv as stdlib_csv
import io
import random
from dataclasses import replace

import numpy as np
import pytest
from rowline.reports.figures_study import MAX_POINTS, drawn, parallel
from rowline.reports.ranking import Objective, Trial, correlation, front, influences, numbers, ranks, unit_of, varied
from rowline.reports.study_html import csv, markdown, render

from .pages import EVIL, Page, check_closed, study

LOW, HIGH = Objective("a"), Objective("b", minimise=False)


def trial(number: int, a: float, b: float, state: str = "complete", **params: object) -> Trial:
    return Trial(f"t{number}", number, params, {"a": a, "b": b}, state, "", 0.0)


def test_the_front_is_what_nobody_beats() -> None:
    rng = random.Random(1)
    trials = [trial(i, rng.randint(0, 12), rng.randint(0, 12)) for i in range(200)]

    def beats(x: Trial, y: Trial) -> bool:
        p, q = x.objectives, y.objectives
        return p["a"] <= q["a"] and p["b"] >= q["b"] and p != q

    expected = {t.id for t in trials if not any(beats(other, t) for other in trials)}
    got = front(trials, [LOW, HIGH])
    assert {t.id for t in got} == expected
    assert [t.objectives["a"] for t in got] == sorted(t.objectives["a"] for t in got)
    assert [t.objectives["a"] for t in front(trials, [LOW])] == [0] * sum(t.objectives["a"] == 0 for t in trials)
    assert front([trial(0, 1, 1, "failed"), trial(1, 2, 0)], [LOW, HIGH])[0].number == 1
    assert front([], [LOW]) == []


def test_influence_is_the_share_of_variance_of_a_grid() -> None:
    trials = [
        trial(100 * i + 10 * j + k, float(np.exp(3.0 * i + 1.0 * j)), 1.0, x=f"{10 + i} ns", y=j, z="uv"[k])
        for i in range(4) for j in range(4) for k in range(2)
    ]  # fmt: skip
    found = {(i.parameter, i.objective): i for i in influences(trials, [LOW, HIGH])}
    assert found["x", "a"].share == pytest.approx(0.9, abs=0.02)  # 9 of 9 + 1
    assert found["y", "a"].share == pytest.approx(0.1, abs=0.03)
    assert found["z", "a"].share == 0.0 and found["x", "b"].share == 0.0
    places = ranks(np.array([t.objectives["a"] for t in trials]))
    assert found["x", "a"].trend == pytest.approx(correlation(np.repeat(np.arange(4.0), 8), places)) and places.max() == 30.5
    assert found["z", "a"].trend is None and found["x", "b"].trend == 0.0
    assert influences(trials[:3], [LOW]) == []


def test_chance_explains_nothing() -> None:
    rng = random.Random(2)
    trials = [trial(i, rng.uniform(1, 2), 1.0, x=rng.random(), y=rng.choice("abcdefgh")) for i in range(400)]
    assert max(i.share or 0.0 for i in influences(trials, [LOW])) < 0.04


def test_few_trials_tell_what_matters() -> None:
    errors: dict[str, list[float]] = {"x": [], "y": [], "z": []}
    for seed in range(40):  # log(a) = 3 x - 2 y + z on axes of 200, 31 and 16 values: 9, 4 and 1 of 14
        rng = random.Random(seed)
        points = [(rng.randrange(200), rng.randrange(31), rng.randrange(16)) for _ in range(24)]
        trials = [
            trial(i, float(np.exp(3 * x / 199 - 2 * y / 30 + z / 15)), 1.0, x=x, y=f"{y} ns", z=z)
            for i, (x, y, z) in enumerate(points)
        ]
        for each in influences(trials, [LOW]):
            assert each.share is not None and each.trend is not None
            errors[each.parameter].append(each.share - {"x": 9, "y": 4, "z": 1}[each.parameter] / 14)
    for found in errors.values():
        assert abs(np.mean(found)) < 0.08 and max(map(abs, found)) < 0.35
    assert max(errors["z"]) < 0.25


def test_a_full_grid_is_exact_however_small() -> None:
    trials = [trial(3 * i + j, float(np.exp(3.0 * i + 1.0 * j)), 1.0, x=i, y=j) for i in range(2) for j in range(3)]
    shares = {i.parameter: i.share for i in influences(trials, [LOW])}
    assert shares == {"x": pytest.approx(9 * 1.5 / (9 * 1.5 + 4)), "y": pytest.approx(4 / (9 * 1.5 + 4))}


def test_one_parameter_of_few_trials() -> None:
    trials = [trial(i, float(np.exp(i)), 1.0, x=i, w="uvwst"[i]) for i in range(5)]
    found = {i.parameter: i for i in influences(trials, [LOW])}
    assert found["w"].share is None and found["w"].trend is None  # words, each once: nothing can be told
    assert found["x"].trend == pytest.approx(1.0) and found["x"].share == pytest.approx(2 / 3)  # {0, 1, 2} and {3, 4}
    for each in trials[:4]:
        assert influences([replace(t, params={"x": t.params["x"]}) for t in [*trials, each]], [LOW])[0].share


def test_a_share_that_cannot_be_told_is_a_dash() -> None:
    report = study()
    trials = [replace(t, params={**t.params, "channels": f"kind {t.number}"}) for t in report.trials]
    report = replace(report, trials=trials)
    share = {i.parameter: i.share for i in report.influences}
    assert share["channels"] is None
    bars = Page(render(report)).plots()["importance"]["data"][0]
    assert dict(zip(bars["y"], bars["x"], strict=True))["channels"] is None
    assert "| channels | latency | - | - |" in markdown(report)


def test_values_with_units_are_numbers() -> None:
    assert numbers(["500 MHz", "1 GHz"]) == [5e8, 1e9]
    assert numbers(["1", 2, 3.5]) == [1, 2, 3.5]
    assert numbers(["2 ck", "3 ck"]) == [2, 3]
    for words in (["1 ns", "2 ck"], ["a", "b"], [True, False], [None, 1], ["1 ns", "1 GHz"], [float("nan")]):
        assert numbers(words) is None
    assert varied([trial(0, 1, 1, x=1, y=2), trial(1, 1, 1, x=1, y=3), trial(2, 1, 1, x=1)]) == ["y"]


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_page_says_what_the_study_found(objectives: int) -> None:
    report = study(objectives=objectives)
    page = Page(render(report))
    check_closed(page)
    plots = page.plots()
    assert {"parallel", "importance", "time-class", "energy-part", "commands"} <= plots.keys()
    assert len([name for name in plots if name.startswith("pair-")]) == {1: 1, 2: 1, 3: 3}[objectives]
    if objectives == 2:
        points, best = plots["pair-0"]["data"]
        assert len(points["x"]) + len(best["x"]) == 12 and best["x"] == sorted(best["x"])
        assert [text for text in best["text"] if "channels: 8" in text]
    assert "died of signal 9" in page.words and "rowline sweep toy.yaml" in page.words
    assert sum(len(trace["x"]) // (len(report.trials[0].params) + objectives + 1) for trace in plots["parallel"]["data"]) == 12


def test_names_in_a_study_are_text() -> None:
    page, clean = Page(render(study(EVIL))), Page(render(study("harmless")))
    check_closed(page)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
    for plot in page.plots().values():
        notes = [note["text"] for note in plot["layout"].get("annotations", [])]
        texts = [text for trace in plot["data"] for text in [trace.get("name", ""), *trace.get("text", [])]]
        shown = [t.replace("<br>", "").replace("<b>", "").replace("</b>", "") for t in texts + notes]
        assert not [text for text in shown if "<" in text]
    prose = "\n".join(line for line in markdown(study(EVIL)).splitlines() if not line.startswith("    "))
    assert "<" not in prose


def test_csv_has_every_trial_the_front_first() -> None:
    report = study()
    rows = list(stdlib_csv.DictReader(io.StringIO(csv(report))))
    assert len(rows) == 13
    states = [row["state"] for row in rows]
    assert states == ["front"] * len(report.front) + ["complete"] * (12 - len(report.front)) + ["failed"]
    assert rows[-1]["reason"] == "died of signal 9" and rows[-1]["latency"] == "" and rows[0]["channels"] == "8"
    text = markdown(report)
    assert "Pareto front" in text and "| failed | died of signal 9 | 1 |" in text


def test_a_large_study_is_sampled_and_the_page_small() -> None:
    report = study(count=1000)
    kept = drawn(report.trials, report.front)
    assert len(kept) == MAX_POINTS and {t.id for t in report.front} <= {t.id for t in kept}
    page = Page(render(report))
    check_closed(page)
    assert "1500 of 3000" in " ".join(page.text.split())


def test_a_study_without_results_has_a_page() -> None:
    report = study()
    empty = replace(report, trials=report.trials[-1:], stats={}, commands={})
    page = Page(render(empty))
    check_closed(page)
    assert page.plots() == {} and "No trial is complete." in page.words
    assert csv(empty).count("\n") == 2
    check_closed(Page(render(replace(empty, trials=[]))))


def test_lines_stand_where_values_are() -> None:
    report = study()
    done = [t for t in report.trials if t.state == "complete"]
    plot = parallel(done, report.front, report.objectives)
    lines = {text: trace["y"][5 * i : 5 * i + 4] for trace in plot["data"] for i, text in enumerate(trace["text"][::5])}
    assert lines["trial 0"][0] == 0.0 and lines["trial 11"][0] == 1.0  # 1 and 8 channels
    assert lines["trial 3"][0] == pytest.approx(1 / 7, abs=1e-3) and lines["trial 1"][1] == pytest.approx(1 / 3, abs=1e-3)


def test_objectives_have_their_units() -> None:
    units = {
        "latency_s": "s", "energy_breakdown_j.link": "J", "peak_bandwidth_bytes_per_s": "B/s", "link_bytes": "B", "area_m2": "m2",
        "phases.decode.tokens_per_s": "tokens/s", "edp": "J s", "row_hit_rate": "", "macs": "",
    }  # fmt: skip
    assert {stat: unit_of(stat) for stat in units} == units
    for value, unit, shown in (
        (7.899e-5, "s", "78.99 us"), (0.0, "s", "0 s"), (-2e12, "B/s", "-2 TB/s"), (1.5, "J", "1.5 J"), (1e-18, "J", "0.001 fJ"),
        (2.5e-5, "m2", "25 mm2"), (1234.5, "tokens/s", "1234 tokens/s"), (0.25, "", "0.25"), (0.00099999, "s", "1 ms"),
        (999960.0, "B", "1 MB"),
    ):  # fmt: skip
        assert Objective("x", unit=unit).shown(value) == shown
    report = study()
    report = replace(report, objectives=[replace(o, unit=u, limit=2e-3) for o, u in zip(report.objectives, "sJ", strict=True)])
    page = Page(render(report))
    assert "least latency" in page.words and "257.5 ms" not in page.words and "253.3 ms" in page.words
    assert "latency (limit 2 ms), least energy (limit 2 mJ)" in " ".join(" ".join(page.words).split())
    plot = page.plots()["pair-0"]
    assert [plot["layout"][f"{side}axis"]["title"]["text"] for side in "xy"] == [
        "latency (s), smaller is better", "energy (J), smaller is better"
    ]  # fmt: skip
    assert "latency = 253.3 ms" in "".join(plot["data"][1]["text"])
    assert "<b>latency (s)</b>" in [note["text"] for note in page.plots()["parallel"]["layout"]["annotations"]]
    assert csv(report).startswith("trial,id,state,latency (s),energy (J),")
    assert "| trial | latency (s) | energy (J) |" in markdown(report)
