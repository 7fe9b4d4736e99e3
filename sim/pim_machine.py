"""The modelled PIM system that the host processes drive: channels in numba, the ASIC's cycles, and a record of each step."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arch.device import ELEMENT_BYTES
from ..traces.commands import ISSUED
from .asic_cost import softmax_cycles
from .compile import TimingTable, compile_device
from .kept import Anew, Keeper
from .kernels import channels as kernels
from .kernels import inorder
from .kernels import layout as at
from .mapping.lower import Lowering, Template
from .mapping.pim_gpt import Mapping
from .mapping.program import PassPlan

MAX_CYCLES = 1 << 50
"""Keys of the engine hold cycles up to here; a run that comes near is refused, not wrapped."""

Ints = NDArray[np.int64]


class SimulationError(RuntimeError):
    """The simulated machine cannot do what was asked of it."""


@dataclass(frozen=True)
class PassRun:
    """One pass of a run: its plan, the KV length of each of its tokens, and whether its first step waits for the one before."""

    plan: PassPlan
    kv_lengths: tuple[int, ...]
    waits: bool
    phase: str


@dataclass
class Records:
    """What happened, one row a step in the order of all passes.

    Attributes:
        steps: int64[PIM steps, N_STEP + commands], see ``kernels.layout``; commands of all channels.
        asic: int64[ASIC steps, 3]: start and end in ps, busy ASIC cycles.
        waits: int64[classes, ...]: cycles by binding, summed over channels.
    """

    steps: Ints
    asic: Ints
    waits: Ints

    @property
    def pim(self) -> Ints:
        """Times and sums of each PIM step."""
        return self.steps[:, : at.N_STEP]

    @property
    def pim_counts(self) -> Ints:
        """Commands of each PIM step."""
        return self.steps[:, at.N_STEP :]


class PimMachine:
    """Implements :class:`rowline.sim.processes.host.Machine` for a mapping."""

    def __init__(self, mapping: Mapping, runs: list[PassRun], classes: list[str], keeper: Keeper | None = None):
        self.mapping, self.runs, self.passes = mapping, runs, len(runs)
        self.device, self.host = mapping.system.device, mapping.system.host
        self.lowering = Lowering(mapping, keeper)
        self.table = _table(mapping, keeper or Anew())
        n_channels, n_commands = mapping.system.channels.value, len(self.device.dram_standard.commands)
        width = at.N_RESULT + len(self.device.dram_standard.rules)
        size = self.table.state_size
        self.channels = np.zeros((n_channels, 2 * size + width + n_commands), np.int64)
        self.channels[:, :size] = self.table.new_state(n_channels)
        self._no_log = np.empty(0, ISSUED)
        self.pim_base = np.cumsum([0, *(len(r.plan.pim) for r in runs)]).tolist()
        self.asic_base = np.cumsum([0, *(len(r.plan.asic) for r in runs)]).tolist()
        self.records = Records(
            np.zeros((self.pim_base[-1], at.N_STEP + n_commands), np.int64),
            np.zeros((self.asic_base[-1], 3), np.int64),
            np.zeros((len(classes), width), np.int64),
        )
        self._table = self.table.arrays
        self._device_clock, self._host_clock = self.device.device_clock, self.host.asic_clock
        self._waits = dict(zip(classes, self.records.waits, strict=True))
        common = math.gcd(self.host.clock.value, self.device.clock.value)
        self._ratio = (self.host.clock.value // common, self.device.clock.value // common)
        self._link_cycles = self.device.device_clock.cycles_ceil(mapping.system.link.latency.value)
        self._arrivals: dict[int, tuple[Template, Ints]] = {}  # PIM step -> what the ASIC has yet to take in
        self._scratch = np.zeros(0, np.int64)
        self._host_free = (0, 0)  # end of the last ASIC step: ps, and the host cycle, which the ps may be rounded up from

    def pim_steps(self, index: int) -> list[int]:
        """See the protocol."""
        run, base = self.runs[index], self.asic_base[index]
        before = base - 1 if run.waits else -1
        return [base + s.after if s.after >= 0 else before for s in run.plan.pim]

    def asic_steps(self, index: int) -> list[int]:
        """See the protocol."""
        base = self.pim_base[index]
        return [base + s.source if s.source >= 0 else -1 for s in self.runs[index].plan.asic]

    def issue(self, index: int, step: int, now_ps: int) -> None:
        """See the protocol."""
        run = self.runs[index]
        what = run.plan.pim[step]
        slot = self.mapping.slots[what.slot]
        template = self.lowering.template(what.slot, run.kv_lengths[what.token])
        number = self.pim_base[index] + step
        arrivals = np.empty(template.tiles, np.int64)
        not_before = self._device_clock.cycles_ceil(now_ps) + self._link_cycles
        status = kernels.advance_all(
            *self._table, self.channels, template.stream, template.slices, what.row_shift, not_before, arrivals,
            self._no_log, self.records.steps[number], self._waits[slot.op_class],
        )  # fmt: skip
        if status != at.OK or not_before > MAX_CYCLES:
            raise RuntimeError(f"{slot.op_class}: engine status {status}, released at cycle {not_before}")
        if template.tiles:
            self._arrivals[number] = (template, arrivals)

    def execute(self, index: int, step: int, now_ps: int) -> int:
        """See the protocol."""
        run = self.runs[index]
        what = run.plan.asic[step]
        clock = self._host_clock
        start = self._host_free[1] if now_ps == self._host_free[0] else clock.cycles_ceil(now_ps)
        if what.source >= 0:
            slot = self.mapping.slots[run.plan.pim[what.source].slot]
            end, busy = self._take_in(self.pim_base[index] + what.source, start, slot.resident_bytes)
        else:
            busy = what.cycles
            if busy < 0:
                busy = softmax_cycles(self.host, run.kv_lengths[what.token], what.rows)
            end = start + busy
        end_ps = clock.edge_ps(end)
        self._host_free = (end_ps, end)
        self.records.asic[self.asic_base[index] + step] = (now_ps, end_ps, busy)
        return end_ps

    def _take_in(self, pim_step: int, start: int, resident_bytes: int) -> tuple[int, int]:
        template, arrivals = self._arrivals.pop(pim_step)
        if len(self._scratch) < template.tiles:
            self._scratch = np.zeros(template.tiles, np.int64)
        end, busy, waiting = kernels.take_in(
            arrivals, template.latency + self._link_cycles, *self._ratio, start, template.tile_cycles,
            template.tile_elements, template.tail_cycles, self._scratch,
        )  # fmt: skip
        need = resident_bytes + waiting * ELEMENT_BYTES
        if need > self.host.sram.value:
            raise SimulationError(
                f"host.sram: {waiting * ELEMENT_BYTES} bytes of results wait for the ASIC beside {resident_bytes} bytes of "
                f"vectors: {need - self.host.sram.value} bytes short"
            )
        return end, busy

    def finish(self, end_ps: int) -> Ints:
        """Issue the refreshes that fall due up to ``end_ps`` on all channels; the commands so issued."""
        end = self.device.device_clock.cycles_ceil(end_ps)
        counts = np.zeros(len(self.device.dram_standard.commands), np.int64)
        for state in self.channels[:, : self.table.state_size]:
            result = np.zeros(self.records.waits.shape[1], np.int64)
            inorder.finish(*self._table, state, end, result, counts, self._no_log)
        return counts


def _table(mapping: Mapping, keeper: Keeper) -> TimingTable:
    device, used = mapping.system.device, _used_commands(mapping)
    key = "" if isinstance(keeper, Anew) else device.model_dump_json(exclude={"power"})
    return keeper.get(("timing", key, used), lambda: compile_device(device, used=used))


def _used_commands(mapping: Mapping) -> frozenset[str]:
    """Commands that the slots' streams can hold."""
    known: Any = mapping.system.device.dram_standard.index
    names = {"ACT", "PRE", "ACT16", "PREA", "MAC16", "RDMAC16", "WRMAC16", "WRGB", "RD", "WR", "TMOD"}
    return frozenset(names & set(known))
