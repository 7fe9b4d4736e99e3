"""Keys that the stats of a trial have, so that a wrong one is told before anything runs; a test holds them against runs."""

from rowline.arch.loader import is_gpu

_BOTH = frozenset({
    "prompt_tokens", "generated_tokens", "latency_s", "prefill_latency_s", "decode_latency_s", "tpot_s", "energy_j",
    "energy_breakdown_j", "energy_by_op_class_j", "latency_breakdown_s", "latency_by_term_s", "macs",
    "effective_bandwidth_bytes_per_s", "peak_bandwidth_bytes_per_s", "phases",
})  # fmt: skip
PIM_KEYS = _BOTH | {
    "vectors_per_row", "non_vmm_latency_share", "cycles", "commands", "row_hit_rate", "weight_row_hit_rate", "pim_utilization",
    "link_bytes", "refreshes", "forced_refreshes", "area_m2",
}
GPU_KEYS = _BOTH | {"dram_bytes", "dram_read_bytes", "dram_write_bytes", "l2_hit_rate", "launches", "host_launches"}


def keys_of(arch: str) -> frozenset[str]:
    """Keys whose values, or the values in which, are numbers."""
    return GPU_KEYS if is_gpu(arch) else PIM_KEYS
