"""A set-associative write-back cache over arrays: the second level of a GPU, in granules of whatever size the caller counts in.

A granule is a number from 0 on (an address divided by the granule size: a sector of 32 bytes, or a tile of some KiB).

**Set**: with ``block, place = divmod(granule, sets)``, set ``(place + scatter(block, sets)) mod sets``. So any ``sets`` granules
from a multiple of ``sets`` on fill every set once, as under the exclusive-or hashes of real caches, but for any number of sets;
and strides of a multiple of ``sets`` spread as if drawn.

**Replacement**: each set keeps its ways in order of last use. A way never used is taken first; else the victim is that at a
position of the order: the last (LRU), a drawn one (RANDOM), or a drawn one that is not the most recently used (NOT_RECENT).
Draw number i (from 1) below n is ``scatter(i, n)``, so a run can be repeated.

``scatter(x, n)`` is the upper half of a 64-bit word, scaled to n (times n, shifted right by 32). The word is x times
0x9E3779B97F4A7C15, exclusive-ored with itself shifted right by 29, times 0xBF58476D1CE4E5B9, the same with 32, times
0x94D049BB133111EB (multipliers of SplitMix64; Steele, Lea and Flood, OOPSLA 2014).

Reads and writes allocate alike; whether a miss fetches, and when, is the caller's affair, as are all counts. The slow twin is
``sim/reference/cache.py``.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import inlined, kernel

Ints = NDArray[np.int64]
LRU, RANDOM, NOT_RECENT = 0, 1, 2
"""Policies of replacement."""
MAX_WAYS = 16
"""The order of a set's ways is one word of 16 numbers of 4 bits."""
MAX_GRANULE = 2**62 - 1
S_SETS, S_WAYS, S_POLICY, S_DRAWS, N_STATE = range(5)

_FIRST_ORDER = 0xFEDCBA9876543210
_MULTIPLY_1, _MULTIPLY_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_3 = np.uint64(0x94D049BB133111EB)
_ONES, _TOPS, _NIBBLE = np.uint64(0x1111111111111111), np.uint64(0x8888888888888888), np.uint64(15)
_1, _3, _4, _29, _32 = (np.uint64(n) for n in (1, 3, 4, 29, 32))


class Cache(NamedTuple):
    """A cache and what is in it; all arrays are int64.

    Attributes:
        tags: [sets x ways] 2 x granule + 1 if dirty; -1: never used.
        order: [sets] the ways by last use, the latest in the lowest 4 bits.
        ready: [sets x ways] time from which on a line's data is there, in the caller's unit; only the caller writes it.
        state: [N_STATE] sets, ways, policy, draws made.
    """

    tags: Ints
    order: Ints
    ready: Ints
    state: Ints


def new_cache(capacity_bytes: int, granule_bytes: int, ways: int = 16, policy: int = LRU) -> Cache:
    """An empty cache. The number of sets is rounded to the nearest, at least 1; :func:`held_bytes` says what came out.

    Raises:
        ValueError: an argument is out of range.
    """
    if capacity_bytes < 1 or granule_bytes < 1:
        raise ValueError(f"a cache of {capacity_bytes} bytes in granules of {granule_bytes}: both must be above 0")
    if not 1 <= ways <= MAX_WAYS:
        raise ValueError(f"ways: {ways} is not from 1 to {MAX_WAYS}")
    if policy not in (LRU, RANDOM, NOT_RECENT):
        raise ValueError(f"policy: {policy} is none of LRU (0), RANDOM (1), NOT_RECENT (2)")
    set_bytes = granule_bytes * ways
    sets = max(1, (2 * capacity_bytes + set_bytes) // (2 * set_bytes))
    cache = Cache(
        np.empty(sets * ways, np.int64), np.empty(sets, np.int64), np.empty(sets * ways, np.int64),
        np.array([sets, ways, policy, 0], np.int64),
    )  # fmt: skip
    clear(cache)
    return cache


def clear(cache: Cache) -> None:
    """Drop everything, dirty or not, and begin the draws anew."""
    cache.tags.fill(-1)
    cache.order.fill(np.uint64(_FIRST_ORDER).astype(np.int64))
    cache.ready.fill(0)
    cache.state[S_DRAWS] = 0


def held_bytes(cache: Cache, granule_bytes: int) -> int:
    """Bytes that the cache holds when full."""
    return len(cache.tags) * granule_bytes


@inlined
def scatter(number, below):
    """A hash of a number (uint64), from 0 to ``below`` - 1 (uint64, under 2^32)."""
    word = number * _MULTIPLY_1
    word = (word ^ (word >> _29)) * _MULTIPLY_2
    word = (word ^ (word >> _32)) * _MULTIPLY_3
    return ((word >> _32) * below) >> _32


@inlined
def set_of(state, granule):
    """Set of a granule."""
    sets = np.uint64(state[S_SETS])
    block = np.uint64(granule) // sets
    place = np.uint64(granule) - block * sets + scatter(block, sets)
    return np.int64(place - sets if place >= sets else place)


@inlined
def find_way(tags, base, ways, granule):
    """Way of the set whose lines begin at ``base`` that holds a granule, -1 if none."""
    wanted = 2 * granule + 1
    found = np.int64(0)
    for way in range(ways):  # no early exit, and an index that cannot be negative: the comparisons run side by side
        found += way + 1 if tags[np.uint64(base + way)] | 1 == wanted else 0
    return found - 1


@inlined
def use(order, index, way):
    """Make a way the most recently used of its set."""
    word = np.uint64(order[index])
    other = word ^ (np.uint64(way) * _ONES)  # 0 where the way stands
    zero = (other - _ONES) & ~other & _TOPS  # its lowest bit marks the lowest 0
    zero &= ~zero + _1
    newer = word & ((zero >> _3) - _1)
    older = word & ~((zero << _1) - _1)
    order[index] = np.int64(older | (newer << _4) | np.uint64(way))


@inlined
def draw(state, below):
    """The next drawn number from 0 to ``below`` - 1."""
    state[S_DRAWS] += 1
    return np.int64(scatter(np.uint64(state[S_DRAWS]), np.uint64(below)))


@inlined
def victim_way(tags, order, state, index, base):
    """Way of a set that a new granule takes."""
    ways = state[S_WAYS]
    word = np.uint64(order[index])
    oldest = np.int64((word >> (_4 * np.uint64(ways - 1))) & _NIBBLE)
    if state[S_POLICY] == LRU or tags[base + oldest] < 0 or ways == 1:
        return oldest
    spared = state[S_POLICY] - RANDOM
    position = spared + draw(state, ways - spared)
    return np.int64((word >> (_4 * np.uint64(position))) & _NIBBLE)


@inlined
def cache_access(cache, granule, write):
    """Read (``write`` 0) or write (1) a granule; it is in the cache afterwards.

    Returns:
        (line, hit, dropped): the granule's line, an index of ``ready`` and ``tags``; whether it was there, possibly still
        on its way (``ready``); the granule that was dirty and is now to be written back, -1 if none.
    """
    tags, order, state = cache.tags, cache.order, cache.state
    index = set_of(state, granule)
    base = index * state[S_WAYS]
    way = find_way(tags, base, state[S_WAYS], granule)
    dropped = np.int64(-1)
    hit = way >= 0
    if hit:
        tags[base + way] |= write
    else:
        way = victim_way(tags, order, state, index, base)
        old = tags[base + way]
        if old >= 0 and old & 1:
            dropped = old >> 1
        tags[base + way] = 2 * granule + write
    use(order, index, way)
    return base + way, hit, dropped


@kernel
def access_all(cache, granules, writes, hits, dropped):
    """A whole trace.

    Args:
        cache: a :class:`Cache`, changed in place.
        granules, writes: int64[n] each.
        hits: int64[n] to fill, 1 where the granule was there; dropped: int64[n] to fill as :func:`cache_access` says.
    """
    for i in range(granules.shape[0]):
        _, hit, dropped[i] = cache_access(cache, granules[i], writes[i])
        hits[i] = 1 if hit else 0


@kernel
def warm(cache, first, count, write):
    """Read or write granules ``first`` to ``first + count - 1`` in turn, untimed; how many were not there."""
    missed = np.int64(0)
    for granule in range(first, first + count):
        line, hit, _ = cache_access(cache, granule, write)
        if not hit:
            cache.ready[line] = 0
            missed += 1
    return missed


@kernel
def resident(cache, first, count):
    """How many of the granules ``first`` to ``first + count - 1`` are there; changes nothing."""
    tags, state = cache.tags, cache.state
    there = np.int64(0)
    for granule in range(first, first + count):
        if find_way(tags, set_of(state, granule) * state[S_WAYS], state[S_WAYS], granule) >= 0:
            there += 1
    return there


@kernel
def dirty(cache):
    """How many lines are dirty."""
    found = np.int64(0)
    for tag in cache.tags:
        found += 1 if tag >= 0 and tag & 1 else 0
    return found


@kernel
def write_back(cache):
    """Make all lines clean; how many were dirty."""
    tags = cache.tags
    dirty = np.int64(0)
    for line in range(tags.shape[0]):
        if tags[line] >= 0 and tags[line] & 1:
            tags[line] ^= 1
            dirty += 1
    return dirty
