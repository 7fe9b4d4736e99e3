"""Content hashes: of source code, of hardware before its overrides, of a model, of a whole trial."""

import hashlib
import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rowline import __version__
from rowline.arch.loader import is_gpu, list_stacks, load_device, load_gpu, load_stack, load_system
from rowline.experiment import load_model

ID_LENGTH = 32
_MODEL = ("arch", "traces", "workloads", "sim")
_FACE = ("experiment.py", "gpu_run.py", "sweeps/memo.py", "sweeps/trial.py")


def digest(data: Any) -> str:
    """SHA-256 of plain data as canonical JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


@lru_cache(maxsize=8)
def source_digest(packages: tuple[str, ...], files: tuple[str, ...] = ()) -> str:
    """SHA-256 over the Python source of packages of ours, and of files of the face."""
    sources: dict[str, Path] = {name: Path(__file__).parents[1] / name for name in files}
    for package in packages:
        spec = find_spec(f"rowline.{package}")
        assert spec is not None and spec.submodule_search_locations
        folder = Path(spec.submodule_search_locations[0])
        sources |= {f"{package}/{f.relative_to(folder).as_posix()}": f for f in folder.rglob("*.py")}
    total = hashlib.sha256()
    for name, file in sorted(sources.items()):
        total.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return total.hexdigest()


def code_version() -> str:
    """Version and content of the code that results depend on."""
    return f"{__version__}+{source_digest(_MODEL, _FACE)[:16]}"


def forget() -> None:
    """Look at files again: between two sweeps of one process they may have changed."""
    hardware_digest.cache_clear()
    workload_digest.cache_clear()


@lru_cache(maxsize=64)
def hardware_digest(arch: str, stack: str | None) -> str:
    """What an arch comes to before overrides: the expanded system; or board, its DRAM and the stacks that may serve it.

    Raises:
        ConfigError: a name or file is wrong.
    """
    if not is_gpu(arch):
        return digest(load_system(arch).model_dump(mode="json"))
    gpu = load_gpu(arch)
    stacks = [load_stack(name) for name in ([stack] if stack else list_stacks())]
    fitting = [s.model_dump(mode="json") for s in stacks if gpu.architecture in s.architectures]
    return digest([gpu.model_dump(mode="json"), load_device(gpu.dram.device).model_dump(mode="json"), fitting])


@lru_cache(maxsize=64)
def workload_digest(name: str) -> str:
    """What a workload comes to: the fields of its model.

    Raises:
        ConfigError: name or file are wrong.
    """
    return digest(load_model(name).model_dump(mode="json"))
