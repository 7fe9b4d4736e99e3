"""Trials that go wrong in every way a worker can. Imported by workers, and by the tests as a plain module."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_kept: list[bytes] = []


def trial(payload: dict[str, Any]) -> Any:
    """Do what ``do`` says; each call leaves a line in the file ``log``, if there is one."""
    if "log" in payload:
        with open(payload["log"], "a", encoding="utf-8") as log:
            log.write(f"{payload['do']} {os.getpid()}\n")
    return _DEEDS[payload["do"]](payload)


def _raise(_: dict[str, Any]) -> None:
    raise ValueError("two\nlines")


def _allocate(payload: dict[str, Any]) -> int:
    kept = []
    while True:
        kept.append(bytearray(payload["step_bytes"]))
        for page in range(0, len(kept[-1]), 4096):
            kept[-1][page] = 1


def _keep(payload: dict[str, Any]) -> int:
    _kept.append(b"x" * payload["bytes"])
    return os.getpid()


def _hang_in_c(payload: dict[str, Any]) -> None:
    libc = ctypes.PyDLL(None)  # keeps the interpreter's lock
    libc.sleep(payload.get("seconds", 600))


def _with_child(payload: dict[str, Any]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(payload["pids"]).write_text(f"{os.getpid()} {child.pid}", encoding="ascii")
    time.sleep(600)


def _dies_once(payload: dict[str, Any]) -> str:
    marker = Path(payload["marker"])
    if not marker.exists() or len(marker.read_text().split()) < payload["times"]:
        with open(marker, "a", encoding="ascii") as file:
            file.write("died\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def _segfault(_: dict[str, Any]) -> None:
    ctypes.string_at(0)


def _noise(_: dict[str, Any]) -> str:
    print("noise on standard output", flush=True)
    os.write(1, b"\x00\x01 more noise")
    return "quiet"


_DEEDS: dict[str, Any] = {
    "square": lambda p: p["x"] ** 2,
    "pid": lambda p: (time.sleep(p.get("seconds", 0)), os.getpid())[1],
    "sleep": lambda p: time.sleep(p["seconds"]),
    "raise": _raise,
    "exit": lambda p: sys.exit(3),
    "leave": lambda p: (sys.stderr.write("gone\n"), sys.stderr.flush(), os._exit(7)),
    "abort": lambda p: os.abort(),
    "segfault": _segfault,
    "kill": lambda p: os.kill(os.getpid(), signal.SIGKILL),
    "allocate": _allocate,
    "huge": lambda p: len(bytearray(p["bytes"])),
    "hang in C": _hang_in_c,
    "child": _with_child,
    "dies": _dies_once,
    "keep": _keep,
    "echo": lambda p: p,
    "object": lambda p: object(),
    "noise": _noise,
    "big": lambda p: "x" * p["length"],
    "nan": lambda p: float("nan"),
}
