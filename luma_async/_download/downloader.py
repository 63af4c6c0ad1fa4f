"""Downloads files, complete or not at all, without ever costing a generation.

A download runs in a task of the session, so that closing the session ends it in order. Each attempt finds a link,
resumes what an earlier attempt left, and either moves the complete file to its path or leaves a `.part`, which the
next attempt resumes, in this session or in a later one.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import attrs

from luma_async._aio import OwnedTasks, PrioritySemaphore, SharedTask, loop_now
from luma_async._download.attempts import Pauses, Transfer
from luma_async._download.link_resolver import LinkResolver, LinkSearch
from luma_async._download.links import (
    FileChoice,
    Link,
    Watermark,
    earliest_expiry,
    suffix_of,
    watermark_free_links,
)
from luma_async._download.names import safe_name
from luma_async._download.part_file import PartFile, resolve_destination
from luma_async._download.response import (
    Complete,
    Mismatch,
    Receive,
    Throughput,
    check_throughput,
    judge,
    may_come_later,
    range_headers,
    resumable,
    source_of,
    too_long,
)
from luma_async._download.stream import FileStream, StreamSource
from luma_async.values import log
from luma_async.values.errors import (
    DamagedFile,
    DiskError,
    DownloadError,
    InvalidInput,
    LinkGone,
    LumaError,
    SessionClosed,
)
from luma_async.values.events import Downloaded, Downloading

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator

    from luma_async._download.client import FileClient, FileResponse
    from luma_async._journal.recorder import Recorder
    from luma_async.values.events import Emitter
    from luma_async.values.models import Generation
    from luma_async.values.settings import RetryPolicy

AT_ONCE = 8
"""Downloads at the same time: enough to use a line fully, few enough for a file server and for the memory."""

_TICK_S = 1.0
"""How often a download reports its progress and checks its speed: cheap even for thousands of downloads."""


@attrs.define(kw_only=True, eq=False)
class _Download(Transfer):
    """One file to download."""

    path: Path
    overwrite: bool
    shared: SharedTask[None] = attrs.field(init=False)
    """The task, and how many callers wait for it."""
    moved: bool = False
    """Whether the complete file is at its path."""

    @property
    def place(self) -> Path:
        """The path by which two downloads to one file are recognised, however it was written."""
        return self.path.parent.resolve() / self.path.name

    def equals(self, other: _Download) -> bool:
        """Whether both download the same file with the same arguments."""
        return self._arguments() == other._arguments()

    def _arguments(self) -> tuple[object, ...]:
        return self.id, self.search.kind, self.search.watermark, self.overwrite


class Downloader:
    """Downloads the files of one session's generations, at most `at_once` at the same time."""

    def __init__(
        self,
        *,
        files: FileClient,
        links: LinkResolver,
        recorder: Recorder,
        events: Emitter,
        retry: RetryPolicy,
        stall_s: float,
        random: Callable[[], float],
        at_once: int = AT_ONCE,
        closed: bool = False,
    ) -> None:
        self._files = files
        self._links = links
        self._recorder = recorder
        self._events = events
        self._pauses = Pauses(retry=retry, random=random, events=events)
        self._stall_s = stall_s
        self._slots = PrioritySemaphore(at_once)
        self._downloads: dict[Path, _Download] = {}
        self._tasks = OwnedTasks()
        self._streams: WeakSet[StreamSource] = WeakSet()
        self._closing = closed

    async def fetch(
        self,
        generation: Generation,
        dest: str | os.PathLike[str],
        *,
        overwrite: bool,
        watermark: Watermark,
        what: FileChoice = "video",
        completed_at_s: float | None = None,
    ) -> Path:
        """Download a file of a completed generation; see `handle.download()`. Equal calls share one download.

        Args:
            generation: the generation.
            dest: a file or a folder.
            overwrite: whether an existing file may be replaced.
            watermark: whether a watermarked clip is accepted.
            what: which of its files.
            completed_at_s: when it was completed, on the loop's clock; None if that is unknown or long ago.
        """
        suffix = suffix_of(generation, what)
        name = safe_name(generation.id, suffix=suffix if what == "video" else f"-{what}{suffix}")
        search = LinkSearch(generation=generation, kind=what, watermark=watermark)
        while True:
            path = resolve_destination(dest, name, overwrite=overwrite)
            wanted = _Download(search=search, path=path, overwrite=overwrite, completed_at_s=completed_at_s)
            existing = self._downloads.get(wanted.place)
            if existing is None or not existing.shared.abandoned:
                break
            # Its last caller was cancelled. It may still complete the file, so the path is checked again.
            await asyncio.wait([existing.shared.task])
        if self._closing:
            raise SessionClosed
        if existing is not None and not existing.equals(wanted):
            message = f"another download to {path} is in progress, of another file or with other arguments."
            raise InvalidInput(field="dest", message=message)
        try:
            await self._wait_for(existing or self._start(wanted))
        except LumaError:
            raise
        except OSError as error:
            failure = DiskError.of(error, generation_id=generation.id, path=path)
        else:
            return path
        raise failure

    async def stream(
        self, generation: Generation, *, watermark: Watermark, what: FileChoice, completed_at_s: float | None
    ) -> FileStream:
        """Open the bytes of a file of a completed generation; see `handle.stream()`."""
        if self._closing:
            raise SessionClosed
        search = LinkSearch(generation=generation, kind=what, watermark=watermark)
        source = StreamSource(
            Transfer(search=search, completed_at_s=completed_at_s),
            files=self._files,
            links=self._links,
            pauses=self._pauses,
            stall_s=self._stall_s,
        )
        self._streams.add(source)
        await source.open()
        return FileStream(source)

    async def link(self, generation: Generation) -> str:
        """Return a watermark-free link; see `handle.video_url()`."""
        search = LinkSearch(generation=generation)
        try:
            return (await self._links.find(search)).url
        except LinkGone as error:
            failure: LumaError = search.refusal or error
        except asyncio.CancelledError:
            if not self._cancelled_by_closing():
                raise
            failure = SessionClosed()
        raise failure

    async def aclose(self) -> None:
        """Cancel every download, whose received part is kept, and close every stream."""
        self._closing = True
        for source in list(self._streams):
            source.close(session_closed=True)
        await self._tasks.cancel()
        await self._links.aclose()

    def _start(self, download: _Download) -> _Download:
        place = download.place
        log.step("download_started", "the %s is downloaded", download.search.kind, generation_id=download.id)

        def forget() -> None:
            del self._downloads[place]

        self._downloads[place] = download
        download.shared = SharedTask(self._tasks.start(self._run(download), name="luma_async download", then=forget))
        return download

    async def _wait_for(self, download: _Download) -> None:
        task = download.shared.task
        await download.shared.wait()
        if not task.cancelled():
            task.result()
        elif self._closing and not download.moved:
            raise SessionClosed(message="The session was closed during the download; downloading again resumes it.")
        elif not download.moved:
            message = "The task of the download was cancelled; downloading again resumes it."
            raise DownloadError(message=message, generation_id=download.id, path=download.path)

    def _cancelled_by_closing(self) -> bool:
        """Whether the closing session cancelled a task of the downloader, and not the caller's own task."""
        caller = asyncio.current_task()
        return self._closing and not (caller is not None and caller.cancelling())

    async def _run(self, download: _Download) -> None:
        """Make attempts until one succeeds or the retry policy ends them."""
        while True:
            search = download.search
            priority = earliest_expiry(watermark_free_links(search.generation, search.kind))
            try:
                with _part_file(download) as part:
                    async with self._slots.acquire(priority):
                        await self._receive_whole(part, download)
                    # The slot is free while the disk syncs, so that another download can use the line.
                    await self._finish(part, download)
            except DownloadError as error:
                failure = error
            else:
                return
            failure.path = download.path
            log.step("download_failed", "an attempt failed (%s)", log.brief(failure), generation_id=download.id)
            await self._pauses.before_retry(download, failure)

    async def _finish(self, part: PartFile, download: _Download) -> None:
        """Move a complete file to its path, and report it, even if the caller was cancelled meanwhile."""
        try:
            await part.finish(download.medium, overwrite=download.overwrite)
        finally:
            if part.moved:
                download.moved = True
                if download.search.kind == "video":
                    self._recorder.downloaded(download.id, download.path.absolute())
                self._events.emit(Downloaded(generation_id=download.id, path=download.path, size_bytes=part.size_bytes))

    async def _receive_whole(self, part: PartFile, download: _Download) -> None:
        """Receive a file to its end, from the first link that works."""
        while True:
            link = await self._links.find(download.search)
            try:
                await self._receive_from(link, part, download)
            except LinkGone as error:
                part.close()
                self._links.reject(download.search, link, error.message, keep=download.recent)
            else:
                return

    async def _receive_from(self, link: Link, part: PartFile, download: _Download) -> None:
        source = source_of(download.id, link)
        download.retry_after_s, download.missing = None, False
        await part.open_existing()
        partial = resumable(part.partial, source)
        response = await self._files.get(link, range_headers(partial))
        try:
            download.retry_after_s = response.head.retry_after_s
            download.missing = may_come_later(response.head)
            verdict = judge(response.head, partial)
            if isinstance(verdict, Mismatch):
                part.discard()
                raise DamagedFile(message=verdict.reason)
            if isinstance(verdict, Receive):
                await part.begin(verdict.start_bytes, source=source, etag=verdict.etag, total_bytes=verdict.total_bytes)
                download.search.reset()
                await self._receive(response, part, verdict.total_bytes, download)
            elif not isinstance(verdict, Complete):
                raise verdict
        finally:
            response.close()

    async def _receive(
        self, response: FileResponse, part: PartFile, total_bytes: int | None, download: _Download
    ) -> None:
        """Write the body to the `.part`, until the end or until the server stops sending."""
        stall = asyncio.timeout(self._stall_s + _TICK_S)
        try:
            async with stall:
                await self._write_body(part, response, total_bytes, download, stall)
        except TimeoutError:
            # A TimeoutError of the disk is not the server's.
            if not stall.expired():
                raise
        else:
            return
        raise DownloadError(message=f"{response.head.host} stopped sending data.")

    async def _write_body(
        self,
        part: PartFile,
        response: FileResponse,
        total_bytes: int | None,
        download: _Download,
        stall: asyncio.Timeout,
    ) -> None:
        """Write the body, as long as it arrives fast enough and is not too long.

        The time is looked at with each piece, but the speed is checked, the timeout moved and the progress reported
        only once a second: with thousands of pieces a second anything more would cost.
        """
        host = response.head.host
        tick_at_s = loop_now()
        since = Throughput(at_s=tick_at_s, at_bytes=part.size_bytes)
        self._report(download, part, total_bytes)
        while piece := await response.read():
            if too_long(part.size_bytes + len(piece), total_bytes):
                part.discard()
                raise DamagedFile(message=f"{host} sent more data than the file's size.")
            part.write(piece)
            now_s = loop_now()
            if now_s - tick_at_s < _TICK_S:
                continue
            tick_at_s = now_s
            stall.reschedule(now_s + self._stall_s + _TICK_S)
            measured = check_throughput(since, received_bytes=part.size_bytes, now_s=now_s, stall_s=self._stall_s)
            if measured is None:
                raise DownloadError(message=f"{host} sends less than 1 KiB/s.")
            since = measured
            self._report(download, part, total_bytes)
        if total_bytes is not None and part.size_bytes < total_bytes:
            raise DownloadError(message=f"{host} sent {part.size_bytes} of {total_bytes} bytes.")

    def _report(self, download: _Download, part: PartFile, total_bytes: int | None) -> None:
        received_bytes = part.size_bytes
        self._events.emit(
            Downloading(
                generation_id=download.id, path=download.path, received_bytes=received_bytes, total_bytes=total_bytes
            )
        )


@contextmanager
def _part_file(download: _Download) -> Generator[PartFile]:
    """Yield the `.part` of an attempt, and close it at the end of the attempt, keeping what was received."""
    part = PartFile(download.path)
    try:
        yield part
    finally:
        download.resumable_bytes = part.size_bytes if part.partial is not None else 0
        part.close()
