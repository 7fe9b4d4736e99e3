"""Request traces: what is written is read again, fast and slow readers agree, and every bad line is named by its number."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rowline.traces.formats import columnar, text
from rowline.traces.formats.dramsim3 import RequestLines
from rowline.traces.formats.files import FormatError, text_blocks
from rowline.traces.formats.ramulator import AddressLines, VectorLines
from rowline.traces.formats.requests import FORMATS, detect, read_requests, write_requests
from rowline.traces.requests import REQUEST, VECTOR, Requests, empty_requests

LEVELS = ("channel", "pseudo_channel", "rank", "bank_group", "bank", "row", "column")
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAKERS = {"ramulator": AddressLines, "ramulator-vector": lambda: VectorLines(LEVELS), "dramsim3": RequestLines}


def some(length: int, format: str, seed: int = 1) -> Requests:
    """Random requests that a format can hold."""
    rng = np.random.default_rng(seed)
    requests = empty_requests(length)
    requests["write"] = rng.integers(0, 2, length)
    if format != "ramulator-vector":
        requests["address"] = rng.integers(0, 2**62, length) >> rng.integers(0, 62, length)
    if format in ("ramulator-vector", "parquet"):
        for level in LEVELS:
            requests[level] = rng.integers(0, 2**31, length) >> rng.integers(0, 31, length)
    if format in ("dramsim3", "parquet"):
        requests["arrive"] = np.cumsum(rng.integers(0, 1000, length))
    return requests


def cut(requests: Requests, step: int) -> Iterator[Requests]:
    return (requests[begin : begin + step] for begin in range(0, len(requests), step))


def read(path: Path, format: str = "auto", chunk: int = 1 << 18) -> Requests:
    chunks = list(read_requests(path, format, LEVELS, chunk))
    assert all(0 < len(each) <= chunk for each in chunks)
    return np.concatenate(chunks) if chunks else empty_requests(0)


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("format", FORMATS)
@RELAXED
@given(length=st.integers(0, 200), seed=st.integers(0, 10**6), step=st.integers(1, 250), chunk=st.integers(1, 250))
def test_round_trip(tmp_path: Path, format: str, packing: str, length: int, seed: int, step: int, chunk: int) -> None:
    path = tmp_path / f"x{'' if format == 'parquet' else packing}"
    requests = some(length, format, seed)
    assert write_requests(path, cut(requests, step), format, LEVELS) == length
    assert read(path, format, chunk).tolist() == requests.tolist()
    if length:
        assert detect(path) == format
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", ["ramulator", "ramulator-vector", "dramsim3"])
def test_round_trip_over_many_blocks(tmp_path: Path, format: str) -> None:
    requests = some(300_000, format)
    write_requests(tmp_path / "x.gz", cut(requests, 7001), format, LEVELS)
    assert len(list(text_blocks(tmp_path / "x.gz"))) > 1
    assert (read(tmp_path / "x.gz", chunk=100_000) == requests).all()


def test_the_writer_packs_as_the_name_says_and_always_the_same(tmp_path: Path) -> None:
    requests = some(100, "ramulator")
    for name in ("a.gz", "b.gz", "a.zst", "b.zst"):
        write_requests(tmp_path / name, [requests], "ramulator")
    assert (tmp_path / "a.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / "a.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.zst").read_bytes() == (tmp_path / "b.zst").read_bytes()


PIECES = {
    "ramulator": ("LD", "ST", "ld", "0x", "0X1f", "7", "-0", "-1", "4611686018427387905", "00", "0xG", "R", "\x00", "é", "1e3"),
    "ramulator-vector": ("R 1,2,3,4,5,6,7", "W ", "R,", "1,2,3,4,5,6,7", "W 1,2,3,4,5,6", "-1", "0x1f", "2147483648", "R R"),
    "dramsim3": ("0x10 READ 5", "10 WRITE 5", "ff", "READ", "WRITE", "BOFF", "0x", "9", "0x9", "-5", "0x1G", "5 READ", "é"),
}


@pytest.mark.parametrize("format", PIECES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_the_fast_reader_and_the_slow_one_agree(format: str, data: st.DataObject) -> None:
    """Where the fast one answers at all, the slow one says the same, line for line."""
    piece = st.sampled_from([*PIECES[format], " ", " ", "\n", "\t", "#c", ",", "\r\n", "\r", "1", "0x2", '"', "\ufeff"])
    block = "".join(data.draw(st.lists(piece, min_size=1, max_size=14))).encode()
    if b"\r" in block.replace(b"\r\n", b""):
        return  # such a block never gets to the fast one
    block = block.replace(b"\r\n", b"\n")
    for tidied in (block, text.tidy(block)):
        fast = MAKERS[format]().fast(tidied)
        if fast is not None:
            slow = MAKERS[format]()
            rows = [slow.slow(fields) for line in block.split(b"\n") if (fields := text.fields_of(line))]
            assert np.array(rows, REQUEST).tolist() == fast.tolist()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("LD 0x40\nST 64\n", [(0x40, 0), (64, 1)]),
        ("LD 0X4F\r\nST 010\r\n", [(0x4F, 0), (10, 1)]),
        ("# a trace\n\n  LD\t 5 # five\n\nST 6", [(5, 0), (6, 1)]),
        ("\ufeffLD 5\n", [(5, 0)]),
        (f"LD {2**62}\nST 0x{2**62:x}\n", [(2**62, 0), (2**62, 1)]),
        ("LD 0x00000000000000000001\n", [(1, 0)]),
    ],
)
def test_what_a_line_may_look_like(tmp_path: Path, content: str, expected: list[tuple[int, int]]) -> None:
    (tmp_path / "x").write_bytes(content.encode())
    assert read(tmp_path / "x")[["address", "write"]].tolist() == expected


def test_addresses_of_dramsim3_are_hexadecimal(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("10 READ 0\n0x10 write 3\nFF P_MEM_WR 3\n  a  BOFF\t9\n")
    requests = read(tmp_path / "x")
    assert requests[["address", "write", "arrive"]].tolist() == [(16, 0, 0), (16, 1, 3), (255, 1, 3), (10, 1, 9)]


def test_vectors_go_by_the_levels_given(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("R 1,2,3,4,5,6\nW 0,0x10,0,0,7,0\n")
    requests = np.concatenate(list(read_requests(tmp_path / "x")))
    assert requests[list(VECTOR)].tolist() == [(1, -1, 2, 3, 4, 5, 6), (0, -1, 16, 0, 0, 7, 0)]
    gddr6 = np.concatenate(
        list(read_requests(tmp_path / "x", levels=("pseudo_channel", "rank", "bank_group", "bank", "row", "column")))
    )
    assert gddr6[list(VECTOR)].tolist()[0] == (-1, 1, 2, 3, 4, 5, 6)
    for levels in (("row", "row"), ("bank",), ("row", "colum")):
        with pytest.raises(ValueError, match="level"):
            list(read_requests(tmp_path / "x", levels=levels))


OK = {"ramulator": "LD 0x1\n", "ramulator-vector": "R 1,2,3,4,5,6,7\n", "dramsim3": "0x1 READ 9\n"}
BAD = [
    ("ramulator", "LD", "1 field, expected 2: LD or ST, address"),
    ("ramulator", "LD 1 2", "3 fields, expected 2: LD or ST, address"),
    ("ramulator", "LD 1 ST 2", "4 fields, expected 2: LD or ST, address"),
    ("ramulator", "ld 1", "unknown operation ld, expected LD or ST"),
    ("ramulator", "LDX 1", "unknown operation LDX, expected LD or ST"),
    ("ramulator", "0x40", "unknown operation 0x40, expected LD or ST"),
    ("ramulator", "0x40 LD", "unknown operation 0x40, expected LD or ST"),
    ("ramulator", '"LD" 1', 'unknown operation "LD", expected LD or ST'),
    ("ramulator", "LD -1", "address -1 is negative"),
    ("ramulator", "LD -0x10", "address -0x10 is negative"),
    ("ramulator", "LD +1", "address +1 is no whole number"),
    ("ramulator", "LD 1.0", "address 1.0 is no whole number"),
    ("ramulator", "LD 1e3", "address 1e3 is no whole number"),
    ("ramulator", "LD 1_000", "address 1_000 is no whole number"),
    ("ramulator", "LD 0x", "address 0x is no whole number"),
    ("ramulator", "LD 0x1G", "address 0x1G is no whole number"),
    ("ramulator", "LD 1f", "address 1f is no whole number"),
    ("ramulator", "LD nan", "address nan is no whole number"),
    ("ramulator", "LD ,", "address , is no whole number"),
    ("ramulator", "LD 4611686018427387905", "address 4611686018427387905 is beyond 4611686018427387904"),
    ("ramulator", "LD 0xFFFFFFFFFFFFFFFF", "address 0xFFFFFFFFFFFFFFFF is beyond 4611686018427387904"),
    ("ramulator", "LD 18446744073709551617", "address 18446744073709551617 is beyond 4611686018427387904"),
    ("ramulator", "LD " + "9" * 31, f"address {'9' * 31} is no whole number"),
    ("ramulator", "LD " + "9" * 5000, f"address {'9' * 57}... is no whole number"),
    ("ramulator", "LD \u0661", "address \\u0661 is no whole number"),
    ("ramulator", "LD 1\x0b", "address 1\\x0b is no whole number"),
    ("ramulator", "LD 1\r2", "address 1\\r2 is no whole number"),
    ("ramulator", "LD 1\rST 2", "3 fields, expected 2: LD or ST, address"),
    ("ramulator", "LD\x00 1", "unknown operation LD\\x00, expected LD or ST"),
    ("ramulator", "L\x1b[31mD 1", "unknown operation L\\x1b[31mD, expected LD or ST"),
    ("ramulator", "\ufeffLD 1", "unknown operation \\ufeffLD, expected LD or ST"),
    ("ramulator", "L\u202eD 1", "unknown operation L\\u202eD, expected LD or ST"),
    ("ramulator-vector", "R", "1 field, expected 2: R or W, vector without blanks"),
    ("ramulator-vector", "R 1, 2,3,4,5,6,7", "3 fields, expected 2: R or W, vector without blanks"),
    ("ramulator-vector", "R 1 2,3,4,5,6,7", "3 fields, expected 2: R or W, vector without blanks"),
    ("ramulator-vector", "r 1,2,3,4,5,6,7", "unknown operation r, expected R or W"),
    ("ramulator-vector", "R,1,2,3,4,5,6,7", "unknown operation R,1,2,3,4,5,6,7, expected R or W"),
    ("ramulator-vector", "LD 0x1", "unknown operation LD, expected R or W"),
    ("ramulator-vector", "R 1,2,3,4,5,6", f"vector of 6 numbers, expected 7: {','.join(LEVELS)}"),
    ("ramulator-vector", "R 1,2,3,4,5,6,7,8", f"vector of 8 numbers, expected 7: {','.join(LEVELS)}"),
    ("ramulator-vector", "R 1", f"vector of 1 number, expected 7: {','.join(LEVELS)}"),
    ("ramulator-vector", "R 1,2,3,4,5,,7", "row  is no whole number"),
    ("ramulator-vector", "R 1,2,3,4,-1,6,7", "bank -1 is negative"),
    ("ramulator-vector", "R 1,2,3,x,5,6,7", "bank_group x is no whole number"),
    ("ramulator-vector", "W 1,2,3,4,5,2147483648,7", "row 2147483648 is beyond 2147483647"),
    ("ramulator-vector", "W 1,2,3,4,5,6,0x1ffffffff", "column 0x1ffffffff is beyond 2147483647"),
    ("dramsim3", "0x1 READ", "2 fields, expected 3: address, operation, cycle"),
    ("dramsim3", "0x1", "1 field, expected 3: address, operation, cycle"),
    ("dramsim3", "0x1 READ 9 9", "4 fields, expected 3: address, operation, cycle"),
    ("dramsim3", "READ 0x1 9", "address READ is no whole number"),
    ("dramsim3", "0x1 READS 9", "unknown operation READS, expected READ or WRITE"),
    ("dramsim3", "0x1 R 9", "unknown operation R, expected READ or WRITE"),
    ("dramsim3", "0x READ 9", "address 0x is no whole number"),
    ("dramsim3", "xyz READ 9", "address xyz is no whole number"),
    ("dramsim3", "-4 READ 9", "address -4 is negative"),
    ("dramsim3", "4000000000000001 READ 9", "address 4000000000000001 is beyond 4611686018427387904"),
    ("dramsim3", "0x1 READ 0x9", "cycle 0x9 is not decimal"),
    ("dramsim3", "0x1 READ -9", "cycle -9 is negative"),
    ("dramsim3", "0x1 READ 9.5", "cycle 9.5 is no whole number"),
    ("dramsim3", "0x1 READ 4611686018427387905", "cycle 4611686018427387905 is beyond 4611686018427387904"),
    ("dramsim3", "0x1 READ 8", "cycle 8 comes before cycle 9 of the request before"),
    ("dramsim3", "0x1,READ,9", "1 field, expected 3: address, operation, cycle"),
]


@pytest.mark.parametrize("before", ["", "# first\n\n", 3000])
@pytest.mark.parametrize(("format", "line", "problem"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, format: str, line: str, problem: str, before: str | int) -> None:
    head = before if isinstance(before, str) else OK[format] * before
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress((head + OK[format] + line + "\n" + OK[format]).encode()))
    with pytest.raises(FormatError) as error:
        read(path, format)
    number = head.count("\n") + 2
    assert str(error.value) == f"{path}:{number}: {problem}"
    assert (error.value.line, error.value.problem, error.value.path) == (number, problem, str(path))
    assert str(error.value).isprintable()


def test_a_bad_line_in_a_late_block(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("LD 0x123456\n" * 800_000 + "LD\n" + "LD 1\n" * 100_000)
    with pytest.raises(FormatError, match=r"x:800001: 1 field, expected 2"):
        for _ in read_requests(tmp_path / "x"):
            pass


def test_a_cycle_that_falls_between_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("0x1 READ 5\n0x1 READ 4\n")
    lines = RequestLines()
    with pytest.raises(FormatError, match="x:2: cycle 4 comes before cycle 5"):
        list(text.read_lines(tmp_path / "x", lines, 10, block_bytes=8))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ": holds no request to tell the format by"),
        ("# nothing\n\n", ": holds no request to tell the format by"),
        (
            "hello world\n",
            ":1: no format of requests known here: expected LD/ST address, R/W vector or address op cycle, not hello world",
        ),
        ("# x\nAiM EOC\n", ":2: an AiM ISR trace, which holds instructions and not requests"),
        ("W GPR 0\n", ":1: an AiM ISR trace, which holds instructions and not requests"),
        ("1 2 3\n", ":1: no format of requests known here: expected LD/ST address, R/W vector or address op cycle, not 1 2 3"),
        (
            "\x1b[31m\n",
            ":1: no format of requests known here: expected LD/ST address, R/W vector or address op cycle, not \\x1b[31m",
        ),
    ],
)
def test_no_format_to_be_told(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(FormatError) as error:
        read_requests(tmp_path / "x")  # before any iteration
    assert str(error.value) == f"{tmp_path / 'x'}{problem}"


def test_names_that_are_no_format(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("LD 1\n")
    for call in (lambda: read_requests(tmp_path / "x", "ramulator3"), lambda: write_requests(tmp_path / "y", [], "x\x1b")):
        with pytest.raises(ValueError, match=r"no format '.*' of requests; there are auto, ramulator,") as error:
            call()
        assert "\x1b" not in str(error.value)
    assert not (tmp_path / "y").exists()


def changed(**fields: int) -> Requests:
    requests = some(5, "parquet")
    for name, value in fields.items():
        requests[name][3] = value
    return requests


@pytest.mark.parametrize(
    ("requests", "format", "problem"),
    [
        (changed(address=-1), "ramulator", "request 8 has no address, which ramulator needs"),
        (changed(bank=-1), "ramulator-vector", "request 8 has no bank, which ramulator-vector needs"),
        (changed(arrive=-1), "dramsim3", "request 8 arrives before cycle 0"),
        (changed(arrive=0), "dramsim3", "request 8 arrives before the one before it"),
        (changed(arrive=0), "parquet", "request 8 arrives before the one before it"),
        (changed(write=2), "parquet", "request 8 is neither a read (0) nor a write (1)"),
        (changed(address=2**62 + 1), "ramulator", "request 8 has an address beyond 4611686018427387904"),
        (changed(row=-2), "parquet", "request 8 has a negative row"),
        (changed(row=-1, address=-1), "parquet", "request 8 has neither an address nor a row"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, requests: Requests, format: str, problem: str) -> None:
    first = some(5, "parquet")
    first["arrive"] = 0
    with pytest.raises(ValueError) as error:
        write_requests(tmp_path / "x", iter([first, requests]), format, LEVELS)
    assert str(error.value) == problem
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_stopped_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"before")

    def chunks() -> Iterator[Requests]:
        yield some(10, "ramulator")
        raise KeyboardInterrupt

    for format in ("ramulator", "parquet"):
        with pytest.raises(KeyboardInterrupt):
            write_requests(tmp_path / "x.gz", chunks(), format)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.gz", b"before")]


def test_split_refuses_what_is_no_column() -> None:
    for block in (b"LD\n", b"LD 1 2\n", b"LD x\n", b"LD \n", b"\xff 1\n", b""):
        assert columnar.split(block, " ", "ti") is None
