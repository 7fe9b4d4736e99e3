"""A DRAM device: one channel of a standard with its organisation, timing, currents and, if it has them, MAC units."""

from enum import StrEnum
from functools import cached_property
from typing import Self

from pydantic import Field, model_validator

from .spec import DramStandard
from .standards import STANDARDS
from .units import Clock
from .values import Count, Current, Duration, Flag, Frequency, PerMille, PinRate, Power, Size, Spec, Voltage

ELEMENT_BYTES = 2
"""Size of one matrix element; the MAC units of every preset work on bfloat16."""


class RefreshMode(StrEnum):
    """How a channel is refreshed."""

    ALL_BANK = "all_bank"
    PER_BANK = "per_bank"
    OFF = "off"


class Organization(Spec):
    """One channel: bank groups of banks of rows of columns."""

    bank_groups: Count
    banks_per_group: Count
    rows: Count
    row_size: Size
    access_size: Size

    @model_validator(mode="after")
    def _whole_columns(self) -> Self:
        if self.row_size.value % self.access_size.value:
            raise ValueError(f"row_size {self.row_size.text} is no multiple of access_size {self.access_size.text}")
        if self.access_size.value % ELEMENT_BYTES:
            raise ValueError(f"access_size {self.access_size.text} holds no whole number of {ELEMENT_BYTES} B elements")
        for name in ("bank_groups", "banks_per_group"):
            number = getattr(self, name).value
            if number & (number - 1):
                raise ValueError(f"{name}: {number} is no power of two")
        if self.banks > 256 or self.columns > 4096:
            raise ValueError(f"{self.banks} banks of {self.columns} columns: at most 256 and 4096 are supported")
        return self

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return self.bank_groups.value * self.banks_per_group.value

    @property
    def columns(self) -> int:
        """Column accesses of one row."""
        return self.row_size.value // self.access_size.value

    @property
    def elements_per_column(self) -> int:
        """Matrix elements that one column access carries."""
        return self.access_size.value // ELEMENT_BYTES

    @property
    def capacity_bytes(self) -> int:
        """Bytes of one channel."""
        return self.banks * self.rows.value * self.row_size.value


class DataBus(Spec):
    """The external data bus of a channel: its link to the host."""

    width: Count
    pin_rate: PinRate

    @property
    def bandwidth_bits_per_s(self) -> int:
        """Peak rate in bits per second."""
        return self.width.value * self.pin_rate.value


class Refresh(Spec):
    """Refresh policy: every ``interval`` one all-bank refresh (or one per bank) falls due."""

    mode: RefreshMode
    interval: Duration
    postpone_limit: Count = Field(description="refreshes that may be outstanding before one is forced")


class PowerModel(Spec):
    """Supply voltage and currents of one channel (datasheet IDD conditions), and the cost of MAC work."""

    vdd: Voltage
    idd0: Current
    idd2n: Current
    idd3n: Current
    idd4r: Current
    idd4w: Current
    idd5b: Current

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("idd3n", "idd4r", "idd4w", "idd5b"):
            if getattr(self, name).value < self.idd2n.value:
                raise ValueError(f"{name} must not be below idd2n, the precharged standby current")
        if min(self.idd4r.value, self.idd4w.value) < self.idd3n.value:
            raise ValueError("idd4r and idd4w must not be below idd3n, the active standby current")
        return self


class PimUnits(Spec):
    """The MAC units of a channel, one a bank, and their buffers."""

    mac_lanes: Count
    mac_clock: Frequency
    accumulators: Count = Field(description="accumulators of one MAC unit")
    reset_by_write: Flag = Field(description="accumulators are cleared by WRMAC16, not by reading them")
    global_buffer: Size = Field(description="input vector buffer of a channel, broadcast to its MAC units")
    mac_power: Power = Field(description="logic power of all MAC units of a channel while they work")
    mac_to_read_energy: PerMille = Field(description="array energy of an all-bank MAC column over that of one read")


class DramDevice(Spec):
    """One channel of DRAM, all of whose numbers carry their sources."""

    name: str
    standard: str
    clock: Frequency
    organization: Organization
    bus: DataBus
    timing: dict[str, Duration]
    refresh: Refresh
    power: PowerModel
    multi_bank_activation_in_window: Flag = Field(description="whether ACT4 and ACT16 count bank by bank in tFAW")
    pim: PimUnits | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.standard not in STANDARDS:
            raise ValueError(f'unknown standard "{self.standard}"; known: {", ".join(sorted(STANDARDS))}')
        missing = sorted(self.dram_standard.timing.keys() - self.timing.keys())
        if missing:
            raise ValueError(f"timing lacks {', '.join(missing)}")
        for extra in sorted(self.timing.keys() - self.dram_standard.timing.keys()):
            raise ValueError(f"timing.{extra}: unknown key")
        if "nMAC" in self.dram_standard.derived and self.pim is None:
            raise ValueError(f"a {self.standard} device needs pim")
        self._lint()
        return self

    def _lint(self) -> None:
        """Refuse values that contradict each other, whatever the device."""
        n = self.params
        for short, long in (("nCCDS", "nCCDL"), ("nRRDS", "nRRDL"), ("nWTRS", "nWTRL"), ("nRFCpb", "nRFCab")):
            if n[short] > n[long]:
                raise ValueError(f"timing.t{short[1:]}: above t{long[1:]}")
        if n["nRC"] < n["nRAS"] + n["nRP"]:
            raise ValueError(f"timing.tRC: {n['nRC']} ck is below tRAS + tRP, {n['nRAS'] + n['nRP']} ck")
        if n["nCMD"] < 1:
            raise ValueError("timing.tCMD: must be at least 1 ck")
        if self.refresh.mode != RefreshMode.OFF:
            busy = n["nRFCab"] if self.refresh.mode == RefreshMode.ALL_BANK else n["nRFCpb"] // self.organization.banks
            if self.refresh_interval <= busy + n["nRP"] + n["nRC"]:
                raise ValueError("refresh.interval: leaves no time for anything but refresh")

    @property
    def dram_standard(self) -> DramStandard:
        """The standard that ``standard`` names."""
        return STANDARDS[self.standard]

    @property
    def device_clock(self) -> Clock:
        """The clock in whose cycles commands issue."""
        return Clock(self.clock.value)

    @property
    def refresh_interval(self) -> int:
        """Cycles between refresh commands: tREFI, or tREFI over the banks with per-bank refresh (rounded down)."""
        cycles = self.refresh.interval.cycles_floor(self.device_clock)
        return cycles // self.organization.banks if self.refresh.mode == RefreshMode.PER_BANK else cycles

    @cached_property
    def params(self) -> dict[str, int]:
        """All cycle parameters by name: ``nRCDRD`` from ``tRCDRD`` by ceiling, and the derived ones."""
        clock = self.device_clock
        params = {"n" + name[1:]: value.cycles(clock) for name, value in self.timing.items()}
        access_bits = self.organization.access_size.value * 8
        params["nBL"] = -(-access_bits * clock.freq_hz // self.bus.bandwidth_bits_per_s)
        if self.pim is not None:
            mac_cycles = -(-self.organization.elements_per_column // self.pim.mac_lanes.value)
            params["nMAC"] = -(-mac_cycles * clock.freq_hz // self.pim.mac_clock.value)
        return params

    @property
    def column_cycles(self) -> int:
        """Shortest spacing of all-bank MAC commands, in device cycles."""
        n = self.params
        return max(n["nCCDS"], n["nCCDL"], n["nCMD"], n.get("nMAC", 0))

    @property
    def peak_mac_bandwidth_bytes_per_s(self) -> float:
        """Bytes per second that the MAC units of one channel can read from their banks."""
        access = self.organization.access_size.value * self.organization.banks
        return access * self.clock.value / self.column_cycles
