"""A GPU's part of a timeline: kernels and the waves of their CTAs, the rates of L2 and DRAM."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rowline.arch.yamltree import printable

if TYPE_CHECKING:
    from rowline.traces.formats.timeline import Timeline

GPU, MEMORY = 2, 3
KERNELS, WAVES = 0, 1
MOST_WAVES = 64
"""Waves of one kernel that are drawn one by one."""
_WAVES = re.compile(r"(\d+(?:\.\d+)?) waves")
RATES = {"L2 reads": "l2_read_bytes", "DRAM reads": "dram_read_bytes", "DRAM writes": "dram_write_bytes"}


@dataclass(frozen=True)
class Launched:
    """What a kernel put on the GPU: CTAs, how many of them an SM holds at once, waves. None where that is not known."""

    ctas: int | None
    ctas_per_sm: int | None
    waves: float | None


UNKNOWN = Launched(None, None, None)


def launched_of(stats: Mapping[str, Any]) -> dict[tuple[str, ...], Launched]:
    """What ``kernels[]`` of ``stats.json`` says of each kernel, by op, op class, phase and choice.

    Those that have these in common have their tiles in common; where they still differ, in their shape, it is left out.
    """
    found: dict[tuple[str, ...], Launched | None] = {}
    for each in stats.get("kernels") or []:
        key = tuple(str(each[name]) for name in ("op", "op_class", "phase", "choice"))
        one = Launched(each.get("ctas"), each.get("ctas_per_sm"), each.get("waves"))
        found[key] = one if found.get(key, one) == one else None
    return {key: one for key, one in found.items() if one is not None}


def kernels(
    timeline: "Timeline", ops: Mapping[str, Any], rows: list[int], waves: bool, stats: Mapping[str, Any] | None = None
) -> None:
    """The kernels of some rows of the GpuOpLog.

    Args:
        stats: of the run, for exact counts of CTAs and waves; without them, what the choice says, to a tenth of a wave.
        waves: draw them too. It is known how many there were, not when each began: they are drawn as equal parts.
    """
    timeline.process(GPU, "GPU")
    timeline.track(GPU, KERNELS, "kernels")
    if waves:
        timeline.track(GPU, WAVES, "SM waves (equal parts)")
    timeline.process(MEMORY, "memory")
    last, launched = -1, launched_of(stats or {})
    for row in rows:
        start, end = int(ops["start_ps"][row]), int(ops["end_ps"][row])
        layer, name = int(ops["layer"][row]), printable(str(ops["op_class"][row]))
        ran = launched.get(tuple(str(ops[key][row]) for key in ("kernel", "op_class", "phase", "choice")), UNKNOWN)
        found = _WAVES.search(str(ops["choice"][row]))
        count = ran.waves if ran.waves is not None else float(found[1]) if found else None
        facts: dict[str, str | int | float] = {
            key: int(ops[key][row]) for key in ("pass_index", "kv_length", "layer", "op", "macs", *RATES.values(), "l2_hit_bytes")
        }
        facts |= {key: printable(str(ops[key][row]), 200) for key in ("phase", "kernel", "choice", "bound")}
        known = {"ctas": ran.ctas, "ctas_per_sm": ran.ctas_per_sm, "waves": count}
        facts |= {key: value for key, value in known.items() if value is not None}
        timeline.slice(GPU, KERNELS, name if layer < 0 else f"{name} {layer}", start, end, facts)
        if waves and count is not None:
            _waves(timeline, start, end, count)
        if last >= 0 and start > last:
            _rates(timeline, last, dict.fromkeys(RATES, 0.0))
        span = max(end - start, 1)
        _rates(timeline, start, {name: float(ops[key][row]) * 1e3 / span for name, key in RATES.items()})
        asked = int(ops["l2_read_bytes"][row])
        timeline.counter(MEMORY, "L2 hits, %", start, round(100 * int(ops["l2_hit_bytes"][row]) / asked, 2) if asked else 0)
        last = end
    if last >= 0:
        _rates(timeline, last, dict.fromkeys(RATES, 0.0))


def _rates(timeline: "Timeline", at_ps: int, rates: Mapping[str, float]) -> None:
    for name, rate in rates.items():
        timeline.counter(MEMORY, f"{name}, GB/s", at_ps, round(rate, 3))


def _waves(timeline: "Timeline", start: int, end: int, count: float) -> None:
    """Full waves and what is left, each as long as the share of the kernel that it is; one at least.

    ``filled`` is the share of the places for CTAs that a wave takes; a count of 0 is one that was too small for its digits.
    """
    whole = max(1, math.ceil(count))
    if whole > MOST_WAVES:
        timeline.slice(GPU, WAVES, f"{count:g} waves", start, end, {"waves": count})
        return
    for number in range(whole):
        begin = start + round((end - start) * number / max(count, 1.0))
        stop = min(end, start + round((end - start) * (number + 1) / max(count, 1.0)))
        facts: dict[str, str | int | float] = {"of": whole}
        if count:
            facts["filled"] = float(f"{min(1.0, count - number):.4g}")
        timeline.slice(GPU, WAVES, f"wave {number + 1}", begin, max(stop, begin), facts)
