"""``rowline calibrate --log``: a GPU's constants from its micro-benchmark log, into a YAML file that extends the GPU."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import rowline.sim.gpu.fit_keys as fk
from rowline.arch.boards import gpu_for_board, match_stack
from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.stack import StackSpec
from rowline.arch.values import Sourced, SourceKind
from rowline.arch.yamltree import ConfigError, printable
from rowline.preset_extend import refuse_existing, write_extensions
from rowline.sim.gpu.device import Device
from rowline.sim.gpu.kernels import Gemm
from rowline.sim.gpu.loop import Loop
from rowline.sim.gpu.micro_estimates import Estimate, Findings, estimates
from rowline.sim.gpu.run import time_kernel
from rowline.traces.kernellog import MICRO_OPS, KernelHeader, read_kernel_log

SHORT_K = 512
"""Products up to this k are short enough for their launch to show."""


@dataclass(frozen=True)
class MicroJob:
    """``gpu`` and ``stack``: preset or YAML file; none: those of the log's rows. ``out``: the GPU's new YAML file."""

    log: Path
    gpu: str | None = None
    stack: str | None = None
    out: Path | None = None


def calibrate_micro(job: MicroJob) -> dict[str, Any]:
    """Derive what the log shows. The answer: ``derived``, ``missing``, ``notes``, ``written``.

    Raises:
        ConfigError: no such GPU or stack, no micro-benchmarks in the log, or a file that is there already.
        rowline.traces.formats.files.FormatError: the log is damaged.
    """
    refuse_existing(job.out)
    header, columns = read_kernel_log(job.log)
    device = _device(job.log, columns)
    gpu = load_gpu(job.gpu) if job.gpu else gpu_for_board(device)
    notes = _odd(device, header, gpu)
    stack = load_stack(job.stack) if job.stack else match_stack(str(columns["framework"][0]), gpu.architecture, "bf16").stack
    findings = estimates(columns, gpu)
    source = f"micro log {job.log.name} sha256 {sha256(job.log)}, {header.date[:10] or 'no date'}, {device}"
    on_gpu = {path: _number(gpu, e, source, SourceKind.MEASURED) for path, e in findings.found.items()}
    on_gpu |= _cap(gpu, header, source)
    calibrated = Device(fk.replaced(gpu, on_gpu), stack)
    launch = _launch(calibrated, columns)
    on_stack: dict[str, Sourced] = {}
    if launch is None:
        findings.missing["fixed.launch"] = f"no k_step of bf16 in a graph with k up to {SHORT_K} that the stack can run"
    else:
        findings.found["fixed.launch"] = launch
        on_stack["fixed.launch"] = _number(stack, launch, source, SourceKind.FITTED)
    why = "products show it with other costs only; --points"
    findings.missing |= {f"gemm.costs.{name}": why for name in type(stack.gemm.costs).model_fields}
    if not findings.found:
        raise ConfigError([f"{printable(str(job.log), 500)}: nothing can be derived: no rows of a GPU's graphs, clocks or power"])
    written: list[str] = []
    if job.out is not None:
        written = write_extensions(job.out, gpu, job.gpu or gpu.name, on_gpu, stack, job.stack or stack.name, on_stack)
    return {
        "mode": "micro", "gpu": gpu.name, "stack": stack.name, "log": str(job.log), "device": device, "notes": notes,
        "derived": _table("gpu", gpu, on_gpu, findings) + _table("stack", stack, on_stack, findings),
        "missing": [{"key": key, "why": why} for key, why in findings.missing.items()], "written": written,
    }  # fmt: skip


def _device(path: Path, columns: Mapping[str, Any]) -> str:
    """Whose log it is.

    Raises:
        ConfigError: no micro-benchmarks, or those of several devices.
    """
    devices = sorted({str(name) for name, op in zip(columns["gpu"], columns["op"], strict=True) if op in MICRO_OPS})
    if not devices:
        raise ConfigError([f"{printable(str(path), 500)}: holds no micro-benchmarks (rowline measure --suite micro)"])
    if len(devices) > 1:
        raise ConfigError([f"{printable(str(path), 500)}: rows of several GPUs: {printable(', '.join(devices), 200)}"])
    return printable(devices[0])


def _odd(device: str, header: KernelHeader, gpu: GpuSpec) -> list[str]:
    """What people should know about a log and a GPU that do not go together."""
    notes: list[str] = []
    if device.strip().lower() not in (gpu.name, *map(str.lower, gpu.boards)):
        notes.append(f"the log is of {device}, which is no name of {gpu.name}")
    if header.sm_count and header.sm_count != gpu.sm.count.value:
        notes.append(f"the log's device has {header.sm_count} SMs, {gpu.name} has {gpu.sm.count.value}")
    if header.settings.get("scale", 1.0) != 1.0:
        notes.append("the suite was scaled: sizes may be too small to show a constant")
    return notes


def _number(spec: GpuSpec | StackSpec, estimate: Estimate, source: str, kind: SourceKind) -> Sourced:
    """An estimate as the specification holds it, rounded, with the log, the rows and the equation as its source."""
    number = fk.value_type(spec, estimate.path)
    probe = number.model_validate({"value": "1 ck" if estimate.in_cycles else _unit(number)})
    ref = f"{source}; {estimate.rows} row{'s' * (estimate.rows != 1)}; {estimate.how}"
    value = fk.valued(probe, fk.rounded(probe, estimate.value))
    return number.model_validate({"value": value.text, "kind": kind, "ref": ref})


def _unit(number: type[Sourced]) -> str:
    """The text of some value of a kind of number."""
    units = {"bandwidth": "1 GB/s", "size": "1 B", "time": "1 ps", "power": "1 W", "energy": "1 fJ", "energy_per_bit": "1 fJ/b"}
    return units.get(number.dimension, "1")


def _cap(gpu: GpuSpec, header: KernelHeader, source: str) -> dict[str, Sourced]:
    """The power cap that the driver reported."""
    if not math.isfinite(header.power_cap_w) or header.power_cap_w <= 0:
        return {}
    ref = f"{source}; the limit that the driver reports"
    return {"power.cap": fk.parse_value(gpu, "power.cap", f"{header.power_cap_w:.4g} W", SourceKind.MEASURED, ref)}


def _launch(device: Device, columns: Mapping[str, Any]) -> Estimate | None:
    """Launch of a product: measured less simulated without launches, the median over short k_step rows."""
    wanted = (columns["op"] == "k_step") & (columns["dtype"] == "bf16") & (columns["launch"] == "graph")
    wanted &= columns["k"] <= SHORT_K
    rests: list[float] = []
    for i in wanted.nonzero()[0].tolist():
        m, n, k = (int(columns[name][i]) for name in "mnk")
        loop = Loop(timed_calls=max(1, int(columns["repeats"][i])))
        try:
            simulated = time_kernel(Gemm(m, n, k, "bf16", 1, 2.0, 2.0, 2.0), device, loop, "gemm").kernel_us
        except KeyError:
            return None
        rests.append(float(columns["latency_us"][i]) - simulated)
    if not rests or median(rests) <= 0:
        return None
    how = f"k_step up to k {SHORT_K}: measured less simulated without its launch, median; rests on the model of the kernel"
    return Estimate("fixed.launch", median(rests) * 1e6, how, len(rests))


def _table(scope: str, spec: GpuSpec | StackSpec, values: Mapping[str, Sourced], findings: Findings) -> list[dict[str, Any]]:
    """Old and new values, with the equation of each."""
    rows: list[dict[str, Any]] = []
    for path, new in values.items():
        old, estimate = fk.value_at(spec, path), findings.found.get(path)
        spread = None if estimate is None or not math.isfinite(estimate.spread) else 100 * estimate.spread
        rows.append({
            "key": f"{scope}:{spec.name}.{path}", "old": None if old is None else old.text,
            "old_kind": None if old is None else str(old.kind), "new": new.text, "kind": str(new.kind), "spread": spread,
            "rows": 0 if estimate is None else estimate.rows, "how": estimate.how if estimate is not None else "driver's limit",
        })  # fmt: skip
    return rows


def sha256(path: Path) -> str:
    """The first 12 digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
