"""HTTP to one service: what was sent, and what provably was not.

If a paid POST gets no answer, everything depends on whether it left this machine. aiohttp's exceptions do not show
that (the same exceptions stand for both), but its connector does: bytes only leave over a connection that the
connector has handed out. So a paid submit is claimed after its connection is open and before the connection is
handed out, and a connection that was not handed out proves that nothing was sent. (A trace shows the same, and costs
a tenth of a request.)

aiohttp's exceptions do not leave this module: their repr holds the request's headers, and so the API key.
"""

from __future__ import annotations

import asyncio
import io
import json
import select
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import attrs
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from luma_async._aio import Deadline, wall_now
from luma_async._wire.answer import Answer, read_rate, read_request_id, read_retry_after_s
from luma_async.values.errors import ConfigurationError
from luma_async.values.redaction import Secret, clip

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from luma_async._http.proxies import Proxies
    from luma_async._wire.dialect import Call
    from luma_async.values.settings import Timeouts

BODY_CAP_BYTES = 4 * 1024 * 1024
"""More than a thousand generations in one answer; a longer answer is an attack or a mistake."""

_STREAMED_BYTES = 512 * 1024
HEADERS_LIMIT: dict[str, Any] = {"max_line_size": 65_536, "max_field_size": 262_144, "max_headers": 1_000}
"""The bounds on the header of an answer. aiohttp's own (8190 bytes a field, 128 headers) are smaller than what some
proxies add, and an answer beyond them would leave a paid submit in doubt."""


@attrs.frozen(kw_only=True)
class Unsent:
    """Nothing left this machine."""

    message: str
    """Why, in a sentence."""
    permanent: bool = False
    """Whether sending again would fail in the same way."""


@attrs.frozen(kw_only=True)
class Unanswered:
    """The request may have left this machine, and no complete answer came."""

    message: str
    """Why, in a sentence."""
    part: bytes = attrs.field(default=b"", repr=False)
    """The part of the body that was read before the answer broke."""


Result: TypeAlias = Answer | Unsent | Unanswered
"""How a request ended."""


@attrs.define(kw_only=True)
class _PaidPost:
    """A paid POST that waits for its connection."""

    before_sending: Callable[[], Awaitable[None]] | None
    """Claims it; None after the request, since a connection keeps a reference to the request that opened it."""
    sent: bool = False
    """Whether a connection was handed out for it."""
    failure: Exception | None = None
    """What `before_sending` raised."""
    protocol: ResponseHandler | None = None
    """The connection that was handed out; None after the request."""

    def end(self, result: Result | None) -> None:
        """Close the connection, unless its answer was a 2xx with a body.

        After an error a second answer may come, and the repetition of a refused POST would take it for its own.
        """
        protocol, self.protocol, self.before_sending = self.protocol, None, None
        if protocol is not None and not (isinstance(result, Answer) and 200 <= result.status < 300 and result.body):
            protocol.close()


_paid_post: ContextVar[_PaidPost | None] = ContextVar("_paid_post", default=None)
"""The paid POST that the current task is about to send."""


class _DoNotSend(Exception):
    """Keeps aiohttp from sending a request."""


class _Connector(aiohttp.TCPConnector):
    """Does not reuse a connection on which unrequested bytes arrived.

    aiohttp would take them for the answer to the next request, so a submit could be given the id of another.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection without unread bytes."""
        # One attempt for each connection that may be stale, and one for a new connection.
        for _ in range(self.limit + 1):
            connection = await super().connect(req, traces, timeout)
            if await _is_clean(connection):
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("every connection closed as soon as it was opened")


class _SubmitConnector(_Connector):
    """Hands out a connection for a paid POST after the POST was claimed, and only one for each POST."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection over which the paid POST of this task may leave."""
        connection = await super().connect(req, traces, timeout)
        post = _paid_post.get()
        # Without a POST, after its end, or for its second connection (aiohttp repeats requests), nothing may leave.
        if post is None or post.before_sending is None or post.sent:
            connection.release()
            raise _DoNotSend
        try:
            await _claim(post, post.before_sending)
            if not await _is_clean(connection):
                raise aiohttp.ClientConnectionError("it closed while the claim was written")
            post.sent, post.protocol = True, connection.protocol
        finally:
            if not post.sent:
                connection.release()
        return connection


async def _claim(post: _PaidPost, before_sending: Callable[[], Awaitable[None]]) -> None:
    try:
        await before_sending()
    except Exception as failure:
        # This frame and aiohttp's hold the key, and some reporters print the variables of frames. So the exception
        # is kept without them, and another exception goes through aiohttp.
        frames = failure.__traceback__
        post.failure = failure.with_traceback(frames.tb_next if frames is not None else None)
        raise _DoNotSend from None


async def _is_clean(connection: Connection) -> bool:
    """Whether a connection is open and has nothing to read, after it has read what has already arrived."""
    if _has_unread(connection):
        try:
            # The event loop looks at its sockets in the first turn, and reads them before it resumes this task again.
            for _ in range(2):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            connection.close()
            raise
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close


def _has_unread(connection: Connection) -> bool:
    """Whether its socket has bytes or an end that the event loop has not read yet; True where that cannot be asked."""
    transport = connection.transport
    socket = transport.get_extra_info("socket") if transport is not None else None
    if socket is None or socket.fileno() < 0 or not hasattr(select, "poll"):
        return True
    poller = select.poll()
    poller.register(socket, select.POLLIN)
    return bool(poller.poll(0))


class Transport:
    """The connections to one service. Each request carries the API key, which goes to the service's origin only."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: Secret,
        headers: Mapping[str, Secret],
        timeouts: Timeouts,
        connections: int,
        proxies: Proxies,
        tls: ssl.SSLContext | None,
        trace_configs: Sequence[aiohttp.TraceConfig],
        rate_headers: tuple[str, str, str] | None = None,
    ) -> None:
        self.requests: int = 0
        """How many requests were made."""
        self._base_url = base_url
        self._api_key = api_key
        self._extra_headers = headers
        self._proxies = proxies
        self._rate_headers = rate_headers
        self._timeouts = timeouts
        shared: dict[str, Any] = {
            "cookie_jar": aiohttp.DummyCookieJar(),
            "trace_configs": list(trace_configs),
            # `asyncio.timeout` bounds a whole exchange, the look for a proxy included.
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect),
            # These do not hold the key, since they are sent to a proxy as well. aiohttp would offer `br` and `zstd` if
            # a package for them is installed, also a version that it cannot use.
            "headers": {
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": "luma_async",
            },
            **HEADERS_LIMIT,
        }
        self._calls = aiohttp.ClientSession(
            connector=_Connector(limit=connections, ssl=tls or True),
            **shared,
        )
        self._submits = aiohttp.ClientSession(
            connector=_submit_connector(connections, timeouts.submit_keepalive, tls),
            **shared,
        )

    async def post_once(self, call: Call, *, before_sending: Callable[[], Awaitable[None]]) -> Result:
        """Send a paid POST once.

        Args:
            call: what to send.
            before_sending: awaited when the connection is open, before the first byte leaves. If it raises, nothing
                is sent, and the exception is raised here.
        """
        post = _PaidPost(before_sending=before_sending)
        token = _paid_post.set(post)
        ended: Result | None = None
        try:
            ended = result = await self._exchange(self._submits, call, post)
        finally:
            _paid_post.reset(token)
            post.end(ended)
        failure, post.failure = post.failure, None
        if failure is not None and not isinstance(result, Answer):
            raise failure
        return result

    async def query(self, call: Call) -> Result:
        """Send a call that is free of charge, once."""
        return await self._exchange(self._calls, call, None)

    async def aclose(self) -> None:
        """Close all connections."""
        try:
            await self._submits.close()
        finally:
            await self._calls.close()

    async def _exchange(self, session: aiohttp.ClientSession, call: Call, post: _PaidPost | None) -> Result:
        """Send a request and read its answer to the end; the messages of the results hold neither path nor key."""
        self.requests += 1
        max_s = call.sync_wait_s + (self._timeouts.request if post is None else self._timeouts.submit)
        pieces: list[bytes] = []
        try:
            async with Deadline(max_s):
                url = self._url(call)
                async with session.request(
                    call.method,
                    url,
                    headers=self._headers(call),
                    data=_body(call),
                    allow_redirects=False,
                    proxy=await self._proxies.before(url),
                ) as response:
                    return await self._answer(response, call, pieces)
        except asyncio.CancelledError as cancelled:
            if _is_cancelled():
                # Without aiohttp's frames: they hold the key, and some reporters print the variables of frames.
                raise cancelled.with_traceback(None) from None
            # A connector that closes cancels the tasks that wait for its connections; this task was not cancelled.
            message, unsent, permanent = f"{_CANNOT_CONNECT} {self._origin}: the session closed.", True, False
            if post is not None and post.sent:
                unsent = False
        except ConfigurationError:
            raise
        except Exception as error:
            unsent = isinstance(error, _CONNECT_ERRORS) if post is None else not post.sent
            message, permanent = self._describe(error, unsent=unsent), isinstance(error, _CERTIFICATE_ERRORS)
        if unsent:
            return Unsent(message=message, permanent=permanent)
        return Unanswered(message=message, part=self._scrub(b"".join(pieces), call))

    @property
    def _origin(self) -> URL:
        return URL(self._base_url).origin()

    def _url(self, call: Call) -> URL:
        url = URL(self._base_url + call.path, encoded=True)
        return url.with_query(call.query) if call.query else url

    def _headers(self, call: Call) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {(call.bearer or self._api_key).reveal()}",
            "Content-Type": "application/json",
            **{name: value.reveal() for name, value in self._extra_headers.items()},
            **dict(call.headers),
        }

    async def _answer(self, response: aiohttp.ClientResponse, call: Call, pieces: list[bytes]) -> Answer:
        """Read an answer to its end, and replace a secret that the service repeats."""
        body = await _read(response, pieces)
        request_id = read_request_id(response.headers)
        return Answer(
            status=response.status,
            body=None if body is None else self._scrub(body, call),
            retry_after_s=read_retry_after_s(response.headers),
            rate=read_rate(response.headers, self._rate_headers, unix_now=wall_now().timestamp()),
            request_id=request_id and self._scrub(request_id.encode("utf-8", "replace"), call).decode(),
            base_url=self._base_url,
        )

    def _scrub(self, text: bytes, call: Call) -> bytes:
        for secret in (self._api_key, *self._extra_headers.values()):
            text = secret.scrub(text)
        return call.bearer.scrub(text) if call.bearer else text

    def _describe(self, error: Exception, *, unsent: bool) -> str:
        """Say what went wrong, for people; no code depends on the words."""
        origin = self._origin
        if isinstance(error, _CERTIFICATE_ERRORS):
            return (
                f"{_CANNOT_CONNECT} {origin}: its certificate is not trusted ({_certificate_error(error)}). "
                "If your organisation has a CA of its own, set SSL_CERT_FILE to its file, or pass LumaSession(ssl=…)."
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            why = error.os_error.strerror or str(error.os_error) or type(error.os_error).__name__
            return f"{_CANNOT_CONNECT} {origin}: {clip(why)}."
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"{_CANNOT_CONNECT} {origin}: the proxy answered HTTP {error.status}."
        if isinstance(error, aiohttp.ConnectionTimeoutError) or (unsent and isinstance(error, TimeoutError)):
            return f"Connecting to {origin} timed out."
        if unsent:
            return f"{_CANNOT_CONNECT} {origin} ({type(error).__name__})."
        if isinstance(error, TimeoutError):
            return f"{origin} did not answer in time."
        if isinstance(error, aiohttp.ClientPayloadError):
            return f"The response of {origin} was cut off."
        if isinstance(error, aiohttp.ClientResponseError):
            return f"The response of {origin} is not HTTP."
        return f"The connection to {origin} broke ({type(error).__name__})."


_CANNOT_CONNECT = "Cannot connect to"
_CONNECT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError)
"""Exceptions of aiohttp that only occur before a connection is open."""


_CERTIFICATE_ERRORS = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)


def _certificate_error(error: Exception) -> str:
    """Return OpenSSL's words for what is wrong with a certificate."""
    cause = getattr(error, "certificate_error", error)
    return clip(getattr(cause, "verify_message", "") or type(cause).__name__)


def _is_cancelled() -> bool:
    """Whether the current task was itself cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _read(response: aiohttp.ClientResponse, pieces: list[bytes]) -> bytes | None:
    """Read a decompressed body into `pieces`, and return it; None if it is larger than the cap."""
    room = BODY_CAP_BYTES
    while piece := await response.content.readany():
        room -= len(piece)
        if room < 0:
            response.close()
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _body(call: Call) -> bytes | io.BytesIO | None:
    """Encode a body. With an inline image it is sent as a stream, since aiohttp warns about large byte strings."""
    if call.body is None:
        return None
    payload = json.dumps(call.body).encode()
    return payload if len(payload) <= _STREAMED_BYTES else io.BytesIO(payload)


def _submit_connector(connections: int, keepalive_s: float, tls: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    if keepalive_s <= 0:
        return _SubmitConnector(limit=connections, ssl=tls or True, force_close=True)
    return _SubmitConnector(limit=connections, ssl=tls or True, keepalive_timeout=keepalive_s)
