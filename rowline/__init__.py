"""Rowline: simulator of DRAM with processing-in-memory and of GPUs, driven by transformer workloads traced from PyTorch.

``import rowline as rl`` is quick and loads nothing heavy; each of these does when it is called:

- ``rl.run(arch="pim-gpt", workload="gpt2-small", tokens=32)``: one simulated generation (:class:`rowline.api.run.Run`);
- ``rl.sweep("space.yaml")``: many (:class:`rowline.api.study.Study`);
- ``rl.load(path)``: a run, study, command log or table back from files;
- ``rl.validate("log.parquet")``: kernel times, simulated against measured (:class:`rowline.api.validation.Validation`);
- ``rl.compare(a, b)``: runs side by side;
- ``rl.workload("gpt2-small")``: a model as it was traced;
- ``rl.dram(device="ddr5-4800")``: requests through memory controllers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowline.api.comparison import compare
    from rowline.api.loading import load
    from rowline.api.memory import dram
    from rowline.api.run import run
    from rowline.api.study import sweep
    from rowline.api.validation import validate
    from rowline.api.workload import workload
    from rowline.arch.yamltree import ConfigError

__version__ = "0.1.0"
__all__ = ["ConfigError", "__version__", "compare", "dram", "load", "run", "sweep", "validate", "workload"]

_HOMES = {
    "ConfigError": "rowline.arch.yamltree", "compare": "rowline.api.comparison", "dram": "rowline.api.memory",
    "load": "rowline.api.loading", "run": "rowline.api.run", "sweep": "rowline.api.study", "validate": "rowline.api.validation",
    "workload": "rowline.api.workload",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Functions of the public interface come from where they live, on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rowline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
