"""The oracle against cases worked out by hand."""

import numpy as np
import pytest
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.loader import load_system
from rowline.sim.reference.oracle import IllegalStream, run_oracle
from rowline.traces.commands import BINDING_HOST, BINDING_REFRESH_DUE, BINDING_START, IssueLog, expand_runs

from ..conformance.devices import refresh_mode
from ..conformance.streams import Builder, random_stream

AIM = load_system("aim").device
QUIET = refresh_mode(AIM, RefreshMode.OFF)
PER_BANK = refresh_mode(AIM, RefreshMode.PER_BANK)
INTERVAL = 3800  # 1.9 us at 2 GHz
MODES = list(RefreshMode)


def issued(device: DramDevice, log: IssueLog) -> list[tuple[str, int, int]]:
    """Name, unit and cycle of each command."""
    names = [command.name for command in device.dram_standard.commands]
    return [(names[row["cmd"]], int(row["unit"]), int(row["cycle"])) for row in log]


def deciders(device: DramDevice, log: IssueLog) -> list[str | int]:
    """Name of the rule that decided each cycle, or the BINDING value."""
    return [device.dram_standard.rules[rule].name if rule >= 0 else int(rule) for rule in log["rule"]]


def row_of_macs(builder: Builder, row: int = 0, safe: bool = False) -> None:
    """A whole row of all-bank MACs."""
    builder.add("ACT16", row=row, safe=safe)
    builder.add("MAC16", count=builder.device.organization.columns)
    builder.add("PREA")


def test_a_row_of_macs_takes_226_cycles() -> None:
    builder = Builder(QUIET)
    for row in range(3):
        row_of_macs(builder, row)
    log = run_oracle(QUIET, builder.stream())
    assert QUIET.organization.columns == 64
    acts = [cycle for name, _, cycle in issued(QUIET, log) if name == "ACT16"]
    assert acts == [0, 226, 452]  # 56 to the first MAC, 63 x 2 to the last, 12 to PREA, 32 to ACT16
    assert issued(QUIET, log)[1][2] == 56
    assert issued(QUIET, log)[64][2] == 56 + 126
    assert issued(QUIET, log)[65] == ("PREA", 0, 194)
    assert deciders(QUIET, log)[:3] == [BINDING_START, "tRCDMAC", "tCCDL-PIM-RD"]
    assert deciders(QUIET, log)[65:67] == ["tRTP-PIM", "tRP"]


def test_columns_count_up_in_a_run_and_registers_have_none() -> None:
    builder = Builder(QUIET)
    builder.add("ACT", 3, row=7)
    builder.add("RD", 3, col=5, count=3)
    builder.add("WRGB", count=2)
    log = run_oracle(QUIET, builder.stream())
    assert log["col"].tolist() == [-1, 5, 6, 7, -1, -1]
    assert log["row"].tolist() == [7, 7, 7, 7, -1, -1]


def test_the_host_decides_only_where_no_rule_does() -> None:
    builder = Builder(QUIET)
    builder.add("ACT", release=10)
    builder.add("RD", release=46)  # tRCDRD gives 46 too, and a rule wins the tie
    builder.add("RD", release=100)
    log = run_oracle(QUIET, builder.stream(), builder.not_before)
    assert log["cycle"].tolist() == [10, 46, 100]
    assert deciders(QUIET, log) == [BINDING_HOST, "tRCDRD", BINDING_HOST]


def test_one_release_serves_all_rows() -> None:
    builder = Builder(QUIET)
    builder.add("WRGB")
    builder.add("WRGB")
    assert run_oracle(QUIET, builder.stream(), 50)["cycle"].tolist() == [50, 52]


def test_refresh_is_forced_when_it_can_be_postponed_no_longer() -> None:
    builder = Builder(AIM)
    builder.add("ACT16", row=9)
    forced = INTERVAL * (1 + 8)
    for release in (forced - 1, forced, forced):
        builder.add("MAC16", release=release)
    log = run_oracle(AIM, builder.stream(), builder.not_before)
    assert issued(AIM, log)[1:] == [
        ("MAC16", 0, forced - 1),
        ("PREA", 0, forced + 11),  # tRTP
        ("REFab", 0, forced + 43),  # tRP
        ("ACT16", 0, forced + 283),  # tRFCab
        ("MAC16", 0, forced + 339),  # tRCDMAC
        ("MAC16", 0, forced + 341),
    ]
    assert log["row"].tolist() == [9, 9, -1, -1, 9, 9, 9]
    assert deciders(AIM, log)[2:6] == ["tRTP-PIM", "tRP-REFab", "tRFCab", "tRCDMAC"]


def test_forced_refresh_opens_different_rows_bank_by_bank() -> None:
    builder = Builder(AIM)
    builder.add("ACT", 5, row=1)
    builder.add("ACT", 2, row=3)
    builder.add("RD", 5, release=INTERVAL * 9)
    log = run_oracle(AIM, builder.stream(), builder.not_before)
    names = [(name, unit) for name, unit, _ in issued(AIM, log)]
    sequence = [("PREA", 0), ("REFab", 0), ("ACT", 2), ("ACT", 5)]
    assert names == [("ACT", 5), ("ACT", 2), *sequence, ("RD", 5)]
    assert log["row"].tolist() == [1, 3, -1, -1, 3, 1, 1]
    assert deciders(AIM, log)[3] == BINDING_REFRESH_DUE  # closed early, but refreshed when due
    assert log["cycle"][3] == INTERVAL


def test_refresh_goes_at_safe_points_as_soon_as_it_is_due() -> None:
    builder = Builder(AIM)
    for row in range(40):
        row_of_macs(builder, row, safe=True)
    log = run_oracle(AIM, builder.stream())
    refreshes = [(place, cycle) for place, (name, _, cycle) in enumerate(issued(AIM, log)) if name == "REFab"]
    assert len(refreshes) == 2
    for place, cycle in refreshes:
        assert [name for name, _, _ in issued(AIM, log)[place - 1 : place + 2]] == ["PREA", "REFab", "ACT16"]
        assert log["cycle"][place + 1] - cycle == 240
    # row 17 would have begun at 16 x 226 = 3616 and row 18 at 3842 >= 3800; PREA of row 17 is at 3810
    assert refreshes[0][1] == 3810 + 32


def test_unsafe_rows_are_not_interrupted() -> None:
    builder = Builder(AIM)
    for row in range(40):
        row_of_macs(builder, row)
    log = run_oracle(AIM, builder.stream())
    assert "REFab" not in [name for name, _, _ in issued(AIM, log)]
    assert log["cycle"][-1] == 39 * 226 + 194


def test_idle_time_is_refreshed_on_time() -> None:
    builder = Builder(AIM)
    builder.add("WRGB", safe=True, release=5 * INTERVAL + 1)
    log = run_oracle(AIM, builder.stream(), builder.not_before)
    assert issued(AIM, log)[:-1] == [("REFab", 0, INTERVAL * k) for k in range(1, 6)]
    assert deciders(AIM, log) == [BINDING_REFRESH_DUE] * 5 + ["tRFCab-REG"]


def test_only_the_first_command_of_a_run_is_safe() -> None:
    builder = Builder(AIM)
    builder.add("WRGB", count=2000, safe=True, release=INTERVAL - 1)
    log = run_oracle(AIM, builder.stream(), builder.not_before)
    assert "REFab" not in [name for name, _, _ in issued(AIM, log)]


def test_the_end_is_refreshed_up_to_t_end() -> None:
    builder = Builder(AIM)
    builder.add("WRGB")
    log = run_oracle(AIM, builder.stream(), t_end=3 * INTERVAL)
    assert issued(AIM, log)[1:] == [("REFab", 0, INTERVAL * k) for k in (1, 2, 3)]
    builder.add("ACT")
    with pytest.raises(IllegalStream) as caught:
        run_oracle(AIM, builder.stream(), t_end=3 * INTERVAL)
    assert caught.value.index == 2


def test_banks_are_refreshed_in_turn() -> None:
    interval = INTERVAL // 16
    builder = Builder(PER_BANK)
    builder.add("ACT", 1, row=4)
    builder.add("WRGB", release=interval * (2 + 8 * 16))  # bank 0 can wait no longer: a round is forced
    log = run_oracle(PER_BANK, builder.stream(), builder.not_before)
    assert issued(PER_BANK, log) == [
        ("ACT", 1, 0),
        ("REFpb", 0, interval),
        ("PRE", 1, interval + 1),  # at once, then it waits for the refresh to fall due
        *[("REFpb", bank, (bank + 1) * interval) for bank in range(1, 16)],
        ("ACT", 1, 16 * interval + 21),  # tRREFD: it was closed for the whole round
        ("WRGB", 0, interval * 130),
    ]


def test_five_activations_in_a_window() -> None:
    slow = DramDevice.model_validate(QUIET.model_dump() | {"timing": QUIET.model_dump()["timing"] | {"tFAW": "60 ns"}})
    builder = Builder(slow)
    for bank in range(6):
        builder.add("ACT", bank)
    log = run_oracle(slow, builder.stream())
    assert log["cycle"].tolist() == [0, 11, 22, 33, 120, 131]
    assert deciders(slow, log)[4] == "tFAW"


def test_bank_group_activations_count_bank_by_bank_if_the_device_says_so() -> None:
    window = {"timing": QUIET.model_dump()["timing"] | {"tFAW": "60 ns"}}
    for counts, cycles in (("false", [0, 11, 22, 33]), ("true", [0, 120, 240, 360])):
        device = DramDevice.model_validate(QUIET.model_dump() | window | {"multi_bank_activation_in_window": counts})
        builder = Builder(device)
        builder.add("ACT", 0)
        for group in (1, 2, 3):
            builder.add("ACT4", group)
        assert run_oracle(device, builder.stream())["cycle"].tolist() == cycles


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (("ACT", 3, 5), ("ACT", 3, 5), "ACT needs bank 3 closed"),
        (("ACT", 3, 5), ("RD", 3, 6), "RD needs row 6 of bank 3 open"),
        (("ACT", 3, 5), ("MAC16", 0, 5), "MAC16 needs row 5 of bank 0 open"),
        (("ACT", 3, 5), ("REFab", 0, -1), "a stream may not hold refresh commands"),
        (("ACT", 3, 5), ("PRE", 16, -1), "PRE addresses unit 16, which does not exist"),
        (("ACT", 3, 5), ("ACT", 4, 16384), "row 16384 does not exist"),
    ],
)
def test_illegal_streams_stop_at_the_first_offence(
    first: tuple[str, int, int], second: tuple[str, int, int], reason: str
) -> None:
    builder = Builder(QUIET)
    builder.rows = [(QUIET.dram_standard.index[name], unit, row, -1, 1, 0) for name, unit, row in (first, second)]
    with pytest.raises(IllegalStream) as caught:
        run_oracle(QUIET, builder.stream())
    assert (caught.value.index, caught.value.reason) == (1, reason)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(4))
def test_a_run_is_the_same_as_its_commands(mode: RefreshMode, seed: int) -> None:
    device = refresh_mode(AIM, mode)
    stream, not_before = random_stream(device, seed, length=120)
    single = np.repeat(not_before, stream["count"]).tolist()
    whole, split = run_oracle(device, stream, not_before), run_oracle(device, expand_runs(stream), single)
    assert whole.tolist() == split.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_refresh_keeps_the_stream(seed: int) -> None:
    """Refresh commands and what they close and open come on top; the stream itself is issued as it stands."""
    stream, not_before = random_stream(AIM, seed, length=120, idle=0.1)
    log, quiet = run_oracle(AIM, stream, not_before), run_oracle(QUIET, stream, not_before)
    seen = iter([(name, unit) for name, unit, _ in issued(AIM, log)])
    assert all((name, unit) in seen for name, unit, _ in issued(QUIET, quiet))  # in this order
    assert (np.diff(log["cycle"]) > 0).all()
