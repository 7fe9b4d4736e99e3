"""The suites as data, and each kernel as torch runs it: right results pass, wrong ones do not, bytes are what tensors hold."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from rowline.traces.kernellog import KERNEL_OPS, MICRO_OPS, KernelRow
from rowline.workloads.measure import _operands, _reference
from rowline.workloads.measure.kernel import (
    Kernel,
    Mode,
    allocated_bytes,
    copies_to_exceed,
    flops,
    job_key,
    row_key,
    touched_bytes,
)
from rowline.workloads.measure.micro import micro_kernels
from rowline.workloads.measure.order import plan, stratified
from rowline.workloads.measure.transformer import GEMMS, transformer_kernels

TRANSFORMER, MICRO = transformer_kernels(0), micro_kernels(0, 132)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """The suite turns gradients and attention backends off for the process; put them back."""
    cuda = torch.backends.cuda
    before, grad = (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()), torch.is_grad_enabled()
    _operands.quiet_settings()
    yield
    torch.set_grad_enabled(grad)
    cuda.enable_flash_sdp(before[0])
    cuda.enable_mem_efficient_sdp(before[1])
    cuda.enable_math_sdp(before[2])


def kinds() -> list[Kernel]:
    """One small kernel of each op, dtype and variant that a CPU has."""
    found: dict[tuple[str, str, str], Kernel] = {}
    for kernel in MICRO + TRANSFORMER:
        key = (kernel.op, kernel.dtype, kernel.variant)
        if kernel.variant != "cudnn" and (key not in found or touched_bytes(kernel) < touched_bytes(found[key])):
            found[key] = kernel
    for kernel in list(found.values()):
        if kernel.op == "embedding":
            found[kernel.op, kernel.dtype, ""] = replace(kernel, m=kernel.m + 7, k=500)
        elif kernel.op == "kv_write":
            found[kernel.op, kernel.dtype, ""] = replace(kernel, k=300)
    return list(found.values())


def test_the_suites_are_as_large_as_promised_and_have_every_op() -> None:
    assert len(TRANSFORMER) >= 1500 and len(set(TRANSFORMER)) == len(TRANSFORMER)
    assert {kernel.op for kernel in TRANSFORMER} == set(KERNEL_OPS) and {kernel.op for kernel in MICRO} == set(MICRO_OPS)
    counts = Counter(kernel.dtype for kernel in TRANSFORMER if kernel.op == "gemm")
    assert counts == GEMMS
    tokens = {kernel.m for kernel in TRANSFORMER if kernel.op == "gemm" and kernel.dtype == "bf16"}
    assert {1, 3, 17, 129, 769, 4097, 16384} <= tokens
    heads = {kernel.head_dim for kernel in TRANSFORMER if kernel.op.startswith("attn")}
    assert heads == {64, 128, 256} and any(k.kv_heads < k.heads for k in TRANSFORMER)
    sizes = {touched_bytes(kernel) for kernel in MICRO if kernel.op == "stream_copy"}
    assert min(sizes) == 1 << 20 and max(sizes) == 4 << 30


def test_order_is_seeded_and_a_beginning_is_a_sample_of_all() -> None:
    assert transformer_kernels(0) == TRANSFORMER and transformer_kernels(1)[:50] != TRANSFORMER[:50]
    assert stratified(TRANSFORMER + TRANSFORMER, 0) == stratified(TRANSFORMER, 0)
    for cut in (200, 600, 1200):
        share = Counter(kernel.op for kernel in TRANSFORMER[:cut])
        whole = Counter(kernel.op for kernel in TRANSFORMER)
        assert all(abs(share[op] - cut * count / len(TRANSFORMER)) <= 2 for op, count in whole.items())
    assert [kernel.op for kernel in MICRO[:2]] == ["launch", "launch"]


def test_every_kernel_is_planned_warm_and_cold_and_some_in_other_ways() -> None:
    jobs = [(kernel, mode) for kernel, modes in plan(TRANSFORMER, ("graph", "eager")) for mode in modes]
    assert len({job_key(kernel, mode) for kernel, mode in jobs}) == len(jobs)
    modes = Counter(mode for _, mode in jobs)
    assert modes[Mode()] == modes[Mode(l2="cold")] == len(TRANSFORMER)
    assert modes[Mode("eager")] > 500 and modes[Mode("eager", "flush")] > 200 and modes[Mode(clock="sustained")] > 100
    on_cpu = {mode.launch for _, planned in plan(TRANSFORMER + MICRO, ("eager",)) for mode in planned}
    assert on_cpu == {"eager"}


def test_a_row_leads_back_to_its_job() -> None:
    kernel, mode = next(k for k in TRANSFORMER if k.op == "attn_decode"), Mode("eager", "flush")
    row = KernelRow(
        "x", kernel.op, kernel.dtype, 1.0, batch=kernel.batch, heads=kernel.heads, kv_heads=kernel.kv_heads,
        head_dim=kernel.head_dim, seq_q=1, seq_kv=kernel.seq_kv, launch="eager", l2="flush", clock_mode="burst",
    )  # fmt: skip
    assert row_key(row, kernel.variant) == job_key(kernel, mode) != job_key(kernel, Mode())


@pytest.mark.parametrize("kernel", kinds(), ids=lambda k: f"{k.op}-{k.dtype}-{k.variant}")
def test_right_results_pass_and_wrong_ones_do_not(kernel: Kernel) -> None:
    small = kernel.scaled(0.25) if touched_bytes(kernel) > 1 << 24 else kernel
    case = _operands.build(small, "cpu", 3, 2)[1]
    error, right = _reference.error_of(small, case, 5)
    assert right and 0 <= error < 1

    def wrong() -> torch.Tensor:
        out = case.call()
        return (out.to(torch.float32) * 1.25 + 1).to(out.dtype)

    assert not _reference.error_of(small, replace(case, call=wrong), 5)[1]
    if small.dtype not in ("int8", "int64"):
        endless = replace(case, call=lambda: case.call().to(torch.float32) * float("nan"))
        assert not _reference.error_of(small, endless, 5)[1]


@pytest.mark.parametrize("kernel", kinds(), ids=lambda k: f"{k.op}-{k.dtype}-{k.variant}")
def test_bytes_are_those_of_the_tensors(kernel: Kernel) -> None:
    """Operands and result of a real case, each byte once; what a row has in common (weights, angles) left out."""
    small = kernel.scaled(0.25) if touched_bytes(kernel) > 1 << 24 else kernel
    case = _operands.build(small, "cpu", 3, 1)[0]
    out = case.call()
    held = {name: x.numel() * x.element_size() for name, x in case.inputs.items()}
    if small.op == "l2_latency":
        assert held["x"] == allocated_bytes(small, 1)
        return
    result = out.numel() * out.element_size()
    if small.op in ("embedding", "kv_write"):
        assert touched_bytes(small) == 2 * small.m * small.n * 2
        assert allocated_bytes(small, 3) == small.n * small.k * 2 + 3 * touched_bytes(small)
    elif small.op in ("launch", "stream_read", "l2_read", "stream_write"):
        assert touched_bytes(small) == held["x"] * (2 if small.op == "launch" else 1)
    else:
        shared = {"layernorm": ("w", "b"), "rmsnorm": ("w",), "rope": ("cos", "sin")}.get(small.op, ())
        assert touched_bytes(small) == sum(size for name, size in held.items() if name not in shared) + result


def test_copies_of_a_kernel_have_their_own_operands() -> None:
    cases = _operands.build(Kernel("gemm", "bf16", 4, 32, 32), "cpu", 0, 3)
    assert len({case.inputs["w"].data_ptr() for case in cases}) == 3 == len({case.call().data_ptr() for case in cases})
    again = _operands.build(Kernel("gemm", "bf16", 4, 32, 32), "cpu", 0, 1)[0]
    assert torch.equal(again.inputs["w"], cases[0].inputs["w"]) and not torch.equal(cases[0].inputs["w"], cases[1].inputs["w"])


def test_copies_exceed_the_cache() -> None:
    kernel = Kernel("gemm", "bf16", 16, 4096, 4096)
    copies = copies_to_exceed(kernel, 50 << 20, 512)
    assert copies * touched_bytes(kernel) >= 2.5 * (50 << 20) > (copies - 1) * touched_bytes(kernel)
    assert copies_to_exceed(Kernel("gemm", "bf16", 8192, 8192, 8192), 1 << 20, 512) == 2
    assert copies_to_exceed(Kernel("rmsnorm", "bf16", 1, 768), 50 << 20, 512) == 0


def test_work_is_that_of_the_shared_data() -> None:
    assert flops(Kernel("bmm", "bf16", 3, 5, 7, batch=2)) == 2 * 2 * 3 * 5 * 7
    decode = Kernel("attn_decode", "bf16", batch=2, heads=4, kv_heads=1, head_dim=64, seq_q=1, seq_kv=100)
    assert flops(decode) == 4 * 2 * 4 * 100 * 64


def test_a_scaled_kernel_keeps_what_libraries_need() -> None:
    small = Kernel("gemm", "fp8", 17, 4096, 14336).scaled(0.01)
    assert (small.m, small.n % 16, small.k % 16) == (1, 0, 0) and small.n > 0
    decode = Kernel("attn_decode", "bf16", batch=8, heads=32, kv_heads=8, head_dim=128, seq_q=1, seq_kv=300).scaled(0.1)
    assert (decode.batch, decode.heads, decode.head_dim, decode.seq_q, decode.seq_kv) == (1, 32, 128, 1, 30)
    assert Kernel("gemm", "bf16", 16, 4095, 4097).label() == "gemm bf16 m16 n4095 k4097"


def test_sizes_searched_for_latency_are_sorted() -> None:
    case = _operands.build(Kernel("l2_latency", "int64", m=1, n=1000), "cpu", 0, 1)[0]
    assert int(case.call()) == 618 and bool((case.inputs["x"].diff() > 0).all())


def test_the_cpu_has_no_cudnn_attention() -> None:
    with pytest.raises(NotImplementedError, match="cudnn"):
        _operands.build(next(k for k in TRANSFORMER if k.variant == "cudnn"), "cpu", 0, 1)
