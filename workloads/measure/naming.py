"""What the library really launched: names, grids and blocks from torch's profiler, once all times are taken.

The profiler stays hooked into the driver after its first use, so no time is taken after it.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...traces.kernellog import KernelRow
from .kernel import Kernel, Mode, row_key
from .logfile import variant_of
from .marked import between, mark, shorten

if TYPE_CHECKING:
    from .campaign import Campaign

BATCH: Final = 40
Launch = tuple[str, dict[str, Any]]
Facts = dict[tuple[str | int, ...], tuple[str, dict[str, Any]]]


def name_kernels(campaign: "Campaign") -> None:
    """Fill `kernel` of the rows that still have torch's call in it, and grid and block in `extra`."""
    rows = [row for row in campaign.log.rows if row.kernel.startswith(("torch", "sdpa"))]
    kernels = list(dict.fromkeys(Kernel(*row_key(row, variant_of(row))[:12]) for row in rows))  # type: ignore[arg-type]
    for at in range(0, len(kernels), BATCH):
        if campaign.left_s() <= 0:
            campaign.log.note(f"kernel names: out of time, {len(kernels) - at} kernels have none")
            return
        campaign.say(f"kernel names [{at}/{len(kernels)}]")
        part = kernels[at : at + BATCH]
        try:
            facts = _facts(part, launches_of(part, campaign.request.seed))
        except (RuntimeError, ValueError, KeyError, OSError, AssertionError) as error:
            campaign.log.note(f"kernel names: {type(error).__name__}: {str(error)[:120]}")
            continue
        campaign.log.update(_filler(facts))


def _filler(facts: Facts) -> Callable[[KernelRow], KernelRow]:
    def fill(row: KernelRow) -> KernelRow:
        known = facts.get(row_key(row, variant_of(row))[:12])
        if known is None:
            return row
        extra = json.loads(row.extra) if row.extra else {}
        return replace(row, kernel=known[0], extra=json.dumps(extra | known[1]))

    return fill


def _facts(kernels: Sequence[Kernel], launches: Sequence[Sequence[Launch]]) -> Facts:
    """Name, number of kernels, grid and block (of the kernel that took longest) of each."""
    facts: Facts = {}
    for kernel, launched in zip(kernels, launches, strict=True):
        if launched:
            longest = max(launched, key=lambda item: item[1]["dur"])[1]["args"]
            extra = {"kernels": len(launched), "grid": longest.get("grid"), "block": longest.get("block")}
            facts[row_key_of(kernel)] = (shorten([name for name, _ in launched]), extra)
    return facts


def row_key_of(kernel: Kernel) -> tuple[str | int, ...]:
    """The part of a job's key that is the kernel."""
    from .kernel import job_key

    return job_key(kernel, Mode())[:12]


def launches_of(kernels: Sequence[Kernel], seed: int) -> list[list[Launch]]:
    """What each kernel launches when called once under the profiler."""
    import torch

    from ._operands import build

    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for kernel in kernels:
            case = build(kernel, "cuda", seed, 1)[0]
            case.call()
            mark(torch.cuda)
            case.call()
            mark(torch.cuda)
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    return between(launches_in(events), len(kernels))


def launches_in(events: Sequence[dict[str, Any]]) -> list[Launch]:
    """The kernels (and copies and fills) among the events of a profile, in the order in which they ran."""
    kinds = ("kernel", "gpu_memcpy", "gpu_memset")
    kernels = sorted((event for event in events if event.get("cat") in kinds), key=lambda event: event["ts"])
    return [(event["name"], {"dur": event.get("dur", 0), "args": event.get("args", {})}) for event in kernels]
