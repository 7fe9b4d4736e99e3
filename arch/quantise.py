"""How a library quantises activations before a product of one-byte operands."""

from pydantic import Field

from .values import Count, Duration, Spec


class QuantisePolicy(Spec):
    """One CTA a token, two passes over its row."""

    threads: Count = Field(description="of a CTA")
    turn: Count = Field(description="elements that a CTA takes in one turn of its loop")
    turn_cycles: Count = Field(description="cycles for which a turn occupies an SM")
    fixed: Count = Field(description="cycles for which a CTA occupies an SM beside its turns: reductions, barriers, its launch")
    launch: Duration = Field(description="from the end of this kernel to the begin of the product")
