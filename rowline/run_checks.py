"""What a run is held to while its report is written: its sums, its closed form, and its first commands before the judge."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rowline.arch.gpu import GpuSpec
from rowline.arch.yamltree import ConfigError
from rowline.runfiles import RunFiles
from rowline.traces import opwindow

if TYPE_CHECKING:
    from rowline.reports.ceilings import Ceilings
    from rowline.reports.checks import Check

WINDOW, WHOLE = 20_000, 100_000
"""Commands of channel 0 that are judged: about so many, or all of a run that has no more than the latter."""
MACS, JUDGED = "multiply-accumulates, by formula", "commands of channel 0, simulated again and judged"


def checks_of(files: RunFiles, ops: Any, peaks: "Ceilings", columns: Mapping[str, Any] | None) -> "list[Check]":
    """All checks of a run.

    Args:
        ops: rows of ``ops.parquet`` as a data frame.
        columns: the same as they were read, for the commands of a system with PIM, which take seconds of a large model; None:
            those are left out.
    """
    from rowline.reports.checks import run_checks

    found = run_checks(files.stats, ops, peaks)
    found.append(formula_check(files))
    if columns is not None and not isinstance(files.machine, GpuSpec):
        found.append(judged_check(files, columns))
    return found


def formula_check(files: RunFiles) -> "Check":
    """Multiply-accumulates against the closed form of the workload; a model file that has changed since is no failure."""
    from rowline.reports.checks import Check, closed_form

    try:
        model = files.model
    except (ConfigError, OSError, ValueError) as error:
        return Check(MACS, f"{files.stats['macs']:,}", f"the workload cannot be read: {_line(error)}", None)
    found = closed_form(files.stats, expected_macs(files, model))
    if not found.holds and model_changed(files, model):
        return Check(MACS, found.value, f"{found.expected} now; the workload has changed since", None)
    return found


def expected_macs(files: RunFiles, model: Any) -> int:
    """Multiply-accumulates of a run by formula."""
    from rowline.workloads.closed_form import decode_macs, prefill_macs

    run, one = files.run, decode_macs(model, 1)
    last = run.prompt_tokens + run.generated_tokens - 1
    later = last - run.prompt_tokens
    attended = (last * (last + 1) - run.prompt_tokens * (run.prompt_tokens + 1)) // 2
    first = prefill_macs(model, run.prompt_tokens)
    head = one.lm_head * (later + 1) if run.mapping.lm_head_on_pim else 0
    return first.block_weights + first.attention + one.block_weights * later + one.attention * attended + head


def model_changed(files: RunFiles, model: Any) -> bool:
    """Whether the workload traces to another graph than that of the run."""
    from rowline.gpu_run import TORCH_NAMES
    from rowline.workloads.tracer import trace_decode, trace_prefill

    before = (files.stats.get("provenance") or {}).get("graph_digest")
    run = files.run
    if isinstance(files.machine, GpuSpec):
        model = model.changed(dtype=TORCH_NAMES.get(str(files.stats["dtype"]), model.dtype))
        if run.prompt_tokens > 1 and run.generated_tokens == 1:
            return before is not None and trace_prefill(model, run.prompt_tokens).digest() != before
    return before is not None and trace_decode(model).digest() != before


def judged_check(files: RunFiles, ops: Mapping[str, Any]) -> "Check":
    """The first commands of channel 0 simulated again, at the times that the run has, and held against the judge."""
    from rowline.reports.checks import Check
    from rowline.sim.judge import Judge
    from rowline.sim.mapping.placement import MappingError
    from rowline.sim.pim_machine import SimulationError
    from rowline.timeline import simulate_again

    assert not isinstance(files.machine, GpuSpec)
    device = files.machine.device
    end_ps, whole = judged_window(ops, files.machine.channels.value)
    try:
        watched = simulate_again(files, ops, (0, end_ps), (0,), True)
    except (ConfigError, MappingError, SimulationError, OSError, ValueError) as error:
        return Check(JUDGED, "-", f"not tried: {_line(error)}", None)
    judge = Judge(device, refresh=device.refresh.mode != "off")
    for log in watched.logs[0]:
        judge.feed(log)
    wrong = sum(judge.counts.values())
    stretch = "all of the run" if whole else f"the first {end_ps / 1e6:.6g} us"
    told = "" if not wrong else f": {', '.join(f'{rule} {count}' for rule, count in judge.counts.items())}"
    return Check(
        JUDGED, f"{judge.commands:,} commands ({stretch}), {wrong:,} violations{told}", "0 violations, steps as in ops.parquet",
        not wrong and judge.commands > 0,
    )  # fmt: skip


def judged_window(ops: Mapping[str, Any], channels: int) -> tuple[int, bool]:
    """End in ps of the window that is judged, from the start of the run, and whether that is all of it."""
    last = max(opwindow.end_ps(ops), 1)
    pim = sorted(opwindow.rows_inside(ops, 0, last, "pim"), key=lambda row: int(ops["start_ps"][row]))
    if opwindow.total(ops, "commands", pim) <= WHOLE * channels:
        return last, True
    done = 0
    for row in pim:
        done += int(ops["commands"][row])
        if done >= WINDOW * channels:
            return max(int(ops["end_ps"][row]), 1), False
    return last, True


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
