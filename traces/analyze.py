"""Tables about what was recorded, for notebooks and reports: a command log read command by command, bank by bank, row by row.

Everything here is a pure function from a log (:data:`..traces.commands.IssueLog`) and its :class:`LogHeader` to a DataFrame whose
columns carry their units. A *gap* is the time from the command before, of the same channel, to a command: the time for which the
channel's command bus had nothing else to do, booked under the rule that decided when the command could go. The gaps of a log
add up to the time from its first command to its last.
"""

# pandas has no complete stubs, so that what comes from it is unknown to a strict checker
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .commands import IssueLog
from .formats.header import LogHeader

PS_PER_S: Final = 10**12
OPENS: Final = ("open",)
CLOSES: Final = ("close", "access_close")
ACCESSES: Final = ("access", "access_close")
VISIT_COLUMNS: Final = (
    "channel", "bank", "bank_group", "row", "open_ps", "close_ps", "open_for_ps", "columns", "first_column_ps",
    "wait_before_ps", "opened_on", "slowest_rule", "slowest_ps", "first_command", "last_command", "cut",
)  # fmt: skip


def command_frame(log: IssueLog, header: LogHeader) -> pd.DataFrame:
    """One row a command, in the order of issue.

    Columns: ``time_ps`` of issue; ``cycle`` of the device's clock; ``channel``, ``pseudo_channel``, ``rank``, ``bank_group``,
    ``bank`` (-1: the command goes to all of them); ``command``; ``row``, ``column`` (-1: none); ``rule`` that decided the cycle;
    ``gap_ps`` since the command before it.

    Raises:
        ValueError: the log holds what its header does not know.
    """
    header.check(log)
    time_ps = edges_ps(log, header)
    names = np.array(header.names, dtype=object)
    return pd.DataFrame({
        "time_ps": time_ps,
        "cycle": log["cycle"].astype(np.int64),
        **header.places(log),
        "command": pd.Categorical(names[log["cmd"]], categories=header.names),
        "row": log["row"].astype(np.int64),
        "column": log["col"].astype(np.int64),
        "rule": _rules(log, header),
        "gap_ps": _gaps(time_ps),
    })  # fmt: skip


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several channels as one; words that are categories stay so."""
    if not frames:
        return pd.DataFrame()
    words = [name for name in frames[0] if isinstance(frames[0][name].dtype, pd.CategoricalDtype)]
    whole = pd.concat(list(frames), ignore_index=True)
    return whole.astype(dict.fromkeys(words, "category"))


def edges_ps(log: IssueLog, header: LogHeader) -> NDArray[np.int64]:
    """Time of each command in ps, rounded up where the period is no whole number of ps, as everywhere in Rowline."""
    cycles = log["cycle"].astype(np.int64)
    if PS_PER_S % header.clock_hz == 0:
        return cycles * (PS_PER_S // header.clock_hz)
    exact = [-(-cycle * PS_PER_S // header.clock_hz) for cycle in cycles.tolist()]  # whole numbers beyond 64 bits on the way
    return np.array(exact, np.int64)


def waits(commands: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Where the time between commands went: one row a rule (and value of the columns ``by``), the longest first.

    Columns: those of ``by``, ``rule``, ``commands`` that the rule decided, ``gap_ps`` that they waited, ``share`` of all gaps.
    """
    keys = [*by, "rule"]
    found: Any = commands.groupby(keys, observed=True)["gap_ps"].agg(["size", "sum"]).reset_index()
    found = found.rename(columns={"size": "commands", "sum": "gap_ps"})
    total = int(found["gap_ps"].sum())
    found["share"] = found["gap_ps"] / total if total else 0.0
    return found.sort_values(["gap_ps", *keys], ascending=[False, *[True] * len(keys)]).reset_index(drop=True)


def bank_table(log: IssueLog, header: LogHeader) -> pd.DataFrame:
    """One row a bank of the channel: what it was asked to do, and for how much of the log a row was open in it.

    Columns: ``channel``, ``bank`` (numbered through the channel), ``bank_group`` (likewise), ``activations``, ``columns``
    (accesses in visits), ``rows`` (distinct), ``open_ps`` (also of a row that was open when the log began), ``open_share`` of the
    time of the log, ``columns_per_visit``.
    """
    visits = row_visits(log, header)
    times = edges_ps(log, header)
    span = int(times[-1] - times[0]) if len(times) else 0
    banks = np.arange(header.banks)
    grouped: Any = visits.groupby("bank")
    found = pd.DataFrame({
        "channel": header.channel, "bank": banks, "bank_group": banks // header.banks_per_group,
        "activations": grouped.size().reindex(banks, fill_value=0).to_numpy(),
        "columns": grouped["columns"].sum().reindex(banks, fill_value=0).to_numpy(),
        "rows": grouped["row"].nunique().reindex(banks, fill_value=0).to_numpy(),
        "open_ps": grouped["open_for_ps"].sum().reindex(banks, fill_value=0).to_numpy() + _open_before(log, header, times),
    })  # fmt: skip
    found["open_share"] = found["open_ps"] / span if span else 0.0
    found["columns_per_visit"] = found["columns"] / found["activations"].replace(0, np.nan)
    return found


def row_visits(log: IssueLog, header: LogHeader) -> pd.DataFrame:
    """One row a visit: a row of a bank from the command that opened it to the one that closed it.

    A row that is open when the log begins has no visit; one that is still open at its end is ``cut``: taken to close with the
    last command.

    Columns: ``channel``, ``bank`` and ``bank_group`` (numbered through the channel), ``row``, ``open_ps``, ``close_ps``,
    ``open_for_ps``, ``columns`` (accesses), ``first_column_ps`` (time of the first, -1: none), ``wait_before_ps`` (gap before the
    command that opened it) and ``opened_on`` (the rule that decided it), ``slowest_rule`` and ``slowest_ps`` (the rule with the
    largest sum of gaps of the channel while the row was open, and that sum), ``first_command`` and ``last_command`` (rows of the
    log that opened and closed it), ``cut``.
    """
    header.check(log)
    if not len(log):
        words = {"opened_on": object, "slowest_rule": object, "cut": bool}
        return pd.DataFrame({name: np.empty(0, words.get(name, np.int64)) for name in VISIT_COLUMNS})
    time_ps = edges_ps(log, header)
    opened, closed, bank, columns, first, cut = _visits(log, header)
    rules = _rules(log, header)
    gaps = _gaps(time_ps)
    slowest_rule, slowest_ps = _slowest(rules, gaps, opened, closed)
    found = (
        np.full(len(bank), header.channel, np.int64), bank, bank // header.banks_per_group,
        log["row"][opened].astype(np.int64), time_ps[opened], time_ps[closed], time_ps[closed] - time_ps[opened], columns,
        np.where(first >= 0, time_ps[first], -1), gaps[opened], np.asarray(rules)[opened], slowest_rule, slowest_ps,
        opened, closed, cut,
    )  # fmt: skip
    frame = pd.DataFrame(dict(zip(VISIT_COLUMNS, found, strict=True)))
    return frame.sort_values(["open_ps", "bank"], ignore_index=True)


def _open_before(log: IssueLog, header: LogHeader, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each bank, from the begin of the log to the close of a row that was open then; 0 where none was.

    An access before any command that opens or closes a row tells that one was; a precharge alone may find nothing open.
    """
    found = np.zeros(header.banks, np.int64)
    if not len(log):
        return found
    command, bank = _touches(log, header)
    effects = np.array([c.row for c in header.commands], dtype=object)[log["cmd"][command]]
    order = np.lexsort((command, bank))
    command, bank, effects = command[order], bank[order], effects[order]
    for number in range(header.banks):
        begin, end = np.searchsorted(bank, [number, number + 1])
        mine = effects[begin:end]
        ends = np.flatnonzero(np.isin(mine, (*OPENS, *CLOSES)))
        until = int(ends[0]) if len(ends) else len(mine)
        if np.isin(mine[: until + 1], ACCESSES).any():
            last = command[begin + until] if len(ends) else len(log) - 1
            found[number] = times[last] - times[0]
    return found


def _visits(log: IssueLog, header: LogHeader) -> tuple[NDArray[Any], ...]:
    """Rows of the log that open and close each visit, its bank, its accesses, the first of them (-1: none), whether it is cut."""
    command, bank = _touches(log, header)
    effects = np.array([c.row for c in header.commands], dtype=object)[log["cmd"][command]]
    order = np.lexsort((command, bank))  # bank by bank, in time
    command, bank, effects = command[order], bank[order], effects[order]
    opens, closes = np.isin(effects, OPENS), np.isin(effects, CLOSES)
    access = np.isin(effects, ACCESSES).astype(np.int64)
    start = np.flatnonzero(opens)
    last_of_bank = np.searchsorted(bank, bank[start], side="right") - 1
    ends = np.flatnonzero(opens | closes)
    after = np.searchsorted(ends, start, side="right")
    following = np.where(after < len(ends), ends[np.minimum(after, len(ends) - 1)], len(bank)) if len(ends) else last_of_bank + 1
    inside = following <= last_of_bank
    stop = np.where(inside, following, last_of_bank)
    closed = np.where(inside, command[np.minimum(following, len(command) - 1)], len(log) - 1)
    so_far = np.concatenate(([0], np.cumsum(access)))
    columns = so_far[stop + 1] - so_far[start]
    accesses = np.flatnonzero(access)
    at = np.searchsorted(accesses, start)
    first = np.full(len(start), -1)
    if len(accesses):
        first = np.where(columns > 0, command[accesses[np.minimum(at, len(accesses) - 1)]], -1)
    return command[start], closed.astype(np.int64), bank[start], columns, first.astype(np.int64), ~inside


def _touches(log: IssueLog, header: LogHeader) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row of the log and bank, for each bank that each command touches."""
    commands: list[NDArray[np.int64]] = []
    banks: list[NDArray[np.int64]] = []
    for cmd in np.unique(log["cmd"]).tolist():
        rows = np.flatnonzero(log["cmd"] == cmd)
        units = log["unit"][rows]
        kinds, which = np.unique(units, return_inverse=True)
        for number, unit in enumerate(kinds.tolist()):
            touched = np.array(header.touched(cmd, unit), np.int64)
            mine = rows[which.reshape(-1) == number]
            commands.append(np.repeat(mine, len(touched)))
            banks.append(np.tile(touched, len(mine)))
    return np.concatenate(commands).astype(np.int64), np.concatenate(banks)


def _slowest(
    rules: pd.Categorical, gaps: NDArray[np.int64], opened: NDArray[np.int64], closed: NDArray[np.int64]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """For each visit the rule with the largest sum of gaps after the command that opened it, up to the one that closed it.

    Where there are no gaps, the rule is empty.
    """
    most, name = np.zeros(len(opened), np.int64), np.full(len(opened), "", object)
    for code, rule in enumerate(rules.categories):
        so_far = np.cumsum(np.where(rules.codes == code, gaps, 0))
        spent = so_far[closed] - so_far[opened]
        larger = spent > most
        most, name = np.where(larger, spent, most), np.where(larger, rule, name)
    return name, most


def _rules(log: IssueLog, header: LogHeader) -> pd.Categorical:
    found, codes = np.unique(log["rule"], return_inverse=True)
    names = [header.rule_name(int(rule)) for rule in found]
    return pd.Categorical.from_codes(codes.reshape(-1).astype(np.int64), categories=names)


def _gaps(time_ps: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(time_ps, prepend=time_ps[:1])
