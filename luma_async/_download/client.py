"""HTTP to file servers: a client session of its own that has no API key and keeps no cookies."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from luma_async._download.response import ResponseHead, follow
from luma_async._wire.answer import read_retry_after_s
from luma_async.values.errors import DownloadError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from luma_async._http.proxies import Proxies
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

    def close(self) -> None:
        """Release the connection; it is reused if the body was read to its end."""
        self._response.close()


class FileClient:
    """The connections to file servers."""

    def __init__(self, *, timeouts: Timeouts, proxies: Proxies, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._proxies = proxies
        self._connect_s = timeouts.connect
        self._response_s = timeouts.connect + timeouts.download_stall

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # The downloader bounds how many downloads run; a second bound here would only hide the waiting.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The reader bounds the time for a body: a timer for each piece would cost more than the piece.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            headers={"Accept-Encoding": "identity", "User-Agent": "luma_async"},
        )

    async def get(self, url: str, headers: Mapping[str, str]) -> FileResponse:
        """Request a file, following redirects to http(s), but never from https to http.

        Returns:
            The response, whatever its status.

        Raises:
            DownloadError: there was no response.
        """
        hops = 0
        while True:
            response = await self._request(url, headers)
            incoming = FileResponse(response, response.url.host or "")
            target = follow(url, incoming.head, response.headers.get("Location", ""), hops)
            if target is None:
                return incoming
            incoming.close()
            url, hops = target, hops + 1

    async def aclose(self) -> None:
        """Close all connections."""
        if "_session" in vars(self):
            await self._session.close()

    async def _request(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        host = ""
        try:
            # A signature covers the exact characters of the address: quote only what a request line cannot contain.
            address = URL(url, encoded=url.isascii() and " " not in url)
            host = address.host or ""
            async with asyncio.timeout(self._response_s):
                proxy = await self._proxies.before(address)
                return await self._session.get(address, headers=headers, allow_redirects=False, proxy=proxy)
        except Exception as error:
            message = _describe(error, host)
        raise DownloadError(message=message)


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
