"""A model on a GPU: which stack, which type, whether it fits, and the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from rowline.arch.boards import match_stack
from rowline.arch.gpu import DTYPE_BYTES, GpuSpec
from rowline.arch.loader import load_gpu, load_stack
from rowline.arch.stack import StackSpec
from rowline.arch.values import Spec
from rowline.arch.yamltree import ConfigError
from rowline.workloads.models.gpt import GptConfig

if TYPE_CHECKING:
    from rowline.sim.gpu.generate import Program
    from rowline.sim.gpu.results import GpuRunResult
    from rowline.sim.kept import Keeper
    from rowline.traces.opgraph import OpGraph

TORCH_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
STACK = "stack."
"""Overrides whose key begins so are of the software stack."""


class GpuChoices(Spec):
    """How a model runs on a GPU.

    Attributes:
        stack: software stack, preset or path of a YAML file; None: the generic one of the architecture.
        launch: kernels of a pass as one CUDA graph, or each launched by the host.
        dtype: type of weights, activations and KV cache; None: bf16 where GPU and stack have it, else fp16, else fp32.
    """

    stack: str | None = None
    launch: Literal["graph", "eager"] = "graph"
    dtype: Literal["bf16", "fp16", "fp32"] | None = None


@dataclass(frozen=True)
class GpuSetup:
    """A GPU, its software, a model, and the type in which it runs."""

    gpu: GpuSpec
    stack: StackSpec
    model: GptConfig
    dtype: str
    choices: GpuChoices


def set_up(arch: str, overrides: dict[str, str], choices: GpuChoices, model: GptConfig, tokens: int) -> GpuSetup:
    """Board, stack and type of a run over ``tokens`` tokens, checked as far as is possible without tracing.

    Raises:
        ConfigError: anything is wrong, or weights and KV cache do not fit the board's memory.
    """
    gpu = _changed_gpu(arch, overrides)
    stack, dtype = _stack_and_dtype(gpu, choices, model)
    stack = _changed_stack(choices.stack or stack.name, overrides)
    _check_memory(gpu, model, dtype, tokens)
    _check_kernels(gpu, stack, dtype)
    return GpuSetup(gpu, stack, model.changed(dtype=TORCH_NAMES[dtype]), dtype, choices)


def check_overrides(arch: str, overrides: dict[str, str], stack: str | None) -> None:
    """Try overrides on a GPU, and on a stack: that named, or any of the architecture.

    Raises:
        ConfigError: an override is wrong.
    """
    gpu = _changed_gpu(arch, overrides)
    _changed_stack(stack or match_stack("", gpu.architecture).stack.name, overrides)


def _changed_gpu(name: str, overrides: dict[str, str]) -> GpuSpec:
    return load_gpu(name, [f"{k}={v}" for k, v in overrides.items() if not k.startswith(STACK)])


def _changed_stack(name: str, overrides: dict[str, str]) -> StackSpec:
    """A stack with its overrides; errors name them as they were given."""
    try:
        return load_stack(name, [f"{k.removeprefix(STACK)}={v}" for k, v in overrides.items() if k.startswith(STACK)])
    except ConfigError as error:
        raise ConfigError([line.replace("--set ", f"--set {STACK}", 1) for line in error.problems]) from None


def _stack_and_dtype(gpu: GpuSpec, choices: GpuChoices, model: GptConfig) -> tuple[StackSpec, str]:
    """What was asked for, or the generic stack of the architecture with the best type that it and the GPU have."""
    wanted: tuple[str, ...] = (choices.dtype,) if choices.dtype else tuple(TORCH_NAMES)
    if choices.dtype is None and model.dtype != "bfloat16":  # a model that says so
        wanted = tuple(name for name, torch_name in TORCH_NAMES.items() if torch_name == model.dtype)
    able = [d for d in wanted if d in (gpu.sm.tensor_macs if d != "fp32" else gpu.sm.simt_macs)]
    if not able:
        raise ConfigError([f"--dtype {wanted[0]}: {gpu.name} has no rate for it"])
    if choices.stack is None:
        for dtype in able[:-1]:
            try:
                return match_stack("", gpu.architecture, dtype).stack, dtype
            except ConfigError:
                continue
        return match_stack("", gpu.architecture, able[-1]).stack, able[-1]
    stack = load_stack(choices.stack)
    if gpu.architecture not in stack.architectures:
        raise ConfigError([f"--stack {stack.name}: is for {', '.join(stack.architectures)}; {gpu.name} is {gpu.architecture}"])
    for dtype in able:
        if stack.gemm.has_menu(dtype):
            return stack, dtype
    raise ConfigError([f"--stack {stack.name}: has no matrix products in {' or '.join(able)}"])


def _check_kernels(gpu: GpuSpec, stack: StackSpec, dtype: str) -> None:
    from rowline.sim.gpu.menu import menu_of

    try:
        menu_of(stack.gemm, dtype, gpu)
    except KeyError:
        raise ConfigError([f"--stack {stack.name}: no matrix product of its menu for {dtype} fits an SM of {gpu.name}"]) from None
    needed = ["embedding", "layernorm", "gelu", "add", *(["kv_write", "softmax"] if stack.attention is None else [])]
    missing = [name for name in needed if name not in stack.rowwise.kernels]
    if missing:
        raise ConfigError([f"--stack {stack.name}: rowwise.kernels lacks {', '.join(missing)}"])


def _check_memory(gpu: GpuSpec, model: GptConfig, dtype: str, tokens: int) -> None:
    """Refuse what does not fit, before torch is imported: matrices of the model's shapes, and keys and values."""
    d, f = model.d_model, model.d_ff
    tables = (1 if model.tied_lm_head else 2) * model.vocab_size + model.n_positions
    elements = model.n_layers * (4 * d * d + 2 * d * f + 2 * d * tokens) + tables * d
    short = elements * DTYPE_BYTES[dtype] - gpu.dram.capacity.value
    if short > 0:
        raise ConfigError([
            f"dram.capacity: weights and KV cache of {model.name} with {tokens} tokens in {dtype} need "
            f"{elements * DTYPE_BYTES[dtype]} bytes, {short} bytes short of {gpu.dram.capacity.value}"
        ])  # fmt: skip


class Tracer(Protocol):
    """Traces models."""

    def decode(self, model: GptConfig) -> "OpGraph":
        """The template of a decode pass."""
        ...

    def prefill(self, model: GptConfig, prompt_tokens: int) -> "OpGraph":
        """One pass over a prompt."""
        ...


class FreshTracer:
    """Traces each time anew."""

    def decode(self, model: GptConfig) -> "OpGraph":
        """See the protocol."""
        from rowline.workloads.tracer import trace_decode

        return trace_decode(model)

    def prefill(self, model: GptConfig, prompt_tokens: int) -> "OpGraph":
        """See the protocol."""
        from rowline.workloads.tracer import trace_prefill

        return trace_prefill(model, prompt_tokens)


def map_program(
    setup: GpuSetup, prompt_tokens: int, generated_tokens: int, tracer: Tracer | None = None
) -> "Program":
    """Trace the model and map its passes onto kernels.

    Raises:
        MappingError: an operation that no kernel stands for.
    """
    from rowline.sim.gpu.device import Device
    from rowline.sim.gpu.generate import Program
    from rowline.sim.gpu.loop import Launch
    from rowline.sim.mapping.gpu import map_pass

    trace = tracer or FreshTracer()
    template = trace.decode(setup.model) if prompt_tokens == 1 or generated_tokens > 1 else None
    prompt = trace.prefill(setup.model, prompt_tokens) if prompt_tokens > 1 else None
    prefill = prompt or (template.at(1) if template else None)
    assert prefill is not None
    plans = [map_pass(graph, setup.stack, setup.dtype) for graph in (prefill, template or prefill)]
    launch = Launch(setup.choices.launch)
    return Program(Device(setup.gpu, setup.stack), setup.dtype, launch, prompt_tokens, generated_tokens, *plans)


def run_program(
    program: "Program", on_pass: Callable[[int, int], None] = lambda done, total: None, keeper: "Keeper | None" = None
) -> "GpuRunResult":
    """Simulate it; ``keeper`` holds the timings of kernels of other runs.

    Raises:
        MappingError: a kernel that stack or chip cannot do.
    """
    from rowline.sim.gpu.generate import simulate_program
    from rowline.sim.gpu.results import GpuRunResult
    from rowline.sim.mapping.placement import MappingError

    try:
        return GpuRunResult(simulate_program(program, on_pass, keeper))
    except (KeyError, ValueError) as error:
        names = f"{program.device.gpu.name} with {program.device.stack.name}"
        raise MappingError(f"{names}: a kernel is not modelled: {error.args[0]}") from error
