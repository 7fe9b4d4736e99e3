"""Numbers put into a specification's YAML file, line by line: comments, order and everything else stay as they are."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from rowline.arch.values import Sourced
from rowline.arch.yamltree import ConfigError, Node, parse_yaml, printable, read_yaml
from rowline.traces.formats.files import partial_file


def edit_file(path: Path, values: Mapping[str, Sourced]) -> None:
    """Put numbers at dotted names of a file, in one step.

    Raises:
        ConfigError: the file cannot be read, or a number stands in it in a way that lines cannot be edited in.
    """
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        text = edited(text, name, value, str(path))
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    read_yaml(path)


def flow(value: Sourced) -> str:
    """``{value: 0.8, kind: FITTED, ref: "..."}``."""
    return f"{{value: {value.text}, kind: {value.kind}, ref: {json.dumps(value.ref, ensure_ascii=False)}}}"


def edited(text: str, name: str, value: Sourced, file: str) -> str:
    """The text with a number at a dotted name, where there was one or not.

    Raises:
        ConfigError: as :func:`edit_file`.
    """
    lines = text.split("\n")
    parts = name.split(".")
    node, indent = parse_yaml(text, file), ""
    for depth, part in enumerate(parts):
        if not isinstance(node.value, dict):
            raise ConfigError([f"{node.place}  {printable(name)}: not a mapping of keys"])
        if part not in node.value:
            _insert(lines, node, indent, parts[depth:], value)
            break
        place = node.key_places[part]
        match = re.match(rf"( *)(?:{re.escape(part)})\s*:", lines[place.line - 1])
        if match is None:
            raise ConfigError([f"{place}  {printable(name)}: shares its line with other keys, cannot be edited"])
        node, indent = node.value[part], match[1]
        if depth == len(parts) - 1:
            head, tail = match[0], lines[place.line - 1][match.end() :]
            if not tail.strip():
                raise ConfigError([f"{place}  {printable(name)}: stands on several lines, cannot be edited"])
            lines[place.line - 1] = f"{head} {flow(value)}{_comment(tail)}"
    answer = "\n".join(lines)
    if _at(parse_yaml(answer, file), parts) != _at(parse_yaml(f"x: {flow(value)}", file), ["x"]):
        raise ConfigError([f"{file}  {printable(name)}: cannot be edited"])
    return answer


def _insert(lines: list[str], holder: Node, indent: str, parts: list[str], value: Sourced) -> None:
    """Below the last line of a mapping, with the indent of its other keys."""
    children = holder.value if isinstance(holder.value, dict) else {}
    last = max([place.line for place in holder.key_places.values()] + [_last(child) for child in children.values()])
    first = lines[min(place.line for place in holder.key_places.values()) - 1]
    inner = re.match(" *", first)
    deep = inner[0] if inner is not None else indent
    new = [f"{deep}{'  ' * i}{part}:" for i, part in enumerate(parts)]
    new[-1] += f" {flow(value)}"
    lines[last:last] = new


def _last(node: Node) -> int:
    """The last line on which something of a node begins."""
    children = node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    return max([node.place.line, *(place.line for place in node.key_places.values()), *(_last(child) for child in children)])


def _comment(tail: str) -> str:
    """The comment that ends a line of a value, with the space before it."""
    quote = ""
    for i, letter in enumerate(tail):
        if quote:
            quote = "" if letter == quote and tail[i - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and tail[i - 1 : i].isspace():
            return "  " + tail[i:]
    return ""


def _at(node: Node, parts: list[str]) -> object:
    for part in parts:
        node = node.value[part] if isinstance(node.value, dict) else Node(node.place, None)
    return node.plain()
