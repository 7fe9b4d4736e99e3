"""YAML and ``--set key=value`` -> a specification (a :class:`System`, a :class:`GpuSpec`, ...); errors name file, line and key.

``extends: folder/preset`` (or a path that ends in .yaml, relative to the file) pulls in another file below the keys of
the mapping it stands in; it may stand in nested mappings too. A scalar over a sourced value replaces value and source.
"""

import difflib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from .controller import Controller
from .device import DramDevice
from .gpu import GpuSpec
from .stack import StackSpec
from .standards import STANDARDS
from .system import System
from .values import Duration, Sourced
from .yamltree import ConfigError, Node, Place, parse_yaml, printable, read_yaml

PRESETS = Path(__file__).parent / "presets"
MAX_EXTENDS = 8
SpecT = TypeVar("SpecT", bound=BaseModel)


def list_presets(folder: str) -> list[str]:
    """Names of the presets of one folder (``dram``, ``pim``, ``host``, ``system``, ``gpu``, ``stack``)."""
    return sorted(p.stem for p in (PRESETS / folder).glob("*.yaml"))


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as ``; did you mean "banks"?``, or an empty string."""
    options = [k for k in known if k != word]
    by_lower = {k.lower(): k for k in options}
    match = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.5)
    return f'; did you mean "{by_lower[match[0]]}"?' if match else ""


def is_file_name(name: str) -> bool:
    """Whether a name is that of a YAML file, not of a preset."""
    return name.endswith((".yaml", ".yml")) or "/" in name


class _Kept(Generic[SpecT]):
    """Loads, and keeps what was loaded last of presets; files may change, so they are read each time."""

    def __init__(self, load: Callable[[str, tuple[str, ...]], SpecT], size: int):
        self.load, self.kept = load, lru_cache(size)(load)

    def __call__(self, name: str, sets: tuple[str, ...]) -> SpecT:
        return self.load(name, sets) if is_file_name(name) else self.kept(name, sets)

    def cache_clear(self) -> None:
        """Forget all."""
        self.kept.cache_clear()


def _kept(size: int) -> Callable[[Callable[[str, tuple[str, ...]], SpecT]], _Kept[SpecT]]:
    return lambda load: _Kept(load, size)


def load_system(name: str, sets: Iterable[str] = ()) -> System:
    """Load a system preset or a YAML file and apply overrides.

    Args:
        name: a preset of ``presets/system``, or the path of a YAML file.
        sets: texts ``dotted.key=value``.

    Raises:
        ConfigError: anything in name, file or overrides is wrong; all problems found are listed.
    """
    return _load_system(name, tuple(sets))


@_kept(64)
def _load_system(name: str, sets: tuple[str, ...]) -> System:
    path = _resolve(name, "system", ("system",))
    return build(System, apply_sets(expand(read_yaml(path)), sets))


def list_devices() -> list[str]:
    """Names of the DRAM devices that have a preset, with and without PIM."""
    return sorted(list_presets("dram") + list_presets("pim"))


def load_device(name: str, sets: Iterable[str] = ()) -> DramDevice:
    """Load one channel of DRAM: a preset of ``presets/dram`` or ``presets/pim``, or a YAML file, with overrides.

    Raises:
        ConfigError: as :func:`load_system`.
    """
    return _load_device(name, tuple(sets))


def list_gpus() -> list[str]:
    """Names of the GPUs that have a preset."""
    return list_presets("gpu")


def load_gpu(name: str, sets: Iterable[str] = ()) -> GpuSpec:
    """Load a GPU: a preset of ``presets/gpu`` or a YAML file, with overrides.

    Raises:
        ConfigError: as :func:`load_system`.
    """
    return _load_gpu(name, tuple(sets))


def is_gpu(name: str) -> bool:
    """Whether what ``--arch`` names is a GPU and no system: a preset by its folder, a YAML file by its keys.

    Raises:
        ConfigError: no preset of either kind, or a file that cannot be read.
    """
    if is_file_name(name):
        root = expand(read_yaml(Path(name))).value
        return isinstance(root, dict) and "sm" in root
    systems, gpus = list_presets("system"), list_gpus()
    if name not in systems and name not in gpus:
        hint = nearest(name, [*systems, *gpus])
        raise ConfigError([f'unknown system "{printable(name)}"{hint} Known: {", ".join(systems)}; GPUs: {", ".join(gpus)}'])
    return name in gpus


def list_stacks() -> list[str]:
    """Names of the software stacks that have a preset."""
    return list_presets("stack")


def load_stack(name: str, sets: Iterable[str] = ()) -> StackSpec:
    """Load a software stack: a preset of ``presets/stack`` or a YAML file, with overrides.

    Raises:
        ConfigError: as :func:`load_system`.
    """
    return _load_stack(name, tuple(sets))


def load_controller(file: Path | None = None, sets: Iterable[str] = ()) -> Controller:
    """A memory controller: the default, or that of a YAML file, with overrides.

    Raises:
        ConfigError: as :func:`load_system`.
    """
    root = expand(read_yaml(file)) if file is not None else Node(Place("controller", 0), {})
    return build(Controller, apply_sets(root, sets))


@_kept(256)
def _load_device(name: str, sets: tuple[str, ...]) -> DramDevice:
    path = _resolve(name, "device", ("dram", "pim"))
    return build(DramDevice, apply_sets(expand(read_yaml(path)), sets))


@_kept(64)
def _load_gpu(name: str, sets: tuple[str, ...]) -> GpuSpec:
    path = _resolve(name, "GPU", ("gpu",))
    root = apply_sets(expand(read_yaml(path)), sets)
    gpu = build(GpuSpec, root)
    try:
        load_device(gpu.dram.device)
    except ConfigError as error:
        place = _descend(root, GpuSpec, ["dram", "device"])[2]
        raise ConfigError([f"{place}  dram.device: {problem}" for problem in error.problems]) from None
    return gpu


@_kept(64)
def _load_stack(name: str, sets: tuple[str, ...]) -> StackSpec:
    path = _resolve(name, "stack", ("stack",))
    return build(StackSpec, apply_sets(expand(read_yaml(path)), sets))


def _resolve(name: str, kind: str, folders: tuple[str, ...]) -> Path:
    if is_file_name(name):
        return Path(name)
    known = {preset: folder for folder in folders for preset in list_presets(folder)}
    if name not in known:
        raise ConfigError([f'unknown {kind} "{printable(name)}"{nearest(name, known)} Known: {", ".join(known)}'])
    return PRESETS / known[name] / f"{name}.yaml"


def expand(node: Node, depth: int = 0) -> Node:
    """Replace each ``extends`` by what it names, with the keys beside it laid over."""
    if not isinstance(node.value, dict):
        return node
    own = {k: expand(v, depth) for k, v in node.value.items() if k != "extends"}
    result = Node(node.place, own, dict(node.key_places))
    if "extends" not in node.value:
        return result
    target = node.value["extends"]
    if not isinstance(target.value, str):
        raise ConfigError([f"{target.place}  extends: needs the name of a preset or a file"])
    if depth >= MAX_EXTENDS:
        raise ConfigError([f"{target.place}  extends: more than {MAX_EXTENDS} levels deep, or in a circle"])
    base = expand(read_yaml(_extends_path(target)), depth + 1)
    return overlay(base, result)


def _extends_path(target: Node) -> Path:
    name = str(target.value)
    if name.endswith((".yaml", ".yml")):
        return Path(target.place.file).parent / name
    known = [f"{d.name}/{p}" for d in sorted(PRESETS.iterdir()) for p in list_presets(d.name)]
    if name not in known:
        hint = nearest(name, known)
        raise ConfigError([f'{target.place}  extends: no preset "{printable(name)}"{hint}'])
    return PRESETS / f"{name}.yaml"


def overlay(base: Node, top: Node) -> Node:
    """``top`` over ``base``: mappings merge key by key, anything else replaces. Sourced mappings replace whole."""
    if not (isinstance(base.value, dict) and isinstance(top.value, dict)) or "value" in top.value:
        return top
    merged = dict(base.value)
    for key, value in top.value.items():
        merged[key] = overlay(merged[key], value) if key in merged else value
    return Node(top.place, merged, base.key_places | top.key_places)


def apply_sets(root: Node, sets: Iterable[str]) -> Node:
    """Lay ``dotted.key=value`` texts over ``root``; the value may be a YAML flow mapping."""
    for text in sets:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts) or len(parts) > 16:
            raise ConfigError([f'--set {printable(text)}: expected "key.subkey=value"'])
        place = Place(f"--set {printable(text)}", 0)
        try:
            leaf = cast(dict[str, Node], parse_yaml(f"value: {value.strip()}", place.file).value)
        except ConfigError as error:
            told = (p.removeprefix(f"{place}:1").removeprefix(place.file).lstrip(": ") for p in error.problems)
            raise ConfigError([f"{place}  {printable(key.strip())}: {problem}" for problem in told]) from None
        if len(leaf) != 1:
            raise ConfigError([f"{place}: expected one value"])
        node = Node(place, leaf["value"].value)
        if isinstance(node.value, str):
            node.value = {"value": Node(place, node.value), "ref": Node(place, "set by the user")}
            node.key_places["set"] = place  # marks a scalar, see _plain
        for part in reversed(parts):
            node = Node(place, {part: node}, {part: place})
        root = overlay(root, node)
    return root


def build(model: type[SpecT], root: Node) -> SpecT:
    """Validate a tree against a specification.

    Raises:
        ConfigError: one line a problem, each with file, line and dotted key.
    """
    try:
        return model.model_validate(_plain(root, model))
    except ValidationError as error:
        errors = [cast(dict[str, Any], e) for e in error.errors(include_url=False)]
        lines = [_explain(root, model, e) for e in errors if e["type"] != "default_factory_not_called"]
        raise ConfigError(list(dict.fromkeys(lines))) from None


def _plain(node: Node, annotation: Any) -> Any:
    """The tree as plain data; a user's scalar becomes a bare string where the schema wants no sourced value."""
    if not isinstance(node.value, dict):
        return node.plain()
    if "set" in node.key_places and not _is_sourced(annotation):
        return node.value["value"].plain()
    return {k: _plain(v, _field_type(annotation, k)) for k, v in node.value.items()}


def _is_sourced(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Sourced)


def _field_type(annotation: Any, key: str) -> Any:
    """Type of field ``key`` of a model type, of ``Model | None``, or of the values of a dict type."""
    options: tuple[Any, ...] = getattr(annotation, "__args__", ())
    if getattr(annotation, "__origin__", None) is dict:
        return options[1]
    for option in (annotation, *options):
        if isinstance(option, type) and issubclass(option, BaseModel):
            field = option.model_fields.get(key)
            return field.annotation if field else None
    return None


def _explain(root: Node, model: type[BaseModel], error: dict[str, Any]) -> str:
    """One line for one validation error; a message that starts with ``sub.key:`` is placed at that key."""
    message = printable(str(error["msg"]).removeprefix("Value error, "), 400)
    path = [str(part) for part in error["loc"]]
    below, colon, rest = message.partition(": ")
    if colon and _descend(root, model, path + below.split("."))[0] == len(path) + below.count(".") + 1:
        path, message = path + below.split("."), rest
    found, node, place, annotation = _descend(root, model, path)
    key = ".".join(path[: found + 1])
    prefix = f"{place}  {printable(key)}: " if key else f"{place}: "
    if error["type"] == "extra_forbidden" or message == "unknown key":
        return f"{prefix}unknown key{nearest(path[-1], _keys(annotation))}"
    if error["type"] == "missing":
        return f"{prefix}missing"
    got = f', got "{printable(str(node.value))}"' if isinstance(node.value, str) and "got" not in message else ""
    return f"{prefix}{message}{got}"


def _descend(root: Node, model: type[BaseModel], path: list[str]) -> tuple[int, Node, Place, Any]:
    """Follow ``path``: how many parts exist, the node and place reached, and the type that holds the last part."""
    node, place, annotation, holder = root, root.place, cast(Any, model), cast(Any, model)
    for depth, part in enumerate(path):
        holder = annotation
        if isinstance(node.value, list) and part.isdecimal() and int(part) < len(node.value):
            node, annotation = node.value[int(part)], (getattr(annotation, "__args__", ()) or (None,))[0]
        elif isinstance(node.value, dict) and part in node.value:
            place = node.key_places.get(part, place)
            node, annotation = node.value[part], _field_type(annotation, part)
        else:
            return depth, node, place, holder
        place = node.place if node.place.line else place
    return len(path), node, place, holder


def _keys(annotation: Any) -> list[str]:
    """Names that may stand in a mapping of this type."""
    if _field_type(annotation, "") is Duration:
        return sorted({name for standard in STANDARDS.values() for name in standard.timing})
    for option in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return list(option.model_fields)
    return []
