"""SPACE.yaml -> a checked :class:`Space`. Nothing heavy is imported, and every problem names file, line and key."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rowline.arch.loader import build, expand, nearest
from rowline.arch.units import UnitError
from rowline.arch.yamltree import ConfigError, Node, printable, read_yaml
from rowline.experiment import RunConfig
from rowline.gpu_run import STACK
from rowline.sweeps.grammar import Expression, ExpressionError, parse
from rowline.sweeps.keys import RUN_KEYS, Hardware, KeyProblem, run_value, spelled_run_value
from rowline.sweeps.model import NAMED, AxisValues, Fixed, Goal, Space
from rowline.sweeps.quantities import NUMBER, Type, describe, quantity, typed
from rowline.sweeps.schema import Axis, Method, Objective, SpaceFile
from rowline.sweeps.statkeys import keys_of
from rowline.sweeps.steps import Steps, StepsProblem, log_steps, range_steps

_UNITS_OF_STATS = {"tokens_per_s": NUMBER} | {
    end: quantity(f"1 {unit}")[1]
    for end, unit in {"_bytes_per_s": "B/s", "_bytes": "B", "_s": "s", "_j": "J", "_w": "W", "_m2": "mm2"}.items()
}
"""What a key of the stats is measured in, by how it ends; the first that fits."""


def load_space(path: Path, changes: Mapping[str, Any] | None = None) -> Space:
    """Read and check a space; ``changes`` go over the keys of ``method``.

    Raises:
        ConfigError: anything is wrong; the problems name file, line and key.
    """
    root = expand(read_yaml(path))
    file = build(SpaceFile, root)
    method = file.method.model_copy(update={k: v for k, v in (changes or {}).items() if v is not None})
    return _Checker(path, root, file).space(method)


def place_of(root: Node, path: Sequence[str | int]) -> str:
    """``file:line  dotted.key`` of what stands at a path, as far as the path exists."""
    node, place, found = root, root.place, list[str]()
    for part in path:
        if isinstance(node.value, dict) and part in node.value:
            place, node = node.key_places.get(str(part), place), node.value[str(part)]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            break
        place = node.place if isinstance(part, int) and node.place.line else place
        found.append(str(part))
    return f"{place}  {printable('.'.join(found), 200)}" if found else str(place)


class _Checker:
    """Checks one file; collects problems."""

    def __init__(self, path: Path, root: Node, file: SpaceFile):
        self.path, self.root, self.file, self.problems = path, root, file, list[str]()

    def _problem(self, where: Sequence[str | int], message: str) -> None:
        self.problems.append(f"{place_of(self.root, where)}: {message}")

    def _stop_at_problems(self) -> None:
        if self.problems:
            raise ConfigError(list(dict.fromkeys(self.problems)))

    def space(self, method: Method) -> Space:
        base = self._base()
        self.fixed = Fixed(base, self._archs(base))
        axes = self._axes()
        self._stop_at_problems()
        self.types: dict[str, Type] = {a.key: typed(a.texts[0])[1] for a in axes}
        axes = [self._with_condition(i, axis, axes) for i, axis in enumerate(axes)]
        constraints = [self._constraint(i, text) for i, text in enumerate(self.file.constraints)]
        goals = [self._goal(i, objective, axes) for i, objective in enumerate(self.file.objectives)]
        if twice := [g.name for i, g in enumerate(goals) if g.name in [h.name for h in goals[:i]]]:
            self._problem(["objectives"], f"{twice[0]} stands there twice")
        self._stop_at_problems()
        name = self.file.name or Path(self.path).stem
        whole = [c for c in constraints if c is not None]
        return Space(name, str(self.path), base, tuple(axes), tuple(whole), tuple(goals), method, self.fixed, self._places())

    def _places(self) -> dict[str, str]:
        """Where conditions stand."""
        found = {f"constraints.{i}": place_of(self.root, ["constraints", i]) for i in range(len(self.file.constraints))}
        return found | {f"when of {a.key}": place_of(self.root, ["axes", i, "when"]) for i, a in enumerate(self.file.axes)}

    def _base(self) -> RunConfig:
        """The base run, whose overrides are tried on its hardware, so that errors name the line."""
        base, lines = self.file.base.run(), list[str]()
        try:
            Hardware(base.arch, tuple(base.overrides.items())).load()
            for key, value in base.overrides.items():
                if key.startswith(STACK):
                    Hardware(base.arch, (), base.gpu.stack if base.gpu else None).spelled(key, value)
            for key in ("workload", "stack"):
                if (text := run_value(base, key)) is not None:
                    spelled_run_value(key, text)
        except KeyProblem as problem:
            lines = [str(problem)]
        except ConfigError as error:
            lines = error.problems
        overrides = self.root.value.get("base") if isinstance(self.root.value, dict) else None
        for line in lines:
            where: list[str | int] = ["base"]
            for key, value in base.overrides.items():
                if line.startswith(told := f"--set {printable(f'{key}={value}')}"):
                    where, line = [*where, "overrides", key], line.removeprefix(told).lstrip(": ")
            if len(where) == 1 and overrides is not None:
                where.append("workload" if "workload" in line else "stack" if "stack" in line else "arch")
            self._problem(where, line)
        self._stop_at_problems()
        return base

    def _archs(self, base: RunConfig) -> list[str]:
        for i, axis in enumerate(self.file.axes):
            if axis.key == "arch":
                names = axis.values or ()
                for j, name in enumerate(names):
                    self._spelled(lambda name=name: spelled_run_value("arch", name), ["axes", i, "values", j])
                self._stop_at_problems()
                return list(dict.fromkeys([*names, base.arch] if axis.when else names))
        return [base.arch]

    def _spelled(self, spell: Callable[[], str], where: Sequence[str | int]) -> str:
        """What ``spell`` returns; its refusal is a problem at ``where``."""
        try:
            return spell()
        except KeyProblem as problem:
            self._problem(where, str(problem))
            return ""

    def _axes(self) -> list[AxisValues]:
        axes: list[AxisValues] = []
        for i, axis in enumerate(self.file.axes):
            if axis.key in [a.key for a in axes]:
                self._problem(["axes", i, "key"], f"{axis.key} is an axis already")
                continue
            if axis.key not in RUN_KEYS:
                try:
                    self.fixed.first_fitting(lambda hardware, key=axis.key: hardware.type_of(key))
                except KeyProblem as problem:
                    hint = nearest(axis.key, RUN_KEYS) if "did you mean" not in str(problem) else ""
                    self._problem(["axes", i, "key"], f"{problem}{hint}")
                    continue
            texts = self._texts(i, axis)
            if texts:
                axes.append(AxisValues(axis.key, texts, None, not isinstance(typed(texts[0])[1], str)))
        return axes

    def _spell(self, key: str) -> Callable[[str], str]:
        if key in RUN_KEYS:
            return lambda text: spelled_run_value(key, text)
        return lambda text: self.fixed.first_fitting(lambda hardware: hardware.spelled(key, text))

    def _texts(self, i: int, axis: Axis) -> Sequence[str]:
        """The values of an axis, spelled; nothing if there was a problem."""
        spell, before = self._spell(axis.key), len(self.problems)
        if axis.values is not None:
            texts = [self._spelled(lambda t=t: spell(t), ["axes", i, "values", j]) for j, t in enumerate(axis.values)]
            if len(self.problems) == before and len(set(texts)) < len(texts):
                j = next(j for j, t in enumerate(texts) if t in texts[:j])
                self._problem(["axes", i, "values", j], f"{texts[j]} stands there twice")
            return texts if len(self.problems) == before else ()
        steps = axis.range or axis.log
        assert steps is not None
        where: list[str | int] = ["axes", i, "range" if axis.range else "log"]
        try:
            if axis.range:
                made = range_steps(axis.range.begin, axis.range.to, axis.range.step, spell)
            else:
                assert axis.log is not None
                made = log_steps(axis.log.begin, axis.log.to, axis.log.count, spell)
        except StepsProblem as problem:
            self._problem([*where, problem.key], str(problem))
            return ()
        ends = {"from": 0, "to": len(made) - 1} | ({"step": 1} if axis.range and len(made) > 1 else {})
        for name, at in ends.items() if isinstance(made, Steps) else ():
            self._spelled(lambda at=at: made[at], [*where, name])
        return made if len(self.problems) == before else ()

    def _with_condition(self, i: int, axis: AxisValues, axes: list[AxisValues]) -> AxisValues:
        text = self.file.axes[i].when
        if text is None:
            return axis
        when = self._expression(text, ["axes", i, "when"], axes[i:])
        return AxisValues(axis.key, axis.texts, when, axis.ordered)

    def _constraint(self, i: int, text: str) -> Expression | None:
        return self._expression(text, ["constraints", i], [])

    def _expression(self, text: str, where: Sequence[str | int], later: Sequence[AxisValues]) -> Expression | None:
        """A condition over keys of the space. ``later``: axes that have no value yet."""
        try:
            expression = parse(text)
            for name, column in expression.names.items():
                if name in [a.key for a in later]:
                    raise ExpressionError(column, f"{name} is this axis, or one further down")
            found = expression.type_of({n: self._type(n, c) for n, c in expression.names.items()})
            if found != "truth":
                raise ExpressionError(1, f"needs a condition, got {describe(found)}")
            return expression
        except ExpressionError as error:
            self._problem(where, f'{error} in "{printable(text)}"')
            return None

    def _type(self, name: str, column: int) -> Type:
        try:
            found = self.types.get(name) or self.fixed.type_of(name)
        except KeyProblem as problem:
            raise ExpressionError(column, str(problem)) from None
        if found is None:
            raise ExpressionError(column, f"{name} has no value to compute with")
        return found

    def _goal(self, i: int, objective: Objective, axes: Sequence[AxisValues]) -> Goal:
        where, expression, kind = ["objectives", i], None, NUMBER
        stat = NAMED.get(objective.key, objective.key)
        if objective.expr is not None:
            expression, kind = self._computed(objective.expr, [*where, "expr"])
        elif objective.key == "edp":
            kind = quantity("1 J")[1], quantity("1 s")[1]
            kind = tuple(a + b for a, b in zip(*kind, strict=True))
        else:
            kind = next((kind for end, kind in _UNITS_OF_STATS.items() if stat.endswith(end)), NUMBER)
            self._check_stat(stat, [*where, "key"])
            if objective.key == "cost":
                self._problem([*where, "key"], "no specification has a cost; say how it is computed in expr")
            passes = "generated_tokens" in [a.key for a in axes] or self.fixed.base.generated_tokens > 1
            if objective.key == "tpot" and not passes:
                self._problem([*where, "key"], "tpot: needs decode passes; base.generated_tokens is 1")
        limit = self._limit(objective.limit, kind, [*where, "limit"]) if objective.limit is not None else None
        place = place_of(self.root, [*where, "key"])
        return Goal(objective.key, stat, expression, objective.direction == "max", limit, place)

    def _check_stat(self, stat: str, where: Sequence[str | int]) -> None:
        """An objective that no run of the space can have is told now."""
        known = frozenset[str]().union(*(keys_of(arch) for arch in self.fixed.archs))
        if stat.partition(".")[0] not in known | {"cost"}:
            self._problem(where, f'no result of a run is called "{printable(stat, 100)}"{nearest(stat, [*NAMED, "edp", *known])}')

    def _computed(self, text: str, where: Sequence[str | int]) -> tuple[Expression | None, Type]:
        """An objective's expression: names that are no keys of the space or hardware are plain numbers of the stats."""
        try:
            expression = parse(text)
            types = dict[str, Type]()
            for name, column in expression.names.items():
                try:
                    types[name] = self._type(name, column)
                except ExpressionError:
                    types[name] = NUMBER
            found = expression.type_of(types)
            if isinstance(found, str):
                raise ExpressionError(1, f"needs a number, got {describe(found)}")
            return expression, found
        except ExpressionError as error:
            self._problem(where, f'{error} in "{printable(text)}"')
            return None, NUMBER

    def _limit(self, text: str, kind: Type, where: Sequence[str | int]) -> float | None:
        try:
            value, found, _ = quantity(text)
            if found not in (kind, NUMBER):
                raise UnitError(f"{describe(found)}, but the objective is {describe(kind)}")
            return float(value)
        except UnitError as error:
            self._problem(where, str(error))
        except OverflowError:
            self._problem(where, "too large")
        return None
