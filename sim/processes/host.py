"""The host ASIC as SimPy processes: it decides what runs next and waits for what it needs.

Two units work in order: the PIM sequencer hands streams to the channels, the ASIC takes results in and computes. Each step
starts when those it waits for are done, so that the channels go on multiplying while the ASIC accumulates, applies GELU or
normalises, unless data dependencies forbid it. Time is integer picoseconds.
"""

from collections.abc import Callable, Generator
from typing import Protocol

import simpy


class Machine(Protocol):
    """What the host drives. Steps of both kinds are numbered through all passes."""

    passes: int

    def pim_steps(self, index: int) -> list[int]:
        """For each PIM step of a pass: the number of the ASIC step that must be done before, -1 for none."""
        ...

    def asic_steps(self, index: int) -> list[int]:
        """For each ASIC step of a pass: the number of the PIM step whose results it takes in, -1 for none."""
        ...

    def issue(self, index: int, step: int, now_ps: int) -> None:
        """Run PIM step ``step`` of pass ``index`` on the channels, released at ``now_ps``."""
        ...

    def execute(self, index: int, step: int, now_ps: int) -> int:
        """Run ASIC step ``step`` of pass ``index`` from ``now_ps`` on; returns when it is done, in ps."""
        ...


class _Counter:
    """Counts finished steps of one unit; the other unit waits for a number to be passed."""

    def __init__(self, env: simpy.Environment):
        self.env = env
        self.done = 0
        self.awaited = -1
        self.event: simpy.Event | None = None

    def finish_one(self) -> None:
        """Count one step and wake who waits for it."""
        self.done += 1
        if self.event is not None and self.done > self.awaited:
            event, self.event = self.event, None
            event.succeed()

    def wait_for(self, number: int) -> simpy.Event:
        """Event of step ``number`` being finished; only one process waits at a time."""
        self.awaited = number
        self.event = self.env.event()
        return self.event


def run_host(machine: Machine, on_pass: Callable[[int], None] = lambda index: None) -> int:
    """Run all passes of ``machine``; returns the time at which the ASIC finished the last step, in ps."""
    env = simpy.Environment()
    issued, executed = _Counter(env), _Counter(env)

    def sequencer() -> Generator[simpy.Event, None, None]:
        for index in range(machine.passes):
            for step, after in enumerate(machine.pim_steps(index)):
                if executed.done <= after:
                    yield executed.wait_for(after)
                machine.issue(index, step, int(env.now))
                issued.finish_one()

    def asic() -> Generator[simpy.Event, None, None]:
        for index in range(machine.passes):
            for step, source in enumerate(machine.asic_steps(index)):
                if issued.done <= source:
                    yield issued.wait_for(source)
                end = machine.execute(index, step, int(env.now))
                if end > env.now:
                    yield env.timeout(end - int(env.now))
                executed.finish_one()
            on_pass(index)

    env.process(sequencer())
    env.process(asic())
    env.run()
    return int(env.now)
