"""Runs and studies made up for tests of pages, and what any page must be: whole, closed to the network, its scripts known."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
from rowline.reports.ceilings import Ceilings
from rowline.reports.checks import Check, run_checks
from rowline.reports.measured import Measured
from rowline.reports.page import MAX_PAGE_BYTES
from rowline.reports.ranking import Objective, Trial
from rowline.reports.run_html import RunReport
from rowline.reports.study_html import StudyReport

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>&\"'{{ 7*7 }}"
FORMULAS = ("=1+1", "+1+cmd", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1")


class Page(HTMLParser):
    """Tags, scripts, tables and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.cells: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif data.strip():
            self.words.append(data.strip())
            if self.inside == "td":
                self.cells.append(data.strip())

    def plots(self) -> dict[str, dict[str, Any]]:
        """What is drawn, by the element that it is drawn in."""
        found = re.fullmatch(r"for \(const p of (\[.*\])\) Plotly\.newPlot\(.*\);", self.scripts[1].strip())
        assert found is not None
        return {plot["id"]: plot for plot in json.loads(found[1])}


def check_scripts(page: Page, count: int) -> None:
    """The policy lets the page's own scripts run, ``count`` of them, and nothing else; nothing is fetched."""
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "http" not in policy and "\r" not in page.text
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts]
    assert re.findall(r"sha256-([^']+)'", policy) == digests and len(digests) == count
    assert not [a for _, a in page.tags if a.keys() & {"src", "href", "onclick", "onerror", "action"}]
    assert len(page.text.encode()) < MAX_PAGE_BYTES


def check_closed(page: Page) -> None:
    """So is a page with tables to sort; every plot has its place."""
    check_scripts(page, 3)
    places = {a["id"] for tag, a in page.tags if tag == "div" and "id" in a}
    assert places == page.plots().keys()
    assert "showSendToCloud: false" in page.scripts[1]


def pim_run(evil: str = "") -> RunReport:
    """Two passes of two steps on banks, each taken in by the ASIC: 60, 30, 60, 30 us of banks, 10 us more of the ASIC."""
    columns = {
        "pass_index": [0, 0, 1, 1], "phase": ["prefill", "prefill", "decode", "decode"], "kv_length": [1, 1, 2, 2],
        "unit": ["pim", "asic", "pim", "asic"], "op_class": ["mlp", "gelu" + evil, "mlp", "gelu" + evil], "layer": [0, 0, 0, 0],
        "op": [0, 1, 0, 1], "start_ps": np.array([0, 60, 100, 160]) * 10**6, "end_ps": np.array([60, 100, 160, 200]) * 10**6,
        "macs": [3_000_000, 0, 3_000_000, 0], "mac_bytes": [6_000_000, 0, 6_000_000, 0], "link_bytes": [60_000, 0, 60_000, 0],
        "commands": [1000, 0, 1000, 0], "energy_fj": [10**9, 10**8, 10**9, 10**8],
    }  # fmt: skip
    phase = {"latency_s": 1e-4, "tokens": 1, "tokens_per_s": 1e4, "energy_j": 1.1e-6, "macs": 3_000_000}
    stats: dict[str, Any] = {
        "arch": "toy" + evil, "workload": "tiny" + evil, "prompt_tokens": 1, "generated_tokens": 2, "latency_s": 2e-4,
        "prefill_latency_s": 1e-4, "decode_latency_s": 1e-4, "tpot_s": 1e-4, "energy_j": 2.2e-6,
        "energy_breakdown_j": {"mac_array": 2e-6, "link" + evil: 2e-7}, "energy_by_op_class_j": {"mlp": 2e-6, "gelu": 2e-7},
        "latency_breakdown_s": {"mlp": 1.2e-4, "gelu" + evil: 8e-5}, "latency_by_term_s": {"column": 1.5e-4, "host": 5e-5},
        "macs": 6_000_000, "effective_bandwidth_bytes_per_s": 6e10, "peak_bandwidth_bytes_per_s": 2e11, "row_hit_rate": 0.98,
        "link_bytes": 120_000, "commands": {"MAC16": 1900, "ACT16" + evil: 90, "REFab": 15},
        "phases": {"prefill": phase, "decode": phase},
        "assumed": ["device.clock"], "fitted": [], "notes": ["a note" + evil], "provenance": {"rowline": "0.1.0" + evil},
    }  # fmt: skip
    config = {
        "run": {"arch": "toy" + evil, "overrides": {"device.timing.tRP": "12 ns"}},
        "system": {"name": "toy", "device": {"clock": {"value": "2 GHz", "kind": "ASSUMED", "ref": "recalled" + evil}}},
    }  # fmt: skip
    frame, peaks = pd.DataFrame(columns), Ceilings(2e11, 2e9, 2e11, "links")
    checks = [*run_checks(stats, frame, peaks), Check("formula" + evil, "1" + evil, "not tried: no model" + evil, None)]
    measured = Measured(["nothing of silicon" + evil])
    return RunReport("toy" + evil, stats, config, frame, peaks, f"rowline run --arch toy{evil}", checks, measured)


def groups(evil: str = "") -> list[dict[str, Any]]:
    """Two ops of a validation, one of them with a regime, one without baselines."""
    common = {"gpu": "TOY" + evil, "framework": "vllm-1" + evil, "dtype": "bf16", "n": 40, "median_ape": 7.0, "p90_ape": 20.0,
              "bias": -1.0, "spearman": 0.99, "floor_mape": None, "unseen": {"n": 9, "mape": 9.5}}  # fmt: skip
    gemm = common | {"op": "gemm" + evil, "regime": "all", "mape": 8.25, "roofline_mape": 61.0, "fitted_mape": 20.5}
    softmax = common | {"op": "softmax", "regime": "all", "mape": 12.5, "roofline_mape": 70.0, "fitted_mape": None, "n": 3}
    return [gemm, gemm | {"regime": "decode", "n": 10, "mape": 5.75}, softmax]


def gpu_run(evil: str = "") -> RunReport:
    """Two kernels on a GPU, 60 and 40 us, beside measurements; what the run says of its energy does not add up."""
    columns = {
        "pass_index": [0, 1], "phase": ["prefill", "decode"], "kv_length": [1, 2], "unit": ["gpu", "gpu"],
        "op_class": ["mlp", "gelu" + evil], "layer": [0, 0], "op": [0, 1], "start_ps": np.array([0, 60]) * 10**6,
        "end_ps": np.array([60, 100]) * 10**6, "macs": [3_000_000, 0], "kernel": ["gemm", "gelu" + evil],
        "choice": ["tile 8x64x64" + evil, "2 CTAs of 128"], "bound": ["dram", "latency" + evil],
        "dram_read_bytes": [6_000_000, 1000], "dram_write_bytes": [1000, 0], "l2_read_bytes": [6_000_000, 2000],
        "l2_hit_bytes": [0, 1000], "energy_fj": [10**9, 10**8],
    }  # fmt: skip
    kernel = {
        "op": "gemm", "op_class": "mlp", "phase": "prefill", "shape": {"m": 1, "n" + evil: 64}, "dtype": "bf16", "calls": 1,
        "us": 60.0, "share": 0.6, "choice": "tile 8x64x64" + evil, "bound": "dram", "ctas": 96, "ctas_per_sm": 2, "waves": 0.75,
        "occupancy": 0.75, "bytes_in_flight": 2048.0, "stalls": {"dram" + evil: 0.9, "arithmetic": 0.095, "launch": 0.005},
    }  # fmt: skip
    old = {key: kernel[key] for key in ("op_class", "phase", "shape", "dtype", "calls", "us", "choice", "bound")}
    phase = {"latency_s": 5e-5, "tokens": 1, "tokens_per_s": 2e4, "energy_j": 1e-6}
    pim = pim_run(evil)
    stats: dict[str, Any] = {key: value for key, value in pim.stats.items() if key not in ("commands", "row_hit_rate")} | {
        "latency_s": 1e-4, "prefill_latency_s": 6e-5, "decode_latency_s": 4e-5, "energy_j": 3e-6, "macs": 3_000_000,
        "energy_breakdown_j": {"static": 2e-6, "memory": 1e-6 + 1e-9}, "energy_by_op_class_j": {"mlp": 1e-6, "standby": 2e-6},
        "latency_breakdown_s": {"mlp": 6e-5, "gelu" + evil: 4e-5, "host": 0.0}, "latency_by_term_s": {"dram": 1e-4},
        "l2_hit_rate": 0.1, "dtype": "bf16", "launches": 2, "kernels": [kernel, old | {"op": "gelu" + evil, "share": 0.4}],
        "phases": {"prefill": phase, "decode": phase},
    }  # fmt: skip
    frame, peaks = pd.DataFrame(columns), Ceilings(1e14, 1e12, None, "DRAM")
    measured = Measured(["of TOY" + evil, "another" + evil], groups(evil))
    return RunReport("toy" + evil, stats, pim.config, frame, peaks, "rowline run", run_checks(stats, frame, peaks), measured)


def study(evil: str = "", count: int = 4, objectives: int = 2) -> StudyReport:
    """A grid over channels and a clock: latency falls with both, energy rises with channels; one trial failed."""
    asked = [Objective("latency"), Objective("energy"), Objective("tokens", minimise=False)][:objectives]
    trials: list[Trial] = []
    for i in range(count):
        for j in range(3):
            number = len(trials)
            params = {"channels": str(2**i), "host.clock": ("500 MHz", "1 GHz", "2 GHz")[j]} | ({"name": evil} if evil else {})
            results = {"latency": 1.0 / (i + 1) + 0.01 / (j + 1), "energy": 1.0 + i + 0.001 * j, "tokens": float(i)}
            kept = {o.name: results[o.name] for o in asked}
            trials.append(Trial(f"id{number:05d}", number, params, kept, "complete", "", 0.5))
    trials.append(Trial("idfail", len(trials), {"channels": "0"}, {}, "failed", "died of signal 9" + evil, 0.1))
    stats = {t.id: {"latency_breakdown_s": {"mlp" + evil: 0.1, "attention": 0.2}, "energy_breakdown_j": {"link": 0.1},
                    "commands": {"MAC16": 5}, "provenance": {"rowline": "0.1.0" + evil}} for t in trials[:-1]}  # fmt: skip
    space = {"name": "toy" + evil, "base": {"arch": "pim-gpt"}, "axes": [{"key": "channels", "values": ["1", "2"]}],
             "file": "toy.yaml" + evil, "provenance": {"code": "0.1.0+ab" + evil, "packages": {"numpy": "2"}}}  # fmt: skip
    return StudyReport("toy" + evil, space, asked, trials, stats, "rowline sweep toy.yaml", {"id00000": "rowline run" + evil})
