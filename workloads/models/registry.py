"""The eight GPT models of the PIM-GPT paper, by name.

Shapes: GPT-2 from Radford et al. 2019, table 2 (heads of 64); GPT-3 from Brown et al. 2020, table 2.1. The paper
gives no shapes of its own and names up to 1.4 B parameters (facts/pim-gpt.md, section 5.1).

GPT-3 XL: table 2.1 lists 24 heads with d_head 128, but 24 * 128 = 3072 is not its d_model of 2048. We take 16 heads
of 128, which keeps the table's d_head and d_model = heads * d_head.
"""

import difflib
from typing import Final

from .gpt import GptConfig

_GPT3_XL_NOTES: Final = (
    "Brown et al. 2020, table 2.1 lists 24 heads with d_head 128, but 24 * 128 = 3072 is not d_model 2048; "
    "16 heads of 128 are used, which keeps d_head and d_model."
)


def _gpt2(size: str, n_layers: int, d_model: int, n_heads: int) -> GptConfig:
    """A GPT-2 model: 1024 positions."""
    return GptConfig(name=f"gpt2-{size}", n_layers=n_layers, d_model=d_model, n_heads=n_heads, n_positions=1024)


def _gpt3(size: str, n_layers: int, d_model: int, n_heads: int, notes: str = "") -> GptConfig:
    """A GPT-3 model: 2048 positions, GPT-2's vocabulary; dense attention in all layers."""
    return GptConfig(
        name=f"gpt3-{size}", n_layers=n_layers, d_model=d_model, n_heads=n_heads, n_positions=2048, notes=notes
    )


_MODELS: Final = {
    config.name: config
    for config in (
        _gpt2("small", 12, 768, 12),
        _gpt2("medium", 24, 1024, 16),
        _gpt2("large", 36, 1280, 20),
        _gpt2("xl", 48, 1600, 25),
        _gpt3("small", 12, 768, 12),
        _gpt3("medium", 24, 1024, 16),
        _gpt3("large", 24, 1536, 16),
        _gpt3("xl", 24, 2048, 16, notes=_GPT3_XL_NOTES),
    )
}


def list_models() -> tuple[str, ...]:
    """The names that `get_model` knows, GPT-2 first, by size."""
    return tuple(_MODELS)


def get_model(name: str) -> GptConfig:
    """The model called `name`. Raises ValueError, naming the nearest known name, if there is none."""
    if name not in _MODELS:
        nearest = difflib.get_close_matches(name, _MODELS, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown model {name!r}; did you mean {nearest!r}? Known: {', '.join(_MODELS)}")
    return _MODELS[name]
