"""What the batches of a session have running, and the limit on it (AIMD).

The window follows a cap that the service does not name. With L its size: each accepted submit that filled the window
adds 1/L, so that it grows by about one for each windowful. A 429 sets L to 0.9 · min(L, n + 1), n being the number of
unfinished generations, since n + 1 is what the service has just refused. At a cap of c the window stays between
0.9 (c + 1) and c + 1 and is always full, at the price of one 429 in about 0.1 (c + 1)² accepted submits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

import attrs

if TYPE_CHECKING:
    import asyncio

    from luma_async._journal.hints import HintStore
    from luma_async.values.settings import KnownLimits

FIRST_SIZE = 4.0
"""The first size of "auto". It is below every documented cap, and a 429 that shows a smaller cap costs nothing."""
WINDOW_HINT = "running"
"""The name of the hint for the next session: how many generations the service lets run at once."""
MAX_FIRST_SIZE = 200.0
"""The largest first size that an earlier session can cause: further growth is fast, and a damaged hint harmless."""

_SHRINK = 0.9


@attrs.frozen(kw_only=True)
class Window:
    """How many generations may be running, as far as is known now."""

    size: float
    """The number; its fraction is the progress towards the next integer."""
    ceiling: float = math.inf
    """The largest size."""

    @classmethod
    def starting(
        cls, wanted: float | Literal["auto"] | None, known: KnownLimits, earlier: float | None = None
    ) -> Window:
        """Return the first window: "auto" starts low without a ceiling, a number is both start and ceiling.

        Args:
            wanted: what the user asked for; None for the known limit.
            known: the limits that the service documents.
            earlier: the size that an earlier session has found; "auto" starts with it.
        """
        bound = known.max_in_flight if wanted is None else wanted
        if bound == "auto":
            return cls(size=FIRST_SIZE if earlier is None else min(max(earlier, 1.0), MAX_FIRST_SIZE))
        return cls(size=bound, ceiling=bound)

    def admits(self, used: int) -> bool:
        """Whether there is room for one more than `used`."""
        return used + 1 <= self.size

    def accepted(self, used: int) -> Window:
        """Return the window after an accepted submit. A submit that did not fill the window shows nothing."""
        if self.admits(used) or self.size >= self.ceiling:
            return self
        return attrs.evolve(self, size=min(self.ceiling, self.size + 1 / self.size))

    def rate_limited(self, unfinished: int) -> Window:
        """Return the window after a 429 that came while so many generations were unfinished."""
        return attrs.evolve(self, size=max(1.0, _SHRINK * min(self.size, unfinished + 1)))


class InFlight:
    """Counts slots. An item of a batch holds a slot from before its submit until its outcome is taken.

    Args:
        window: the first window.
        hints: where its size is noted for the next session.
    """

    def __init__(self, window: Window, hints: HintStore | None = None) -> None:
        self.window: Window = window
        self._hints = hints
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

    def use(self, window: Window) -> None:
        """Replace the window, and note its size for the next session."""
        if window is not self.window:
            self.window = window
            if self._hints is not None:
                self._hints.note(WINDOW_HINT, {"size": window.size})


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
            in_flight.use(in_flight.window.accepted(in_flight.used))

    def rate_limited(self) -> int:
        """Count a 429, release the slot, and return how many 429s came in a row.

        A submit that was sent before the window shrank shows nothing new, so it does not shrink it again.
        """
        in_flight = self._in_flight
        if self._shrunk == in_flight.shrunk:
            in_flight.shrunk += 1
            in_flight.rate_limits += 1
            in_flight.use(in_flight.window.rate_limited(in_flight.unfinished))
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
