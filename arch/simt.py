"""Kernels that multiply matrices on the scalar lanes: their tiles, and what they spend beside multiply-adds."""

from typing import Self

from pydantic import Field, model_validator

from .gpu import Architecture
from .values import Count, PerMille, SourceKind, Spec

WARP = 32
SLICE_DEPTH = 8
"""Elements along k that one slice of a CTA's warps takes in a step."""


class SimtTile(Spec):
    """The block of the output that a CTA of ``threads`` threads computes; ``slices`` groups of its warps share out k."""

    m: int = Field(gt=0, le=1024)
    n: int = Field(gt=0, le=1024)
    threads: int = Field(ge=WARP, le=1024)
    stages: int = Field(gt=0, le=16, description="steps that the copy pipeline holds")
    slices: int = Field(default=1, gt=0, le=8)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.threads % (WARP * self.slices) or (self.m * self.n * self.slices) % self.threads:
            raise ValueError(f"tile {self.m}x{self.n}: {self.threads} threads in {self.slices} slices do not share it evenly")
        return self

    @property
    def depth(self) -> int:
        """Elements along k of one step."""
        return SLICE_DEPTH * self.slices

    @property
    def thread_tile(self) -> tuple[int, int]:
        """Rows and columns of the output that one thread holds, as square as powers of two can be."""
        outputs = self.m * self.n * self.slices // self.threads
        rows = 1
        while rows * rows < outputs:
            rows *= 2
        return rows, max(1, outputs // rows)


class SimtMenu(Spec):
    """Tiles that a library has for some architectures; ``batched``: for batches of products."""

    kind: SourceKind
    ref: str
    architectures: tuple[Architecture, ...] = Field(min_length=1)
    single: tuple[SimtTile, ...] = Field(min_length=1)
    batched: tuple[SimtTile, ...] = Field(default=(), description="none: the same")
    split_below: PerMille = Field(description="tiles for each SM from which on k is not cut")
    copy_1000_bytes: PerMille = Field(description="cycles of an SM that the choice counts for 1000 copied bytes")
    epilogue: Count = Field(description="cycles of a CTA from its last step to its first write")

    def tiles(self, batch: int) -> tuple[SimtTile, ...]:
        """Those for ``batch`` products at once."""
        return self.batched if batch > 1 and self.batched else self.single


class SimtPolicy(Spec):
    """How a library multiplies matrices on the scalar lanes."""

    menus: dict[str, SimtMenu]
    operand_load: PerMille = Field(description="issue slots that a load of 16 bytes from shared memory takes")
    sliced_load: PerMille = Field(description="how many times as dear that is where slices of the CTA share out k")
    bubble: PerMille = Field(description="share of a step in which a CTA that is alone on its SM waits")
    epilogue_bytes: Count = Field(description="bytes a cycle that a CTA writes")
    registers: Count = Field(description="registers of a thread beside its results and two steps of operands")

    def menu(self, architecture: Architecture) -> SimtMenu:
        """The tiles for an architecture.

        Raises:
            KeyError: the library has none.
        """
        for menu in self.menus.values():
            if architecture in menu.architectures:
                return menu
        raise KeyError(str(architecture))
