"""The verbs ``rowline show ...``. Imports nothing heavy: each verb imports what it needs."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import typer

from rowline.cli_options import (
    Arch,
    Config,
    FormOrText,
    Json,
    LmHead,
    Prompt,
    Sets,
    Tokens,
    Workload,
    add_verb,
    changes_of,
    complete_arch,
    complete_device,
    complete_gpu,
    complete_run,
    complete_stack,
    complete_study,
    complete_workload,
    folders_with,
    presets,
)

Whole = Annotated[
    bool, typer.Option("--expanded/--as-written", help="Every number with its source, or the file itself as it stands.")
]
FormOrYaml = Annotated[
    Literal["yaml", "json"] | None, typer.Option("-f", "--format", help="How to print it.", show_default="yaml")
]
More = Annotated[bool, typer.Option("--expanded", help="Show every part, not only the summary.")]


def arch(
    name: Annotated[
        str | None,
        typer.Argument(help="System or GPU, preset or YAML file; none lists the presets.", autocompletion=complete_arch),
    ] = None,
    sets: Sets = None,
    expanded: Whole = True,
    form: FormOrYaml = None,
    as_json: Json = False,
) -> None:
    """Print a system or a GPU fully expanded, with the source of every number; what it prints is a file for --arch.

    Example: rowline show arch aim

    Example: rowline show arch pim-gpt --set channels=4 -f json
    """
    if name is None:
        _list(presets("system", "gpu"), "json" if as_json else form)
        return
    from rowline.arch.loader import is_gpu, load_gpu, load_system

    load: Callable[..., Any] = load_gpu if is_gpu(name) else load_system
    _print_specification(load, name, ("system", "gpu"), sets, expanded, "json" if as_json else form or "yaml")


def dram(
    name: Annotated[
        str | None, typer.Argument(help="Device preset or YAML file; none lists the presets.", autocompletion=complete_device)
    ] = None,
    sets: Sets = None,
    expanded: Whole = True,
    form: FormOrYaml = None,
    as_json: Json = False,
) -> None:
    """Print one channel of DRAM fully expanded, with the source of every number.

    Example: rowline show dram ddr5-4800

    Example: rowline show dram ddr5-4800 --as-written
    """
    if name is None:
        _list(sorted(presets("dram", "pim")), "json" if as_json else form)
        return
    from rowline.arch.loader import load_device

    _print_specification(load_device, name, ("dram", "pim"), sets, expanded, "json" if as_json else form or "yaml")


def gpu(
    name: Annotated[
        str | None, typer.Argument(help="GPU preset or YAML file; none lists the presets.", autocompletion=complete_gpu)
    ] = None,
    sets: Sets = None,
    expanded: Whole = True,
    form: FormOrYaml = None,
    as_json: Json = False,
) -> None:
    """Print a GPU fully expanded, with the source of every number.

    Example: rowline show gpu h200
    """
    if name is None:
        _list(presets("gpu"), "json" if as_json else form)
        return
    from rowline.arch.loader import load_gpu

    _print_specification(load_gpu, name, ("gpu",), sets, expanded, "json" if as_json else form or "yaml")


def stack(
    name: Annotated[
        str | None, typer.Argument(help="Software stack or YAML file; none lists the presets.", autocompletion=complete_stack)
    ] = None,
    sets: Sets = None,
    expanded: Whole = True,
    form: FormOrYaml = None,
    as_json: Json = False,
) -> None:
    """Print a software stack of a GPU: tile menus, policies and fixed costs, with their sources.

    Example: rowline show stack cublas-hopper
    """
    if name is None:
        _list(presets("stack"), "json" if as_json else form)
        return
    from rowline.arch.loader import load_stack

    _print_specification(load_stack, name, ("stack",), sets, expanded, "json" if as_json else form or "yaml")


def workload(
    name: Annotated[
        str | None, typer.Argument(help="Model or YAML file; none lists the models.", autocompletion=complete_workload)
    ] = None,
    prompt: Annotated[
        int | None, typer.Option("--prompt", help="The pass over a prompt of so many tokens too, and the decode pass after it.")
    ] = None,
    expanded: More = False,
    form: FormOrText = None,
    as_json: Annotated[bool, typer.Option("--json", help="As --expanded -f json.")] = False,
) -> None:
    """Print a model: its shape, and what a decode pass computes and moves; --expanded: operation by operation.

    Example: rowline show workload gpt3-xl

    Example: rowline show workload gpt2-small --prompt 128 --expanded
    """
    from rowline.workloads.models.registry import list_models

    if name is None:
        _list(list_models(), "json" if as_json else form)
        return
    from rowline import showing, terminal_show

    data = showing.workload(name, prompt, expanded or as_json)
    _print(data, "json" if as_json else form, terminal_show.print_workload)


def mapping(
    config: Config = None,
    arch: Arch = None,
    workload: Workload = None,
    prompt: Prompt = None,
    tokens: Tokens = None,
    sets: Sets = None,
    lm_head: LmHead = None,
    expanded: More = False,
    form: FormOrText = None,
    as_json: Annotated[bool, typer.Option("--json", help="As --expanded -f json.")] = False,
) -> None:
    """Print where every tensor lives in a system with PIM: rows of each bank; --expanded: bank by bank.

    Example: rowline show mapping --arch aim --workload gpt2-small

    Example: rowline show mapping --arch pim-gpt --workload gpt3-xl --tokens 1024 -f json
    """
    from rowline import experiment as ex
    from rowline import showing, terminal, terminal_show

    request = ex.load_config(config, changes_of(arch, workload, prompt, tokens, sets, lm_head))
    placed = ex.map_workload(request, *ex.load(request))
    if form is None and not as_json and not expanded:
        terminal.print_mapping(placed, False)
        return
    _print(showing.mapping(placed, expanded or as_json), "json" if as_json else form, terminal_show.print_placements)


def study(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="Folder of a study, or its URL; none lists those in out.",
                       autocompletion=complete_study),
    ] = None,
    expanded: More = False,
    form: FormOrText = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Print what a study is of, how its trials ended and which are the best; --expanded: every trial and its configuration.

    Example: rowline show study out/pim_banks

    Example: rowline show study out/pim_banks --expanded -f json
    """
    if target is None:
        _list(folders_with("study.db"), "json" if as_json else form, "no studies in out; name the folder of one")
        return
    from rowline import showing, terminal_show

    found, shape = showing.study(target), "json" if as_json else form
    if not expanded or shape is None:
        _print(found, shape, terminal_show.print_study)
    if expanded:
        trials = showing.trials_of(target)
        terminal_show.print_trials(trials) if shape is None else _print_with(found, "trials", trials, shape)


def run(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Run folder; none lists those in out.", autocompletion=complete_run),
    ] = None,
    expanded: Annotated[bool, typer.Option("--expanded", help="Print the configuration too, with every source.")] = False,
    form: FormOrText = None,
    as_json: Json = False,
) -> None:
    """Print what a run found: times, energy, and where both went; --expanded: also what it ran on.

    Example: rowline show run out/base

    Example: rowline show run out/base --expanded -f yaml
    """
    if target is None:
        _list(folders_with("stats.json"), "json" if as_json else form, "no runs in out; name the folder of one")
        return
    from rowline import showing, terminal_show

    _print(showing.run(target, expanded), "json" if as_json else form, terminal_show.print_run)


def _list(names: Sequence[str], form: str | None, none: str = "") -> None:
    """One name a line; where there are none, ``none`` on stderr. With a format: as plain data, under ``names``."""
    if form is not None:
        _print({"names": list(names)}, form, lambda data: None)
        return
    for name in names:
        print(name)
    if not names and none:
        print(none, file=sys.stderr)


def _print_specification(
    load: Callable[..., Any], name: str, folders: tuple[str, ...], sets: list[str] | None, expanded: bool, form: str
) -> None:
    """A specification expanded, or the file that it comes from.

    Raises:
        ConfigError: it is wrong, or the file cannot be printed so.
    """
    from rowline.arch.yamltree import ConfigError

    if not expanded and (sets or form == "json"):
        raise ConfigError([f"--as-written: prints the file itself; not with {'--set' if sets else '-f json'}"])
    specification = load(name, sets or [])
    if not expanded:
        from rowline.showing import as_written

        print(as_written(name, folders), end="")
    elif form == "json":
        print(json.dumps(specification.model_dump(mode="json"), indent=1))
    else:
        from rowline.rundir import to_yaml

        print(to_yaml(specification.model_dump(mode="json")), end="")


def _print(data: dict[str, Any], form: str | None, print_text: Callable[[dict[str, Any]], None]) -> None:
    """Plain data as YAML, as one JSON object, or as text for people."""
    if form is None:
        from rowline.terminal_show import clean

        print_text(clean(data))
    elif form == "json":
        print(json.dumps(data))
    else:
        from rowline.rundir import to_yaml

        print(to_yaml(data), end="")


def _print_with(data: dict[str, Any], key: str, items: Iterable[dict[str, Any]], form: str) -> None:
    """``data`` with one more key, a list that may be too long to hold: it is printed as it comes."""
    from rowline.rundir import to_yaml

    if form == "json":
        print(f'{json.dumps(data)[:-1]}, "{key}": [', end="")
        for number, item in enumerate(items):
            print(f"{', ' if number else ''}{json.dumps(item)}", end="")
        print("]}")
        return
    print(to_yaml(data), end="")
    number = 0
    for number, item in enumerate(items, 1):
        print(f"{f'{key}:' if number == 1 else ''}{chr(10) if number == 1 else ''}{to_yaml([item])}", end="")
    if not number:
        print(f"{key}: []")


show_app = typer.Typer(
    no_args_is_help=True, help="Print presets, models, mappings, runs and studies.", epilog="Example: rowline show arch"
)
for _verb in (arch, dram, gpu, stack, workload, mapping, study, run):
    add_verb(show_app, _verb)
