"""Cycle by cycle against aim_simulator (commit 0f28a07), from its instructions on: our expansion in our kernel.

The peer's clock counts from 1, so its ``clk`` is our cycle + 1. ``test_aim_simulator.py`` says what else to know of it.
"""

from pathlib import Path

import numpy as np
import pytest
from rowline.arch.loader import load_system
from rowline.sim.isr import expand
from rowline.sim.kernels import layout as at
from rowline.traces.commands import expand_runs
from rowline.traces.formats.aim_isr import read_isr
from rowline.traces.formats.commandlog import read_command_log

from ..conformance.kernel import run_kernel

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram" / "aim_simulator"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")
DEVICE = load_system("aim", ("device.refresh.mode=off",)).device

CASES = {
    "mac_1row_1ch": 65, "mac_2row_1ch": 131, "mac_rows256_1ch": 16895,
    "gemv_2048x2048_1ch": 18048, "gemv_2048x2048_8ch": 8 * 2368,
    "micro_af": 73, "micro_ewmul": 197, "micro_mac_sbk": 1040, "micro_wrabk": 32, "micro_wrsbk_rdsbk": 3,
}  # fmt: skip
"""Case -> commands. Not micro_mem_rw: the peer reorders plain reads and writes."""


@pytest.mark.parametrize("case", CASES)
def test_same_instructions_same_cycles(case: str) -> None:
    ours = expand(read_isr(DATA / f"{case}.isr.trace.gz"), DEVICE)
    log = np.concatenate(list(read_command_log(DATA / f"{case}.cmd.csv.gz")))
    total = 0
    for channel, stream in ours.streams.items():
        theirs = log["clk"][log["channel"] == channel] - 1
        written_out = expand_runs(stream)
        assert len(written_out) == len(theirs)
        run = run_kernel(DEVICE, stream, ours.starts[channel])
        assert run.status == at.OK
        assert run.log["cycle"].tolist() == theirs.tolist()
        assert run.log["cmd"].tolist() == written_out["cmd"].tolist()
        total += len(theirs)
    assert total == CASES[case] == len(log)
