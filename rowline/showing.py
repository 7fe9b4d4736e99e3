"""What ``rowline show`` shows, as plain data: a workload, a mapping, a study, a run, or a file as it stands."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowline.arch.loader import PRESETS, nearest
from rowline.arch.yamltree import ConfigError, printable, read_yaml
from rowline.cli_options import OUT, folders_with

if TYPE_CHECKING:
    from rowline.sim.mapping.pim_gpt import Mapping
    from rowline.sim.mapping.placement import Region
    from rowline.traces.opgraph import Op, OpGraph

_COUNTS = ("bytes_read", "bytes_written")


def as_written(name: str, folders: Sequence[str]) -> str:
    """The text of a preset of one of ``folders``, or of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
    else:
        path = next(p for folder in folders if (p := PRESETS / folder / f"{name}.yaml").is_file())
    read_yaml(path)
    return path.read_text(encoding="utf-8")


def workload(name: str, prompt_tokens: int | None, expanded: bool) -> dict[str, Any]:
    """A model, traced.

    Args:
        name: a model of the catalogue, or a YAML file.
        prompt_tokens: add the pass over a prompt of so many tokens, and take the decode pass that follows it; None: the decode
            pass for any KV length.
        expanded: list the operations.

    Returns:
        ``model``, ``params``; ``passes``, each with ``phase``, ``n_new_tokens``, ``kv_length`` (null: any) and ``kinds``: MACs
        and bytes of the operations of a kind, and what each token of KV length adds. Expanded: ``ops`` of the decode pass,
        ``prefill_ops``.

    Raises:
        ConfigError: there is no such model, or its context is shorter than the prompt.
    """
    from rowline.experiment import load_model
    from rowline.workloads.tracer import trace_decode, trace_prefill

    model = load_model(name)
    if prompt_tokens is not None and not 1 <= prompt_tokens < model.n_positions:
        raise ConfigError([
            f"--prompt {prompt_tokens}: must be from 1 to {model.n_positions - 1}, one less than the context of {model.name}"
        ])  # fmt: skip
    decode = trace_decode(model)
    data: dict[str, Any] = {"model": model.model_dump(mode="json"), "params": decode.fact("params")}
    graphs = [decode]
    if prompt_tokens is not None:
        graphs = [trace_prefill(model, prompt_tokens), decode.at(prompt_tokens + 1)]
    data["passes"] = [_pass_of(graph) for graph in graphs]
    if expanded:
        data["ops"] = [_operation(op) for op in graphs[-1].ops]
        if len(graphs) > 1:
            data["prefill_ops"] = [_operation(op) for op in graphs[0].ops]
    return data


def _pass_of(graph: "OpGraph") -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {}
    for op in graph.ops:
        total = kinds.setdefault(op.kind, {"kind": op.kind, "ops": 0})
        total["ops"] += 1
        for key, value in _amounts(op).items():
            total[key] = total.get(key, 0) + value
    return {
        "phase": graph.phase,
        "n_new_tokens": graph.n_new_tokens,
        "kv_length": graph.kv_length if graph.kv_length > 0 else None,
        "kinds": list(kinds.values()),
    }


def _amounts(op: "Op") -> dict[str, int]:
    """MACs and bytes of an operation, and what each token of KV length adds to them."""
    amounts = {"macs": op.flops // 2, "macs_per_kv": op.flops_per_kv // 2}
    return amounts | {key: getattr(op, key) for name in _COUNTS for key in (name, f"{name}_per_kv")}


def _operation(op: "Op") -> dict[str, Any]:
    return {
        "op": op.index, "kind": op.kind, "module": op.module, "layer": op.layer,
        "inputs": [list(shape) for shape in op.in_shapes], "roles": list(op.roles), "producers": list(op.producers),
        "outputs": [list(shape) for shape in op.out_shapes],
    } | _amounts(op)  # fmt: skip


def mapping(placed: "Mapping", expanded: bool) -> dict[str, Any]:
    """Where tensors live.

    Returns:
        ``channels``, ``banks`` of each, ``rows`` of each bank, ``rows_used``; ``tensors``. Expanded: ``placements``, one for
        each tensor, chunk and bank.
    """
    from rowline.sim.mapping.placement import placements

    regions, geometry = list(placed.regions.values()), placed.geometry
    data: dict[str, Any] = {
        "channels": geometry.channels, "banks": geometry.banks, "rows": geometry.rows,
        "rows_used": sum(region.rows for region in regions), "tensors": [_tensor(region) for region in regions],
    }  # fmt: skip
    if expanded:
        data["placements"] = [asdict(each) for each in placements(geometry, regions)]
    return data


def _tensor(region: "Region") -> dict[str, Any]:
    return {
        "tensor": region.tensor, "role": region.role, "layer": region.layer, "outputs": region.outputs, "inputs": region.inputs,
        "row_begin": region.row, "row_end": region.row + region.rows,
        "chunks": [{"inputs": c.width, "columns": c.stride, "segments": list(c.segments)} for c in region.chunks],
    }  # fmt: skip


def study(target: str) -> dict[str, Any]:
    """A study.

    Returns:
        ``study``, ``space`` (what was asked for), ``objectives``, ``counts`` (trials by state), ``front`` (the trials that no
        other beats, best by the first objective first: ``number``, ``id``, ``params``, ``objectives``, ``command``).

    Raises:
        ConfigError: there is no study there.
        rowline.sweeps.store.StoreError: it is damaged.
    """
    from rowline.reporting import study_report

    _find_study(target)
    report = study_report(target)
    counts = {state: report.counts.get(state, 0) for state in ("complete", "infeasible", "failed")}
    return {
        "study": report.name,
        "space": dict(report.space),
        "objectives": [
            {"name": o.name, "direction": "min" if o.minimise else "max", "limit": o.limit, "unit": o.unit}
            for o in report.objectives
        ],
        "counts": counts,
        "front": [
            {"number": t.number, "id": t.id, "params": dict(t.params), "objectives": dict(t.objectives),
             "command": report.commands.get(t.id, "")}
            for t in report.front
        ],
    }  # fmt: skip


def _find_study(target: str) -> None:
    from rowline.reporting import STUDY, is_study

    try:
        found = is_study(target)
    except (OSError, ValueError):  # a name that no file can have
        found = False
    if not found:
        raise ConfigError([_not_there(target, STUDY, "a study")])


def _not_there(target: str, file: str, what: str) -> str:
    """What to say where a folder with ``file`` was expected."""
    path = Path(target)
    try:
        exists, near = path.exists(), [*folders_with(file, path.parent), *folders_with(file, OUT)]
    except (OSError, ValueError):
        exists, near = False, []
    return f"{printable(target, 200)}: {f'not {what}' if exists else 'no such file or folder'}{nearest(target, near)}"


def trials_of(target: str) -> Iterator[dict[str, Any]]:
    """All trials of a study by number, one by one: ``number``, ``id``, ``state``, ``reason``, ``params``, ``objectives``,
    ``wall_s``, ``attempts``, ``config``.

    Raises:
        rowline.sweeps.store.StoreError: one is damaged.
    """
    from rowline.sweeps.store import Store

    keys = ("number", "id", "state", "reason", "params", "objectives", "wall_s", "attempts", "config")
    with Store.open(target, create=False) as store:
        for record in store.records():
            yield {key: getattr(record, key) for key in keys}


def run(target: str, expanded: bool) -> dict[str, Any]:
    """A run folder.

    Returns:
        ``run``, ``command`` (which asks for the same run), ``stats``; expanded: ``config``.

    Raises:
        ConfigError: it is none, or is damaged.
    """
    from rowline.runfiles import STATS, command_of, is_run, load_run

    try:
        found = is_run(Path(target))
    except (OSError, ValueError):
        found = False
    if not found:
        raise ConfigError([_not_there(target, STATS, "a run folder")])
    files = load_run(Path(target))
    data: dict[str, Any] = {"run": target, "command": command_of(files.run), "stats": files.stats}
    return data | ({"config": files.config} if expanded else {})
