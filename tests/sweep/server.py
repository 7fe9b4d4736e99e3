"""A PostgreSQL server of a test's own, on loopback, from the binaries that Debian installs."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HOME = Path("/usr/lib/postgresql")


@contextmanager
def postgres() -> Iterator[str]:
    """URL of a server that runs for as long as the context; skips the test where there can be none."""
    pytest.importorskip("psycopg")
    found = sorted(HOME.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip(f"no PostgreSQL server in {HOME}")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="rowline-postgres-"))
    try:
        if user:
            try:
                os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
            except KeyError:
                pytest.skip("runs as root, and there is no user postgres")
        subprocess.run(
            [found[-1].with_name("initdb"), "-D", folder / "data", "-A", "trust", "-U", "rowline", "--data-checksums"],
            check=True, capture_output=True, timeout=120, user=user, cwd=folder,
        )  # fmt: skip
        with _running(found[-1], folder, user) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(binary: Path, folder: Path, user: str | None) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("wb") as log:
        options = ["-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        server = subprocess.Popen([binary, *options], stdout=log, stderr=log, user=user, cwd=folder)
    try:
        _wait(port, server)
        yield f"postgresql://rowline@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    import psycopg

    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            psycopg.connect(f"postgresql://rowline@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")
