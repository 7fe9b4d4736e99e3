"""KernelLog: what is written is read, the shared schema is read too, and what cannot be is refused by file, row and column."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rowline.traces.formats.files import FormatError
from rowline.traces.kernellog import (
    DEFAULTS,
    KERNELLOG_TABLE,
    KernelHeader,
    KernelRow,
    family_of,
    read_kernel_log,
    to_columns,
    to_rows,
    write_kernel_log,
)  # fmt: skip

ROWS = [
    KernelRow(gpu="H200-SXM-141GB", op="gemm", dtype="bf16", latency_us=12.5, m=16, n=4096, k=4096, batch=1, launch="graph",
              l2="cold", copies=9, clock_mode="burst", repeats=20, spread_us=0.25, power_w=512.0, checked=0.01),
    KernelRow(gpu="H200-SXM-141GB", op="attn_decode", dtype="bf16", latency_us=7.0, batch=8, heads=32, kv_heads=8, head_dim=128,
              seq_q=1, seq_kv=4096, extra='{"variant": "flash"}', temperature_c=-3.0, l2_hit_rate=1.0, dram_bytes=0.0),
    KernelRow(gpu="Größe", op="rmsnorm", dtype="fp16", latency_us=2.0, m=3, n=4096, family="mine"),
]  # fmt: skip
HEADER = KernelHeader("NVIDIA H200", "570", power_cap_w=700.0, settings={"seed": 1}, skipped={"a": "b"}, notes=("x",))


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f") for name in left
    )


def shared(path: Path, **changes: Any) -> Path:
    """A file as pandas writes the shared schema: large strings, int32, float32; a column None is left out."""
    text = {"gpu": "T4", "op": "gemm", "dtype": "fp16", "framework": "x", "kernel": "", "protocol": "p", "flags": "", "extra": ""}
    columns: dict[str, Any] = {name: pa.array([value] * 3, pa.large_string()) for name, value in text.items()}
    columns |= {name: pa.array([1, 2, 3], pa.int32()) for name in ("m", "n", "k")}
    columns |= {"latency_us": pa.array([1.5, 2.5, 3.5], pa.float32()), "power_w": pa.array([None, 70, None], pa.float32())}
    columns |= {"unheard_of": pa.array([1, 2, 3])} | changes
    pq.write_table(pa.table({name: column for name, column in columns.items() if column is not None}), path)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_kernel_log(path, HEADER, to_columns(ROWS))
    header, columns = read_kernel_log(path)
    assert header.notes == HEADER.notes and header.skipped == {"a": "b"} and header.power_cap_w == 700.0
    assert math.isnan(header.max_sm_clock_mhz) and header.settings == {"seed": 1}
    assert same(columns, to_columns(ROWS))
    assert columns["family"].tolist() == ["gemm:n4096:k4096", "attn:h32:kv8:d128", "mine"]
    assert to_rows(columns)[1].extra == ROWS[1].extra and to_rows(columns)[2].gpu == "Größe"
    assert [file.name for file in tmp_path.iterdir()] == ["log.parquet"]


def test_a_log_of_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_kernel_log(path, HEADER, to_columns([]))
    assert [len(values) for values in read_kernel_log(path)[1].values()] == [0] * len(KERNELLOG_TABLE.columns)


def test_the_file_says_what_its_columns_are(tmp_path: Path) -> None:
    write_kernel_log(tmp_path / "log.parquet", HEADER, to_columns(ROWS))
    schema = pq.read_schema(tmp_path / "log.parquet")
    assert schema.field("energy_mj").metadata[b"unit"] == b"mJ" and schema.field("l2").metadata[b"meaning"]
    assert json.loads(schema.metadata[b"rowline.header"])["device"] == "NVIDIA H200"


def test_the_shared_schema_is_read_with_stated_defaults(tmp_path: Path) -> None:
    header, columns = read_kernel_log(shared(tmp_path / "a.parquet"))
    assert header == replace(KernelHeader(), max_sm_clock_mhz=header.max_sm_clock_mhz, max_mem_clock_mhz=header.max_mem_clock_mhz,
                             power_cap_w=header.power_cap_w)  # fmt: skip
    assert list(columns) == [c.name for c in KERNELLOG_TABLE.columns]
    assert columns["m"].tolist() == [1, 2, 3] and columns["m"].dtype == np.int64
    assert columns["latency_us"].tolist() == [1.5, 2.5, 3.5] and columns["latency_us"].dtype == np.float64
    assert np.isnan(columns["power_w"]).tolist() == [True, False, True]
    assert columns["family"].tolist() == ["gemm:n1:k1", "gemm:n2:k2", "gemm:n3:k3"]
    for name in ("launch", "l2", "copies", "clock_mode", "seq_kv"):
        assert columns[name].tolist() == [DEFAULTS[name]] * 3


def test_families_are_those_of_the_shared_data() -> None:
    assert family_of("bmm", 128, 512, 0, 0, 0) == "bmm:n128:k512"
    assert family_of("attn_prefill", 0, 0, 32, 8, 128) == "attn:h32:kv8:d128"
    assert family_of("silu_mul", 1376, 0, 0, 0, 0) == "row:n1376"
    assert family_of("stream_read", 1376, 0, 0, 0, 0) == "micro:stream_read"


WRONG = {
    "row 1: column latency_us: -2.5: must be above 0": {"latency_us": pa.array([1.5, -2.5, 3.5])},
    "row 0: column latency_us: 0.0: must be above 0": {"latency_us": pa.array([0.0, 1.0, 1.0])},
    "row 2: column latency_us: nan: must be above 0": {"latency_us": pa.array([1.0, 1.0, None])},
    "row 0: column latency_us: inf: must be above 0": {"latency_us": pa.array([math.inf, 1.0, 1.0])},
    "row 2: column op: conv: not one of gemm": {"op": pa.array(["gemm", "bmm", "conv"])},
    "row 0: column dtype: fp4: not one of fp32": {"dtype": pa.array(["fp4", "fp16", "fp16"])},
    "row 1: column l2: tepid: not one of warm, cold": {"l2": pa.array(["", "tepid", "warm"])},
    "row 1: column m: -1: must not be negative": {"m": pa.array([1, -1, 1])},
    "row 1: column m: no value": {"m": pa.array([1, None, 1], pa.int32())},
    "row 1: column l2_hit_rate: 1.5: must not be above 1": {"l2_hit_rate": pa.array([1.0, 1.5, None])},
    "column m: holds double, expected whole numbers": {"m": pa.array([1.0, 2.0, 3.0])},
    "column latency_us: holds string, expected numbers": {"latency_us": pa.array(["1", "2", "3"])},
    "column op: holds int64, expected text": {"op": pa.array([1, 2, 3])},
    "column gpu: missing": {"gpu": None},
    "column latency_us: missing": {"latency_us": None},
    "row 2: column extra: [1]: not a JSON object": {"extra": pa.array(["", "{}", "[1]"])},
    "row 0: column extra: {: not a JSON object": {"extra": pa.array(["{", "{}", ""])},
}  # fmt: skip


@pytest.mark.parametrize("problem", WRONG)
def test_what_cannot_be_is_refused_by_row_and_column(tmp_path: Path, problem: str) -> None:
    path = shared(tmp_path / "a.parquet", **WRONG[problem])
    with pytest.raises(FormatError) as error:
        read_kernel_log(path)
    assert str(error.value).startswith(f"{path}: {problem}")


def test_a_writer_refuses_what_a_reader_would(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="row 0: column latency_us"):
        write_kernel_log(tmp_path / "a.parquet", HEADER, to_columns([replace(ROWS[0], latency_us=-1.0)]))
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_byte_and_every_cut_is_seen(tmp_path: Path) -> None:
    """Either the file is refused, or it still says exactly the same."""
    path, broken = tmp_path / "log.parquet", tmp_path / "broken.parquet"
    write_kernel_log(path, HEADER, to_columns(ROWS))
    whole, (header, columns) = path.read_bytes(), read_kernel_log(path)
    refused = 0
    for at in range(0, len(whole), 61):
        for damaged in (whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :], whole[:at]):
            broken.write_bytes(damaged)
            try:
                read_header, read = read_kernel_log(broken)
            except FormatError as error:
                assert str(error).startswith(f"{broken}: ") and "\n" not in str(error)
                refused += 1
            else:
                assert same(read, columns) and str(read_header) == str(header)
    assert refused > len(whole) / 61


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"gpu,op\n", bytes(range(256)) * 40])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not a readable Parquet file, or damaged"):
        read_kernel_log(path)
    with pytest.raises(FileNotFoundError):
        read_kernel_log(tmp_path / "b.parquet")
    with pytest.raises(FormatError, match="not a regular file"):
        read_kernel_log(tmp_path)


def test_another_table_and_doubled_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"gpu": ["T4"]}).replace_schema_metadata({"rowline.table": "rowline.requests 1"}), path)
    with pytest.raises(FormatError, match="holds table 'rowline.requests 1', expected 'rowline.kernellog 1'"):
        read_kernel_log(path)
    pq.write_table(pa.Table.from_arrays([pa.array(["T4"]), pa.array(["T4"])], names=["gpu", "gpu"]), path)
    with pytest.raises(FormatError, match="column gpu: there twice"):
        read_kernel_log(path)


def test_few_bytes_that_claim_many_rows_are_refused(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.parquet", (1 << 24) + 1
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 1000]))
    pq.write_table(pa.table({"gpu": column}), path)
    with pytest.raises(FormatError, match="more than a log may hold"):
        read_kernel_log(path)
