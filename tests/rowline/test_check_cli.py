"""``rowline check``: which kind of file it is, whether it is sound, and that nothing bad in it does harm."""

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rowline.arch import loader
from rowline.arch.loader import list_devices, list_gpus, list_presets, list_stacks
from rowline.checking import Kind, Verdict, check_target
from rowline.cli import _guard, app
from rowline.sweeps.store import Record, Store

from .runs import change_stats, made

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ROOT / "arch" / "presets"
MODEL = "name: tiny\nn_layers: 2\nd_model: 64\nn_heads: 4\nn_positions: 128\n"
LOG = "clk,cmd,rank,bank_group,bank,row,column\n0,ACT,0,0,0,1,-1\n100,RD,0,0,0,1,0\n"
EARLY = LOG.replace("100,RD", "1,RD")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for cached in (loader._load_system, loader._load_device, loader._load_gpu, loader._load_stack):
        cached.cache_clear()  # each test has an a.yaml of its own
    return tmp_path


def rowline(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, as :func:`rowline.cli.main` would give them."""
    codes: list[int] = []
    code = _guard(lambda: codes.append(app([str(arg) for arg in args], standalone_mode=False) or 0))
    out, err = capsys.readouterr()
    return code or codes[0], out, err


# what it is


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        ("a.yaml", "arch: aim\nworkload: gpt2-medium\n", "run", "a run configuration"),
        ("a.yaml", "prompt_tokens: 3\n", "run", "a run configuration"),
        ("config", "arch: h200\n", "run", "a run configuration"),
        ("a.yaml", "axes: [{key: channels, values: [4, 8]}]\n", "space", "a sweep space"),
        ("a.yaml", "extends: system/aim\n", "system", "a system"),
        ("a.yaml", "extends: dram/ddr5-4800\n", "device", "a DRAM device"),
        ("a.yaml", "extends: gpu/h200\npower: {cap: 500 W}\n", "gpu", "a GPU"),
        ("a.yaml", "extends: stack/cublas-hopper\n", "stack", "a software stack"),
        ("a.yaml", MODEL, "model", "a model"),
        ("a.yaml", "read_queue: 64\n", "controller", "a memory controller"),
        ("a.yml", "extends: host/pim-gpt-asic\n", "host", "a host ASIC"),
    ],
)
def test_a_file_is_told_by_its_keys(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, kind: str, words: str
) -> None:
    (folder / name).write_text(text)
    assert rowline(capsys, "check", name) == (0, f"{name}: {words}, sound\n", "")
    code, out, err = rowline(capsys, "check", name, "--json")
    assert (code, err, json.loads(out)) == (0, "", {"target": name, "kind": kind, "sound": True, "problems": []})
    assert rowline(capsys, "check", name, "--as", kind)[0] == 0
    assert rowline(capsys, "check", name, "--as", "run" if kind != "run" else "gpu")[0] == 2


FILES = [
    *(("system", f"system/{name}") for name in list_presets("system")), *(("gpu", f"gpu/{name}") for name in list_gpus()),
    *(("stack", f"stack/{name}") for name in list_stacks()), *(("host", f"host/{name}") for name in list_presets("host")),
    *(("device", f"dram/{name}" if name in list_presets("dram") else f"pim/{name}") for name in list_devices()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), FILES, ids=[name for _, name in FILES])
def test_every_preset_is_sound_and_told(kind: Kind, name: str) -> None:
    assert check_target(str(PRESETS / f"{name}.yaml")) == Verdict(str(PRESETS / f"{name}.yaml"), kind, [])


def test_the_example_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = rowline(capsys, "check", ROOT / "examples" / "pim_banks.yaml")
    assert code == 0 and out.endswith("a sweep space, sound\n")


# what is wrong


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("arch: aim\nworkloadd: x\n", ['a.yaml:2  workloadd: unknown key; did you mean "workload"?']),
        ("wrkload: x\n", ['a.yaml:1  wrkload: unknown key; did you mean "workload"?']),
        ("prompt_tokens: 1\narch: aimm\n", ['a.yaml:2  arch: unknown system "aimm"; did you mean "aim"?']),
        ("arch: aim\nworkload: gpt3-xxl\n", ['a.yaml:2  workload: unknown workload "gpt3-xxl"; did you mean "gpt3-xl"?']),
        ("arch: aim\ngenerated_tokens: 5000\n", ["a.yaml:2  generated_tokens: gpt2-small: 1 prompt + 5000 generated"]),
        ("arch: h200\ngpu:\n  stack: cublas-ampere\n", ["a.yaml:3  gpu.stack: --stack cublas-ampere: is for ampere"]),
        ("arch: t4\ngpu:\n  dtype: bf16\n", ["a.yaml:3  gpu.dtype: --dtype bf16: "]),
        ("overrides:\n  device.timing.tRPP: 3 ns\n", ['a.yaml:2  device.timing.tRPP: unknown key; did you mean "tRP"?']),
        ("generated_tokens: 0\n", ["a.yaml:1  generated_tokens: "]),
        ("axes:\n  - key: channelss\n    values: [1]\n", ["a.yaml:2  axes.0.key: unknown key: pim-gpt has no"]),
        ("extends: system/aim\nchannels: -3\ndevice: {timing: {tRP: 4}}\n",
         ["a.yaml:2  channels: ", "a.yaml:3  device.timing.tRP: needs a unit of time"]),
        (MODEL.replace("n_heads: 4", "n_heads: 5"), ["a.yaml:1: d_model 64 is not a multiple of n_heads 5"]),
        ("read_queue: 2000\n", ["a.yaml:1  read_queue: at most 1024 requests"]),
        ("foo: 1\nbar: 2\n", ["a.yaml:1: its keys (foo, bar) do not tell what it is; say --as run, space"]),
        ("name: x\n", ["a.yaml:1: its keys (none) do not tell what it is"]),
    ],
)  # fmt: skip
def test_problems_name_file_line_and_key(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, problems: list[str]
) -> None:
    (folder / "a.yaml").write_text(text)
    code, out, err = rowline(capsys, "check", "a.yaml")
    lines = err.splitlines()
    assert code == 2 and len(lines) == len(problems), err
    assert all(line.startswith(f"rowline: {problem}") for line, problem in zip(lines, problems, strict=True)), err
    assert out == "" or (out.startswith("a.yaml: a") and "not sound" in out)
    code, out, err = rowline(capsys, "check", "a.yaml", "--json")
    answer = json.loads(out)
    assert (code, err, answer["sound"]) == (2, "", False)
    assert [f"rowline: {p}"[:2000] for p in answer["problems"]] == lines


def test_a_run_says_where_its_file_is_wrong_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text("prompt_tokens: 1\nworkload: gpt3-xxl\n")
    assert rowline(capsys, "run", "a.yaml")[2].startswith('rowline: a.yaml:2  workload: unknown workload "gpt3-xxl"')
    assert rowline(capsys, "run", "a.yaml", "--workload", "gpt2-smal")[2].startswith('rowline: unknown workload "gpt2-smal"')


def hostile(folder: Path) -> None:
    """Files that no one should have to open."""
    (folder / "empty.yaml").write_text("")
    (folder / "binary.yaml").write_bytes(b"\x7fELF\xff\xfe\x00")
    (folder / "latin.yaml").write_bytes("arch: é\n".encode("latin-1"))
    (folder / "bomb.yaml").write_text("a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30)))
    (folder / "deep.yaml").write_text("arch: " + "[" * 5000)
    (folder / "tag.yaml").write_text("arch: !!python/object/apply:os.system [id]\n")
    (folder / "huge.yaml").write_bytes(b"arch: aim\n" * 200_000)
    (folder / "line.yaml").write_text("arch: " + "x" * 100_000)
    (folder / "nodes.yaml").write_text("arch: [" + "1,\n" * 50_000 + "]")
    (folder / "twice.yaml").write_text("arch: aim\narch: aim\n")
    (folder / "two.yaml").write_text("arch: aim\n---\narch: aim\n")
    (folder / "list.yaml").write_text("- arch\n")
    (folder / "escape.yaml").write_text('"ar\\e[31mch": 1\n')
    (folder / "loop.yaml").write_text("extends: loop.yaml\n")
    (folder / "lost.yaml").write_text("extends: nope.yaml\n")
    (folder / "folder").mkdir()
    (folder / "e\x1b[31m\n.yaml").write_text("arch: 1\n")
    (folder / "e.csv").write_text("")
    (folder / "b.parquet").write_bytes(os.urandom(1000))
    (folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (folder / "gone.yaml").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.yaml")
    os.mkfifo(folder / "pipe.csv")


HOSTILE: dict[str, tuple[tuple[str, ...], str]] = {
    "empty": (("empty.yaml",), "empty.yaml:1: empty"),
    "binary": (("binary.yaml",), "binary.yaml: not UTF-8"),
    "Latin-1": (("latin.yaml",), "latin.yaml: not UTF-8"),
    "aliases": (("bomb.yaml",), "bomb.yaml:1: anchors (&a)"),
    "deep": (("deep.yaml",), "deep.yaml:1"),
    "tag": (("tag.yaml",), "tag.yaml:1: tags"),
    "huge": (("huge.yaml",), "huge.yaml: larger than 1000000 bytes"),
    "long line": (("line.yaml",), "line.yaml:1: line longer"),
    "many values": (("nodes.yaml",), "more than 20000 values"),
    "a key twice": (("twice.yaml",), "twice.yaml:2  arch: duplicate key"),
    "two documents": (("two.yaml",), "two.yaml:2: only one YAML document"),
    "a list": (("list.yaml",), "list.yaml:1: not a mapping"),
    "escape in a key": (("escape.yaml",), "escape.yaml:1"),
    "escape in a name": (("e\x1b[31m\n.yaml",), "e?[31m?.yaml:1  arch: unknown system"),
    "extends itself": (("loop.yaml",), "extends: more than 8 levels"),
    "extends nothing": (("lost.yaml",), "nope.yaml: No such file"),
    "a folder of nothing": (("folder",), "folder: neither a run folder (no stats.json) nor a study"),
    "nothing": (("nope.yaml",), "nope.yaml: no such file or folder"),
    "a link to nothing": (("gone.yaml",), "gone.yaml: no such file or folder"),
    "below a file": (("empty.yaml/x",), "empty.yaml/x: no such file or folder"),
    "a name too long": (("x" * 5000,), "File name too long"),
    "not a name in UTF-8": (("\udcff.yaml",), "?.yaml: no such file or folder"),
    "a device": (("/dev/zero",), "/dev/zero: not a regular file"),
    "a pipe": (("pipe.yaml",), "pipe.yaml: not a regular file"),
    "a pipe for a log": (("pipe.csv", "--device", "ddr4-2400"), "pipe.csv: not a regular file"),
    "a log of which device": (("e.csv",), "e.csv: a command log is judged against a device; say which with --device"),
    "a log of an unknown device": (("e.csv", "--device", "ddr9"), 'unknown device "ddr9"'),
    "an empty log": (("e.csv", "--device", "ddr4-2400"), "e.csv: holds no command"),
    "noise for a log": (("b.parquet", "--device", "ddr4-2400"), "b.parquet: "),
    "a cut log": (("cut.csv.gz", "--device", "ddr4-2400"), "cut.csv.gz: "),
    "no log": (("nope.csv", "--device", "ddr4-2400"), "nope.csv: no such file or folder"),
    "a device for a run": (("twice.yaml", "--as", "run", "--device", "ddr4-2400"), "--device is for a command log"),
    "a change to a model": (("twice.yaml", "--as", "model", "--set", "n_layers=3"), "--set: not with a model"),
    "a study in a file": (("twice.yaml", "--as", "study"), "twice.yaml: no such folder"),
    "a study in a folder of nothing": (("folder", "--as", "study"), "folder: no study there"),
    "a run in a file": (("twice.yaml", "--as", "run-folder"), "twice.yaml/stats.json: Not a directory"),
    "an unknown kind": (("twice.yaml", "--as", "runn"), "runn"),
    "a URL of no server": (("postgresql://me:secret@127.0.0.1:1/x#y",), "rowline: postgresql://127.0.0.1:1/x#y: "),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_it_is_one_line_says_so_at_once(folder: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    hostile(folder)
    args, part = HOSTILE[case]
    begin = time.process_time()
    code, out, err = rowline(capsys, "check", *args)
    assert time.process_time() - begin < 1.0
    assert code == (5 if "postgresql" in args[0] else 2)
    assert part in err and err.startswith("rowline: ") and err.endswith("\n") and err.count("\n") == 1, err
    assert "\x1b" not in out + err and "secret" not in out + err and "internal error" not in err
    assert out == "" or (out.count("\n") == 1 and "not sound: 1 problem" in out)


@pytest.mark.parametrize("args", [("bomb.yaml",), ("e\x1b[31m\n.yaml", "--json"), ("binary.yaml", "--json")])
def test_the_whole_command_takes_less_than_a_second(folder: Path, args: tuple[str, ...]) -> None:
    hostile(folder)
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "rowline", "check", *args], capture_output=True, text=True, timeout=60)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 1.0  # of the CPU: others may be at work here


# runs and studies


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", ["pim", "gpu"])
def test_run_folders(runs: dict[str, Path], name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(runs[name], "mine")
    assert rowline(capsys, "check", "mine") == (0, "mine: a run folder, sound\n", "")
    assert "check the folder" in rowline(capsys, "check", "mine/config.yaml")[2]
    (folder / "mine" / "ops.parquet").write_bytes(b"PAR1")
    code, _, err = rowline(capsys, "check", "mine")
    assert code == 2 and "mine/ops.parquet" in err and err.count("\n") == 1
    (folder / "mine" / "stats.json").write_text('{"arch": NaN}')
    code, _, err = rowline(capsys, "check", "mine")
    assert code == 2 and "mine/stats.json: not valid JSON" in err and err.count("\n") == 1
    (folder / "mine" / "stats.json").unlink()
    assert "mine/stats.json: No such file" in rowline(capsys, "check", "mine")[2]


@pytest.mark.parametrize("name", ["pim", "gpu"])
def test_a_run_whose_parts_do_not_fit(runs: dict[str, Path], name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(runs[name], "mine")
    change_stats(Path("mine"), lambda stats: stats.update(latency_s=2 * stats["latency_s"]))
    code, out, err = rowline(capsys, "check", "mine")
    assert code == 2 and out.startswith("mine: a run folder, not sound: ")
    assert "rowline: mine: sum of time by operation: " in err and ", expected = " in err
    code, out, err = rowline(capsys, "check", "mine", "--json")
    assert (code, err, json.loads(out)["sound"]) == (2, "", False) and len(json.loads(out)["problems"]) >= 4


def test_parts_of_a_folder_are_named(runs: dict[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(folder / "banks") as store:
        store.set_note("study", {"name": "banks"})
        store.put(Record("id0", 0, {"channels": "1"}, {"run": {}}, {"tpot": 1.0}))
        store.export_parquet(folder / "banks" / "trials.parquet")
    for kind in ("pim", "gpu"):
        shutil.copytree(runs[kind], kind)
    shutil.copy("pim/stats.json", "other.json")
    for path, what, where in (
        ("pim/ops.parquet", "the operations of a run", "pim"), ("gpu/ops.parquet", "the kernels of a run on a GPU", "gpu"),
        ("pim/stats.json", "the results of a run", "pim"), ("banks/trials.parquet", "the trials of a study", "banks"),
        ("banks/study.db", "the database of a study", "banks"), ("other.json", "the results of a run", "."),
    ):  # fmt: skip
        expected = (2, "", f"rowline: {path}: {what}; check takes the folder: rowline check {where}\n")
        assert rowline(capsys, "check", path) == expected
        assert rowline(capsys, "check", path, "--device", "ddr4-2400") == expected


def test_studies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(folder / "banks") as store:
        store.set_note("study", {"name": "banks"})
        store.put(Record("id0", 0, {"channels": "1"}, {"run": {}}, {"tpot": 1.0}))
    assert rowline(capsys, "check", "banks") == (0, "banks: a study, sound\n", "")
    with sqlite3.connect(folder / "banks" / "study.db") as database:
        database.execute("""UPDATE trials SET objectives = '{"tpot": 0.5}'""")
    database.close()
    code, out, err = rowline(capsys, "check", "banks")
    assert (code, out) == (3, "banks: a study, not sound: 1 problem\n")
    assert "id0" in err and err.count("\n") == 1
    code, out, err = rowline(capsys, "check", "banks", "--json")
    assert (code, err) == (3, "") and json.loads(out)["sound"] is False and len(json.loads(out)["problems"]) == 1


# logs


def test_logs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.csv").write_text(LOG)
    (folder / "early.csv").write_text(EARLY)
    code, out, err = rowline(capsys, "check", "good.csv", "--device", "ddr4-2400")
    assert (code, err) == (0, "") and "0 violation(s)" in out
    code, out, err = rowline(capsys, "check", "early.csv", "--device", "ddr4-2400", "--json")
    answer = json.loads(out)
    assert (code, err, answer["kind"], answer["sound"], answer["violations"]) == (1, "", "log", False, 1)
    assert answer["problems"][0].startswith("early.csv:3: ") and answer["by_rule"] == {"tRCDRD": 1}
    assert rowline(capsys, "check", "early.csv", "--device", "ddr4-2400")[0] == 1
    assert rowline(capsys, "check", "early.csv", "--as", "log", "--device", "ddr4-2400", "--set", "timing.tRCDRD=1 ck")[0] == 0
    code, _, err = rowline(capsys, "check", "good.csv", "--device", "ddr4-2400", "--set", "timing.tRCDD=1 ck")
    assert code == 2 and 'unknown key; did you mean "tRCD' in err
