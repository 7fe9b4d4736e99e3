"""Parameters and multiply-accumulates of a GPT by formula.

Tests and checks compare traced graphs with these; nothing else may use them, or a graph would be checked against
itself. Notation: L layers, d = d_model, f = d_ff, V = vocab_size.
"""

from dataclasses import dataclass

from .models.gpt import GptConfig


def block_parameter_count(config: GptConfig) -> int:
    """Parameters of all blocks.

    Weights 4*d^2 + 2*d*f, biases 3d + d + f + d, two LayerNorms 4d; for f = 4d, L*(12*d^2 + 13*d).
    """
    d, f = config.d_model, config.d_ff
    return config.n_layers * (4 * d * d + 2 * d * f + 9 * d + f)


def parameter_count(config: GptConfig) -> int:
    """All parameters: blocks, token and position embeddings, final LayerNorm 2d, and the LM head if it is not tied."""
    d = config.d_model
    untied_head = 0 if config.tied_lm_head else config.vocab_size * d
    return block_parameter_count(config) + (config.vocab_size + config.n_positions + 2) * d + untied_head


@dataclass(frozen=True)
class DecodeMacs:
    """Multiply-accumulates of one decode pass, by part."""

    block_weights: int
    attention: int
    lm_head: int


def decode_macs(config: GptConfig, kv_length: int) -> DecodeMacs:
    """MACs of one decode pass that attends to `kv_length` tokens: L*(4*d^2 + 2*d*f), 2*kv_length*d*L, and d*V."""
    d, f, n_layers = config.d_model, config.d_ff, config.n_layers
    return DecodeMacs(
        block_weights=n_layers * (4 * d * d + 2 * d * f),
        attention=2 * kv_length * d * n_layers,
        lm_head=d * config.vocab_size,
    )


def prefill_macs(config: GptConfig, prompt_tokens: int) -> DecodeMacs:
    """MACs of a prefill of a whole prompt.

    Each token as a decode pass at its own KV length, the LM head for the last only.
    """
    one = decode_macs(config, 1)
    pairs = prompt_tokens * (prompt_tokens + 1) // 2
    return DecodeMacs(one.block_weights * prompt_tokens, one.attention * pairs, one.lm_head)
