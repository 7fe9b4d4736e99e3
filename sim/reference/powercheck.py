"""The checker's view of power states: what may be said to a rank (or channel) that is in power-down or self-refresh."""

from collections.abc import Iterator

from .facets import Demand, Event, Times
from .traits import Power

LEAVES = {Power.DOWN: Power.UP, Power.SLEEP: Power.WAKE}
"""State -> what leaves it; a state is named by the command that enters it."""


class PowerStates:
    """In power-down only the exit, in self-refresh only its exit; no exit where nothing was entered."""

    def __init__(self, times: Times) -> None:
        self.geometry = times.geometry
        self.span = times.family.traits["PDE"].span if "PDE" in times.family.traits else None
        self.entered: dict[int, Event] = {}  # what took each unit into the state that it is in

    def demands(self, event: Event) -> Iterator[Demand]:
        """Whether each unit that ``event`` touches is in a state to take it."""
        if self.span is None:
            return
        power = event.trait.power
        for unit in self.geometry.places(self.span, event.banks):
            entry = self.entered.get(unit)
            needed = LEAVES[entry.trait.power] if entry else Power.NONE
            if entry and power != needed:
                state = "power-down" if entry.trait.power == Power.DOWN else "self-refresh"
                yield Demand("power-state", entry, event.time, f"{self.span.value} {unit} is in {state}")
            elif not entry and power in LEAVES.values():
                yield Demand("power-state", None, event.time, f"{self.span.value} {unit} has nothing to leave")

    def record(self, event: Event) -> None:
        """Change states."""
        if self.span is None or event.trait.power == Power.NONE:
            return
        for unit in self.geometry.places(self.span, event.banks):
            if event.trait.power in LEAVES:
                self.entered[unit] = event
            else:
                self.entered.pop(unit, None)
