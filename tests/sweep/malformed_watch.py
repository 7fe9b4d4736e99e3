"""Runs commands one after another and says of each how it ended, how long it took and how much memory it held.

``python -S malformed_watch.py < JOBS > RESULTS``: JSON lists. A process of its own, since a child's peak memory counts what its
parent held when it was forked.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Any

LIMIT_S = 60.0


def watch(words: list[str]) -> dict[str, Any]:
    """Run one command."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() - begin > LIMIT_S:
                process.kill()
            time.sleep(0.002)
        took = time.perf_counter() - begin
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(200_000).decode("utf-8", "replace"))
    factor = 1 if sys.platform == "darwin" else 1024
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return {"code": code, "out": texts[0], "err": texts[1], "wall_s": took, "cpu_s": cpu, "rss_bytes": usage.ru_maxrss * factor}


def watched(jobs: list[list[str]]) -> list[dict[str, Any]]:
    """What became of ``rowline`` with these words, one after another."""
    commands = [[sys.executable, "-m", "rowline", *words] for words in jobs]
    done = subprocess.run([sys.executable, "-S", __file__], input=json.dumps(commands), capture_output=True,
                          text=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


class Tally:
    """Counts what was refused, and the most that it took."""

    def __init__(self) -> None:
        self.codes, self.wall_s, self.rss_bytes = Counter[int](), 0.0, 0

    def add(self, words: list[str], ended: dict[str, Any]) -> None:
        """Take one in; less than 2 s and 500 MB if it was refused. A busy machine gets two more tries."""
        self.codes[ended["code"]] += 1
        if ended["code"] == 0:
            return
        best = ended
        for _ in range(2):
            if best["wall_s"] >= 2:
                best = min(best, watched([words])[0], key=lambda each: each["wall_s"])
        assert best["wall_s"] < 2 and best["rss_bytes"] < 500e6, (words, best)
        self.wall_s, self.rss_bytes = max(self.wall_s, best["wall_s"]), max(self.rss_bytes, best["rss_bytes"])

    def __str__(self) -> str:
        return f"exit codes {dict(self.codes)}, refused in {self.wall_s:.2f} s and {self.rss_bytes / 1e6:.0f} MB at most"


if __name__ == "__main__":
    print(json.dumps([watch(words) for words in json.load(sys.stdin)]))
