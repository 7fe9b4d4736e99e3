"""Presets that peers read wrong, values that contradict each other, and units: time, rates, energy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rowline.arch.device import DramDevice
from rowline.arch.lint import lint
from rowline.arch.loader import apply_sets, build, expand, load_device
from rowline.arch.units import PS_PER_S, Clock
from rowline.arch.values import Duration
from rowline.arch.yamltree import ConfigError, Node, read_yaml
from rowline.sim.dram_energy import STATES, energy_by_part_fj

from .exhibit import Exhibit, claim, hall
from .issue import Issued, issue, quiet

Loader = Callable[[Path], DramDevice]


def sound(name: str, *sets: str) -> None:
    """A device can be loaded, and the lint has nothing to say."""
    try:
        problems = lint(load_device(name, sets))
    except ConfigError as error:
        problems = [str(error).partition("  ")[2]]
    claim(not problems, "; ".join(sorted(problems)))


def preset(name: str, peer: str, wrong: str, device: str, *sets: str) -> Exhibit:
    """An exhibit of a preset with values that no part can have."""
    test = f"{device} loads and is clean to the lint; not so with {', '.join(sets)}"
    return Exhibit(name, peer, wrong, test, lambda each: sound(device, *each), lambda: (), lambda: sets)


# keys


def load_device_file(path: Path) -> DramDevice:
    """Our loader."""
    return load_device(str(path))


def lenient(path: Path) -> DramDevice:
    """Reads the keys that it knows, and nothing else."""
    root = expand(read_yaml(path))
    assert isinstance(root.value, dict)
    known: dict[str, Iterable[str]] = {
        "timing": load_device("gddr6-14000").timing, "refresh": ("mode", "interval", "postpone_limit", "pull_in_limit"),
    }  # fmt: skip
    for part, names in known.items():
        inner = root.value[part]
        assert isinstance(inner.value, dict)
        root.value[part] = Node(inner.place, {k: v for k, v in inner.value.items() if k in names}, inner.key_places)
    return build(DramDevice, apply_sets(root, ()))


def refuses(part: str, key: str, hint: str) -> Callable[[Loader], None]:
    """A check: a file with an unknown key is refused, with the name that was meant."""

    def check(loader: Loader) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "peer.yaml"
            path.write_text(f"extends: dram/gddr6-14000\n{part}:\n  {key}: {{value: 1.9 us, ref: peer}}\n")
            try:
                device = loader(path)
            except ConfigError as error:
                problem = str(error)
                claim(f"peer.yaml:3  {part}.{key}: unknown key" in problem and hint in problem, f"{part}.{key}: {problem}")
            else:
                claim(False, f"{part}.{key}: 1.9 us is ignored; tRTP stays {device.timing['tRTP'].text}, "
                             f"the refresh interval {device.refresh.interval.text}")  # fmt: skip

    return check


# rounding

ROWS = "ACT 0 row 1; RD 0; PRE 0; ACT 0 row 2; WR 0; PRE 0; ACT 0 row 1; ACT 4 row 1; ACT 8 row 1; ACT 12 row 1; ACT 1 row 1"


def rounded_down() -> Issued:
    """Issued by a device whose times became cycles by rounding down, to be judged by the times."""
    device = quiet("gddr6-16000")
    clock = Clock(device.clock.value)
    timing = {name: Duration.model_validate({"value": f"{each.cycles_floor(clock)} ck"}) for name, each in device.timing.items()}
    values = device.model_copy(update={"timing": timing}).model_dump()
    log = issue(DramDevice.model_validate(values), ROWS)
    return Issued(device, log.log)


def kept_in_ps(issued: Issued) -> None:
    """The checker finds nothing; if it does, all rules that it finds broken are told."""
    early = {each.rule: each.early_ps for each in issued.violations}
    claim(not early, ", ".join(f"{rule} {ps} ps early" for rule, ps in early.items()))


@dataclass(frozen=True)
class RoundedClock(Clock):
    """A clock that is kept as its period in whole picoseconds, tens of them at that."""

    def edge_ps(self, cycles: int) -> int:
        return cycles * (PS_PER_S // self.freq_hz // 10 * 10)


def a_second_long(make: Callable[[int], Clock]) -> None:
    """So many cycles as the frequency says last a second."""
    time = make(1_750_000_000).edge_ps(1_750_000_000)
    claim(time == PS_PER_S, f"1.75 G cycles of 1.75 GHz last {time / PS_PER_S:.4f} s")


def often_enough(interval: Callable[[DramDevice], int]) -> None:
    """An interval of whole cycles is not longer than tREFI."""
    device = load_device("lpddr5-6400")
    lasts = interval(device) * device.device_clock.period_ps
    most = device.refresh.interval.value
    claim(lasts <= most, f"refresh every {float(lasts):.0f} ps, tREFI is {most} ps")


def as_printed_on_the_chip(rate: Callable[[DramDevice], Fraction]) -> None:
    """Bandwidth is width times rate, in units of 10^9."""
    device = load_device("gddr6-14000")
    claim(rate(device) == 28 * 10**9, f"16 pins at 14 Gb/s give {float(rate(device)) / 10**9:.2f} GB/s")


# checks of peers on legal values


def accepts_equal(judge: Callable[[DramDevice], Sequence[str]]) -> None:
    """tCCD_L may be as long as the burst."""
    device = load_device("ddr4-3200", ("timing.tCCDL=4 ck",))
    problems = judge(device)
    claim(not problems, problems[0] if problems else "")


def strictly_longer(device: DramDevice) -> list[str]:
    """The lint, and tCCD_L must be longer than a burst."""
    n = device.params
    more = [] if n["nCCDL"] > n["nBL"] else [f"tCCDL: {n['nCCDL']} is not above the burst, {n['nBL']}, though legal"]
    return lint(device) + more


# energy

Energy = Callable[[DramDevice, np.ndarray, np.ndarray], dict[str, int]]


def idle(device: DramDevice, ms: int) -> np.ndarray:
    """A rank with all banks closed for so many milliseconds."""
    ticks = np.zeros(len(STATES), np.int64)
    ticks[STATES.index("precharged")] = ms * device.device_clock.freq_hz // 1000
    return ticks


def no_commands(device: DramDevice) -> np.ndarray:
    return np.zeros(len(device.dram_standard.commands), np.int64)


def power_times_time(energy: Energy) -> None:
    """An idle rank takes VDD x IDD2N x chips for as long as it is idle, whatever the clock."""
    for name in ("ddr4-2400", "ddr4-3200"):
        device = load_device(name)
        power = device.power.vdd.value * device.power.idd2n.value * device.power.devices.value  # pW
        found, expected = energy(device, no_commands(device), idle(device, 1))["precharged"], power
        claim(abs(found - expected) <= 1, f"{name} idle for 1 ms: {found / 10**9:g} uJ, its currents say {expected / 10**9:g} uJ")


def without_clock(device: DramDevice, counts: np.ndarray, ticks: np.ndarray) -> dict[str, int]:
    """Cycles taken for nanoseconds."""
    parts = energy_by_part_fj(device, counts, ticks)
    return {name: value * device.device_clock.freq_hz // 10**9 if name in STATES else value for name, value in parts.items()}


def one_chip(device: DramDevice, counts: np.ndarray, ticks: np.ndarray) -> dict[str, int]:
    """The currents of one chip, as if a rank were one."""
    single = load_device(device.name, ("power.devices=1",))
    return energy_by_part_fj(single, counts, ticks)


def nothing_is_free(sets: tuple[str, ...]) -> None:
    """ACT, RD, WR, refresh and waiting all cost energy."""
    device = load_device("hbm2-pim", sets)
    counts = no_commands(device)
    for name in ("ACT", "RD", "WR", "REFab"):
        counts[device.dram_standard.index[name]] = 1
    parts = energy_by_part_fj(device, counts, np.ones(len(STATES), np.int64))
    free = [name for name, value in parts.items() if value == 0]
    claim(not free, f"free of charge: {', '.join(free)}")


NO_CURRENT = tuple(f"power.idd{each}=0 mA" for each in ("0", "2n", "3n", "4r", "4w", "5b", "2p", "3p", "6"))

EXHIBITS = [
    Exhibit(
        "unknown-refresh-key", "DRAMsim3 #62 (dram-timing 0.6)", "REFI for tREFI in 15 files is ignored: too few refreshes",
        "an unknown key is refused with file, line and key", refuses("refresh", "REFI", "unknown key"),
        lambda: load_device_file, lambda: lenient,
    ),
    Exhibit(
        "unknown-timing-key", "DRAMsim3 (dram-timing 0.6)", "tRTP_L in 15 files is ignored and tRTP keeps its default of 5",
        "an unknown key is refused, and the nearest name suggested", refuses("timing", "tRTP_L", 'did you mean "tRTP"?'),
        lambda: load_device_file, lambda: lenient,
    ),
    preset(
        "positional-preset", "aim_simulator (dram-timing 0.5)", "a preset without names, in another order: tRFCpb gets 3333",
        "gddr6-aim", "timing.tRFCpb=3333 ck",
    ),
    preset(
        "index-of-minus-one", "aim_simulator (dram-timing 0.5); attacc_simulator (dram-timing B.5)",
        "a size that is not in the table is looked up with index -1: tRFC is 0",
        "gddr6-aim", "timing.tRFCab=0 ck", "timing.tRFCpb=0 ck",
    ),
    preset(
        "interval-from-trfc", "ramulator2 #123", "the interval of per-bank refresh is taken from the table of tRFC",
        "hbm3-6400", "refresh.mode=per_bank", "refresh.interval=350 ns",
    ),
    preset(
        "ns-written-as-ck", "ramulator2 2.1, DDR5-3200 (dram-timing B.6)", "tRRD_L of 5 ns is written as 5 clocks, below tRRD_S",
        "ddr5-3200", "timing.tRRDL=5 ck",
    ),
    preset(
        "bank-refresh-longer-than-all", "ramulator2 2.1, HBM1 and HBM2 (dram-timing B.9)",
        "of 1 Gb parts, tRFCpb is 160 ns and tRFCab 110 ns",
        "hbm2-2000", "timing.tRFCab=110 ns",
    ),
    preset(
        "row-cycle-too-short", "ramulator2 2.1, GDDR6 (dram-timing B.9)", "tRC of 79 is below tRAS + tRP of 80",
        "gddr6-14000", "timing.tRC=79 ck",
    ),
    Exhibit(
        "legal-value-refused", "gem5 #3271, #3390", "a sanity check refuses tCCD_L = tBURST, which is legal",
        "the lint takes a limit for legal", accepts_equal, lambda: lint, lambda: strictly_longer,
    ),
    Exhibit(
        "ns-to-cycles", "LiteDRAM #126, PR #138", "times in ns became too few cycles",
        "the checker, which works in ps, finds what is issued legal", kept_in_ps,
        lambda: issue(quiet("gddr6-16000"), ROWS), rounded_down,
    ),
    Exhibit(
        "rounded-period", "ramulator2 2.1 (dram-timing B.2)", "the period of 1.75 GHz is 570 ps, 0.25 % short",
        "a second holds as many cycles as the frequency says", a_second_long, lambda: Clock, lambda: RoundedClock,
    ),
    Exhibit(
        "interval-rounded-up", "ramulator2 2.1, DDR5, HBM, LPDDR5 (dram-timing B.9)", "tREFI becomes cycles by rounding up",
        "the interval in whole cycles is no longer than tREFI", often_enough,
        lambda: lambda device: device.refresh_interval,
        lambda: lambda device: device.refresh.interval.cycles(Clock(device.clock.value)),
    ),
    Exhibit(
        "binary-gigabytes", "GenZ (gpu facts)", "1 GB/s is 2^30 B/s, 7 % more than the datasheet says",
        "16 pins at 14 Gb/s are 28 * 10^9 B/s", as_printed_on_the_chip,
        lambda: lambda device: Fraction(device.bus.bandwidth_bits_per_s, 8),
        lambda: lambda device: Fraction(device.bus.bandwidth_bits_per_s, 8) / 10**9 * 2**30,
    ),
    Exhibit(
        "energy-of-zero", "PIMSimulator #14", "all currents of the preset are 0, so is the energy",
        "each kind of command and of waiting costs energy", nothing_is_free, lambda: (), lambda: NO_CURRENT,
    ),
    Exhibit(
        "energy-without-clock", "DRAMsim3 #18", "tCK is not applied to energy", "idle energy is power times time, at two clocks",
        power_times_time, lambda: energy_by_part_fj, lambda: without_clock,
    ),
    Exhibit(
        "energy-of-one-chip", "ramulator2 #280", "energy is not multiplied by the chips of a rank",
        "idle energy is power times time, of all chips", power_times_time, lambda: energy_by_part_fj, lambda: one_chip,
    ),
]  # fmt: skip


test_ours, test_seeded = hall(EXHIBITS)
