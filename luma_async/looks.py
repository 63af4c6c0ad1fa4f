"""Looking at generations: one request for many where the service can, single ones where it cannot.

An id that an answer for many leaves out gets a single query; it is never taken for failed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async._core.coalescing import ALONE, Width
from luma_async._io.tasks import each
from luma_async.errors import LumaError
from luma_async.events import Looked
from luma_async.shared_looks import ByIds, ByPages, SharedLook, Sight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from luma_async._wire.dialect import Call, Dialect
    from luma_async._wire.documents import Document
    from luma_async.events import Event


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
        self._shared: SharedLook | None = None
        way = ByIds if dialect.supports("query_many") else ByPages if dialect.page_size else None
        if way is not None:
            self._shared = way(ask=ask, dialect=dialect, places=self._places, emit=emit)

    @property
    def width(self) -> Width:
        """How many one request may look at, as far as the service has shown."""
        return self._shared.width if self._shared is not None else ALONE

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
        seen = await self._shared.look(ids) if self._shared is not None and len(ids) > 1 and self.width.shared else {}
        left_out = [one for one in ids if one not in seen]
        return seen | await each(self._one(one) for one in left_out)

    async def look_closer(self, generation_id: str) -> Sight:
        """Look at one generation by itself."""
        return (await self._one(generation_id))[generation_id]

    async def _one(self, generation_id: str) -> dict[str, Sight]:
        async with self._places:
            sight: Sight
            try:
                document = await self._ask(self._dialect.query(generation_id))
                sight = self._dialect.read_query(document, generation_id)
            except LumaError as error:
                sight = error
        failure = sight if isinstance(sight, LumaError) else None
        self._emit(Looked(ids=(generation_id,), error=failure))
        return {generation_id: sight}
