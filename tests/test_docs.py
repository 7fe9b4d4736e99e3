"""The documentation against the code: links lead somewhere, the five-minute start runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in LINK.findall(text) if "://" not in target]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert missing == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages - {target for target in LINK.findall(index)} == set()


def commands(page: str, kind: str) -> list[str]:
    """Lines of the fenced blocks of a kind."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [line for block in re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for line in block.splitlines() if line]


def run_lines(lines: list[str], folder: Path) -> None:
    """Run shell lines of the documentation one after another, ``rowline`` being this one."""
    (folder / "bin").mkdir()
    rowline = folder / "bin" / "rowline"
    rowline.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rowline "$@"\n')
    rowline.chmod(0o755)
    (folder / "examples").symlink_to(ROOT / "examples")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"


def test_the_five_minute_start_runs_as_it_stands(tmp_path: Path) -> None:
    lines = commands("start.md", "sh")
    assert len(lines) > 8
    run_lines(lines, tmp_path)
    assert {"base", "base.html", "wider", "banks.html", "base.json.gz", "h200"} <= {p.name for p in (tmp_path / "out").iterdir()}
    script = "\n".join(commands("start.md", "python"))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_files_of_extending_are_sound(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        name = block.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    model = ["rowline check my-model.yaml", "rowline run --workload my-model.yaml --tokens 2 -q"]
    run_lines([*commands("extending.md", "sh"), *model], tmp_path)
