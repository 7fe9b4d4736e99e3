"""AiM instructions: the expansion is the peer's command sequence, and an instruction out of bounds is named by its line."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rowline.arch.loader import load_system
from rowline.arch.spec import Level, RowEffect
from rowline.sim.isr import AF_ROWS, Expansion, IsrError, expand
from rowline.traces.commands import CommandStream, expand_runs
from rowline.traces.formats.aim_isr import read_isr
from rowline.traces.formats.commandlog import read_command_log

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram" / "aim_simulator"
CASES = sorted(file.name.removesuffix(".isr.trace.gz") for file in DATA.glob("*.isr.trace.gz"))
DEVICE = load_system("aim", ("device.refresh.mode=off",)).device
STANDARD = DEVICE.dram_standard
NAMES = [command.name for command in STANDARD.commands]
ACCESSES = (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE)
REORDERED = "micro_mem_rw"
"""Plain reads and writes, which the peer's scheduler reorders."""

Placed = tuple[str, int, int, int, int]


def of_text(tmp_path: Path, *lines: str) -> Expansion:
    path = tmp_path / "x.trace"
    path.write_text("\n".join([*lines, "AiM EOC"]) + "\n")
    return expand(read_isr(path), DEVICE)


def placed(name: str, group: int, bank: int, row: int, col: int) -> Placed:
    """A command as far as its footprint and its effect on rows make it matter; the peer prints more than that."""
    command = STANDARD.commands[STANDARD.index[name]]
    group = group if command.footprint <= Level.BANKGROUP else -1
    bank = bank if command.footprint == Level.BANK else -1
    row = row if command.row in (RowEffect.OPEN, *ACCESSES) else -1
    return name, group, bank, row, col if command.row in ACCESSES or name == "WRGB" else -1


def of_stream(stream: CommandStream) -> list[Placed]:
    size = DEVICE.organization.banks_per_group.value
    return [
        placed(NAMES[cmd], unit // size, unit % size, row, col)
        for cmd, unit, row, col in expand_runs(stream)[["cmd", "unit", "row", "col"]].tolist()
    ]


def of_peer(case: str) -> dict[int, list[Placed]]:
    log = read_command_log(DATA / f"{case}.cmd.csv.gz")
    table: NDArray[np.void] = np.concatenate(list(log))
    found: dict[int, list[Placed]] = {}
    for channel, cmd, group, bank, row, col in table[["channel", "cmd", "bank_group", "bank", "row", "column"]].tolist():
        found.setdefault(channel, []).append(placed(log.names[cmd], group, bank, row, col))
    return found


def commands(expansion: Expansion, channel: int = 31) -> list[tuple[str, int, int, int, int]]:
    rows = expansion.streams[channel][["cmd", "unit", "row", "col", "count"]].tolist()
    return [(NAMES[cmd], *rest) for cmd, *rest in rows]


def test_there_are_cases() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no peer data in {DATA}")
    assert len(CASES) == 11


@pytest.mark.parametrize("case", [case for case in CASES if case != REORDERED])
def test_command_for_command(case: str) -> None:
    ours = expand(read_isr(DATA / f"{case}.isr.trace.gz"), DEVICE)
    theirs = of_peer(case)
    assert ours.streams.keys() == theirs.keys()
    for channel, stream in ours.streams.items():
        assert of_stream(stream) == theirs[channel], channel


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")
def test_plain_requests_in_another_order() -> None:
    """The peer's accesses are ours, in another order and with other rows opened in between."""
    (ours,) = expand(read_isr(DATA / f"{REORDERED}.isr.trace.gz"), DEVICE).streams.values()
    (theirs,) = of_peer(REORDERED).values()

    def accesses(found: list[Placed]) -> Counter[tuple[str, int, int, int]]:
        return Counter((name, group, bank, row) for name, group, bank, row, _ in found if name in ("RD", "WR"))

    assert accesses(of_stream(ours)) == accesses(theirs)
    assert sum(accesses(theirs).values()) == 128


def test_mask_bits_are_channels_from_the_top(tmp_path: Path) -> None:
    found = of_text(tmp_path, "AiM MAC_ABK 2 0x80000001 5", "R MEM 7 3 4")
    assert sorted(found.streams) == [0, 7, 31]
    assert commands(found, 0) == commands(found, 31) == [("ACT16", 0, 5, -1, 1), ("MAC16", 0, 5, 0, 2)]
    assert commands(found, 7) == [("ACT", 3, 4, -1, 1), ("RD", 3, 4, 0, 1)]


def test_modes_are_switched_in_each_channel_by_itself(tmp_path: Path) -> None:
    found = of_text(tmp_path, "AiM WR_GB 64 0 3", "AiM MAC_ABK 64 1 0", "AiM RD_MAC 8 3", "AiM SYNC", "AiM RD_SBK 0 2 15 1")
    assert [name for name, *_ in commands(found)] == ["TMOD", "WRGB", "TMOD", "ACT16", "MAC16", "TMOD", "RDMAC16"]
    assert [name for name, *_ in commands(found, 30)] == ["TMOD", "WRGB", "RDMAC16", "TMOD", "ACT", "RD"]


def test_rows_close_when_another_is_needed(tmp_path: Path) -> None:
    found = of_text(
        tmp_path, "AiM MAC_SBK 4 1 2 7", "AiM COPY_BKGB 4 1 2 7", "AiM COPY_GBBK 4 1 2 8", "AiM WR_ABK 0 1 8", "AiM EWMUL 64 1 8"
    )
    assert commands(found) == [
        ("ACT", 2, 7, -1, 1), ("MAC", 2, 7, 0, 4), ("RDCP", 2, 7, 0, 4),
        ("PRE", 2, -1, -1, 1), ("ACT", 2, 8, -1, 1), ("WRCP", 2, 8, 0, 4),
        ("PREA", 0, -1, -1, 1), ("ACT16", 0, 8, -1, 1), ("WRA16", 0, 8, 0, 1),
        ("ACT16", 0, 8, -1, 1), ("EWMUL16", 0, 8, 0, 64),
    ]  # fmt: skip


def test_the_activation_function_is_a_row(tmp_path: Path) -> None:
    found = of_text(tmp_path, "AiM AF 1", "W CFR 2 7", "AiM ISR_AF 1", "AiM RD_AF 3 1")
    assert [row for name, _, row, *_ in commands(found) if name == "AF16"] == [AF_ROWS, AF_ROWS + 7]


def test_what_reaches_no_channel_takes_the_host_a_cycle(tmp_path: Path) -> None:
    found = of_text(tmp_path, "# set up", "W GPR 0", "", "AiM EWADD 4 0 1", "W CFR 0 1", "AiM MAC_SBK 1 1 0 0", "AiM RD_MAC 0 2")
    assert found.starts == {30: 4, 31: 3}


def test_multiply_accumulates_and_safe_places(tmp_path: Path) -> None:
    lines = ("AiM WR_BIAS 0 1", "AiM MAC_ABK 64 1 0", "AiM RD_MAC 0 1", "AiM WR_ABK 0 1 0", "AiM MAC_SBK 8 1 0 0")
    stream = of_text(tmp_path, *lines).streams[31]
    rows = [(NAMES[row["cmd"]], int(row["macs"]), int(row["safe"])) for row in stream]
    assert rows == [
        ("TMOD", 0, 1), ("WRMAC16", 0, 1), ("TMOD", 0, 0), ("ACT16", 0, 0), ("MAC16", 256, 0),
        ("TMOD", 0, 0), ("RDMAC16", 0, 0), ("TMOD", 0, 0), ("WRA16", 0, 0),
        ("ACT", 0, 1), ("MAC", 16, 0),  # WR_ABK has closed the rows
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("AiM MAC_ABK 64 1 16384", "row 16384, the device has 16384"),
        ("R MEM 0 16 0", "bank 16, the device has 16"),
        ("AiM RD_SBK 0 1 99 0", "bank 99, the device has 16"),
        ("AiM WR_GB 65 0 1", "opsize 65, rows and buffer of the device have 64 columns"),
        ("W CFR 3 0", "CFR 3 = 0; there are 0 (0..1), 1 (0..1), 2 (0..7)"),
        ("W CFR 2 8", "CFR 2 = 8; there are 0 (0..1), 1 (0..1), 2 (0..7)"),
    ],
)
def test_out_of_bounds(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(IsrError) as error:
        of_text(tmp_path, "AiM SYNC", "", line)
    assert (error.value.line, error.value.problem) == (3, problem)


def test_a_device_without_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("AiM EOC\n")
    plain = load_system("pim-gpt").device
    with pytest.raises(ValueError, match="the device has no .*AiM instructions need"):
        expand(read_isr(path), plain.model_copy(update={"pim": None}))
