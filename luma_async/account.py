"""Balances, as far as the service tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async._http.queries import Queries
    from luma_async._wire.dialect import Dialect
    from luma_async.values.models import Credits, KeyUsage, User


@public
class Account:
    """Who pays, and how much is left. Nothing here costs anything."""

    def __init__(self, queries: Callable[[], Queries], dialect: Dialect) -> None:
        self._queries = queries
        self._dialect = dialect

    async def user(self) -> User:
        """Return the account at a relay.

        Raises:
            ConfigurationError: the relay wants `RixAPI(access_token=…, user_id=…)`, which is not set; nothing was sent.
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable answer came.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        call = self._dialect.user()
        return self._dialect.read_user(await self._queries().ask(call))

    async def key(self) -> KeyUsage:
        """Return what this API key may spend at a relay.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable answer came.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        call = self._dialect.key()
        return self._dialect.read_key(await self._queries().ask(call))

    async def credits(self) -> Credits:
        """Return the balance at the official service.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            LumaError: no usable answer came.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        call = self._dialect.credits()
        return self._dialect.read_credits(await self._queries().ask(call))
