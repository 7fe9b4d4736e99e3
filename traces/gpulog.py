"""GpuOpLog: what each kernel of a model run on a simulated GPU did and when. One row a kernel of a pass."""

from dataclasses import dataclass, field, fields

from .schema import INT64, STRING, TableSpec, column, columns_of


@dataclass(frozen=True)
class GpuOpRecord:
    """One row of the table."""

    pass_index: int = field(metadata=column(INT64, "1", "forward pass, from 0"))
    phase: str = field(metadata=column(STRING, "", "prefill or decode"))
    kv_length: int = field(metadata=column(INT64, "1", "tokens attended to, those of the pass included"))
    unit: str = field(metadata=column(STRING, "", "gpu"))
    op_class: str = field(metadata=column(STRING, "", "what the kernel is booked under"))
    layer: int = field(metadata=column(INT64, "1", "block number, -1 outside the blocks"))
    op: int = field(metadata=column(INT64, "1", "index of the op in the graph"))
    start_ps: int = field(metadata=column(INT64, "ps", "the kernel before is done, and this one has been launched"))
    end_ps: int = field(metadata=column(INT64, "ps", "last write done; what its launch costs is in between"))
    macs: int = field(metadata=column(INT64, "1", "useful multiply-accumulates"))
    kernel: str = field(metadata=column(STRING, "", "operation, as in kernel logs"))
    choice: str = field(metadata=column(STRING, "", "what the library chose"))
    bound: str = field(metadata=column(STRING, "", "what most of its time goes to"))
    dram_read_bytes: int = field(metadata=column(INT64, "byte", "read from DRAM"))
    dram_write_bytes: int = field(metadata=column(INT64, "byte", "written to DRAM"))
    l2_read_bytes: int = field(metadata=column(INT64, "byte", "asked of the L2"))
    l2_hit_bytes: int = field(metadata=column(INT64, "byte", "of that, found there"))
    energy_fj: int = field(metadata=column(INT64, "fJ", "energy beyond what the board draws all the time"))


GPU_OPLOG_TABLE = TableSpec("rowline.gpu_oplog", 1, columns_of(GpuOpRecord))
GPU_OPLOG_COLUMNS = tuple(f.name for f in fields(GpuOpRecord))
