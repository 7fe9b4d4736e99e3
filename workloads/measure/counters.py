"""DRAM bytes and L2 hit rate from hardware counters, where Nsight Compute's ``ncu`` is there and allowed to read them.

ncu runs this package again as a child (``--replay``), which calls each kernel once between markers.
"""

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...traces.kernellog import KernelRow
from .kernel import Kernel, row_key
from .logfile import variant_of
from .marked import between, mark
from .naming import row_key_of

if TYPE_CHECKING:
    from .campaign import Campaign

READ, WRITTEN = "dram__bytes_read.sum", "dram__bytes_write.sum"
HIT, MISSED = "lts__t_sectors_lookup_hit.sum", "lts__t_sectors_lookup_miss.sum"
CACHE_CONTROL: Final = {"none": ("warm",), "all": ("cold", "flush")}
"""ncu's --cache-control -> the L2 states whose rows it speaks for."""
SECONDS_EACH = 8.0
Counts = dict[str, float]


def count(campaign: "Campaign") -> None:
    """Fill `dram_bytes` and `l2_hit_rate` of the first kernels of the log that lack them; else note why not."""
    wanted = campaign.request.counters
    kernels = list(dict.fromkeys(Kernel(*row_key(row, variant_of(row))[:12]) for row in campaign.log.rows))[:wanted]  # type: ignore[arg-type]
    if not kernels:
        return
    ncu = shutil.which("ncu")
    if ncu is None:
        campaign.log.note("counters: no ncu on this machine")
        return
    for control, states in CACHE_CONTROL.items():
        campaign.say(f"counters of {len(kernels)} kernels, cache control {control}", True)
        limit = min(campaign.left_s(), 30 + SECONDS_EACH * len(kernels))
        if limit <= 0:
            campaign.log.note("counters: out of time")
            return
        try:
            counts = counted(ncu, kernels, control, campaign.request.seed, limit)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            campaign.log.note(f"counters: {type(error).__name__}: {str(error)[:200]}")
            return
        known = {row_key_of(kernel): part for kernel, part in zip(kernels, counts, strict=True) if part}
        campaign.log.update(_filler(known, states))


def _filler(known: dict[tuple[str | int, ...], Counts], states: Sequence[str]) -> Callable[[KernelRow], KernelRow]:
    def fill(row: KernelRow) -> KernelRow:
        counts = known.get(row_key(row, variant_of(row))[:12])
        if counts is None or row.l2 not in states:
            return row
        sectors = counts[HIT] + counts[MISSED]
        rate = counts[HIT] / sectors if sectors else float("nan")
        return replace(row, dram_bytes=counts[READ] + counts[WRITTEN], l2_hit_rate=rate)

    return fill


def counted(ncu: str, kernels: Sequence[Kernel], control: str, seed: int, limit_s: float) -> list[Counts]:
    """The counters of each kernel, summed over what one call launches; empty for a kernel that could not run.

    Raises ValueError if ncu fails or answers something else, TimeoutExpired after `limit_s`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.json"
        file.write_text(json.dumps({"seed": seed, "kernels": [asdict(kernel) for kernel in kernels]}), encoding="utf-8")
        command = [
            ncu, "--csv", "--print-units", "base", "--profile-from-start", "off", "--cache-control", control,
            "--clock-control", "none", "--metrics", ",".join((READ, WRITTEN, HIT, MISSED)),
            sys.executable, "-m", __package__ or "", "--replay", str(file),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        problems = [line for line in (done.stdout + done.stderr).splitlines() if "ERR" in line or "rror" in line]
        raise ValueError(f"ncu: exit code {done.returncode} {' '.join(problems[:2])}")
    return [_summed(part) for part in between(launches_in(done.stdout.splitlines()), len(kernels))]


def launches_in(lines: Iterable[str]) -> list[tuple[str, Counts]]:
    """The kernels of ncu's CSV in order, with their metrics. Raises ValueError if it is not such."""
    table = csv.DictReader(line for line in lines if line.startswith('"'))
    launches: dict[str, tuple[str, Counts]] = {}
    for line in table:
        try:
            name, counts = launches.setdefault(line["ID"], (line["Kernel Name"], {}))
            counts[line["Metric Name"]] = float(line["Metric Value"].replace(",", ""))
        except (KeyError, AttributeError) as error:
            raise ValueError(f"not a table of ncu: lacks {error}") from error
    return list(launches.values())


def _summed(launched: Sequence[tuple[str, Counts]]) -> Counts:
    names = (READ, WRITTEN, HIT, MISSED)
    return {name: sum(counts.get(name, 0.0) for _, counts in launched) for name in names} if launched else {}


def replay(file: str) -> None:
    """The child: call each kernel of the file once where ncu looks, after it has warmed up."""
    import torch

    from ._operands import build, quiet_settings

    asked: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    quiet_settings()
    for fields in asked["kernels"]:
        calls: list[Callable[[], Any]] = []
        try:
            calls = [case.call for case in build(Kernel(**fields), "cuda", asked["seed"], 1)]
            for call in calls * 3:
                call()
        except (RuntimeError, NotImplementedError, ValueError) as error:
            print(f"{fields}: {error}", file=sys.stderr)
            calls = []
        torch.cuda.synchronize()
        torch.cuda.profiler.start()
        mark(torch.cuda)
        for call in calls:
            call()
        mark(torch.cuda)
        torch.cuda.synchronize()
        torch.cuda.profiler.stop()
