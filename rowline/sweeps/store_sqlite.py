"""A study in a folder: SQLite in WAL, synchronous FULL, one writer at a time.

Beside ``study.db`` lie ``study.db-acked``, the number of the last write that was acknowledged (a store that holds fewer has
lost its WAL), and ``owners/``, one file a process, locked for as long as the process lives.
"""

import fcntl
import os
import shutil
import sqlite3
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from rowline.sweeps.store_rows import FIRST_SEAL, TABLES, StoreBusyError, StoreError, StoreWriteError

Query = Callable[..., list[tuple[Any, ...]]]
BUSY_S, TURN_MS = 30.0, 2
_TABLES = tuple(f"{t} WITHOUT ROWID" for t in TABLES)
_ACKED_LENGTH = 30
_BROKEN_WRITES = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")


class SqliteBackend:
    """One process's hold on ``FOLDER/study.db``.

    Args:
        folder: the study; created with ``create``.
        min_free_bytes: below it :meth:`check_room` refuses.

    Raises:
        StoreError: there is no study, or it is damaged.
        StoreWriteError: it cannot be created.
    """

    by_id = "id"  # walks the table as it lies

    def __init__(self, folder: Path, create: bool, min_free_bytes: int):
        self.folder, self._min_free = folder, min_free_bytes
        self._path, self._acked = folder / "study.db", folder / "study.db-acked"
        self.name = str(self._path)
        self.owner = uuid.uuid4().hex
        self._lock: int | None = None
        self._check_files()
        if not create and not self._path.exists() and not self.acknowledged():
            raise StoreError(f"{self.name}: no study there")
        with self._guard():
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / "study.lock", wait=True):
                self._create_unless_there()
                self._connection = self._connect()
        try:
            self._check_tables()
        except BaseException:
            self.close()
            raise

    def _check_files(self) -> None:
        """Refuse what SQLite would wait for without end, or take for a failing disk."""
        for path in (self._path, self._acked, *(Path(self.name + suffix) for suffix in ("-wal", "-shm"))):
            if path.exists() and not path.is_file():
                raise StoreError(f"{path}: not a file")

    def _create_unless_there(self) -> None:
        if self._path.exists():
            if self._path.stat().st_size == 0:
                raise StoreError(f"{self.name}: damaged: empty")
            return
        if self.acknowledged():
            raise StoreError(f"{self.name}: gone, but {self._acked.name} says that trials were kept")
        partial = self._path.with_name("study.db.partial")
        partial.write_bytes(_acked_line(0) + _acked_line(0))
        os.replace(partial, self._acked)
        for suffix in ("-wal", "-shm", ".partial-journal", ".partial-wal", ".partial-shm"):
            Path(self.name + suffix).unlink(missing_ok=True)
        with closing(sqlite3.connect(partial, isolation_level=None)) as fresh:
            fresh.execute("PRAGMA synchronous=FULL")
            fresh.execute("BEGIN")
            for statement in (*_TABLES, FIRST_SEAL):
                fresh.execute(statement)
            fresh.execute("COMMIT")
            fresh.execute("PRAGMA journal_mode=WAL")
        os.replace(partial, self._path)
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", BUSY_S, isolation_level=None, uri=True)
        try:
            for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")
            if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
                raise StoreError(f"{self.name}: this file system takes no write-ahead log; use a local disk")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_tables(self) -> None:
        with self.reading() as query:
            found = {row[0] for row in query("SELECT sql FROM sqlite_schema WHERE type = 'table'")}
            pages, page = query("PRAGMA page_count")[0][0], query("PRAGMA page_size")[0][0]
        if found != set(_TABLES):
            raise StoreError(f"{self.name}: damaged, or not a study: its tables are others")
        wal = Path(self.name + "-wal")
        if self._path.stat().st_size < pages * page and not (wal.exists() and wal.stat().st_size):
            raise StoreError(f"{self.name}: damaged: cut off, {self._path.stat().st_size} of {pages * page} bytes are there")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Errors of SQLite and of files as errors of the store."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise StoreBusyError(f"{self.name}: another process kept it locked for {BUSY_S:.0f} s") from error
            if code.startswith(_BROKEN_WRITES):
                raise StoreWriteError(f"{self.name}: {error} ({code}, {self._free()}); what was acknowledged is kept") from error
            raise StoreError(f"{self.name}: damaged, or not a study: {error}") from error
        except OSError as error:
            where = error.filename or self.name
            raise StoreWriteError(f"{where}: {error.strerror} ({self._free()}); what was acknowledged is kept") from error

    def _free(self) -> str:
        try:
            return f"{shutil.disk_usage(self.folder).free // 1000} kB free"
        except OSError:
            return "free space unknown"

    @contextmanager
    def reading(self) -> Iterator[Query]:
        """Statements on the present state."""
        with self._guard():
            yield lambda sql, values=(): self._connection.execute(sql, values).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        """Statements that all see one state, whatever is written meanwhile."""
        with self._guard(), closing(self._connect()) as other:
            other.execute("BEGIN")
            yield lambda sql, values=(): other.execute(sql, values).fetchall()

    @contextmanager
    def writing(self, wait_s: float | None = None) -> Iterator[Query]:
        """Statements that are kept together or not at all; once this ends without an error they are on the disk. Waits for
        its turn, at most ``wait_s`` (BUSY_S)."""
        with self._guard():
            if self._connection.in_transaction:  # an interrupt came between BEGIN and the next line
                self._connection.rollback()
            self._begin(BUSY_S if wait_s is None else wait_s)
            try:
                yield lambda sql, values=(): self._connection.execute(sql, values).fetchall()
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise

    def _begin(self, wait_s: float) -> None:
        """SQLite's own waiting lets no interrupt through, so it is asked for a few ms at a time."""
        until = time.monotonic() + wait_s
        self._connection.execute(f"PRAGMA busy_timeout={TURN_MS}")
        try:
            while True:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                        raise
        finally:
            self._connection.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")

    def acknowledge(self, revision: int) -> None:
        """Note that a write was acknowledged. Behind is safe, so it needs no sync and no lock; of the two lines one stays
        readable whatever happens to the other."""
        with self._guard():
            handle = os.open(self._acked, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(handle, _acked_line(revision), revision % 2 * _ACKED_LENGTH)
            finally:
                os.close(handle)

    def acknowledged(self) -> int:
        """The number of the last write known to be acknowledged.

        Raises:
            StoreError: the note is damaged.
        """
        try:
            data = self._acked.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreError(f"{self._acked}: {error.strerror}") from error
        found = [line[:20] for line in (data[:_ACKED_LENGTH], data[_ACKED_LENGTH:]) if line[:20].isdigit()]
        sound = [int(digits) for digits in found if _acked_line(int(digits)) in data]
        if not sound:
            raise StoreError(f"{self._acked}: damaged; remove it to go on without knowing whether trials are missing")
        return max(sound)

    def check_room(self) -> None:
        """Refuse new work while there is still room to finish what runs.

        Raises:
            StoreWriteError: less than ``min_free_bytes`` are free.
        """
        with self._guard():
            free = shutil.disk_usage(self.folder).free
        if free < self._min_free:
            raise StoreWriteError(f"{self.name}: {free} bytes free, new trials begin only with {self._min_free}")

    def hold(self) -> None:
        """Show that this process lives, until it closes or dies in whatever way."""
        if self._lock is None:
            with self._guard():
                (self.folder / "owners").mkdir(exist_ok=True)
                self._lock = os.open(self._owner_file(self.owner), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                os.write(self._lock, f"{os.getpid()}\n".encode())

    def alive(self, owner: str) -> bool:
        """Whether the process that held ``owner`` still lives; the file of a dead one is removed."""
        if owner == self.owner:
            return True
        path = self._owner_file(owner)
        try:
            with _locked(path, wait=False):
                path.unlink(missing_ok=True)
                return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _owner_file(self, owner: str) -> Path:
        return self.folder / "owners" / "".join(c for c in owner if c.isalnum())

    def integrity(self) -> list[str]:
        """What SQLite's own check finds."""
        with self.reading() as query:
            return [str(row[0]) for row in query("PRAGMA integrity_check(20)") if row[0] != "ok"]

    def close(self) -> None:
        """Let go of the file and of this process's claims' proof of life."""
        try:
            with suppress(sqlite3.Error):
                self._connection.close()
        finally:
            if self._lock is not None:
                self._owner_file(self.owner).unlink(missing_ok=True)
                os.close(self._lock)
                self._lock = None


def _acked_line(revision: int) -> bytes:
    digits = f"{revision:020d}"
    return f"{digits} {zlib.crc32(digits.encode()):08x}\n".encode()


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[None]:
    """Hold a file's lock. Without ``wait``: BlockingIOError where another holds it, FileNotFoundError where there is none."""
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if wait else 0), 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
