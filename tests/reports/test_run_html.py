"""The page, the Markdown and the CSV of one run."""

import csv as stdlib_csv
import io

import numpy as np
import pytest
from rowline.arch.loader import load_gpu, load_system
from rowline.reports.ceilings import Ceilings
from rowline.reports.figures_run import BINS, roofline, spread, utilisation
from rowline.reports.run_html import csv, markdown, op_table, render
from rowline.reports.tables import Column, Table, config_table, csv_cell, to_csv, to_markdown

from .pages import EVIL, FORMULAS, Page, check_closed, pim_run


def test_the_page_says_what_the_run_says() -> None:
    report = pim_run()
    page = Page(render(report))
    check_closed(page)
    for told in ("200 us", "98.0%", "2.2 uJ", "rowline run --arch toy", "Note: a note", "recalled", "0.1.0"):
        assert told in page.words, told
    plots = page.plots()
    bars = plots["latency-class"]["data"][0]
    assert (bars["y"], bars["x"], bars["text"]) == (["gelu", "mlp"], [0.08, 0.12], ["40.0%", "60.0%"])
    assert plots["mix"]["data"][0]["y"] == ["REFab", "ACT16", "MAC16"] and plots["mix"]["layout"]["xaxis"]["type"] == "log"


def test_operations_add_up() -> None:
    table = op_table(pim_run())
    rows = {row[:3]: dict(zip([c.title for c in table.columns], row, strict=True)) for row in table.rows}
    mlp = rows["decode", "pim", "mlp"]
    assert (mlp["calls"], mlp["us"], mlp["macs"], mlp["link_bytes"], mlp["energy uJ"]) == (1, 60.0, 3_000_000, 60_000, 1.0)
    assert sum(float(row["% of busy time"] or 0) for row in rows.values()) == pytest.approx(100)
    assert [row[4] for row in table.rows] == [60.0, 60.0, 40.0, 40.0]  # most time first


def test_the_roofline_places_operations_by_what_crossed_the_links() -> None:
    report = pim_run()
    plot, absent = roofline(report.ops, report.peaks, ["link_bytes"])
    roof, *phases = plot["data"]
    assert absent == ["gelu"]
    assert [p["name"] for p in phases] == ["decode", "prefill"]
    assert phases[0]["x"] == [100.0] and phases[0]["y"] == [1e11]  # 6 MOP over 60 kB, in 60 us
    assert roof["x"][1] == 100.0 and roof["y"][1:] == [2e11, 2e11]  # the ridge


def test_utilisation_is_work_over_what_could_be_done() -> None:
    report = pim_run()
    lines = {trace["name"].partition(":")[0]: np.array(trace["y"]) for trace in utilisation(report.ops, report.peaks)["data"]}
    assert set(lines) == {"banks", "buses", "channels", "ASIC"} and len(lines["banks"]) == BINS
    busy = lines["channels"] > 0
    assert lines["channels"].mean() == pytest.approx(60, abs=0.1)  # 120 of 200 us
    assert lines["ASIC"].mean() == pytest.approx(40, abs=0.1)
    assert lines["banks"][busy].max() == pytest.approx(50, rel=1e-3)  # 1e11 of 2e11
    assert lines["buses"][busy].max() == pytest.approx(50, rel=1e-3)  # 1 of 2 GB/s
    waits = report.ops.assign(energy_fj=[10**9, 10**8, 10**9, 5 * 10**7])  # the second ASIC step works half of its time
    last = {trace["name"]: np.array(trace["y"]) for trace in utilisation(waits, report.peaks)["data"]}["ASIC: it works"]
    assert last.mean() == pytest.approx(30, abs=0.1) and last[-1] == pytest.approx(50) and last.max() == pytest.approx(100)
    nothing = utilisation(report.ops.assign(energy_fj=0), report.peaks)["data"]
    assert len(nothing) == 3 and "ASIC" not in str([trace["name"] for trace in nothing])


def test_spreading_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 900, 300)
    end, amount = start + rng.uniform(0, 100, 300), rng.uniform(0, 5, 300)
    end[:10] = start[:10]
    got = spread(start, end, amount, np.linspace(0, 1001, 57))
    assert got.sum() == pytest.approx(amount.sum()) and got.min() >= -1e-9
    alone = spread(np.array([2.0]), np.array([6.0]), np.array([8.0]), np.array([0.0, 3.0, 5.0, 9.0]))
    assert alone == pytest.approx([2.0, 4.0, 2.0])


def test_ceilings_are_those_of_the_specification() -> None:
    system = load_system("pim-gpt")
    peaks = Ceilings.of_system(system)
    assert peaks.bank_bytes_per_s == pytest.approx(4.096e12) and peaks.ops_per_s == pytest.approx(4.096e12)
    assert peaks.bytes_per_s == pytest.approx(8 * 16 * 16e9 / 8)
    gpu = load_gpu("h200")
    assert Ceilings.of_gpu(gpu, "bf16").ops_per_s == gpu.tensor_ops_per_s("bf16", gpu.max_clock.freq_hz)
    assert Ceilings.of_gpu(gpu, "fp32").ops_per_s == gpu.simt_ops_per_s("fp32", gpu.max_clock.freq_hz)
    assert Ceilings.of_gpu(gpu, "bf16").bytes_per_s == gpu.dram.bandwidth.value
    with pytest.raises(KeyError):
        Ceilings.of_gpu(gpu, "fp12")


def test_names_in_a_run_are_text() -> None:
    page, clean = Page(render(pim_run(EVIL))), Page(render(pim_run()))
    check_closed(page)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
    for plot in page.plots().values():
        for trace in plot["data"]:
            labels = [trace.get("name", ""), *trace.get("y", []), *trace.get("text", [])]
            assert not [text for text in labels if isinstance(text, str) and "<" in text.replace("<br>", "")]
    written = markdown(pim_run(EVIL))
    prose = "\n".join(line for line in written.splitlines() if not line.startswith("    "))
    assert "<" not in prose and "[" not in prose.replace("\\[", "")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    table = Table((Column(text, text=True), Column("n")), [(text, -1.5), ("plain", None)])
    rows = list(stdlib_csv.reader(io.StringIO(to_csv(table), newline="")))
    assert rows[0][0] == "'" + text and rows[1] == ["'" + text, "-1.5"] and rows[2] == ["plain", ""]


@pytest.mark.parametrize("text", ["-1", "+1.5", "-.5e-3", "-1e9"])
def test_numbers_stay_numbers(text: str) -> None:
    assert csv_cell(text) == text and csv_cell(float(text)) == str(float(text))


def test_csv_has_every_layer_and_markdown_the_same_figures() -> None:
    rows = list(stdlib_csv.DictReader(io.StringIO(csv(pim_run()))))
    assert len(rows) == 4 and {row["layer"] for row in rows} == {"0"}
    assert float(rows[0]["us"]) == 60.0
    text = markdown(pim_run())
    assert "| mlp | 0.12 | 60 |" in text and "    rowline run --arch toy" in text
    assert to_markdown(Table((Column("a|b", text=True),), [("c\nd|`e`",)])) == "| a\\|b |\n|---|\n| c d\\|\\`e\\` |\n"


def test_sources_stand_beside_values() -> None:
    value = {"value": "1 ns", "kind": "PAPER", "ref": "here"}
    rows = config_table({"run": {"arch": "x", "list": [1, 2]}, "a": {"b": value}}).rows
    assert list(rows) == [("run.arch", "x", "", ""), ("run.list", "1, 2", "", ""), ("a.b", "1 ns", "PAPER", "here")]
