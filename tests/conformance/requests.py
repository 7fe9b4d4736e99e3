"""Random requests and random controllers, for comparing the memory controller's kernel with its slow twin."""

from collections.abc import Callable

import numpy as np
from rowline.arch.controller import Controller, Prefer, RowPolicy, Scheduler
from rowline.arch.device import DramDevice, RefreshMode

CHANNEL_REQUEST = np.dtype([("arrive", np.int64), ("write", np.bool_), ("bank", np.int32), ("row", np.int32), ("col", np.int32)])
"""One request to a channel, its bank numbered through the channel."""

Places = np.ndarray
Generator = Callable[[np.random.Generator, DramDevice, int], Places]


def request_table(rows: list[tuple[int, bool | int, int, int, int]]) -> np.ndarray:
    """A table of requests from (arrive, write, bank, row, col)."""
    return np.array(rows, CHANNEL_REQUEST)


# where requests go: bank, row and col, and whether they write


def _empty(length: int) -> Places:
    return np.zeros(length, CHANNEL_REQUEST)


def _random(rng: np.random.Generator, device: DramDevice, length: int) -> Places:
    """Anywhere, in few enough rows for some hits."""
    organization, out = device.organization, _empty(length)
    out["bank"] = rng.integers(organization.banks, size=length)
    out["row"] = rng.integers(min(6, organization.rows.value), size=length)
    out["col"] = rng.integers(organization.columns, size=length)
    out["write"] = rng.random(length) < 0.35
    return out


def _streams(rng: np.random.Generator, device: DramDevice, length: int) -> Places:
    """A few streams that walk through rows, taking turns of random length."""
    organization, out = device.organization, _empty(length)
    number = int(rng.integers(2, 6))
    bank = rng.integers(organization.banks, size=number)
    place = rng.integers(0, 3 * organization.columns, size=number)
    write = rng.random(number) < 0.3
    stream = 0
    for index in range(length):
        if rng.random() < 0.3:
            stream = int(rng.integers(number))
        row, col = divmod(int(place[stream]), organization.columns)
        out[index] = (0, write[stream], bank[stream], row, col)
        place[stream] += 1
    return out


def _pingpong(rng: np.random.Generator, device: DramDevice, length: int) -> Places:
    """Rows of a single bank, with short runs of hits: what the row hit cap is for."""
    out = _empty(length)
    out["bank"] = rng.integers(device.organization.banks)
    out["row"] = np.repeat(rng.integers(3, size=length), rng.integers(1, 4, size=length))[:length]
    out["col"] = rng.integers(device.organization.columns, size=length)
    out["write"] = rng.random(length) < 0.2
    return out


def _two_banks(rng: np.random.Generator, device: DramDevice, length: int) -> Places:
    """The first and the last bank: of different ranks or pseudo-channels where there are such."""
    out = _random(rng, device, length)
    out["bank"] = np.where(rng.random(length) < 0.5, 0, device.organization.banks - 1)
    return out


def _writes(rng: np.random.Generator, device: DramDevice, length: int) -> Places:
    """Mostly writes, so that the watermarks matter."""
    out = _random(rng, device, length)
    out["write"] = rng.random(length) < 0.85
    return out


def _duplicates(rng: np.random.Generator, device: DramDevice, length: int) -> Places:
    """Few places, read and written over and over: forwarding and merging."""
    out = _random(rng, device, length)
    out["bank"] = rng.integers(min(3, device.organization.banks), size=length)
    out["row"] = rng.integers(2, size=length)
    out["col"] = rng.integers(3, size=length)
    out["write"] = rng.random(length) < 0.5
    return out


PLACES: dict[str, Generator] = {
    "random": _random,
    "streams": _streams,
    "pingpong": _pingpong,
    "two_banks": _two_banks,
    "writes": _writes,
    "duplicates": _duplicates,
}


# when they arrive


def _dense(rng: np.random.Generator, device: DramDevice, length: int) -> np.ndarray:
    """Faster than the channel can serve: several on one tick."""
    return np.cumsum(rng.integers(0, 3, size=length))


def _sparse(rng: np.random.Generator, device: DramDevice, length: int) -> np.ndarray:
    """Slower than a row cycle, mostly."""
    return np.cumsum(rng.integers(0, 3 * device.params["nRC"], size=length))


def _bursty(rng: np.random.Generator, device: DramDevice, length: int) -> np.ndarray:
    """Bursts, and between them gaps of up to two refresh intervals (of the longest, or as if there were refresh)."""
    gap = 2 * max(device.refresh_interval, 200)
    pause = np.where(rng.random(length) < 0.03, rng.integers(1, gap, size=length), 0)
    return np.cumsum(pause + rng.integers(0, 2, size=length))


ARRIVALS = {"dense": _dense, "sparse": _sparse, "bursty": _bursty}


def random_requests(device: DramDevice, seed: int, places: str, arrivals: str, length: int = 200) -> np.ndarray:
    """``length`` requests; the same for the same arguments.

    Args:
        device: the channel that they go to.
        seed: of the random numbers.
        places: a key of ``PLACES``.
        arrivals: a key of ``ARRIVALS``.
        length: number of requests.
    """
    rng = np.random.default_rng([seed, *places.encode(), *arrivals.encode()])
    out = PLACES[places](rng, device, length)
    out["arrive"] = ARRIVALS[arrivals](rng, device, length)
    return out


# controllers


def controllers(seed: int, device: DramDevice | None = None) -> Controller:
    """A random valid controller, with small queues more often than not.

    Args:
        seed: of the random numbers.
        device: whose limits of refresh and power the controller shall use; without one it uses none of them.
    """
    rng = np.random.default_rng(seed)
    low, high = sorted(int(x) for x in rng.choice(11, size=2, replace=False))

    def pick(*options: object) -> object:
        return options[int(rng.integers(len(options)))]

    tree: dict[str, object] = {
        "read_queue": pick(1, 2, 4, 8, 32),
        "write_queue": pick(1, 2, 4, 8, 32),
        "write_low": f"{low / 10}",
        "write_high": f"{high / 10}",
        "scheduler": pick(Scheduler.FRFCFS, Scheduler.FRFCFS, Scheduler.FRFCFS, Scheduler.FCFS),
        "prefer": pick(*Prefer),
        "row_hit_cap": pick(0, 1, 2, 4, 16),
        "row_policy": pick(*RowPolicy),
        "row_timeout": pick("0 ck", "1 ck", "20 ns", "100 ns", "500 ck"),
    }
    if device is not None:
        tree |= _upkeep(device, rng, pick)
    return Controller.model_validate(tree)


def _upkeep(device: DramDevice, rng: np.random.Generator, pick: Callable[..., object]) -> dict[str, object]:
    """Refresh and power policy within the limits of a device."""
    refresh = device.refresh
    tree: dict[str, object] = {"refresh_pull_in": int(rng.integers(refresh.pull_in_limit.value + 1))}
    if rng.random() < 0.8:
        tree["refresh_postpone"] = int(rng.integers(min(3, refresh.postpone_limit.value + 1)))
    if "PDE" in device.dram_standard.index:
        tree["power_down"] = pick("0 ck", "1 ck", "20 ck", "100 ns")
        if refresh.mode != RefreshMode.OFF:
            tree["self_refresh"] = pick("0 ck", "0 ck", "1 ck", "500 ck", "2 us")
    return tree
