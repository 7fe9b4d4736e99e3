"""Is what a kernel computed right? A sample of its results against fp64, worked out from the operands by other means.

Imports torch at its top: loaded by functions only.
"""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from ._operands import Case
from .kernel import PRODUCTS, Kernel

Pair = tuple[Tensor, Tensor]
ROWS, COLUMNS = 32, 64
EPSILON: Final = {"fp32": 2.0**-23, "fp16": 2.0**-10, "bf16": 2.0**-7, "fp8": 2.0**-7}
"""Relative step of the result's type; fp8 products come out as bf16."""

EXACT: Final = ("embedding", "kv_write", "stream_write", "stream_copy", "l2_latency")
"""Ops that compute nothing, and so err in nothing."""


def error_of(kernel: Kernel, case: Case, seed: int) -> tuple[float, bool]:
    """Run the kernel; (largest absolute error on a sample, whether that is within what the type's rounding explains).

    Allowed are four steps of the largest result, for products of k terms 16 sqrt(k) steps of fp32 more, for a sum of all n,
    perhaps one after the other, 4 n; nothing where whole numbers are multiplied or values only moved.
    """
    pick = torch.Generator().manual_seed(seed)
    if kernel.op == "launch":
        return _counted(case)
    out = case.call()
    compare = _product if kernel.op in PRODUCTS else COMPARE[kernel.op]
    got, want = compare(kernel, case.inputs, out, pick)
    error = float((got - want).abs().max()) if got.numel() else 0.0
    allowed = 0.0
    if kernel.op not in EXACT and kernel.dtype != "int8":
        summed = kernel.op in ("stream_read", "l2_read")
        terms = 4 * kernel.n * max(1, kernel.m) if summed else 16 * math.sqrt(kernel.k)
        allowed = 4 * EPSILON[kernel.dtype] * float(want.abs().max()) + EPSILON["fp32"] * terms
    return error, bool(torch.isfinite(got).all()) and error <= allowed


def _counted(case: Case) -> tuple[float, bool]:
    """The counter of the launch kernel goes up by one a call."""
    before = float(case.inputs["x"][0])
    error = abs(float(case.call()[0]) - before - 1)
    return error, error == 0


def _some(size: int, count: int, pick: torch.Generator) -> Tensor:
    """At most `count` indices below `size`, the first and the last among them."""
    if size <= count:
        return torch.arange(size)
    inner = torch.randint(0, size, (count - 2,), generator=pick)
    return torch.cat((torch.tensor([0, size - 1]), inner))


def _take(x: Tensor, index: Tensor, dim: int = 0) -> Tensor:
    """Some rows on the CPU in fp64. fp8 cannot be indexed by a list, its bytes can."""
    at = index.to(x.device)
    if x.dtype == torch.float8_e4m3fn:
        return x.view(torch.uint8).index_select(dim, at).view(torch.float8_e4m3fn).cpu().to(torch.float64)
    return x.index_select(dim, at).cpu().to(torch.float64)


def _product(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    rows, columns = _some(kernel.m, ROWS, pick), _some(kernel.n, COLUMNS, pick)
    got = _take(out, rows)[:, columns]
    return got, _take(given["a"], rows) @ _take(given["w"], columns).T


def _bmm(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    items, rows = _some(kernel.batch, 3, pick), _some(kernel.m, ROWS, pick)
    got = [_take(out[i], rows) for i in items.tolist()]
    want = [_take(given["a"][i], rows) @ given["w"][i].cpu().to(torch.float64).T for i in items.tolist()]
    return torch.stack(got), torch.stack(want)


def _attention(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    got: list[Tensor] = []
    want: list[Tensor] = []
    rows, group = _some(kernel.seq_q, 8, pick), kernel.heads // kernel.kv_heads
    for item in _some(kernel.batch, 2, pick).tolist():
        for head in _some(kernel.heads, 2, pick).tolist():
            k, v = (given[name][item, head // group].cpu().to(torch.float64) for name in ("k", "v"))
            scores = _take(given["q"][item, head], rows) @ k.T / math.sqrt(kernel.head_dim)
            if kernel.op == "attn_prefill":
                scores = scores.masked_fill(torch.arange(kernel.seq_kv) > rows[:, None], -math.inf)
            weights = (scores - scores.amax(-1, keepdim=True)).exp()
            want.append(weights @ v / weights.sum(-1, keepdim=True))
            got.append(_take(out[item, head], rows))
    return torch.stack(got), torch.stack(want)


def _rowwise(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    rows = _some(kernel.m, ROWS, pick)
    x, got = _take(given["x"], rows), _take(out, rows)
    if kernel.op == "layernorm":
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return got, x * given["w"].cpu().double() + given["b"].cpu().double()
    if kernel.op == "rmsnorm":
        return got, x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * given["w"].cpu().double()
    if kernel.op == "softmax":
        weights = (x - x.amax(-1, keepdim=True)).exp()
        return got, weights / weights.sum(-1, keepdim=True)
    if kernel.op == "gelu":
        return got, x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    y = _take(given["y"], rows)
    return got, x + y if kernel.op == "add" else x / (1 + (-x).exp()) * y


def _rope(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    rows, half = _some(kernel.m, ROWS, pick), kernel.head_dim // 2
    x, cos, sin = (_take(given[name], rows) for name in ("x", "cos", "sin"))
    turned = torch.view_as_complex(torch.stack((x[..., :half], x[..., half:]), -1))
    turned = turned * torch.complex(cos[..., :half], sin[..., :half])
    return _take(out, rows), torch.cat((turned.real, turned.imag), -1)


def _embedding(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    rows = _some(kernel.m, ROWS, pick)
    return _take(out, rows), _take(given["table"], given["ids"].cpu()[rows])


def _kv_write(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    rows = _some(kernel.m, ROWS, pick)
    return _take(out, given["slots"].cpu()[rows]), _take(given["new"], rows)


def _stream(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    x = given["x"]
    if kernel.op in ("stream_read", "l2_read"):
        total = x.sum(dtype=torch.float64).cpu() * max(1, kernel.m)
        return out.cpu().double().reshape(1), total.reshape(1)
    at = _some(kernel.n, COLUMNS, pick)
    got = _take(out, at)
    return got, torch.full_like(got, 1.5) if kernel.op == "stream_write" else _take(x, at)


def _l2_latency(kernel: Kernel, given: dict[str, Tensor], out: Tensor, pick: torch.Generator) -> Pair:
    return out.cpu().double(), given["key"].cpu().double()  # the i-th of the sorted elements is i


COMPARE: Final[dict[str, Callable[[Kernel, dict[str, Tensor], Tensor, torch.Generator], Pair]]] = {
    "bmm": _bmm, "attn_prefill": _attention, "attn_encoder": _attention, "attn_decode": _attention, "softmax": _rowwise,
    "layernorm": _rowwise, "rmsnorm": _rowwise, "gelu": _rowwise, "silu_mul": _rowwise, "add": _rowwise, "rope": _rope,
    "embedding": _embedding, "kv_write": _kv_write, "stream_read": _stream, "stream_write": _stream, "stream_copy": _stream,
    "l2_read": _stream, "l2_latency": _l2_latency,
}  # fmt: skip
