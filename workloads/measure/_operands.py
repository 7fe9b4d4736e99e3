"""Kernels as torch calls on real operands. The only module of the suite that says what a kernel is in torch.

Imports torch at its top: loaded by functions only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernel import PRODUCTS, Kernel

DTYPES: Final = {
    "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8, "int64": torch.int64,
    "fp8": torch.float8_e4m3fn,
}  # fmt: skip
scaled_mm, int_mm = torch._scaled_mm, torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One copy of a kernel: `call` runs it on `inputs` and returns its result (the same memory each time where torch allows)."""

    call: Callable[[], Tensor]
    inputs: Inputs


class Maker:
    """Random operands on one device from one seed. `shared` holds what the copies of a kernel have in common."""

    def __init__(self, device: str, seed: int) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.shared: Inputs = {}

    def normal(self, dtype: str, *shape: int) -> Tensor:
        """Normal with mean 0 and variance 1; whole numbers: uniform from -8 to 7."""
        if dtype == "int8":
            return torch.randint(-8, 8, shape, dtype=torch.int8, device=self.device, generator=self.generator)
        if dtype == "fp8":
            return self.normal("bf16", *shape).to(torch.float8_e4m3fn)
        return torch.randn(shape, dtype=DTYPES[dtype], device=self.device, generator=self.generator)

    def below(self, limit: int, count: int) -> Tensor:
        """`count` uniform indices below `limit`."""
        return torch.randint(0, limit, (count,), device=self.device, generator=self.generator)

    def empty(self, dtype: torch.dtype, *shape: int) -> Tensor:
        """Memory for a result."""
        return torch.empty(shape, dtype=dtype, device=self.device)


def build(kernel: Kernel, device: str, seed: int, copies: int) -> list[Case]:
    """`copies` of a kernel on operands of their own. Raises what torch raises where the device cannot do it."""
    if kernel.op.startswith("attn_"):
        _choose_backend(kernel.variant, device)
    maker = Maker(device, seed)
    builder = _product if kernel.op in PRODUCTS else BUILDERS[kernel.op]
    return [builder(kernel, maker) for _ in range(copies)]


def quiet_settings() -> None:
    """What holds for every kernel: no gradients, fp32 products in fp32 (no TF32); all else as torch has it."""
    torch.set_grad_enabled(False)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _choose_backend(variant: str, device: str) -> None:
    """Allow one attention backend only; the CPU has one of its own."""
    if device == "cpu" and variant == "cudnn":
        raise NotImplementedError("cudnn attention: not on a CPU")
    torch.backends.cuda.enable_flash_sdp(variant == "flash")
    torch.backends.cuda.enable_cudnn_sdp(variant == "cudnn")
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_math_sdp(device == "cpu")


def _product(kernel: Kernel, maker: Maker) -> Case:
    a, w = maker.normal(kernel.dtype, kernel.m, kernel.k), maker.normal(kernel.dtype, kernel.n, kernel.k)
    turned = w.t()
    if kernel.dtype == "fp8":
        one = torch.ones((), device=maker.device)
        return Case(lambda: scaled_mm(a, turned, one, one, out_dtype=torch.bfloat16), {"a": a, "w": w})
    if kernel.dtype == "int8":
        return Case(lambda: int_mm(a, turned), {"a": a, "w": w})
    out = maker.empty(a.dtype, kernel.m, kernel.n)
    return Case(lambda: torch.mm(a, turned, out=out), {"a": a, "w": w})


def _bmm(kernel: Kernel, maker: Maker) -> Case:
    a = maker.normal(kernel.dtype, kernel.batch, kernel.m, kernel.k)
    w = maker.normal(kernel.dtype, kernel.batch, kernel.n, kernel.k)
    turned, out = w.transpose(1, 2), maker.empty(a.dtype, kernel.batch, kernel.m, kernel.n)
    return Case(lambda: torch.bmm(a, turned, out=out), {"a": a, "w": w})


def _attention(kernel: Kernel, maker: Maker) -> Case:
    b, d = kernel.batch, kernel.head_dim
    q = maker.normal(kernel.dtype, b, kernel.heads, kernel.seq_q, d)
    k = maker.normal(kernel.dtype, b, kernel.kv_heads, kernel.seq_kv, d)
    v = maker.normal(kernel.dtype, b, kernel.kv_heads, kernel.seq_kv, d)
    causal, grouped = kernel.op == "attn_prefill", kernel.heads != kernel.kv_heads

    def call() -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=grouped)

    return Case(call, {"q": q, "k": k, "v": v})


def _rowwise(kernel: Kernel, maker: Maker) -> Case:
    m, n = kernel.m, kernel.n
    x = maker.normal(kernel.dtype, m, n)
    if kernel.op == "layernorm":
        w, bias = maker.normal(kernel.dtype, n), maker.normal(kernel.dtype, n)
        return Case(lambda: F.layer_norm(x, (n,), w, bias, 1e-5), {"x": x, "w": w, "b": bias})
    if kernel.op == "rmsnorm":
        w = maker.normal(kernel.dtype, n)
        return Case(lambda: F.rms_norm(x, (n,), w, 1e-5), {"x": x, "w": w})
    if kernel.op in ("silu_mul", "add"):
        y, out = maker.normal(kernel.dtype, m, n), torch.empty_like(x)
        if kernel.op == "add":
            return Case(lambda: torch.add(x, y, out=out), {"x": x, "y": y})
        return Case(lambda: torch.mul(F.silu(x), y, out=out), {"x": x, "y": y})
    if kernel.op == "softmax":
        return Case(lambda: torch.softmax(x, -1), {"x": x})
    return Case(lambda: F.gelu(x), {"x": x})


def _rope(kernel: Kernel, maker: Maker) -> Case:
    heads, half = kernel.heads + kernel.kv_heads, kernel.head_dim // 2
    x = maker.normal(kernel.dtype, kernel.m, heads, kernel.head_dim)
    angle = maker.normal("fp32", kernel.m, 1, half)
    cos, sin = (torch.cat([f(angle)] * 2, -1).to(x.dtype) for f in (torch.cos, torch.sin))

    def call() -> Tensor:
        low, high = x[..., :half], x[..., half:]
        return x * cos + torch.cat((-high, low), -1) * sin

    return Case(call, {"x": x, "cos": cos, "sin": sin})


def _embedding(kernel: Kernel, maker: Maker) -> Case:
    if "table" not in maker.shared:
        maker.shared["table"] = maker.normal(kernel.dtype, kernel.k, kernel.n)
    table, ids = maker.shared["table"], maker.below(kernel.k, kernel.m)
    out = maker.empty(table.dtype, kernel.m, kernel.n)
    return Case(lambda: torch.index_select(table, 0, ids, out=out), {"table": table, "ids": ids})


def _kv_write(kernel: Kernel, maker: Maker) -> Case:
    if "cache" not in maker.shared:
        maker.shared["cache"] = torch.zeros((kernel.k, kernel.n), dtype=DTYPES[kernel.dtype], device=maker.device)
    cache, new = maker.shared["cache"], maker.normal(kernel.dtype, kernel.m, kernel.n)
    slots = torch.randperm(kernel.k, device=maker.device, generator=maker.generator)[: kernel.m]
    return Case(lambda: cache.index_copy_(0, slots, new), {"new": new, "slots": slots})


def _launch(kernel: Kernel, maker: Maker) -> Case:
    x = torch.zeros(kernel.n, device=maker.device)
    return Case(lambda: x.add_(1), {"x": x})


def _stream(kernel: Kernel, maker: Maker) -> Case:
    x = maker.normal(kernel.dtype, kernel.n)
    if kernel.op == "stream_read":
        out = maker.empty(x.dtype, 1)
        return Case(lambda: torch.sum(x, 0, keepdim=True, out=out), {"x": x})
    if kernel.op == "stream_write":
        return Case(lambda: x.fill_(1.5), {"x": x})
    out = torch.empty_like(x)
    return Case(lambda: out.copy_(x), {"x": x})


def _l2_read(kernel: Kernel, maker: Maker) -> Case:
    x, out = maker.normal(kernel.dtype, kernel.n), maker.empty(torch.float32, 1)
    passes = x.expand(kernel.m, kernel.n)
    return Case(lambda: torch.sum(passes, (0, 1), out=out.view(())), {"x": x})


def _l2_latency(kernel: Kernel, maker: Maker) -> Case:
    x = torch.arange(kernel.n, device=maker.device)
    key, out = torch.tensor([kernel.n * 618 // 1000], device=maker.device), maker.empty(torch.int64, 1)
    return Case(lambda: torch.searchsorted(x, key, out=out), {"x": x, "key": key})


BUILDERS: Final[dict[str, Callable[[Kernel, Maker], Case]]] = {
    "bmm": _bmm, "attn_prefill": _attention, "attn_encoder": _attention, "attn_decode": _attention, "softmax": _rowwise,
    "layernorm": _rowwise, "rmsnorm": _rowwise, "gelu": _rowwise, "silu_mul": _rowwise, "add": _rowwise, "rope": _rope,
    "embedding": _embedding, "kv_write": _kv_write, "launch": _launch, "stream_read": _stream, "stream_write": _stream,
    "stream_copy": _stream, "l2_read": _l2_read, "l2_latency": _l2_latency,
}  # fmt: skip


def call_name(kernel: Kernel) -> str:
    """The torch call that the kernel is, for the column `kernel` until the device names its own."""
    if kernel.op in PRODUCTS:
        return {"fp8": "torch._scaled_mm", "int8": "torch._int_mm"}.get(kernel.dtype, "torch.mm")
    if kernel.op.startswith("attn_"):
        return f"sdpa-{kernel.variant}"
    return f"torch {kernel.op}"


def flusher(device: str, cache_bytes: int) -> Callable[[], Any]:
    """A call that reads four times a buffer of twice the cache, so that nothing else is left in it.

    Reading leaves no changed lines behind, whose writing back would fall into the next kernel.
    """
    buffer = torch.ones(max(1, 2 * cache_bytes // 4), device=device)
    out = torch.empty(1, device=device)

    def flush() -> None:
        for _ in range(4):
            torch.sum(buffer, 0, keepdim=True, out=out)

    return flush
