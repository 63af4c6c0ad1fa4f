"""One request at a fake service, and what routes and faults can do with it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing.store import Store

CloseMode: TypeAlias = Literal["fin", "rst"]
"""How a connection ends: closed in order, or reset."""

_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER on, for zero seconds: closing the socket resets the connection."""


@attrs.frozen(kw_only=True)
class Seen:
    """One request that arrived."""

    kind: str
    """What it asked for, in the words of `FakeGateway.counts`."""
    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Case-insensitive. They hold the fake key."""
    body: Any
    """The decoded JSON; None if there was none, it was no JSON, or it was not read."""
    at: float
    """Seconds of the loop's clock."""


@attrs.frozen(kw_only=True)
class Route:
    """A path of a fake service."""

    method: str
    path: str
    """As aiohttp's router takes it."""
    kind: str
    """The name under which requests are counted and faults are planned."""
    secret: Literal["api_key", "access_token"] | None
    """The only secret that a client may send here."""
    handle: Callable[[Exchange], web.Response]
    """Answers a request, and refuses one without the right secret."""


@attrs.define(kw_only=True, eq=False)
class Exchange:
    """A request that waits for its answer."""

    request: web.Request
    route: Route
    seen: Seen
    store: Store
    closing: asyncio.Event
    """Set when the server stops: whoever hangs must let go."""
    ignore_range: bool = False
    """Set by a fault: a file is to be sent whole."""
    _later: tuple[float, Callable[[], web.Response]] | None = attrs.field(default=None, init=False)

    @property
    def generation_id(self) -> str:
        """The id in the path."""
        return self.request.match_info["id"]

    @property
    def origin(self) -> str:
        """Scheme, host and port under which the client reached this server."""
        return str(self.request.url.origin())

    def serve(self) -> web.Response:
        """Do what was asked, charge for it, and return the answer that a working service gives."""
        return self.route.handle(self)

    def answer_later(self, seconds: float, build: Callable[[], web.Response]) -> None:
        """Let a route wait that long with its answer, and build it then."""
        self._later = seconds, build

    async def answer(self) -> web.Response:
        """Do what was asked at once, and answer when the route wants to."""
        response = self.serve()
        if self._later is None:
            return response
        seconds, build = self._later
        await self.idle(seconds)
        return build()

    async def idle(self, seconds: float) -> None:
        """Let time pass, but not beyond the stop of the server."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    def close_connection(self, how: CloseMode = "fin") -> web.Response:
        """Close the connection after what was written; the response returned is never sent."""
        transport = self.request.transport
        if transport is not None and how == "rst":
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            transport.abort()
        elif transport is not None:
            transport.close()
        return web.Response()
