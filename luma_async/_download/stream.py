"""The bytes of a file as they come, for programs that pass them on instead of storing them.

A stream runs in the task of its reader and needs no disk. If the connection breaks, the rest is requested by its range
and the strong ETag of the file, as for a `.part`. Bytes that were passed on cannot be taken back: if the rest of the
same file cannot be had, the stream fails.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from luma_async._aio import loop_now
from luma_async._download.response import (
    Complete,
    Mismatch,
    Partial,
    Receive,
    Throughput,
    check_throughput,
    judge,
    may_come_later,
    range_headers,
    source_of,
    too_long,
)
from luma_async.values.errors import DamagedFile, DownloadError, LinkGone, SessionClosed
from luma_async.values.public import public

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from types import TracebackType

    from luma_async._download.attempts import Pauses, Transfer
    from luma_async._download.client import FileClient, FileResponse
    from luma_async._download.link_resolver import LinkResolver
    from luma_async._download.links import Link

_PICTURES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
"""The media types that are passed on. A page that a file server sends as a picture must not become one of yours."""


class StreamSource:
    """Receives a file for one `FileStream`.

    Args:
        transfer: the file.
        files: sends the requests.
        links: finds the links.
        pauses: waits before another attempt.
        stall_s: how long the file server may send nothing.
    """

    def __init__(
        self, transfer: Transfer, *, files: FileClient, links: LinkResolver, pauses: Pauses, stall_s: float
    ) -> None:
        self.id: str = transfer.id
        self.size_bytes: int | None = None
        self.content_type: str = "video/mp4" if transfer.medium == "mp4" else "application/octet-stream"
        self._transfer = transfer
        self._files = files
        self._links = links
        self._pauses = pauses
        self._stall_s = stall_s
        self._response: FileResponse | None = None
        self._first: bytes | None = None
        self._began = False
        self._session_closed = False
        # Whether the rest of the file cannot be had.
        self._lost = False
        self._sent_bytes = 0
        # How many bytes of the response were passed on already.
        self._skip_bytes = 0
        self._etag: str | None = None
        self._source = ""
        # How long reads have taken. The time that the reader takes is not the file server's.
        self._waited_s = 0.0
        self._since = Throughput(at_s=0.0, at_bytes=0)

    async def open(self) -> None:
        """Receive the first piece, so that the size is known."""
        try:
            self._first = await self._next_piece()
            self._check_beginning(self._first)
        except BaseException:  # also if cancelled: nothing else closes the connection
            self.close()
            raise

    def close(self, *, session_closed: bool = False) -> None:
        """Close the connection, for good."""
        self._began = True
        self._session_closed = self._session_closed or session_closed
        self._drop_response()

    def _check_beginning(self, first: bytes) -> None:
        not_mp4 = self._transfer.medium == "mp4" and len(first) >= 8 and first[4:8] != b"ftyp"
        if not first or not_mp4:
            message = "The file is not an mp4 video." if first else "The file is empty."
            raise DamagedFile(message=message, generation_id=self._transfer.id)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the file, once; see `FileStream`."""
        if self._session_closed:
            raise SessionClosed
        if self._began or self._first is None:
            raise DownloadError(message="The stream was read or closed before.", generation_id=self._transfer.id)
        self._began, piece = True, self._first
        try:
            while piece:
                yield piece
                piece = await self._next_piece()
        finally:
            self.close()

    async def _next_piece(self) -> bytes:
        """Return the next bytes of the file, over another connection if the last one broke; empty at its end."""
        while True:
            try:
                if self._response is None:
                    await self._request()
                piece = await self._receive() if self._response is not None else b""
            except DownloadError as error:
                failure = error
            except asyncio.CancelledError:
                caller = asyncio.current_task()
                if not self._session_closed or (caller is not None and caller.cancelling()):
                    raise
                raise SessionClosed from None
            else:
                self._sent_bytes += len(piece)
                return piece
            self._drop_response()
            if self._session_closed:
                raise SessionClosed
            if self._sent_bytes and self._etag is None:
                self._lost = True
            if self._lost:
                failure.message += f" After {self._sent_bytes} bytes the stream cannot be continued."
                failure.generation_id = self._transfer.id
                raise failure
            self._transfer.resumable_bytes = self._sent_bytes
            await self._pauses.before_retry(self._transfer, failure)

    async def _request(self) -> None:
        """Request what is missing, from the first link that works."""
        search = self._transfer.search
        while self._response is None:
            link = await self._links.find(search)
            try:
                if await self._request_from(link):
                    return
            except LinkGone as error:
                self._links.reject(search, link, error.message, keep=self._transfer.recent)

    async def _request_from(self, link: Link) -> bool:
        """Request what is missing from one link; return True if nothing is."""
        transfer, source = self._transfer, source_of(self._transfer.id, link)
        transfer.retry_after_s, transfer.missing = None, False
        if self._sent_bytes and source != self._source:
            raise LinkGone(message="The new link leads to another address than the file that was begun.")
        partial = Partial(size_bytes=self._sent_bytes, source=source, etag=self._etag or "")
        response = await self._files.get(link, range_headers(partial if self._sent_bytes else None))
        try:
            transfer.retry_after_s = response.head.retry_after_s
            transfer.missing = may_come_later(response.head)
            verdict = judge(response.head, partial if self._sent_bytes else None)
            if isinstance(verdict, Receive):
                self._begin(verdict, response.head.content_type)
                self._source, self._response = source, response
                transfer.search.reset()
                return False
            if isinstance(verdict, Complete):
                return True
            if isinstance(verdict, Mismatch):
                self._lost = bool(self._sent_bytes)
                raise DamagedFile(message=verdict.reason)
            raise verdict
        finally:
            if self._response is not response:
                response.close()

    def _begin(self, verdict: Receive, content_type: str) -> None:
        """Use the head of a response.

        Raises:
            DamagedFile: it is not the file that was begun.
        """
        resumed = self._first is not None or self._sent_bytes > 0
        same_size = self.size_bytes is None or verdict.total_bytes in {None, self.size_bytes}
        same_file = verdict.start_bytes == self._sent_bytes or (verdict.etag is not None and verdict.etag == self._etag)
        if resumed and not (same_size and same_file):
            self._lost = True
            raise DamagedFile(message="The file has changed since the stream began.")
        self._skip_bytes = self._sent_bytes - verdict.start_bytes
        if not resumed:
            self.size_bytes, self._etag = verdict.total_bytes, verdict.etag
            if content_type in _PICTURES and self._transfer.medium == "picture":
                self.content_type = content_type
        self._since = Throughput(at_s=self._waited_s, at_bytes=self._sent_bytes)

    async def _receive(self) -> bytes:
        """Return the next bytes of the response that were not passed on yet; empty at the end of the file."""
        assert self._response is not None
        host = self._response.head.host
        piece = await self._read(self._response)
        while piece and self._skip_bytes:
            skipped = min(self._skip_bytes, len(piece))
            self._skip_bytes -= skipped
            piece = piece[skipped:] or await self._read(self._response)
        received_bytes = self._sent_bytes + len(piece)
        if too_long(received_bytes, self.size_bytes):
            self._lost = True
            raise DamagedFile(message=f"{host} sent more data than the file's size.")
        if not piece and (self._skip_bytes or received_bytes < (self.size_bytes or 0)):
            raise DownloadError(message=f"{host} sent {received_bytes} of {self.size_bytes} bytes.")
        measured = check_throughput(
            self._since, received_bytes=received_bytes, now_s=self._waited_s, stall_s=self._stall_s
        )
        if measured is None:
            raise DownloadError(message=f"{host} sends less than 1 KiB/s.")
        self._since = measured
        return piece

    async def _read(self, response: FileResponse) -> bytes:
        began_at_s = loop_now()
        try:
            async with asyncio.timeout(self._stall_s):
                return await response.read()
        except TimeoutError:
            pass
        finally:
            self._waited_s += loop_now() - began_at_s
        raise DownloadError(message=f"{response.head.host} stopped sending data.")

    def _drop_response(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()


@public
class FileStream:
    """The bytes of a file, as `handle.stream()` returns them: `async for piece in stream`.

    It can be read once. The connection closes at the end, at an error, when the reader is cancelled or leaves the
    loop, and with the session. A stream that is not read is closed by `aclose()` or `async with stream`.
    """

    def __init__(self, source: StreamSource) -> None:
        self._source = source

    @property
    def size_bytes(self) -> int | None:
        """The size of the file, for `Content-Length`; None when the file server does not say."""
        return self._source.size_bytes

    @property
    def content_type(self) -> str:
        """The media type of the file, for `Content-Type`."""
        return self._source.content_type

    def __repr__(self) -> str:
        return f"<FileStream {self._source.id} {self.content_type} {self.size_bytes} bytes>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes, in pieces of any size, and close the connection at the end.

        Raises:
            DownloadError: the file server kept failing, or the rest of the same file cannot be had.
            SessionClosed: the session was closed.
        """
        return self._source.pieces()

    async def aclose(self) -> None:
        """Close the connection. Closing twice is allowed.

        Costs:
            Nothing.

        Cancellation:
            Safe.
        """
        self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._source.close()
