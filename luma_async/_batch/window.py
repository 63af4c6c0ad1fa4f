"""What batches have in flight, counted for a whole session, and how much of it the service turned out to bear."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio

    from luma_async._submit.limits import Window


class InFlight:
    """Gives out seats. An item of a batch holds one from before its submit until its outcome is taken."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.in_flight = 0
        """How many are paid and unfinished."""
        self.used = 0
        """How many seats are taken."""
        self.refusals = 0
        """How many 429s came since the last accepted submit."""
        self.shrunk = 0
        """How often the window has shrunk."""
        self.listeners: WeakSet[asyncio.Event] = WeakSet()
        """What is set when a seat came free."""

    @property
    def full(self) -> bool:
        """Whether no seat is left."""
        return not self.window.admits(self.used)


class Slot:
    """One item's seat. Giving it back twice is fine."""

    __slots__ = ("_flights", "_flying", "_held", "_shrunk")

    def __init__(self, flights: InFlight) -> None:
        self._flights = flights
        self._held = False
        self._flying = False
        self._shrunk = 0

    def take(self) -> None:
        """Take a seat; whether one is left is for the caller to ask."""
        self._held = True
        self._flights.used += 1
        self._shrunk = self._flights.shrunk

    def accepted(self, *, now: bool) -> None:
        """Note that the item is paid and unfinished; one that was bought earlier proves nothing about today."""
        flights = self._flights
        self._flying = True
        flights.in_flight += 1
        if now:
            flights.refusals = 0
            flights.window = flights.window.accepted(flights.used)

    def refused(self) -> int:
        """Note a 429, and give the seat back. Return how many came in a row.

        Those that were sent before the window shrank tell nothing new.
        """
        flights = self._flights
        if self._shrunk == flights.shrunk:
            flights.shrunk += 1
            flights.refusals += 1
            flights.window = flights.window.refused(flights.in_flight)
        self.free()
        return flights.refusals

    def finished(self) -> None:
        """Note that the item is no longer in flight; the seat is held until its outcome is taken."""
        if self._flying:
            self._flying = False
            self._flights.in_flight -= 1

    def free(self) -> None:
        """Give the seat back."""
        self.finished()
        if self._held:
            self._held = False
            self._flights.used -= 1
            for changed in self._flights.listeners:
                changed.set()
