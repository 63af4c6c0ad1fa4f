"""Unfinished generations of a session, where the service bounds how many there may be at once.

A submit beyond the bound would be refused. So it waits until one of the session's own generations has ended, which is
polled for meanwhile. Other programs with the same key may hold places too, which only a refusal shows.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from luma_async._aio import OwnedTasks, loop_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from luma_async.values.settings import KnownLimits, Limits

_TRY_AGAIN_S = 60.0
"""After a refusal, a submit is tried again after this time even if none of our own generations has ended."""
_CLOCK_S = 0.01
"""A timer may end this much early."""
_HELD_WEIGHT, _MAX_PRESSURE = 12.0, 64.0
"""Chosen so that sixty prompts of 5 s at ten places take 3.3 % longer than the best possible time (4 % at most), for 9
polls each. A weight of 20 saves another 0.5 %, for a quarter more polls; half of it may lose more than 5 %."""
_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 8.0
"""The pauses after refusals while no generation of our own is unfinished: other programs hold all places."""


class UnfinishedPlaces:
    """Counts the unfinished generations of a session, and makes submits wait for a place.

    Args:
        limit: how many there may be.
        follow: polls a generation until it has ended.
    """

    def __init__(self, limit: float, follow: Callable[[str], Awaitable[object]]) -> None:
        self._known = limit
        self._follow = follow
        self._running: set[str] = set()
        self._starting = 0
        self._full_at = limit
        self._until_s = -math.inf
        self._refusals = 0
        self._changed = asyncio.Event()
        self._held: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    @property
    def pressure(self) -> float:
        """How much a second of delay costs, compared with one that only the caller of a generation feels.

        The end of a generation gives its place to one of those that are held, which then end that much earlier too.
        """
        return min(_MAX_PRESSURE, 1 + _HELD_WEIGHT * sum(self._held.values()) / max(1, len(self._running)))

    def hold(self, owner: object, number: int) -> None:
        """Count the submits that wait for a place, of one batch or of the throttle."""
        self._held[owner] = number

    def start(self) -> None:
        """Count a submit that is being sent."""
        self._starting += 1

    def end(self, generation_id: str | None) -> None:
        """Count the end of a submit, and the generation that it made."""
        self._starting -= 1
        if generation_id is not None:
            self._running.add(generation_id)
            self._refusals = 0
        self._changed.set()

    def ended(self, generation_id: str) -> None:
        """Count the end of a generation."""
        if generation_id in self._running:
            self._running.discard(generation_id)
            self._changed.set()

    def refused(self) -> None:
        """Use what a refusal shows: there is no place for more than are unfinished now."""
        self._refusals += 1
        self._full_at = len(self._running) + self._starting
        pause_s = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._refusals, 10))
        self._until_s = loop_now() + (_TRY_AGAIN_S if self._full_at else pause_s)

    async def wait(self) -> None:
        """Wait until there may be a place."""
        while (delay_s := self._delay_s()) > 0:
            await self._wait_for_end(delay_s)

    def _delay_s(self) -> float:
        """Return the longest wait for an end; 0 if there may be a place."""
        now_s, used = loop_now(), len(self._running) + self._starting
        if now_s + _CLOCK_S < self._until_s:
            return self._until_s - now_s if used >= self._full_at else 0.0
        return math.inf if used >= self._known else 0.0

    async def _wait_for_end(self, delay_s: float) -> None:
        self._changed.clear()
        tasks = OwnedTasks()
        for generation_id in self._running:
            tasks.start(self._until_end(generation_id), name="luma_async unfinished")
        try:
            async with asyncio.timeout(None if math.isinf(delay_s) else delay_s):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            await tasks.cancel()

    async def _until_end(self, generation_id: str) -> None:
        """Wait for the end of a generation; one that can no longer be polled holds no place for certain."""
        try:
            await self._follow(generation_id)
        finally:
            if not _is_cancelled():
                self.ended(generation_id)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def places(limits: Limits, known: KnownLimits, follow: Callable[[str], Awaitable[object]]) -> UnfinishedPlaces | None:
    """Return the places of a session; None where the service does not tell this limit from others."""
    if not known.bounds_unfinished:
        return None
    limit = known.max_in_flight if limits.max_in_flight is None else limits.max_in_flight
    return UnfinishedPlaces(math.inf if limit == "auto" else limit, follow)
