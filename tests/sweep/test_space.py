"""SPACE.yaml: what is accepted means what it says; what is wrong is refused in one line that names file, line and key."""

import random
import time
from pathlib import Path

import pytest
from rowline.arch.yamltree import ConfigError
from rowline.cli import _guard, app
from rowline.sweeps.space import load_space

EXAMPLE = Path(__file__).parents[2] / "examples" / "pim_banks.yaml"
TEXT = EXAMPLE.read_text()
AXES = "axes:\n  - {key: channels, values: [8, 16]}\n"


def loaded(folder: Path, text: str):
    file = folder / "space.yaml"
    file.write_text(text)
    return load_space(file)


def axis(folder: Path, body: str) -> list[str]:
    return list(loaded(folder, f"axes:\n  - {body}\n").axes[0].texts)


def test_values_in_their_one_spelling(tmp_path: Path) -> None:
    assert axis(tmp_path, "{key: host.clock, values: [1000 MHz, 0.5 GHz]}") == ["1 GHz", "500 MHz"]
    assert axis(tmp_path, "{key: device.timing.tRP, values: [12000 ps, 24 ck]}") == ["12 ns", "24 ck"]
    assert axis(tmp_path, "{key: workload, values: [gpt2-small, gpt2-medium]}") == ["gpt2-small", "gpt2-medium"]
    assert axis(tmp_path, "{key: mapping.lm_head_on_pim, values: [true, no]}") == ["true", "false"]
    assert axis(tmp_path, "{key: device.refresh.mode, values: [all_bank, 'off']}") == ["all_bank", "off"]


def test_the_space_of_the_docs(tmp_path: Path) -> None:
    (text,) = (part.split("```")[0] for part in (EXAMPLE.parents[1] / "docs" / "sweep.md").read_text().split("```yaml\n")[1:])
    space = loaded(tmp_path, text)
    assert [len(a.texts) for a in space.axes] == [3, 4, 5, 2] and [g.limit for g in space.goals] == [5e-4, None, None]


def test_ranges(tmp_path: Path) -> None:
    assert axis(tmp_path, "{key: channels, range: {from: 2, to: 9, step: 3}}") == ["2", "5", "8"]
    assert axis(tmp_path, "{key: device.timing.tRP, range: {from: 12 ns, to: 13 ns, step: 500 ps}}") == ["12 ns", "12.5 ns",
        "13 ns"]
    assert axis(tmp_path, "{key: host.clock, log: {from: 125 MHz, to: 1 GHz, count: 4}}") == ["125 MHz", "250 MHz", "500 MHz",
        "1 GHz"]
    assert axis(tmp_path, "{key: channels, log: {from: 1, to: 4, count: 5}}") == ["1", "2", "3", "4"]  # rounded: 1 1.4 2 2.8 4


def test_options_go_over_the_method(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(AXES + "method: {name: random, trials: 5, seed: 7}\n")
    assert load_space(tmp_path / "s.yaml", {"trials": 9, "seed": None}).method.model_dump() == {
        "name": "random", "trials": 9, "seed": 7, "batch": 16,
    }  # fmt: skip


def test_base_takes_short_and_long_names(tmp_path: Path) -> None:
    gpu = "axes:\n  - {key: generated_tokens, values: [2, 4]}\nbase: {arch: h100-sxm, launch: eager, gpu: {dtype: fp16}}\n"
    base = loaded(tmp_path, gpu).base
    assert base.gpu is not None and (base.gpu.launch, base.gpu.dtype) == ("eager", "fp16")


def test_limits_are_in_the_units_of_the_stats(tmp_path: Path) -> None:
    goals = "objectives: [{key: tpot, limit: 2 ms}, {key: energy, limit: 3}, {key: edp, direction: max}]\n"
    found = loaded(tmp_path, AXES + goals).goals
    limits = [(g.stat, g.limit, g.maximize) for g in found]
    assert limits == [("tpot_s", 0.002, False), ("energy_j", 3.0, False), ("edp", None, True)]


BAD = {
    "unknown key": (AXES + "axess: 1\n", ":3  axess: unknown key; did you mean"),
    "no axes": ("axes: []\n", ":1  axes: "),
    "neither values nor range": ("axes:\n  - {key: channels}\n", ":2  axes.0: needs one of values, range and log, got none"),
    "two kinds": ("axes:\n  - {key: channels, values: [8], log: {from: 1, to: 2, count: 2}}\n", "got values and log"),
    "unknown axis": ("axes:\n  - {key: device.timing.tRPP, values: [1 ns]}\n", ":2  axes.0.key: unknown key: pim-gpt has no"),
    "axis of a branch": ("axes:\n  - {key: device.timing, values: [1]}\n", ":2  axes.0.values.0: "),
    "axis twice": (AXES + "  - {key: channels, values: [4]}\n", ":3  axes.1.key: channels is an axis already"),
    "value without its unit": ("axes:\n  - key: host.clock\n    values:\n      - 1 GHz\n      - 1\n",
        ":5  axes.0.values.1: needs a unit"),
    "value twice": ("axes:\n  - {key: host.clock, values: [1 GHz, 1000 MHz]}\n", "axes.0.values.1: 1 GHz stands there twice"),
    "not a whole number": ("axes:\n  - {key: channels, values: [8.5]}\n", "axes.0.values.0: expected a whole number"),
    "unknown workload": ("axes:\n  - {key: workload, values: [gpt9]}\n", "axes.0.values.0: unknown workload"),
    "unknown arch": ("axes:\n  - {key: arch, values: [pimgpt]}\n", "axes.0.values.0: unknown system"),
    "range backwards": ("axes:\n  - {key: channels, range: {from: 9, to: 8, step: 1}}\n", "axes.0.range.to: is below from"),
    "step zero": ("axes:\n  - {key: channels, range: {from: 1, to: 8, step: 0}}\n", "axes.0.range.step: must be above 0"),
    "too many steps": ("axes:\n  - {key: channels, range: {from: 1, to: 2, step: 1e-9}}\n",
        "axes.0.range.step: makes 1000000001"),
    "units that do not go together": ("axes:\n  - {key: host.clock, range: {from: 1 MHz, to: 1 GHz, step: 1 ns}}\n",
        "range.step: "),
    "log from zero": ("axes:\n  - {key: channels, log: {from: 0, to: 8, count: 3}}\n", "axes.0.log.from: must be above 0"),
    "range of words": ("axes:\n  - {key: workload, range: {from: a, to: b, step: c}}\n", "axes.0.range.from: expected a number"),
    "later axis": ("axes:\n  - {key: channels, values: [8], when: host.clock > 1 GHz}\n  - {key: host.clock, values: [1 GHz]}\n",
                   ":2  axes.0.when: column 1: host.clock is this axis, or one further down"),
    "unknown name": (AXES + "constraints:\n  - channels < 9\n  - chanels < 9\n",
        ":5  constraints.1: column 1: unknown key: pim-gpt has no"),
    "no condition": (AXES + "constraints: [channels + 1]\n",
        ":3  constraints.0: column 1: needs a condition, got a plain number"),
    "time against number": (AXES + "constraints: [device.timing.tRP < 12]\n",
        'column 19: "<" between a value in s and a plain number'),
    "unknown base workload": (AXES + "base:\n  workload: gpt9\n", ":4  base.workload: unknown workload"),
    "wrong base override": (AXES + "base:\n  overrides:\n    device.timing.tRPP: 1 ns\n",
        ":5  base.overrides.device.timing.tRPP: "),
    "unknown method": (AXES + "method: {name: sobol}\n", ":3  method.name: "),
    "cost without a formula": (AXES + "objectives: [{key: cost}]\n", ":3  objectives.0.key: no specification has a cost"),
    "tpot of one token": (AXES + "base: {generated_tokens: 1}\nobjectives: [{key: tpot}]\n",
        ":4  objectives.0.key: tpot: needs decode"),
    "limit of another kind": (AXES + "objectives: [{key: energy, limit: 1 ms}]\n",
        "objectives.0.limit: a value in s, but the objective"),
    "objective twice": (AXES + "objectives: [{key: energy}, {key: energy}]\n", "objectives: energy stands there twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refused_with_place_and_key(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text)
    assert any(message in line for line in error.value.problems), error.value.problems
    assert all(line.startswith(f"{tmp_path}/space.yaml") for line in error.value.problems)


JUNK = [
    "", "-1", "0", "1e999", "nan", "*a", "&a 1", "!!python/object/apply:os.system [ls]", "[1, 2", "{", "'", '"', "\t", "\x00",
    "\x1b[31m",
    "9" * 30, "9" * 5000, "1 parsec", "null", "../../etc/passwd", "/dev/zero", "- - -", "a: b: c", "{a: {b: {c: 1}}}", "[[[[]]]]",
    "0x10", "1_000", "1 GHz GHz", "channels <", "channels" * 20, "()", "\u202e", "\U0001f4a5", "inf", "1/0", "%", "~", "?",
    "|", ">",
]  # fmt: skip


def mutated(draw: random.Random) -> str:
    """The example with one to three things wrong."""
    lines = TEXT.split("\n")
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(lines))
        kind = draw.randrange(7)
        if kind == 0:
            lines[at] = lines[at].replace(":", f": {draw.choice(JUNK)} #", 1)
        elif kind == 1:
            words = lines[at].split(" ")
            words[draw.randrange(len(words))] = draw.choice(JUNK)
            lines[at] = " ".join(words)
        elif kind == 2:
            lines.insert(at, " " * draw.randrange(8) + draw.choice(JUNK))
        elif kind == 3:
            lines.insert(at, lines[draw.randrange(len(lines))])
        elif kind == 4:
            del lines[at]
        elif kind == 5 and lines[at]:
            place = draw.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + draw.choice("xZ9:-{[\"'#,. ") + lines[at][place + 1 :]
        else:
            lines = "\n".join(lines)[: draw.randrange(1, len(TEXT))].split("\n")
        lines = lines or [""]
    return "\n".join(lines)


@pytest.mark.parametrize("part", range(10))
def test_500_malformed_spaces(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: int) -> None:
    """50 of the 500: exit 2, one line a problem that names the file, no traceback, in less than 2 s each."""
    draw, file, refused = random.Random(part), tmp_path / "bad.yaml", 0
    while refused < 50:
        file.write_text(mutated(draw))
        try:
            load_space(file)
            continue  # still a space
        except ConfigError:
            refused += 1
        begin = time.perf_counter()
        code = _guard(lambda: app(["sweep", str(file), "--dry-run"], standalone_mode=False))
        took, (out, err) = time.perf_counter() - begin, capsys.readouterr()
        assert code == 2 and out == "" and took < 2, (file.read_text(), out, err)
        lines = err.splitlines()
        assert lines and all(line.startswith(f"rowline: {file}") for line in lines), (file.read_text(), err)
        assert "Traceback" not in err and "internal error" not in err and "\x1b" not in err
        assert all(len(line) < 2100 for line in lines)


def test_bytes_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw, file = random.Random(1), tmp_path / "bad.yaml"
    for _ in range(20):
        data = bytearray(TEXT.encode())
        for _ in range(3):
            data[draw.randrange(len(data))] = draw.choice((0, 0x80, 0xFF, 0xC3))
        file.write_bytes(data)
        assert _guard(lambda: app(["sweep", str(file), "--dry-run"], standalone_mode=False)) == 2
        assert str(file) in capsys.readouterr().err
    for odd in (tmp_path, tmp_path / "missing.yaml", Path("/dev/zero")):
        assert _guard(lambda odd=odd: app(["sweep", str(odd)], standalone_mode=False)) == 2
        assert str(odd) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "0"], "--trials 0"), (["--jobs", "0"], "--jobs 0"), (["--timeout", "nan"], "--timeout nan"),
        (["--seed", "-1"], "--seed -1"), (["--memory", "4"], "--memory 4: needs a unit"), (["--memory", "1 kB"], "64 MiB"),
        (["--engine", "local"], "--engine local: expected dask://host:port"), (["again"], "expected one SPACE.yaml"),
        (["--resume"], "no study to resume"), (["--jobs", "many"], "jobs"),
    ],
)  # fmt: skip
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    words = ["sweep", str(EXAMPLE), "--out", str(tmp_path / "study"), *options]
    assert _guard(lambda: app(words, standalone_mode=False)) == 2
    assert message in capsys.readouterr().err
