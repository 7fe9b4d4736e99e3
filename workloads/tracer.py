"""From a model's configuration to the OpGraph of one forward pass.

The real torch module is built on the meta device, where it takes no memory and no arithmetic is done, and run once;
`_recorder` writes down what it does. Importing this module does not import torch.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from ..traces.opgraph import KV_LEN, KV_PAST, Op, OpGraph, Shape, Value
from .costs import cost_of
from .models.gpt import GptConfig, build_gpt

if TYPE_CHECKING:
    from .models._gpt_module import GptModule

_KV_LENGTHS: Final = (257, 521)
"""The two KV lengths that a template is made from."""
_KV_LENGTH_TO_CHECK: Final = 1031
"""A third one, at which the template's counts are compared with the counting rules."""
_MAY_DIFFER: Final = frozenset({"in_shapes", "out_shapes", "flops", "bytes_read", "bytes_written"})


def trace_decode(config: GptConfig, with_logits: bool = True) -> OpGraph:
    """The template of a decode pass: one new token on a KV cache of any length. Make it concrete with `.at(kv_length)`.

    Without `with_logits` the pass ends with the last block (no final LayerNorm, no LM head), as for the tokens of a
    prompt that nothing is sampled from. Raises ValueError if the pass depends on the KV length in more than shapes,
    or not linearly.
    """
    model = build_gpt(config)
    first, second = (_record_pass(model, kv_length - 1, 1, with_logits) for kv_length in _KV_LENGTHS)
    if len(first) != len(second):
        raise ValueError(f"{config.name}: {len(first)} ops at one KV length, {len(second)} at another")
    ops = tuple(_merged(a, b) for a, b in zip(first, second, strict=True))
    return _graph(config, model, ops, "decode", n_new_tokens=1, kv_length=KV_LEN)


def trace_prefill(config: GptConfig, prompt_tokens: int) -> OpGraph:
    """The graph of one batched pass over a whole prompt, from an empty cache, with the logits of its last token.

    Raises ValueError unless 1 <= prompt_tokens <= n_positions.
    """
    if not 1 <= prompt_tokens <= config.n_positions:
        raise ValueError(f"{config.name}: a prompt of {prompt_tokens} tokens is outside 1..{config.n_positions}")
    model = build_gpt(config)
    ops = _record_pass(model, 0, prompt_tokens, with_logits=True)
    return _graph(config, model, ops, "prefill", n_new_tokens=prompt_tokens, kv_length=prompt_tokens)


def _record_pass(model: "GptModule", n_past: int, n_new: int, with_logits: bool) -> tuple[Op, ...]:
    """The ops of a pass of `n_new` tokens of one sequence on a cache of `n_past`."""
    import torch

    from ._recorder import record

    tokens, positions = (torch.empty((1, n_new), dtype=torch.int64, device="meta") for _ in range(2))
    cache = model.empty_cache(n_past)
    logits_of = "last" if with_logits else "none"
    caches = [tensor for pair in cache for tensor in pair]
    return record(model, lambda: model(tokens, positions, cache, logits_of), caches)


def _graph(
    config: GptConfig, model: "GptModule", ops: tuple[Op, ...], phase: str, n_new_tokens: int, kv_length: int
) -> OpGraph:
    """The verified graph of these ops, with the facts on the model; parameters are counted from the module."""
    info: dict[str, Value] = {
        "layers": config.n_layers,
        "d_model": config.d_model,
        "heads": config.n_heads,
        "head_dim": config.head_dim,
        "d_ff": config.d_ff,
        "vocab": config.vocab_size,
        "n_positions": config.n_positions,
        "params": sum(p.numel() for p in model.parameters()),
        "block_params": sum(p.numel() for p in model.blocks.parameters()),
    }
    graph = OpGraph(ops, config.name, phase, n_new_tokens, kv_length, tuple(info.items()))
    graph.verify()
    return graph


def _merged(a: Op, b: Op) -> Op:
    """The template of an op that was recorded at both of `_KV_LENGTHS`.

    Raises ValueError if the recordings differ in more than dimensions that follow the KV length, or if a count is not
    linear.
    """
    for f in fields(Op):
        if f.name not in _MAY_DIFFER and getattr(a, f.name) != getattr(b, f.name):
            raise ValueError(f"op {a.index} ({a.kind}, {a.module!r}): {f.name} depends on the KV length")
    template = replace(
        a,
        in_shapes=tuple(_merged_shapes(a, a.in_shapes, b.in_shapes)),
        out_shapes=tuple(_merged_shapes(a, a.out_shapes, b.out_shapes)),
    )
    for name in ("flops", "bytes_read", "bytes_written"):
        rise, run = getattr(b, name) - getattr(a, name), _KV_LENGTHS[1] - _KV_LENGTHS[0]
        constant = getattr(a, name) - rise // run * _KV_LENGTHS[0]
        template = replace(template, **{name: constant, f"{name}_per_kv": rise // run})
    checked = template.at(_KV_LENGTH_TO_CHECK, n_new_tokens=1)
    cost = cost_of(checked)
    if (checked.flops, checked.bytes_read, checked.bytes_written) != (cost.flops, cost.bytes_read, cost.bytes_written):
        raise ValueError(f"op {a.index} ({a.kind}, {a.module!r}): its counts are not linear in the KV length")
    return template


def _merged_shapes(op: Op, first: tuple[Shape, ...], second: tuple[Shape, ...]) -> Iterator[Shape]:
    """Shapes seen at the two KV lengths as shapes of a template."""
    symbols = {_KV_LENGTHS: KV_LEN, (_KV_LENGTHS[0] - 1, _KV_LENGTHS[1] - 1): KV_PAST}
    if [len(shape) for shape in first] != [len(shape) for shape in second]:
        raise ValueError(f"op {op.index} ({op.kind}, {op.module!r}): the rank of a tensor depends on the KV length")
    for one, other in zip(first, second, strict=True):
        pairs = list(zip(one, other, strict=True))
        for pair in pairs:
            if pair[0] != pair[1] and pair not in symbols:
                raise ValueError(f"op {op.index} ({op.kind}, {op.module!r}): dimension {pair} is not the KV length")
        yield tuple(pair[0] if pair[0] == pair[1] else symbols[pair] for pair in pairs)
