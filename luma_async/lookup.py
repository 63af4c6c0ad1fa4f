"""Asking for the current state of generations by id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from luma_async.checks import check_id
from luma_async.errors import GenerationNotFound, InvalidRequest, LumaError, Refused, UnreadableAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luma_async._wire.dialect import Dialect
    from luma_async.models import Generation
    from luma_async.queries import Queries

_NO_SUCH_CALL = frozenset({404, 405, 501})


class Lookup:
    """Asks for generations, one or many at a time."""

    def __init__(self, *, queries: Queries, dialect: Dialect, width: int) -> None:
        self._queries = queries
        self._dialect = dialect
        self._places = asyncio.Semaphore(width)

    async def get(self, generation_id: str) -> Generation:
        """Return one generation; see `session.get()`."""
        document = await self._queries.ask(self._dialect.query(generation_id))
        return self._dialect.generation(self._dialect.read_query(document, generation_id).raw)

    async def get_many(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Return the generations that the service knows; see `session.get_many()`."""
        ids = list(dict.fromkeys(check_id(one) for one in generation_ids))
        found: dict[str, Generation] = {}
        size = self._dialect.batch_size
        if size > 1 and len(ids) > 1 and self._dialect.supports("query_many"):
            for start in range(0, len(ids), size):
                found.update(await self._chunk(ids[start : start + size]))
        # Batch answers leave out what they do not know, and sometimes what they do.
        missing = [one for one in ids if one not in found]
        async with asyncio.TaskGroup() as group:
            looks = {one: group.create_task(self._get_known(one)) for one in missing}
        for one, look in looks.items():
            answer = look.result()
            if isinstance(answer, LumaError):
                raise answer
            if answer is not None:
                found[one] = answer
        return {one: found[one] for one in ids if one in found}

    async def _chunk(self, ids: list[str]) -> dict[str, Generation]:
        try:
            document = await self._queries.ask(self._dialect.query_many(ids))
            rows = self._dialect.read_many(document)
        except UnreadableAnswer:
            return {}
        except Refused as error:
            if isinstance(error, InvalidRequest | GenerationNotFound) or error.status in _NO_SUCH_CALL:
                return {}
            raise
        wanted = set(ids)
        found: dict[str, Generation] = {}
        for row in rows:
            if row.id in wanted:
                try:
                    found[row.id] = self._dialect.generation(row.raw)
                except UnreadableAnswer:
                    continue
        return found

    async def _get_known(self, generation_id: str) -> Generation | LumaError | None:
        """Return a failure instead of raising it: raised, it would come out of the group in a wrapping."""
        async with self._places:
            try:
                return await self.get(generation_id)
            except GenerationNotFound:
                return None
            except LumaError as error:
                return error
