"""A study in a PostgreSQL server, for many hosts: the tables of :mod:`.store_rows` in a schema of their own.

A process shows that it lives by a session-level advisory lock, which the server drops with the connection; a pooler that
shares sessions between clients must not stand in between.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from rowline.sweeps.store_rows import FIRST_SEAL, TABLES, StoreBusyError, StoreError, StoreWriteError
from rowline.sweeps.store_sqlite import BUSY_S, Query

RECONNECT_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
_CREATING = 0x726F776C  # one lock for all that create a study in a database


class PostgresBackend:
    """One process's hold on ``postgresql://user@host/database#study``; without ``#study`` the study is called study.

    Raises:
        StoreError: there is no study, the driver is not installed, or the URL is wrong.
        StoreWriteError: the server cannot be reached, or refuses.
    """

    by_id = 'id COLLATE "C"'

    def __init__(self, url: str, create: bool):
        self._url, _, study = url.partition("#")
        parts = urlsplit(self._url)
        self.name = f"postgresql://{parts.hostname or ''}{parts.path}#{study or 'study'}"
        if not re.fullmatch(r"[a-z0-9_-]{0,40}", study):
            raise StoreError(f"{self.name}: the study's name after # may hold a-z, 0-9, - and _, 40 at most")
        try:
            import psycopg
        except ImportError:
            raise StoreError(f"{self.name}: needs the extra cluster: pip install 'rowline[cluster]'") from None
        self._psycopg: Any = psycopg
        self._schema = f"rowline_{study or 'study'}"
        self._key = secrets.randbits(62)
        self.owner = str(self._key)
        self._held = False
        with self._guard():
            self._connection = self._connect()
            self._create() if create else self._expect()

    def _connect(self) -> Any:
        connection = self._psycopg.connect(self._url, autocommit=True, connect_timeout=10, application_name="rowline sweep")
        connection.execute(f'SET search_path TO "{self._schema}"')
        connection.execute("SET synchronous_commit TO on")
        return connection

    def _there(self) -> bool:
        # asked of the catalogue's table: to_regclass answers from a cache, which an advisory lock does not bring up to date
        asked = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'seal'"
        return self._connection.execute(asked, (self._schema,)).fetchone() is not None

    def _expect(self) -> None:
        if not self._there():
            raise StoreError(f"{self.name}: no study there")

    def _create(self) -> None:
        if self._there():
            return
        with self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATING,))
            if not self._there():
                self._connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"')
                for statement in (*TABLES, FIRST_SEAL):
                    self._connection.execute(statement)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Errors of the driver as errors of the store."""
        try:
            yield
        except self._psycopg.Error as error:
            line = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, self._psycopg.errors.LockNotAvailable):
                raise StoreBusyError(f"{self.name}: another process kept it locked for {BUSY_S:.0f} s") from error
            lost = isinstance(error, (self._psycopg.OperationalError, self._psycopg.InterfaceError))
            refused = isinstance(error, self._psycopg.errors.InsufficientPrivilege)
            kind = StoreWriteError if lost or refused else StoreError
            raise kind(f"{self.name}: {line}") from error

    def _revive(self) -> None:
        """Connect again after a lost connection, with this process's proof of life."""
        with suppress(self._psycopg.OperationalError):
            if not self._connection.closed:
                self._connection.execute("")
                return
        for wait_s in RECONNECT_S:
            time.sleep(wait_s)
            try:
                self._connection = self._connect()
            except self._psycopg.OperationalError:
                if wait_s == RECONNECT_S[-1]:
                    raise
                continue
            break
        if self._held:
            self._held = False
            self.hold()

    @contextmanager
    def reading(self) -> Iterator[Query]:
        """Statements on the present state."""
        with self._guard():
            self._revive()
            yield _query(self._connection)

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        """Statements that all see one state, whatever is written meanwhile."""
        with self._guard(), self._connect() as other:
            other.isolation_level = self._psycopg.IsolationLevel.REPEATABLE_READ
            other.read_only = True
            with other.transaction():
                yield _query(other)

    @contextmanager
    def writing(self, wait_s: float | None = None) -> Iterator[Query]:
        """Statements that are kept together or not at all; one process at a time. Waits for its turn, at most ``wait_s``
        (BUSY_S)."""
        with self._guard():
            self._revive()
            with self._connection.transaction():
                milliseconds = int(1000 * (BUSY_S if wait_s is None else wait_s))
                self._connection.execute(f"SET LOCAL lock_timeout = {milliseconds}")
                self._connection.execute("SELECT id FROM seal FOR UPDATE")
                yield _query(self._connection)

    def acknowledge(self, revision: int) -> None:
        """Nothing: a server keeps what it committed."""

    def acknowledged(self) -> int:
        """0: a server keeps what it committed."""
        return 0

    def check_room(self) -> None:
        """Nothing: the disk is the server's."""

    def hold(self) -> None:
        """Show that this process lives, until it closes, dies or loses its connection."""
        if not self._held:
            with self._guard():
                self._connection.execute("SELECT pg_advisory_lock(%s)", (self._key,))
            self._held = True

    def alive(self, owner: str) -> bool:
        """Whether the process that held ``owner`` is still connected."""
        key = int(owner) if owner.isdigit() else -1
        high, low = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
        found = self._connection.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = %s AND objid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", (high, low),
        ).fetchone()  # fmt: skip
        return found is not None

    def integrity(self) -> list[str]:
        """Nothing: the server checks its own pages where it was set up to (initdb --data-checksums)."""
        return []

    def close(self) -> None:
        """Leave; the server drops this process's proof of life."""
        with suppress(self._psycopg.Error):
            self._connection.close()


def _query(connection: Any) -> Query:
    def query(sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        cursor = connection.execute(sql.replace("?", "%s"), tuple(values))
        return cursor.fetchall() if cursor.description else []

    return query
