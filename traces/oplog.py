"""OpLog: what each op instance of a simulated run did and when. One row a step of a pass."""

from dataclasses import dataclass, field, fields

from .schema import INT64, STRING, TableSpec, column, columns_of


@dataclass(frozen=True)
class OpRecord:
    """One row of the table."""

    pass_index: int = field(metadata=column(INT64, "1", "forward pass, from 0"))
    phase: str = field(metadata=column(STRING, "", "prefill or decode"))
    kv_length: int = field(metadata=column(INT64, "1", "tokens attended to, this one included"))
    unit: str = field(metadata=column(STRING, "", "pim or asic"))
    op_class: str = field(metadata=column(STRING, "", "what the step is booked under"))
    layer: int = field(metadata=column(INT64, "1", "block number, -1 outside the blocks"))
    op: int = field(metadata=column(INT64, "1", "index of the op in the graph"))
    start_ps: int = field(metadata=column(INT64, "ps", "first command issued, or ASIC step begun"))
    end_ps: int = field(metadata=column(INT64, "ps", "last command issued, or ASIC step done"))
    macs: int = field(metadata=column(INT64, "1", "multiply-accumulates done in banks"))
    mac_bytes: int = field(metadata=column(INT64, "byte", "weight and KV bytes that those consumed"))
    link_bytes: int = field(metadata=column(INT64, "byte", "bytes over the links of all channels"))
    commands: int = field(metadata=column(INT64, "1", "commands issued by all channels"))
    energy_fj: int = field(metadata=column(INT64, "fJ", "energy of those commands, or of the ASIC while it worked"))


OPLOG_TABLE = TableSpec("rowline.oplog", 1, columns_of(OpRecord))
OPLOG_COLUMNS = tuple(f.name for f in fields(OpRecord))
