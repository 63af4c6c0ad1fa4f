"""Calls that are free of charge: status requests, links and balances, repeated where that helps."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from luma_async._aio import loop_now
from luma_async._http.pause import Pause
from luma_async._http.retry import MAX_NAMED_DELAY_S, RetryQuota, repeat_safe_call
from luma_async._http.transport import Unanswered, Unsent
from luma_async._wire.answer import Shape, parse
from luma_async._wire.refusal import refusal
from luma_async.values import log
from luma_async.values.errors import LumaError, NoResponse, NotSent, RateLimited, UnreadableResponse
from luma_async.values.events import Retried

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from luma_async._http.transport import Transport
    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Call, Dialect, Query
    from luma_async.values.events import Emitter
    from luma_async.values.settings import RetryPolicy

T = TypeVar("T")


class Queries:
    """Asks a service for what is free of charge."""

    def __init__(
        self,
        *,
        transport: Transport,
        dialect: Dialect,
        retry: RetryPolicy,
        deadline_s: float,
        random: Callable[[], float],
        events: Emitter,
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._retry = retry
        self._deadline_s = deadline_s
        self._random = random
        self._events = events
        self._quota = RetryQuota()
        self.pause: Pause = Pause()
        """A pause of the whole session."""

    async def ask_once(self, query: Query[T]) -> T:
        """Ask without repeating.

        Raises:
            NotSent, NoResponse: no complete answer came.
            Refused: the service said no; the class tells the kind.
            UnreadableResponse: the answer does not hold what was asked for. `paths` is empty if it is not even a
                JSON document.
        """
        return query.read(await self._send(query.call))

    async def ask(self, query: Query[T], *, slots: AbstractAsyncContextManager[object] | None = None) -> T:
        """Ask, and repeat as long as that may help, within a deadline for all attempts and a quota for all calls.

        Args:
            query: the call.
            slots: a semaphore that each attempt acquires. It is free while the call waits to be repeated.

        Raises:
            The same as `ask_once()`, once repeating no longer helps.
        """
        began_at = loop_now()
        attempt = 0
        while True:
            attempt += 1
            try:
                async with slots or nullcontext():
                    document = await self._send(query.call)
            except LumaError as error:
                failure = error
            else:
                self._quota = self._quota.refund()
                return query.read(document)
            delay_s = self._delay_s(failure, attempt, loop_now() - began_at)
            if delay_s is None:
                raise failure
            self._events.emit(Retried(what=query.call.name, attempt=attempt, delay_s=delay_s, error=failure))
            await asyncio.sleep(delay_s)

    async def _send(self, call: Call) -> Document:
        """Return a success: a JSON document without an error, or HTTP 204, which has no body."""
        await self.pause.wait()
        result = await self._transport.query(call)
        log.step("query", "the call %s ended (%s)", call.name, type(result).__name__)
        if isinstance(result, Unsent):
            raise NotSent(message=result.message, permanent=result.permanent)
        if isinstance(result, Unanswered):
            raise NoResponse(message=result.message)
        document = parse(result)
        error = self._dialect.read_error(document)
        if document.ok and (error is None or (error.with_id and self._has_ended(document))):
            if document.shape is Shape.JSON or document.status == 204:
                return document
            html = document.shape is Shape.HTML
            raise document.unreadable("it is an HTML page: check base_url" if html else f"the body is {document.shape}")
        failure = refusal(document, error)
        if isinstance(failure, RateLimited) and failure.scope == "session":
            self.pause.begin(min(failure.retry_after_s or 1.0, MAX_NAMED_DELAY_S))
        raise failure

    def _has_ended(self, document: Document) -> bool:
        """Whether it is a generation that has ended. Then the error in it is the reason, not a failure of the call."""
        row = self._dialect.read_submit(document) if document.shape is Shape.JSON else None
        try:
            return row is not None and self._dialect.generation(row.raw).final
        except UnreadableResponse:
            return False

    def _delay_s(self, failure: LumaError, attempt: int, elapsed_s: float) -> float | None:
        delay_s = repeat_safe_call(
            failure,
            attempt=attempt,
            elapsed_s=elapsed_s,
            deadline_s=self._deadline_s,
            policy=self._retry,
            jitter=self._random(),
        )
        quota = self._quota.spend() if delay_s is not None else None
        if quota is None:
            return None
        self._quota = quota
        return delay_s
