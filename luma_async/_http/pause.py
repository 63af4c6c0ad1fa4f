"""A pause of everything that a session sends, after a service has refused requests of any kind."""

from __future__ import annotations

import asyncio

from luma_async._aio import loop_now


class Pause:
    """A moment until which nothing is sent. It can be moved while others wait for it."""

    def __init__(self) -> None:
        self._until_s = 0.0

    @property
    def active(self) -> bool:
        """Whether it lasts."""
        return self._until_s > loop_now()

    def begin(self, delay_s: float) -> None:
        """Let nothing through for `delay_s` seconds from now."""
        self._until_s = max(self._until_s, loop_now() + delay_s)

    async def wait(self) -> None:
        """Wait for its end."""
        # A loop, because begin() may move the end while this sleeps.
        while (until_s := self._until_s) > (now_s := loop_now()):
            await asyncio.sleep(until_s - now_s)
            if self._until_s == until_s:
                # Over, even if a coarse clock shows a moment just before the end.
                return
