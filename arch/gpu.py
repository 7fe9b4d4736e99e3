"""A GPU: what the chip and the board are. What a library does with them is in :mod:`.stack`.

Rates are per clock, so that time follows the clock that a run uses; the throughputs that a data sheet prints are kept beside
them as ``datasheet``, for the check that both say the same. ``micro`` holds what named micro-benchmarks reached: constants of
the memory system that no data sheet gives.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from .units import Clock
from .values import (
    Bandwidth,
    Count,
    Duration,
    Energy,
    EnergyPerBit,
    Frequency,
    OpRate,
    PerMille,
    Power,
    Size,
    Sourced,
    SourceKind,
    Spec,
    sourced_values,
)

DTYPE_BYTES = {"fp64": 8, "fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
"""Bytes of one element of each type that a rate may be given for."""


class Architecture(StrEnum):
    """Generation of the streaming multiprocessors."""

    VOLTA = "volta"
    TURING = "turing"
    AMPERE = "ampere"
    ADA = "ada"
    HOPPER = "hopper"


class StreamingMultiprocessors(Spec):
    """The SMs: how many, how fast, and what each holds and does in a clock."""

    count: Count
    base_clock: Frequency
    boost_clock: Frequency = Field(description="boost clock of the data sheet")
    max_clock: Frequency = Field(description="highest clock that the driver lets the SMs run at")
    tensor_macs: dict[str, Count] = Field(description="dense multiply-adds a clock of the tensor cores of one SM, by type")
    simt_macs: dict[str, Count] = Field(description="multiply-adds a clock of the scalar lanes of one SM, by type")
    sfu_per_clock: Count = Field(description="exponentials, reciprocals and square roots a clock of one SM")
    schedulers: Count = Field(description="warps that can issue in one clock")
    register_file: Size
    l1_and_shared: Size = Field(description="L1 cache and shared memory of one SM together")
    shared_max: Size = Field(description="the most of it that can be shared memory")
    shared_max_per_cta: Size
    shared_reserved_per_cta: Size | None = Field(default=None, description="taken by the system from shared_max, each CTA")
    max_threads: Count
    max_ctas: Count
    max_registers_per_thread: Count
    shared_bytes_per_clock: Count = Field(description="bytes a clock that one SM reads from shared memory")
    l1_bytes_per_clock: Count = Field(description="bytes a clock that one SM reads from its L1 on hits")
    l2_bytes_per_clock: Count = Field(description="bytes a clock that one SM can receive from the L2")


class L2Cache(Spec):
    """The L2 cache of the chip."""

    size: Size
    slices: Count
    partitions: Count = Field(description="halves of the chip; data in the other one is further away")
    bandwidth_per_clock: Count = Field(description="bytes a clock that all slices together can read")
    line: Size
    sector: Size
    ways: Count
    clock: Frequency


class GpuMemory(Spec):
    """DRAM of the board: ``channels`` of one device of the DRAM instrument."""

    device: str = Field(description="preset or YAML file of one channel, as load_device takes it")
    channels: Count
    capacity: Size
    bandwidth: Bandwidth = Field(description="peak of the data sheet")
    interleave: Size = Field(
        default_factory=lambda: Size.model_validate(
            {"value": "1 KiB", "kind": "FITTED", "ref": "GEMM with M <= 64 of H100 and H200, vllm-0.24.0, seen families"}
        ),
        description="most bytes of one tile request that one channel has",
    )


class BoardPower(Spec):
    """Power of the whole board."""

    cap: Power = Field(description="power above which the clock is lowered")
    idle: Power
    static: Power | None = Field(default=None, description="drawn at the highest clock by kernels that do next to nothing")
    window: Duration | None = Field(default=None, description="over which the cap holds the mean power")


class Datasheet(Spec):
    """Throughputs as printed, with the clocks they hold at; for checks, no simulation reads them."""

    tensor_clock: Frequency = Field(description="clock at which the tensor throughputs hold")
    simt_clock: Frequency
    tensor: dict[str, OpRate] = Field(description="dense, by type")
    simt: dict[str, OpRate]


class MicroBenchmarks(Spec):
    """What named micro-benchmarks measured; None where no measurement is known. ``ck`` are SM clocks."""

    dram_read_bandwidth: Bandwidth | None = Field(default=None, description="reading far more than the L2 holds")
    dram_write_bandwidth: Bandwidth | None = None
    dram_copy_bandwidth: Bandwidth | None = Field(default=None, description="reads and writes together, one of each")
    dram_triad_bandwidth: Bandwidth | None = Field(default=None, description="reads and writes together, two to one")
    l2_bandwidth: Bandwidth | None = Field(default=None, description="all SMs reading the same data that fits in the L2")
    l2_usable: Size | None = Field(default=None, description="data up to which the L2 bandwidth is kept")
    l1_latency: Duration | None = None
    shared_latency: Duration | None = None
    l2_latency: Duration | None = Field(default=None, description="hit in the near partition, or in an L2 that has one")
    l2_far_latency: Duration | None = Field(default=None, description="hit in the far partition")
    dram_latency: Duration | None = None
    graph_launch: Duration | None = Field(default=None, description="time of each of many small kernels in a CUDA graph")
    stream_launch: Duration | None = Field(default=None, description="time of each of many small kernels launched in a row")


class GpuEnergy(Spec):
    """Energies of events, where a source exists."""

    tensor_mac: dict[str, Energy] = Field(default_factory=dict, description="one multiply-add of a tensor core, by type")
    simt_mac: dict[str, Energy] = Field(default_factory=dict, description="one multiply-add of the scalar lanes, by type")
    l2_bit: EnergyPerBit | None = Field(default=None, description="between the L2 and the SMs")
    dram_bit: EnergyPerBit | None = None
    traffic_bit: EnergyPerBit | None = Field(default=None, description="of DRAM traffic, with all that it needs on the chip")


class AchievedRates(Spec):
    """What kernels reach of the chip's rates where no micro-benchmark of the board says it. None: carried from other chips."""

    tensor: PerMille | None = Field(default=None, description="share of the tensor cores' rate in a long loop")
    simt: PerMille | None = Field(default=None, description="share of the scalar lanes' rate in a long loop")
    l2_usable: PerMille | None = Field(default=None, description="share of the L2 that holds data which all SMs read")
    l2_bandwidth: PerMille | None = Field(default=None, description="share of micro.l2_bandwidth in matrix products")
    dram_read: PerMille | None = Field(default=None, description="share of the data sheet's bandwidth, reading")
    dram_write: PerMille | None = Field(default=None, description="share of the data sheet's bandwidth, writing")
    port: Count | None = Field(default=None, description="bytes a clock that one SM takes in from the L2")
    l2_latency: Duration | None = Field(default=None, description="hit under load")
    dram_latency: Duration | None = Field(default=None, description="miss under load, beyond a hit")


class GpuSpec(Spec):
    """A GPU board, all of whose numbers carry their sources."""

    name: str
    description: str
    architecture: Architecture
    boards: tuple[str, ...] = Field(description="names that logs and drivers give this board")
    sm: StreamingMultiprocessors
    l2: L2Cache
    dram: GpuMemory
    power: BoardPower
    datasheet: Datasheet
    micro: MicroBenchmarks = Field(default_factory=MicroBenchmarks)
    energy: GpuEnergy = Field(default_factory=GpuEnergy)
    achieved: AchievedRates = Field(default_factory=AchievedRates)

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for path, table in (
            ("sm.tensor_macs", self.sm.tensor_macs), ("sm.simt_macs", self.sm.simt_macs),
            ("datasheet.tensor", self.datasheet.tensor), ("datasheet.simt", self.datasheet.simt),
            ("energy.tensor_mac", self.energy.tensor_mac), ("energy.simt_mac", self.energy.simt_mac),
        ):  # fmt: skip
            for dtype in table:
                if dtype not in DTYPE_BYTES:
                    raise ValueError(f"{path}.{dtype}: unknown type; known: {', '.join(DTYPE_BYTES)}")
        if not self.sm.base_clock.value <= self.sm.boost_clock.value <= self.sm.max_clock.value:
            raise ValueError("sm: needs base_clock <= boost_clock <= max_clock")
        if self.power.idle.value > self.power.cap.value:
            raise ValueError("power.idle: above power.cap")
        if self.power.static is not None and self.power.static.value >= self.power.cap.value:
            raise ValueError("power.static: not below power.cap, which leaves no kernel any power")
        return self

    @property
    def max_clock(self) -> Clock:
        """The highest SM clock."""
        return Clock(self.sm.max_clock.value)

    def tensor_ops_per_s(self, dtype: str, clock_hz: int) -> int:
        """Peak of all tensor cores at an SM clock, in operations per second (two a multiply-add).

        Raises:
            KeyError: the tensor cores do not work on ``dtype``.
        """
        return 2 * self.sm.count.value * self.sm.tensor_macs[dtype].value * clock_hz

    def simt_ops_per_s(self, dtype: str, clock_hz: int) -> int:
        """Peak of all scalar lanes at an SM clock, in operations per second (two a multiply-add).

        Raises:
            KeyError: the lanes have no rate for ``dtype``.
        """
        return 2 * self.sm.count.value * self.sm.simt_macs[dtype].value * clock_hz

    def sourced(self) -> dict[str, Sourced]:
        """Every number with a source, by its dotted name (``l2.size``)."""
        return sourced_values(self)

    def resting_on(self, kind: SourceKind) -> list[str]:
        """Dotted names of the numbers whose source is of ``kind``."""
        return [name for name, value in self.sourced().items() if value.kind == kind]
