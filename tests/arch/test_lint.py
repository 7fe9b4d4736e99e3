"""The lint: no preset has a problem, and every rule fires on a copy that breaks it and nothing else."""

from typing import Any

import pytest
from rowline.arch.device import DramDevice
from rowline.arch.lint import lint, notes
from rowline.arch.loader import list_devices, load_device

BASE = {name: load_device(name) for name in ("ddr4-3200", "ddr5-4800", "lpddr5-6400", "gddr6-14000")}


def broken(device: DramDevice, **changes: str) -> DramDevice:
    """A copy with other values, past the validators: ``timing_tRC="1 ck"``, ``bus_width="3"``."""
    copy = device
    for key, value in changes.items():
        part, _, name = key.partition("_")
        if part == "timing":
            timing = dict(copy.timing)
            timing[name] = type(timing["tRC"]).model_validate({"value": value})
            update: dict[str, Any] = {"timing": timing}
        elif name:
            holder = getattr(copy, part)
            update = {part: holder.model_copy(update={name: type(getattr(holder, name)).model_validate({"value": value})})}
        else:
            update = {part: type(getattr(copy, part)).model_validate({"value": value})}
        copy = copy.model_copy(update=update)
    return DramDevice.model_construct(**{field: getattr(copy, field) for field in DramDevice.model_fields})  # nothing cached


@pytest.mark.parametrize("name", list_devices())
def test_no_preset_has_a_problem(name: str) -> None:
    assert lint(load_device(name)) == []


@pytest.mark.parametrize(
    ("name", "changes", "part"),
    [
        ("ddr4-3200", {"timing_tCCDS": "9 ck"}, "tCCDS: 9 is above tCCDL, 8"),
        ("ddr4-3200", {"timing_tRRDS": "9 ck"}, "tRRDS: 9 is above tRRDL"),
        ("ddr4-3200", {"timing_tWTRS": "13 ck"}, "tWTRS: 13 is above tWTRL"),
        ("ddr4-3200", {"timing_tXS": "349 ns"}, "tRFCab: 560 is above tXS"),
        ("ddr4-3200", {"timing_tRC": "73 ck"}, "tRC: 73 is below tRAS + tRP, 74"),
        ("ddr4-3200", {"timing_tCCDS": "3 ck"}, "tCCDS: 3 is below the burst, 4"),
        ("ddr4-3200", {"timing_tCL": "0 ck"}, "tCL: nothing was given"),
        ("ddr4-3200", {"timing_tRTRS": "0 ns"}, "tRTRS: nothing was given"),
        ("ddr4-3200", {"refresh_interval": "300 ns"}, "tRFCab: 560 is not below the refresh interval, 480"),
        ("ddr4-3200", {"refresh_interval": "350 ns"}, "tRFCab: 560 is not below the refresh interval, 560"),
        ("ddr4-3200", {"refresh_interval": "1.7 us"}, "tRFCab: refresh takes 20.6% of the time"),
        ("ddr4-3200", {"refresh_interval": "35.1 us"}, "tRFCab: refresh takes 1.0% of the time"),
        ("ddr4-3200", {"organization_rows": "65535"}, "organization.rank_size: 8 GiB, but its levels come to 8191.88 MiB"),
        ("ddr4-3200", {"clock": "3200 MHz", "bus_pin_rate": "19.2 Gb/s"}, "bus.pin_rate: 6 beats a clock"),
        ("ddr4-3200", {"bus_pin_rate": "3 Gb/s"}, "bus.pin_rate: 1.875 beats a clock"),
        ("ddr5-4800", {"timing_tCCDLWR": "11 ck"}, "tCCDL: 12 is above tCCDLWR, 11"),
        ("ddr5-4800", {"timing_tRFCpb": "296 ns"}, "tRFCpb: 711 is above tRFCab, 708"),
        ("ddr5-4800", {"timing_tRFMpb": "296 ns"}, "tRFMpb: 711 is above tRFMab, 708"),
        ("ddr5-4800", {"timing_tRREFD": "131 ns"}, "tRREFD: 315 is above tRFCpb, 312"),
        ("lpddr5-6400", {"timing_tRPab": "17 ns"}, "tRP: 15 is above tRPab, 14"),
        ("lpddr5-6400", {"bus_width": "12"}, "bus.width: a burst of 21.3333 beats"),
        ("gddr6-14000", {"bus_pin_rate": "13 Gb/s"}, "bus: 3 cycles a burst are not width x pin_rate"),
    ],
)  # fmt: skip
def test_each_rule_fires(name: str, changes: dict[str, str], part: str) -> None:
    assert any(problem.startswith(part) for problem in lint(broken(BASE[name], **changes))), lint(broken(BASE[name], **changes))


def test_a_rule_holds_at_its_limit() -> None:
    limits = [("timing_tCCDS", "8 ck"), ("timing_tXS", "350 ns"), ("refresh_interval", "1.75 us"), ("refresh_interval", "35 us")]
    for key, limit in limits:
        assert lint(broken(BASE["ddr4-3200"], **{key: limit})) == [], (key, limit)


def test_notes_tell_what_does_not_bind() -> None:
    assert notes(BASE["ddr4-3200"]) == []
    assert notes(BASE["gddr6-14000"]) == ["tFAW: 29 is no more than 4 tRRDS, 32: inert"]
    assert notes(broken(BASE["ddr4-3200"], timing_tFAW="16 ck")) == ["tFAW: 16 is no more than 4 tRRDS, 16: inert"]
    org = BASE["ddr4-3200"].organization.model_copy(update={"rank_size": None})
    unchecked = BASE["ddr4-3200"].model_copy(update={"organization": org})
    assert lint(unchecked) == [] and notes(unchecked) == ["organization.rank_size: not given, so the capacity is not checked"]
