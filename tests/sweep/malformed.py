"""Sound files of every kind, and what can go wrong with them: by key, and in the raw bytes. All by a seeded generator."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowline.arch.loader import PRESETS, load_device, load_gpu, load_stack, load_system
from rowline.checking import checked_request
from rowline.experiment import load_model
from rowline.rundir import to_yaml
from rowline.sweeps.schema import SpaceFile
from rowline.sweeps.space import load_space
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

ROOT = Path(__file__).parents[2]
TINY = "name: tiny\nn_layers: 2\nd_model: 64\nn_heads: 4\nn_positions: 128\nvocab_size: 1000\n"
RUN = """# a run
arch: pim-gpt
workload: tiny.yaml
prompt_tokens: 2
generated_tokens: 3
mapping:
  lm_head_on_pim: true
  vectors_per_row: 1
overrides:
  channels: 4
  host.clock: 500 MHz
  device.timing.tRP: 14 ns
  device.timing.tRC: 41 ns
"""
GPU_RUN = """arch: h100-sxm
workload: tiny.yaml
generated_tokens: 2
gpu:
  launch: eager
  dtype: fp16
overrides:
  sm.count: 64
  l2.size: 32 MiB
"""
SYSTEM = """extends: system/aim
name: mine
channels: 4
device:
  timing:
    tRP: 16 ns   # slower
  organization: {banks_per_group: 4}
host:
  clock: {value: 1 GHz, kind: ASSUMED, ref: "mine"}
"""


def _space() -> str:
    return (ROOT / "docs" / "sweep.md").read_text().split("```yaml\n")[1].split("```")[0].replace("gpt2-small", "tiny.yaml")


SOUND: dict[str, str] = {
    "run": RUN,
    "gpu-run": GPU_RUN,
    "system": SYSTEM,
    "whole-system": to_yaml(load_system("pim-gpt").model_dump(mode="json")),
    "device": (PRESETS / "dram" / "ddr5-4800.yaml").read_text(),
    "pim-device": (PRESETS / "pim" / "gddr6-pim-gpt.yaml").read_text(),
    "gpu": (PRESETS / "gpu" / "h100-sxm.yaml").read_text(),
    "stack": (PRESETS / "stack" / "torch-2.1-simt.yaml").read_text(),
    "model": TINY,
    "space": _space(),
}


def loaded(kind: str, file: Path) -> Any:
    """What a file means, as plain data.

    Raises:
        ConfigError: it is refused.
    """
    if kind in ("run", "gpu-run"):
        return checked_request(file, {}).model_dump(mode="json", exclude_none=True)
    if kind == "space":
        space = load_space(file)
        checked = SpaceFile.model_validate(plain(compose(file.read_bytes())))
        text = checked.model_dump(mode="json", by_alias=True, exclude_none=True)
        for axis, values in zip(text["axes"], space.axes, strict=True):
            axis |= {"values": list(values.texts)} if "values" in axis else {"made": list(values.texts)[:50]}
        return text | {"method": space.method.model_dump(), "base": text["base"] | space.base.model_dump(mode="json")}
    loaders: dict[str, Callable[[str], Any]] = {
        "system": load_system, "whole-system": load_system, "device": load_device, "pim-device": load_device, "gpu": load_gpu,
        "stack": load_stack, "model": load_model,
    }  # fmt: skip
    return loaders[kind](str(file)).model_dump(mode="json")


def command(kind: str, file: Path) -> list[str]:
    """The words of ``rowline`` that use a file; nothing is left behind when it is refused."""
    name, out = str(file), ["-q", "--out", str(file.parent / "none")]
    tiny = ["--workload", str(file.parent / "tiny.yaml"), "--tokens", "2"]
    return {
        "run": ["run", name, *out], "gpu-run": ["run", name, *out], "space": ["sweep", name, "--dry-run"],
        "system": ["run", "--arch", name, *tiny, *out], "whole-system": ["run", "--arch", name, *tiny, *out],
        "device": ["show", "dram", name], "pim-device": ["show", "dram", name, "-f", "json"],
        "gpu": ["run", "--arch", name, *tiny, *out], "stack": ["run", "--arch", "h100-sxm", "--stack", name, *tiny, *out],
        "model": ["run", "--workload", name, "--tokens", "2", *out],
    }[kind]  # fmt: skip


def compose(data: bytes) -> Any:
    """The nodes of a YAML text, by the library alone."""
    return YAML().compose(data.decode("utf-8-sig"))


def plain(node: Any) -> Any:
    """Nodes as dicts, lists and text; a later key wins over an earlier one."""
    if isinstance(node, MappingNode):
        return {plain(key): plain(value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [plain(each) for each in node.value]
    assert node is None or isinstance(node, ScalarNode)
    return None if node is None or (node.style is None and node.value in ("", "~", "null")) else node.value


@dataclass(frozen=True)
class Mutant:
    """A file with something wrong, or perhaps nothing.

    Attributes:
        how: what was done.
        key: where, if it was done to a key: a refusal names it.
    """

    kind: str
    how: str
    data: bytes
    key: tuple[str, ...] = ()


Path_ = tuple[str | int, ...]


def places(tree: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Paths of everything below a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


VALUES: dict[str, list[Any]] = {
    "wrong type": [[], ["a", "b"], {}, {"a": {"b": "c"}}, "hello", None, "true", [[[]]], {"value": ["1"]}, "2026-11-25"],
    "out of range": ["-1", "0", "1" + "0" * 30, "-5 ns", "1e18 ns", "99999999999 GHz", "1e-9", "0 Hz", "1e15 MiB"],
    "no unit": ["5", "12.5", "1e3"],
    "wrong unit": ["5 parsec", "3 ns", "3 GHz", "3 MiB", "3 mA", "3 V", "1 ns ns", "1 Ns", "5 K"],
    "no number": ["nan", ".nan", "inf", "-.inf", "Infinity", "NaN ns", "9" * 4000, "1e999", "1e99 ns", "0x10", "1__0", "1.2.3",
                  "--1"],
    "lookalike": ["８", "1２ ns", "12\u00a0ns", "\u22121", "1 \u00b5s", "1٠", "pim\u2010gpt", "tru\u0435", "1\u200b"],
    "odd text": ["\x1b[31m8", "a\nb", "\u202e8", "\U0001f4a5", " ", "", "x" * 9000, "\x7f", "'", '"', "{", "%s%n", "${HOME}"],
    "path": ["../../../../etc/passwd", "/etc/passwd.yaml", "/dev/zero", "/dev/stdin", "a/../../b.yaml", "~/x.yaml", "\\\\host\\x",
             "file:///etc/passwd", "/proc/self/mem", ".", "..", "/", "a\0.yaml", "x" * 3000 + ".yaml"],
    "reference": ["&a 1", "*a", "<<", "!!python/object/apply:os.system [ls]", "__import__('os')", "{{7*7}}", "`id`"],
}  # fmt: skip
ATTACKS = [
    "__import__('os').system('true')", "().__class__.__bases__[0].__subclasses__()", "9**9**9", "(" * 200 + "1" + ")" * 200,
    "channels.__class__ == 1", "lambda: 1", "[x for x in (1,)]", "channels if true else 1", "1e99 * 1e99 * 1e99 > 0 ns",
    "channels; 1", "eval('1')", "exec", "f'{channels}'", "channels := 3", "1 << 10**9", "'a' * 10**9 == 'b'", "1,2", "@", "\0",
    "not " * 100 + "true", "-" * 300 + "1 < 2", "channels == channels == channels +", "min()", "abs(1, 2) < 3", "1 / 0 > 1",
    "channels % 0 == 0", "channels < 1 and", "'unclosed", "channels < 8 ns", "\u0441hannels < 8", "channels \u2264 8",
    "open('/etc/passwd')", "min" + "(" * 400, "max(" * 23 + "1", "channels < " + "9" * 480, "true < false", "os.system",
    "globals()", "a.b.c.d.e == 1", "(" * 10**6,
]


def _parent(tree: Any, path: Path_) -> Any:
    for part in path[:-1]:
        tree = tree[part]
    return tree


def _misspelt(draw: random.Random, key: str) -> str:
    at = draw.randrange(len(key))
    lookalike = {"a": "\u0430", "e": "\u0435", "o": "\u043e"}.get(key[at], "\u0131")
    return draw.choice([
        key[:at] + key[at] * 2 + key[at + 1 :], key[:at] + key[at + 1 :] + "_", key.swapcase(), key + " ",
        key[:at] + lookalike + key[at + 1 :],
    ])  # fmt: skip


def by_key(draw: random.Random, kind: str) -> Mutant:
    """A sound file with one key dropped, misspelt, given twice or given a value that it cannot have."""
    tree = plain(compose(SOUND[kind].encode()))
    spots = list(places(tree))
    if draw.random() < 0.7:  # rather what holds values than their sources
        spots = [p for p in spots if p[-1] not in ("kind", "ref", "description", "name")]
    path = draw.choice(spots)
    parent, key = _parent(tree, path), path[-1]
    named = tuple(str(part) for part in path)
    how = draw.choice(["drop", "misspell", "twice", *VALUES, *VALUES])
    if isinstance(key, int) and how in ("misspell", "twice"):
        how = "drop"
    if how == "drop":
        del parent[key]
    elif how == "misspell":
        assert isinstance(key, str)
        wrong = _misspelt(draw, key)
        items = [(wrong if k == key else k, v) for k, v in parent.items()]
        parent.clear()
        parent.update(items)
        named = (*named[:-1], wrong)
    elif how != "twice":
        parent[key] = draw.choice(VALUES[how])
        if "expr" in path or "when" in path or "constraints" in path:
            parent[key] = draw.choice(ATTACKS)
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    if how == "twice":
        text = _doubled(text, tree, path)
    return Mutant(kind, how, text.encode("utf-8", "surrogatepass"), named)


def _doubled(text: str, tree: Any, path: Path_) -> str:
    """The key at ``path`` once more, with another value, in front of where it stands."""
    mark = "\ue000"
    parent, key = _parent(tree, path), path[-1]
    value = parent[key]
    parent[key] = mark
    found = json.dumps(tree, indent=1, ensure_ascii=False)
    parent[key] = value
    shown = json.dumps(value, ensure_ascii=False)
    first = f"{json.dumps(key)}: 1, {json.dumps(key)}: {shown}"
    return found.replace(f"{json.dumps(key)}: {json.dumps(mark, ensure_ascii=False)}", first)


def in_bytes(draw: random.Random, kind: str) -> Mutant:
    """A sound file with its bytes damaged, or only written in another way (line ends, a byte order mark)."""
    data = bytearray(SOUND[kind].encode())
    at, how = draw.randrange(len(data)), draw.choice(list(_BYTES))
    return Mutant(kind, how, bytes(_BYTES[how](draw, data, at)))


def _lines(data: bytearray, change: Callable[[list[bytes]], Any]) -> bytes:
    lines = bytes(data).split(b"\n")
    change(lines)
    return b"\n".join(lines)


_BYTES: dict[str, Callable[[random.Random, bytearray, int], bytes | bytearray]] = {
    "truncated": lambda draw, data, at: data[:at],
    "bit flip": lambda draw, data, at: data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :],
    "bit flips": lambda draw, data, at: bytes(b ^ (1 << draw.randrange(8) if draw.random() < 0.01 else 0) for b in data),
    "NUL": lambda draw, data, at: data[:at] + b"\0" + data[at:],
    "not UTF-8": lambda draw, data, at: data[:at] + draw.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88"]) + data[at:],
    "tab": lambda draw, data, at: _lines(data, lambda x: x.insert(draw.randrange(len(x)), b"\tx: 1")),
    "line twice": lambda draw, data, at: _lines(data, lambda x: x.insert(draw.randrange(len(x)), draw.choice(x))),
    "line gone": lambda draw, data, at: _lines(data, lambda x: x.pop(draw.randrange(len(x)))),
    "lines swapped": lambda draw, data, at: _lines(data, lambda x: x.insert(0, x.pop(draw.randrange(len(x))))),
    "bracket": lambda draw, data, at: data[:at] + draw.choice([b"{", b"[", b"}", b"]", b'"', b"'", b"|", b">"]) + data[at:],
    "stuttered": lambda draw, data, at: data[:at] + data[max(0, at - 40) :],
    "BOM": lambda draw, data, at: b"\xef\xbb\xbf" + data,
    "CRLF": lambda draw, data, at: data.replace(b"\n", b"\r\n"),
    "CR": lambda draw, data, at: data.replace(b"\n", b"\r"),
    "UTF-16": lambda draw, data, at: data.decode().encode("utf-16"),
    "two documents": lambda draw, data, at: data + b"\n---\n" + data,
    "cut at both ends": lambda draw, data, at: data[at // 2 : at],
}  # fmt: skip


def mutants(kind: str, seed: int) -> Iterator[Mutant]:
    """Without end."""
    draw = random.Random(f"{kind} {seed}")
    while True:
        yield (by_key if draw.random() < 0.6 else in_bytes)(draw, kind)
