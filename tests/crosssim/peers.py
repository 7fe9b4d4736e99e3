"""The reference cases of ``shared/data/dram``: devices with a peer's own timing values, its requests and its command logs.

Values go in as cycles, as the peer used them, so that no clock rounds them. What differs from the peer's file:

- tRC is at least tRAS + tRP, which our lint asks for. Ramulator's GDDR6 has 79 < 53 + 27; with a PRE between them, two ACT
  of a bank are 80 apart there too.
- What a peer does not have (power-down, per-bank refresh in places) stays as in our preset.
- DRAMsim3's GDDR6 has ``bankgroup_enable = false``: one group of 16 banks, columns tCCD_S and activations tRRD_S apart.
  Its burst of 16 beats takes one cycle, so the pin rate is set to what carries 32 B in one.
"""

import csv
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_device
from rowline.sim.address import PLACED

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram"
PRESETS = {
    "ramulator2/ddr4": "ddr4-2400",
    "ramulator2/gddr6": "gddr6-14000",
    "ramulator2/hbm2": "hbm2-2000",
    "dramsim3/ddr4_3200": "ddr4-3200",
    "dramsim3/gddr6": "gddr6-14000",
    "dramsim3/gddr6_close": "gddr6-14000",
}
"""Configuration of a peer -> the preset of ours whose values its own replace."""

SHARED = {
    "nRCDRD": "tRCDRD", "nRCDWR": "tRCDWR", "nRP": "tRP", "nRAS": "tRAS", "nRC": "tRC", "nWR": "tWR", "nRTP": "tRTP",
    "nRTPL": "tRTP", "nCL": "tCL", "nCWL": "tCWL", "nCCDS": "tCCDS", "nCCDL": "tCCDL", "nRRDS": "tRRDS", "nRRDL": "tRRDL",
    "nFAW": "tFAW", "nWTRS": "tWTRS", "nWTRL": "tWTRL", "nCS": "tRTRS", "nRFC": "tRFCab", "nRFCab": "tRFCab",
    "nRFCpb": "tRFCpb", "nRREFD": "tRREFD", "nPPD": "tPPD",
}  # fmt: skip
"""Ramulator's name of a timing value -> ours."""

Rows = list[dict[str, str]]


@cache
def configuration(config: str) -> dict[str, Any]:
    """A configuration's JSON, such as that of ``"ramulator2/ddr4"``."""
    return json.loads((DATA / f"{config}.json").read_text())


def cases() -> list[tuple[str, str]]:
    """(configuration, case) of all; one of its own where the data is absent, so that what is parametrised is skipped."""
    if not DATA.is_dir():
        return [("ramulator2/ddr4", "absent")]
    return [(config, case) for config in PRESETS for case in configuration(config)["cases"]]


def timing(config: str) -> dict[str, int]:
    """A peer's timing values, in cycles, under our names."""
    values = _ramulator_timing(config) if config.startswith("ramulator2") else _dramsim3_timing(config)
    values["tRC"] = max(values["tRC"], values["tRAS"] + values["tRP"])
    return values


def _ramulator_timing(config: str) -> dict[str, int]:
    given = configuration(config)["timings_cycles"]
    values = {ours: given[theirs] for theirs, ours in SHARED.items() if theirs in given}
    if "nRCD" in given:
        values |= {"tRCDRD": given["nRCD"], "tRCDWR": given["nRCD"]}
    to_write = given["nCL"] + (1 if config.endswith("gddr6") else given["nBL"] + 2 - given["nCWL"])
    return values | _turnaround(config, to_write, values["tCL"] + given["nBL"] - values["tCWL"])


def _dramsim3_timing(config: str) -> dict[str, int]:
    given = configuration(config)["effective_timing"]
    names = ("RP", "RAS", "RC", "WR", "RTP", "FAW", "RRD_S", "RRD_L", "CCD_S", "CCD_L", "WTR_S", "WTR_L")
    values = {"t" + name.replace("_", ""): int(given["t" + name]) for name in names}
    values |= {"tCL": int(given["RL"]), "tCWL": int(given["WL"]), "tRFCab": int(given["tRFC"])}
    if config.endswith("ddr4_3200"):
        values |= {"tRCDRD": int(given["tRCD"]), "tRCDWR": int(given["tRCD"]), "tRTRS": int(given["tRTRS"])}
    else:
        same = {f"t{name}L": values[f"t{name}S"] for name in ("CCD", "RRD", "WTR")}
        values |= same | {f"t{name}": int(given[f"t{name}"]) for name in ("RCDRD", "RCDWR", "PPD", "32AW")}
        values["tRFCpb"] = int(given["tRFCb"])
    on_bus = values["tCL"] + given["burst_cycle"] - values["tCWL"]
    return values | _turnaround(config, on_bus + int(given["tRTRS"]), on_bus)


def _turnaround(config: str, to_write: int, on_bus: int) -> dict[str, int]:
    """RD to WR as our standards take it: as a whole, or beyond what the bus needs."""
    return {"tBTA": to_write - on_bus} if "gddr6" in config else {"tRTW": to_write}


@cache
def device_of(config: str, refresh: bool = True) -> DramDevice:
    """One channel with a peer's organisation, timing values and all-bank refresh interval.

    Args:
        config: a key of ``PRESETS``.
        refresh: False for a case without refresh.
    """
    peer = configuration(config)
    sets = {f"timing.{name}": f"{cycles} ck" for name, cycles in timing(config).items()}
    if config.startswith("ramulator2"):
        interval, rows = peer["timings_cycles"]["nREFI"], peer["org"]["row"]
    else:
        interval, rows = int(peer["effective_timing"]["tREFI"]), int(peer["config"]["dram_structure"]["rows"])
        if "gddr6" in config:
            sets |= {"organization.bank_groups": "1", "organization.banks_per_group": "16", "organization.row_size": "4 KiB"}
            sets["bus.pin_rate"] = "28 Gb/s"
    sets |= {"organization.rows": str(rows), "refresh.mode": "all_bank" if refresh else "off"}
    if refresh:
        sets["refresh.interval"] = f"{interval} ck"
    device = load_device(PRESETS[config], [f"{key}={value}" for key, value in sets.items()])
    burst = peer["timings_cycles"]["nBL"] if config.startswith("ramulator2") else peer["effective_timing"]["burst_cycle"]
    assert device.params["nBL"] == burst
    return device


def table(config: str, case: str, kind: str) -> Rows:
    """The lines of a case's requests (``kind`` "req") or commands ("cmd")."""
    with gzip.open(DATA / f"{config}.{case}.{kind}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def requests_of(config: str, case: str) -> np.ndarray:
    """A case's requests as the controller takes them."""
    rows, org = table(config, case, "req"), device_of(config).organization
    placed = np.zeros(len(rows), PLACED)
    ramulator = config.startswith("ramulator2")
    group, column, arrive = ("bankgroup", "column", "earliest_tick") if ramulator else ("bg", "col", "arrive")

    def numbers(name: str) -> np.ndarray:
        return np.array([int(row.get(name, 0)) for row in rows])

    rank = numbers("pseudochannel") * org.ranks.value + numbers("rank")
    placed["bank"] = (rank * org.bank_groups.value + numbers(group)) * org.banks_per_group.value + numbers("bank")
    placed["arrive"], placed["row"], placed["col"] = numbers(arrive), numbers("row"), numbers(column)
    placed["write"] = [row["op"] == "W" for row in rows]
    return placed
