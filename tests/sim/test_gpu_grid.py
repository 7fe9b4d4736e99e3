"""The event loop of a grid against closed forms, and what must be conserved."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rowline.sim.gpu.engine import Grid, GridResult, Resident, simulate
from rowline.sim.gpu.machine import Chip
from rowline.sim.gpu.steady import extended, in_waves
from rowline.sim.kernels import gpu_layout as gl

PORT, L2, READ, WRITE = 32.0, 512.0, 256.0, 128.0  # bytes a cycle
L2_LATENCY, DRAM_LATENCY, EPILOGUE = 200, 400, 50
CHIP = Chip(
    name="plain", sms=4, clock_hz=1e9, tensor_macs={"bf16": 1024}, simt_macs={"fp32": 64}, sfu_per_cycle=16,
    shared_bytes=100_000, cta_shared_bytes=0, max_ctas=16, max_threads=1024, port_bytes=PORT, l2_bytes=L2,
    l2_latency=L2_LATENCY, l2_usable_bytes=4 << 20, dram_read_hz=READ * 1e9, dram_write_hz=WRITE * 1e9,
    dram_latency=DRAM_LATENCY,
)  # fmt: skip
TILE = 8192


def grid(ctas: int, steps: int, step: float, private: bool = True, out: int = 4096, **more) -> Grid:
    """CTAs that each read ``steps`` tiles of A: their own, or all the same; one granule a step and chunk 1."""
    cta = np.zeros((ctas, gl.N_CTA), np.int64)
    cta[:, gl.C_STEPS] = steps
    cta[:, gl.C_A_FIRST] = np.arange(ctas) * steps if private else 0
    cta[:, gl.C_A_STRIDE] = cta[:, gl.C_A_GRANULES] = 1
    cta[:, gl.C_A_BYTES] = TILE
    cta[:, gl.C_OUT_FIRST] = (1 << 40) + np.arange(ctas)
    cta[:, gl.C_OUT_GRANULES], cta[:, gl.C_OUT_BYTES] = 1, out
    cta[:, gl.C_STEP_TICKS] = round(step * gl.TICKS)
    usual: dict[str, Any] = dict(slots=1, stages=4, chunk=1, granule_bytes=TILE, out_granule_bytes=out, overlap=gl.NO_OVERLAP,
                 epilogue=EPILOGUE, epilogue_bytes=64.0, cta_launch=0.0)  # fmt: skip
    return Grid(cta, **(usual | more))


def warm(ctas: int, steps: int, private: bool = True) -> list[Resident]:
    return [Resident(0, steps * (ctas if private else 1))]


def test_one_step_of_one_cta_that_hits():
    """Port, latency, arithmetic, epilogue, output: one after another."""
    got = simulate(CHIP, grid(1, 1, 300, residents=warm(1, 1)))
    assert got.cycles == pytest.approx(TILE / PORT + L2_LATENCY + 300 + EPILOGUE + 4096 / 64, abs=1)
    assert (got.dram_read_bytes, got.l2_read_bytes, got.l2_hit_bytes) == (0, TILE, TILE)


def test_one_step_of_one_cta_that_misses():
    """As a hit, and the DRAM's transfer and latency instead of the port's time, which is shorter."""
    chip = replace(CHIP, dram_read_hz=16e9)
    got = simulate(chip, grid(1, 1, 300))
    assert got.cycles == pytest.approx(TILE / 16 + DRAM_LATENCY + L2_LATENCY + 300 + EPILOGUE + 4096 / 64, abs=1)
    assert (got.dram_read_bytes, got.l2_hit_bytes) == (TILE, 0)


def test_arithmetic_bound():
    steps = 200
    got = simulate(CHIP, grid(1, steps, 1000, residents=warm(1, steps)))
    assert got.cycles == pytest.approx(TILE / PORT + L2_LATENCY + steps * 1000 + EPILOGUE + 64, abs=2)
    assert got.busy == steps * 1000


def test_latency_bound():
    """With one stage each step waits for its own load; with more, so many loads are in flight."""
    steps, trip = 100, TILE / PORT + L2_LATENCY
    for stages, expected in ((1, steps * (trip + 10)), (2, steps * (trip + 10) / 2)):
        got = simulate(CHIP, grid(1, steps, 10, stages=stages, residents=warm(1, steps)))
        assert got.cycles == pytest.approx(expected, rel=0.2 if stages > 1 else 0.01)
    assert max(got.stalls, key=lambda cause: got.stalls[cause]) in ("latency", "sm_feed")


@pytest.mark.parametrize(("servers", "tolerance"), [(1, 0.01), (16, 0.05)])
def test_dram_bound(servers: int, tolerance: float):
    """All SMs stream: bytes over bandwidth, and one latency. Channels that requests hit at random lose a little."""
    chip = replace(CHIP, dram_read_hz=64e9, dram_servers=servers, dram_slice_bytes=1024)
    got = simulate(chip, grid(4, 400, 10, stages=12))
    least = 4 * 400 * TILE / 64
    assert least < got.cycles < least * (1 + tolerance) + DRAM_LATENCY + L2_LATENCY + 1000
    assert got.stalls["dram"] > 0.8 * sum(got.stalls.values())
    assert got.dram_read_bytes == 4 * 400 * TILE


def test_l2_bound_and_shared_tiles_come_from_dram_once():
    chip = replace(CHIP, l2_bytes=64.0)
    got = simulate(chip, grid(4, 300, 10, private=False, stages=12))
    assert got.dram_read_bytes == 300 * TILE
    assert got.cycles == pytest.approx(4 * 300 * TILE / 64, rel=0.02)
    assert got.stalls["l2"] > 0.8 * sum(got.stalls.values())


def test_slots_of_an_sm_share_its_arithmetic_and_hide_each_others_ends():
    alone = simulate(CHIP, grid(8, 20, 1000, residents=warm(8, 20)))
    together = simulate(CHIP, grid(8, 20, 1000, slots=2, residents=warm(8, 20)))
    assert alone.cycles == pytest.approx(2 * (20 * 1000 + TILE / PORT + L2_LATENCY + EPILOGUE + 64), rel=0.01)
    assert 2 * 20 * 1000 < together.cycles < alone.cycles


def test_a_bubble_is_filled_by_another_cta():
    alone = simulate(CHIP, grid(4, 50, 500, bubble=300.0, residents=warm(4, 50)))
    assert alone.cycles == pytest.approx(50 * 800, rel=0.03)
    both = simulate(CHIP, grid(8, 50, 500, slots=2, bubble=300.0, residents=warm(8, 50)))
    assert both.cycles == pytest.approx(2 * 50 * 500, rel=0.03)


def test_overlap_hides_loads_then_the_epilogue_too():
    def cycles(overlap: int) -> float:
        return simulate(CHIP, grid(40, 4, 500, overlap=overlap, epilogue=400, residents=warm(40, 4))).cycles

    none, loads, everything = (cycles(kind) for kind in (gl.NO_OVERLAP, gl.LOADS_OVERLAP, gl.ALL_OVERLAP))
    trip, tail = TILE / PORT + L2_LATENCY, 400 + 64
    assert none == pytest.approx(10 * (4 * 500 + trip + tail), rel=0.01)
    assert loads == pytest.approx(10 * (4 * 500 + tail) + trip, rel=0.01)
    assert everything == pytest.approx(10 * 4 * 500 + trip + tail, rel=0.01)


def test_waves():
    one, three = (simulate(CHIP, grid(4 * n, 10, 1000, residents=warm(4 * n, 10))).cycles for n in (1, 3))
    assert three == pytest.approx(3 * one, rel=0.01)
    assert simulate(CHIP, grid(5, 10, 1000, residents=warm(5, 10))).cycles == pytest.approx(2 * one, rel=0.01)


def test_outputs_that_displace_dirty_lines_are_written_back():
    """More output than the L2 holds: what leaves is what does not fit, and the last writes wait for it."""
    chip = replace(CHIP, l2_usable_bytes=1 << 20)
    got = simulate(chip, grid(1024, 1, 10, private=False, out=TILE, out_granule_bytes=TILE))
    assert got.l2_write_bytes == 1024 * TILE
    assert got.dram_write_bytes == pytest.approx(1024 * TILE - (1 << 20), rel=0.02)
    assert got.cycles >= got.dram_write_bytes / WRITE


@pytest.mark.parametrize("private", [True, False])
def test_bytes_are_conserved(private: bool):
    got = simulate(CHIP, grid(37, 23, 100, private=private, slots=2, stages=3))
    assert got.l2_read_bytes == 37 * 23 * TILE
    assert got.l2_hit_bytes + got.dram_read_bytes == got.l2_read_bytes
    assert got.busy == 37 * 23 * 100


def test_runs_repeat():
    chip = replace(CHIP, dram_servers=8)
    results = [simulate(chip, grid(64, 31, 77, slots=3, stages=5)) for _ in range(2)]
    assert results[0] == results[1]


@pytest.mark.parametrize("step", [30, 300, 1500])
def test_chunks_of_steps_take_what_the_steps_take(step: float):
    """Bound by DRAM, by both, by arithmetic."""
    single = simulate(CHIP, grid(16, 64, step, slots=2, stages=8))
    merged = grid(16, 64, step, slots=2, stages=8, chunk=4, granule_bytes=4 * TILE)
    merged.cta[:, gl.C_A_FIRST] = np.arange(16) * 16
    taken = simulate(CHIP, merged)
    assert taken.cycles == pytest.approx(single.cycles, rel=0.03)
    assert taken.dram_read_bytes == single.dram_read_bytes and taken.events < 0.4 * single.events


def test_a_launch_of_like_waves_is_what_two_lengths_of_it_say():
    whole = grid(403, 8, 700, residents=())

    def run(ctas: int) -> GridResult:
        return simulate(CHIP, replace(whole, cta=whole.cta[:ctas]))

    full, part = run(403), in_waves(run, 403, 4)
    assert part.events < 0.1 * full.events
    assert part.cycles == pytest.approx(full.cycles, rel=0.01)
    assert part.dram_read_bytes == pytest.approx(full.dram_read_bytes, rel=0.01)


def test_extending_adds_the_difference():
    short, longer = (simulate(CHIP, grid(4, n, 900, residents=warm(4, n))) for n in (24, 32))
    full = simulate(CHIP, grid(4, 96, 900, residents=warm(4, 96)))
    assert extended(short, longer, 8).cycles == pytest.approx(full.cycles, rel=0.001)
    assert extended(short, longer, 8).l2_read_bytes == full.l2_read_bytes


def test_limits_are_refused():
    with pytest.raises(ValueError, match="CTAs"):
        simulate(CHIP, grid(0, 1, 1))
    with pytest.raises(ValueError, match="stages"):
        simulate(CHIP, grid(1, 1, 1, stages=99))
