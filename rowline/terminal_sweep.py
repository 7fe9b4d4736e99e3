"""What people see of a sweep: progress, a ranked table, and the Pareto front as a plot of characters."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rowline.arch.yamltree import printable
from rowline.sweeps.driver import Outcome, Trial
from rowline.sweeps.front import ranked
from rowline.sweeps.model import Goal
from rowline.terminal import plain_console, si

ROWS = 15
_LINE_S = 10.0
_UNITS = {"_bytes_per_s": "B/s", "_bytes": "B", "_s": "s", "_j": "J", "_w": "W"}


def shown(goal: Goal, value: float) -> str:
    """An objective's value with its unit."""
    if goal.expr is None:
        unit = "J s" if goal.name == "edp" else next((u for end, u in _UNITS.items() if goal.stat.endswith(end)), "")
        if unit and unit != "J s":
            return si(value, unit)
        if goal.stat.endswith("_m2"):
            return f"{value * 1e6:.4g} mm2"
    return f"{value:.5g}"


def duration(seconds: float) -> str:
    """``3725`` -> ``1 h 02 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress(silent: bool) -> Iterator[Callable[[Outcome], None]]:
    """Progress on stderr: live on a terminal, else a line now and then."""
    if silent:
        yield lambda outcome: None
        return
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        with Live(console=console, transient=True, refresh_per_second=4) as live:
            yield lambda outcome: live.update(Text("\n".join(status(outcome))))
        return
    last = monotonic()

    def now_and_then(outcome: Outcome) -> None:
        nonlocal last
        if monotonic() - last > _LINE_S:
            last = monotonic()
            print("  ".join(status(outcome)), file=sys.stderr, flush=True)

    yield now_and_then


def status(outcome: Outcome) -> list[str]:
    """A sweep under way in two lines or three."""
    left = f"   {duration(outcome.eta_s)} left" if outcome.eta_s is not None else ""
    counts = f"{outcome.cached} from the store, {outcome.failed} failed"
    lines = [f"{len(outcome.trials)} of {outcome.planned} trials ({counts})   {duration(outcome.wall_s)} so far{left}"]
    for goal, trial in zip(outcome.space.goals, outcome.best(), strict=False):
        lines.append(f"best {printable(goal.name)} {shown(goal, trial.objectives[goal.name])}: {_point(trial)}")
    if len(outcome.space.goals) > 1 and outcome.vectors:
        lines.append(f"{len(outcome.front.members)} on the Pareto front")
    return lines


def _point(trial: Trial) -> str:
    return printable("  ".join(f"{_short(key)} {value}" for key, value in trial.params.items()), 100)


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def print_outcome(outcome: Outcome, folder: Path) -> None:
    """Counts, the ranked table, the front as a plot, what failed and why, and the next commands to try."""
    console, goals = plain_console(), outcome.space.goals
    infeasible = [t for t in outcome.trials if t.state == "infeasible"]
    console.print(
        f"{printable(outcome.space.name)}: {len(outcome.trials)} trials ({outcome.run_here} run, {outcome.cached} from "
        f"the store, {len(infeasible)} infeasible, {outcome.failed} failed) in {duration(outcome.wall_s)}"
    )
    if outcome.vectors:
        console.print(_table(outcome))
        if len(outcome.vectors) > ROWS:
            console.print(f"... and {len(outcome.vectors) - ROWS} more")
    if len(goals) > 1 and len(outcome.vectors) > 1:
        console.print(Text("\n".join(scatter(outcome))))
    for title, states in (("infeasible", "infeasible"), ("failed", "failed")):
        reasons: dict[str, int] = {}
        for trial in outcome.trials:
            if trial.state == states:
                reasons[trial.reason or ""] = reasons.get(trial.reason or "", 0) + 1
        for reason, count in sorted(reasons.items(), key=lambda kv: -kv[1])[:5]:
            console.print(f"{title}, {count}: {printable(reason, 200)}", soft_wrap=True)
    console.print(f"wrote {folder}   next: rowline report {folder}", soft_wrap=True)


def _table(outcome: Outcome) -> Table:
    goals, by_id = outcome.space.goals, {t.id: t for t in outcome.trials}
    keys = [axis.key for axis in outcome.space.axes]
    short = [_short(key) for key in keys]
    names = [key if short.count(s) > 1 else s for key, s in zip(keys, short, strict=True)]
    table = Table("", "trial", *names, box=None, pad_edge=False, header_style="bold")
    for goal in goals:
        table.add_column(goal.name, justify="right")
    for rank, key in enumerate(ranked(outcome.vectors, outcome.front.members)[:ROWS], 1):
        trial = by_id[key]
        mark = "*" if len(goals) > 1 and key in outcome.front.members else " "
        values = [printable(str(trial.params.get(k, "-"))) for k in keys]
        worth = [shown(g, trial.objectives[g.name]) for g in goals]
        table.add_row(f"{rank}{mark}", str(trial.number), *values, *worth)
    return table


def scatter(outcome: Outcome, width: int = 64, height: int = 16) -> list[str]:
    """The first two objectives of all complete trials: ``*`` on the Pareto front, ``.`` behind it, ``o`` several in a cell."""
    x, y = outcome.space.goals[:2]
    trials = [t for t in outcome.trials if t.id in outcome.vectors]
    across = _places([t.objectives[x.name] for t in trials], width)
    up = _places([t.objectives[y.name] for t in trials], height)
    cells: dict[tuple[int, int], str] = {}
    for trial, cell in sorted(zip(trials, zip(across, up, strict=True), strict=True), key=lambda pair: pair[0].number):
        if trial.id in outcome.front.members:
            cells[cell] = "*"
        elif cells.get(cell) != "*":
            cells[cell] = "o" if cell in cells else "."
    ys, xs = [t.objectives[y.name] for t in trials], [t.objectives[x.name] for t in trials]
    high, low = shown(y, max(ys)), shown(y, min(ys))
    margin = max(len(high), len(low)) + 1
    lines = [f"{'':{margin}}{printable(y.name)} ({_wanted(y)})"]
    for row in reversed(range(height)):
        label = high if row == height - 1 else low if row == 0 else ""
        lines.append(f"{label:>{margin}}|" + "".join(cells.get((c, row), " ") for c in range(width)).rstrip())
    lines.append(f"{'':{margin}}+{'-' * width}")
    left, right = shown(x, min(xs)), f"{shown(x, max(xs))}   {printable(x.name)} ({_wanted(x)})"
    lines.append(f"{'':{margin}} {left}{right:>{max(width - len(left), len(right) + 1)}}")
    return [*lines, f"{'':{margin}} * on the Pareto front ({len(outcome.front.members)} of {len(trials)})"]


def _wanted(goal: Goal) -> str:
    return "more is better" if goal.maximize else "less is better"


def _places(values: Sequence[float], cells: int) -> list[int]:
    """Cell of each value between the least and the greatest."""
    low, high = min(values), max(values)
    if high <= low:
        return [cells // 2] * len(values)
    return [min(int((v - low) / (high - low) * cells), cells - 1) for v in values]


def print_dry_run(answer: dict[str, Any]) -> None:
    """What a sweep would take."""
    console = plain_console()
    axes = "   ".join(f"{printable(key)} {size}" for key, size in answer["axes"].items())
    console.print(f"axes: {axes}", soft_wrap=True)
    bound = "" if answer["points_exact"] else "at most "
    console.print(f"{bound}{answer['points']} points of a full grid of {answer['full_grid']}; "
                  f"{answer['method']['name']}: {answer['trials']} trials with {answer['jobs']} workers")  # fmt: skip
    if answer.get("probe_s"):
        probe = answer["probe_s"]
        console.print(
            f"probe: {probe['first']:.2f} s the first, {probe['warm']:.3f} s warm; about {duration(answer['estimate_s'])}, "
            f"and {si(answer['store_bytes'], 'B')} of store"
        )
    elif "probe_failed" in answer:
        console.print(f"probe: no point of those tried runs: {printable(answer['probe_failed'], 300)}", soft_wrap=True)
