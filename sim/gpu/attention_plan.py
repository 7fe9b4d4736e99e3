"""How an attention library cuts a call: query tiles, heads packed into a tile, parts of the keys.

FlashAttention gives each CTA a block of query rows of one head of one sequence, and walks over blocks of keys. Where several
query heads share keys and values, their rows can fill one tile. A causal tile walks only to its last row's own key.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...arch.stack import AttentionGeneration, AttentionPolicy, SplitKv
from .kernels import Attention
from .machine import ELEMENT_BYTES, Chip

REGISTERS = 65536
"""32-bit registers of an SM, of all generations from Kepler on."""
THREAD_REGISTERS = 255
"""Registers that a thread of an attention kernel takes: all that it can have."""
ENOUGH_EFFICIENCY = 0.85
ENOUGH_FILL = 0.8
MARGIN = 1.1


class Plan(NamedTuple):
    """A call as cut by the library.

    Attributes:
        queries, keys: rows and keys of a tile; lanes: elements of a head as the arithmetic pads them.
        stages, slots: steps that the copy pipeline holds; CTAs on an SM.
        group: query heads that are rows of one tile; units: sequences times what is left of the heads.
        tiles: query tiles of a unit; splits: parts that its keys are cut into.
        most: parts that the keys may be cut into, as decided before the lengths are known; beyond 1, parts are added up.
    """

    queries: int
    keys: int
    lanes: int
    stages: int
    slots: int
    group: int
    units: int
    tiles: int
    splits: int
    most: int


def up(whole: int, part: int) -> int:
    """Parts that cover a whole."""
    return -(-whole // part)


def plan(attention: Attention, chip: Chip, policy: AttentionPolicy) -> Plan:
    """Cut a call as the library does.

    Raises:
        KeyError: the library has no tile for such large heads.
        ValueError: more queries than keys in a causal call, or query heads that do not share their keys evenly.
    """
    a = attention
    if a.heads % a.kv_heads:
        raise ValueError(f"{a.heads} query heads do not share {a.kv_heads} key heads evenly")
    if a.phase != "encoder" and a.seq_q > a.seq_kv:
        raise ValueError(f"{a.seq_q} queries of {a.seq_kv} keys")
    fa3 = policy.generation is not AttentionGeneration.FA2
    packed = bool(policy.pack_gqa.value) and (fa3 or a.seq_q == 1)
    group = a.heads // a.kv_heads if packed else 1
    causal = a.phase == "prefill" and a.seq_q > 1
    few = (policy.causal_few or policy.causal) if causal else policy.decode
    tile = few.tile(a.head_dim)
    if a.seq_q * group > tile.queries:
        many = policy.full if a.phase == "encoder" else policy.decode_many or policy.full
        tile = (policy.causal if causal else many).tile(a.head_dim)
    units = a.batch * a.heads // group
    parts = tile if policy.cut is None else policy.cut.tile(a.head_dim)
    tiles, blocks, splits, most = up(a.seq_q * group, parts.queries), up(a.seq_kv, parts.keys), 1, 1
    if policy.split_kv is SplitKv.FILL_SMS and blocks > policy.few_blocks.value:
        if fa3:
            most = wave_splits(units // a.batch * tiles, chip.sms, blocks, policy.max_splits.value)
            splits = _splits_fa3(chip.sms, units * tiles, blocks, most)
        elif a.seq_q == 1 and group > 1:
            splits = most = wave_splits(units * tiles, 2 * chip.sms, blocks, policy.max_splits.value, even=True)
    if most > 1:
        tile = parts
    tiles = up(a.seq_q * group, tile.queries)
    lanes = next((size for size in ((64, 96, 128, 192, 256) if fa3 else range(32, 513, 32)) if a.head_dim <= size), a.head_dim)
    size = ELEMENT_BYTES[a.dtype] * lanes
    shared = (tile.queries + 2 * tile.keys * tile.stages) * size + chip.cta_shared_bytes
    slots = min(int(chip.shared_bytes // shared), REGISTERS // (THREAD_REGISTERS * 32 * tile.warps))
    return Plan(tile.queries, tile.keys, lanes, max(2, tile.stages), max(1, slots), group, units, tiles, splits, most)


def wave_splits(tiles: int, slots: int, blocks: int, most: int, even: bool = False) -> int:
    """FlashAttention's ``num_splits_heuristic``: the fewest parts whose last wave is nearly as full as that of the best.

    ``even``: only numbers of parts that make the largest part smaller than the number before does (FlashAttention 2).
    """
    if tiles >= ENOUGH_FILL * slots:
        return 1
    most = min(most, slots, blocks)
    able = [n for n in range(1, most + 1) if not even or n == 1 or up(blocks, n) < up(blocks, n - 1)]
    filled = {n: tiles * n / slots / up(tiles * n, slots) for n in able}
    return next(n for n in able if filled[n] >= ENOUGH_EFFICIENCY * max(filled.values()))


def _splits_fa3(sms: int, tiles: int, blocks: int, most: int) -> int:
    """FlashAttention 3 with sequences of any length: parts of even size, up to the limit as if one sequence were alone."""
    blocks_per_sm = int(np.ceil(tiles * blocks * MARGIN / sms))
    return max(1, min(up(blocks, blocks_per_sm), most))


def steps_of_tiles(attention: Attention, cut: Plan) -> NDArray[np.int64]:
    """int64[tiles]: blocks of keys that each query tile of a unit walks over."""
    a = attention
    if a.phase != "prefill":
        return np.full(cut.tiles, up(a.seq_kv, cut.keys), np.int64)
    last_row = np.minimum((np.arange(cut.tiles) + 1) * cut.queries, a.seq_q * cut.group) - 1
    limit = last_row // cut.group + 1 + a.seq_kv - a.seq_q
    return -(-limit // cut.keys)
