"""What people see of memory simulations and judged logs."""

from typing import Any

from rich.table import Table

from rowline.arch.yamltree import printable
from rowline.terminal import percentages, plain_console, print_basis, print_breakdown, si


def print_memory(stats: dict[str, Any], again: str) -> None:
    """The summary of a memory simulation; ``again`` is the next command to try."""
    console = plain_console()
    source = f"trace {printable(stats['trace'], 500)}" if "trace" in stats else f"pattern {stats['pattern']}"
    console.print(
        f"device {printable(stats['device'])} x {stats['channels']}   {source}   {stats['requests']} requests "
        f"({stats['reads']} reads, {stats['writes']} writes)   mapping {printable(stats['mapping'], 200)}"
    )
    rate, peak = stats["bandwidth_bytes_per_s"], stats["peak_bandwidth_bytes_per_s"]
    console.print(
        f"{si(stats['time_s'], 's')}, {stats['cycles']} clock cycles   {rate / 1e9:.2f} of {peak / 1e9:.2f} GB/s "
        f"({stats['efficiency']:.1%}; column commands' bytes over the time to the last data, of the data buses' peak)"
    )
    kinds = ("row_hits", "row_misses", "row_conflicts", "forwarded", "merged")
    shares = percentages({name: stats[name] for name in kinds})
    console.print("   ".join(f"{name.replace('_', ' ')} {stats[name]} ({shares[name]:.1f} %)" for name in kinds))
    latency = stats["read_latency_ns"]
    if latency["mean"] is not None:
        console.print("read latency  " + "   ".join(f"{k} {v:.1f} ns" for k, v in latency.items()))
    console.print(
        f"data bus busy {stats['bus_utilization']:.1%}   banks open {stats['bank_utilization']:.1%}   "
        f"refreshes {stats['refreshes']}   energy {si(stats['energy_j'], 'J')}"
    )
    console.print("commands  " + "   ".join(f"{name} {n}" for name, n in stats["commands"].items()))
    print_breakdown(console, "energy by part", stats["energy_breakdown_j"], "J")
    print_basis(console, stats)
    console.print(f"judge: {_judged(stats['violations'])}   done in {stats['wall_s']:.1f} s   next: {again}", soft_wrap=True)


def print_instructions(stats: dict[str, Any]) -> None:
    """The summary of an instruction trace."""
    console = plain_console()
    rate, peak = stats["bandwidth_bytes_per_s"], stats["peak_bandwidth_bytes_per_s"]
    console.print(
        f"device {printable(stats['device'])} x {stats['channels']}   trace {printable(stats['trace'], 500)}   "
        f"{si(stats['time_s'], 's')}, {stats['cycles']} clock cycles   {rate / 1e9:.2f} of {peak / 1e9:.2f} GB/s on the links"
    )
    console.print("commands  " + "   ".join(f"{name} {n}" for name, n in stats["commands"].items()))
    console.print(f"judge: {_judged(stats['violations'])}   refreshes {stats['refreshes']}   done in {stats['wall_s']:.1f} s")


def _judged(violations: int | None) -> str:
    return {None: "not checked", 0: "no violation"}.get(violations, f"{violations} VIOLATIONS")


def print_check(answer: dict[str, Any]) -> None:
    """What the judge found in a log."""
    console = plain_console()
    console.print(
        f"{printable(answer['log'], 500)}: {answer['commands']} commands of {answer['channels']} channel(s) on "
        f"{printable(answer['device'])}: {answer['violations']} violation(s)"
    )
    if answer["violations"]:
        table = Table("rule", "violations", box=None, pad_edge=False, header_style="bold")
        table.columns[1].justify = "right"
        for rule, n in sorted(answer["by_rule"].items(), key=lambda kv: -kv[1]):
            table.add_row(rule, str(n))
        console.print(table)
        for each in answer["first"]:
            line = f"line {each['line']}: " if each["line"] is not None else ""
            console.print(f"{line}{printable(each['text'], 500)}", soft_wrap=True)
    console.print(f"judged in {answer['wall_s']:.2f} s ({answer['commands_per_s'] / 1e6:.1f} M commands a second)")
