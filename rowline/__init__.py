"""Rowline: simulator of DRAM with processing-in-memory, driven by transformer workloads traced from PyTorch.

``rowline.run(arch="pim-gpt", workload="gpt2-small", generated_tokens=32)`` returns a
:class:`rowline.sim.results.RunResult`.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "dram", "run"]


def run(**request: Any) -> Any:
    """Run one experiment; arguments are the fields of :class:`rowline.experiment.RunConfig`.

    Returns:
        A :class:`rowline.sim.results.RunResult`, or on a GPU a :class:`rowline.sim.gpu.results.GpuRunResult`.

    Raises:
        rowline.arch.yamltree.ConfigError: an argument, preset or override is wrong.
        rowline.sim.mapping.placement.MappingError: the model does not fit.
    """
    from rowline.experiment import load_config, run_experiment

    return run_experiment(load_config(None, request)).result


def dram(**request: Any) -> dict[str, Any]:
    """Serve a request trace or a pattern; arguments are the fields of :class:`rowline.memory.MemoryJob`.

    Returns:
        The keys of ``rowline dram --json`` (``docs/cli.md``).

    Raises:
        rowline.arch.yamltree.ConfigError: an argument, preset or override is wrong.
        rowline.traces.formats.files.FormatError: the trace is damaged, or does not fit the memory.
    """
    from rowline.memory import MemoryJob, run_memory

    return run_memory(MemoryJob(**request))
