"""A request to the fake gateway, and what routes and faults can do with it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing.answers import is_object
from luma_async.testing.store import Store

CloseMode: TypeAlias = Literal["fin", "rst"]
"""How a connection is closed: in order, or with a reset."""

_NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER with zero seconds: closing the socket resets the connection."""
_SCHEME = "Bearer "


@attrs.frozen(kw_only=True)
class Credentials:
    """What clients must send."""

    api_key: str = attrs.field(repr=False)
    access_token: str | None = attrs.field(repr=False)
    user_id: int
    strict: bool
    """Whether only this API key is accepted; otherwise any key that is not empty is."""

    def accept(self, authorization: str | None) -> bool:
        """Whether this `Authorization` header has an accepted API key."""
        if self.strict:
            return authorization == _SCHEME + self.api_key
        # HTTP strips the end of a value, so a header that still has the space also has something after it.
        return authorization is not None and authorization.startswith(_SCHEME)


@attrs.frozen(kw_only=True)
class Seen:
    """A request that arrived."""

    kind: str
    """The kind of request, as in `FakeGateway.counts`."""
    method: str
    path: str
    """Decoded, without the query string."""
    query: Mapping[str, str]
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Case-insensitive. They contain the fake key."""
    body: Any
    """The decoded JSON; None if there was no body, it was not JSON, or it was not read."""
    at: float
    """Seconds of the loop's clock."""

    @property
    def prompt(self) -> str:
        """The prompt of a submit; empty for any other request."""
        return str(self.body.get("prompt") or self.body.get("user_prompt") or "") if is_object(self.body) else ""


@attrs.frozen(kw_only=True)
class Received:
    """What is kept of a body that may be too large for memory."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Received:
        """Describe bytes."""
        return cls(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    @classmethod
    async def read(cls, request: web.Request) -> Received:
        """Read the body of a request in pieces.

        Raises:
            ConnectionError: it ended early.
        """
        digest, size_bytes = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            digest.update(piece)
            size_bytes += len(piece)
        return cls(size_bytes=size_bytes, sha256=digest.hexdigest())


@attrs.frozen(kw_only=True)
class Route:
    """A path of the fake gateway."""

    method: str
    path: str
    """In the form of aiohttp's router."""
    kind: str
    """The kind under which requests are counted and faults are planned."""
    secret: Literal["api_key", "access_token"] | None
    """The only secret that clients may send here."""
    handle: Callable[[Exchange], web.Response]
    """Answers a request; refuses a request without the correct secret."""
    streams: bool = False
    """Whether the body is read in pieces, and only its size and its digest are kept."""


@attrs.define(kw_only=True, eq=False)
class Exchange:
    """A request that has not been answered yet."""

    request: web.Request
    route: Route
    seen: Seen
    store: Store
    raw: bytes = attrs.field(default=b"", repr=False)
    """The body as it arrived; empty if it was not read or not kept."""
    received: Received | None = None
    """The body of a route that `streams`."""
    closing: asyncio.Event
    """Set when the server stops; a handler that waits must return then."""
    ignore_range: bool = False
    """Set by a fault: send the whole file."""
    _later: tuple[float, Callable[[], web.Response]] | None = attrs.field(default=None, init=False)

    @property
    def generation_id(self) -> str:
        """The id in the path."""
        return self.request.match_info["id"]

    @property
    def origin(self) -> str:
        """Scheme, host and port that the client connected to."""
        return str(self.request.url.origin())

    def serve(self) -> web.Response:
        """Serve the request, charge for it, and return the answer of a working service."""
        return self.route.handle(self)

    def answer_later(self, seconds: float, build: Callable[[], web.Response]) -> None:
        """Delay the answer of a route by `seconds`, and build it then."""
        self._later = seconds, build

    async def answer(self) -> web.Response:
        """Serve the request at once, and answer after the delay that the route set."""
        response = self.serve()
        if self._later is None:
            return response
        seconds, build = self._later
        await self.idle(seconds)
        return build()

    async def idle(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the server stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    def close_connection(self, how: CloseMode = "fin") -> web.Response:
        """Close the connection after what was written; the returned response is never sent."""
        transport = self.request.transport
        if transport is not None and how == "rst":
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        elif transport is not None:
            transport.close()
        return web.Response()
