"""The three limits of Luma's Agents API, each with its own 429.

Source: Luma's guide to rate limits. Assumed: a submit that is refused for another reason counts for the minute, and one
that is refused by the minute does not; the text at the general ceiling.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from luma_async.testing.answers import json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from luma_async.testing.store import FakeClock, FakeGeneration

_MINUTE_S = 60.0
_MAX_HELD_S = 3600.0
"""The longest that an unfinished job holds its place."""


@attrs.define
class Window:
    """The requests of the last 60 seconds."""

    _times: deque[float] = attrs.field(factory=deque[float], init=False)

    def left(self, limit: int, now: float) -> int:
        """How many more requests the window takes now."""
        while self._times and now - self._times[0] >= _MINUTE_S:
            self._times.popleft()
        return max(0, limit - len(self._times))

    def add(self, now: float) -> None:
        """Count a request."""
        self._times.append(now)

    def frees_in_s(self, now: float) -> float:
        """Seconds until the oldest request leaves the window."""
        return self._times[0] + _MINUTE_S - now if self._times else _MINUTE_S


@attrs.define
class Unfinished:
    """The unfinished jobs, by the time at which each gives its place back."""

    _ends: list[float] = attrs.field(factory=list[float], init=False)

    def add(self, generation: FakeGeneration) -> None:
        """Count a job until it ends, for an hour at most."""
        held_s = min(generation.script.ends_after_s, _MAX_HELD_S)
        heapq.heappush(self._ends, generation.started_at + held_s)

    def count(self, now: float) -> int:
        """How many jobs hold a place now."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)


def minute_headers(window: Window, limit: int, clock: FakeClock) -> dict[str, str]:
    """What an answer says about the minute."""
    now = clock.now()
    left = window.left(limit, now)
    reset = clock.wall(now + window.frees_in_s(now)).timestamp()
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(math.ceil(reset)),
    }


def minute_is_full(window: Window, now: float, headers: Mapping[str, str]) -> web.Response:
    """Refuse a submit above the limit of a minute."""
    return json_answer({"detail": "Rate limit exceeded"}, 429, {**_retry(window, now), **headers})


def too_many_unfinished() -> web.Response:
    """Refuse a submit above the limit of unfinished jobs."""
    return json_answer({"detail": "Too many concurrent jobs"}, 429, {"Retry-After": "60"})


def too_many_requests(window: Window, now: float) -> web.Response:
    """Refuse any request above the general ceiling."""
    return json_answer({"detail": "Too many requests"}, 429, _retry(window, now))


def _retry(window: Window, now: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(window.frees_in_s(now))))}
