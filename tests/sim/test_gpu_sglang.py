"""SGLang's attention: FlashAttention 3 on both architectures, cut, counted and written as it does there."""

import numpy as np
import pytest
from rowline.arch.loader import load_gpu, load_stack
from rowline.sim.gpu import attention as kernels
from rowline.sim.gpu.attention import run_attention
from rowline.sim.gpu.attention_plan import Plan, plan
from rowline.sim.gpu.device import Device
from rowline.sim.gpu.kernels import Attention
from rowline.sim.gpu.loop import Loop
from rowline.sim.gpu.run import time_kernel
from rowline.sim.kernels import gpu_layout as gl

HOPPER = Device(load_gpu("h100-sxm"), load_stack("sglang-hopper"))
AMPERE = Device(load_gpu("a100-sxm-80gb"), load_stack("sglang-ampere"))
LOOP = Loop(warm_calls=3, timed_calls=20)


def decode(batch: int, heads: int, kv_heads: int, seq_kv: int, head_dim: int = 128) -> Attention:
    return Attention("decode", "bf16", batch, heads, kv_heads, head_dim, 1, seq_kv)


def prefill(batch: int, heads: int, kv_heads: int, seq: int) -> Attention:
    return Attention("prefill", "bf16", batch, heads, kv_heads, 128, seq, seq)


def policy(device: Device):
    assert device.stack.attention is not None
    return device.stack.attention


def cut(device: Device, attention: Attention) -> Plan:
    return plan(attention, device.chip, policy(device))


def us(device: Device, attention: Attention, **changes) -> float:
    changed = policy(device).model_copy(update=changes)
    return run_attention(attention, device.chip, changed, device.costs, LOOP).us


@pytest.mark.parametrize(("stack", "base"), [("sglang-hopper", "cublas-hopper"), ("sglang-ampere", "cublas-ampere")])
def test_attention_and_the_launch_are_sglangs_own(stack, base):
    own, common = load_stack(stack), load_stack(base)
    assert (own.gemm, own.rowwise) == (common.gemm, common.rowwise)
    assert own.fixed.model_copy(update={"launch": common.fixed.launch}) == common.fixed
    assert own.attention != common.attention
    assert not set(own.frameworks) & set(common.frameworks)


@pytest.mark.parametrize(
    ("device", "call", "most", "splits"),
    [
        (HOPPER, decode(1, 8, 1, 512), 1, 1),  # four blocks are not cut
        (HOPPER, decode(1, 8, 1, 513), 5, 5),
        (AMPERE, decode(1, 8, 1, 448), 1, 1),  # four blocks of 112
        (AMPERE, decode(1, 8, 1, 512), 5, 5),
        (AMPERE, decode(1, 8, 1, 1024), 9, 9),  # 10 blocks: 9 parts fill 0.85 of what 10 do
        (AMPERE, decode(64, 1, 1, 512), 5, 2),  # 1.1 x 320 blocks on 108 SMs: four each
        (AMPERE, decode(256, 1, 1, 512), 5, 1),  # might have been cut
        (AMPERE, prefill(1, 1, 1, 10240), 4, 2),  # 80 tiles: 4 parts fill 0.99 of three waves
        (AMPERE, prefill(1, 1, 1, 12288), 1, 1),  # 96 tiles are 0.8 of the SMs
    ],
)
def test_parts(device, call, most, splits):
    how = cut(device, call)
    assert (how.most, how.splits) == (most, splits)


def test_tiles_on_ampere_depend_on_whether_keys_may_be_cut():
    whole, parts = cut(AMPERE, decode(256, 8, 8, 256)), cut(AMPERE, decode(256, 1, 1, 512))
    assert (whole.queries, whole.keys, whole.slots) == (128, 64, 2)
    assert (parts.queries, parts.keys, parts.slots) == (128, 112, 1), "8 warps take all registers"
    assert cut(AMPERE, prefill(2, 32, 4, 1000))[5:8] == (8, 8, 63), "heads of a group are packed, unlike in FlashAttention 2"


def test_a_sum_of_parts_is_launched_where_parts_may_be():
    """From 448 to 449 keys: one block more, the tile for parts, and a launch."""
    apart = us(AMPERE, decode(512, 1, 1, 449)) - us(AMPERE, decode(512, 1, 1, 449), combine=policy(AMPERE).follow)
    assert apart == pytest.approx((policy(AMPERE).combine.value - policy(AMPERE).follow.value) / 1e6)
    same = us(AMPERE, decode(512, 1, 1, 448)) - us(AMPERE, decode(512, 1, 1, 448), combine=policy(AMPERE).follow)
    assert same == 0


def test_rows_of_a_scheduler_hide_each_others_softmax():
    """One share with 16 rows a scheduler, ``exposed_softmax`` with 32, its square with 64."""
    call, e = decode(1, 8, 8, 64), policy(AMPERE).exposed_softmax.value / 1000
    how = cut(AMPERE, call)
    softmax = how.queries * how.keys * (1 / 16 + policy(AMPERE).softmax_operations.value / 64)
    products = 2 * how.queries * how.keys * 128 / AMPERE.chip.macs("bf16")
    for queries, ctas, share in ((64, 8, 1.0), (64, 216, e), (128, 8, e), (128, 216, e**2)):
        got = kernels.step_cycles(AMPERE.chip, policy(AMPERE), how._replace(queries=queries, units=ctas), "bf16")
        assert got == pytest.approx((products + softmax * share) * queries / 128), (queries, ctas)


def test_ends_of_tiles_overlap_on_ampere():
    """The second CTA of an SM adds its step, not its beginning and end."""
    one, two = (run_attention(decode(n, 12, 12, 64), AMPERE.chip, policy(AMPERE), AMPERE.costs, LOOP) for n in (9, 18))
    added = (two.us - one.us) * 1e-6 * AMPERE.chip.clock_hz
    step = kernels.step_cycles(AMPERE.chip, policy(AMPERE), cut(AMPERE, decode(18, 12, 12, 64)), "bf16")
    assert step < added < step + 0.5 * policy(AMPERE).tile.value


def test_counting_all_at_once_takes_no_time_of_its_own():
    scan = policy(HOPPER).sequences
    assert scan is not None
    serial = us(HOPPER, decode(620, 1, 1, 64), parallel_count=None) - us(HOPPER, decode(620, 1, 1, 64))
    assert serial == pytest.approx(scan.value / 1e6 * 620 / 31)
    many = us(HOPPER, decode(2000, 1, 1, 64)) - us(HOPPER, decode(2000, 1, 1, 64), parallel_count=None)
    assert many == pytest.approx(policy(HOPPER).follow.value / 1e6), "one CTA counts no more than 992: no kernel"


def test_ampere_counts_but_ctas_do_not_look_for_tiles():
    few, many = (us(AMPERE, decode(n, 1, 1, 64)) - us(AMPERE, decode(n, 1, 1, 64), sequences=None) for n in (620, 1000))
    scan = policy(AMPERE).sequences
    assert scan is not None
    assert (few, many) == (pytest.approx(scan.value / 1e6 * 20), 0)


@pytest.mark.parametrize(
    ("kv_heads", "ctas", "size"), [(1, 16, 1024), (2, 16, 2048), (4, 32, 2048), (8, 64, 2048), (12, 32, 6144)]
)
def test_warps_write_tokens(kv_heads, ctas, size):
    """64 tokens; a key of 256 bytes a head is written by one warp, by two or four where 1024 or 2048 bytes divide it."""
    copy = kernels._kv_write(decode(64, kv_heads, kv_heads, 100), policy(HOPPER), 0.0)
    assert (copy.ctas, copy.written, copy.step_bytes) == (ctas, 2 * size, 2 * size)
    assert copy.ctas * copy.written == 64 * 2 * kv_heads * 128 * 2


def test_the_longest_tiles_of_all_heads_come_first():
    cta = np.zeros((5, 3, gl.N_CTA), np.int64)
    cta[:, :, gl.C_STEPS] = [3, 2, 1]
    cta[:, :, gl.C_A_FIRST] = np.arange(5)[:, None]
    ordered = kernels._longest_first(cta, 2)
    assert ordered[:, gl.C_STEPS].tolist() == [3, 3, 2, 2, 1, 1, 3, 3, 2, 2, 1, 1, 3, 2, 1]
    assert ordered[:, gl.C_A_FIRST].tolist() == [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 4, 4, 4]


def test_heads_together_balance_a_causal_call():
    """192 tiles of 1 to 48 blocks on 132 SMs: longest first over all heads is near the mean, head by head is not."""
    call = prefill(1, 4, 4, 6144)
    how = cut(HOPPER, call)
    step = kernels.step_cycles(HOPPER.chip, policy(HOPPER), how, "bf16")
    ends = policy(HOPPER).tile.value + policy(HOPPER).tile_block.value * 4
    mean = 4 * sum(n * step + ends for n in range(1, 49)) / HOPPER.chip.sms
    bare = us(HOPPER, call) - us(HOPPER, prefill(1, 4, 4, 1))
    assert bare * 1e-6 * HOPPER.chip.clock_hz < 1.5 * max(mean, 48 * step)


MEASURED = [  # aiconfigurator 095f58a (Apache-2.0), us; none of these rows is in a family that is held out
    (AMPERE, decode(1, 1, 1, 64), 13.9),
    (AMPERE, decode(1, 1, 1, 1024), 28.0),
    (AMPERE, decode(512, 12, 12, 64), 264.7),
    (AMPERE, decode(32, 32, 8, 512), 98.3),
    (AMPERE, prefill(4, 32, 8, 2048), 820.9),
    (AMPERE, prefill(128, 12, 12, 64), 153.0),
    (HOPPER, decode(1, 1, 1, 64), 9.1),
    (HOPPER, decode(512, 1, 1, 64), 23.0),
    (HOPPER, decode(256, 12, 12, 1024), 559.4),
    (HOPPER, decode(128, 48, 48, 512), 533.1),
]


@pytest.mark.parametrize(("device", "call", "measured"), MEASURED)
def test_close_to_what_was_measured(device, call, measured):
    assert time_kernel(call, device, LOOP, f"attn_{call.phase}").us == pytest.approx(measured, rel=0.1)
