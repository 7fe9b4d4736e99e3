"""A weight matrix streamed once through the MAC units of a system, without a host."""

from typing import Any

from ..arch.device import ELEMENT_BYTES
from ..arch.spec import Term
from ..arch.system import System
from ..traces.opgraph import OpGraph
from .kernels import layout as at
from .mapping.pim_gpt import Mapping, MappingOptions
from .mapping.placement import Allocator, Geometry, weight_region
from .mapping.program import AsicStep, PassPlan, PimStep, Slot
from .pim_machine import PassRun, PimMachine


def run_weight_stream(system: System, outputs: int, inputs: int) -> dict[str, Any]:
    """Time, bandwidth and causes of one product of a matrix [outputs, inputs] with a vector.

    Raises:
        MappingError: the matrix does not fit the banks.
    """
    geometry = Geometry.of(system)
    allocator = Allocator(geometry)
    region = allocator.place(weight_region(geometry, "weight", 0, outputs, inputs, "weight"))
    allocator.check_capacity(f"a {outputs} x {inputs} matrix")
    graph = OpGraph((), "weight-stream", "decode", 1, 1)
    mapping = Mapping(system, graph, MappingOptions(), 1, geometry, allocator.regions, 1)
    slot, shift = mapping.slot(Slot("vmm", "stream", region))
    plan = PassPlan(1, False, [PimStep(slot, shift, 0, 0, 0, -1)], [AsicStep("accumulate", 0, 0, 0, source=0)])
    machine = PimMachine(mapping, [PassRun(plan, (1,), False, "decode")], ["stream"])
    machine.issue(0, 0, 0)
    record, counts = machine.records.pim[0], machine.records.pim_counts[0]
    names = [c.name for c in system.device.dram_standard.commands]
    cycles = int(record[at.P_END]) + 1
    seconds = cycles / system.device.clock.value
    waits = machine.records.waits[0]
    terms = dict.fromkeys((t.value for t in Term), 0)
    for rule, n in zip(system.device.dram_standard.rules, waits[at.N_RESULT :].tolist(), strict=True):
        terms[rule.term.value] += n
    scale = 1 / (system.channels.value * system.device.clock.value)
    by_term = {term: n * scale for term, n in terms.items() if n}
    by_term["host"] = seconds - sum(by_term.values())  # channels that ended before the last one
    commands = {name: int(n) for name, n in zip(names, counts, strict=True) if n}
    return {
        "arch": system.name,
        "outputs": outputs,
        "inputs": inputs,
        "latency_s": seconds,
        "cycles": cycles,
        "latency_by_term_s": by_term,
        "macs": int(record[at.P_MACS]),
        "commands": commands,
        "row_hit_rate": 1 - commands["ACT16"] / commands["MAC16"],
        "effective_bandwidth_bytes_per_s": int(record[at.P_MACS]) * ELEMENT_BYTES / seconds,
        "peak_bandwidth_bytes_per_s": system.device.peak_mac_bandwidth_bytes_per_s * system.channels.value,
    }
