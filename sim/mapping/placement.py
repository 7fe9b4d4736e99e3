"""Where tensors live: regions of rows, the same rows in every bank of every channel.

A region holds a matrix as segments. A segment is what one bank multiplies with one input vector: a stretch of the
columns of one output (a weight row, one token's keys, one value dimension). The banks of a channel work in lock-step on one
group of outputs, one a bank, so segment i of every bank of a channel starts at the same column. Segments follow one another
without gaps across DRAM rows ("matrices concatenated"), so each row is full.

A matrix whose outputs are longer than the global buffer is cut into chunks, each with its own segments; the partial sums of the
chunks meet in the ASIC.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ...arch.device import ELEMENT_BYTES
from ...arch.system import System


class MappingError(ValueError):
    """The workload does not fit the system."""


@dataclass(frozen=True)
class Geometry:
    """The numbers of a system that placement and lowering need."""

    channels: int
    banks: int
    rows: int
    columns: int  # column accesses of a row
    epc: int  # matrix elements of a column access
    buffer_columns: int  # columns that the global buffer holds

    @classmethod
    def of(cls, system: System) -> "Geometry":
        """Geometry of ``system``, whose device must have MAC units."""
        device = system.device
        if device.pim is None:
            raise MappingError(f'system "{system.name}" has no MAC units to map to')
        org = device.organization
        buffer_columns = device.pim.global_buffer.value // org.access_size.value
        if buffer_columns < 1:
            raise MappingError("device.pim.global_buffer holds less than one column access")
        return cls(
            system.channels.value, org.banks, org.rows.value, org.columns, org.elements_per_column, buffer_columns
        )

    @property
    def chunk_elements(self) -> int:
        """Longest input vector of one chunk: what the global buffer and a DRAM row hold."""
        return min(self.buffer_columns, self.columns) * self.epc

    def columns_of(self, elements: int) -> int:
        """Column accesses that ``elements`` elements take."""
        return -(-elements // self.epc)

    def local_groups(self, groups: int, channel: int) -> int:
        """Groups of a matrix of ``groups`` groups, dealt to channels in turn, that fall to ``channel``."""
        return (groups - channel + self.channels - 1) // self.channels


@dataclass(frozen=True)
class Chunk:
    """Inputs ``begin`` to ``begin + width`` of every output of a region.

    Attributes:
        stride: columns from one segment to the next.
        segments: segments of each channel.
        row: first row, counted from the region's first.
        rows: rows that the chunk takes in a bank.
    """

    begin: int
    width: int
    stride: int
    segments: tuple[int, ...]
    row: int
    rows: int


@dataclass(frozen=True)
class Region:
    """A tensor's place: rows ``row`` to ``row + rows`` of every bank."""

    tensor: str
    role: str  # weight, table, k_cache, v_cache
    layer: int
    outputs: int
    inputs: int
    chunks: tuple[Chunk, ...]
    row: int = 0

    @property
    def rows(self) -> int:
        """Rows that the region takes in a bank."""
        return sum(c.rows for c in self.chunks)

    @property
    def shape_key(self) -> tuple[object, ...]:
        """Equal for regions that differ in nothing but tensor, layer and place."""
        return (self.role, self.outputs, self.inputs, self.chunks)


def make_chunks(geometry: Geometry, widths: list[int], segments: list[int]) -> tuple[Chunk, ...]:
    """Chunks of the given input widths, each with ``segments[channel]`` segments."""
    chunks: list[Chunk] = []
    row = begin = 0
    for width in widths:
        stride = geometry.columns_of(width)
        rows = -(-max(segments) * stride // geometry.columns)
        chunks.append(Chunk(begin, width, stride, tuple(segments), row, rows))
        row, begin = row + rows, begin + width
    return tuple(chunks)


def split(total: int, part: int) -> list[int]:
    """``total`` in pieces of ``part``, the last one shorter."""
    return [min(part, total - begin) for begin in range(0, total, part)]


def weight_region(geometry: Geometry, tensor: str, layer: int, outputs: int, inputs: int, role: str) -> Region:
    """A weight matrix [outputs, inputs]: groups of one output a bank, dealt to channels in turn."""
    groups = -(-outputs // geometry.banks)
    segments = [geometry.local_groups(groups, c) for c in range(geometry.channels)]
    widths = split(inputs, geometry.chunk_elements)
    return Region(tensor, role, layer, outputs, inputs, make_chunks(geometry, widths, segments))


def head_blocks(geometry: Geometry, heads: int, head_dim: int) -> list[tuple[int, int]]:
    """(first head, heads) of each chunk of the K region: as many heads as a row and the global buffer hold."""
    per_row = geometry.chunk_elements // head_dim
    return [(i * per_row, n) for i, n in enumerate(split(heads, per_row))]


def attention_regions(
    geometry: Geometry, module: str, layer: int, heads: int, head_dim: int, tokens: int
) -> tuple[Region, Region]:
    """K and V cache of an attention module, for ``tokens`` tokens.

    Raises:
        MappingError: the head size does not fit columns and rows.
    """
    if head_dim > geometry.chunk_elements or head_dim % geometry.epc:
        raise MappingError(
            f"{module}: head size {head_dim} needs to be a multiple of {geometry.epc} up to {geometry.chunk_elements}"
        )
    sizes = (geometry, module, layer, heads, head_dim, tokens)
    return _k_region(*sizes), _v_region(*sizes)


def _k_region(geometry: Geometry, module: str, layer: int, heads: int, head_dim: int, tokens: int) -> Region:
    groups = -(-tokens // geometry.banks)
    segments = [geometry.local_groups(groups, c) for c in range(geometry.channels)]
    widths = [n * head_dim for _, n in head_blocks(geometry, heads, head_dim)]
    chunks = make_chunks(geometry, widths, segments)
    return Region(f"{module}.k_cache", "k_cache", layer, tokens, heads * head_dim, chunks)


def value_groups(geometry: Geometry, heads: int, head_dim: int, channel: int) -> range:
    """Groups of value dimensions of a block of ``heads`` that fall to ``channel``: a run, so that heads stay together."""
    groups = heads * -(-head_dim // geometry.banks)
    return range(channel * groups // geometry.channels, (channel + 1) * groups // geometry.channels)


def _v_region(geometry: Geometry, module: str, layer: int, heads: int, head_dim: int, tokens: int) -> Region:
    blocks = head_blocks(geometry, heads, head_dim)
    segments = [
        sum(len(value_groups(geometry, n, head_dim, c)) for _, n in blocks) for c in range(geometry.channels)
    ]
    chunks = make_chunks(geometry, split(tokens, geometry.chunk_elements), segments)
    return Region(f"{module}.v_cache", "v_cache", layer, heads * head_dim, tokens, chunks)


@dataclass
class Allocator:
    """Deals out rows from the first on; remembers what it placed."""

    geometry: Geometry
    regions: dict[str, Region] = field(default_factory=dict)
    next_row: int = 0

    def place(self, region: Region) -> Region:
        """Put a region behind the last one; a tensor that is placed already stays where it is."""
        if region.tensor in self.regions:
            return self.regions[region.tensor]
        placed = replace(region, row=self.next_row)
        self.next_row += region.rows
        self.regions[region.tensor] = placed
        return placed

    def check_capacity(self, workload: str) -> None:
        """Raise MappingError, naming the bytes short, if the regions need more rows than a bank has."""
        geometry = self.geometry
        if self.next_row <= geometry.rows:
            return
        row_bytes = geometry.columns * geometry.epc * ELEMENT_BYTES
        banks = geometry.channels * geometry.banks
        short = (self.next_row - geometry.rows) * row_bytes * banks
        raise MappingError(
            f"{workload} does not fit: it needs {self.next_row} rows a bank of {geometry.rows}, "
            f"{short} bytes short of {geometry.rows * row_bytes * banks} in {banks} banks"
        )


@dataclass(frozen=True)
class Placement:
    """Rows ``row_begin`` to ``row_end`` of one bank hold part of ``tensor``."""

    tensor: str
    role: str
    layer: int
    channel: int
    bank: int
    row_begin: int
    row_end: int
    bytes_used: int


def placements(geometry: Geometry, regions: list[Region]) -> Iterator[Placement]:
    """The regions bank by bank; a channel with fewer segments uses fewer rows."""
    for region in regions:
        for chunk in region.chunks:
            for channel, segments in enumerate(chunk.segments):
                columns = segments * chunk.stride
                begin = region.row + chunk.row
                end = begin + -(-columns // geometry.columns)
                used = columns * geometry.epc * ELEMENT_BYTES
                for bank in range(geometry.banks):
                    yield Placement(region.tensor, region.role, region.layer, channel, bank, begin, end, used)
