"""What the batches of a session have in flight, and the limit on it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio

    from luma_async._submit.limits import Window


class InFlight:
    """Counts slots. An item of a batch holds a slot from before its submit until its outcome is taken."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.unfinished = 0
        """How many generations are purchased and not ended."""
        self.used = 0
        """How many slots are taken."""
        self.rate_limits = 0
        """How many 429s came since the last accepted submit."""
        self.shrunk = 0
        """How often the window has shrunk."""
        self.listeners: WeakSet[asyncio.Event] = WeakSet()
        """Events that are set when a slot is released."""

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return not self.window.admits(self.used)


class Slot:
    """The slot of one item. Releasing it twice has no effect."""

    __slots__ = ("_held", "_in_flight", "_shrunk", "_unfinished")

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._held = False
        self._unfinished = False
        self._shrunk = 0

    def acquire(self) -> None:
        """Take a slot. The caller checks `InFlight.full` first."""
        self._held = True
        self._in_flight.used += 1
        self._shrunk = self._in_flight.shrunk

    def accepted(self, *, now: bool) -> None:
        """Count the generation as unfinished. Only a submit accepted `now` shows that the service has room."""
        in_flight = self._in_flight
        self._unfinished = True
        in_flight.unfinished += 1
        if now:
            in_flight.rate_limits = 0
            in_flight.window = in_flight.window.accepted(in_flight.used)

    def rate_limited(self) -> int:
        """Count a 429, release the slot, and return how many 429s came in a row.

        A submit that was sent before the window shrank shows nothing new, so it does not shrink it again.
        """
        in_flight = self._in_flight
        if self._shrunk == in_flight.shrunk:
            in_flight.shrunk += 1
            in_flight.rate_limits += 1
            in_flight.window = in_flight.window.refused(in_flight.unfinished)
        self.release()
        return in_flight.rate_limits

    def completed(self) -> None:
        """Count the generation as ended. The slot is held until the outcome is taken."""
        if self._unfinished:
            self._unfinished = False
            self._in_flight.unfinished -= 1

    def release(self) -> None:
        """Release the slot."""
        self.completed()
        if self._held:
            self._held = False
            self._in_flight.used -= 1
            for changed in self._in_flight.listeners:
                changed.set()
