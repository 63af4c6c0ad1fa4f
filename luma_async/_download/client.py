"""HTTP to file servers, over connections of their own: without cookies, and with the API key only for the service."""

from __future__ import annotations

import asyncio
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

import aiohttp
import aiohttp.abc
import attrs
from yarl import URL

from luma_async._download.hosts import Network, network_of, same_origin
from luma_async._download.response import ResponseHead, follow
from luma_async._http.transport import HEADERS_LIMIT
from luma_async._wire.answer import read_retry_after_s
from luma_async.values.errors import DownloadError, LinkGone, LumaError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from aiohttp.tracing import Trace

    from luma_async._download.links import Link
    from luma_async._http.address import Address
    from luma_async._http.proxies import Proxies
    from luma_async.values.redaction import Secret
    from luma_async.values.settings import Timeouts

_READ_BYTES = 256 * 1024
"""The size of each download's read buffer; at most twice as much is in memory."""


class FileResponse:
    """A response whose body has not been read yet. The caller closes it."""

    def __init__(self, response: aiohttp.ClientResponse, host: str) -> None:
        self._response = response
        self.head = _head(response, host)

    async def read(self) -> bytes:
        """Return the next piece of the body, without a timeout; empty at its end.

        Raises:
            DownloadError: the connection broke.
        """
        try:
            return await self._response.content.readany()
        except Exception as error:
            message = _describe(error, self.head.host)
        raise DownloadError(message=message)

    def redirected(self, link: Link, hops: int) -> Link | None:
        """Return the link that the response to `link` redirects to, or None if no redirect is followed."""
        target = follow(link.url, self.head, self._response.headers.get("Location", ""), hops)
        return None if target is None else attrs.evolve(link, url=target)

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


class FileClient:
    """The connections to file servers.

    Links contain signatures, and some reporters print the variables of the frames of an error. So a link is passed as
    a `Link`, whose repr hides it, and the functions that handle its text return errors instead of raising them.

    Args:
        service: the service, to which alone the API key may be sent.
        service_headers: further headers for the service's origin.
        service_tls: the TLS context for the service's origin.
        tls: the TLS context for all other hosts; None for the default.
        allow_private_hosts: whether files are fetched from private networks even if the service is not there.
        timeouts: bounds on connecting and waiting.
        proxies: finds the proxy for an address.
    """

    def __init__(
        self,
        *,
        service: Address,
        service_headers: Mapping[str, Secret],
        service_tls: ssl.SSLContext | None,
        tls: ssl.SSLContext | None,
        allow_private_hosts: bool,
        timeouts: Timeouts,
        proxies: Proxies,
    ) -> None:
        self._service = service
        self._service_headers = service_headers
        self._service_tls = service_tls or tls
        self._tls = tls
        self._networks = _Networks(service.base_url, allow_all=allow_private_hosts)
        self._proxies = proxies
        self._connect_s = timeouts.connect
        self._response_s = timeouts.connect + timeouts.download_stall

    @cached_property
    def _direct(self) -> aiohttp.ClientSession:
        return self._session(_Connector(self._networks))

    @cached_property
    def _proxied(self) -> aiohttp.ClientSession:
        # The proxy itself may be in a private network.
        return self._session(aiohttp.TCPConnector(limit=0, force_close=True))

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The reader bounds the time for a body: a timer for each piece would cost more than the piece.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            headers={"Accept-Encoding": "identity", "User-Agent": "luma_async"},
            **HEADERS_LIMIT,
        )

    async def get(self, link: Link, headers: Mapping[str, str]) -> FileResponse:
        """Request a file, following redirects to http(s), but never from https to http.

        Returns:
            The response, whatever its status.

        Raises:
            LinkGone: the host is in a private network, and the service is not.
            DownloadError: there was no response.
        """
        hops = 0
        while True:
            response = await self._send(link, headers)
            if isinstance(response, FileResponse) and response.head.status == 401 and self._is_service(link):
                response.close()
                response = await self._send(link, headers, with_key=True)
            if isinstance(response, LumaError):
                raise response
            target = response.redirected(link, hops)
            if target is None:
                return response
            response.close()
            link, hops = target, hops + 1

    async def aclose(self) -> None:
        """Close all connections."""
        for name in {"_direct", "_proxied"} & vars(self).keys():
            await getattr(self, name).close()

    def _is_service(self, link: Link) -> bool:
        """Whether a link is on the origin of the service, which has the key already."""
        return same_origin(_url(link), URL(self._service.base_url))

    async def _send(
        self, link: Link, headers: Mapping[str, str], *, with_key: bool = False
    ) -> FileResponse | LumaError:
        """Send one request. Only `_request` has variables that show the address or the proxy; its frame is dropped."""
        host = ""
        try:
            host = _url(link).host or ""
            async with asyncio.timeout(self._response_s):
                response = await self._request(link, headers, with_key=with_key)
            return FileResponse(response, host)
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None) from None
        except _PrivateHost as refusal:
            return LinkGone(
                message=f"{host} is in a {refusal} network, where the service is not, so it was not requested. "
                "LumaSession(allow_private_hosts=True) (--allow-private-hosts) allows it."
            )
        except LumaError as error:
            # A copy has no frames.
            return copy(error)
        except Exception as error:
            return DownloadError(message=_describe(error, host))

    async def _request(self, link: Link, headers: Mapping[str, str], *, with_key: bool) -> aiohttp.ClientResponse:
        url, is_service = _url(link), self._is_service(link)
        proxy = await self._proxies.before(url)
        if proxy is not None:
            # The proxy connects, so only an address in the link itself can be checked.
            await self._networks.check(url.host or "")
        session = self._direct if proxy is None else self._proxied
        return await session.get(
            url,
            headers={**headers, **(self._own_headers(with_key=with_key) if is_service else {})},
            allow_redirects=False,
            proxy=proxy,
            ssl=(self._service_tls if is_service else self._tls) or True,
        )

    def _own_headers(self, *, with_key: bool) -> dict[str, str]:
        """Return the headers that only the service's origin gets."""
        headers = {name: value.reveal() for name, value in self._service_headers.items()}
        return headers | ({"Authorization": f"Bearer {self._service.api_key.reveal()}"} if with_key else {})


def _url(link: Link) -> URL:
    """Return the address of a link, without a name and a password."""
    # A signature covers the exact characters of the address: quote only what a request line cannot contain.
    return URL(link.url, encoded=link.url.isascii() and " " not in link.url).with_user(None)


class _PrivateHost(Exception):
    """Keeps aiohttp from connecting; its text is the kind of network."""


class _Networks:
    """The networks besides the internet that files may be fetched from: those of the service."""

    def __init__(self, base_url: str, *, allow_all: bool) -> None:
        self._url = URL(base_url)
        self._allow_all = allow_all
        self._of_service: set[Network | None] | None = None

    async def check(self, *hosts: str) -> None:
        """Refuse hosts, names or addresses, if one of them is in a network where the service is not."""
        for network in {network_of(host) for host in hosts} - {None}:
            if not self._allow_all and network not in await self._find_service():
                raise _PrivateHost(network)

    async def _find_service(self) -> set[Network | None]:
        """Return the networks of the service. It is looked up only if a link leads to such a network."""
        if self._of_service is None:
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(self._url.host, self._url.port)
            except (OSError, UnicodeError):
                return {network_of(self._url.host or "")}
            self._of_service = {network_of(str(info[4][0])) for info in found}
        return self._of_service


class _Connector(aiohttp.TCPConnector):
    """Checks the addresses that it is about to connect to: a name proves nothing, since its addresses can change."""

    def __init__(self, networks: _Networks) -> None:
        # The downloader bounds how many downloads run; a second bound here would only hide the waiting.
        # A connection carries one response: a second one, sent by mistake, cannot become the next file.
        super().__init__(limit=0, force_close=True)  # pyright: ignore[reportUnknownMemberType] - of aiohttp
        self._networks = networks

    async def _resolve_host(
        self, host: str, port: int, traces: Sequence[Trace] | None = None
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await super()._resolve_host(host, port, traces)
        await self._networks.check(*(result["host"] for result in found))
        return found


def _describe(error: Exception, host: str) -> str:
    """Say what went wrong, without the address, which may contain a signature."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"Connecting to {host} failed: {error.os_error.strerror or type(error.os_error).__name__}."
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"Connecting to {host} timed out."
    if isinstance(error, TimeoutError):
        return f"{host} did not respond in time."
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"{host} closed the connection before the end of the file."
    return f"The connection to {host} broke ({type(error).__name__})."


def _head(response: aiohttp.ClientResponse, host: str) -> ResponseHead:
    headers = response.headers
    length = headers.get("Content-Length", "")
    return ResponseHead(
        status=response.status,
        host=host,
        etag=headers.get("ETag", ""),
        length_bytes=int(length[:18]) if length.isascii() and length.isdigit() else None,
        content_range=headers.get("Content-Range", ""),
        content_type=response.content_type,
        content_encoding=headers.get("Content-Encoding", "").lower(),
        retry_after_s=read_retry_after_s(headers),
    )
