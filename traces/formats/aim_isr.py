"""Instruction traces of aim_simulator: what a host writes to the instruction registers of an AiM memory.

A line is ``AiM OPCODE field ...``, or ``R``/``W`` with ``MEM``, ``GPR`` or ``CFR``. The fields of each instruction are
in :data:`INSTRUCTIONS`. What the instructions make a channel do is in ``sim/isr.py``.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .files import DEFAULT_LIMITS, FormatError, Limits, PathLike, check_regular, printable
from .text import LineProblem, counted, number, numbered_fields

ISR = np.dtype(
    [
        ("line", np.int64),  # number of its line
        ("op", np.int32),  # index into NAMES
        ("opsize", np.int32),  # successive columns; 1 where the instruction has no such field
        ("gpr", np.int32),  # general-purpose registers that it reads or writes; -1: none
        ("gpr_1", np.int32),
        ("mask", np.int64),  # channels it goes to, as bits; 0: it goes to none
        ("channel", np.int32),  # of R MEM and W MEM; else -1
        ("bank", np.int32),  # -1: none, or all
        ("row", np.int32),  # -1: none
        ("register", np.int32),  # configuration register, and the value it gets; -1: none
        ("value", np.int32),
    ],
    align=True,
)

CHANNELS: Final = 32
MAX_OPSIZE: Final = 1 << 16

_BOUNDS: Final = {
    "opsize": (1, MAX_OPSIZE),
    "gpr": (0, 2**31 - 1),
    "gpr_1": (0, 2**31 - 1),
    "mask": (1, 2**CHANNELS - 1),
    "channel": (0, CHANNELS - 1),
    "bank": (0, 2**15 - 1),
    "row": (0, 2**29 - 1),  # from there on the peer keeps the tables of its activation functions
    "register": (0, 2**31 - 1),
    "value": (0, 2**31 - 1),
}
_LABELS: Final = {"gpr": "GPR", "gpr_1": "second GPR", "mask": "channel mask", "register": "CFR"}
_DEFAULTS: Final = {"opsize": 1, "mask": 0}

INSTRUCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "WR_SBK": ("gpr", "mask", "bank", "row"),
    "WR_ABK": ("gpr", "mask", "row"),
    "WR_GB": ("opsize", "gpr", "mask"),
    "WR_BIAS": ("gpr", "mask"),
    "RD_MAC": ("gpr", "mask"),
    "RD_AF": ("gpr", "mask"),
    "RD_SBK": ("gpr", "mask", "bank", "row"),
    "COPY_BKGB": ("opsize", "mask", "bank", "row"),
    "COPY_GBBK": ("opsize", "mask", "bank", "row"),
    "MAC_SBK": ("opsize", "mask", "bank", "row"),
    "MAC_ABK": ("opsize", "mask", "row"),
    "AF": ("mask",),
    "EWMUL": ("opsize", "mask", "row"),
    "EWADD": ("opsize", "gpr", "gpr_1"),
    "SYNC": (),
    "EOC": (),
    "W MEM": ("channel", "bank", "row"),
    "R MEM": ("channel", "bank", "row"),
    "W GPR": ("gpr",),
    "R GPR": ("gpr",),
    "W CFR": ("register", "value"),
}
"""Instruction -> its fields, in the order of the line."""

NAMES: Final = tuple(INSTRUCTIONS)
_INDEX: Final = {name: position for position, name in enumerate(NAMES)}
_FIELDS: Final = ("opsize", "gpr", "gpr_1", "mask", "channel", "bank", "row", "register", "value")
_ONE_CHANNEL: Final = ("WR_ABK",)


def read_isr(path: PathLike, chunk: int = 1 << 16, limits: Limits = DEFAULT_LIMITS) -> Iterator[NDArray[np.void]]:
    """The instructions of a trace as ISR tables of at most ``chunk`` rows; nothing after ``EOC`` is read.

    Raises FormatError naming the line of an instruction that is none, or the file where it ends without ``EOC``.
    """
    check_regular(path)
    return _chunks(path, chunk, limits)


def _chunks(path: PathLike, chunk: int, limits: Limits) -> Iterator[NDArray[np.void]]:
    rows: list[tuple[int, ...]] = []
    for line, fields in numbered_fields(path, " ", limits):
        try:
            rows.append((line, *_instruction(fields)))
        except LineProblem as problem:
            raise FormatError(path, line, str(problem)) from None
        ended = NAMES[rows[-1][1]] == "EOC"
        if ended or len(rows) == chunk:
            yield np.array(rows, ISR)
            rows = []
        if ended:
            return
    raise FormatError(path, None, "ends without EOC")


def _instruction(fields: list[bytes]) -> tuple[int, ...]:
    if len(fields) < 2:
        raise LineProblem(f"{printable(fields[0])} alone is no instruction, expected AiM, R or W and what to do")
    kind, word = fields[0].decode("latin-1"), fields[1].decode("latin-1")
    name = f"{kind} {word}" if kind in ("R", "W") else word.removeprefix("ISR_")
    if kind == "AiM" and name == "WR_AFLUT":
        raise LineProblem("WR_AFLUT is not supported, neither here nor by aim_simulator")
    if kind not in ("AiM", "R", "W") or name not in INSTRUCTIONS or (kind == "AiM") == (" " in name):
        raise LineProblem(f"unknown instruction {printable(kind)} {printable(word)}")
    wanted = INSTRUCTIONS[name]
    counted(fields[2:], f"{name} {' '.join(_LABELS.get(field, field) for field in wanted)}".rstrip(), len(wanted))
    values = {field: _DEFAULTS.get(field, -1) for field in _FIELDS}
    for field, text in zip(wanted, fields[2:], strict=True):
        least, most = _BOUNDS[field]
        values[field] = number(text, _LABELS.get(field, field), most)
        if values[field] < least:
            raise LineProblem(f"{_LABELS.get(field, field)} {printable(text)} is below {least}")
    if name in _ONE_CHANNEL and values["mask"].bit_count() != 1:
        raise LineProblem(f"{name} goes to one channel, the channel mask {values['mask']:#x} has more")
    return (_INDEX[name], *[values[field] for field in _FIELDS])
