"""The loop: the same table whatever the order of answers, the store asked first, failures kept, the front and the ranking."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from rowline.arch.yamltree import ConfigError
from rowline.sweeps.driver import Driver, Outcome
from rowline.sweeps.front import Front, best_of, judge, lookup, ranked
from rowline.sweeps.model import Space
from rowline.sweeps.pool import Done
from rowline.sweeps.space import load_space
from rowline.sweeps.store import Record, Store
from rowline.sweeps.study import Choices, opened

TEXT = """
base: {{arch: pim-gpt, workload: gpt2-small, generated_tokens: 4}}
axes:
  - {{key: channels, values: [4, 8, 16]}}
  - {{key: device.pim.mac_lanes, values: [4, 8, 16], when: channels > 4}}
  - {{key: host.clock, values: [250 MHz, 500 MHz, 1 GHz]}}
objectives:
  - {{key: latency, limit: 600 ms}}
  - {{key: energy}}
method: {{name: {method}, trials: 18, seed: 5, batch: 4}}
"""
METHODS = ("grid", "random", "quasi-random", "nsga2", "tpe")


def space(folder: Path, method: str = "grid", **changes: str) -> Space:
    text = TEXT.format(method=method)
    for old, new in changes.items():
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "space.yaml").write_text(text)
    return load_space(folder / "space.yaml")


def answer(config: dict[str, Any]) -> dict[str, Any]:
    """Made-up stats of a configuration: time falls and energy rises with what is built."""
    overrides = config["run"]["overrides"]
    channels, lanes = int(overrides["channels"]), int(overrides.get("device.pim.mac_lanes", 16))
    mhz = {"250 MHz": 250, "500 MHz": 500, "1 GHz": 1000}[overrides["host.clock"]]
    if channels == 16 and lanes == 8:
        return {"infeasible": "does not fit"}
    return {"latency_s": 64 / (channels * lanes) + 10 / mhz, "energy_j": channels * lanes * mhz / 1e4, "spread": {"a.b": 1}}


class Fake:
    """Workers that answer in a random order, some trials at a time; ``broken`` of them die."""

    def __init__(self, seed: int = 0, broken: str = "", stop_after: int = 10**9):
        self.draw, self.broken, self.left = random.Random(seed), broken, stop_after
        self.waiting: list[tuple[str, Any]] = []
        self.ran: list[str] = []

    def submit(self, key: str, payload: Any) -> None:
        self.waiting.append((key, payload))

    def poll(self, wait_s: float = 0.0) -> list[Done]:
        self.draw.shuffle(self.waiting)
        count = self.draw.randrange(len(self.waiting) + 1)
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        self.left -= len(now)
        if self.left < 0:
            raise KeyboardInterrupt
        self.ran += [key for key, _ in now]
        return [
            Done(key, None, "worker died", 11, 3) if self.broken and self.broken in str(config) else Done(key, answer(config))
            for key, config in now
        ]


def sweep(where: Path, what: Space, workers: Fake, window: int = 4, retry_failed: bool = False) -> Outcome:
    with Store.open(where) as store:
        return Driver(what, store, workers, window, retry_failed).run()


def table(outcome: Outcome) -> Any:
    found = outcome.as_json()
    return found["trials"], found["pareto"]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_table_whatever_the_workers_and_interruptions(tmp_path: Path, method: str) -> None:
    what = space(tmp_path, method)
    first = table(sweep(tmp_path / "one", what, Fake(0), window=1))
    assert len(first[0]) == 18 and len({t["id"] for t in first[0]}) == 18
    for seed, window in ((1, 2), (2, 5), (3, 40)):
        assert table(sweep(tmp_path / f"many{seed}", what, Fake(seed), window)) == first
    ran: list[str] = []
    for stop in (3, 4, 6):
        workers = Fake(stop, stop_after=stop)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path / "cut", what, workers)
        ran += workers.ran
    workers = Fake(9)
    outcome = sweep(tmp_path / "cut", what, workers)
    ran += workers.ran
    assert table(outcome) == first and outcome.cached == 18 - len(workers.ran) and len(ran) == len(set(ran)) == 18
    lines = [[r.line() for r in Store.open(tmp_path / name).records()] for name in ("one", "many3", "cut")]
    assert lines[0] == lines[1] == lines[2]


def test_states_and_reasons(tmp_path: Path) -> None:
    outcome = sweep(tmp_path / "study", space(tmp_path), Fake(broken="'device.pim.mac_lanes': '4'"))
    by_state = {s: [t for t in outcome.trials if t.state == s] for s in ("complete", "failed", "infeasible")}
    assert {t.reason for t in by_state["failed"]} == {"worker died (signal 11)"} and len(by_state["failed"]) == 6
    reasons = {t.reason for t in by_state["infeasible"]}
    assert "does not fit" in reasons and "latency 1.04 is above its limit 0.6" in reasons
    assert all(t.objectives["latency"] <= 0.6 for t in by_state["complete"])
    assert outcome.as_json()["counts"] == {"done": 12, "cached": 0, "failed": 6, "infeasible": len(by_state["infeasible"])}
    assert {t["state"] for t in outcome.as_json()["trials"] if t["id"] in outcome.front.members} == {"complete"}


def test_failed_trials_stay_until_they_are_asked_for_again(tmp_path: Path) -> None:
    what = space(tmp_path)
    sweep(tmp_path / "study", what, Fake(broken="250 MHz"))
    again = Fake()
    assert sweep(tmp_path / "study", what, again).failed == 7 - 1 and again.ran == []
    healed = sweep(tmp_path / "study", what, again, retry_failed=True)
    assert healed.failed == 0 and len(again.ran) == 6
    assert table(healed) == table(sweep(tmp_path / "sound", what, Fake()))


def test_what_another_process_runs_is_waited_for(tmp_path: Path) -> None:
    what = space(tmp_path)
    whole = sweep(tmp_path / "whole", what, Fake())
    kept = list(Store.open(tmp_path / "whole").records())
    with Store.open(tmp_path / "shared") as other:
        assert other.claim([r.id for r in kept[:5]]).mine == [r.id for r in kept[:5]]

        class Both(Fake):
            """Meanwhile the other process finishes one of its trials at each turn, and then gives up the last two."""

            def poll(self, wait_s: float = 0.0) -> list[Done]:
                if number := next(turns, None):
                    other.put(kept[number - 1])
                else:
                    other.release()
                return super().poll(wait_s)

        turns, workers = iter((1, 2, 3)), Both()
        outcome = sweep(tmp_path / "shared", what, workers, window=40)
    assert table(outcome) == table(whole)
    assert set(workers.ran) == {r.id for r in kept[3:]} and len(workers.ran) == 15 and outcome.cached == 3


def test_an_objective_that_does_not_exist_ends_the_sweep(tmp_path: Path) -> None:
    what = space(tmp_path, **{"key: energy": "key: energy_breakdown_j.lnk"})
    with pytest.raises(ConfigError) as error:
        sweep(tmp_path / "study", what, Fake())
    (problem,) = error.value.problems
    assert problem.startswith(f"{tmp_path}/space.yaml:9  objectives.1.key: objective energy_breakdown_j.lnk: ")
    assert 'no key "energy_breakdown_j.lnk" in the stats' in problem


def test_other_objectives_need_another_study(tmp_path: Path) -> None:
    choices = Choices(tmp_path / "study", tmp_path / "study", 1)
    with opened(space(tmp_path), choices) as store:
        assert store.note("study")["method"] == {"name": "grid", "trials": 18, "seed": 5, "batch": 4}
    sweep(tmp_path / "study", space(tmp_path), Fake())
    with pytest.raises(ConfigError, match="made with other objectives"), opened(space(tmp_path, **{"600 ms": "1 s"}), choices):
        pass
    with opened(space(tmp_path, **{"16]": "32]"}), choices):
        pass
    with pytest.raises(ConfigError, match="no study to resume"), opened(space(tmp_path), Choices("x", tmp_path, 1, resume=True)):
        pass


def test_judging(tmp_path: Path) -> None:
    costs = "key: cost, limit: 100, direction: max, expr: channels * 2 + energy_j + spread.a.b"
    what = space(tmp_path, **{"key: energy": costs})
    point = {"channels": "8", "host.clock": "1 GHz"}
    verdict = judge(what, point, {"latency_s": 0.1, "energy_j": 4, "spread": {"a.b": 0.5}})
    assert verdict.objectives == {"latency": 0.1, "cost": 20.5} and verdict.state == "infeasible"
    assert verdict.reason == "cost 20.5 is below its limit 100" and verdict.excess == (0.0, 0.795)
    for value, told in ((None, "null"), (True, "a truth value"), ("x", "str"), (float("nan"), "float")):
        assert told in str(judge(what, point, {"latency_s": value}).reason)
    edp = space(tmp_path, **{"key: energy": "key: edp"})
    assert judge(edp, point, {"latency_s": 0.5, "energy_j": 4}).objectives["edp"] == 2.0
    assert lookup({"a": {"b.c": {"d": 3}}}, "a.b.c.d") == 3


@pytest.mark.parametrize("seed", range(20))
def test_front_and_ranking_against_the_definition(seed: int) -> None:
    draw = random.Random(seed)
    vectors = {str(i): tuple(float(draw.randrange(6)) for _ in range(1 + seed % 3)) for i in range(40)}
    front = Front()
    for key, vector in vectors.items():
        front.add(key, vector)

    def beaten(one: tuple[float, ...]) -> bool:
        return any(all(a <= b for a, b in zip(o, one, strict=True)) and o != one for o in vectors.values())

    assert set(front.members) == {key for key, vector in vectors.items() if not beaten(vector)}
    order = ranked(vectors, front.members)
    assert set(order[: len(front.members)]) == set(front.members)
    assert all(vectors[a] <= vectors[b] for a, b in itertools.pairwise(order[len(front.members) :]))
    for i, key in enumerate(best_of(vectors)):
        assert vectors[key][i] == min(v[i] for v in vectors.values())


def test_answers_of_the_store_are_held_against_the_limits_of_now(tmp_path: Path) -> None:
    what = space(tmp_path)
    sweep(tmp_path / "study", what, Fake())
    looser = sweep(tmp_path / "study", space(tmp_path, **{"600 ms": "2 s"}), Fake())
    kept: list[Record] = list(Store.open(tmp_path / "study").records())
    assert len(looser.vectors) > sum(r.state == "complete" for r in kept)
