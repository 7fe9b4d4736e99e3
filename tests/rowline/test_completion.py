"""What a shell completes: verbs, options, choices, and the names of presets, models, runs and studies."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rowline.arch.loader import list_devices, list_gpus, list_presets, list_stacks
from rowline.workloads.models.registry import list_models

CODE = "import sys; sys.argv = ['rowline', *sys.argv[1:]]; from rowline.__main__ import main; main()"
HEAVY = ("torch", "numba", "numpy", "pandas", "pyarrow", "plotly", "optuna", "simpy", "ruamel.yaml")


def call(cwd: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE, *args], cwd=cwd, env=os.environ | env, capture_output=True, text=True,
                          timeout=60)  # fmt: skip


def completed(cwd: Path, line: str, shell: str = "bash") -> list[str]:
    """What ``shell`` offers after ``line``."""
    words = line.split(" ")
    done = call(
        cwd, _ROWLINE_COMPLETE=f"complete_{shell}", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


CASES = {
    "rowline ca": ["calibrate"],
    "rowline show w": ["workload"],
    "rowline run --arch ": [*list_presets("system"), *list_gpus()],
    "rowline run --arch pi": ["pim-gpt"],
    "rowline stream --arch ai": ["aim"],
    "rowline run --workload gpt3-": [name for name in list_models() if name.startswith("gpt3-")],
    "rowline run --stack cub": [name for name in list_stacks() if name.startswith("cub")],
    "rowline run --launch ": ["graph", "eager"],
    "rowline run --dty": ["--dtype"],
    "rowline dram --device hbm3": [name for name in list_presets("dram") + list_presets("pim") if name.startswith("hbm3")],
    "rowline check x.csv --device ddr4": [name for name in list_devices() if name.startswith("ddr4")],
    "rowline check x.yaml --as run": ["run", "run-folder"],
    "rowline validate --gpu h": [name for name in list_gpus() if name.startswith("h")],
    "rowline calibrate --gpu t": ["t4"],
    "rowline show arch p": ["pim-gpt"],
    "rowline show dram lpddr5-5": ["lpddr5-5500"],
    "rowline show gpu l40": ["l40s"],
    "rowline show stack sg": ["sglang-ampere", "sglang-hopper"],
    "rowline show workload gpt2-s": ["gpt2-small"],
    "rowline show study ": ["out/banks"],
    "rowline show run o": ["out/mine"],
    "rowline report ": ["out/banks", "out/mine"],
    "rowline report out/m": ["out/mine"],
    "rowline compare ": ["out/mine"],
    "rowline compare out/other ": ["out/mine"],
    "rowline timeline o": ["out/mine"],
    "rowline sweep ": ["verify", "space.yaml", "out/", "out/banks"],
    "rowline sweep sp": ["space.yaml"],
    "rowline sweep verify out/b": ["out/banks"],
    "rowline run --arch nothing-begins-so": [],
}


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    for file in ("out/banks/study.db", "out/mine/stats.json", "out/\x1b/stats.json", "space.yaml", ".hidden.yaml"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize("line", CASES)
def test_bash(cwd: Path, line: str) -> None:
    assert sorted(completed(cwd, line)) == sorted(CASES[line])


def test_zsh_and_fish(cwd: Path) -> None:
    assert completed(cwd, "rowline run --arch pi", "zsh") == ["_arguments '*: :((\"pim-gpt\"))'"]
    assert completed(cwd, "rowline run --arch nothing", "zsh") == ["_files"]
    assert completed(cwd, "rowline run --arch pi", "fish") == ["pim-gpt"]
    assert [line.split("\t")[0] for line in completed(cwd, "rowline show ", "fish")] == [
        "arch", "dram", "gpu", "stack", "workload", "mapping", "study", "run"
    ]  # fmt: skip


def test_completing_loads_nothing_heavy_and_is_quick(cwd: Path) -> None:
    code = (
        "import sys, atexit\nsys.argv = ['rowline']\n"
        f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr))\n"
        "from rowline.__main__ import main\nmain()"
    )
    env = os.environ | {"_ROWLINE_COMPLETE": "complete_bash", "COMP_WORDS": "rowline run --arch pi", "COMP_CWORD": "3"}
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "pim-gpt\n", "[]\n")
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 0.5


@pytest.mark.parametrize(
    ("shell", "begin"), [("bash", "_rowline_completion()"), ("zsh", "#compdef rowline"), ("fish", "complete --command rowline")]
)
def test_the_script_of_each_shell(cwd: Path, shell: str, begin: str) -> None:
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # else it is that of the shell that calls
    done = call(cwd, "--show-completion", shell, **env)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.strip().startswith(begin)
    assert f"complete_{shell}" in done.stdout
    home = cwd / f"home-{shell}"
    home.mkdir()
    done = call(cwd, "--install-completion", shell, HOME=str(home), **env)
    assert (done.returncode, done.stderr) == (0, "") and "completion installed in" in done.stdout
    written = [f for f in home.rglob("*") if f.is_file()]
    assert any(f"complete_{shell}" in f.read_text() for f in written)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_itself(cwd: Path, tmp_path: Path) -> None:
    """The script in a real shell, with a ``rowline`` on its path."""
    command = tmp_path / "rowline"
    command.write_text(f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'rowline'\nfrom rowline.__main__ import main\nmain()\n")
    command.chmod(0o755)
    script = call(cwd, _ROWLINE_COMPLETE="source_bash").stdout
    (tmp_path / "complete.sh").write_text(script)
    text = (
        f"source {tmp_path}/complete.sh; COMP_WORDS=(rowline run --arch pi); COMP_CWORD=3; _rowline_completion rowline; "
        "echo ${COMPREPLY[@]}"
    )
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", text], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "pim-gpt\n", "")
