"""What a machine can do at most, for rooflines and utilisation: from its specification alone."""

from dataclasses import dataclass
from typing import Self

from ..arch.device import ELEMENT_BYTES
from ..arch.gpu import GpuSpec
from ..arch.system import System


@dataclass(frozen=True)
class Ceilings:
    """Peaks of a machine.

    Attributes:
        ops_per_s: operations, two a multiply-accumulate.
        bytes_per_s: what the roof over traffic rests on: the links of a PIM system, the DRAM of a GPU.
        bank_bytes_per_s: what all MAC units together can read from their banks; None for a GPU.
        traffic: the traffic in words.
    """

    ops_per_s: float
    bytes_per_s: float
    bank_bytes_per_s: float | None
    traffic: str

    @classmethod
    def of(cls, machine: System | GpuSpec, dtype: str) -> Self:
        """Of either; ``dtype`` matters on a GPU.

        Raises:
            KeyError: the GPU has no rate for the type.
        """
        return cls.of_gpu(machine, dtype) if isinstance(machine, GpuSpec) else cls.of_system(machine)

    @classmethod
    def of_system(cls, system: System) -> Self:
        """Of a system with PIM: MAC units that never wait, links that are never idle."""
        device, channels = system.device, system.channels.value
        bank = device.peak_mac_bandwidth_bytes_per_s * channels
        link = device.bus.bandwidth_bits_per_s / 8 * device.organization.pseudo_channels.value * channels
        return cls(2 * bank / ELEMENT_BYTES, link, bank, "links")

    @classmethod
    def of_gpu(cls, gpu: GpuSpec, dtype: str) -> Self:
        """Of a GPU at its highest clock, in one type.

        Raises:
            KeyError: the GPU has no rate for the type.
        """
        clock = gpu.sm.max_clock.value
        tensor = dtype in gpu.sm.tensor_macs
        ops = gpu.tensor_ops_per_s(dtype, clock) if tensor else gpu.simt_ops_per_s(dtype, clock)
        return cls(ops, gpu.dram.bandwidth.value, None, "DRAM")
