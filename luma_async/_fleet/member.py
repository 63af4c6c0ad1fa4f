"""One of several programs that share a journal.

Each member asks every two seconds whether it is the leader, which the journal decides by a lock: it is released when
the leader ends, in whatever way. The leader polls everything that is paid and unfinished: what the journal has when it
becomes leader, and what it is told of later. Its recorder writes each end to the journal, which tells the others.

The other members poll nothing that the journal knows as accepted. They read its entry when a caller starts to wait,
when a notice names it, and when notices were missed. If the leader is silent or the journal cannot be used, each member
polls what has waiters there, as a session over any other journal does.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import OwnedTasks, loop_now
from luma_async._fleet.duty import READ_S, RESIGNED_S, TICK_S, Duty, duty
from luma_async._poll.failures import KeptFailing
from luma_async.values.entries import Phase
from luma_async.values.errors import GenerationNotFound, JournalError, LumaError, SessionClosed
from luma_async.values.log import fields, logger, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from luma_async._journal.protocol import Notice, SharedJournal
    from luma_async._journal.recorder import Recorder
    from luma_async._poll.tracked import Tracked
    from luma_async._poll.watcher import Watcher
    from luma_async._submit.shared import SharedLimits
    from luma_async._submit.throttle import Throttle
    from luma_async.values.entries import Entry


class Member:
    """Decides what a session polls, and passes on what other programs did.

    Args:
        journal: the journal that the programs share.
        service: the service.
        owner: the session's name in the journal.
        watcher: polls.
        recorder: writes to the journal how a generation ended.
        limits: is told when a generation has ended anywhere.
        throttle: is told of pauses.
        track: returns the tracked generation of an entry.
        read_hints: reads from the journal what other programs have learned of durations.
    """

    def __init__(
        self,
        journal: SharedJournal,
        *,
        service: str,
        owner: str,
        watcher: Watcher,
        recorder: Recorder,
        limits: SharedLimits,
        throttle: Throttle,
        track: Callable[[Entry], Tracked],
        read_hints: Callable[[], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._service = service
        self._owner = owner
        self._watcher = watcher
        self._recorder = recorder
        self._limits = limits
        self._throttle = throttle
        self._track = track
        self._read_hints = read_hints
        self.duty: Duty = Duty.ALONE
        """What this session polls now."""
        self._heard_at_s = loop_now()
        self._resigned_until_s = -math.inf
        self._read_at_s = -math.inf
        self._tasks = OwnedTasks()
        self._followed: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Find out who leads, and go on with that until the session closes."""
        self._tasks.start(self._hear(), name="luma_async notices")
        # The notices have to come before the first question, so that none is missed.
        await asyncio.sleep(0)
        await self._tick()
        self._tasks.start(self._run(), name="luma_async fleet")

    async def aclose(self) -> None:
        """Leave the lead to another program."""
        await self._tasks.cancel()
        if self.duty is Duty.LEAD:
            try:
                await self._journal.resign(self._service, self._owner)
            except JournalError as error:
                logger.debug("the lead ends with the connection: %s", error, extra=fields("closed"))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._tick()

    async def _tick(self) -> None:
        """Find out whether this session leads."""
        leads, connected = False, True
        try:
            if loop_now() >= self._resigned_until_s:
                leads = await self._journal.lead(self._service, self._owner)
        except Exception as error:
            if not isinstance(error, JournalError):
                logger.exception("the journal could not be asked who leads", extra=fields("note"))
            connected = False
        self._use(duty(leads=leads, connected=connected, heard_at_s=self._heard_at_s, now_s=loop_now()))
        if self.duty is Duty.LEAD and loop_now() >= self._read_at_s + READ_S:
            self._start_following()

    def _use(self, new: Duty) -> None:
        if new is self.duty:
            return
        step("note", "this session changes from %s to %s", self.duty, new)
        before, self.duty = self.duty, new
        if before is Duty.LEAD:
            for task in self._followed.values():
                task.cancel()
            self._followed.clear()
        self._watcher.rest(self._check if new is Duty.FOLLOW else None)
        if new is Duty.LEAD:
            self._start_following()

    def _start_following(self) -> None:
        self._read_at_s = loop_now()
        self._tasks.start(self._follow_all(), name="luma_async lead")

    async def _follow_all(self) -> None:
        """Poll all that is unfinished. If the journal cannot be read, that is done when it is connected again."""
        await self._read_hints()
        for entry in await self._journal.entries(service=self._service, phases={Phase.ACCEPTED}):
            self._follow(self._track(entry))

    async def _follow_new(self, generation_id: str) -> None:
        """Poll what another program, or this one, has just bought."""
        entry = await self._journal.find(self._service, generation_id)
        if entry is not None and entry.phase is Phase.ACCEPTED:
            tracked = self._track(entry)
            # It cannot have finished long ago.
            tracked.submitted_here = True
            self._follow(tracked)

    def _follow(self, tracked: Tracked) -> None:
        """Poll a generation until it has ended, whether it has waiters here or not."""
        if self.duty is not Duty.LEAD or tracked.id in self._followed:
            return
        if tracked.settled and tracked.last is not None:
            # Its end is known here and not in the journal: it could not be written.
            self._recorder.finished(tracked.last)
            return
        task = self._tasks.start(self._until_end(tracked), name="luma_async lead")
        self._followed[tracked.id] = task
        task.add_done_callback(partial(self._forget, tracked.id))

    def _forget(self, generation_id: str, task: asyncio.Task[None]) -> None:
        if self._followed.get(generation_id) is task:
            del self._followed[generation_id]

    async def _until_end(self, tracked: Tracked) -> None:
        try:
            ended = await self._watcher.wait(tracked, timeout_s=None)
        except (GenerationNotFound, SessionClosed):
            return
        except LumaError as error:
            self._resign(error)
        else:
            if isinstance(ended, KeptFailing):
                self._resign(ended.failures[-1])

    def _resign(self, error: LumaError) -> None:
        """Leave the lead to another program, which may be able to poll."""
        if self.duty is not Duty.LEAD:
            return
        logger.warning("this session cannot poll for the others: %s", error, extra=fields("polled"))
        self._resigned_until_s = loop_now() + RESIGNED_S
        self._use(Duty.ALONE)
        self._tasks.start(self._journal.resign(self._service, self._owner), name="luma_async resign")

    async def _hear(self) -> None:
        async for notice in self._journal.notices(self._service):
            try:
                self._use_notice(notice)
            except Exception:
                logger.exception("a notice could not be used", extra=fields("note"))

    def _use_notice(self, notice: Notice) -> None:
        if notice.kind == "paused":
            self._throttle.pause(notice.delay_s)
        elif notice.kind == "leading":
            self._heard_at_s = loop_now()
            if self.duty is Duty.ALONE:
                self._use(Duty.FOLLOW)
        elif notice.kind == "connected":
            self._heard_at_s = loop_now()
            self._limits.freed()
            if self.duty is Duty.FOLLOW:
                self._watcher.rest(self._check)
            elif self.duty is Duty.LEAD:
                self._start_following()
        elif notice.phase != Phase.ACCEPTED:
            self._limits.freed()
            self._check_id(notice.generation_id)
        elif self.duty is Duty.LEAD and notice.generation_id is not None:
            self._tasks.start(self._follow_new(notice.generation_id), name="luma_async lead")

    def _check_id(self, generation_id: str | None) -> None:
        if generation_id is not None and (tracked := self._watcher.tracked(generation_id)).watched:
            self._check(tracked)

    def _check(self, tracked: Tracked) -> None:
        """Read the entry of a generation that has waiters, and do what follows from it."""
        self._tasks.start(self._read(tracked), name="luma_async notice")

    async def _read(self, tracked: Tracked) -> None:
        try:
            entry = await self._journal.find(self._service, tracked.id)
            if entry is not None:
                # Without its end, which the watcher shall report.
                self._track(attrs.evolve(entry, generation=None))
        except Exception as error:
            logger.debug("generation %s is polled here: %s", tracked.id, error, extra=fields("note"))
            entry = None
        if entry is not None and entry.generation is not None:
            self._watcher.recorded(entry.generation)
        elif entry is not None and entry.phase is Phase.ACCEPTED and self.duty is Duty.FOLLOW:
            self._watcher.leave(tracked)
        else:
            self._watcher.look(tracked)
