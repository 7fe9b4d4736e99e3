"""The one way in which kernels are compiled, and the care that their cache needs.

``_nrt=False`` leaves out reference counting: kernels allocate nothing, and counting cost four fifths of the engine's time.
``error_model="numpy"`` leaves out checks for division by zero; the specification excludes it.

Numba's cache notices a change of the file that a kernel stands in, but not of a file whose functions that kernel calls. So
compiled code older than any source of this folder is dropped before anything is loaded.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit


def drop_stale_cache(folder: Path) -> int:
    """Remove cache indices in ``folder/__pycache__`` older than its newest source; how many there were."""
    newest = max(source.stat().st_mtime_ns for source in folder.glob("*.py"))
    stale = [index for index in folder.glob("__pycache__/*.nbi") if index.stat().st_mtime_ns < newest]
    for index in stale:
        with suppress(OSError):  # another process was faster, or the folder is read-only
            index.unlink()
    return len(stale)


with suppress(OSError):
    drop_stale_cache(Path(__file__).parent)

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
kernel = njit(**_OPTIONS)
inlined = njit(**_OPTIONS, inline="always")
