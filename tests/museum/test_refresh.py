"""Refresh and power of peers' controllers: refreshes that never come, come late, or go nowhere; commands in power-down."""

from collections.abc import Collection

from rowline.arch.loader import load_device
from rowline.arch.spec import RowEffect
from rowline.sim.reference.oracle import Request
from rowline.sim.reference.upkeep import Queued, Rows, Upkeep

from .exhibit import Exhibit, claim, hall
from .issue import Issued, legal, quiet
from .serve import Served, by_kernel, by_twin, table, with_parts

GDDR6 = load_device("gddr6-14000", ("refresh.interval=300 ns", "refresh.postpone_limit=1"))
DDR4 = load_device("ddr4-3200", ("refresh.interval=500 ns", "refresh.postpone_limit=1"))
RANKS = quiet("ddr4-3200", "organization.ranks=2")

SPARSE = table((300 * i, i % 5 == 0, i % 16, i % 7, i % 64) for i in range(35))
DENSE = table((2 * i, 0, i % 4 * 4, 0, i // 4 % 64) for i in range(500))
TO_A_SLEEPER = table([(0, 0, 0, 1, 0), (200, 0, 16, 1, 0)])
TWICE_ONE_ROW = table([(0, 0, 0, 1, 0), (500, 0, 0, 1, 1)])


def refreshed(served: Served) -> None:
    """Nearly as many refreshes as intervals have passed, and legal in all else."""
    device = served.device
    intervals = int(served.log["cycle"][-1]) // device.refresh_interval
    number = served.names.count(device.refresh_command.name)
    claim(abs(number - intervals) <= 1, f"{number} refreshes in {intervals} intervals")
    legal(served)


def exists(issued: Issued) -> None:
    """Every command addresses banks that there are."""
    try:
        legal(issued)
    except ValueError as error:
        claim(False, str(error))


class ByRanks(Upkeep):
    """The refresh manager asks for the level "rank"; a device without it has -1 of them."""

    def _levels(self) -> int:
        return self.device.organization.ranks.value if self.device.organization.ranks.value > 1 else -1

    def _urgent(self, tick: int) -> bool:
        return any(super(ByRanks, self)._urgent(tick) for _ in range(self._levels()))

    def _wanted(self, tick: int, queued: list[Queued], urgent: bool) -> bool:
        return any(super(ByRanks, self)._wanted(tick, queued, urgent) for _ in range(self._levels()))


class Late(Upkeep):
    """A refresh is forced some cycles after it could be postponed no longer."""

    def _urgent(self, tick: int) -> bool:
        return (tick - 12) // self.device.refresh_interval - self.rows.refreshes > 1


class TwoRanks(Rows):
    """Refreshes go to two ranks by turns, however many there are."""

    def next_refresh(self) -> Request:
        return self.request("REFab", self.refreshes % 2)


class RankZero(Upkeep):
    """Whether a bank can take a command is asked of rank 0 alone."""

    def out(self, banks: Collection[int]) -> bool:
        return super().out(self.units[0].intersection(banks))


class StaysOpen(Rows):
    """An automatic precharge is not noted."""

    def put(self, request: Request, tick: int) -> None:
        super().put(request, tick)
        if request.command.row == RowEffect.ACCESS_CLOSE:
            self.open_row[request.unit] = request.row


EXHIBITS = [
    Exhibit(
        "refresh-without-ranks", "aim_simulator (dram-timing 0.4); ramulator2 #94, #129, #130",
        "the refresh manager loops over ranks; HBM and GDDR6 have none, so nothing is ever refreshed",
        "on GDDR6, as many refreshes as intervals, one more or less", refreshed,
        lambda: by_kernel(GDDR6, SPARSE), lambda: by_twin(with_parts(upkeep=ByRanks), GDDR6, SPARSE),
    ),
    Exhibit(
        "refresh-a-little-late", "LiteDRAM (linux-on-litex #103)", "a refresh under load comes a few tCK late",
        "under load, no command while more refreshes are owed than may be", legal,
        lambda: by_kernel(DDR4, DENSE), lambda: by_twin(with_parts(upkeep=Late), DDR4, DENSE),
    ),
    Exhibit(
        "refresh-of-no-rank", "PIMSimulator #17", "REF is sent to ranks that do not exist",
        "every command addresses a unit that the device has", exists,
        lambda: by_kernel(DDR4, SPARSE), lambda: by_twin(with_parts(rows=TwoRanks), DDR4, SPARSE),
    ),
    Exhibit(
        "command-in-power-down", "DRAMSys #11 (DRAMPower noticed)", "a command is issued to a rank that is in power-down",
        "with two ranks, one just gone to sleep, no command before PDX and tXP", legal,
        lambda: by_kernel(RANKS, TO_A_SLEEPER, power_down="199 ck"),
        lambda: by_twin(with_parts(upkeep=RankZero), RANKS, TO_A_SLEEPER, power_down="199 ck"),
    ),
    Exhibit(
        "bank-state-after-rda", "ramulator2 #66 (LPDDR5: invalid bank state)", "a column command goes to a bank that is closed",
        "with auto-precharge, the next read of the same row opens it first", legal,
        lambda: by_kernel(RANKS, TWICE_ONE_ROW, row_policy="closed"),
        lambda: by_twin(with_parts(rows=StaysOpen), RANKS, TWICE_ONE_ROW, row_policy="closed"),
    ),
]  # fmt: skip

test_ours, test_seeded = hall(EXHIBITS)
