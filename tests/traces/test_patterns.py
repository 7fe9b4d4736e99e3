"""Synthetic request patterns: what they ask for, exactness, independence of the chunk, limits, speed of a kind."""

import csv
import gzip
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rowline.traces.patterns import CHUNK, MAX_CAPACITY, MAX_CHUNK, MAX_INTERVAL, MAX_REQUESTS, PATTERNS, pattern
from rowline.traces.requests import MAX_CYCLE, REQUEST, first_bad

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram" / "dramsim3"
MEMORY: dict[str, Any] = {"capacity_bytes": 1 << 20, "access_bytes": 64, "row_bytes": 1024, "stride_bytes": 16384}


def table(name: str, requests: int, **changes: Any) -> np.ndarray:
    chunks = list(pattern(name, requests, **(MEMORY | changes)))
    return np.concatenate([np.empty(0, REQUEST), *chunks])


def addresses(name: str, requests: int, **changes: Any) -> list[int]:
    return table(name, requests, **changes)["address"].tolist()


def test_stream_goes_through_the_memory_and_round() -> None:
    assert addresses("stream", 5) == [0, 64, 128, 192, 256]
    assert addresses("stream", 7, capacity_bytes=300) == [0, 64, 128, 192, 0, 64, 128]
    assert addresses("stream", 3, capacity_bytes=64) == [0, 0, 0]


def test_stride_is_a_row_by_default_and_goes_round() -> None:
    assert addresses("stride", 4, stride_bytes=None) == [0, 1024, 2048, 3072]
    assert addresses("stride", 6, capacity_bytes=1024, stride_bytes=384) == [0, 384, 768, 128, 512, 896]
    assert addresses("stride", 3, capacity_bytes=1024, stride_bytes=1024) == [0, 0, 0]


def test_pingpong_takes_two_rows_in_turn_column_by_column() -> None:
    assert addresses("pingpong", 6) == [0, 16384, 64, 16448, 128, 16512]
    assert addresses("pingpong", 6, row_bytes=128, step_bytes=256) == [0, 16384, 256, 16640, 0, 16384]


def test_mixed_has_reads_below_and_writes_above() -> None:
    requests = table("mixed", 6)
    assert requests["address"].tolist() == [0, 1 << 19, 64, (1 << 19) + 64, 128, (1 << 19) + 128]
    assert requests["write"].tolist() == [0, 1, 0, 1, 0, 1]
    requests = table("mixed", 9, write_share=1 / 3)
    assert requests["write"].tolist() == [0, 0, 1] * 3
    assert addresses("mixed", 5, capacity_bytes=192, write_share=0) == [0] * 5


def test_random_is_uniform_and_its_own_for_each_seed() -> None:
    counts = np.bincount(table("random", 160_000, capacity_bytes=16 * 64)["address"] // 64, minlength=16)
    assert len(counts) == 16 and abs(counts - 10_000).max() < 500
    odd = np.bincount(table("random", 150_000, capacity_bytes=15 * 64)["address"] // 64)
    assert len(odd) == 15 and abs(odd - 10_000).max() < 500
    assert addresses("random", 100, seed=1) == addresses("random", 100, seed=1) != addresses("random", 100, seed=2)


def test_random_stays_what_it_was() -> None:
    requests = table("random", 4, capacity_bytes=1 << 34, seed=7, write_share=Fraction(1, 2))
    assert requests["address"].tolist() == GOLDEN_ADDRESSES
    assert requests["write"].tolist() == GOLDEN_WRITES


GOLDEN_ADDRESSES = [2035458752, 16267257152, 4340996224, 5813948544]
GOLDEN_WRITES = [0, 1, 1, 1]


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - {"mixed"}))
@pytest.mark.parametrize("share", [0, 0.3, Fraction(2, 3), 1])
def test_writes_have_their_share(name: str, share: float) -> None:
    writes = table(name, 100_000, write_share=share)["write"]
    assert abs(writes.mean() - float(share)) < (0.01 if 0 < share < 1 else 1e-9)
    plain = table(name, 100)
    assert plain["address"].tolist() == addresses(name, 100, write_share=share) and not plain["write"].any()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_chunk_changes_nothing(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(PATTERNS))
    changes: dict[str, Any] = {
        "capacity_bytes": data.draw(st.integers(20_000, MAX_CAPACITY)),
        "access_bytes": data.draw(st.sampled_from([1, 32, 64, 96])),
        "stride_bytes": data.draw(st.integers(1, 19_000)),
        "step_bytes": data.draw(st.integers(0, 5000)),
        "interval": data.draw(st.fractions(0, 1000, max_denominator=1 << 20)),
        "write_share": data.draw(st.fractions(0, 1, max_denominator=1 << 20)),
        "seed": data.draw(st.integers(0, 2**64 - 1)),
    }
    requests = data.draw(st.integers(0, 300))
    whole = table(name, requests, **changes)
    assert len(whole) == requests and first_bad(whole) is None
    assert np.array_equal(whole, table(name, requests, chunk=data.draw(st.integers(1, 40)), **changes))
    assert whole["arrive"].tolist() == [i * changes["interval"] // 1 for i in range(requests)]
    assert whole["address"].max(initial=0) < changes["capacity_bytes"]


def test_far_requests_are_exact() -> None:
    """The last chunks of traces as long as they may be."""
    from rowline.traces.patterns import _multiples, _steps  # pyright: ignore[reportPrivateUsage]

    first, factor = MAX_REQUESTS - MAX_CHUNK, Fraction((1 << 41) - 1, (1 << 20) - 3)
    expected = [i * factor // 1 for i in (first, first + 12345, MAX_REQUESTS - 1)]
    assert _multiples(first, MAX_CHUNK, factor)[[0, 12345, -1]].tolist() == expected
    step, size = MAX_CAPACITY - 4096, MAX_CAPACITY - 64
    far = _steps(first, MAX_CHUNK, step, size)
    assert far[[0, 777, -1]].tolist() == [i * step % size for i in (first, first + 777, MAX_REQUESTS - 1)]


def test_arrivals_of_an_interval_that_is_a_float_are_those_of_the_fraction_it_means() -> None:
    assert table("stream", 31, interval=0.1)["arrive"].tolist() == [i // 10 for i in range(31)]
    assert table("stream", 4, interval=40)["arrive"].tolist() == [0, 40, 80, 120]
    assert not table("stream", 4)["arrive"].any()


@pytest.mark.parametrize("name", PATTERNS)
def test_memory_does_not_grow_with_the_trace(name: str) -> None:
    def peak(requests: int) -> int:
        tracemalloc.start()
        total = sum(len(chunk) for chunk in pattern(name, requests, write_share=0.5, interval=Fraction(3, 2), **MEMORY))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == requests
        return size

    assert peak(40 * CHUNK) < peak(4 * CHUNK) * 1.1


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("streem", {}, "no pattern 'streem'; did you mean \"stream\"?"),
    ("\x1b[1m", {}, r"no pattern '\x1b[1m'; there are stream, random, stride, pingpong, mixed"),
    ("stream", {"requests": -1}, "requests: -1 is not from 0"),
    ("stream", {"requests": MAX_REQUESTS + 1}, "requests: "),
    ("stream", {"chunk": 0}, "chunk: 0 is not from 1"),
    ("random", {"seed": -1}, "seed: -1"),
    ("stream", {"access_bytes": 0}, "access_bytes: 0"),
    ("stream", {"capacity_bytes": 63}, "capacity_bytes: 63 is not from 64"),
    ("mixed", {"capacity_bytes": 127}, "capacity_bytes: 127 is not from 128"),
    ("stream", {"capacity_bytes": MAX_CAPACITY + 1}, "capacity_bytes: "),
    ("stream", {"row_bytes": 32}, "row_bytes: 32 is not from 64"),
    ("stride", {"stride_bytes": 0}, "stride_bytes: 0 is not from 1"),
    ("pingpong", {"stride_bytes": None}, "pingpong: needs stride_bytes"),
    ("pingpong", {"stride_bytes": 1 << 20}, "leads out of a memory of 1048576 bytes"),
    ("pingpong", {"step_bytes": 1 << 43}, "step_bytes: "),
    ("stream", {"write_share": 1.5}, "write_share: 3/2 is above 1"),
    ("stream", {"write_share": -0.5}, "write_share: -0.5 is no number from 0 on"),
    ("stream", {"write_share": float("nan")}, "write_share: nan"),
    ("stream", {"interval": float("inf")}, "interval: inf"),
    ("stream", {"interval": MAX_INTERVAL + 1}, "interval: 16777217 is above 16777216 ticks"),
    ("stream", {"interval": MAX_INTERVAL, "requests": MAX_REQUESTS}, f"would arrive after cycle {MAX_CYCLE}"),
]


@pytest.mark.parametrize(("name", "changes", "problem"), BAD)
def test_what_is_wrong_is_said_at_once(name: str, changes: dict[str, Any], problem: str) -> None:
    make: Callable[..., Any] = pattern
    with pytest.raises(ValueError) as error:
        make(name, **({"requests": 10} | MEMORY | changes))
    assert problem in str(error.value) and str(error.value).isprintable()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")
@pytest.mark.parametrize(
    ("case", "capacity", "access"), [("ddr4_3200.seq_read", 1 << 33, 64), ("gddr6.mixed_seq_rw", 1 << 30, 32)]
)
def test_the_patterns_of_the_reference_cases(case: str, capacity: int, access: int) -> None:
    with gzip.open(DATA / f"{case}.req.csv.gz", "rt") as file:
        theirs = [(int(line["addr"], 0), int(line["op"] == "W")) for line in csv.DictReader(file)]
    name = "stream" if "seq_read" in case else "mixed"
    ours = table(name, len(theirs), capacity_bytes=capacity, access_bytes=access, row_bytes=4096)
    assert [(int(each["address"]), int(each["write"])) for each in ours] == theirs
