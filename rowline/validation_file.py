"""The JSON of ``rowline validate --json`` read back, and what of it is of the GPU of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rowline.arch.gpu import GpuSpec
from rowline.arch.yamltree import ConfigError, printable
from rowline.runfiles import RunFiles, read_json

if TYPE_CHECKING:
    from rowline.reports.measured import Measured

FILE = "validation.json"
"""Of this name in a run folder, it is reported unasked."""
PIM_NOTE = (
    "No measurement of silicon is public for this system: its figures stand on the command logs of another simulator "
    "and on published numbers, and docs/validation-pim.md says how far they agree."
)
MAX_GROUPS = 20_000
Figure = Annotated[float, Field(ge=-1e12, le=1e12)] | None
Count = Annotated[int, Field(ge=0, le=1 << 53)]


class _Loose(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class _Side(_Loose):
    n: Count
    mape: Figure


class _Group(_Loose):
    gpu: str
    framework: str
    op: str
    dtype: str
    regime: str
    n: Count
    mape: Figure
    median_ape: Figure
    p90_ape: Figure
    bias: Figure
    spearman: Figure
    roofline_mape: Figure
    fitted_mape: Figure
    floor_mape: Figure
    unseen: _Side


class _Answer(_Loose):
    groups: Annotated[list[_Group], Field(max_length=MAX_GROUPS)]


def read_validation(path: Path) -> list[dict[str, Any]]:
    """The groups of a file.

    Raises:
        ConfigError: it is missing, damaged, or not what ``rowline validate --json`` writes.
    """
    data = read_json(path)
    try:
        _Answer.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all"
        told = f"{printable(str(path), 4096)}  {printable(where, 200)}: {printable(first['msg'], 200)}"
        raise ConfigError([f"{told} (expected the JSON of rowline validate --json)"]) from None
    return data["groups"]


def measured_of(files: RunFiles, asked: Path | None) -> "Measured":
    """What was measured of the machine of a run: of the file asked for, or of that in the run folder.

    Raises:
        ConfigError: the file is damaged.
    """
    from rowline.reports.measured import Measured

    own = files.folder / FILE
    path = asked or (own if own.is_file() else None)
    groups = read_validation(path) if path is not None else []
    name = "" if path is None else printable(str(path), 200)
    gpu = files.machine
    if not isinstance(gpu, GpuSpec):
        ignored = [] if path is None else [f"{name} is of GPUs, and says nothing of it."]
        return Measured([PIM_NOTE, *ignored])
    if path is None:
        command = f"rowline validate --gpu {printable(gpu.name)} --json > {FILE}"
        return Measured([f"No measurements given: what {command} writes is shown, in the run folder or as --validation FILE."])
    boards = {board.casefold() for board in (gpu.name, *gpu.boards)}
    found = [group for group in groups if group["gpu"].strip().casefold() in boards]
    if not found:
        held = ", ".join(sorted({printable(group["gpu"], 60) for group in groups})[:12]) or "no GPU"
        return Measured([f"{name} has no group for {printable(gpu.name)}: it holds {held}."])
    return _of_stack(files, found, f"Kernels of {name}, measured on {printable(found[0]['gpu'], 60)}, and simulated")


def _of_stack(files: RunFiles, found: list[dict[str, Any]], what: str) -> "Measured":
    """Of the groups of a board, those of the run's stack, if there are any."""
    from rowline.reports.measured import Measured

    stack = files.config.get("stack")
    frameworks: Any = stack.get("frameworks") if isinstance(stack, dict) else None
    own = [group for group in found if isinstance(frameworks, list) and group["framework"] in frameworks]
    stacks = ", ".join(sorted({printable(group["framework"], 60) for group in own or found})[:12])
    notes = [f"{what}, by stack: {stacks}." + ("" if own else " None of them is the run's; all are shown.")]
    notes[0] += " Errors are of one kernel at a time, not of the run, in per cent of the measured time."
    if files.run.overrides:
        notes.append("The run has overrides, so that its GPU or stack may be another than the measured one.")
    return Measured(notes, own or found)
