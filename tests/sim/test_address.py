"""Address mappings: one to one whatever the text, equal to DRAMsim3's decode, and clear about what is wrong."""

import csv
import gzip
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rowline.arch.device import DramDevice
from rowline.arch.loader import list_devices, load_device
from rowline.sim.address import AddressMap, Decoded, PlaceError, default_mapping, place
from rowline.sim.address_fields import FIELDS, sizes_of, width_of
from rowline.traces.requests import empty_requests

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dram" / "dramsim3"
SMALL = load_device(
    "hbm3-6400",
    [f"organization.{text}" for text in ("rows=8", "row_size=128 B", "rank_size=16 KiB", "ranks=2", "pseudo_channels=2")],
)  # 2 x 2 x 4 x 4 banks of 8 rows of 4 columns of 32 B
BIG = {name: load_device(name) for name in ("ddr4-3200", "ddr5-4800", "gddr6-14000", "hbm2-2000", "hbm3-6400", "lpddr5-6400")}


def bits_of(address: int, low: int, width: int) -> int:
    return address >> low & ((1 << width) - 1)


def slow_decode(
    device: DramDevice, channels: int, pieces: list[tuple[str, int]], bank_hash: bool, address: int
) -> tuple[int, ...]:
    """One address taken apart field by field, as the text of a mapping says it; ``pieces`` are least significant first."""
    org = device.organization
    values, have = dict.fromkeys(FIELDS, 0), dict.fromkeys(FIELDS, 0)
    low = width_of(org.access_size.value)
    for name, width in pieces:
        values[name] |= bits_of(address, low, width) << have[name]
        low, have[name] = low + width, have[name] + width
    if bank_hash:
        values["ba"] ^= values["ro"] % org.banks_per_group.value
        values["bg"] ^= values["ro"] // org.banks_per_group.value % org.bank_groups.value
    bank = values["pc"]
    for name, size in (("ra", org.ranks), ("bg", org.bank_groups), ("ba", org.banks_per_group)):
        bank = bank * size.value + values[name]
    return values["ch"], bank, values["ro"], values["co"]


@st.composite
def mappings(draw: st.DrawFn, device: DramDevice, channels: int) -> tuple[str, list[tuple[str, int]]]:
    """A text, and its pieces with their widths, least significant first."""
    pieces: list[tuple[str, int, str]] = []
    for name, size in sizes_of(device.organization, channels).items():
        width = width_of(size)
        cuts = sorted(draw(st.sets(st.integers(1, width - 1), max_size=2))) if width > 1 else []
        ends = list(zip([0, *cuts], [*cuts, width], strict=True))
        bare = draw(st.integers(0, len(ends)))  # which piece gives no number; the last value: none
        for i, (begin, end) in enumerate(ends):
            pieces.append((name, end - begin, name if i == bare else f"{name}{end - begin}"))
    pieces = draw(st.permutations(pieces))
    text = draw(st.sampled_from(["", "-"])).join(piece[2] for piece in reversed(pieces))
    return text, [piece[:2] for piece in pieces]


TEXTS = (
    "",
    "rochpcrababgco",
    "ro-co1-ba-bg-ra-pc-co-ch",
    "co-ch-pc-ra-bg1-ba-bg-ro",
    "RoRaBgBa-PcCo-Ch",
    "ba1-ro2-ba-ch-bg-ro-pc-ra-co",
)


@pytest.mark.parametrize("bank_hash", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_every_access_of_a_small_memory_has_one_place(text: str, bank_hash: bool) -> None:
    channels = 4
    mapped = AddressMap.of(SMALL, channels, text, bank_hash)
    org = SMALL.organization
    addresses = np.arange(0, mapped.capacity_bytes, org.access_size.value)
    places = mapped.decode(addresses)
    flat = ((places.channel * org.banks + places.bank) * org.rows.value + places.row) * org.columns + places.col
    assert sorted(flat.tolist()) == list(range(len(addresses)))
    assert np.array_equal(mapped.encode(*places), addresses)
    within = mapped.decode(addresses + 17)
    assert all(np.array_equal(a, b) for a, b in zip(places, within, strict=True))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_mapping_of_any_standard_is_its_text_and_one_to_one(data: st.DataObject) -> None:
    device = BIG[data.draw(st.sampled_from(sorted(BIG)))]
    channels = data.draw(st.sampled_from([1, 2, 16, 64]))
    text, pieces = data.draw(mappings(device, channels))
    bank_hash = data.draw(st.booleans())
    mapped = AddressMap.of(device, channels, text, bank_hash)
    access = device.organization.access_size.value
    numbers = data.draw(st.lists(st.integers(0, mapped.capacity_bytes // access - 1), min_size=1, max_size=20))
    addresses = np.array(numbers) * access
    places = mapped.decode(addresses)
    assert np.array_equal(mapped.encode(*places), addresses)
    expected = [slow_decode(device, channels, pieces, bank_hash, int(address)) for address in addresses]
    assert [tuple(map(int, each)) for each in zip(*places, strict=True)] == expected


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_places_and_back(data: st.DataObject) -> None:
    device = BIG[data.draw(st.sampled_from(sorted(BIG)))]
    org = device.organization
    mapped = AddressMap.of(device, 8, "", data.draw(st.booleans()))
    bounds = (8, org.banks, org.rows.value, org.columns)
    given_place = [data.draw(st.integers(0, bound - 1)) for bound in bounds]
    assert [int(each[0]) for each in mapped.decode(mapped.encode(*given_place))] == given_place


def test_the_hash_sends_conflicting_rows_to_all_banks_of_a_rank() -> None:
    device = BIG["ddr4-3200"]
    plain, hashed = (AddressMap.of(device, 1, "", bank_hash) for bank_hash in (False, True))
    rows = plain.encode(0, 0, np.arange(16), 0)
    assert set(plain.decode(rows).bank) == {0}
    assert sorted(hashed.decode(rows).bank) == list(range(16))
    assert (plain.row_stride, hashed.row_stride) == (1, 16)
    apart = rows[0] + hashed.row_stride * (rows[1] - rows[0]) * np.arange(3)
    assert set(hashed.decode(apart).bank) == {0}


@pytest.mark.parametrize("name", list_devices())
def test_the_default_spreads_over_channels_pseudo_channels_and_groups(name: str) -> None:
    device, channels = load_device(name), 4
    org = device.organization
    mapped = AddressMap.of(device, channels)
    assert mapped.text == default_mapping(device)
    spread = channels * org.pseudo_channels.value * org.bank_groups.value
    addresses = np.arange(spread * org.columns) * org.access_size.value
    places = mapped.decode(addresses)
    first = {(int(c), int(b)) for c, b in zip(places.channel[:spread], places.bank[:spread], strict=True)}
    assert len(first) == spread
    assert places.row.max() == 0 and sorted(set(places.col)) == list(range(org.columns))
    assert mapped.capacity_bytes == channels * org.capacity_bytes


def test_a_number_of_rows_or_channels_that_is_no_power_of_two_goes_on_top() -> None:
    device = load_device("hbm3-6400", ["organization.rows=12288", "organization.rank_size=192 MiB"])
    mapped = AddressMap.of(device, 2)
    last = mapped.decode([mapped.capacity_bytes - 1])
    assert [int(each[0]) for each in last] == [1, 63, 12287, 31]
    with pytest.raises(PlaceError, match=r"request 0: address 0x\w+ is beyond"):
        mapped.decode([mapped.capacity_bytes])
    assert [int(each[0]) for each in mapped.decode([mapped.capacity_bytes + 32], wrap=True)] == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="ro: 12288 is no power of two, so the row must be whole and the most significant field"):
        AddressMap.of(device, 1, "rarobabgcopc")
    with pytest.raises(ValueError, match="ch: 40 is no power of two"):
        AddressMap.of(BIG["hbm2-2000"], 40)
    mapped = AddressMap.of(BIG["hbm2-2000"], 40, "ch-ro-ba-co-bg-pc", True)
    assert int(mapped.decode([mapped.capacity_bytes - 1]).channel[0]) == 39


CASES = [
    ("rochrababgc", 'unknown field "c"'),
    ("ro-bank-bg-co", 'unknown field "bank"; did you mean "ba"?'),
    ("ro-ba-bg-col4", 'unknown field "col4"; did you mean "co"?'),
    ("robaxxco", 'unknown field "xx"; fields are ch, pc, ra, bg, ba, ro, co'),
    ("ro--ba-bg-co", 'unknown field ""'),
    ("ro-ba-bg-\x1b[1m", r'unknown field "\x1b[1m"'),
    ("ro-bg-co", "lacks ba, the bank, which has 2 bits"),
    ("ro-ba-bg-co-ch", None),
    ("ro-ba-bg-co2", "co has 2 bits, the column needs 7"),
    ("ro-ba-bg-co8", "co has 8 bits, the column needs 7"),
    ("ro-ba-bg-co4-ra1-co", "ra has 1 bits, the rank needs 0"),
    ("ro-ba-bg-co-ra-co", "co stands in several pieces"),
    ("ro-ba-bg-co3-ra-co4", None),
    ("ro" * 60, "mapping of 120 characters"),
]


@pytest.mark.parametrize(("text", "problem"), CASES)
def test_what_is_wrong_with_a_mapping_is_said(text: str, problem: str | None) -> None:
    if problem is None:
        AddressMap.of(BIG["ddr4-3200"], 1, text)
        return
    with pytest.raises(ValueError) as error:
        AddressMap.of(BIG["ddr4-3200"], 1, text)
    assert problem in str(error.value) and str(error.value).isprintable()


def test_an_access_that_is_no_power_of_two_has_no_mapping() -> None:
    device = load_device(
        "ddr4-3200", ["organization.access_size=96 B", "organization.row_size=6 KiB", "organization.rank_size=6 GiB"]
    )
    with pytest.raises(ValueError, match="access_size: 96 B is no power of two"):
        AddressMap.of(device, 1)


def test_addresses_outside_are_named_by_number_or_wrapped() -> None:
    mapped = AddressMap.of(SMALL, 4, "", True)
    addresses = np.arange(40_000) % 1000 * 32
    addresses[33_333] = mapped.capacity_bytes + 64
    with pytest.raises(PlaceError, match="request 1033333: address 0x40040 is beyond the capacity of 0x40000 bytes") as error:
        mapped.decode(addresses, first=1_000_000)
    assert error.value.index == 1_033_333
    assert [int(each[33_333]) for each in mapped.decode(addresses, wrap=True)] == [
        int(each[2]) for each in mapped.decode(addresses[:3])
    ]
    with pytest.raises(PlaceError, match="request 1: address -5 is negative"):
        mapped.decode([0, -5], wrap=True)
    with pytest.raises(PlaceError, match="request 1: bank 64 is not from 0 to 63"):
        mapped.encode(0, [3, 64], 0, 0)
    assert all(len(each) == 0 for each in mapped.decode(np.empty(0, np.int64)))


def vector(**levels: int) -> np.ndarray:
    requests = empty_requests(1)
    for name, value in ({"column": 1, "row": 2, "bank": 3, "bank_group": 1} | levels).items():
        requests[name] = value
    return requests


def test_requests_with_vectors_keep_their_places() -> None:
    mapped = AddressMap.of(SMALL, 4, "", True)
    full = vector(channel=2, pseudo_channel=1, rank=1)
    by_address = empty_requests(1)
    by_address["address"], by_address["arrive"], by_address["write"] = 4096, 7, 1
    without_group = vector(channel=0, pseudo_channel=0, rank=1, bank_group=-1, bank=15)
    placed = place(np.concatenate([full, by_address, without_group]), mapped)
    assert placed[0].tolist() == (0, 0, 2, 32 + 16 + 4 + 3, 2, 1)
    assert placed[1].tolist() == (7, 1, *(int(each[0]) for each in mapped.decode([4096])))
    assert placed[2].tolist() == (0, 0, 0, 16 + 15, 2, 1)
    one = AddressMap.of(BIG["ddr4-3200"], 1)
    assert place(vector(), one)[0].tolist() == (0, 0, 0, 7, 2, 1)
    assert place(empty_requests(0), one).dtype.names == ("arrive", "write", "channel", "bank", "row", "col")


@pytest.mark.parametrize(
    ("levels", "problem"),
    [
        ({"channel": 4}, "channel 4 is not from 0 to 3"),
        ({"channel": -1}, "names no channel, of which there are 4"),
        ({"bank": 4}, "bank 4 is not from 0 to 3"),
        ({"bank_group": -1, "bank": 16}, "bank 16 is not from 0 to 15"),
        ({"bank_group": -1, "bank": -1}, "names no bank, of which there are 16"),
        ({"bank_group": 4}, "bank_group 4 is not from 0 to 3"),
        ({"row": -1}, "names no row, of which there are 8"),
        ({"row": 8}, "row 8 is not from 0 to 7"),
        ({"column": 4}, "column 4 is not from 0 to 3"),
        ({"address": 0x40000}, "address 0x40000 is beyond"),
    ],
)
def test_requests_outside_are_named_by_number(levels: dict[str, int], problem: str) -> None:
    mapped = AddressMap.of(SMALL, 4)
    good = vector(channel=0, pseudo_channel=0, rank=0)
    addressed = empty_requests(1)
    addressed["address"] = 64
    bad = vector(**({"channel": 0, "pseudo_channel": 0, "rank": 0} | levels))
    with pytest.raises(PlaceError, match=f"^request 103: {problem}") as error:
        place(np.concatenate([good, addressed, addressed, bad]), mapped, first=100)
    assert error.value.index == 103


DRAMSIM3 = {
    "ddr4_3200": load_device("ddr4-3200"),
    "gddr6": load_device(
        "gddr6-14000",
        [f"organization.{text}" for text in ("bank_groups=1", "banks_per_group=16", "row_size=4 KiB", "rank_size=1 GiB")],
    ),
}


def dramsim3_files() -> list[Path]:
    return sorted(path for path in DATA.glob("*.req.csv.gz") if path.name.startswith(("ddr4_3200.", "gddr6.", "gddr6_close.")))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no peer data in {DATA}")
def test_decode_equals_dramsim3() -> None:
    files = dramsim3_files()
    assert len(files) >= 20
    for path in files:
        device = DRAMSIM3[path.name.split(".")[0].removesuffix("_close")]
        with gzip.open(path, "rt") as file:
            table = [{key: int(line[key], 0) for key in ("addr", "bg", "bank", "row", "col")} for line in csv.DictReader(file)]
        places = AddressMap.of(device, 1, "rochrababgco").decode([line["addr"] for line in table])
        size = device.organization.banks_per_group.value
        expected = Decoded(
            *(
                np.array(each, np.int32)
                for each in (
                    [0] * len(table),
                    [line["bg"] * size + line["bank"] for line in table],
                    [line["row"] for line in table],
                    [line["col"] for line in table],
                )
            )
        )
        for name, ours, theirs in zip(Decoded._fields, places, expected, strict=True):
            assert np.array_equal(cast(np.ndarray, ours), theirs), (path.name, name)
