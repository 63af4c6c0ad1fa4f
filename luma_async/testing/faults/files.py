"""Faults for downloads: requests of the kind "file". None of them concerns a charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from luma_async.testing.answers import body_of
from luma_async.testing.faults.plan import Fault
from luma_async.testing.faults.requests import html_page, redirect, send_part

if TYPE_CHECKING:
    from luma_async.testing.exchange import Exchange

_CHUNK_BYTES = 64 * 1024


def cut_after(n_bytes: int) -> Fault:
    """Send the first `n_bytes` of the body, then close the connection."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await send_part(exchange, exchange.serve(), n_bytes)

    return Fault("cut_after", charged=False, act=act)


def stall_after(n_bytes: int, seconds: float = 3600.0) -> Fault:
    """Send the first `n_bytes` of the body, then nothing for `seconds`, then close the connection."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await send_part(exchange, exchange.serve(), n_bytes, pause_s=seconds)

    return Fault("stall_after", charged=False, act=act)


def ignores_range() -> Fault:
    """Send the whole file with status 200, whichever range was requested."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.ignore_range = True
        return exchange.serve()

    return Fault("ignores_range", charged=False, act=act)


def changes_object() -> Fault:
    """Replace the generation's files permanently by others with another ETag, then answer."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.store.generations[exchange.generation_id].object_version += 1
        return exchange.serve()

    return Fault("changes_object", charged=False, act=act)


def wrong_length(by: int = 100) -> Fault:
    """Send a `Content-Length` that is wrong by this many bytes.

    With a positive number the connection closes before the promised end. With a negative number the answer is complete
    as far as HTTP can tell, but the file is truncated.
    """

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        size = len(body_of(response))
        return await send_part(exchange, response, min(size, size + by), claim=size + by)

    return Fault("wrong_length", charged=False, act=act)


def html_instead() -> Fault:
    """Send a web page with status 200 instead of the file."""
    return attrs.evolve(html_page(), name="html_instead", loses_answer=False)


def forbidden_until_refreshed() -> Fault:
    """Revoke the links of this generation: they answer 403 until a query or the link endpoint returns new ones."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.store.generations[exchange.generation_id].links_revoked += 1
        return exchange.serve()

    return Fault("forbidden_until_refreshed", charged=False, act=act)


def redirects_to(url: str) -> Fault:
    """Answer 302 with this address."""
    return attrs.evolve(redirect(302, url), name="redirects_to", loses_answer=False)


def endless() -> Fault:
    """Send the file without a `Content-Length`, then zeros until the client disconnects."""

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
