"""DramDevice -> the judge's integer tables, from the traits and paths of :mod:`rowline.sim.reference`."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...arch.device import DramDevice, RefreshMode
from ...arch.units import PS_PER_S
from ..reference.columncheck import BURSTS_IN_FLIGHT
from ..reference.facets import Point, Times
from ..reference.rowcheck import HOLDS, WINDOWS
from ..reference.spacings import spacings
from ..reference.traits import Power, Row, Span, Trait, Upkeep
from . import layout as at

Array = NDArray[np.int64]

ROWS = {Row.NONE: at.ROW_NONE, Row.OPEN: at.ROW_OPEN, Row.CLOSE: at.ROW_CLOSE, Row.ACCESS: at.ROW_ACCESS,
        Row.AUTO_CLOSE: at.ROW_AUTO, Row.REST: at.ROW_REST}  # fmt: skip
STORES = {"": 0, "burst": at.STORES_END, "latency": at.STORES_START}
UPKEEPS = {Upkeep.NONE: at.UPKEEP_NONE, Upkeep.REFRESH_BANK: at.UPKEEP_BANK, Upkeep.REFRESH_ALL: at.UPKEEP_ALL,
           Upkeep.MANAGE_ALL: at.UPKEEP_MANAGE, Upkeep.MANAGE_BANK: at.UPKEEP_MANAGE}  # fmt: skip
POWERS = {Power.NONE: at.POWER_NONE, Power.DOWN: at.POWER_DOWN, Power.UP: at.POWER_UP, Power.SLEEP: at.POWER_SLEEP,
          Power.WAKE: at.POWER_WAKE}  # fmt: skip
POINTS = {Point.FIRST: at.P_FIRST, Point.ACCEPT: at.P_ACCEPT, Point.START: at.P_START, Point.END: at.P_END}
PRECHARGES = [f"{hold}+{takes}" for takes in ("tRP", "tRPab") for hold in HOLDS]
STATES = ("row-state", "data-bus", "tRTRS", "power-state", "refresh-early", "refresh-order", "refresh-debt")


class Tables(NamedTuple):
    """What does not change while a log is judged."""

    scalars: Array
    commands: Array
    waits: Array
    marks: Array
    windows: Array


class State(NamedTuple):
    """What the judge remembers of a log: layouts in :mod:`.layout`."""

    numbers: Array  # N_STATE
    traces: Array  # by mark and place: N_TRACE
    banks: Array  # N_BANK
    round_of: Array  # by bank: the round in which it was refreshed last
    recent: Array  # by array and place in the ring: N_TRACE
    recents: Array  # by array: how many there were
    bursts: Array  # by pseudo-channel and place in the ring: N_BURST
    burst_count: Array
    rounds: Array  # by array: N_ROUND
    power: Array  # by unit: N_UNIT
    due: Array  # by refresh unit: when it falls due, from when on it may come, what was owed at the last SRE
    unpaid: Array  # N_FINDING
    worst: Array  # by rule: whether it is broken, and N_FINDING
    event: Array  # N_EVENT
    counts: Array  # by rule


class Compiled(NamedTuple):
    """The tables with what people read: names of rules, and the traits."""

    tables: Tables
    times: Times
    rules: list[str]
    names: list[str]
    units: Array  # by command: how many units it can address; 0 where the checker does not know it
    places: int  # traces
    order: bool


def compile_judge(device: DramDevice, refresh: bool = True, order: bool = True) -> Compiled:
    """The tables of a device; arguments as for :func:`rowline.sim.reference.checker.check`.

    Raises:
        ValueError: the clock is too odd a number for exact times in 64 bits.
    """
    times = Times(device)
    paths = spacings(times)
    names = [command.name for command in device.dram_standard.commands]
    traits = [times.family.traits.get(name) for name in names]
    words = {*STATES, *WINDOWS, *HOLDS, *PRECHARGES, "tRC", "tRP", "tRPab", "tRFCpb"}
    words |= {path.rule for path in paths} | {trait.after_act for trait in traits if trait is not None}
    rules = sorted(words - {""})
    rule = {name: number for number, name in enumerate(rules)}
    commands = np.zeros((len(names), at.N_COMMAND), np.int64)
    waits, marks, bases = list[tuple[int, ...]](), list[tuple[int, ...]](), list[int]()
    places = 0
    for path in paths:
        bases.append(places)
        places += times.geometry.units(path.scope)
    for row, name, trait in zip(commands, names, traits, strict=True):
        if trait is None:
            continue
        _fill_command(row, times, name, trait, rule)
        row[at.C_WAIT_LO], row[at.C_MARK_LO] = len(waits), len(marks)
        for path, base in zip(paths, bases, strict=True):
            shift = times.geometry.size[path.scope].bit_length() - 1
            if name in path.before:
                waits.append((shift, base, path.gap, rule[path.rule], POINTS[path.target], int(path.others)))
            if name in path.after:
                marks.append((shift, base, POINTS[path.origin]))
        row[at.C_WAIT_HI], row[at.C_MARK_HI] = len(waits), len(marks)
    windows = [(banks, times.of(name), rule[name]) for name, banks in WINDOWS.items() if times.has(name) and times.of(name)]
    tables = Tables(
        _scalars(times, refresh, order, rule),
        commands,
        np.array(waits, np.int64).reshape(-1, at.N_WAIT),
        np.array(marks, np.int64).reshape(-1, at.N_MARK),
        np.array(windows, np.int64).reshape(-1, at.N_WINDOW),
    )
    units = np.array([0 if trait is None else times.geometry.units(trait.span) for trait in traits], np.int64)
    return Compiled(tables, times, rules, names, units, places, order)


def _fill_command(row: Array, times: Times, name: str, trait: Trait, rule: dict[str, int]) -> None:
    """One command's fields."""
    device, geometry = times.device, times.geometry
    row[at.C_ROW], row[at.C_STORES] = ROWS[trait.row], STORES[trait.stores]
    row[at.C_UPKEEP], row[at.C_POWER] = UPKEEPS[trait.upkeep], POWERS[trait.power]
    row[at.C_STRIPE] = trait.span == Span.STRIPE
    row[at.C_SIZE] = geometry.size.get(trait.span, 0)
    row[at.C_GROUP], row[at.C_RANK] = geometry.size[Span.GROUP], geometry.size[Span.RANK]
    banks = row[at.C_BANKS] = len(geometry.touched(trait.span, 0))
    row[at.C_ACCEPT] = times.on_bus(name) - times.ticks
    row[at.C_DATA], row[at.C_BUS], row[at.C_SENSES] = bool(trait.data_after), bool(trait.bus), trait.senses
    row[at.C_LATENCY] = times.latency(trait) if trait.data_after else 0
    if trait.after_act:
        row[at.C_AFTER_ACT], row[at.C_R_AFTER_ACT] = times.of(trait.after_act), rule[trait.after_act]
    takes = "tRPab" if trait.span != Span.BANK and times.has("tRPab") else "tRP"
    row[at.C_PRECHARGE], row[at.C_R_PRECHARGE] = times.of(takes), rule[takes]
    for number, hold in enumerate(HOLDS):
        row[at.C_R_AUTO + number] = rule[f"{hold}+{takes}"]
    refreshes = trait.upkeep == Upkeep.REFRESH_BANK and bool(device.refresh_in_activation_window.value)
    counts = trait.span == Span.BANK or bool(device.multi_bank_activation_in_window.value)
    row[at.C_WEIGHT] = banks if (trait.row == Row.OPEN or refreshes) and counts else 0
    command = device.refresh_command.name
    row[at.C_REFRESH] = name == command
    if trait.upkeep in (Upkeep.REFRESH_ALL, Upkeep.REFRESH_BANK) or trait.power in (Power.SLEEP, Power.WAKE):
        row[at.C_COVERS] = geometry.units(times.family.traits[command].span) // geometry.units(trait.span)


def _scalars(times: Times, refresh: bool, order: bool, rule: dict[str, int]) -> Array:
    device, geometry, s = times.device, times.geometry, np.zeros(at.N_SCALARS, np.int64)
    common = math.gcd(times.clock.freq_hz, PS_PER_S)
    s[at.S_F], s[at.S_PS] = times.clock.freq_hz // common, PS_PER_S // common
    s[at.S_A], s[at.S_B] = divmod(int(s[at.S_PS]), int(s[at.S_F]))
    if int(s[at.S_F]) ** 2 > at.FOREVER:
        raise ValueError(f"a clock of {times.clock.freq_hz} Hz is too odd for the judge")
    shift = {span: size.bit_length() - 1 for span, size in geometry.size.items()}
    s[at.S_BURST], s[at.S_BUBBLE] = times.burst, times.of("tRTRS") if times.has("tRTRS") else 0
    s[at.S_RANK_SHIFT], s[at.S_PSEUDO_SHIFT] = shift[Span.RANK], shift[Span.PSEUDO]
    s[at.S_RANKS] = geometry.size[Span.PSEUDO] // geometry.size[Span.RANK]
    for place, name in ((at.S_TRAS, "tRAS"), (at.S_TRTP, "tRTP"), (at.S_TWR, "tWR"), (at.S_TRC, "tRC")):
        s[place] = times.of(name)
    for place, name in (
        (at.S_R_STATE, "row-state"), (at.S_R_TRAS, "tRAS"), (at.S_R_TRTP, "tRTP"), (at.S_R_TWR, "tWR"),
        (at.S_R_TRC, "tRC"), (at.S_R_BUS, "data-bus"), (at.S_R_TRTRS, "tRTRS"), (at.S_R_ROUND, "tRFCpb"),
        (at.S_R_POWER, "power-state"), (at.S_R_EARLY, "refresh-early"), (at.S_R_ORDER, "refresh-order"),
        (at.S_R_DEBT, "refresh-debt"),
    ):  # fmt: skip
        s[place] = rule[name]
    s[at.S_ARRAY_SHIFT], s[at.S_ARRAY_BANKS] = shift[times.family.array], geometry.size[times.family.array]
    s[at.S_TRFCPB] = times.of("tRFCpb") if times.has("tRFCpb") else 0
    if "PDE" in times.family.traits:
        s[at.S_HAS_POWER], s[at.S_POWER_SHIFT] = 1, shift[times.family.traits["PDE"].span]
    units = geometry.units(times.family.traits[device.refresh_command.name].span)
    many = units if order else 1  # our own schedule counts over the channel, others' over each unit
    s[at.S_REFRESHES] = refresh and device.refresh.mode != RefreshMode.OFF
    s[at.S_ORDER], s[at.S_REFRESH_UNITS] = order, units
    s[at.S_INTERVAL] = device.refresh_interval * (1 if order else units)
    s[at.S_MOST] = device.refresh.postpone_limit.value * many + (not order)
    s[at.S_AHEAD] = device.refresh.pull_in_limit.value * many + (not order)
    return s


def new_state(compiled: Compiled) -> State:
    """Nothing issued yet: all banks closed and awake."""
    geometry, s = compiled.times.geometry, compiled.tables.scalars.tolist()
    arrays, pseudos = geometry.units(compiled.times.family.array), geometry.units(Span.PSEUDO)
    interval, units = s[at.S_INTERVAL], s[at.S_REFRESH_UNITS]
    state = State(
        numbers=np.zeros(at.N_STATE, np.int64),
        traces=np.full((compiled.places, at.N_TRACE), at.NEVER, np.int64),
        banks=np.full((geometry.banks, at.N_BANK), at.NEVER, np.int64),
        round_of=np.full(geometry.banks, -1, np.int64),
        recent=np.full((arrays, max(WINDOWS.values()), at.N_TRACE), at.NEVER, np.int64),
        recents=np.zeros(arrays, np.int64),
        bursts=np.full((pseudos, BURSTS_IN_FLIGHT, at.N_BURST), at.NEVER, np.int64),
        burst_count=np.zeros(pseudos, np.int64),
        rounds=np.full((arrays, at.N_ROUND), at.NEVER, np.int64),
        power=np.zeros((geometry.banks, at.N_UNIT), np.int64),
        due=np.zeros((units, 3), np.int64),
        unpaid=np.zeros(at.N_FINDING, np.int64),
        worst=np.zeros((len(compiled.rules), 1 + at.N_FINDING), np.int64),
        event=np.zeros(at.N_EVENT, np.int64),
        counts=np.zeros(len(compiled.rules), np.int64),
    )
    state.rounds[:, : at.D_LAST] = 0
    state.due[:, 0], state.due[:, 1] = interval, interval - s[at.S_AHEAD] * interval
    return state
