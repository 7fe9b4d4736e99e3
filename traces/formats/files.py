"""Files as blocks of whole lines, plain or compressed, and files that appear only when complete.

Everything read here comes from outside: a damaged file, a line without an end or a few bytes that unpack to gigabytes
all end in a :class:`FormatError` that names the file and, where there is one, the line.
"""

import gzip
import os
import re
import stat
import uuid
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from .columnar import ARROW_ERRORS, zstd_reader, zstd_writer

PathLike = str | os.PathLike[str]

BLOCK_BYTES: Final = 1 << 22
MAX_LINE_BYTES: Final = 1 << 16
_NOT_PRINTABLE: Final = re.compile(r"[^ -~\u00a1-\u00ac\u00ae-\u024f]")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def printable(text: str | bytes, limit: int = 60) -> str:
    """Text from a file or a file name as it may be shown: control and direction characters escaped, cut when long."""
    text = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    text = _NOT_PRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class FormatError(ValueError):
    """Something in a file is not what its format allows; ``path:line: problem``, or ``path: problem``."""

    def __init__(self, path: PathLike, line: int | None, problem: str) -> None:
        self.path, self.line, self.problem = os.fspath(path), line, problem
        where = printable(self.path, 4096)
        super().__init__(f"{where}: {problem}" if line is None else f"{where}:{line}: {problem}")


@dataclass(frozen=True)
class Limits:
    """How much a file may unpack to: ``total`` bytes, and ``ratio`` times its size once it is past ``free`` bytes."""

    total: int = 1 << 38
    ratio: int = 500
    free: int = 1 << 26

    def of(self, packed: int) -> int:
        """Most bytes that a compressed file of ``packed`` bytes may hold."""
        return min(self.total, max(self.free, self.ratio * packed))


DEFAULT_LIMITS: Final = Limits()


def check_regular(path: PathLike) -> int:
    """Size of a regular file; raise what fits where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{printable(os.fspath(path), 4096)}: no such file") from None
    except ValueError:  # a NUL in the name
        raise FormatError(path, None, "not a file name") from None
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(path, None, "not a regular file")
    return status.st_size


def suffixes(path: PathLike) -> tuple[str, str]:
    """What the name says: (format suffix, ``.gz`` or ``.zst`` or nothing), in lower case."""
    name = Path(path).name.lower()
    packed = next((s for s in (".gz", ".zst") if name.endswith(s)), "")
    return Path(name.removesuffix(packed)).suffix, packed


@contextmanager
def _open_unpacked(path: PathLike) -> Generator[tuple[BinaryIO, str]]:
    """The bytes of a file, and the name of its packing (by its first bytes, whatever it is called)."""
    with open(path, "rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic.startswith(_GZIP):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast(BinaryIO, unpacked), "gzip"
        elif magic == _ZSTD:
            with zstd_reader(raw) as unpacked:
                yield unpacked, "zstd"
        elif suffixes(path)[1] and magic:
            raise FormatError(path, None, f"named {suffixes(path)[1]} but not compressed so, or damaged")
        else:
            yield raw, ""


def text_blocks(path: PathLike, limits: Limits = DEFAULT_LIMITS, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, bytes]]:
    """The file as (number of the first line, whole lines); only the last block may lack its final line end."""
    allowed = limits.of(check_regular(path))
    rest, line, total = b"", 1, 0
    with _open_unpacked(path) as (file, packing):
        while True:
            fresh = _read(path, file, packing, block_bytes)
            total += len(fresh)
            if packing and total > allowed:
                raise FormatError(path, None, f"unpacks to more than {allowed} bytes")
            if not fresh:
                break
            end = fresh.rfind(b"\n") + 1
            if end == 0:
                rest += fresh
                _check_length(path, line, rest)
                continue
            block = rest + fresh[:end]
            rest = fresh[end:]
            _check_length(path, line + block.count(b"\n"), rest)
            yield line, block
            line += block.count(b"\n")
    if rest:
        yield line, rest


def _check_length(path: PathLike, line: int, unfinished: bytes) -> None:
    if len(unfinished) > MAX_LINE_BYTES:
        raise FormatError(path, line, f"longer than {MAX_LINE_BYTES} bytes")


def _read(path: PathLike, file: BinaryIO, packing: str, size: int) -> bytes:
    """``size`` bytes, fewer only at the end of the file, so that blocks do not depend on how a file is packed."""
    parts: list[bytes] = []
    try:
        while size > 0 and (part := file.read(size)):
            parts.append(part)
            size -= len(part)
    except (EOFError, OSError, zlib.error, *ARROW_ERRORS) as error:
        if not packing:
            raise
        raise FormatError(path, None, f"damaged or cut off {packing} data ({printable(str(error), 100)})") from error
    return b"".join(parts)


@contextmanager
def partial_file(path: PathLike) -> Generator[Path]:
    """A name beside ``path`` to write to; it takes the place of ``path`` when the block ends, and goes if it fails."""
    target = Path(path)
    partial = target.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        yield partial
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def text_writer(path: PathLike) -> Generator[BinaryIO]:
    """A file to write bytes to, compressed as its name says; it appears under its name only when complete."""
    packed = suffixes(path)[1]
    with partial_file(path) as partial, open(partial, "wb") as raw:
        if packed == ".gz":
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as file:
                yield cast(BinaryIO, file)
        elif packed == ".zst":
            with zstd_writer(raw) as file:
                yield file
        else:
            yield raw
