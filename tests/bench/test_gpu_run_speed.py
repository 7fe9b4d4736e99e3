"""Speed of a generation on a GPU: ``python -m pytest -s tests/bench/test_gpu_run_speed.py -m bench``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("choices", [("h200",), ("v100-sxm2", "--launch", "eager")])
def test_a_thousand_tokens_take_less_than_20_s(tmp_path: Path, choices: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "rowline", "run", "--arch", *choices, "--workload", "gpt3-xl", "--json"]
    subprocess.run([*command, "--tokens", "2"], cwd=tmp_path, capture_output=True, check=True)  # compiles
    done = subprocess.run([*command, "--tokens", "1024"], cwd=tmp_path, capture_output=True, text=True, check=True)
    stats = json.loads(done.stdout)
    print(f"{' '.join(choices)}: 1024 tokens in {stats['wall_s']:.1f} s (goal 20), {stats['launches']} launches")
    assert stats["wall_s"] < 60
