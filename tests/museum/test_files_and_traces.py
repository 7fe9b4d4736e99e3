"""Traces read twice, skipped or damaged, files left half written, addresses taken apart wrongly, models that nobody can load."""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rowline.arch import standards
from rowline.arch.loader import PRESETS, list_devices, load_device
from rowline.arch.spec import DramStandard
from rowline.arch.standards import STANDARDS
from rowline.memory_log import log_header
from rowline.sim.address import AddressMap, Decoded
from rowline.traces.formats.aim_isr import read_isr
from rowline.traces.formats.commandlog import read_command_log
from rowline.traces.formats.files import FormatError
from rowline.traces.formats.logwriters import write_command_log
from rowline.traces.formats.requests import read_requests, write_requests
from rowline.traces.requests import Requests, empty_requests

from .exhibit import Exhibit, claim, hall
from .issue import issue, quiet

DDR4 = quiet("ddr4-3200")


def some_requests(number: int = 300) -> Requests:
    """Reads and writes all over the place."""
    requests = empty_requests(number)
    requests["address"] = np.random.default_rng(1).integers(0, 1 << 30, number) * 64
    requests["write"] = np.arange(number) % 3 == 0
    return requests


# damage


@dataclass(frozen=True)
class Stored:
    """How a table is written to a file and read back."""

    write: Callable[[Path], object]
    read: Callable[[Path], Any]


def no_flip_passes(stored: Stored) -> None:
    """One flipped bit anywhere either changes nothing that is read, or the file is refused."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        stored.write(path)
        whole, expected = path.read_bytes(), stored.read(path)
        rng, changed = np.random.default_rng(2), 0
        for at in rng.integers(4, len(whole), 150).tolist():
            damaged = bytearray(whole)
            damaged[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            with suppress(FormatError, pa.ArrowException, OSError, ValueError):
                changed += stored.read(path) != expected
        claim(changed == 0, "some flipped bits change the values that are read, and nothing says so")


def unverified(path: Path) -> Any:
    """Any Parquet file, checksums and digest aside."""
    return pq.read_table(path, page_checksum_verification=False, memory_map=False).to_pydict()


def write_trace(path: Path) -> None:
    """A request trace as ours are."""
    write_requests(path, [some_requests()], "parquet")


def write_log(path: Path) -> None:
    """A command log as ours are."""
    log = issue(DDR4, "; ".join(f"ACT {bank} row {bank}; RD {bank}; WR {bank}; PRE {bank}" for bank in range(16))).log
    write_command_log(path, [log], log_header(DDR4, 0), "parquet")


def trace_values(path: Path) -> list[Any]:
    """What our reader makes of a trace."""
    return [row for piece in read_requests(path, "parquet") for row in piece.tolist()]


def log_values(path: Path) -> list[Any]:
    """What our reader makes of a command log."""
    log = read_command_log(path)
    rows = [row for piece in log.issues() for row in piece.tolist()]
    return [log.names, log.header, *rows]


# traces

TRACE = "10 READ 0\n20 WRITE 5\n30 READ 9\n"


def line_by_line(read: Callable[[Path], int]) -> None:
    """As many requests as lines."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.txt"
        path.write_text(TRACE)
        number, lines = read(path), TRACE.count("\n")
    claim(number == lines, f"{lines} lines are read as {number} requests")


def ours_by_line(path: Path) -> int:
    """Requests that our reader finds."""
    return sum(len(piece) for piece in read_requests(path, "dramsim3"))


def until_end_of_file(path: Path) -> int:
    """Reads a line and submits a request as long as the file has not ended, which shows only after the last line."""
    number, request = 0, ""
    with open(path) as file:
        while True:
            line = file.readline()
            request = line or request
            number += request != ""
            if not line:
                return number


def refused(read: Callable[[Path], int]) -> None:
    """An instruction that is not modelled is an error."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.aim"
        path.write_text("AiM WR_GB 4 0 0x1\nAiM GELU 64 0x1\nAiM EOC\n")
        try:
            number = read(path)
        except FormatError as error:
            claim("unknown instruction" in str(error) and ":2:" in str(error), str(error))
        else:
            claim(False, f"of three instructions {number} are run, the unknown GELU costs nothing")


def instructions(path: Path) -> int:
    """Instructions that our reader finds."""
    return sum(len(piece) for piece in read_isr(path))


def known_instructions(path: Path) -> int:
    """The same, with a message for those that are not known."""
    kept = [line for line in path.read_text().splitlines() if "GELU" not in line]
    path.write_text("\n".join([*kept, ""]))
    return instructions(path)


def whole_or_not_at_all(write: Callable[[Path, Iterable[Requests]], object]) -> None:
    """A run that ends in an error leaves no file under the name of its result."""

    def broken() -> Iterator[Requests]:
        yield some_requests()
        raise RuntimeError("the run fails")

    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.txt"
        with suppress(RuntimeError):
            write(path, broken())
        claim(not path.exists(), "a file with part of the result stays under its name")


def straight(path: Path, chunks: Iterable[Requests]) -> None:
    """Writes under the name from the first byte."""
    with open(path, "w") as file:
        for chunk in chunks:
            file.writelines(f"{'ST' if row['write'] else 'LD'} {row['address']}\n" for row in chunk)


# addresses

Decode = Callable[[np.ndarray], Decoded]
MAP = AddressMap.of(DDR4, 1)


def one_to_one(decode: Decode) -> None:
    """Accesses of different addresses have different places, and all columns of a row are used."""
    count = 4 * DDR4.organization.columns
    places = {tuple(map(int, row)) for row in zip(*decode(64 * np.arange(count)), strict=True)}
    claim(len(places) == count, f"{count} accesses share {len(places)} places")


def deducted_twice(addresses: np.ndarray) -> Decoded:
    """The bits of a burst, which are no part of the column here, are taken out of it once more."""
    places = MAP.decode(addresses)
    return places._replace(col=places.col >> 3)


# models

Names = tuple[list[str], list[str]]


def all_there(names: Names) -> None:
    """Every standard and preset of the tree can be named, and every device runs."""
    known, devices = names
    for info in pkgutil.iter_modules(standards.__path__):
        module = import_module(f"{standards.__name__}.{info.name}")
        for each in vars(module).values():
            if isinstance(each, DramStandard):
                claim(each.name in known, f"the standard {each.name} is in the tree and not in the registry")
    for file in sorted((*PRESETS.glob("dram/*.yaml"), *PRESETS.glob("pim/*.yaml"))):
        claim(file.stem in devices, f"the preset {file.stem} is in the tree and not in the list")
    for name in devices:
        names_issued = issue(load_device(name), "ACT 0 row 1; RD 0; WR 0; PRE 0").names
        claim(names_issued == ["ACT", "RD", "WR", "PRE"], f"{name} does not run")


EXHIBITS = [
    Exhibit(
        "flipped-bit-in-a-trace", "Parquet (dram-timing 0.10)", "nine of ten flipped bits pass where checksums are not verified",
        "one flipped bit in a request trace is noticed", no_flip_passes,
        lambda: Stored(write_trace, trace_values), lambda: Stored(write_trace, unverified),
    ),
    Exhibit(
        "flipped-bit-in-a-log", "Parquet (dram-timing 0.10)", "nine of ten flipped bits pass where checksums are not verified",
        "one flipped bit in a command log is noticed", no_flip_passes,
        lambda: Stored(write_log, log_values), lambda: Stored(write_log, unverified),
    ),
    Exhibit(
        "last-line-twice", "DRAMsim3 (pim-peers defect 8)", "a trace run submits the last line twice",
        "as many requests as lines", line_by_line, lambda: ours_by_line, lambda: until_end_of_file,
    ),
    Exhibit(
        "unknown-instruction", "PIMeval, AiM model (pim-peers defect 12)", 'commands that are "not available" cost nothing',
        "an unknown instruction is refused with its line", refused, lambda: instructions, lambda: known_instructions,
    ),
    Exhibit(
        "half-a-file", "DRAMSys 5.4.0", "a fatal error came before the trace database was closed",
        "a run that fails leaves no file under its name", whole_or_not_at_all,
        lambda: lambda path, chunks: write_requests(path, chunks, "ramulator"), lambda: straight,
    ),
    Exhibit(
        "column-bits-twice", "ramulator2 #116", "the bits of a burst are deducted twice from the column",
        "different accesses have different places", one_to_one, lambda: MAP.decode, lambda: deducted_twice,
    ),
    Exhibit(
        "not-registered", "ramulator2 #122", "a model is in the tree and cannot be named",
        "every standard and preset in the tree is listed, loads and runs", all_there,
        lambda: (list(STANDARDS), list_devices()), lambda: ([name for name in STANDARDS if name != "hbm3"], list_devices()),
    ),
]  # fmt: skip

test_ours, test_seeded = hall(EXHIBITS)
