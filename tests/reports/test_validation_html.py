"""The page: whole, small, closed to the network and to what a log's names might try."""

from typing import Any

import numpy as np
import pytest
from rowline.reports.validation import Comparison, compare
from rowline.reports.validation_html import MAX_POINTS, render, sampled
from rowline.reports.validation_rows import Choice, select

from .logs import SHEET, gemms, log, predictions
from .pages import EVIL, Page, check_scripts


def comparison(rows: list[dict[str, Any]], bound: str = "dram") -> Comparison:
    selection = select(log(rows), Choice(), {str(row.get("gpu", "TOY")): SHEET for row in rows})
    factors = np.exp(np.random.default_rng(0).normal(0, 0.2, len(selection.rows)))
    predicted = predictions(selection.columns()["latency_us"] * factors)
    return compare(selection, predicted | {"bound": np.full(len(selection.rows), bound, dtype=object)})


def test_tables_and_plots_hold_the_answer() -> None:
    rows = gemms(60) + gemms(30, 1, op="bmm")
    got = comparison(rows)
    page = Page(render(got, ["a.parquet"], "all"))
    for group in got.answer["groups"]:
        assert f"{group['mape']:.1f}" in page.cells
    assert {kernel["choice"] for kernel in got.answer["worst"]} <= set(page.cells)
    correlation, error = page.plots().values()
    drawn = {trace["name"]: trace for trace in correlation["data"]}
    assert drawn.keys() == {"gemm", "bmm", "equal", "+10%", "-10%"}
    assert [len(drawn[op]["x"]) for op in ("gemm", "bmm")] == [60, 30]
    assert drawn["gemm"]["x"] == pytest.approx([row["latency_us"] for row in rows[:60]], rel=1e-3)
    assert drawn["+10%"]["y"] == pytest.approx([1.1 * x for x in drawn["+10%"]["x"]], rel=1e-3)
    ratios = [100 * (y / x - 1) for x, y in zip(drawn["gemm"]["x"], drawn["gemm"]["y"], strict=True)]
    named = {trace["name"]: trace for trace in error["data"]}
    assert named["gemm"]["y"] == pytest.approx(ratios, abs=0.2)
    assert correlation["layout"]["xaxis"]["type"] == correlation["layout"]["yaxis"]["type"] == "log"
    assert named["gemm"]["marker"]["color"] != named["bmm"]["marker"]["color"]


def test_the_page_asks_nobody_and_runs_only_its_own_two_scripts() -> None:
    text = render(comparison(gemms(20)), ["a.parquet"], "all")
    check_scripts(Page(text), 2)


def test_names_from_a_log_are_text() -> None:
    rows = gemms(20, gpu=EVIL, framework="vllm-1" + EVIL, family=EVIL)
    clean = Page(render(comparison(gemms(20)), ["a.parquet"], "all"))
    text = render(comparison(rows, EVIL), [EVIL], "all")
    page = Page(text)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
    assert "img" not in {tag for tag, _ in page.tags} and len(page.scripts) == 2
    assert EVIL in page.cells  # shown as it is
    for trace in (trace for plot in page.plots().values() for trace in plot["data"] if "text" in trace):
        assert all("<" not in label.replace("<br>", "") for label in trace["text"])  # plotly reads tags in labels


def test_many_points_are_sampled_the_worst_kept_and_the_page_small() -> None:
    rows = gemms(MAX_POINTS + 3000, gpu="NVIDIA A100-SXM4-80GB-with-a-long-name")
    got = comparison(rows)
    kept = sampled(got.points)
    assert len(kept) == MAX_POINTS and kept.index.is_unique
    error = np.abs(got.points["predicted_us"].to_numpy() / got.points["latency_us"].to_numpy() - 1)
    assert set(got.points.index[np.argsort(-error)[:10]]) <= set(kept.index)
    assert kept.equals(sampled(got.points))
    text = render(got, ["a.parquet"], "all")
    assert len(text.encode()) < 6_000_000
    assert f"{MAX_POINTS} of {len(rows)} kernels" in text


def test_a_page_without_rows() -> None:
    page = Page(render(comparison(gemms(3, flags="coarse_timer")), ["a.parquet"], "unseen"))
    assert [trace for plot in page.plots().values() for trace in plot["data"]] == []
