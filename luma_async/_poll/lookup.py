"""Asking for the current state of generations by id, whoever waits or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.values.errors import GenerationNotFound, InvalidInput, LumaError, UnreadableResponse
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luma_async._poll.looks import Looks
    from luma_async._poll.shared_looks import Sight
    from luma_async._wire.dialect import Dialect
    from luma_async.values.models import Generation


class Lookup:
    """Asks for generations, one or many at a time, and repeats what may help."""

    def __init__(self, *, looks: Looks, dialect: Dialect) -> None:
        self._looks = looks
        self._dialect = dialect

    async def get(self, generation_id: str) -> Generation:
        """Return one generation; see `session.get()`."""
        return self._read(await self._looks.look_closer(generation_id))

    async def get_many(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Return the generations that the service knows; see `session.get_many()`."""
        if isinstance(generation_ids, str):
            raise InvalidInput(field="generation_ids", message="must be a list of ids; session.get() takes one.")
        ids = list(dict.fromkeys(check_id(one) for one in generation_ids))
        seen = await self._looks.look(ids)
        found: dict[str, Generation] = {}
        for one in ids:
            try:
                found[one] = self._read(seen[one])
            except GenerationNotFound:
                continue
            except UnreadableResponse:
                # One row of many may have drifted; by itself it may be readable.
                found[one] = await self.get(one)
        return found

    def _read(self, sight: Sight) -> Generation:
        if isinstance(sight, LumaError):
            raise sight
        return self._dialect.generation(sight.raw)
