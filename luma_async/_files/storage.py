"""HTTP to the storage that takes uploads: a client session of its own that has no API key and keeps no cookies."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from luma_async.values.errors import UploadFailed

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from luma_async._files.content import Content
    from luma_async._http.proxies import Proxies
    from luma_async.values.files import UploadTarget
    from luma_async.values.settings import Timeouts

_ANSWER_BYTES = 64 * 1024


class Rejected(Exception):
    """The storage does not take the bytes at this address: it has expired, or its signature does not fit."""


class Storage:
    """The connections to the storage."""

    def __init__(self, *, service: str, timeouts: Timeouts, proxies: Proxies, tls: ssl.SSLContext | None) -> None:
        self._secure = urlsplit(service).scheme == "https"
        self._timeouts = timeouts
        self._proxies = proxies
        self._tls = tls

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
            headers={"User-Agent": "luma_async"},
        )

    async def put(self, target: UploadTarget, content: Content, sent: Callable[[int], None]) -> None:
        """Send the bytes once.

        Args:
            target: where they go.
            content: the bytes.
            sent: called with the number of bytes that were sent so far.

        Raises:
            Rejected: the storage refused this address.
            UploadFailed: the connection broke, the storage failed, or the file cannot be read or has changed.
        """
        host = urlsplit(target.url).hostname or ""
        if not host or urlsplit(target.url).scheme not in ({"https"} if self._secure else {"http", "https"}):
            raise UploadFailed(message="The service named no https:// address for the upload.", path=content.path)
        stall = asyncio.timeout(self._timeouts.download_stall)
        try:
            async with stall:
                url = URL(target.url, encoded=True)
                headers = {**dict(target.headers), "Content-Length": str(content.size_bytes)}
                async with self._session.put(
                    url,
                    data=self._watched(content, stall, sent),
                    headers=headers,
                    allow_redirects=False,
                    proxy=await self._proxies.before(url),
                ) as response:
                    await response.content.read(_ANSWER_BYTES)
                    status = response.status
        except Exception as error:
            # aiohttp wraps what the generator of the body raises.
            if isinstance(error.__cause__, UploadFailed):
                raise error.__cause__ from None
            reason = "stopped taking data" if isinstance(error, TimeoutError) else f"broke ({type(error).__name__})"
        else:
            if 200 <= status < 300:
                return
            if 400 <= status < 500 and status not in {408, 429}:
                raise Rejected(f"HTTP {status}")
            reason = f"answered HTTP {status}"
        raise UploadFailed(message=f"The upload to {host} {reason}.", path=content.path)

    async def _watched(
        self, content: Content, stall: asyncio.Timeout, sent: Callable[[int], None]
    ) -> AsyncIterator[bytes]:
        """Yield the bytes, and allow the storage the same time again after each piece."""
        total = 0
        loop = asyncio.get_running_loop()
        try:
            async for piece in content.pieces():
                total += len(piece)
                if total > content.size_bytes:
                    break
                yield piece
                stall.reschedule(loop.time() + self._timeouts.download_stall)
                sent(total)
        except OSError as error:
            message = f"The file cannot be read: {error.strerror or error}."
            raise UploadFailed(message=message, path=content.path, permanent=True) from None
        if total != content.size_bytes:
            message = "The file has changed during the upload."
            raise UploadFailed(message=message, path=content.path, permanent=True)

    async def aclose(self) -> None:
        """Close all connections."""
        if "_session" in vars(self):
            await self._session.close()
