"""The request table: memory requests of a trace, in the order in which they are offered.

A trace names a place either by a byte address, which an address mapping takes apart later, or by a vector (channel, ...,
row, column). The side that a trace does not give is -1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

REQUEST = np.dtype(
    [
        ("arrive", np.int64),  # cycle before which the request is not offered
        ("address", np.int64),  # byte address; -1 where the trace gives a vector
        ("write", np.int8),  # 1: write, 0: read
        ("channel", np.int32),  # the vector; -1 where the trace gives an address, or does not name this level
        ("pseudo_channel", np.int32),
        ("rank", np.int32),
        ("bank_group", np.int32),
        ("bank", np.int32),
        ("row", np.int32),
        ("column", np.int32),  # index of the burst in the row
    ],
    align=True,
)

VECTOR: Final[tuple[str, ...]] = ("channel", "pseudo_channel", "rank", "bank_group", "bank", "row", "column")
"""The levels of a vector, coarse to fine."""

MAX_ADDRESS: Final = 2**62
MAX_CYCLE: Final = 2**62
MAX_LEVEL: Final = 2**31 - 1

Requests = NDArray[np.void]


def empty_requests(length: int) -> Requests:
    """Reads of no place, all offered at cycle 0."""
    requests = np.zeros(length, REQUEST)
    for name in ("address", *VECTOR):
        requests[name] = -1
    return requests


def first_bad(requests: Requests) -> tuple[int, str] | None:
    """Index of the first request that cannot be one, and why; None where all can."""
    tests = {
        "arrives before cycle 0": requests["arrive"] < 0,
        f"arrives after cycle {MAX_CYCLE}": requests["arrive"] > MAX_CYCLE,
        "is neither a read (0) nor a write (1)": (requests["write"] != 0) & (requests["write"] != 1),
        f"has an address beyond {MAX_ADDRESS}": requests["address"] > MAX_ADDRESS,
    }
    tests |= {f"has a negative {name}": requests[name] < -1 for name in ("address", *VECTOR)}
    nowhere = (requests["address"] < 0) & (requests["row"] < 0)
    tests["has neither an address nor a row"] = nowhere
    found = [(int(np.argmax(bad)), reason) for reason, bad in tests.items() if bad.any()]
    return min(found) if found else None
