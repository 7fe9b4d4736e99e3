"""A GPU's part of a timeline: kernels and the waves of their CTAs, the rates of L2 and DRAM."""

import math
import re
from collections.abc import Mapping
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


def kernels(timeline: "Timeline", ops: Mapping[str, Any], rows: list[int], waves: bool) -> None:
    """The kernels of some rows of the GpuOpLog.

    Args:
        waves: draw them too. The log says how many there were, not when each began: they are drawn as equal parts.
    """
    timeline.process(GPU, "GPU")
    timeline.track(GPU, KERNELS, "kernels")
    if waves:
        timeline.track(GPU, WAVES, "SM waves (equal parts)")
    timeline.process(MEMORY, "memory")
    last = -1
    for row in rows:
        start, end = int(ops["start_ps"][row]), int(ops["end_ps"][row])
        layer, name = int(ops["layer"][row]), printable(str(ops["op_class"][row]))
        found = _WAVES.search(str(ops["choice"][row]))
        count = float(found[1]) if found else 0.0
        facts: dict[str, str | int | float] = {
            key: int(ops[key][row]) for key in ("pass_index", "kv_length", "layer", "op", "macs", *RATES.values(), "l2_hit_bytes")
        }
        facts |= {key: printable(str(ops[key][row]), 200) for key in ("phase", "kernel", "choice", "bound")}
        timeline.slice(GPU, KERNELS, name if layer < 0 else f"{name} {layer}", start, end, facts | {"waves": count})
        if waves and count:
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
    """Full waves and what is left, each as long as the share of the kernel that it is."""
    whole = math.ceil(count)
    if whole > MOST_WAVES:
        timeline.slice(GPU, WAVES, f"{count} waves", start, end, {"waves": count})
        return
    for number in range(whole):
        begin = start + round((end - start) * number / count)
        stop = min(end, start + round((end - start) * (number + 1) / count))
        full = min(1.0, count - number)
        timeline.slice(GPU, WAVES, f"wave {number + 1}", begin, max(stop, begin), {"of": whole, "filled": round(full, 3)})
