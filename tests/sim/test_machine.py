"""The whole machine: channels copied or simulated alike, real programs legal, and totals that add up."""

import math

import numpy as np
import pytest
from rowline.arch.loader import load_system
from rowline.sim.compile import compile_device
from rowline.sim.engine import RawRun, plan_passes, simulate
from rowline.sim.kernels import inorder
from rowline.sim.kernels import layout as at
from rowline.sim.mapping.lower import Lowering
from rowline.sim.mapping.pim_gpt import Mapping, MappingOptions, map_graph
from rowline.sim.pim_machine import PimMachine, SimulationError
from rowline.sim.processes.host import run_host
from rowline.sim.reference.checker import check
from rowline.sim.results import RunResult
from rowline.traces.commands import ISSUED
from rowline.workloads.closed_form import decode_macs
from rowline.workloads.models.gpt import GptConfig
from rowline.workloads.models.registry import get_model, list_models
from rowline.workloads.tracer import trace_decode

TINY = GptConfig(name="tiny", n_layers=2, d_model=96, n_heads=3, vocab_size=301, n_positions=400)
SMALL = GptConfig(name="small", n_layers=2, d_model=1152, n_heads=18, vocab_size=1000, n_positions=400)


def mapping_of(arch: str, model: GptConfig, tokens: int, sets: list[str] | None = None, **options: object) -> Mapping:
    choices = MappingOptions(**options)  # type: ignore[arg-type]
    return map_graph(load_system(arch, sets or []), trace_decode(model), tokens, choices)


class Recorded(PimMachine):
    """Notes when each PIM step was released."""

    def __init__(self, mapping: Mapping, prompt: int, tokens: int):
        runs = plan_passes(mapping, prompt, tokens)
        super().__init__(mapping, runs, sorted({s.op_class for s in mapping.slots}))
        self.released: list[tuple[int, int, int, int]] = []  # slot, KV length, row shift, ps

    def issue(self, index: int, step: int, now_ps: int) -> None:
        what = self.runs[index].plan.pim[step]
        self.released.append((what.slot, self.runs[index].kv_lengths[what.token], what.row_shift, now_ps))
        super().issue(index, step, now_ps)


def replay(machine: Recorded, channel: int):
    """One channel alone, command by command: its log, counts, and last cycle of each step."""
    device = machine.device
    table, lowering = compile_device(device), Lowering(machine.mapping)
    state = table.new_state(1)[0]
    counts, logs, ends = np.zeros(len(device.dram_standard.commands), np.int64), [], []
    for slot, kv_length, shift, now_ps in machine.released:
        template = lowering.template(slot, kv_length)
        begin, end = template.slices[:, channel]
        state[at.T_STREAM_POS], state[at.T_RUN_POS] = begin, 0
        result = np.zeros(at.N_RESULT + len(device.dram_standard.rules), np.int64)
        result[at.R_START], result[at.R_END] = at.FOREVER, at.NEVER
        log = np.zeros(int(template.stream["count"][begin:end].sum()) * 2 + 10_000, ISSUED)
        not_before = device.device_clock.cycles_ceil(now_ps)
        inorder.advance(
            *table.arrays, state, template.stream, end, shift, not_before, at.FOREVER,
            np.full(max(template.tiles, 1), at.NEVER), result, counts, log,
        )  # fmt: skip
        assert result[at.R_STATUS] == at.OK
        logs.append(log[: result[at.R_LOGGED]])
        ends.append(int(result[at.R_END]))
    return np.concatenate(logs), counts, ends


@pytest.mark.parametrize("mode", ["all_bank", "per_bank", "off"])
@pytest.mark.parametrize("arch", ["pim-gpt", "aim"])
def test_copied_channels_equal_channels_simulated_alone(arch: str, mode: str):
    """With twins copied, counts and step ends are those of simulating each channel alone with full tables and a log."""
    mapping = mapping_of(arch, TINY, 40, [f"device.refresh.mode={mode}", "device.refresh.interval=3 us"])
    machine = Recorded(mapping, 3, 30)
    run_host(machine)
    assert machine.records.pim[:, at.P_SIMULATED].sum() < 0.8 * len(machine.released) * 8, "some channels were copied"
    alone = [replay(machine, c) for c in range(8)]
    assert (sum(counts for _, counts, _ in alone) == machine.records.pim_counts.sum(axis=0)).all()
    assert [max(e) for e in zip(*(ends for *_, ends in alone), strict=True)] == machine.records.pim[:, at.P_END].tolist()


@pytest.mark.parametrize("mode", ["all_bank", "per_bank"])
@pytest.mark.parametrize("arch", ["pim-gpt", "aim"])
def test_the_commands_of_a_real_program_are_legal(arch: str, mode: str):
    """The independent checker judges every command of a generation, on a channel that writes keys and one that does not."""
    mapping = mapping_of(arch, TINY, 40, [f"device.refresh.mode={mode}"])
    machine = Recorded(mapping, 1, 12)
    run_host(machine)
    for channel in (0, 5):
        log, _, _ = replay(machine, channel)
        assert len(log) > 2000
        assert check(machine.device, log, limit=3) == []


@pytest.mark.parametrize("model", list_models())
def test_macs_of_a_generation_equal_the_closed_form(model: str):
    config = get_model(model)
    raw = simulate(mapping_of("pim-gpt", config, 5), 3, 3)
    macs = int(raw.records.pim[:, at.P_MACS].sum())
    parts = [decode_macs(config, n) for n in range(1, 6)]
    logits = 3 * parts[0].lm_head  # the prompt's last pass and the two behind it
    assert macs == sum(p.block_weights + p.attention for p in parts) + logits


def result_of(raw: RawRun, prompt: int, tokens: int) -> RunResult:
    return RunResult(raw, prompt, tokens)


@pytest.fixture(scope="module")
def small() -> RunResult:
    return result_of(simulate(mapping_of("pim-gpt", SMALL, 60), 20, 41), 20, 41)


def test_breakdowns_add_up(small: RunResult):
    stats = small.stats
    assert math.isclose(math.fsum(stats["latency_breakdown_s"].values()), stats["latency_s"], rel_tol=1e-12)
    assert math.isclose(math.fsum(stats["latency_by_term_s"].values()), stats["latency_s"], rel_tol=1e-12)
    assert math.isclose(math.fsum(stats["energy_breakdown_j"].values()), stats["energy_j"], rel_tol=1e-12)
    assert math.isclose(math.fsum(stats["energy_by_op_class_j"].values()), stats["energy_j"], rel_tol=1e-12)
    assert min(stats["latency_breakdown_s"].values()) >= 0 and min(stats["energy_by_op_class_j"].values()) >= 0
    idle = stats["energy_breakdown_j"]["background"] + stats["energy_breakdown_j"]["asic_idle"]
    assert stats["energy_by_op_class_j"]["standby"] == pytest.approx(idle, rel=0.01)
    assert stats["latency_s"] == stats["prefill_latency_s"] + stats["decode_latency_s"]
    assert small.latency_by_class_ps(0, small.raw.prefill_end_ps).sum() == small.raw.prefill_end_ps


def test_refreshes_are_those_that_fell_due(small: RunResult):
    device, stats = small.raw.mapping.system.device, small.stats
    due = stats["cycles"] // device.refresh_interval
    assert abs(stats["refreshes"] - 8 * due) <= 8
    assert stats["forced_refreshes"] == 0


def test_bounds(small: RunResult):
    stats = small.stats
    assert 0 < stats["effective_bandwidth_bytes_per_s"] < stats["peak_bandwidth_bytes_per_s"] == 4.096e12
    assert 0 < stats["pim_utilization"] < 1
    ops = small.ops()
    assert ops.macs.sum() == stats["macs"]
    assert (ops.end_ps >= ops.start_ps).all() and ops.end_ps.max() <= small.raw.end_ps
    assert ops.energy_fj.sum() <= stats["energy_j"] * 1e15
    asic = ops[ops["unit"] == "asic"]
    assert (np.asarray(asic["start_ps"])[1:] >= np.asarray(asic["end_ps"])[:-1]).all(), "the ASIC does one thing at a time"


def test_a_step_starts_only_when_its_operands_are_there(small: RunResult):
    raw = small.raw
    period = 10**12 // raw.mapping.system.device.clock.value
    pim_base = asic_base = 0
    for run in raw.runs:
        for i, step in enumerate(run.plan.pim):
            if step.after >= 0:
                start = raw.records.pim[pim_base + i, at.P_START] * period
                assert start >= raw.records.asic[asic_base + step.after, 1]
        for i, step in enumerate(run.plan.asic):
            if step.source >= 0:
                end = raw.records.asic[asic_base + i, 1]
                template_end = raw.records.pim[pim_base + step.source, at.P_START] * period
                assert end > template_end
        pim_base, asic_base = pim_base + len(run.plan.pim), asic_base + len(run.plan.asic)


def test_prompt_batches_do_the_same_work():
    room = ["device.pim.global_buffer=16 KiB", "device.pim.accumulators=8"]
    one = simulate(mapping_of("pim-gpt", TINY, 20, room), 17, 2)
    many = simulate(mapping_of("pim-gpt", TINY, 20, room, vectors_per_row=8), 17, 2)
    assert many.mapping.batch == 8
    assert one.records.pim[:, at.P_MACS].sum() == many.records.pim[:, at.P_MACS].sum()
    assert many.prefill_end_ps < one.prefill_end_ps
    assert many.end_ps - many.prefill_end_ps == pytest.approx(one.end_ps - one.prefill_end_ps, rel=0.05)


def test_slower_host_link_and_device_never_speed_a_run_up():
    base = simulate(mapping_of("pim-gpt", SMALL, 12), 2, 10).end_ps
    for slower in ("host.clock=100 MHz", "link.latency=50 ns", "device.bus.pin_rate=4 Gb/s", "device.timing.tMACRD=9 ns"):
        assert simulate(mapping_of("pim-gpt", SMALL, 12, [slower]), 2, 10).end_ps > base, slower


@pytest.mark.parametrize("mhz", [251, 333, 700, 1001])
def test_no_cycle_is_lost_where_one_asic_step_follows_another(mhz: int):
    """Also where the host's period is no whole number of ps: a step that starts as another ends takes just its own cycles."""
    raw = simulate(mapping_of("pim-gpt", TINY, 8, [f"host.clock={mhz} MHz"]), 1, 6)
    alone = np.array([s.source < 0 for run in raw.runs for s in run.plan.asic])
    start, end, busy = raw.records.asic.T
    follows = alone & np.concatenate(([False], start[1:] == end[:-1]))
    assert follows.sum() > 20
    assert (abs((end - start)[follows] * mhz / 10**6 - busy[follows]) < 0.01).all()


def test_results_that_pile_up_beyond_the_sram_are_refused():
    sets = ["host.clock=1 MHz", "host.adders=1", "host.multipliers=1", "host.sram=17 kB"]
    with pytest.raises(SimulationError, match=r"host.sram: \d+ bytes of results wait"):
        simulate(mapping_of("pim-gpt", SMALL, 4, sets, lm_head_on_pim=True), 1, 2)
