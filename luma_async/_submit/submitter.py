"""Buying: one POST for each paid intent, however many callers want it and however they end.

Each purchase runs in a task that the session owns, and its callers wait for the end of that task. So a caller that is
cancelled does not cancel a POST whose answer is outstanding: the answer is still read and recorded. When all callers
have left, an intent is withdrawn if its request cannot have left yet; otherwise it runs to its end, and closing the
session waits for it.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import OwnedTasks, loop_now, wall_now
from luma_async._http.retry import repeat_submit
from luma_async._journal import lifecycle
from luma_async._journal.fingerprint import canonical_form, digest
from luma_async._submit.attempt import AttemptResult, Attempts, Intent, KeyTaken, Purchase, Withdrawn
from luma_async._wire.dialect import read_row
from luma_async.values import log
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import (
    KeyConflict,
    LumaError,
    NotSent,
    RateLimited,
    SessionClosed,
    SubmitInDoubt,
)
from luma_async.values.events import Paused, PromptMismatch, Retried, SubmitFailed, Submitted
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Generator

    from luma_async._journal.protocol import Journal
    from luma_async._submit.spending import Spending
    from luma_async._submit.throttle import Throttle
    from luma_async._wire.dialect import Dialect
    from luma_async.values.errors import WrongPrompt
    from luma_async.values.events import Emitter
    from luma_async.values.requests import Request
    from luma_async.values.settings import RetryPolicy

_FIRST_OWNER_POLL_S = 0.05
_MAX_OWNER_POLL_S = 1.0
"""The pauses while another session decides: a POST takes a second or two."""


class Submitter:
    """Makes the purchases of one session, each with one POST."""

    def __init__(
        self,
        *,
        attempts: Attempts,
        dialect: Dialect,
        journal: Journal,
        owner: str,
        service: str,
        throttle: Throttle,
        spending: Spending,
        retry: RetryPolicy,
        random: Callable[[], float],
        events: Emitter,
        prepare: Callable[[Request], Awaitable[Request]],
    ) -> None:
        self._attempts = attempts
        self._dialect = dialect
        self._journal = journal
        self._owner = owner
        self._service = service
        self._throttle = throttle
        self._spending = spending
        self._retry = retry
        self._random = random
        self._events = events
        self._prepare = prepare
        self._intents: dict[str, Intent] = {}
        self._queue: OrderedDict[str, Intent] = OrderedDict()
        self._busy = 0
        self._unreachable = False
        self._tasks = OwnedTasks()
        self._closing = False

    async def submit(self, request: Request, *, key: str | None, yield_on_429: bool = False) -> Purchase:
        """Buy a generation, once.

        Args:
            request: what to buy.
            key: the caller's name for the purchase; None makes a random one.
            yield_on_429: raise a 429 at once, because the caller comes again later. It has no effect while another
                caller of the same key waits on.

        Raises:
            InvalidInput, UnsupportedOperation, SessionClosed, KeyConflict, JournalError, NotSent: nothing was sent.
            ConfigurationError, BudgetExceeded: the budget does not allow it; nothing was sent.
            Refused: the service rejected it; nothing was charged.
            SubmitInDoubt: it may have been charged.

        Cancellation:
            Returns at once. What was not sent is withdrawn; the answer to what was sent is recorded in the background.
        """
        entry = self._new_entry(request, key)
        call = self._dialect.submit_call(request)
        return await self._join(
            Intent(entry=entry, request=request, call=call, named=key is not None), yield_on_429=yield_on_429
        )

    async def resubmit(self, doubt: Entry, request: Request) -> Purchase:
        """Send a doubt again, as a person decided; otherwise like `submit()`."""
        entry = self._new_entry(request, doubt.key)
        if entry.digest != doubt.digest:
            raise KeyConflict(entry=doubt, reason="it stands for a different request.")
        call = self._dialect.submit_call(request)
        return await self._join(Intent(entry=entry, request=request, call=call, named=False, doubt=doubt))

    @property
    def unwritten(self) -> Collection[str]:
        """The keys whose outcome could not be written: doubts, although their session is alive."""
        return self._attempts.outcomes.unwritten

    def can_withdraw(self, key: str) -> bool:
        """Whether a submit under this key is in progress and cancelling it still withdraws it."""
        intent = self._intents.get(key)
        return intent is not None and not intent.may_have_left

    def no_more_attempts(self, key: str) -> None:
        """Do not repeat the submit of a key after the attempt in progress: its caller is leaving."""
        intent = self._intents.get(key)
        if intent is not None:
            intent.no_more_attempts = True

    def slow_down(self, error: RateLimited, delay_s: float) -> None:
        """Use a 429: let no submit of the session leave for `delay_s` seconds, or until a generation has ended."""
        if self._throttle.slow_down(error, delay_s):
            self._events.emit(Paused(delay_s=delay_s))

    async def aclose(self, timeout_s: float) -> None:
        """Withdraw what was not sent, and wait up to `timeout_s` seconds for the answers to what was.

        An answer that the service was asked to delay (`Call.sync_wait_s`) is waited for that much longer.
        """
        self._closing = True
        for intent in list(self._intents.values()):
            if intent.task is None:
                intent.withdrawn = True
                self._forget(intent)
            elif not intent.may_have_left:
                intent.task.cancel()
        try:
            await self._tasks.drain(timeout_s)
            await self._wait_for_sync_answers()
        finally:
            # In a finally: this close may itself be cancelled, and must leave no task behind.
            for key in self._intents:
                message = "the submit %s was still unanswered when the session closed: it is in doubt"
                log.logger.error(message, key, extra=log.fields("closed", key=key))
            await self._tasks.cancel()
            await self._attempts.outcomes.aclose(timeout_s)

    async def _wait_for_sync_answers(self) -> None:
        delayed = {
            intent.task: intent.call.sync_wait_s
            for intent in self._intents.values()
            if intent.task and intent.may_have_left
        }
        if longest_s := max(delayed.values(), default=0.0):
            await asyncio.wait([task for task, sync_wait_s in delayed.items() if sync_wait_s], timeout=longest_s)

    def _new_entry(self, request: Request, key: str | None) -> Entry:
        if key is not None:
            check_key(key)
        form = canonical_form(request)
        return Entry(
            key=key if key is not None else os.urandom(16).hex(),
            phase=Phase.SENDING,
            service=self._service,
            digest=digest(form),
            request=form,
            owner=self._owner,
        )

    async def _join(self, wanted: Intent, *, yield_on_429: bool = False) -> Purchase:
        """Join the intent of this key, or start it, and wait for its end."""
        key = wanted.entry.key
        # An intent that is ending takes no callers: its result would be that of an attempt before this call. A loop,
        # since another caller may have started the next intent, and that may be ending too, when this one wakes.
        while (intent := self._intents.get(key)) is not None and intent.ending:
            assert intent.task is not None
            await asyncio.wait([intent.task])
        # No await from here to the registration of the waiter: the intent cannot end in between.
        if self._closing:
            raise SessionClosed
        if intent is None:
            intent = self._start(wanted)
        elif intent.entry.digest != wanted.entry.digest:
            raise KeyConflict(entry=intent.entry, reason="it stands for a different request, which is being sent.")
        intent.committed += not yield_on_429
        try:
            await self._wait_for_end(intent)
        finally:
            intent.committed -= not yield_on_429
        if intent.task is not None and not intent.task.cancelled():
            return intent.task.result()
        if intent.purchase is not None:
            return intent.purchase
        raise self._cut_short(intent)

    def _cut_short(self, intent: Intent) -> LumaError:
        """Return the error for the callers of an intent whose task was cancelled."""
        if intent.may_have_left:
            why = "the session closed" if self._closing else "its task was cancelled"
            return SubmitInDoubt(
                key=intent.entry.key,
                sent_at=wall_now(),
                reason=f"{why} before the answer came",
                fresh=True,
                hint=self._dialect.doubt_hint,
            )
        if self._closing:
            return _closed_before_sending(intent)
        return NotSent(message="The task of the submit was cancelled before it was sent.")

    async def _wait_for_end(self, intent: Intent) -> None:
        """Wait for the end of an intent. If the last caller leaves early, withdraw it unless it may have left."""
        # A future of the caller's own rather than the task: cancelling the caller must not cancel the task.
        waiter = asyncio.get_running_loop().create_future()
        intent.waiters.add(waiter)
        try:
            await waiter
        finally:
            intent.waiters.discard(waiter)
            if not intent.waiters and not intent.may_have_left and not intent.withdrawn:
                intent.withdrawn = True
                if intent.task is None:
                    self._forget(intent)
                else:
                    intent.task.cancel()

    def _start(self, intent: Intent) -> Intent:
        self._intents[intent.entry.key] = intent
        if intent.named:
            # The journal may know the outcome already; such a caller need not queue behind submits.
            self._launch(intent)
        else:
            self._queue[intent.entry.key] = intent
            self._start_next()
        return intent

    def _start_next(self) -> None:
        """Start as many queued intents as the throttle lets through: tasks that only wait there cost memory."""
        while self._queue and self._busy < self._throttle.concurrency:
            self._launch(self._queue.popitem(last=False)[1])

    def _launch(self, intent: Intent) -> None:
        self._busy += 1
        intent.task = self._tasks.start(self._run(intent), name="luma_async submit", then=partial(self._end, intent))

    @contextmanager
    def _slot_released(self) -> Generator[None]:
        """Let other intents start while this one sleeps."""
        self._busy -= 1
        self._start_next()
        try:
            yield
        finally:
            self._busy += 1

    def _end(self, intent: Intent) -> None:
        """Called when the task of an intent has ended, also if it was cancelled before its first step."""
        self._busy -= 1
        self._forget(intent)
        self._start_next()

    def _forget(self, intent: Intent) -> None:
        """Remove an intent that has ended, and wake its callers."""
        del self._intents[intent.entry.key]
        self._queue.pop(intent.entry.key, None)
        for waiter in intent.waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _run(self, intent: Intent) -> Purchase:
        key = intent.entry.key
        try:
            purchase = await self._find_or_buy(intent)
        except Withdrawn:
            failure: LumaError = NotSent(message="The submit was cancelled before it was sent.")
        except LumaError as error:
            failure = self._with_hint(error)
        else:
            if self._events.listened and purchase.row is not None:
                self._events.emit(Submitted(key=key, generation=read_row(self._dialect, purchase.row)))
            if (wrong := purchase.wrong_prompt) is not None:
                self._report_wrong_prompt(wrong)
            return purchase
        if not _yields(intent, failure):
            self._events.emit(SubmitFailed(key=key, error=failure))
        raise failure

    def _with_hint(self, error: LumaError) -> LumaError:
        """Say what to do about a doubt at this service."""
        if isinstance(error, SubmitInDoubt):
            error.hint = self._dialect.doubt_hint
        return error

    def _report_wrong_prompt(self, wrong: WrongPrompt) -> None:
        extra = log.fields("prompt_mismatch", key=wrong.key, generation_id=wrong.generation_id)
        log.logger.error("%s", wrong, extra=extra)
        mismatch = PromptMismatch(
            generation_id=wrong.generation_id, key=wrong.key, sent=wrong.sent, returned=wrong.returned
        )
        self._events.emit(mismatch)

    async def _find_or_buy(self, intent: Intent) -> Purchase:
        while not self._closing:
            if intent.named and (entry := await self._existing_entry(intent)) is not None:
                return Purchase.from_entry(entry)
            try:
                return await self._send_until_decided(intent)
            except KeyTaken as taken:
                conflict = taken.conflict
            # Another session claimed a named intent between our search and our claim: wait for its result.
            if not intent.named:
                raise conflict
        raise _closed_before_sending(intent)

    async def _existing_entry(self, intent: Intent) -> Entry | None:
        """Return the entry of an earlier purchase under this key; None when there is none and it may be sent.

        While another living session is sending it, wait for the result.
        """
        pause_s = _FIRST_OWNER_POLL_S
        while True:
            entry = await self._journal.get(intent.entry.key)
            alive = entry is not None and entry.owner != self._owner and await self._journal.alive(entry.owner)
            if entry is not None and not alive:
                # Read again: the owner may have written the outcome and closed between the two awaits above.
                entry = await self._journal.get(intent.entry.key)
            admission = lifecycle.admit(entry, intent.entry, owner_alive=alive)
            if isinstance(admission, lifecycle.Existing):
                return admission.entry
            if isinstance(admission, lifecycle.Send):
                return None
            with self._slot_released():
                await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _MAX_OWNER_POLL_S)

    async def _send_until_decided(self, intent: Intent) -> Purchase:
        """Send, and repeat as long as each attempt provably bought nothing and the policy allows it."""
        attempt = 1
        unsent_since_s: float | None = None
        intent.entry = attrs.evolve(intent.entry, price=self._spending.price(intent.request))
        await self._prepare_pictures(intent)
        while True:
            # The throttle is released before any sleep below, so that other submits pass meanwhile.
            async with self._throttle.turn(intent.entry.key):
                began_at_s = loop_now()
                result = await self._send(intent)
            if isinstance(result, Purchase):
                self._unreachable = False
                return result
            # The callers may have left, or the session may be closing, while the answer was outstanding.
            if not intent.waiters:
                intent.withdrawn = True
                raise Withdrawn
            if self._closing:
                raise result.error
            if not isinstance(result.error, NotSent):
                unsent_since_s = None
            elif unsent_since_s is None:
                # Counted from the first of consecutive failures to connect; the wait in the throttle does not count.
                unsent_since_s = began_at_s
            if (intent.no_more_attempts and not intent.committed) or _yields(intent, result.error):
                raise result.error
            elapsed_s = loop_now() - (began_at_s if unsent_since_s is None else unsent_since_s)
            delay_s = self._delay_s(result.error, attempt, elapsed_s) if result.repeat else None
            if delay_s is None:
                raise result.error
            self._warn_if_unreachable(result.error)
            self._events.emit(Retried(what="submit", attempt=attempt, delay_s=delay_s, error=result.error))
            await self._sleep(result.error, delay_s)
            attempt += 1

    def _warn_if_unreachable(self, error: LumaError) -> None:
        """Log why a submit is taking long, once until the service is reached again: without it there is silence."""
        if not isinstance(error, NotSent):
            self._unreachable = False
        elif not self._unreachable:
            self._unreachable = True
            log.logger.warning(
                "%s Nothing was sent or charged. The submit is tried again for up to %g s "
                "(RetryPolicy.connect_retry_for). Check the network and base_url with its port.",
                error.message,
                self._retry.connect_retry_for,
                extra=log.fields("retried"),
            )

    async def _prepare_pictures(self, intent: Intent) -> None:
        """Upload or read the large pictures of a request, once; before the claim, since nothing is bought by that."""
        request = await self._prepare(intent.request)
        if request is not intent.request:
            intent.request, intent.call = request, self._dialect.submit_call(request)

    async def _send(self, intent: Intent) -> AttemptResult:
        """Make one attempt, and tell the throttle how it ended."""
        sent, bought, intent.rate = False, None, None
        try:
            result = await self._attempts.send(intent)
            sent = isinstance(result, Purchase) or not isinstance(result.error, NotSent)
            bought = result.entry.generation_id if isinstance(result, Purchase) else None
        except SubmitInDoubt:
            sent = True
            raise
        finally:
            self._throttle.ended(intent.entry.key, sent=sent, rate=intent.rate, generation_id=bought)
        return result

    def _delay_s(self, error: LumaError, attempt: int, elapsed_s: float) -> float | None:
        return repeat_submit(error, attempt=attempt, elapsed_s=elapsed_s, policy=self._retry, jitter=self._random())

    async def _sleep(self, error: LumaError, delay_s: float) -> None:
        """Wait before the next attempt. After a 429 all submits of the session wait, in the throttle."""
        if isinstance(error, RateLimited):
            self.slow_down(error, delay_s)
        else:
            with self._slot_released():
                await asyncio.sleep(delay_s)


def _yields(intent: Intent, error: LumaError) -> bool:
    """Whether this is a 429, and all callers prefer to come again later."""
    return isinstance(error, RateLimited) and not intent.committed


def _closed_before_sending(intent: Intent) -> SessionClosed:
    what = "nothing was charged. Submit it again" if intent.doubt is None else "its doubt stays as it was"
    return SessionClosed(message=f"The session closed before this submit was sent; {what}.", next_step="")
