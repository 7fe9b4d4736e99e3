"""What the formats need of pyarrow: zstd streams, columns out of blocks of text, and Parquet files in pieces.

With :mod:`..schema` the only module that touches pyarrow.
"""

# pyarrow ships no type stubs, see ..schema.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..schema import TableSpec

INT32: Final[Any] = pa.int32()
INT8: Final[Any] = pa.int8()
ARROW_ERRORS: Final[tuple[type[Exception], ...]] = (pa.ArrowException,)

Text = tuple[NDArray[np.int32], list[str]]
"""A column of words: the index of each row's word, and the words."""

_TABLE, _DIGEST = "rowline.table", "rowline.digest"
_NOTHING = b"0" * 64


def zstd_reader(raw: BinaryIO) -> BinaryIO:
    """Unpack a zstd stream while it is read."""
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))


def zstd_writer(raw: BinaryIO) -> BinaryIO:
    """Pack into a zstd stream while it is written."""
    return cast(BinaryIO, pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd"))


def split(block: bytes, separator: str, kinds: str) -> list[NDArray[np.int64] | Text] | None:
    """The columns of a block of lines, or None where some line does not fit.

    ``kinds`` has a letter per column: ``i`` integer (decimal, or hexadecimal after ``0x``), ``t`` text, ``-`` left out.
    Empty lines count for nothing. The words of text columns may hold anything but the separator.
    """
    if block.startswith(b"\xef\xbb\xbf"):  # which pyarrow would pass over
        return None
    names = [str(position) for position in range(len(kinds))]
    types = {name: pa.int64() if kind == "i" else pa.string() for name, kind in zip(names, kinds, strict=True)}
    kept = [name for name, kind in zip(names, kinds, strict=True) if kind != "-"]
    read = pc.ReadOptions(column_names=names, use_threads=False, block_size=max(len(block), 1) + 1)
    parse = pc.ParseOptions(delimiter=separator, quote_char=False, escape_char=False)
    convert = pc.ConvertOptions(column_types=types, include_columns=kept, null_values=[], strings_can_be_null=False)
    try:
        table = pc.read_csv(pa.BufferReader(block), read_options=read, parse_options=parse, convert_options=convert)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return [_column(table[name], types[name]) for name in kept]


def _column(column: Any, arrow_type: Any) -> NDArray[np.int64] | Text:
    if arrow_type == pa.int64():
        return column.to_numpy()
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def join(columns: Sequence[NDArray[Any] | Text], separator: str) -> bytes:
    """Lines of text from columns: the inverse of :func:`split`. No word may hold the separator or a line end."""
    arrays: list[Any] = []
    for column in columns:
        if isinstance(column, tuple):
            codes, words = column
            arrays.append(pa.array(words, pa.string()).take(pa.array(np.ascontiguousarray(codes))))
        else:
            arrays.append(pa.array(np.ascontiguousarray(column)))
    table = pa.table(arrays, names=[str(position) for position in range(len(arrays))])
    sink = pa.BufferOutputStream()
    pc.write_csv(table, sink, pc.WriteOptions(include_header=False, delimiter=separator, quoting_style="none"))
    return sink.getvalue().to_pybytes()


class _Digest:
    """One digest of all columns and the metadata, whatever pieces the columns come in."""

    def __init__(self, names: Sequence[str]) -> None:
        self._columns = {name: hashlib.sha256() for name in names}

    def add(self, name: str, values: NDArray[Any]) -> None:
        """More values of a column."""
        self._columns[name].update(np.ascontiguousarray(values).data)

    def text(self, metadata: Mapping[str, str]) -> str:
        """The digest so far."""
        columns = {name: digest.hexdigest() for name, digest in self._columns.items()}
        return hashlib.sha256(json.dumps([columns, sorted(metadata.items())]).encode()).hexdigest()


def write_parquet(
    path: str | os.PathLike[str], spec: TableSpec, pieces: Iterator[Mapping[str, NDArray[Any]]], metadata: Mapping[str, str]
) -> int:
    """Write a table piece by piece and return its rows; each piece becomes a row group."""
    facts = {**metadata, _TABLE: f"{spec.name} {spec.version}"}
    schema = spec.arrow_schema().with_metadata(facts)
    digest, rows = _Digest([c.name for c in spec.columns]), 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for piece in pieces:
            arrays = {c.name: pa.array(piece[c.name], c.arrow_type) for c in spec.columns}
            for name, array in arrays.items():
                digest.add(name, array.to_numpy())
            table = pa.table(arrays, schema=schema)
            writer.write_table(table, row_group_size=max(len(table), 1))
            rows += len(table)
        writer.add_key_value_metadata({_DIGEST: digest.text(facts)})
    return rows


class ParquetPieces:
    """A Parquet table of ours, opened; iterate once for its pieces.

    Any damage ends in a ValueError without the name of the file: of a page at that page, of the footer at the latest
    after the last piece, when the digest is compared.
    """

    def __init__(self, path: str | os.PathLike[str], spec: TableSpec, chunk: int, max_bytes: int) -> None:
        self._spec, self._chunk = spec, chunk
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True, memory_map=False, pre_buffer=False)
            stored: Any = self._file.schema_arrow.metadata or {}
            self.metadata: dict[str, str] = {k.decode(): v.decode() for k, v in stored.items()}
            footer = self._file.metadata
            pages = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"not a readable Parquet file, or damaged ({_brief(error)})") from error
        if self.metadata.get(_TABLE) != f"{spec.name} {spec.version}":
            raise ValueError(f"holds table {self.metadata.get(_TABLE)!r}, expected '{spec.name} {spec.version}'")
        if not self._file.schema_arrow.equals(spec.arrow_schema(), check_metadata=False):
            raise ValueError(f"columns {self._file.schema_arrow.names} do not match {spec.name} version {spec.version}")
        width = sum(c.arrow_type.bit_width // 8 for c in spec.columns)
        unpacked = max(pages, footer.num_rows * width)
        if unpacked > max_bytes:
            raise ValueError(f"unpacks to {unpacked} bytes, more than {max_bytes}")
        kept: Any = self._file.metadata.metadata or {}
        self._expected = kept.get(_DIGEST.encode(), _NOTHING).decode("ascii", "replace")
        self.metadata.pop(_DIGEST, None)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        digest = _Digest([c.name for c in self._spec.columns])
        try:
            for batch in self._file.iter_batches(batch_size=self._chunk):
                piece: dict[str, NDArray[Any]] = {c.name: batch[c.name].to_numpy() for c in self._spec.columns}
                for name, values in piece.items():
                    digest.add(name, values)
                if len(batch):
                    yield piece
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"damaged Parquet data ({_brief(error)})") from error
        finally:
            self._file.close()
        if digest.text(self.metadata) != self._expected:
            raise ValueError("damaged: the digest of the content differs from the one stored")


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
