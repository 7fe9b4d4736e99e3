"""A pool of worker processes in which a dying worker takes nothing with it but its own trial.

Trials go in as plain data under a key, results come out of :meth:`Pool.poll`. Workers are fresh interpreters that stay warm
from trial to trial. A trial whose worker dies is begun again, at most twice; one that raises, runs over its time or takes
too much memory is not: it would again. Nothing is pickled.
"""

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from rowline.sweeps.pool_worker import send

RETRIES = 2
START_S, START_FAILURES = 120.0, 3
WATCH_S = 0.05
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class PoolError(Exception):
    """No worker can be started, or none can be reached; one line. ``exit_code`` is what a command ends with."""

    exit_code = 1


@dataclass(frozen=True)
class Done:
    """A trial that ended.

    Attributes:
        value: what the function returned, as JSON holds it; None where it failed.
        reason: why it failed, one line; None where it did not.
        signal: number of the signal that ended its worker, where one did.
        wall_s: seconds of its last attempt.
    """

    key: str
    value: Any
    reason: str | None = None
    signal: int | None = None
    attempts: int = 1
    wall_s: float = 0.0


@dataclass
class Trial:
    """A trial on its way."""

    key: str
    payload: Any
    attempts: int = 0


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    errors: BinaryIO
    began: float
    ready: bool = False
    served: int = 0
    trial: Trial | None = None
    received: bytearray = field(default_factory=bytearray)

    def fileno(self) -> int:
        return cast(BinaryIO, self.process.stdout).fileno()

    def last_words(self) -> str:
        """The last line that the worker wrote to standard error."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(size - 4096, 0))
        lines = self.errors.read().decode(errors="replace").split("\n")
        words = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in lines]
        return next((line[:300] for line in reversed(words) if line), "")


class Pool:
    """``jobs`` workers that call ``entry`` ("module:function"), started as work comes in. To be used from one thread, which
    must live as long as the pool does: on Linux the workers end with it.

    Args:
        timeout_s: of one attempt at a trial; None for no limit.
        memory_bytes: resident memory of a worker at any time; None for no limit. Past it the worker is ended within
            about 0.05 s; allocations past twice of it raise MemoryError.
    """

    def __init__(
        self,
        jobs: int,
        timeout_s: float | None = None,
        memory_bytes: int | None = None,
        entry: str = "rowline.sweeps.trial:run_trial",
    ):
        if jobs < 1 or (timeout_s is not None and timeout_s <= 0) or (memory_bytes is not None and memory_bytes <= 0):
            raise ValueError("jobs, timeout_s and memory_bytes must be positive")
        self.jobs, self._timeout_s, self._memory, self._entry = jobs, timeout_s, memory_bytes, entry
        self._queue: deque[Trial] = deque()
        self._done: list[Done] = []
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0

    @property
    def outstanding(self) -> int:
        """How many trials were submitted and not yet returned by :meth:`poll`."""
        return len(self._queue) + len(self._done) + sum(w.trial is not None for w in self._workers)

    def submit(self, key: str, payload: Any) -> None:
        """Add a trial; ``payload`` is plain data.

        Raises:
            ValueError: JSON cannot hold the payload.
        """
        try:
            json.dumps(payload)
        except (TypeError, ValueError) as error:
            raise ValueError(f"payload of {key}: {error}") from None
        self._queue.append(Trial(key, payload))
        self._feed()

    def poll(self, wait_s: float = 0.0) -> list[Done]:
        """Trials that ended since the last call; waits at most ``wait_s`` for one.

        Raises:
            PoolError: no worker starts.
        """
        until = time.monotonic() + wait_s
        while True:
            self._step(max(min(until - time.monotonic(), WATCH_S), 0.0))
            if self._done or not self.outstanding or time.monotonic() >= until:
                done, self._done = self._done, []
                return done

    def close(self, kill: bool = True) -> list[Done]:
        """End all workers; afterwards none is left. With ``kill=False`` trials that run are waited for, and returned with
        those that had ended; trials that wait are dropped in either case. Submit nothing afterwards.

        After an exception (an interrupt, say) came out of :meth:`poll`, kill: what was being read then is lost.
        """
        self._queue.clear()
        try:
            while not kill and any(w.trial for w in self._workers):
                self._step(WATCH_S)
                self._queue.clear()
        finally:
            for worker in list(self._workers):
                self._end(worker)
            self._selector.close()
        done, self._done = self._done, []
        return done

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self, wait_s: float) -> None:
        self._feed()
        for key, _ in self._selector.select(wait_s):
            self._receive(key.data)
        now = time.monotonic()
        for worker in list(self._workers):
            self._watch(worker, now)
        self._feed()

    def _feed(self) -> None:
        """Give waiting trials to workers that are free, and start workers for the rest."""
        free = [w for w in self._workers if w.ready and w.trial is None]
        while self._queue and free:
            self._give(free.pop(), self._queue.popleft())
        starting = sum(not w.ready for w in self._workers)
        for _ in range(min(self.jobs - len(self._workers), len(self._queue) - starting)):
            self._start()

    def _give(self, worker: _Worker, trial: Trial) -> None:
        trial.attempts += 1
        worker.trial, worker.began = trial, time.monotonic()
        with suppress(BrokenPipeError):  # it just died; its answers end, and that is seen next
            send(cast(BinaryIO, worker.process.stdin), trial.payload)

    def _start(self) -> None:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when the worker ends
        command = [sys.executable, "-m", "rowline.sweeps.pool_worker", self._entry, str(self._memory or 0), str(os.getpid())]
        environment = {name: "1" for name in _ONE_THREAD} | os.environ
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, start_new_session=True
            )
        except OSError as error:
            errors.close()
            raise PoolError(f"cannot start a worker: {error.strerror}") from error
        worker = _Worker(process, errors, time.monotonic())
        self._workers.append(worker)
        self._selector.register(worker, selectors.EVENT_READ, worker)

    def _receive(self, worker: _Worker) -> None:
        data = os.read(worker.fileno(), 1 << 20)
        if not data:
            self._died(worker)
            return
        worker.received += data
        while worker in self._workers and len(worker.received) >= 4:
            length = struct.unpack_from("<I", worker.received)[0]
            if len(worker.received) < 4 + length:
                break
            message = json.loads(bytes(worker.received[4 : 4 + length]))
            del worker.received[: 4 + length]
            self._answer(worker, message)

    def _answer(self, worker: _Worker, message: dict[str, Any]) -> None:
        if "unusable" in message:
            self._end(worker)
            raise PoolError(f"workers cannot import {message['unusable']}")
        if "ready" in message:
            worker.ready, self._failed_starts = True, 0
            return
        trial, worker.trial = cast(Trial, worker.trial), None
        worker.served += 1
        wall_s = time.monotonic() - worker.began
        self._done.append(Done(trial.key, message.get("value"), message.get("reason"), None, trial.attempts, wall_s))

    def _watch(self, worker: _Worker, now: float) -> None:
        """End a worker that takes too long or too much."""
        limit_s = self._timeout_s if worker.ready else START_S
        if worker.ready and worker.trial is None:
            return
        if limit_s is not None and now - worker.began > limit_s:
            self._fail(worker, f"ran longer than {limit_s:g} s" if worker.ready else f"worker not ready after {limit_s:g} s")
        elif self._memory is not None and (used := _resident_bytes(worker.process.pid)) > self._memory:
            if worker.served and worker.trial and worker.trial.attempts <= RETRIES:  # earlier trials may have left it large
                self._queue.append(worker.trial)
                self._end(worker)
            else:
                self._fail(worker, f"took {used / 1e6:.0f} MB of memory, {self._memory / 1e6:.0f} MB are allowed")

    def _fail(self, worker: _Worker, reason: str) -> None:
        trial = worker.trial
        self._end(worker)
        if trial is None:
            self._count_failed_start(reason)
        else:
            self._done.append(Done(trial.key, None, reason, None, trial.attempts, time.monotonic() - worker.began))

    def _died(self, worker: _Worker) -> None:
        """A worker's answers ended: note how, and begin its trial again if that is due."""
        code, words = self._end(worker, wait_s=1.0)
        number = -code if code < 0 else None
        reason = f"worker died: {signal.Signals(number).name}" if number else f"worker left with exit code {code}"
        reason += f" ({words})" if words else ""
        trial = worker.trial
        if trial is None:
            if not worker.ready:
                self._count_failed_start(reason)
        elif trial.attempts <= RETRIES:
            self._queue.append(trial)
        else:
            self._done.append(Done(trial.key, None, reason, number, trial.attempts, time.monotonic() - worker.began))

    def _count_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= START_FAILURES:
            raise PoolError(f"workers do not start: {reason}")

    def _end(self, worker: _Worker, wait_s: float = 0.0) -> tuple[int, str]:
        """End a worker with all that it started; its exit code and last words."""
        self._workers.remove(worker)
        self._selector.unregister(worker)
        if wait_s:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(wait_s)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        code = worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout):
            with suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]
        words = worker.last_words()
        worker.errors.close()
        return code, words


def _resident_bytes(pid: int) -> int:
    """Memory that a process has in RAM; 0 where it cannot be read."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
