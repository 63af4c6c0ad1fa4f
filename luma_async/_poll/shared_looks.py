"""Looking at many generations in one request, in the two ways that services have for it.

A relay takes a list of ids. Luma's own format has no such call, but it lists the account's newest generations, page
by page, and those are the ones that are waited for. Both are learned as the service answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

from luma_async._aio.tasks import each
from luma_async._poll.grouping import Capacity, chunks, page_limit, worth_another_page
from luma_async._wire.answer import Document
from luma_async._wire.dialect import Call, Dialect, Page, Row
from luma_async.values.errors import LumaError
from luma_async.values.events import Event, Polled

if TYPE_CHECKING:
    from collections.abc import Sequence

Sight: TypeAlias = Row | LumaError
"""What a look saw of one generation: its JSON, or why nothing was seen."""

_PAGED_REACH = 10_000
"""One walk through the pages serves everybody at once; two would read the same pages."""


@attrs.frozen(kw_only=True)
class Asking:
    """What looking takes."""

    ask: Callable[[Call], Awaitable[Document]]
    """Sends one call and returns its document, once or with repetitions."""
    dialect: Dialect
    """The format."""
    places: AbstractAsyncContextManager[object]
    """Bounds how many requests are on their way at once."""
    emit: Callable[[Event], None]
    """Is told of each request."""


class SharedLook(Protocol):
    """A way to look at many."""

    width: Capacity
    """How many one request may look at, as far as the service has shown."""

    @property
    def reach(self) -> int:
        """How many one call of `look()` should be given at the most."""
        ...

    async def look(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at generations; those that are left out of the result want a single query."""
        ...


class ByIds:
    """Asks for the ids, a chunk in each request."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.width: Capacity = Capacity(asking.dialect.batch_size)

    @property
    def reach(self) -> int:
        """As many as one request takes."""
        return self.width.size

    async def look(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at generations, in as many chunks as it takes."""
        return await each(self._chunk(piece) for piece in chunks(ids, self.width.size))

    async def _chunk(self, ids: Sequence[str]) -> dict[str, Sight]:
        async with self._asking.places:
            try:
                document = await self._asking.ask(self._asking.dialect.query_many(ids))
                rows = self._asking.dialect.read_many(document)
            except LumaError as error:
                failure = error
            else:
                self._asking.emit(Polled(ids=tuple(ids)))
                wanted = set(ids)
                return {row.id: row for row in rows if row.id in wanted}
        self._asking.emit(Polled(ids=tuple(ids), error=failure))
        width = self.width.after(failure, len(ids))
        if width.size >= len(ids):
            return dict.fromkeys(ids, failure)
        self.width = Capacity(min(self.width.size, width.size))
        return await self.look(ids) if self.width.shared else {}


class ByPages:
    """Reads the account's newest generations, as far as that is cheaper than asking one by one."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.width: Capacity = Capacity(asking.dialect.page_size)

    @property
    def reach(self) -> int:
        """As many as there are."""
        return _PAGED_REACH if self.width.shared else 1

    async def look(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Look at generations, page by page."""
        limit = page_limit(len(ids), self._asking.dialect.page_size)
        seen: dict[str, Sight] = {}
        left = dict.fromkeys(ids)
        offset = fruitless = 0
        while True:
            page = await self._page(limit, offset, asked=tuple(left))
            if isinstance(page, LumaError):
                self.width = self.width.after_page(page)
                return {**seen, **dict.fromkeys(left, page)} if self.width.shared else seen
            found = [row for row in page.rows if row.id in left]
            for row in found:
                seen[row.id] = row
                left.pop(row.id, None)
            fruitless = 0 if len(found) > 1 else fruitless + 1
            if not worth_another_page(fruitless, len(left), has_more=page.has_more):
                return seen
            # What was begun meanwhile moves the others back; who is missed by that is asked for one by one.
            offset += len(page.rows)

    async def _page(self, limit: int, offset: int, *, asked: tuple[str, ...]) -> Page | LumaError:
        async with self._asking.places:
            page: Page | LumaError
            try:
                page = self._asking.dialect.read_page(
                    await self._asking.ask(self._asking.dialect.list_page(limit, offset))
                )
            except LumaError as error:
                page = error
        self._asking.emit(Polled(ids=asked, error=page if isinstance(page, LumaError) else None))
        return page
