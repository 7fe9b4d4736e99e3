"""Software stacks, and how boards and frameworks of logs find their specifications."""

from pathlib import Path

import pytest
from rowline.arch.boards import board_names, gpu_for_board, match_stack, split_framework, stack_for_framework
from rowline.arch.gpu import DTYPE_BYTES, Architecture
from rowline.arch.loader import list_gpus, list_stacks, load_gpu, load_stack
from rowline.arch.stack import Choices, StackSpec
from rowline.arch.tiles import TileFamily, TileMenu
from rowline.arch.yamltree import ConfigError

# boards of the shared measurements, and names that torch and nvidia-smi give
BOARDS = {
    "A100-SXM4-80GB": "a100-sxm-80gb", "H100-SXM5-80GB": "h100-sxm", "H200-SXM-141GB": "h200", "T4": "t4",
    "A100-PCIE-40GB": "a100-pcie-40gb", "A100-PCIE-80GB": "a100-pcie-80gb", "A100-80GB-unspec": "a100-sxm-80gb",
    "L40S": "l40s", "V100-PCIE-32GB": "v100-pcie", "L4": "l4",
    "NVIDIA H200": "h200", "NVIDIA A100-SXM4-80GB": "a100-sxm-80gb", "Tesla T4": "t4", "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie", "Tesla V100-SXM2-16GB": "v100-sxm2", "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
}  # fmt: skip


@pytest.mark.parametrize("board", BOARDS)
def test_boards_of_logs(board: str) -> None:
    assert gpu_for_board(board).name == BOARDS[board]
    assert gpu_for_board(f" {board.lower()}").name == BOARDS[board]


def test_board_names_are_unique() -> None:
    names = [board.lower() for name in list_gpus() for board in load_gpu(name).boards]
    assert len(set(names)) == len(names)
    assert all(board_names()[name] == name for name in list_gpus())


def test_an_unknown_board() -> None:
    with pytest.raises(ConfigError, match=r'unknown board "H300"; did you mean "h\d00"\? Known GPUs: a100'):
        gpu_for_board("H300")


def test_versions() -> None:
    assert split_framework("vllm-0.24.0") == ("vllm", (0, 24, 0))
    assert split_framework("torch-2.1.0-cu121") == ("torch", (2, 1, 0))
    assert split_framework("cublas-cuda10.1") == ("cublas-cuda", (10, 1))
    assert split_framework("torch+sarathi") == ("torch+sarathi", ())
    assert split_framework("9" * 300) == ("9" * 300, ())


# framework, architecture, type -> stack, how
MATCHES = [
    ("vllm-0.24.0", "hopper", "bf16", "cublas-hopper", "exact"),
    ("sglang-0.5.14", "hopper", "fp8", "sglang-hopper", "exact"),
    ("vllm-0.14.0", "ampere", "bf16", "cublas-ampere", "exact"),
    ("sglang-0.5.10", "ampere", None, "sglang-ampere", "exact"),
    ("sglang-0.5.10", "ada", "bf16", "cublas-ampere", "generic for ada"),
    ("cublas-cuda10.1", "turing", "fp32", "cublas-turing", "exact"),
    ("torch-2.1.0-cu121", "turing", "fp32", "torch-2.1-simt", "exact"),
    ("vllm-0.24.0", "ada", "bf16", "cublas-ampere", "nearest version of vllm: vllm-0.14.0"),
    ("vllm-0.23.9", "hopper", "bf16", "cublas-hopper", "nearest version of vllm: vllm-0.24.0"),
    ("vllm-0.21", "hopper", "bf16", "cublas-hopper", "nearest version of vllm: vllm-0.22.0"),
    ("torch-2.9.0", "hopper", "fp32", "torch-2.1-simt", "nearest version of torch: torch-2.1.0-cu121"),
    ("torch-2.9.0", "hopper", "bf16", "cublas-hopper", "generic for hopper"),
    ("tensorrt-llm", "turing", "fp16", "cublas-turing", "generic for turing"),
    ("vllm-0.14.0", "ampere", "fp32", "torch-2.1-simt", "the only kind for fp32"),
]


@pytest.mark.parametrize(("framework", "architecture", "dtype", "stack", "how"), MATCHES)
def test_frameworks_of_logs(framework: str, architecture: str, dtype: str | None, stack: str, how: str) -> None:
    found = match_stack(framework, architecture, dtype)
    assert (found.stack.name, found.how) == (stack, how)
    assert stack_for_framework(framework, architecture, dtype) is found.stack


def test_a_type_that_no_stack_has() -> None:
    with pytest.raises(ConfigError, match="no stack for turing with kernels for bf16"):
        match_stack("torch-2.9.0", "turing", "bf16")
    with pytest.raises(ConfigError, match="no stack for kepler; known: cublas-ampere"):
        match_stack("torch-2.9.0", "kepler")


def test_one_generic_stack_an_architecture() -> None:
    stacks = [load_stack(name) for name in list_stacks()]
    for architecture in Architecture:
        assert sum(stack.generic and architecture in stack.architectures for stack in stacks) == 1
    frameworks = [(framework, a) for stack in stacks for framework in stack.frameworks for a in stack.architectures]
    assert len(set(frameworks)) == len(frameworks)


@pytest.mark.parametrize("name", list_stacks())
def test_every_tile_fits_every_chip(name: str) -> None:
    """Operand pipeline in shared memory (SIMT: accumulators in registers), and threads, of each GPU the stack is for."""
    stack = load_stack(name)
    for gpu in map(load_gpu, list_gpus()):
        if gpu.architecture not in stack.architectures:
            continue
        for menu in stack.gemm.menus.values():
            size = max(DTYPE_BYTES[dtype] for dtype in menu.dtypes)
            tiles = menu.all_tiles(max(menu.dtypes, key=lambda dtype: DTYPE_BYTES[dtype]))
            fits = [tile for tile in tiles if tile.shared_bytes(size) <= gpu.sm.shared_max_per_cta.value]
            assert len(fits) >= 0.5 * len(tiles), (gpu.name, len(fits))
            if gpu.name != "l40s" and gpu.name != "l4":  # Ada takes Ampere's menu, but for what needs more than 99 KiB
                assert fits == list(tiles), (gpu.name, set(tiles) - set(fits))
            for tile in tiles:
                registers = 4 * tile.m * tile.n // 4 // (32 * tile.warps)  # of each thread, for fp32 accumulators
                assert registers <= 255, tile


def test_the_sources_of_a_stack() -> None:
    stack = load_stack("cublas-hopper")
    found = stack.sourced()
    assert isinstance(found["gemm.menus.half"], TileMenu) and isinstance(found["gemm.split_k"], Choices)
    assert {"attention.causal", "attention.decode", "gemm.costs.step_least", "rowwise.kernels.add"} <= found.keys()
    assert all(value.ref.strip() for value in found.values())
    assert "attention.causal" not in load_stack("cublas-turing").sourced()


def test_tiles_by_head_size() -> None:
    attention = load_stack("cublas-hopper").attention
    assert attention is not None
    assert [attention.causal.tile(d).keys for d in (1, 64, 65, 128, 192, 256)] == [128, 128, 144, 128, 112, 80]
    with pytest.raises(KeyError):
        attention.causal.tile(257)


def test_menus_by_type() -> None:
    gemm = load_stack("cublas-ampere").gemm
    assert gemm.menu("bf16") is gemm.menu("fp16") is gemm.menus["half"]
    assert gemm.has_menu("fp8") and not gemm.has_menu("fp32")
    with pytest.raises(KeyError):
        gemm.menu("fp32")
    widest = next(tile for tile in gemm.menus["half"].all_tiles("bf16") if (tile.m, tile.n, tile.k) == (256, 128, 32))
    assert widest.shared_bytes(2) == (256 + 128) * 32 * widest.stages * 2 <= 160 * 1024
    with pytest.raises(KeyError):
        gemm.menus["half"].all_tiles("fp8")


def test_a_family_of_tiles() -> None:
    """Blocks by rule, both ways round, as deep as their pipeline allows."""
    family = TileFamily.model_validate({
        "m": [64, 128], "n_least": 8, "n_most": 24, "n_step": 8, "turned": True, "n_least_turned": 16, "outputs_most": 2048,
        "k": [64], "stages": [2, 4, 8], "pipeline": "48 KiB", "warps": 4,
    })  # fmt: skip
    tiles = list(family.members(2))
    assert {(t.m, t.n) for t in tiles} == {(64, 16), (64, 24), (128, 16), (8, 64), (16, 64), (24, 64), (8, 128), (16, 128)}
    assert all(t.stages == max(s for s in (2, 4, 8) if (t.m + t.n) * 64 * 2 * s <= 48 * 1024) for t in tiles)


MINE = """\
extends: stack/cublas-hopper
name: mine
gemm:
  menus:
    half:
      kind: ASSUMED
      ref: mine
      dtypes: [{dtypes}]
      tiles:
        - {{m: 64, n: 8, k: 64, stages: 8, warps: 8}}
        - {tile}
  split_k: {{kind: ASSUMED, ref: mine, values: [{split_k}]}}
"""
GOOD = {"dtypes": "bf16", "tile": "{m: 64, n: 16, k: 64, stages: 8, warps: 8}", "split_k": "1, 2"}


def mine(folder: Path, **changes: str) -> StackSpec:
    """A stack file with a menu of its own."""
    path = folder / "mine.yaml"
    path.write_text(MINE.format(**(GOOD | changes)))
    return load_stack(str(path))


def test_a_stack_from_a_file(tmp_path: Path) -> None:
    stack = mine(tmp_path)
    assert stack.gemm.split_k.values == (1, 2) and [tile.n for tile in stack.gemm.menu("bf16").tiles] == [8, 16]
    assert stack.attention == load_stack("cublas-hopper").attention


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"tile": "{m: 0, n: 8, k: 64, stages: 8, warps: 8}"}, "mine.yaml:11  gemm.menus.half.tiles.1.m: Input should be"),
        ({"tile": "{m: 64, n: 8, k: 64, stages: 8, warp: 8}"}, 'tiles.1.warp: unknown key; did you mean "warps"?'),
        ({"tile": "{m: 64, n: 8, k: 64, stages: 8, warps: 8}"}, "gemm.menus.half.tiles: a tile stands there twice"),
        ({"dtypes": "bf17"}, 'gemm.menus.half.dtypes: unknown type "bf17"'),
        ({"dtypes": "fp8"}, "gemm.menus.byte: fp8 is in half already"),
        ({"split_k": "2, 1"}, "gemm.split_k.values: needs ascending whole numbers from 1 on"),
        ({"split_k": "0, 1"}, "gemm.split_k.values: needs ascending"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, changes: dict[str, str], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mine(tmp_path, **changes)
    assert part in str(caught.value)
