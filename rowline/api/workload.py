"""A model as it was traced, in a notebook."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowline.api.display import card, lines
from rowline.arch.yamltree import ConfigError

if TYPE_CHECKING:
    import pandas as pd


def workload(name: str | Path, *, prompt: int | None = None) -> "Workload":
    """Trace a model from its torch module, on the meta device: no weights are made.

    Args:
        name: model of the catalogue, or YAML file with the fields of one (``rowline show workload gpt2-small``).
        prompt: trace one pass over a prompt of so many tokens, in place of a decode pass.

    Raises:
        rowline.arch.yamltree.ConfigError: no such model, a field of the file is wrong, or the prompt exceeds the model's context.
    """
    from rowline.experiment import load_model
    from rowline.workloads.tracer import trace_decode, trace_prefill

    model = load_model(str(name))
    if prompt is not None and not 1 <= prompt <= model.n_positions:
        raise ConfigError([f"prompt {prompt}: {model.name} takes 1 to {model.n_positions} tokens"])
    return Workload(model, trace_decode(model) if prompt is None else trace_prefill(model, prompt))


class Workload:
    """A traced pass of a model.

    Attributes:
        model: its shape (:class:`rowline.workloads.models.gpt.GptConfig`).
        graph: the operations (:class:`rowline.traces.opgraph.OpGraph`).
    """

    def __init__(self, model: Any, graph: Any):
        self.model, self.graph = model, graph

    @property
    def parameters(self) -> int:
        """Parameters of the model, by the closed form."""
        from rowline.workloads.closed_form import parameter_count

        return parameter_count(self.model)

    @property
    def ops(self) -> "pd.DataFrame":
        """One row an operation, as traced; the length of the KV cache is ``kv`` in shapes that grow with it."""
        from dataclasses import asdict

        from rowline.reports.frames import records

        return records([asdict(op) for op in self.graph.ops])

    def _figures(self) -> list[tuple[str, str]]:
        model = self.model
        return [
            ("parameters", f"{self.parameters:,}"), ("layers", str(model.n_layers)), ("width", str(model.d_model)),
            ("heads", str(model.n_heads)), ("operations of the pass", str(len(self.graph.ops))),
        ]  # fmt: skip

    def __repr__(self) -> str:
        return lines(f"Workload {self.model.name}", self._figures())

    def _repr_html_(self) -> str:
        return card(f"Workload {self.model.name}", self._figures())
