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

LIMIT_S = 60.0


def watch(words: list[str]) -> dict[str, object]:
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


if __name__ == "__main__":
    print(json.dumps([watch(words) for words in json.load(sys.stdin)]))
