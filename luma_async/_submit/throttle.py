"""The gate before paid submits: how many at once, how many a minute, and a pause for all after a 429."""

from __future__ import annotations

import asyncio

from luma_async._aio import loop_now
from luma_async._submit.limits import Rate, next_start


class Throttle:
    """Lets submits through in the order they came; cancelling one that waits disturbs no other.

    Entering it waits for a place and a turn, and whoever is inside holds the place: `async with gate`.

    It is as wide as the connector behind it, so that no submit queues for a connection where nobody can see it.
    """

    def __init__(self, *, width: int, rate: Rate | None) -> None:
        self.width: int = width
        """How many are inside at once."""
        self._places = asyncio.Semaphore(width)
        # One at a time asks for its turn, or those behind would overtake it while it sleeps.
        self._turnstile = asyncio.Lock()
        self._queued = 0
        self._rate = rate
        self._arrival_at = 0.0
        self._paused_until = 0.0

    async def __aenter__(self) -> None:
        await self._places.acquire()
        # Nearly always there is neither a rate nor a pause, and nobody who waited for the end of one.
        if self._rate is None and not self._queued and self._paused_until <= loop_now():
            return
        self._queued += 1
        try:
            async with self._turnstile:
                await self._turn()
        except asyncio.CancelledError:
            self._places.release()
            raise
        finally:
            self._queued -= 1

    async def __aexit__(self, *_: object) -> None:
        self._places.release()

    def pause(self, delay_s: float) -> None:
        """Let nobody through for `delay_s` seconds from now."""
        self._paused_until = max(self._paused_until, loop_now() + delay_s)

    async def _turn(self) -> None:
        await self._outwait_pause()
        if self._rate is None:
            return
        wait_s, _ = next_start(self._arrival_at, loop_now(), self._rate)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            # One may have begun meanwhile.
            await self._outwait_pause()
        _, self._arrival_at = next_start(self._arrival_at, loop_now(), self._rate)

    async def _outwait_pause(self) -> None:
        while (until := self._paused_until) > (now := loop_now()):
            await asyncio.sleep(until - now)
            if self._paused_until == until:
                # A clock may be too coarse to reach a sum of floats; this pause is over in any case.
                return
