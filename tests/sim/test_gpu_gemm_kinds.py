"""Products beyond the half-precision tensor cores: scalar lanes, batches, quantised operands, the clock that power allows."""

from dataclasses import replace
from typing import cast

import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.simt import SimtMenu, SimtPolicy, SimtTile
from rowline.sim.gpu.device import Device, chip_of
from rowline.sim.gpu.engine import KernelRun
from rowline.sim.gpu.kernels import Gemm
from rowline.sim.gpu.loop import Loop
from rowline.sim.gpu.power import VOLTAGE_FLOOR, sustained_us
from rowline.sim.gpu.predict import predict_row
from rowline.sim.gpu.quantise import run_quantise
from rowline.sim.gpu.simt import choose, run_simt, run_tile, slots, step_cycles

STACK = load_stack("torch-2.1-simt")
SIMT = cast(SimtPolicy, STACK.gemm.simt)
ONCE = Loop()
SPLITS = STACK.gemm.split_k.values
A100 = Device(load_gpu("a100-pcie-80gb"), STACK)
H100 = Device(load_gpu("h100-sxm"), STACK)
T4 = Device(load_gpu("t4"), STACK)


def fp32(m: int, n: int, k: int, batch: int = 1) -> Gemm:
    return Gemm(m, n, k, "fp32", batch, 4, 4, 4)


def menu(device: Device) -> SimtMenu:
    return SIMT.menu(device.gpu.architecture)


def run(gemm: Gemm, device: Device, loop: Loop = ONCE) -> KernelRun:
    return run_simt(gemm, device.chip, device.costs, SIMT, menu(device), SPLITS, loop)


@pytest.mark.parametrize(
    ("tile", "held"), [((128, 128, 256, 1), (8, 8)), ((128, 128, 128, 1), (16, 8)), ((32, 32, 128, 4), (8, 4))]
)
def test_thread_tiles(tile: tuple[int, int, int, int], held: tuple[int, int]) -> None:
    m, n, threads, slices = tile
    assert SimtTile(m=m, n=n, threads=threads, slices=slices, stages=2).thread_tile == held


def test_occupancy_follows_registers() -> None:
    chip = A100.chip
    eight = SimtTile(m=64, n=128, threads=128, stages=4)
    sixteen = SimtTile(m=128, n=128, threads=128, stages=4)
    assert slots(eight, chip, SIMT) == 65536 // (128 * 128) == 4
    assert slots(sixteen, chip, SIMT) == 65536 // (208 * 128) == 2


def test_loads_hide_where_lanes_take_two_cycles() -> None:
    tile = SimtTile(m=64, n=128, threads=128, stages=4)
    macs = 64 * 128 * 8
    narrow = step_cycles(tile, 8, replace(A100.chip, simt_efficiency=1.0), SIMT, "fp32")
    wide = step_cycles(tile, 8, replace(H100.chip, simt_efficiency=1.0), SIMT, "fp32")
    assert 1.0 <= narrow / (macs / 64) < 1.05
    assert wide / (macs / 128) > 1 + SIMT.operand_load.value / 1000 * 16 / 4 / 64 - 1e-9


@pytest.mark.parametrize(
    ("device", "gemm", "tile", "splits"),
    [  # NeuSight's recorded kernels: ampere_sgemm_128x128_nn, grid 8 x 1 x 384; sgemm_128x64_tn; 128x32_nn; xmma 128x128
        (A100, fp32(128, 1024, 1024, 384), (128, 128), 1),
        (A100, fp32(8192, 30522, 1280), (64, 128), 1),
        (T4, fp32(81, 944, 223, 208), (32, 128), 1),
        (H100, fp32(2048, 12288, 4096), (128, 128), 1),
    ],
)
def test_choice_is_that_of_the_library(device: Device, gemm: Gemm, tile: tuple[int, int], splits: int) -> None:
    chosen = choose(gemm, device.chip, device.costs, SIMT, menu(device), SPLITS)
    assert ((chosen.tile.m, chosen.tile.n), chosen.splits) == (tile, splits)


def test_deep_products_are_cut_and_batches_are_not() -> None:
    assert choose(fp32(359, 90, 59023), A100.chip, A100.costs, SIMT, menu(A100), SPLITS).splits > 8
    assert choose(fp32(359, 90, 59023, 2), A100.chip, A100.costs, SIMT, menu(A100), SPLITS).splits == 1


@pytest.mark.parametrize("gemm", [fp32(384, 384, 64, 400), fp32(2048, 2048, 2048), fp32(4096, 1024, 4096)])
def test_coarse_runs_agree_with_fine_ones(gemm: Gemm) -> None:
    chosen = choose(gemm, A100.chip, A100.costs, SIMT, menu(A100), SPLITS)
    args = gemm, A100.chip, A100.costs, SIMT, menu(A100), chosen.tile, chosen.splits, Loop()
    assert run_tile(*args).us == pytest.approx(run_tile(*args, events=200_000).us, rel=0.02)


def test_a_long_batch_is_more_of_a_short_one() -> None:
    per = [run(fp32(256, 256, 256, batch), A100).us / batch for batch in (4000, 16000)]
    assert per[0] == pytest.approx(per[1], rel=0.01)


def test_time_is_arithmetic_where_that_is_much() -> None:
    gemm = fp32(8192, 8192, 2048)
    ideal = 8192 * 8192 * 2048 / (A100.chip.sms * 64 * A100.chip.clock_hz) * 1e6
    assert 1.0 < run(gemm, A100).us / ideal < 1.15


def test_the_cap_holds() -> None:
    chip = T4.chip
    room = chip.power_cap_w - chip.static_w
    us, joules = 1000.0, 3 * room * 1e-3
    slow = sustained_us(us, 0.0, joules, chip)
    share = us / slow
    voltage = VOLTAGE_FLOOR + (1 - VOLTAGE_FLOOR) * share
    assert slow > us and joules * voltage**2 / (slow * 1e-6) == pytest.approx(room, rel=1e-6)
    assert sustained_us(us, 0.0, 0.9 * room * 1e-3, chip) == us
    assert sustained_us(us, 1e6, joules, chip) == us  # what the DRAM takes is long enough for the energy


def test_only_a_sustained_loop_meets_the_cap() -> None:
    gemm = fp32(2048, 2048, 2048)
    assert run(gemm, T4, Loop(sustained=True)).us > 1.7 * run(gemm, T4).us
    assert run(gemm, H100, Loop(sustained=True)).us == run(gemm, H100).us


def test_quantisation_reads_once_from_dram_and_grows_with_tokens() -> None:
    stack = load_stack("cublas-hopper")
    policy = stack.gemm.quantise
    assert policy is not None
    chip = chip_of(load_gpu("h100-sxm"))

    def of(m: int, k: int) -> KernelRun:
        return run_quantise(Gemm(m, 256, k, "fp8", 1, 1, 1, 2), chip, policy, Loop(cold=True))

    small = of(64, 4096)
    assert small.result.dram_read_bytes == 64 * 4096 * 2  # the second pass finds its row in the L2
    assert small.launches == 0 and small.us > policy.launch.value / 1e6
    per = [(of(2 * m, 4096).us - of(m, 4096).us) / m for m in (4096, 16384)]
    assert per[0] == pytest.approx(per[1], rel=0.05)
    assert per[0] * chip.sms == pytest.approx((policy.fixed.value + 8 * policy.turn_cycles.value) / chip.clock_hz * 1e6, rel=0.1)


def test_fp8_tiles_follow_the_rows() -> None:
    device = Device(load_gpu("h100-sxm"), load_stack("cublas-hopper"))
    tiles = {rows: {(k.m, k.n) for k in device.menu("fp8", rows).kernels} for rows in (1, 64, 65, 128, 129, 4096)}
    assert tiles[1] == tiles[64] == {(64, 64)} and tiles[65] == tiles[128] == {(64, 128)}
    assert tiles[129] == tiles[4096] == {(128, 128)} and device.menu("fp8", 8).splits == (1,)


def test_a_row_of_a_log() -> None:
    row = {"op": "bmm", "dtype": "fp32", "m": 128, "n": 1024, "k": 1024, "batch": 384, "gpu": "A100-PCIE-80GB",
           "framework": "torch-2.1.0-cu121", "protocol": "eager-cudaevent-best5of20"}  # fmt: skip
    timing = predict_row(row)
    assert timing.us > timing.kernel_us > 384 * 128 * 1024 * 1024 / (108 * 64 * 1410)
    assert timing.run.choice.startswith("SIMT tile 128x128x8")
