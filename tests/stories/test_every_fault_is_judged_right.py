"""Whatever happens to a paid POST on the wire, it is sent at most once, and the right error says what happened."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import zlib
from contextlib import suppress

import pytest
from raw_server import (
    CERTIFICATE,
    RawServer,
    answers,
    closes,
    closes_after_request,
    resets,
    response,
    stalls,
    stays_silent,
)

from luma_async import (
    Agents,
    DreamMachine,
    GenerationNotFound,
    ImageKeyframe,
    InvalidRequest,
    Keyframes,
    Limits,
    LumaSession,
    NotSent,
    OutOfCredit,
    Phase,
    PromptRejected,
    RateLimited,
    Refused,
    RetryPolicy,
    RixAPI,
    ServiceUnavailable,
    SubmitInDoubt,
    Timeouts,
    Unauthorized,
    UnreadableResponse,
)

pytestmark = pytest.mark.looptime

TASK = {"id": "g1", "state": "pending", "prompt": "cat dance", "created_at": "2024-07-22T12:47:28Z"}
ACCEPTED = response(201, TASK)
ERROR = {"error": {"message": "it said so", "type": "new_api_error", "code": ""}}
HTML = b"<html><head><title>oops</title></head><body>oops</body></html>"
IMPATIENT = RetryPolicy(attempts=1, connect_retry_for=0)


def error(code="", message="it said so"):
    return {"error": {"message": message, "type": "new_api_error", "code": code}}


def chunked(*pieces, end=b"0\r\n\r\n"):
    head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def session(url, journal, **settings):
    return LumaSession("sk-fault-story", base_url=url, journal=journal, **{"retry": IMPATIENT, **settings})


@pytest.fixture(params=[RixAPI(), DreamMachine(), Agents()], ids=lambda dialect: dialect.name)
def dialect(request):
    """Each format: what an answer proves does not depend on it."""
    return request.param


async def phase_of(journal, key="cat"):
    entry = await journal.get(key)
    return entry.phase if entry is not None else None


# What was not sent: the server read nothing, no claim stays, and it may be sent again.


async def refused():
    """Return an address where no server listens."""
    async with RawServer(closes()) as server:
        return server.base_url


async def test_connection_refused(journal):
    """No server listens: NotSent, nothing claimed, and the same key may be sent later."""
    async with session(await refused(), journal) as luma:
        with pytest.raises(NotSent, match=r"Cannot connect to http://127.0.0.1:\d+: .*refused|Connect call"):
            await luma.submit("cat dance", key="cat")
    assert await phase_of(journal) in {None, Phase.NOT_SENT}


async def test_connection_refused_for_a_while(journal):
    """Half a minute of trying outlasts a restart: one POST in the end, accepted."""
    server = RawServer(answers(ACCEPTED))
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    async with session(f"http://127.0.0.1:{port}", journal, retry=RetryPolicy()) as luma:
        submitting = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        await asyncio.sleep(5)
        reserved.close()
        async with server.listening_on(port):
            assert (await submitting).id == "g1"
    assert server.posts == 1
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_unknown_host(journal, monkeypatch):
    """A host without an address: NotSent, with the resolver's message."""

    async def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    async with session("https://nowhere.invalid", journal) as luma:
        with pytest.raises(NotSent, match=r"Cannot connect to https://nowhere.invalid: Name or service not known"):
            await luma.submit("cat dance", key="cat")
    assert await phase_of(journal) in {None, Phase.NOT_SENT}


TLS_FAULTS = {
    "a certificate without an issuer": (RawServer(answers(ACCEPTED), tls=True), None, "certificate is not trusted"),
    "a certificate of another host": (RawServer(answers(ACCEPTED), tls=True), CERTIFICATE, "is not trusted|mismatch"),
    "no TLS at all": (RawServer(answers(response(400, HTML))), None, "Connecting to https.* timed out"),
    "closed in the handshake": (RawServer(closes()), None, "Cannot connect to https"),
    "reset in the handshake": (RawServer(resets()), None, "Cannot connect to https"),
    "silent in the handshake": (RawServer(stays_silent()), None, "Connecting to https.* timed out"),
}


@pytest.mark.parametrize("fault", TLS_FAULTS)
async def test_tls_handshake_fails(journal, fault):
    """TLS that fails in any way: NotSent, and the server read no request."""
    server, trusted, words = TLS_FAULTS[fault]
    context = ssl.create_default_context(cafile=trusted)
    async with server, session(f"https://127.0.0.1:{server.port}", journal, ssl=context) as luma:
        with pytest.raises(NotSent, match=words):
            await luma.submit("cat dance", key="cat")
        assert server.requests == []
    assert await phase_of(journal) in {None, Phase.NOT_SENT}


async def test_tls_handshake_succeeds(journal):
    """Over TLS with a trusted certificate of the host, a submit is accepted like any other."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    async with (
        RawServer(answers(ACCEPTED), tls=True) as server,
        session(f"https://localhost:{server.port}", journal, ssl=context) as luma,
    ):
        assert (await luma.submit("cat dance", key="cat")).id == "g1"
        assert server.posts == 1


async def test_connect_timeout(journal):
    """A host that drops the first packet: NotSent once the time to connect is over."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(8):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            with suppress(BlockingIOError):
                waiting[-1].connect(full.getsockname())
        try:
            async with session(f"http://127.0.0.1:{full.getsockname()[1]}", journal) as luma:
                with pytest.raises(NotSent, match=r"Connecting to .* timed out"):
                    await luma.submit("cat dance", key="cat")
        finally:
            for one in waiting:
                one.close()
    assert await phase_of(journal) in {None, Phase.NOT_SENT}


async def test_proxy_refuses(journal):
    """A proxy that refuses the tunnel, or is not there: NotSent; no request was made."""
    async with (
        RawServer(answers(response(403, HTML))) as proxy,
        session("https://relay.example", journal, proxy=proxy.base_url) as luma,
    ):
        with pytest.raises(NotSent, match="the proxy answered HTTP 403"):
            await luma.submit("cat dance", key="cat")
        assert proxy.posts == 0
    async with session("https://relay.example", journal, proxy=await refused()) as luma:
        with pytest.raises(NotSent, match=r"Cannot connect to https://relay\.example"):
            await luma.submit("cat dance", key="cat")


async def test_submit_waits_for_a_connection(journal):
    """With one connection, a second submit waits and has claimed nothing; both are sent once."""
    hold = asyncio.Event()

    async def slow(connection):
        while await connection.read_request() is not None:
            await hold.wait()
            await connection.send(response(201, {**TASK, "id": f"g{len(server.requests)}"}))

    async with RawServer(slow) as server, session(server.base_url, journal, limits=Limits(requests=1)) as luma:
        first = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
        second = asyncio.ensure_future(luma.submit("dog dance", key="dog"))
        await asyncio.sleep(60)
        assert await phase_of(journal, "cat") is Phase.SENDING
        assert await phase_of(journal, "dog") is None
        hold.set()
        assert {(await first).id, (await second).id} == {"g1", "g2"}
        assert server.posts == 2


# What was sent without an answer that proves the outcome: at most one POST, and in doubt.


def closes_unread(*, reset=False):
    """Close when the request begins, without reading it."""

    async def act(connection):
        await connection.read_some()
        if reset:
            connection.reset()

    return act


LOST = {
    "closed when the request begins, unread": (closes_unread(), 0),
    "reset when the request begins, unread": (closes_unread(reset=True), 0),
    "closed after the request": (closes_after_request(), 1),
    "reset after the request": (closes_after_request(reset=True), 1),
    "silent": (stalls(), 1),
    "half a status line, then closed": (closes_after_request(b"HTTP/1.1 20"), 1),
    "a status line, then closed": (closes_after_request(b"HTTP/1.1 201 Created\r\n"), 1),
    "headers, then closed": (closes_after_request(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n"), 1),
    "headers, then reset": (closes_after_request(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n", reset=True), 1),
    "headers, then silent": (stalls(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n"), 1),
    "garbage": (closes_after_request(b"\x00\xff this is no HTTP\r\n\r\n"), 1),
    "a web page without headers": (closes_after_request(HTML), 1),
    "another protocol": (closes_after_request(b"SSH-2.0-OpenSSH_9.2\r\n"), 1),
    "a status that is none": (closes_after_request(b"HTTP/1.1 abc Created\r\n\r\n"), 1),
    "a header too long": (answers(response(201, TASK, f"X-Long: {'x' * 300_000}"), keep=False), 1),
    "a header without a name": (answers(response(201, TASK, ": nameless"), keep=False), 1),
    "two lengths": (answers(response(201, TASK, "Content-Length: 5"), keep=False), 1),
    "the body cut": (closes_after_request(ACCEPTED[:-10]), 1),
    "the body cut by a reset": (closes_after_request(ACCEPTED[:-10], reset=True), 1),
    "the body stalls": (stalls(ACCEPTED[:-10]), 1),
    "a chunk cut": (closes_after_request(chunked(json.dumps(TASK).encode(), end=b"ff\r\nhalf")), 1),
    "chunks without an end": (closes_after_request(chunked(json.dumps(TASK).encode(), end=b"")), 1),
    "a chunk of no size": (closes_after_request(chunked(json.dumps(TASK).encode(), end=b"zz\r\n")), 1),
    "gzip that is none": (answers(response(201, TASK, "Content-Encoding: gzip")), 1),
    "gzip that breaks off": (
        answers(response(201, gzip.compress(json.dumps(TASK).encode())[:-12], "Content-Encoding: gzip")),
        1,
    ),
    "an unknown version of HTTP": (closes_after_request(ACCEPTED.replace(b"HTTP/1.1", b"HTTP/9.9")), 1),
    "switching protocols": (closes_after_request(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), 1),
}


@pytest.mark.parametrize("fault", LOST)
async def test_lost_answer(journal, dialect, fault):
    """A request left and no complete answer came: SubmitInDoubt, at most one POST, also for a second call."""
    act, whole = LOST[fault]
    settings = {"dialect": dialect, "retry": RetryPolicy()}
    async with RawServer(act) as server, session(server.base_url, journal, **settings) as luma:
        with pytest.raises(SubmitInDoubt) as caught:
            await luma.submit("cat dance", key="cat")
        assert await phase_of(journal) is Phase.IN_DOUBT
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        assert server.connections == 1
        assert server.posts == whole
    assert caught.value.sent_at is not None
    assert caught.value.__context__ is None
    assert caught.value.status in {None, 101, 201}


DOUBTFUL_ANSWERS = {
    "200 without an id": (response(200, {"state": "pending"}), "without the id of a generation"),
    "201 with nothing": (response(201), "whose body is empty"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "whose body is empty"),
    "200 with an empty list": (response(200, []), "without the id of a generation"),
    "200 with a list and an error": (response(200, [{**TASK, **ERROR}]), "names generation g1 and also an error"),
    "200 with a number": (response(200, b"7"), "without the id of a generation"),
    "200 with an id and an error": (response(200, {**TASK, **ERROR}), "names generation g1 and also an error"),
    "200 with an error": (response(200, ERROR), "(it said so)"),
    "200 with a page": (response(200, HTML, "Content-Type: text/html"), "an HTML page: check base_url"),
    "200 with a page that calls itself JSON": (response(200, HTML), "an HTML page: check base_url"),
    "201 with text": (response(201, b"created g1"), "whose body is garbage"),
    "201 with JSON cut by the service": (response(201, json.dumps(TASK).encode()[:-1]), "whose body is garbage"),
    "201 with two documents": (response(201, json.dumps(TASK).encode() * 2), "several documents"),
    "201 with a document and a page": (response(201, json.dumps(TASK).encode() + HTML), "whose body is garbage"),
    "201 with a malformed id": (response(201, {**TASK, "id": "../../admin"}), "without the id of a generation"),
    "201 with a null id": (response(201, {**TASK, "id": None}), "without the id of a generation"),
    "201 too large": (response(201, b'{"id":"g1","x":"' + b"x" * 5_000_000 + b'"}'), "whose body is too large"),
    "201 too deep": (response(201, b'{"id":"g1","x":' + b"[" * 100_000), "whose body is garbage"),
    "201 a bomb": (
        response(201, gzip.compress(b'{"id":"g1","x":"' + bytes(50_000_000)), "Content-Encoding: gzip"),
        "whose body is too large",
    ),
    "201 deflated, without an end": (
        response(201, zlib.compress(b'{"id":"g1"'), "Content-Encoding: deflate"),
        "whose body is garbage",
    ),
    "408": (response(408, ERROR), "HTTP 408 (it said so)"),
    "409": (response(409, ERROR), "HTTP 409 (it said so)"),
    "425": (response(425, ERROR), "HTTP 425 (it said so)"),
    "499": (response(499, ERROR), "HTTP 499 (it said so)"),
    "500": (response(500, ERROR), "HTTP 500 (it said so)"),
    "500 that passes on a page": (
        response(500, {"code": "fail_to_fetch_task", "message": HTML.decode(), "data": None}),
        "HTTP 500",
    ),
    "500 that passes on a refusal": (
        response(500, {"code": "fail_to_fetch_task", "message": '{"detail":"too short"}', "data": None}),
        "HTTP 500 (too short)",
    ),
    "503 that passes on a limit": (
        response(503, {"error": {"message": "Too Many Requests", "type": "upstream_error", "code": 429}}),
        "HTTP 503 (Too Many Requests)",
    ),
    "503 in words of its own": (response(503, ERROR), "HTTP 503 (it said so)"),
    "502 with a page": (response(502, HTML, "Content-Type: text/html"), "HTTP 502 with an HTML page"),
    "502 that passes on a refusal": (
        response(502, {"code": "fail_to_fetch_task", "message": '{"detail":"too short"}', "data": None}),
        "HTTP 502 (too short)",
    ),
    "503 with a page": (response(503, HTML), "HTTP 503 with an HTML page"),
    "503 with nothing": (response(503), "HTTP 503 whose body is empty"),
    "504": (response(504, ERROR), "HTTP 504 (it said so)"),
    "524": (response(524, HTML), "HTTP 524 with an HTML page"),
}


@pytest.mark.parametrize("name", DOUBTFUL_ANSWERS)
async def test_answer_proves_nothing(journal, dialect, name):
    """A complete answer without an id, or with an id and an error: in doubt with a reason, never repeated."""
    answer, words = DOUBTFUL_ANSWERS[name]
    settings = {"dialect": dialect, "retry": RetryPolicy()}
    async with RawServer(answers(answer)) as server, session(server.base_url, journal, **settings) as luma:
        with pytest.raises(SubmitInDoubt) as caught:
            await luma.submit("cat dance", key="cat")
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat dance", key="cat")
        assert server.posts == 1
    assert words in caught.value.reason
    assert caught.value.status == int(answer[9:12])
    assert len(caught.value.body_excerpt) <= 200
    assert await phase_of(journal) is Phase.IN_DOUBT


REFUSALS = {
    "200 success false": (response(200, {"success": False, "message": "no"}), Refused),
    "200 out of credit": (response(200, error("insufficient_user_quota")), OutOfCredit),
    "400": (response(400, ERROR), InvalidRequest),
    "400 moderated": (response(400, error("sensitive_words_detected")), PromptRejected),
    "400 with a page": (response(400, HTML), InvalidRequest),
    "400 with two documents": (response(400, b'{"detail":"a"}{"detail":"b"}'), InvalidRequest),
    "400 unknown source": (response(400, {"code": "task_not_exist", "message": "", "data": None}), GenerationNotFound),
    "401": (response(401, ERROR), Unauthorized),
    "402": (response(402, ERROR), OutOfCredit),
    "403": (response(403, ERROR), Refused),
    "403 quota": (response(403, error("insufficient_user_quota")), OutOfCredit),
    "404 with a page": (response(404, HTML), Refused),
    "405": (response(405, ERROR), Refused),
    "413 with a page": (response(413, HTML), InvalidRequest),
    "422": (response(422, {"detail": [{"loc": ["body", "model"], "msg": "required"}]}), InvalidRequest),
    "429": (response(429, ERROR), RateLimited),
    "429 with nothing": (response(429), RateLimited),
    "429 with a page": (response(429, HTML), RateLimited),
    "500 moderated": (response(500, error("sensitive_words_detected")), PromptRejected),
    "200 success false with an error": (response(200, {"success": False, **error("api_error", "no")}), Refused),
    "403 not authenticated": (response(403, {"detail": "Not authenticated"}), Unauthorized),
    "403 used up": (response(403, error("used_up")), OutOfCredit),
    "500 that passes on a known refusal": (
        response(500, {"code": "fail_to_fetch_task", "message": json.dumps(error("prompt_blocked")), "data": None}),
        PromptRejected,
    ),
    "503 in the service's words": (response(503, error("get_channel_failed")), ServiceUnavailable),
    "504 out of credit": (response(504, error("insufficient_user_quota")), OutOfCredit),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_answer_is_a_refusal(journal, name):
    """Refused as its class, nothing charged, and the same key may be sent again."""
    answer, kind = REFUSALS[name]
    async with RawServer(answers(answer)) as server, session(server.base_url, journal) as luma:
        with pytest.raises(kind) as caught:
            await luma.submit("cat dance", key="cat")
        assert server.posts == 1
        assert await phase_of(journal) is Phase.REFUSED
        with pytest.raises(kind):
            await luma.submit("cat dance", key="cat")
        assert server.posts == 2
    assert type(caught.value) is kind
    assert caught.value.status == int(answer[9:12])


@pytest.mark.parametrize(
    "answer",
    [
        response(429, ERROR),
        response(429, ERROR, "Retry-After: 7"),
        REFUSALS["429 with nothing"][0],
        response(503, error("get_channel_failed")),
        response(503, error("model_not_found")),
    ],
)
async def test_429_and_503_are_repeated(journal, answer):
    """A 429 and the 503 of a missing channel say that nothing was started: it is sent again, and accepted once."""

    async def twice_no(connection):
        while await connection.read_request() is not None:
            await connection.send(answer if server.posts < 3 else ACCEPTED)

    async with RawServer(twice_no) as server, session(server.base_url, journal, retry=RetryPolicy()) as luma:
        assert (await luma.submit("cat dance", key="cat")).id == "g1"
        assert server.posts == 3
    assert (await journal.get("cat")).attempts == 3
    assert await phase_of(journal) is Phase.ACCEPTED


GOOD_ANSWERS = {
    "201": ACCEPTED,
    "200": response(200, TASK),
    "202": response(202, TASK),
    "nested": response(200, {"code": 0, "message": "success", "data": {"task_id": "g1"}}),
    "a list of one": response(200, [TASK]),
    "a list of one in data": response(201, {"code": "success", "data": [TASK]}),
    "a list of two": response(200, [TASK, {**TASK, "id": "g2"}]),
    "chunked": chunked(json.dumps(TASK).encode()),
    "in many chunks": chunked(*(bytes([byte]) for byte in json.dumps(TASK).encode())),
    "zipped": response(201, gzip.compress(json.dumps(TASK).encode()), "Content-Encoding: gzip"),
    "after an informational answer": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ACCEPTED,
    "until the connection closes": b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\r\n"
    + json.dumps(TASK).encode(),
    "by HTTP/1.0": ACCEPTED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "with a mark before it": response(201, b"\xef\xbb\xbf" + json.dumps(TASK).encode()),
    "called a text": response(201, TASK, "Content-Type: text/plain; charset=gbk"),
    "with headers of other alphabets": response(201, TASK, "X-Request-Id: \u00fc", "Retry-After: soon"),
    "with a date that no clock knows": response(
        201, TASK, "Retry-After: Mon, 01 Jan 2024 00:00:00 +999999999999999999"
    ),
}


@pytest.mark.parametrize("name", GOOD_ANSWERS)
async def test_answer_with_an_id(journal, name):
    """However the service frames and encodes it, an id without an error is a paid generation."""
    async with RawServer(answers(GOOD_ANSWERS[name], keep=False)) as server, session(server.base_url, journal) as luma:
        assert (await luma.submit("cat dance", key="cat")).id == "g1"
        assert server.posts == 1
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_answer_byte_by_byte(journal):
    """An answer that comes in single bytes with pauses between them is the same answer."""

    async def slowly(connection):
        await connection.read_request()
        for byte in ACCEPTED:
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.01)

    async with RawServer(slowly) as server, session(server.base_url, journal) as luma:
        assert (await luma.submit("cat dance", key="cat")).id == "g1"


# What a proxy in front of the service sends, byte for byte from nginx 1.22. test_behind_nginx.py asks nginx itself.


def page(status, reason, *headers):
    """Build an answer of nginx with its page."""
    title = f"{status} {reason}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    body += "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    return from_nginx(title, body.encode(), "Content-Type: text/html", *headers)


def from_nginx(title, body, *headers, length=None):
    """Build an answer with the headers of nginx."""
    lines = [f"HTTP/1.1 {title}", "Server: nginx/1.22.1", "Date: Tue, 01 Dec 2026 00:29:18 GMT"]
    lines += [f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


BUSY = b'{"error": {"message": "the service is busy", "type": "proxy_error", "code": ""}}'
AS_JSON = "Content-Type: application/json"
PROXY_ANSWERS = {
    "proxy_read_timeout": (page(504, "Gateway Time-out"), Phase.IN_DOUBT),
    "the service is down, or broke off": (page(502, "Bad Gateway"), Phase.IN_DOUBT),
    "limit_req": (page(503, "Service Temporarily Unavailable"), Phase.IN_DOUBT),
    "limit_req_status 429": (page(429, "Too Many Requests"), Phase.REFUSED),
    "client_max_body_size": (page(413, "Request Entity Too Large", "Connection: close"), Phase.REFUSED),
    "deny all": (page(403, "Forbidden"), Phase.REFUSED),
    "a client that left": (page(499, "Client Closed Request"), Phase.IN_DOUBT),
    "no answer at all": (b"", Phase.IN_DOUBT),
    "error_page with its own status": (from_nginx("502 Bad Gateway", BUSY, AS_JSON), Phase.IN_DOUBT),
    "error_page as 503": (from_nginx("503 Service Temporarily Unavailable", BUSY, AS_JSON), Phase.IN_DOUBT),
    "error_page as 500": (from_nginx("500 Internal Server Error", BUSY, AS_JSON), Phase.IN_DOUBT),
    "error_page as 200": (from_nginx("200 OK", BUSY, AS_JSON), Phase.IN_DOUBT),
    "error_page as a redirect": (page(302, "Moved Temporarily", "Location: http://127.0.0.1:9/"), Phase.IN_DOUBT),
    "an answer that the service cut": (
        from_nginx("201 Created", json.dumps(TASK).encode()[:-9], AS_JSON, length=len(json.dumps(TASK))),
        Phase.IN_DOUBT,
    ),
    "an answer of the service": (from_nginx("201 Created", json.dumps(TASK).encode(), AS_JSON), Phase.ACCEPTED),
}


@pytest.mark.parametrize("setting", PROXY_ANSWERS)
async def test_answer_of_a_proxy(journal, dialect, setting):
    """A proxy that gives up leaves a doubt, also with a JSON error of its own; its 4xx and 429 are refusals."""
    answer, phase = PROXY_ANSWERS[setting]
    settings = {"dialect": dialect}
    async with RawServer(answers(answer, keep=False)) as server, session(server.base_url, journal, **settings) as luma:
        for _ in range(2):
            with suppress(Refused, SubmitInDoubt):
                await luma.submit("cat dance", key="cat")
            assert await phase_of(journal) is phase
        assert server.posts == (2 if phase is Phase.REFUSED else 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(journal, status):
    """The other server gets no request; the outcome is unknown, so it is a doubt that names base_url."""
    async with RawServer(answers(ACCEPTED)) as other:
        answer = response(status, b"", f"Location: {other.base_url}/luma/generations")
        async with RawServer(answers(answer)) as server, session(server.base_url, journal) as luma:
            with pytest.raises(SubmitInDoubt, match=r"a redirect, which is never followed: check base_url"):
                await luma.submit("cat dance", key="cat")
            with pytest.raises(Refused, match="redirects are never followed"):
                await luma.get("g1")
            assert server.posts == 1
        assert other.connections == 0


@pytest.mark.parametrize(
    "answer", [response(404, HTML), response(404, error(message="Invalid URL (POST /x)")), response(405)]
)
async def test_path_not_found(journal, answer):
    """A service without such a path did nothing: Refused, with the setting to check."""
    async with RawServer(answers(answer)) as server, session(server.base_url, journal) as luma:
        with pytest.raises(Refused, match="Check base_url"):
            await luma.submit("cat dance", key="cat")


async def test_website_at_base_url(journal):
    """An address that answers with a web page: the submit is a doubt, the query unreadable, and both say why."""
    page = answers(response(200, HTML, "Content-Type: text/html"))
    async with RawServer(page) as server, session(server.base_url, journal) as luma:
        with pytest.raises(SubmitInDoubt, match="an HTML page: check base_url"):
            await luma.submit("cat dance", key="cat")
        with pytest.raises(UnreadableResponse, match="an HTML page: check base_url"):
            await luma.get("g1")


# Idle connections: the main avoidable source of doubt.


def dies_on_second_request(*, reset):
    """Answer the first request, and close when a second one comes, unread."""

    async def act(connection):
        await connection.read_request()
        await connection.send(ACCEPTED)
        await connection.read_some()
        if reset:
            connection.reset()

    return act


@pytest.mark.parametrize("reset", [False, True])
async def test_stale_connection(journal, reset):
    """A connection that closes during the second POST proves nothing about it: in doubt, and no third POST."""
    second = answers(response(201, {**TASK, "id": "g2"}))
    async with (
        RawServer(dies_on_second_request(reset=reset), second) as server,
        session(server.base_url, journal) as luma,
    ):
        await luma.submit("cat dance", key="cat")
        with pytest.raises(SubmitInDoubt):
            await luma.submit("dog dance", key="dog")
        assert (server.connections, server.posts) == (1, 1)
    assert await phase_of(journal, "dog") is Phase.IN_DOUBT


@pytest.mark.looptime(False)  # aiohttp asks the system's clock, not the loop's
@pytest.mark.parametrize(("keepalive", "idle_s", "connections"), [(60, 0, 1), (0.1, 0.3, 2), (0, 0, 2)])
async def test_idle_connection_is_closed(journal, keepalive, idle_s, connections):
    """An idle connection is kept as long as `submit_keepalive`; 0 keeps none."""

    async def act(connection):
        while await connection.read_request() is not None:
            await connection.send(response(201, {**TASK, "id": f"g{server.posts}"}))

    timeouts = Timeouts(submit_keepalive=keepalive)
    async with RawServer(act) as server, session(server.base_url, journal, timeouts=timeouts) as luma:
        await luma.submit("cat dance", key="cat")
        await asyncio.sleep(idle_s)
        await luma.submit("dog dance", key="dog")
        assert (server.connections, server.posts) == (connections, 2)


async def test_answer_without_a_request(journal):
    """What a server sends on an idle connection is never taken for the answer to the next POST."""

    async def talkative(connection):
        await connection.read_request()
        await connection.send(ACCEPTED)
        await asyncio.sleep(0.5)
        await connection.send(response(201, {**TASK, "id": "stray"}))
        await connection.read_request()

    second = answers(response(201, {**TASK, "id": "g2"}))
    async with RawServer(talkative, second) as server, session(server.base_url, journal) as luma:
        await luma.submit("cat dance", key="cat")
        await asyncio.sleep(1)
        assert (await luma.submit("dog dance", key="dog")).id == "g2"
        assert server.connections == 2


async def test_large_image_cut_short(journal):
    """A server that answers 413 to the headers and closes: refused or in doubt, never sent again."""
    picture = ImageKeyframe.from_bytes(b"\xff\xd8\xff" + bytes(3_000_000))

    async def too_large(connection):
        await connection.read_head()
        await connection.send(response(413, HTML, "Connection: close"))

    async with RawServer(too_large) as server, session(server.base_url, journal, retry=RetryPolicy()) as luma:
        with pytest.raises((InvalidRequest, SubmitInDoubt)):
            await luma.submit("cat dance", key="cat", keyframes=Keyframes(frame0=picture))
        assert server.connections == 1


async def test_large_image_complete(journal):
    """Three megabytes inline are one POST with their length, byte for byte."""
    picture = ImageKeyframe.from_bytes(b"\xff\xd8\xff" + bytes(3_000_000))
    async with RawServer(answers(ACCEPTED)) as server, session(server.base_url, journal) as luma:
        await luma.submit("cat dance", key="cat", keyframes=Keyframes(frame0=picture))
    (head, body) = server.requests[0]
    assert b"transfer-encoding" not in head.lower()
    assert json.loads(body)["keyframes"]["frame0"]["url"] == picture.url
