"""A DRAM device: one channel of a standard with its organisation, timing, currents and, if it has them, MAC units."""

from enum import StrEnum
from functools import cached_property
from typing import Self

from pydantic import Field, model_validator

from .spec import Command, DramStandard, Level
from .standards import STANDARDS
from .units import Clock
from .values import Count, CountOrZero, Current, Duration, Flag, Frequency, PerMille, PinRate, Power, Size, Spec, Voltage

ELEMENT_BYTES = 2
"""Size of one matrix element; the MAC units of every preset work on bfloat16."""


class RefreshMode(StrEnum):
    """How a channel is refreshed."""

    ALL_BANK = "all_bank"
    PER_BANK = "per_bank"
    OFF = "off"


def _one(ref: str) -> Count:
    return Count.model_validate({"value": 1, "kind": "STANDARD", "ref": ref})


class Organization(Spec):
    """One channel: pseudo-channels of ranks of bank groups of banks of rows of columns.

    Banks are numbered through the channel, pseudo-channel first, then rank, bank group and bank; groups and ranks likewise.
    """

    pseudo_channels: Count = Field(default=_one("a channel without pseudo-channels"))
    ranks: Count = Field(default=_one("a single rank"), description="ranks, or stack IDs, of each pseudo-channel")
    bank_groups: Count = Field(description="bank groups of each rank")
    banks_per_group: Count
    rows: Count
    row_size: Size
    access_size: Size
    rank_size: Size | None = Field(default=None, description="what the levels of one rank must come to, for the lint")

    @model_validator(mode="after")
    def _whole_columns(self) -> Self:
        if self.row_size.value % self.access_size.value:
            raise ValueError(f"row_size {self.row_size.text} is no multiple of access_size {self.access_size.text}")
        if self.access_size.value % ELEMENT_BYTES:
            raise ValueError(f"access_size {self.access_size.text} holds no whole number of {ELEMENT_BYTES} B elements")
        for name in ("pseudo_channels", "ranks", "bank_groups", "banks_per_group"):
            number = getattr(self, name).value
            if number & (number - 1):
                raise ValueError(f"{name}: {number} is no power of two")
        if self.banks > 256 or self.columns > 4096:
            raise ValueError(f"{self.banks} banks of {self.columns} columns: at most 256 and 4096 are supported")
        return self

    def banks_at(self, level: Level) -> int:
        """Banks of one instance of ``level``."""
        banks = 1
        for each in (self.banks_per_group, self.bank_groups, self.ranks, self.pseudo_channels)[: int(level)]:
            banks *= each.value
        return banks

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return self.banks_at(Level.CHANNEL)

    def units(self, command: Command) -> int:
        """Units that ``command`` can address: banks, groups, ... of its footprint, or stripes of one bank a group."""
        return self.banks // (self.bank_groups.value if command.stripe else self.banks_at(command.footprint))

    def touched(self, command: Command, unit: int) -> range:
        """Banks that ``command`` touches at ``unit``."""
        per_group = self.banks_per_group.value
        if command.stripe:
            rank, bank = divmod(unit, per_group)
            size = self.banks_at(Level.RANK)
            return range(rank * size + bank, (rank + 1) * size, per_group)
        size = self.banks_at(command.footprint)
        return range(unit * size, (unit + 1) * size)

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
    """The external data bus of a channel (of each pseudo-channel, where there are several): its link to the host."""

    width: Count
    pin_rate: PinRate

    @property
    def bandwidth_bits_per_s(self) -> int:
        """Peak rate of one bus in bits per second."""
        return self.width.value * self.pin_rate.value


class Refresh(Spec):
    """Refresh policy: every ``interval`` one all-bank refresh (or one per bank) falls due."""

    mode: RefreshMode
    interval: Duration
    postpone_limit: Count = Field(description="refreshes that may be outstanding before one is forced")
    pull_in_limit: CountOrZero = Field(
        default=CountOrZero.model_validate({"value": 0, "ref": "no pulling in"}),
        description="refreshes that may be issued before they are due",
    )


class PowerModel(Spec):
    """Supply voltage and currents (datasheet IDD conditions) of one chip, and how many chips work on an access.

    Where a preset gives the currents of a whole channel, ``devices`` is 1.
    """

    vdd: Voltage
    devices: Count = Field(default=_one("currents of the whole channel"), description="chips that share each access")
    idd0: Current
    idd2n: Current
    idd3n: Current
    idd4r: Current
    idd4w: Current
    idd5b: Current = Field(description="all-bank refresh, while it lasts")
    idd5pb: Current | None = Field(default=None, description="per-bank refresh, while it lasts")
    idd2p: Current | None = Field(default=None, description="precharged power-down")
    idd3p: Current | None = Field(default=None, description="active power-down")
    idd6: Current | None = Field(default=None, description="self-refresh")

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
    refresh_in_activation_window: Flag = Field(
        default=Flag.model_validate({"value": "false", "ref": "most simulators do not count per-bank refresh"}),
        description="whether a per-bank refresh counts as an activation of its banks in tFAW",
    )
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
            if short in n and long in n and n[short] > n[long]:
                raise ValueError(f"timing.t{short[1:]}: above t{long[1:]}")
        if n["nRC"] < n["nRAS"] + n["nRP"]:
            raise ValueError(f"timing.tRC: {n['nRC']} ck is below tRAS + tRP, {n['nRAS'] + n['nRP']} ck")
        if n.get("nCMD", 1) < 1:
            raise ValueError("timing.tCMD: must be at least 1 ck")
        if self.refresh.mode == RefreshMode.PER_BANK and self.dram_standard.refresh_bank not in self.dram_standard.index:
            raise ValueError(f"refresh.mode: {self.standard} has no per-bank refresh")
        if self.refresh.mode != RefreshMode.OFF:
            busy = n["nRFCpb" if self.refresh.mode == RefreshMode.PER_BANK else "nRFCab"]
            if self.refresh_interval * self.refresh_units <= busy + n["nRP"] + n["nRC"]:
                raise ValueError("refresh.interval: leaves no time for anything but refresh")
            if self.refresh.mode == RefreshMode.PER_BANK and self.refresh_interval <= n["nRREFD"]:
                raise ValueError("refresh.interval: shorter than tRREFD for each bank")

    @property
    def dram_standard(self) -> DramStandard:
        """The standard that ``standard`` names."""
        return STANDARDS[self.standard]

    @property
    def device_clock(self) -> Clock:
        """The clock in whose cycles ("ticks") commands issue: the command clock, or twice that."""
        return Clock(self.clock.value * self.dram_standard.ticks_per_clock)

    @cached_property
    def refresh_command(self) -> Command:
        """What the device's refresh mode issues (all-bank refresh where it is off)."""
        standard = self.dram_standard
        name = standard.refresh_bank if self.refresh.mode == RefreshMode.PER_BANK else "REFab"
        return standard.commands[standard.index[name]]

    @property
    def refresh_units(self) -> int:
        """Refresh commands of one round, after which every bank of the channel is refreshed once."""
        return self.organization.units(self.refresh_command)

    @property
    def refresh_interval(self) -> int:
        """Cycles between refresh commands of the channel: tREFI over the refresh units, rounded down."""
        cycles = self.refresh.interval.cycles_floor(Clock(self.clock.value)) * self.dram_standard.ticks_per_clock
        return cycles // self.refresh_units

    @cached_property
    def params(self) -> dict[str, int]:
        """All cycle parameters by name: ``nRCDRD`` from ``tRCDRD`` by ceiling, and the derived ones.

        Times become whole clocks first, and then ticks, as the standards do.
        """
        ticks = self.dram_standard.ticks_per_clock
        params = {"n" + name[1:]: value.cycles(Clock(self.clock.value)) * ticks for name, value in self.timing.items()}
        clock = self.device_clock
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
        return max(n["nCCDS"], n["nCCDL"], n.get("nCMD", 1), n.get("nMAC", 0))

    @property
    def peak_mac_bandwidth_bytes_per_s(self) -> float:
        """Bytes per second that the MAC units of one channel can read from their banks."""
        access = self.organization.access_size.value * self.organization.banks
        return access * self.clock.value / self.column_cycles
