"""Points of a space against a plain product filtered by the same conditions; order, seeds, evenness, memory."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from rowline.arch.yamltree import ConfigError
from rowline.sweeps.model import Space
from rowline.sweeps.points import Points, Size, numbers
from rowline.sweeps.space import load_space

CONDITIONAL = """
base: {arch: pim-gpt, workload: gpt2-small, generated_tokens: 2}
axes:
  - {key: channels, values: [4, 8, 16]}
  - {key: device.pim.mac_lanes, range: {from: 4, to: 16, step: 4}, when: channels >= 8}
  - {key: host.clock, log: {from: 250 MHz, to: 1 GHz, count: 3}}
  - {key: mapping.lm_head_on_pim, values: [true, false], when: host.clock < 1 GHz and channels > 4}
constraints:
  - channels * device.pim.mac_lanes <= 128
  - not (channels == 16 and host.clock == 250 MHz)
"""
MILLION = """
base: {arch: pim-gpt, workload: gpt2-small, generated_tokens: 1}
axes:
  - {key: channels, range: {from: 8, to: 107, step: 1}}
  - {key: device.pim.mac_lanes, range: {from: 1, to: 100, step: 1}}
  - {key: host.clock, range: {from: 100 MHz, to: 1 GHz, step: 9 MHz}}
constraints: [channels * device.pim.mac_lanes < 10000]
"""


def space(folder: Path, text: str) -> Space:
    file = folder / "space.yaml"
    file.write_text(text)
    return load_space(file)


def by_hand() -> list[dict[str, str]]:
    """The points of CONDITIONAL, worked out with Python's numbers; the base has 16 MAC lanes."""
    found: list[dict[str, str]] = []
    for channels, lanes, clock, head in itertools.product((4, 8, 16), (4, 8, 12, 16), (250, 500, 1000), ("true", "false")):
        point = {"channels": str(channels)} | ({"device.pim.mac_lanes": str(lanes)} if channels >= 8 else {})
        point["host.clock"] = "1 GHz" if clock == 1000 else f"{clock} MHz"
        if clock < 1000 and channels > 4:
            point["mapping.lm_head_on_pim"] = head
        holds = channels * (lanes if channels >= 8 else 16) <= 128 and not (channels == 16 and clock == 250)
        if holds and point not in found:
            found.append(point)
    return found


def test_grid_equals_the_filtered_product(tmp_path: Path) -> None:
    points = Points(space(tmp_path, CONDITIONAL))
    assert list(points.grid()) == by_hand()
    assert points.count() == Size(len(by_hand()), True) and points.product == 72


@pytest.mark.parametrize("method", ["shuffled", "quasi_random"])
def test_random_orders_find_every_point_once(tmp_path: Path, method: str) -> None:
    points = Points(space(tmp_path, CONDITIONAL))
    found = list(getattr(points, method)(3))
    assert Counter(map(str, found)) == Counter(map(str, by_hand()))
    assert found == list(getattr(points, method)(3)) != list(getattr(points, method)(4))


def test_quasi_random_points_are_even(tmp_path: Path) -> None:
    """Every quarter of every axis gets its share of the first 64 points, to within a few."""
    points = Points(space(tmp_path, MILLION.split("constraints")[0]))
    first = list(islice(points.quasi_random(1), 64))
    for axis in points.space.axes:
        quarters = Counter(4 * list(axis.texts).index(p[axis.key]) // len(axis.texts) for p in first)
        assert all(abs(quarters[q] - 16) <= 3 for q in range(4)), (axis.key, quarters)


def test_a_huge_space_is_sampled_without_repetition(tmp_path: Path) -> None:
    text = MILLION.replace("step: 9 MHz", "step: 1 Hz".replace("Hz", "kHz"))
    points = Points(space(tmp_path, text))
    found = [tuple(p.items()) for p in islice(points.shuffled(0), 2000)]
    assert points.product > 10**9 and len(set(found)) == 2000


def test_a_condition_that_fails_to_evaluate_names_the_point(tmp_path: Path) -> None:
    text = CONDITIONAL.replace("channels * device.pim.mac_lanes <= 128", "128 / (channels - 8) > 0")
    with pytest.raises(ConfigError, match="constraints.0: column 5: division by zero at channels 8"):
        list(Points(space(tmp_path, text)).grid())


def test_arch_as_an_axis_changes_what_names_mean(tmp_path: Path) -> None:
    text = "axes:\n  - {key: arch, values: [pim-gpt, aim]}\n  - {key: host.clock, values: [1 GHz, 2 GHz]}\n"
    there = Points(space(tmp_path, text + "constraints: [channels == 8 or host.clock > 1 GHz]\n"))
    channels = {arch: there.space.fixed.typed(arch, "channels") for arch in ("pim-gpt", "aim")}
    expected = [
        {"arch": arch, "host.clock": clock}
        for arch in ("pim-gpt", "aim") for clock in ("1 GHz", "2 GHz")
        if clock == "2 GHz" or (channels[arch] or (0,))[0] == 8
    ]  # fmt: skip
    assert list(there.grid()) == expected


def test_a_million_points_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "million.yaml").write_text(MILLION)
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom rowline.sweeps.points import Points\n"
        "from rowline.sweeps.space import load_space\npoints = Points(load_space(Path(sys.argv[1])))\n"
        "found = sum(1 for _ in points.grid())\n"
        "memory = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"  # ru_maxrss has the parent's, too
        "print(json.dumps([found, points.count().points, int(memory)]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "million.yaml")], capture_output=True, check=True,
        timeout=300)
    found, counted, kib = json.loads(done.stdout)
    assert found == counted == 101 * sum(c * n < 10000 for c in range(8, 108) for n in range(1, 101))
    assert kib < 300 * 1024


def test_numbers() -> None:
    shown = numbers({"a": "8", "b": "1.5", "c": "1 GHz", "d": "true", "e": "gpt2-small", "f": "1e3", "g": "e"})
    assert shown == {"a": 8, "b": 1.5, "c": "1 GHz", "d": True, "e": "gpt2-small", "f": 1000.0, "g": "e"}
