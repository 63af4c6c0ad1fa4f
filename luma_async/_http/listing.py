"""Reading the service's own list of generations, page by page, while it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._http.paging import Reader
from luma_async._wire.dialect import read_row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Call, Dialect, Page
    from luma_async.values.models import Generation


class Listing:
    """Asks for the list of one service.

    Args:
        ask: sends a call that costs nothing, and repeats what may help.
        dialect: the format.
    """

    def __init__(self, *, ask: Callable[[Call], Awaitable[Document]], dialect: Dialect) -> None:
        self._ask = ask
        self._dialect = dialect

    def require(self) -> None:
        """Refuse where there is no list.

        Raises:
            UnsupportedOperation: there is none; nothing was sent.
        """
        self._dialect.list_page(self._dialect.page_size, 0)

    async def page(self, limit: int, offset: int) -> list[Generation]:
        """Return the generations of one page."""
        return [read_row(self._dialect, row) for row in (await self._page(limit, offset)).rows]

    async def generations(self) -> AsyncGenerator[Generation, None]:
        """Yield the generations of all pages, each once."""
        size = self._dialect.page_size
        reader = Reader(size)
        while reader.offset is not None:
            page = await self._page(size, reader.offset)
            rows = {row.id: row for row in page.rows}
            for one in reader.take(list(rows), has_more=page.has_more):
                yield read_row(self._dialect, rows[one])

    async def _page(self, limit: int, offset: int) -> Page:
        return self._dialect.read_page(await self._ask(self._dialect.list_page(limit, offset)))
