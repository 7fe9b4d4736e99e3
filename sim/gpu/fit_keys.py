"""Named numbers of specifications as a fit sees them: where they stand, how far they may move, a specification with others.

A key is ``gpu:h100-sxm.achieved.tensor`` or ``stack:cublas-hopper.gemm.costs.step``: a preset and a dotted name. It holds for
the preset and for all that extend it, down to one that says otherwise.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from ...arch.loader import PRESETS, list_gpus, list_stacks, load_gpu, load_stack
from ...arch.units import UnitError
from ...arch.values import Count, Duration, PerMille, Sourced, SourceKind, Spec
from ...arch.yamltree import ConfigError, Node, printable, read_yaml
from .device import CARRIED, Device, chip_of

SpecT = TypeVar("SpecT", bound=Spec)
DIGITS = 4
"""Significant digits of a fitted value."""
SPAN = 16
"""How many times as large, or as small, a value may become."""
_SHARES = ("achieved.", "attention.exposed_softmax", "rowwise.scalar", "gemm.simt.bubble")


class Key(NamedTuple):
    """A number: ``scope`` is gpu or stack, ``preset`` a name of it, ``path`` the dotted name inside."""

    scope: str
    preset: str
    path: str

    def __str__(self) -> str:
        return f"{self.scope}:{self.preset}.{self.path}"


def parse_key(text: str) -> Key:
    """Read the text of a key, whose preset must exist.

    Raises:
        ConfigError: no such preset, or no such number in it.
    """
    scope, colon, rest = text.partition(":")
    known = {"gpu": list_gpus, "stack": list_stacks}.get(scope)
    if known is None or not colon:
        raise ConfigError([f"{printable(text)}: a key begins with gpu: or stack:"])
    presets = [name for name in known() if rest.startswith(name + ".")]
    if not presets:
        raise ConfigError([f"{printable(text)}: names no preset; known: {', '.join(known())}"])
    preset = max(presets, key=len)
    key = Key(scope, preset, rest[len(preset) + 1 :])
    value_type(load(scope, preset), key.path)
    return key


def load(scope: str, name: str) -> Spec:
    """The specification that a key's scope and preset, or a file, stand for."""
    return load_gpu(name) if scope == "gpu" else load_stack(name)


def value_type(spec: Spec, path: str) -> type[Sourced]:
    """What kind of number stands, or may stand, at a dotted name.

    Raises:
        ConfigError: nothing with a source can stand there.
    """
    node, annotation = _descend(spec, path)
    for option in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(option, type) and issubclass(option, Sourced):
            return option
    raise ConfigError([f"{printable(path)}: no number with a source" + ("" if node is None else " of its own")])


def optional(spec: Spec, path: str) -> bool:
    """Whether the number may be missing: a simulation then takes what it carries from other chips."""
    head, _, last = path.rpartition(".")
    holder = _descend(spec, head)[0] if head else spec
    return isinstance(holder, dict) or type(None) in getattr(_descend(spec, path)[1], "__args__", ())


def _descend(spec: Spec, path: str) -> tuple[Any, Any]:
    """The node at a dotted name, None where nothing stands there, and the type that it has or may have."""
    node: Any = spec
    annotation: Any = type(spec)
    for part in path.split("."):
        if isinstance(node, dict):
            annotation, node = annotation.__args__[1], node.get(part)
            continue
        field = type(node).model_fields.get(part) if isinstance(node, Spec) and not isinstance(node, Sourced) else None
        if field is None:
            raise ConfigError([f"{printable(path)}: no such key"])
        annotation, node = field.annotation, getattr(node, part)
    return node, annotation


def value_at(spec: Spec, path: str) -> Sourced | None:
    """The number at a dotted name; None where the specification leaves it open."""
    value_type(spec, path)
    return _descend(spec, path)[0]


def replaced(spec: SpecT, values: Mapping[str, Sourced | None]) -> SpecT:
    """The specification with other numbers; None takes an optional one away."""
    for path, value in values.items():
        spec = _with(spec, path.split("."), value)
    return spec


def _with(node: Any, parts: list[str], value: Sourced | None) -> Any:
    head, rest = parts[0], parts[1:]
    if isinstance(node, dict):
        if rest:
            return node | {head: _with(node[head], rest, value)}
        return {k: v for k, v in node.items() if k != head} | ({} if value is None else {head: value})
    return node.model_copy(update={head: _with(getattr(node, head), rest, value) if rest else value})


def start_of(spec: Spec, path: str, device: Device | None) -> Sourced:
    """Where a search begins: the number itself, or what a simulation of the device takes in its place.

    Raises:
        ConfigError: the number is missing and nothing is carried for it.
    """
    value = value_at(spec, path)
    if value is not None:
        return value
    text = _carried(path, device)
    if text is None:
        raise ConfigError([f"{printable(path)}: has no value to start from"])
    return value_type(spec, path).model_validate({"value": text, "kind": SourceKind.ASSUMED, "ref": "carried from other chips"})


def _carried(path: str, device: Device | None) -> str | None:
    """The text of what stands in for a missing number."""
    if path in ("power.window", "fixed.launch", "micro.graph_launch"):
        name = {"power.window": "window_us", "fixed.launch": "launch_us", "micro.graph_launch": "gap_us"}[path]
        return f"{CARRIED[name]:.10g} us"
    if device is None:
        return None
    gpu, chip = device.gpu, chip_of(device.gpu)
    share: dict[str, Callable[[], float]] = {
        "achieved.tensor": lambda: chip.tensor_efficiency, "achieved.simt": lambda: chip.simt_efficiency,
        "achieved.l2_usable": lambda: chip.l2_usable_bytes / gpu.l2.size.value,
        "achieved.l2_bandwidth": lambda: CARRIED["l2_bandwidth"],
        "achieved.dram_read": lambda: chip.dram_read_hz / gpu.dram.bandwidth.value,
        "achieved.dram_write": lambda: chip.dram_write_hz / gpu.dram.bandwidth.value,
    }  # fmt: skip
    if path in share:
        return f"{share[path]():.3f}"
    other = {
        "achieved.port": f"{chip.port_bytes:.0f}", "achieved.l2_latency": f"{chip.l2_latency:.0f} ck",
        "achieved.dram_latency": f"{chip.dram_latency:.0f} ck", "power.static": f"{chip.static_w:.3f} W",
    }  # fmt: skip
    return other.get(path)


def valued(value: Sourced, base: int) -> Sourced:
    """The same number with another value in the base unit."""
    return value.model_copy(update={"value": base})


def rounded(value: Sourced, base: float) -> int:
    """A value in the base unit as a fit keeps it: whole counts, cycles and thousandths, else :data:`DIGITS` digits."""
    whole = isinstance(value, (Count, PerMille)) or (isinstance(value, Duration) and value.in_cycles)
    return round(base) if whole or base < 1 else int(float(f"{base:.{DIGITS}g}"))


def bounds(value: Sourced, path: str, spec: Spec) -> tuple[int, int]:
    """The least and the greatest value in the base unit that a fit may give a number."""
    low, high = max(1, value.low, value.value // SPAN), min(value.high, max(value.value, 1) * SPAN)
    if isinstance(value, PerMille) and any(path.startswith(share) for share in _SHARES):
        high = min(high, 1000)
    if path == "achieved.port":
        width = value_at(spec, "sm.l2_bytes_per_clock")
        high = high if width is None else min(high, width.value)
    return min(low, value.value), max(high, value.value)


def neutral(spec: Spec, path: str) -> Sourced | None:
    """A cost that is not there: a required duration of 0. None for other required numbers, which nothing can stand in for."""
    value = value_at(spec, path)
    return valued(value, 0) if isinstance(value, Duration) and value.value else None


def holds_for(key: Key, preset: str) -> bool:
    """Whether a preset takes a number from the key's preset: is it, or extends it and no file between says otherwise."""
    for name in extended(key.scope, preset):
        if name == key.preset:
            return True
        if _says(read_yaml(PRESETS / key.scope / f"{name}.yaml"), key.path.split(".")):
            return False
    return False


def extended(scope: str, preset: str) -> Iterable[str]:
    """The preset, what it extends, what that extends, and so on."""
    while preset:
        yield preset
        target = _child(read_yaml(PRESETS / scope / f"{preset}.yaml"), "extends")
        preset = str(target.value).partition("/")[2] if target is not None else ""


def _says(node: Node, parts: list[str]) -> bool:
    found: Node | None = node
    for part in parts:
        found = _child(found, part)
        if found is None:
            return False
    return True


def _child(node: Node, name: str) -> Node | None:
    return node.value.get(name) if isinstance(node.value, dict) else None


def parse_value(spec: Spec, path: str, text: str, kind: SourceKind, ref: str) -> Sourced:
    """A number for a dotted name from its text.

    Raises:
        ConfigError: no such number of this kind.
    """
    try:
        return value_type(spec, path).model_validate({"value": text, "kind": kind, "ref": ref})
    except (UnitError, ValueError) as error:
        raise ConfigError([f"{printable(path)}: {printable(str(error), 200)}"]) from None
