"""Fetching generations by id: one request for many where the service can do that, else one request each.

There are two ways to fetch many. A relay takes a list of ids (`BatchQuery`). Luma's own format has no such call, but
it lists the newest generations of the account page by page (`ListScan`), and those are the ones that are waited for.

The fetcher learns from the answers how many generations one request may hold (`grouping.Sharing`): a service that
rejects a list as too long gets half as many, and one whose call for many keeps failing gets single requests. After some
minutes the full size is tried again. A session has one fetcher, so it learns this once, whether the watcher or
`session.get_many()` asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from luma_async._aio import gather_dicts, loop_now
from luma_async._poll.grouping import (
    Sharing,
    chunks,
    is_about_generation,
    needs_check,
    page_limit,
    smaller_size,
    worth_another_page,
)
from luma_async._wire.dialect import Dialect, Page, Row, structure_row
from luma_async.values.errors import GenerationNotFound, LumaError, UnreadableResponse
from luma_async.values.events import Polled
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luma_async._http.queries import Queries
    from luma_async._wire.dialect import Query
    from luma_async.values.events import Emitter
    from luma_async.values.models import Generation

FetchResult: TypeAlias = Row | LumaError
"""The JSON of one generation, or why there is none."""

_T = TypeVar("_T")

_MAX_SCANNED_IDS = 10_000
"""One scan of the list serves all generations that are due; a second scan would read the same pages."""


class Fetcher:
    """Fetches generations for one session.

    Args:
        queries: sends the requests.
        dialect: the format of the service.
        concurrency: how many requests may be in progress at once. A request that waits to be repeated does not count.
        events: receives a `Polled` event for each request.
    """

    def __init__(self, *, queries: Queries, dialect: Dialect, concurrency: int, events: Emitter) -> None:
        self._dialect = dialect
        self._requests = _StatusRequests(queries, concurrency, events)
        self._many: BatchQuery | ListScan | None = None
        if dialect.supports("query_many"):
            self._many = BatchQuery(self._requests, dialect)
        elif dialect.page_size:
            self._many = ListScan(self._requests, dialect)

    @property
    def size(self) -> int:
        """How many generations one request may hold now, as far as the service has shown."""
        return self._many.shared.size if self._many is not None else 1

    @property
    def max_ids(self) -> int:
        """How many ids one call of `fetch_many()` should get at most."""
        return self._many.max_ids if self._many is not None else 1

    async def get(self, generation_id: str) -> Generation:
        """Return one generation; see `session.get()`."""
        return self._read(await self.fetch_one(generation_id, retry=True))

    async def get_many(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Return the generations that the service knows; see `session.get_many()`."""
        ids = list(dict.fromkeys(check_id(generation_id) for generation_id in generation_ids))
        results = await self.fetch(ids, retry=True)
        found: dict[str, Generation] = {}
        for generation_id in ids:
            try:
                found[generation_id] = self._read(results[generation_id])
            except GenerationNotFound:
                continue
            except UnreadableResponse:
                # The row among many may differ from the answer to a single query, which may be readable.
                found[generation_id] = await self.get(generation_id)
        return found

    async def fetch(self, ids: Sequence[str], *, retry: bool) -> dict[str, FetchResult]:
        """Fetch generations in as few requests as the service allows.

        Returns:
            A result for each id; for an id that the service does not know, a `GenerationNotFound`.
        """
        results = await self.fetch_many(ids, retry=retry)
        missing = [generation_id for generation_id in ids if generation_id not in results]
        return results | await gather_dicts(self._fetch_alone(generation_id, retry=retry) for generation_id in missing)

    async def fetch_many(
        self, ids: Sequence[str], *, retry: bool, failed_before: bool = False
    ) -> dict[str, FetchResult]:
        """Fetch generations in requests for many; an id that is missing from the result needs `fetch_one()`.

        Args:
            ids: the generations.
            retry: whether to repeat a request that failed, and to ask for each generation separately if that does not
                help. Otherwise a first failure is returned for all.
            failed_before: whether the last request for one of them failed.
        """
        if len(ids) == 1:
            return await self._fetch_alone(ids[0], retry=retry)
        if self._many is None or self.size == 1:
            return {}
        return await self._many.fetch(ids, retry=retry, failed_before=failed_before)

    async def fetch_one(self, generation_id: str, *, retry: bool) -> FetchResult:
        """Fetch one generation in a request of its own."""
        return await self._requests.send(self._dialect.get(generation_id), (generation_id,), retry=retry)

    async def _fetch_alone(self, generation_id: str, *, retry: bool) -> dict[str, FetchResult]:
        return {generation_id: await self.fetch_one(generation_id, retry=retry)}

    def _read(self, result: FetchResult) -> Generation:
        if isinstance(result, LumaError):
            raise result
        return structure_row(self._dialect, result)


class _StatusRequests:
    """Sends status requests: a limited number at once, and an event for each."""

    def __init__(self, queries: Queries, concurrency: int, events: Emitter) -> None:
        self._queries = queries
        self._slots = asyncio.Semaphore(concurrency)
        self._events = events

    async def send(self, query: Query[_T], ids: tuple[str, ...], *, retry: bool) -> _T | LumaError:
        """Send a query, and return what it says about `ids`, or the error that came instead."""
        result: _T | LumaError
        try:
            if retry:
                result = await self._queries.ask(query, slots=self._slots)
            else:
                async with self._slots:
                    result = await self._queries.ask_once(query)
        except LumaError as error:
            result = error
        self._events.emit(Polled(ids=ids, error=result if isinstance(result, LumaError) else None))
        return result


class _SharedRequests:
    """What the service has shown about requests for many, and what to do when one of them fails."""

    def __init__(self, requests: _StatusRequests, dialect: Dialect, max_size: int) -> None:
        self._requests = requests
        self._dialect = dialect
        self._sharing = Sharing.full(max_size)
        self._checks = 0

    @property
    def size(self) -> int:
        """How many generations a request may hold now."""
        return self._sharing.size_at(loop_now())

    def succeeded(self, asked: int) -> None:
        """Note that a request for `asked` generations succeeded."""
        self._sharing = self._sharing.after_success(asked, loop_now())

    def reduce(self, size: int) -> None:
        """Send smaller requests for a while."""
        self._sharing = self._sharing.reduced(size, loop_now())

    async def check(
        self, error: LumaError, ids: Sequence[str], asked: int, *, asked_at_s: float, retry: bool, failed_before: bool
    ) -> dict[str, FetchResult]:
        """Find out what a failed request means, if necessary with a request for one of its generations.

        Returns:
            A failure for each id if all requests fail, or if this is the first failure. Otherwise the result of one id;
            the others need smaller requests.
        """
        repeated = failed_before or self._sharing.is_repeated(asked, asked_at_s)
        self._sharing = self._sharing.after_failure(loop_now())
        if not needs_check(error, repeated=repeated or retry):
            return dict.fromkeys(ids, error)
        # Another id each time: a single one may be unreadable.
        self._checks += 1
        checked_id = ids[self._checks % len(ids)]
        result = await self._requests.send(self._dialect.get(checked_id), (checked_id,), retry=retry)
        if isinstance(result, LumaError) and not is_about_generation(result):
            return dict.fromkeys(ids, result)
        if repeated:
            self.reduce(smaller_size(error, asked))
        return {checked_id: result}


class BatchQuery:
    """Sends lists of ids."""

    def __init__(self, requests: _StatusRequests, dialect: Dialect) -> None:
        self._requests = requests
        self._dialect = dialect
        self.shared: _SharedRequests = _SharedRequests(requests, dialect, dialect.max_ids)

    @property
    def max_ids(self) -> int:
        """As many as one request may hold."""
        return self.shared.size

    async def fetch(self, ids: Sequence[str], *, retry: bool, failed_before: bool) -> dict[str, FetchResult]:
        """Fetch generations in as many requests as it takes; ids that the answers leave out are missing."""
        return await gather_dicts(
            self._fetch_chunk(chunk, retry=retry, failed_before=failed_before)
            for chunk in chunks(ids, self.shared.size)
        )

    async def _fetch_chunk(
        self, ids: Sequence[str], *, retry: bool, failed_before: bool, checked: bool = False
    ) -> dict[str, FetchResult]:
        """Fetch the generations of one request, or of smaller ones if it was too large; a single one is left out.

        Args:
            ids: the generations.
            retry: whether to repeat a request that failed.
            failed_before: whether the last request for one of them failed.
            checked: whether a request for a single generation has just succeeded.
        """
        if len(ids) == 1:
            return {}
        asked_at_s = loop_now()
        rows = await self._requests.send(self._dialect.get_many(ids), tuple(ids), retry=retry)
        if not isinstance(rows, LumaError):
            self.shared.succeeded(len(ids))
            wanted = set(ids)
            return {row.id: row for row in rows if row.id in wanted}
        size = smaller_size(rows, len(ids))
        found: dict[str, FetchResult] = {}
        if checked:
            self.shared.reduce(size)
        else:
            found = await self.shared.check(
                rows, ids, len(ids), asked_at_s=asked_at_s, retry=retry, failed_before=failed_before
            )
        missing = [generation_id for generation_id in ids if generation_id not in found]
        if size == 1 or not missing:
            return found
        # Another request may have learned a smaller size in the meantime.
        smaller = chunks(missing, min(size, self.shared.size))
        return found | await gather_dicts(
            self._fetch_chunk(chunk, retry=retry, failed_before=True, checked=True) for chunk in smaller
        )


class ListScan:
    """Reads the list of the account's newest generations, as long as that takes fewer requests than single queries."""

    def __init__(self, requests: _StatusRequests, dialect: Dialect) -> None:
        self._requests = requests
        self._dialect = dialect
        self.shared: _SharedRequests = _SharedRequests(requests, dialect, dialect.page_size)

    @property
    def max_ids(self) -> int:
        """All that are due."""
        return _MAX_SCANNED_IDS if self.shared.size > 1 else 1

    async def fetch(self, ids: Sequence[str], *, retry: bool, failed_before: bool) -> dict[str, FetchResult]:
        """Fetch generations page by page; ids that the pages did not show are missing."""
        limit = page_limit(len(ids), self._dialect.page_size)
        found: dict[str, FetchResult] = {}
        missing = dict.fromkeys(ids)
        offset = sparse_pages = 0
        while True:
            asked_at_s = loop_now()
            page = await self._page(limit, offset, tuple(missing), retry=retry)
            if isinstance(page, LumaError):
                size = self._dialect.page_size
                return found | await self.shared.check(
                    page, list(missing), size, asked_at_s=asked_at_s, retry=retry, failed_before=failed_before
                )
            self.shared.succeeded(self._dialect.page_size)
            rows = {row.id: row for row in page.rows if row.id in missing}
            found |= rows
            for generation_id in rows:
                del missing[generation_id]
            sparse_pages = 0 if len(rows) > 1 else sparse_pages + 1
            if not worth_another_page(sparse_pages, len(missing), has_more=page.has_more):
                return found
            # New generations shift the list during the scan. An id that is skipped that way gets a single query.
            offset += len(page.rows)

    async def _page(self, limit: int, offset: int, ids: tuple[str, ...], *, retry: bool) -> Page | LumaError:
        return await self._requests.send(self._dialect.list_page(limit, offset), ids, retry=retry)
