"""How a table of Rowline is declared, written and read.

A column is declared once, beside the dataclass field it belongs to (`column(...)` as the field's metadata): its Arrow
type, its unit and its meaning. The Arrow schema, the file's column comments and the checks on reading all derive from
that declaration.

Files are Parquet with zstd pages. Each page carries a CRC that is verified on reading; the callers add a digest of
the content to the file metadata, because page checksums do not cover the file's footer. This is the only module that
touches pyarrow.
"""

# pyarrow ships no type stubs, so all that comes from it is unknown to a strict checker; it stays inside this module.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

INT64: Final[Any] = pa.int64()
FLOAT64: Final[Any] = pa.float64()
BOOL: Final[Any] = pa.bool_()
STRING: Final[Any] = pa.string()
STRINGS: Final[Any] = pa.list_(pa.string())
INTS: Final[Any] = pa.list_(pa.int64())
SHAPES: Final[Any] = pa.list_(pa.list_(pa.int64()))

_TABLE_KEY = "rowline.table"
_VERSION_KEY = "rowline.version"


@dataclass(frozen=True)
class Column:
    """One declared column.

    `arrow_type` is a pyarrow DataType, `unit` the unit of the numbers ("1" for a count, "" where there is none),
    `meaning` one sentence for the reader of a file.
    """

    name: str
    arrow_type: Any
    unit: str
    meaning: str


def column(arrow_type: Any, unit: str, meaning: str) -> dict[str, Any]:
    """The metadata of a dataclass field that is a column: `x: int = field(metadata=column(INT64, "byte", "..."))`."""
    return {"arrow_type": arrow_type, "unit": unit, "meaning": meaning}


def columns_of(row_class: type[Any]) -> tuple[Column, ...]:
    """The columns that the fields of dataclass `row_class` declare, in field order."""
    return tuple(
        Column(f.name, f.metadata["arrow_type"], f.metadata["unit"], f.metadata["meaning"]) for f in fields(row_class)
    )


@dataclass(frozen=True)
class TableSpec:
    """Name, version and columns of one kind of table.

    The version goes up whenever a column changes its type or its meaning.
    """

    name: str
    version: int
    columns: tuple[Column, ...]

    def arrow_schema(self) -> Any:
        """The pyarrow Schema; unit and meaning are the metadata of each field."""
        return pa.schema(
            [
                pa.field(c.name, c.arrow_type, nullable=False, metadata={"unit": c.unit, "meaning": c.meaning})
                for c in self.columns
            ]
        )


def write_table(
    path: str | os.PathLike[str], spec: TableSpec, data: Mapping[str, Sequence[Any]], metadata: Mapping[str, str]
) -> None:
    """Write `data` (column name -> values of equal length) to `path`, all or nothing.

    `metadata` goes into the file's key-value metadata beside the table's name and schema version. The file appears
    under its name only when it is complete. Raises OSError if the folder cannot be written.
    """
    names = {_TABLE_KEY: spec.name, _VERSION_KEY: str(spec.version)}
    schema = spec.arrow_schema().with_metadata({**metadata, **names})
    table = pa.table({c.name: pa.array(data[c.name], c.arrow_type) for c in spec.columns}, schema=schema)
    target = Path(path)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_table(path: str | os.PathLike[str], spec: TableSpec) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Read the rows and the file metadata of a table of kind `spec`.

    Raises FileNotFoundError if there is no such file; ValueError, naming the file, if it is damaged, is another kind
    of table, has another schema version or other columns.
    """
    table, metadata = _read(path, spec)
    try:
        return table.to_pylist(), metadata
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged values ({error})") from error


def read_columns(path: str | os.PathLike[str], spec: TableSpec) -> dict[str, Any]:
    """Read a table of kind `spec` as name -> numpy array, each in one piece; raises as :func:`read_table`."""
    table, _ = _read(path, spec)
    try:
        table.validate(full=True)
        return {name: table[name].to_numpy() for name in table.column_names}
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged values ({error})") from error


def table_name(path: str | os.PathLike[str]) -> str | None:
    """Which kind of table a Parquet file says that it holds; None where it does not say.

    Raises ValueError if it is no Parquet file.
    """
    try:
        metadata = pq.ParquetFile(path).schema_arrow.metadata or {}
        name = metadata.get(_TABLE_KEY.encode())
        return None if name is None else name.decode()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file, or damaged ({error})") from error


def _read(path: str | os.PathLike[str], spec: TableSpec) -> tuple[Any, dict[str, str]]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file, or damaged ({error})") from error
    _check_kind(path, spec, table.schema, metadata)
    return table, metadata


def _check_kind(path: str | os.PathLike[str], spec: TableSpec, schema: Any, metadata: Mapping[str, str]) -> None:
    """Raise ValueError unless the file says that it is a `spec` table of this version with these columns."""
    name = metadata.get(_TABLE_KEY)
    if name != spec.name:
        raise ValueError(f"{path}: holds table {name!r}, expected {spec.name!r}")
    version = metadata.get(_VERSION_KEY)
    if version != str(spec.version):
        raise ValueError(f"{path}: {spec.name} schema version {version}, this Rowline reads version {spec.version}")
    if not schema.equals(spec.arrow_schema(), check_metadata=False):
        raise ValueError(f"{path}: columns {schema.names} do not match {spec.name} version {spec.version}")
