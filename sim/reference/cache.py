"""The slow twin of ``sim/kernels/gpu_cache.py``: one set-associative write-back cache, written to be read.

The set of a granule and the numbers drawn are the formulas of that module's text; all else follows from what is kept here: for
each set a list of its lines, the most recently used first, and for each granule whether it is dirty.
"""

from dataclasses import dataclass

_WORD = 1 << 64


@dataclass(frozen=True)
class Access:
    """What one access did: whether the granule was there, and the dirty granule that had to go, if any."""

    hit: bool
    dropped: int | None


class SlowCache:
    """A cache.

    Args:
        sets, ways: lines, ``sets`` x ``ways`` of them.
        policy: ``"lru"``, ``"random"`` or ``"not_recent"``.
    """

    def __init__(self, sets: int, ways: int, policy: str) -> None:
        self.sets, self.ways, self.policy = sets, ways, policy
        self.lines: list[list[int]] = [[] for _ in range(sets)]
        self.dirty: dict[int, bool] = {}
        self.draws = 0

    def set_of(self, granule: int) -> int:
        """Set of a granule: its place in its block of ``sets`` granules, turned by a hash of the block."""
        block, place = divmod(granule, self.sets)
        return (place + scatter(block, self.sets)) % self.sets

    def access(self, granule: int, write: bool) -> Access:
        """Read or write a granule."""
        lines, dropped = self.lines[self.set_of(granule)], None
        hit = granule in lines
        if hit:
            lines.remove(granule)
        elif len(lines) == self.ways:
            victim = lines.pop(self._position())
            dropped = victim if self.dirty.pop(victim) else None
        lines.insert(0, granule)
        self.dirty[granule] = write or (hit and self.dirty[granule])
        return Access(hit, dropped)

    def _position(self) -> int:
        """Which line of a full set goes, counted from the most recently used."""
        if self.policy == "lru" or self.ways == 1:
            return self.ways - 1
        spared = {"random": 0, "not_recent": 1}[self.policy]
        self.draws += 1
        return spared + scatter(self.draws, self.ways - spared)


def scatter(number: int, below: int) -> int:
    """A hash of a number, from 0 to ``below`` - 1."""
    word = number * 0x9E3779B97F4A7C15 % _WORD
    word = (word ^ word // 2**29) * 0xBF58476D1CE4E5B9 % _WORD
    word = (word ^ word // 2**32) * 0x94D049BB133111EB % _WORD
    return word // 2**32 * below // 2**32
