"""A system: channels of a device, the host ASIC that drives them, and the links between."""

from typing import Self

from pydantic import Field, model_validator

from .device import DramDevice
from .units import Clock
from .values import (
    Area,
    Count,
    CountOrZero,
    Duration,
    EnergyPerBit,
    Frequency,
    Power,
    Size,
    Sourced,
    SourceKind,
    Spec,
    sourced_values,
)


class HostAsic(Spec):
    """The ASIC that sends vectors, collects partial sums and does what the MAC units cannot.

    It has adders and multipliers only; functions are built from them (see :mod:`rowline.sim.asic_cost`).
    """

    clock: Frequency
    sram: Size
    adders: Count
    multipliers: Count
    exp_taylor_order: Count
    tanh_taylor_order: Count
    reciprocal_iterations: CountOrZero = Field(description="Newton-Raphson steps of a reciprocal after the linear seed")
    rsqrt_iterations: CountOrZero = Field(description="Newton steps of the fast inverse square root")
    active_power: Power
    idle_power: Power
    area: Area

    @property
    def asic_clock(self) -> Clock:
        """The clock in whose cycles ASIC operations are counted."""
        return Clock(self.clock.value)


class Link(Spec):
    """The point-to-point link of one channel; its width and rate are those of the device's data bus."""

    latency: Duration
    energy: EnergyPerBit


class System(Spec):
    """A complete machine."""

    name: str
    description: str
    channels: Count
    device: DramDevice
    host: HostAsic
    link: Link

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.channels.value > 1024:
            raise ValueError(f"channels: {self.channels.value} is above the supported 1024")
        if self.link.latency.in_cycles:
            raise ValueError("link.latency: needs a time, not cycles")
        if self.host.idle_power.value > self.host.active_power.value:
            raise ValueError("host.idle_power is above host.active_power")
        return self

    @property
    def banks(self) -> int:
        """Banks of all channels."""
        return self.channels.value * self.device.organization.banks

    def sourced(self) -> dict[str, Sourced]:
        """Every number with a source, by its dotted name (``device.timing.tRP``)."""
        return sourced_values(self)

    def resting_on(self, kind: SourceKind) -> list[str]:
        """Dotted names of the numbers whose source is of ``kind``."""
        return [name for name, value in self.sourced().items() if value.kind == kind]
