"""A run folder read back, and held against what a run folder must hold: it may have been edited, cut off or damaged."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import build
from rowline.arch.system import System
from rowline.arch.yamltree import ConfigError, printable, read_yaml
from rowline.experiment import OF_MODEL, RunConfig, changed_model, model_of
from rowline.workloads.models.gpt import GptConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STATS_BYTES = 16_000_000
Amount = Annotated[float, Field(ge=0, le=1e30)]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Whole = Annotated[int, Field(ge=0, le=1 << 80)]
STATS, CONFIG, OPS = "stats.json", "config.yaml", "ops.parquet"


class _Loose(BaseModel):
    """Keys that readers rely on; there may be others."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class _Phase(_Loose):
    latency_s: Amount
    tokens: Whole
    tokens_per_s: Amount
    energy_j: Amount


class _Phases(_Loose):
    prefill: _Phase
    decode: _Phase


class _Kernel(_Loose):
    op: str
    op_class: str
    phase: str
    shape: dict[str, int | float | str | bool | list[int] | None]
    dtype: str
    calls: Whole
    us: Amount
    share: Amount
    choice: str
    bound: str
    ctas: Whole | None = None
    ctas_per_sm: Whole | None = None
    waves: Amount | None = None
    occupancy: Amount | None = None
    bytes_in_flight: Amount | None = None
    stalls: dict[str, Amount] | None = None


class _Stats(_Loose):
    arch: str
    workload: str
    prompt_tokens: PositiveInt
    generated_tokens: PositiveInt
    latency_s: Amount
    prefill_latency_s: Amount
    decode_latency_s: Amount
    tpot_s: Amount | None
    energy_j: Amount
    energy_breakdown_j: dict[str, Number]
    energy_by_op_class_j: dict[str, Number]
    latency_breakdown_s: dict[str, Number]
    latency_by_term_s: dict[str, Number]
    macs: Whole
    effective_bandwidth_bytes_per_s: Amount
    peak_bandwidth_bytes_per_s: Amount
    row_hit_rate: Number | None = None
    pim_utilization: Number | None = None
    l2_hit_rate: Number | None = None
    phases: _Phases
    assumed: list[str]
    fitted: list[str]
    notes: list[str]
    commands: dict[str, Whole] | None = None
    kernels: list[_Kernel] | None = None
    provenance: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunFiles:
    """A run folder.

    Attributes:
        stats: the object of ``stats.json``.
        config: ``config.yaml`` as plain data.
        run: what was asked for.
        machine: what it ran on.
        shape: of the model, as the run had it; None in folders that do not say.
    """

    folder: Path
    stats: dict[str, Any]
    config: dict[str, Any]
    run: RunConfig
    machine: System | GpuSpec
    shape: GptConfig | None = None

    @property
    def model(self) -> GptConfig:
        """The model; where the folder does not say, as its name or file has it now.

        Raises:
            ConfigError: there is none of that name any more.
        """
        return self.shape or changed_model(self.run)


def is_run(path: Path) -> bool:
    """Whether ``path`` looks like a run folder."""
    return (path / STATS).is_file()


def load_run(folder: Path) -> RunFiles:
    """Read ``stats.json`` and ``config.yaml``.

    Raises:
        ConfigError: a file is missing, damaged, or not what a run writes.
    """
    stats = read_stats(folder / STATS)
    tree = read_yaml(folder / CONFIG)
    parts = tree.value
    name = printable(str(folder / CONFIG), 4096)
    if not isinstance(parts, dict) or "run" not in parts or ("gpu" in parts) == ("system" in parts):
        raise ConfigError([f"{name}: not the configuration of a run: needs run, and system or gpu"])
    model: type[System] | type[GpuSpec] = GpuSpec if "gpu" in parts else System
    machine = build(model, parts["gpu" if "gpu" in parts else "system"])
    for key in ("kernels", "dtype") if "gpu" in parts else ("commands",):
        if stats.get(key) is None:
            raise ConfigError([f"{printable(str(folder / STATS), 4096)}  {key}: missing"])
    shape = model_of(parts["model"]) if "model" in parts else None
    plain = tree.plain()
    assert isinstance(plain, dict)
    return RunFiles(folder, stats, plain, build(RunConfig, parts["run"]), machine, shape)


def read_stats(path: Path) -> dict[str, Any]:
    """Read and check ``stats.json``.

    Raises:
        ConfigError: it is missing, damaged, or lacks what a run writes.
    """
    name = printable(str(path), 4096)
    if path.exists() and not path.is_file():  # a pipe may never end
        raise ConfigError([f"{name}: not a file"])
    data = read_json(path)
    try:
        _Stats.model_validate(data)
    except ValidationError as error:
        lines = [f"{name}  {'.'.join(map(str, e['loc'])) or 'all'}: {printable(e['msg'], 200)}" for e in error.errors()]
        raise ConfigError(lines[:5]) from None
    return data


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    name = printable(str(path), 4096)
    try:
        if path.is_file() and path.stat().st_size > MAX_STATS_BYTES:
            raise ConfigError([f"{name}: larger than {MAX_STATS_BYTES} bytes"])
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse, object_pairs_hook=_once)
    except OSError as error:
        raise ConfigError([f"{name}: {error.strerror or error}"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{name}: not valid JSON: {printable(str(error), 200)}"]) from None
    if not isinstance(data, dict):
        raise ConfigError([f"{name}: not a JSON object"])
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key} stands there twice")
        found[key] = value
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def read_ops(files: RunFiles) -> "Mapping[str, Any]":
    """Columns of ``ops.parquet`` as numpy arrays.

    Raises:
        ConfigError: it is missing, damaged or empty, or its times make no sense.
    """
    from rowline.traces.gpulog import GPU_OPLOG_TABLE
    from rowline.traces.oplog import OPLOG_TABLE
    from rowline.traces.schema import read_columns

    path = files.folder / OPS
    try:
        columns = read_columns(path, GPU_OPLOG_TABLE if isinstance(files.machine, GpuSpec) else OPLOG_TABLE)
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError([printable(str(error), 4096)]) from None
    start, end = columns["start_ps"], columns["end_ps"]
    if not len(start) or start.min() < 0 or bool((end < start).any()):
        raise ConfigError([f"{printable(str(path), 4096)}: no operations, or some that end before they begin"])
    return columns


def command_of(run: RunConfig) -> str:
    """The command line that asks for the same run."""
    words = ["rowline", "run", "--arch", run.arch, "--workload", run.workload, "--prompt", str(run.prompt_tokens)]
    words += ["--tokens", str(run.generated_tokens)]
    words += [] if run.mapping.lm_head_on_pim else ["--no-lm-head"]
    words += ["--vectors-per-row", str(run.mapping.vectors_per_row)] if run.mapping.vectors_per_row > 1 else []
    if run.gpu is not None:
        words += ["--launch", run.gpu.launch]
        words += ["--stack", run.gpu.stack] if run.gpu.stack else []
        words += ["--dtype", run.gpu.dtype] if run.gpu.dtype else []
    changes = run.model.model_dump(exclude_none=True) if run.model else {}
    for key, value in (run.overrides | {f"{OF_MODEL}{key}": value for key, value in changes.items()}).items():
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def located(target: str, looks_right: Callable[[Path], bool], what: str) -> Path:
    """``target`` as a path.

    Raises:
        ConfigError: there is nothing, or nothing of the kind.
    """
    path = Path(target)
    try:
        found, right = path.exists(), looks_right(path)
    except (OSError, ValueError):
        found, right = False, False
    if not right:
        raise ConfigError([f"{printable(target, 4096)}: {f'not {what}' if found else 'no such file or folder'}"])
    return path
