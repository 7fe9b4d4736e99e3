"""The reference of the command line as Markdown, written from the verbs themselves.

``python -m rowline.cli_reference > docs/cli-reference.md`` renews the page; a test holds the page to the code. Nothing in it
depends on the machine or on the width of a terminal.
"""

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from rowline.cli import app
from rowline.cli_options import help_and_examples

HEAD = """# Command line reference

Written by `python -m rowline.cli_reference` from the code; a test fails where the two differ. What the JSON objects hold, and
exit codes: [cli.md](cli.md).

Every verb has `--help`. `rowline --install-completion` makes the shell that it is called from (bash, zsh or fish) complete verbs,
options, presets, models, runs and studies; `rowline --show-completion` prints the script instead.
"""


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a verb.

    Attributes:
        names: as they are typed, such as ``--quiet`` and ``-q``; one of an argument, in capitals.
        kind: what its value is; empty for a switch.
        default: what holds without it; empty where nothing does.
    """

    names: tuple[str, ...]
    is_option: bool
    kind: str
    default: str
    text: str
    required: bool
    repeatable: bool


@dataclass(frozen=True)
class Verb:
    """A verb, or a verb of ``show``."""

    name: str
    text: str
    examples: list[str]
    parameters: list[Parameter]

    def usage(self) -> str:
        """The verb with its arguments."""
        words = ["rowline", self.name, *["[OPTIONS]"] * any(p.is_option for p in self.parameters)]
        for each in self.parameters:
            if each.is_option:
                continue
            bare = each.names[0]
            word = bare if each.required or bare.startswith("[") else f"[{bare}]"
            words.append(word if not each.repeatable or "..." in word else f"{word}...")
        return " ".join(words)


def verbs(of: typer.Typer = app, prefix: str = "") -> Iterator[Verb]:
    """All verbs of an app, those of its groups included, in the order of the help."""
    for command in of.registered_commands:
        callback = command.callback
        assert callback is not None
        name = command.name or callback.__name__.replace("_", "-")
        text, examples = help_and_examples(callback)
        yield Verb(f"{prefix}{name}", text, examples, list(parameters(callback)))
    for group in of.registered_groups:
        if group.typer_instance is not None:
            yield from verbs(group.typer_instance, f"{prefix}{group.name} ")


def parameters(callback: Callable[..., Any]) -> Iterator[Parameter]:
    """Arguments and options of a verb, in its order."""
    hints = get_type_hints(callback, include_extras=True)
    for name, given in inspect.signature(callback).parameters.items():
        hint = hints[name]
        assert get_origin(hint) is Annotated, f"{callback.__name__}: {name} says nothing about itself"
        kind, info = get_args(hint)[:2]
        yield _parameter(name, kind, info, given.default)


def _parameter(name: str, hint: Any, info: OptionInfo | ArgumentInfo, default: Any) -> Parameter:
    is_option = isinstance(info, OptionInfo)
    kind, repeatable = _bare(hint)
    first = (info.default,) if isinstance(info.default, str) else ()  # inside Annotated typer keeps the first name there
    declared = tuple(word for text in (*first, *(info.param_decls or ())) for word in text.split("/"))
    names = declared if is_option else (info.metavar or name.upper(),)
    if is_option and not names:
        long = f"--{name.replace('_', '-')}"
        names = (long, f"--no-{name.replace('_', '-')}") if kind is bool else (long,)
    required = default is inspect.Parameter.empty
    return Parameter(
        names, is_option, "" if kind is bool else _kind(kind, info, is_option), _default(info, default, names, required),
        " ".join((info.help or "").split()), required, repeatable,
    )  # fmt: skip


def _bare(hint: Any) -> tuple[Any, bool]:
    """A type without its None, and whether it is of the items of a list."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    return (get_args(hint)[0], True) if get_origin(hint) is list else (hint, False)


def _kind(kind: Any, info: OptionInfo | ArgumentInfo, is_option: bool) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    words = {int: "whole number", float: "number", str: "text", Path: "path"}
    told = f"`{info.metavar}`" if is_option and info.metavar else words[kind]
    low, high = info.min, info.max
    if low is not None and high is not None:
        return f"{told}, {low} to {high}"
    return told if low is None else f"{told}, at least {low}"


def _default(info: OptionInfo | ArgumentInfo, default: Any, names: tuple[str, ...], required: bool) -> str:
    if isinstance(info.show_default, str):
        return info.show_default
    if required:
        return "required"
    if isinstance(default, bool):
        no = next((name for name in names if name.startswith("--no-")), None)
        return "" if not default and len([n for n in names if n.startswith("--")]) == 1 else names[0] if default else no or ""
    if default in (None, ""):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def reference() -> str:
    """The page as Markdown; ends with a line end."""
    return "\n".join([HEAD, *(_section(verb) for verb in verbs())]).rstrip("\n") + "\n"


def _section(verb: Verb) -> str:
    lines = [f"## `rowline {verb.name}`", "", "```", verb.usage(), "```", "", *_paragraphs(verb.text), ""]
    for title, wanted in (("argument", False), ("option", True)):
        chosen = [each for each in verb.parameters if each.is_option == wanted]
        if chosen:
            lines += [f"| {title} | value | meaning | default |", "|---|---|---|---|", *map(_row, chosen), ""]
    lines += ["Example:" if len(verb.examples) == 1 else "Examples:", "", "```", *verb.examples, "```", ""]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    joined = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(joined).split("\n")


def _row(each: Parameter) -> str:
    names = ", ".join(f"`{name}`" for name in each.names)
    text = each.text + (" Repeatable." if each.repeatable else "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (names, each.kind or "switch", text, each.default)) + " |"


if __name__ == "__main__":
    print(reference(), end="")
