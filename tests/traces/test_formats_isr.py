"""AiM instruction traces: what each line says, and every bad line by its number."""

import gzip
from pathlib import Path

import pytest
from rowline.traces.formats.aim_isr import INSTRUCTIONS, NAMES, read_isr
from rowline.traces.formats.files import FormatError

FIELDS = ("opsize", "gpr", "gpr_1", "mask", "channel", "bank", "row", "register", "value")
SAMPLES = {"opsize": 3, "gpr": 4, "gpr_1": 5, "mask": 1, "channel": 7, "bank": 8, "row": 9, "register": 2, "value": 1}


def read(path: Path) -> list[tuple[int, ...]]:
    return [row for chunk in read_isr(path, chunk=2) for row in chunk.tolist()]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "EOC"])
def test_every_instruction(tmp_path: Path, name: str) -> None:
    wanted = INSTRUCTIONS[name]
    words = [name if " " in name else f"AiM {name}", *[str(SAMPLES[field]) for field in wanted]]
    (tmp_path / "x").write_text(" ".join(words) + "\nAiM EOC\n")
    instruction, end = read(tmp_path / "x")
    empty = {"opsize": 1, "mask": 0}
    expected = [SAMPLES[field] if field in wanted else empty.get(field, -1) for field in FIELDS]
    assert instruction == (1, NAMES.index(name), *expected)
    assert end == (2, NAMES.index("EOC"), 1, -1, -1, 0, -1, -1, -1, -1, -1)


def test_what_a_line_may_look_like(tmp_path: Path) -> None:
    content = b"# set up\r\n\r\n  AiM\tISR_MAC_ABK 64  0xFFffFFff 0x10 # all\r\nAiM EOC\r\nnothing after it is read\r\n"
    (tmp_path / "x").write_bytes(gzip.compress(content))
    assert read(tmp_path / "x")[0] == (3, NAMES.index("MAC_ABK"), 64, -1, -1, 2**32 - 1, -1, -1, 16, -1, -1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("AiM", "AiM alone is no instruction, expected AiM, R or W and what to do"),
        ("LD 0x40", "unknown instruction LD 0x40"),
        ("AiM MAC", "unknown instruction AiM MAC"),
        ("aim MAC_ABK 64 1 0", "unknown instruction aim MAC_ABK"),
        ("AiM ISR_ISR_EOC", "unknown instruction AiM ISR_ISR_EOC"),
        ("R MAC_ABK 64 1 0", "unknown instruction R MAC_ABK"),
        ("R CFR 0", "unknown instruction R CFR"),
        ("W EOC", "unknown instruction W EOC"),
        ("AiM \x1b[2J", "unknown instruction AiM \\x1b[2J"),
        ("AiM WR_AFLUT 4", "WR_AFLUT is not supported, neither here nor by aim_simulator"),
        ("AiM MAC_ABK 64 1", "2 fields, expected 3: MAC_ABK opsize channel mask row"),
        ("AiM MAC_ABK 64 1 0 0", "4 fields, expected 3: MAC_ABK opsize channel mask row"),
        ("AiM SYNC 1", "1 field, expected 0: SYNC"),
        ("AiM WR_SBK 0 1 2", "3 fields, expected 4: WR_SBK GPR channel mask bank row"),
        ("AiM EWADD 4 0", "2 fields, expected 3: EWADD opsize GPR second GPR"),
        ("R MEM 0 1", "2 fields, expected 3: R MEM channel bank row"),
        ("W CFR 0", "1 field, expected 2: W CFR CFR value"),
        ("AiM MAC_ABK x 1 0", "opsize x is no whole number"),
        ("AiM MAC_ABK 0 1 0", "opsize 0 is below 1"),
        ("AiM MAC_ABK 65537 1 0", "opsize 65537 is beyond 65536"),
        ("AiM MAC_ABK 64 0 0", "channel mask 0 is below 1"),
        ("AiM MAC_ABK 64 0x100000000 0", "channel mask 0x100000000 is beyond 4294967295"),
        ("AiM MAC_ABK 64 -1 0", "channel mask -1 is negative"),
        ("AiM MAC_ABK 64 1 -1", "row -1 is negative"),
        ("AiM MAC_ABK 64 1 536870912", "row 536870912 is beyond 536870911"),
        ("AiM WR_ABK 0 3 0", "WR_ABK goes to one channel, the channel mask 0x3 has more"),
        ("R MEM 32 0 0", "channel 32 is beyond 31"),
        ("W GPR 1.5", "GPR 1.5 is no whole number"),
        ("AiM,EOC", "AiM,EOC alone is no instruction, expected AiM, R or W and what to do"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "x").write_text(f"# a\nAiM SYNC\nAiM SYNC\n\n{line}\nAiM EOC\n")
    with pytest.raises(FormatError) as error:
        read(tmp_path / "x")
    assert str(error.value) == f"{tmp_path / 'x'}:5: {problem}"


def test_a_trace_without_an_end(tmp_path: Path) -> None:
    for content in ("", "AiM SYNC\n"):
        (tmp_path / "x").write_text(content)
        with pytest.raises(FormatError, match="x: ends without EOC$"):
            read(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="y: no such file"):
        read_isr(tmp_path / "y")
