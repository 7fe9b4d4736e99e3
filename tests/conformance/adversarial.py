"""Streams that press on one weak spot each, for any device: piles of conflicts, turnarounds, ping-pong, refresh storms."""

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
from rowline.arch.device import DramDevice, RefreshMode
from rowline.arch.spec import Command, Level, RowEffect
from rowline.traces.commands import CommandStream

from .builder import ACCESSES, Builder
from .streams import close_all

Writer = Callable[[Builder, np.random.Generator], Iterator[None]]
"""Adds commands to a builder, and stops after each where the stream may end."""


def adversarial_stream(device: DramDevice, kind: str, seed: int, length: int = 150) -> tuple[CommandStream, list[int]]:
    """A stream of ``kind``, and the release cycles of its rows."""
    builder = Builder(device)
    writer = KINDS[kind](builder, np.random.default_rng(seed))
    while len(builder.rows) < length:
        next(writer)
    return builder.stream(), builder.not_before


def _bank(builder: Builder, level: Level, number: int) -> int:
    """First bank of an instance of ``level``, counted round and round."""
    size = builder.device.organization.banks_at(level)
    return number * size % builder.device.organization.banks + number * size // builder.device.organization.banks % size


def conflicts(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """One bank, a new row for every access."""
    bank = int(rng.integers(builder.device.organization.banks))
    for name in cycle(("RD", "WR")):
        builder.add("ACT", bank, row=int(rng.integers(100)))
        builder.add(name, bank)
        builder.add("PRE", bank)
        yield


def auto_precharge(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """RDA and WRA only, on few banks."""
    banks = rng.choice(builder.device.organization.banks, 3, replace=False).tolist()
    while True:
        bank = int(rng.choice(banks))
        builder.add("ACT", bank, row=int(rng.integers(100)), safe=not builder.open_row)
        if rng.random() < 0.3:
            builder.add("WR", bank)
        builder.add(str(rng.choice(["RDA", "WRA"])), bank)
        yield


def turnarounds(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """Read, write, read, write: in one bank, in one group, across groups, ranks and pseudo-channels."""
    banks = [_bank(builder, level, number) for level in Level for number in range(2)][1:-1]
    for bank in sorted(set(banks)):
        builder.add("ACT", bank)
    for name in cycle(("RD", "WR")):
        builder.add(name, int(rng.choice(sorted(set(banks)))), col=int(rng.integers(8)))
        yield


def _ping_pong(level: Level) -> Writer:
    def write(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
        count = max(2, builder.device.organization.banks // builder.device.organization.banks_at(level))
        for number in range(count):
            builder.add("ACT", _bank(builder, level, number))
        for number in cycle(range(count)):
            builder.add(str(rng.choice(["RD", "RD", "WR"])), _bank(builder, level, number))
            yield

    return write


def activations(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """All banks as fast as the windows let them, then close them in one go."""
    while True:
        for bank in rng.permutation(builder.device.organization.banks).tolist():
            builder.add("ACT", bank, row=int(rng.integers(100)), safe=not builder.open_row)
            yield
        close_all(builder)


def refresh_storm(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """Every bank open, whenever refresh can be postponed no longer; then idle time with all closed."""
    device, now = builder.device, 0
    postponed = (device.refresh.postpone_limit.value + 1) * device.refresh.interval.cycles_floor(device.device_clock)
    rows = int(rng.integers(1, 3))  # one row in all banks, or two
    while True:
        for bank in range(device.organization.banks):
            builder.add("ACT", bank, row=bank % rows, release=now)
            yield
        for step in range(4):
            now += postponed + int(rng.integers(-20, 20))
            builder.add(("RD", "WR")[step % 2], int(rng.integers(device.organization.banks)), release=now)
            yield
        close_all(builder)
        now += 3 * max(device.refresh_interval, 100)
        builder.add("PREA", safe=True, release=now)
        yield


def everything_else(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """The commands of several banks and none, one after the other: registers, MACs, modes, refresh management."""
    wide = [c for c in builder.standard.commands if c.footprint > Level.BANK or c.row in (RowEffect.NONE, RowEffect.IDLE)]
    wide = [c for c in wide if c.row != RowEffect.REFRESH and "power" not in c.classes]
    while True:
        command = wide[int(rng.integers(len(wide)))]
        units = [unit for unit in builder.units(command) if builder.legal(command, unit)]
        if not units:
            _prepare(builder, command)
            units = [unit for unit in builder.units(command) if builder.legal(command, unit)]
        safe = not builder.open_row and rng.random() < 0.3
        builder.add(command.name, units[int(rng.integers(len(units)))], safe=safe)
        yield


def power(builder: Builder, rng: np.random.Generator) -> Iterator[None]:
    """Power-down and self-refresh around a little work. The engine would refresh in between, so only without refresh."""
    if "PDE" not in builder.standard.index or builder.device.refresh.mode != RefreshMode.OFF:
        yield from conflicts(builder, rng)
    bank, units = int(rng.integers(builder.device.organization.banks)), builder.units(builder.command("PDE"))
    while True:
        builder.add("ACT", bank)
        builder.add(str(rng.choice(["RD", "WR", "RDA", "WRA"])), bank)
        for entry, leave in (("PDE", "PDX"), ("SRE", "SRX")):
            if entry == "SRE":
                close_all(builder)
            for unit in units:
                builder.add(entry, unit)
            for unit in units:
                builder.add(leave, unit)
        yield


def _prepare(builder: Builder, command: Command) -> None:
    """Bring the banks of unit 0 into the state that ``command`` needs."""
    touched = builder.banks(command, 0)
    close_all(builder)
    if command.row in ACCESSES:
        for bank in touched:
            builder.add("ACT", bank, row=5)


KINDS: dict[str, Writer] = {
    "conflicts": conflicts,
    "auto-precharge": auto_precharge,
    "turnarounds": turnarounds,
    "groups": _ping_pong(Level.BANKGROUP),
    "ranks": _ping_pong(Level.RANK),
    "pseudo-channels": _ping_pong(Level.PSEUDOCHANNEL),
    "activations": activations,
    "refresh-storm": refresh_storm,
    "everything-else": everything_else,
    "power": power,
}
