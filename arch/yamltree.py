"""YAML as a tree of strings that remembers where each key stands; nothing in it can run, grow or repeat.

Scalars stay text (the schema types them), so ``1e3``, ``on`` and ``010`` mean what the schema says. Refused: anchors
and aliases, tags, duplicate keys, more than one document, anything but a regular file, files above 1 MB, lines above
10,000 characters, nesting above 32, more than 20,000 nodes.
"""

# ruamel.yaml's events are untyped, so all that comes from them is unknown to a strict checker; it stays in this module.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import stat
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_BYTES, MAX_LINE, MAX_DEPTH, MAX_NODES = 1_000_000, 10_000, 32, 20_000


class ConfigError(Exception):
    """A configuration was refused. ``problems`` holds one line each: ``file:line  key: what is wrong``."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Place:
    """Where a node stands, for messages."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Node:
    """A scalar (``value`` is text or None), a mapping or a sequence, with its place."""

    place: Place
    value: "str | None | dict[str, Node] | list[Node]"
    key_places: dict[str, Place] = field(default_factory=lambda: {})

    def plain(self) -> object:
        """The tree as dicts, lists and strings."""
        if isinstance(self.value, dict):
            return {k: v.plain() for k, v in self.value.items()}
        if isinstance(self.value, list):
            return [v.plain() for v in self.value]
        return self.value


def printable(text: str, limit: int = 60) -> str:
    """``text`` fit for a message: no control characters, shortened."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def read_yaml(path: Path) -> Node:
    """Read one mapping from a YAML file.

    Raises:
        ConfigError: unreadable, no YAML, not a mapping, or beyond the limits of this module.
    """
    name = printable(str(path), 4096)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe or a device may never end
            raise ConfigError([f"{name}: not a regular file"])
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError([f"{name}: larger than {MAX_BYTES} bytes"])
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{name}: not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise ConfigError([f"{name}: {error.strerror or error}"]) from None
    except ValueError as error:  # a path that holds a NUL
        raise ConfigError([f"{name}: {error}"]) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Node:
    """As :func:`read_yaml`, from text; ``name`` stands for the file in messages."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise ConfigError([f"{Place(name, number)}: line longer than {MAX_LINE} characters"])
    try:
        root = _Builder(name).build(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError([f"{Place(name, line)}: not valid YAML: {printable(str(error.problem))}"]) from None
    except (YAMLError, ValueError) as error:
        at = getattr(error, "position", None)  # of a character that YAML does not allow
        line = text.count("\n", 0, at) + 1 if isinstance(at, int) else 0
        raise ConfigError([f"{Place(name, line)}: not valid YAML: {printable(str(error))}"]) from None
    if root is None or not isinstance(root.value, dict):
        what = "empty" if root is None or root.value is None else "not a mapping of keys"
        raise ConfigError([f"{name}:1: {what}"])
    return root


class _Builder:
    """Builds the tree from parser events, iteratively, so that deep or repeated input cannot hurt."""

    def __init__(self, name: str):
        self.name = name
        self.stack: list[tuple[Node, str | None]] = []  # open containers, each with the key it waits to fill
        self.root: Node | None = None
        self.nodes = 0

    def build(self, text: str) -> Node | None:
        documents = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            place = Place(self.name, event.start_mark.line + 1)
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise ConfigError([f"{place}: only one YAML document is allowed"])
            elif isinstance(event, AliasEvent):
                raise ConfigError([f"{place}: aliases (*{printable(str(event.anchor))}) are not allowed"])
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                self.stack.pop()
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent, ScalarEvent)):
                self._node(event, place)
        return self.root

    def _node(self, event: MappingStartEvent | SequenceStartEvent | ScalarEvent, place: Place) -> None:
        self.nodes += 1
        if event.anchor is not None:
            raise ConfigError([f"{place}: anchors (&{printable(str(event.anchor))}) are not allowed"])
        if event.tag is not None and str(event.tag) != "!":
            raise ConfigError([f"{place}: tags ({printable(str(event.tag))}) are not allowed"])
        if self.nodes > MAX_NODES or len(self.stack) >= MAX_DEPTH:
            raise ConfigError([f"{place}: more than {MAX_NODES} values or {MAX_DEPTH} levels"])
        if isinstance(event, ScalarEvent):
            quoted = event.style in ("'", '"')
            empty = not quoted and event.value in ("", "~", "null")
            self._place(Node(place, None if empty else event.value), is_scalar=True)
        else:
            node = Node(place, {} if isinstance(event, MappingStartEvent) else [])
            self._place(node, is_scalar=False)
            self.stack.append((node, None))

    def _place(self, node: Node, is_scalar: bool) -> None:
        if not self.stack:
            self.root = node
            return
        parent, key = self.stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif isinstance(parent.value, dict):
            if key is not None:
                parent.value[key] = node
                self.stack[-1] = (parent, None)
            elif not is_scalar or not isinstance(node.value, str):
                raise ConfigError([f"{node.place}: a key must be plain text"])
            elif node.value in parent.value:
                first = parent.key_places[node.value].line
                raise ConfigError([f"{node.place}  {printable(node.value)}: duplicate key, first on line {first}"])
            else:
                parent.key_places[node.value] = node.place
                self.stack[-1] = (parent, node.value)
