"""Cycle by cycle against aim_simulator (commit 0f28a07): its command sequences, issued by our kernel.

The peer's clock counts from 1, so its ``clk`` is our cycle + 1. It never refreshes, so refresh is off. Our preset
``aim`` is used as it stands. It departs from the peer's running values in tRRDS and tRRDL (11 for 5 and 6: the peer
overwrites its own preset), tFAW and tPPD (2 for the peer's tRP). ``test_the_preset_departs_where_it_says`` holds this
list. The cases of ``EXACT`` activate with ACT16 or one ACT at a time, so none of these values shows in them.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rowline.arch.device import DramDevice
from rowline.arch.loader import load_system
from rowline.arch.spec import Level, RowEffect
from rowline.sim.kernels import layout as at
from rowline.sim.reference.checker import check
from rowline.traces.commands import CommandStream, empty_stream

from ..conformance.kernel import Outcome, run_kernel

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram" / "aim_simulator"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")

SETS = ("device.refresh.mode=off",)
PEER_ROWS = (
    "device.timing.tRRDS=5 ck",
    "device.timing.tRRDL=6 ck",
    "device.timing.tFAW=5 ck",  # never binds
    "device.timing.tPPD=1 ck",  # never binds
)
DEVICE = load_system("aim", SETS).device

EXACT = {
    "mac_1row_1ch": 65,
    "mac_2row_1ch": 131,
    "mac_rows256_1ch": 16895,
    "gemv_2048x2048_1ch": 18048,
    "micro_af": 73,
    "micro_ewmul": 197,
    "micro_mac_sbk": 1040,
    "micro_wrabk": 32,
}
"""Case -> commands, all of which issue at the peer's cycle."""

ACCESSES = (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE)


def channels_of(case: str) -> dict[int, tuple[CommandStream, list[int]]]:
    """The peer's log of a case: channel -> its command sequence as a stream, and the cycles of issue."""
    rows: dict[int, list[tuple[int, int, int, int, int]]] = {}
    standard, size = DEVICE.dram_standard, DEVICE.organization.banks_per_group.value
    with gzip.open(DATA / f"{case}.cmd.csv.gz", "rt") as file:
        for line in csv.DictReader(file):
            command = standard.commands[standard.index[line["cmd"]]]
            group, bank = int(line["bankgroup"]), int(line["bank"])
            unit = {Level.BANK: group * size + bank, Level.BANKGROUP: group, Level.CHANNEL: 0}[command.footprint]
            row = int(line["row"]) if command.row in (RowEffect.OPEN, *ACCESSES) else -1
            col = int(line["col"]) if command.row in ACCESSES else -1
            entry = (standard.index[command.name], unit, row, col, int(line["clk"]) - 1)
            rows.setdefault(int(line["channel"]), []).append(entry)
    return {channel: _stream(entries) for channel, entries in rows.items()}


def _stream(entries: list[tuple[int, int, int, int, int]]) -> tuple[CommandStream, list[int]]:
    stream = empty_stream(len(entries))
    for position, name in enumerate(("cmd", "unit", "row", "col")):
        stream[name] = [entry[position] for entry in entries]
    return stream, [entry[4] for entry in entries]


def replay(stream: CommandStream, not_before: int = 0, device: DramDevice = DEVICE) -> Outcome:
    """The sequence in our kernel; nothing but the rules, and the release of the first command, times it."""
    run = run_kernel(device, stream, not_before)
    assert run.status == at.OK and len(run.log) == len(stream)
    assert [violation.text for violation in check(device, run.log)] == []
    return run


def departures(stream: CommandStream, ours: list[int], theirs: list[int]) -> Iterator[str]:
    """Where the spacing of two successive commands differs, in words."""
    names = [command.name for command in DEVICE.dram_standard.commands]
    for place in np.flatnonzero(np.diff(ours) != np.diff(theirs)).tolist():
        pair = " to ".join(names[cmd] for cmd in stream["cmd"][place : place + 2])
        yield f"{place}: {pair}: {ours[place + 1] - ours[place]}, peer {theirs[place + 1] - theirs[place]}"


@pytest.mark.parametrize("case", EXACT)
def test_command_for_command(case: str) -> None:
    ((stream, theirs),) = channels_of(case).values()
    ours = replay(stream).log["cycle"].tolist()
    assert len(ours) == EXACT[case]
    assert list(departures(stream, ours, theirs)) == []
    assert ours == theirs


def test_the_peer_spends_a_cycle_on_its_general_purpose_register() -> None:
    """Before WR_SBK the trace writes a register of the controller (``W GPR``), which takes the first cycle there."""
    ((stream, theirs),) = channels_of("micro_wrsbk_rdsbk").values()
    assert [cycle + 1 for cycle in replay(stream).log["cycle"].tolist()] == theirs
    assert replay(stream, not_before=1).log["cycle"].tolist() == theirs


def test_eight_channels() -> None:
    """Each channel by itself; the peer runs the eight in step: every channel gets the same sequence at the same clk."""
    channels = channels_of("gemv_2048x2048_8ch")
    assert sorted(channels) == list(range(24, 32))
    assert sum(len(stream) for stream, _ in channels.values()) == 18944
    first_stream, first_cycles = channels[31]
    for stream, theirs in channels.values():
        assert (stream.tolist(), theirs) == (first_stream.tolist(), first_cycles)
        ours = replay(stream).log["cycle"].tolist()
        assert list(departures(stream, ours, theirs)) == []
        assert ours == theirs


def test_the_preset_departs_where_it_says() -> None:
    """Our cycles against the values that the peer's binary held; a name apart is one that the preset's source names."""
    peer = json.loads((DATA / "aim.json").read_text())["effective_timings_cycles"]
    names = {"nRCDMAC": "nRCDRDMAC", "nRCDAF": "nRCDRDAF"}
    ours = {names.get(name, name): cycles for name, cycles in DEVICE.params.items()}
    shared = ours.keys() & peer.keys()
    assert len(shared) >= 24
    apart = {name: (ours[name], peer[name]) for name in shared if ours[name] != peer[name]}
    assert apart == {
        "nRRDS": (11, 5),
        "nRRDL": (11, 6),
        "nFAW": (42, 28),
        "nRFCpb": (120, 3333),  # the peer's preset vector is out of order there, and it never refreshes
    }


def test_plain_reads_and_writes_with_the_values_of_the_peer() -> None:
    """The peer's scheduler for plain requests reorders; its sequence, timed by our rules, is the peer's.

    Here the values apart show, so they are taken from the peer: tRRDS and tRRDL; neither a window of four activations
    (the peer's preset: not used for AiM) nor a gap between precharges of different banks is seen in its log.
    """
    ((stream, theirs),) = channels_of("micro_mem_rw").values()
    ours = replay(stream).log["cycle"].tolist()
    apart = list(departures(stream, ours, theirs))
    assert apart[0] == "0: ACT to ACT: 11, peer 5"
    run = replay(stream, device=load_system("aim", [*SETS, *PEER_ROWS]).device)
    assert list(departures(stream, run.log["cycle"].tolist(), theirs)) == []
    assert run.log["cycle"].tolist() == theirs
