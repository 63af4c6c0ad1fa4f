"""The limits of an account that several programs share: the journal counts their submits together.

Each submit takes a turn in the journal before it starts. The turn says after how long it may start, and takes room
among the unfinished generations. The journal gives that room back when the claim has an outcome, and counts the
generation instead; a submit that was not sent gives it back here. The room of a program that dies is free at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from luma_async._aio import OwnedTasks
from luma_async.values.log import fields, logger

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from luma_async._journal.protocol import SharedBounds, SharedJournal

_TRY_AGAIN_S = 5.0
"""How often to ask again for room if no notice comes: one may be lost with a connection."""


class SharedLimits:
    """Takes turns for the submits of one session.

    Args:
        journal: counts the submits of all programs.
        service: the service.
        owner: the session, by whose death its turns are given back.
        bounds: what all programs together may do.
    """

    def __init__(self, journal: SharedJournal, *, service: str, owner: str, bounds: SharedBounds) -> None:
        self.bounded: bool = bounds.bounded
        """Whether a submit has to take a turn."""
        self._journal = journal
        self._service = service
        self._owner = owner
        self._bounds = bounds
        self._freed = asyncio.Event()
        self._tasks = OwnedTasks()

    async def take(self, key: str) -> None:
        """Wait until a submit may start.

        Raises:
            JournalError: the journal cannot be used; the submit may not start.

        Cancellation:
            The caller gives back the room.
        """
        while True:
            self._freed.clear()
            wait_s = await self._journal.take_turn(self._service, key, self._owner, self._bounds)
            if wait_s is not None:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(_TRY_AGAIN_S):
                    await self._freed.wait()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def freed(self) -> None:
        """Ask again: a generation of any program has ended."""
        self._freed.set()

    def give_back(self, key: str) -> None:
        """Give back the room of a submit that was not sent, if it has any."""
        if self._bounds.room is not None:
            self._write(self._journal.give_back(key, self._owner))

    def pause(self, delay_s: float) -> None:
        """Tell the other programs to pause."""
        self._write(self._journal.pause(self._service, delay_s))

    async def aclose(self, timeout_s: float) -> None:
        """Wait for what is being written, up to `timeout_s` seconds."""
        try:
            await self._tasks.drain(timeout_s)
        finally:
            await self._tasks.cancel()

    def _write(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.start(self._logged(work), name="luma_async shared limits")

    async def _logged(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:
            logger.warning("the other programs could not be told of a submit: %s", error, extra=fields("note"))
