"""How many submits a service takes within a minute, where it counts those of the last sixty seconds. Pure.

A submit counts at the service from its arrival, which is no later than its answer. So here it counts from its start
until sixty seconds after its answer: then the service has forgotten it for certain, and no 429 comes of it. What an
answer says about the submits that are left shows those of other programs with the same key.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from luma_async._wire.answer import RateWindow
    from luma_async.values.settings import KnownLimits, Limits

_WINDOW_S = 60.1
"""A tenth of a second more than the minute of the service, for clocks that run at different speeds."""

_CLOCK_S = 0.01
_MAX_FOREIGN = 10_000
"""More submits of other programs are not counted one by one: a limit so high is none in practice."""


@attrs.define(kw_only=True)
class SlidingWindow:
    """The submits that the service may still count."""

    limit: float
    """How many it takes."""
    fixed: bool = True
    """Whether the user set the limit. Otherwise the service's own word replaces it."""
    unanswered: int = 0
    """Submits without an answer."""
    _forgotten_at_s: list[float] = attrs.field(factory=list[float])
    """For each other submit, also of other programs: when the service has forgotten it; a heap."""

    @classmethod
    def from_limits(cls, limits: Limits, known: KnownLimits) -> SlidingWindow | None:
        """Return the window of a session; None where the service counts otherwise, or the user set a burst."""
        per_minute = known.submits_per_minute if limits.submits_per_minute is None else limits.submits_per_minute
        if not known.sliding or limits.burst is not None or not 1 <= per_minute < math.inf:
            return None
        return cls(limit=float(math.floor(per_minute)), fixed=limits.submits_per_minute is not None)

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until another submit may start; infinity if only an answer can allow it."""
        # A timer may end a moment early; a wait that is shorter than the clock can tell would never end.
        while self._forgotten_at_s and self._forgotten_at_s[0] <= now_s + _CLOCK_S:
            heapq.heappop(self._forgotten_at_s)
        if self.unanswered + len(self._forgotten_at_s) < self.limit:
            return 0.0
        return self._forgotten_at_s[0] - now_s if self._forgotten_at_s else math.inf

    def start(self) -> None:
        """Count a submit that starts."""
        self.unanswered += 1

    def end(self, now_s: float, *, sent: bool, rate: RateWindow | None) -> None:
        """Count the end of a submit.

        Args:
            now_s: seconds on the same clock as before.
            sent: whether the service may have seen it.
            rate: what its answer says about the limit.
        """
        self.unanswered -= 1
        if sent:
            heapq.heappush(self._forgotten_at_s, now_s + _WINDOW_S)
        if rate is None:
            return
        if not self.fixed and rate.limit >= 1:
            self.limit = float(rate.limit)
        self.wait_s(now_s)
        # The service counts at most what is counted here; what it has more is of other programs.
        foreign = rate.limit - rate.remaining - self.unanswered - len(self._forgotten_at_s)
        for _ in range(min(foreign, _MAX_FOREIGN - len(self._forgotten_at_s))):
            heapq.heappush(self._forgotten_at_s, now_s + min(rate.resets_in_s, _WINDOW_S))
