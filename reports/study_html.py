"""A study as a page, as Markdown, or as CSV."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from . import figures_study, page
from .ranking import Influence, Objective, Trial, front, influences, varied
from .tables import Cell, Column, Table, flat, md_text, to_csv, to_markdown

MAX_ROWS, MAX_CELLS = 1500, 24_000
"""Of the table of trials on the page; the CSV has all."""
TAKEN_APART = 12
"""Trials of the front whose time and energy are shown part by part."""
BREAKDOWNS = (
    ("latency_breakdown_s", "time-class", "time by operation", "ms", 1e3),
    ("latency_by_term_s", "time-term", "time by cause", "ms", 1e3),
    ("energy_breakdown_j", "energy-part", "energy by component", "mJ", 1e3),
    ("commands", "commands", "commands", "commands", 1.0),
)


@dataclass(frozen=True)
class StudyReport:
    """A study as it is reported.

    Attributes:
        name: what the page calls it, such as its folder.
        space: what was asked for, as plain data (base, axes, constraints, method, ...); empty where that is not known.
        objectives: what was wanted; at least one.
        trials: all that finished, by number.
        stats: results of trials, by id; those of the front, the first TAKEN_APART of them.
        command: what reproduces the study.
        commands: for trials, by id, the run that is the trial.
    """

    name: str
    space: Mapping[str, Any]
    objectives: Sequence[Objective]
    trials: Sequence[Trial]
    stats: Mapping[str, Mapping[str, Any]]
    command: str
    commands: Mapping[str, str]

    @cached_property
    def front(self) -> list[Trial]:
        """Trials that no other beats."""
        return front(self.trials, self.objectives)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Trials by state."""
        return dict(Counter(trial.state for trial in self.trials))

    @cached_property
    def influences(self) -> list[Influence]:
        """What the parameters explain."""
        return influences(self.trials, self.objectives)


def render(report: StudyReport) -> str:
    """The page as text."""
    drawn = figures_study.drawn(report.trials, report.front)
    plots: list[figures_study.Plot] = []
    pairs: list[str] = []
    if drawn and len(report.objectives) == 1:
        plots.append(figures_study.history("pair-0", drawn, report.objectives[0]))
    elif drawn:
        for number, (x, y) in enumerate(list(combinations(report.objectives, 2))[:6]):
            plots.append(figures_study.pareto(f"pair-{number}", drawn, report.front, x, y))
    pairs = [plot["id"] for plot in plots]
    if drawn:
        plots.append(figures_study.parallel(drawn, report.front, report.objectives))
    if report.influences:
        plots.append(figures_study.importance(report.influences, report.objectives))
    apart = parts_of(report)
    plots += [figures_study.stacked(identity, parts, unit) for identity, _, unit, parts in apart]
    trials = trial_table(report)
    most = max(50, min(MAX_ROWS, MAX_CELLS // len(trials.columns)))
    return page.render(
        "study.html.j2", plots, tables=True, report=report, cards=cards(report), pairs=pairs, drawn=len(drawn), apart=apart,
        trials=trials.first(most), rows=len(trials.rows), best=best_table(report), influence=influence_table(report),
        failures=failures(report), space=space_table(report.space), provenance=provenance_table(report),
    )  # fmt: skip


def markdown(report: StudyReport) -> str:
    """Summary, front, importance, failures, space, provenance and the command, as Markdown."""
    parts = [
        f"# Study {md_text(report.name)}\n",
        "".join(f"- {name}: {md_text(value)}\n" for name, value in cards(report)),
        f"Reproduce:\n\n    {' '.join(report.command.split())}\n",
        "## Pareto front\n" if len(report.objectives) > 1 else "## Best\n", to_markdown(best_table(report)),
    ]  # fmt: skip
    if report.influences:
        parts += ["## What the parameters explain\n", to_markdown(influence_table(report))]
    if failures(report).rows:
        parts += ["## Trials without a result\n", to_markdown(failures(report))]
    parts += ["## Space\n", to_markdown(space_table(report.space))]
    if provenance_table(report).rows:
        parts += ["## Provenance\n", to_markdown(provenance_table(report))]
    return "\n".join(parts)


def csv(report: StudyReport) -> str:
    """All trials as CSV."""
    return to_csv(trial_table(report))


def cards(report: StudyReport) -> list[tuple[str, str]]:
    """The figures to read first."""
    found = [("trials", page.short(len(report.trials))), *((state, page.short(n)) for state, n in sorted(report.counts.items()))]
    if len(report.objectives) > 1:
        found.append(("on the Pareto front", page.short(len(report.front))))
    done = [t for t in report.trials if t.state == "complete"]
    for objective in report.objectives:
        values = [t.objectives[objective.name] for t in done if objective.name in t.objectives]
        if values:
            best = min(values) if objective.minimise else max(values)
            found.append((f"{'least' if objective.minimise else 'most'} {objective.name}", objective.shown(best)))
    wall = sum(t.wall_s for t in report.trials)
    return [*found, ("time of all trials here", f"{wall:.1f} s" if wall < 600 else f"{wall / 60:.1f} min")]


def _titles(report: StudyReport) -> list[str]:
    """Parameters, those that vary first."""
    names = dict.fromkeys([*varied(report.trials), *(name for t in report.trials for name in t.params)])
    return list(names)


def trial_table(report: StudyReport) -> Table:
    """All trials: the front, then the complete ones by the first objective, then the others."""
    names = _titles(report)
    place = {trial.id: index for index, trial in enumerate(report.front)}
    first = report.objectives[0]
    sign = 1.0 if first.minimise else -1.0

    def order(trial: Trial) -> tuple[int, float, int]:
        if trial.id in place:
            return 0, float(place[trial.id]), trial.number
        if trial.state == "complete":
            return 1, sign * trial.objectives.get(first.name, 0.0), trial.number
        return 2, 0.0, trial.number

    ordered = sorted(report.trials, key=order)
    columns = (
        Column("trial"), Column("id", text=True), Column("state", text=True), *(Column(o.title) for o in report.objectives),
        *(Column(name, text=True) for name in names), Column("s here"), Column("reason", text=True, wrap=True),
    )  # fmt: skip
    rows = [
        (t.number, t.id[:12], "front" if t.id in place else t.state, *(t.objectives.get(o.name) for o in report.objectives),
         *(cell(t.params.get(name)) for name in names), t.wall_s, t.reason)
        for t in ordered
    ]  # fmt: skip
    return Table(columns, rows, frozenset(range(len(place))))


def cell(value: Any) -> Cell:
    """A parameter's value as a cell."""
    return value if value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool)) else str(value)


def best_table(report: StudyReport) -> Table:
    """The front, with the command that runs each."""
    names = varied(report.trials)
    columns = (
        Column("trial"), *(Column(o.title) for o in report.objectives), *(Column(name, text=True) for name in names),
        Column("run", text=True, wrap=True),
    )  # fmt: skip
    rows = [
        (t.number, *(t.objectives[o.name] for o in report.objectives), *(cell(t.params.get(n)) for n in names),
         report.commands.get(t.id, ""))
        for t in report.front[:100]
    ]  # fmt: skip
    return Table(columns, rows)


def influence_table(report: StudyReport) -> Table:
    """Shares and trends; a share that cannot be told is empty."""
    columns = (Column("parameter", text=True), Column("objective", text=True), Column("% of variance"),
               Column("rank correlation"))  # fmt: skip
    rows = [(i.parameter, i.objective, None if i.share is None else 100 * i.share, i.trend) for i in report.influences]
    return Table(columns, rows)


def failures(report: StudyReport) -> Table:
    """Reasons of trials that have no result, the most frequent first."""
    reasons = Counter((t.state, t.reason or "no reason given") for t in report.trials if t.state != "complete")
    rows = [(state, reason, count) for (state, reason), count in reasons.most_common(100)]
    return Table((Column("state", text=True), Column("reason", text=True, wrap=True), Column("trials")), rows)


def space_table(space: Mapping[str, Any]) -> Table:
    """What was asked for, a row a key; lists of plain values in one row."""
    rows: list[tuple[Cell, ...]] = []
    for key, value in _unlisted({key: value for key, value in space.items() if key != "provenance"}, ""):
        rows.append((key, value))
    return Table((Column("key", text=True), Column("value", text=True, wrap=True)), rows)


def _unlisted(data: Any, path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in flat(data, path):
        if isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value):
            for number, each in enumerate(value):
                found += _unlisted(each, f"{key}[{number}]")
        elif value not in (None, [], {}):
            found.append((key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found


def provenance_table(report: StudyReport) -> Table:
    """Code, machine and libraries: of the study, and each value that the trials taken apart have."""
    seen: dict[str, list[str]] = {}
    for found in (report.space.get("provenance"), *(stats.get("provenance") for stats in report.stats.values())):
        for key, value in flat(dict(found) if isinstance(found, Mapping) else {}):
            seen.setdefault(key, [])
            if str(value) not in seen[key]:
                seen[key].append(str(value))
    columns = (Column("what", text=True), Column("value", text=True, wrap=True))
    return Table(columns, [(key, ", ".join(values)) for key, values in seen.items()])


def parts_of(report: StudyReport) -> list[tuple[str, str, str, dict[str, dict[str, float]]]]:
    """Breakdowns of the front's first trials, where their results have them: id of the plot, title, unit, parts by trial."""
    found: list[tuple[str, str, str, dict[str, dict[str, float]]]] = []
    for key, identity, title, unit, factor in BREAKDOWNS:
        parts: dict[str, dict[str, float]] = {}
        for trial in report.front[:TAKEN_APART]:
            each = report.stats.get(trial.id, {}).get(key)
            if isinstance(each, dict):
                numbers = {str(k): v * factor for k, v in each.items() if isinstance(v, (int, float)) and v >= 0}
                parts[f"#{trial.number}"] = numbers
        if any(parts.values()):
            found.append((identity, title, unit, parts))
    return found
