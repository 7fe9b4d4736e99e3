"""A chip and what a library costs on it, as the plain numbers that grids are simulated with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

ELEMENT_BYTES: dict[str, float] = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1, "int64": 8}
"""Bytes of an operand's element."""


@dataclass(frozen=True)
class Chip:
    """A GPU at one clock. Cycles are those of the SM clock.

    Attributes:
        clock_hz: SM clock; base_share: the board's base clock as a share of it.
        tensor_macs, simt_macs: dense multiply-adds a cycle of one SM, by type.
        tensor_efficiency, simt_efficiency: share of that rate that a long loop reaches.
        sfu_per_cycle: exponentials and the like a cycle of one SM.
        shared_bytes, cta_shared_bytes: shared memory of an SM, and what the system takes of it for each CTA.
        port_bytes: bytes a cycle that one SM takes in from the L2.
        l2_bytes, l2_latency: bytes a cycle of all SMs together; cycles of a hit.
        l2_usable_bytes, l2_ways: capacity for data that all SMs share, and its ways.
        dram_read_hz, dram_write_hz: bytes a second that long streams reach; dram_latency: cycles beyond a hit.
        dram_servers: channels, or groups of them, that serve requests independently of one another; dram_slice_bytes: most
            that one of them has of what is asked for at once.
        power_cap_w, static_w: the board's cap, and what it draws at its highest clock with nothing to do.
        mac_pj: energy of a multiply-add by type; byte_pj: of a byte of DRAM traffic, all the way; both at the highest clock.
        lane_pj: energy of a multiply-add of the scalar lanes by type; l2_byte_pj: of a byte between L2 and SMs.
        governor_us: window over which the cap holds.
    """

    name: str
    sms: int
    clock_hz: float
    tensor_macs: Mapping[str, int]
    simt_macs: Mapping[str, int]
    sfu_per_cycle: int
    shared_bytes: int
    cta_shared_bytes: int
    max_ctas: int
    max_threads: int
    port_bytes: float
    l2_bytes: float
    l2_latency: float
    l2_usable_bytes: float
    dram_read_hz: float
    dram_write_hz: float
    dram_latency: float
    l2_ways: int = 16
    dram_servers: int = 1
    dram_slice_bytes: int = 4096
    tensor_efficiency: float = 1.0
    simt_efficiency: float = 1.0
    power_cap_w: float = math.inf
    static_w: float = 0.0
    mac_pj: Mapping[str, float] = field(default_factory=lambda: {})
    byte_pj: float = 0.0
    governor_us: float = 0.0
    lane_pj: Mapping[str, float] = field(default_factory=lambda: {})
    l2_byte_pj: float = 0.0
    base_share: float = 1.0

    def macs(self, dtype: str) -> float:
        """Multiply-adds a cycle of one SM that a long loop reaches: tensor cores, or lanes where they lack the type.

        Raises:
            KeyError: neither has the type.
        """
        if dtype in self.tensor_macs:
            return self.tensor_macs[dtype] * self.tensor_efficiency
        return self.simt_macs[dtype] * self.simt_efficiency


@dataclass(frozen=True)
class Costs:
    """What each kernel of a library costs beside its work.

    Attributes:
        launch_us: from the end of one kernel to the end of the next, if it had nothing to do; alone_us: more, for the only
            kernel of a graph.
        cta_launch: cycles to start a CTA on a slot that another has left.
        step: cycles of each step of a K loop beside its arithmetic; step_least: what the arithmetic of a step takes at least.
        epilogue: cycles of a CTA from its last step to its first write; epilogue_bytes: bytes a cycle it then writes.
        split_us: adding up the parts of a split k, beside the traffic.
    """

    launch_us: float
    cta_launch: float
    step: float
    epilogue: float
    epilogue_bytes: float
    split_us: float
    step_least: float = 0.0
    alone_us: float = 0.0
