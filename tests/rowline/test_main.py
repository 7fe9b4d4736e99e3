"""Ctrl-C where a library turns it into an error of its own, and while the command is still loading."""

import subprocess
import sys

import pytest

WRAPPED = """
import os, signal, sys
from rowline import __main__, cli, experiment
def wrapping(*_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        import time; time.sleep(5)
    except KeyboardInterrupt as error:
        raise ValueError("schema cannot be built") from error
experiment.load_config = wrapping
sys.argv = ["rowline", "run"]
__main__.main()
"""
LOADING = """
import os, signal, sys
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Late())
from rowline import __main__
__main__.main()
"""


@pytest.mark.parametrize("code", [WRAPPED, LOADING])
def test_ctrl_c(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "rowline: interrupted\n")
