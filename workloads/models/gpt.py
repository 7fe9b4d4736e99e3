"""GPT decoders of the GPT-2/GPT-3 family: the configuration, and the way to a real torch module of it.

Importing this module does not import torch; `build_gpt` does.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from ._gpt_module import GptModule


def _count(upper_limit: int) -> Any:
    """A field for a whole number from 1 to a limit far above any published model, to catch a slipped digit or unit."""
    return Field(strict=True, ge=1, le=upper_limit)


class GptConfig(BaseModel):
    """The shape of a GPT decoder. Immutable; pydantic's ValidationError (a ValueError) names the field that is wrong.

    `d_ff` defaults to 4 * d_model. `n_positions` is the longest context. `dtype` is that of weights, activations and
    KV cache. With `tied_lm_head` the LM head is the token embedding's table. `notes` says what was decided where
    sources disagree.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    n_layers: Annotated[int, _count(1 << 10)]
    d_model: Annotated[int, _count(1 << 16)]
    n_heads: Annotated[int, _count(1 << 10)]
    d_ff: Annotated[int, _count(1 << 20)] = Field(default_factory=lambda fields: 4 * fields.get("d_model", 1))
    vocab_size: Annotated[int, _count(1 << 24)] = 50257
    n_positions: Annotated[int, _count(1 << 24)]
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    tied_lm_head: bool = True
    notes: str = ""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "GptConfig":
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        return self

    @property
    def head_dim(self) -> int:
        """Width of one attention head: d_model / n_heads."""
        return self.d_model // self.n_heads

    def changed(self, **changes: Any) -> "GptConfig":
        """A copy with some fields changed, validated again. `d_ff` keeps its value unless it is named."""
        return GptConfig(**{**self.model_dump(), **changes})


def build_gpt(config: GptConfig, device: str = "meta") -> "GptModule":
    """A torch module of `config` on `device`, in `config.dtype`, in eval mode.

    On "meta" (the default) it has shapes and no storage, whatever its size. On a real device its weights are torch's
    default random initialisation, drawn from the global generator: seed it first.
    """
    import torch

    from ._gpt_module import GptModule

    with torch.device(device):
        return GptModule(config).to(getattr(torch, config.dtype)).eval()
