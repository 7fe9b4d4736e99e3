"""The ``rowline`` command. Imports nothing heavy: each verb imports what it needs."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import typer

from rowline import cli_calibrate, cli_measure, cli_memory, cli_report, cli_show, cli_sweep, cli_validate
from rowline.cli_options import (
    Arch,
    Config,
    Json,
    LmHead,
    Prompt,
    Quiet,
    Sets,
    Tokens,
    Workload,
    add_verb,
    changes_of,
    complete_arch,
    complete_stack,
)

Vectors = Annotated[int | None, typer.Option("--vectors-per-row", help="Prompt vectors per open row.", show_default="1")]
Stack = Annotated[str | None, typer.Option("--stack", help="GPU: software stack or YAML file.", show_default="generic",
                                           autocompletion=complete_stack)]  # fmt: skip
Launching = Annotated[Literal["graph", "eager"] | None, typer.Option("--launch", help="GPU: how kernels are launched.",
                                                                    show_default="graph")]  # fmt: skip
Dtype = Annotated[Literal["bf16", "fp16", "fp32"] | None, typer.Option("--dtype", help="GPU: type of all elements.",
                                                                      show_default="bf16, else fp16")]  # fmt: skip


def run(
    config: Config = None,
    arch: Arch = None,
    workload: Workload = None,
    prompt: Prompt = None,
    tokens: Tokens = None,
    sets: Sets = None,
    lm_head: LmHead = None,
    vectors_per_row: Vectors = None,
    stack: Stack = None,
    launch: Launching = None,
    dtype: Dtype = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder.", show_default="out/<time>-<hash>")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a generation.

    Example: rowline run --arch pim-gpt --workload gpt3-xl --prompt 1 --tokens 1024

    Example: rowline run --arch h200 --workload gpt3-xl --tokens 128
    """
    begin = perf_counter()
    from rowline import checking
    from rowline import experiment as ex

    changes = changes_of(arch, workload, prompt, tokens, sets, lm_head, vectors_per_row)
    choices = {k: v for k, v in {"stack": stack, "launch": launch, "dtype": dtype}.items() if v is not None}
    # all that can be refused is refused before anything slow begins
    request = checking.checked_request(config, changes | ({"gpu": choices} if choices else {}))
    from rowline import rundir, terminal

    with rundir.claimed(out or rundir.default_folder(request)) as folder:
        with terminal.progress(quiet or as_json) as on_pass:
            done = ex.run_experiment(request, on_pass)
        stats = done.result.stats | {"wall_s": 0.0, "provenance": rundir.provenance(done)}
        rundir.write_run(folder, done, stats, begin)
    if as_json:
        print(json.dumps(stats))
        print(f"wrote {folder}", file=sys.stderr)
    elif not quiet:
        _print_run(stats, folder, request)


def _print_run(stats: dict[str, Any], folder: Path, request: Any) -> None:
    """The summary of a run, on a GPU or not, and the command that shows more of it."""
    if "gpu" not in stats:
        from rowline import terminal

        terminal.print_run(stats, folder, _same_mapping(request))
        return
    import shlex

    from rowline import terminal_gpu

    terminal_gpu.print_gpu_run(stats, folder, shlex.join(["rowline", "show", "stack", stats["stack"]]))


def _same_mapping(request: Any) -> str:
    """The command that shows the mapping of a run."""
    import shlex

    words = ["rowline", "show", "mapping", "--arch", request.arch, "--workload", request.workload]
    words += ["--prompt", str(request.prompt_tokens), "--tokens", str(request.generated_tokens)]
    words += [word for key, value in request.overrides.items() for word in ("--set", f"{key}={value}")]
    return shlex.join(words + ["--no-lm-head"] * (not request.mapping.lm_head_on_pim))


def stream(
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="Preset of a system, or YAML file.", show_default="aim", autocompletion=complete_arch),
    ] = None,
    sets: Sets = None,
    outputs: Annotated[int, typer.Option(help="Rows of the weight matrix.")] = 16384,
    inputs: Annotated[int, typer.Option(help="Columns of the weight matrix.")] = 4096,
    without: Annotated[str, typer.Option(help="Causes to take out, comma separated (see the table).")] = "",
    as_json: Json = False,
) -> None:
    """Stream one weight matrix through the MAC units and account for the time, cause by cause.

    Example: rowline stream --arch aim --without refresh,mode_switch
    """
    from rowline import streaming, terminal

    causes = [word.strip() for word in without.split(",") if word.strip()]
    answer = streaming.stream_weights(arch or "aim", sets or [], outputs, inputs, causes)
    print(json.dumps(answer)) if as_json else terminal.print_stream(answer)


def version() -> None:
    """Print the version.

    Example: rowline version
    """
    from rowline import __version__

    print(__version__)


app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Simulate DRAM with processing-in-memory and GPU memory hierarchies on transformers traced from PyTorch.",
    epilog="Example: rowline run --arch pim-gpt --workload gpt2-small --tokens 32",
)
for _verb in (
    run, stream, cli_memory.dram, cli_memory.check, cli_sweep.sweep, cli_report.report, cli_report.compare, cli_report.timeline,
    cli_validate.validate, cli_measure.measure, cli_calibrate.calibrate,
):  # fmt: skip
    add_verb(app, _verb)
app.add_typer(cli_show.show_app, name="show")
add_verb(app, version)

_interrupts: list[int] = []


def interrupt(number: int, frame: Any) -> None:
    """Handler of SIGINT: as Python's own, but leaves a trace, since libraries may turn a KeyboardInterrupt into another error."""
    _interrupts.append(number)
    raise KeyboardInterrupt


def _guard(action: Callable[[], None]) -> int:
    """Run the command line; turn what can go wrong into one line a problem and an exit code."""
    try:
        action()
    except KeyboardInterrupt:
        return _fail(["interrupted"], 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail([f"{error.filename or 'system'}: {error.strerror or error}"], 2)
    except Exception as error:
        from rowline.arch.yamltree import ConfigError  # here: it takes time that help and completion do not have

        if isinstance(error, ConfigError):
            return _fail(error.problems, 2)
        if _interrupts:
            return _fail(["interrupted"], 130)
        format_message = getattr(error, "format_message", None)  # typer's own usage errors
        if format_message is not None:
            return _fail([format_message()], 2)
        if isinstance(code := getattr(error, "exit_code", None), int):  # of a study: damaged, no space, locked
            return _fail(str(error).splitlines(), code)
        if type(error).__name__ in ("MappingError", "SimulationError", "FormatError"):
            return _fail(str(error).splitlines(), 2)
        if os.environ.get("ROWLINE_DEBUG"):
            raise
        return _fail([f"internal error: {type(error).__name__}: {error} (ROWLINE_DEBUG=1 shows where)"], 1)
    return 0


def _fail(lines: list[str], code: int) -> int:
    from rowline.arch.yamltree import printable

    for line in filter(None, lines):
        print(f"rowline: {printable(line, 2000)}", file=sys.stderr)
    return code


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 our bug or an illegal log, 2 bad input, 3 a damaged study, 4 failed trials, 5 no space,
    6 a locked study, 130 interrupted."""

    def call() -> None:
        try:
            code = app(standalone_mode=False)
        except SystemExit as end:  # typer makes exit code 1 of a reader that went away
            raise (end.__context__ if isinstance(end.__context__, BrokenPipeError) else end) from None
        if code == 130:  # typer turned a KeyboardInterrupt into this
            raise KeyboardInterrupt
        if code:
            raise SystemExit(code)

    try:
        code = _guard(call)
    except typer.Abort:
        code = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is done is done: unloading is not to be interrupted
    if code == 130:  # everything is cleaned up; unloading the libraries would take another second
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
