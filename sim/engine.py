"""Run a mapped workload: passes of a generation on the PIM machine, to a RunResult."""

from collections.abc import Callable
from dataclasses import dataclass

from .kept import Keeper
from .kernels import layout as at
from .mapping.pim_gpt import Mapping
from .pim_machine import PassRun, PimMachine, Records
from .processes.host import run_host


@dataclass(frozen=True)
class RawRun:
    """What a run left behind: integers only; :mod:`.results` makes sense of them.

    Attributes:
        classes: names of the op classes, in the order of ``records.waits``.
        end_ps: time at which the last step was done.
        prefill_end_ps: time at which the prompt was done (its last ASIC step).
        last_cycles: cycle of the last command of each channel that a step asked for.
        tail_counts: commands (refreshes) that fell due after the last step's, by command.
    """

    mapping: Mapping
    runs: list[PassRun]
    classes: list[str]
    records: Records
    end_ps: int
    prefill_end_ps: int
    last_cycles: list[int]
    tail_counts: list[int]


def plan_passes(mapping: Mapping, prompt_tokens: int, generated_tokens: int) -> list[PassRun]:
    """The passes of a generation: the prompt in batches, then one pass for each generated token but the last.

    Only the pass that ends the prompt and those behind it compute logits. A decode pass waits for the one before it, whose
    token it takes in; the passes of a prompt do not wait for each other.
    """
    runs: list[PassRun] = []
    plans = {}

    def plan(batch: int, logits: bool):
        if (batch, logits) not in plans:
            plans[batch, logits] = mapping.plan(batch, logits)
        return plans[batch, logits]

    for first in range(1, prompt_tokens + 1, mapping.batch):
        kv = tuple(range(first, min(first + mapping.batch, prompt_tokens + 1)))
        runs.append(PassRun(plan(len(kv), kv[-1] == prompt_tokens), kv, False, "prefill"))
    for kv_length in range(prompt_tokens + 1, prompt_tokens + generated_tokens):
        runs.append(PassRun(plan(1, True), (kv_length,), True, "decode"))
    return runs


def simulate(
    mapping: Mapping,
    prompt_tokens: int,
    generated_tokens: int,
    on_pass: Callable[[int, int], None] = lambda done, total: None,
    keeper: Keeper | None = None,
) -> RawRun:
    """Simulate every command of a generation.

    Args:
        on_pass: called with (passes done, passes in all) after each pass.
        keeper: holds what other simulations made: timing tables and command streams.

    Raises:
        SimulationError: the machine cannot hold or time what the mapping asks for.
    """
    runs = plan_passes(mapping, prompt_tokens, generated_tokens)
    classes = sorted({s.op_class for s in mapping.slots})
    machine = PimMachine(mapping, runs, classes, keeper)
    host_end = run_host(machine, lambda index: on_pass(index + 1, len(runs)))
    clock, latest = mapping.system.device.device_clock, int(machine.records.pim[:, 1].max())
    end_ps = max(host_end, clock.edge_ps(latest + 1))
    prefill = sum(r.phase == "prefill" for r in runs)
    prefill_end = int(machine.records.asic[machine.asic_base[prefill] - 1, 1]) if prefill < len(runs) else end_ps
    last = (machine.channels[:, at.T_LAST_ISSUE] >> at.RULE_BITS).tolist()
    tail = machine.finish(end_ps)
    return RawRun(mapping, runs, classes, machine.records, end_ps, prefill_end, last, tail.tolist())
