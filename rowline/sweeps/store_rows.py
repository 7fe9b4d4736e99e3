"""What the store keeps of a trial: a row of text and numbers under a checksum, and the seal over all rows.

Values are kept as the JSON text that was written, so that what is read back is what was checked.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

State = Literal["complete", "failed", "infeasible"]
STATES: tuple[State, ...] = ("complete", "failed", "infeasible")
VERSION = 1
COLUMNS = ("id", "number", "state", "checksum", "attempts", "wall_s", "reason", "params", "objectives", "config", "stats")
"""Of table trials. The short ones come first: a scan of id and checksum then reads no overflow pages."""
ALL = ", ".join(COLUMNS)
UPSERT = (
    f"INSERT INTO trials ({ALL}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{c} = excluded.{c}" for c in COLUMNS[1:])
)
SEAL = "SELECT version, revision, trials, folded FROM seal"

TABLES = (
    "CREATE TABLE trials (id TEXT PRIMARY KEY, number BIGINT NOT NULL, state TEXT NOT NULL, checksum TEXT NOT NULL,"
    " attempts BIGINT NOT NULL, wall_s DOUBLE PRECISION NOT NULL, reason TEXT NOT NULL, params TEXT NOT NULL,"
    " objectives TEXT NOT NULL, config TEXT NOT NULL, stats TEXT NOT NULL)",
    "CREATE TABLE claims (id TEXT PRIMARY KEY, owner TEXT NOT NULL, attempts BIGINT NOT NULL)",
    "CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT NOT NULL, checksum TEXT NOT NULL)",
    "CREATE TABLE seal (id TEXT PRIMARY KEY, version BIGINT NOT NULL, revision BIGINT NOT NULL, trials BIGINT NOT NULL,"
    " folded TEXT NOT NULL)",
)
FIRST_SEAL = f"INSERT INTO seal VALUES ('seal', {VERSION}, 0, 0, '{'0' * 64}')"


class StoreError(Exception):
    """A store is damaged or is none; the message is one line and names it. ``exit_code`` is what a command ends with."""

    exit_code = 3


class StoreWriteError(StoreError):
    """Nothing more can be written: no space, no permission, a failing disk or server. What was acknowledged is kept."""

    exit_code = 5


class StoreBusyError(StoreError):
    """Another process kept the store locked for too long."""

    exit_code = 6


@dataclass(frozen=True)
class Record:
    """One finished trial.

    Attributes:
        id: content hash of the expanded configuration and the code version.
        number: place in the plan of the study, from 0.
        params: axis key -> value.
        config: the run's whole configuration.
        objectives: name -> value; empty unless complete.
        stats: what the run returned; empty where there is nothing.
        state: complete, failed (``reason`` says why) or infeasible (a limit or constraint does not hold).
        wall_s: how long it took here; not part of what the study found.
        attempts: how often it was begun, by pool and by processes that died.
    """

    id: str
    number: int
    params: dict[str, Any]
    config: dict[str, Any]
    objectives: dict[str, float]
    stats: dict[str, Any] = field(default_factory=lambda: {})
    state: State = "complete"
    reason: str | None = None
    wall_s: float = 0.0
    attempts: int = 1

    def line(self) -> str:
        """The trial as one line of JSON, without what differs from run to run (``wall_s``, ``attempts``)."""
        kept = {k: v for k, v in vars(self).items() if k not in ("wall_s", "attempts")}
        return json.dumps(kept, separators=(",", ":"))


def text(value: object) -> str:
    """Plain data as JSON.

    Raises:
        ValueError: something in it is not plain data, or is not a finite number.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be kept as JSON: {error}") from None


def checksum(*values: object) -> str:
    """SHA-256 of values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def encode(record: Record, attempts: int) -> tuple[Any, ...]:
    """The values of COLUMNS for a record.

    Raises:
        ValueError: a value cannot be kept; the message names the trial and the part.
    """
    if not record.id or "\0" in record.id or record.state not in STATES:
        raise ValueError(f"trial {record.number}: id {record.id!r} or state {record.state!r} cannot be kept")
    bodies: list[str] = []
    for part in ("params", "objectives", "config", "stats"):
        try:
            bodies.append(text(getattr(record, part)))
        except ValueError as error:
            raise ValueError(f"trial {record.number}: {part} {error}") from None
    # as JSON too: it then holds any text, whatever the database takes
    plain = [record.id, record.number, record.state, attempts, float(record.wall_s), text(record.reason), *bodies]
    return (*plain[:3], checksum(*plain), *plain[3:])


def decode(row: Sequence[Any]) -> Record | None:
    """The record of a row, or None where the row is not what was written."""
    values = dict(zip(COLUMNS, row, strict=True))
    plain = [value for name, value in values.items() if name != "checksum"]
    try:
        if checksum(*plain) != values["checksum"]:
            return None
        parts = {k: json.loads(values[k]) for k in ("params", "objectives", "config", "stats", "reason")}
    except (TypeError, ValueError, RecursionError):
        return None
    same = {k: values[k] for k in ("id", "number", "state", "attempts", "wall_s")}
    return Record(**same, **parts)


def fold(folded: str, *checksums: str) -> str:
    """Checksums put into the seal, or, put in a second time, taken out of it: exclusive or."""
    total = int(folded, 16)
    for one in checksums:
        total ^= int(one, 16)
    return f"{total:064x}"


@dataclass(frozen=True)
class Seal:
    """What must be there: how many trials, all their checksums folded, and how many writes there were."""

    revision: int
    trials: int
    folded: str

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], name: str) -> "Seal":
        """The seal as it was read.

        Raises:
            StoreError: it is damaged, or of another version.
        """
        if len(rows) != 1 or [type(v) for v in rows[0]] != [int, int, int, str]:
            raise StoreError(f"{name}: damaged: its seal cannot be read")
        version, revision, trials, folded = cast(tuple[int, int, int, str], rows[0])
        if version != VERSION:
            raise StoreError(f"{name}: written in version {version} of the format, this Rowline reads {VERSION}")
        return cls(revision, trials, folded)


def check_scan(
    rows: Sequence[Sequence[Any]], notes: Sequence[Sequence[Any]], seal: Seal, name: str
) -> list[tuple[int, str]]:
    """Compare all rows ``(id, number, checksum)``, as the table has them, and the notes' checksums with the seal; return
    ``(number, id)`` in order.

    Identifiers that ascend strictly prove that a search for any of them ends at its row.

    Raises:
        StoreError: rows are missing, double, out of order or damaged.
    """
    before = ""
    keys: list[tuple[int, str]] = []
    for row in rows:
        if [type(v) for v in row] != [str, int, str] or row[0] <= before:
            raise StoreError(f"{name}: damaged: trial {len(keys) + 1} by id cannot be read or is out of order")
        before = row[0]
        keys.append((row[1], row[0]))
    try:
        total = fold("0", *[row[2] for row in rows], *[row[0] for row in notes])
    except (TypeError, ValueError):
        raise StoreError(f"{name}: damaged: a checksum cannot be read") from None
    if (len(keys), total) != (seal.trials, seal.folded):
        raise StoreError(f"{name}: damaged: {len(keys)} trials do not add up to the {seal.trials} that were sealed")
    return sorted(keys)
