"""The pool's interface over a Dask cluster: the same function, run on each Dask worker in a one-worker pool of its own.

So a trial that dies, hangs or takes too much memory ends as it does locally, and the Dask worker lives on. Payloads and
results travel as JSON text.
"""

import json
import threading
import time
import uuid
from queue import Empty, SimpleQueue
from typing import Any

from rowline import __version__
from rowline.sweeps.pool import Done, Pool, PoolError
from rowline.sweeps.pool_worker import brief

CONNECT_S, ALIVE_S = 20.0, 0.2
Settings = tuple[str, str, float | None, int | None]
"""Session, entry, timeout_s and memory_bytes."""

# on a Dask worker
_lock = threading.Lock()
_idle: dict[Settings, list[Pool]] = {}
_stopped: dict[str, bool] = {}  # session, none of whose trials begins any more -> whether those that run are killed


class DaskPool:
    """Trials on the Dask cluster at ``dask://host:port``; see :class:`rowline.sweeps.pool.Pool` for the other arguments.

    ``jobs`` is the number of the cluster's threads when it was reached. One Dask thread runs one trial at a time; start the
    workers with one thread for each core that trials may use.

    Raises:
        PoolError: ``distributed`` is not installed, the scheduler does not answer, or it has no workers.
    """

    def __init__(
        self,
        address: str,
        timeout_s: float | None = None,
        memory_bytes: int | None = None,
        entry: str = "rowline.sweeps.trial:run_trial",
    ):
        try:
            from distributed import Client
        except ImportError:
            raise PoolError(f"{address} needs the extra cluster: pip install 'rowline[cluster]'") from None
        self._address = address.removeprefix("dask://")
        url = self._address if "://" in self._address else f"tcp://{self._address}"
        try:
            self._client: Any = Client(url, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise PoolError(f"no Dask scheduler answers at {self._address}: {brief(error)}") from None
        self.jobs = self._threads()
        self._session, self._settings = uuid.uuid4().hex, (entry, timeout_s, memory_bytes)
        self._ended: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._futures: dict[str, Any] = {}

    def _threads(self) -> int:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError):
            self._client.close()
            raise PoolError(f"the Dask scheduler at {self._address} has no workers") from None

    @property
    def outstanding(self) -> int:
        """How many trials were submitted and not yet returned by :meth:`poll`."""
        return len(self._futures)

    def submit(self, key: str, payload: Any) -> None:
        """Add a trial; ``payload`` is plain data.

        Raises:
            ValueError: JSON cannot hold the payload.
        """
        try:
            text = json.dumps(payload)
        except (TypeError, ValueError) as error:
            raise ValueError(f"payload of {key}: {error}") from None
        future = self._client.submit(
            run_remote, self._session, __version__, text, *self._settings,
            key=f"rowline-{self._session}-{uuid.uuid4().hex}", pure=False,
        )  # fmt: skip
        self._futures[key] = future
        future.add_done_callback(lambda ended: self._ended.put((key, ended)))

    def poll(self, wait_s: float = 0.0) -> list[Done]:
        """Trials that ended since the last call; waits at most ``wait_s`` for one.

        Raises:
            PoolError: the scheduler is gone.
        """
        done: list[Done] = []
        until = time.monotonic() + wait_s
        while self._futures:
            rest = min(until - time.monotonic(), ALIVE_S)
            try:
                key, future = self._ended.get(timeout=max(rest, 0.0)) if rest > 0 and not done else self._ended.get_nowait()
            except Empty:
                if done or time.monotonic() >= until:
                    break
                self._check_connected()
                continue
            result = self._result(key, future)
            if result is not None:
                done.append(result)
        return done

    def _result(self, key: str, future: Any) -> Done | None:
        if future.status == "cancelled":
            self._check_connected()
        self._futures.pop(key, None)
        if future.status != "finished":
            error = future.exception() if future.status == "error" else None
            return Done(key, None, f"Dask: {brief(error)}" if error else f"Dask: {future.status}")
        answer = json.loads(future.result())
        return Done(key, **answer) if answer else None

    def _check_connected(self) -> None:
        if self._client.status != "running":
            raise PoolError(f"the Dask scheduler at {self._address} is gone")

    def close(self, kill: bool = True) -> list[Done]:
        """Leave the cluster; nothing of this pool runs on it afterwards. See :meth:`rowline.sweeps.pool.Pool.close`."""
        done: list[Done] = []
        try:
            if self._client.status == "running":
                self._client.run(stop_remote, self._session, kill)
                if kill and self._futures:
                    self._client.cancel(list(self._futures.values()), force=True)
                while not kill and self._futures:
                    done += self.poll(1.0)
        finally:
            self._futures.clear()
            self._client.close()
        return done

    def __enter__(self) -> "DaskPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_remote(
    session: str, version: str, payload: str, entry: str, timeout_s: float | None, memory_bytes: int | None
) -> str:
    """One trial on a Dask worker; the fields of its :class:`Done` but the key as JSON, ``null`` where it did not begin."""
    if version != __version__:
        return json.dumps({"value": None, "reason": f"the Dask worker has Rowline {__version__}, the sweep {version}"})
    settings = (session, entry, timeout_s, memory_bytes)
    if session in _stopped:
        return "null"
    pool = _take(settings)
    try:
        done = _outcome(pool, session, payload)
    except PoolError as error:
        pool.close()
        return json.dumps({"value": None, "reason": str(error)})
    _give_back(settings, pool)
    return json.dumps({name: value for name, value in vars(done).items() if name != "key"})


def _outcome(pool: Pool, session: str, payload: str) -> Done:
    pool.submit("", json.loads(payload))
    while not (done := pool.poll(ALIVE_S)):
        if _stopped.get(session):
            raise PoolError("stopped")
    return done[0]


def _take(settings: Settings) -> Pool:
    """A pool, warm where a trial of the same sweep ended here."""
    with _lock:
        idle = _idle.get(settings)
        if idle:
            return idle.pop()
    entry, timeout_s, memory_bytes = settings[1:]
    return Pool(1, timeout_s, memory_bytes, entry)


def _give_back(settings: Settings, pool: Pool) -> None:
    with _lock:
        if settings[0] not in _stopped:
            _idle.setdefault(settings, []).append(pool)
            return
    pool.close()


def stop_remote(session: str, kill: bool) -> None:
    """On a Dask worker: begin no more trials of a session, end the processes that wait for some, and with ``kill`` all."""
    with _lock:
        _stopped[session] = kill
        idle = [pool for settings in list(_idle) if settings[0] == session for pool in _idle.pop(settings)]
    for pool in idle:
        pool.close()
