"""The store of a study: each trial once, under its content hash, checked on every reading.

A trial that :meth:`Store.put` has returned for is never lost. One that was claimed by a process that died is handed out
again at once. Two processes on one study share the work: what one holds, the other is not given.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rowline.sweeps.store_rows import (
    ALL,
    SEAL,
    UPSERT,
    Record,
    Seal,
    State,
    StoreBusyError,
    StoreError,
    StoreWriteError,
    check_scan,
    checksum,
    decode,
    encode,
    fold,
    text,
)
from rowline.sweeps.store_sqlite import Query, SqliteBackend

__all__ = ["Claim", "Record", "State", "Store", "StoreBusyError", "StoreError", "StoreWriteError", "is_url", "verify_study"]

T = TypeVar("T")
MIN_FREE_BYTES = 16 * 1024**2
CLOSE_S = 0.5
_CHUNK = 400


@dataclass(frozen=True)
class Claim:
    """Answer to :meth:`Store.claim`, each in the order asked: to run here, already answered, running in another process."""

    mine: list[str]
    done: list[str]
    elsewhere: list[str]


def is_url(target: str | Path) -> bool:
    """Whether a study lies in a PostgreSQL server, not in a folder."""
    return isinstance(target, str) and target.startswith(("postgresql://", "postgres://"))


class Store:
    """A study, opened. Use :meth:`open`; for one thread."""

    def __init__(self, backend: Any):
        self._backend = backend
        self.name: str = backend.name

    @classmethod
    def open(cls, target: str | Path, create: bool = True, *, min_free_bytes: int = MIN_FREE_BYTES) -> "Store":
        """Open the study in a folder, or at ``postgresql://user@host/database#study``.

        Args:
            create: begin a new study where there is none.
            min_free_bytes: of disk space, below which nothing new is claimed.

        Raises:
            StoreError: there is none, it is damaged, or trials that were acknowledged are missing.
        """
        store = cls(_connect(target, create, min_free_bytes))
        try:
            store._check()
        except BaseException:
            store.close()
            raise
        return store

    def _check(self) -> list[tuple[int, str]]:
        # what is acknowledged is read first: another process may add to both meanwhile
        acked = self._backend.acknowledged()
        with self._backend.snapshot() as query:
            seal, keys = self._scan(query)
        if seal.revision < acked:
            missing = f"it holds {seal.revision} writes of {acked} acknowledged"
            raise StoreError(f"{self.name}: damaged: {missing}; its -wal file is missing or damaged")
        return keys

    def _scan(self, query: Query) -> tuple[Seal, list[tuple[int, str]]]:
        seal = Seal.of(query(SEAL), self.name)
        rows = query(f"SELECT id, number, checksum FROM trials ORDER BY {self._backend.by_id}")
        return seal, check_scan(rows, query("SELECT checksum FROM notes"), seal, self.name)

    def _reseal(self, query: Query, trials: int, *changed: str) -> int:
        """Put a write into the seal: how many trials it added, and the checksums that came or went. Its revision."""
        seal = Seal.of(query(SEAL), self.name)
        query(
            "UPDATE seal SET revision = ?, trials = ?, folded = ?",
            (seal.revision + 1, seal.trials + trials, fold(seal.folded, *changed)),
        )
        return seal.revision + 1

    def claim(self, ids: Sequence[str], *, retry_failed: bool = False) -> Claim:
        """Take trials for this process, until :meth:`put`, :meth:`release`, :meth:`close` or its death.

        With ``retry_failed`` failed ones count as not done.

        Raises:
            StoreWriteError: the disk is nearly full, or cannot be written.
        """
        self._backend.check_room()
        self._backend.hold()
        claim, owner, lives = Claim([], [], []), self._backend.owner, {"": False}
        with self._backend.writing() as query:
            for some in _chunks(dict.fromkeys(ids)):
                marks = ", ".join("?" * len(some))
                states = dict(query(f"SELECT id, state FROM trials WHERE id IN ({marks})", some))
                held = {row[0]: row[1:] for row in query(f"SELECT id, owner, attempts FROM claims WHERE id IN ({marks})", some)}
                for one in some:
                    holder, attempts = held.get(one, ("", 0))
                    if one in states and not (retry_failed and states[one] == "failed"):
                        claim.done.append(one)
                        continue
                    if holder not in lives:
                        lives[holder] = self._backend.alive(holder)
                    if holder != owner and lives[holder]:
                        claim.elsewhere.append(one)
                        continue
                    claim.mine.append(one)
                    if holder != owner:
                        query(
                            "INSERT INTO claims VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET owner = excluded.owner,"
                            " attempts = excluded.attempts", (one, owner, attempts + 1),
                        )  # fmt: skip
        return claim

    def release(self, ids: Iterable[str] | None = None, *, wait_s: float | None = None) -> None:
        """Give claims of this process back, all without ``ids``; waits at most ``wait_s`` for its turn, by default 30 s."""
        with self._backend.writing(wait_s) as query:
            if ids is None:
                query("DELETE FROM claims WHERE owner = ?", (self._backend.owner,))
            for one in ids or ():
                query("DELETE FROM claims WHERE owner = ? AND id = ?", (self._backend.owner, one))

    def put(self, record: Record) -> bool:
        """Keep a trial; when this returns it is on the disk. Whether it was new: a kept one is never changed, unless it had
        failed.

        Raises:
            StoreError: the trial is kept with other objectives: the same configuration gave two results.
            StoreWriteError: it could not be written, and is not kept.
            ValueError: it holds what JSON cannot.
        """
        with self._backend.writing() as query:
            kept = query("SELECT state, checksum, objectives FROM trials WHERE id = ?", (record.id,))
            claimed = query("SELECT attempts FROM claims WHERE id = ?", (record.id,))
            row = encode(record, record.attempts + max(claimed[0][0] - 1 if claimed else 0, 0))
            query("DELETE FROM claims WHERE id = ?", (record.id,))
            new = not kept or (kept[0][0] == "failed" and record.state != "failed")
            revision = 0
            if new:
                query(UPSERT, row)
                revision = self._reseal(query, not kept, row[3], *[k[1] for k in kept])
            elif kept[0][0] == record.state == "complete" and kept[0][2] != row[8]:
                raise StoreError(f"{self.name}: trial {record.number} ({record.id}) is kept with other objectives: two results")
        if new:
            self._backend.acknowledge(revision)
        return new

    def get(self, trial_id: str) -> Record | None:
        """The trial of an id, or None.

        Raises:
            StoreError: it is damaged.
        """
        with self._backend.reading() as query:
            rows = query(f"SELECT {ALL} FROM trials WHERE id = ?", (trial_id,))
        return self._decoded(rows[0]) if rows else None

    def _decoded(self, row: Sequence[Any]) -> Record:
        record = decode(row)
        if record is None:
            raise StoreError(f"{self.name}: damaged: trial {row[1]} ({row[0]}) is not what was written")
        return record

    def records(self) -> Iterator[Record]:
        """All trials as of now, by number, one by one.

        Raises:
            StoreError: one is damaged or missing.
        """
        with self._backend.snapshot() as query:
            yield from self._read(query)

    def _read(self, query: Query) -> Iterator[Record]:
        _, keys = self._scan(query)
        for some in _chunks(key for _, key in keys):
            marks = ", ".join("?" * len(some))
            found = {row[0]: row for row in query(f"SELECT {ALL} FROM trials WHERE id IN ({marks})", some)}
            for one in some:
                if one not in found:
                    raise StoreError(f"{self.name}: damaged: trial {one} cannot be found")
                yield self._decoded(found[one])

    def export_parquet(self, path: str | Path) -> int:
        """Write all trials to a Parquet file with page checksums (:mod:`rowline.traces.formats.trials`); how many. What
        differs from run to run is left out: the same study gives the same bytes.

        Raises:
            StoreError: a trial is damaged or missing.
            StoreWriteError: the file cannot be written; an older one stays.
        """
        from rowline.traces.formats.trials import Kinds, write_trials

        kinds = Kinds()
        with self._backend.snapshot() as query:
            for record in self._read(query):
                kinds.add(vars(record))
            pieces = ([vars(r) for r in some] for some in _chunks(self._read(query)))
            try:
                return write_trials(path, kinds.columns(), pieces)
            except OSError as error:
                raise StoreWriteError(f"{path}: {error.strerror or error}") from error

    def counts(self) -> dict[State, int]:
        """How many trials there are in each state."""
        with self._backend.reading() as query:
            found = Counter(dict(query("SELECT state, COUNT(*) FROM trials GROUP BY state")))
        return {"complete": found["complete"], "failed": found["failed"], "infeasible": found["infeasible"]}

    def set_note(self, key: str, body: Any) -> None:
        """Keep plain data about the study (its space, its seed, ...) under a key; an older one is replaced."""
        written = text(body)
        with self._backend.writing() as query:
            kept = query("SELECT checksum FROM notes WHERE id = ?", (key,))
            query(
                "INSERT INTO notes VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body,"
                " checksum = excluded.checksum", (key, written, checksum(key, written)),
            )  # fmt: skip
            revision = self._reseal(query, 0, checksum(key, written), *[k[0] for k in kept])
        self._backend.acknowledge(revision)

    def note(self, key: str) -> Any:
        """What :meth:`set_note` kept, or None.

        Raises:
            StoreError: it is damaged.
        """
        with self._backend.reading() as query:
            rows = query("SELECT id, body, checksum FROM notes WHERE id = ?", (key,))
        if not rows:
            return None
        try:
            sound = checksum(*rows[0][:2]) == rows[0][2]
        except TypeError:
            sound = False
        if not sound:
            raise StoreError(f"{self.name}: damaged: note {key} is not what was written")
        return json.loads(rows[0][1])

    def verify(self) -> list[str]:
        """Read everything and say what is wrong, one line each; empty when nothing is."""
        problems = [f"{self.name}: {line}" for line in self._backend.integrity()]
        try:
            keys = self._check()
            with self._backend.reading() as query:
                notes = [row[0] for row in query("SELECT id FROM notes")]
        except StoreError as error:
            return [*problems, str(error)]
        for check, one in [(self.get, key) for _, key in keys] + [(self.note, key) for key in notes]:
            try:
                if check(one) is None:
                    problems.append(f"{self.name}: {one} cannot be found")
            except StoreError as error:
                problems.append(str(error))
        return problems

    def close(self) -> None:
        """Give back what is claimed and let go of the store. Claims end in any case; given back, they do not count as an
        attempt."""
        try:
            with suppress(StoreError):
                self.release(wait_s=CLOSE_S)
        finally:  # also where Ctrl-C comes just now
            self._backend.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def verify_study(target: str | Path) -> list[str]:
    """:meth:`Store.verify` of a study that may be too damaged to open; one line each."""
    try:
        backend = _connect(target, False, 0)
    except StoreError as error:
        return [str(error)]
    store = Store(backend)
    try:
        return store.verify()
    except StoreError as error:
        return [str(error)]
    finally:
        store.close()


def _connect(target: str | Path, create: bool, min_free_bytes: int) -> Any:
    if not is_url(target):
        return SqliteBackend(Path(target), create, min_free_bytes)
    from rowline.sweeps.store_postgres import PostgresBackend

    return PostgresBackend(str(target), create)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, _CHUNK)):
        yield some
