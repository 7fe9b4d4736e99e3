"""Damaged, huge and strange files: all are refused by name, and memory stays flat."""

import gzip
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rowline.traces.formats.files import DEFAULT_LIMITS, FormatError, Limits, printable, suffixes, text_blocks, text_writer
from rowline.traces.formats.requests import read_requests, write_requests
from rowline.traces.requests import Requests, empty_requests


def some(length: int) -> Requests:
    requests = empty_requests(length)
    rng = np.random.default_rng(7)
    requests["address"], requests["write"] = rng.integers(0, 2**34, length), rng.integers(0, 2, length)
    return requests


def drain(path: Path, format: str = "auto", limits: Limits = DEFAULT_LIMITS) -> int:
    return sum(len(chunk) for chunk in read_requests(path, format, limits=limits))


def refused(path: Path, call: Callable[[], object]) -> str:
    """The complaint about a file, without its name."""
    with pytest.raises(FormatError) as error:
        call()
    assert str(error.value).startswith(f"{printable(str(path), 4096)}:")
    assert str(error.value).isprintable()
    return str(error.value).removeprefix(f"{printable(str(path), 4096)}")


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_every_truncation_is_seen(tmp_path: Path, packing: str) -> None:
    whole = tmp_path / f"x{packing}"
    write_requests(whole, [some(2000)], "ramulator")
    data = whole.read_bytes()
    for length in sorted({*range(5, 40), *range(40, len(data), 97), len(data) - 1, len(data) - 4, len(data) - 8}):
        path = tmp_path / f"cut{packing}"
        path.write_bytes(data[:length])
        assert "damaged or cut off" in refused(path, lambda path=path: drain(path, "ramulator"))


def test_an_empty_file_is_not_packed(tmp_path: Path) -> None:
    for name in ("x", "x.gz", "x.zst"):
        (tmp_path / name).touch()
        assert drain(tmp_path / name, "ramulator") == 0


def test_bit_flips_in_gzip_are_seen_or_harmless(tmp_path: Path) -> None:
    """A flip in the header of a gzip file (its time, its name) changes nothing that is read."""
    whole, path = tmp_path / "x.gz", tmp_path / "flipped.gz"
    requests = some(500)
    write_requests(whole, [requests], "ramulator")
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(3)
    seen = 0
    for place in rng.integers(0, len(data) * 8, 150).tolist():
        flipped = data.copy()
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert np.concatenate(list(read_requests(path, "ramulator"))).tolist() == requests.tolist()
        except FormatError:
            seen += 1
    assert seen > 140


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damage_in_parquet_is_seen(tmp_path: Path, damage: str) -> None:
    whole, path = tmp_path / "x.parquet", tmp_path / "y.parquet"
    requests = some(3000)
    write_requests(whole, [requests[:1000], requests[1000:]], "parquet")
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(5)
    harmless = 0
    for place in rng.integers(0, len(data) * 8, 250).tolist():
        broken = data.copy()
        if damage == "cut":
            broken = broken[: place // 8]
        else:
            broken[place // 8] ^= 1 << place % 8
        path.write_bytes(broken)
        try:
            assert np.concatenate(list(read_requests(path, "parquet"))).tolist() == requests.tolist()
            harmless += 1  # a statistic or the name of the writing program, which no reader looks at
        except FormatError as error:
            assert str(path) in str(error)
    assert harmless == 0 if damage == "cut" else harmless < 60


def test_a_parquet_of_another_kind(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    assert refused(path, lambda: drain(path)) == ": holds table None, expected 'requests 1'"
    path.write_bytes(b"PAR1 and nothing else")
    assert "not a readable Parquet file, or damaged" in refused(path, lambda: drain(path))
    path.write_bytes(b"")
    assert "not a readable Parquet file, or damaged" in refused(path, lambda: drain(path))


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("line", [b"\n", b"LD 1\n"])
def test_bombs(tmp_path: Path, packing: str, line: bytes) -> None:
    path = tmp_path / f"x{packing}"
    with text_writer(path) as file:
        for _ in range(100):
            file.write(line * (1 << 20) if line == b"\n" else line * (1 << 18))
    assert path.stat().st_size < 400_000
    allowed = max(1 << 26, 500 * path.stat().st_size)
    assert refused(path, lambda: drain(path, "ramulator")) == f": unpacks to more than {allowed} bytes"
    assert drain(path, "ramulator", Limits(ratio=10**6)) == (0 if line == b"\n" else 100 << 18)


def test_a_parquet_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_requests(path, (np.repeat(some(1), 1 << 18) for _ in range(20)), "parquet")
    rows = 20 << 18
    assert path.stat().st_size < 300_000
    assert refused(path, lambda: drain(path)) == f": unpacks to {rows * 45} bytes, more than {500 * path.stat().st_size}"
    assert drain(path, limits=Limits(ratio=10**6)) == rows


def test_a_line_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"LD 1\n" + b"9" * 9_000_000)
    assert refused(tmp_path / "x", lambda: drain(tmp_path / "x")) == ":2: longer than 65536 bytes"
    (tmp_path / "y.gz").write_bytes(gzip.compress(b"\0" * 9_000_000))
    assert refused(tmp_path / "y.gz", lambda: drain(tmp_path / "y.gz")) == ":1: longer than 65536 bytes"


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/nowhere: no such file$"):
        read_requests(tmp_path / "nowhere")
    assert refused(tmp_path, lambda: read_requests(tmp_path)) == ": not a regular file"
    os.mkfifo(tmp_path / "fifo")
    assert refused(tmp_path / "fifo", lambda: read_requests(tmp_path / "fifo")) == ": not a regular file"
    assert refused(Path("/dev/null"), lambda: read_requests("/dev/null")) == ": not a regular file"
    with pytest.raises(FormatError, match=r"a\\x00b: not a file name"):
        read_requests("a\0b")


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "a\u202eb", "a\x7fb", "a\x9bb"])
def test_control_characters_of_a_name_are_escaped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("LD\n")
    assert "1 field, expected 2" in refused(path, lambda: drain(path))
    with pytest.raises(FileNotFoundError) as error:
        read_requests(tmp_path / f"{name}x")
    assert str(error.value).isprintable()


def test_a_packed_name_on_a_plain_file(tmp_path: Path) -> None:
    for name in ("x.gz", "x.zst"):
        (tmp_path / name).write_text("LD 1\n")
        packing = name[1:]
        expected = f": named {packing} but not compressed so, or damaged"
        assert refused(tmp_path / name, lambda name=name: drain(tmp_path / name, "ramulator")) == expected
    (tmp_path / "plain").write_bytes(gzip.compress(b"LD 1\n"))
    assert drain(tmp_path / "plain") == 1


def test_names(tmp_path: Path) -> None:
    assert suffixes("a/B.CSV.GZ") == (".csv", ".gz")
    assert suffixes("x.parquet") == (".parquet", "")
    assert suffixes("trace") == ("", "")
    assert printable("x" * 100) == "x" * 57 + "..."
    assert printable(b"\xff\x00") == "\\xff\\x00"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_blocks_are_whole_lines_whatever_their_size(tmp_path: Path, size: int) -> None:
    content = b"".join(b"%d\n" % number * (number % 3) for number in range(200)) + b"end"
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    blocks = list(text_blocks(tmp_path / "x.gz", block_bytes=size))
    assert b"".join(block for _, block in blocks) == content
    assert all(block.endswith(b"\n") for _, block in blocks[:-1])
    for line, block in blocks:
        assert content.split(b"\n")[line - 1] == block.split(b"\n")[0]


def test_memory_is_flat_in_the_length_of_a_trace(tmp_path: Path) -> None:
    peaks: list[int] = []
    for times in (3, 15):
        path = tmp_path / f"{times}.gz"
        write_requests(path, (some(200_000) for _ in range(times)), "ramulator")
        tracemalloc.start()
        assert drain(path) == 200_000 * times
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 5_000_000 < 150_000_000


def test_two_million_lines_in_little_memory(tmp_path: Path) -> None:
    """Of the whole process, so that what pyarrow and zlib take counts as well."""
    path = tmp_path / "x.zst"
    write_requests(path, (some(200_000) for _ in range(10)), "ramulator")
    code = (
        "import resource, sys\nfrom rowline.traces.formats.requests import read_requests\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(sum(len(c) for c in read_requests(sys.argv[1])), "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120, check=True)
    requests, kilobytes = map(int, done.stdout.split())
    assert requests == 2_000_000
    assert kilobytes < 150_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
