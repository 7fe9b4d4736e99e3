"""Command logs in and out: round trips, peers' names, Chrome events, bad lines by number."""

import csv
import gzip
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rowline.traces.commands import ISSUED, IssueLog
from rowline.traces.formats.chrome import DataBus, microseconds, write_chrome
from rowline.traces.formats.commandlog import PLACES, our_names, read_command_log
from rowline.traces.formats.files import FormatError
from rowline.traces.formats.header import LoggedCommand, LogHeader
from rowline.traces.formats.logwriters import CSV_COLUMNS, FORMATS, write_command_log

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram"
RELAXED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

COMMANDS = (
    LoggedCommand("ACT", "bank", "open"),
    LoggedCommand("PRE", "bank", "close"),
    LoggedCommand("RD", "bank", "access"),
    LoggedCommand("WRA", "bank", "access_close"),
    LoggedCommand("ACT4", "bank_group", "open"),
    LoggedCommand("REFab", "rank", "refresh"),
    LoggedCommand("REFsb", "rank", "refresh", stripe=True),
    LoggedCommand("PREA", "pseudo_channel", "close"),
    LoggedCommand("TMOD", "channel"),
)
HBM = LogHeader("hbm", "hbm2", 10**9, COMMANDS, ("tRCD", "tRP"), 4, 2, ranks=3, pseudo_channels=2, channel=5)
GDDR = LogHeader("gddr", "gddr6", 1_750_000_000, COMMANDS, ("tRCD", "tRP"), 4, 4)
UNITS = {"bank": 48, "bank_group": 24, "rank": 6, "pseudo_channel": 2, "channel": 1}


def log_of(*rows: tuple[int, str, int, int, int, int]) -> IssueLog:
    """A log of (cycle, command, unit, row, column, rule)."""
    names = [command.name for command in COMMANDS]
    log = np.zeros(len(rows), ISSUED)
    for place, (cycle, name, unit, row, col, rule) in enumerate(rows):
        log[place] = np.array((cycle, names.index(name), unit, row, col, rule), log.dtype)
    return log


def some(length: int, seed: int, header: LogHeader = HBM) -> IssueLog:
    """Random rows that fit the header, whether a DRAM would take them or not."""
    rng = np.random.default_rng(seed)
    log = np.zeros(length, ISSUED)
    log["cycle"] = np.cumsum(rng.integers(0, 5, length))
    log["cmd"] = rng.integers(0, len(COMMANDS), length)
    stripes = [command.stripe for command in COMMANDS]
    most = [
        header.banks // header.bank_groups if s else header.banks // header.sizes()[list(UNITS).index(c.footprint)]
        for c, s in zip(COMMANDS, stripes, strict=True)
    ]
    log["unit"] = rng.integers(0, 2**31, length) % np.array(most)[log["cmd"]]
    for name in ("row", "col"):
        log[name] = rng.integers(-1, 1000, length)
    log["rule"] = rng.integers(-5, 2, length)
    return log


def cut(log: IssueLog, step: int) -> Iterator[IssueLog]:
    return (log[begin : begin + step] for begin in range(0, len(log), step))


def expected(log: IssueLog, header: LogHeader) -> list[tuple[Any, ...]]:
    """What a reader has to give back, by the slow definition of places: the banks that a command touches."""
    rows: list[tuple[Any, ...]] = []
    for cycle, cmd, unit, row, col in log[["cycle", "cmd", "unit", "row", "col"]].tolist():
        banks = header.touched(cmd, unit)
        digits = [header.pseudo_channels, header.ranks, header.bank_groups, header.banks_per_group]
        place: list[int] = []
        for level in range(4):
            below = int(np.prod(digits[level + 1 :], initial=1))
            found = {bank // below % digits[level] for bank in banks}
            footprint = header.commands[cmd].footprint
            finer = list(UNITS).index(footprint) > 3 - level and not (header.commands[cmd].stripe and level == 3)
            place.append(-1 if finer else found.pop())
            assert finer or not found
        rows.append((cycle, header.names[cmd], header.channel, *place, row, col))
    return rows


def rows_of(path: Path, chunk: int = 1 << 18) -> list[tuple[Any, ...]]:
    log = read_command_log(path, chunk)
    chunks = list(log)
    assert all(0 < len(each) <= chunk for each in chunks)
    return [(clk, log.names[cmd], *rest) for each in chunks for clk, cmd, *rest in each.tolist()]


@pytest.mark.parametrize("header", [HBM, GDDR], ids=["hbm", "gddr"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("format", FORMATS)
@RELAXED
@given(length=st.integers(1, 120), seed=st.integers(0, 10**6), step=st.integers(1, 150), chunk=st.integers(1, 150))
def test_round_trip(
    tmp_path: Path, header: LogHeader, packing: str, format: str, length: int, seed: int, step: int, chunk: int
) -> None:
    path = tmp_path / f"log{packing if format != 'parquet' else '.parquet'}"
    log = some(length, seed, header)
    assert write_command_log(path, cut(log, step), header, format) == length
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    ours, theirs = expected(log, header), rows_of(path, chunk)
    theirs = [(clk, our_names([name])[0], *rest) for clk, name, *rest in theirs]
    if format == "dramsim3":  # which knows no pseudo-channels
        ours = [(clk, name, channel, 0, *rest) for clk, name, channel, _, *rest in ours]
    if format == "ramulator":  # which does not name a level of one
        single = [header.pseudo_channels == 1, header.ranks == 1]
        ours = [(*row[:3], *(0 if one else level for one, level in zip(single, row[3:5], strict=True)), *row[5:]) for row in ours]
    assert theirs == ours


@RELAXED
@given(length=st.integers(0, 100), seed=st.integers(0, 10**6))
def test_parquet_gives_the_issue_log_back(tmp_path: Path, length: int, seed: int) -> None:
    log = some(length, seed)
    write_command_log(tmp_path / "x.parquet", cut(log, 40), HBM)
    found = read_command_log(tmp_path / "x.parquet")
    assert found.header == HBM and found.names == HBM.names
    assert [row for chunk in found.issues() for row in chunk.tolist()] == log.tolist()


def test_the_csv(tmp_path: Path) -> None:
    log = log_of((3, "ACT", 47, 7, -1, -1), (9, "RD", 47, 7, 2, 0), (9, "REFsb", 3, -1, -1, -3), (12, "TMOD", 0, -1, -1, -4))
    write_command_log(tmp_path / "x.csv.gz", [log], HBM)
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()).decode().splitlines() == [
        CSV_COLUMNS,
        "3,ACT,5,1,2,3,1,7,-1,start",
        "9,RD,5,1,2,3,1,7,2,tRCD",
        "9,REFsb,5,0,1,-1,1,-1,-1,refresh_due",
        "12,TMOD,5,-1,-1,-1,-1,-1,-1,order",
    ]


def test_the_texts_of_the_peers(tmp_path: Path) -> None:
    log = log_of((3, "ACT", 15, 0x1F, -1, -1), (9, "PREA", 0, -1, -1, 0), (12, "TMOD", 0, -1, -1, 0))
    write_command_log(tmp_path / "r", [log], GDDR, "ramulator")
    assert (tmp_path / "r").read_text().splitlines() == [
        "clock,command,Channel,BankGroup,Bank,Row,Column,type,source",
        "3,ACT,0,3,3,31,-1,-1,-1",
        "9,PREab,0,-1,-1,-1,-1,-1,-1",
        "12,TMOD,0,-1,-1,-1,-1,-1,-1",
    ]
    write_command_log(tmp_path / "d", [log[:1]], GDDR, "dramsim3")
    assert (tmp_path / "d").read_text() == "3                  activate               0   0   3   3     0x1f     -0x1\n"


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.cmd.csv.gz")), ids=lambda path: path.name.removesuffix(".cmd.csv.gz"))
def test_logs_of_the_peers(path: Path) -> None:
    log = read_command_log(path)
    table: NDArray[np.void] = np.concatenate(list(log))
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    assert [log.names[cmd] for cmd in table["cmd"]] == [row["cmd"] for row in rows]
    columns = {"bg": "bank_group", "bankgroup": "bank_group", "pseudochannel": "pseudo_channel", "col": "column"}
    for name in rows[0].keys() - {"cmd"}:
        assert table[columns.get(name, name)].tolist() == [int(row[name]) for row in rows], name
    absent = set(PLACES[:-2]) - {columns.get(name, name) for name in rows[0]}
    assert all((table[name] == 0).all() for name in absent)
    ours = {"ACT", "PRE", "PREA", "RD", "WR", "RDA", "WRA", "REFab", "REFpb"}
    assert path.parent.name == "aim_simulator" or set(our_names(log.names)) <= ours


OK = {"csv": "clk,cmd,bg,bank,row,col\n", "dramsim3": "1 activate 0 0 1 2 0x3 0x4\n"}
BAD = [
    ("csv", "5,ACT,0,0,0", "5 fields, expected 6: clk,cmd,bank_group,bank,row,column"),
    ("csv", "5,ACT,0,0,0,0,0", "7 fields, expected 6: clk,cmd,bank_group,bank,row,column"),
    ("csv", "5;ACT;0;0;0;0", "1 field, expected 6: clk,cmd,bank_group,bank,row,column"),
    ("csv", "-5,ACT,0,0,0,0", "clk -5 is negative"),
    ("csv", "5.0,ACT,0,0,0,0", "clk 5.0 is no whole number"),
    ("csv", ",ACT,0,0,0,0", "clk  is no whole number"),
    ("csv", "4,ACT,0,0,0,0", "clk 4 comes before clk 5 of the command before"),
    ("csv", "9999999999999999999,ACT,0,0,0,0", "clk 9999999999999999999 is beyond 4611686018427387904"),
    ("csv", "5,,0,0,0,0", " is no command name"),
    ("csv", "5,=1+1,0,0,0,0", "=1+1 is no command name"),
    ("csv", "5,\x1b[2J,0,0,0,0", "\\x1b[2J is no command name"),
    ("csv", "5,A C,0,0,0,0", "A C is no command name"),
    ("csv", '5,"ACT",0,0,0,0', '"ACT" is no command name'),
    ("csv", f"5,{'A' * 65},0,0,0,0", f"{'A' * 57}... is no command name"),
    ("csv", "5,ACT,-2,0,0,0", "bank_group -2 is negative"),
    ("csv", "5,ACT,0,x,0,0", "bank x is no whole number"),
    ("csv", "5,ACT,0,0,2147483648,0", "row 2147483648 is beyond 2147483647"),
    ("csv", "5,ACT,0,0,0,", "column  is no whole number"),
    ("dramsim3", "5 activate 0 0 1 2 0x3", "7 fields, expected 8: clk cmd channel rank bank_group bank row column"),
    ("dramsim3", "5 activate 0 0 1 2 0x3 0x4 0", "9 fields, expected 8: clk cmd channel rank bank_group bank row column"),
    ("dramsim3", "5 activate 0 0 1 2 -0x12 0x4", "row -0x12 is negative"),
    ("dramsim3", "5 activate 0 0 1 2 3g 0x4", "row 3g is no whole number"),
    ("dramsim3", "5 0activate 0 0 1 2 3 0x4", "0activate is no command name"),
    ("dramsim3", "0 activate 0 0 1 2 0x3 0x4", "clk 0 comes before clk 1 of the command before"),
]


@pytest.mark.parametrize("before", [0, 3000])
@pytest.mark.parametrize(("form", "line", "problem"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, form: str, line: str, problem: str, before: int) -> None:
    good = "5,ACT,0,0,0,0\n" if form == "csv" else OK[form]
    path = tmp_path / "log"
    path.write_text("# of a test\n" + OK[form] + good * (before + 1) + line + "\n" + good)
    with pytest.raises(FormatError) as error:
        rows_of(path)
    assert str(error.value) == f"{path}:{before + 4}: {problem}"
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ": holds no command"),
        ("# nothing\n", ": holds no command"),
        ("clk,bank,row\n", ":1: the header of the command log lacks the column cmd"),
        ("\n\ncmd,clk,bank\n", ":3: the header of the command log lacks the column row"),
        ("clk,cmd,bank,row,col,column\n", ":1: the header of the command log names more than once the column column"),
        ("clk,clock,cmd,bank,row\n", ":1: the header of the command log names more than once the column clk"),
        ("hello\n", ":1: the header of the command log lacks the column clk"),
        ("\x1b[2J,cmd\n", ":1: the header of the command log lacks the column clk"),
    ],
)
def test_what_is_no_log(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(FormatError) as error:
        read_command_log(tmp_path / "x")
    assert str(error.value) == f"{tmp_path / 'x'}{problem}"


def test_what_a_header_line_may_look_like(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("# log\n Clock, Command ,PseudoChannel,BankGroup,Bank,Row,Column,note\n5, ACT ,1,2,3,4,-1,a b\n")
    assert rows_of(tmp_path / "x") == [(5, "ACT", 0, 1, 0, 2, 3, 4, -1)]


def test_damage_in_parquet_is_seen(tmp_path: Path) -> None:
    log = some(2000, 1)
    write_command_log(tmp_path / "x.parquet", [log], HBM)
    data = (tmp_path / "x.parquet").read_bytes()
    rng = np.random.default_rng(2)
    for place in rng.integers(0, len(data) * 8, 150).tolist():
        broken = bytearray(data)
        broken[place // 8] ^= 1 << place % 8
        (tmp_path / "y.parquet").write_bytes(broken)
        try:
            found = read_command_log(tmp_path / "y.parquet")
            assert found.header == HBM
            assert [row for chunk in found.issues() for row in chunk.tolist()] == log.tolist()
        except FormatError as error:
            assert "y.parquet" in str(error)


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        (log_of((5, "ACT", 0, 0, 0, 0), (4, "RD", 0, 0, 0, 0)), "the log falls back in time"),
        (log_of((5, "ACT", 48, 0, 0, 0)), "the log holds a place that the channel of its header does not have"),
        (log_of((5, "TMOD", 1, 0, 0, 0)), "the log holds a place that the channel of its header does not have"),
        (log_of((5, "REFsb", 12, 0, 0, 0)), "the log holds a place that the channel of its header does not have"),
        (log_of((5, "ACT", 0, 0, 0, 2)), "the log holds a rule that its header does not know"),
    ],
)
def test_what_does_not_fit_its_header_is_not_written(tmp_path: Path, log: IssueLog, problem: str) -> None:
    for format in FORMATS:
        with pytest.raises(ValueError) as error:
            write_command_log(tmp_path / "x", [log_of((0, "ACT", 0, 0, 0, 0)), log], HBM, format)
        assert str(error.value) == problem
    with pytest.raises(ValueError, match=problem):
        write_chrome(tmp_path / "x", [log], HBM, DataBus((0,) * 9, (0,) * 9))
    assert list(tmp_path.iterdir()) == []


def test_names_of_formats_and_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the name says neither .csv nor .parquet"):
        write_command_log(tmp_path / "x.txt", [], GDDR)
    with pytest.raises(ValueError, match="no format 'cvs' of command logs"):
        write_command_log(tmp_path / "x.txt", [], GDDR, "cvs")


@pytest.mark.parametrize("name", ["", "=A1", "a,b", "a b", "a\n", "-a", "+a", "@a", "\ta", "é", "1a", "a" * 65])
def test_names_that_a_table_could_take_for_something_else(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a command or rule"):
        LogHeader("d", "s", 1, (LoggedCommand(name, "bank"),), (), 1, 1)
    with pytest.raises(ValueError, match="is no name for a command or rule"):
        LogHeader("d", "s", 1, (), (name,), 1, 1)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"commands": 1, "rules": []}', "[" * 100_000, HBM.to_json().replace("5", '"5"')]
)
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="not the header of a command log"):
        LogHeader.from_json(text)
    assert LogHeader.from_json(HBM.to_json()) == HBM


CHROME = log_of(
    (0, "ACT", 0, 7, -1, -1), (3, "ACT4", 1, 8, -1, 0), (14, "RD", 0, 7, 3, 0), (20, "WRA", 5, 8, 1, 0),
    (30, "PREA", 0, -1, -1, 1),
)  # fmt: skip


def chrome(path: Path, header: LogHeader, log: IssueLog) -> dict[str, Any]:
    """The events, with every number as the exact decimal that stands there."""
    bus = DataBus((0, 0, 20_000, 4_321, 0, 0, 0, 0, 0), (0, 0, 2_000, 2_000, 0, 0, 0, 0, 0))
    assert write_chrome(path, cut(log, 2), header, bus) == len(log)
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw, parse_float=Fraction)


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_chrome(tmp_path: Path, name: str) -> None:
    found = chrome(tmp_path / name, GDDR, CHROME)
    assert found["displayTimeUnit"] == "ns" and found["otherData"]["device"] == "gddr"
    events = found["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert len(tracks) == 18 and tracks[0] == "data bus" and tracks[1] == "more than one bank" and tracks[7] == "group 1 bank 1"
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["gddr channel 0"]
    slices = [e for e in events if e["ph"] == "X"]
    rows = [(e["name"], e["tid"], e["ts"] * 10**6, e["dur"] * 10**6) for e in slices if e["name"].startswith("row ")]
    edge = [-(-cycle * 4000 // 7) for cycle in range(40)]  # 571.43 ps, rounded up
    assert sorted(rows) == sorted(
        [("row 7", 2, 0, edge[30])]
        + [("row 8", 2 + bank, edge[3], edge[20 if bank == 5 else 30] - edge[3]) for bank in (4, 5, 6, 7)]
    )
    bursts = [(e["name"], e["ts"] * 10**6, e["dur"] * 10**6) for e in slices if e["tid"] == 0]
    assert bursts == [("RD", edge[14] + 20_000, 2000), ("WRA", edge[20] + 4321, 2000)]
    (read,) = [e for e in slices if e["name"] == "RD" and e["tid"] == 2]
    assert read["args"] == {"cycle": 14, "row": 7, "col": 3, "rule": "tRCD"}
    assert [e["args"]["rule"] for e in slices if e["name"] == "ACT"] == ["start"]
    assert {e["name"] for e in slices if e["tid"] == 1} == {"ACT4", "PREA"}


def test_chrome_with_pseudo_channels(tmp_path: Path) -> None:
    log = log_of((0, "ACT", 30, 7, -1, -1), (9, "RD", 30, 7, 3, 0))
    events = chrome(tmp_path / "x.json", HBM, log)["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert (tracks[0], tracks[1], tracks[2]) == ("data bus of pc 0", "data bus of pc 1", "more than one bank")
    assert tracks[3 + 30] == "pc 1 rank 0 group 3 bank 0" and len(tracks) == 51
    slices = [(e["name"], e["tid"], e["ts"] * 1000, e["dur"] * 1000) for e in events if e["ph"] == "X"]
    assert slices == [("ACT", 33, 0, 1), ("RD", 33, 9, 1), ("RD", 1, 29, 2), ("row 7", 33, 0, 31)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), length=st.integers(1, 100))
def test_slices_of_a_bank_nest(tmp_path: Path, seed: int, length: int) -> None:
    """As the format asks: two slices of one track are apart, or one lies within the other."""
    log = some(length, seed)
    log["cycle"] += np.arange(length)  # a command bus takes one a cycle
    events = chrome(tmp_path / "x.json", HBM, log)["traceEvents"]
    by_track: dict[int, list[tuple[Fraction, Fraction]]] = {}
    for e in events:
        if e["ph"] == "X" and e["tid"] >= 2:
            by_track.setdefault(e["tid"], []).append((e["ts"], e["ts"] + e["dur"]))
    for spans in by_track.values():
        spans.sort(key=lambda span: (span[0], -span[1]))
        for first, second in zip(spans, spans[1:], strict=False):
            assert second[0] >= first[1] or second[1] <= first[1]


def test_times_are_exact() -> None:
    assert microseconds(0) == "0.000000"
    assert microseconds(123_456_789_012_345_678_901) == "123456789012345.678901"
