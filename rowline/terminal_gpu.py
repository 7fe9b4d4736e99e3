"""What people see of a model's run on a GPU."""

from pathlib import Path
from typing import Any

from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import plain_console, print_parts, si

KERNELS = 12
"""Kernels that the table shows; the JSON object has all."""


def print_gpu_run(stats: dict[str, Any], folder: Path, again: str) -> None:
    """The summary of a run; ``again`` is the next command to try."""
    console = plain_console()
    console.print(
        f"arch {printable(stats['arch'])}   stack {printable(stats['stack'])}   {stats['dtype']}   launch {stats['launch']}   "
        f"workload {printable(stats['workload'])}   prompt {stats['prompt_tokens']}   generated {stats['generated_tokens']}"
    )
    table = Table("phase", box=None, pad_edge=False, header_style="bold")
    for title in ("latency", "tokens/s", "energy", "DRAM", "L2 hits", "GB/s of peak"):
        table.add_column(title, justify="right")
    peak = stats["peak_bandwidth_bytes_per_s"]
    for name, phase in stats["phases"].items():
        rate = phase["effective_bandwidth_bytes_per_s"]
        table.add_row(
            name, si(phase["latency_s"], "s"), f"{phase['tokens_per_s']:.1f}", si(phase["energy_j"], "J"),
            si(phase["dram_bytes"], "B"), f"{phase['l2_hit_rate']:.1%}",
            f"{rate / 1e9:.0f} / {peak / 1e9:.0f} ({rate / peak:.1%})",
        )  # fmt: skip
    console.print(table)
    tpot = "-" if stats["tpot_s"] is None else si(stats["tpot_s"], "s")
    console.print(
        f"total {si(stats['latency_s'], 's')} ({tpot} a token), {si(stats['energy_j'], 'J')}, {stats['macs']:.4g} MACs, "
        f"{stats['launches']} launches"
    )
    kernels = Table("kernel", "of", "phase", "shape", "calls", "us each", "share", "bound", "choice", box=None, pad_edge=False,
                    header_style="bold")  # fmt: skip
    for entry in stats["kernels"][:KERNELS]:
        shape = " ".join(f"{k} {'-'.join(map(str, v)) if isinstance(v, list) else v}" for k, v in entry["shape"].items())
        kernels.add_row(
            entry["op"], printable(entry["op_class"]), entry["phase"], shape, str(entry["calls"]), f"{entry['us']:.2f}",
            f"{entry['share']:.1%}", entry["bound"], entry["choice"],
        )  # fmt: skip
    console.print(kernels, soft_wrap=True)
    print_parts(console, stats)
    console.print(f"wrote {folder} in {stats['wall_s']:.1f} s   next: {again}", soft_wrap=True)
