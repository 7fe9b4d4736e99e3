"""What is asked of a model: how many tokens go in and how many come out, and the forward passes that takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from .models.gpt import GptConfig


@dataclass(frozen=True)
class Pass:
    """One token's way through the model.

    `index` counts all tokens from 0. `phase` is "prefill" for a token of the prompt, "decode" for a generated one
    that is fed back. `kv_length` is the number of tokens attended to, itself included: index + 1. `needs_logits` is
    false for all tokens of the prompt but the last: nothing is sampled from them, so the LM head need not run.
    """

    index: int
    phase: str
    kv_length: int
    needs_logits: bool


@dataclass(frozen=True)
class Generate:
    """Generate `generated_tokens` tokens from a prompt of `prompt_tokens` tokens, one sequence, greedily.

    Prefill processes the prompt's tokens; its last pass yields the first generated token. Decode feeds back all
    generated tokens but the last, one pass each. So prompt_tokens + generated_tokens - 1 tokens go through the model,
    and as many are in the KV cache at the end. A machine may run the prompt's passes one by one or as one batched
    prefill.

    Raises ValueError unless both are whole numbers of at least 1.
    """

    prompt_tokens: int
    generated_tokens: int

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "generated_tokens"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")

    @property
    def n_passes(self) -> int:
        """Tokens that go through the model, which is also the final KV length: prompt + generated - 1."""
        return self.prompt_tokens + self.generated_tokens - 1

    @property
    def n_decode_passes(self) -> int:
        """Passes after the prompt: generated - 1."""
        return self.generated_tokens - 1

    def check_fits(self, config: GptConfig) -> None:
        """Raise ValueError, naming the numbers, if the final KV length exceeds the positions of `config`."""
        if self.n_passes > config.n_positions:
            raise ValueError(
                f"{config.name}: {self.prompt_tokens} prompt + {self.generated_tokens} generated - 1 = "
                f"{self.n_passes} tokens exceed its n_positions of {config.n_positions}"
            )

    def passes(self) -> Iterator[Pass]:
        """All passes in order, one a token."""
        for index in range(self.n_passes):
            phase = "prefill" if index < self.prompt_tokens else "decode"
            yield Pass(index, phase, kv_length=index + 1, needs_logits=index >= self.prompt_tokens - 1)
