"""Options that several verbs share, the names that a shell completes, and how a verb joins the command line. Nothing heavy."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

OUT = Path("out")
"""Where runs and studies go unless told otherwise."""
_MOST_NAMES = 500
_EXAMPLE = "Example: "


def presets(*folders: str) -> list[str]:
    """Names of the presets of these folders of ``rowline.arch``, folder by folder; no file is read."""
    import rowline.arch

    root = Path(rowline.arch.__path__[0]) / "presets"
    return [name for folder in folders for name in sorted(p.stem for p in (root / folder).glob("*.yaml"))]


def folders_with(file: str, under: Path = OUT) -> list[str]:
    """Folders in ``under`` that hold ``file``, in the order of their names; the first few hundred of them."""
    try:
        found = sorted(str(p.parent) for p, _ in zip(under.glob(f"*/{file}"), range(_MOST_NAMES), strict=False))
    except OSError:
        return []
    return [name for name in found if name.isprintable()]


def complete_arch(incomplete: str) -> list[str]:
    """Systems and GPUs that begin so."""
    return _beginning(presets("system", "gpu"), incomplete)


def complete_gpu(incomplete: str) -> list[str]:
    """GPUs that begin so."""
    return _beginning(presets("gpu"), incomplete)


def complete_stack(incomplete: str) -> list[str]:
    """Software stacks that begin so."""
    return _beginning(presets("stack"), incomplete)


def complete_device(incomplete: str) -> list[str]:
    """DRAM devices, with and without PIM, that begin so."""
    return _beginning(presets("dram", "pim"), incomplete)


def complete_workload(incomplete: str) -> list[str]:
    """Models that begin so."""
    from rowline.workloads.models.registry import list_models

    return _beginning(list_models(), incomplete)


def complete_run(incomplete: str) -> list[str]:
    """Run folders below ``out`` that begin so."""
    return _beginning(folders_with("stats.json"), incomplete)


def complete_study(incomplete: str) -> list[str]:
    """Studies below ``out`` that begin so."""
    return _beginning(folders_with("study.db"), incomplete)


def _beginning(names: Any, incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


Arch = Annotated[str | None, typer.Option("--arch", help="Preset of a system or a GPU, or YAML file.", show_default="pim-gpt",
                                          autocompletion=complete_arch)]  # fmt: skip
Workload = Annotated[str | None, typer.Option("--workload", help="Model or YAML file.", show_default="gpt2-small",
                                              autocompletion=complete_workload)]  # fmt: skip
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help='Override a key, such as "device.timing.tRP=14 ns".'),
]
Prompt = Annotated[int | None, typer.Option("--prompt", help="Tokens of the prompt.", show_default="1")]
Tokens = Annotated[int | None, typer.Option("--tokens", help="Tokens to generate.", show_default="32")]
LmHead = Annotated[bool | None, typer.Option("--lm-head/--no-lm-head", help="Multiply the LM head in the banks.",
                                             show_default="on")]  # fmt: skip
Config = Annotated[Path | None, typer.Argument(help="YAML file with the keys of a run; options go over it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")]
Form = Annotated[Literal["yaml", "json"], typer.Option("-f", "--format", help="How to print it.")]
FormOrText = Annotated[
    Literal["yaml", "json"] | None, typer.Option("-f", "--format", help="How to print it.", show_default="text")
]


def changes_of(
    arch: str | None, workload: str | None, prompt: int | None, tokens: int | None, sets: list[str] | None,
    lm_head: bool | None = None, vectors: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The options that were given, as keys of a :class:`rowline.experiment.RunConfig`.

    Raises:
        ConfigError: a ``--set`` without a value.
    """
    mapping = {"lm_head_on_pim": lm_head, "vectors_per_row": vectors}
    changes: dict[str, Any] = {
        "arch": arch, "workload": workload, "prompt_tokens": prompt, "generated_tokens": tokens,
        "overrides": overrides_of(sets), "mapping": {k: v for k, v in mapping.items() if v is not None},
    }  # fmt: skip
    return {k: v for k, v in changes.items() if v is not None}


def overrides_of(sets: Sequence[str] | None) -> dict[str, str]:
    """Texts ``dotted.key=value`` as a dict.

    Raises:
        ConfigError: one without a value.
    """
    from rowline.arch.yamltree import ConfigError, printable

    overrides: dict[str, str] = {}
    for text in sets or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError([f'--set {printable(text)}: expected "key.subkey=value"'])
        overrides[key.strip()] = value.strip()
    return overrides


def help_and_examples(verb: Callable[..., Any]) -> tuple[str, list[str]]:
    """What a verb's docstring says, and the command lines after ``Example:`` in it."""
    text, *examples = (inspect.getdoc(verb) or "").split(f"\n\n{_EXAMPLE}")
    return text.strip(), [" ".join(example.split()) for example in examples]


def add_verb(app: typer.Typer, verb: Callable[..., None], name: str | None = None) -> None:
    """Make ``verb`` a command of ``app``; the examples of its docstring come last in its help."""
    text, examples = help_and_examples(verb)
    epilog = "\n\n".join(_EXAMPLE + example for example in examples)
    app.command(name, help=text, epilog=epilog)(verb)
