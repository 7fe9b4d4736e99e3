"""Parquet files of measured kernels, column by column: ours, and other people's with fewer columns.

With :mod:`..schema` and :mod:`.columnar` the only module that touches pyarrow. What the values mean is
:mod:`..kernellog`'s affair; here a file is whole or damaged, and a column has the declared type or not.
"""

# pyarrow ships no type stubs, see ..schema.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..schema import FLOAT64, INT64, Column, TableSpec
from .files import FormatError, check_regular, partial_file, printable

Columns = dict[str, NDArray[Any]]
"""Name of a column -> its values: int64, float64, or object (of str)."""

MAX_ROWS: Final = 1 << 24
MAX_UNPACKED_BYTES: Final = 1 << 32
_TABLE, _DIGEST = "rowline.table", "rowline.digest"
_KINDS: Final = {"int64": "whole numbers", "double": "numbers", "string": "text"}


def save(path: str | os.PathLike[str], spec: TableSpec, columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write all columns of `spec` (equal lengths) to `path`; the file takes its name when it is complete.

    Raises OSError if the folder cannot be written.
    """
    facts = {**metadata, _TABLE: f"{spec.name} {spec.version}"}
    facts[_DIGEST] = _digest(spec, columns, facts)
    schema = spec.arrow_schema().with_metadata(facts)
    table = pa.table({c.name: pa.array(columns[c.name], c.arrow_type, from_pandas=False) for c in spec.columns}, schema=schema)
    with partial_file(path) as partial:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)


def load(path: str | os.PathLike[str], spec: TableSpec) -> tuple[Columns, dict[str, str], int]:
    """Those columns of `spec` that the file has, its metadata, and its number of rows.

    A float column may hold integers or nothing (NaN), a text column may be missing values (an empty text); columns
    that `spec` does not know are passed over.

    Raises:
        FileNotFoundError: no such file.
        FormatError: damaged, another kind of table, too large, or a column of another type.
    """
    check_regular(path)
    try:
        columns, metadata, rows = _load(path, spec)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(path, None, f"not a readable Parquet file, or damaged ({printable(first, 160)})") from error
    stored = metadata.get(_TABLE)
    if stored is not None:
        facts = {key: value for key, value in metadata.items() if key.startswith("rowline.") and key != _DIGEST}
        lacking = [c.name for c in spec.columns if c.name not in columns]
        if lacking or _digest(spec, columns, facts) != metadata.get(_DIGEST):
            raise FormatError(path, None, "damaged: the digest of the content differs from the one stored")
    return columns, metadata, rows


def _load(path: str | os.PathLike[str], spec: TableSpec) -> tuple[Columns, dict[str, str], int]:
    names = pq.read_schema(path).names
    known = {c.name: c for c in spec.columns}
    text = [n for n in names if n in known and known[n].arrow_type not in (INT64, FLOAT64)]
    file = pq.ParquetFile(path, page_checksum_verification=True, memory_map=False, pre_buffer=False, read_dictionary=text)
    try:
        metadata = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
        stored = metadata.get(_TABLE, f"{spec.name} {spec.version}")
        if stored != f"{spec.name} {spec.version}":
            raise FormatError(path, None, f"holds table '{printable(stored)}', expected '{spec.name} {spec.version}'")
        required = {field.name for field in file.schema_arrow if not field.nullable}
        if _TABLE not in metadata and required >= known.keys():  # as we write them, and nobody else
            raise FormatError(path, None, "damaged: its metadata is gone")
        wanted = [n for n in names if n in known]
        doubled = sorted({n for n in wanted if wanted.count(n) > 1})
        if doubled:
            raise FormatError(path, None, f"column {doubled[0]}: there twice")
        footer = file.metadata
        unpacked = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        if footer.num_rows > MAX_ROWS or unpacked > MAX_UNPACKED_BYTES:
            raise FormatError(path, None, f"{footer.num_rows} rows of {unpacked} bytes: more than a log may hold")
        table = file.read(columns=wanted)
    finally:
        file.close()
    return {name: _values(path, known[name], table[name]) for name in wanted}, metadata, len(table)


def _values(path: str | os.PathLike[str], column: Column, chunked: Any) -> NDArray[Any]:
    """The values of one column in the declared type, or a FormatError that names the column (and the row)."""
    found = chunked.type
    if column.arrow_type == INT64:
        if not pa.types.is_integer(found):
            raise _wrong_type(path, column, found)
        if chunked.null_count:
            row = int(np.flatnonzero(chunked.is_null().to_numpy())[0])
            raise FormatError(path, None, f"row {row}: column {column.name}: no value")
        return chunked.cast(INT64).to_numpy()
    if column.arrow_type == FLOAT64:
        if not (pa.types.is_floating(found) or pa.types.is_integer(found) or pa.types.is_null(found)):
            raise _wrong_type(path, column, found)
        return np.asarray(chunked.cast(FLOAT64).to_numpy(), dtype=np.float64)
    words = found.value_type if pa.types.is_dictionary(found) else found
    if not (pa.types.is_string(words) or pa.types.is_large_string(words) or pa.types.is_null(words)):
        raise _wrong_type(path, column, found)
    chunked.validate(full=True)  # a damaged page header can leave words that the dictionary lacks
    parts = [_texts(chunk) for chunk in chunked.chunks]
    return np.concatenate(parts) if parts else np.empty(0, dtype=object)


def _texts(chunk: Any) -> NDArray[Any]:
    """Text of one chunk; rows with equal text share one object, a missing text is empty."""
    if pa.types.is_null(chunk.type):
        return np.full(len(chunk), "", dtype=object)
    coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    words = np.array([*(word or "" for word in coded.dictionary.to_pylist()), ""], dtype=object)
    return words[coded.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]


def _wrong_type(path: str | os.PathLike[str], column: Column, found: Any) -> FormatError:
    needed = _KINDS.get(str(column.arrow_type), str(column.arrow_type))
    return FormatError(path, None, f"column {column.name}: holds {printable(str(found))}, expected {needed}")


def _digest(spec: TableSpec, columns: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> str:
    """One digest of the values and the metadata."""
    parts: list[str] = []
    for column in spec.columns:
        values = columns[column.name]
        content = json.dumps(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).tobytes()
        parts.append(hashlib.sha256(content).hexdigest())
    return hashlib.sha256(json.dumps([parts, sorted(facts.items())]).encode()).hexdigest()
