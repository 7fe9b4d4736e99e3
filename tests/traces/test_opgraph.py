"""OpGraph: rules of a well-formed graph, templates, digest, and the file format."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rowline.traces.opgraph import KV_LEN, KV_PAST, OPGRAPH_TABLE, Op, OpGraph


def small_template() -> OpGraph:
    """Embedding, fused qkv of width 3 * 8, two cache appends, attention over 2 heads of 4: one block's attention."""
    common = {"in_dtypes": ("bfloat16",), "weight_name": "", "weight_shape": (), "has_bias": False, "flops": 0}
    embedding = Op(
        index=0, kind="embedding", module="wte", layer=-1, in_shapes=((1, 1), (50, 8)), roles=("index", "weight"),
        producers=(-1, -1), out_shapes=((1, 1, 8),), out_dtypes=("bfloat16",), attrs=(), bytes_read=24,
        bytes_written=16,
        **{**common, "in_dtypes": ("int64", "bfloat16"), "weight_name": "wte.weight", "weight_shape": (50, 8)},
    )  # fmt: skip
    qkv = Op(
        index=1, kind="linear", module="blocks.0.qkv", layer=0, in_shapes=((1, 1, 8), (24, 8)),
        roles=("activation", "weight"), producers=(0, -1), out_shapes=((1, 1, 24),), out_dtypes=("bfloat16",),
        attrs=(), bytes_read=400, bytes_written=48,
        **{**common, "in_dtypes": ("bfloat16",) * 2, "weight_name": "qkv.weight", "weight_shape": (24, 8),
           "flops": 384},
    )  # fmt: skip
    appends = [
        Op(
            index=2 + part, kind="kv_append", module="blocks.0", layer=0,
            in_shapes=((1, 2, KV_PAST, 4), (1, 2, 1, 4)), roles=("kv", "activation"), producers=(-1, 1),
            out_shapes=((1, 2, KV_LEN, 4),), out_dtypes=("bfloat16",),
            attrs=(("in1_slice", 1 + part), ("in1_slices", 3)), bytes_read=16, bytes_written=16,
            **{**common, "in_dtypes": ("bfloat16",) * 2},
        )
        for part in (0, 1)
    ]  # fmt: skip
    sdpa = Op(
        index=4, kind="sdpa", module="blocks.0", layer=0,
        in_shapes=((1, 2, 1, 4), (1, 2, KV_LEN, 4), (1, 2, KV_LEN, 4)), roles=("activation", "kv", "kv"),
        producers=(1, 2, 3), out_shapes=((1, 2, 1, 4),), out_dtypes=("bfloat16",),
        attrs=(("causal", 0), ("heads", 2), ("scale", 0.5), ("how", "flash"))[:3], bytes_read=16, bytes_written=16,
        flops_per_kv=32, bytes_read_per_kv=32, **{**common, "in_dtypes": ("bfloat16",) * 3},
    )  # fmt: skip
    info = (("layers", 1), ("n_positions", 16), ("scale", 0.5), ("family", "gpt"))
    return OpGraph((embedding, qkv, *appends, sdpa), "tiny", "decode", n_new_tokens=1, kv_length=KV_LEN, info=info)


def with_op(graph: OpGraph, position: int, **changes: object) -> OpGraph:
    """`graph` with some fields of one op changed."""
    ops = list(graph.ops)
    ops[position] = replace(ops[position], **changes)  # pyright: ignore[reportArgumentType]
    return replace(graph, ops=tuple(ops))


def test_a_template_becomes_concrete() -> None:
    template = small_template()
    template.verify()
    graph = template.at(7)
    graph.verify()
    assert graph.kv_length == 7
    assert graph.ops[2].in_shapes == ((1, 2, 6, 4), (1, 2, 1, 4))
    assert graph.ops[4].in_shapes == ((1, 2, 1, 4), (1, 2, 7, 4), (1, 2, 7, 4))
    assert (graph.ops[4].flops, graph.ops[4].bytes_read, graph.ops[4].bytes_written) == (7 * 32, 16 + 7 * 32, 16)
    assert graph.ops[1] is template.ops[1], "ops that do not depend on the KV length are shared"


def test_the_first_token_finds_an_empty_cache() -> None:
    graph = small_template().at(1)
    graph.verify()
    assert graph.ops[2].in_shapes[0] == (1, 2, 0, 4)


@pytest.mark.parametrize("kv_length", [0, -1, 17])
def test_at_refuses_lengths_that_cannot_be(kv_length: int) -> None:
    with pytest.raises(ValueError, match=rf"KV length {kv_length} is outside 1\.\.16"):
        small_template().at(kv_length)


def test_at_refuses_a_concrete_graph() -> None:
    with pytest.raises(ValueError, match=r"concrete already \(KV length 3\)"):
        small_template().at(3).at(4)


def test_attributes_and_facts_by_name() -> None:
    graph = small_template()
    assert graph.ops[3].attr("in1_slice") == 2
    assert graph.fact("family") == "gpt"
    with pytest.raises(KeyError, match="no attribute 'heads'"):
        graph.ops[3].attr("heads")


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (1, {"index": 5}, "index 5 differs from its position 1"),
        (1, {"kind": "conv"}, "kind is neither canonical"),
        (1, {"producers": (3, -1)}, "input 0 is produced by op 3, which does not come before it"),
        (1, {"producers": (1, -1)}, "input 0 is produced by op 1"),
        (1, {"producers": (-2, -1)}, "input 0 is produced by op -2"),
        (1, {"producers": (0, 0)}, "input 1 is a weight, yet produced by op 0"),
        (1, {"producers": (0,)}, "differ in length"),
        (1, {"in_shapes": ((1, 0, 8), (24, 8))}, "has dimension 0"),
        (1, {"in_shapes": ((1, -3, 8), (24, 8))}, "has dimension -3"),
        (1, {"out_shapes": ()}, "out_shapes and out_dtypes differ in length"),
        (1, {"out_shapes": (), "out_dtypes": ()}, "are empty"),
        (1, {"in_dtypes": ("bf16", "bfloat16")}, r"unknown dtypes \['bf16'\]"),
        (1, {"roles": ("activations", "weight")}, "input 0 has role 'activations'"),
        (1, {"weight_name": ""}, "weight_name, weight_shape and an input of role weight"),
        (4, {"producers": (1, 1, 3)}, r"input 1 is a KV cache, yet produced by op 1 \(linear\)"),
        (4, {"attrs": (("b", 1), ("a", 1))}, "not sorted and unique"),
        (4, {"attrs": (("a", 1), ("a", 1))}, "not sorted and unique"),
    ],
)
def test_verify_names_the_op_and_the_rule(index: int, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"op {index} \(.*{message}"):
        with_op(small_template(), index, **changes).verify()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": "train"}, "phase 'train' is none of"),
        ({"n_new_tokens": 0}, "0 new tokens"),
        ({"kv_length": 0}, "KV length 0"),
        ({"kv_length": 4}, "has dimension -2"),
    ],
)
def test_verify_looks_at_the_graph(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(small_template(), **changes).verify()  # pyright: ignore[reportArgumentType]


def test_verify_wants_resolved_and_non_negative_counts() -> None:
    concrete = small_template().at(4)
    with pytest.raises(ValueError, match="a count is negative"):
        with_op(concrete, 1, flops=-1).verify()
    with pytest.raises(ValueError, match="depends on the KV length in a concrete graph"):
        with_op(concrete, 1, flops_per_kv=1).verify()


def test_the_digest_sees_every_field() -> None:
    graph = small_template()
    assert graph.digest() == small_template().digest()
    variants = [
        replace(graph, model="other"),
        replace(graph, info=(("layers", 2),)),
        graph.at(3),
        graph.at(4),
        with_op(graph, 1, flops=1),
        with_op(graph, 4, attrs=(("causal", 1),)),
        with_op(graph, 1, has_bias=True),
    ]
    assert len({graph.digest(), *(variant.digest() for variant in variants)}) == 1 + len(variants)


@pytest.mark.parametrize("kv_length", [None, 5])
def test_parquet_round_trip(tmp_path: Path, kv_length: int | None) -> None:
    graph = small_template() if kv_length is None else small_template().at(kv_length)
    path = tmp_path / "graph.parquet"
    graph.to_parquet(path)
    assert OpGraph.from_parquet(path) == graph
    assert OpGraph.from_parquet(path).digest() == graph.digest()
    assert [p.name for p in tmp_path.iterdir()] == ["graph.parquet"], "no partial file stays"


def test_the_file_explains_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "graph.parquet"
    small_template().to_parquet(path)
    schema = pq.read_schema(path)
    assert schema.names == [column.name for column in OPGRAPH_TABLE.columns]
    assert schema.field("bytes_read").metadata[b"unit"] == b"byte"
    assert all(field.metadata[b"meaning"] for field in schema)
    assert schema.metadata[b"rowline.version"] == b"1"
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_broken_graph_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="op 1"):
        with_op(small_template(), 1, index=5).to_parquet(tmp_path / "graph.parquet")
    assert not list(tmp_path.iterdir())


def test_damage_anywhere_in_the_file_is_noticed(tmp_path: Path) -> None:
    """One byte inverted at a time: the reader either says that the file is damaged or returns the very same graph."""
    graph = small_template()
    path = tmp_path / "graph.parquet"
    graph.to_parquet(path)
    good = path.read_bytes()
    n_noticed = 0
    positions = range(0, len(good), 7)
    for position in positions:
        path.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            assert OpGraph.from_parquet(path) == graph
        except ValueError as error:
            assert str(path) in str(error)
            n_noticed += 1
    assert n_noticed > len(positions) // 2


@pytest.mark.parametrize("n_kept", [0, 3, 100, -1])
def test_a_truncated_file_is_damaged(tmp_path: Path, n_kept: int) -> None:
    path = tmp_path / "graph.parquet"
    small_template().to_parquet(path)
    path.write_bytes(path.read_bytes()[:n_kept])
    with pytest.raises(ValueError, match="graph.parquet: not a readable Parquet file"):
        OpGraph.from_parquet(path)


def test_page_checksums_are_verified(tmp_path: Path) -> None:
    """A flipped bit in the data of the first page, which starts right after the file's magic and the page header."""
    path = tmp_path / "graph.parquet"
    small_template().to_parquet(path)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - column.data_page_offset + 3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="(?i)crc"):
        OpGraph.from_parquet(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (b"rowline.version", b"99", "schema version 99, this Rowline reads version 1"),
        (b"rowline.table", b"rowline.issuelog", "holds table 'rowline.issuelog', expected 'rowline.opgraph'"),
        (b"digest", b"0" * 64, "damaged op graph .digest"),
        (b"graph", b"{", "damaged op graph"),
    ],
)
def test_files_of_another_kind_or_content_are_refused(tmp_path: Path, key: bytes, value: bytes, message: str) -> None:
    path = tmp_path / "graph.parquet"
    small_template().to_parquet(path)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, key: value}), path)
    with pytest.raises(ValueError, match=message):
        OpGraph.from_parquet(path)


def test_other_columns_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.parquet"
    small_template().to_parquet(path)
    pq.write_table(pq.read_table(path).drop_columns(["flops"]), path)
    with pytest.raises(ValueError, match="do not match rowline.opgraph version 1"):
        OpGraph.from_parquet(path)
    with pytest.raises(FileNotFoundError, match="absent.parquet"):
        OpGraph.from_parquet(tmp_path / "absent.parquet")


def test_traces_needs_neither_torch_nor_pandas() -> None:
    code = "import sys, rowline.traces.opgraph; assert not {'torch', 'pandas'} & sys.modules.keys(), 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
