"""The reference says what the command line is, and each verb's help ends with an example that can be typed."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rowline.cli import app
from rowline.cli_reference import reference, verbs
from typer.main import get_command

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli-reference.md"


def commands(of: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and commands as they are run, groups included."""
    for name, command in of.commands.items():
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")


ROOT: Any = get_command(app)
COMMANDS = dict(commands(ROOT))
LEAVES = {name: command for name, command in COMMANDS.items() if not hasattr(command, "commands")}


def examples(command: Any) -> list[str]:
    lines = [line.strip() for line in (command.epilog or "").split("\n\n")]
    assert lines and all(line.startswith("Example: rowline ") for line in lines), command.name
    return [line.removeprefix("Example: ") for line in lines]


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "renew it: python -m rowline.cli_reference > docs/cli-reference.md"


@pytest.mark.parametrize("columns", ["40", "400"])
def test_the_page_does_not_depend_on_the_terminal(columns: str) -> None:
    env = os.environ | {"COLUMNS": columns, "TERMINAL_WIDTH": columns, "FORCE_COLOR": "1"}
    run = subprocess.run([sys.executable, "-m", "rowline.cli_reference"], env=env, capture_output=True, timeout=60, check=True)
    assert run.stdout == PAGE.read_bytes()


def test_the_reference_knows_every_verb_and_option() -> None:
    told = {verb.name: verb for verb in verbs()}
    assert told.keys() == LEAVES.keys()
    for name, command in LEAVES.items():
        real = {word for p in command.params if p.param_type_name == "option" for word in (*p.opts, *p.secondary_opts)}
        assert {word for p in told[name].parameters if p.is_option for word in p.names} == real - {"--help"}, name
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        assert len(arguments) == len([p for p in told[name].parameters if not p.is_option])
        assert all(p.text for p in told[name].parameters), f"{name}: an option without help"
        for each in command.params:
            own = [p for p in told[name].parameters if p.is_option and set(p.names) & set(each.opts)]
            assert all(p.required == each.required for p in own), each.opts


def test_every_help_has_text_and_ends_with_an_example() -> None:
    for name, command in [("", ROOT), *COMMANDS.items()]:
        assert command.help, name
        assert examples(command)


@pytest.mark.parametrize("name", LEAVES)
def test_examples_can_be_typed(name: str) -> None:
    for example in examples(LEAVES[name]):
        words = shlex.split(example)[1:]
        assert words[: len(name.split())] == name.split(), example
        rest = words[len(name.split()) :]
        context = LEAVES[name].make_context(name, list(rest))
        assert context.params.keys() >= set()
        assert f"{example}\n" in reference()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_as_printed(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    app([*name.split(), "--help"], standalone_mode=False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[-1].startswith("Example: rowline ")
