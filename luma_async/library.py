"""What the official service keeps of an account: its generations, and the words that its prompts may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from luma_async._http.listing import Listing
from luma_async.values.models import Generation
from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from luma_async._http.queries import Queries
    from luma_async._wire.dialect import Dialect

Generations: TypeAlias = list[Generation]


@public
class Library:
    """The account's generations at the service, whoever bought them. Nothing here costs anything."""

    def __init__(self, queries: Callable[[], Queries], dialect: Dialect) -> None:
        self._queries = queries
        self._dialect = dialect

    async def list(self, limit: int = 100, offset: int = 0) -> Generations:
        """Return a page of the account's generations, newest first.

        Args:
            limit: how many, up to 100.
            offset: how many to skip. Each one that is made meanwhile moves the others on by one; `all()` minds that.

        Raises:
            UnsupportedOperation: this format has no list; nothing was sent.
            InvalidInput: no page has that many, or begins there; nothing was sent.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        self._dialect.list_page(limit, offset)
        return await self._listing().page(limit, offset)

    def all(self) -> AsyncIterator[Generation]:
        """Yield all of the account's generations, newest first, each once.

        Generations that are made or deleted meanwhile, by you too, make none of the others appear twice or be missed.

        Raises:
            UnsupportedOperation: this format has no list; nothing was sent.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing for each hundred.

        Cancellation:
            Safe: leaving the loop stops the asking.
        """
        listing = self._listing()
        listing.require()
        return listing.generations()

    async def delete(self, generation_id: str, /) -> None:
        """Let the service forget a generation and its files. What it cost is not given back.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            InvalidInput: the id is malformed; nothing was sent.
            GenerationNotFound: the service does not know it. So it says too when an earlier attempt of this very call
                did delete it and its answer was lost.
            LumaError: no usable answer came, after retries; it may be deleted.

        Costs:
            One request that costs nothing.

        Cancellation:
            It may be deleted or not.
        """
        call = self._dialect.delete(generation_id)
        await self._queries().ask(call)

    async def concepts(self) -> tuple[str, ...]:
        """Return the names that `VideoRequest.concepts` may hold.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        call = self._dialect.concepts()
        return self._dialect.read_names(await self._queries().ask(call))

    async def camera_motions(self) -> tuple[str, ...]:
        """Return phrases that move the camera, to be written into the prompt.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        call = self._dialect.camera_motions()
        return self._dialect.read_names(await self._queries().ask(call))

    def _listing(self) -> Listing:
        return Listing(ask=self._queries().ask, dialect=self._dialect)
