"""What the L2 holds before a launch."""

import numpy as np

from .gpu_cache import cache_access
from .jit import kernel

SHARE_ONE = 1 << 20
"""A share of 1, as :func:`warm_share` takes it."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(44)


@kernel
def warm_share(cache, first, count, share, write):
    """Put a share of the granules ``first`` to ``first + count - 1`` into the cache, evenly spread; 1 is ``SHARE_ONE``.

    Which ones follows from the upper bits of the granule number times a constant (Fibonacci hashing).
    """
    for granule in range(first, first + count):
        if np.int64((np.uint64(granule) * _STEP) >> _SHIFT) < share:
            line, hit, _ = cache_access(cache, granule, write)
            if not hit:
                cache.ready[line] = 0
