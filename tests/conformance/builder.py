"""A stream under construction: knows which rows are open, so that it can tell what is legal next."""

from dataclasses import dataclass, field

from rowline.arch.device import DramDevice
from rowline.arch.spec import Command, DramStandard, RowEffect
from rowline.traces.commands import CommandStream, empty_stream

ACCESSES = (RowEffect.ACCESS, RowEffect.ACCESS_CLOSE)


@dataclass
class Builder:
    """Appends commands to a stream and keeps track of the open rows."""

    device: DramDevice
    rows: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    not_before: list[int] = field(default_factory=list)
    open_row: dict[int, int] = field(default_factory=dict)

    @property
    def standard(self) -> DramStandard:
        """The device's standard."""
        return self.device.dram_standard

    def command(self, name: str) -> Command:
        """A command by name."""
        return self.standard.commands[self.standard.index[name]]

    def units(self, command: Command) -> range:
        """All units that ``command`` can address."""
        return range(self.device.organization.units(command))

    def banks(self, command: Command, unit: int) -> range:
        """The banks that it touches there."""
        return self.device.organization.touched(command, unit)

    def legal(self, command: Command, unit: int) -> bool:
        """Whether the open rows allow ``command`` at ``unit``, for some row."""
        rows = {self.open_row.get(bank) for bank in self.banks(command, unit)}
        if command.row in (RowEffect.OPEN, RowEffect.IDLE):
            return rows == {None}
        if command.row in ACCESSES:
            return len(rows) == 1 and None not in rows
        return command.row != RowEffect.REFRESH

    def add(
        self, name: str, unit: int = 0, row: int = 0, col: int = 0, count: int = 1, safe: bool = False, release: int = 0
    ) -> None:
        """Append a command; ``row`` counts for activations only, accesses take the row that is open."""
        command = self.command(name)
        banks = self.banks(command, unit)
        assert self.legal(command, unit), (name, unit)
        if command.row in ACCESSES:
            row = self.open_row[banks.start]
        elif command.row != RowEffect.OPEN:
            row = -1
        if command.row not in ACCESSES:
            col = -1
        self.rows.append((self.standard.index[name], unit, row, col, count, int(safe)))
        self.not_before.append(release)
        if command.row == RowEffect.OPEN:
            self.open_row.update(dict.fromkeys(banks, row))
        elif command.row in (RowEffect.CLOSE, RowEffect.ACCESS_CLOSE):
            for bank in banks:
                self.open_row.pop(bank, None)

    def stream(self) -> CommandStream:
        """The table of what was added."""
        table = empty_stream(len(self.rows))
        for position, name in enumerate(("cmd", "unit", "row", "col", "count", "safe")):
            table[name] = [row[position] for row in self.rows]
        return table
