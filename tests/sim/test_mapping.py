"""Placement and lowering: every multiply-accumulate covered exactly once, nothing overlaps, capacities hold."""

from collections import Counter

import numpy as np
import pytest
from rowline.arch.loader import load_system
from rowline.arch.system import System
from rowline.sim.mapping.lower import Lowering, Template
from rowline.sim.mapping.pim_gpt import Mapping, MappingOptions, map_graph
from rowline.sim.mapping.placement import MappingError, Region, placements
from rowline.traces.commands import expand_runs
from rowline.workloads.closed_form import decode_macs
from rowline.workloads.models.gpt import GptConfig
from rowline.workloads.models.registry import get_model, list_models
from rowline.workloads.tracer import trace_decode

TINY = GptConfig(name="tiny", n_layers=2, d_model=96, n_heads=3, vocab_size=301, n_positions=200)
WIDE = GptConfig(name="wide", n_layers=1, d_model=1200, n_heads=15, vocab_size=117, n_positions=64, d_ff=140)
SYSTEMS = {
    "pim-gpt": (),
    "aim": (),
    "odd": ("channels=3", "device.organization.bank_groups=2"),
    "many": ("channels=2", "device.organization.bank_groups=8"),
}


def system_of(name: str) -> System:
    return load_system(name if name in ("aim", "pim-gpt") else "pim-gpt", SYSTEMS[name])


def mapped(name: str, model: GptConfig, tokens: int, **options: object) -> Mapping:
    return map_graph(system_of(name), trace_decode(model), tokens, MappingOptions(**options))  # type: ignore[arg-type]


def mac_accesses(mapping: Mapping, template: Template):
    """(channel, absolute row, column, useful MACs) of every MAC16 of a template."""
    mac = mapping.system.device.dram_standard.index["MAC16"]
    for channel, (begin, end) in enumerate(template.slices.T):
        stream = expand_runs(template.stream[begin:end])
        for entry in stream[stream["cmd"] == mac]:
            yield channel, int(entry["row"]), int(entry["col"]), int(entry["macs"])


def covered(mapping: Mapping, region: Region, template: Template, outputs: int, inputs: int) -> Counter[tuple[int, int]]:
    """How often each (output, input) of a weight or K region is multiplied."""
    g, seen = mapping.geometry, Counter[tuple[int, int]]()
    for channel, row, col, macs in mac_accesses(mapping, template):
        chunk = next(c for c in region.chunks if c.row <= row - region.row < c.row + c.rows)
        segment, within = divmod((row - region.row - chunk.row) * g.columns + col, chunk.stride)
        before = len(seen)
        for bank in range(g.banks):
            output = (segment * g.channels + channel) * g.banks + bank
            for lane in range(g.epc):
                k = within * g.epc + lane
                if output < outputs and k < chunk.width and chunk.begin + k < inputs:
                    seen[output, chunk.begin + k] += 1
        assert len(seen) - before == macs, "useful MACs of a command are those that it newly covers"
    return seen


@pytest.mark.parametrize(("name", "model"), [*((n, TINY) for n in SYSTEMS), ("odd", WIDE)])
def test_every_weight_mac_exactly_once(name: str, model: GptConfig):
    mapping = mapped(name, model, 40)
    mapping.plan(1, True)
    lowering = Lowering(mapping)
    for index, slot in enumerate(mapping.slots):
        if slot.kind != "vmm":
            continue
        region = slot.region
        seen = covered(mapping, region, lowering.template(index, 1), region.outputs, region.inputs)
        assert len(seen) == region.outputs * region.inputs
        assert set(seen.values()) == {1}


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("kv_length", [1, 16, 33, 129, 200])
def test_every_attention_mac_exactly_once(name: str, kv_length: int):
    mapping = mapped(name, TINY, 200)
    mapping.plan(1, True)
    lowering = Lowering(mapping)
    scores, values = Counter[tuple[int, int]](), 0
    for index, slot in enumerate(mapping.slots):
        template = lowering.template(index, kv_length)
        if slot.kind == "score":
            scores += covered(mapping, slot.region, template, kv_length, TINY.d_model)
        elif slot.kind == "value":
            values += sum(macs for *_, macs in mac_accesses(mapping, template))
    assert len(scores) == kv_length * TINY.d_model and set(scores.values()) == {1}
    assert values == kv_length * TINY.d_model


@pytest.mark.parametrize("name", SYSTEMS)
def test_keys_and_values_are_written_where_they_are_read(name: str):
    """Each token's K columns and V columns are written, once, in the rows and columns that the products read."""
    mapping = mapped(name, TINY, 150)
    mapping.plan(1, True)
    lowering, g = Lowering(mapping), mapping.geometry
    wr, mac = (mapping.system.device.dram_standard.index[n] for n in ("WR", "MAC16"))
    for kinds in (("write_k", "score"), ("write_v", "value")):
        write, read = ([i for i, s in enumerate(mapping.slots) if s.kind == k] for k in kinds)
        written: set[tuple[int, int, int, int]] = set()
        for kv_length in range(1, 151):
            template = lowering.template(write[0], kv_length)
            for channel, (begin, end) in enumerate(template.slices.T):
                stream = expand_runs(template.stream[begin:end])
                for e in stream[stream["cmd"] == wr]:
                    written.add((channel, int(e["unit"]), int(e["row"]), int(e["col"])))
        accessed: set[tuple[int, int, int]] = set()
        for index in read:
            template = lowering.template(index, 150)
            for channel, (begin, end) in enumerate(template.slices.T):
                stream = expand_runs(template.stream[begin:end])
                accessed |= {(channel, int(e["row"]), int(e["col"])) for e in stream[stream["cmd"] == mac]}
        assert {(c, r, col) for c, _, r, col in written} == accessed
        assert len(written) <= len(accessed) * g.banks


@pytest.mark.parametrize("name", SYSTEMS)
def test_regions_do_not_overlap_and_stay_inside_the_bank(name: str):
    mapping = mapped(name, WIDE, 64)
    rows_of: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
    for p in placements(mapping.geometry, list(mapping.regions.values())):
        assert 0 <= p.row_begin <= p.row_end <= mapping.geometry.rows
        rows_of.setdefault((p.channel, p.bank), []).append((p.row_begin, p.row_end, p.tensor))
    assert len(rows_of) == mapping.system.banks
    for spans in rows_of.values():
        spans.sort()
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_global_buffer_is_never_overfilled_and_filled_before_use():
    mapping = mapped("pim-gpt", WIDE, 64)
    mapping.plan(1, True)
    lowering = Lowering(mapping)
    index = mapping.system.device.dram_standard.index
    for slot in range(len(mapping.slots)):
        template = lowering.template(slot, 64)
        for begin, end in template.slices.T:
            filled = 0
            for e in template.stream[begin:end]:
                if e["cmd"] == index["WRGB"]:
                    filled = int(e["count"])
                    assert filled <= mapping.geometry.buffer_columns
                elif e["cmd"] == index["MAC16"]:
                    assert filled > 0


@pytest.mark.parametrize("model", list_models())
def test_macs_and_activations_of_the_paper_models_follow_from_placement(model: str):
    """MACs of one pass equal the closed form; each row that holds a weight is opened once, its columns used once."""
    config = get_model(model)
    mapping = mapped("pim-gpt", config, 64)
    plan, lowering = mapping.plan(1, True), Lowering(mapping)
    index, macs, columns, kv_length = mapping.system.device.dram_standard.index, 0, 0, 37
    for step in plan.pim:
        template, slot = lowering.template(step.slot, kv_length), mapping.slots[step.slot]
        for begin, end in template.slices.T:
            stream = template.stream[begin:end]
            mac = stream[stream["cmd"] == index["MAC16"]]
            macs += int((mac["macs"].astype(np.int64) * mac["count"]).sum())
            if slot.kind == "vmm":
                columns += int(mac["count"].sum())
                rows = mac["row"]
                assert (stream["cmd"] == index["ACT16"]).sum() == len(np.unique(rows))
    expected = decode_macs(config, kv_length)
    assert macs == expected.block_weights + expected.attention + expected.lm_head
    weights = [mapping.regions[s] for s in mapping.regions if mapping.regions[s].role != "k_cache"]
    stored = sum(sum(c.segments) * c.stride for r in weights if r.role == "weight" for c in r.chunks)
    token_table = mapping.regions["token_embedding.weight"]
    assert columns == stored + sum(sum(c.segments) * c.stride for c in token_table.chunks)


def test_a_model_that_does_not_fit_is_refused_naming_the_bytes():
    system = load_system("pim-gpt", ["device.organization.rows=64"])
    graph = trace_decode(get_model("gpt2-small"))
    needs = mapped("pim-gpt", get_model("gpt2-small"), 32).regions
    rows = sum(r.rows for r in needs.values())
    with pytest.raises(MappingError, match=rf"needs {rows} rows a bank of 64, {(rows - 64) * 2048 * 128} bytes short"):
        map_graph(system, graph, 32, MappingOptions())


def test_sram_too_small_is_refused_naming_the_bytes():
    system = load_system("pim-gpt", ["host.sram=4 kB"])
    with pytest.raises(MappingError, match=r"host.sram: vectors of blocks.0.attn.qkv need \d+ bytes.*bytes short"):
        map_graph(system, trace_decode(get_model("gpt2-small")), 8, MappingOptions())


def test_lm_head_is_split_where_its_partial_sums_do_not_fit():
    """gpt3-xl has two chunks: with little SRAM the outputs run in blocks, each with its own buffer fills."""
    model = get_model("gpt3-xl")
    graph = trace_decode(model)
    blocks = []
    for sram in ("128 KiB", "40 KiB"):
        mapping = map_graph(load_system("pim-gpt", [f"host.sram={sram}"]), graph, 8, MappingOptions())
        mapping.plan(1, True)
        head = next(i for i, s in enumerate(mapping.slots) if s.op_class == "lm_head")
        template = Lowering(mapping).template(head, 1)
        fills = int((template.stream["cmd"] == mapping.system.device.dram_standard.index["WRGB"]).sum())
        blocks.append((mapping.slots[head].blocks, fills))
        assert sum(m for *_, m in mac_accesses(mapping, template)) == model.vocab_size * model.d_model
    assert blocks[0][0] == 1 and blocks[1][0] > 1 and blocks[1][1] > blocks[0][1]


def test_prompt_vectors_share_open_rows_where_buffer_and_accumulators_allow():
    room = ["device.pim.global_buffer=8 KiB", "device.pim.accumulators=4"]
    model = get_model("gpt2-small")
    graph = trace_decode(model)
    one = map_graph(load_system("pim-gpt", room), graph, 8, MappingOptions())
    four = map_graph(load_system("pim-gpt", room), graph, 8, MappingOptions(vectors_per_row=8))
    tight = map_graph(load_system("pim-gpt"), graph, 8, MappingOptions(vectors_per_row=8))
    assert (one.batch, four.batch, tight.batch) == (1, 4, 1)
    counts = []
    for mapping in (one, four):
        mapping.plan(mapping.batch, False)
        slot = next(i for i, s in enumerate(mapping.slots) if s.op_class == "mlp.fc")
        template, index = Lowering(mapping).template(slot, 4), mapping.system.device.dram_standard.index
        acts = int((template.stream["cmd"] == index["ACT16"]).sum())
        counts.append((acts, sum(m for *_, m in mac_accesses(mapping, template))))
    assert counts[1] == (counts[0][0], 4 * counts[0][1])


def test_grouped_query_attention_and_odd_heads_are_refused():
    odd = GptConfig(name="odd", n_layers=1, d_model=40, n_heads=4, vocab_size=64, n_positions=16)
    with pytest.raises(MappingError, match="head size 10 needs to be a multiple of 16"):
        mapped("pim-gpt", odd, 8)


@pytest.mark.parametrize("kv_length", [1024, 1025, 2049, 2500])
def test_contexts_longer_than_a_row_are_chunked(kv_length: int):
    """Values of more than 1024 tokens lie in several chunks; their partial sums meet in the ASIC, each MAC done once."""
    model = TINY.model_copy(update={"n_positions": 3000})
    mapping = mapped("aim", model, 2500)
    mapping.plan(1, True)
    lowering, chunks = Lowering(mapping), -(-kv_length // 1024)
    for index, slot in enumerate(mapping.slots):
        if slot.kind == "value":
            template = lowering.template(index, kv_length)
            assert sum(macs for *_, macs in mac_accesses(mapping, template)) == kv_length * model.d_model
            assert template.tile_elements.sum() == chunks * model.d_model
