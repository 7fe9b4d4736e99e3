"""The measuring loop: what a kernel finds in the L2 because of what ran before it.

A loop runs the same kernel over several copies of its operands, one after another, again and again. A copy that comes back
after W bytes of other data have passed through a cache of C bytes with drawn replacement is still there with probability
exp(-misses / C): each miss drops one line in C. In the steady state the misses of one round are those of what is not there,
so the resident share h solves h = exp(-(1 - h) W / C), h = 1 where W <= C.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Launch(StrEnum):
    """What of a launch is in the time of a call."""

    GRAPH = "graph"  # kernels follow one another on the GPU, launched by a CUDA graph or by a host that is ahead
    EAGER = "eager"  # the host launches one call between two events on an idle GPU
    KERNEL = "kernel"  # a profiler's time of the kernel itself


@dataclass(frozen=True)
class Loop:
    """How a kernel is timed, or used.

    Attributes:
        copies: copies of the weights (the operands that differ from call to call) that the loop goes through.
        shared_inputs: the other inputs are the same in each call.
        cold: nothing is in the L2 (a flush before each call, or a program that streams far more than the L2 holds).
        launch: what of a launch is in the time; alone: each call is a graph of its own.
        sustained: repeated until clocks and temperature are steady.
        warm_calls, timed_calls: calls before, and between, the events that time the loop.
        activity: energy of a multiply-add on these operands, over that on normally distributed ones.
        program_bytes: not a loop but a program: bytes that it moves from one use of a weight to the next (infinite where there
            is no use before); its inputs have just been made. 0: a loop.
    """

    copies: int = 1
    shared_inputs: bool = True
    cold: bool = False
    launch: Launch = Launch.GRAPH
    alone: bool = False
    sustained: bool = False
    warm_calls: int = 0
    timed_calls: int = 1
    activity: float = 1.0
    program_bytes: float = 0.0


def resident_share(round_bytes: float, capacity_bytes: float) -> float:
    """Share of a loop's data that is found in the L2 in the steady state."""
    if round_bytes <= capacity_bytes:
        return 1.0
    ratio = round_bytes / capacity_bytes
    share = 0.0
    for _ in range(200):
        after = math.exp(-(1.0 - share) * ratio)
        if after - share < 1e-9:
            break
        share = after
    return share


@dataclass(frozen=True)
class Residency:
    """Shares of weights, inputs and outputs that the L2 holds when a call of the loop begins."""

    weights: float
    inputs: float
    outputs: float


def residency(loop: Loop, weights: float, inputs: float, outputs: float, capacity: float) -> Residency:
    """What a call finds, from the bytes of one call's operands and the L2's capacity.

    Inputs that every call uses count once in the loop; they were used one call ago, so they stay unless one call alone
    exceeds the capacity.
    """
    if loop.cold:
        return Residency(0.0, 0.0, 0.0)
    if loop.program_bytes:
        share = resident_share(loop.program_bytes, capacity)
        return Residency(share, max(share, resident_share(inputs + outputs, capacity)), share)
    own = weights + outputs + (0.0 if loop.shared_inputs else inputs)
    share = resident_share(loop.copies * own + (inputs if loop.shared_inputs else 0.0), capacity)
    if not loop.shared_inputs:
        return Residency(share, share, share)
    return Residency(share, resident_share(weights + outputs + inputs, capacity), share)
