"""HTTP to whoever keeps the files: a session of its own that knows no key and keeps no cookie."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from luma_async._download.response import ResponseHead, follow
from luma_async._wire.headers import read_retry_after_s
from luma_async.values.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._http.proxies import Proxies
    from luma_async.values.settings import Timeouts

_READ_BYTES = 256 * 1024
"""How much may wait to be written, per download; twice as much at most."""


class FileResponse:
    """An answer whose body has not been read yet. Whoever gets one closes it."""

    def __init__(self, response: aiohttp.ClientResponse, host: str) -> None:
        self._response = response
        self.head = _head(response, host)

    async def read(self) -> bytes:
        """Return the next piece of the body, however long it takes; nothing at its end.

        Raises:
            DownloadError: it was cut off.
        """
        try:
            return await self._response.content.readany()
        except Exception as error:
            trouble = _describe(error, self.head.host)
        raise DownloadError(message=trouble)

    def close(self) -> None:
        """Let the connection go: back to the others when the body was read to its end."""
        self._response.close()


class FileClient:
    """The connections to file servers."""

    def __init__(self, *, timeouts: Timeouts, proxies: Proxies) -> None:
        self._proxies = proxies
        self._connect_s = timeouts.connect
        self._answer_s = timeouts.connect + timeouts.download_stall

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # Whoever downloads bounds how many there are; a second bound would be waited for unseen.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            # How long a body may take is for its reader to say: a timer for each piece costs more than the piece.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            headers={"Accept-Encoding": "identity", "User-Agent": "luma_async"},
        )

    async def get(self, url: str, headers: Mapping[str, str]) -> FileResponse:
        """Ask for a file, following redirects by hand: none leads from https to http, or anywhere but to http(s).

        Returns:
            The answer, whatever its status.

        Raises:
            DownloadError: there was no answer.
        """
        hops = 0
        while True:
            response = await self._ask(url, headers)
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

    async def _ask(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        host = ""
        try:
            # A signature covers the address as it is spelled; only what no request line can hold is quoted.
            address = URL(url, encoded=url.isascii() and " " not in url)
            host = address.host or ""
            async with asyncio.timeout(self._answer_s):
                proxy = await self._proxies.before(address)
                return await self._session.get(address, headers=headers, allow_redirects=False, proxy=proxy)
        except Exception as error:
            trouble = _describe(error, host)
        raise DownloadError(message=trouble)


def _describe(error: Exception, host: str) -> str:
    """Say what went wrong, without the address: it may hold a signature."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"There is no connection to {host}: {error.os_error.strerror or type(error.os_error).__name__}."
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"There is no connection to {host} in time."
    if isinstance(error, TimeoutError):
        return f"{host} did not answer in time."
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"The file was cut off by {host}."
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
