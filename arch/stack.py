"""A software stack: everything about a kernel that belongs to a library and not to the chip.

Menus list what a library can choose from; a menu or a list of choices carries one source for all that is in it.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from .fusion import Fusion
from .gpu import Architecture
from .quantise import QuantisePolicy
from .simt import SimtPolicy
from .tiles import TileMenu
from .values import Count, CountOrZero, Duration, Flag, PerMille, Sourced, SourceKind, Spec, sourced_values


class Choices(Spec):
    """Whole numbers that a library chooses from."""

    kind: SourceKind
    ref: str
    values: tuple[int, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.values) != sorted(set(self.values)) or self.values[0] < 1:
            raise ValueError("values: needs ascending whole numbers from 1 on")
        return self


class GemmCosts(Spec):
    """What a matrix product costs beside its work; cycles (``ck``) are those of the SM."""

    step: Duration = Field(description="each step of the loop along k, beside its multiply-adds")
    step_least: Duration = Field(description="the multiply-adds of a step, however small the tile")
    epilogue: Duration = Field(description="from the last step of a tile to its first write")
    epilogue_bytes: Count = Field(description="bytes a clock that a CTA then writes")
    cta_launch: Duration = Field(description="starting a CTA on a slot that another has left")
    split_pass: Duration = Field(description="adding up the parts of a split k, beside the traffic, its launch included")


class GemmPolicy(Spec):
    """How a library multiplies matrices."""

    menus: dict[str, TileMenu]
    split_k: Choices = Field(description="parts into which k may be cut")
    simt: SimtPolicy | None = Field(default=None, description="kernels on the scalar lanes, where their menus tell more")
    quantise: QuantisePolicy | None = Field(default=None, description="activations of fp8 products are quantised before them")
    costs: GemmCosts

    @model_validator(mode="after")
    def _one_menu_a_type(self) -> Self:
        seen: dict[str, str] = {}
        for name, menu in self.menus.items():
            for dtype in menu.dtypes:
                if dtype in seen:
                    raise ValueError(f"menus.{name}: {dtype} is in {seen[dtype]} already")
                seen[dtype] = name
        return self

    def has_menu(self, dtype: str) -> bool:
        """Whether there are kernels for a type."""
        return any(dtype in menu.dtypes for menu in self.menus.values())

    def menu(self, dtype: str) -> TileMenu:
        """The kernels for a type.

        Raises:
            KeyError: the stack has none.
        """
        for menu in self.menus.values():
            if dtype in menu.dtypes:
                return menu
        raise KeyError(dtype)


class AttentionGeneration(StrEnum):
    """Which FlashAttention the kernels are."""

    FA2 = "fa2"
    FA3 = "fa3"
    FA3_AMPERE = "fa3-ampere"  # cut as FlashAttention 3 cuts, with kernels much like those of FlashAttention 2


class AttentionTile(Spec):
    """Block of queries and of keys that one CTA works on, up to a head size."""

    head_dim: int = Field(gt=0, le=1024, description="for heads up to this size")
    queries: int = Field(gt=0, le=1024)
    keys: int = Field(gt=0, le=1024)
    warps: int = Field(gt=0, le=32)
    stages: int = Field(gt=0, le=16)


class AttentionTiles(Spec):
    """Tiles by head size, ascending."""

    kind: SourceKind
    ref: str
    tiles: tuple[AttentionTile, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        sizes = [tile.head_dim for tile in self.tiles]
        if sizes != sorted(set(sizes)):
            raise ValueError("tiles: head_dim must ascend")
        return self

    def tile(self, head_dim: int) -> AttentionTile:
        """The tile for heads of ``head_dim`` elements.

        Raises:
            KeyError: no tile is large enough.
        """
        for tile in self.tiles:
            if head_dim <= tile.head_dim:
                return tile
        raise KeyError(head_dim)


class SplitKv(StrEnum):
    """When decode attention cuts the keys of a head into parts."""

    NEVER = "never"
    FILL_SMS = "fill_sms"  # so many parts that all SMs have work


class AttentionPolicy(Spec):
    """How a library computes attention."""

    generation: AttentionGeneration
    causal: AttentionTiles
    full: AttentionTiles = Field(description="not causal")
    decode: AttentionTiles = Field(description="not causal, or one query token; all rows of a head or of packed heads fit in")
    decode_many: AttentionTiles | None = Field(default=None, description="one query token, more rows than that; None: as full")
    causal_few: AttentionTiles | None = Field(default=None, description="causal, all rows fit in; None: as causal")
    cut: AttentionTiles | None = Field(default=None, description="where keys may be cut into parts; None: as where they are not")
    split_kv: SplitKv
    max_splits: Count
    separate_kv_write: Flag = Field(description="the new keys and values are written by a kernel of their own")
    pack_gqa: Flag = Field(description="query heads that share keys are rows of one tile")
    softmax_operations: Count = Field(description="scalar instructions for each score, beside its exponential")
    exposed_softmax: PerMille = Field(description="share of the softmax that does not hide behind matrix products")
    few_blocks: Count = Field(description="blocks of keys up to which a sequence is not cut")
    tile: Duration = Field(description="what a query tile costs beside its steps: to be scheduled, to begin and to end")
    tile_block: Duration = Field(description="the same for each 64 rows by 64 elements of its queries and results")
    sequences: Duration | None = Field(default=None, description="what FlashAttention 3's scheduler takes for 31 sequences")
    parallel_count: Flag | None = Field(
        default=None, description="FlashAttention 3 counts blocks of any number of sequences at once; None: up to 992, one by one"
    )
    combine: Duration = Field(description="the kernel that adds up parts of split keys, its launch included, beside its traffic")
    kv_write: Duration = Field(description="what a CTA of a helper kernel takes beside its traffic")
    follow: Duration = Field(description="launch of a kernel that follows another of the same call")
    kv_write_reads: Count = Field(description="reads, one after another, of a CTA that writes a token into the cache")
    kv_write_warp: Count | None = Field(
        default=None, description="bytes of a token's key that a warp of 4 writes, if they divide it; None: a CTA a token"
    )


class RowwiseForm(StrEnum):
    """How a kernel lays rows out over CTAs."""

    FLAT = "flat"  # rows do not matter: each CTA takes the next stretch of elements, once
    ROW = "row"  # one CTA a row, whose threads walk along it
    WARP = "warp"  # up to warp_row elements one or two rows a warp, held in registers; else ROW with torch's block size


class RowwiseKernel(Spec):
    """One kernel. ``kind`` and ``ref`` are those of its shape; what its instructions cost has a source of its own."""

    kind: SourceKind
    ref: str
    form: RowwiseForm
    threads: int = Field(gt=0, le=1024, description="threads of a CTA, at most")
    narrow: bool = Field(default=True, description="form row: no more threads than the row needs")
    vector: int = Field(default=1, gt=0, le=16, description="elements that a thread loads at once")
    unroll: int = Field(default=1, gt=0, le=16, description="such loads of an operand that a thread has in flight")
    passes: int = Field(default=1, gt=0, le=4, description="times that a row is read")
    warp_row: int = Field(default=0, ge=0, le=4096, description="form warp: longest row that a warp holds")
    instructions: Count = Field(description="instructions for one element in one pass, loads, stores and addresses included")
    fixed: CountOrZero = Field(description="instructions of each warp beside those: to begin, to add up rows, to end")


class RowwisePolicy(Spec):
    """Row-wise and elementwise kernels, by operation."""

    sync: Count = Field(description="SM clocks that a CTA waits at the end of a pass until its warps have added up a row")
    scalar: PerMille = Field(description="share of the instructions that work on the fp32 lanes")
    l1_share: PerMille = Field(description="share of the shared memory that, as L1, keeps rows until they are read again")
    ramp: Duration | None = Field(default=None, description="eager kernels: time up to which the clock stays near its base")
    kernels: dict[str, RowwiseKernel]

    def kernel(self, op: str) -> RowwiseKernel:
        """The kernel of an operation.

        Raises:
            KeyError: the stack has none.
        """
        return self.kernels[op]


class FixedCosts(Spec):
    """Times that each kernel or pass costs beside its work; None: nothing known."""

    launch: Duration | None = Field(default=None, description="from the end of one kernel to the first work of the next")
    alone: Duration | None = Field(default=None, description="more, for the only kernel of a graph")
    eager_after: Duration | None = Field(
        default=None, description="of the eager times: host time from the launch of the kernel to the event that ends the timing"
    )
    eager: dict[str, Duration] = Field(
        default_factory=dict, description="by operation: host time of one that is launched and timed by itself"
    )


class StackSpec(Spec):
    """The libraries that ran a kernel."""

    name: str
    description: str
    architectures: tuple[Architecture, ...] = Field(min_length=1)
    frameworks: tuple[str, ...] = Field(description="names and versions in logs that this stack stands for")
    generic: bool = Field(default=False, description="stands in for unknown frameworks on its architectures")
    gemm: GemmPolicy
    attention: AttentionPolicy | None = None
    rowwise: RowwisePolicy
    fusion: Fusion = Field(default_factory=Fusion)
    fixed: FixedCosts = Field(default_factory=FixedCosts)

    def sourced(self) -> dict[str, Sourced | TileMenu | Choices | AttentionTiles | RowwiseKernel]:
        """Every number, menu and list with a source, by its dotted name (``gemm.costs.step``)."""
        found: dict[str, Sourced | TileMenu | Choices | AttentionTiles | RowwiseKernel] = {**sourced_values(self)}
        found |= {f"gemm.menus.{name}": menu for name, menu in self.gemm.menus.items()}
        found["gemm.split_k"] = self.gemm.split_k
        found |= {f"rowwise.kernels.{name}": kernel for name, kernel in self.rowwise.kernels.items()}
        if self.attention is not None:
            for name in ("causal", "causal_few", "full", "decode", "decode_many", "cut"):
                if getattr(self.attention, name) is not None:
                    found[f"attention.{name}"] = getattr(self.attention, name)
        return found
