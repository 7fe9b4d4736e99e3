"""Command logs of a device in the formats of :mod:`rowline.traces.formats`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rowline.arch.device import DramDevice
from rowline.arch.spec import Command
from rowline.arch.yamltree import ConfigError, printable
from rowline.traces.formats.chrome import DataBus, write_chrome
from rowline.traces.formats.header import FOOTPRINTS, LoggedCommand, LogHeader
from rowline.traces.formats.logwriters import FORMATS, write_command_log

if TYPE_CHECKING:
    from rowline.traces.commands import IssueLog

CHROME = "chrome"


def write_log(path: Path, format: str, chunks: "Iterable[IssueLog]", device: DramDevice, channel: int) -> int:
    """Write the commands of one channel; the file appears only when complete. Returns how many there are.

    Args:
        format: one of traces.formats.logwriters.FORMATS, ``chrome``, or ``auto``: by the suffix, .json being ``chrome``.

    Raises:
        ConfigError: the format is unknown, or the name does not tell it.
        OSError: the file cannot be written.
    """
    format = log_format(path, format)
    if format == "dramsim3" and device.organization.pseudo_channels.value > 1:
        raise ConfigError(["--log-format dramsim3: has no field for pseudo-channels; choose csv or parquet"])
    header = log_header(device, channel)
    if format == CHROME:
        return write_chrome(path, chunks, header, data_bus(device))
    return write_command_log(path, chunks, header, format)


def log_format(path: Path, format: str) -> str:
    """The format by name, or by the file's suffix where that is ``auto``."""
    if format == "auto":
        suffix = path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
        format = {"json": CHROME}.get(suffix, suffix)
        if format not in ("csv", "parquet", CHROME):
            raise ConfigError([f"--log {printable(str(path), 500)}: name it .csv, .parquet or .json, or give --log-format"])
    if format not in (*FORMATS, CHROME):
        raise ConfigError([f"--log-format {printable(format)}: unknown; there are {', '.join((*FORMATS, CHROME))}"])
    return format


def log_header(device: DramDevice, channel: int) -> LogHeader:
    """What a log says of its channel."""
    standard, org = device.dram_standard, device.organization
    return LogHeader(
        device.name,
        standard.name,
        device.device_clock.freq_hz,
        tuple(LoggedCommand(c.name, FOOTPRINTS[c.footprint], c.row.value, c.stripe) for c in standard.commands),
        tuple(rule.name for rule in standard.rules),
        org.bank_groups.value,
        org.banks_per_group.value,
        org.ranks.value,
        org.pseudo_channels.value,
        channel,
    )


def data_bus(device: DramDevice) -> DataBus:
    """When each command moves data on the external bus, for timelines."""
    clock, n = device.device_clock, device.params

    def latency(command: Command) -> int:
        ticks = device.dram_standard.ticks(command) - device.dram_standard.ticks_per_clock
        return clock.edge_ps(ticks + n["nCL" if command.bus == "read" else "nCWL"]) if command.bus else 0

    commands = device.dram_standard.commands
    burst = clock.edge_ps(n["nBL"])
    return DataBus(tuple(map(latency, commands)), tuple(burst if c.bus else 0 for c in commands))
