"""The gate before paid submits: how many at once, how many a minute, and a pause for all after a 429."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from luma_async._core.limiting import Rate, next_start
from luma_async._io.clock import loop_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Gate:
    """Lets submits through in the order they came; cancelling one that waits disturbs no other.

    It is as wide as the connector behind it, so that no submit queues for a connection where nobody can see it.
    """

    def __init__(self, *, width: int, rate: Rate | None) -> None:
        self._places = asyncio.Semaphore(width)
        # One at a time asks for its turn, or those behind would overtake it while it sleeps.
        self._turnstile = asyncio.Lock()
        self._rate = rate
        self._arrival_at = 0.0
        self._paused_until = 0.0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait for a place and a turn, and hold the place."""
        async with self._places:
            async with self._turnstile:
                await self._turn()
            yield

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
