"""``rowline show``: every target, in every form, expanded or not, and names that are wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rowline.arch.loader import PRESETS, list_devices, load_device, load_system
from rowline.arch.yamltree import parse_yaml
from rowline.checking import check_target
from rowline.experiment import load_config
from rowline.sweeps.store import Record, Store

from .runs import change_stats, made, rowline

MODEL = "name: tiny\nn_layers: 2\nd_model: 64\nn_heads: 4\nn_positions: 128\nvocab_size: 1000\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(MODEL)
    return tmp_path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def study(folder: Path) -> str:
    with Store.open(folder / "out" / "banks") as store:
        objectives = [{"name": "tpot", "direction": "min", "limit": None}, {"name": "rate", "direction": "max", "limit": 5.0}]
        axes = [{"key": "channels", "values": 4}, {"key": "odd\x1b[31m", "values": 1}]
        store.set_note("study", {"name": "banks", "base": {"arch": "aim"}, "axes": axes, "objectives": objectives})
        for i in range(4):
            run = {"arch": "pim-gpt", "workload": "gpt2-small", "overrides": {"channels": str(2**i)}}
            store.put(Record(f"id{i}", i, {"channels": str(2**i)}, {"run": run}, {"tpot": 1.0 / (i + 1), "rate": float(i)}))
        store.put(Record("id9", 9, {"channels": "\x1b[31m"}, {"run": {}}, {}, {}, "failed", "died\nhere"))
    return "out/banks"


def shown(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    code, out, err = rowline(capsys, "show", *args)
    assert (code, err) == (0, ""), err
    return out


# specifications


@pytest.mark.parametrize(("what", "name"), [("arch", "aim"), ("dram", "ddr5-4800"), ("gpu", "t4"), ("stack", "cublas-turing")])
def test_yaml_and_json_say_the_same(capsys: pytest.CaptureFixture[str], what: str, name: str) -> None:
    text = shown(capsys, what, name, "-f", "json")
    assert json.loads(text)["name"] == name
    assert text == shown(capsys, what, name, "--json") == shown(capsys, what, name, "--expanded", "--format", "json")
    as_yaml = shown(capsys, what, name, "--expanded")
    assert as_yaml == shown(capsys, what, name)
    assert as_text(parse_yaml(as_yaml, "shown").plain()) == as_text(json.loads(text))


def as_text(data: Any) -> Any:
    """Plain data with every scalar as YAML writes it."""
    if isinstance(data, dict):
        return {key: as_text(value) for key, value in data.items()}
    if isinstance(data, list):
        return [as_text(each) for each in data]
    return None if data in (None, "") else str(data).lower() if isinstance(data, bool) else str(data)


@pytest.mark.parametrize("arch", ["aim", "pim-gpt", "h200"])
def test_what_show_arch_prints_is_a_file_for_a_run(folder: Path, capsys: pytest.CaptureFixture[str], arch: str) -> None:
    override = "power.cap=500 W" if arch == "h200" else "channels=16"
    (folder / f"{arch}-mine.yaml").write_text(shown(capsys, "arch", arch, "--set", override))
    verdict = check_target(f"{arch}-mine.yaml")
    assert (verdict.kind, verdict.problems) == ("gpu" if arch == "h200" else "system", [])
    (folder / "config.yaml").write_text(f"arch: {arch}-mine.yaml\nworkload: tiny.yaml\n")
    assert load_config(folder / "config.yaml", {}).arch == f"{arch}-mine.yaml"
    code, _, err = rowline(capsys, "run", "--arch", f"{arch}-mine.yaml", "--tokens", "2", "--out", "o")
    assert (code, err) == (0, "")
    config = json.loads(shown(capsys, "run", "o", "--expanded", "-f", "json"))["config"]
    if arch != "h200":
        assert config["system"]["channels"]["value"] == "16" and load_system(f"{arch}-mine.yaml").channels.value == 16
    else:
        assert config["gpu"]["power"]["cap"]["value"] == "500 W"


def test_as_written_is_the_file_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in list_devices():
        place = next(p for kind in ("dram", "pim") if (p := PRESETS / kind / f"{name}.yaml").is_file())
        assert shown(capsys, "dram", name, "--as-written") == place.read_text(encoding="utf-8")
    assert "extends:" in shown(capsys, "arch", "aim", "--as-written")
    assert shown(capsys, "arch", "h200", "--as-written") == shown(capsys, "gpu", "h200", "--as-written")
    (folder / "my.yaml").write_text("# mine\nextends: dram/ddr5-4800\nname: my\n")
    assert shown(capsys, "dram", "my.yaml", "--as-written") == "# mine\nextends: dram/ddr5-4800\nname: my\n"
    assert load_device("my.yaml").name == "my"


# workloads and mappings


def test_a_workload_in_short_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    brief = shown(capsys, "workload", "gpt2-small")
    assert "params=124439808" in brief and "123532032 + 18432 x KV" in brief
    whole = shown(capsys, "workload", "gpt2-small", "--expanded")
    assert "blocks.11.mlp.proj" in whole and "blocks.11.mlp.proj" not in brief
    data = json.loads(shown(capsys, "workload", "gpt2-small", "-f", "json"))
    assert "ops" not in data and data["params"] == 124439808 and data["passes"][0]["kv_length"] is None
    full = json.loads(shown(capsys, "workload", "gpt2-small", "--json"))
    assert full == json.loads(shown(capsys, "workload", "gpt2-small", "--expanded", "-f", "json"))
    assert {"op", "kind", "module", "inputs", "roles", "producers", "outputs", "macs", "bytes_read"} <= full["ops"][0].keys()
    for key in ("macs", "macs_per_kv", "bytes_read", "bytes_written"):
        assert sum(op[key] for op in full["ops"]) == sum(kind[key] for kind in full["passes"][0]["kinds"])
    d, layers, vocab = 768, 12, 50257
    assert sum(op["macs"] for op in full["ops"]) == layers * 12 * d * d + vocab * d
    assert sum(op["macs_per_kv"] for op in full["ops"]) == layers * 2 * d


def test_a_workload_with_a_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(shown(capsys, "workload", "tiny.yaml", "--prompt", "8", "--json"))
    prefill, decode = data["passes"]
    assert (prefill["phase"], prefill["n_new_tokens"], prefill["kv_length"]) == ("prefill", 8, 8)
    assert (decode["phase"], decode["n_new_tokens"], decode["kv_length"]) == ("decode", 1, 9)
    assert sum(op["macs"] for op in data["ops"]) == 2 * 12 * 64**2 + 1000 * 64 + 2 * 2 * 64 * 9
    assert sum(op["macs"] for op in data["prefill_ops"]) == 8 * 2 * 12 * 64**2 + 1000 * 64 + 2 * 2 * 64 * sum(range(1, 9))
    assert all(size > 0 for op in data["ops"] for shape in op["inputs"] for size in shape)
    text = shown(capsys, "workload", "tiny.yaml", "--prompt", "8", "--expanded")
    assert "prefill pass, 8 new tokens, KV length 8" in text and "decode pass, 1 new token, KV length 9" in text


def test_a_mapping_in_short_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("mapping", "--arch", "aim", "--workload", "tiny.yaml")
    brief, whole = shown(capsys, *asked), shown(capsys, *asked, "--expanded")
    assert "rows of each bank" in brief and len(brief.splitlines()) < 30 < len(whole.splitlines())
    data = json.loads(shown(capsys, *asked, "-f", "json"))
    assert "placements" not in data and data["channels"] * data["banks"] == 128
    full = json.loads(shown(capsys, *asked, "--json"))
    assert full == json.loads(shown(capsys, *asked, "--expanded", "-f", "json"))
    assert {k: v for k, v in full.items() if k != "placements"} == data
    assert len(whole.splitlines()) == len(full["placements"]) + 2
    place = {(p["tensor"], p["row_begin"] >= t["row_begin"], p["row_end"] <= t["row_end"])
             for p in full["placements"] for t in data["tensors"] if t["tensor"] == p["tensor"]}  # fmt: skip
    assert place == {(t["tensor"], True, True) for t in data["tensors"]}
    assert "tensors:" in shown(capsys, *asked, "-f", "yaml")


# runs and studies


@pytest.mark.parametrize("name", ["pim", "gpu"])
def test_a_run(runs: dict[str, Path], name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stats = json.loads((runs[name] / "stats.json").read_text())
    data = json.loads(shown(capsys, "run", runs[name], "--json"))
    assert data["stats"] == stats and data["command"].startswith("rowline run --arch") and "config" not in data
    brief = shown(capsys, "run", runs[name])
    assert "time by cause" in brief and data["command"] in brief
    whole = shown(capsys, "run", runs[name], "--expanded")
    assert len(whole) > len(brief) and "generated_tokens: '3'" in whole
    parsed = parse_yaml(shown(capsys, "run", runs[name], "--expanded", "-f", "yaml"), "shown").plain()
    assert isinstance(parsed, dict) and parsed["config"]["run"]["generated_tokens"] == "3"


def test_a_run_from_elsewhere_cannot_write_on_the_terminal(
    runs: dict[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs["pim"], "mine")
    change_stats(Path("mine"), lambda stats: stats.update(notes=["\x1b[2J"], workload="[red]\x1b", assumed=["a.\x1bb"]))
    out = shown(capsys, "run", "mine")
    assert "\x1b" not in out and "[red]?" in out and "note: ?[2J" in out


def test_a_study(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "study", study)
    assert "5 trials (4 complete, 0 infeasible, 1 failed)" in out and "base: arch aim" in out and "\x1b" not in out
    assert "the first of them: rowline run --arch pim-gpt" in out and "--set channels=8" in out
    data = json.loads(shown(capsys, "study", study, "-f", "json"))
    assert data["counts"] == {"complete": 4, "infeasible": 0, "failed": 1} and "trials" not in data
    assert [t["number"] for t in data["front"]] == [3] and data["front"][0]["objectives"] == {"tpot": 0.25, "rate": 3.0}
    whole = json.loads(shown(capsys, "study", study, "--expanded", "--json"))
    assert [t["number"] for t in whole["trials"]] == [0, 1, 2, 3, 9]
    assert whole["trials"][2]["config"]["run"]["overrides"] == {"channels": "4"}
    assert whole["trials"][4]["reason"] == "died\nhere" and whole["trials"][4]["state"] == "failed"
    assert {k: v for k, v in whole.items() if k != "trials"} == data
    parsed = parse_yaml(shown(capsys, "study", study, "--expanded", "-f", "yaml"), "shown").plain()
    assert isinstance(parsed, dict) and len(parsed["trials"]) == 5
    text = shown(capsys, "study", study, "--expanded")
    assert text.count("\ntrial ") == 5 + 1 and "\x1b" not in text  # the heading of the table too
    assert "trial 9 failed: channels ?[31m   died?here" in text


def test_an_empty_study(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(folder / "none") as store:
        store.set_note("study", {"name": "none"})
    assert "0 trials" in shown(capsys, "study", "none")
    data = json.loads(shown(capsys, "study", "none", "--expanded", "--json"))
    assert data["trials"] == [] == data["front"]
    assert shown(capsys, "study", "none", "--expanded", "-f", "yaml").endswith("trials: []\n")


def test_without_a_name_it_lists(study: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(runs["pim"], "out/mine")
    assert shown(capsys, "study") == "out/banks\n" and shown(capsys, "run") == "out/mine\n"
    assert shown(capsys, "dram").split() == list_devices()
    shutil.rmtree("out")
    assert rowline(capsys, "show", "study") == (0, "", "no studies in out; name the folder of one\n")


@pytest.mark.parametrize("what", ["arch", "dram", "gpu", "stack", "workload", "study", "run"])
def test_what_it_lists_is_data_too(
    study: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str], what: str
) -> None:
    shutil.copytree(runs["pim"], "out/mine")
    names = shown(capsys, what).splitlines()
    assert names and json.loads(shown(capsys, what, "--json")) == {"names": names}
    assert shown(capsys, what, "-f", "json") == shown(capsys, what, "--json")
    assert parse_yaml(shown(capsys, what, "-f", "yaml"), "shown").plain() == {"names": names}
    shutil.rmtree("out")
    if what in ("study", "run"):
        assert json.loads(shown(capsys, what, "--json")) == {"names": []}


# what is wrong

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "arch": (("arch", "aimm"), 'unknown system "aimm"; did you mean "aim"?'),
    "dram": (("dram", "ddr5-480"), 'unknown device "ddr5-480"; did you mean "ddr5-4800"?'),
    "gpu": (("gpu", "h20"), 'unknown GPU "h20"; did you mean "h200"?'),
    "stack": (("stack", "cublas-hoper"), 'unknown stack "cublas-hoper"; did you mean "cublas-hopper"?'),
    "workload": (("workload", "gpt2-smal"), 'unknown workload "gpt2-smal"; did you mean "gpt2-small"?'),
    "mapping": (("mapping", "--arch", "aimm"), 'unknown system "aimm"; did you mean "aim"?'),
    "mapping of a GPU": (("mapping", "--arch", "h200"), "a GPU, which places no tensors"),
    "study": (("study", "out/bank"), 'out/bank: no such file or folder; did you mean "out/banks"?'),
    "a run for a study": (("study", "out/mine"), "out/mine: not a study"),
    "run": (("run", "out/mien"), 'out/mien: no such file or folder; did you mean "out/mine"?'),
    "a study for a run": (("run", "out/banks"), "out/banks: not a run folder"),
    "a file for a run": (("run", "tiny.yaml"), "tiny.yaml: not a run folder"),
    "no name": (("run", "\x1b[31m\n"), "?[31m?: no such file or folder"),
    "a long name": (("study", "x" * 5000), "xxx...: no such file or folder"),
    "no UTF-8": (("run", "\udcff"), "?: no such file or folder"),
    "a device": (("workload", "/dev/zero"), "/dev/zero: not a regular file"),
    "a folder": (("arch", "./out"), "out: Is a directory"),
    "as written with changes": (("arch", "aim", "--as-written", "--set", "channels=4"), "--as-written: prints the file itself"),
    "as written as JSON": (("gpu", "h200", "--as-written", "--json"), "--as-written: prints the file itself; not with -f json"),
    "as written of nothing": (("gpu", "nope.yaml", "--as-written"), "nope.yaml: No such file"),
    "too long a prompt": (("workload", "tiny.yaml", "--prompt", "128"), "--prompt 128: must be from 1 to 127"),
    "no prompt": (("workload", "tiny.yaml", "--prompt", "0"), "--prompt 0: must be from 1 to 127"),
    "no form": (("run", "out/mine", "-f", "xml"), "xml"),
    "no target": (("archh",), "archh"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_one_line_says_what_is_wrong(
    study: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    shutil.copytree(runs["pim"], "out/mine")
    args, part = WRONG[case]
    code, out, err = rowline(capsys, "show", *args)
    assert (code, out) == (2, "") and part in err and err.startswith("rowline: ") and err.count("\n") == 1, err
    assert "\x1b" not in err


def test_a_damaged_run_or_study(
    study: str, runs: dict[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs["pim"], "mine")
    (folder / "mine" / "config.yaml").write_bytes(b"\xff")
    code, out, err = rowline(capsys, "show", "run", "mine")
    assert (code, out, err.count("\n")) == (2, "", 1) and "mine/config.yaml: not UTF-8" in err
    (folder / study / "study.db").write_bytes(b"nothing")
    code, out, err = rowline(capsys, "show", "study", study)
    assert (code, out, err.count("\n")) == (3, "", 1)
