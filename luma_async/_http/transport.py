"""HTTP to one service: what leaves, and what provably did not.

The whole question about a paid POST that got no answer is whether it left. aiohttp's exceptions do not tell (the
same ones stand for both), but its connector does: no byte leaves but over a connection that it has handed out. So the
claim of a paid submit is made when there is a connection and before it is handed out, and "it was not handed out" is
the proof that nothing left. (A trace tells the same, and costs a tenth of a request.)

aiohttp's exceptions never get out of here: their repr holds the request's headers, and with them the API key.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from yarl import URL

from luma_async._wire.answer import Answer
from luma_async._wire.headers import read_request_id, read_retry_after_s
from luma_async.values.errors import NoResponse, NotSent
from luma_async.values.redaction import Secret, clip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from luma_async._http.proxies import Proxies
    from luma_async._wire.dialect import Call
    from luma_async.values.settings import Timeouts

BODY_CAP_BYTES = 4 * 1024 * 1024
"""More than a thousand generations in one answer; what is longer is an attack or a mistake."""

_STREAMED_BYTES = 512 * 1024


@attrs.define(kw_only=True)
class _Flight:
    """One paid POST on its way to a connection."""

    before_sending: Callable[[], Awaitable[None]] | None
    """Claims it; None once that is over, since a connection keeps for life what it was opened for."""
    sent: bool = False
    """Whether a connection was handed out for it."""
    fault: Exception | None = None
    """What kept it from being sent."""


_flight: ContextVar[_Flight | None] = ContextVar("_flight", default=None)
"""The paid POST that this task is about to send."""


class _NotToBeSent(Exception):
    """Keeps aiohttp from sending a request that must not be."""


class _Connector(aiohttp.TCPConnector):
    """Reuses no connection on which something came that nobody had asked for.

    aiohttp would take it for the answer to the next request, and a purchase would go by another one's id.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection with nothing left on it."""
        # Once for each that may be stale, and once for a new one.
        for _ in range(self.limit + 1):
            connection = await super().connect(req, traces, timeout)
            if _is_clean(connection):
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("every connection closed as soon as it was opened")


class _SubmitConnector(_Connector):
    """Hands out a connection for a paid POST once that is claimed, and for each only one."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection over which the paid POST of this task may leave."""
        connection = await super().connect(req, traces, timeout)
        flight = _flight.get()
        if flight is None or flight.before_sending is None or flight.sent:
            connection.release()
            raise _NotToBeSent
        try:
            await _claim(flight, flight.before_sending)
            if not _is_clean(connection):
                raise aiohttp.ClientConnectionError("it closed while the claim was written")
            flight.sent = True
        finally:
            if not flight.sent:
                connection.release()
        return connection


async def _claim(flight: _Flight, before_sending: Callable[[], Awaitable[None]]) -> None:
    try:
        await before_sending()
    except Exception as fault:
        # This frame and aiohttp's hold the key, and some reporters print what frames hold: a twin goes through them.
        frames = fault.__traceback__
        flight.fault = fault.with_traceback(frames.tb_next if frames is not None else None)
        raise _NotToBeSent from None


def _is_clean(connection: Connection) -> bool:
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close


class Transport:
    """The connections to one service. The API key goes to its origin alone, request by request."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: Secret,
        timeouts: Timeouts,
        connections: int,
        proxies: Proxies,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self.requests: int = 0
        """How many were made."""
        self._base_url = base_url
        self._api_key = api_key
        self._proxies = proxies
        self._timeouts = timeouts
        shared: dict[str, Any] = {
            "cookie_jar": aiohttp.DummyCookieJar(),
            "trace_configs": list(trace_configs),
            # `asyncio.timeout` bounds a whole exchange, the look for a proxy included.
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect),
            # No key among these: a proxy is sent them as well.
            "headers": {"Accept": "application/json", "User-Agent": "luma_async"},
        }
        self._calls = aiohttp.ClientSession(
            connector=_Connector(limit=connections),
            **shared,
        )
        self._submits = aiohttp.ClientSession(
            connector=_submit_connector(connections, timeouts.submit_keepalive),
            **shared,
        )

    async def submit(self, call: Call, *, before_sending: Callable[[], Awaitable[None]]) -> Answer:
        """Send a paid POST once.

        Args:
            call: what to send.
            before_sending: awaited when a connection is in hand, before the first byte leaves; raising in it sends
                nothing, and the exception comes out of here.

        Raises:
            NotSent: nothing left this machine.
            NoResponse: something left, and no complete answer came.
        """
        flight = _Flight(before_sending=before_sending)
        token = _flight.set(flight)
        try:
            answer, trouble = await self._exchange(self._submits, call, flight)
        finally:
            _flight.reset(token)
            flight.before_sending = None
        if answer is not None:
            return answer
        fault, flight.fault = flight.fault, None
        if fault is not None:
            raise fault
        if flight.sent:
            raise NoResponse(message=trouble)
        raise NotSent(message=trouble)

    async def query(self, call: Call) -> Answer:
        """Send a call that costs nothing, once.

        Raises:
            NotSent: there was no connection.
            NoResponse: no complete answer came.
        """
        answer, trouble = await self._exchange(self._calls, call, None)
        if answer is not None:
            return answer
        if trouble.startswith(_NO_CONNECTION):
            raise NotSent(message=trouble)
        raise NoResponse(message=trouble)

    async def aclose(self) -> None:
        """Close all connections."""
        try:
            await self._submits.close()
        finally:
            await self._calls.close()

    async def _exchange(
        self, session: aiohttp.ClientSession, call: Call, flight: _Flight | None
    ) -> tuple[Answer | None, str]:
        """Send and read to the end; instead of an exception return what went wrong, without address or key."""
        self.requests += 1
        longest_s = call.sync_wait_s + (self._timeouts.request if flight is None else self._timeouts.submit)
        try:
            async with asyncio.timeout(longest_s):
                url = self._url(call)
                async with session.request(
                    call.method,
                    url,
                    headers=self._headers(call),
                    data=_body(call),
                    allow_redirects=False,
                    proxy=await self._proxies.before(url),
                ) as response:
                    return await self._answer(response, call), ""
        except asyncio.CancelledError as cancelled:
            if _cancelled():
                # Without aiohttp's frames: they hold the key, and some reporters print what frames hold.
                raise cancelled.with_traceback(None) from None
            # A connector that closes cancels those who wait for its connections; nobody cancelled us.
            return None, f"{_NO_CONNECTION} {URL(self._base_url).origin()}: the session closed."
        except Exception as error:
            return None, self._describe(error, unsent=flight is not None and not flight.sent)

    def _url(self, call: Call) -> URL:
        url = URL(self._base_url + call.path, encoded=True)
        return url.with_query(call.query) if call.query else url

    def _headers(self, call: Call) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {call.bearer or self._api_key.reveal()}",
            "Content-Type": "application/json",
            **dict(call.headers),
        }

    async def _answer(self, response: aiohttp.ClientResponse, call: Call) -> Answer:
        """Read an answer to its end; a service that repeats a secret has it blotted out."""
        body = await _read(response)
        request_id = read_request_id(response.headers)
        return Answer(
            status=response.status,
            body=None if body is None else self._scrub(body, call),
            retry_after_s=read_retry_after_s(response.headers),
            request_id=request_id and self._scrub(request_id.encode("utf-8", "replace"), call).decode(),
        )

    def _scrub(self, text: bytes, call: Call) -> bytes:
        text = self._api_key.scrub(text)
        return Secret(call.bearer).scrub(text) if call.bearer else text

    def _describe(self, error: Exception, *, unsent: bool) -> str:
        """Say what went wrong, for people: whether it was sent is decided elsewhere."""
        origin = URL(self._base_url).origin()
        if isinstance(error, aiohttp.ClientConnectorError):
            why = error.os_error.strerror or str(error.os_error) or type(error.os_error).__name__
            return f"{_NO_CONNECTION} {origin}: {clip(why)}."
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"{_NO_CONNECTION} {origin}: the proxy answered HTTP {error.status}."
        if isinstance(error, aiohttp.ConnectionTimeoutError) or (unsent and isinstance(error, TimeoutError)):
            return f"{_NO_CONNECTION} {origin} in time."
        if unsent:
            return f"{_NO_CONNECTION} {origin} ({type(error).__name__})."
        if isinstance(error, TimeoutError):
            return f"{origin} did not answer in time."
        if isinstance(error, aiohttp.ClientPayloadError):
            return f"The answer of {origin} was cut off."
        if isinstance(error, aiohttp.ClientResponseError):
            return f"The answer of {origin} is not HTTP."
        return f"The connection to {origin} broke ({type(error).__name__})."


_NO_CONNECTION = "There is no connection to"


def _cancelled() -> bool:
    """Whether the task that runs this was itself cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Read a body, decompressed, up to the cap."""
    pieces: list[bytes] = []
    room = BODY_CAP_BYTES
    while piece := await response.content.readany():
        room -= len(piece)
        if room < 0:
            response.close()
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _body(call: Call) -> bytes | io.BytesIO | None:
    """Spell a body; one that holds an inline image goes out as a stream, since aiohttp warns of its size."""
    if call.body is None:
        return None
    payload = json.dumps(call.body).encode()
    return payload if len(payload) <= _STREAMED_BYTES else io.BytesIO(payload)


def _submit_connector(connections: int, keepalive_s: float) -> aiohttp.TCPConnector:
    if keepalive_s <= 0:
        return _SubmitConnector(limit=connections, force_close=True)
    return _SubmitConnector(limit=connections, keepalive_timeout=keepalive_s)
