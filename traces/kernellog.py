"""KernelLog: the table of kernel times, measured on a real device or simulated; one row a kernel and a way to run it.

The columns are the shared schema of public measurements plus what a measuring loop decides: launch, L2, copies, clock.
``measure`` (in workloads) writes it, validation reads it. A file with fewer columns is read too: what it does not say has
the default that :data:`DEFAULTS` states.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .formats.files import FormatError, printable
from .formats.kernellog_parquet import Columns, load, save
from .schema import FLOAT64, INT64, STRING, TableSpec, column, columns_of

NAN: Final = float("nan")
KERNEL_OPS: Final = (
    "gemm", "bmm", "attn_prefill", "attn_encoder", "attn_decode", "softmax", "layernorm", "rmsnorm", "gelu", "silu_mul",
    "add", "rope", "embedding", "kv_write",
)  # fmt: skip
"""Kernels of a transformer. What m, n and k mean for each: ``docs/formats.md``."""
MICRO_OPS: Final = (
    "launch", "stream_read", "stream_write", "stream_copy", "l2_read", "l2_latency", "gemm_peak", "wave", "k_step", "split_k",
)  # fmt: skip
"""Micro-benchmarks, each made to show one constant of a device."""
OPS: Final = KERNEL_OPS + MICRO_OPS
DTYPES: Final = ("fp32", "fp16", "bf16", "fp8", "int8", "int64")
LAUNCHES: Final = ("", "graph", "eager")
L2_STATES: Final = ("", "warm", "cold", "flush")
CLOCK_MODES: Final = ("", "burst", "sustained")
_CHOICES: Final = {"op": OPS, "dtype": DTYPES, "launch": LAUNCHES, "l2": L2_STATES, "clock_mode": CLOCK_MODES}
_REQUIRED: Final = ("gpu", "op", "dtype", "latency_us")


def _text(meaning: str, default: Any = "") -> Any:
    return field(default=default, metadata=column(STRING, "", meaning))


def _count(meaning: str, default: int = 0, unit: str = "1") -> Any:
    return field(default=default, metadata=column(INT64, unit, meaning))


def _number(unit: str, meaning: str, default: Any = NAN) -> Any:
    return field(default=default, metadata=column(FLOAT64, unit, meaning))


@dataclass(frozen=True)
class KernelRow:
    """One row. NaN, 0 or an empty text: not recorded; the only columns a file must have are gpu, op, dtype, latency_us."""

    gpu: str = _text("board, or CPU", MISSING)
    op: str = _text("one of OPS", MISSING)
    dtype: str = _text("of the operands; fp32 is SIMT, TF32 off", MISSING)
    latency_us: float = _number("us", "time per call, the median where repeated", MISSING)
    source: str = _text("who measured")
    source_commit: str = _text("version of the source")
    license: str = _text("of the source")
    framework: str = _text("software that ran the kernel, with version")
    kernel: str = _text("kernel or backend, as far as known")
    m: int = _count("tokens, or rows; see docs/formats.md by op")
    n: int = _count("outputs, or elements a row")
    k: int = _count("inputs of a matrix product")
    batch: int = _count("items of a bmm, sequences of attention, else 1")
    heads: int = _count("query heads")
    kv_heads: int = _count("key and value heads")
    head_dim: int = _count("elements a head")
    seq_q: int = _count("query tokens a sequence")
    seq_kv: int = _count("key and value tokens a sequence")
    power_w: float = _number("W", "mean board power while the kernel was repeated")
    protocol: str = _text("how it was timed")
    family: str = _text("shape family: rows that a split keeps together")
    flags: str = _text("comma separated remarks")
    extra: str = _text("JSON object of what has no column")
    launch: str = _text("graph, eager, or not stated")
    l2: str = _text("warm: same buffers; cold: copies that exceed the L2; flush: L2 swept before each call; or not stated")
    copies: int = _count("copies of the operands that the loop goes through, 0 not stated")
    clock_mode: str = _text("burst: as few calls as needed; sustained: a second and more without pause; or not stated")
    repeats: int = _count("timed samples behind the median")
    spread_us: float = _number("us", "quartile range of the samples")
    sm_clock_mhz: float = _number("MHz", "SM clock, mean while the kernel was repeated")
    mem_clock_mhz: float = _number("MHz", "memory clock, likewise")
    energy_mj: float = _number("mJ", "board energy per call")
    temperature_c: float = _number("degC", "of the GPU after the samples")
    dram_bytes: float = _number("byte", "DRAM bytes read and written per call, from hardware counters")
    l2_hit_rate: float = _number("1", "L2 sectors hit of those asked for, from hardware counters, 0 to 1")
    checked: float = _number("1", "largest absolute error against the reference, on a sample of the outputs")


KERNELLOG_TABLE: Final = TableSpec("rowline.kernellog", 1, columns_of(KernelRow))
DEFAULTS: Final[dict[str, Any]] = {f.name: f.default for f in fields(KernelRow) if f.default is not MISSING}
"""Column -> what a file that lacks it is taken to say. `family` is then worked out, see :func:`family_of`."""
_NOT_NEGATIVE: Final = [c.name for c in KERNELLOG_TABLE.columns if c.name not in ("temperature_c", "latency_us")]


@dataclass(frozen=True)
class KernelHeader:
    """What holds for a whole log. Empty or NaN: not known. `power_cap_w` in W, clocks in MHz, `date` in ISO 8601, UTC.

    `skipped` maps what was not measured to the reason, `settings` how the measuring was asked for, `notes` are for people.
    """

    device: str = ""
    driver: str = ""
    cuda: str = ""
    torch: str = ""
    date: str = ""
    suite: str = ""
    sm_count: int = 0
    l2_bytes: int = 0
    memory_bytes: int = 0
    max_sm_clock_mhz: float = NAN
    max_mem_clock_mhz: float = NAN
    power_cap_w: float = NAN
    settings: dict[str, Any] = field(default_factory=lambda: {})
    skipped: dict[str, str] = field(default_factory=lambda: {})
    notes: tuple[str, ...] = ()


def family_of(op: str, n: int, k: int, heads: int, kv_heads: int, head_dim: int) -> str:
    """The shape family, as in the shared data: ``gemm:n4096:k4096``, ``bmm:n128:k512``, ``attn:h32:kv8:d128``, ``row:n4096``.

    Micro-benchmarks: ``micro:`` and the op.
    """
    if op in ("gemm", "bmm"):
        return f"{op}:n{n}:k{k}"
    if op.startswith("attn_"):
        return f"attn:h{heads}:kv{kv_heads}:d{head_dim}"
    return f"micro:{op}" if op in MICRO_OPS else f"row:n{n}"


def to_columns(rows: Sequence[KernelRow]) -> Columns:
    """Rows as columns; a row without a family gets it."""
    columns: Columns = {}
    for spec in KERNELLOG_TABLE.columns:
        columns[spec.name] = _array(spec.arrow_type, [getattr(row, spec.name) for row in rows])
    _fill_family(columns)
    return columns


def to_rows(columns: Mapping[str, NDArray[Any]]) -> list[KernelRow]:
    """Columns as rows: the inverse of :func:`to_columns`."""
    names = [c.name for c in KERNELLOG_TABLE.columns]
    return [KernelRow(**dict(zip(names, row, strict=True))) for row in zip(*(columns[n].tolist() for n in names), strict=True)]


def _array(arrow_type: Any, values: Sequence[Any]) -> NDArray[Any]:
    return np.array(values, dtype={INT64: np.int64, FLOAT64: np.float64}.get(arrow_type, object))


def _fill_family(columns: Columns) -> None:
    """Work out the family where there is none."""
    empty = np.flatnonzero(columns["family"] == "")
    if len(empty):
        family = columns["family"].copy()
        parts = zip(*(columns[name][empty].tolist() for name in ("op", "n", "k", "heads", "kv_heads", "head_dim")), strict=True)
        family[empty] = np.array([family_of(*part) for part in parts], dtype=object)
        columns["family"] = family


def write_kernel_log(path: str | os.PathLike[str], header: KernelHeader, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write a log, all or nothing: `columns` has every column of the table, as :func:`to_columns` gives them.

    Raises:
        FormatError: a value that a reader would refuse.
        OSError: the folder cannot be written.
    """
    complete = dict(columns)
    _check(path, complete)
    save(path, KERNELLOG_TABLE, complete, {"rowline.header": json.dumps(asdict(header))})


def read_kernel_log(path: str | os.PathLike[str]) -> tuple[KernelHeader, Columns]:
    """The header and every column of the table (int64, float64, or object arrays of str, all of one length).

    A file of the shared schema has no header (an empty one is returned) and lacks columns; they get :data:`DEFAULTS`.

    Raises:
        FileNotFoundError: no such file.
        FormatError: damaged, not this kind of table, a needed column missing, a column of another type, or a value that
            cannot be; names the column and, counted from 0, the row.
    """
    columns, metadata, rows = load(path, KERNELLOG_TABLE)
    for name in _REQUIRED:
        if name not in columns:
            raise FormatError(path, None, f"column {name}: missing")
    for spec in KERNELLOG_TABLE.columns:
        if spec.name not in columns:
            columns[spec.name] = _array(spec.arrow_type, [DEFAULTS[spec.name]] * rows)
    _check(path, columns)
    _fill_family(columns)
    return _header(path, metadata), {c.name: columns[c.name] for c in KERNELLOG_TABLE.columns}


def _header(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> KernelHeader:
    text = metadata.get("rowline.header")
    if text is None:
        return KernelHeader()
    try:
        return KernelHeader(**(json.loads(text) | {"notes": tuple(json.loads(text)["notes"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(path, None, f"damaged header ({printable(str(error))})") from error


def _check(path: str | os.PathLike[str], columns: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what no kernel can have."""
    latency = columns["latency_us"]
    _refuse(path, "latency_us", latency, ~((latency > 0) & np.isfinite(latency)), "must be above 0")
    for name in _NOT_NEGATIVE:
        values = columns[name]
        if values.dtype != object:
            _refuse(path, name, values, (values < 0) | np.isinf(values), "must not be negative or infinite")
    rate = columns["l2_hit_rate"]
    _refuse(path, "l2_hit_rate", rate, rate > 1, "must not be above 1")
    for name, choices in _CHOICES.items():
        unknown = set(columns[name].tolist()) - set(choices)
        if unknown:
            wrong = np.isin(columns[name], np.array(sorted(unknown), dtype=object))
            _refuse(path, name, columns[name], wrong, f"not one of {', '.join(filter(None, choices))}")
    odd = {text for text in set(columns["extra"].tolist()) if text and not _is_object(text)}
    if odd:
        _refuse(path, "extra", columns["extra"], np.array([t in odd for t in columns["extra"]]), "not a JSON object")


def _refuse(path: str | os.PathLike[str], name: str, values: NDArray[Any], wrong: NDArray[Any], problem: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise FormatError(path, None, f"row {row}: column {name}: {printable(str(values[row]))}: {problem}")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
