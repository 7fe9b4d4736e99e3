"""Channels simulated once and copied: the same cycles, states and waits as simulating each."""

import numpy as np
import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_system
from rowline.sim.compile import compile_device
from rowline.sim.kernels import channels
from rowline.sim.kernels import layout as at
from rowline.traces.commands import ISSUED, CommandStream, empty_stream, join


def stream_of(device: DramDevice, rows: list[tuple[str, int, int, int, int, int]]) -> CommandStream:
    """Rows of (command, unit, row, col, count, safe)."""
    stream = empty_stream(len(rows))
    for i, (name, *rest) in enumerate(rows):
        stream["cmd"][i] = device.dram_standard.index[name]
        for field, value in zip(("unit", "row", "col", "count", "safe"), rest, strict=True):
            stream[field][i] = value
    return stream


class Pair:
    """Two channels; the second alone writes a key, then both multiply."""

    def __init__(self, device: DramDevice):
        self.device, self.table = device, compile_device(device)
        write = [("ACT", 3, 7, -1, 1, 1), ("WR", 3, 7, 0, 2, 0), ("PRE", 3, -1, -1, 1, 0)]
        multiply = [("ACT16", 0, 9, -1, 1, 1), ("MAC16", 0, 9, 0, 4, 0), ("PREA", 0, -1, -1, 1, 0)]
        self.stream = join([stream_of(device, write), *[stream_of(device, multiply)] * 2])

    def run(self, wrote_at: int, releases: list[int], copied: bool):
        """Step records, waits and last issue of both channels; equal slices may be copied, different ones are not."""
        size, commands = self.table.state_size, len(self.device.dram_standard.commands)
        width = at.N_RESULT + len(self.device.dram_standard.rules)
        state = np.zeros((2, 2 * size + width + commands), np.int64)
        state[:, :size] = self.table.new_state(2)
        waits, records, no_log = np.zeros(width, np.int64), [], np.empty(0, ISSUED)
        same = np.array([[3, 3], [6, 6]]) if copied else np.array([[3, 6], [6, 9]])
        for slices, release in [(np.array([[0, 0], [0, 3]]), wrote_at), *((same, r) for r in releases)]:
            record = np.zeros(at.N_STEP + commands, np.int64)
            arguments = (state, self.stream, slices, 0, release, np.zeros(1, np.int64), no_log, record, waits)
            assert channels.advance_all(*self.table.arrays, *arguments) == at.OK
            records.append(record)
        return records, waits, state[:, at.T_LAST_ISSUE] >> at.RULE_BITS


@pytest.mark.parametrize("mode", ["all_bank", "per_bank", "off"])
@pytest.mark.parametrize("arch", ["pim-gpt", "aim"])
def test_copies_equal_simulation_around_a_refresh(arch: str, mode: str):
    """A row closed on one channel just before a refresh falls due delays that refresh, hence all that follows it."""
    pair = Pair(load_system(arch, [f"device.refresh.mode={mode}"]).device)
    interval = max(pair.device.refresh_interval, 2000)
    gap, rng, was_copied = int(pair.table.scalars[at.S_MAX_GAP]), np.random.default_rng(7), 0
    for _ in range(1500):
        wrote = int(rng.integers(interval - 400, interval + 50))
        releases = np.cumsum(rng.integers(50, 2 * gap + 400, 3)) + wrote
        mine, waits, last = pair.run(wrote, releases.tolist(), copied=True)
        each, other_waits, other_last = pair.run(wrote, releases.tolist(), copied=False)
        for a, b in zip(mine, each, strict=True):
            was_copied += int(a[at.P_SIMULATED] < b[at.P_SIMULATED])
            a[at.P_SIMULATED] = b[at.P_SIMULATED]
            assert (a == b).all()
        assert (waits == other_waits).all() and (last == other_last).all()
        assert waits[at.R_WAIT_DUE :].sum() == last.sum(), "every cycle up to the last command is booked once"
    assert was_copied > 500
