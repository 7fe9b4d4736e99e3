"""``rowline show gpu`` and ``rowline show stack`` as people run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rowline.arch.loader import list_gpus, list_stacks


def rowline(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "rowline", *args], cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("what", "names", "name"), [("gpu", list_gpus(), "h200"), ("stack", list_stacks(), "cublas-hopper")])
def test_what_is_shown_loads_again(tmp_path: Path, what: str, names: list[str], name: str) -> None:
    assert rowline(tmp_path, "show", what).stdout.split() == names
    first = rowline(tmp_path, "show", what, name)
    (tmp_path / "shown.yaml").write_text(first.stdout)
    again = rowline(tmp_path, "show", what, "shown.yaml")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    data = json.loads(rowline(tmp_path, "show", what, "shown.yaml", "-f", "json").stdout)
    assert data["name"] == name


def test_overrides_say_who_set_them(tmp_path: Path) -> None:
    done = rowline(tmp_path, "show", "gpu", "h200", "--set", "power.cap=500 W", "-f", "json")
    assert json.loads(done.stdout)["power"]["cap"] == {"value": "500 W", "kind": "ASSUMED", "ref": "set by the user"}


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("gpu", "h2000"), 'rowline: unknown GPU "h2000"; did you mean "h200"?'),
        (("stack", "cublas"), 'rowline: unknown stack "cublas"; did you mean "cublas-'),
        (("gpu", "h200", "--set", "l2.size=50"), "rowline: --set l2.size=50  l2.size: needs a unit of size"),
        (("gpu", "nowhere.yaml"), "rowline: nowhere.yaml: No such file"),
    ],
)
def test_refusals_are_one_line(tmp_path: Path, args: tuple[str, ...], part: str) -> None:
    done = rowline(tmp_path, "show", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(part) and len(done.stderr.splitlines()) == 1
