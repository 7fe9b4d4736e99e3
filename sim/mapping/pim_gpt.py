"""The mapping of PIM-GPT: every matrix over all channels and banks, row hits first, parallelism second.

- Weights: outputs dealt to channels and banks in turn, one output a bank, segments packed so that rows are full.
- K: one token a bank; the heads of a token lie side by side until a row (and the global buffer) is full.
- V: one dimension a bank, its values for all tokens along the row; dimensions of a block of heads over all channels.
- Space for the K and V of every token is reserved.
- What the MAC units cannot do runs on the ASIC, taking tiles in as they arrive: bias, GELU and residual additions ride
  along with the accumulation of the product before them.
"""

from dataclasses import dataclass, field

from ...arch.device import ELEMENT_BYTES
from ...arch.system import System
from ...traces.opgraph import Op, OpGraph
from ..asic_cost import ADD, MUL, Work, gelu_work, layer_norm_cycles, map_cycles
from .placement import Allocator, Geometry, MappingError, Region, attention_regions, head_blocks, weight_region
from .program import AsicStep, PassPlan, PimStep, Slot


@dataclass(frozen=True)
class MappingOptions:
    """Choices of the user.

    Attributes:
        lm_head_on_pim: multiply the LM head in the banks; if not, no logits are computed here at all.
        vectors_per_row: prompt vectors multiplied per open row, where accumulators and global buffer allow it.
    """

    lm_head_on_pim: bool = True
    vectors_per_row: int = 1


@dataclass
class Mapping:
    """A placed workload.

    Attributes:
        regions: tensors by name, with their rows.
        slots: kinds of PIM work.
        batch: prompt vectors per open row that options, accumulators and buffer allow together.
    """

    system: System
    graph: OpGraph
    options: MappingOptions
    max_tokens: int
    geometry: Geometry
    regions: dict[str, Region]
    batch: int
    slots: list[Slot] = field(default_factory=list)
    _slot_index: dict[tuple[object, ...], int] = field(default_factory=dict)

    def slot(self, slot: Slot) -> tuple[int, int]:
        """Index of an equal slot (added if new), and how many rows this one's region lies behind that one's."""
        index = self._slot_index.setdefault(slot.key, len(self.slots))
        if index == len(self.slots):
            self.slots.append(slot)
        return index, slot.region.row - self.slots[index].region.row

    def plan(self, batch: int, with_logits: bool) -> PassPlan:
        """The steps of a pass over ``batch`` tokens."""
        return _Planner(self, PassPlan(batch, with_logits)).run()


def map_graph(system: System, graph: OpGraph, max_tokens: int, options: MappingOptions) -> Mapping:
    """Place every tensor of a decode graph and its caches for ``max_tokens`` tokens.

    Raises:
        MappingError: an operation is not supported, or banks or SRAM are too small; the message names the bytes.
    """
    geometry = Geometry.of(system)
    allocator = Allocator(geometry)
    for op in graph.ops:
        _place(allocator, op, max_tokens, options)
    allocator.check_capacity(f"{graph.model} with {max_tokens} tokens")
    mapping = Mapping(system, graph, options, max_tokens, geometry, allocator.regions, 1)
    mapping.batch = _batch(mapping)
    _check_sram(mapping)
    return mapping


def _place(allocator: Allocator, op: Op, max_tokens: int, options: MappingOptions) -> None:
    geometry = allocator.geometry
    if op.kind in ("linear", "embedding"):
        outputs, inputs = op.weight_shape
        role = "weight" if op.kind == "linear" else "table"
        if op.kind == "linear" and _is_lm_head(op) and not options.lm_head_on_pim:
            return
        allocator.place(weight_region(geometry, op.weight_name, op.layer, outputs, inputs, role))
    elif op.kind == "sdpa":
        heads, kv_heads, head_dim = (int(op.attr(n)) for n in ("heads", "kv_heads", "head_dim"))
        if heads != kv_heads:
            raise MappingError(f"{op.module}: grouped-query attention ({heads} heads, {kv_heads} KV heads) is not mapped")
        for region in attention_regions(geometry, op.module, op.layer, heads, head_dim, max_tokens):
            allocator.place(region)


def _is_lm_head(op: Op) -> bool:
    return op.layer < 0 and op.kind == "linear"


def _batch(mapping: Mapping) -> int:
    """Prompt vectors per open row: no more than accumulators, and all of them in the global buffer at once."""
    pim = mapping.system.device.pim
    assert pim is not None
    widest = max(c.width for r in mapping.regions.values() if r.role == "weight" for c in r.chunks)
    fits = mapping.geometry.buffer_columns // mapping.geometry.columns_of(widest)
    return max(1, min(mapping.options.vectors_per_row, pim.accumulators.value, fits))


def _sram_left(mapping: Mapping) -> int:
    """Bytes of SRAM beside the residual vectors of a batch."""
    width = int(mapping.graph.fact("d_model"))
    return mapping.system.host.sram.value - width * ELEMENT_BYTES * mapping.batch


def _check_sram(mapping: Mapping) -> None:
    """Input and output vectors of every linear must fit the SRAM beside the residual vectors (LM head: see ``_blocks``)."""
    for op in mapping.graph.ops:
        if op.kind != "linear" or (_is_lm_head(op) and not mapping.options.lm_head_on_pim):
            continue
        outputs, inputs = op.weight_shape
        kept = 0 if _is_lm_head(op) else outputs
        need = (inputs + kept) * ELEMENT_BYTES * mapping.batch
        _require_sram(mapping, need, f"vectors of {op.module}")


def _require_sram(mapping: Mapping, need: int, what: str) -> None:
    left = _sram_left(mapping)
    if need > left:
        raise MappingError(f"host.sram: {what} need {need} bytes, {left} are left: {need - left} bytes short")


def _blocks(mapping: Mapping, op: Op) -> int:
    """Output blocks of the LM head, so that the partial sums of one block fit the SRAM (its logits are not kept)."""
    outputs, inputs = op.weight_shape
    if not _is_lm_head(op) or inputs <= mapping.geometry.chunk_elements:
        return 1
    tile = mapping.geometry.channels * mapping.geometry.banks
    arriving = 4 * tile  # results that may wait for the ASIC
    _require_sram(mapping, (inputs + tile + arriving) * ELEMENT_BYTES, f"one tile of {op.module}")
    room = _sram_left(mapping) // ELEMENT_BYTES - inputs - arriving
    return -(-outputs // (room // tile * tile))


def _resident_bytes(mapping: Mapping, op: Op, rows: int, blocks: int) -> int:
    """SRAM that a product over ``rows`` vectors takes: residual and input vectors, and outputs unless they are logits."""
    outputs, inputs = op.weight_shape
    if _is_lm_head(op):
        outputs = -(-outputs // blocks) if inputs > mapping.geometry.chunk_elements else 0
    residual = mapping.system.host.sram.value - _sram_left(mapping)
    return residual + (inputs + outputs) * ELEMENT_BYTES * rows


@dataclass
class _Planner:
    """Turns the ops of the graph into steps, in order."""

    mapping: Mapping
    plan: PassPlan
    ready: dict[int, int] = field(default_factory=dict)  # op -> ASIC step that has its result
    first_block_op: int = 0
    pending_v: dict[int, Op] = field(default_factory=dict)  # kv_append of V, by op index, until its sdpa

    def run(self) -> PassPlan:
        ops = self.mapping.graph.ops
        skipped: set[int] = set()
        v_appends = {op.producers[2] for op in ops if op.kind == "sdpa"}
        last_layer = max(i for i, op in enumerate(ops) if op.layer >= 0)
        self.first_block_op = next(i for i, op in enumerate(ops) if op.layer >= 0)
        for i, op in enumerate(ops):
            if i in skipped or (i > last_layer and not self._wants_logits()):
                continue
            if op.kind in ("linear", "embedding"):
                skipped |= self._product(op)
            elif op.kind == "kv_append":
                if op.index in v_appends:
                    self.pending_v[op.index] = op
                else:
                    self._append(op, self._cache_region(op, "k"), "write_k")
            elif op.kind == "sdpa":
                self._attention(op)
            else:
                self._own(op)
        return self.plan

    def _wants_logits(self) -> bool:
        return self.plan.with_logits and self.mapping.options.lm_head_on_pim

    def _rows(self, op: Op) -> int:
        """Vectors that ``op`` works on: all of the batch in the blocks, behind them just the one that gets logits."""
        return self.plan.batch if op.layer >= 0 or op.index < self.first_block_op else 1

    def _cache_region(self, op: Op, which: str) -> Region:
        return self.mapping.regions[f"{op.module}.{which}_cache"]

    def _after(self, op: Op) -> int:
        """The last ASIC step that makes an input of ``op``; -1 if it has none."""
        return max((self.ready.get(p, -1) for p in op.producers if p >= 0), default=-1)

    def _pim(self, slot: Slot, op: Op, token: int, after: int) -> int:
        index, shift = self.mapping.slot(slot)
        self.plan.pim.append(PimStep(index, shift, op.layer, op.index, token, after))
        return len(self.plan.pim) - 1

    def _asic(self, step: AsicStep) -> int:
        self.plan.asic.append(step)
        return len(self.plan.asic) - 1

    def _product(self, op: Op) -> set[int]:
        """A linear or embedding and the element-wise ops that ride on its results. Returns the ops so absorbed."""
        mapping, riding, final = self.mapping, self._riders(op), Work()
        if op.kind == "linear":
            final = ADD if op.has_bias else Work()
            if _is_lm_head(op):
                final += ADD  # argmax, by comparison
            final = sum((_element_work(mapping.system, r) for r in riding), final)
            rows, blocks = self._rows(op), _blocks(mapping, op)
            slot = Slot(
                "vmm", op_class(op), mapping.regions[op.weight_name], batch=rows, blocks=blocks,
                resident_bytes=_resident_bytes(mapping, op, rows, blocks), partial=ADD, final=ADD + final,
            )  # fmt: skip
            tokens = [0]
        else:
            riding = []
            slot = Slot("read", "embedding", mapping.regions[op.weight_name])
            tokens = list(range(self.plan.batch))
        after = max([self._after(op), *(self._after(r) for r in riding if self._after(r) >= 0)])
        label = riding[-1].kind if riding else ("argmax" if _is_lm_head(op) else "accumulate")
        label = "embedding" if op.kind == "embedding" else label
        done = after
        for token in tokens:
            source = self._pim(slot, op, token, after)
            done = self._asic(AsicStep(label, op.layer, op.index, token, source=source))
        for absorbed in (op, *riding):
            self.ready[absorbed.index] = done
        return {r.index for r in riding}

    def _riders(self, op: Op) -> list[Op]:
        """GELU or residual additions that follow ``op`` and wait for nothing that is not done already."""
        ops, riders, last = self.mapping.graph.ops, list[Op](), op
        while (nxt := last.index + 1) < len(ops) and ops[nxt].kind in ("gelu", "add"):
            others = [p for p in ops[nxt].producers if p >= 0 and p != last.index]
            if last.index not in ops[nxt].producers or any(p not in self.ready for p in others):
                break
            last = ops[nxt]
            riders.append(last)
        return riders

    def _append(self, op: Op, region: Region, kind: str) -> None:
        heads, head_dim = op.in_shapes[1][1], op.in_shapes[1][3]
        slot = Slot(kind, "kv_write", region, heads=heads, head_dim=head_dim)
        for token in range(self.plan.batch):
            self._pim(slot, op, token, self._after(op))
        self.ready[op.index] = self._after(op)

    def _attention(self, op: Op) -> None:
        """Scores, softmax and values, block of heads by block; V is written while the ASIC does softmax."""
        mapping = self.mapping
        heads, head_dim = (int(op.attr(n)) for n in ("heads", "head_dim"))
        k_region, v_region = self._cache_region(op, "k"), self._cache_region(op, "v")
        v_append = self.pending_v.pop(op.producers[2])
        blocks = head_blocks(mapping.geometry, heads, head_dim)
        scores = 2 * blocks[0][1] * mapping.max_tokens  # one block in softmax, the next one arriving
        vectors = 4 * heads * head_dim * self.plan.batch  # q, k, v and the result
        _require_sram(mapping, (scores + vectors) * ELEMENT_BYTES, f"attention scores of {op.module}")
        resident = mapping.system.host.sram.value - _sram_left(mapping) + (scores + vectors) * ELEMENT_BYTES
        done = -1
        for token in range(self.plan.batch):
            softmax: list[int] = []
            for first, n in blocks:
                slot = Slot("score", "attention", k_region, n, first, head_dim, resident_bytes=resident, final=MUL)
                source = self._pim(slot, op, token, self._after(op))
                self._asic(AsicStep("accumulate", op.layer, op.index, token, source=source))
                softmax.append(self._asic(AsicStep("softmax", op.layer, op.index, token, cycles=-1, rows=n)))
            if token == 0:
                self._append(v_append, v_region, "write_v")
            for (first, n), after in zip(blocks, softmax, strict=True):
                slot = Slot(
                    "value", "attention", v_region, n, first, head_dim, resident_bytes=resident, partial=ADD, final=ADD
                )
                source = self._pim(slot, op, token, after)
                done = self._asic(AsicStep("accumulate", op.layer, op.index, token, source=source))
        self.ready[op.index] = done

    def _own(self, op: Op) -> None:
        """An op that the ASIC does by itself."""
        host, batch = self.mapping.system.host, self._rows(op)
        width = op.out_shapes[0][-1]
        if op.kind == "layer_norm":
            cycles = layer_norm_cycles(host, width, batch)
        else:
            cycles = map_cycles(host, _element_work(self.mapping.system, op), width * batch)
        self.ready[op.index] = self._asic(AsicStep(op.kind, op.layer, op.index, 0, cycles=cycles))


def _element_work(system: System, op: Op) -> Work:
    """Work of an element-wise op on one element."""
    if op.kind == "gelu":
        return gelu_work(system.host)
    if op.kind in ("add", "mul"):
        return ADD if op.kind == "add" else MUL
    raise MappingError(f'{op.module or "model"}: operation "{op.kind}" is not mapped')


def op_class(op: Op) -> str:
    """Module path without block number: ``blocks.3.attn.qkv`` -> ``attn.qkv``."""
    parts = op.module.split(".")
    return ".".join(parts[parts.index(str(op.layer)) + 1 :]) if str(op.layer) in parts else op.module
