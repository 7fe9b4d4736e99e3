"""YAML to System: what a user may write, and that everything else is refused with file, line and key."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rowline.arch.device import DramDevice
from rowline.arch.gpu import GpuSpec
from rowline.arch.loader import PRESETS, apply_sets, build, expand, list_presets, load_system
from rowline.arch.stack import StackSpec
from rowline.arch.system import HostAsic, System
from rowline.arch.values import SourceKind, Spec
from rowline.arch.yamltree import MAX_BYTES, ConfigError, Node, parse_yaml, printable, read_yaml

FOLDERS: dict[str, type[Spec]] = {
    "dram": DramDevice, "pim": DramDevice, "host": HostAsic, "system": System, "gpu": GpuSpec, "stack": StackSpec,
}  # fmt: skip
PRESET_FILES = [(folder, name) for folder in FOLDERS for name in list_presets(folder)]
TREE = expand(read_yaml(PRESETS / "system" / "aim.yaml"))
AIM = build(System, TREE)


def refused(*sets: str, tree: Node = TREE) -> str:
    """The message with which ``sets`` over the aim system are refused."""
    with pytest.raises(ConfigError) as caught:
        build(System, apply_sets(tree, sets))
    assert all(line.isprintable() and len(line) < 600 for line in caught.value.problems)
    return str(caught.value)


def refused_file(path: Path, text: str | bytes) -> str:
    """The message with which a system file of this content is refused."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_system(str(path))
    assert all(line.isprintable() and len(line) < 600 for line in caught.value.problems)
    assert path.name in str(caught.value)
    return str(caught.value)


# presets


def test_every_folder_of_presets_is_known() -> None:
    assert {d.name for d in PRESETS.iterdir()} == set(FOLDERS)
    assert {"aim", "pim-gpt"} <= set(list_presets("system"))


@pytest.mark.parametrize(("folder", "name"), PRESET_FILES)
def test_every_preset_loads(folder: str, name: str) -> None:
    spec = build(FOLDERS[folder], expand(read_yaml(PRESETS / folder / f"{name}.yaml")))
    assert getattr(spec, "name", name) == name
    assert build(FOLDERS[folder], _as_tree(spec.model_dump(mode="json"))) == spec  # what it dumps, it reads


def _as_tree(data: Any) -> Node:
    from rowline.rundir import to_yaml

    return parse_yaml(to_yaml(data), "dump")


@pytest.mark.parametrize(("folder", "name"), PRESET_FILES)
def test_every_number_of_a_preset_has_its_source_beside_it(folder: str, name: str) -> None:
    kinds = set(SourceKind)

    def walk(node: Node, path: str) -> None:
        if isinstance(node.value, dict):
            if "value" in node.value:
                assert node.value.keys() == {"value", "kind", "ref"}, path
                assert node.value["kind"].value in kinds, path
                assert str(node.value["ref"].value or "").strip(), path
                return
            shared = {"kind", "ref"} <= node.value.keys()  # one source for all the plain numbers of a shape
            if shared:
                assert node.value["kind"].value in kinds and str(node.value["ref"].value or "").strip(), path
            for key, child in node.value.items():
                if not (shared and isinstance(child.value, str)):
                    walk(child, f"{path}.{key}")
        elif isinstance(node.value, str):
            assert not re.match(r"[+-]?[.\d]", node.value) or path.endswith((".name", ".description")), path

    walk(read_yaml(PRESETS / folder / f"{name}.yaml"), name)


@pytest.mark.parametrize("name", list_presets("system"))
def test_every_value_of_a_system_has_a_source(name: str) -> None:
    system = load_system(name)
    sourced = system.sourced()
    assert len(sourced) > 60
    for key, value in sourced.items():
        assert value.ref.strip() not in ("", "no source given"), key
    assert system.resting_on(SourceKind.FITTED) == []
    by_kind = [key for kind in SourceKind for key in system.resting_on(kind)]
    assert sorted(by_kind) == sorted(sourced)


def test_what_is_recalled_counts_as_assumed() -> None:
    values = load_system("pim-gpt").sourced()
    recalled = {k: v.kind for k, v in values.items() if "recalled" in v.ref}
    assert len(recalled) >= 20 and set(recalled.values()) == {SourceKind.ASSUMED}
    # the paper's own timing and current tables were not found
    timing = [v for k, v in values.items() if k.startswith(("device.timing.", "device.power."))]
    assert all(v.kind in (SourceKind.ASSUMED, SourceKind.STANDARD) for v in timing)


def test_the_systems_hold_what_their_papers_say() -> None:
    aim = load_system("aim")
    assert (aim.banks, aim.device.organization.capacity_bytes, aim.device.column_cycles) == (128, 2**29, 2)
    assert aim.device.peak_mac_bandwidth_bytes_per_s * 8 == pytest.approx(4.096e12)
    assert aim.device.params["nRCDMAC"] == 56 and aim.device.params["nRC"] == 89 and aim.device.params["nBL"] == 2
    assert load_system("pim-gpt").device.refresh_interval == 13650


# extends


def test_a_file_over_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: system/aim\nname: mine\ndevice: {timing: {tRP: {value: 20 ns, kind: PAPER, ref: x}}}\n"
                    "link:\n  latency: 5 ns\n")  # fmt: skip
    mine = load_system(str(file), ["device.timing.tRC=60 ns"])
    assert mine.name == "mine" and mine.channels == AIM.channels
    rp, rc = mine.device.timing["tRP"], mine.device.timing["tRC"]
    assert (rp.text, rp.kind, rp.ref) == ("20 ns", "PAPER", "x")
    assert (rc.text, rc.kind, rc.ref) == ("60 ns", "ASSUMED", "set by the user")
    # a scalar over a sourced value replaces the source too: the old reference does not vouch for the new value
    assert (mine.link.latency.kind, mine.link.latency.ref) == ("ASSUMED", "no source given")
    changed = {k for k, v in mine.sourced().items() if v != AIM.sourced()[k]}
    assert changed == {"device.timing.tRP", "device.timing.tRC", "link.latency"}


def test_extends_in_a_nested_mapping_and_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "host.yaml").write_text("extends: host/pim-gpt-asic\nadders: 512\n")
    (tmp_path / "sub" / "s.yaml").write_text("extends: system/aim\nhost: {extends: ../host.yaml, multipliers: 64}\n")
    (tmp_path / "top.yaml").write_text("extends: sub/s.yaml\nname: top\n")
    top = load_system(str(tmp_path / "top.yaml"))
    assert (top.host.adders.value, top.host.multipliers.value, top.name) == (512, 64, "top")
    assert top.host.sram == AIM.host.sram


def test_a_long_path_does_not_lose_its_neighbours(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(4):
        deep = deep / ("d" * 80)
    deep.mkdir(parents=True)
    (deep / "base.yaml").write_text("extends: system/aim\n")
    (deep / "top.yaml").write_text("extends: base.yaml\nname: deep\n")
    assert load_system(str(deep / "top.yaml")).name == "deep"


def test_circles_and_towers_of_extends_end(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "in a circle" in refused_file(tmp_path / "a.yaml", "extends: b.yaml\n")
    assert "in a circle" in refused_file(tmp_path / "self.yaml", "name: x\ndevice:\n  extends: self.yaml\n")
    # each level twice: 2^8 files at most, not more
    begin = time.perf_counter()
    refused_file(tmp_path / "fan.yaml", "a: {extends: fan.yaml}\nb: {extends: fan.yaml}\n")
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("system/aimm", 'did you mean "system/aim"'), ("nope", "no preset"), ("../../secret", "no preset"),
        ("../presets/system/aim", "no preset"), ("system/../system/aim", "no preset"), ("/etc/hostname", "no preset"),
        ("missing.yaml", "No such file"), ("../../../../../../etc/nope.yaml", "No such file"), ("[a, b]", "needs the name"),
        ("{a: b}", "needs the name"), ("", "needs the name"), ('"a\\0b.yaml"', "null byte"), ('"a\\0b"', "no preset"),
        ("system", "no preset"), (".", "no preset"), ("~/x.yaml", "No such file"),
    ],
)  # fmt: skip
def test_extends_of_what_is_not_there(tmp_path: Path, target: str, part: str) -> None:
    (tmp_path / "f.yaml").write_text(f"name: x\nextends: {target}\n")
    with pytest.raises(ConfigError, match=re.escape(part)) as caught:
        load_system(str(tmp_path / "f.yaml"))
    assert re.search(r"f.yaml:[23]  extends|\.yaml: ", str(caught.value))


def test_an_absolute_name_is_no_preset(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text("name: stolen\n")
    said = refused_file(tmp_path / "f.yaml", f"extends: {tmp_path}/outside\n")
    assert "no preset" in said and "stolen" not in said


# --set


def test_set_takes_scalars_and_flow_mappings() -> None:
    sets = ["device.refresh.mode=per_bank", "name=mine", "device.pim.reset_by_write=false", " channels = 4 ",
            "device.timing.tRP={value: 20 ns, kind: MEASURED, ref: 'a=b'}", "device.timing.tRC=50 ns"]  # fmt: skip
    system = build(System, apply_sets(TREE, sets))
    assert (system.name, system.channels.value, system.device.refresh.mode) == ("mine", 4, "per_bank")
    assert system.device.timing["tRP"].model_dump() == {"value": "20 ns", "kind": "MEASURED", "ref": "a=b"}
    assert system.device.refresh_interval == AIM.device.refresh_interval // 16
    assert build(System, TREE) == AIM  # the tree underneath is left alone


def test_the_last_of_two_sets_wins() -> None:
    assert build(System, apply_sets(TREE, ["channels=2", "channels=16"])).channels.value == 16


@pytest.mark.parametrize("text", ["", "=", "=3", "a", "a.=3", ".a=3", "a..b=3", ".".join("a" * 17) + "=1", " =1", "a b"])
def test_set_needs_a_key_and_a_value(text: str) -> None:
    assert 'expected "key.subkey=value"' in refused(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("chanels=4", ["chanels: unknown key", '"channels"']),
        ("device.timing.tRPP=1 ns", ["device.timing.tRPP", '"tRP"']),
        ("device.timing.trcdmac=1 ns", ['did you mean "tRCDMAC"']),
        ("device.pim.mac_lane=3", ['"mac_lanes"']),
        ("host.adders.value.x=3", ["host.adders"]),
        ("device=3", ["device"]),
        ("device.organization=", ["device.organization"]),
        ("zzzzzz=1", ["zzzzzz: unknown key"]),
        ("name=[a]", ["name"]),
        ("name=", ["name"]),
        ("channels={value: 8, knd: X}", ["knd"]),
        ("channels=&a 3", ["anchors"]),
        ("channels=*a", ["aliases"]),
        ("channels=!!int 3", ["tags"]),
        ("channels={a: 1", ["not valid YAML"]),
        ("channels=3\nname: x", ["one value"]),
        ("channels=3\n---\nvalue: 4", ["one YAML"]),
        ("device.extends=pim/gddr6-pim-gpt", ["device.extends: unknown key"]),
        ("device.refresh.mode=sometimes", ["refresh.mode"]),
        ("device.timing={tRP: 1 ns, tRP: 2 ns}", ["duplicate key"]),
        ("link.latency=1 ck", ["link.latency: needs a time"]),
        ("device.timing.tRP={value: 5 ns, in_cycles: true}", ["in_cycles", "tRP"]),
        ("device.timing.tRP={value: 5 ns, kind: GUESS}", ["device.timing.tRP.kind"]),
    ],
)  # fmt: skip
def test_set_refuses(text: str, parts: list[str]) -> None:
    said = refused(text)
    assert said.startswith("--set ")
    for part in parts:
        assert part in said


# contradictions within a device or system


@pytest.mark.parametrize(
    ("sets", "part"),
    [
        (["device.organization.row_size=2000 B"], "no multiple of access_size"),
        (["device.organization.access_size=1 B"], "no whole number of 2 B elements"),
        (["device.organization.bank_groups=3"], "bank_groups: 3 is no power of two"),
        (["device.organization.banks_per_group=12"], "banks_per_group: 12 is no power of two"),
        (["device.organization.bank_groups=128"], "at most 256"),
        (["device.organization.row_size=1 MiB"], "at most 256 and 4096"),
        (["device.power.idd3n=100 mA"], "idd3n must not be below idd2n"),
        (["device.power.idd5b=1 mA"], "idd5b must not be below idd2n"),
        (["device.power.idd4w=200 mA"], "must not be below idd3n"),
        (["device.power.idd4r=200 mA"], "must not be below idd3n"),
        (["device.standard=gddr9"], 'unknown standard "gddr9"'),
        (["device.standard=gddr6"], "timing.tAFRD: unknown key"),
        (["device.timing.tZZZ=1 ns"], "device.timing.tZZZ: unknown key"),
        (["device.pim="], "needs pim"),
        (["device.timing.tCCDS=2 ns"], "device.timing.tCCDS: above tCCDL"),
        (["device.timing.tRRDS=6 ns"], "device.timing.tRRDS: above tRRDL"),
        (["device.timing.tWTRS=6 ns"], "device.timing.tWTRS: above tWTRL"),
        (["device.timing.tRFCpb=121 ns"], "device.timing.tRFCpb: above tRFCab"),
        (["device.timing.tRC=42 ns"], "device.timing.tRC: 84 ck is below tRAS + tRP, 86 ck"),
        (["device.timing.tCMD=0 ck"], "device.timing.tCMD: must be at least 1 ck"),
        (["device.refresh.interval=180 ns"], "refresh.interval: leaves no time"),
        (["device.refresh.interval=100 ns", "device.refresh.mode=per_bank"], "refresh.interval: leaves no time"),
        (["device.refresh.interval=160 ns", "device.refresh.mode=per_bank"], "refresh.interval: shorter than tRREFD"),
        (["channels=1025"], "channels: 1025 is above"),
        (["link.latency=3 ck"], "link.latency: needs a time"),
        (["host.idle_power=1 W"], "idle_power is above"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(sets: list[str], part: str) -> None:
    assert part in refused(*sets)


def test_a_missing_timing_parameter_is_named() -> None:
    text = "name: x\nstandard: gddr6-pim\nextends: dram/gddr6-8gb-1250mv\n"
    with pytest.raises(ConfigError, match="timing lacks tAFRD, tCLREG"):
        build(DramDevice, expand(parse_yaml(text, "f.yaml")))


def test_limits_are_still_allowed() -> None:
    for sets in (["device.refresh.mode=off", "device.refresh.interval=1 ns"], ["device.timing.tRC=43 ns"],
                 ["device.organization.bank_groups=64"], ["channels=1024"]):  # fmt: skip
        build(System, apply_sets(TREE, sets))


def test_derived_cycles_round_up() -> None:
    fast = build(System, apply_sets(TREE, ["device.clock=1.75 GHz"])).device
    for name, value in fast.timing.items():
        if not value.in_cycles:
            n = fast.params["n" + name[1:]]
            assert (n - 1) * 10**12 < value.value * 1_750_000_000 <= n * 10**12
    narrow = build(System, apply_sets(TREE, ["device.pim.mac_lanes=6", "device.bus.width=12"])).device
    assert (narrow.params["nMAC"], narrow.params["nBL"]) == (6, 3)


# files


FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ":1: empty"),
    "only comments": ("# nothing\n\n", ":1: empty"),
    "null": ("~\n", ":1: empty"),
    "scalar": ("hello\n", "not a mapping"),
    "list": ("- a\n", "not a mapping"),
    "binary": (b"\x7fELF\x02\x01\x00\xff\xfe", "not UTF-8"),
    "utf-16": ("name: x\n".encode("utf-16"), "not UTF-8"),
    "control": (b"name: a\x1bb\n", "not valid YAML"),
    "nul": (b"name: a\x00b\n", "not valid YAML"),
    "tabs": ("name:\n\tx: 1\n", "not valid YAML"),
    "unclosed": ('name: "x\n', "not valid YAML"),
    "bracket": ("name: {x: [1, 2}\n", "not valid YAML"),
    "two documents": ("name: x\n---\nname: y\n", ":2: only one YAML document"),
    "duplicate": ("name: x\nchannels: 3\nname: y\n", ":3  name: duplicate key, first on line 1"),
    "nested duplicate": ("host:\n  adders: 1\n  adders: 2\n", ":3  adders: duplicate key, first on line 2"),
    "anchor": ("name: &a x\n", ":1: anchors (&a)"),
    "alias": ("name: *a\n", ":1: aliases (*a)"),
    "merge": ("<<: *a\n", "aliases"),
    "tag": ("name: !!python/object/apply:os.system ['touch /tmp/rowline-canary']\n", ":1: tags"),
    "own tag": ("name: !x y\n", ":1: tags"),
    "key is a list": ("[a, b]: 1\n", "a key must be plain text"),
    "key is a mapping": ("{a: 1}: 1\n", "a key must be plain text"),
    "empty key": ("~: 1\n", "a key must be plain text"),
    "deep flow": ("a: " + "[" * 9000, "levels"),
    "deep blocks": ("\n".join(" " * i + "a:" for i in range(50)), ":32: more than"),
    "dashes": ("- " * 4000, "levels"),
    "many keys": ("".join(f"k{i}: 1\n" for i in range(60000)), "more than"),
    "many in a list": ("a: [" + "1,\n" * 300_000 + "]", "more than"),
    "long line": ("a: " + "x" * 11_000, ":1: line longer than"),
    "exclamation marks": ("!" * 900_000, "line longer than"),
    "huge": ("#" * 99 + "\n" + ("x" * 99 + "\n") * (MAX_BYTES // 100), "larger than"),
    "unknown key": ("extends: system/aim\ndevice:\n  timing:\n    tRPP: 1 ns\n", ':4  device.timing.tRPP: unknown key; did'),
    "unknown top key": ("extends: system/aim\n\nnme: x\n", ':3  nme: unknown key; did you mean "name"?'),
    "odd unknown key": ('extends: system/aim\n"a\\eb: c": x\n', ":2  a?b: c: unknown key"),
    "missing": ("name: x\ndescription: y\nchannels: 8\n", "device: missing"),
    "wrong type": ("extends: system/aim\nhost: 3\n", ":2  host: "),
    "sourced without value": ("extends: system/aim\nlink:\n  latency: {value: , kind: PAPER, ref: x}\n", ":3  link.latency"),
    "bad kind": ("extends: system/aim\nlink:\n  latency:\n    value: 1 ns\n    kind: RUMOUR\n", ":5  link.latency.kind"),
    "escape in value": ('extends: system/aim\nchannels: "\\e[31m8"\n', ":2  channels: "),
    "newline in value": ('extends: system/aim\nchannels: "8\\n9"\n', ":2  channels: "),
    "lint in a file": ("extends: system/aim\ndevice:\n  timing:\n    tRC: 30 ns\n", ":4  device.timing.tRC: 60 ck is below"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_refused(tmp_path: Path, case: str) -> None:
    text, part = FILES[case]
    begin = time.perf_counter()
    assert part in refused_file(tmp_path / "bad.yaml", text)
    assert time.perf_counter() - begin < 2
    assert not Path("/tmp/rowline-canary").exists()


def test_billion_laughs(tmp_path: Path) -> None:
    text = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    assert ":1: anchors" in refused_file(tmp_path / "bomb.yaml", text)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    cases = {
        str(tmp_path): "Is a directory", f"{tmp_path}/x.yaml": "No such file", "/dev/zero": "not a regular file",
        "a\0/b": "null byte", "x" * 5000 + ".yaml": "too long",
    }  # fmt: skip
    for path, part in cases.items():
        with pytest.raises(ConfigError, match=part):
            load_system(path)


@pytest.mark.parametrize("name", ["aimm", "", "..", "AIM ", "a\0b", "\x1b[31m", "x" * 5000, "*", "aim.yml.bak"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_system(name)
    assert str(caught.value).isprintable() and "aim, pim-gpt" in str(caught.value) and len(str(caught.value)) < 200


def test_all_problems_are_listed(tmp_path: Path) -> None:
    said = refused_file(tmp_path / "f.yaml", "extends: system/aim\nchannels: x\nnme: y\nlink: {latency: 3}\n")
    assert [line.split(":")[1].split()[0] for line in sorted(said.splitlines())] == ["2", "3", "4"]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{},&*!|>'\"%@#?~ \n\t0<"), max_size=60) | st.text(max_size=40))
def test_any_text_is_a_mapping_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_yaml(text, "fuzz").value, dict)
    except ConfigError as error:
        assert "fuzz" in str(error) and all(p.isprintable() for p in error.problems)


def test_scalars_stay_text() -> None:
    texts = ["010", "1e3", "no", "on", "12:30:00", "0x1F", ".inf", "1_000", "2026-01-01", "=", "yes"]
    for text in texts:
        assert parse_yaml(f"a: {text}", "x").plain() == {"a": text}
    assert parse_yaml("a: ~\nb:\nc: ''\nd: 'null'", "x").plain() == {"a": None, "b": None, "c": "", "d": "null"}


def test_printable() -> None:
    assert printable("a\x1b[31m\nb‮") == "a?[31m?b?"
    assert printable("x" * 100, 10) == "xxxxxxx..."


# every sourced key times every kind of bad value

BAD_VALUES = [
    "nan", "inf", "-.inf", "-1 ns", "-1", "5 parsec", "1e400 ns", "1e400", "[1, 2]", "{a: 1}", "", "9" * 5000, '"\\e[31m5"',
    "{value: [1]}", "{value: 5, kind: GUESS}", "5 5", "0x10", "{value: , kind: PAPER, ref: x}", "'1\\n2'",
]  # fmt: skip


MAY_BE_EMPTY = {"device.organization.rank_size"}  # no value is a value there


@pytest.mark.parametrize("key", AIM.sourced())
def test_bad_values_are_refused_by_name(key: str) -> None:
    value = AIM.sourced()[key]
    no_unit = ["5"] if value.dimension else ["5 ns"]
    for bad in [*BAD_VALUES, *no_unit]:
        if not bad and key in MAY_BE_EMPTY:
            continue
        said = refused(f"{key}={bad}")
        assert f"  {key}" in said, (key, bad, said)


@pytest.mark.parametrize("bad", BAD_VALUES)
def test_bad_values_in_a_file_are_refused_by_line(tmp_path: Path, bad: str) -> None:
    for key in ("device.timing.tRP", "device.power.vdd", "host.adders", "device.pim.reset_by_write"):
        first, *rest = key.split(".")
        lines = [f"{first}:", *("  " * (i + 1) + part + ":" for i, part in enumerate(rest))]
        lines[-1] += f" {bad}"
        text = "\n".join(["extends: system/aim", *lines])
        said = refused_file(tmp_path / "f.yaml", text)
        assert f"f.yaml:{len(lines) + 1}  {key}" in said


def test_there_are_enough_malformed_inputs() -> None:
    assert len(AIM.sourced()) * (len(BAD_VALUES) + 1) > 1000
