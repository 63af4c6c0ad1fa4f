"""Faults for any kind of request.

Every fault says whether it is *charged*. A charged fault serves the request first, so that a submit starts its
generation and is counted in `FakeGateway.charges`; only the answer is damaged. A submit that the service itself refuses
is never charged.
"""

from __future__ import annotations

import functools
import json
import zlib
from typing import TYPE_CHECKING, Any

import attrs
from aiohttp import web

from luma_async.testing.answers import body_of, error_answer, html_answer, json_answer
from luma_async.testing.faults.plan import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luma_async.testing.exchange import CloseMode, Exchange

_MIB = 1024 * 1024
_FOREVER_S = 3600.0
"""Longer than any request timeout of a test."""


def drop_before_reading(how: CloseMode = "fin", *, after_bytes: int = 0) -> Fault:
    """Close the connection without reading the body, or after about this many bytes of it. Not charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        left = after_bytes
        while left > 0 and (piece := await exchange.request.content.readany()):
            left -= len(piece)
        return exchange.close_connection(how)

    return Fault("drop_before_reading", charged=False, act=act, before_reading=True, loses_answer=True)


def drop_after_reading(how: CloseMode = "fin") -> Fault:
    """Serve the request, then close the connection without an answer. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.serve()
        return exchange.close_connection(how)

    return Fault("drop_after_reading", charged=True, act=act, loses_answer=True)


def hang(seconds: float = _FOREVER_S, *, charged: bool = False) -> Fault:
    """Send nothing for `seconds`, then close the connection. Charged at once if `charged`."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if charged:
            exchange.serve()
        await exchange.idle(seconds)
        return exchange.close_connection()

    return Fault("hang", charged=charged, act=act, loses_answer=True)


def late(seconds: float) -> Fault:
    """Serve the request at once, but answer `seconds` later. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        await exchange.idle(seconds)
        return response

    return Fault("late", charged=True, act=act)


def cut_body() -> Fault:
    """Send the correct headers and half of the body, then close the connection. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        return await send_part(exchange, response, len(body_of(response)) // 2)

    return Fault("cut_body", charged=True, act=act, loses_answer=True)


def garbage() -> Fault:
    """Answer with bytes that are not HTTP, then close the connection. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.serve()
        if exchange.request.transport is not None:
            exchange.request.transport.write(b"\x00\xff this is no HTTP \r\n\r\n")
        return exchange.close_connection()

    return Fault("garbage", charged=True, act=act, loses_answer=True)


def answer(
    status: int,
    body: bytes | str | dict[str, Any] | list[Any] = b"",
    headers: Mapping[str, str] | None = None,
    *,
    charged: bool = False,
) -> Fault:
    """Send this answer. Charged if `charged`.

    `loses_answer` is False, since only the caller knows what this answer tells a client.

    Args:
        status: the HTTP status.
        body: bytes and strings are sent unchanged; anything else as JSON.
        headers: without a `Content-Type`, the body is labelled as JSON.
        charged: whether the request is served first.
    """
    data = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **(headers or {})}
    return _answers("answer", lambda: web.Response(status=status, body=data, headers=named), charged=charged)


def rate_limited(retry_after: float | str | None = None, *, empty: bool = False) -> Fault:
    """Answer 429, with a `Retry-After` if given, and without a body if `empty`. Not charged."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if empty:
        return _answers("rate_limited", lambda: web.Response(status=429, headers=headers), charged=False)
    message = "当前分组上游负载已饱和"
    return _answers("rate_limited", lambda: error_answer(429, "", message, headers), charged=False)


def out_of_credit() -> Fault:
    """Answer 403: the account has no quota left. Not charged."""
    message = "user quota is not enough (request id: 20250101)"
    return _answers("out_of_credit", lambda: error_answer(403, "insufficient_user_quota", message), charged=False)


def server_error(status: int = 500, *, html: bool = False, charged: bool = False) -> Fault:
    """Answer with a 5xx: the relay's JSON, or with `html` a proxy's web page. Charged if `charged`."""
    # A relay answers 503 with this code when no service took the request: nothing was charged, and the client knows.
    code, message = ("get_channel_failed", "no channel for model luma") if status == 503 else ("", "internal error")

    def build() -> web.Response:
        return html_answer(status) if html else error_answer(status, code, message)

    return _answers("server_error", build, charged=charged, loses_answer=html or status != 503)


def two_documents(status: int = 400, *, charged: bool = False) -> Fault:
    """Answer with two JSON documents in one body. Charged if `charged`."""
    body = '{"detail":"Prompt is required"}{"detail":{"reason":"unexpected end of JSON input","code":1}}'
    fault = answer(status, body, charged=charged)
    return attrs.evolve(fault, name="two_documents", loses_answer=_proves_nothing(status))


def html_page(status: int = 200, *, charged: bool = False) -> Fault:
    """Answer with a web page. Charged if `charged`."""
    loses_answer = _proves_nothing(status)
    return _answers("html_page", lambda: html_answer(status), charged=charged, loses_answer=loses_answer)


def redirect(status: int, location: str, *, charged: bool = False) -> Fault:
    """Answer with a redirect to `location`. Charged if `charged`."""
    fault = answer(status, headers={"Location": location}, charged=charged)
    return attrs.evolve(fault, name="redirect", loses_answer=True)


def nested_json(depth: int = 100_000, *, charged: bool = True) -> Fault:
    """Answer 200 with `depth` nested JSON arrays. Charged unless `charged=False`."""
    fault = answer(200, "[" * depth + "]" * depth, charged=charged)
    return attrs.evolve(fault, name="nested_json", loses_answer=True)


def huge_body(size_bytes: int = 8 * _MIB, *, charged: bool = True) -> Fault:
    """Answer 200 with a valid JSON string of this size. Charged unless `charged=False`."""

    def build() -> web.Response:
        return web.Response(body=b'"%b"' % (b"x" * (size_bytes - 2)))

    return _answers("huge_body", build, charged=charged, loses_answer=True)


def gzip_bomb(size_bytes: int = 64 * _MIB, *, charged: bool = True) -> Fault:
    """Answer 200 with a small body that decompresses to this size. Charged unless `charged=False`."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}

    def build() -> web.Response:
        return web.Response(body=_gzipped_spaces(size_bytes), headers=headers)

    return _answers("gzip_bomb", build, charged=charged, loses_answer=True)


def no_id() -> Fault:
    """Answer as usual, but without the id. Charged."""
    return attrs.evolve(reshapes(_without_id), name="no_id", loses_answer=True)


def id_and_error() -> Fault:
    """Answer with the id and an error in one body. Charged."""
    error = {"message": "upstream error", "type": "new_api_error", "code": "do_request_failed"}
    return attrs.evolve(reshapes(lambda body: {**body, "error": error}), name="id_and_error", loses_answer=True)


def reshapes(change: Callable[[Any], Any]) -> Fault:
    """Answer with the JSON that `change` makes of a successful answer; refusals stay as they are. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        if response.status >= 300:
            return response
        return json_answer(change(json.loads(body_of(response))), response.status)

    return Fault("reshapes", charged=True, act=act)


async def send_part(
    exchange: Exchange, response: web.Response, n_bytes: int, *, claim: int | None = None, pause_s: float = 0.0
) -> web.StreamResponse:
    """Send the headers and the first bytes of an answer, wait, and close the connection.

    Args:
        exchange: the request that is answered.
        response: the whole answer.
        n_bytes: how many bytes of its body are sent.
        claim: the `Content-Length`; None for the correct one.
        pause_s: seconds between the last byte and the close.
    """
    data = body_of(response)
    part = web.StreamResponse(status=response.status, headers=response.headers)
    part.content_length = len(data) if claim is None else claim
    await part.prepare(exchange.request)
    await part.write(data[:n_bytes])
    if pause_s:
        await exchange.idle(pause_s)
    exchange.close_connection()
    return part


def _answers(name: str, build: Callable[[], web.Response], *, charged: bool, loses_answer: bool = False) -> Fault:
    """Send the answer that `build` makes, after serving the request if charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if charged:
            exchange.serve()
        return build()

    return Fault(name, charged=charged, act=act, loses_answer=loses_answer)


def _proves_nothing(status: int) -> bool:
    """Whether an unreadable answer of this status leaves open if anything was charged; a 4xx is a refusal."""
    return not 400 <= status < 500


def _without_id(body: Any) -> Any:
    """The answer to a submit without the id, which is at the top level or in `data`."""
    if "data" in body:
        return {**body, "data": _without_id(body["data"])}
    return {name: value for name, value in body.items() if name not in {"id", "task_id"}}


@functools.cache
def _gzipped_spaces(size_bytes: int) -> bytes:
    """A gzip file of spaces, which are valid JSON up to their end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blank = b" " * _MIB
    parts = [packer.compress(blank[: min(_MIB, size_bytes - at)]) for at in range(0, size_bytes, _MIB)]
    return b"".join(parts) + packer.flush()
