"""What a key of a space stands for: a key of the run, or a key of the hardware; its type, its value and its one spelling."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import is_gpu, load_gpu, load_stack, load_system, nearest
from rowline.arch.standards import STANDARDS
from rowline.arch.system import System
from rowline.arch.values import Duration, Sourced
from rowline.arch.yamltree import ConfigError, printable
from rowline.experiment import OF_MODEL, ModelChanges, RunConfig, load_model
from rowline.gpu_run import STACK

RUN_KEYS: dict[str, tuple[str, ...]] = {
    "arch": ("arch",),
    "workload": ("workload",),
    "prompt_tokens": ("prompt_tokens",),
    "generated_tokens": ("generated_tokens",),
    "mapping.lm_head_on_pim": ("mapping", "lm_head_on_pim"),
    "mapping.vectors_per_row": ("mapping", "vectors_per_row"),
    "stack": ("gpu", "stack"),
    "launch": ("gpu", "launch"),
    "dtype": ("gpu", "dtype"),
    **{f"{OF_MODEL}{name}": ("model", name) for name in ModelChanges.model_fields},
}
"""Keys of a space that are keys of a run, and where they stand in a RunConfig. Any other key is one of the hardware."""


class KeyProblem(ValueError):
    """A key is unknown, or a value is not one of its values."""


def run_value(config: RunConfig, key: str) -> str | None:
    """The value of a key of the run as text; None where it is left open."""
    node: Any = config
    for part in RUN_KEYS[key]:
        node = getattr(node, part) if node is not None else None
    return _text(node)


def set_run_value(data: dict[str, Any], key: str, text: str) -> None:
    """Put a value into a run's configuration as plain data."""
    *parents, last = RUN_KEYS[key]
    for part in parents:
        if data.get(part) is None:
            data[part] = {}
        data = data[part]
    data[last] = text


def spelled_run_value(key: str, text: str) -> str:
    """The one spelling of a value of a key of the run.

    Raises:
        KeyProblem: the key has no such value; a named preset or file is unknown or wrong.
    """
    data: dict[str, Any] = {}
    set_run_value(data, key, text)
    try:
        value = run_value(RunConfig.model_validate(data), key)
        if key == "arch":
            Hardware(text).load()
        elif key == "workload":
            load_model(text)
        elif key == "stack":
            load_stack(text)
    except ValidationError as error:
        raise KeyProblem(_message(error, text)) from None
    except ConfigError as error:
        raise KeyProblem("; ".join(error.problems)) from None
    assert value is not None
    return value


@dataclass(frozen=True)
class Hardware:
    """A system or a GPU by its name, with overrides, and the stack that overrides after ``stack.`` are of."""

    arch: str
    overrides: tuple[tuple[str, str], ...] = ()
    stack: str | None = None

    @cached_property
    def spec(self) -> System | GpuSpec:
        """The specification.

        Raises:
            ConfigError: name or overrides are wrong.
        """
        sets = [f"{k}={v}" for k, v in self.overrides if not k.startswith(STACK)]
        return load_gpu(self.arch, sets) if is_gpu(self.arch) else load_system(self.arch, sets)

    def load(self) -> System | GpuSpec:
        """As ``spec``."""
        return self.spec

    @cached_property
    def stack_spec(self) -> BaseModel | None:
        """The software stack, if the hardware is a GPU: the named one, or the generic one of its architecture."""
        if not isinstance(self.spec, GpuSpec):
            return None
        from rowline.arch.boards import match_stack

        return load_stack(self.stack) if self.stack else match_stack("", self.spec.architecture).stack

    def _start(self, key: str) -> tuple[BaseModel, list[str]]:
        if key.startswith(STACK):
            if self.stack_spec is None:
                raise KeyProblem(f"{self.arch} has no software stack")
            return self.stack_spec, key.removeprefix(STACK).split(".")
        return self.spec, key.split(".")

    def type_of(self, key: str) -> Any:
        """The type of what stands at a dotted key.

        Raises:
            KeyProblem: there is no such key.
        """
        node, parts = self._start(key)
        annotation: Any = type(node)
        for part in parts:
            options = _names(annotation, node, self.spec)
            if part not in options:
                hint = nearest(part, options) or _leaf_hint(self.spec, part)
                raise KeyProblem(f'unknown key: {printable(self.arch)} has no "{printable(key)}"{hint}')
            annotation = _below(annotation, part)
            node = node.get(part) if isinstance(node, dict) else getattr(node, part, None)
        return annotation

    def value(self, key: str) -> str | None:
        """The value at a dotted key as text; None where nothing is set, or more than one value stands there.

        Raises:
            KeyProblem: there is no such key.
        """
        self.type_of(key)
        node, parts = self._start(key)
        found: Any = node
        for part in parts:
            found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
        return found.text if isinstance(found, Sourced) else _text(found)

    def spelled(self, key: str, text: str) -> str:
        """The one spelling of a value at a dotted key.

        Raises:
            KeyProblem: there is no such key, or it has no such value.
        """
        annotation = _model_of(self.type_of(key))
        try:
            if isinstance(annotation, type) and issubclass(annotation, Sourced):
                return annotation.model_validate(text).text
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                raise KeyProblem(f"holds keys, not a value; name one of {', '.join(list(annotation.model_fields)[:8])}")
            value = _text(TypeAdapter(annotation).validate_python(text))
        except ValidationError as error:
            raise KeyProblem(_message(error, text)) from None
        if value is None:
            raise KeyProblem("holds no single value")
        return value


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _message(error: ValidationError, text: str) -> str:
    message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return message if "got" in message else f'{message}, got "{printable(text)}"'


def _model_of(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    options = [o for o in getattr(annotation, "__args__", ()) if o is not type(None)]
    optional = len(options) < len(getattr(annotation, "__args__", ()))
    return options[0] if optional and len(options) == 1 else annotation


def _names(annotation: Any, node: Any, spec: BaseModel) -> list[str]:
    """Keys that may stand below a node."""
    annotation = _model_of(annotation)
    if getattr(annotation, "__origin__", None) is dict:
        names = [str(name) for name in node or ()]
        if _model_of(annotation.__args__[1]) is Duration and isinstance(spec, System):
            names += [n for n in STANDARDS[spec.device.standard].timing if n not in names]
        return names
    return list(annotation.model_fields) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _below(annotation: Any, part: str) -> Any:
    annotation = _model_of(annotation)
    if getattr(annotation, "__origin__", None) is dict:
        return annotation.__args__[1]
    return annotation.model_fields[part].annotation


def _leaf_hint(spec: System | GpuSpec, word: str) -> str:
    """A hint at a dotted key that ends in a similar word."""
    by_leaf = {name.rpartition(".")[2]: name for name in reversed(list(spec.sourced()))}
    if word in by_leaf:
        return f'; did you mean "{by_leaf[word]}"?'
    hint = nearest(word, by_leaf)
    return f'; did you mean "{by_leaf[hint.split(chr(34))[1]]}"?' if hint else ""
