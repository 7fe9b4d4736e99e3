"""Streams for the conformance kit: random legal ones for any standard."""

import numpy as np
from rowline.arch.device import DramDevice
from rowline.arch.spec import Command, RowEffect
from rowline.traces.commands import CommandStream

from .builder import Builder

__all__ = ["Builder", "close_all", "random_stream"]

_WEIGHTS = {
    RowEffect.OPEN: 6, RowEffect.CLOSE: 2, RowEffect.ACCESS: 8, RowEffect.ACCESS_CLOSE: 2, RowEffect.NONE: 4,
    RowEffect.IDLE: 1,
}  # fmt: skip


def random_stream(
    device: DramDevice, seed: int, length: int = 200, idle: float = 0.03, max_count: int = 8, safe: float = 0.5
) -> tuple[CommandStream, list[int]]:
    """A random legal stream and the release cycles of its rows.

    Args:
        device: any device; the commands are those of its standard, but for power-down and self-refresh.
        seed: same seed, same stream.
        length: number of rows.
        idle: chance that the host pauses before a row, for up to three times as long as refresh can be postponed
            or, as often, for a few refresh intervals.
        max_count: longest run of one access or register command.
        safe: chance that a row before which all banks are closed is marked as safe for refresh.
    """
    rng = np.random.default_rng(seed)
    builder = Builder(device)
    interval = max(device.refresh_interval, 1)
    postponable = device.refresh.postpone_limit.value * device.refresh.interval.cycles_floor(device.device_clock)
    now = 0
    for _ in range(length):
        if rng.random() < idle:
            now += int(rng.integers(1, 3 * (postponable if rng.random() < 0.5 else interval)))
        now += int(rng.integers(0, 30))
        command, unit = _pick(builder, rng)
        run = command.row in (RowEffect.ACCESS, RowEffect.NONE) and rng.random() < 0.3
        count = int(rng.integers(1, min(max_count, device.organization.columns) + 1)) if run else 1
        builder.add(
            command.name,
            unit,
            row=int(rng.integers(device.organization.rows.value)),
            col=int(rng.integers(device.organization.columns - count + 1)),
            count=count,
            safe=not builder.open_row and rng.random() < safe,
            release=now if rng.random() < 0.8 else 0,
        )
    return builder.stream(), builder.not_before


def _pick(builder: Builder, rng: np.random.Generator) -> tuple[Command, int]:
    """A legal command and unit: first a kind, then a command of it, then where."""
    options: dict[RowEffect, list[tuple[Command, list[int]]]] = {}
    for command in builder.standard.commands:
        if "power" in command.classes:
            continue
        if units := [unit for unit in builder.units(command) if builder.legal(command, unit)]:
            options.setdefault(command.row, []).append((command, units))
    kinds = sorted(options)
    weights = np.array([_WEIGHTS[kind] for kind in kinds], float)
    of_kind = options[kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]]
    command, units = of_kind[int(rng.integers(len(of_kind)))]
    return command, units[int(rng.integers(len(units)))]


def close_all(builder: Builder) -> Builder:
    """Close every bank."""
    for unit in builder.units(builder.command("PREA")):
        builder.add("PREA", unit)
    return builder
