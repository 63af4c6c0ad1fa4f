"""Reading the service's own list of generations in pages while it changes: no generation twice, and none skipped.

A page begins at an offset from the newest generation. A generation that is created in the meantime moves all others
back, so some appear again; these are known. A generation that is deleted moves the others forward, which cannot be
seen from the next page alone, so each page but the first overlaps the page before by one. If a page begins with a new
generation, one was deleted, and an earlier page is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._wire.dialect import read_row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from luma_async._http.queries import Queries
    from luma_async._wire.dialect import Dialect
    from luma_async.values.models import Generation

MAX_REPEATED_PAGES = 3
"""How many pages in a row may show nothing new. A service that ignores the offset would never come to an end."""


class PageReader:
    """What was read of a list so far, and where the next page begins."""

    def __init__(self, size: int) -> None:
        self.offset: int | None = 0
        """Where the next page begins; None at the end."""
        self._size = size
        self._seen: set[str] = set()
        self._repeated_pages = 0

    def take(self, ids: Sequence[str], *, has_more: bool) -> list[str]:
        """Take in the page that begins at the offset.

        Args:
            ids: the ids on it, in order.
            has_more: whether the service says that another page follows.

        Returns:
            The ids that are new.
        """
        assert self.offset is not None
        if self.offset and (not ids or ids[0] not in self._seen):
            # The overlap is missing, so something was deleted before this page.
            self.offset = max(0, self.offset - self._size)
            return []
        new = [generation_id for generation_id in dict.fromkeys(ids) if generation_id not in self._seen]
        self._seen.update(new)
        self._repeated_pages = 0 if new else self._repeated_pages + 1
        # A page with a single known generation is only the overlap.
        ends = not has_more or (not new and len(ids) <= 1) or self._repeated_pages == MAX_REPEATED_PAGES
        self.offset = None if ends else self.offset + len(ids) - 1
        return new


class Listing:
    """The list of one service."""

    def __init__(self, queries: Queries, dialect: Dialect) -> None:
        self._queries = queries
        self._dialect = dialect

    def require(self) -> None:
        """Check that the service has a list.

        Raises:
            UnsupportedOperation: it has none; nothing was sent.
        """
        self._dialect.list_page(self._dialect.page_size, 0)

    async def fetch_page(self, limit: int, offset: int) -> list[Generation]:
        """Return the generations of one page."""
        page = await self._queries.ask(self._dialect.list_page(limit, offset))
        return [read_row(self._dialect, row) for row in page.rows]

    async def fetch_all(self) -> AsyncGenerator[Generation, None]:
        """Yield the generations of all pages, each once."""
        size = self._dialect.page_size
        reader = PageReader(size)
        while reader.offset is not None:
            page = await self._queries.ask(self._dialect.list_page(size, reader.offset))
            rows = {row.id: row for row in page.rows}
            for generation_id in reader.take(list(rows), has_more=page.has_more):
                yield read_row(self._dialect, rows[generation_id])
