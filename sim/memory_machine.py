"""DramDevice and Controller -> the arrays of the memory controller's kernel (:class:`.kernels.gates.Machine`)."""

import numpy as np

from ..arch.controller import Controller, Prefer, RowPolicy, Scheduler
from ..arch.device import DramDevice
from ..arch.spec import Command, Level, TimingRule
from ..arch.units import Clock
from ..arch.values import Duration
from .compile import TimingTable, compile_device
from .kernels import layout as at
from .kernels import memory_layout as ml
from .kernels.gates import SIBLING, Ints, Machine

LATENCY_BINS = 1 << 16
"""Read latencies are counted one by one up to this many ticks."""


def build_machine(device: DramDevice, controller: Controller, rules: tuple[TimingRule, ...] | None = None) -> Machine:
    """One channel at tick 0: all banks closed, queues empty.

    Args:
        rules: replaces those of the device's standard (tests weaken one at a time).

    Raises:
        ValueError: the controller asks for more than the device can do.
    """
    controller = controller.fitted(device)
    used = _commands(device, controller)
    table = compile_device(device, rules, frozenset(used.values()))
    standard, banks = device.dram_standard, device.organization.banks
    later = [c.name in used.values() for c in standard.commands]
    successors, ranges = _successors(table, later)
    levels = [level for level in range(at.N_LEVELS) if table.scalars[at.S_BASE + level] >= 0]
    slots = max(controller.read_queue.value, controller.write_queue.value) + controller.bank_queue.value * banks
    rings, depth = int(table.scalars[at.S_RINGS]), int(table.scalars[at.S_RING])
    machine = Machine(
        table.scalars, table.commands, table.windows, successors, ranges, np.array(levels, np.int64),
        _places(table, levels),
        np.full(int(table.scalars[at.S_SCRATCH] - table.scalars[at.S_LAST]), at.NEVER, np.int64),
        np.full((rings, depth + 1), at.NEVER, np.int64),
        _config(device, controller, used),
        np.zeros(ml.N_VARS, np.int64),
        np.zeros((ml.N_BANK, banks), np.int64),
        np.zeros(-(-banks // ml.BLOCK), np.int64),
        np.full((2, ml.N_QUEUE, slots), -1, np.int64),
        np.full((2, ml.N_LIST, banks), -1, np.int64),
        np.zeros((2, ml.N_TOTAL), np.int64),
        np.zeros((ml.N_UNIT, device.refresh_units), np.int64),
        np.zeros((ml.N_POWER, _power_units(device)), np.int64),
        np.zeros((ml.N_RANK, banks // device.organization.banks_at(Level.RANK)), np.int64),
        np.zeros(len(standard.commands), np.int64),
        np.zeros(LATENCY_BINS + 1, np.int64),
    )  # fmt: skip
    _reset(device, machine)
    return machine


def _reset(device: DramDevice, m: Machine) -> None:
    """Bring the state to tick 0."""
    org, standard = device.organization, device.dram_standard
    m.rings[:, -1] = 0
    m.variables[ml.V_LAST_ISSUE] = at.NEVER
    m.banks[ml.B_ROW] = m.banks[ml.B_COMMAND] = m.banks[ml.B_OWNER] = -1
    m.queues[:, ml.Q_NEXT, :-1] = np.arange(1, m.queues.shape[2])
    m.lists[:, ml.L_COUNT] = 0
    refresh = device.refresh_command
    per_power = org.banks // m.power.shape[1]
    m.banks[ml.B_POWER] = np.arange(org.banks) // per_power
    round_scope = next((r.scope for r in standard.rules if r.new_round and m.scalars[at.S_ROUND_KEY] > 0), None)
    for unit in range(m.units.shape[1]):
        banks = org.touched(refresh, unit)
        m.banks[ml.B_UNIT, banks.start : banks.stop : banks.step] = unit
        m.units[ml.U_POWER, unit] = m.banks[ml.B_POWER, banks.start]
        m.units[ml.U_NOT_BEFORE, unit] = at.NEVER
        m.units[ml.U_ROUND, unit] = -1
    if round_scope is not None:
        size = org.banks_at(round_scope)
        for unit in range(m.units.shape[1]):
            first = org.touched(refresh, unit).start // size * size
            m.units[ml.U_ROUND, unit] = m.banks[ml.B_UNIT, first]


def _power_units(device: DramDevice) -> int:
    """What power-down addresses; the whole channel where the standard has none."""
    standard = device.dram_standard
    return device.organization.units(standard.commands[standard.index["PDE"]]) if "PDE" in standard.index else 1


def _commands(device: DramDevice, controller: Controller) -> dict[int, str]:
    """Fields of the configuration that hold a command -> its name; only what this controller can issue."""
    standard = device.dram_standard
    per_bank = device.refresh_command.name == standard.refresh_bank
    names = {
        ml.K_ACT: "ACT", ml.K_PRE: "PRE", ml.K_READ: "RD", ml.K_WRITE: "WR", ml.K_PREA: "PREA",
        ml.K_CLOSE_UNIT: standard.close_bank if per_bank else "PREA", ml.K_REFRESH: device.refresh_command.name,
    }  # fmt: skip
    if controller.row_policy in (RowPolicy.CLOSED, RowPolicy.AUTO_PRECHARGE):
        names |= {ml.K_READ_CLOSE: "RDA", ml.K_WRITE_CLOSE: "WRA"}
    if controller.power_down.value or controller.self_refresh.value:
        names |= {ml.K_PDE: "PDE", ml.K_PDX: "PDX", ml.K_SRE: "SRE", ml.K_SRX: "SRX"}
    return names


def _config(device: DramDevice, controller: Controller, used: dict[int, str]) -> Ints:
    standard, n = device.dram_standard, device.params
    units, postpone = device.refresh_units, controller.refresh_postpone
    k = np.full(ml.N_CONFIG, -1, np.int64)
    k[ml.K_READ_QUEUE], k[ml.K_WRITE_QUEUE] = controller.read_queue.value, controller.write_queue.value
    k[ml.K_WRITE_HIGH] = controller.write_queue.value * controller.write_high.value // 1000
    k[ml.K_WRITE_LOW] = max(1, controller.write_queue.value * controller.write_low.value // 1000)
    k[ml.K_FCFS] = controller.scheduler == Scheduler.FCFS
    k[ml.K_ROW_ORDER] = {Prefer.COLUMN: ml.ORDER, Prefer.OLDEST: 0, Prefer.ROW: -2 * ml.ORDER}[controller.prefer]
    k[ml.K_HIT_CAP] = controller.row_hit_cap.value
    k[ml.K_CLOSED] = {RowPolicy.CLOSED: 1, RowPolicy.AUTO_PRECHARGE: 2}.get(controller.row_policy, 0)
    k[ml.K_BANK_QUEUE] = controller.bank_queue.value
    k[ml.K_LOOK] = 1 if k[ml.K_FCFS] else controller.bank_queue.value or at.FOREVER
    k[ml.K_FINISH] = controller.finish_opened
    k[ml.K_TIMEOUT] = ticks_of(device, controller.row_timeout) if controller.row_policy == RowPolicy.TIMEOUT else -1
    together = units if controller.refresh_together else 1
    k[ml.K_TOGETHER], k[ml.K_URGENT] = together, max(1, (postpone.value if postpone else 0) * units - together + 1)
    k[ml.K_PULL_IN] = controller.refresh_pull_in.value * units
    k[ml.K_POWER_DOWN] = ticks_of(device, controller.power_down)
    k[ml.K_SELF_REFRESH] = ticks_of(device, controller.self_refresh)
    k[ml.K_RESTS] = k[ml.K_POWER_DOWN] > 0 or k[ml.K_SELF_REFRESH] > 0

    def data_end(command: Command, latency: str) -> int:
        return standard.ticks(command) - standard.ticks_per_clock + n[latency] + n["nBL"]

    k[ml.K_READ_LATENCY] = data_end(standard.commands[standard.index["RD"]], "nCL")
    k[ml.K_WRITE_LATENCY] = data_end(standard.commands[standard.index["WR"]], "nCWL")
    for field, name in used.items():
        k[field] = standard.index[name]
    return k


def ticks_of(device: DramDevice, duration: Duration) -> int:
    """A duration in ticks of the device, by ceiling."""
    return duration.cycles(Clock(device.clock.value)) * device.dram_standard.ticks_per_clock


def _places(table: TimingTable, levels: list[int]) -> Ints:
    """Offset in ``ready`` of each bank's instance of each level: int64[banks, levels]."""
    s = table.scalars
    banks = np.arange(int(s[at.S_BANKS]))
    columns = [s[at.S_BASE + v] - s[at.S_LAST] + (banks >> s[at.S_SHIFT + v]) * s[at.S_COMMANDS] for v in levels]
    return np.ascontiguousarray(np.stack(columns, axis=1).astype(np.int64))


def _successors(table: TimingTable, later: list[bool]) -> tuple[Ints, Ints]:
    """The table's predecessors turned round: what each command makes wait at each level, of the ``later`` ones."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for b, row in enumerate(table.commands.tolist()):
        for level in range(at.N_LEVELS + 1):
            field = at.C_SIBLING if level == SIBLING else at.C_PRED + 2 * level
            for a, key in table.predecessors[row[field] : row[field + 1]].tolist():
                if later[b]:
                    found.setdefault((a, level), []).append((b, key))
    ranges = np.zeros((len(later), at.N_LEVELS + 1, 2), np.int64)
    entries: list[tuple[int, int]] = []
    for (a, level), pairs in found.items():
        ranges[a, level] = len(entries), len(entries) + len(pairs)
        entries += pairs
    return np.array(entries, np.int64).reshape(-1, 2), ranges
