"""What a run is held to: everything holds of a sound one, and each thing that is made wrong is told."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rowline.reports.checks import check_table, closed_form, failed, run_checks
from rowline.reports.measured import Measured, errors, measured_table
from rowline.reports.run_html import RunReport, markdown, render

from .pages import EVIL, Page, check_closed, gpu_run, groups, pim_run


def wrong(report: RunReport, change: Callable[[dict[str, Any]], Any] = lambda stats: None) -> set[str]:
    stats = copy.deepcopy(report.stats)
    change(stats)
    return {check.what for check in failed(run_checks(stats, report.ops, report.peaks))}


def scale(*path: str, by: float = 1.001) -> Callable[[dict[str, Any]], Any]:
    def change(stats: dict[str, Any]) -> None:
        for key in path[:-1]:
            stats = stats[key]
        stats[path[-1]] = type(stats[path[-1]])(stats[path[-1]] * by)

    return change


def test_a_sound_run_holds() -> None:
    assert wrong(pim_run()) == set()
    assert len(pim_run().checks) > 15 and failed(pim_run().checks) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (scale("latency_breakdown_s", "mlp"), {"sum of time by operation"}),
        (scale("latency_by_term_s", "host"), {"sum of time by cause"}),
        (scale("energy_breakdown_j", "mac_array"), {"sum of energy by component"}),
        (scale("energy_by_op_class_j", "mlp"), {"sum of energy by operation"}),
        (scale("phases", "decode", "latency_s"), {"latency of prefill and decode"}),
        (scale("phases", "decode", "energy_j"), {"energy of prefill and decode"}),
        (scale("phases", "decode", "macs"), {"multiply-accumulates of prefill and decode"}),
        (scale("prefill_latency_s"), {"to the first token, and after it"}),
        (scale("macs"), {"ops.parquet: multiply-accumulates", "multiply-accumulates of prefill and decode"}),
        (scale("link_bytes"), {"ops.parquet: bytes over the links"}),
        (scale("commands", "MAC16", by=1.1), {"ops.parquet: commands"}),
        (scale("commands", "REFab", by=0), {"ops.parquet: commands"}),
        (scale("effective_bandwidth_bytes_per_s", by=4), {"effective bandwidth"}),
        (scale("row_hit_rate", by=1.1), {"1 hit rates and shares"}), (scale("row_hit_rate", by=-1), {"1 hit rates and shares"}),
        (lambda stats: stats["latency_by_term_s"].update(column=2.5e-4, host=-5e-5), {"smallest part of a breakdown"}),
    ],
)  # fmt: skip
def test_what_is_made_wrong_is_told(change: Callable[[dict[str, Any]], Any], told: set[str]) -> None:
    report = pim_run()
    report.stats["phases"] = {name: dict(part) for name, part in report.stats["phases"].items()}
    assert wrong(report, change) == told


def test_the_table_is_held_to_the_summary_and_the_machine() -> None:
    report = pim_run()
    energy = replace(report, ops=report.ops.assign(energy_fj=report.ops["energy_fj"] * 2))
    assert wrong(energy) == {"ops.parquet: energy, and standby"}
    quick = report.ops.assign(start_ps=report.ops["end_ps"] - 10)
    assert wrong(replace(report, ops=quick)) == {"time of each of 2 operations over its roofline"}
    late = report.ops.assign(end_ps=report.ops["end_ps"] + 1)
    assert wrong(replace(report, ops=late)) == {"ops.parquet: end of the last operation"}
    slow = replace(report, peaks=replace(report.peaks, bytes_per_s=4e8))  # 120 kB take 300 us
    assert wrong(slow) == {"latency", "time of each of 2 operations over its roofline"}


def test_a_run_on_a_gpu_is_held_to_its_kernels() -> None:
    report = gpu_run()
    known = {"sum of energy by component", "energy of prefill and decode", "ops.parquet: energy, and standby"}
    assert wrong(report) == known
    assert wrong(report, scale("launches", by=2)) - known == {"ops.parquet: kernels", "calls of the distinct kernels"}
    assert wrong(report, lambda stats: stats["kernels"].pop()) - known == {
        "calls of the distinct kernels", "shares of the distinct kernels, and host"
    }  # fmt: skip


def test_the_closed_form_is_exact() -> None:
    stats = pim_run().stats
    assert closed_form(stats, 6_000_000).holds and not closed_form(stats, 6_000_001).holds


def test_what_does_not_hold_stands_first_and_apart() -> None:
    report = gpu_run()
    text = render(report)
    page = Page(text)
    check_closed(page)
    count = len(failed(report.checks))
    assert f"{count} of {len(report.checks)} checks of this run do not hold" in text
    assert text.index("bad-box\">") < text.index("class=\"cards\"")
    assert len([a for tag, a in page.tags if tag == "tr" and a.get("class") == "bad"]) == count == page.cells.count("NO")
    lines = [line for line in markdown(report).splitlines() if line.startswith("**Does not hold**")]
    assert len(lines) == count and "sum of energy by component" in lines[0]
    sound = render(pim_run())
    assert "bad-box\">" not in sound and "that could be tried hold" in sound
    table = check_table(pim_run().checks)
    assert table.rows[-1][0] == "not tried" and table.marked == frozenset()


def test_measurements_stand_beside_the_run() -> None:
    report = gpu_run()
    page = Page(render(report))
    plot = page.plots()["measured-errors"]
    assert [(trace["name"], trace["x"]) for trace in plot["data"]] == [
        ("simulated", [8.25, 12.5]), ("roofline", [61.0, 70.0]), ("fitted roofline", [20.5])
    ]  # fmt: skip
    assert {"of TOY", "another"} <= set(page.words) and {"8.25", "5.75", "vllm-1"} <= set(page.cells)
    text = markdown(report)
    assert "## Compared with measurements" in text and "| vllm-1 | gemm | bf16 | all | 40 | 8.25 |" in text
    assert errors(Measured(["nothing"])) == [] and list(measured_table(Measured([])).rows) == []
    assert "measured-errors" not in render(replace(report, measured=Measured(["no group"])))
    assert "Compared with measurements" not in render(replace(report, measured=None, checks=()))


def test_groups_that_look_alike_are_bars_of_their_own() -> None:
    alike = [group | {"op": "x" * 90, "dtype": dtype} for dtype, group in zip("abc", groups(), strict=True)]
    named = errors(Measured([], [group | {"regime": "all"} for group in alike]))[0]
    assert len(set(named["layout"]["yaxis"]["categoryarray"])) == 3 == len(named["data"][0]["x"])
    many = [groups()[0] | {"op": f"op{i}", "n": i} for i in range(100)]
    assert len(errors(Measured([], many))[0]["data"][0]["x"]) == 30


def test_names_in_the_panels_are_text() -> None:
    for made in (pim_run, gpu_run):
        page, clean = Page(render(made(EVIL))), Page(render(made()))
        check_closed(page)
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
        prose = "\n".join(line for line in markdown(made(EVIL)).splitlines() if not line.startswith("    "))
        assert "<" not in prose
    for trace in Page(render(gpu_run(EVIL))).plots()["measured-errors"]["data"]:
        assert not [text for text in trace["y"] if "<" in text]
    assert errors(Measured([], groups(EVIL)))
