"""A campaign: every kernel of a suite in every mode planned for it, until it is done, out of time or interrupted."""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from ...traces.kernellog import OPS, KernelHeader, KernelRow
from .device import Device, MeasureError
from .kernel import Kernel, Mode, allocated_bytes, copies_to_exceed, flops, job_key
from .logfile import LogFile, open_log
from .micro import micro_kernels
from .order import plan
from .telemetry import Watch
from .timing import MOST_CALLS, Pace, Timed, burst, calls_per_sample, estimate_us, flushed, sustained
from .transformer import transformer_kernels

SUITES = ("transformer", "micro")
OUT_OF_MEMORY = "out of memory"
AFTERWARDS = 0.08
"""Share of the time limit that is left for names and counters once the times are taken."""


@dataclass(frozen=True)
class Request:
    """What to measure. `limit_s` seconds in all (0: none), at most `points` kernels (0: all), only ops of `only`.

    `scale` makes every kernel smaller. `counters` is for how many kernels hardware counters are asked.
    """

    suite: str
    out: Path
    limit_s: float = 0.0
    points: int = 0
    resume: bool = False
    seed: int = 0
    only: tuple[str, ...] = ()
    scale: float = 1.0
    counters: int = 48
    pace: Pace = field(default_factory=Pace)

    def settings(self) -> dict[str, Any]:
        """What must be the same for a log to be resumed."""
        return {"seed": self.seed, "scale": self.scale, "pace": asdict(self.pace)}


class Skip(Exception):
    """The reason why a job cannot be measured."""


def kernels_of(request: Request, sm_count: int) -> list[Kernel]:
    """The kernels that a request asks for, in order. Raises MeasureError for an unknown suite or op."""
    if request.suite not in SUITES:
        raise MeasureError(f"--suite {request.suite}: not one of {', '.join(SUITES)}")
    for word in request.only:
        if word not in OPS:
            raise MeasureError(f"--filter {word}: not one of {', '.join(OPS)}")
    if not 0 < request.scale <= 1:
        raise MeasureError(f"--scale {request.scale}: must be above 0 and at most 1")
    if not (math.isfinite(request.limit_s) and math.isfinite(request.pace.sustain_s)):
        raise MeasureError("--limit-s and --sustain-s: must be finite")
    if request.limit_s < 0 or request.points < 0 or request.counters < 0 or request.pace.sustain_s < 0:
        raise MeasureError("--limit-s, --points, --counters and --sustain-s: must not be negative")
    if request.pace.repeats < 1:
        raise MeasureError("--repeats: must be at least 1")
    kernels = transformer_kernels(request.seed) if request.suite == "transformer" else micro_kernels(request.seed, sm_count)
    chosen = [kernel for kernel in kernels if not request.only or kernel.op in request.only]
    if request.scale < 1:
        chosen = list(dict.fromkeys(kernel.scaled(request.scale) for kernel in chosen))
    return chosen[: request.points or None]


def header_of(request: Request, device: Device) -> KernelHeader:
    """The header of a new log."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return KernelHeader(**device.facts, date=date, suite=request.suite, settings=request.settings(), notes=device.notes)


class Campaign:
    """One run of a request on a device. `progress` gets a line now and then."""

    def __init__(self, request: Request, device: Device, progress: TextIO = sys.stderr) -> None:
        from ._operands import quiet_settings

        quiet_settings()
        self.request, self.device, self._progress = request, device, progress
        self._begin, self._said = perf_counter(), 0.0
        self.kernels = kernels_of(request, device.sm_count)
        self.log: LogFile = open_log(request.out, header_of(request, device), request.resume)
        self._flush: Callable[[], Any] | None = None

    def left_s(self) -> float:
        """Seconds left of the time limit."""
        limit = self.request.limit_s
        return limit - (perf_counter() - self._begin) if limit else math.inf

    def run(self) -> dict[str, Any]:
        """Measure; what was measured is on disk also when this is interrupted. Returns the summary."""
        self.log.checkpoint()
        try:
            self._measure_all()
            if self.device.kind == "cuda":
                from . import counters, naming

                naming.name_kernels(self)
                counters.count(self)
        finally:
            self.log.checkpoint()
        return self.summary()

    def summary(self) -> dict[str, Any]:
        """Log, rows, kernels, how many jobs were skipped for which reason, seconds."""
        reasons = Counter(self.log.skipped.values())
        return {"log": str(self.request.out), "rows": len(self.log.rows), "kernels": len(self.kernels),
                "skipped": dict(sorted(reasons.items())), "wall_s": perf_counter() - self._begin}  # fmt: skip

    def _measure_all(self) -> None:
        reserve = self.request.limit_s * AFTERWARDS if self.device.kind == "cuda" else 0.0
        planned = plan(self.kernels, self.device.timer.launches)
        jobs, number = sum(len(modes) for _, modes in planned), 0
        for kernel, modes in planned:
            number += len(modes)
            for mode in modes:
                if self.left_s() <= reserve:
                    self.say(f"out of time after {len(self.log.rows)} rows; --resume goes on", True)
                    return
                if not self.log.has(kernel, mode, job_key(kernel, mode)):
                    self.say(f"[{number}/{jobs}] {kernel.label()}, {mode.label()}")
                    self._measure(kernel, mode)

    def say(self, text: str, always: bool = False) -> None:
        """A line of progress, at most one a second."""
        if always or perf_counter() - self._said > 1:
            self._said = perf_counter()
            left = self.left_s()
            print(text + ("" if math.isinf(left) else f" ({max(0, left):.0f} s left)"), file=self._progress, flush=True)

    def _measure(self, kernel: Kernel, mode: Mode) -> None:
        """One job: a row, or a reason why there is none. Only a device that no longer answers ends the campaign."""
        reason = self._attempt(kernel, mode)
        if reason == OUT_OF_MEMORY:  # perhaps only in pieces too small
            self.device.release()
            reason = self._attempt(kernel, mode)
        if reason:
            self.log.skip(kernel, mode, reason)
            try:
                self.device.release()
                self.device.alive()
            except RuntimeError as error:
                job = f"{kernel.label()}, {mode.label()}"
                raise MeasureError(f"the device failed at {job}: {reason}; --resume goes on without it") from error

    def _attempt(self, kernel: Kernel, mode: Mode) -> str:
        """Measure a job into the log, or return why that is not possible."""
        try:
            self.log.add(self._row(kernel, mode), job_key(kernel, mode))
        except Skip as skip:
            return str(skip)
        except MemoryError:
            return OUT_OF_MEMORY
        except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError) as error:  # what torch raises
            first = (str(error).splitlines() or [""])[0][:160]
            return OUT_OF_MEMORY if type(error).__name__ == "OutOfMemoryError" else f"{type(error).__name__}: {first}"
        return ""

    def copies(self, kernel: Kernel, mode: Mode) -> int:
        """Copies of the operands that a mode needs. Raises Skip where the device cannot have them."""
        copies = 1
        if mode.l2 == "cold":
            copies = copies_to_exceed(kernel, self.device.cache_bytes, MOST_CALLS)
            if not copies:
                raise Skip(f"cold: {MOST_CALLS} copies of the operands do not exceed the cache")
        if allocated_bytes(kernel, copies) > self.device.usable_bytes:
            raise Skip("needs more memory than there is")
        if flops(kernel) > self.device.most_flops:
            raise Skip(f"more than {self.device.most_flops:.0e} operations")
        return copies

    def _row(self, kernel: Kernel, mode: Mode) -> KernelRow:
        from . import _operands, _reference

        copies, device = self.copies(kernel, mode), self.device
        cases = _operands.build(kernel, device.kind, self.request.seed, copies)
        error, right = _reference.error_of(kernel, cases[0], self.request.seed)
        watch = Watch(device.telemetry)
        timed = self._time(kernel, mode, [case.call for case in cases], watch)
        return make_row(kernel, mode, copies, device, timed, watch, (error, right), _operands.call_name(kernel))

    def _time(self, kernel: Kernel, mode: Mode, calls: list[Callable[[], Any]], watch: Watch) -> Timed:
        timer, pace = self.device.timer, self.request.pace
        call_us = estimate_us(timer, calls)
        if mode.l2 == "flush":
            if self._flush is None:
                from ._operands import flusher

                self._flush = flusher(self.device.kind, self.device.cache_bytes)
            return flushed(timer, calls, self._flush, pace, watch.look)
        count = 1 if kernel.variant == "one" else calls_per_sample(call_us, len(calls), pace)
        if mode.clock == "sustained":
            chunk_s = 0.5 if self.device.telemetry.slow else 0.05
            return sustained(timer, calls, mode.launch, count, pace, chunk_s, watch.look, watch.settled)
        return burst(timer, calls, mode.launch, count, pace, watch.look)


def make_row(
    kernel: Kernel, mode: Mode, copies: int, device: Device, timed: Timed, watch: Watch, checked: tuple[float, bool], name: str
) -> KernelRow:
    """The row of a job. Power and energy only where the loop was long enough to tell."""
    error, right = checked
    energy_mj = watch.energy_mj() if timed.seconds else math.nan
    power_w = energy_mj / 1e3 / timed.seconds if timed.seconds else math.nan
    if timed.seconds and math.isnan(power_w):
        power_w = watch.mean("power_w")
    return KernelRow(
        gpu=device.name, op=kernel.op, dtype=kernel.dtype, latency_us=timed.median(),
        source="rowline", license="Apache-2.0", framework=device.framework, kernel=name,
        m=kernel.m, n=kernel.n, k=kernel.k, batch=kernel.batch, heads=kernel.heads, kv_heads=kernel.kv_heads,
        head_dim=kernel.head_dim, seq_q=kernel.seq_q, seq_kv=kernel.seq_kv,
        protocol=f"{device.kind}{'graph' if mode.launch == 'graph' else '-eager'}-{mode.l2}-{mode.clock}",
        flags="" if right else "wrong_result", extra=json.dumps({"variant": kernel.variant}) if kernel.variant else "",
        launch=mode.launch, l2=mode.l2, copies=copies, clock_mode=mode.clock,
        repeats=len(timed.samples), spread_us=timed.spread(), checked=error if math.isfinite(error) else math.nan,
        power_w=power_w, energy_mj=energy_mj / timed.calls if timed.calls else math.nan,
        sm_clock_mhz=watch.mean("sm_clock_mhz"), mem_clock_mhz=watch.mean("mem_clock_mhz"),
        temperature_c=watch.last().temperature_c,
    )  # fmt: skip
