"""OpGraph: the operations of one forward pass of a model, one row an operation.

`workloads` writes it, `sim.mapping` reads it; it knows neither torch nor hardware. Two forms exist:

- **concrete**: `kv_length` is a positive number and all shapes are positive;
- **template**: `kv_length` is `KV_LEN`. The KV length is the only variable of a decode pass, so one template stands
  for all decode passes of a model. A dimension that equals the KV length is `KV_LEN`, one that equals the length of
  the cache before this pass (KV length - n_new_tokens) is `KV_PAST`; a count is `x + x_per_kv * KV length`.
  `at(kv_length)` makes it concrete.

The KV length of a pass counts the tokens attended to, those of this pass included.

Counting rules, applied by whoever makes a graph:

- `flops`: two per multiply-accumulate of `linear` and `sdpa` (without bias adds, and for causal attention only the
  unmasked pairs); 0 for all other kinds, whose cost depends on the unit that runs them: their shapes say all there is
  to say.
- `bytes_read`, `bytes_written`: each input read once, each output written once, nothing fused. `embedding` reads the
  gathered rows only; `kv_append` reads and writes the new tokens only, because a cache grows in place.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, cast

from .schema import BOOL, INT64, INTS, SHAPES, STRING, STRINGS, TableSpec, column, columns_of, read_table, write_table

Shape = tuple[int, ...]
Value = int | float | str

KV_LEN: Final = -1
"""A dimension equal to the KV length: the tokens attended to, those of this pass included."""
KV_PAST: Final = -2
"""A dimension equal to the KV length less the new tokens of this pass: the cache as this pass finds it."""

KINDS: Final = frozenset({"embedding", "linear", "layer_norm", "sdpa", "gelu", "add", "mul", "softmax", "kv_append"})
OTHER: Final = "other:"
ROLES: Final = frozenset({"weight", "activation", "kv", "index"})
PHASES: Final = frozenset({"prefill", "decode"})
DTYPE_BYTES: Final[dict[str, int]] = {
    **dict.fromkeys(("bool", "int8", "uint8", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("int16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "float32"), 4),
    **dict.fromkeys(("int64", "float64"), 8),
}
"""Bytes an element, by torch's name of the dtype."""


@dataclass(frozen=True)
class Op:
    """One operation.

    `in_shapes`, `in_dtypes`, `roles` and `producers` have one entry an input, in the operation's own order. Inputs by
    kind: linear (x [..., k], weight [n, k], bias [n]); layer_norm (x, weight, bias); embedding (index, weight); sdpa
    (q [batch, heads, queries, head_dim], k and v [batch, kv_heads, KV length, head_dim]); kv_append (cache [batch,
    kv_heads, past, head_dim], new tokens [batch, kv_heads, n_new_tokens, head_dim]); add and mul (two operands, or
    one and attr `scalar`).

    An input that is one of n equal slices along the last dimension of its producer's output says so in the
    attributes: for input j, `in<j>_slice` (0-based) of `in<j>_slices`. One that is a run of whole rows (all leading
    dimensions flattened) of it says `in<j>_first_row`.
    """

    index: int = field(metadata=column(INT64, "1", "position in the graph; also a topological order"))
    kind: str = field(metadata=column(STRING, "", "canonical kind, or other:<aten name>"))
    module: str = field(metadata=column(STRING, "", "path of the torch module, e.g. blocks.3.attn.qkv"))
    layer: int = field(metadata=column(INT64, "1", "block number, -1 outside the blocks"))
    in_shapes: tuple[Shape, ...] = field(metadata=column(SHAPES, "1", "shape of each input; -1 KV length, -2 KV past"))
    in_dtypes: tuple[str, ...] = field(metadata=column(STRINGS, "", "dtype of each input, torch's name"))
    roles: tuple[str, ...] = field(metadata=column(STRINGS, "", "weight, activation, kv or index, for each input"))
    producers: tuple[int, ...] = field(metadata=column(INTS, "1", "op that made each input; -1 input, weight, cache"))
    weight_name: str = field(metadata=column(STRING, "", "name of the (first) weight parameter, empty if none"))
    weight_shape: Shape = field(metadata=column(INTS, "1", "shape of that parameter"))
    has_bias: bool = field(metadata=column(BOOL, "", "whether a bias vector is among the inputs"))
    out_shapes: tuple[Shape, ...] = field(metadata=column(SHAPES, "1", "shape of each output; -1 KV length"))
    out_dtypes: tuple[str, ...] = field(metadata=column(STRINGS, "", "dtype of each output"))
    attrs: tuple[tuple[str, Value], ...] = field(metadata=column(STRING, "", "attributes as JSON, sorted by name"))
    flops: int = field(metadata=column(INT64, "FLOP", "constant part; 2 per MAC of linear and sdpa, else 0"))
    bytes_read: int = field(metadata=column(INT64, "byte", "constant part of the bytes read"))
    bytes_written: int = field(metadata=column(INT64, "byte", "constant part of the bytes written"))
    flops_per_kv: int = field(default=0, metadata=column(INT64, "FLOP", "added for each token of KV length"))
    bytes_read_per_kv: int = field(default=0, metadata=column(INT64, "byte", "added for each token of KV length"))
    bytes_written_per_kv: int = field(default=0, metadata=column(INT64, "byte", "added for each token of KV length"))

    def attr(self, name: str) -> Value:
        """The attribute `name`. Raises KeyError, naming the op, if it has none."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(f"op {self.index} ({self.kind}) has no attribute {name!r}, only {[k for k, _ in self.attrs]}")

    def is_symbolic(self) -> bool:
        """Whether a shape or a count depends on the KV length."""
        dims = (dim for shape in (*self.in_shapes, *self.out_shapes) for dim in shape)
        return any(d < 0 for d in dims) or bool(
            self.flops_per_kv or self.bytes_read_per_kv or self.bytes_written_per_kv
        )

    def at(self, kv_length: int, n_new_tokens: int) -> "Op":
        """This op at a KV length; itself if it does not depend on it."""
        if not self.is_symbolic():
            return self
        sizes = {KV_LEN: kv_length, KV_PAST: kv_length - n_new_tokens}

        def resolved(shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
            return tuple(tuple(sizes.get(dim, dim) for dim in shape) for shape in shapes)

        return replace(
            self,
            in_shapes=resolved(self.in_shapes),
            out_shapes=resolved(self.out_shapes),
            flops=self.flops + self.flops_per_kv * kv_length,
            bytes_read=self.bytes_read + self.bytes_read_per_kv * kv_length,
            bytes_written=self.bytes_written + self.bytes_written_per_kv * kv_length,
            flops_per_kv=0,
            bytes_read_per_kv=0,
            bytes_written_per_kv=0,
        )


OPGRAPH_TABLE: Final = TableSpec("rowline.opgraph", 1, columns_of(Op))


@dataclass(frozen=True)
class OpGraph:
    """The ops of one forward pass in execution order, and what they are a pass of.

    `phase` is "prefill" (`n_new_tokens` = the prompt) or "decode" (1 new token). `kv_length` is a number of tokens,
    or KV_LEN for a template. `info` holds facts on the model, for a GPT: layers, d_model, heads, head_dim, d_ff,
    vocab, n_positions, params, block_params.
    """

    ops: tuple[Op, ...]
    model: str
    phase: str
    n_new_tokens: int
    kv_length: int
    info: tuple[tuple[str, Value], ...] = ()

    def fact(self, name: str) -> Value:
        """The fact `name` on the model. Raises KeyError if it is not recorded."""
        return dict(self.info)[name]

    def at(self, kv_length: int) -> "OpGraph":
        """The concrete graph of this template at `kv_length` tokens (those of this pass included).

        Raises ValueError if the graph is concrete already, or if `kv_length` is below n_new_tokens or above the
        model's n_positions.
        """
        if self.kv_length != KV_LEN:
            raise ValueError(f"graph of {self.model!r} is concrete already (KV length {self.kv_length})")
        limit = dict(self.info).get("n_positions", kv_length)
        if not self.n_new_tokens <= kv_length <= int(limit):
            raise ValueError(f"KV length {kv_length} is outside {self.n_new_tokens}..{limit} of {self.model!r}")
        return replace(self, ops=tuple(op.at(kv_length, self.n_new_tokens) for op in self.ops), kv_length=kv_length)

    def verify(self) -> None:
        """Raise ValueError, naming the op and the rule that it breaks, unless the graph is well formed."""
        if self.phase not in PHASES:
            raise ValueError(f"graph of {self.model!r}: phase {self.phase!r} is none of {sorted(PHASES)}")
        if self.n_new_tokens < 1 or (self.kv_length != KV_LEN and self.kv_length < self.n_new_tokens):
            raise ValueError(
                f"graph of {self.model!r}: {self.n_new_tokens} new tokens, KV length {self.kv_length}; "
                "needs 1 <= new tokens <= KV length"
            )
        for position, op in enumerate(self.ops):
            for problem in _problems(op, position, self):
                raise ValueError(f"op {position} ({op.kind}, {op.module!r}): {problem}")

    def digest(self) -> str:
        """SHA-256, in hex, of the graph as canonical JSON: equal graphs, and only those, have equal digests."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the graph to one Parquet file.

        Raises ValueError if it is not well formed, OSError if it cannot be written.
        """
        self.verify()
        head = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "ops"}
        data: dict[str, list[Any]] = {c.name: [getattr(op, c.name) for op in self.ops] for c in OPGRAPH_TABLE.columns}
        data["attrs"] = [json.dumps(dict(attrs)) for attrs in data["attrs"]]
        write_table(path, OPGRAPH_TABLE, data, {"graph": json.dumps(head), "digest": self.digest()})

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> "OpGraph":
        """Read a graph that `to_parquet` wrote.

        Raises FileNotFoundError; ValueError, naming the file, if it is damaged, of another kind or version, or not
        well formed.
        """
        rows, metadata = read_table(path, OPGRAPH_TABLE)
        try:
            head = json.loads(metadata["graph"])
            head["info"] = tuple((name, value) for name, value in head["info"])
            graph = cls(ops=tuple(_op_of_row(row) for row in rows), **head)
            digest = metadata["digest"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: damaged op graph ({error!r})") from error
        if graph.digest() != digest:
            raise ValueError(f"{path}: damaged op graph (digest {graph.digest()}, the file says {digest})")
        graph.verify()
        return graph


def _op_of_row(row: Mapping[str, Any]) -> Op:
    """The Op of one row of a table: lists back to tuples, attributes back from JSON."""
    values: dict[str, Any] = {name: _tupled(value) for name, value in row.items()}
    values["attrs"] = tuple(json.loads(row["attrs"]).items())
    return Op(**values)


def _tupled(value: Any) -> Any:
    """`value` with lists, at any depth, turned into tuples."""
    if isinstance(value, list):
        return tuple(_tupled(item) for item in cast(list[Any], value))
    return value


def _problems(op: Op, position: int, graph: OpGraph) -> Iterator[str]:
    """What is wrong with `op` at `position` of `graph`: one sentence a broken rule."""
    if op.index != position:
        yield f"index {op.index} differs from its position {position}"
    if op.kind not in KINDS and not op.kind.startswith(OTHER):
        yield f"kind is neither canonical nor {OTHER}<name>"
    if not len(op.in_shapes) == len(op.in_dtypes) == len(op.roles) == len(op.producers):
        yield "in_shapes, in_dtypes, roles and producers differ in length"
    if len(op.out_shapes) != len(op.out_dtypes) or not op.out_shapes:
        yield "out_shapes and out_dtypes differ in length, or are empty"
    if unknown := {*op.in_dtypes, *op.out_dtypes} - DTYPE_BYTES.keys():
        yield f"unknown dtypes {sorted(unknown)}"
    if bool(op.weight_name) != bool(op.weight_shape) or bool(op.weight_name) != ("weight" in op.roles):
        yield "weight_name, weight_shape and an input of role weight go together"
    if [name for name, _ in op.attrs] != sorted({name for name, _ in op.attrs}):
        yield "attribute names are not sorted and unique"
    yield from _input_problems(op, position, graph)
    yield from _size_problems(op, graph.kv_length == KV_LEN)


def _input_problems(op: Op, position: int, graph: OpGraph) -> Iterator[str]:
    """Broken rules on where the inputs come from."""
    for number, (role, producer) in enumerate(zip(op.roles, op.producers, strict=False)):
        if role not in ROLES:
            yield f"input {number} has role {role!r}, which is none of {sorted(ROLES)}"
        if not -1 <= producer < position:
            yield f"input {number} is produced by op {producer}, which does not come before it"
        elif role == "weight" and producer >= 0:
            yield f"input {number} is a weight, yet produced by op {producer}"
        elif role == "kv" and producer >= 0 and graph.ops[producer].kind != "kv_append":
            yield f"input {number} is a KV cache, yet produced by op {producer} ({graph.ops[producer].kind})"


def _size_problems(op: Op, is_template: bool) -> Iterator[str]:
    """Broken rules on shapes and counts. Only the cache that a kv_append finds may be empty."""
    for shape in (*op.in_shapes, *op.out_shapes, op.weight_shape):
        for dim in shape:
            symbolic = is_template and dim in (KV_LEN, KV_PAST)
            empty_cache = dim == 0 and op.kind == "kv_append" and shape == op.in_shapes[0]
            if dim < 1 and not symbolic and not empty_cache:
                yield f"shape {shape} has dimension {dim}"
    if min(op.flops, op.bytes_read, op.bytes_written) < 0 and not is_template:
        yield "a count is negative"
    if op.is_symbolic() and not is_template:
        yield "depends on the KV length in a concrete graph"
