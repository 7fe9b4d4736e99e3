"""Speed, JIT cache warm: ``python -m pytest -s tests/bench -m bench``.

What is asserted is a third of each goal, so that a busy machine does not fail it; the figures are printed beside the goals.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from rowline.arch.loader import load_system
from rowline.sim.compile import compile_device
from rowline.sim.kernels import inorder
from rowline.sim.kernels import layout as at
from rowline.traces.commands import ISSUED, CommandStream, empty_stream

pytestmark = pytest.mark.bench
DEVICE = load_system("aim").device
INDEX = DEVICE.dram_standard.index


def rows_of_macs(rows: int) -> CommandStream:
    """ACT16, a run of 64 MAC16, PREA, over and over, with refresh before each activation."""
    stream = empty_stream(3 * rows)
    for i, (name, count) in enumerate((("ACT16", 1), ("MAC16", 64), ("PREA", 1))):
        stream["cmd"][i::3], stream["count"][i::3] = INDEX[name], count
    stream["row"][0::3] = stream["row"][1::3] = stream["col"][1::3] = 0
    stream["safe"][0::3] = 1
    return stream


def single_commands(length: int) -> CommandStream:
    """ACT, four RD of as many columns, PRE, bank by bank: every row of the stream is one command to one bank."""
    stream = empty_stream(6 * length)
    for i, name in enumerate(("ACT", "RD", "RD", "RD", "RD", "PRE")):
        stream["cmd"][i::6] = INDEX[name]
        stream["unit"][i::6] = np.arange(length) % 16
        if name != "PRE":
            stream["row"][i::6] = 7
        if name == "RD":
            stream["col"][i::6] = i
    stream["safe"][0::6] = 1
    return stream


def prepare(stream: CommandStream):
    """A channel at rest and the arguments with which ``advance`` issues the stream on it."""
    used = frozenset(DEVICE.dram_standard.commands[i].name for i in np.unique(stream["cmd"]))
    table = compile_device(DEVICE, used=used)
    state = table.new_state(1)[0]
    result = np.zeros(at.N_RESULT + len(DEVICE.dram_standard.rules), np.int64)
    result[at.R_START] = at.FOREVER
    counts = np.zeros(len(INDEX), np.int64)
    rest = (stream, len(stream), 0, 0, at.FOREVER, np.zeros(1, np.int64), result, counts, np.empty(0, ISSUED))
    return (*table.arrays, state, *rest), {}


@pytest.mark.parametrize(("make", "goal"), [(rows_of_macs, 1e9), (single_commands, 20e6)], ids=["mac_runs", "single_commands"])
def test_commands_a_second(benchmark, make, goal: float):
    stream = make(300_000)
    arguments, _ = prepare(stream)
    inorder.advance(*arguments)
    assert arguments[-3][at.R_STATUS] == at.OK
    commands = int(arguments[-2].sum())
    benchmark.pedantic(inorder.advance, setup=lambda: prepare(stream), rounds=9)
    rate = commands / benchmark.stats.stats.min
    benchmark.extra_info["commands_per_s"] = rate
    print(f"\n{rate / 1e6:.1f} million commands a second (goal {goal / 1e6:.0f})")
    assert rate > goal / 3, "far below the goal, even for a noisy machine"


def test_gpt3_xl_1024_tokens(tmp_path):
    """The whole command, imports and tracing included, in a process of its own."""
    command = [sys.executable, "-m", "rowline", "run", "--arch", "pim-gpt", "--workload", "gpt3-xl", "--prompt", "1"]
    command += ["--tokens", "1024", "--json", "--out", str(tmp_path / "run")]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    commands = sum(json.loads(done.stdout)["commands"].values())
    print(f"\n{wall:.1f} s, {peak / 1e9:.2f} GB, {commands / 1e9:.2f} billion commands")
    assert wall < 30 and peak < 2e9, "goal: 10 s and 2 GB"
