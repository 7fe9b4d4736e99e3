"""How the judge is compiled. Numba's cache notices a change of a function's own file only, so code older than any is dropped."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit

_FOLDER = Path(__file__).parent

with suppress(OSError):
    _NEWEST = max(source.stat().st_mtime_ns for source in _FOLDER.glob("*.py"))
    for _index in _FOLDER.glob("__pycache__/*.nbi"):
        if _index.stat().st_mtime_ns < _NEWEST:
            _index.unlink(missing_ok=True)

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}  # nothing is allocated
compiled = njit(**_OPTIONS)
