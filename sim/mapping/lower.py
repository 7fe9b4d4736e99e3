"""Slots -> templates: the command streams of all channels for one kind of work at one KV length."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...traces.commands import CommandStream, empty_stream, join
from ..asic_cost import throughput_cycles
from ..kept import Anew, Keeper
from .emit import Emitter, Intervals, Phase
from .pim_gpt import Mapping
from .placement import Chunk, Geometry, value_groups
from .program import Slot


@dataclass(frozen=True)
class Template:
    """Streams of one slot.

    Attributes:
        stream: the distinct channel streams, one after another.
        slices: int64[2, channels]: begin and end of each channel's part.
        tiles: results that the channels deliver, in parts.
        tile_elements: int64[tiles]: elements that all channels deliver with each tile.
        tile_cycles: int64[tiles]: ASIC cycles to take a tile in.
        tail_cycles: depth of the ASIC's pipeline, paid once after the last tile.
        latency: device cycles from the read command of a tile to its last data.
    """

    stream: CommandStream
    slices: NDArray[np.int64]
    tiles: int
    tile_elements: NDArray[np.int64]
    tile_cycles: NDArray[np.int64]
    tail_cycles: int
    latency: int


ChannelStream = tuple[CommandStream, NDArray[np.int64], NDArray[np.bool_]]
"""Stream of a channel, elements of each tile it delivers, whether they are finished sums."""


class Lowering:
    """Makes templates for a mapping; keeps the latest of each slot, so that layers share it.

    Streams depend on shapes, geometry and kinds of commands alone; ``keeper`` may hold those of other simulations.
    """

    def __init__(self, mapping: Mapping, keeper: Keeper | None = None):
        self.mapping, self.keeper = mapping, keeper or Anew()
        self.geometry = mapping.geometry
        self.emitter = Emitter.of(mapping.system.device)
        self._variants: dict[tuple[object, ...], CommandStream] = {}  # of the template in the making
        self._kept: dict[int, tuple[int, Template]] = {}  # slot -> the latest, and what it is for

    def template(self, slot_index: int, kv_length: int) -> Template:
        """Template of a slot for the token that makes the KV length ``kv_length``."""
        slot = self.mapping.slots[slot_index]
        variable = 0 if slot.kind == "vmm" else kv_length
        if slot.kind == "write_v":  # a column holds several tokens: nothing changes within one
            variable = (kv_length - 1) // self.geometry.epc
        if slot_index not in self._kept or self._kept[slot_index][0] != variable:
            self._kept[slot_index] = (variable, self._lower(slot, kv_length, variable))
        return self._kept[slot_index][1]

    def _lower(self, slot: Slot, kv_length: int, variable: int) -> Template:
        shape = (slot.kind, slot.heads, slot.first_head, slot.head_dim, slot.batch, slot.blocks)
        place = (slot.region.shape_key, slot.region.row)
        key = ("streams", self.emitter.key, self.geometry, shape, place, variable)
        return self._assemble(slot, self.keeper.get(key, lambda: self._per_channel(slot, kv_length)))

    def _per_channel(self, slot: Slot, kv_length: int) -> list[ChannelStream]:
        makers: dict[str, Callable[[Slot, int, int], ChannelStream]] = {
            "vmm": self._vmm,
            "score": self._score,
            "value": self._value,
            "write_k": self._write_k,
            "write_v": self._write_v,
            "read": self._read,
        }
        self._variants.clear()
        return [makers[slot.kind](slot, kv_length, c) for c in range(self.geometry.channels)]

    def _assemble(self, slot: Slot, per_channel: list[ChannelStream]) -> Template:
        """Join the channels' streams, equal ones once, and add their tiles up."""
        begin, end, parts, seen, length = [], [], list[CommandStream](), dict[bytes, int](), 0
        tiles = max(len(elements) for _, elements, _ in per_channel)
        total, final = np.zeros(tiles, np.int64), np.zeros(tiles, bool)
        for stream, elements, finished in per_channel:
            raw = stream.tobytes()
            if raw not in seen:
                seen[raw] = length
                parts.append(stream)
                length += len(stream)
            begin.append(seen[raw])
            end.append(seen[raw] + len(stream))
            total[: len(elements)] += elements
            final[: len(elements)] |= finished
        host = self.mapping.system.host
        cost = [
            max(1, throughput_cycles(host, slot.final if last else slot.partial, int(n)))
            for n, last in zip(total, final, strict=True)
        ]
        n = self.mapping.system.device.params
        return Template(
            join(parts), np.array([begin, end]), tiles, total, np.array(cost, np.int64),
            slot.final.depth, (n["nCL"] if slot.kind == "read" else n["nCLREG"]) + n["nBL"],
        )  # fmt: skip

    def _multiply(self, key: tuple[object, ...], phases: list[Phase]) -> CommandStream:
        """The stream of a product; channels whose ``key`` is equal have equal phases and share it."""
        if key not in self._variants:
            self._variants[key] = self.emitter.multiply(phases)
        return self._variants[key]

    def _vmm(self, slot: Slot, kv_length: int, channel: int) -> ChannelStream:
        g, region = self.geometry, slot.region
        segments = region.chunks[0].segments
        per_block = -(-max(segments) // slot.blocks)
        phases: list[Phase] = []
        elements: list[NDArray[np.int64]] = []
        final: list[NDArray[np.bool_]] = []
        tile = 0
        for first in range(0, max(segments), per_block):
            local = np.arange(first, min(first + per_block, segments[channel]))
            valid = np.clip(region.outputs - (local * g.channels + channel) * g.banks, 0, g.banks)
            here = min(per_block, max(segments) - first)
            for chunk in region.chunks:
                intervals = _segments(g, chunk, local, valid, chunk.width, tile)
                if slot.batch > 1:
                    intervals = _share_rows(g, intervals, slot.batch)
                phases.append(Phase(slot.batch * chunk.stride, region.row + chunk.row, intervals, slot.batch))
                tile_valid = np.zeros(here, np.int64)
                tile_valid[: len(local)] = valid * slot.batch
                elements.append(tile_valid)
                final.append(np.full(here, chunk is region.chunks[-1]))
                tile += here
        return self.emitter.multiply(phases), np.concatenate(elements), np.concatenate(final)

    def _score(self, slot: Slot, kv_length: int, channel: int) -> ChannelStream:
        g, region = self.geometry, slot.region
        chunk = next(c for c in region.chunks if c.begin == slot.first_head * slot.head_dim)
        columns = g.columns_of(slot.head_dim)
        local = np.arange(g.local_groups(-(-kv_length // g.banks), channel))
        valid = np.clip(kv_length - (local * g.channels + channel) * g.banks, 0, g.banks)
        elements = np.repeat(valid, slot.heads)
        final = np.ones(len(elements), bool)
        key = (len(local), valid[-1:].tobytes())
        if key in self._variants:
            return self._variants[key], elements, final
        intervals = np.empty((len(local), slot.heads, 4), np.int64)
        intervals[:, :, 0] = (local * chunk.stride)[:, None] + np.arange(slot.heads) * columns
        intervals[:, :, 1] = columns
        intervals[:, :, 2] = (valid * g.epc)[:, None]
        intervals[:, :, 3] = np.arange(len(local) * slot.heads).reshape(len(local), slot.heads)
        phase = Phase(slot.heads * columns, region.row + chunk.row, intervals.reshape(-1, 4))
        return self._multiply(key, [phase]), elements, final

    def _value(self, slot: Slot, kv_length: int, channel: int) -> ChannelStream:
        g, region = self.geometry, slot.region
        per_head = -(-slot.head_dim // g.banks)
        groups = np.array(value_groups(g, slot.heads, slot.head_dim, channel), np.int64)
        first_segment = self._segments_before(slot, channel)
        head, within = groups // per_head, groups % per_head
        valid = np.clip(slot.head_dim - within * g.banks, 0, g.banks)
        chunks = [c for c in region.chunks if c.begin < kv_length]
        elements, final = np.tile(valid, len(chunks)), np.zeros(len(groups) * len(chunks), bool)
        final[len(groups) * (len(chunks) - 1) :] = True
        key = (first_segment, within.tobytes())
        if key in self._variants:
            return self._variants[key], elements, final
        phases: list[Phase] = []
        for t, chunk in enumerate(chunks):
            width = min(chunk.width, kv_length - chunk.begin)
            for h in dict.fromkeys(head.tolist()):
                at = np.flatnonzero(head == h)
                tile = t * len(groups) + int(at[0])
                intervals = _segments(g, chunk, first_segment + at, valid[at], width, tile)
                phases.append(Phase(g.columns_of(width), region.row + chunk.row, intervals))
        return self._multiply(key, phases), elements, final

    def _segments_before(self, slot: Slot, channel: int) -> int:
        """Segments of a channel's V that belong to blocks of heads before this one."""
        per_block = self.geometry.chunk_elements // slot.head_dim
        before = slot.first_head // per_block
        return before * len(value_groups(self.geometry, per_block, slot.head_dim, channel))

    def _write_k(self, slot: Slot, kv_length: int, channel: int) -> ChannelStream:
        g, token = self.geometry, kv_length - 1
        group, bank = divmod(token, g.banks)
        if group % g.channels != channel:
            return _nothing()
        steps: list[tuple[str, int, int, int, int]] = []
        for chunk in slot.region.chunks:
            for row, col, count in _pieces(g, group // g.channels * chunk.stride, chunk.stride):
                row += slot.region.row + chunk.row
                steps += [("ACT", bank, row, -1, 1), ("WR", bank, row, col, count), ("PRE", bank, -1, -1, 1)]
        return self.emitter.access(steps), np.empty(0, np.int64), np.empty(0, bool)

    def _write_v(self, slot: Slot, kv_length: int, channel: int) -> ChannelStream:
        g, token = self.geometry, kv_length - 1
        chunk = next(c for c in reversed(slot.region.chunks) if c.begin <= token)
        column = np.arange(chunk.segments[channel]) * chunk.stride + (token - chunk.begin) // g.epc
        if not len(column):
            return _nothing()
        valid = self._value_dims(slot, channel)
        steps: list[tuple[str, int, int, int, int]] = []
        for row in dict.fromkeys((column // g.columns).tolist()):
            absolute = slot.region.row + chunk.row + row
            steps.append(("ACT16", 0, absolute, -1, 1))
            for i in np.flatnonzero(column // g.columns == row).tolist():
                col = int(column[i]) % g.columns
                steps += [("WR", bank, absolute, col, 1) for bank in range(valid[i])]
            steps.append(("PREA", 0, -1, -1, 1))
        return self.emitter.access(steps), np.empty(0, np.int64), np.empty(0, bool)

    def _value_dims(self, slot: Slot, channel: int) -> list[int]:
        """Dimensions in each V segment of a channel: as many as banks, fewer in the last group of a head."""
        g, per_head = self.geometry, -(-slot.head_dim // self.geometry.banks)
        per_block, dims = g.chunk_elements // slot.head_dim, list[int]()
        for first in range(0, slot.heads, per_block):
            heads = min(per_block, slot.heads - first)
            for group in value_groups(g, heads, slot.head_dim, channel):
                dims.append(min(g.banks, slot.head_dim - group % per_head * g.banks))
        return dims

    def _read(self, slot: Slot, kv_length: int, channel: int) -> ChannelStream:
        """One row of a table. Which token was chosen is not known; the pass's number stands for it (timing is alike)."""
        g, region = self.geometry, slot.region
        group, bank = divmod((kv_length - 1) % region.outputs, g.banks)
        if group % g.channels != channel:
            return _nothing()
        steps: list[tuple[str, int, int, int, int]] = []
        for chunk in region.chunks:
            for row, col, count in _pieces(g, group // g.channels * chunk.stride, chunk.stride):
                row += region.row + chunk.row
                steps += [("ACT", bank, row, -1, 1), ("RD", bank, row, col, count), ("PRE", bank, -1, -1, 1)]
        stream = self.emitter.access(steps)
        reads = np.flatnonzero(stream["cmd"] == self.emitter.cmd("RD"))
        stream["tile"][reads] = np.arange(len(reads))
        elements = stream["count"][reads].astype(np.int64) * g.epc
        return stream, elements, np.ones(len(reads), bool)


def _nothing() -> ChannelStream:
    return empty_stream(0), np.empty(0, np.int64), np.empty(0, bool)


def _segments(
    g: Geometry, chunk: Chunk, index: NDArray[np.int64], valid: NDArray[np.int64], width: int, tile: int
) -> Intervals:
    """Intervals over the first ``width`` elements of segments ``index``; each is one tile, numbered from ``tile``.

    Where the width ends inside a column, that column is an interval of its own with fewer useful MACs.
    """
    full, rest = divmod(width, g.epc)
    parts: list[NDArray[np.int64]] = []
    numbers = tile + np.arange(len(index))
    none = np.full(len(index), -1)
    if full:
        columns = (index * chunk.stride, np.full(len(index), full), valid * g.epc, none if rest else numbers)
        parts.append(np.stack(columns, axis=1))
    if rest:
        columns = (index * chunk.stride + full, np.ones(len(index), np.int64), valid * rest, numbers)
        parts.append(np.stack(columns, axis=1))
    return np.stack(parts, axis=1).reshape(-1, 4)


def _share_rows(g: Geometry, intervals: Intervals, vectors: int) -> Intervals:
    """Each interval ``vectors`` times over, once an input vector, row by row: a row stays open until all vectors used it."""
    parts: list[tuple[int, int, int, int]] = []
    for begin, columns, macs, tile in intervals.tolist():
        pieces = _pieces(g, begin, columns)
        for i, (row, col, count) in enumerate(pieces):
            last = tile if i == len(pieces) - 1 else -1
            parts += [(row * g.columns + col, count, macs, last)] * vectors
    return np.array(parts, np.int64).reshape(-1, 4)


def _pieces(g: Geometry, begin: int, columns: int) -> list[tuple[int, int, int]]:
    """(row, column, count) of a run of columns, row by row."""
    pieces: list[tuple[int, int, int]] = []
    while columns:
        row, col = divmod(begin, g.columns)
        count = min(columns, g.columns - col)
        pieces.append((row, col, count))
        begin, columns = begin + count, columns - count
    return pieces
