"""One run, from names to a result. Heavy imports happen only once everything that can be checked without them is."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from rowline.arch.device import ELEMENT_BYTES
from rowline.arch.loader import build, expand, is_gpu, load_gpu, load_system, nearest
from rowline.arch.system import System
from rowline.arch.values import Spec
from rowline.arch.yamltree import ConfigError, Node, printable, read_yaml
from rowline.gpu_run import GpuChoices, GpuSetup, check_overrides, map_program, run_program, set_up
from rowline.workloads.models.gpt import GptConfig
from rowline.workloads.models.registry import get_model, list_models
from rowline.workloads.phases import Generate

if TYPE_CHECKING:
    from rowline.sim.gpu.results import GpuRunResult
    from rowline.sim.mapping.pim_gpt import Mapping
    from rowline.sim.results import RunResult

MAX_TOKENS = 2**20
OF_MODEL = "workload."
"""Overrides that begin so are fields of the model."""
_OPTIONS = {
    "prompt_tokens": "--prompt", "generated_tokens": "--tokens", "vectors_per_row": "--vectors-per-row",
    "launch": "--launch", "dtype": "--dtype", "stack": "--stack",
}  # fmt: skip


class MappingChoices(Spec):
    """How the workload is mapped; see :class:`rowline.sim.mapping.pim_gpt.MappingOptions`."""

    lm_head_on_pim: bool = True
    vectors_per_row: int = Field(default=1, ge=1, le=1024)


class ModelChanges(Spec):
    """Fields of the model (:class:`rowline.workloads.models.gpt.GptConfig`) that are to be others than the workload's own."""

    n_layers: int | None = None
    d_model: int | None = None
    n_heads: int | None = None
    d_ff: int | None = None
    vocab_size: int | None = None
    n_positions: int | None = None
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    tied_lm_head: bool | None = None


class RunConfig(Spec):
    """What ``rowline run`` is asked for. A CONFIG file holds these keys.

    Attributes:
        arch: preset of a system or a GPU, or path of a YAML file.
        workload: model name or path of a YAML file with the fields of GptConfig.
        overrides: dotted key of the system or GPU -> value; after ``stack.``, of the GPU's software stack.
        model: fields of the workload's model to change; ``--set workload.n_layers=8`` on the command line.
        mapping, gpu: choices for a system with PIM, for a GPU.
    """

    arch: str = "pim-gpt"
    workload: str = "gpt2-small"
    prompt_tokens: int = Field(default=1, ge=1, le=MAX_TOKENS)
    generated_tokens: int = Field(default=32, ge=1, le=MAX_TOKENS)
    model: ModelChanges | None = None
    mapping: MappingChoices = MappingChoices()
    gpu: GpuChoices | None = None
    overrides: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A finished run and how long its parts took on this machine, in seconds."""

    config: RunConfig
    model: GptConfig
    result: "RunResult | GpuRunResult"
    wall_s: dict[str, float]


def load_config(path: Path | None, changes: dict[str, Any]) -> RunConfig:
    """A run's configuration: the file's keys (if there is one) with ``changes`` over them.

    Raises:
        ConfigError: file, key or value is wrong.
    """
    config = _read_config(path, changes) if path is not None else RunConfig()
    overrides = config.overrides | changes.pop("overrides", {})
    of_model = {key.removeprefix(OF_MODEL): overrides.pop(key) for key in list(overrides) if key.startswith(OF_MODEL)}
    mapping = config.mapping.model_copy(update=changes.pop("mapping", {}))
    merged = config.model_dump() | changes | {"overrides": overrides, "mapping": mapping.model_dump()}
    if of_model:
        merged["model"] = (config.model.model_dump() if config.model else {}) | of_model
    if asked := changes.pop("gpu", None):
        merged["gpu"] = (config.gpu or GpuChoices()).model_dump() | asked
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError([_option_problem(e) for e in error.errors()]) from None


def _option_problem(error: Any) -> str:
    """What is wrong with an option, by the name that it has on the command line."""
    key, told = str(error["loc"][-1]), printable(str(error["input"]), 200)
    if error["loc"][0] == "model":
        unknown = key not in ModelChanges.model_fields
        hint = f"no such field of a model{nearest(key, ModelChanges.model_fields)}" if unknown else error["msg"]
        return f"--set {OF_MODEL}{printable(key)}={told}: {hint}"
    return f"{_OPTIONS.get(key, key)} {told}: {error['msg']}"


def _read_config(path: Path, changes: dict[str, Any]) -> RunConfig:
    """A CONFIG file. Its overrides are tried on the system that the run will use, so that errors name the file and line."""
    root = expand(read_yaml(path))
    config = build(RunConfig, root)
    try:
        name, gpu = str(changes.get("arch", config.arch)), config.gpu or GpuChoices()
        if is_gpu(name):
            check_overrides(name, config.overrides, changes.get("gpu", {}).get("stack", gpu.stack))
        else:
            load_system(name, [f"{k}={v}" for k, v in config.overrides.items()])
    except ConfigError as error:
        lines = error.problems
        overrides = root.value.get("overrides") if isinstance(root.value, dict) else None
        if overrides is not None and isinstance(overrides.value, dict):
            for key, node in overrides.value.items():
                told = f"--set {printable(f'{key}={node.value}')}"
                lines = [str(node.place) + line.removeprefix(told) if line.startswith(told) else line for line in lines]
        raise ConfigError(lines) from None
    return config


class _GptFile(GptConfig):
    """GptConfig as a YAML file holds it: whole numbers are text there."""

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, data: dict[str, Any]) -> dict[str, Any]:
        whole = {k for k, v in data.items() if isinstance(v, str) and v.isascii() and v.isdecimal() and len(v) <= 18}
        ints = {k for k, field in cls.model_fields.items() if field.annotation is int}
        return {k: int(v) if k in whole & ints else v for k, v in data.items()}


def model_of(root: Node) -> GptConfig:
    """A model from the fields of a YAML file.

    Raises:
        ConfigError: a field is wrong.
    """
    return GptConfig(**build(_GptFile, root).model_dump())


def load_model(name: str) -> GptConfig:
    """A model of the catalogue, or of a YAML file."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return model_of(read_yaml(Path(name)))
    if name not in list_models():
        known = ", ".join(list_models())
        raise ConfigError([f'unknown workload "{printable(name)}"{nearest(name, list_models())} Known: {known}'])
    return get_model(name)


def load(config: RunConfig) -> tuple[System, GptConfig]:
    """System and model of a configuration, checked as far as is possible without tracing.

    Raises:
        ConfigError: anything is wrong, the model's context is too short, or its weights cannot fit the banks.
    """
    if is_gpu(config.arch):
        raise ConfigError([f"--arch {printable(config.arch)}: a GPU, which places no tensors; rowline run names its kernels"])
    if config.gpu is not None:
        raise ConfigError(["--stack, --launch and --dtype: only for a GPU"])
    system = load_system(config.arch, [f"{k}={v}" for k, v in config.overrides.items()])
    model, tokens = fitting_model(config)
    _check_placement(config, system, model, tokens)
    return system, model


def load_gpu_setup(config: RunConfig) -> GpuSetup:
    """GPU, software and model of a configuration, checked as far as is possible without tracing.

    Raises:
        ConfigError: anything is wrong, the model's context is too short, or it does not fit the memory.
    """
    if config.mapping != MappingChoices():
        raise ConfigError(["--lm-head and --vectors-per-row: only for a system with PIM"])
    load_gpu(config.arch)
    model, tokens = fitting_model(config)
    return set_up(config.arch, config.overrides, config.gpu or GpuChoices(), model, tokens)


def check(config: RunConfig) -> None:
    """Refuse what can be refused before anything slow begins.

    Raises:
        ConfigError: see :func:`load` and :func:`load_gpu_setup`.
    """
    load_gpu_setup(config) if is_gpu(config.arch) else load(config)


def changed_model(config: RunConfig) -> GptConfig:
    """The workload's model with the changes that are asked for, which its name tells.

    Raises:
        ConfigError: no such model, or it cannot be changed so.
    """
    model = load_model(config.workload)
    changes = config.model.model_dump(exclude_none=True) if config.model else {}
    if not changes:
        return model
    name = f"{model.name} ({', '.join(f'{key}={value}' for key, value in changes.items())})"
    try:
        return model.changed(name=name, **changes)
    except ValidationError as error:
        where = [".".join(("workload", *map(str, e["loc"]))) for e in error.errors()]
        raise ConfigError([f"{key}: {e['msg']}" for key, e in zip(where, error.errors(), strict=True)]) from None


def fitting_model(config: RunConfig) -> tuple[GptConfig, int]:
    """The model, and the tokens that go through it.

    Raises:
        ConfigError: there is no such model, or its context is too short.
    """
    model = changed_model(config)
    try:
        Generate(config.prompt_tokens, config.generated_tokens).check_fits(model)
    except ValueError as error:
        raise ConfigError([f"workload {error}"]) from None
    return model, config.prompt_tokens + config.generated_tokens - 1


def _check_placement(config: RunConfig, system: System, model: GptConfig, tokens: int) -> None:
    """Refuse early, before torch is imported, what :func:`map_workload` would refuse after tracing.

    Places matrices of the model's shapes; the mapping proper places what the trace holds.

    Raises:
        ConfigError: global buffer, banks or SRAM are too small; the message names the bytes short.
    """
    from rowline.sim.mapping.placement import Allocator, Geometry, MappingError, attention_regions, weight_region

    d, f, name = model.d_model, model.d_ff, f"{model.name} with {tokens} tokens"
    try:
        allocator = Allocator(Geometry.of(system))
        tables = [("table", model.vocab_size, d), ("positions", model.n_positions, d)]
        block = [("qkv", 3 * d, d), ("proj", d, d), ("fc", f, d), ("down", d, f)]
        for tensor, outputs, inputs in tables:
            allocator.place(weight_region(allocator.geometry, tensor, -1, outputs, inputs, "table"))
        for layer in range(model.n_layers):
            for tensor, outputs, inputs in block:
                allocator.place(weight_region(allocator.geometry, f"{layer}.{tensor}", layer, outputs, inputs, "weight"))
            for region in attention_regions(allocator.geometry, f"{layer}", layer, model.n_heads, model.head_dim, tokens):
                allocator.place(region)
        allocator.check_capacity(name)
    except MappingError as error:
        raise ConfigError([str(error)]) from None
    need = ELEMENT_BYTES * (d + max(outputs + inputs for _, outputs, inputs in block))
    if need > system.host.sram.value:
        short = need - system.host.sram.value
        raise ConfigError([f"host.sram: vectors of {model.name} need {need} bytes, {short} bytes short"])


def map_workload(config: RunConfig, system: System, model: GptConfig) -> "Mapping":
    """Trace the model and place it.

    Raises:
        MappingError: it does not fit.
    """
    from rowline.sim.mapping.pim_gpt import MappingOptions, map_graph
    from rowline.workloads.tracer import trace_decode

    tokens = config.prompt_tokens + config.generated_tokens - 1
    options = MappingOptions(config.mapping.lm_head_on_pim, config.mapping.vectors_per_row)
    return map_graph(system, trace_decode(model), tokens, options)


def run_experiment(
    config: RunConfig, on_pass: Callable[[int, int], None] = lambda done, total: None
) -> Experiment:
    """Load, trace, map and simulate.

    Raises:
        ConfigError, MappingError, SimulationError: see those.
    """
    if is_gpu(config.arch):
        return _run_on_gpu(config, on_pass)
    begin = perf_counter()
    system, model = load(config)
    mapping = map_workload(config, system, model)
    mapped = perf_counter()
    gc.freeze()  # what torch and the trace left behind need not be looked at again and again
    from rowline.sim.engine import simulate
    from rowline.sim.results import RunResult

    raw = simulate(mapping, config.prompt_tokens, config.generated_tokens, on_pass)
    wall = {"trace_and_map": mapped - begin, "simulate": perf_counter() - mapped}
    return Experiment(config, model, RunResult(raw, config.prompt_tokens, config.generated_tokens), wall)


def _run_on_gpu(config: RunConfig, on_pass: Callable[[int, int], None]) -> Experiment:
    """The same on a GPU."""
    begin = perf_counter()
    setup = load_gpu_setup(config)
    program = map_program(setup, config.prompt_tokens, config.generated_tokens)
    mapped = perf_counter()
    gc.freeze()
    result = run_program(program, on_pass)
    return Experiment(config, setup.model, result, {"trace_and_map": mapped - begin, "simulate": perf_counter() - mapped})
