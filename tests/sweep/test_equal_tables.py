"""The same study on one worker, on two and on a Dask cluster: the same table to the byte. The same trial whatever is kept."""

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rowline.sweeps.points import Points
from rowline.sweeps.space import load_space
from rowline.sweeps.store import Store
from rowline.sweeps.study import Choices, run_sweep
from rowline.sweeps.trial import Kept, expand_point, run_with

GRID = """
name: banks
base: {arch: pim-gpt, workload: gpt2-small, prompt_tokens: 2, generated_tokens: 3}
axes:
  - {key: channels, values: [4, 8, 64]}
  - {key: device.organization.bank_groups, values: [2, 4]}
  - {key: device.pim.mac_lanes, values: [8, 16]}
  - {key: device.timing.tRC, values: [39 ns, 30 ns], when: device.pim.mac_lanes > 8}
constraints:
  - channels * device.organization.bank_groups <= 128
objectives:
  - {key: tpot, limit: 90 us}
  - {key: energy}
  - {key: cost, expr: channels * 4 + device.pim.mac_lanes / 8}
"""
NSGA = """
name: front
base: {arch: pim-gpt, workload: gpt2-small, generated_tokens: 2}
axes:
  - {key: channels, values: [4, 6, 8, 12, 16]}
  - {key: device.pim.mac_lanes, range: {from: 4, to: 32, step: 4}}
  - {key: host.clock, log: {from: 250 MHz, to: 1 GHz, count: 5}}
  - {key: mapping.lm_head_on_pim, values: [true, false]}
objectives: [{key: tpot, limit: 60 us}, {key: energy}]
method: {name: nsga2, trials: 16, batch: 4, seed: 3}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """Address of a cluster of two workers."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield f"dask://{cluster.scheduler_address.removeprefix('tcp://')}"


@pytest.mark.parametrize("text", [GRID, NSGA], ids=["grid", "nsga2"])
def test_one_worker_two_and_a_cluster(tmp_path: Path, engine: str, text: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    space = load_space(tmp_path / "space.yaml")
    tables: dict[str, list[bytes]] = {}
    for name, jobs, where in (("one", 1, None), ("two", 2, None), ("dask", 1, engine)):
        folder = tmp_path / name
        outcome = run_sweep(space, Choices(folder, folder, jobs, engine=where))
        found = outcome.as_json()
        table = json.dumps([found["trials"], found["pareto"], found["counts"]]).encode()
        with Store.open(folder, create=False) as store:
            lines = "\n".join(record.line() for record in store.records()).encode()
        tables[name] = [table, lines, (folder / "trials.parquet").read_bytes()]
    trials, front, counts = json.loads(tables["one"][0])
    assert counts["done"] == len(trials) >= 15 and counts["failed"] == 0 and front
    assert 0 < counts["infeasible"] < len(trials), trials
    assert tables["one"] == tables["two"] == tables["dask"]


PIM_POINTS = """
base: {arch: pim-gpt}
axes:
  - {key: arch, values: [pim-gpt, aim]}
  - {key: workload, values: [narrow.yaml, deep.yaml]}
  - {key: prompt_tokens, values: [1, 5]}
  - {key: generated_tokens, values: [1, 3]}
  - {key: mapping.vectors_per_row, values: [1, 2], when: arch == 'aim'}
  - {key: mapping.lm_head_on_pim, values: [true, false]}
  - {key: channels, values: [4, 6]}
  - {key: device.organization.banks_per_group, values: [2, 4]}
  - {key: device.pim.mac_lanes, values: [8, 16]}
  - {key: device.timing.tRCDMAC, values: [12 ns, 20 ns]}
  - {key: device.refresh.interval, values: [3.9 us, 6.8 us]}
  - {key: device.power.idd0, values: [100 mA, 122 mA]}
  - {key: host.clock, values: [500 MHz, 1 GHz]}
  - {key: link.latency, values: [0 ns, 7 ns]}
"""
GPU_POINTS = """
base: {arch: h100-sxm}
axes:
  - {key: arch, values: [h100-sxm, a100-sxm-80gb]}
  - {key: workload, values: [narrow.yaml, deep.yaml]}
  - {key: prompt_tokens, values: [1, 5]}
  - {key: generated_tokens, values: [1, 3]}
  - {key: dtype, values: [bf16, fp16]}
  - {key: launch, values: [graph, eager]}
  - {key: sm.count, values: [64, 100]}
  - {key: l2.clock, values: [1 GHz, 1.5 GHz]}
"""
NARROW = "name: narrow\nn_layers: 2\nd_model: 64\nn_heads: 4\nn_positions: 64\nvocab_size: 500\n"
DEEP = "name: deep\nn_layers: 3\nd_model: 128\nn_heads: 2\nn_positions: 64\nvocab_size: 700\n"


def test_what_is_kept_changes_nothing_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random points of both kinds of machine, in three orders, in a worker that keeps much and in one that soon forgets: every
    stat is that of a worker that keeps nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROWLINE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "narrow.yaml").write_text(NARROW)
    (tmp_path / "deep.yaml").write_text(DEEP)
    configs: list[dict[str, Any]] = []
    for text, count in ((PIM_POINTS, 16), (GPU_POINTS, 8)):
        (tmp_path / "space.yaml").write_text(text)
        space = load_space(tmp_path / "space.yaml")
        configs += [expand_point(space, point) for point in islice(Points(space).shuffled(1), count)]
    alone = [run_with(Kept(0), config) for config in configs]
    different = {json.dumps(stats, sort_keys=True) for stats in alone if "latency_s" in stats}
    assert len(different) >= 20
    for seed in range(3):
        order, much, little = list(range(len(configs))), Kept(64), Kept(2)
        random.Random(seed).shuffle(order)
        for i in order:
            assert run_with(much, configs[i]) == alone[i] == run_with(little, configs[i]), configs[i]
        assert much.parts.hits > 50 and much.kernels.hits > 10 and much.graphs.hits > 0
