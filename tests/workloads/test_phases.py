"""Generate: what passes a generation takes."""

import pytest
from rowline.workloads.models.registry import get_model
from rowline.workloads.phases import Generate, Pass


def test_passes_of_a_short_generation() -> None:
    generate = Generate(prompt_tokens=3, generated_tokens=3)
    assert list(generate.passes()) == [
        Pass(0, "prefill", 1, needs_logits=False),
        Pass(1, "prefill", 2, needs_logits=False),
        Pass(2, "prefill", 3, needs_logits=True),
        Pass(3, "decode", 4, needs_logits=True),
        Pass(4, "decode", 5, needs_logits=True),
    ]
    assert (generate.n_passes, generate.n_decode_passes) == (5, 2)


@pytest.mark.parametrize(("prompt", "generated"), [(1, 1), (1, 1024), (128, 1), (7, 9)])
def test_as_many_logits_as_generated_tokens(prompt: int, generated: int) -> None:
    generate = Generate(prompt, generated)
    passes = list(generate.passes())
    assert len(passes) == generate.n_passes == prompt + generated - 1
    assert sum(p.needs_logits for p in passes) == generated
    assert sum(p.phase == "decode" for p in passes) == generate.n_decode_passes


@pytest.mark.parametrize(("prompt", "generated"), [(0, 1), (1, 0), (-3, 5), (1.0, 2), (True, 2)])
def test_counts_are_whole_and_positive(prompt: int, generated: int) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Generate(prompt, generated)


def test_a_generation_must_fit_the_positions() -> None:
    config = get_model("gpt2-small")
    Generate(1, 1024).check_fits(config)
    with pytest.raises(ValueError, match=r"gpt2-small: 2 prompt \+ 1024 generated - 1 = 1025 tokens exceed .* 1024"):
        Generate(2, 1024).check_fits(config)
