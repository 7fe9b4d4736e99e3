"""The kernels of a library on a chip: as many CTAs share an SM as its shared memory, registers and threads allow."""

from ...arch.gpu import DTYPE_BYTES, GpuSpec
from ...arch.stack import GemmPolicy
from ...arch.tiles import Overlap, Tile, TileMenu
from ..kernels import gpu_layout as gl
from .gemm import Menu, TileKernel

WARP = 32
_OVERLAP = {Overlap.NONE: gl.NO_OVERLAP, Overlap.LOADS: gl.LOADS_OVERLAP, Overlap.ALL: gl.ALL_OVERLAP}


def menu_of(policy: GemmPolicy, dtype: str, gpu: GpuSpec, rows: int = 1) -> Menu:
    """What of a library's menu runs on a chip for products of ``rows`` rows.

    Of kernels alike in all but their pipeline, that with the most stages.

    Raises:
        KeyError: the library has no kernels for the type, or none that fits.
    """
    tiles = policy.menu(dtype)
    best: dict[TileKernel, TileKernel] = {}
    for tile in tiles.all_tiles(dtype):
        if not tile.rows_above < rows <= (tile.rows_most or rows):
            continue
        slots = ctas_per_sm(tile, tiles, dtype, gpu)
        if slots:
            kernel = TileKernel(tile.m, tile.n, tile.k, tile.stages, slots, tile.ctas_per_cluster, _OVERLAP[tile.overlap])
            key = kernel._replace(stages=0)
            best[key] = max(best.get(key, kernel), kernel)
    if not best:
        raise KeyError(dtype)
    return Menu(tuple(sorted(best.values())), policy.split_k.values if tiles.split_k else (1,))


def ctas_per_sm(tile: Tile, menu: TileMenu, dtype: str, gpu: GpuSpec) -> int:
    """CTAs that share an SM; 0 where not even one fits."""
    sm = gpu.sm
    reserved = sm.shared_reserved_per_cta.value if sm.shared_reserved_per_cta is not None else 0
    shared, threads = tile.shared_bytes(DTYPE_BYTES[dtype]), tile.warps * WARP
    if shared > sm.shared_max_per_cta.value or threads > sm.max_threads.value:
        return 0
    registers = tile.m * tile.n // threads + menu.spare_registers
    fit = min(
        sm.shared_max.value // (shared + reserved), sm.register_file.value // (4 * registers * threads),
        sm.max_threads.value // threads, sm.max_ctas.value,
    )  # fmt: skip
    return fit if tile.ctas_per_sm is None else tile.ctas_per_sm
