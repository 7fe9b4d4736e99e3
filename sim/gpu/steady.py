"""Launches that go on as they began: what is simulated of them, and what follows from that."""

from collections.abc import Callable

from .engine import GridResult

APART = 2
"""Waves between the two lengths at which a launch of like waves is simulated."""


def in_waves(run: Callable[[int], GridResult], ctas: int, wave: int) -> GridResult:
    """A launch of many like waves: two lengths of it are simulated whole waves apart, and the rest is more of the same.

    ``run(n)`` simulates the first n CTAs.
    """
    apart = APART * wave
    if ctas <= 3 * apart:
        return run(ctas)
    short = apart + (ctas - apart) % apart
    return extended(run(short), run(short + apart), (ctas - short - apart) / apart)


def extended(short: GridResult, longer: GridResult, times: float) -> GridResult:
    """``longer`` and ``times`` what it has beyond ``short``."""

    def more(a: float, b: float) -> float:
        return b + times * (b - a)

    return GridResult(
        more(short.cycles, longer.cycles), round(more(short.dram_read_bytes, longer.dram_read_bytes)),
        round(more(short.dram_write_bytes, longer.dram_write_bytes)), round(more(short.l2_read_bytes, longer.l2_read_bytes)),
        round(more(short.l2_hit_bytes, longer.l2_hit_bytes)), round(more(short.l2_write_bytes, longer.l2_write_bytes)),
        more(short.busy, longer.busy), {k: more(v, longer.stalls[k]) for k, v in short.stalls.items()},
        longer.bytes_in_flight, short.events + longer.events,
    )  # fmt: skip


def scaled(result: GridResult, times: float, cycles: float = 1.0) -> GridResult:
    """``times`` what a launch moves and does, in ``cycles`` times its time: on so much more of a chip, or so often."""

    def more(count: int) -> int:
        return round(count * times)

    return GridResult(
        result.cycles * cycles, more(result.dram_read_bytes), more(result.dram_write_bytes), more(result.l2_read_bytes),
        more(result.l2_hit_bytes), more(result.l2_write_bytes), result.busy * times,
        {k: v * times for k, v in result.stalls.items()}, result.bytes_in_flight * times / cycles, result.events,
    )  # fmt: skip
