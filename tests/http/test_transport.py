"""The transport by itself: what was sent, and what provably was not."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from contextlib import suppress

import aiohttp
import attrs
import pytest
from raw_server import CERTIFICATE, RawServer, answers, closes_after_request, response, stalls

from luma_async._http.proxies import Proxies
from luma_async._http.transport import BODY_CAP_BYTES, Transport, Unanswered, Unsent
from luma_async._wire.answer import Answer
from luma_async._wire.dialect import Call
from luma_async.values.errors import JournalError
from luma_async.values.redaction import Secret
from luma_async.values.settings import Timeouts

pytestmark = pytest.mark.looptime

SUBMIT = Call(name="submit", method="POST", path="/luma/generations", body={"prompt": "cat dance"})
QUERY = Call(name="query", method="GET", path="/luma/generations/g1")


@pytest.fixture
def opened():
    """Open transports that are closed at the end."""
    return []


@pytest.fixture
async def connect(opened):
    def build(url, *, connections=10, timeouts=None, **options):
        settings = {"proxies": Proxies(), "headers": {}, "tls": None, "trace_configs": (), **options}
        transport = Transport(
            base_url=url,
            api_key=Secret("sk-transport"),
            timeouts=timeouts or Timeouts(),
            connections=connections,
            **settings,
        )
        opened.append(transport)
        return transport

    yield build
    for transport in opened:
        await transport.aclose()


class Claim:
    """What is awaited before the first byte leaves."""

    def __init__(self, *, seconds=0.0, fault=None):
        self.seconds = seconds
        self.fault = fault
        self.begun = 0

    async def __call__(self):
        self.begun += 1
        await asyncio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault


async def test_claim_before_first_byte(connect):
    """While the claim is written the server has read nothing; then the POST arrives complete."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        transport = connect(server.base_url)
        claim = Claim(seconds=10)
        sending = asyncio.ensure_future(transport.post_once(SUBMIT, before_sending=claim))
        await asyncio.sleep(5)
        assert (claim.begun, server.connections, server.requests) == (1, 1, [])
        answer = await sending
        assert (answer.status, answer.body) == (201, b'{"id": "g1"}')
        assert server.posts == 1


@pytest.mark.parametrize(
    "fault",
    [JournalError(message="the disk is full"), OSError(28, "No space left"), ConnectionResetError(), TimeoutError()],
)
async def test_claim_raises(connect, fault):
    """An exception of the claim is raised unchanged, also a type that aiohttp uses; nothing was sent."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        transport = connect(server.base_url)
        with pytest.raises(type(fault)) as caught:
            await transport.post_once(SUBMIT, before_sending=Claim(fault=fault))
        assert caught.value is fault
        assert caught.value.__context__ is None
        assert server.requests == []
        await transport.post_once(SUBMIT, before_sending=Claim())
        assert server.posts == 1


async def test_claim_timeout(connect):
    """If the claim takes longer than the timeout, the result is Unsent."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        transport = connect(server.base_url, timeouts=Timeouts(submit=5))
        result = await transport.post_once(SUBMIT, before_sending=Claim(seconds=60))
        assert result == Unsent(message=f"Connecting to {server.base_url} timed out.")
        assert server.requests == []


async def test_sync_wait(connect):
    """The time for which the service was asked to delay its answer is added to the timeout."""
    async with RawServer(stalls()) as server:
        transport = connect(server.base_url, timeouts=Timeouts(submit=5))
        began_at = asyncio.get_running_loop().time()
        result = await transport.post_once(attrs.evolve(SUBMIT, sync_wait_s=60.0), before_sending=Claim())
        assert result == Unanswered(message=f"{server.base_url} did not answer in time.")
        assert asyncio.get_running_loop().time() - began_at == pytest.approx(65, abs=1)


async def test_wait_for_connection(connect):
    """A POST that waits for a connection is not claimed until there is a connection."""
    async with RawServer(stalls()) as server:
        transport = connect(server.base_url, connections=1, timeouts=Timeouts(submit=30))
        first = asyncio.ensure_future(transport.post_once(SUBMIT, before_sending=Claim()))
        await asyncio.sleep(1)
        claim = Claim()
        second = asyncio.ensure_future(transport.post_once(SUBMIT, before_sending=claim))
        assert [type(await call) for call in (first, second)] == [Unanswered, Unanswered]
        assert (claim.begun, server.posts) == (1, 2)


async def test_connection_timeout(connect):
    """A POST whose time ends while it waits for a connection is Unsent."""
    async with RawServer(stalls()) as server:
        transport = connect(server.base_url, connections=1, timeouts=Timeouts(submit=30))
        first = asyncio.ensure_future(transport.post_once(SUBMIT, before_sending=Claim()))
        await asyncio.sleep(1)
        transport._timeouts = Timeouts(submit=10)
        claim = Claim()
        assert isinstance(await transport.post_once(SUBMIT, before_sending=claim), Unsent)
        assert (claim.begun, server.posts) == (0, 1)
        assert isinstance(await first, Unanswered)


async def test_close_during_connection_wait(connect):
    """Requests without a connection are Unsent when the transport closes, and are not cancelled."""
    async with RawServer(stalls()) as server:
        transport = connect(server.base_url, connections=1)
        claim = Claim()
        sends = [transport.post_once(SUBMIT, before_sending=one) for one in (Claim(), claim)]
        calls = [asyncio.ensure_future(call) for call in (*sends, transport.query(QUERY), transport.query(QUERY))]
        await asyncio.sleep(1)
        await transport.aclose()
        await asyncio.wait(calls)
        assert [type(call.result()) for call in calls] == [Unanswered, Unsent, Unanswered, Unsent]
        assert (claim.begun, server.posts) == (0, 1)


async def test_cancelled_query(connect):
    """Cancelling a query raises CancelledError at once, and its connection is not used again."""
    async with RawServer(stalls(), answers(response(200, {}))) as server:
        transport = connect(server.base_url)
        asking = asyncio.ensure_future(transport.query(QUERY))
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await transport.query(QUERY)
        assert server.connections == 2


def tripping(moment):
    """Make a trace of the user's that raises at a moment."""

    async def trip(*_):
        raise ZeroDivisionError

    trace = aiohttp.TraceConfig()
    getattr(trace, moment).append(trip)
    return trace


@pytest.mark.parametrize("moment", ["on_request_start", "on_connection_create_start"])
async def test_trace_raises_before_connection(connect, moment):
    """If the user's trace raises before there is a connection, nothing was claimed or sent."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        claim = Claim()
        transport = connect(server.base_url, trace_configs=[tripping(moment)])
        assert isinstance(await transport.post_once(SUBMIT, before_sending=claim), Unsent)
        assert (claim.begun, server.requests) == (0, [])


async def test_trace_raises_while_sending(connect):
    """If the user's trace raises after there is a connection, the POST may have been sent."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        claim = Claim()
        transport = connect(server.base_url, trace_configs=[tripping("on_request_headers_sent")])
        assert isinstance(await transport.post_once(SUBMIT, before_sending=claim), Unanswered)
        assert claim.begun == 1


async def test_connection_closes_during_claim(connect):
    """If the server closes the connection while the claim is written, the result is Unsent."""

    async def answers_and_hangs_up(connection):
        await connection.read_request()
        await connection.send(response(201, {"id": "g1"}))
        await asyncio.sleep(1)

    async with RawServer(answers_and_hangs_up) as server:
        transport = connect(server.base_url)
        await transport.post_once(SUBMIT, before_sending=Claim())
        claim = Claim(seconds=10)
        assert isinstance(await transport.post_once(SUBMIT, before_sending=claim), Unsent)
        assert (claim.begun, server.posts) == (1, 1)


STRAY = response(201, {"id": "stray"})


class SecondAnswer:
    """A server that answers its first request, and sends a second answer to it when the test says so."""

    def __init__(self, first=None, *, tls=False):
        self._first = first or response(201, {"id": "g1"})
        self._connection = None
        self.server = RawServer(self._talks_twice, answers(response(201, {"id": "g2"})), tls=tls)

    async def _talks_twice(self, connection):
        self._connection = connection
        await connection.read_request()
        await connection.send(self._first)
        await connection.read_request()

    async def send(self):
        """Send the second answer. The bytes are in the client's socket when this returns."""
        await self._connection.send(STRAY)


@pytest.mark.parametrize("tls", [False, True])
async def test_second_answer_before_claim(connect, tls):
    """A second answer that lies unread in the socket: the next POST uses another connection."""
    second = SecondAnswer(tls=tls)
    async with second.server as server:
        context = ssl.create_default_context(cafile=CERTIFICATE) if tls else None
        transport = connect(server.base_url.replace("127.0.0.1", "localhost"), tls=context)
        await transport.post_once(SUBMIT, before_sending=Claim())
        await second.send()
        answer = await transport.post_once(SUBMIT, before_sending=Claim())
        assert (answer.body, server.connections, server.posts) == (b'{"id": "g2"}', 2, 2)


async def test_second_answer_during_claim(connect):
    """A second answer that arrives while the claim is written: the POST is not sent over this connection."""
    second = SecondAnswer()
    async with second.server as server:
        transport = connect(server.base_url)
        await transport.post_once(SUBMIT, before_sending=Claim())
        assert isinstance(await transport.post_once(SUBMIT, before_sending=second.send), Unsent)
        assert server.posts == 1


async def test_half_second_answer(connect):
    """The beginning of a second answer on an idle connection is not joined with the answer to the next POST."""

    async def cut(connection):
        await connection.read_request()
        await connection.send(response(201, {"id": "g1"}) + STRAY[:30])
        await connection.read_request()
        await connection.send(STRAY[30:])

    async with RawServer(cut) as server:
        transport = connect(server.base_url)
        await transport.post_once(SUBMIT, before_sending=Claim())
        assert not isinstance(await transport.post_once(SUBMIT, before_sending=Claim()), Answer)


@pytest.mark.parametrize("first", [response(429, {}), response(503, {}), response(500, {}), response(200)])
async def test_second_answer_after_error(connect, first):
    """After an answer that is no 2xx with a body, the next POST uses a new connection, however soon it follows."""
    second = SecondAnswer(first)
    async with second.server as server:
        transport = connect(server.base_url)
        await transport.post_once(SUBMIT, before_sending=Claim())
        answer = await transport.post_once(SUBMIT, before_sending=Claim())
        assert (answer.body, server.connections) == (b'{"id": "g2"}', 2)


@pytest.mark.parametrize(("keepalive", "body"), [(2, b'{"id": "stray"}'), (0, b'{"id": "g2"}')])
async def test_second_answer_after_next_post(connect, keepalive, body):
    """A second answer that arrives after the next POST left is taken for its answer, unless no connection is kept."""

    async def answers_late(connection):
        await connection.read_request()
        await connection.send(response(201, {"id": "g1"}))
        await connection.read_request()
        await connection.send(STRAY)

    async with RawServer(answers_late, answers(response(201, {"id": "g2"}))) as server:
        transport = connect(server.base_url, timeouts=Timeouts(submit_keepalive=keepalive))
        await transport.post_once(SUBMIT, before_sending=Claim())
        assert (await transport.post_once(SUBMIT, before_sending=Claim())).body == body


async def test_cancelled_before_claim(connect):
    """A POST that is cancelled while its connection is checked claims nothing, and its connection is closed."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        transport = connect(server.base_url)
        for turns in range(12):
            claim = Claim()
            sending = asyncio.ensure_future(transport.post_once(SUBMIT, before_sending=claim))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        assert isinstance(await transport.post_once(SUBMIT, before_sending=Claim()), Answer)


async def test_connection_keeps_no_reference(connect):
    """A submit can be freed while the connection that it opened stays open."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        transport = connect(server.base_url)
        claim = Claim()
        gone = weakref.ref(claim)
        await transport.post_once(SUBMIT, before_sending=claim)
        del claim
        gc.collect()
        assert gone() is None
        await transport.post_once(SUBMIT, before_sending=Claim())
        assert server.connections == 1


async def test_one_connection_per_submit(connect):
    """Another request during a submit, for example by a trace of the user, gets no connection."""

    async def meddle(session, *_):
        with suppress(Exception):
            await session.post(f"{server.base_url}/luma/generations", json={"prompt": "cat dance"})

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(meddle)
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        claim = Claim()
        answer = await connect(server.base_url, trace_configs=[trace]).post_once(SUBMIT, before_sending=claim)
        assert (answer.status, claim.begun, server.posts) == (201, 1, 1)


@pytest.mark.parametrize("base_url", ["https://relay.example", "http://relay.example"])
async def test_proxy_gets_no_key(connect, base_url):
    """Neither the proxy's own headers nor the request for a tunnel hold the key."""
    async with RawServer(answers(response(403, {}))) as proxy:
        transport = connect(base_url, proxies=Proxies(Secret(proxy.base_url)))
        tunnel = base_url.startswith("https")
        assert isinstance(await transport.post_once(SUBMIT, before_sending=Claim()), Unsent if tunnel else Answer)
        [(head, _)] = proxy.requests
        assert head.startswith(b"CONNECT") == tunnel
        assert b"proxy-authorization" not in head.lower()
        assert (b"sk-transport" in head) == (not tunnel)


async def test_proxy_password(connect):
    """The name and the password in a proxy's address are sent to the proxy."""
    async with RawServer(answers(response(403, {}))) as proxy:
        with_password = proxy.base_url.replace("http://", "http://me:secret@")
        await connect("http://relay.example", proxies=Proxies(Secret(with_password))).query(QUERY)
        [(head, _)] = proxy.requests
        assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in head


async def test_query_without_connection(connect):
    """A query without a connection is Unsent, and a query without an answer Unanswered."""
    async with RawServer(stalls()) as server:
        assert isinstance(await connect(server.base_url).query(QUERY), Unanswered)
    assert isinstance(await connect(server.base_url).query(QUERY), Unsent)


@pytest.mark.parametrize(("size", "whole"), [(BODY_CAP_BYTES, True), (BODY_CAP_BYTES + 1, False)])
async def test_body_cap(connect, size, whole):
    """Four mebibytes are read; with a byte more the body is None."""
    async with RawServer(answers(response(200, bytes(size)))) as server:
        answer = await connect(server.base_url).query(QUERY)
        assert (answer.body is not None) is whole


async def test_endless_body(connect):
    """The connection of an endless answer is closed, and the next request opens another."""

    async def endless(connection):
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not connection.gone:
            await connection.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    async with RawServer(endless) as server:
        transport = connect(server.base_url)
        for number in (1, 2):
            assert (await transport.query(QUERY)).body is None
            assert server.connections == number


async def test_answer_fields(connect):
    """An answer has the status, Retry-After and the request id; cookies are not kept."""
    headers = ("Retry-After: 7", "X-Oneapi-Request-Id: r-1", "Set-Cookie: a=b")
    async with RawServer(answers(response(429, b"", *headers))) as server:
        transport = connect(server.base_url)
        answer = await transport.query(QUERY)
        assert (answer.status, answer.retry_after_s, answer.request_id) == (429, 7.0, "r-1")
        await transport.query(QUERY)
    assert not any(b"cookie" in head.lower() for head, _ in server.requests)


async def test_request_headers(connect):
    """A request has the key, the content type and the dialect's path; a GET has no body."""
    call = Call(name="user", method="GET", path="/api/user/self", query=(("a", "b&c"),), headers=(("X-User", "1"),))
    async with RawServer(answers(response(200, {}))) as server:
        transport = connect(f"{server.base_url}/vip")
        await transport.query(call)
        await transport.post_once(SUBMIT, before_sending=Claim())
    (first, nothing), (second, body) = server.requests
    assert first.startswith(b"GET /vip/api/user/self?a=b%26c HTTP/1.1\r\n")
    assert b"X-User: 1" in first
    assert nothing == b""
    assert second.startswith(b"POST /vip/luma/generations HTTP/1.1\r\n")
    assert body == b'{"prompt": "cat dance"}'
    for head in (first, second):
        assert b"Authorization: Bearer sk-transport\r\n" in head
        assert b"Content-Type: application/json\r\n" in head
        assert b"User-Agent: luma_async" in head


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Trace: " + "a" * 200_000],
        [f"X-{number}: {number}" for number in range(900)],
        ["X-Trace: " + "a" * 9_000] * 20,
    ],
    ids=["one long header", "many headers", "several long headers"],
)
async def test_large_answer_header(connect, headers):
    """An answer with a larger header than aiohttp accepts by default is read."""
    async with RawServer(answers(response(201, {"id": "g1"}, *headers))) as server:
        answer = await connect(server.base_url).post_once(SUBMIT, before_sending=Claim())
        assert (answer.status, answer.body) == (201, b'{"id": "g1"}')


async def test_offered_encodings(connect):
    """Only encodings of the standard library are offered, whichever packages are installed."""
    async with RawServer(answers(response(201, {"id": "g1"}))) as server:
        await connect(server.base_url).post_once(SUBMIT, before_sending=Claim())
        [(head, _)] = server.requests
        assert b"Accept-Encoding: gzip, deflate\r\n" in head


async def test_part_of_broken_answer(connect):
    """What was read of a body before it broke is in the result, without the key."""
    whole = response(201, b'{"id": "g1", "key": "sk-transport", "state": "pend', length=500)
    async with RawServer(closes_after_request(whole)) as server:
        result = await connect(server.base_url).post_once(SUBMIT, before_sending=Claim())
        assert isinstance(result, Unanswered)
        assert result.part == b'{"id": "g1", "key": "[secret]", "state": "pend'


async def test_untrusted_certificate(connect):
    """An untrusted certificate is permanent, and the message names what to set."""
    async with RawServer(answers(response(201, {"id": "g1"})), tls=True) as server:
        result = await connect(server.base_url).post_once(SUBMIT, before_sending=Claim())
        assert isinstance(result, Unsent)
        assert result.permanent
        assert "certificate is not trusted" in result.message
        assert "SSL_CERT_FILE" in result.message
        assert "ssl=" in result.message
        assert server.requests == []


async def test_own_context(connect):
    """A TLS context of one's own is used for the service."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    async with RawServer(answers(response(201, {"id": "g1"})), tls=True) as server:
        transport = connect(server.base_url.replace("127.0.0.1", "localhost"), tls=context)
        assert (await transport.post_once(SUBMIT, before_sending=Claim())).status == 201


async def test_further_headers(connect):
    """Further headers are sent, and their values are replaced where an answer repeats them."""
    async with RawServer(answers(response(201, {"id": "g1", "echo": "let-me-in"}))) as server:
        transport = connect(server.base_url, headers={"X-Relay-Password": Secret("let-me-in")})
        answer = await transport.post_once(SUBMIT, before_sending=Claim())
        [(head, _)] = server.requests
        assert b"X-Relay-Password: let-me-in\r\n" in head
        assert answer.body == b'{"id": "g1", "echo": "[secret]"}'
