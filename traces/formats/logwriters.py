"""Command logs out: CSV, Parquet, and the text of Ramulator 2.1 and DRAMsim3.

All take the issue log of one channel in chunks and write as they go. The cycles are written as they are, from 0 on;
Ramulator itself counts its first cycle as 1.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..commands import IssueLog
from .columnar import Text, join, write_parquet
from .commandlog import HEADER_KEY, PEER_COMMANDS, SPEC
from .files import PathLike, partial_file, printable, suffixes, text_writer
from .header import LogHeader

FORMATS: Final = ("csv", "parquet", "ramulator", "dramsim3")
CSV_COLUMNS: Final = "clk,cmd,channel,pseudo_channel,rank,bank_group,bank,row,col,rule"

_TO_DRAMSIM3: Final = {ours: theirs for theirs, ours in PEER_COMMANDS.items() if theirs not in ("PREpb", "PREab")}


def write_command_log(path: PathLike, chunks: Iterable[IssueLog], header: LogHeader, format: str = "auto") -> int:
    """Write a log and return its number of commands; the file appears only when complete.

    ``format`` is one of FORMATS; ``auto`` goes by the name: ``.parquet`` or ``.csv``, before ``.gz`` or ``.zst``.
    Raises ValueError where a log does not fit its header or falls back in time.
    """
    if format == "auto":
        format = suffixes(path)[0].removeprefix(".")
        if format not in ("csv", "parquet"):
            raise ValueError(f"{printable(str(path), 4096)}: the name says neither .csv nor .parquet")
    if format == "parquet":
        with partial_file(path) as partial:
            return write_parquet(partial, SPEC, _pieces(chunks, header), {HEADER_KEY: header.to_json()})
    forms = {"csv": (_csv_head, _csv), "ramulator": (_ramulator_head, _ramulator), "dramsim3": (None, _dramsim3)}
    if format not in forms:
        raise ValueError(f"no format {printable(format)!r} of command logs; there are auto, {', '.join(FORMATS)}")
    head, body = forms[format]
    count = 0
    with text_writer(path) as file:
        if head is not None:
            file.write(head(header))
        for log in checked(chunks, header):
            file.write(body(log, header))
            count += len(log)
    return count


def checked(chunks: Iterable[IssueLog], header: LogHeader) -> Iterator[IssueLog]:
    """The chunks of a log, held against its header; none is empty, and no cycle comes before the one before."""
    last = 0
    for log in chunks:
        if len(log):
            header.check(log)
            if log["cycle"][0] < last or bool((log["cycle"][1:] < log["cycle"][:-1]).any()):
                raise ValueError("the log falls back in time")
            last = int(log["cycle"][-1])
            yield log


def _pieces(chunks: Iterable[IssueLog], header: LogHeader) -> Iterator[dict[str, NDArray[Any]]]:
    for log in checked(chunks, header):
        yield {column.name: np.ascontiguousarray(log[column.name]) for column in SPEC.columns}


def _rules(log: IssueLog, header: LogHeader) -> Text:
    """The rule column as words: rules first, then what is below 0 in the order -1, -2, ..."""
    words = [*header.rules, *(header.rule_name(-1 - place) for place in range(max(-int(log["rule"].min()), 0)))]
    codes = np.where(log["rule"] >= 0, log["rule"], len(header.rules) - 1 - log["rule"])
    return codes.astype(np.int32), words


def _csv_head(header: LogHeader) -> bytes:
    return f"{CSV_COLUMNS}\n".encode()


def _csv(log: IssueLog, header: LogHeader) -> bytes:
    place = header.places(log)
    columns = [log["cycle"], (log["cmd"], header.names), *place.values(), log["row"], log["col"], _rules(log, header)]
    return join(columns, ",")


def _levels(header: LogHeader) -> dict[str, str]:
    """Levels that a device of the peer would have -> their names there."""
    levels = {"channel": "Channel"}
    levels |= {"pseudo_channel": "PseudoChannel"} if header.pseudo_channels > 1 else {}
    levels |= {"rank": "Rank"} if header.ranks > 1 else {}
    return levels | {"bank_group": "BankGroup", "bank": "Bank"}


def _ramulator_head(header: LogHeader) -> bytes:
    return f"clock,command,{','.join(_levels(header).values())},Row,Column,type,source\n".encode()


def _ramulator(log: IssueLog, header: LogHeader) -> bytes:
    """The request behind a command (type, source) is not known here: -1."""
    place = header.places(log)
    names = [{"PRE": "PREpb", "PREA": "PREab"}.get(name, name) for name in header.names]
    unknown = np.full(len(log), -1)
    columns = [log["cycle"], (log["cmd"], names), *(place[level] for level in _levels(header)), log["row"], log["col"]]
    return join([*columns, unknown, unknown], ",")


def _dramsim3(log: IssueLog, header: LogHeader) -> bytes:
    """Columns as wide as there; a command that the peer does not have keeps its own name."""
    place = header.places(log)
    names = [_TO_DRAMSIM3.get(name, name) for name in header.names]
    levels = [place[level].tolist() for level in ("channel", "rank", "bank_group", "bank")]
    rows = zip(log["cycle"].tolist(), log["cmd"].tolist(), *levels, log["row"].tolist(), log["col"].tolist(), strict=True)
    form = "%-18d %-20s %3d %3d %3d %3d %8s %8s\n"
    lines = [form % (clk, names[cmd], *at, _hex(row), _hex(col)) for clk, cmd, *at, row, col in rows]
    return "".join(lines).encode()


def _hex(value: int) -> str:
    return f"{value:#x}"
