"""A worker: imports one function, then calls it with each payload that comes, until the other side is gone.

``python -m rowline.sweeps.pool_worker MODULE:FUNCTION MEMORY_BYTES PARENT_PID``. Messages are JSON after their length in four
bytes, payloads on standard input, answers on what was standard output; whatever a trial prints goes to standard error.
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
REASON_LENGTH = 500


def load(entry: str) -> Callable[[Any], Any]:
    """The function of ``module:function``."""
    module, _, function = entry.partition(":")
    return getattr(importlib.import_module(module), function)


def call(function: Callable[[Any], Any], payload: Any) -> dict[str, Any]:
    """One trial's answer: ``{"value": ...}``, or ``{"reason": ...}`` where it raised or returned what JSON cannot hold."""
    try:
        value = function(payload)
        json.dumps(value, allow_nan=False)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return {"reason": brief(error)}
    return {"value": value}


def brief(error: BaseException) -> str:
    """An exception as one line, with the place in the code that raised it."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place, trace = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})", trace.tb_next
    try:
        text = " ".join(str(error).split())[:REASON_LENGTH]
    except Exception:
        text = "an error that cannot be printed"
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def send(stream: BinaryIO, message: Any) -> None:
    """Write one message."""
    data = json.dumps(message, separators=(",", ":")).encode()
    stream.write(struct.pack("<I", len(data)) + data)
    stream.flush()


def _die_with(parent: int) -> None:
    """Have the kernel end this process when the thread that started it ends; where it cannot, the pipe's end will do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _limit_memory(limit_bytes: int) -> None:
    """Refuse allocations past twice the limit: what grows beyond the limit itself is seen, and ended, by the supervisor."""
    if limit_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = 2 * limit_bytes if hard == resource.RLIM_INFINITY else min(2 * limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _listen(found: Callable[[bytes], None]) -> None:
    """Hand each message on; when the other side is gone, end this process and all that it started, whatever it is doing."""
    while True:
        head = sys.stdin.buffer.read(4)
        data = sys.stdin.buffer.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b""
        if not data:
            os.killpg(0, signal.SIGKILL)
        found(data)


def main(entry: str, memory_bytes: int, parent: int) -> None:
    """Serve until standard input ends."""
    from queue import SimpleQueue

    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory(memory_bytes)
    work: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(work.put,), daemon=True).start()
    try:
        function = load(entry)
    except BaseException as error:
        send(answers, {"unusable": f"{entry}: {brief(error)}"})
        return
    send(answers, {"ready": True})
    while True:
        send(answers, call(function, json.loads(work.get())))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
