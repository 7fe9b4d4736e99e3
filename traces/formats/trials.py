"""The trials of a study as Parquet: one row a trial, one column an axis (``params.``) and an objective (``objectives.``).

Pages carry checksums; a digest of all rows in the file's metadata covers what pages do not. The same trials give the same
bytes. Columns: number, id, state, reason, the axes, the objectives, and config and stats as JSON text.
"""

# pyarrow ships no type stubs, see ..schema.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

KIND: Final = "trials 1"
MAX_BYTES: Final = 4 * 1024**3
_TYPES: Final[dict[str, Any]] = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string()}
_FIXED: Final = {"number": "int", "id": "text", "state": "text", "reason": "text"}
_LAST: Final = {"config": "text", "stats": "text"}
_TABLE, _DIGEST = "rowline.table", "rowline.digest"

Row = Mapping[str, Any]
"""A trial: number, id, state, reason, params, objectives, config, stats."""


class Kinds:
    """Which type each axis and objective takes: the narrowest that holds all its values, JSON text where none does."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, row: Row) -> None:
        """Widen the types by one trial."""
        for part in ("params", "objectives"):
            for key, value in row[part].items():
                name = f"{part}.{key}"
                kind = _kind(value)
                if kind:
                    self._found[name] = _wider(self._found.get(name, kind), kind)
                else:
                    self._found.setdefault(name, "")

    def columns(self) -> dict[str, str]:
        """All columns in the file's order."""
        axes = {n: k or "text" for n, k in self._found.items() if n.startswith("params.")}
        goals = {n: k or "text" for n, k in self._found.items() if n.startswith("objectives.")}
        return {**_FIXED, **axes, **goals, **_LAST}


def _kind(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, float):
        return "float"
    return "text" if isinstance(value, str) else "json"


def _wider(one: str, other: str) -> str:
    if one == other:
        return one
    return "float" if {one, other} == {"int", "float"} else "json"


def write_trials(path: str | os.PathLike[str], columns: Mapping[str, str], pieces: Iterable[Sequence[Row]]) -> int:
    """Write trials piece by piece, all or nothing, and return how many; ``columns`` as :class:`Kinds` found them.

    Raises:
        OSError: the folder cannot be written.
    """
    schema = pa.schema([pa.field(n, _TYPES.get(k, pa.string())) for n, k in columns.items()], metadata={_TABLE: KIND})
    target, rows, digest = Path(path), 0, hashlib.sha256(_head(columns))
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd", write_page_checksum=True) as writer:
            for piece in pieces:
                flat = [_flat(row, columns) for row in piece]
                for row in flat:
                    digest.update(_line(row))
                writer.write_table(pa.Table.from_pylist(flat, schema=schema), row_group_size=max(len(flat), 1))
                rows += len(flat)
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest()})
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return rows


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flat(row: Row, columns: Mapping[str, str]) -> dict[str, Any]:
    cells: dict[str, Any] = {name: row[name] for name in _FIXED}
    for name, kind in columns.items():
        part, _, key = name.partition(".")
        if key:
            value = row[part].get(key)
            cells[name] = value if value is None or kind != "json" else json.dumps(value)
            if kind == "float" and value is not None:
                cells[name] = float(value)
    return cells | {name: json.dumps(row[name], separators=(",", ":")) for name in _LAST}


def _head(columns: Iterable[str]) -> bytes:
    return json.dumps([KIND, list(columns)]).encode()


def _line(row: Row) -> bytes:
    return json.dumps(list(row.values())).encode() + b"\n"


def read_trials(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a file of trials, column name -> value; config and stats as plain data.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large or of another kind; the message names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        stored = {k.decode(): v.decode() for k, v in (file.metadata.metadata or {}).items()}
        groups = range(file.metadata.num_row_groups)
        unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if stored.get(_TABLE) != KIND:
            raise ValueError(f"holds {stored.get(_TABLE)!r}, expected {KIND!r}")
        if max(unpacked, 8 * file.metadata.num_rows) > MAX_BYTES:
            raise ValueError(f"unpacks to {unpacked} bytes, {MAX_BYTES} are allowed")
        names, rows = file.schema_arrow.names, file.read().to_pylist()
        digest = hashlib.sha256(_head(names))
        for row in rows:
            digest.update(_line(row))
        if digest.hexdigest() != stored.get(_DIGEST):
            raise ValueError("damaged: its rows are not those that were written")
        return [row | {name: json.loads(row[name]) for name in _LAST} for row in rows]
    except (OSError, pa.ArrowException, UnicodeDecodeError, TypeError, KeyError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable Parquet file, or damaged ({' '.join(str(error).split())})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
