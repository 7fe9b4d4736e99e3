"""Row-wise kernels: grids as recorded, DRAM bytes in closed form, coarse runs against fine ones, clocks and eager times."""

from dataclasses import replace

import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.sim.gpu import rowwise as rw
from rowline.sim.gpu.device import chip_of, costs_of
from rowline.sim.gpu.engine import KernelRun
from rowline.sim.gpu.kernels import Rowwise
from rowline.sim.gpu.loop import Launch, Loop
from rowline.sim.gpu.machine import Chip
from rowline.sim.gpu.protocols import kernel_of
from rowline.sim.gpu.rowwise_clock import at_clock, capped_share, stream_chip, waiting_share
from rowline.sim.kernels.gpu_cache import dirty, new_cache, warm, write_back

SIMT, HALF = load_stack("torch-2.1-simt"), load_stack("cublas-ampere")
COLD = Loop(cold=True)


def chip(name: str = "a100-sxm-80gb") -> Chip:
    gpu = load_gpu(name)
    return stream_chip(gpu, chip_of(gpu))


def run(rowwise: Rowwise, on: Chip, loop: Loop = COLD, events: int = rw.EVENTS) -> KernelRun:
    stack = SIMT if rowwise.dtype == "fp32" else HALF
    return rw.run_rowwise(rowwise, on, stack.rowwise, costs_of(stack, on.clock_hz), loop, events)


@pytest.mark.parametrize(
    ("op", "rows", "elements", "ctas", "threads"),
    [
        ("add", 14451, 132, 3726, 128), ("gelu", 3801, 2000, 14848, 128), ("layernorm", 9564, 1660, 9564, 128),
        ("softmax", 11148, 145, 2787, 128), ("softmax", 209, 112, 27, 128), ("softmax", 8000, 1028, 8000, 128),
        ("softmax", 2617, 1077, 2617, 256), ("softmax", 1972, 2209, 1972, 512), ("softmax", 8192, 16384, 8192, 512),
    ],
)  # fmt: skip
def test_grids_as_recorded(op: str, rows: int, elements: int, ctas: int, threads: int) -> None:
    """CTAs and threads that NeuSight's log has for kernels of torch 2.1."""
    found = rw.shape(Rowwise(op, "fp32", rows, elements), chip("t4"), SIMT.rowwise)
    assert (found.ctas, found.threads) == (ctas, threads)


@pytest.mark.parametrize(("op", "operands"), [("add", 2), ("gelu", 1), ("softmax", 1), ("layernorm", 1)])
def test_streaming_moves_compulsory_traffic(op: str, operands: int) -> None:
    """Far more than the L2 holds, rows that stay in the SM: every byte is read once and, but for what the L2 keeps, written."""
    on, bytes_of = chip(), 4.0 * 65536 * 1024
    result = run(Rowwise(op, "fp32", 65536, 1024), on).result
    assert result.dram_read_bytes == pytest.approx(operands * bytes_of, rel=0.01)
    assert bytes_of - on.l2_usable_bytes * 1.02 <= result.dram_write_bytes <= bytes_of * 1.03


@pytest.mark.parametrize("op", ["add", "gelu", "softmax", "layernorm"])
def test_what_fits_and_is_warm_moves_nothing(op: str) -> None:
    result = run(Rowwise(op, "fp32", 512, 1024), chip(), Loop()).result
    assert result.dram_read_bytes == result.dram_write_bytes == 0
    assert result.l2_hit_bytes == result.l2_read_bytes > 0


def test_rows_that_fit_nowhere_are_read_in_every_pass() -> None:
    """Three passes of softmax over rows that neither the L1 nor the L2 keeps; a large L2 serves two of them."""
    rows, elements = 4096, 16384
    small = replace(chip(), l2_usable_bytes=1 << 20, shared_bytes=4096)
    once = 4.0 * rows * elements
    assert run(Rowwise("softmax", "fp32", rows, elements), small).result.dram_read_bytes == pytest.approx(3 * once, rel=0.03)
    large = replace(small, l2_usable_bytes=1 << 30)
    assert run(Rowwise("softmax", "fp32", rows, elements), large).result.dram_read_bytes == pytest.approx(once, rel=0.01)


def test_in_place_and_produced_inputs() -> None:
    """Rotary embedding writes what it has read; what the kernel before wrote is found in the L2."""
    on = chip()
    rope = run(Rowwise("rope", "fp16", 512, 4096), on, Loop()).result
    assert rope.dram_read_bytes == 0 and rope.dram_write_bytes == 0
    policy, costs = HALF.rowwise, costs_of(HALF, on.clock_hz)
    add = Rowwise("add", "fp16", 512, 4096)
    made = rw.run_rowwise(add, on, policy, costs, COLD, produced=True).result
    assert made.dram_read_bytes == pytest.approx(2 * 512 * 4096, rel=0.01)
    assert run(add, on, Loop(launch=Launch.KERNEL)).result == made


@pytest.mark.parametrize(
    "rowwise",
    [
        Rowwise("add", "fp32", 60_000, 1024), Rowwise("layernorm", "fp32", 60_000, 1536),
        Rowwise("softmax", "fp32", 30_000, 3072), Rowwise("softmax", "fp32", 60_000, 600),
        Rowwise("rmsnorm", "fp16", 16_000, 8192), Rowwise("silu_mul", "fp16", 8192, 14336),
    ],
    ids=lambda r: f"{r.op}-{r.elements}",
)  # fmt: skip
def test_waves_left_out_do_not_matter(rowwise: Rowwise) -> None:
    """A part of the SMs and a few waves, against more of both. CTAs of three passes fall out of step only over many waves."""
    coarse, fine = run(rowwise, chip()), run(rowwise, chip(), events=30 * rw.EVENTS)
    assert coarse.result.events < fine.result.events / 2
    assert coarse.us == pytest.approx(fine.us, rel=0.06 if rowwise.op == "softmax" else 0.03)
    assert coarse.result.dram_read_bytes == pytest.approx(fine.result.dram_read_bytes, rel=0.02)


@pytest.mark.parametrize("op", ["add", "gelu", "softmax", "layernorm", "rmsnorm", "silu_mul", "rope", "embedding", "kv_write"])
def test_time_is_above_that_of_the_traffic_and_grows(op: str) -> None:
    on = chip()
    times = [run(Rowwise(op, "fp16", rows, 4096), on) for rows in (1, 128, 2048, 32768, 131072)]
    for one in times:
        least = one.result.dram_read_bytes / on.dram_read_hz + one.result.dram_write_bytes / on.dram_write_hz
        assert one.us >= least * 1e6 * 0.98  # the last write-backs go on after the end
    assert [one.us for one in times] == sorted(one.us for one in times)
    assert run(Rowwise(op, "fp16", 2048, 4096), on).us == times[2].us


def test_more_instructions_take_longer_only_where_they_bind() -> None:
    """A few lanes slow down what computes, not what waits for the DRAM."""
    on = chip()
    slow = replace(on, simt_macs={"fp32": 16})
    norm, add = Rowwise("layernorm", "fp32", 30_000, 512), Rowwise("add", "fp32", 30_000, 2048)
    assert run(norm, slow).us > 1.5 * run(norm, on).us
    assert run(add, slow).us == pytest.approx(run(add, on).us, rel=0.05)


@pytest.mark.parametrize("op", ["gelu", "softmax", "layernorm"])
def test_a_loop_writes_what_it_makes(op: str) -> None:
    """Calls of more than the L2 holds, one after another: what one leaves there the next writes, so each writes its output."""
    on, bytes_of = chip(), 4.0 * 16000 * 800
    loop, cold = run(Rowwise(op, "fp32", 16000, 800), on, Loop()), run(Rowwise(op, "fp32", 16000, 800), on)
    assert loop.result.dram_write_bytes == pytest.approx(bytes_of, rel=0.04)
    assert cold.result.dram_write_bytes < loop.result.dram_write_bytes


def test_dirty_lines_are_counted() -> None:
    cache = new_cache(64 * 16, 1, 16)
    warm(cache, 0, 100, 1)
    warm(cache, 1000, 50, 0)
    assert dirty(cache) == 100
    assert write_back(cache) == 100 and dirty(cache) == 0


def test_an_operation_of_two_kernels() -> None:
    """The sum of three tensors: two kernels, each with its traffic."""
    once, twice = run(Rowwise("add", "fp16", 4096, 4096), chip()), run(Rowwise("add", "fp16", 4096, 4096, 2), chip())
    assert twice.us == 2 * once.us and twice.launches == 2
    assert twice.result.dram_read_bytes == 2 * once.result.dram_read_bytes
    row = {"op": "add", "dtype": "fp16", "m": 64, "n": 2560, "k": 0, "batch": 1, "extra": '{"model":"phi-2"}'}
    assert kernel_of(row) == Rowwise("add", "fp16", 64, 2560, 2)
    assert kernel_of(row | {"extra": '{"model":"Qwen-72B"}'}) == Rowwise("add", "fp16", 64, 2560)


def test_warps_beyond_the_row_issue_nothing() -> None:
    """A row of one warp more than a turn of the CTA costs the instructions of that warp, and a CTA keeps its threads."""
    on, policy = chip(), HALF.rowwise
    one, more = (rw.shape(Rowwise("silu_mul", "fp16", 64, n), on, policy) for n in (1024, 1056))
    assert (one.rounds, more.rounds) == (1, 2)
    assert more.issued * more.rounds == pytest.approx(one.issued * 33 / 32)
    assert rw.shape(Rowwise("layernorm", "fp32", 64, 32), on, SIMT.rowwise).threads == 128


def test_eager_time() -> None:
    """The host hides a kernel up to what it needs after its launch, and no more."""
    assert rw.eager_us(0.0, 30.0, 8.0) == 30.0 == rw.eager_us(8.0, 30.0, 8.0)
    assert rw.eager_us(50.0, 30.0, 8.0) == 72.0


def test_clock_while_waiting() -> None:
    """Eager kernels: the base clock for the shortest, nearly all for long ones; a CUDA graph has all."""
    on = chip("a100-pcie-40gb")
    assert on.base_share == 765 / 1410
    assert waiting_share(SIMT.rowwise, on, 0.0) == on.base_share
    assert 0.99 < waiting_share(SIMT.rowwise, on, 1e5) < 1.0
    assert waiting_share(HALF.rowwise, on, 0.0) == 1.0
    norm = Rowwise("layernorm", "fp32", 4000, 512)
    assert run(norm, on, Loop(launch=Launch.EAGER)).us > 1.2 * run(norm, on, Loop()).us


def test_clock_under_a_cap() -> None:
    on = replace(chip(), power_cap_w=100.0, static_w=20.0)
    assert capped_share(on, 79e-6, 1.0, 0.5) == 1.0
    share = capped_share(on, 160e-6, 1.0, 0.5)
    assert 160e-6 * (0.5 + 0.5 * share) ** 2 == pytest.approx(80e-6 * max(1 / share, 0.5), rel=1e-3)
    assert at_clock(on, share).clock_hz == on.clock_hz * share
    starved = replace(chip(), power_cap_w=chip().static_w + 20)
    busy = Rowwise("layernorm", "fp32", 60_000, 512)
    assert run(busy, starved, Loop(sustained=True)).us > 1.2 * run(busy, starved, Loop()).us


@pytest.mark.parametrize("name", ["t4", "v100-pcie", "a100-pcie-40gb", "a100-sxm-80gb", "h100-sxm", "h200", "l4", "l40s"])
def test_stream_rates_give_the_copy_benchmark(name: str) -> None:
    """Reads and writes in turn take what the board's copy benchmark took, and neither is above the pins."""
    gpu, on = load_gpu(name), chip(name)
    peak = gpu.dram.bandwidth.value
    assert on.dram_read_hz <= peak and on.dram_write_hz <= peak
    copy = gpu.micro.dram_copy_bandwidth
    if copy is not None and on.dram_write_hz < peak:
        assert 2 / (1 / on.dram_read_hz + 1 / on.dram_write_hz) == pytest.approx(copy.value, rel=1e-6)


def test_what_a_stack_lacks() -> None:
    with pytest.raises(KeyError, match="conv"):
        run(Rowwise("conv", "fp16", 1, 1), chip())
