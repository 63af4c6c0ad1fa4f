"""Buying: each purchase runs in a task of ours, so that no caller's end can make us forget it.

An intent whose callers have all gone is withdrawn, unless it is exposed; an exposed one runs to its end, and closing
the session waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from luma_async._aio import OwnedTasks, loop_now, wall_now
from luma_async._http.retry import repeat_submit
from luma_async._journal import lifecycle
from luma_async._journal.fingerprint import canonical, digest
from luma_async._submit.attempt import Attempts, Intent, KeyTaken, Purchase, Withdrawn
from luma_async._wire.dialect import read_row
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import (
    KeyConflict,
    LumaError,
    NotSent,
    RateLimited,
    SessionClosed,
    SubmitInDoubt,
)
from luma_async.values.events import Paused, Retried, SubmitFailed, Submitted
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator

    from luma_async._journal.protocol import Journal
    from luma_async._submit.throttle import Throttle
    from luma_async._wire.dialect import Dialect
    from luma_async.values.events import Emitter
    from luma_async.values.requests import Request
    from luma_async.values.settings import RetryPolicy

_log = logging.getLogger("luma_async")

_FIRST_OWNER_POLL_S = 0.05
_LONGEST_OWNER_POLL_S = 1.0
"""The pauses while another session decides: a POST takes a second or two."""


class Submitter:
    """Sends paid submits for one session, each at most once."""

    def __init__(
        self,
        *,
        attempts: Attempts,
        dialect: Dialect,
        journal: Journal,
        owner: str,
        service: str,
        throttle: Throttle,
        retry: RetryPolicy,
        random: Callable[[], float],
        events: Emitter,
    ) -> None:
        self._attempts = attempts
        self._dialect = dialect
        self._journal = journal
        self._owner = owner
        self._service = service
        self._throttle = throttle
        self._retry = retry
        self._random = random
        self._events = events
        self._intents: dict[str, Intent] = {}
        self._queue: OrderedDict[str, Intent] = OrderedDict()
        self._busy = 0
        self._tasks = OwnedTasks()
        self._closing = False

    async def buy(self, request: Request, *, key: str | None, yield_on_429: bool = False) -> Purchase:
        """Buy what `request` says, once.

        Args:
            request: what to buy.
            key: the caller's name for the purchase; None makes one of its own.
            yield_on_429: raise a 429 at once, to take another turn later, unless somebody stays and waits for the same.

        Raises:
            InvalidInput, UnsupportedOperation, SessionClosed, KeyConflict, JournalError, NotSent: nothing was sent.
            Refused: the service said no; nothing was charged.
            SubmitInDoubt: it may have been charged.

        Cancellation:
            Returns at once. What was not sent is withdrawn; what was is finished and journalled in the background.
        """
        entry = self._entry(request, key)
        call = self._dialect.submit(request)
        return await self._join(Intent(entry=entry, call=call, named=key is not None), yield_on_429=yield_on_429)

    @property
    def unwritten(self) -> Collection[str]:
        """The keys whose outcome the journal did not take: for a person to settle, as soon as it takes that."""
        return self._attempts.unwritten

    def unsent(self, key: str) -> bool:
        """Whether a submit under this key is waiting here and has not left, so that cancelling it withdraws it."""
        intent = self._intents.get(key)
        return intent is not None and not intent.may_have_left

    def no_more_attempts(self, key: str) -> None:
        """Send a submit that has left no second time, whatever comes of it: whoever wants it buys nothing more."""
        intent = self._intents.get(key)
        if intent is not None:
            intent.no_more_attempts = True

    def pause(self, delay_s: float) -> None:
        """Let no submit of the session leave for so long."""
        self._throttle.pause(delay_s)
        self._events.emit(Paused(delay_s=delay_s))

    async def buy_again(self, doubt: Entry, request: Request) -> Purchase:
        """Send a doubt again, as a person decided; otherwise like `buy()`."""
        entry = self._entry(request, doubt.key)
        if entry.digest != doubt.digest:
            raise KeyConflict(entry=doubt, reason="it stands for a different request.")
        return await self._join(Intent(entry=entry, call=self._dialect.submit(request), named=False, doubt=doubt))

    async def aclose(self, timeout_s: float) -> None:
        """Withdraw what was not sent, and wait for the answers to what was, and for those that are held back."""
        self._closing = True
        for intent in list(self._intents.values()):
            if intent.task is None:
                intent.withdrawn = True
                self._let_go(intent)
            elif not intent.may_have_left:
                intent.task.cancel()
        try:
            await self._tasks.drain(timeout_s)
            await self._outwait_held()
        finally:
            for key in self._intents:
                _log.error("the submit %s was still unanswered when the session closed: it is in doubt", key)
            await self._tasks.cancel()

    async def _outwait_held(self) -> None:
        """Wait for the answers that the service was asked to hold back."""
        held = {
            intent.task: intent.call.sync_wait_s
            for intent in self._intents.values()
            if intent.task and intent.may_have_left
        }
        if longest_s := max(held.values(), default=0.0):
            await asyncio.wait([task for task, sync_wait_s in held.items() if sync_wait_s], timeout=longest_s)

    def _entry(self, request: Request, key: str | None) -> Entry:
        if key is not None:
            check_key(key)
        form = canonical(request)
        return Entry(
            key=key if key is not None else os.urandom(16).hex(),
            phase=Phase.SENDING,
            service=self._service,
            digest=digest(form),
            request=form,
            owner=self._owner,
        )

    async def _join(self, wanted: Intent, *, yield_on_429: bool = False) -> Purchase:
        """Share the send of this key, starting it if there is none, and wait for its end."""
        key = wanted.entry.key
        while (intent := self._intents.get(key)) is not None and intent.ending:
            assert intent.task is not None
            await asyncio.wait([intent.task])
        if self._closing:
            raise SessionClosed
        if intent is None:
            intent = self._start(wanted)
        elif intent.entry.digest != wanted.entry.digest:
            raise KeyConflict(entry=intent.entry, reason="it stands for a different request, which is being sent.")
        intent.committed += not yield_on_429
        try:
            await self._outwait(intent)
        finally:
            intent.committed -= not yield_on_429
        if intent.task is not None and not intent.task.cancelled():
            return intent.task.result()
        if intent.may_have_left:
            raise SubmitInDoubt(key=key, sent_at=wall_now(), reason="the session closed before the answer came")
        raise _closed_before_sending()

    async def _outwait(self, intent: Intent) -> None:
        """Wait for the end of an intent; the last to leave withdraws what has not left."""
        waiter = asyncio.get_running_loop().create_future()
        intent.waiters.add(waiter)
        try:
            await waiter
        finally:
            intent.waiters.discard(waiter)
            if not intent.waiters and not intent.may_have_left and not intent.withdrawn:
                intent.withdrawn = True
                if intent.task is None:
                    self._let_go(intent)
                else:
                    intent.task.cancel()

    def _start(self, intent: Intent) -> Intent:
        self._intents[intent.entry.key] = intent
        if intent.named:
            # The journal may know how it ended, which takes no turn.
            self._launch(intent)
        else:
            self._queue[intent.entry.key] = intent
            self._start_next()
        return intent

    def _start_next(self) -> None:
        """Start as many as the gate lets through at once: a task for each that waits there would be a waste."""
        while self._queue and self._busy < self._throttle.concurrency:
            self._launch(self._queue.popitem(last=False)[1])

    def _launch(self, intent: Intent) -> None:
        self._busy += 1
        intent.task = self._tasks.start(self._run(intent), name="luma_async submit", then=partial(self._end, intent))

    @contextmanager
    def _resting(self) -> Generator[None]:
        """Let others start while this one sleeps."""
        self._busy -= 1
        self._start_next()
        try:
            yield
        finally:
            self._busy += 1

    def _end(self, intent: Intent) -> None:
        """Note that a task has ended, however."""
        self._busy -= 1
        self._let_go(intent)
        self._start_next()

    def _let_go(self, intent: Intent) -> None:
        """Forget an intent that is over, and wake who waits for it."""
        del self._intents[intent.entry.key]
        self._queue.pop(intent.entry.key, None)
        for waiter in intent.waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _run(self, intent: Intent) -> Purchase:
        key = intent.entry.key
        try:
            bought = await self._buy_or_find(intent)
        except Withdrawn:
            failure: LumaError = NotSent(message="The submit was withdrawn, since nobody waited for it any more.")
        except LumaError as error:
            failure = error
        else:
            if self._events.listened and bought.row is not None:
                self._events.emit(Submitted(key=key, generation=read_row(self._dialect, bought.row)))
            return bought
        if not _steps_back(intent, failure):
            self._events.emit(SubmitFailed(key=key, error=failure))
        raise failure

    async def _buy_or_find(self, intent: Intent) -> Purchase:
        while not self._closing:
            if intent.named and (standing := await self._standing(intent)) is not None:
                return Purchase.from_entry(standing)
            try:
                return await self._send_until_decided(intent)
            except KeyTaken as taken:
                conflict = taken.conflict
            # A named purchase that another session claimed first is that session's to make: wait for its result.
            if not intent.named:
                raise conflict
        raise _closed_before_sending()

    async def _standing(self, intent: Intent) -> Entry | None:
        """Return the entry that this key bought already, once no other session is deciding it."""
        pause_s = _FIRST_OWNER_POLL_S
        while True:
            entry = await self._journal.get(intent.entry.key)
            alive = entry is not None and entry.owner != self._owner and await self._journal.alive(entry.owner)
            if entry is not None and not alive:
                # Its last words may have come between the two questions.
                entry = await self._journal.get(intent.entry.key)
            admission = lifecycle.admit(entry, intent.entry, owner_alive=alive)
            if isinstance(admission, lifecycle.Existing):
                return admission.entry
            if isinstance(admission, lifecycle.Send):
                return None
            with self._resting():
                await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_OWNER_POLL_S)

    async def _send_until_decided(self, intent: Intent) -> Purchase:
        attempt = 1
        unsent_since_s: float | None = None
        while True:
            async with self._throttle:
                began_at_s = loop_now()
                outcome = await self._attempts.send(intent)
            if isinstance(outcome, Purchase):
                return outcome
            if not intent.waiters:
                intent.withdrawn = True
                raise Withdrawn
            if self._closing:
                raise outcome.error
            if not isinstance(outcome.error, NotSent):
                unsent_since_s = None
            elif unsent_since_s is None:
                # Counted from the first send of an unbroken run: waiting at the gate is nobody's fault.
                unsent_since_s = began_at_s
            if (intent.no_more_attempts and not intent.committed) or _steps_back(intent, outcome.error):
                raise outcome.error
            elapsed_s = loop_now() - (began_at_s if unsent_since_s is None else unsent_since_s)
            delay_s = self._delay_s(outcome.error, attempt, elapsed_s) if outcome.repeat else None
            if delay_s is None:
                raise outcome.error
            self._events.emit(Retried(what="submit", attempt=attempt, delay_s=delay_s, error=outcome.error))
            await self._pause(outcome.error, delay_s)
            attempt += 1

    def _delay_s(self, error: LumaError, attempt: int, elapsed_s: float) -> float | None:
        return repeat_submit(error, attempt=attempt, elapsed_s=elapsed_s, policy=self._retry, jitter=self._random())

    async def _pause(self, error: LumaError, delay_s: float) -> None:
        """Wait before the next attempt; a 429 makes every submit of the session wait."""
        if isinstance(error, RateLimited):
            self.pause(delay_s)
        else:
            with self._resting():
                await asyncio.sleep(delay_s)


def _steps_back(intent: Intent, error: LumaError) -> bool:
    """Whether all that wait want to know of a 429, and come again."""
    return isinstance(error, RateLimited) and not intent.committed


def _closed_before_sending() -> SessionClosed:
    return SessionClosed(message="The session closed before this submit was sent; nothing was charged. Submit it anew.")
