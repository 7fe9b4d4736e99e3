"""What peers' controllers and their statistics do to requests: never served, coalesced, in an order of chance, counted wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rowline.arch.controller import Controller
from rowline.sim.address import AddressMap, place
from rowline.sim.kernels import memory_layout as ml
from rowline.sim.memory import Channel
from rowline.sim.memory_results import summarise
from rowline.sim.reference.controller import Twin
from rowline.sim.reference.upkeep import Candidate, Wishes
from rowline.traces.requests import empty_requests

from ..conformance.served import run_fast
from .exhibit import Exhibit, claim, hall
from .issue import Issued, quiet
from .serve import Served, by_kernel, by_twin, table

DDR4, HBM3 = quiet("ddr4-3200"), quiet("hbm3-6400")
MIXED = table((3 * i, i % 3 == 0, i * 7 % 16, i // 16, i % 64) for i in range(60))
SIDE_BY_SIDE = table((0, 0, 4 * (i % 4), i // 4, i) for i in range(24))


def all_served(served: Served) -> None:
    """Every request of the trace was served."""
    claim(len(served.kinds) == served.requests, f"{len(served.kinds)} of {served.requests} requests are served")


def none_swallowed(served: Served) -> None:
    """Requests of different places all reach the memory."""
    swallowed = sum(kind in ("forwarded", "merged") for kind in served.kinds)
    claim(swallowed == 0, f"{swallowed} of {served.requests} requests, all of different places, are forwarded or merged")


class NeverDrains(Twin):
    """Writes are served above the high watermark only."""

    def choose_mode(self) -> None:
        self.writing = len(self.writes) > self.high or (self.writing and len(self.writes) >= self.low)


class StopsAtAcceptance(Twin):
    """The run ends when the last request is accepted."""

    @property
    def busy(self) -> bool:
        return self.offered < len(self.trace)


# vectors of a trace become places


def vectors() -> np.ndarray:
    """Requests by vector, each of another place."""
    requests = empty_requests(48)
    numbers = np.arange(len(requests))
    requests["write"] = numbers % 3 == 0
    for name, size in (("bank_group", 4), ("bank", 4)):
        requests[name], numbers = numbers % size, numbers // size
    requests["channel"], requests["row"], requests["column"] = 0, 1, numbers
    return requests


def addressless() -> np.ndarray:
    """The same as placed by a reader that leaves the address at -1, and a queue that compares addresses."""
    placed = place(vectors(), AddressMap.of(DDR4, 1))
    for name in ("bank", "row", "col"):
        placed[name] = 0
    return placed


# ties


class Backwards(Twin):
    """Candidates turn up in another order, which must not matter."""

    def served_next(self, wishes: Wishes) -> list[Candidate]:
        return super().served_next(wishes)[::-1]


class FirstCome(Twin):
    """Of candidates of one class the one that turns up first."""

    def best(self, tick: int, wishes: Wishes) -> Candidate | None:
        ready = [each for each in self.served_next(wishes) if self.rows.allowed(each.request, tick)]
        return min(ready, key=lambda each: each.order[0], default=None)


class FirstComeBackwards(Backwards, FirstCome):
    """Both."""


def one_order(logs: tuple[Served, Served]) -> None:
    """Two logs are the same."""
    one, other = (list(zip(each.log["cycle"].tolist(), each.log["unit"].tolist(), strict=True)) for each in logs)
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), -1)
    claim(at < 0, f"command {at} goes to bank {one[at][1]}, or to {other[at][1]} if requests are found in another order")


# rates


def streams(text: str) -> Callable[[], Served]:
    """A stream of reads under an address mapping."""

    def run() -> Served:
        requests = empty_requests(512)
        requests["address"] = 32 * np.arange(len(requests))
        return by_kernel(HBM3, place(requests, AddressMap.of(HBM3, 1, text)))

    return run


def near_the_peak(served: Served) -> None:
    """At least nine tenths of the peak rate, from the first data to the last."""
    reads = served.log["cycle"][[name == "RD" for name in served.names]]
    device = served.device
    busy = len(reads) * device.params["nBL"] / device.organization.pseudo_channels.value
    share = busy / float(reads[-1] - reads[0] + device.params["nBL"])
    claim(share > 0.9, f"a stream of reads gets {share:.0%} of the peak rate")


# statistics


def two_channels(second: int) -> tuple[list[int], dict[str, Any]]:
    """Requests of each of two channels, and the statistics, in which the second channel's are those of number ``second``."""
    channels = [Channel(DDR4, Controller(), judged=False, logged=False) for _ in range(2)]
    pieces = [MIXED, MIXED[:20]]
    for channel, piece in zip(channels, pieces, strict=True):
        for _ in channel.feed(piece, more=False):
            pass
    return [len(piece) for piece in pieces], summarise(DDR4, [channels[0], channels[second]])


def adds_up(subject: tuple[list[int], dict[str, Any]]) -> None:
    """Each channel has its own requests, and they add up to the total."""
    requests, stats = subject
    counted = [each["reads"] + each["writes"] for each in stats["per_channel"]]
    claim(counted == requests, f"channels with {requests} requests count {counted}")
    claim(sum(counted) == stats["requests"], f"channels add up to {sum(counted)}, the total is {stats['requests']}")


def open_ticks(log: Issued, banks: Callable[[int], int]) -> int:
    """Ticks for which banks are open, of intervals that ended, if ``banks`` tells which one a command is for."""
    since, total = dict[int, int](), 0
    for name, cycle, unit in zip(log.names, log.log["cycle"].tolist(), log.log["unit"].tolist(), strict=True):
        if name == "ACT":
            since[banks(unit)] = cycle
        elif name == "PRE":
            total += cycle - since.pop(banks(unit), cycle)
    return total


def kernel_open_ticks() -> tuple[int, int]:
    """What the kernel counts, and what its log says."""
    answer, machine = run_fast(DDR4, Controller(), MIXED)
    return int(machine.variables[ml.V_OPEN_TICKS]), open_ticks(Issued(DDR4, answer.log), lambda bank: bank)


def by_bank_in_group() -> tuple[int, int]:
    """The same with the bank's number in its group for its number."""
    log = by_kernel(DDR4, MIXED)
    return open_ticks(log, lambda bank: bank % 4), open_ticks(log, lambda bank: bank)


def open_as_logged(ticks: tuple[int, int]) -> None:
    """Ticks counted as open are those of the log."""
    claim(ticks[0] == ticks[1], f"banks count as open for {ticks[0]} ticks, by the log they are for {ticks[1]}")


EXHIBITS = [
    Exhibit(
        "write-queue-never-drains", "Ramulator #45, PR #72", "writes below the watermark are never served, so the run never ends",
        "a finite trace ends with every request served", all_served,
        lambda: by_kernel(DDR4, MIXED), lambda: by_twin(NeverDrains, DDR4, MIXED, limit=3000),
    ),
    Exhibit(
        "stops-at-last-acceptance", "ramulator2 2.1 (pim-peers defect 6)", "a trace run stops when its last request is accepted",
        "a finite trace ends with every request served", all_served,
        lambda: by_kernel(DDR4, MIXED), lambda: by_twin(StopsAtAcceptance, DDR4, MIXED),
    ),
    Exhibit(
        "address-of-a-vector", "ramulator2 2.1, ReadWriteTrace (pim-peers defect 5)",
        "requests by vector have the address -1, so writes coalesce and reads are forwarded",
        "of requests by vector to different places none is forwarded or merged", none_swallowed,
        lambda: by_kernel(DDR4, place(vectors(), AddressMap.of(DDR4, 1))), lambda: by_kernel(DDR4, addressless()),
    ),
    Exhibit(
        "ties-by-arrival", "SST elements #74", "events of the same time go in the order in which they turned up",
        "the order in which candidates are found changes no command", one_order,
        lambda: tuple(by_twin(each, DDR4, SIDE_BY_SIDE) for each in (Twin, Backwards)),
        lambda: tuple(by_twin(each, DDR4, SIDE_BY_SIDE) for each in (FirstCome, FirstComeBackwards)),
    ),
    Exhibit(
        "low-bandwidth-of-a-stream", "ramulator2 #42, #104 (HBM)", "a stream gets a fraction of the bandwidth of the bus",
        "a stream of reads gets nine tenths of the peak rate", near_the_peak,
        streams(""), streams("ro-ra-ba-bg-co-pc-ch"),
    ),
    Exhibit(
        "statistics-of-the-second", "ramulator2 #116", "the second controller reports wrong statistics",
        "each channel counts its own requests, and they add up", adds_up, lambda: two_channels(1), lambda: two_channels(0),
    ),
    Exhibit(
        "bank-in-group-for-bank", "aim_simulator (pim-peers defect 4)",
        "open rows are kept by the bank's number in its group, so active time, and energy, is wrong",
        "the time for which banks count as open is that of the log", open_as_logged, kernel_open_ticks, by_bank_in_group,
    ),
]  # fmt: skip

test_ours, test_seeded = hall(EXHIBITS)
