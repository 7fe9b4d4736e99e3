"""RawRun -> RunResult: time, energy, rates and tables, all derived here from the integers that a run left behind."""

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arch.device import ELEMENT_BYTES
from ..arch.spec import RowEffect, Term
from ..arch.values import SourceKind
from ..traces.oplog import OPLOG_COLUMNS, OPLOG_TABLE
from ..traces.schema import TableSpec
from .attribution import attribute
from .energy import COMPONENTS, energy_table
from .engine import RawRun
from .kernels import layout as at

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
PS_PER_S, FJ_PER_J = 1e12, 1e15
VMM_KINDS = ("vmm", "score", "value")


@dataclass(frozen=True)
class RunResult:
    """A finished run. ``stats`` is the JSON object of ``rowline run --json`` (keys in docs/cli.md)."""

    raw: RawRun
    prompt_tokens: int
    generated_tokens: int

    @property
    def specs(self) -> dict[str, Any]:
        """What it ran on, as plain data."""
        return {"system": self.raw.mapping.system.model_dump(mode="json")}

    @property
    def graph_digest(self) -> str:
        """Digest of the model's graph."""
        return self.raw.mapping.graph.digest()

    @property
    def op_table(self) -> TableSpec:
        """The table that ``op_columns`` fills."""
        return OPLOG_TABLE

    @cached_property
    def _steps(self) -> dict[str, Ints]:
        """Per-step columns that the plans hold: slot, class, layer, op, pass of each PIM and ASIC step."""
        raw = self.raw
        names = self._class_index
        slots = raw.mapping.slots
        columns: dict[str, list[NDArray[np.int64]]] = {k: [] for k in ("pim", "asic")}
        plans: dict[int, tuple[Ints, Ints]] = {}
        for index, run in enumerate(raw.runs):
            if id(run.plan) not in plans:
                plans[id(run.plan)] = (
                    np.array([(s.slot, names[slots[s.slot].op_class], s.layer, s.op, s.token) for s in run.plan.pim]),
                    np.array([(0, names[s.op_class], s.layer, s.op, s.token) for s in run.plan.asic]),
                )
            for unit, table in zip(("pim", "asic"), plans[id(run.plan)], strict=True):
                kv = np.array(run.kv_lengths)[table[:, 4]]
                columns[unit].append(np.column_stack((table, np.full(len(table), index), kv)))
        return {unit: np.concatenate(parts) for unit, parts in columns.items()}

    @cached_property
    def classes(self) -> list[str]:
        """Op classes: those of PIM steps first, then those that only the ASIC has."""
        asic = {s.op_class for run in self.raw.runs[-1:] + self.raw.runs[:1] for s in run.plan.asic}
        return self.raw.classes + sorted(asic - set(self.raw.classes))

    @cached_property
    def _class_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    @cached_property
    def _pim_ps(self) -> tuple[Ints, Ints]:
        """Start and end of each PIM step in ps: first command to the cycle after the last."""
        clock = self.raw.mapping.system.device.device_clock
        edge = np.vectorize(clock.edge_ps, otypes=[np.int64])
        record = self.raw.records.pim
        if 10**12 % clock.freq_hz == 0:
            period = 10**12 // clock.freq_hz
            return record[:, at.P_START] * period, (record[:, at.P_END] + 1) * period
        return edge(record[:, at.P_START]), edge(record[:, at.P_END] + 1)

    def latency_by_class_ps(self, begin: int = 0, end: int | None = None) -> Ints:
        """Picoseconds of the run's first ``end`` ps that each class accounts for, less those of the first ``begin``."""
        pim, asic = self._steps["pim"], self._steps["asic"]
        start_ps, end_ps = self._pim_ps
        record = self.raw.records.asic
        end = self.raw.end_ps if end is None else end
        totals = []
        for limit in (begin, end):
            clip = [np.minimum(x, limit) for x in (start_ps, end_ps, record[:, 0], record[:, 1])]
            totals.append(
                attribute((clip[0], clip[1], pim[:, 1]), (clip[2], clip[3], asic[:, 1]), len(self.classes), limit)
            )
        return totals[1] - totals[0]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Commands issued by all channels, by name."""
        total = self._per_pass[0][:, at.N_STEP :].sum(axis=0) + np.array(self.raw.tail_counts)
        commands = self.raw.mapping.system.device.dram_standard.commands
        return {c.name: int(n) for c, n in zip(commands, total, strict=True) if n}

    @cached_property
    def _per_pass(self) -> tuple[Ints, Ints]:
        """Sums over the steps of each pass: the columns of ``records.steps``, and busy ASIC cycles."""
        records, runs = self.raw.records, self.raw.runs
        pim = np.cumsum([0, *(len(r.plan.pim) for r in runs[:-1])])
        asic = np.cumsum([0, *(len(r.plan.asic) for r in runs[:-1])])
        return np.add.reduceat(records.steps, pim, axis=0), np.add.reduceat(records.asic[:, 2], asic)

    def row_hit_rate(self, kinds: tuple[str, ...] | None = None) -> float:
        """Column accesses of banks that found their row open, over all of them; each activation is charged to one access.

        ``kinds`` narrows to slots of those kinds.
        """
        if kinds is None:
            return self._hit_rate(self._per_pass[0][:, at.N_STEP :].sum(axis=0))
        wanted = np.array([s.kind in kinds for s in self.raw.mapping.slots])
        return self._hit_rate(self.raw.records.pim_counts[wanted[self._steps["pim"][:, 0]]].sum(axis=0))

    def _hit_rate(self, counts: Ints) -> float:
        """Row hit rate of a number of each command."""
        device = self.raw.mapping.system.device
        accesses = activations = 0
        for command, n in zip(device.dram_standard.commands, counts.tolist(), strict=True):
            banks = len(device.organization.touched(command, 0))
            if command.row in (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE):
                accesses += n * banks
            elif command.row == RowEffect.OPEN:
                activations += n * banks
        return (accesses - activations) / accesses if accesses else 0.0

    @cached_property
    def energy_fj(self) -> dict[str, int]:
        """Energy by component."""
        everything = np.ones(len(self.raw.runs), bool)
        return self._energy_of(everything, self.raw.end_ps, np.array(self.raw.tail_counts))

    def _energy_of(self, passes: NDArray[np.bool_], duration_ps: int, more: Ints) -> dict[str, int]:
        """Energy by component of some passes that last ``duration_ps``, and of ``more`` commands."""
        system = self.raw.mapping.system
        table = energy_table(system)
        pim, asic = (sums[passes].sum(axis=0) for sums in self._per_pass)
        parts = dict(zip(COMPONENTS, ((pim[at.N_STEP :] + more) @ table.per_command).tolist(), strict=True))
        clock = system.device.device_clock
        active_ps = clock.edge_ps(int(pim[at.P_ACTIVE]))
        standby_ps = duration_ps * system.channels.value - active_ps
        parts["background"] = (active_ps * table.active_uw + standby_ps * table.precharged_uw) // 1000
        busy_ps = system.host.asic_clock.edge_ps(int(asic))
        parts["asic_active"] = busy_ps * system.host.active_power.value // 1000
        parts["asic_idle"] = max(0, duration_ps - busy_ps) * system.host.idle_power.value // 1000
        return parts

    @cached_property
    def _step_energy_fj(self) -> tuple[Ints, Ints]:
        """Energy of each PIM step's commands, and of the ASIC in each of its steps."""
        system = self.raw.mapping.system
        pim = self.raw.records.pim_counts @ energy_table(system).per_command.sum(axis=1)
        period = PS_PER_S / system.host.clock.value
        asic = (self.raw.records.asic[:, 2] * period * system.host.active_power.value / 1000).astype(np.int64)
        return pim, asic

    def energy_by_class_fj(self) -> dict[str, int]:
        """Energy of each class's commands and ASIC work; ``standby`` is background and idle power, and refresh in idle time."""
        pim, asic = self._step_energy_fj
        shares = np.zeros(len(self.classes), np.int64)
        np.add.at(shares, self._steps["pim"][:, 1], pim)
        np.add.at(shares, self._steps["asic"][:, 1], asic)
        by_class = {name: int(v) for name, v in zip(self.classes, shares, strict=True)}
        by_class["standby"] = sum(self.energy_fj.values()) - sum(by_class.values())
        return by_class

    def latency_by_term_s(self) -> dict[str, float]:
        """Average over the channels of the time booked under each cause.

        ``host`` is idle time: waiting for data or for the ASIC, a refresh falling due meanwhile or not, and after a
        channel's last command.
        """
        system = self.raw.mapping.system
        waits = self.raw.records.waits.sum(axis=0)
        cycles = dict.fromkeys((t.value for t in Term), 0)
        for rule, n in zip(system.device.dram_standard.rules, waits[at.N_RESULT :].tolist(), strict=True):
            cycles[rule.term.value] += n
        cycles["host"] += int(waits[at.R_WAIT_ORDER : at.N_RESULT].sum())
        per_cycle = 1 / (system.device.clock.value * system.channels.value)
        seconds = {term: n * per_cycle for term, n in cycles.items() if n}
        last = sum(self.raw.last_cycles)
        seconds["host"] = seconds.get("host", 0.0) + self.raw.end_ps / PS_PER_S - last * per_cycle
        return seconds

    @cached_property
    def link_bytes(self) -> int:
        """Bytes over the links of all channels, both directions."""
        device = self.raw.mapping.system.device
        bursts = sum(n for name, n in self.counts.items() if device.dram_standard.commands[self._cmd(name)].bus)
        return bursts * device.organization.access_size.value

    def _cmd(self, name: str) -> int:
        return self.raw.mapping.system.device.dram_standard.index[name]

    def _phase(self, begin: int, end: int, tokens: int, passes: NDArray[np.bool_]) -> dict[str, Any]:
        """Rates of the passes that run from ``begin`` to ``end`` ps."""
        seconds = (end - begin) / PS_PER_S
        sums = self._per_pass[0][passes].sum(axis=0)
        last = end == self.raw.end_ps and end > begin  # refreshes behind the last step belong to the phase that ends the run
        energy = self._energy_of(passes, end - begin, np.array(self.raw.tail_counts) * last)
        macs = int(sums[at.P_MACS])
        device, channels = self.raw.mapping.system.device, self.raw.mapping.system.channels.value
        mac16 = int(sums[at.N_STEP + self._cmd("MAC16")])
        busy = mac16 * device.column_cycles / channels / device.clock.value
        return {
            "latency_s": seconds,
            "tokens": tokens,
            "tokens_per_s": tokens / seconds if seconds else 0.0,
            "energy_j": sum(energy.values()) / FJ_PER_J,
            "macs": macs,
            "row_hit_rate": self._hit_rate(sums[at.N_STEP :]),
            "pim_utilization": busy / seconds if seconds else 0.0,
            "effective_bandwidth_bytes_per_s": macs * ELEMENT_BYTES / seconds if seconds else 0.0,
        }

    @cached_property
    def stats(self) -> dict[str, Any]:
        """The run in numbers; keys carry units, nothing depends on wall-clock time."""
        raw, system = self.raw, self.raw.mapping.system
        prefill = np.array([r.phase == "prefill" for r in raw.runs])
        n_decode = int((~prefill).sum())
        whole = self._phase(0, raw.end_ps, self.generated_tokens, np.ones(len(raw.runs), bool))
        by_class = self.latency_by_class_ps()
        vmm = {s.op_class for s in raw.mapping.slots if s.kind in VMM_KINDS}
        decode_s = (raw.end_ps - raw.prefill_end_ps) / PS_PER_S
        energy = {k: v / FJ_PER_J for k, v in self.energy_fj.items()}
        return {
            "arch": system.name,
            "workload": raw.mapping.graph.model,
            "prompt_tokens": self.prompt_tokens,
            "generated_tokens": self.generated_tokens,
            "vectors_per_row": raw.mapping.batch,
            "latency_s": raw.end_ps / PS_PER_S,
            "prefill_latency_s": raw.prefill_end_ps / PS_PER_S,
            "decode_latency_s": decode_s,
            "tpot_s": decode_s / n_decode if n_decode else None,
            "energy_j": sum(self.energy_fj.values()) / FJ_PER_J,
            "energy_breakdown_j": energy,
            "energy_by_op_class_j": {k: v / FJ_PER_J for k, v in self.energy_by_class_fj().items()},
            "latency_breakdown_s": {k: int(v) / PS_PER_S for k, v in zip(self.classes, by_class, strict=True)},
            "latency_by_term_s": self.latency_by_term_s(),
            "non_vmm_latency_share": 1 - sum(
                int(v) for k, v in zip(self.classes, by_class, strict=True) if k in vmm
            ) / raw.end_ps,
            "cycles": system.device.device_clock.cycles_ceil(raw.end_ps),
            "commands": self.counts,
            "macs": whole["macs"],
            "row_hit_rate": self.row_hit_rate(),
            "weight_row_hit_rate": self.row_hit_rate(("vmm",)),
            "pim_utilization": whole["pim_utilization"],
            "effective_bandwidth_bytes_per_s": whole["effective_bandwidth_bytes_per_s"],
            "peak_bandwidth_bytes_per_s": system.device.peak_mac_bandwidth_bytes_per_s * system.channels.value,
            "link_bytes": self.link_bytes,
            "refreshes": sum(n for name, n in self.counts.items() if name.startswith("REF")),
            "forced_refreshes": int(raw.records.pim[:, at.P_FORCED].sum()),
            "phases": {
                "prefill": self._phase(0, raw.prefill_end_ps, self.prompt_tokens, prefill),
                "decode": self._phase(raw.prefill_end_ps, raw.end_ps, n_decode, ~prefill),
            },
            "assumed": system.resting_on(SourceKind.ASSUMED),
            "notes": self._notes(),
            "fitted": system.resting_on(SourceKind.FITTED),
        }

    def _notes(self) -> list[str]:
        """What a reader should know about the values that the run rests on."""
        table = energy_table(self.raw.mapping.system)
        notes: list[str] = []
        if "ACT16" in self.counts and table.per_command[self._cmd("ACT16"), COMPONENTS.index("activate")] == 0:
            notes.append("activation energy is 0: device.power.idd0 is below the standby currents over tRC")
        mapping = self.raw.mapping
        if mapping.options.vectors_per_row > mapping.batch and self.prompt_tokens > 1:
            notes.append(
                f"vectors_per_row: {mapping.options.vectors_per_row} asked, {mapping.batch} used: as many as "
                "device.pim.accumulators and device.pim.global_buffer hold"
            )
        return notes

    def op_columns(self) -> MappingABC[str, Any]:
        """Columns of the OpLog (:mod:`rowline.traces.oplog`): PIM steps, then ASIC steps."""
        raw, steps = self.raw, self._steps
        device = raw.mapping.system.device
        bursts = np.array([bool(c.bus) for c in device.dram_standard.commands])
        phase = np.array([r.phase for r in raw.runs])
        start, end = self._pim_ps
        energy = self._step_energy_fj
        macs = raw.records.pim[:, at.P_MACS]
        zeros = np.zeros(len(steps["asic"]), np.int64)
        both = np.concatenate((steps["pim"], steps["asic"]))
        names = np.array(self.classes)
        columns = (
            both[:, 5], phase[both[:, 5]], both[:, 6],
            np.repeat(np.array(["pim", "asic"]), (len(start), len(zeros))),
            names[both[:, 1]], both[:, 2], both[:, 3],
            np.concatenate((start, raw.records.asic[:, 0])),
            np.concatenate((end, raw.records.asic[:, 1])),
            np.concatenate((macs, zeros)),
            np.concatenate((macs * ELEMENT_BYTES, zeros)),
            np.concatenate((raw.records.pim_counts @ bursts * device.organization.access_size.value, zeros)),
            np.concatenate((raw.records.pim_counts.sum(axis=1), zeros)),
            np.concatenate(energy),
        )  # fmt: skip
        return dict(zip(OPLOG_COLUMNS, columns, strict=True))

    def ops(self) -> "pd.DataFrame":
        """The OpLog as a DataFrame."""
        import pandas as pd  # half a second that a run without tables need not pay

        return pd.DataFrame(dict(self.op_columns()))
