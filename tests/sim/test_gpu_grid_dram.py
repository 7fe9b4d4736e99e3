"""A GPU's DRAM channels at the rate that the DRAM engine yields take what the engine itself takes for the same stretch."""

from dataclasses import replace

import numpy as np
import pytest
from rowline.arch.loader import load_device, load_gpu
from rowline.sim.gpu import dram_stream as ds
from rowline.sim.gpu.device import chip_of
from rowline.sim.gpu.engine import Grid, simulate
from rowline.sim.kernels import gpu_layout as gl

TILE, STEPS = 8192, 600


@pytest.mark.parametrize("name", ["h100-sxm", "a100-sxm-80gb", "l40s"])
def test_streaming_ctas_take_the_engines_time(name: str):
    """Every SM streams tiles of its own, two CTAs an SM and 12 stages deep: bytes over the engine's rate, within 3 %.

    What comes on top is one latency, and what is lost where a channel's queue is empty for a moment.
    """
    gpu = load_gpu(name)
    channels = gpu.dram.channels.value
    stream = ds.stream_efficiency(load_device(gpu.dram.device), ds.READ, channels)
    chip = replace(chip_of(gpu), dram_read_hz=stream.bytes_per_s * channels, l2_bytes=1e5, port_bytes=1e4)
    ctas = 2 * chip.sms
    cta = np.zeros((ctas, gl.N_CTA), np.int64)
    cta[:, gl.C_STEPS], cta[:, gl.C_A_FIRST] = STEPS, np.arange(ctas) * STEPS
    cta[:, gl.C_A_STRIDE] = cta[:, gl.C_A_GRANULES] = cta[:, gl.C_OUT_GRANULES] = 1
    cta[:, gl.C_A_BYTES], cta[:, gl.C_OUT_FIRST], cta[:, gl.C_OUT_BYTES] = TILE, (1 << 40) + np.arange(ctas), 1
    grid = Grid(cta, 2, 12, 1, TILE, 1, gl.NO_OVERLAP, 0.0, 64.0, 0.0)
    got = simulate(chip, grid)
    size = ctas * STEPS * TILE
    assert got.dram_read_bytes == size
    seconds = got.cycles / chip.clock_hz
    assert seconds == pytest.approx(stream.time_ps(size, channels) * 1e-12, rel=0.03)
    assert seconds > stream.time_ps(size, channels) * 1e-12
