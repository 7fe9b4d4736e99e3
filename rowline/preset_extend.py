"""New YAML files that extend a GPU or a stack with numbers of their own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import PRESETS, load_gpu, load_stack
from rowline.arch.stack import StackSpec
from rowline.arch.values import Sourced
from rowline.arch.yamltree import ConfigError, printable
from rowline.preset_edit import flow
from rowline.traces.formats.files import partial_file


def refuse_existing(out: Path | None) -> None:
    """Nothing that is there is written over.

    Raises:
        ConfigError: the file, or the stack's beside it, is there, or the name does not end in .yaml.
    """
    if out is None:
        return
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError([f"-o {printable(str(out), 500)}: must end in .yaml"])
    if not out.resolve().parent.is_dir():
        raise ConfigError([f"-o {printable(str(out), 500)}: no such folder"])
    for path in (out, stack_file(out)):
        if path.exists():
            raise ConfigError([f"-o {printable(str(path), 500)}: is there already"])


def stack_file(out: Path) -> Path:
    """Where what belongs to the stack goes: ``my-gpu.yaml`` -> ``my-gpu-stack.yaml``."""
    return out.with_name(f"{out.stem}-stack{out.suffix}")


def write_extensions(
    out: Path, gpu: GpuSpec, gpu_name: str, on_gpu: Mapping[str, Sourced], stack: StackSpec, stack_name: str,
    on_stack: Mapping[str, Sourced],
) -> list[str]:  # fmt: skip
    """The YAML files that extend a GPU, and a stack where anything of it was derived."""
    written: list[str] = []
    jobs = ((out, "gpu", gpu, gpu_name, on_gpu), (stack_file(out), "stack", stack, stack_name, on_stack))
    for path, scope, spec, name, values in jobs:
        if values:
            text = extension(path.stem, f"{spec.description}, calibrated", _target(scope, name, path), values)
            with partial_file(path) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
            load_gpu(str(path.resolve())) if scope == "gpu" else load_stack(str(path.resolve()))
            written.append(str(path))
    return written


def _target(scope: str, name: str, path: Path) -> str:
    """What ``extends`` says: a preset, or another file seen from the new one's folder."""
    if (PRESETS / scope / f"{name}.yaml").is_file():
        return f"{scope}/{name}"
    return str(Path(name).resolve())


def extension(name: str, description: str, target: str, values: Mapping[str, Sourced]) -> str:
    """YAML text of a specification that extends another one with some numbers."""
    lines = [f"{key}: {json.dumps(text)}" for key, text in (("extends", target), ("name", name), ("description", description))]
    tree: dict[str, Any] = {}
    for path, value in values.items():
        node = tree
        *parents, last = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value

    def emit(node: dict[str, Any], indent: str) -> None:
        for key, child in node.items():
            if isinstance(child, dict):
                lines.append(f"{indent}{key}:")
                emit(child, indent + "  ")
            else:
                lines.append(f"{indent}{key}: {flow(child)}")

    emit(tree, "")
    return "\n".join(lines) + "\n"
