"""What a mapping produces: slots (kinds of work, one stream template each) and the steps of one pass over them.

PIM steps go to the channels in order, ASIC steps to the ASIC in order; a step starts when those it waits for are done.
"""

from dataclasses import dataclass, field

from ..asic_cost import Work
from .placement import Region


@dataclass(frozen=True)
class Slot:
    """One kind of PIM work; steps of equal layers share it.

    Attributes:
        kind: ``vmm``, ``score``, ``value``, ``write_k``, ``write_v`` or ``read``.
        op_class: what its time and energy are booked under.
        region: the region of the first step that uses the slot; others lie a whole number of rows further.
        heads: attention: heads of the block, ``first_head`` the first of them; ``head_dim`` their size.
        batch: input vectors multiplied per open row.
        resident_bytes: what the ASIC's SRAM holds meanwhile: residual, input and output vectors, partial sums.
        blocks: output blocks that run one after another because partial sums of all would not fit the ASIC's SRAM.
        partial, final: ASIC work on each element that arrives, for partial sums and for finished ones.
    """

    kind: str
    op_class: str
    region: Region
    heads: int = 0
    first_head: int = 0
    head_dim: int = 0
    batch: int = 1
    blocks: int = 1
    resident_bytes: int = 0
    partial: Work = Work()
    final: Work = Work()

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for slots that produce the same streams and costs."""
        heads = (self.heads, self.first_head, self.head_dim)
        shape = (self.batch, self.blocks, self.resident_bytes, self.partial, self.final, self.region.shape_key)
        return (self.kind, self.op_class, *heads, *shape)


@dataclass(frozen=True)
class PimStep:
    """A stream for the channels.

    Attributes:
        token: which of the pass's tokens it belongs to (its KV length, its place in the caches).
        after: index of the ASIC step that must be done before; -1 for none.
    """

    slot: int
    row_shift: int
    layer: int
    op: int
    token: int
    after: int


@dataclass(frozen=True)
class AsicStep:
    """Work of the ASIC: the results of PIM step ``source`` as they arrive, or ``cycles`` of its own (-1: softmax of ``rows``).

    Attributes:
        source: PIM step whose tiles it takes in; -1 if none.
        cycles: duration of work of its own; for softmax it depends on the KV length and is -1.
    """

    op_class: str
    layer: int
    op: int
    token: int
    source: int = -1
    cycles: int = 0
    rows: int = 0


@dataclass
class PassPlan:
    """The steps of one pass with ``batch`` tokens."""

    batch: int
    with_logits: bool
    pim: list[PimStep] = field(default_factory=list)
    asic: list[AsicStep] = field(default_factory=list)
