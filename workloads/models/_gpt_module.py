"""The torch module of a GPT decoder.

This module imports torch at its top so that the classes read as plain torch code. It is therefore imported lazily,
inside `gpt.build_gpt`, and must not be imported at the top of any other module: `import rowline.workloads` stays free
of torch.

The architecture is GPT-2's (Radford et al. 2019, section 2.3): pre-LayerNorm blocks, learned positions, tanh GELU.
Shapes below: B batch, T new tokens of this pass, P tokens in the cache, D d_model, H heads, E head_dim, V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .gpt import GptConfig

KvCache = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, each [B, H, P, E]."""

LAYER_NORM_EPS = 1e-5
"""GPT-2's layer_norm_epsilon."""


class Attention(nn.Module):
    """Causal self-attention with one fused projection for q, k and v, each a third of its output."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.proj = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[B, T, D] and this layer's cache -> [B, T, D] and the cache with T tokens more.

        Either the cache is empty or T is 1: several tokens on top of a cache would need a mask. ValueError otherwise.
        """
        n_batch, n_new, d_model = x.shape
        if n_new > 1 and past[0].shape[2] > 0:
            raise ValueError(
                f"{n_new} new tokens on a cache of {past[0].shape[2]}: a pass is a whole prompt or one token"
            )
        split = (n_batch, n_new, self.n_heads, self.head_dim)
        q, k, v = (part.view(split).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        k = torch.cat((past[0], k), dim=2)
        v = torch.cat((past[1], v), dim=2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=n_new > 1)
        return self.proj(mixed.transpose(1, 2).reshape(n_batch, n_new, d_model)), (k, v)


class Mlp(nn.Module):
    """Two linear layers with GPT-2's tanh-approximated GELU between them: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.fc = nn.Linear(config.d_model, config.d_ff)
        self.act = nn.GELU(approximate="tanh")
        self.proj = nn.Linear(config.d_ff, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.act(self.fc(x)))


class Block(nn.Module):
    """One pre-LayerNorm decoder block: attention and MLP, each added to the residual stream."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.d_model, eps=LAYER_NORM_EPS)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.d_model, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[B, T, D] and this layer's cache -> the same, one block further."""
        mixed, present = self.attn(self.ln_1(x), past)
        x = x + mixed
        return x + self.mlp(self.ln_2(x)), present


class GptModule(nn.Module):
    """A whole decoder: embeddings, blocks, final LayerNorm, LM head (no bias)."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.n_positions, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_f = nn.LayerNorm(config.d_model, eps=LAYER_NORM_EPS)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied_lm_head:
            self.lm_head.weight = self.token_embedding.weight

    def empty_cache(self, n_past: int = 0) -> KvCache:
        """A cache of `n_past` uninitialised tokens for one sequence, on this module's device and in its dtype."""
        shape = (1, self.config.n_heads, n_past, self.config.head_dim)
        like = self.ln_f.weight
        return [(like.new_empty(shape), like.new_empty(shape)) for _ in self.blocks]

    def forward(
        self, tokens: Tensor, positions: Tensor, cache: KvCache, logits_of: str = "last"
    ) -> tuple[Tensor, KvCache]:
        """One forward pass.

        `tokens` and `positions` are [B, T] int64, `cache` as `empty_cache` or an earlier pass gave it. `logits_of` is
        "last" (the logits of the last token, [B, 1, V]), "all" ([B, T, V]) or "none": final LayerNorm and LM head are
        skipped, and the first result is the residual stream [B, T, D]. The second result is the cache with the T
        tokens appended.
        """
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        present: KvCache = []
        for block, past in zip(self.blocks, cache, strict=True):
            x, extended = block(x, past)
            present.append(extended)
        if logits_of == "none":
            return x, present
        return self.lm_head(self.ln_f(x if logits_of == "all" else x[:, -1:, :])), present
