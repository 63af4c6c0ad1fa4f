"""Looking at generations: one request for many where the service can, single ones where it cannot.

A service is learned as it answers: one without the call for many is asked one by one from then on, one that finds a
chunk too large gets smaller ones. An id that an answer leaves out, or whose row cannot be read, gets a single query;
it is never taken for failed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from luma_async._core.coalescing import Width, chunks
from luma_async._wire.dialect import Row
from luma_async.errors import LumaError
from luma_async.events import Looked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from luma_async._wire.dialect import Call, Dialect
    from luma_async._wire.documents import Document
    from luma_async.events import Event

Sight: TypeAlias = Row | LumaError
"""What a look saw of one generation: its JSON, or why nothing was seen."""


class Looks:
    """Looks at generations for one session.

    Args:
        ask: sends one call and returns its document, once or with repetitions.
        dialect: the format.
        width: how many requests may be on their way at once.
        emit: is told of each request.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Call], Awaitable[Document]],
        dialect: Dialect,
        width: int,
        emit: Callable[[Event], None],
    ) -> None:
        self._ask = ask
        self._dialect = dialect
        self._places = asyncio.Semaphore(width)
        self._emit = emit
        self.width = Width(dialect.batch_size if dialect.supports("query_many") else 1)
        """How many one request may look at, as far as the service has shown."""

    async def look(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at generations, as few requests as the service allows.

        Returns:
            What was seen of each; a generation that the service does not know is a `GenerationNotFound`.

        Raises:
            Nothing that a service or a network does.
        """
        if len(ids) > 1 and self.width.shared:
            seen = await self._each([self._many(piece) for piece in chunks(ids, self.width.size)])
        else:
            seen = {}
        left_out = [one for one in ids if one not in seen]
        return seen | await self._each([self._one(one) for one in left_out])

    async def look_closer(self, generation_id: str) -> Sight:
        """Look at one generation by itself."""
        return (await self._one(generation_id))[generation_id]

    async def _each(self, looks: Sequence[Awaitable[dict[str, Sight]]]) -> dict[str, Sight]:
        """Carry out looks at the same time, and put together what they saw."""
        if len(looks) == 1:
            return await looks[0]
        seen: dict[str, Sight] = {}

        async def carry_out(look: Awaitable[dict[str, Sight]]) -> None:
            seen.update(await look)

        async with asyncio.TaskGroup() as group:
            for look in looks:
                group.create_task(carry_out(look))
        return seen

    async def _one(self, generation_id: str) -> dict[str, Sight]:
        async with self._places:
            sight: Sight
            try:
                document = await self._ask(self._dialect.query(generation_id))
                sight = self._dialect.read_query(document, generation_id)
            except LumaError as error:
                sight = error
        self._tell((generation_id,), sight if isinstance(sight, LumaError) else None)
        return {generation_id: sight}

    async def _many(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at a chunk; what is not in the result wants a single query."""
        async with self._places:
            try:
                document = await self._ask(self._dialect.query_many(ids))
                rows = self._dialect.read_many(document)
            except LumaError as error:
                failure = error
            else:
                self._tell(tuple(ids), None)
                wanted = set(ids)
                return {row.id: row for row in rows if row.id in wanted}
        self._tell(tuple(ids), failure)
        width = self.width.after(failure, len(ids))
        if width.size >= len(ids):
            return dict.fromkeys(ids, failure)
        self.width = Width(min(self.width.size, width.size))
        if not self.width.shared:
            return {}
        return await self._each([self._many(piece) for piece in chunks(ids, self.width.size)])

    def _tell(self, ids: tuple[str, ...], error: LumaError | None) -> None:
        self._emit(Looked(ids=ids, error=error))
