"""Model configurations, the registry, the real module, and that importing workloads does not import torch."""

import pkgutil
import subprocess
import sys

import pytest
import rowline.workloads
from pydantic import ValidationError
from rowline.workloads.closed_form import block_parameter_count, parameter_count
from rowline.workloads.models.gpt import GptConfig, build_gpt
from rowline.workloads.models.registry import get_model, list_models

TINY = GptConfig(name="tiny", n_layers=2, d_model=32, n_heads=4, vocab_size=61, n_positions=16, dtype="float32")


def test_the_eight_models_of_the_paper() -> None:
    shapes = {
        name: (c.n_layers, c.d_model, c.n_heads, c.n_positions) for name in list_models() for c in [get_model(name)]
    }
    assert shapes == {
        "gpt2-small": (12, 768, 12, 1024),
        "gpt2-medium": (24, 1024, 16, 1024),
        "gpt2-large": (36, 1280, 20, 1024),
        "gpt2-xl": (48, 1600, 25, 1024),
        "gpt3-small": (12, 768, 12, 2048),
        "gpt3-medium": (24, 1024, 16, 2048),
        "gpt3-large": (24, 1536, 16, 2048),
        "gpt3-xl": (24, 2048, 16, 2048),
    }
    assert all(get_model(name).d_ff == 4 * get_model(name).d_model for name in list_models())
    assert get_model("gpt3-xl").head_dim == 128
    assert "24 heads" in get_model("gpt3-xl").notes


def test_published_parameter_counts() -> None:
    """GPT-2 as released: 124.4 M and 1557.6 M parameters (Hugging Face model cards; weights tied)."""
    assert parameter_count(get_model("gpt2-small")) == 124_439_808
    assert parameter_count(get_model("gpt2-xl")) == 1_557_611_200


@pytest.mark.parametrize("name", list_models())
def test_the_module_has_the_parameters_of_the_closed_form(name: str) -> None:
    config = get_model(name)
    model = build_gpt(config)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(config)
    assert sum(p.numel() for p in model.blocks.parameters()) == block_parameter_count(config)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16"}


def test_an_untied_head_and_another_width_are_counted() -> None:
    config = TINY.changed(tied_lm_head=False, d_ff=72)
    assert sum(p.numel() for p in build_gpt(config).parameters()) == parameter_count(config)


def test_unknown_models_are_met_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown model 'gpt2xl'; did you mean 'gpt2-xl'"):
        get_model("gpt2xl")
    with pytest.raises(ValueError, match="unknown model ''; did you mean"):
        get_model("")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 30}, "d_model 30 is not a multiple of n_heads 4"),
        ({"n_layers": 0}, "n_layers"),
        ({"n_layers": 2000}, "n_layers"),
        ({"d_model": 1 << 20}, "d_model"),
        ({"d_model": 32.0}, "d_model"),
        ({"n_heads": True}, "n_heads"),
        ({"d_ff": -1}, "d_ff"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"n_positions": "16"}, "n_positions"),
        ({"dtype": "bf16"}, "dtype"),
        ({"name": ""}, "name"),
        ({"n_layer": 3}, "n_layer"),
    ],
)
def test_configurations_are_validated(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TINY.changed(**changes)


def test_a_missing_or_wrong_width_is_what_the_error_is_about() -> None:
    with pytest.raises(ValidationError, match="d_model"):
        GptConfig(name="x", n_layers=1, d_model="wide", n_heads=1, n_positions=1)  # pyright: ignore[reportArgumentType]


def test_configurations_are_immutable_values() -> None:
    assert TINY.changed() == TINY and hash(TINY.changed()) == hash(TINY)
    with pytest.raises(ValidationError, match="frozen"):
        TINY.n_layers = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_decoding_with_the_cache_equals_the_full_forward_pass() -> None:
    """Token by token, prompt at once then token by token, and all at once give the same logits (fp32)."""
    import torch

    torch.manual_seed(7)
    model = build_gpt(TINY, device="cpu")
    tokens = torch.randint(TINY.vocab_size, (1, 11))
    positions = torch.arange(11)[None]
    with torch.no_grad():
        full, _ = model(tokens, positions, model.empty_cache(), "all")
        for n_prompt in (1, 6):
            cache, steps = model.empty_cache(), [slice(0, n_prompt), *(slice(i, i + 1) for i in range(n_prompt, 11))]
            for step in steps:
                logits, cache = model(tokens[:, step], positions[:, step], cache)
                torch.testing.assert_close(logits[:, -1], full[:, step.stop - 1], rtol=1e-5, atol=1e-5)
            assert cache[0][0].shape == (1, 4, 11, 8)
    assert full.std() > 0.1, "logits that do not differ would prove nothing"


def test_the_module_equals_the_transformer_written_out() -> None:
    """The same numbers from plain matrix algebra, so that the module is not only consistent with itself."""
    import torch

    torch.manual_seed(3)
    model = build_gpt(TINY, device="cpu")
    tokens, n = torch.randint(TINY.vocab_size, (1, 9)), 9
    w = {name: p.detach().double() for name, p in model.named_parameters()}

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]
        )

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = w["token_embedding.weight"][tokens[0]] + w["position_embedding.weight"][:n]
    for i in range(TINY.n_layers):
        q, k, v = linear(normed(x, f"blocks.{i}.ln_1"), f"blocks.{i}.attn.qkv").split(TINY.d_model, dim=-1)
        heads = []
        for h in range(TINY.n_heads):
            part = slice(h * TINY.head_dim, (h + 1) * TINY.head_dim)
            scores = q[:, part] @ k[:, part].T / TINY.head_dim**0.5
            scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))
            heads.append(scores.softmax(-1) @ v[:, part])
        x = x + linear(torch.cat(heads, dim=-1), f"blocks.{i}.attn.proj")
        hidden = linear(normed(x, f"blocks.{i}.ln_2"), f"blocks.{i}.mlp.fc")
        hidden = 0.5 * hidden * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)))
        x = x + linear(hidden, f"blocks.{i}.mlp.proj")
    expected = normed(x, "ln_f") @ w["token_embedding.weight"].T
    with torch.no_grad():
        logits, _ = model(tokens, torch.arange(n)[None], model.empty_cache(), "all")
    torch.testing.assert_close(logits[0].double(), expected, rtol=1e-4, atol=1e-4)


def test_several_tokens_on_a_cache_are_refused() -> None:
    import torch

    model = build_gpt(TINY)
    tokens = torch.zeros((1, 2), dtype=torch.int64, device="meta")
    with pytest.raises(ValueError, match="2 new tokens on a cache of 3"):
        model(tokens, tokens, model.empty_cache(3))


def test_importing_workloads_does_not_import_torch() -> None:
    """Every public module of the package, in a fresh interpreter."""
    names = [m.name for m in pkgutil.walk_packages(rowline.workloads.__path__, "rowline.workloads.")]
    public = [name for name in names if not name.rpartition(".")[2].startswith("_")]
    assert "rowline.workloads.tracer" in public
    code = f"import sys, {', '.join(public)}; sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
