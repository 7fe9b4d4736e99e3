"""The device that is measured: what it is, how it is timed and watched."""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .telemetry import NoTelemetry, Telemetry, open_telemetry
from .timing import CpuTimer, CudaTimer, Timer

BOARDS: Final = {
    "H200": "H200-SXM-141GB", "H100 80GB HBM3": "H100-SXM5-80GB", "H100 PCIe": "H100-PCIE-80GB",
    "A100 80GB PCIe": "A100-PCIE-80GB",
}  # fmt: skip
"""What the driver calls a board, and what the public measurements call it."""


class MeasureError(ValueError):
    """A measurement that cannot be made as asked; one line."""


@dataclass(frozen=True)
class Device:
    """`kind` is what torch calls it. `cache_bytes` is the last cache before DRAM, `usable_bytes` what operands may take.

    `most_flops` bounds a kernel where a larger one would only waste time. `alive` raises if the device no longer answers,
    `release` gives unused memory back.
    """

    kind: str
    name: str
    framework: str
    timer: Timer
    telemetry: Telemetry
    cache_bytes: int
    usable_bytes: int
    sm_count: int
    most_flops: float
    alive: Callable[[], Any]
    release: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=lambda: {})
    notes: tuple[str, ...] = ()


def open_device(kind: str) -> Device:
    """The CUDA device torch uses first, or this CPU. Raises MeasureError where there is none."""
    try:
        import torch
    except ImportError as error:
        raise MeasureError(f"torch cannot be loaded: {error}") from error
    if kind == "cpu":
        return _cpu(torch)
    if kind != "cuda":
        raise MeasureError(f"--device {kind}: not one of cuda, cpu")
    if not torch.cuda.is_available():
        raise MeasureError("--device cuda: torch finds no CUDA device (--device cpu measures this CPU)")
    return cuda_device(torch)


def cuda_device(torch: Any) -> Device:
    """The first CUDA device of `torch`, or of what behaves like it."""
    properties = torch.cuda.get_device_properties(0)
    telemetry, note = open_telemetry(str(getattr(properties, "uuid", "")))
    free, _ = torch.cuda.mem_get_info()
    cache = int(getattr(properties, "L2_cache_size", 0))
    facts = {
        "device": properties.name, "cuda": str(torch.version.cuda), "torch": torch.__version__, "l2_bytes": cache,
        "sm_count": properties.multi_processor_count, "memory_bytes": properties.total_memory,
    } | telemetry.limits()  # fmt: skip
    notes = (note, *(() if cache else ("L2 size not told by torch, 64 MiB assumed",)))
    return Device(
        "cuda", board_name(properties.name), f"torch-{torch.__version__}", CudaTimer(torch.cuda), telemetry,
        cache or 64 << 20, int(free * 0.8), properties.multi_processor_count, float("inf"),
        torch.cuda.synchronize, torch.cuda.empty_cache, facts, notes,
    )  # fmt: skip


def board_name(name: str) -> str:
    """The board as the public measurements name it: ``NVIDIA H200`` -> ``H200-SXM-141GB``, ``Tesla T4`` -> ``T4``."""
    bare = re.sub(r"^(NVIDIA|Tesla)\s+", "", re.sub(r"^NVIDIA\s+", "", name))
    return BOARDS.get(bare, bare.replace(" ", "-"))


def _cpu(torch: Any) -> Device:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name, cache = _cpu_name(), _cpu_cache()
    facts = {"device": name, "torch": torch.__version__, "l2_bytes": cache, "sm_count": cores}
    notes = (f"{torch.get_num_threads()} threads; a core counts as an SM, the last cache as L2",)
    return Device(
        "cpu", f"CPU-{name.replace(' ', '-')}"[:60], f"torch-{torch.__version__}", CpuTimer(), NoTelemetry(),
        cache, 1 << 30, cores, 2e10, lambda: None, lambda: None, facts, notes,
    )  # fmt: skip


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _cpu_cache() -> int:
    """Bytes of the last cache as Linux tells it, else 32 MiB."""
    sizes: list[int] = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        found = re.fullmatch(r"(\d+)([KM])", file.read_text(encoding="ascii").strip())
        if found:
            sizes.append(int(found[1]) << {"K": 10, "M": 20}[found[2]])
    return max(sizes, default=32 << 20)
