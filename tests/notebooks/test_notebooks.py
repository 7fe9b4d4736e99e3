"""The notebooks run from top to bottom, and lie in git without what they put out."""

import json
from pathlib import Path

import pytest
from nbmake.nb_run import NotebookRun

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "reports" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MEASURED = ROOT.parent / "shared" / "data" / "gpu"


def test_there_are_five() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == list("12345")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "validation" in path.stem and not MEASURED.is_dir():
        pytest.skip("needs the shared measurements beside the checkout")
    monkeypatch.setenv("ROWLINE_KERNEL_LOGS", str(MEASURED))
    result = NotebookRun(path, 300).execute()
    assert result.error is None, f"{result.error.summary}\n{result.error.trace}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_that_was_put_out_is_kept(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
