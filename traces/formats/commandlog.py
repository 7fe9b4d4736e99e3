"""Command logs in: ours and those of other simulators, as one neutral table.

- CSV with a header line: ours, Ramulator 2.1 (CmdTraceRecorder) and the logs in ``shared/data/dram``;
- the command trace of DRAMsim3, eight columns without a header;
- our Parquet.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..commands import ISSUED, IssueLog
from ..requests import MAX_CYCLE, MAX_LEVEL
from ..schema import INT64, Column, TableSpec
from .columnar import INT32, ParquetPieces, split
from .files import DEFAULT_LIMITS, FormatError, Limits, PathLike, check_regular, printable, suffixes
from .header import NAME, LogHeader
from .text import LineProblem, Lines, counted, number, numbered_fields, read_lines, within

COMMANDLOG = np.dtype(
    [
        ("clk", np.int64),  # as the log counts: ours and DRAMsim3's from 0, Ramulator's and aim_simulator's from 1
        ("cmd", np.int32),  # index into the names of the log
        ("channel", np.int32),  # -1, here and below: all; 0 where the log has no such column
        ("pseudo_channel", np.int32),
        ("rank", np.int32),
        ("bank_group", np.int32),
        ("bank", np.int32),
        ("row", np.int32),  # -1: none
        ("column", np.int32),  # index of the burst in the row; -1: none
    ],
    align=True,
)
PLACES: Final = ("channel", "pseudo_channel", "rank", "bank_group", "bank", "row", "column")

PEER_COMMANDS: Final = {
    # DRAMsim3
    "activate": "ACT",
    "read": "RD",
    "write": "WR",
    "read_p": "RDA",
    "write_p": "WRA",
    "precharge": "PRE",
    "refresh": "REFab",
    "refresh_bank": "REFpb",
    "self_refresh_enter": "SRE",
    "self_refresh_exit": "SRX",
    # Ramulator
    "PREpb": "PRE",
    "PREab": "PREA",
}
"""Other simulators' names of commands -> ours; a name that is not here is the same in both."""

SPEC: Final = TableSpec(
    "commandlog",
    1,
    (
        Column("cycle", INT64, "cycle", "device clock cycle of issue"),
        Column("cmd", INT32, "", "index into the commands of the header"),
        Column("unit", INT32, "", "bank, bank group, ... of the channel, counted at the command's footprint"),
        Column("row", INT32, "", "row; -1 where rows do not matter"),
        Column("col", INT32, "", "column; -1 where columns do not matter"),
        Column("rule", INT32, "", "index into the rules of the header; below 0: start, host, refresh_due, order"),
    ),
)
HEADER_KEY: Final = "rowline.header"
CHUNK: Final = 1 << 18
_MAX_NAMES: Final = 4096

_ALIASES: Final = {"clock": "clk", "cycle": "clk", "command": "cmd", "col": "column", "bg": "bank_group"} | {
    "pseudochannel": "pseudo_channel", "bankgroup": "bank_group"
}  # fmt: skip
_NEEDED: Final = ("clk", "cmd", "bank", "row")
_DRAMSIM3: Final = ("clk", "cmd", "channel", "rank", "bank_group", "bank", "row", "column")


def our_names(names: Sequence[str]) -> list[str]:
    """Names of commands as our standards call them."""
    return [PEER_COMMANDS.get(name, name) for name in names]


class _LogLines:
    """Lines of a log whose columns are known."""

    def __init__(self, separator: str, columns: Sequence[str], names: list[str]) -> None:
        self.dtype: np.dtype[Any] = COMMANDLOG
        self.separator = separator
        self._columns = list(columns)
        self._kinds = "".join("t" if c == "cmd" else "i" if c in ("clk", *PLACES) else "-" for c in columns)
        self._index = {name: position for position, name in enumerate(names)}
        self._names = names
        self._last = 0

    def _code(self, word: str) -> int:
        code = self._index.get(word)
        if code is None:
            if not NAME.fullmatch(word):
                raise LineProblem(f"{printable(word)} is no command name")
            if len(self._names) == _MAX_NAMES:
                raise LineProblem(f"more than {_MAX_NAMES} different commands")
            code = self._index[word] = len(self._names)
            self._names.append(word)
        return code

    def fast(self, block: bytes) -> NDArray[np.void] | None:
        """See :class:`.text.Lines`."""
        columns = split(block.replace(b"-0x1", b"-1") if self.separator == " " else block, self.separator, self._kinds)
        if columns is None:
            return None
        found = dict(zip([c for c, kind in zip(self._columns, self._kinds, strict=True) if kind != "-"], columns, strict=True))
        codes, words = found.pop("cmd")
        clk = found["clk"]
        assert isinstance(clk, np.ndarray)
        if not within(clk, MAX_CYCLE) or (len(clk) and (clk[0] < self._last or bool((clk[1:] < clk[:-1]).any()))):
            return None
        log = _placeless(len(clk))
        for name, values in found.items():
            assert isinstance(values, np.ndarray)
            if name != "clk" and not within(values, MAX_LEVEL, -1):
                return None
            log[name] = values
        try:
            log["cmd"] = np.array([self._code(word) for word in words], np.int32)[codes]
        except LineProblem:
            return None
        self._last = int(clk[-1]) if len(clk) else self._last
        return log

    def slow(self, fields: list[bytes]) -> tuple[int, ...]:
        """See :class:`.text.Lines`."""
        counted(fields, self.separator.join(self._columns), len(self._columns))
        text = dict(zip(self._columns, fields, strict=True))
        clk = number(text["clk"], "clk", MAX_CYCLE)
        if clk < self._last:
            raise LineProblem(f"clk {clk} comes before clk {self._last} of the command before")
        values = {name: 0 for name in PLACES} | {"column": -1}
        for name in PLACES:
            if name in text:
                value = b"-1" if self.separator == " " and text[name] == b"-0x1" else text[name]
                values[name] = number(value, name, MAX_LEVEL, -1)
        code = self._code(text["cmd"].decode("utf-8", "backslashreplace"))
        self._last = clk
        return (clk, code, *[values[name] for name in PLACES])


def _placeless(length: int) -> NDArray[np.void]:
    log = np.zeros(length, COMMANDLOG)
    log["column"] = -1
    return log


class CommandLog:
    """An opened log: iterate for chunks of the COMMANDLOG table.

    ``names`` holds the command names met so far and only grows; ``header`` is there where the log carries one (our
    Parquet), ``issues`` gives the rows of such a log as they were issued. ``form`` is csv, dramsim3 or parquet.
    """

    def __init__(self, path: PathLike, chunk: int = CHUNK, limits: Limits = DEFAULT_LIMITS) -> None:
        size = check_regular(path)
        self.path, self.names, self.header = path, list[str](), None
        self._chunk, self._limits, self._skip = chunk, limits, 0
        self._lines: Lines | None = None
        with open(path, "rb") as file:
            parquet = file.read(4) == b"PAR1" or suffixes(path)[0] == ".parquet"
        if parquet:
            self.form = "parquet"
            try:
                self._pieces = ParquetPieces(path, SPEC, chunk, limits.of(size))
                self.header: LogHeader | None = LogHeader.from_json(self._pieces.metadata.get(HEADER_KEY, "null"))
            except ValueError as error:
                raise FormatError(path, None, printable(str(error), 400)) from error
            self.names = self.header.names
        else:
            self._open_text()

    def _open_text(self) -> None:
        line, fields = next(numbered_fields(self.path, ",", self._limits), (0, list[bytes]()))
        if not fields:
            raise FormatError(self.path, None, "holds no command")
        if len(fields) == 1 and fields[0][:1].isdigit():
            self.form = "dramsim3"
            self._lines = _LogLines(" ", _DRAMSIM3, self.names)
            return
        self.form, self._skip = "csv", line
        columns = [field.decode("utf-8", "backslashreplace").lower() for field in fields]
        columns = [_ALIASES.get(column, column) for column in columns]
        for column in (*_NEEDED, *columns):
            if columns.count(column) != 1 and column in ("clk", "cmd", *PLACES):
                problem = "lacks" if column not in columns else "names more than once"
                raise FormatError(self.path, line, f"the header of the command log {problem} the column {column}")
        self._lines = _LogLines(",", columns, self.names)

    def __iter__(self) -> Iterator[NDArray[np.void]]:
        if self._lines is not None:
            yield from read_lines(self.path, self._lines, self._chunk, self._limits, skip=self._skip)
            return
        assert self.header is not None
        for issued in self.issues():
            log = _placeless(len(issued))
            log["clk"], log["cmd"], log["row"], log["column"] = (issued[name] for name in ("cycle", "cmd", "row", "col"))
            for name, values in self.header.places(issued).items():
                log[name] = values
            yield log

    def issues(self) -> Iterator[IssueLog]:
        """The rows of a log with a header, as the ISSUED table."""
        assert self.header is not None, "only our Parquet holds an issue log"
        try:
            for piece in self._pieces:
                issued = np.zeros(len(piece["cycle"]), ISSUED)
                for name, values in piece.items():
                    issued[name] = values
                self.header.check(issued)
                yield issued
        except ValueError as error:
            raise FormatError(self.path, None, printable(str(error), 400)) from error


def read_command_log(path: PathLike, chunk: int = CHUNK, limits: Limits = DEFAULT_LIMITS) -> CommandLog:
    """Open a command log of any of the formats above.

    Raises:
        FormatError: what the file is cannot be told, its header line lacks a column or it is damaged; for single lines
            when iteration gets there.
        FileNotFoundError: there is no such file.
    """
    return CommandLog(path, chunk, limits)
