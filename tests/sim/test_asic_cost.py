"""ASIC costs against counts made by hand."""

from rowline.arch.loader import load_system
from rowline.sim import asic_cost as cost

HOST = load_system("pim-gpt").host  # 256 adders, 128 multipliers, orders 6, 3 and 1 iterations


def test_primitive_works():
    assert cost.exp_work(HOST) == cost.Work(adds=6, muls=6, depth=12)
    assert cost.tanh_work(HOST) == cost.Work(adds=6, muls=8, depth=14)
    assert cost.reciprocal_work(HOST) == cost.Work(adds=4, muls=7, depth=11)
    assert cost.rsqrt_work(HOST) == cost.Work(adds=2, muls=4, depth=5)
    assert cost.gelu_work(HOST) == cost.Work(adds=8, muls=14, depth=21)


def test_reduce_is_passes_plus_tree():
    assert cost.reduce_cycles(HOST, 1) == 1
    assert cost.reduce_cycles(HOST, 256) == 1 + 8
    assert cost.reduce_cycles(HOST, 768) == 3 + 8
    assert cost.reduce_cycles(HOST, 64, rows=12) == 3 + 6


def test_layer_norm_of_768():
    mean = 11 + (1 + 12)  # reduce; one scalar through reciprocal (depth 11) and a multiply
    centre = 3 + 1
    variance = (6 + 1) + 11 + (1 + 1)
    scale = (1 + 1 + 5) + (6 + 1)
    affine = max(3, 6) + 2
    assert cost.layer_norm_cycles(HOST, 768) == mean + centre + variance + scale + affine


def test_softmax_of_12_heads_over_500_tokens():
    n = 12 * 500
    reduce = 24 + 8
    exp = -(-6 * n // 128) + 13
    assert cost.softmax_cycles(HOST, 500, 12) == 2 * reduce + exp + (1 + 11) + (47 + 1)


def test_lanes_and_orders_count():
    few = load_system("pim-gpt", ["host.multipliers=16", "host.exp_taylor_order=10"]).host
    assert cost.exp_work(few).muls == 10
    assert cost.softmax_cycles(few, 500, 12) > 8 * cost.softmax_cycles(HOST, 500, 12)
