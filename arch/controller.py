"""The memory controller of a channel: queues, scheduling, row policy, refresh and power policy. Meaning: docs/controller.md."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from .device import DramDevice, RefreshMode
from .values import Count, CountOrZero, Duration, PerMille, Spec


class Scheduler(StrEnum):
    """Order of service."""

    FRFCFS = "frfcfs"
    FCFS = "fcfs"


class Prefer(StrEnum):
    """What first-ready first-come-first-served prefers among commands that are ready."""

    COLUMN = "column"
    OLDEST = "oldest"
    ROW = "row"


class RowPolicy(StrEnum):
    """When a row is closed without need."""

    OPEN = "open"
    CLOSED = "closed"
    TIMEOUT = "timeout"
    AUTO_PRECHARGE = "auto_precharge"


def _count(value: int) -> Count:
    return Count.model_validate({"value": value, "ref": "default"})


def _zero() -> CountOrZero:
    return CountOrZero.model_validate({"value": 0, "ref": "default"})


def _time(text: str) -> Duration:
    return Duration.model_validate({"value": text, "ref": "default"})


def _share(text: str) -> PerMille:
    return PerMille.model_validate({"value": text, "ref": "default"})


class Controller(Spec):
    """A memory controller; see ``docs/controller.md``, which uses these names.

    The queue sizes and watermarks are those of the public simulators (32 + 32 entries, 0.8 and 0.2).
    """

    read_queue: Count = Field(default=_count(32), description="requests")
    write_queue: Count = Field(default=_count(32), description="requests")
    bank_queue: CountOrZero = Field(default=_zero(), description="places of each bank besides; 0: none")
    write_high: PerMille = Field(default=_share("0.8"), description="share of the write queue above which writes are served")
    write_low: PerMille = Field(default=_share("0.2"), description="share of it below which reads are served again")
    scheduler: Scheduler = Scheduler.FRFCFS
    prefer: Prefer = Prefer.COLUMN
    row_hit_cap: CountOrZero = Field(
        default=CountOrZero.model_validate({"value": 16, "ref": "default"}),
        description="row hits that may overtake an older request of their bank; 0: no cap",
    )
    finish_opened: bool = Field(default=False, description="serve the request that a row was opened for, in either mode")
    row_policy: RowPolicy = RowPolicy.OPEN
    row_timeout: Duration = Field(default=_time("100 ns"), description="idle time after which an open row is closed")
    mapping: str = Field(default="", description="fields of an address, most significant first; empty: the standard's own")
    bank_hash: bool = Field(default=False, description="exclusive-or of bank and bank group with low row bits")
    refresh_postpone: CountOrZero | None = Field(default=None, description="default: the device's postpone_limit")
    refresh_pull_in: CountOrZero = Field(default=_zero(), description="at most the device's pull_in_limit")
    refresh_together: bool = Field(default=False, description="all ranks or pseudo-channels at once, not by turns")
    power_down: Duration = Field(default=_time("0 ck"), description="idle time before power-down; 0: never")
    self_refresh: Duration = Field(default=_time("0 ck"), description="idle time before self-refresh; 0: never")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for name in ("read_queue", "write_queue"):
            if getattr(self, name).value > 1024:
                raise ValueError(f"{name}: at most 1024 requests")
        if self.bank_queue.value > 64:
            raise ValueError("bank_queue: at most 64 requests")
        if not self.write_low.value < self.write_high.value <= 1000:
            raise ValueError("write_low: must be below write_high, and that at most 1")
        return self

    def fitted(self, device: DramDevice) -> "Controller":
        """This controller with the device's own limits filled in.

        Raises:
            ValueError: it postpones or pulls in more refreshes than the device allows, or sleeps where the device cannot.
        """
        limit = device.refresh.postpone_limit.value
        postpone = limit if self.refresh_postpone is None else self.refresh_postpone.value
        if postpone > limit:
            raise ValueError(f"refresh_postpone: {postpone} is more than the device's postpone_limit, {limit}")
        if self.refresh_pull_in.value > device.refresh.pull_in_limit.value:
            raise ValueError(f"refresh_pull_in: more than the device's pull_in_limit, {device.refresh.pull_in_limit.value}")
        if self.refresh_together and device.refresh.mode == RefreshMode.PER_BANK:
            raise ValueError("refresh_together: needs all-bank refresh")
        asleep = self.power_down.value or self.self_refresh.value
        if asleep and "PDE" not in device.dram_standard.index:
            raise ValueError(f"power_down, self_refresh: {device.standard} has no such commands")
        if self.self_refresh.value and device.refresh.mode == RefreshMode.OFF:
            raise ValueError("self_refresh: needs a device that is refreshed")
        filled = CountOrZero.model_validate({"value": postpone, "ref": "the device's postpone_limit"})
        return self.model_copy(update={"refresh_postpone": filled})
