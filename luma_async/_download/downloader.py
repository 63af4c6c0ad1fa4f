"""Getting files onto disk: whole, byte for byte, and without ever costing a generation.

A download runs in a task of ours, so that closing the session ends it in order. Each attempt finds a link, goes on
with what an earlier one left, and either ends with the file in its place or leaves a `.part` that the next goes on
with, in this session or in a later one.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import OwnedTasks, PrioritySemaphore, loop_now
from luma_async._download.link_resolver import LinkResolver, LinkSearch
from luma_async._download.links import (
    FileKind,
    Link,
    Watermark,
    earliest_expiry,
    is_picture,
    suffix_of,
    watermark_free_links,
)
from luma_async._download.names import safe_name
from luma_async._download.part_file import PartFile, resolve_destination
from luma_async._download.response import (
    AttemptCounts,
    Complete,
    Mismatch,
    Receive,
    Throughput,
    check_throughput,
    count_failure,
    judge,
    range_headers,
    repeat_download,
    resumable,
    source_of,
    too_long,
)
from luma_async.values.errors import DamagedFile, DownloadError, InvalidInput, LinkGone, LumaError, SessionClosed
from luma_async.values.events import Downloaded, Downloading, Retried

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Generator

    from luma_async._download.client import FileClient, FileResponse
    from luma_async._download.validate import Medium
    from luma_async.values.events import Emitter
    from luma_async.values.models import Generation
    from luma_async.values.settings import RetryPolicy

AT_ONCE = 8
"""Downloads at the same time: enough to fill a line, few enough to leave a file server and the memory alone."""

_TICK_S = 1.0
"""How often a download tells its progress and looks at its speed: what people watch, and nothing to thousands."""


@attrs.define(kw_only=True, eq=False)
class _Download:
    """One file to fetch."""

    search: LinkSearch
    path: Path
    overwrite: bool
    tries: AttemptCounts = attrs.field(factory=AttemptCounts)
    resumable_bytes: int = 0
    """How much the last attempt left to go on from."""
    named_s: float | None = None
    """The delay that the file server asked for last."""
    in_place: bool = False
    """Whether the file is where it belongs."""

    @property
    def id(self) -> str:
        return self.search.generation.id


class Downloader:
    """Fetches the files of one session's generations."""

    def __init__(
        self,
        *,
        files: FileClient,
        refresh: Callable[[str], Awaitable[Generation]],
        ask_link: Callable[[str], Awaitable[str]],
        may_ask_link: bool,
        note: Callable[[str, Path], None],
        events: Emitter,
        retry: RetryPolicy,
        stall_s: float,
        random: Callable[[], float],
        closed: bool = False,
    ) -> None:
        self._files = files
        self._finder = LinkResolver(refresh=refresh, ask=ask_link, may_ask=may_ask_link)
        self._note = note
        self._events = events
        self._retry = retry
        self._stall_s = stall_s
        self._random = random
        self._places = PrioritySemaphore(AT_ONCE)
        self._taken: set[Path] = set()
        self._tasks = OwnedTasks()
        self._closing = closed

    @staticmethod
    def check_destination(dest: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Refuse a destination before anybody waits for the generation; see `handle.download()`."""
        resolve_destination(dest, None, overwrite=overwrite)

    async def fetch(
        self,
        generation: Generation,
        dest: str | os.PathLike[str],
        *,
        overwrite: bool,
        watermark: Watermark,
        what: FileKind = "video",
    ) -> Path:
        """Put a file of a completed generation on disk; see `handle.download()`."""
        suffix = suffix_of(generation, what)
        name = safe_name(generation.id, suffix=suffix if what == "video" else f"-{what}{suffix}")
        path = resolve_destination(dest, name, overwrite=overwrite)
        if self._closing:
            raise SessionClosed
        if path in self._taken:
            raise InvalidInput(field="dest", message=f"{path} is being downloaded to already.")
        search = LinkSearch(generation=generation, kind=what, watermark=watermark)
        self._taken.add(path)
        try:
            return await self._outwait(_Download(search=search, path=path, overwrite=overwrite))
        finally:
            self._taken.discard(path)

    async def link(self, generation: Generation) -> str:
        """Return a watermark-free link; see `handle.video_url()`."""
        search = LinkSearch(generation=generation)
        try:
            return (await self._finder.find(search)).url
        except LinkGone as error:
            failure: LumaError = search.refusal or error
        except asyncio.CancelledError:
            if not self._ended_by_closing():
                raise
            failure = SessionClosed()
        raise failure

    async def aclose(self) -> None:
        """End every download; what was received is kept."""
        self._closing = True
        await self._tasks.cancel()
        await self._finder.aclose()

    async def _outwait(self, download: _Download) -> Path:
        task = self._tasks.start(self._run(download), name="luma_async download")
        try:
            return await task
        except asyncio.CancelledError:
            if not self._ended_by_closing():
                raise
        if download.in_place:
            return download.path
        raise SessionClosed(message="The session closed during the download; downloading again continues it.")

    def _ended_by_closing(self) -> bool:
        """Whether what was cancelled is ours, since the session closes, and not who waits for it."""
        caller = asyncio.current_task()
        return self._closing and not (caller is not None and caller.cancelling())

    async def _run(self, download: _Download) -> Path:
        while True:
            search = download.search
            urgency = earliest_expiry(watermark_free_links(search.generation, search.kind))
            try:
                with _part_of(download) as part:
                    async with self._places.acquire(urgency):
                        await self._receive_whole(part, download)
                    # While the disk takes its time, the line is another's.
                    await self._finish(part, download)
            except DownloadError as error:
                failure = error
            else:
                return download.path
            delay_s = self._delay_s(download, failure)
            if delay_s is None:
                failure.generation_id, failure.path = download.id, download.path
                raise failure
            self._events.emit(
                Retried(what="download", attempt=download.tries.without_progress, delay_s=delay_s, error=failure)
            )
            await asyncio.sleep(delay_s)

    def _delay_s(self, download: _Download, failure: DownloadError) -> float | None:
        download.tries = count_failure(download.tries, failure, download.resumable_bytes)
        return repeat_download(
            failure, download.tries, policy=self._retry, jitter=self._random(), named_s=download.named_s
        )

    async def _finish(self, part: PartFile, download: _Download) -> None:
        """Let a file take its place, and tell of it; even if nobody waits for it any more."""
        try:
            await part.finish(_medium(download.search), overwrite=download.overwrite)
        finally:
            if part.in_place:
                download.in_place = True
                if download.search.kind == "video":
                    self._note(download.id, download.path.absolute())
                self._events.emit(Downloaded(generation_id=download.id, path=download.path, size_bytes=part.size_bytes))

    async def _receive_whole(self, part: PartFile, download: _Download) -> None:
        """Receive a file to its end, from the first link that works."""
        while True:
            link = await self._finder.find(download.search)
            try:
                await self._receive_from(link, part, download)
            except LinkGone:
                part.close()
                self._finder.refuse(download.search, link)
            else:
                return

    async def _receive_from(self, link: Link, part: PartFile, download: _Download) -> None:
        source = source_of(download.id, link)
        download.named_s = None
        await part.find()
        kept = resumable(part.kept, source)
        incoming = await self._files.get(link.url, range_headers(kept))
        try:
            download.named_s = incoming.head.retry_after_s
            verdict = judge(incoming.head, kept)
            if isinstance(verdict, Mismatch):
                part.discard()
                raise DamagedFile(message=verdict.reason)
            if isinstance(verdict, Receive):
                await part.begin(verdict.start_bytes, source=source, etag=verdict.etag)
                download.search.worked()
                await self._receive(incoming, part, verdict.total_bytes, download)
            elif not isinstance(verdict, Complete):
                raise verdict
        finally:
            incoming.close()

    async def _receive(
        self, incoming: FileResponse, part: PartFile, total_bytes: int | None, download: _Download
    ) -> None:
        """Write what comes, unless nothing comes any more."""
        silence = asyncio.timeout(self._stall_s + _TICK_S)
        try:
            async with silence:
                await self._fill(part, incoming, total_bytes, download, silence)
        except TimeoutError:
            if not silence.expired():
                raise
        else:
            return
        raise DownloadError(message=f"{incoming.head.host} fell silent.")

    async def _fill(
        self,
        part: PartFile,
        incoming: FileResponse,
        total_bytes: int | None,
        download: _Download,
        silence: asyncio.Timeout,
    ) -> None:
        """Write a body, as long as it comes fast enough and is not too much."""
        host = incoming.head.host
        tick_at_s = loop_now()
        pace = Throughput(at_s=tick_at_s, at_bytes=part.size_bytes)
        self._tell(download, part, total_bytes)
        while piece := await incoming.read():
            if too_long(part.size_bytes + len(piece), total_bytes):
                part.discard()
                raise DamagedFile(message=f"{host} sends more than the file can be.")
            part.write(piece)
            now_s = loop_now()
            if now_s - tick_at_s < _TICK_S:
                continue
            tick_at_s = now_s
            silence.reschedule(now_s + self._stall_s + _TICK_S)
            kept_up = check_throughput(pace, received_bytes=part.size_bytes, now_s=now_s, stall_s=self._stall_s)
            if kept_up is None:
                raise DownloadError(message=f"{host} sends next to nothing.")
            pace = kept_up
            self._tell(download, part, total_bytes)
        if total_bytes is not None and part.size_bytes < total_bytes:
            raise DownloadError(message=f"{host} sent {part.size_bytes} of {total_bytes} bytes.")

    def _tell(self, download: _Download, part: PartFile, total_bytes: int | None) -> None:
        self._events.emit(
            Downloading(
                generation_id=download.id, path=download.path, received_bytes=part.size_bytes, total_bytes=total_bytes
            )
        )


@contextmanager
def _part_of(download: _Download) -> Generator[PartFile]:
    """Hold what an attempt receives, and put it away at its end."""
    part = PartFile(download.path)
    try:
        yield part
    finally:
        download.resumable_bytes = part.size_bytes if part.kept is not None else 0
        part.close()


def _medium(search: LinkSearch) -> Medium:
    return "picture" if is_picture(search.generation, search.kind) else "mp4"
