"""Menus of matrix product kernels: the blocks of the output that a library's kernels compute, listed or by rule."""

from collections.abc import Iterator
from enum import StrEnum
from itertools import product
from typing import Self

from pydantic import Field, model_validator

from .gpu import DTYPE_BYTES
from .values import Size, SourceKind, Spec

WIDE_OUTPUTS = 128 * 128
"""Outputs from which on a CTA of a family has twice the warps."""


class Overlap(StrEnum):
    """What goes on in a slot of an SM while a tile of its output is written."""

    NONE = "none"  # one CTA a tile: the slot waits
    LOADS = "loads"  # a persistent CTA: the next tile's operands come in
    ALL = "all"  # two groups of warps take turns: the next tile is multiplied too


class Tile(Spec):
    """One GEMM kernel: the block of the output that a CTA computes, and how it walks along k. Lengths are elements."""

    m: int = Field(gt=0, le=1024)
    n: int = Field(gt=0, le=1024)
    k: int = Field(gt=0, le=1024, description="depth of one step of the copy pipeline")
    stages: int = Field(gt=0, le=16, description="steps that the pipeline holds")
    warps: int = Field(gt=0, le=32)
    ctas_per_sm: int | None = Field(default=None, gt=0, le=32, description="None: as many as its resources allow")
    ctas_per_cluster: int = Field(default=1, gt=0, le=16)
    overlap: Overlap = Overlap.NONE
    rows_above: int = Field(default=0, ge=0, description="the library takes it for products with more rows than this")
    rows_most: int | None = Field(default=None, gt=0, description="... and with at most so many")

    def shared_bytes(self, element_bytes: int) -> int:
        """Shared memory of the operand pipeline."""
        return (self.m + self.n) * self.k * self.stages * element_bytes


class TileFamily(Spec):
    """Kernels that differ in their block only; as many stages as ``pipeline`` holds, of those in ``stages``.

    Blocks are listed as (m, n), or follow from ``m`` and a range of n, with at most ``outputs_most`` outputs; ``turned``: each
    also with m and n exchanged, where n is then at least ``n_least_turned``.
    """

    blocks: tuple[tuple[int, int], ...] = ()
    m: tuple[int, ...] = ()
    n_least: int = Field(default=0, ge=0)
    n_most: int = Field(default=0, ge=0, le=1024)
    n_step: int = Field(default=0, ge=0)
    n_least_turned: int = Field(default=1, gt=0)
    turned: bool = False
    outputs_most: int = Field(default=1 << 20, gt=0)
    k: tuple[int, ...] = Field(min_length=1)
    stages: tuple[int, ...] = Field(min_length=1)
    pipeline: Size
    warps: int = Field(gt=0, le=16, description="of a CTA; twice as many from 128 x 128 outputs on")
    ctas_per_sm: int | None = Field(default=None, gt=0, le=32)
    ctas_per_cluster: int = Field(default=1, gt=0, le=16)
    overlap: Overlap = Overlap.NONE

    @model_validator(mode="after")
    def _rule_or_list(self) -> Self:
        if bool(self.blocks) == bool(self.m):
            raise ValueError("blocks: give a list of [m, n], or m with n_least, n_most and n_step")
        if self.m and not (self.n_step and 0 < self.n_least <= self.n_most):
            raise ValueError("n_least: needs 0 < n_least <= n_most and n_step above 0")
        return self

    def _blocks(self) -> list[tuple[int, int]]:
        widths = range(self.n_least, self.n_most + 1, self.n_step) if self.m else ()
        blocks = [*self.blocks, *product(self.m, widths)]
        if self.turned:
            blocks += [(n, m) for m, n in blocks]
        return sorted({(m, n) for m, n in blocks if m * n <= self.outputs_most and n >= self.n_least_turned})

    def members(self, element_bytes: int) -> Iterator[Tile]:
        """The kernels, for operands of a size."""
        for (m, n), k in product(self._blocks(), self.k):
            held = self.pipeline.value // ((m + n) * k * element_bytes)
            fitting = [stages for stages in self.stages if stages <= held]
            if fitting:
                yield Tile(
                    m=m, n=n, k=k, stages=max(fitting), warps=self.warps * 2 if m * n >= WIDE_OUTPUTS else self.warps,
                    ctas_per_sm=self.ctas_per_sm, ctas_per_cluster=self.ctas_per_cluster, overlap=self.overlap,
                )  # fmt: skip


class TileMenu(Spec):
    """The GEMM kernels of a library for some types: tiles one by one, and families of them."""

    kind: SourceKind
    ref: str
    dtypes: tuple[str, ...]
    tiles: tuple[Tile, ...] = ()
    families: tuple[TileFamily, ...] = ()
    split_k: bool = Field(default=True, description="whether k may be cut")
    spare_registers: int = Field(default=90, ge=0, le=255, description="registers of a thread beside its outputs")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for dtype in self.dtypes:
            if dtype not in DTYPE_BYTES:
                raise ValueError(f'dtypes: unknown type "{dtype}"; known: {", ".join(DTYPE_BYTES)}')
        if len(set(self.tiles)) != len(self.tiles):
            raise ValueError("tiles: a tile stands there twice")
        if not self.tiles and not self.families:
            raise ValueError("tiles: needs at least one, or a family")
        return self

    def bounds(self) -> tuple[int, ...]:
        """Numbers of rows up to which the same kernels are taken, ascending."""
        return tuple(sorted({x for tile in self.tiles for x in (tile.rows_above, tile.rows_most) if x}))

    def all_tiles(self, dtype: str) -> tuple[Tile, ...]:
        """Every kernel for a type, those of families too, each once.

        Raises:
            KeyError: the menu is not for the type.
        """
        if dtype not in self.dtypes:
            raise KeyError(dtype)
        found = dict.fromkeys(self.tiles)
        for family in self.families:
            found |= dict.fromkeys(family.members(DTYPE_BYTES[dtype]))
        return tuple(found)
