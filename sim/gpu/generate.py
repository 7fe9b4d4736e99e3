"""A generation on a GPU: the kernels of each pass timed, the power cap, and the stream that they form.

Kernels that are alike are simulated once. A weight is used once a pass, so between two uses all weights and the KV cache pass
through the L2 (see ``program_bytes`` of :class:`.loop.Loop`); in the first pass nothing has been used before. What one kernel
writes and the next reads stays as far as it fits.

The cap holds for the mean power of what runs for longer than the governor's window: kernels of a pass that needs more energy
than the cap allows, after that window, are all drawn out alike.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..kept import Anew, Keeper
from ..mapping.gpu import KernelPlan, Operands
from ..processes.gpu import Batch, run_stream
from .device import Device
from .kernels import Kernel
from .loop import Launch, Loop
from .power import dram_us, sustained_us
from .run import Timing, time_kernel

PS_PER_US = 10**6
HOST_LAUNCH_US = 2.4
"""Host time of a launch where a board's micro-benchmarks have none: that of A100 and H200."""


@dataclass(frozen=True)
class Program:
    """What is to run: ``prefill`` once over the prompt, ``decode`` for each generated token but the first, if there are more."""

    device: Device
    dtype: str
    launch: Launch
    prompt_tokens: int
    generated_tokens: int
    prefill: KernelPlan
    decode: KernelPlan

    def passes(self) -> list[tuple[KernelPlan, int]]:
        """The kernels of each pass and the KV length that it attends to."""
        decoded = range(self.prompt_tokens + 1, self.prompt_tokens + self.generated_tokens)
        return [(self.prefill, self.prompt_tokens), *((self.decode, kv) for kv in decoded)]


@dataclass(frozen=True)
class RawGpuRun:
    """What a run left behind.

    Attributes:
        kernels, timings: the distinct kernels, and one time for each, at the highest clock.
        ids: for each pass, which of them each of its steps is.
        held: for each pass, how many times longer its kernels take because of the power cap.
        spent: for each pass, the energy of its kernels, over that at the highest clock.
        start_ps, end_ps: of each kernel of all passes, in order.
        host_launches: launches of the host.
    """

    program: Program
    kernels: Sequence[Kernel]
    timings: Sequence[Timing]
    ids: Sequence[Sequence[int]]
    held: Sequence[float]
    spent: Sequence[float]
    start_ps: Sequence[int]
    end_ps: Sequence[int]
    host_launches: int

    @property
    def prefill_end_ps(self) -> int:
        """When the prompt is done."""
        return self.end_ps[len(self.ids[0]) - 1]


class _Times:
    """Timings by kernel and loop, each simulated once; ``keeper`` may hold those of other runs on an equal device."""

    def __init__(self, device: Device, keeper: Keeper):
        self.device, self.keeper = device, keeper
        self.key = "" if isinstance(keeper, Anew) else device.gpu.model_dump_json() + device.stack.model_dump_json()
        self.known: dict[tuple[Kernel, Loop], int] = {}
        self.kernels: list[Kernel] = []
        self.timings: list[Timing] = []
        self.plans: dict[tuple[int, Loop], tuple[list[int], list[list[int]]]] = {}

    def number(self, kernel: Kernel, loop: Loop, name: str) -> int:
        """The number of a kernel's timing."""
        if (kernel, loop) not in self.known:
            key = ("kernel", self.key, kernel, loop, name)
            self.timings.append(self.keeper.get(key, lambda: time_kernel(kernel, self.device, loop, name)))
            self.kernels.append(kernel)
            self.known[kernel, loop] = len(self.timings) - 1
        return self.known[kernel, loop]

    def of_pass(self, plan: KernelPlan, kv_length: int, weights: Loop) -> list[int]:
        """Those of a pass; what does not depend on the KV length is looked up once."""
        loops = {Operands.WEIGHTS: weights, Operands.FRESH: Loop()}
        key = id(plan), weights
        if key not in self.plans:
            places: dict[tuple[Kernel, str, Operands], list[int]] = {}  # steps that depend on it and are alike
            for place, step in enumerate(plan.steps):
                if step.grows:
                    places.setdefault((step.kernel, step.grows, step.operands), []).append(place)
            known = [self.number(s.at(kv_length), loops[s.operands], s.name) for s in plan.steps]
            self.plans[key] = known, list(places.values())
        known, grown = self.plans[key]
        numbers = list(known)
        for alike in grown:
            step = plan.steps[alike[0]]
            number = self.number(step.at(kv_length), loops[step.operands], step.name)
            for place in alike:
                numbers[place] = number
        return numbers


def host_us(device: Device, launch: Launch, name: str) -> float:
    """Host time of one launch: of an operation as the stack's framework starts it, where that is known, or of a bare launch."""
    stream = device.gpu.micro.stream_launch
    if stream is None:
        bare = HOST_LAUNCH_US
    else:
        bare = stream.value / device.chip.clock_hz * 1e6 if stream.in_cycles else stream.value / PS_PER_US
    known = device.stack.fixed.eager
    if launch is Launch.GRAPH or not known:
        return bare
    return device.host_us(name) if name in known else min(device.host_us(other) for other in known)


def _host(program: Program, plan: KernelPlan) -> list[float]:
    """Host time of each launch of a pass: of its graph, or of its kernels."""
    steps = plan.steps if program.launch is Launch.EAGER else plan.steps[:1]
    return [host_us(program.device, program.launch, step.name) for step in steps]


def simulate_program(
    program: Program, on_pass: Callable[[int, int], None] = lambda done, total: None, keeper: Keeper | None = None
) -> RawGpuRun:
    """Run a generation.

    Args:
        on_pass: called with (passes done, passes in all) after the kernels of each pass have been timed.
        keeper: holds the timings of other runs.

    Raises:
        KeyError: the chip or the stack cannot do a kernel.
        ValueError: a kernel that is too large to simulate.
    """
    times, passes = _Times(program.device, keeper or Anew()), program.passes()
    last = passes[-1][1]
    first, later = Loop(program_bytes=math.inf), Loop(program_bytes=_round_bytes(program.decode, last))
    ids: list[list[int]] = []
    held: list[float] = []
    spent: list[float] = []
    batches: list[Batch] = []
    elapsed = 0.0
    for index, (plan, kv_length) in enumerate(passes):
        numbers = times.of_pass(plan, kv_length, later if index else first)
        host = _host(program, plan)
        longer, less = _held(times, numbers, sum(host), elapsed, program.device)
        held.append(longer)
        spent.append(less)
        kernels_ps = [round(times.timings[n].us * longer * PS_PER_US) for n in numbers]
        elapsed += max(sum(kernels_ps) / PS_PER_US, sum(host))
        host_ps = [round(us * PS_PER_US) for us in host]
        each = [[ps] for ps in kernels_ps] if program.launch is Launch.EAGER else [kernels_ps]
        batches += [Batch(ps, kernels) for ps, kernels in zip(host_ps, each, strict=True)]
        ids.append(numbers)
        on_pass(index + 1, len(passes))
    starts, ends = run_stream(batches)
    return RawGpuRun(program, times.kernels, times.timings, ids, held, spent, starts, ends, len(batches))


def _round_bytes(plan: KernelPlan, kv_length: int) -> float:
    """Bytes from one use of a weight to the next: all weights, and the KV cache as it is in the end."""
    return plan.weight_bytes + plan.kv_bytes_per_token * kv_length


def _held(times: _Times, numbers: Sequence[int], host: float, elapsed: float, device: Device) -> tuple[float, float]:
    """Times that the kernels of a pass take longer because of the cap, and their energy; ``elapsed`` us have gone before it."""
    chip = device.chip
    kernels_us = sum(times.timings[n].us for n in numbers)
    joules = sum(times.timings[n].joules for n in numbers)
    us = max(kernels_us, host)
    memory = sum(dram_us(chip, times.timings[n].run.result) for n in numbers)
    slow = sustained_us(us, memory, joules, chip)
    if slow <= us:
        return 1.0, 1.0
    after = min(1.0, max(0.0, (elapsed + us - chip.governor_us) / us))
    spent = min(1.0, (chip.power_cap_w - chip.static_w) * slow * 1e-6 / joules)  # with the clock falls the voltage
    return 1.0 + (slow - us) * after / kernels_us, 1.0 + (spent - 1.0) * after
