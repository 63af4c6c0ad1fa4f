"""Calls that cost nothing: queries, links and balances, repeated where that helps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async._aio import loop_now
from luma_async._http.retry import RetryQuota, repeat_safe_call
from luma_async._wire.answer import Document, Shape, parse
from luma_async._wire.refusal import refusal
from luma_async.values.errors import LumaError, UnreadableResponse
from luma_async.values.events import Retried

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async._http.transport import Transport
    from luma_async._wire.dialect import Call, Dialect
    from luma_async.values.events import Emitter
    from luma_async.values.settings import RetryPolicy


class Queries:
    """Asks a service what costs nothing."""

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

    async def look(self, call: Call) -> Document:
        """Ask once.

        Returns:
            A success that holds one JSON document and no error, or says that there is nothing to hold (204).

        Raises:
            NotSent, NoResponse: no complete answer came.
            Refused: the service said no, in one of its kinds.
            UnreadableResponse: the success is not one JSON document; `paths` is empty then.
        """
        document = parse(await self._transport.query(call))
        error = self._dialect.read_error(document)
        if document.ok and (error is None or (error.beside_id and self._tells_an_end(document))):
            if document.shape is Shape.JSON or document.status == 204:
                return document
            raise _unreadable(document)
        raise refusal(document, error)

    def _tells_an_end(self, document: Document) -> bool:
        """Whether it is a generation that has ended: what it complains of is the reason, and no trouble of the call."""
        row = self._dialect.read_submit(document) if document.shape is Shape.JSON else None
        try:
            return row is not None and self._dialect.generation(row.raw).final
        except UnreadableResponse:
            return False

    async def ask(self, call: Call) -> Document:
        """Ask, and ask again while that may help: one deadline and one quota bound it.

        Raises:
            The same as `look()`, once repeating no longer helps.
        """
        began_at = loop_now()
        attempt = 0
        while True:
            attempt += 1
            try:
                document = await self.look(call)
            except LumaError as error:
                failure = error
            else:
                self._quota = self._quota.refund()
                return document
            delay_s = self._delay(failure, attempt, loop_now() - began_at)
            if delay_s is None:
                raise failure
            self._events.emit(Retried(what=call.name, attempt=attempt, delay_s=delay_s, error=failure))
            await asyncio.sleep(delay_s)

    def _delay(self, failure: LumaError, attempt: int, elapsed_s: float) -> float | None:
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


def _unreadable(document: Document) -> UnreadableResponse:
    what = (
        "the answer is an HTML page: check base_url"
        if document.shape is Shape.HTML
        else f"the body is {document.shape}"
    )
    return UnreadableResponse(message=what, status=document.status, body_excerpt=document.excerpt)
