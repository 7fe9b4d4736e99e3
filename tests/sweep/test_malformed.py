"""What is wrong is refused in one line a problem, with exit code 2 or 3, file and key named, and at no cost; what is accepted
means what it says.

Some hundred cases here; ``-m slow``: 500 and more refused by the command itself, with time and memory of each.
"""

import json
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rowline.arch.loader import PRESETS, load_device
from rowline.arch.yamltree import ConfigError, printable
from rowline.cli import _guard, app
from rowline.runfiles import load_run, read_ops
from rowline.sweeps.fingerprint import forget
from rowline.sweeps.points import Points
from rowline.sweeps.space import load_space
from rowline.sweeps.trial import Kept, expand_point, run_with

from . import malformed as bad
from . import malformed_folders as folders
from .malformed_oracle import leaves, same, untrue
from .malformed_watch import Tally, watched

QUICK = {"run": 16, "gpu-run": 4, "system": 10, "whole-system": 6, "device": 6, "pim-device": 4, "gpu": 6, "stack": 4,
         "model": 16, "space": 16}  # fmt: skip
ALL = {"run": 70, "gpu-run": 30, "system": 50, "whole-system": 40, "device": 40, "pim-device": 30, "gpu": 50, "stack": 30,
       "model": 50, "space": 80}  # fmt: skip
"""How many of each kind are refused in the quick and in the slow tests."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a run and a study."""
    folder = tmp_path_factory.mktemp("malformed")
    (folder / "tiny.yaml").write_text(bad.TINY)
    folders.make_run(folder / "run")
    folders.make_study(folder / "study")
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, in this process."""
    codes: list[Any] = []
    capsys.readouterr()
    code = _guard(lambda: codes.append(app(list(words), standalone_mode=False)))
    out, err = capsys.readouterr()
    return code or (codes[0] if isinstance(codes[0], int) else 0), out, err


def faults(code: int, out: str, err: str, allowed: tuple[int, ...] = (2,)) -> list[str]:
    """What is wrong with a refusal, whatever was refused."""
    lines = err.splitlines()
    found = [] if code in allowed else [f"exit code {code}"]
    found += [] if lines and all(line.startswith("rowline: ") for line in lines) else ["not one line a problem"]
    found += [word for word in ("Traceback", "internal error") if word in err]
    found += [] if all(line.isprintable() and len(line) < 2100 for line in lines) else ["odd or endless line"]
    return found + (["says something on stdout"] if out else [])


def unnamed(mutant: bad.Mutant, file: Path, err: str) -> list[str]:
    """Whether a refusal lacks the file, or the key."""
    text = mutant.data.decode("utf-8", "replace")
    told = re.findall(r"^rowline: ([^\s:]+\.ya?ml|[^\s:]*/[^\s:]*)", err, re.MULTILINE)
    others = [name for name in told if name.startswith(str(PRESETS)) or name in text]  # a file that this one names
    found = [] if str(file) in err or others or mutant.how == "path" else ["does not name the file"]
    if mutant.key and not others and mutant.how != "path":
        names = [printable(part, 200) for part in mutant.key if not part.isdecimal()]
        named = any(name in err for name in names[-2:])
        if not (named or re.search(r":\d+: not valid YAML", err) or (mutant.how == "drop" and re.search(r"  [\w.]+: ", err))):
            found.append("does not name the key")
    return found


def told(mutant: bad.Mutant) -> str:
    """A mutant in a message."""
    return f"{mutant.kind}: {mutant.how} {'.'.join(mutant.key)}"


def drawn(kind: str, seed: int, count: int, folder: Path, meaning: Any) -> Iterator[tuple[bad.Mutant, Path]]:
    """``count`` mutants that are refused, each with its file. Those that are accepted on the way must mean what they say."""
    refused = 0
    for number, mutant in enumerate(bad.mutants(kind, seed)):
        file = folder / f"{kind}-{seed}-{number}.yaml"
        file.write_bytes(mutant.data)
        try:
            after = bad.loaded(kind, file)
        except ConfigError:
            yield mutant, file
            refused += 1
            if refused == count:
                return
        else:
            assert untrue(kind, mutant.data, meaning, after) == [], (told(mutant), mutant.data)


def meaning_of(kind: str, folder: Path) -> Any:
    """What the sound file means."""
    (folder / f"sound-{kind}.yaml").write_text(bad.SOUND[kind])
    return bad.loaded(kind, folder / f"sound-{kind}.yaml")


@pytest.mark.parametrize("kind", bad.SOUND)
def test_line_ends_and_a_byte_order_mark_change_nothing(place: Path, kind: str) -> None:
    meaning = meaning_of(kind, place)
    for data in (bad.SOUND[kind].replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + bad.SOUND[kind].encode()):
        (place / f"sound-{kind}.yaml").write_bytes(data)
        assert bad.loaded(kind, place / f"sound-{kind}.yaml") == meaning


@pytest.mark.parametrize("kind", bad.SOUND)
def test_generated_files(place: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    for mutant, file in drawn(kind, 0, QUICK[kind], place, meaning_of(kind, place)):
        code, out, err = call(capsys, *bad.command(kind, file))
        assert faults(code, out, err) + unnamed(mutant, file, err) == [], (told(mutant), err)
    assert not (place / "none").exists()


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30))
HAND: dict[str, tuple[str, str, str]] = {
    "alias bomb": ("run", BOMB, ":1: anchors (&a)"),
    "deep": ("system", "a: " + "[" * 9000, "levels"),
    "a million parentheses": ("space", f"constraints:\n  - {'(' * 10**6}\n", "larger than"),
    "many parentheses": ("space", f"axes:\n  - {{key: channels, values: [8]}}\nconstraints: ['{'(' * 200}']\n",
                         ":3  constraints.0: column 26: nested more than"),
    "powers": ("space", "axes:\n  - {key: channels, values: [8]}\nconstraints: [9**9**9 > 1]\n", ":3  constraints.0: column 3"),
    "import": ("space", "axes:\n  - {key: channels, values: [8]}\nconstraints: [\"__import__('os')\"]\n", ":3  constraints.0: "),
    "class": ("space", "axes:\n  - {key: channels, values: [8]}\nconstraints: [().__class__]\n", ":3  constraints.0: column 3"),
    "huge number": ("space", f"axes:\n  - {{key: channels, values: [{'9' * 200}]}}\n", ":2  axes.0.values.0: "),
    "huge limit": ("space", "axes:\n  - {key: channels, values: [8]}\nobjectives: [{key: c, expr: '1e99', limit: 1e400}]\n",
                   ":3  objectives.0.limit: "),
    "name of a study": ("space", "name: ../../x\naxes:\n  - {key: channels, values: [8]}\n", ":1  name: "),
    "circle": ("system", "extends: circle.yaml\n", "circle.yaml:1  extends: more than 8 levels deep, or in a circle"),
    "no such base": ("system", "extends: ../../etc/passwd\n", ":1  extends: no preset"),
    "a password file": ("run", "arch: ../../../../../../etc/passwd\n", "/etc/passwd"),
    "a device file": ("run", "workload: /dev/zero\n", "/dev/zero: not a regular file"),
    "lookalike key": ("run", "w\u043erkload: tiny.yaml\n", ":1  w\u043erkload: unknown key; did you mean \"workload\"?"),
    "lookalike number": ("run", "generated_tokens: \uff18\n", ":1  generated_tokens: "),
    "tab": ("run", "mapping:\n\tlm_head_on_pim: true\n", ":2: not valid YAML"),
    "control character": ("run", "arch: x\nworkload: a\x7fb\n", ":2: not valid YAML: unacceptable character #x007f"),
    "override that is no YAML": ("run", "arch: pim-gpt\noverrides:\n  channels: '`'\n", ":3  channels: not valid YAML"),
    "override that is an alias": ("run", "arch: pim-gpt\noverrides:\n  channels: '*a'\n", ":3  channels: aliases (*a)"),
    "override twice": ("run", "overrides:\n  channels: 4\n  channels: 8\n", ":3  channels: duplicate key, first on line 2"),
    "nan": ("model", bad.TINY + "layer_norm_eps: .nan\n", ":7  layer_norm_eps: "),
    "nothing": ("device", "", ":1: empty"),
    "binary": ("gpu", "\x7fELF\x02\x01\x00", ":1: not valid YAML"),
    "long line": ("stack", "name: " + "x" * 20_000, ":1: line longer than"),
    "two documents": ("model", bad.TINY + "---\n" + bad.TINY, ":7: only one YAML document"),
}  # fmt: skip


@pytest.mark.parametrize("case", HAND)
def test_hand_made_files(place: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    kind, text, part = HAND[case]
    file = place / f"{case.split()[0]}.yaml"
    file.write_text(text)
    code, out, err = call(capsys, *bad.command(kind, file))
    assert faults(code, out, err) == [] and part in err, err


def test_a_file_that_changed_is_read_anew(place: Path) -> None:
    file = place / "changing.yaml"
    for rows in (8192, 4096):
        file.write_text(f"extends: dram/ddr5-4800\norganization: {{rows: {rows}}}\n")
        assert load_device(str(file)).organization.rows.value == rows


@pytest.mark.parametrize(("part", "name"), [("workload", "mine.yaml"), ("hardware", "asic.yaml"), ("hardware", "board.yaml")])
def test_a_worker_notices_a_file_that_changed(place: Path, part: str, name: str) -> None:
    """Also one that answered trials with it before."""
    texts = {"mine.yaml": bad.TINY, "asic.yaml": "extends: system/pim-gpt\n", "board.yaml": "extends: gpu/h100-sxm\n"}
    changed = {"mine.yaml": bad.TINY.replace("64", "128"), "asic.yaml": "extends: system/pim-gpt\nchannels: 4\n",
               "board.yaml": "extends: gpu/h100-sxm\nsm: {count: 100}\n"}  # fmt: skip
    for file, text in texts.items():
        (place / file).write_text(text)
    arch = "pim-gpt" if part == "workload" else name
    (place / "changing.yaml").write_text(
        f"base: {{arch: {arch}, workload: mine.yaml}}\naxes: [{{key: generated_tokens, values: [1, 2]}}]\n"
    )
    forget()
    space = load_space(place / "changing.yaml")
    first, second = (expand_point(space, point) for point in Points(space).grid())
    kept = Kept(8)
    assert run_with(kept, first)["latency_s"] > 0
    (place / name).write_text(changed[name])
    with pytest.raises(RuntimeError, match=f"{part} of this worker is not that of the sweep"):
        run_with(kept, second)


RUN_COMMANDS = (["compare", "run", "r", "--json"], ["report", "r", "-o", "r.md"], ["timeline", "r", "-o", "r.json"],
                ["show", "run", "r", "--expanded", "--json"])  # fmt: skip
STUDY_COMMANDS = (["report", "s", "-o", "s.md"], ["show", "study", "s"],
                  ["sweep", "space.yaml", "--resume", "--out", "s", "--json"])  # fmt: skip


def untrue_run(place: Path, words: list[str], out: str) -> list[str]:
    """What an accepted run folder shows that its files do not say."""
    if words[0] == "compare":
        figures = json.loads(out)["keys"]
        said = leaves(json.loads((place / "r" / "stats.json").read_text()))
        return [k["key"] for k in figures if k["values"][1] is not None and said.get(tuple(k["key"].split("."))) != k["values"][1]
                and not any(".".join(p) == k["key"] and v == k["values"][1] for p, v in said.items())]  # fmt: skip
    shown, sound = load_run(place / "r"), load_run(place / "run")
    text = leaves(bad.plain(bad.compose((place / "r" / "config.yaml").read_bytes())))
    parts = {"run": shown.run, "system": shown.machine, "model": shown.model}
    meant = leaves({name: part.model_dump(mode="json") for name, part in parts.items()})
    wrong = [".".join(path) for path, value in text.items() if not same(value, meant.get(path))]
    if words[0] == "timeline" or words[0] == "report":
        ops, whole = read_ops(shown), read_ops(sound)
        wrong += [name for name in whole if not (ops[name] == whole[name]).all()]
    return wrong


def check_run(place: Path, damage: folders.Damage, words: list[str], code: int, out: str, err: str) -> list[str]:
    """What is wrong with how a command took a damaged run folder."""
    if code == 0:
        return untrue_run(place, words, out)
    config = place / "r" / "config.yaml"
    file = re.search(r"rowline: ([^:]*)", err)  # perhaps a file that this one names
    others = file is not None and config.is_file() and file[1].encode() in config.read_bytes()
    named = damage.file in err or re.search(r"rowline: r\b", err) or others
    return faults(code, out, err) + ([] if named else ["does not name the file"])


def check_study(place: Path, damage: folders.Damage, code: int, out: str, err: str, sound: list[str]) -> list[str]:
    """The same of a study; ``sound``: its trials, then what it is of, which a sweep may write anew."""
    if code == 0:
        trials = json.loads(out)["counts"]["cached"] if out.startswith("{") else len(sound) - 1
        kept = folders.rows(place / "s")
        same_note = kept[-1] == sound[-1] or out.startswith("{")
        return [] if trials == len(sound) - 1 and kept[:-1] == sound[:-1] and same_note else ["silent"]
    named = damage.file in err or re.search(r"rowline: s\b", err) or "study.db" in err
    return faults(code, out, err, (2, 3)) + ([] if named else ["does not name the file"])


def test_damaged_run_folders(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw, refused = random.Random(1), 0
    for damage in draw.sample(folders.of_runs(), 20):
        folders.copied(place / "run", place / "r")
        damage.change(draw, place / "r")
        words = draw.choice(RUN_COMMANDS)
        code, out, err = call(capsys, *words)
        assert check_run(place, damage, words, code, out, err) == [], (damage, words, err)
        refused += code != 0
    assert refused > 10


def test_damaged_studies(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw, sound, refused = random.Random(2), folders.rows(place / "study"), 0
    for damage in draw.sample(folders.of_studies(), 25):
        folders.copied(place / "study", place / "s")
        damage.change(draw, place / "s")
        code, out, err = call(capsys, "sweep", "verify", "s")
        assert check_study(place, damage, code, out and err, err, sound) == [], (damage, err)
        words = draw.choice(STUDY_COMMANDS)
        again, out, err = call(capsys, *words)
        assert check_study(place, damage, again, out, err, sound) == [] and (code or again == 0), (damage, words, err)
        refused += code != 0
    assert refused > 12


@pytest.mark.parametrize("file", ["study.db", "study.db-acked", "study.db-wal"])
def test_a_study_with_a_pipe_or_a_folder_for_a_file(place: Path, capsys: pytest.CaptureFixture[str], file: str) -> None:
    for make in (os.mkfifo, os.mkdir):
        folders.copied(place / "study", place / "s")
        (place / "s" / file).unlink(missing_ok=True)
        make(place / "s" / file)
        for words in (["sweep", "verify", "s"], STUDY_COMMANDS[-1]):
            code, _, err = call(capsys, *words)
            assert code in (2, 3) and err.startswith("rowline: s") and "Traceback" not in err, err


def test_a_run_with_a_pipe_for_its_stats(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders.copied(place / "run", place / "r")
    (place / "r" / "stats.json").unlink()
    os.mkfifo(place / "r" / "stats.json")
    code, _, err = call(capsys, "check", "r")
    assert code == 2 and "r/stats.json: not a file" in err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [('"latency_s"', '"latency_s": 1.0, "latency_s"', "latency_s stands there twice"), ("{", "{" * 10**5, "not valid JSON")],
)
def test_stats_that_are_ambiguous_or_deep(
    place: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    file = folders.copied(place / "run", place / "r") / "stats.json"
    file.write_text(file.read_text().replace(old, new, 1))
    code, out, err = call(capsys, "compare", "run", "r")
    assert faults(code, out, err) == [] and "r/stats.json" in err and told in err


# Slow: the command itself, in a process of its own.


@pytest.mark.slow
@pytest.mark.parametrize("kind", bad.SOUND)
def test_all_generated_files(place: Path, kind: str) -> None:
    tally = Tally()
    cases = list(drawn(kind, 1, ALL[kind], place, meaning_of(kind, place)))
    jobs = [bad.command(kind, file) for _, file in cases]
    for (mutant, file), words, ended in zip(cases, jobs, watched(jobs), strict=True):
        wrong = faults(ended["code"], ended["out"], ended["err"]) + unnamed(mutant, file, ended["err"])
        assert wrong == [], (told(mutant), ended)
        tally.add(words, ended)
    assert not (place / "none").exists()
    print(f"{kind}: {tally}")


@pytest.mark.slow
def test_all_damaged_run_folders(place: Path) -> None:
    draw, tally = random.Random(3), Tally()
    for damage in folders.of_runs():
        folders.copied(place / "run", place / "r")
        damage.change(draw, place / "r")
        jobs = draw.sample(RUN_COMMANDS, 2)
        for words, ended in zip(jobs, watched(jobs), strict=True):
            wrong = check_run(place, damage, words, ended["code"], ended["out"], ended["err"])
            assert wrong == [], (damage, words, ended)
            tally.add(words, ended)
    print(f"run folders: {tally}")


@pytest.mark.slow
def test_all_damaged_studies(place: Path) -> None:
    shutil.rmtree(place / "study")
    folders.make_study(place / "study")  # anew: the other tests took minutes
    draw, sound, tally = random.Random(4), folders.rows(place / "study"), Tally()
    for damage in folders.of_studies():
        folders.copied(place / "study", place / "s")
        damage.change(draw, place / "s")
        codes: list[int] = []
        for words in (["sweep", "verify", "s"], draw.choice(STUDY_COMMANDS)):
            (ended,) = watched([words])
            out = "" if words[1] == "verify" else ended["out"]
            assert check_study(place, damage, ended["code"], out, ended["err"], sound) == [], (damage, words, ended)
            tally.add(words, ended)
            codes.append(ended["code"])
        assert codes[0] or codes[1] == 0, (damage, codes)
    print(f"studies: {tally}")


@pytest.mark.slow
def test_what_is_accepted_can_be_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Accepted mutants of what a run is made of: they run, or what stands against it is told."""
    codes = Counter[int]()
    for kind in ("run", "gpu-run", "system", "whole-system", "gpu", "stack", "model"):
        for number, mutant in enumerate(islice(bad.mutants(kind, 2), 60)):
            file = place / f"{kind}-run-{number}.yaml"
            file.write_bytes(mutant.data)
            try:
                bad.loaded(kind, file)
            except ConfigError:
                continue
            code, out, err = call(capsys, *[word.replace("none", "some") for word in bad.command(kind, file)])
            codes[code] += 1
            assert code == 0 or faults(code, out, err) == [], (told(mutant), mutant.data, err)
    print(f"accepted files, run: exit codes {dict(codes)}")
