"""The slow twin of the memory controller's kernel: one channel, tick by tick, as ``docs/controller.md`` says it.

Nothing is skipped and nothing is remembered that the text does not name: each tick goes through the five steps, and each
candidate command is put to the oracle's history, rule by rule. Refresh and power stand in :mod:`.upkeep`. Nothing here is
shared with the kernels.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ...arch.controller import Controller, Prefer, RowPolicy, Scheduler
from ...arch.device import DramDevice
from ...arch.spec import RowEffect
from ...traces.commands import ISSUED, IssueLog
from .upkeep import Candidate, Queued, Rank, Rows, Upkeep, Wishes


@dataclass(frozen=True)
class Served:
    """What became of one request.

    Attributes:
        kind: ``"hit"``, ``"miss"``, ``"conflict"``, ``"forwarded"`` or ``"merged"``.
        accepted: tick at which it was accepted.
        done: tick at which its data ends (forwarded: one tick after acceptance; merged: the tick of acceptance).
    """

    kind: str
    accepted: int
    done: int


def run_controller(device: DramDevice, controller: Controller, requests: np.ndarray) -> tuple[IssueLog, list[Served]]:
    """Serve ``requests`` and return the issue log and what became of each, in trace order.

    Args:
        device: the channel.
        controller: its controller, fitted to the device or not yet.
        requests: structured array with the fields ``arrive``, ``write``, ``bank``, ``row``, ``col``.

    Raises:
        ValueError: the controller asks for what the device cannot do.
    """
    twin = Twin(device, controller.fitted(device), requests)
    tick = 0
    while twin.busy:
        twin.step(tick)
        tick += 1
    return np.array(twin.rows.log, ISSUED), [twin.served[index] for index in range(len(requests))]


class Twin:
    """The controller of one channel."""

    def __init__(self, device: DramDevice, controller: Controller, requests: np.ndarray) -> None:
        self.device, self.controller = device, controller
        self.trace = [(int(r["arrive"]), bool(r["write"]), int(r["bank"]), int(r["row"]), int(r["col"])) for r in requests]
        self.rows = Rows(device)
        self.upkeep = Upkeep(self.rows, controller)
        self.reads: list[Queued] = []  # the queues are in order of acceptance, so the oldest comes first
        self.writes: list[Queued] = []
        self.writing = False
        self.offered = 0
        self.numbered = 0
        self.accepted: dict[int, int] = {}
        self.served: dict[int, Served] = {}
        banks = range(device.organization.banks)
        self.overtaken = dict.fromkeys(banks, 0)
        self.opened_for: dict[int, Queued] = {}  # with finish_opened; of a bank that is open
        self.last_use = dict.fromkeys(banks, 0)
        self.places = controller.write_queue.value
        self.high = self.places * controller.write_high.value // 1000
        self.low = max(1, self.places * controller.write_low.value // 1000)
        self.row_timeout = self.upkeep.ticks(controller.row_timeout)

    @property
    def busy(self) -> bool:
        """Whether a request is still to be offered or served."""
        return self.offered < len(self.trace) or bool(self.reads or self.writes)

    @property
    def queue(self) -> list[Queued]:
        """The queue of the mode (Q)."""
        return self.writes if self.writing else self.reads

    def step(self, tick: int) -> None:
        """One tick."""
        self.accept(tick)
        self.choose_mode()
        wishes = self.upkeep.wishes(tick, self.reads + self.writes)
        while (best := self.best(tick, wishes)) is not None:
            self.issue(best, tick)
        self.choose_mode()

    # steps 1, 2 and 5

    def accept(self, tick: int) -> None:
        """Take the next request, if it has arrived and there is room."""
        if self.offered == len(self.trace) or self.trace[self.offered][0] > tick:
            return
        _, write, bank, row, col = self.trace[self.offered]
        if any((queued.bank, queued.row, queued.col) == (bank, row, col) for queued in self.writes):
            kind, latency = ("merged", 0) if write else ("forwarded", 1)
            self.served[self.offered] = Served(kind, tick, tick + latency)
        else:
            queue = self.writes if write else self.reads
            room = self.places if write else self.controller.read_queue.value
            if self.waiting(queue) >= room:
                return
            queue.append(Queued(self.numbered, self.offered, write, bank, row, col))
            self.accepted[self.offered] = tick
            self.numbered += 1
        self.offered += 1

    def waiting(self, queue: list[Queued]) -> int:
        """Requests that take a common place of a queue: those for which their bank has none left."""
        places = self.controller.bank_queue.value
        return sum(max(0, number - places) for number in Counter(queued.bank for queued in queue).values())

    def choose_mode(self) -> None:
        """Change between serving reads and serving writes."""
        if not self.writing:
            self.writing = len(self.writes) > self.high or (bool(self.writes) and not self.reads)
        else:
            self.writing = not (len(self.writes) < self.low and self.reads)

    # step 4

    def best(self, tick: int, wishes: Wishes) -> Candidate | None:
        """The best candidate that every timing rule allows at ``tick``."""
        candidates = self.upkeep.candidates(wishes) + self.served_next(wishes) + self.timeouts(tick)
        for candidate in sorted(candidates, key=lambda each: each.order):
            if self.rows.allowed(candidate.request, tick):
                return candidate
        return None

    def served_next(self, wishes: Wishes) -> list[Candidate]:
        """The candidates for requests."""
        if self.controller.scheduler == Scheduler.FCFS:
            banks = [queued.bank for queued in self.queue[:1]]
        else:
            banks = [queued.bank for queued in self.queue]
        owned = {bank for bank in self.opened_for if bank in self.rows.open_row}
        banks = sorted(owned | (set(banks) - wishes.blocked))
        return [self.for_bank(bank) for bank in banks if not self.upkeep.out([bank])]

    def for_bank(self, bank: int) -> Candidate:
        """The one candidate of a bank that was opened for a request, or for which the queue of the mode holds requests."""
        if bank in self.rows.open_row and bank in self.opened_for:
            return self.column_command(self.opened_for[bank], Rank.BOUND)
        queued_here = [queued for queued in self.queue if queued.bank == bank]
        oldest = queued_here[0]
        if bank not in self.rows.open_row:
            return self.row_command("ACT", oldest)
        open_row = self.rows.open_row[bank]
        hit = next((queued for queued in queued_here[: self.controller.bank_queue.value or None] if queued.row == open_row), None)
        if self.controller.scheduler == Scheduler.FCFS and hit is not oldest:
            hit = None
        cap = self.controller.row_hit_cap.value
        capped = oldest.row != open_row and cap > 0 and self.overtaken[bank] >= cap
        if hit is None or capped:
            return self.row_command("PRE", oldest)
        return self.column_command(hit)

    def row_command(self, name: str, queued: Queued) -> Candidate:
        """ACT or PRE for a request."""
        rank = {Prefer.COLUMN: Rank.ROW, Prefer.OLDEST: Rank.COLUMN, Prefer.ROW: Rank.EARLY_ROW}[self.controller.prefer]
        request = self.rows.request(name, queued.bank, queued.row if name == "ACT" else -1)
        return Candidate((rank, queued.number), request, queued)

    def column_command(self, queued: Queued, rank: Rank = Rank.COLUMN) -> Candidate:
        """The read or write for a request."""
        queue, place = self.writes if queued.write else self.reads, (queued.bank, queued.row)
        last = not any((other.bank, other.row) == place and other is not queued for other in queue)
        policy = self.controller.row_policy
        close = policy == RowPolicy.AUTO_PRECHARGE or (policy == RowPolicy.CLOSED and last)
        name = ("WR" if queued.write else "RD") + ("A" if close else "")
        return Candidate((rank, queued.number), self.rows.request(name, queued.bank, queued.row, queued.col), queued)

    def timeouts(self, tick: int) -> list[Candidate]:
        """PRE of the rows that nobody has asked for in a while."""
        if self.controller.row_policy != RowPolicy.TIMEOUT:
            return []
        wanted = {queued.bank for queued in self.reads + self.writes}
        banks = [bank for bank in sorted(self.rows.open_row) if bank not in wanted and not self.upkeep.out([bank])]
        due = [bank for bank in banks if tick >= self.last_use[bank] + self.row_timeout]
        return [Candidate((Rank.TIMEOUT, bank), self.rows.request("PRE", bank)) for bank in due]

    def issue(self, candidate: Candidate, tick: int) -> None:
        """Issue a command and do what follows from it."""
        request, purpose = candidate.request, candidate.purpose
        self.rows.put(request, tick)
        self.upkeep.note(request, tick)
        if request.command.row == RowEffect.OPEN:
            self.overtaken[request.unit] = 0
            if purpose is not None and self.controller.finish_opened:
                self.opened_for[request.unit] = purpose
        if request.command.row == RowEffect.OPEN or request.command.bus:
            self.last_use[request.unit] = tick
        if purpose is None:
            return
        purpose.activated |= request.command.row == RowEffect.OPEN
        purpose.precharged |= request.command.row == RowEffect.CLOSE
        if request.command.bus:
            self.serve(candidate, purpose, tick)

    def serve(self, candidate: Candidate, queued: Queued, tick: int) -> None:
        """A column command for ``queued`` was issued: it leaves its queue."""
        queue = self.writes if queued.write else self.reads
        overtook = any(other.number < queued.number and other.bank == queued.bank and other.row != queued.row for other in queue)
        self.overtaken[queued.bank] += overtook
        self.opened_for.pop(queued.bank, None)
        queue.remove(queued)
        kind = "conflict" if queued.precharged else "miss" if queued.activated else "hit"
        standard, params = self.device.dram_standard, self.device.params
        last_tick = tick + standard.ticks(candidate.request.command) - standard.ticks_per_clock
        latency = params["nCWL" if queued.write else "nCL"] + params["nBL"]
        self.served[queued.index] = Served(kind, self.accepted[queued.index], last_tick + latency)
