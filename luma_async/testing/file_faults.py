"""What goes wrong with a download: faults for requests of the kind "file". None concerns a charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from luma_async.testing.answers import body_of
from luma_async.testing.faults import Fault, html_page, redirect, send_part

if TYPE_CHECKING:
    from luma_async.testing.exchange import Exchange

_CHUNK_BYTES = 64 * 1024


def cut_after(n_bytes: int) -> Fault:
    """Send that much of the answer's body, then close the connection."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await send_part(exchange, exchange.serve(), n_bytes)

    return Fault("cut_after", charged=False, act=act)


def stall_after(n_bytes: int, seconds: float = 3600.0) -> Fault:
    """Send that much of the answer's body, then nothing for `seconds`, then close the connection."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await send_part(exchange, exchange.serve(), n_bytes, pause_s=seconds)

    return Fault("stall_after", charged=False, act=act)


def ignores_range() -> Fault:
    """Send the whole file with status 200, whatever range was asked for."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.ignore_range = True
        return exchange.serve()

    return Fault("ignores_range", charged=False, act=act)


def changes_object() -> Fault:
    """Replace the generation's files by others, with another ETag, before answering; they stay so."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.store.generations[exchange.generation_id].object_version += 1
        return exchange.serve()

    return Fault("changes_object", charged=False, act=act)


def wrong_length(by: int = 100) -> Fault:
    """Claim a `Content-Length` that is wrong by so many bytes.

    More than is sent: the connection is closed where the rest should come. Fewer (a negative number): the answer is
    complete as far as HTTP can tell, and the file is not.
    """

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        size = len(body_of(response))
        return await send_part(exchange, response, min(size, size + by), claim=size + by)

    return Fault("wrong_length", charged=False, act=act)


def html_instead() -> Fault:
    """Send a web page with status 200 in the place of the file."""
    return attrs.evolve(html_page(), name="html_instead")


def forbidden_until_refreshed() -> Fault:
    """Revoke the links of this generation: 403, until a query or the link endpoint gives a new one."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.store.generations[exchange.generation_id].links_revoked += 1
        return exchange.serve()

    return Fault("forbidden_until_refreshed", charged=False, act=act)


def redirects_to(url: str) -> Fault:
    """Answer 302 with this address."""
    return attrs.evolve(redirect(302, url), name="redirects_to")


def endless() -> Fault:
    """Send the file, then zeros until the client leaves. There is no `Content-Length`."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        stream = web.StreamResponse(status=response.status, headers=response.headers)
        stream.enable_chunked_encoding()
        await stream.prepare(exchange.request)
        await stream.write(body_of(response))
        while not exchange.closing.is_set():
            await stream.write(bytes(_CHUNK_BYTES))
        return stream

    return Fault("endless", charged=False, act=act)
