"""RawGpuRun -> GpuRunResult: time, energy, traffic and tables, all derived here from what a run left behind."""

import math
import re
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arch.values import SourceKind
from ...traces.gpulog import GPU_OPLOG_COLUMNS, GPU_OPLOG_TABLE
from ...traces.schema import TableSpec
from ..mapping.gpu import Step
from .generate import RawGpuRun
from .kernels import Attention, Gemm, Kernel
from .loop import Launch
from .power import dynamic_joules
from .run import Timing, macs

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
PS_PER_S, FJ_PER_J = 1e12, 1e15
TERMS = ("arithmetic", "latency", "sm_feed", "l2", "dram", "launch")
"""Causes of a kernel's time; see ``latency_by_term_s`` in docs/cli.md."""


@dataclass(frozen=True)
class GpuRunResult:
    """A finished run on a GPU. ``stats`` is the JSON object of ``rowline run --json`` (keys in docs/cli.md)."""

    raw: RawGpuRun

    @property
    def specs(self) -> dict[str, Any]:
        """What it ran on, as plain data."""
        device = self.raw.program.device
        return {"gpu": device.gpu.model_dump(mode="json"), "stack": device.stack.model_dump(mode="json")}

    @property
    def graph_digest(self) -> str:
        """Digest of the graph of a decode pass, or of the prompt where there is none."""
        return self.raw.program.decode.graph.digest()

    @property
    def op_table(self) -> TableSpec:
        """The table that ``op_columns`` fills."""
        return GPU_OPLOG_TABLE

    @cached_property
    def _ids(self) -> Ints:
        """Of each kernel that ran: its timing."""
        return np.concatenate([np.array(ids, np.int64) for ids in self.raw.ids])

    @cached_property
    def _passes(self) -> Ints:
        """Of each kernel that ran: its pass."""
        return np.repeat(np.arange(len(self.raw.ids)), [len(ids) for ids in self.raw.ids])

    @cached_property
    def _steps(self) -> list[Step]:
        """The steps of the two plans, prefill first."""
        program = self.raw.program
        return [*program.prefill.steps, *program.decode.steps]

    @cached_property
    def _step_ids(self) -> Ints:
        """Of each kernel that ran: its step, in ``_steps``."""
        first, later = len(self.raw.program.prefill.steps), len(self.raw.program.decode.steps)
        decode = np.tile(np.arange(first, first + later), len(self.raw.ids) - 1)
        return np.concatenate((np.arange(first), decode))

    @cached_property
    def _kv_lengths(self) -> Ints:
        """Of each pass."""
        return np.array([kv for _, kv in self.raw.program.passes()], np.int64)

    @cached_property
    def _span_ps(self) -> tuple[Ints, Ints]:
        return np.array(self.raw.start_ps, np.int64), np.array(self.raw.end_ps, np.int64)

    def _each(self, value: Callable[[Timing], float]) -> Ints:
        """``value(timing)`` in whole numbers, for each kernel that ran."""
        return np.array([round(value(t)) for t in self.raw.timings], np.int64)[self._ids]

    @cached_property
    def _macs(self) -> Ints:
        table = np.array([(s.macs, s.macs_per_kv) for s in self._steps], np.int64)[self._step_ids]
        return table[:, 0] + table[:, 1] * self._kv_lengths[self._passes]

    @cached_property
    def _term_shares(self) -> Floats:
        """Of each timing: shares of its time, by TERMS."""
        return np.array([_term_shares(timing) for timing in self.raw.timings])

    @cached_property
    def _energy_fj(self) -> Ints:
        """Dynamic energy of each kernel that ran."""
        return self._at_clock(self._each(lambda t: t.joules * FJ_PER_J))

    def _at_clock(self, energy_fj: Ints) -> Ints:
        """Energies at the highest clock of the kernels that ran, at that which the power cap left them."""
        return np.rint(energy_fj * np.array(self.raw.spent)[self._passes]).astype(np.int64)

    @cached_property
    def _bytes(self) -> dict[str, Ints]:
        """Traffic of each kernel that ran, by GpuOpLog column."""
        names = ("dram_read_bytes", "dram_write_bytes", "l2_read_bytes", "l2_hit_bytes")
        return {name: self._each(lambda t, name=name: getattr(t.run.result, name)) for name in names}

    @cached_property
    def _classes(self) -> list[str]:
        return list(dict.fromkeys(step.op_class for step in self._steps))

    @cached_property
    def _class_ids(self) -> Ints:
        """Of each kernel that ran: its op class."""
        index = {name: i for i, name in enumerate(self._classes)}
        return np.array([index[step.op_class] for step in self._steps], np.int64)[self._step_ids]

    @property
    def end_ps(self) -> int:
        """When the last kernel is done."""
        return self.raw.end_ps[-1]

    def _static_fj(self, duration_ps: int) -> int:
        """What the board draws all the time; a watt is a thousand fJ a ps."""
        return round(self.raw.program.device.chip.static_w * 1000 * duration_ps)

    @cached_property
    def energy_fj(self) -> dict[str, int]:
        """Energy by component."""
        chip = self.raw.program.device.chip
        dtype = self.raw.program.dtype
        arithmetic = np.array(
            [round(dynamic_joules(chip, dtype, macs(k), 0.0, 1.0) * FJ_PER_J) for k in self.raw.kernels], np.int64
        )
        products = int(self._at_clock(arithmetic[self._ids]).sum())
        memory = int(self._energy_fj.sum()) - products
        return {"static": self._static_fj(self.end_ps), "arithmetic": products, "memory": memory}

    def _busy_ps(self) -> Ints:
        start, end = self._span_ps
        return end - start

    def latency_breakdown_s(self) -> dict[str, float]:
        """Time by op class; ``host`` is time in which the GPU waits for a launch."""
        busy = np.bincount(self._class_ids, self._busy_ps(), len(self._classes))
        parts = {name: float(ps) / PS_PER_S for name, ps in zip(self._classes, busy, strict=True)}
        return parts | {"host": (self.end_ps - int(self._busy_ps().sum())) / PS_PER_S}

    def latency_by_term_s(self) -> dict[str, float]:
        """Time by cause: what slots of SMs spend theirs on, in a kernel's own; its launch; power; the host."""
        held = np.array(self.raw.held)[self._passes]
        plain = self._busy_ps() / held
        calls = np.bincount(self._ids, plain, len(self.raw.timings))
        parts = {name: float(ps) / PS_PER_S for name, ps in zip(TERMS, calls @ self._term_shares, strict=True)}
        parts["power"] = float((self._busy_ps() - plain).sum()) / PS_PER_S
        return parts | {"host": self.latency_breakdown_s()["host"]}

    def _phase(self, begin: int, end: int, tokens: int, rows: NDArray[np.bool_]) -> dict[str, Any]:
        """Rates of the kernels ``rows`` that run from ``begin`` to ``end`` ps."""
        seconds = (end - begin) / PS_PER_S
        sums = {name: int(column[rows].sum()) for name, column in self._bytes.items()}
        dram = sums["dram_read_bytes"] + sums["dram_write_bytes"]
        return {
            "latency_s": seconds,
            "tokens": tokens,
            "tokens_per_s": tokens / seconds if seconds else 0.0,
            "energy_j": (int(self._energy_fj[rows].sum()) + self._static_fj(end - begin)) / FJ_PER_J,
            "macs": int(self._macs[rows].sum()),
            "dram_bytes": dram,
            "dram_read_bytes": sums["dram_read_bytes"],
            "dram_write_bytes": sums["dram_write_bytes"],
            "l2_hit_rate": sums["l2_hit_bytes"] / sums["l2_read_bytes"] if sums["l2_read_bytes"] else 0.0,
            "effective_bandwidth_bytes_per_s": dram / seconds if seconds else 0.0,
            "launches": int(rows.sum()),
        }

    @cached_property
    def stats(self) -> dict[str, Any]:
        """The run in numbers; keys carry units, nothing depends on wall-clock time."""
        raw, program, device = self.raw, self.raw.program, self.raw.program.device
        prefill = self._passes == 0
        whole = self._phase(0, self.end_ps, program.generated_tokens, np.ones(len(self._ids), bool))
        phases = {
            "prefill": self._phase(0, raw.prefill_end_ps, program.prompt_tokens, prefill),
            "decode": self._phase(raw.prefill_end_ps, self.end_ps, len(raw.ids) - 1, ~prefill),
        }
        decode_s = phases["decode"]["latency_s"]
        dynamic = np.bincount(self._class_ids, self._energy_fj, len(self._classes))
        by_class = {name: float(fj) / FJ_PER_J for name, fj in zip(self._classes, dynamic, strict=True)}
        energy = {name: fj / FJ_PER_J for name, fj in self.energy_fj.items()}
        return {
            "arch": device.gpu.name,
            "workload": program.decode.graph.model,
            "prompt_tokens": program.prompt_tokens,
            "generated_tokens": program.generated_tokens,
            "gpu": device.gpu.description,
            "stack": device.stack.name,
            "launch": program.launch.value,
            "dtype": program.dtype,
            "latency_s": whole["latency_s"],
            "prefill_latency_s": phases["prefill"]["latency_s"],
            "decode_latency_s": decode_s,
            "tpot_s": decode_s / (len(raw.ids) - 1) if len(raw.ids) > 1 else None,
            "energy_j": sum(self.energy_fj.values()) / FJ_PER_J,
            "energy_breakdown_j": energy,
            "energy_by_op_class_j": by_class | {"standby": energy["static"]},
            "latency_breakdown_s": self.latency_breakdown_s(),
            "latency_by_term_s": self.latency_by_term_s(),
            "macs": whole["macs"],
            "dram_bytes": whole["dram_bytes"],
            "dram_read_bytes": whole["dram_read_bytes"],
            "dram_write_bytes": whole["dram_write_bytes"],
            "l2_hit_rate": whole["l2_hit_rate"],
            "effective_bandwidth_bytes_per_s": whole["effective_bandwidth_bytes_per_s"],
            "peak_bandwidth_bytes_per_s": device.gpu.dram.bandwidth.value,
            "launches": whole["launches"],
            "host_launches": raw.host_launches,
            "kernels": self.kernels(),
            "phases": phases,
            "assumed": self._resting_on(SourceKind.ASSUMED),
            "notes": self._notes(),
            "fitted": self._resting_on(SourceKind.FITTED),
        }

    def kernels(self) -> list[dict[str, Any]]:
        """One entry for each kernel of the plans that differs from the others; KV lengths of one kernel together."""
        families: dict[tuple[Any, ...], int] = {}
        of_step = np.array(
            [families.setdefault((i < len(self.raw.program.prefill.steps), s.op_class, s.kernel, s.grows), len(families))
             for i, s in enumerate(self._steps)], np.int64,
        )  # fmt: skip
        of_row, busy, device = of_step[self._step_ids], self._busy_ps(), self.raw.program.device
        shown: list[dict[str, Any]] = []
        for (prefill, op_class, kernel, grows), number in families.items():
            rows = np.flatnonzero(of_row == number)
            if not len(rows):
                continue
            step = self._steps[int(self._step_ids[rows[0]])]
            ids, us = self._ids[rows], busy[rows] / 1e6
            most = Counter(ids.tolist()).most_common(1)[0][0]
            shape = {k: v for k, v in kernel._asdict().items() if k not in ("dtype", "op", "phase") and not k.endswith("_bytes")}
            if grows:
                kv_lengths = self._kv_lengths[self._passes[rows]]
                shape[grows] = [int(kv_lengths[0]), int(kv_lengths[-1])]
            timing = self.raw.timings[most]
            dram = self._bytes["dram_read_bytes"][rows] + self._bytes["dram_write_bytes"][rows]
            shown.append({
                "op": step.name, "op_class": op_class, "phase": "prefill" if prefill else "decode", "shape": shape,
                "dtype": kernel.dtype, "calls": len(rows), "us": float(us.mean()),
                "us_range": [float(us.min()), float(us.max())], "choice": timing.run.choice, "bound": timing.bound,
                "dram_bytes": float(dram.mean()), "share": float(us.sum() * 1e6 / self.end_ps),
                **_residency(self.raw.kernels[most], timing, device.chip.sms), **self._pace(ids, us),
            })  # fmt: skip
        return sorted(shown, key=lambda entry: -entry["share"])

    def _pace(self, ids: Ints, us: Floats) -> dict[str, Any]:
        """Bytes on their way and causes of the time of some calls, longer ones weighing more."""
        flight = np.array([self.raw.timings[i].run.result.bytes_in_flight for i in ids.tolist()])
        weight = us if us.sum() > 0 else np.ones(len(us))
        shares = np.average(self._term_shares[ids], axis=0, weights=weight)
        return {
            "bytes_in_flight": float(np.average(flight, weights=weight)),
            "stalls": {name: float(share) for name, share in zip(TERMS, shares, strict=True)},
        }

    def _resting_on(self, kind: SourceKind) -> list[str]:
        """Dotted names of the values of board and stack whose source is of ``kind``."""
        device = self.raw.program.device
        names = [f"gpu.{name}" for name in device.gpu.resting_on(kind)]
        return names + [f"stack.{name}" for name, value in device.stack.sourced().items() if value.kind == kind]

    def _notes(self) -> list[str]:
        """What a reader should know about the values that the run rests on."""
        device, program = self.raw.program.device, self.raw.program
        notes = ["the choice of the next token from the logits is not simulated"]
        unused = "simt" if program.dtype in device.chip.tensor_macs else "tensor"
        missing = [name for name, value in device.gpu.achieved if value is None and name != unused]
        if missing:
            notes.append(
                f"gpu.achieved: {', '.join(missing)} not known of this board: micro-benchmarks, or what was fitted on other chips"
            )
        tensor, lanes = device.chip.mac_pj, device.chip.lane_pj
        if program.dtype not in tensor and program.dtype not in lanes:
            notes.append(f"energy of arithmetic is 0: gpu.energy has none for {program.dtype}")
        if not device.chip.byte_pj:
            lanes_only = program.dtype not in device.chip.tensor_macs and device.chip.l2_byte_pj > 0
            but = ", but for matrix products, which have that of the L2" if lanes_only else ""
            notes.append(f"energy of memory traffic is 0{but}: gpu.energy.traffic_bit is not known")
        if device.stack.attention is None:
            notes.append("stack.attention: none, so scores and their softmax go through memory, masked ones too")
        if program.launch is Launch.EAGER and not device.stack.fixed.eager:
            notes.append("eager: host time is that of a bare launch; the stack has none of its framework")
        if max(self.raw.held) > 1:
            notes.append(f"the power cap makes kernels up to {max(self.raw.held) - 1:.1%} longer")
        return notes

    def op_columns(self) -> MappingABC[str, Any]:
        """Columns of the GpuOpLog (:mod:`rowline.traces.gpulog`), in the order in which kernels ran."""
        rows, steps, timings = self._step_ids, self._steps, self.raw.timings

        def text(values: list[str], index: Ints) -> NDArray[np.object_]:
            return np.array(values, dtype=object)[index]

        columns = (
            self._passes, text(["prefill", "decode"], np.minimum(self._passes, 1)), self._kv_lengths[self._passes],
            text(["gpu"], np.zeros(len(rows), np.int64)), text(self._classes, self._class_ids),
            np.array([s.layer for s in steps])[rows], np.array([s.op for s in steps])[rows], *self._span_ps, self._macs,
            text([s.name for s in steps], rows), text([t.run.choice for t in timings], self._ids),
            text([t.bound for t in timings], self._ids), *self._bytes.values(), self._energy_fj,
        )  # fmt: skip
        return dict(zip(GPU_OPLOG_COLUMNS, columns, strict=True))

    def ops(self) -> "pd.DataFrame":
        """The GpuOpLog as a DataFrame."""
        import pandas as pd  # half a second that a run without tables need not pay

        return pd.DataFrame(dict(self.op_columns()))


_TILE = re.compile(r"tile (\d+)x(\d+)x\d+.*?, split-K (\d+),", re.ASCII)
_BLOCKS = re.compile(r"tile (\d+)x\d+, (\d+) heads a tile, split-KV (\d+),", re.ASCII)
_ROWS = re.compile(r"(\d+) CTAs of ", re.ASCII)


def count_ctas(kernel: Kernel, choice: str) -> int | None:
    """CTAs of the main launch, from the shape of a kernel and what its ``choice`` says of the tile; None where it does not."""
    if isinstance(kernel, Gemm):
        if found := _TILE.search(choice):
            m, n, splits = map(int, found.groups())
            return kernel.batch * -(-kernel.m // m) * -(-kernel.n // n) * splits
    elif isinstance(kernel, Attention):
        if found := _BLOCKS.search(choice):
            queries, group, splits = map(int, found.groups())
            return kernel.batch * kernel.heads // group * -(-kernel.seq_q * group // queries) * splits
    elif found := _ROWS.search(choice):
        return int(found[1])
    return None


def _residency(kernel: Kernel, timing: Timing, sms: int) -> dict[str, Any]:
    """CTAs of a kernel, how many an SM holds at once, their waves, and the share of the places that hold one."""
    ctas, waves = count_ctas(kernel, timing.run.choice), timing.run.waves
    slots = None if ctas is None or not waves else round(ctas / (waves * sms))
    return {"ctas": ctas, "ctas_per_sm": slots, "waves": waves, "occupancy": waves / math.ceil(waves) if waves else None}


def _term_shares(timing: Timing) -> list[float]:
    """Shares of a kernel's time, by cause."""
    launch = min(1.0, max(0.0, 1 - timing.kernel_us / timing.us))
    spent = {"arithmetic": timing.run.result.busy} | timing.run.result.stalls
    total = sum(spent.values())
    own = [spent[name] / total if total else float(name == "arithmetic") for name in TERMS[:-1]]
    return [*((1 - launch) * share for share in own), launch]
