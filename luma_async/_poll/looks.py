"""Looking at generations: one request for many where the service can, single ones where it cannot.

An id that an answer for many leaves out gets a single query; it is never taken for failed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async._aio.tasks import each
from luma_async._poll.grouping import SINGLE, Capacity
from luma_async._poll.shared_looks import Asking, ByIds, ByPages, SharedLook, Sight
from luma_async.values.errors import LumaError
from luma_async.values.events import Polled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Call, Dialect
    from luma_async.values.events import Event


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
        self._asking = Asking(ask=ask, dialect=dialect, places=asyncio.Semaphore(width), emit=emit)
        self._shared: SharedLook | None = None
        if dialect.supports("query_many"):
            self._shared = ByIds(self._asking)
        elif dialect.page_size:
            self._shared = ByPages(self._asking)

    @property
    def width(self) -> Capacity:
        """How many one request may look at, as far as the service has shown."""
        return self._shared.width if self._shared is not None else SINGLE

    @property
    def reach(self) -> int:
        """How many one look should be given at the most."""
        return self._shared.reach if self._shared is not None else 1

    async def look(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at generations, in as few requests as the service allows.

        Returns:
            What was seen of each; a generation that the service does not know is a `GenerationNotFound`.

        Raises:
            Nothing that a service or a network does.
        """
        seen = await self.look_together(ids)
        left_out = [one for one in ids if one not in seen]
        return seen | await each(self._one(one) for one in left_out)

    async def look_together(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at generations in requests for many; whoever is left out of the result wants a look of its own."""
        if len(ids) == 1:
            return await self._one(ids[0])
        return await self._shared.look(ids) if self._shared is not None and self.width.shared else {}

    async def look_closer(self, generation_id: str) -> Sight:
        """Look at one generation by itself."""
        return (await self._one(generation_id))[generation_id]

    async def _one(self, generation_id: str) -> dict[str, Sight]:
        async with self._asking.places:
            sight: Sight
            try:
                document = await self._asking.ask(self._asking.dialect.query(generation_id))
                sight = self._asking.dialect.read_query(document, generation_id)
            except LumaError as error:
                sight = error
        failure = sight if isinstance(sight, LumaError) else None
        self._asking.emit(Polled(ids=(generation_id,), error=failure))
        return {generation_id: sight}
