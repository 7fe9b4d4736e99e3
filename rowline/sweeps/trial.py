"""One trial: from a point to the whole configuration, to its identity, to the stats of its run."""

import gc
from typing import TYPE_CHECKING, Any

from rowline.arch.loader import PRESETS, apply_sets, build, expand, is_file_name, is_gpu
from rowline.arch.system import System
from rowline.arch.yamltree import ConfigError, Node, read_yaml
from rowline.experiment import RunConfig, fitting_model, load_gpu_setup
from rowline.gpu_run import FreshTracer, map_program, run_program
from rowline.sweeps.fingerprint import ID_LENGTH, code_version, digest, hardware_digest, workload_digest
from rowline.sweeps.keys import RUN_KEYS, set_run_value
from rowline.sweeps.memo import Memo, traced
from rowline.sweeps.model import Space
from rowline.sweeps.points import Point
from rowline.workloads.models.gpt import GptConfig

if TYPE_CHECKING:
    from rowline.traces.opgraph import OpGraph

INFEASIBLE = "infeasible"
"""Key of what :func:`run_trial` returns, in place of stats, where a configuration makes no sense or does not fit."""


def expand_point(space: Space, point: Point) -> dict[str, Any]:
    """The configuration of a point as plain data: ``run`` (the keys of a RunConfig), and what its names stand for:
    ``hardware`` and ``workload`` (SHA-256 of what they expand to, overrides aside) and ``code``.

    Raises:
        ConfigError: a named file changed into something wrong.
    """
    run = space.base.model_dump(mode="json", exclude_none=True)
    for key, text in point.items():
        if key in RUN_KEYS:
            set_run_value(run, key, text)
        else:
            run["overrides"][key] = text
    config = RunConfig.model_validate(run)
    stack = config.gpu.stack if config.gpu else None
    return {
        "run": config.model_dump(mode="json", exclude_none=True),
        "hardware": hardware_digest(config.arch, stack),
        "workload": workload_digest(config.workload),
        "code": code_version(),
    }


def trial_id(config: dict[str, Any]) -> str:
    """Content hash of a configuration: equal for equal runs of equal code, whatever study they are in."""
    return digest(config)[:ID_LENGTH]


def run_trial(config: dict[str, Any]) -> dict[str, Any]:
    """Run a configuration of :func:`expand_point` in this process.

    Returns:
        The stats of the run (``docs/cli.md``) and ``area_m2`` where the hardware states an area; or, under
        :data:`INFEASIBLE`, why there is no such run.
    """
    return run_with(Kept(), config) if _kept is None else run_with(_kept, config)


class Kept:
    """What a worker keeps from trial to trial; of nothing if ``size`` is 0."""

    def __init__(self, size: int = 0):
        self.trees, self.systems = Memo(min(size, 8)), Memo(size)
        self.graphs, self.parts, self.kernels = Memo(min(size, 16)), Memo(4 * size), Memo(32 * size)
        self.frozen = False


_kept: Kept | None = Kept(64)


def run_with(kept: Kept, config: dict[str, Any]) -> dict[str, Any]:
    """As :func:`run_trial`, with what ``kept`` holds."""
    from rowline.sim.mapping.placement import MappingError
    from rowline.sim.pim_machine import SimulationError

    run = RunConfig.model_validate(config["run"])
    try:
        gpu = is_gpu(run.arch)
        _check_unchanged(run, config)
        stats = _gpu_stats(kept, run) if gpu else _pim_stats(kept, run, config["hardware"])
    except ConfigError as error:
        return {INFEASIBLE: "; ".join(error.problems)}
    except (MappingError, SimulationError) as error:
        return {INFEASIBLE: str(error)}
    if not kept.frozen:
        gc.freeze()  # what libraries and the trace left behind need not be looked at again and again
        kept.frozen = True
    return stats


def _check_unchanged(run: RunConfig, config: dict[str, Any]) -> None:
    """A file or the code that changed while a sweep runs would put results under a wrong identity."""
    stack = run.gpu.stack if run.gpu else None
    if is_file_name(run.arch) or (stack is not None and is_file_name(stack)):
        hardware_digest.cache_clear()
    if is_file_name(run.workload):
        workload_digest.cache_clear()
    found = (hardware_digest(run.arch, stack), workload_digest(run.workload), code_version())
    for name, now in zip(("hardware", "workload", "code"), found, strict=True):
        if config[name] != now:
            raise RuntimeError(f"{name} of this worker is not that of the sweep: it changed meanwhile")


def _pim_stats(kept: Kept, run: RunConfig, hardware: str) -> dict[str, Any]:
    from rowline.sim.engine import simulate
    from rowline.sim.mapping.pim_gpt import MappingOptions, map_graph
    from rowline.sim.results import RunResult

    if run.gpu is not None:
        raise ConfigError(["stack, launch and dtype: only for a GPU"])
    sets = tuple(f"{k}={v}" for k, v in run.overrides.items())
    tree = kept.trees.get((run.arch, hardware), lambda: _system_tree(run.arch))
    system: System = kept.systems.get((run.arch, hardware, sets), lambda: build(System, apply_sets(tree, sets)))
    model, tokens = fitting_model(run)
    options = MappingOptions(run.mapping.lm_head_on_pim, run.mapping.vectors_per_row)
    mapping = map_graph(system, _KeptTracer(kept.graphs).decode(model), tokens, options)
    raw = simulate(mapping, run.prompt_tokens, run.generated_tokens, keeper=kept.parts)
    stats = RunResult(raw, run.prompt_tokens, run.generated_tokens).stats
    return stats | {"area_m2": system.host.area.value / 10**12}


def _system_tree(arch: str) -> Node:
    from pathlib import Path

    return expand(read_yaml(Path(arch) if is_file_name(arch) else PRESETS / "system" / f"{arch}.yaml"))


class _KeptTracer:
    """Graphs that were traced before: in this worker, or by any whose graphs are on the disk."""

    def __init__(self, graphs: Memo):
        self.graphs, self.fresh = graphs, FreshTracer()

    def decode(self, model: GptConfig) -> "OpGraph":
        """The template of a decode pass."""
        return self.graphs.get(("decode", model), lambda: traced("decode", model, lambda: self.fresh.decode(model)))

    def prefill(self, model: GptConfig, prompt_tokens: int) -> "OpGraph":
        """One pass over a prompt."""
        kind = f"prefill {prompt_tokens}"
        return self.graphs.get((kind, model), lambda: traced(kind, model, lambda: self.fresh.prefill(model, prompt_tokens)))


def _gpu_stats(kept: Kept, run: RunConfig) -> dict[str, Any]:
    setup = load_gpu_setup(run)
    program = map_program(setup, run.prompt_tokens, run.generated_tokens, _KeptTracer(kept.graphs))
    return run_program(program, keeper=kept.kernels).stats
