"""A thousand design points of gpt3-xl in under three minutes, with two workers."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rowline.sweeps.points import Points
from rowline.sweeps.pool import Pool
from rowline.sweeps.space import load_space
from rowline.sweeps.trial import expand_point, run_trial, trial_id

SPACE = """
base: {{arch: pim-gpt, workload: gpt3-xl, prompt_tokens: {prompt}, generated_tokens: 2}}
axes:
  - {{key: channels, values: [16, 24, 32, 48, 64]}}
  - {{key: device.organization.bank_groups, values: [2, 4]}}
  - {{key: device.timing.tCCDL, values: [1 ns, 1.5 ns, 2 ns, 3 ns, 4 ns]}}
  - {{key: device.pim.mac_lanes, values: [4, 8, 16, 32, 64]}}
  - {{key: host.clock, range: {{from: 250 MHz, to: 1 GHz, step: 250 MHz}}}}
objectives: [{{key: tpot}}, {{key: phases.decode.latency_s}}, {{key: energy}}]
"""


@pytest.mark.slow
def test_a_thousand_decode_steps_of_gpt3_xl_over_pim_parameters(tmp_path: Path) -> None:
    """A prompt of one token, then one decode step, by the command; start of all interpreters included."""
    (tmp_path / "xl.yaml").write_text(SPACE.format(prompt=1))
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rowline", "sweep", "xl.yaml", "--jobs", "2", "--out", "xl", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip
    took = time.perf_counter() - begin
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"1,000 points, KV length 2: {took:.1f} s")
    assert found["counts"] == {"done": 1000, "cached": 0, "failed": 0, "infeasible": 0}
    assert len({trial["id"] for trial in found["trials"]}) == 1000
    assert len({json.dumps(trial["params"]) for trial in found["trials"]}) == 1000
    assert all(trial["objectives"]["tpot"] == trial["objectives"]["phases.decode.latency_s"] for trial in found["trials"])
    assert took < 180


def last_pass_alone(config: dict[str, Any]) -> dict[str, Any]:
    """Entry of a worker: a trial without its prompt, the decode step at the KV length that the prompt would have left."""
    from rowline.sim import engine
    from rowline.sim.pim_machine import PassRun

    engine.plan_passes = lambda mapping, prompt, _: [PassRun(mapping.plan(1, True), (prompt + 1,), True, "decode")]
    stats = run_trial(config)
    return {key: stats[key] for key in ("latency_s", "macs")} if "latency_s" in stats else stats


@pytest.mark.slow
def test_a_thousand_decode_steps_at_a_kv_length_of_1024(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same points without the 1,023 tokens that a run would first take in; the pool does the rest as in a sweep."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    (tmp_path / "xl.yaml").write_text(SPACE.format(prompt=1023))
    begin = time.perf_counter()
    space, found = load_space(tmp_path / "xl.yaml"), dict[str, Any]()
    with Pool(2, entry=f"{Path(__file__).stem}:last_pass_alone") as pool:
        for point in Points(space).grid():
            config = expand_point(space, point)
            pool.submit(trial_id(config), config)
        while pool.outstanding:
            found |= {done.key: done.value for done in pool.poll(1)}
    took = time.perf_counter() - begin
    print(f"1,000 points, KV length 1024: {took:.1f} s")
    assert len(found) == 1000 and len({value["macs"] for value in found.values()}) == 1
    assert all(value["latency_s"] > 0 for value in found.values())
    assert took < 180
