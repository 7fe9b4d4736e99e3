"""``check_log``: logs of several forms, channels and faults, and what comes back."""

import gzip
import json
from pathlib import Path

import pytest
from rowline.arch.yamltree import ConfigError
from rowline.judging import check_log
from rowline.traces.formats.files import FormatError

HEADER = "clk,cmd,channel,rank,bankgroup,bank,row,column\n"
LEGAL = "1,ACT,0,0,0,0,7,-1\n17,RD,0,0,0,0,7,0\n40,PREpb,0,0,0,0,-1,-1\n"


def write(folder: Path, text: str, name: str = "log.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_legal_log(tmp_path: Path) -> None:
    answer = check_log(write(tmp_path, HEADER + LEGAL), "ddr4-2400")
    assert {key: answer[key] for key in ("device", "channels", "commands", "violations", "by_rule", "first")} == {
        "device": "ddr4-2400", "channels": 1, "commands": 3, "violations": 0, "by_rule": {}, "first": [],
    }  # fmt: skip
    assert answer["wall_s"] > 0 and answer["commands_per_s"] > 0
    assert json.loads(json.dumps(answer)) == answer


def test_an_early_command_is_reported_with_its_line(tmp_path: Path) -> None:
    text = HEADER + LEGAL.replace("17,RD", "15,RD")
    answer = check_log(write(tmp_path, text), "ddr4-2400")
    assert answer["by_rule"] == {"tRCDRD": 1}
    (found,) = answer["first"]
    assert (found["index"], found["line"], found["channel"], found["rule"]) == (1, 3, 0, "tRCDRD")
    assert found["command"] == "RD bank 0 at 12500 ps"
    assert found["earlier"] == "ACT bank 0 at 834 ps (row 0)"
    assert found["earliest_ps"] - found["time_ps"] == found["early_ps"] == 1667
    assert found["text"] == "row 1: RD bank 0 at 12500 ps: tRCDRD: 1667 ps too early, after ACT bank 0 at 834 ps (row 0)"


def test_values_may_be_set(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + LEGAL)
    assert check_log(path, "ddr4-2400", ("timing.tRCDRD=17 ck",))["by_rule"] == {"tRCDRD": 1}


def test_channels_are_judged_each_by_itself(tmp_path: Path) -> None:
    """Two channels at once are legal; the second one's fault stands in the right line."""
    rows = ["1,ACT,0,0,0,0,7,-1", "1,ACT,3,0,0,0,7,-1", "17,RD,0,0,0,0,7,0", "17,RD,3,0,0,0,9,0"]
    answer = check_log(write(tmp_path, HEADER + "\n".join(rows) + "\n"), "ddr4-2400")
    assert (answer["channels"], answer["violations"]) == (2, 1)
    assert [(each["line"], each["channel"], each["rule"]) for each in answer["first"]] == [(5, 3, "row-state")]
    assert answer["first"][0]["text"].startswith("channel 3: row 1: RD bank 0")


def test_refresh_can_be_left_out(tmp_path: Path) -> None:
    text = HEADER + LEGAL + "999999,ACT,0,0,0,0,7,-1\n"
    path = write(tmp_path, text)
    assert check_log(path, "ddr4-2400")["by_rule"] == {"refresh-debt": 1}
    assert check_log(path, "ddr4-2400", refresh=False)["violations"] == 0


def test_no_more_than_the_limit_is_reported_but_all_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{clk},RD,0,0,0,0,7,0\n" for clk in range(100, 200, 10))
    answer = check_log(write(tmp_path, HEADER + rows), "ddr4-2400", limit=3)
    assert answer["by_rule"] == {"row-state": 10}
    assert [each["index"] for each in answer["first"]] == [0, 1, 2]


def test_compressed_and_dramsim3(tmp_path: Path) -> None:
    packed = tmp_path / "log.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + LEGAL).encode()))
    assert check_log(str(packed), "ddr4-2400")["commands"] == 3
    trace = write(tmp_path, "2 activate 0 0 0 1 5 0x0\n20 read 0 0 0 1 5 0x0\n".replace("0x0", "0"), "dramsim3.cmd")
    answer = check_log(trace, "ddr4-2400")
    assert (answer["commands"], answer["violations"]) == (2, 0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("50,FOO,0,0,0,0,7,-1", ":3: ddr4 has no command FOO"),
        ("50,ACT,0,0,0,4,7,-1", ":3: ACT addresses bank 4 of 4"),
        ("50,ACT,0,1,0,0,7,-1", ":3: ACT addresses rank 1 of 1"),
        ("50,ACT,0,0,-1,0,7,-1", ":3: ACT addresses every bank group"),
        ("50,ACT,-1,0,0,0,7,-1", ":3: addresses all channels"),
    ],
)
def test_what_does_not_fit_the_device_is_named_with_its_line(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(FormatError) as caught:
        check_log(write(tmp_path, f"{HEADER}1,ACT,0,0,1,1,7,-1\n{row}\n"), "ddr4-2400")
    assert str(caught.value).endswith("log.csv" + problem)


def test_wrong_device_wrong_format(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + LEGAL)
    with pytest.raises(ConfigError, match='unknown device "ddr9"'):
        check_log(path, "ddr9")
    with pytest.raises(FormatError, match="is a log of format csv, not parquet"):
        check_log(path, "ddr4-2400", format="parquet")
    with pytest.raises(FileNotFoundError):
        check_log(str(tmp_path / "none.csv"), "ddr4-2400")


def test_all_banks_of_each_pseudo_channel(tmp_path: Path) -> None:
    """The unit of a command comes from the levels above what it touches."""
    header = "clk,cmd,channel,pseudochannel,bankgroup,bank,row,column\n"
    rows = "1,ACT,0,1,3,3,7,-1\n100,REFab,0,0,-1,-1,-1,-1\n200,REFab,0,1,-1,-1,-1,-1\n"
    answer = check_log(write(tmp_path, header + rows), "hbm2-2000", refresh=False)
    assert [each["text"].split(", after")[0] for each in answer["first"]] == [
        "row 2: REFab pseudo-channel 1 at 200000 ps: row-state: bank 31 is open at row 7"
    ]
