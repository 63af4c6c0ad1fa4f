"""What goes wrong between a client and a fake service; planned with `FakeGateway.inject`.

Every fault says whether it is *charged*: then the request is really served first, so a submit starts its generation and
is counted in `FakeGateway.charges`, and only the answer is spoiled. A submit that the service itself would refuse is
never charged, whatever the fault. The faults of this module fit any kind of request.
"""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from aiohttp import web

from luma_async.testing.answers import body_of, error_answer, html_answer, json_answer
from luma_async.testing.exchange import CloseMode, Exchange, Seen

ALWAYS = math.inf
"""Give it as `times` for a fault that strikes until it is cleared."""

_MIB = 1024 * 1024
_FOR_EVER_S = 3600.0
"""Longer than any request timeout that a test would set."""


@attrs.frozen
class Fault:
    """One way to spoil a request; build it with the functions of this module and its neighbours."""

    name: str
    charged: bool
    """Whether a submit that meets it is charged."""
    act: Callable[[Exchange], Awaitable[web.StreamResponse]] = attrs.field(repr=False)
    """Answers the request, or does not."""
    before_reading: bool = False
    """Whether it strikes before the body is read."""


@attrs.define
class _Planned:
    """A fault, and how often it is still to strike."""

    fault: Fault
    left: float
    when: Callable[[Seen], bool] | None


class FaultPlan:
    """The faults that wait for requests, per kind, in the order in which they were planned."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Planned]] = {}

    def add(self, fault: Fault, kind: str, times: float, when: Callable[[Seen], bool] | None) -> None:
        """Let a fault strike the next `times` requests of this kind."""
        self._waiting.setdefault(kind, []).append(_Planned(fault, times, when))

    def clear(self, kind: str | None) -> None:
        """Forget what waits for a kind, or everything."""
        if kind is None:
            self._waiting.clear()
        else:
            self._waiting.pop(kind, None)

    def take_before_reading(self, kind: str) -> Fault | None:
        """The next fault, if it needs to know nothing of the body."""
        waiting = self._waiting.get(kind)
        if waiting and waiting[0].when is None and waiting[0].fault.before_reading:
            return self._strike(kind, waiting[0])
        return None

    def take(self, seen: Seen) -> Fault | None:
        """The first fault that wants this request."""
        for planned in self._waiting.get(seen.kind, ()):
            if planned.when is None or planned.when(seen):
                return self._strike(seen.kind, planned)
        return None

    def _strike(self, kind: str, planned: _Planned) -> Fault:
        """Count one strike."""
        planned.left -= 1
        if planned.left <= 0:
            self._waiting[kind].remove(planned)
        return planned.fault


def drop_before_reading(how: CloseMode = "fin") -> Fault:
    """Close the connection without reading the body. Not charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return exchange.close_connection(how)

    return Fault("drop_before_reading", charged=False, act=act, before_reading=True)


def drop_after_reading(how: CloseMode = "fin") -> Fault:
    """Do what was asked, then close the connection without an answer. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.serve()
        return exchange.close_connection(how)

    return Fault("drop_after_reading", charged=True, act=act)


def hang(seconds: float = _FOR_EVER_S, *, charged: bool = False) -> Fault:
    """Say nothing for `seconds`, then close the connection. Charged only if told so, and then at once."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if charged:
            exchange.serve()
        await exchange.idle(seconds)
        return exchange.close_connection()

    return Fault("hang", charged=charged, act=act)


def late(seconds: float) -> Fault:
    """Do what was asked at once, but answer `seconds` later. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        await exchange.idle(seconds)
        return response

    return Fault("late", charged=True, act=act)


def cut_body() -> Fault:
    """Send the right headers and half of the body, then close the connection. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        return await send_part(exchange, response, len(body_of(response)) // 2)

    return Fault("cut_body", charged=True, act=act)


def garbage() -> Fault:
    """Answer with bytes that are no HTTP, then close the connection. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.serve()
        if exchange.request.transport is not None:
            exchange.request.transport.write(b"\x00\xff this is no HTTP \r\n\r\n")
        return exchange.close_connection()

    return Fault("garbage", charged=True, act=act)


def answer(
    status: int,
    body: bytes | str | dict[str, Any] | list[Any] = b"",
    headers: Mapping[str, str] | None = None,
    *,
    charged: bool = False,
) -> Fault:
    """Answer with just this. Charged only if told so.

    Args:
        status: of the answer.
        body: bytes and text are sent as they are; anything else as JSON.
        headers: without a `Content-Type`, the body is called JSON.
        charged: whether the request is really served before.
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
    """Answer with a 5xx: the relay's own JSON, or a proxy's web page. Charged only if told so."""
    if html:
        return _answers("server_error", lambda: html_answer(status), charged=charged)
    code, message = ("get_channel_failed", "no channel for model luma") if status == 503 else ("", "internal error")
    return _answers("server_error", lambda: error_answer(status, code, message), charged=charged)


def two_documents(status: int = 400, *, charged: bool = False) -> Fault:
    """Answer with two JSON documents back to back. Charged only if told so."""
    body = '{"detail":"Prompt is required"}{"detail":{"reason":"unexpected end of JSON input","code":1}}'
    return attrs.evolve(answer(status, body, charged=charged), name="two_documents")


def html_page(status: int = 200, *, charged: bool = False) -> Fault:
    """Answer with a web page. Charged only if told so."""
    return _answers("html_page", lambda: html_answer(status), charged=charged)


def redirect(status: int, location: str, *, charged: bool = False) -> Fault:
    """Point elsewhere. Charged only if told so."""
    return attrs.evolve(answer(status, headers={"Location": location}, charged=charged), name="redirect")


def nested_json(depth: int = 100_000, *, charged: bool = True) -> Fault:
    """Answer 200 with that many brackets inside one another. Charged unless told not to be."""
    return attrs.evolve(answer(200, "[" * depth + "]" * depth, charged=charged), name="nested_json")


def huge_body(size_bytes: int = 8 * _MIB, *, charged: bool = True) -> Fault:
    """Answer 200 with a valid JSON text of that size. Charged unless told not to be."""
    return _answers("huge_body", lambda: web.Response(body=b'"%b"' % (b"x" * (size_bytes - 2))), charged=charged)


def gzip_bomb(size_bytes: int = 64 * _MIB, *, charged: bool = True) -> Fault:
    """Answer 200 with a small body that unpacks to that size. Charged unless told not to be."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return _answers(
        "gzip_bomb", lambda: web.Response(body=_zipped_blanks(size_bytes), headers=headers), charged=charged
    )


def no_id() -> Fault:
    """Answer as usual, but leave out the id. Charged."""
    return reshapes(_without_id, name="no_id")


def id_and_error() -> Fault:
    """Answer with the id and an error in one body. Charged."""
    error = {"message": "upstream error", "type": "new_api_error", "code": "do_request_failed"}
    return reshapes(lambda body: {**body, "error": error}, name="id_and_error")


def reshapes(change: Callable[[Any], Any], *, name: str = "reshapes") -> Fault:
    """Put a function between the JSON of a good answer and the client; a refusal passes unchanged. Charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response = exchange.serve()
        if response.status >= 300:
            return response
        return json_answer(change(json.loads(body_of(response))), response.status)

    return Fault(name, charged=True, act=act)


async def send_part(
    exchange: Exchange, response: web.Response, n_bytes: int, *, claim: int | None = None, pause_s: float = 0.0
) -> web.StreamResponse:
    """Send the headers and the first bytes of an answer, wait, and close the connection.

    Args:
        exchange: the request that is answered.
        response: the whole answer.
        n_bytes: how much of its body is sent.
        claim: the `Content-Length`; None for the true one.
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


def _answers(name: str, build: Callable[[], web.Response], *, charged: bool) -> Fault:
    """Give this answer, after serving the request if charged."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if charged:
            exchange.serve()
        return build()

    return Fault(name, charged=charged, act=act)


def _without_id(body: Any) -> Any:
    """A submit's answer without the id that it has at its top or in its data."""
    if "data" in body:
        return {**body, "data": _without_id(body["data"])}
    return {name: value for name, value in body.items() if name not in {"id", "task_id"}}


@functools.cache
def _zipped_blanks(size_bytes: int) -> bytes:
    """A gzip file that unpacks to blanks, which are valid JSON up to the end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blank = b" " * _MIB
    parts = [packer.compress(blank[: min(_MIB, size_bytes - at)]) for at in range(0, size_bytes, _MIB)]
    return b"".join(parts) + packer.flush()
