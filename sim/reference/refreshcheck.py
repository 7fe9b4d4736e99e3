"""The checker's view of refresh: rounds over the banks. How many are owed is in :mod:`.debtcheck`, how long one keeps the
device busy among the :mod:`.spacings`."""

from collections.abc import Iterator

from .facets import Demand, Event, Times
from .traits import Upkeep


class RefreshRounds:
    """The first refresh of single banks in a new round waits until the last one of the round before is over.

    A round is over once every bank of the array was refreshed; a bank that comes twice begins one too. A refresh of all
    banks ends the round.
    """

    def __init__(self, times: Times) -> None:
        self.times = times
        self.done: dict[int, set[int]] = {}  # by array: the banks refreshed in this round
        self.last: dict[int, Event] = {}

    def demands(self, event: Event) -> Iterator[Demand]:
        """Wait for the whole of the last refresh where ``event`` begins a round."""
        if event.trait.upkeep != Upkeep.REFRESH_BANK:
            return
        place = self.times.geometry.places(self.times.family.array, event.banks)[0]
        if place in self.last and self._begins(place, event):
            yield Demand("tRFCpb", self.last[place], self.last[place].time + self.times.of("tRFCpb"))

    def _begins(self, place: int, event: Event) -> bool:
        done, array = self.done[place], self.times.geometry.size[self.times.family.array]
        return len(done) == array or event.banks[0] in done

    def record(self, event: Event) -> None:
        """Count the banks of a round."""
        places = self.times.geometry.places(self.times.family.array, event.banks)
        if event.trait.upkeep == Upkeep.REFRESH_BANK:
            if places[0] not in self.last or self._begins(places[0], event):
                self.done[places[0]] = set()
            self.done[places[0]].update(event.banks)
            self.last[places[0]] = event
        elif event.trait.upkeep == Upkeep.REFRESH_ALL:
            for place in places:
                self.done.pop(place, None)
                self.last.pop(place, None)
