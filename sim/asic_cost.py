"""What the host ASIC's functions cost: additions, multiplications and depth, from the algorithms it has.

The ASIC has only adders and multipliers (PIM-GPT): exp and tanh are Taylor series in Horner form, a reciprocal is
Newton-Raphson on a linear seed, 1/sqrt is the bit trick with Newton steps. Adders and multipliers are separate pipelined
lanes, so a phase over many elements takes the time of the busier kind, and each dependent operation adds one cycle of depth
once. Comparisons (max, argmax) use the adders. No range reduction is charged: none is stated.
"""

from dataclasses import dataclass

from ..arch.system import HostAsic


@dataclass(frozen=True)
class Work:
    """Operations on one element (or one scalar): additions, multiplications, longest chain of dependent ones."""

    adds: int = 0
    muls: int = 0
    depth: int = 0

    def __add__(self, other: "Work") -> "Work":
        """One after the other."""
        return Work(self.adds + other.adds, self.muls + other.muls, self.depth + other.depth)


ADD = Work(adds=1, depth=1)
MUL = Work(muls=1, depth=1)


def exp_work(host: HostAsic) -> Work:
    """Taylor series of exp to order k, Horner: k multiplications and k additions in one chain."""
    k = host.exp_taylor_order.value
    return Work(k, k, 2 * k)


def tanh_work(host: HostAsic) -> Work:
    """Taylor series of tanh with k odd terms: u * P(u^2), P by Horner."""
    k = host.tanh_taylor_order.value
    return Work(k, k + 2, 2 * k + 2)


def gelu_work(host: HostAsic) -> Work:
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): the inner polynomial, tanh, and the outer product."""
    inner = Work(adds=1, muls=4, depth=5)
    outer = Work(adds=1, muls=2, depth=2)
    return inner + tanh_work(host) + outer


def reciprocal_work(host: HostAsic) -> Work:
    """Newton-Raphson: a linear seed, then x <- x (2 - d x)."""
    n = host.reciprocal_iterations.value
    return Work(1 + n, 1 + 2 * n, 2 + 3 * n)


def rsqrt_work(host: HostAsic) -> Work:
    """Fast inverse square root: shift and subtract, then y <- y (1.5 - 0.5 x y y)."""
    n = host.rsqrt_iterations.value
    return Work(1 + n, 1 + 3 * n, 1 + 4 * n)


def throughput_cycles(host: HostAsic, work: Work, elements: int) -> int:
    """Cycles in which the lanes work through ``elements`` elements, without the depth of the pipeline."""
    adds = -(-work.adds * elements // host.adders.value)
    muls = -(-work.muls * elements // host.multipliers.value)
    return max(adds, muls)


def map_cycles(host: HostAsic, work: Work, elements: int) -> int:
    """Cycles of an element-wise phase over ``elements`` elements."""
    return throughput_cycles(host, work, elements) + work.depth if elements else 0


def reduce_cycles(host: HostAsic, length: int, rows: int = 1) -> int:
    """Cycles to reduce each of ``rows`` vectors of ``length`` with an adder tree."""
    width = min(length, host.adders.value)
    return -(-rows * length // host.adders.value) + max(width - 1, 0).bit_length()


def layer_norm_cycles(host: HostAsic, width: int, rows: int = 1) -> int:
    """LayerNorm of ``rows`` vectors of ``width``: mean, centre, square, variance, 1/sqrt, scale, gain and bias.

    The mean is a division (reciprocal of the width), as the paper's note says.
    """
    n = rows * width
    mean = reduce_cycles(host, width, rows) + map_cycles(host, reciprocal_work(host) + MUL, rows)
    centre = map_cycles(host, ADD, n)
    variance = map_cycles(host, MUL, n) + reduce_cycles(host, width, rows) + map_cycles(host, MUL, rows)
    scale = map_cycles(host, ADD + rsqrt_work(host), rows) + map_cycles(host, MUL, n)
    return mean + centre + variance + scale + map_cycles(host, MUL + ADD, n)


def softmax_cycles(host: HostAsic, length: int, rows: int) -> int:
    """Softmax of ``rows`` vectors of ``length``: maximum, subtract, exp, sum, reciprocal, multiply."""
    n = rows * length
    return (
        reduce_cycles(host, length, rows)
        + map_cycles(host, ADD + exp_work(host), n)
        + reduce_cycles(host, length, rows)
        + map_cycles(host, reciprocal_work(host), rows)
        + map_cycles(host, MUL, n)
    )
