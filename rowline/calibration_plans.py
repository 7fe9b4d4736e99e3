"""Which rows the shipped constants are fitted on, and which numbers those rows decide.

Rows: of a public file in the shared schema, seen families only, drawn at random. Keys that share a value stand together.
"""

from dataclasses import dataclass

GEMM, PREFILL, DECODE = ("gemm",), ("attn_prefill", "attn_encoder"), ("attn_decode",)


@dataclass(frozen=True)
class GroupPlan:
    """Rows of one board and one framework; ``head_dim`` 0: any, else heads up to that size."""

    gpu: str
    framework: str
    file: str
    ops: tuple[str, ...]
    dtypes: tuple[str, ...]
    rows: int = 250
    head_dim: int = 0


@dataclass(frozen=True)
class Plan:
    """One fit: the loss is the mean of the groups' mean absolute relative errors."""

    groups: tuple[GroupPlan, ...]
    keys: tuple[tuple[str, ...], ...]


def _keys(prefix: str, *names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((prefix + name,) for name in names)


_CHIP = ("tensor", "l2_bandwidth", "l2_usable", "dram_read", "dram_write", "port", "l2_latency", "dram_latency")
_HOPPER_SHARES = ("tensor", "l2_usable", "dram_read", "dram_write")  # it does not identify the others
_GEMM_COSTS = ("step", "step_least", "epilogue", "epilogue_bytes", "cta_launch", "split_pass")
_HOPPER_COSTS = tuple(name for name in _GEMM_COSTS if name not in ("step", "cta_launch"))  # not identified on it
_ATTENTION = ("exposed_softmax", "tile", "tile_block", "combine", "kv_write", "follow")
_ATTENTION_BY_WARPS = tuple(name for name in _ATTENTION if name != "kv_write")  # not identified where warps write


def _mac(preset: str) -> tuple[tuple[str, ...], ...]:
    return ((f"gpu:{preset}.energy.tensor_mac.bf16", f"gpu:{preset}.energy.tensor_mac.fp16"),)


_HOPPER_CHIP = _keys("gpu:h100-sxm.achieved.", *_HOPPER_SHARES) + _keys("gpu:h200.achieved.", "dram_read", "dram_write")
_AMPERE_CHIP = _keys("gpu:a100-sxm-80gb.achieved.", *_CHIP)

_ROWWISE_STACKS = ("torch-2.1-simt", "cublas-ampere", "cublas-hopper", "cublas-turing")


def _rowwise(kernels: tuple[str, ...], stacks: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Instructions of kernels, the same in all stacks."""
    return tuple(
        tuple(f"stack:{stack}.rowwise.kernels.{name}.{number}" for stack in stacks)
        for name in kernels
        for number in ("instructions", "fixed")
    )


PLANS = {
    "gemm-hopper": Plan(
        (
            GroupPlan("h100-sxm", "vllm-0.24.0", "gemm_aic_h100.parquet", GEMM, ("bf16",)),
            GroupPlan("h200", "vllm-0.24.0", "gemm_aic_h200.parquet", GEMM, ("bf16",)),
            GroupPlan("h200", "vllm-0.22.0", "gemm_aic_h200.parquet", GEMM, ("bf16",)),
        ),
        _HOPPER_CHIP + _keys("stack:cublas-hopper.gemm.costs.", *_HOPPER_COSTS) + _keys("stack:cublas-hopper.fixed.", "launch")
        + _mac("h100-sxm"),
    ),
    "gemm-ampere": Plan(
        (GroupPlan("a100-sxm-80gb", "sglang-0.5.10", "gemm_aic_a100.parquet", GEMM, ("bf16",), 500),),
        _AMPERE_CHIP + _keys("stack:cublas-ampere.gemm.costs.", *_GEMM_COSTS) + _keys("stack:cublas-ampere.fixed.", "launch")
        + _mac("a100-sxm-80gb"),
    ),
    "attention-hopper": Plan(
        tuple(
            GroupPlan(gpu, "vllm-0.24.0", "attention_aic.parquet", ops, ("bf16",), 120, 128)
            for gpu in ("h100-sxm", "h200")
            for ops in (PREFILL, DECODE)
        ),
        _keys("stack:cublas-hopper.attention.", *_ATTENTION, "sequences"),
    ),
    "attention-ampere": Plan(
        tuple(
            GroupPlan("a100-sxm-80gb", "vllm-0.14.0", "attention_aic.parquet", ops, ("bf16",), 200, 128)
            for ops in (PREFILL, DECODE)
        ),
        _keys("stack:cublas-ampere.attention.", *_ATTENTION),
    ),
    "attention-sglang-hopper": Plan(
        tuple(
            GroupPlan(gpu, "sglang-0.5.14", "attention_aic.parquet", ops, ("bf16",), 120, 128)
            for gpu in ("h100-sxm", "h200")
            for ops in (PREFILL, DECODE)
        ),
        _keys("stack:sglang-hopper.attention.", *_ATTENTION_BY_WARPS, "sequences"),
    ),
    "attention-sglang-ampere": Plan(
        tuple(
            GroupPlan("a100-sxm-80gb", "sglang-0.5.10", "attention_aic.parquet", ops, ("bf16",), 200, 128)
            for ops in (PREFILL, DECODE)
        ),
        _keys("stack:sglang-ampere.attention.", *_ATTENTION_BY_WARPS, "sequences"),
    ),
    "rowwise": Plan(
        tuple(
            GroupPlan(gpu, "torch-2.1.0-cu121", "rowwise.parquet", (op,), ("fp32",), 24)
            for gpu in ("t4", "a100-pcie-40gb", "a100-pcie-80gb")
            for op in ("softmax", "layernorm")
        )
        + tuple(
            GroupPlan(gpu, "torch-2.1.0-cu121", "rowwise.parquet", ("add", "gelu"), ("fp32",), 24)
            for gpu in ("t4", "a100-pcie-40gb")
        )
        + tuple(
            GroupPlan(gpu, "torch+sarathi", "rowwise.parquet", (op,), ("fp16",), 24)
            for gpu in ("a100-sxm-80gb", "h100-sxm")
            for op in ("add", "gelu", "silu_mul", "rmsnorm")
        ),
        tuple(
            tuple(f"stack:{stack}.rowwise.{name}" for stack in _ROWWISE_STACKS) for name in ("scalar", "sync", "l1_share")
        )
        + _keys("stack:torch-2.1-simt.", "rowwise.ramp", "fixed.eager_after")
        + _rowwise(("softmax", "layernorm"), _ROWWISE_STACKS)
        + _rowwise(("gelu", "silu_mul", "rmsnorm"), _ROWWISE_STACKS[1:]),
    ),
}  # fmt: skip


def joined(names: list[str]) -> Plan:
    """One plan of several: all their groups and keys, each once."""
    plans = [PLANS[name] for name in names]
    groups = dict.fromkeys(group for plan in plans for group in plan.groups)
    return Plan(tuple(groups), tuple(dict.fromkeys(keys for plan in plans for keys in plan.keys)))
