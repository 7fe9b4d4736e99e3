"""Attention kernels: how they are cut, what they move and compute, in closed form; merged and extrapolated runs."""

from dataclasses import replace

import numpy as np
import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.sim.gpu import attention as kernels
from rowline.sim.gpu import copies
from rowline.sim.gpu.attention import run_attention
from rowline.sim.gpu.attention_plan import plan, steps_of_tiles, wave_splits
from rowline.sim.gpu.device import Device
from rowline.sim.gpu.engine import KernelRun
from rowline.sim.gpu.kernels import Attention
from rowline.sim.gpu.loop import Loop

HOPPER = Device(load_gpu("h100-sxm"), load_stack("cublas-hopper"))
AMPERE = Device(load_gpu("a100-sxm-80gb"), load_stack("cublas-ampere"))
WARM, COLD = Loop(), Loop(cold=True)
CALL = Attention("decode", "bf16", 8, 32, 8, 128, 1, 4096)


def run(device: Device, attention: Attention, loop: Loop = WARM) -> KernelRun:
    assert device.stack.attention is not None
    return run_attention(attention, device.chip, device.stack.attention, device.costs, loop)


def cut(device: Device, attention: Attention):
    assert device.stack.attention is not None
    return plan(attention, device.chip, device.stack.attention)


def test_the_example_of_the_heuristic():
    """FlashAttention's own comment: 48 tiles on 108 SMs; 2 parts fill 0.89 of a wave, 3 fill two waves to 0.67."""
    assert wave_splits(48, 108, blocks=64, most=128) == 2
    assert wave_splits(90, 108, blocks=64, most=128) == 1, "0.8 of the SMs are busy already"


@pytest.mark.parametrize(
    ("device", "call", "splits"),
    [
        (HOPPER, Attention("decode", "bf16", 1, 8, 1, 128, 1, 128), 1),  # one block
        (HOPPER, Attention("decode", "bf16", 1, 8, 1, 128, 1, 1024), 7),  # 8 blocks; 7 parts fill 0.85 of what 8 do
        (HOPPER, Attention("decode", "bf16", 256, 8, 8, 128, 1, 1024), 1),  # all SMs have work
        (HOPPER, Attention("prefill", "bf16", 1, 1, 1, 128, 8192, 8192), 2),  # 64 tiles on 132 SMs
        (HOPPER, Attention("prefill", "bf16", 1, 1, 1, 128, 16384, 16384), 1),  # 128 tiles
        (AMPERE, Attention("decode", "bf16", 1, 32, 8, 128, 1, 4096), 16),  # 2 CTAs an SM; 32 blocks, two each
        (AMPERE, Attention("decode", "bf16", 1, 8, 8, 128, 1, 4096), 1),  # FlashAttention 2 cuts packed heads only
        (AMPERE, Attention("prefill", "bf16", 1, 8, 1, 128, 4096, 4096), 1),
    ],
)
def test_splits_of_known_calls(device, call, splits):
    assert cut(device, call).splits == splits


def test_heads_of_a_group_fill_tiles():
    assert cut(HOPPER, Attention("prefill", "bf16", 2, 32, 4, 128, 1000, 1000))[5:8] == (8, 8, 63), "8000 rows in tiles of 128"
    assert cut(AMPERE, Attention("prefill", "bf16", 2, 32, 4, 128, 1000, 1000))[5:8] == (1, 64, 16), "not packed"
    assert cut(AMPERE, Attention("decode", "bf16", 2, 32, 4, 128, 1, 1000))[5:8] == (8, 8, 1)
    few, many = (cut(HOPPER, Attention("prefill", "bf16", 1, 8, 1, 128, n, n)).queries for n in (8, 9))
    assert (few, many) == (64, 128), "64 rows are one warp group's"


@pytest.mark.parametrize("device", [HOPPER, AMPERE])
@pytest.mark.parametrize("seq", [1, 100, 128, 1000, 4096])
def test_steps_cover_the_causal_scores(device, seq):
    call = Attention("prefill", "bf16", 1, 8, 2, 128, seq, seq)
    how = cut(device, call)
    steps = steps_of_tiles(call, how)
    tokens = np.arange(seq * how.group) // how.group + 1  # keys that each row sees
    rows = [tokens[i * how.queries : (i + 1) * how.queries] for i in range(how.tiles)]
    assert [int(-(-r.max() // how.keys)) for r in rows] == steps.tolist()
    computed, needed = int(steps.sum()) * how.queries * how.keys, int(tokens.sum())
    ragged = how.tiles * how.queries * (how.queries / how.group + how.keys) + how.queries * how.keys
    assert needed <= computed <= needed + ragged


def test_a_long_causal_call_is_half_of_a_full_one():
    call = Attention("prefill", "bf16", 1, 8, 8, 128, 8192, 8192)
    how = cut(AMPERE, call)
    full = steps_of_tiles(call._replace(phase="encoder"), how)
    assert steps_of_tiles(call, how).sum() / full.sum() == pytest.approx(0.5, abs=0.01)


def test_a_later_chunk_sees_all_earlier_keys():
    call = Attention("prefill", "bf16", 1, 8, 8, 128, 128, 4096)
    how = cut(AMPERE, call)
    assert steps_of_tiles(call, how).tolist() == [32, 32], "64 rows each, 128 keys a block, the last 128 of 4096"


@pytest.mark.parametrize("device", [HOPPER, AMPERE])
@pytest.mark.parametrize("call", [CALL, CALL._replace(batch=64), CALL._replace(batch=1, seq_kv=60000)])
def test_cold_decode_reads_the_cache_once(device, call):
    result = run(device, call, COLD).result
    keys = 2 * call.batch * call.kv_heads * call.seq_kv * call.head_dim * 2
    assert result.dram_read_bytes == pytest.approx(keys, rel=0.02)


def test_a_full_call_reads_its_operands_once_where_they_fit():
    call = Attention("encoder", "bf16", 4, 16, 16, 64, 2048, 2048)
    operand = 4 * 16 * 2048 * 64 * 2
    result = run(HOPPER, call, COLD).result
    assert result.dram_read_bytes == pytest.approx(3 * operand, rel=0.02)
    assert result.l2_write_bytes == pytest.approx(operand, rel=0.02)
    assert result.l2_read_bytes > 2 * result.dram_read_bytes, "each query tile walks over all keys"


def test_query_heads_that_share_keys_read_less():
    many, few = (run(HOPPER, CALL._replace(kv_heads=n), COLD).result.dram_read_bytes for n in (32, 8))
    assert few == pytest.approx(many / 4, rel=0.02)
    long = Attention("prefill", "bf16", 1, 32, 32, 128, 4096, 4096)
    many, few = (run(AMPERE, long._replace(kv_heads=n), COLD).result for n in (32, 4))
    assert few.dram_read_bytes < 0.7 * many.dram_read_bytes
    assert few.busy == pytest.approx(many.busy), "and compute as much"


@pytest.mark.parametrize("device", [HOPPER, AMPERE])
@pytest.mark.parametrize("phase", ["prefill", "encoder", "decode"])
def test_longer_takes_longer(device, phase):
    lengths = (2, 64, 512, 2048, 8192, 32768)
    calls = [Attention(phase, "bf16", 2, 16, 4, 128, 1 if phase == "decode" else n, n) for n in lengths]
    times = [run(device, call).us for call in calls]
    assert all(b >= 0.98 * a for a, b in zip(times, times[1:], strict=False)), times
    assert times[-1] > 3 * times[0]


def test_what_the_l2_holds_is_not_read_again():
    small = CALL._replace(batch=1)
    warm, cold = run(HOPPER, small, WARM), run(HOPPER, small, COLD)
    assert warm.result.dram_read_bytes < 0.05 * cold.result.dram_read_bytes, "17 of 21 MB, in sets of 16 ways"
    assert warm.us < cold.us
    large = CALL._replace(batch=256)
    assert run(HOPPER, large, WARM).us == pytest.approx(run(HOPPER, large, COLD).us, rel=0.02), "nothing of 2 GB stays"


def test_long_decode_is_bound_by_the_dram():
    call = CALL._replace(batch=128, seq_kv=8192)
    keys = 2 * 128 * 8 * 8192 * 128 * 2
    for device in (HOPPER, AMPERE):
        seconds = run(device, call, COLD).us * 1e-6
        assert 0.9 * device.chip.dram_read_hz < keys / seconds <= device.chip.dram_read_hz


def test_busy_is_steps_and_ends_of_tiles():
    call = Attention("prefill", "bf16", 1, 8, 8, 128, 2048, 2048)
    policy, how = AMPERE.stack.attention, cut(AMPERE, call)
    assert policy is not None
    step = kernels.step_cycles(AMPERE.chip, policy, how, "bf16")
    ends = policy.tile.value + policy.tile_block.value * how.queries * how.lanes / 4096
    expected = how.units * (int(steps_of_tiles(call, how).sum()) * step + how.tiles * ends)
    assert run(AMPERE, call).result.busy == pytest.approx(expected, rel=1e-3)


def test_products_of_one_cta_hide_the_softmax_of_another():
    policy = AMPERE.stack.attention
    assert policy is not None
    alone, together = (
        kernels.step_cycles(AMPERE.chip, policy, cut(AMPERE, CALL._replace(heads=8, batch=n)), "bf16") for n in (1, 64)
    )
    assert together < alone


@pytest.mark.parametrize(
    ("device", "call"),
    [
        (HOPPER, Attention("decode", "bf16", 1024, 32, 8, 128, 1, 1024)),
        (HOPPER, Attention("prefill", "bf16", 64, 32, 8, 128, 1024, 1024)),
        (AMPERE, Attention("prefill", "bf16", 32, 32, 8, 128, 512, 512)),
        (AMPERE, Attention("encoder", "bf16", 64, 16, 16, 64, 1500, 1500)),
    ],
)
def test_some_units_stand_for_many(monkeypatch, device, call):
    quick = run(device, call)
    monkeypatch.setattr(kernels, "CTAS", 1 << 19)
    whole = run(device, call)
    assert quick.result.events < whole.result.events
    assert quick.us == pytest.approx(whole.us, rel=0.02)
    assert quick.result.dram_read_bytes == pytest.approx(whole.result.dram_read_bytes, rel=0.05)


@pytest.mark.parametrize("call", [CALL._replace(batch=64), Attention("prefill", "bf16", 1, 8, 1, 128, 8192, 8192)])
def test_chunks_of_steps_agree_with_steps(monkeypatch, call):
    coarse = run(HOPPER, call)
    monkeypatch.setattr(kernels, "EVENTS", 1 << 20)
    fine = run(HOPPER, call)
    assert coarse.result.events < fine.result.events
    assert coarse.us == pytest.approx(fine.us, rel=0.02)


def test_a_part_of_the_chip_stands_for_all():
    large = copies.Copy(ctas=60_000, threads=256, steps=2, step_bytes=2048, written=4096, life=1000)
    quick = copies.copy(HOPPER.chip, large, 0.02)
    whole = copies._run_copy(HOPPER.chip, large, large.ctas, 0.02)
    assert quick.cycles == pytest.approx(whole.cycles, rel=0.03)
    assert quick.l2_read_bytes == pytest.approx(whole.l2_read_bytes, rel=0.02)
    assert quick.dram_read_bytes == pytest.approx(whole.dram_read_bytes, rel=0.05)


def test_a_cache_write_costs_and_more_parts_take_longer_to_add_up():
    policy = HOPPER.stack.attention
    assert policy is not None
    without = policy.model_copy(update={"separate_kv_write": policy.separate_kv_write.model_copy(update={"value": 0})})
    call = Attention("prefill", "bf16", 16, 8, 8, 128, 512, 512)
    bare = run_attention(call, HOPPER.chip, without, HOPPER.costs, WARM)
    assert bare.us < run(HOPPER, call).us
    few, many = (copies.copy(AMPERE.chip, copies.Copy(4, 128, n, 4096, 2048, 0.0), 1.0).cycles for n in (4, 64))
    assert many - few == pytest.approx(60 * (AMPERE.chip.l2_latency + 4096 / AMPERE.chip.port_bytes), rel=0.05)


def test_calls_that_make_no_sense():
    with pytest.raises(ValueError, match="do not share"):
        run(HOPPER, CALL._replace(heads=30))
    with pytest.raises(ValueError, match="5000 queries of 4096 keys"):
        run(HOPPER, CALL._replace(phase="prefill", seq_q=5000))
    with pytest.raises(KeyError):
        run(HOPPER, CALL._replace(head_dim=512))
    chip = replace(HOPPER.chip, tensor_macs={}, simt_macs={"fp32": 128})
    assert HOPPER.stack.attention is not None
    with pytest.raises(KeyError):
        run_attention(CALL, chip, HOPPER.stack.attention, HOPPER.costs, WARM)
