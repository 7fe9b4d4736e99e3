"""``rowline sweep``: many runs over a space of design points."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rowline.cli_options import complete_study


def complete_words(incomplete: str) -> list[str]:
    """Spaces (YAML files) and folders on the way to them, ``verify``, and studies below ``out``, that begin so."""
    under = Path(incomplete if incomplete.endswith("/") else incomplete.rpartition("/")[0] or ".")
    try:
        found = sorted(p for p in under.iterdir() if p.suffix in (".yaml", ".yml") or p.is_dir())
    except (OSError, ValueError):
        found = []
    studies = complete_study(incomplete)
    names = ["verify", *studies]
    for path in found:
        if str(path).isprintable() and not path.name.startswith(".") and str(path) not in studies:
            names.append(f"{path}/" if path.is_dir() else str(path))
    return [name for name in names if name.startswith(incomplete)]


Words = Annotated[list[str], typer.Argument(metavar="SPACE.yaml | verify STUDY", help="The space; or verify, and a study.",
                                            autocompletion=complete_words)]  # fmt: skip


def sweep(
    words: Words,
    trials: Annotated[int | None, typer.Option("--trials", help="At most so many points.", show_default="of the space")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Worker processes.", show_default="cores")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Of one trial.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Of one worker, as 4 GiB.",
                                               show_default="4/5 of the machine's, shared out")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="There must be a study; try its failed trials again.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Of random choices.", show_default="of the space")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count points and estimate the time from a probe.")] = False,
    storage: Annotated[str | None, typer.Option("--storage", metavar="FOLDER|URL", help="Where the study is kept: a folder, or "
                                                "postgresql://user@host/database#study.", show_default="--out")] = None,
    engine: Annotated[str | None, typer.Option("--engine", metavar="dask://HOST:PORT", help="Run trials on a cluster.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the study.", show_default="out/<name>")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:  # fmt: skip
    """Run a model over a space of design points; points that the study has are not run again.

    Example: rowline sweep examples/pim_banks.yaml --jobs 2 --out out/banks

    Example: rowline sweep verify out/banks
    """
    if words[0] == "verify":
        _verify(words[1:], as_json)
        return
    from rowline.arch.yamltree import ConfigError
    from rowline.sweeps import study
    from rowline.sweeps.options import check_options
    from rowline.sweeps.space import load_space

    if len(words) != 1:
        raise ConfigError([f"expected one SPACE.yaml, got {len(words)} names"])
    check_options(storage, trials=trials, jobs=jobs, timeout=timeout, seed=seed)
    space = load_space(Path(words[0]), {"trials": trials, "seed": seed})
    folder = out or (Path(storage) if storage and "://" not in storage else Path("out") / space.name)
    n_jobs = jobs or study.cores()
    limit = _bytes(memory) if memory else study.default_memory_bytes(n_jobs)
    choices = study.Choices(storage or folder, folder, n_jobs, timeout, limit, engine, resume)
    if dry_run:
        answer = study.dry_run(space, choices)
        if as_json:
            print(json.dumps(answer))
        elif not quiet:
            from rowline import terminal_sweep

            terminal_sweep.print_dry_run(answer)
        return
    _run(space, choices, as_json, quiet)


def _run(space: Any, choices: Any, as_json: bool, quiet: bool) -> None:
    from rowline import terminal_sweep
    from rowline.sweeps import study

    with terminal_sweep.progress(quiet) as on_change:
        outcome = study.run_sweep(space, choices, on_change)
    if as_json:
        print(json.dumps(outcome.as_json()))
        print(f"wrote {choices.folder}", file=sys.stderr)
    elif not quiet:
        terminal_sweep.print_outcome(outcome, choices.folder)
    if outcome.failed:
        raise typer.Exit(4)


def _bytes(text: str) -> int:
    from rowline.arch.units import UnitError, to_base
    from rowline.arch.yamltree import ConfigError, printable

    try:
        size = to_base(text, "size")
    except UnitError as error:
        raise ConfigError([f"--memory {printable(text)}: {error}"]) from None
    if size < 2**26:
        raise ConfigError([f"--memory {printable(text)}: a worker needs 64 MiB at the very least"])
    return size


def _verify(studies: list[str], as_json: bool) -> None:
    from rowline.arch.yamltree import ConfigError, printable
    from rowline.sweeps.store import is_url, verify_study

    if len(studies) != 1:
        raise ConfigError(["sweep verify: expected the folder or URL of one study"])
    problems = verify_study(studies[0] if is_url(studies[0]) else Path(studies[0]))
    if as_json:
        print(json.dumps({"study": studies[0], "sound": not problems, "problems": problems}))
    elif problems:
        print("\n".join(f"rowline: {printable(problem, 2000)}" for problem in problems), file=sys.stderr)
    else:
        print(f"{printable(studies[0], 2000)}: sound")
    if problems:
        raise typer.Exit(3)
