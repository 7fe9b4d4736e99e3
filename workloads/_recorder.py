"""Records what a torch module does as a list of Ops.

Two interception points are used together, for neither is enough alone (facts/ecosystem.md, section D). At the
torch-function level linear, sdpa, layer_norm, gelu, embedding and softmax are seen whole, before torch takes them
apart; at the dispatch level all else is seen as ATen ops. A depth counter hides from the second what belongs to an op
of the first.

A tensor is recognised by its storage (`untyped_storage()._cdata`), which works on the meta device and sees through
views: so views need no record, and their consumers depend on the op that made the storage. Outputs are kept alive
while recording, so that no storage id is used twice. A plain copy of a whole tensor (`clone`, which `reshape` calls)
is treated like a view: where data lie is decided by the mapping, not by the program.

This module imports torch at its top; import it inside functions only.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..traces.opgraph import OTHER, Op, Shape, Value
from .costs import cost_of

_WHOLE: Final[dict[Callable[..., Any], str]] = {
    functional.linear: "linear",
    functional.scaled_dot_product_attention: "sdpa",
    functional.layer_norm: "layer_norm",
    functional.gelu: "gelu",
    functional.embedding: "embedding",
    functional.softmax: "softmax",
    torch.softmax: "softmax",
    Tensor.softmax: "softmax",
}
_ATEN_KINDS: Final = {"add": "add", "mul": "mul", "_softmax": "softmax"}


@dataclass(frozen=True)
class _Origin:
    """Where a storage comes from: its role as an input, the op that made it (-1: none), the weight's name, its
    row-major shape.

    `shape` is None for a copy in another layout, whose parts can no longer be told by their offset.
    """

    role: str
    producer: int = -1
    name: str = ""
    shape: Shape | None = None


def record(module: nn.Module, call: Callable[[], Any], caches: list[Tensor]) -> tuple[Op, ...]:
    """The ops of `call()`, which must run `module` forward, with the tensors `caches` in the role of KV cache.

    Runs without autograd. Raises ValueError for what an OpGraph cannot express: in-place ops, matrix products outside
    linear and sdpa, views that are neither a slice of the last dimension nor a run of rows of an op's output.
    """
    recorder = _Recorder(module, caches)
    with torch.no_grad(), recorder.module_paths(module), _Dispatch(recorder), _Functions(recorder):
        call()
    return tuple(recorder.ops)


class _Functions(TorchFunctionMode):
    """Hands the calls of the kinds kept whole to the recorder."""

    def __init__(self, recorder: "_Recorder") -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = _WHOLE.get(func)
        if kind is None or self.recorder.depth:
            return func(*args, **kwargs)
        self.recorder.depth += 1
        try:
            result = func(*args, **kwargs)
        finally:
            self.recorder.depth -= 1
        self.recorder.add(kind, args, kwargs, result)
        return result


class _Dispatch(TorchDispatchMode):
    """Hands the ATen ops outside those kinds to the recorder."""

    def __init__(self, recorder: "_Recorder") -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self.recorder.depth:
            self.recorder.add_aten(func, args, kwargs, result)
        return result


class _Recorder:
    """The state of one recording."""

    def __init__(self, module: nn.Module, caches: list[Tensor]) -> None:
        self.ops: list[Op] = []
        self.depth = 0
        self._paths = [""]
        self._alive: list[Tensor] = list(caches)
        self._origins = {
            _storage(p): _Origin("weight", name=name, shape=tuple(p.shape)) for name, p in module.named_parameters()
        }
        self._origins |= {_storage(cache): _Origin("kv", shape=tuple(cache.shape)) for cache in caches}

    @contextmanager
    def module_paths(self, module: nn.Module) -> Iterator[None]:
        """Within it, the path of the submodule that is running is known."""
        handles = []
        for path, submodule in module.named_modules():
            handles.append(submodule.register_forward_pre_hook(lambda *_, path=path: self._paths.append(path)))
            handles.append(submodule.register_forward_hook(lambda *_: self._leave()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leave(self) -> None:
        self._paths.pop()

    def add_aten(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Record an ATen op unless it is a view or a plain copy of a whole tensor."""
        name = func.overloadpacket.__name__
        if func._schema.is_mutable:
            raise ValueError(f"in-place op {name} in {self._paths[-1]!r}: an OpGraph holds values, not buffers")
        inputs, outputs = _tensors((args, kwargs)), _tensors(result)
        sources = {_storage(tensor) for tensor in inputs}
        if inputs and all(_storage(tensor) in sources for tensor in outputs):
            return
        if name == "clone" and (origin := self._origins.get(_storage(inputs[0]))) and _is_whole(inputs[0]):
            self._origins[_storage(result)] = replace(origin, shape=None)
            self._alive.append(result)
            return
        is_append = name == "cat" and self._origin(inputs[0]).role == "kv"
        self.add("kv_append" if is_append else _ATEN_KINDS.get(name, OTHER + name), args, kwargs, result)

    def add(self, kind: str, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Record one op of `kind` with its inputs' origins, and become the origin of its outputs."""
        inputs, outputs = _tensors((args, kwargs)), _tensors(result)
        origins = [self._origin(tensor) for tensor in inputs]
        weights = [(o.name, tuple(t.shape)) for o, t in zip(origins, inputs, strict=True) if o.role == "weight"]
        weight_name, weight_shape = weights[0] if weights else ("", ())
        attrs = _attributes(kind, args, kwargs)
        for number, (tensor, origin) in enumerate(zip(inputs, origins, strict=True)):
            attrs |= self._part(f"in{number}", tensor, origin)
        path = self._paths[-1]
        op = Op(
            index=len(self.ops),
            kind=kind,
            module=path,
            layer=next((int(part) for part in path.split(".") if part.isdigit()), -1),
            in_shapes=tuple(tuple(tensor.shape) for tensor in inputs),
            in_dtypes=tuple(_dtype(tensor) for tensor in inputs),
            roles=tuple(origin.role for origin in origins),
            producers=tuple(origin.producer for origin in origins),
            weight_name=weight_name,
            weight_shape=weight_shape,
            has_bias=any(name.endswith("bias") for name, _ in weights),
            out_shapes=tuple(tuple(tensor.shape) for tensor in outputs),
            out_dtypes=tuple(_dtype(tensor) for tensor in outputs),
            attrs=tuple(sorted(attrs.items())),
            flops=0,
            bytes_read=0,
            bytes_written=0,
        )
        cost = cost_of(op)
        self.ops.append(replace(op, flops=cost.flops, bytes_read=cost.bytes_read, bytes_written=cost.bytes_written))
        for tensor in outputs:
            role = "kv" if kind == "kv_append" else "index" if _is_index(tensor) else "activation"
            self._origins[_storage(tensor)] = _Origin(role, op.index, shape=tuple(tensor.shape))
        self._alive += outputs

    def _origin(self, tensor: Tensor) -> _Origin:
        """The origin of a tensor; an unknown one is an input of the graph, an index if it holds whole numbers."""
        return self._origins.get(_storage(tensor)) or _Origin("index" if _is_index(tensor) else "activation")

    def _part(self, prefix: str, tensor: Tensor, origin: _Origin) -> dict[str, Value]:
        """Which part of its producer's output a tensor is, as attributes (see traces.opgraph.Op); none if all of it."""
        if origin.producer < 0 or _is_whole(tensor):
            return {}
        if origin.shape is not None:
            row_width, n_rows = origin.shape[-1], math.prod(origin.shape[:-1])
            first = tensor.storage_offset()
            extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
            width = tensor.numel() // n_rows
            if tensor.numel() == n_rows * width and extent == (n_rows - 1) * row_width + width:
                if row_width % width == 0 and first < row_width and first % width == 0:
                    return {f"{prefix}_slice": first // width, f"{prefix}_slices": row_width // width}
            elif extent == tensor.numel() and extent % row_width == 0 and first % row_width == 0:
                return {f"{prefix}_first_row": first // row_width}
        raise ValueError(
            f"{self._paths[-1]!r}: a view of shape {tuple(tensor.shape)} of the output of op {origin.producer} is "
            "neither a slice of its last dimension nor a run of its rows"
        )


def _storage(tensor: Tensor) -> int:
    """The identity of the memory behind a tensor, the same for all its views."""
    return tensor.untyped_storage()._cdata


def _is_whole(tensor: Tensor) -> bool:
    """Whether a tensor has as many bytes as its storage."""
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _is_index(tensor: Tensor) -> bool:
    """Whether a tensor holds whole numbers or truth values."""
    return not (tensor.is_floating_point() or tensor.is_complex())


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in nested arguments or results, in order."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _dtype(tensor: Tensor) -> str:
    """Torch's name of the dtype, e.g. "bfloat16"."""
    return str(tensor.dtype).removeprefix("torch.")


def _attributes(kind: str, args: Any, kwargs: dict[str, Any]) -> dict[str, Value]:
    """The attributes of an op that its tensors do not show. Positions are those of torch's signatures."""

    def given(position: int, name: str, default: Any) -> Any:
        return args[position] if len(args) > position else kwargs.get(name, default)

    match kind:
        case "sdpa":
            q, k = args[0], args[1]
            return {
                "heads": q.shape[-3],
                "kv_heads": k.shape[-3],
                "head_dim": q.shape[-1],
                "causal": int(given(5, "is_causal", False)),
                "scale": float(given(6, "scale", None) or q.shape[-1] ** -0.5),
            }
        case "layer_norm":
            return {"eps": float(given(4, "eps", 1e-5))}
        case "gelu":
            return {"approximate": given(1, "approximate", "none")}
        case "softmax":
            return {"dim": int(given(1, "dim", -1))}
        case "kv_append":
            return {"dim": int(given(1, "dim", 0))}
        case "add" | "mul" if not isinstance(args[1], Tensor):
            return {"scalar": args[1]}
        case _:
            return {}
