"""Power, clocks, energy and temperature of a GPU, from NVML or, where its library is missing, from nvidia-smi."""

import ctypes
import math
import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

NAN: Final = math.nan
_SM, _MEMORY = 1, 2  # nvmlClockType_t


@dataclass(frozen=True)
class Reading:
    """One look at a GPU; NaN: not told. `energy_mj` counts from when the driver was loaded."""

    power_w: float = NAN
    sm_clock_mhz: float = NAN
    mem_clock_mhz: float = NAN
    temperature_c: float = NAN
    energy_mj: float = NAN


class Telemetry(Protocol):
    """Something that can be asked for readings; `slow`: a reading takes longer than a short kernel loop."""

    slow: bool

    def read(self) -> Reading:
        """A reading now."""
        ...

    def limits(self) -> dict[str, Any]:
        """Of the header of a log: driver, max_sm_clock_mhz, max_mem_clock_mhz, power_cap_w, as far as told."""
        ...


class NoTelemetry:
    """Where nothing can be read."""

    slow = False

    def read(self) -> Reading:
        """Nothing."""
        return Reading()

    def limits(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class Nvml:
    """NVML through ctypes. `library` is ``libnvidia-ml.so.1`` loaded, `uuid` the GPU's, as torch gives it."""

    slow = False

    def __init__(self, library: Any, uuid: str) -> None:
        self._library, self._handle = library, ctypes.c_void_p()
        if library.nvmlInit_v2() != 0:
            raise OSError("NVML: not initialised")
        name = (uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}").encode()
        if library.nvmlDeviceGetHandleByUUID(name, ctypes.byref(self._handle)) != 0:
            raise OSError(f"NVML: knows no {name.decode()}")

    def _ask(self, name: str, *arguments: int, kind: Any = ctypes.c_uint) -> float:
        """One number about the GPU, NaN if NVML does not give it."""
        value = kind()
        function = getattr(self._library, name, None)
        failed = function is None or function(self._handle, *arguments, ctypes.byref(value)) != 0
        return NAN if failed else float(value.value)

    def read(self) -> Reading:
        """See :class:`Telemetry`."""
        return Reading(
            self._ask("nvmlDeviceGetPowerUsage") / 1e3,
            self._ask("nvmlDeviceGetClockInfo", _SM),
            self._ask("nvmlDeviceGetClockInfo", _MEMORY),
            self._ask("nvmlDeviceGetTemperature", 0),
            self._ask("nvmlDeviceGetTotalEnergyConsumption", kind=ctypes.c_ulonglong),
        )

    def limits(self) -> dict[str, Any]:
        """See :class:`Telemetry`."""
        text = ctypes.create_string_buffer(96)
        known = self._library.nvmlSystemGetDriverVersion(text, 96) == 0
        return {
            "driver": text.value.decode("ascii", "replace") if known else "",
            "max_sm_clock_mhz": self._ask("nvmlDeviceGetMaxClockInfo", _SM),
            "max_mem_clock_mhz": self._ask("nvmlDeviceGetMaxClockInfo", _MEMORY),
            "power_cap_w": self._ask("nvmlDeviceGetEnforcedPowerLimit") / 1e3,
        }


class NvidiaSmi:
    """The command nvidia-smi; no energy counter, and a tenth of a second a reading."""

    slow = True

    def __init__(self, uuid: str, run: Callable[[Sequence[str]], str] | None = None) -> None:
        self._uuid, self._run = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}", run or _output
        self._query("power.draw")

    def _query(self, *names: str) -> list[str]:
        asked = ["nvidia-smi", f"--id={self._uuid}", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
        words = [word.strip() for word in self._run(asked).split(",")]
        if len(words) != len(names):
            raise OSError("nvidia-smi: unexpected answer")
        return words

    def read(self) -> Reading:
        """See :class:`Telemetry`."""
        try:
            return Reading(*map(_number, self._query("power.draw", "clocks.sm", "clocks.mem", "temperature.gpu")))
        except OSError:
            return Reading()

    def limits(self) -> dict[str, Any]:
        """See :class:`Telemetry`."""
        driver, *numbers = self._query("driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit")
        names = ("max_sm_clock_mhz", "max_mem_clock_mhz", "power_cap_w")
        return {"driver": driver} | dict(zip(names, map(_number, numbers), strict=True))


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except subprocess.SubprocessError as error:
        raise OSError(f"{command[0]}: {error}") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # [N/A]
        return NAN


def open_telemetry(uuid: str) -> tuple[Telemetry, str]:
    """The best source of readings there is, and a note on it for the header of the log."""
    try:
        return Nvml(ctypes.CDLL("libnvidia-ml.so.1"), uuid), "telemetry: NVML"
    except OSError as error:
        reason = str(error)
    if shutil.which("nvidia-smi"):
        try:
            return NvidiaSmi(uuid), f"telemetry: nvidia-smi ({reason})"
        except OSError as error:
            reason = str(error)
    return NoTelemetry(), f"telemetry: none ({reason})"


class Watch:
    """Readings taken during a loop; :meth:`look` takes one, :meth:`settled` marks where the energy begins to count."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._first = Reading()
        self._readings: list[Reading] = []

    def look(self) -> None:
        """Take a reading."""
        self._readings.append(self._telemetry.read())

    def settled(self) -> None:
        """Forget what came before."""
        self._first, self._readings = self._telemetry.read(), []

    def mean(self, name: str) -> float:
        """Mean of one field over the readings, NaN if none has it."""
        known = [value for reading in self._readings if not math.isnan(value := getattr(reading, name))]
        return statistics.fmean(known) if known else NAN

    def energy_mj(self) -> float:
        """Energy since :meth:`settled`, NaN if the GPU does not count it."""
        return self._telemetry.read().energy_mj - self._first.energy_mj

    def last(self) -> Reading:
        """The latest reading."""
        return self._readings[-1] if self._readings else Reading()
