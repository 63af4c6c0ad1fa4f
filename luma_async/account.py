"""What a service tells about an account: balances, its own list of generations, the words that prompts may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from luma_async.values.public import public

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator

    from luma_async._engine import Engine
    from luma_async._wire.dialect import Query
    from luma_async.values.budget import BudgetStatus
    from luma_async.values.models import Credits, Generation, KeyUsage, User

T = TypeVar("T")


@public
@public
class Account:
    """Ask who pays, and how much is left. All calls are free of charge."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def user(self) -> User:
        """Return the account at a relay.

        Raises:
            ConfigurationError: the relay needs `RixAPI(access_token=…, user_id=…)`, which is not set; nothing was sent.
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request, free of charge.

        Cancellation:
            Safe.
        """
        return await _ask(self._engine, self._engine.dialect.user())

    async def key(self) -> KeyUsage:
        """Return what this API key may spend at a relay.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request, free of charge.

        Cancellation:
            Safe.
        """
        return await _ask(self._engine, self._engine.dialect.key())

    async def credits(self) -> Credits:
        """Return the balance at Luma.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request, free of charge.

        Cancellation:
            Safe.
        """
        return await _ask(self._engine, self._engine.dialect.credits())

    async def budgets(self) -> list[BudgetStatus]:
        """Return what is spent of each budget of the session, and what is left; nothing if it has no budget.

        Raises:
            JournalError: the journal cannot be read.
            SessionClosed: the session is closed.

        Costs:
            Nothing; no request is sent.

        Cancellation:
            Safe.
        """
        self._engine.check_open()
        return await self._engine.spending.status()


@public
class Library:
    """Read and delete the account's generations at Luma, whichever program created them. All calls are free of charge.

    Relays have no such list; see `session.supports("list")`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, limit: int = 100, offset: int = 0) -> builtins.list[Generation]:
        """Return a page of the account's generations, newest first.

        Args:
            limit: how many, up to 100.
            offset: how many to skip. Generations that are created between two calls shift the others; `all()` allows
                for that.

        Raises:
            UnsupportedOperation: this format has no list; nothing was sent.
            InvalidInput: no page has that length or offset; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request, free of charge.

        Cancellation:
            Safe.
        """
        self._engine.check_open()
        return await self._engine.listing.fetch_page(limit, offset)

    def all(self) -> AsyncIterator[Generation]:
        """Yield all of the account's generations, newest first, each once.

        If generations are created or deleted during the iteration, also by this program, the others are still yielded
        once each.

        Raises:
            UnsupportedOperation: this format has no list; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request for each hundred, free of charge.

        Cancellation:
            Safe: after the loop ends, no further page is requested.
        """
        self._engine.check_open()
        self._engine.listing.require()
        return self._engine.listing.fetch_all()

    async def delete(self, generation_id: str, /) -> None:
        """Delete a generation and its files at the service. This gives no refund.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            InvalidInput: the id is malformed; nothing was sent.
            GenerationNotFound: the service does not know it. This is also raised if an earlier attempt of this call
                deleted it and the answer was lost.
            LumaError: no usable response came, after retries; it may be deleted.

        Costs:
            One request, free of charge.

        Cancellation:
            It may be deleted or not.
        """
        await _ask(self._engine, self._engine.dialect.delete(generation_id))

    async def concepts(self) -> tuple[str, ...]:
        """Return the names that `VideoRequest.concepts` may hold.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request, free of charge.

        Cancellation:
            Safe.
        """
        return await _ask(self._engine, self._engine.dialect.concepts())

    async def camera_motions(self) -> tuple[str, ...]:
        """Return phrases that move the camera, for use in a prompt.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One request, free of charge.

        Cancellation:
            Safe.
        """
        return await _ask(self._engine, self._engine.dialect.camera_motions())


async def _ask(engine: Engine, query: Query[T]) -> T:
    engine.check_open()
    return await engine.queries.ask(query)
