"""Run folders and studies, and what can happen to their files. All by a seeded generator."""

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from rowline.experiment import load_config, run_experiment
from rowline.rundir import provenance, write_run
from rowline.sweeps.space import load_space
from rowline.sweeps.store import Store
from rowline.sweeps.study import Choices, run_sweep

from . import malformed as bad

SPACE = """
base: {arch: pim-gpt, workload: tiny.yaml, generated_tokens: 2}
axes:
  - {key: channels, values: [2, 4, 8]}
  - {key: host.clock, values: [500 MHz, 1 GHz]}
objectives: [{key: latency}, {key: energy}]
"""
Change = Callable[[random.Random, Path], None]


@dataclass(frozen=True)
class Damage:
    """Something done to a file of a folder.

    Attributes:
        file: a refusal names it, or the folder.
        key: if it was done to a key of that file: a refusal names it.
    """

    how: str
    file: str
    change: Change
    key: str = ""


def make_run(folder: Path) -> None:
    """A sound run folder of a tiny model; the model is ``tiny.yaml`` beside it."""
    begin = perf_counter()
    asked = {"arch": "pim-gpt", "workload": str(folder.parent / "tiny.yaml"), "prompt_tokens": 2, "generated_tokens": 2}
    done = run_experiment(load_config(None, asked))
    write_run(folder, done, done.result.stats | {"wall_s": 0.0, "provenance": provenance(done)}, begin)


def make_study(folder: Path) -> None:
    """A sound study of six trials; its space is ``space.yaml`` beside it."""
    (folder.parent / "space.yaml").write_text(SPACE.replace("tiny.yaml", str(folder.parent / "tiny.yaml")))
    run_sweep(load_space(folder.parent / "space.yaml"), Choices(folder, folder, 1))


def rows(folder: Path) -> list[str]:
    """A study's table, and what it is of."""
    with Store.open(folder, create=False) as store:
        return [record.line() for record in store.records()] + [json.dumps(store.note("study"))]


def _edited(file: Path, change: Callable[[bytearray], bytes | bytearray]) -> None:
    file.write_bytes(change(bytearray(file.read_bytes())))


def _flip(draw: random.Random, data: bytearray) -> bytearray:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _anywhere(file: str) -> Iterator[Damage]:
    """What can happen to any file."""
    edits: dict[str, Callable[[random.Random, bytearray], bytes | bytearray]] = {
        "bit flip": _flip, "cut": lambda draw, data: data[: draw.randrange(len(data))], "empty": lambda draw, data: b"",
        "garbage": lambda draw, data: draw.randbytes(draw.choice([1, 100, 5000, len(data)])),
        "zeros": lambda draw, data: bytes(len(data)),
        "hole": lambda draw, data: _hole(draw, data), "longer": lambda draw, data: data + draw.randbytes(4096),
        "text": lambda draw, data: b"hello\n" * 100, "half twice": lambda draw, data: data[: len(data) // 2] * 2,
    }  # fmt: skip
    for how, edit in edits.items():
        for _ in range(6 if how in ("bit flip", "cut") else 1):
            yield Damage(how, file, lambda draw, folder, edit=edit: _edited(folder / file, lambda data: edit(draw, data)))
    for how, change in (("gone", Path.unlink), ("a folder", _folder), ("a pipe", _pipe)):
        yield Damage(how, file, lambda draw, folder, change=change: change(folder / file))


def _hole(draw: random.Random, data: bytearray) -> bytearray:
    at = draw.randrange(len(data))
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    return data


def _in_stats(how: str, values: list[Any]) -> Damage:
    """A value of stats.json replaced; ``...`` drops the key."""

    def change(draw: random.Random, folder: Path) -> None:
        file = folder / "stats.json"
        stats = json.loads(file.read_text())
        path = draw.choice([p for p in bad.places(stats) if p[0] not in ("provenance",)])
        parent = stats
        for part in path[:-1]:
            parent = parent[part]
        value = draw.choice(values)
        if value is ...:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        file.write_text(json.dumps(stats))

    return Damage(how, "stats.json", change)


def _raw_stats(text: str) -> Damage:
    """The first of the stats, written so."""

    def change(draw: random.Random, folder: Path) -> None:
        file = folder / "stats.json"
        body = file.read_text().strip().removeprefix("{")
        file.write_text(text.replace("REST", body))

    return Damage(f"stats {text[:12]}", "stats.json", change)


def _in_config(how: str) -> Damage:
    def change(draw: random.Random, folder: Path) -> None:
        file = folder / "config.yaml"
        tree = bad.plain(bad.compose(file.read_bytes()))
        path = draw.choice([p for p in bad.places(tree) if p[-1] not in ("kind", "ref")])
        parent = tree
        for part in path[:-1]:
            parent = parent[part]
        if how == "drop":
            del parent[path[-1]]
        else:
            parent[path[-1]] = draw.choice(bad.VALUES[how])
        file.write_text(json.dumps(tree, indent=1))

    return Damage(f"config {how}", "config.yaml", change)


def of_runs() -> list[Damage]:
    """What can happen to a run folder."""
    found = [each for file in ("stats.json", "config.yaml", "ops.parquet") for each in _anywhere(file)]
    kinds: list[tuple[str, list[Any]]] = [
        ("drop", [...]), ("wrong type", ["x", [], {}, None, True, [1], {"a": 1}]),
        ("no number", [float("nan"), float("inf"), 1e300]), ("out of range", [-1, -1.5, 10**40, 10**400, -(10**18)]),
    ]  # fmt: skip
    found += [_in_stats(how, values) for how, values in kinds for _ in range(6)]
    found += [_in_config(how) for how in ("drop", "wrong type", "out of range", "no number", "wrong unit") for _ in range(3)]
    raw = ("[1, REST", '{"latency_s": 1.0, REST', "\ufeff{REST", "[" * 100_000, "9" * 5000, "null")
    return found + [_raw_stats(text) for text in raw]


def _sql(*statements: str) -> Change:
    def change(draw: random.Random, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "study.db", isolation_level=None)) as file:
            for statement in statements:
                file.execute(statement)

    return change


def of_studies() -> list[Damage]:
    """What can happen to a study."""
    found = list(_anywhere("study.db")) * 2
    found += [each for each in _anywhere("study.db-acked")]
    changes = {
        "row gone": "DELETE FROM trials WHERE number = 3", "number changed": "UPDATE trials SET number = 77 WHERE number = 2",
        "state changed": "UPDATE trials SET state = 'failed' WHERE number = 1", "seal gone": "DELETE FROM seal",
        "no trials": "DELETE FROM trials", "notes gone": "DELETE FROM notes", "table gone": "DROP TABLE trials",
        "table more": "CREATE TABLE more (x)", "trigger": "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM trials; END",
        "null": "UPDATE notes SET body = 'null'", "blob": "UPDATE trials SET id = X'00ff' WHERE number = 0",
        "view": "CREATE VIEW v AS SELECT * FROM trials",
    }  # fmt: skip
    found += [Damage(how, "study.db", _sql(statement)) for how, statement in changes.items()]
    for column in ("params", "objectives", "config", "stats"):
        for value in ("'{}'", "'[1'", "NULL", "7", "X'ff'", f"'{'[' * 60_000}'"):
            change = _sql(f"UPDATE OR IGNORE trials SET {column} = {value} WHERE number = 4")
            found.append(Damage(f"{column} {value[:8]}", "study.db", change))
    found.append(Damage("another database", "study.db", lambda draw, folder: _other(folder / "study.db")))
    return found


def _other(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE trials (id, number)")
        other.commit()


def copied(whole: Path, folder: Path) -> Path:
    """A copy to damage."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    return folder
