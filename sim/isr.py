"""AiM instructions -> command streams, one for each channel that the instructions reach.

What stands between an instruction and the commands of a channel follows aim_simulator (commit 0f28a07): commands in the
order of the instructions; a mode switch (TMOD) before the first command after a change between register or buffer
accesses and everything else; a row stays open until a command needs another one in that bank. Issued in order by our
kernel such a stream takes the cycles of the peer.

Three things differ, each on purpose: an all-bank command that finds some banks open at its row and others closed closes
them all first (the peer activates all banks, open or not); plain reads and writes (``R MEM``, ``W MEM``) go in the order of the
trace, as the peer's scheduler for them is not rebuilt here; and nothing is known of the host, which in the peer waits for
the data of RD_MAC and RD_AF before it sends the next instruction to any channel.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..arch.device import DramDevice
from ..traces.commands import COMMAND, CommandStream
from ..traces.formats.aim_isr import CHANNELS, NAMES

AF_ROWS = 1 << 29
"""AF opens row ``AF_ROWS`` + function: the peer's place for the tables of activation functions."""

BROADCAST, EWMUL_BG, AFM = 0, 1, 2
"""Configuration registers: where MAC takes its second operand, which groups EWMUL works on, the activation function."""
_CFR_VALUES = {BROADCAST: 2, EWMUL_BG: 2, AFM: 8}

_REGISTER = {"WR_GB": "WRGB", "WR_BIAS": "WRMAC16", "RD_MAC": "RDMAC16", "RD_AF": "RDAF16"}
_ALL_BANKS = {"WR_ABK": "WRA16", "MAC_ABK": "MAC16", "AF": "AF16", "EWMUL": "EWMUL16"}
_ONE_BANK = {"WR_SBK": "WR", "RD_SBK": "RD", "COPY_BKGB": "RDCP", "COPY_GBBK": "WRCP", "MAC_SBK": "MAC"} | {
    "W MEM": "WR",
    "R MEM": "RD",
}
_NOWHERE = -1


class IsrError(ValueError):
    """An instruction that the device cannot carry out; ``line`` is the line of the trace it stands on."""

    def __init__(self, line: int, problem: str) -> None:
        self.line, self.problem = line, problem
        super().__init__(f"line {line}: {problem}")


@dataclass
class Expansion:
    """Streams by channel, and for each the cycle before which the host cannot have sent its first instruction.

    The peer's host sends an instruction a cycle at most, also those that reach no channel.
    """

    streams: dict[int, CommandStream]
    starts: dict[int, int]


@dataclass
class _Channel:
    """What an expansion has to remember of a channel."""

    start: int
    open_rows: list[int]
    register_mode: bool = False
    accumulating: bool = False
    rows: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])


def expand(instructions: Iterable[NDArray[np.void]], device: DramDevice) -> Expansion:
    """Command streams of ISR tables, as :func:`rowline.traces.formats.aim_isr.read_isr` gives them.

    Channels are numbered as in the peer: bit i of a channel mask is channel 31 - i.

    Raises:
        IsrError: an instruction names a bank, row, column or register that there is not.
        ValueError: the device has no such commands.
    """
    unrolled = _Unroller(device)
    count = 0
    for table in instructions:
        for row in table.tolist():
            unrolled.instruction(count, *row)
            count += 1
    channels = dict(sorted(unrolled.channels.items()))
    return Expansion(
        {number: np.array(channel.rows, COMMAND) for number, channel in channels.items()},
        {number: channel.start for number, channel in channels.items()},
    )


class _Unroller:
    """Takes instructions one by one."""

    def __init__(self, device: DramDevice) -> None:
        index = device.dram_standard.index
        missing = {*_REGISTER.values(), *_ALL_BANKS.values(), *_ONE_BANK.values(), "TMOD", "ACT16"} - index.keys()
        if missing or device.pim is None:
            raise ValueError(f"the device has no {', '.join(sorted(missing)) or 'MAC units'}, which AiM instructions need")
        organization = device.organization
        if organization.ranks.value * organization.pseudo_channels.value != 1:
            raise ValueError("AiM instructions are for a channel of one rank")
        self.channels: dict[int, _Channel] = {}
        self._index, self._banks = index, organization.banks
        self._columns, self._rows = organization.columns, organization.rows.value
        self._macs = organization.elements_per_column
        self._registers = {BROADCAST: 0, EWMUL_BG: 1, AFM: 0}

    def instruction(
        self, count: int, line: int, op: int, opsize: int, gpr: int, gpr_1: int, mask: int, channel: int, bank: int, row: int,
        register: int, value: int,
    ) -> None:  # fmt: skip
        """The commands of one instruction, the ``count``-th, in each channel it reaches; fields as in the ISR table."""
        name = NAMES[op]
        if name == "W CFR":
            if value >= _CFR_VALUES.get(register, 0):
                known = ", ".join(f"{number} (0..{values - 1})" for number, values in _CFR_VALUES.items())
                raise IsrError(line, f"CFR {register} = {value}; there are {known}")
            self._registers[register] = value
        elif name not in _REGISTER and row >= self._rows:
            raise IsrError(line, f"row {row}, the device has {self._rows}")
        elif bank >= self._banks:
            raise IsrError(line, f"bank {bank}, the device has {self._banks}")
        elif opsize > self._columns and name != "EWADD":
            raise IsrError(line, f"opsize {opsize}, rows and buffer of the device have {self._columns} columns")
        reached = [channel] if channel >= 0 else [CHANNELS - 1 - bit for bit in range(CHANNELS) if mask >> bit & 1]
        for number in reached:
            into = self.channels.setdefault(number, _Channel(count, [_NOWHERE] * self._banks))
            self._commands(into, name, opsize, bank, row)

    def _commands(self, channel: _Channel, name: str, opsize: int, bank: int, row: int) -> None:
        in_registers = name in _REGISTER
        if in_registers != channel.register_mode:
            self._emit(channel, "TMOD")
            channel.register_mode = in_registers
        if in_registers:
            self._emit(channel, _REGISTER[name], col=0 if name == "WR_GB" else -1, count=opsize)
            channel.accumulating = name == "WR_BIAS" or (channel.accumulating and name == "WR_GB")
        elif name in _ALL_BANKS:
            self._all_banks(channel, name, AF_ROWS + self._registers[AFM] if name == "AF" else row, opsize)
        else:
            if channel.open_rows[bank] not in (row, _NOWHERE):
                self._emit(channel, "PRE", bank)
                channel.open_rows[bank] = _NOWHERE
            if channel.open_rows[bank] == _NOWHERE:
                self._emit(channel, "ACT", bank, row)
                channel.open_rows[bank] = row
            macs = self._macs if name == "MAC_SBK" else 0
            self._emit(channel, _ONE_BANK[name], bank, row, 0, opsize, macs)
            channel.accumulating |= name == "MAC_SBK"

    def _all_banks(self, channel: _Channel, name: str, row: int, opsize: int) -> None:
        if channel.open_rows != [row] * self._banks:
            if channel.open_rows != [_NOWHERE] * self._banks:
                self._emit(channel, "PREA")
                channel.open_rows = [_NOWHERE] * self._banks
            self._emit(channel, "ACT16", 0, row)
            channel.open_rows = [row] * self._banks
        macs = self._macs * self._banks if name == "MAC_ABK" else 0
        self._emit(channel, _ALL_BANKS[name], 0, row, 0, opsize, macs)
        channel.accumulating |= name == "MAC_ABK"
        if name == "WR_ABK":
            channel.open_rows = [_NOWHERE] * self._banks

    def _emit(
        self, channel: _Channel, name: str, unit: int = 0, row: int = -1, col: int = -1, count: int = 1, macs: int = 0
    ) -> None:
        """One row of the COMMAND table; refresh may go before it while nothing is open or accumulating."""
        safe = channel.open_rows == [_NOWHERE] * self._banks and not channel.accumulating
        channel.rows.append((self._index[name], unit, row, col, count, int(safe), -1, macs))
