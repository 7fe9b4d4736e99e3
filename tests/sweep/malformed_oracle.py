"""Does an accepted file mean what its text says, and nothing else? By a reading of its own: the library's nodes, units spelled
out here."""

import re
from fractions import Fraction
from typing import Any

from . import malformed as bad

_PREFIXES = {"f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_BASES = ("s", "Hz", "B", "b/s", "B/s", "OP/s", "J", "J/b", "W", "A", "V")
UNITS = {p + base: (Fraction(10) ** n, base) for base in _BASES for p, n in _PREFIXES.items()}
UNITS |= {"KiB": (Fraction(2**10), "B"), "MiB": (Fraction(2**20), "B"), "GiB": (Fraction(2**30), "B"), "ck": (Fraction(1), "ck"),
          "": (Fraction(1), ""), "mm2": (Fraction(10) ** -6, "m2"), "um2": (Fraction(10) ** -12, "m2")}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z/0-9]*)", re.ASCII)
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "t": True, "y": True,
          "false": False, "no": False, "off": False, "0": False, "f": False, "n": False}  # fmt: skip


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Scalars by path; where a value has a source, the value alone stands at its path."""
    if isinstance(tree, dict):
        found = {}
        for key, value in tree.items():
            below = path if key == "value" and not isinstance(value, (dict, list)) else (*path, str(key))
            found |= leaves(value, below)
        return found
    if isinstance(tree, list):
        return {k: v for i, value in enumerate(tree) for k, v in leaves(value, (*path, str(i))).items()}
    return {path: tree}


def measured(text: str) -> tuple[Fraction, str] | None:
    """A quantity; None if it is none."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in UNITS:
        return None
    factor, base = UNITS[match[2]]
    return Fraction(match[1].replace("_", "")) * factor, base


def same(text: Any, value: Any) -> bool:
    """Whether a scalar of a text means a value."""
    if text is None or value is None:
        return text is value or value == ""
    if isinstance(value, bool):
        return _TRUTH.get(text.strip().lower()) is value
    if str(text) == str(value):
        return True
    if text.isdecimal() and not text.isascii():  # digits of another script
        text = str(int(text))
    one = measured(str(text))
    return one is not None and one == measured(str(value))


def _touches(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path lies in the other; a source belongs to its value, computed values to what they are made from."""
    if "made" in one:
        one = one[: one.index("made")]
    if one and one[-1] in ("kind", "ref") and other[: len(one) - 1] == one[:-1]:
        return True
    if other and other[-1] == "extends":
        other = other[:-1]
    short = min(len(one), len(other))
    return one[:short] == other[:short]


def untrue(kind: str, data: bytes, before: Any, after: Any) -> list[str]:
    """What an accepted file's meaning has that its text does not say; nothing when all is right."""
    text, sound = (leaves(bad.plain(bad.compose(each))) for each in (data, bad.SOUND[kind].encode()))
    old, new = leaves(before), leaves(after)
    changed = {path for path in text.keys() | sound.keys() if text.get(path, "absent") != sound.get(path, "absent")}
    grown = {path[:-1] for path in changed if not (path in text and path in sound)}
    changed |= {(*path, "extends") for path in grown if path}  # with a key, the defaults beside it come and go
    if kind == "model" and after["d_ff"] == 4 * after["d_model"]:  # as it is where it is not given
        changed.add(("d_ff",))
    wrong = [
        f"{'.'.join(path)}: {old.get(path)!r} became {new.get(path)!r}, which no change of the text explains"
        for path in old.keys() | new.keys()
        if old.get(path) != new.get(path) and not any(_touches(path, each) for each in changed)
    ]
    for path in changed & text.keys():
        if path[-1] != "extends" and not same(text[path], new.get(path)):
            wrong.append(f"{'.'.join(path)}: the text says {text[path]!r}, taken for {new.get(path)!r}")
    return wrong + (_wrong_ranges(after) if kind == "space" else [])


def _wrong_ranges(space: Any) -> list[str]:
    wrong: list[str] = []
    for axis in space["axes"]:
        if "range" in axis:
            (low, unit), (high, _), (step, _) = (measured(axis["range"][k]) or (Fraction(0), "") for k in ("from", "to", "step"))
            count = min(int((high - low) // step) + 1, 50)
            if [measured(text) for text in axis["made"]] != [(low + i * step, unit) for i in range(count)]:
                wrong.append(f"{axis['key']}: {axis['range']} became {axis['made'][:5]}")
    return wrong
