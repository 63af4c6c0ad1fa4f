"""The handle of a generation, the two errors that carry a handle, and how one of many ended."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import attrs

from luma_async._aio import OwnedTasks, loop_now
from luma_async._download.links import FileKind, Watermark
from luma_async._poll.failures import KeptFailing
from luma_async.values.errors import GenerationFailed, InvalidInput, LinkGone, LumaError, error, live
from luma_async.values.html import figure
from luma_async.values.models import Generation, State
from luma_async.values.public import public
from luma_async.values.requests import AudioRequest, ExtendRequest, Request
from luma_async.values.settings import UNSET, Unset, check_timeout

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Generator, Iterable, Sequence
    from typing import Unpack

    from luma_async._engine import Engine
    from luma_async._poll.tracked import Tracked
    from luma_async.values.requests import AudioFields, ExtendFields


@error
class WaitTimeout(LumaError, TimeoutError):
    """The timeout of `wait()` passed. The job keeps running and is paid: wait again, now or in another process."""

    generation_id: str
    """The service's id, for `session.handle(id)`."""
    key: str | None = None
    """The key of the paid intent, if the job was submitted through this journal."""
    handle: GenerationHandle | None = live()
    """The live handle, to wait again; None after unpickling."""
    last: Generation | None = None
    """The generation as last seen; None when no status request succeeded."""
    waited_s: float = 0.0
    """Seconds waited."""

    def __str__(self) -> str:
        state = f"last seen {self.last.raw_state or self.last.state}" if self.last else "not seen yet"
        return (
            f"Generation {self.generation_id} is not final after {self.waited_s:.1f} s ({state}). "
            "It keeps running and is paid: wait again with error.handle.wait(), later with "
            f"session.handle({self.generation_id!r}), or with `luma-async wait {self.generation_id}`."
        )


@error
class PollingFailed(LumaError):
    """Polling failed for longer than the policy's `max_outage`. The job may keep running, and is paid."""

    generation_id: str
    """The service's id, for `session.handle(id)`."""
    key: str | None = None
    """The key of the paid intent, if the job was submitted through this journal."""
    handle: GenerationHandle | None = live()
    """The live handle, to wait again; None after unpickling."""
    last: Generation | None = None
    """The generation as last seen; None when no status request succeeded."""
    failures: tuple[LumaError, ...] = ()
    """The newest failures, oldest first."""

    def __str__(self) -> str:
        newest = f" The newest failure: {self.failures[-1]}" if self.failures else ""
        return (
            f"Polling generation {self.generation_id} kept failing. It is paid and may still be running: "
            f"reattach with session.handle({self.generation_id!r}), or with "
            f"`luma-async wait {self.generation_id}`.{newest}"
        )


@public
class GenerationHandle:
    """One generation, to wait for, look at and download. `session.submit()` and `session.handle()` make them.

    `await handle` is `await handle.wait()`. Losing a handle loses nothing: `session.handle(handle.id)` makes
    another one.
    """

    __slots__ = ("_engine", "_tracked")

    def __init__(self, tracked: Tracked, engine: Engine) -> None:
        self._tracked = tracked
        self._engine = engine

    @property
    def id(self) -> str:
        """The service's id."""
        return self._tracked.id

    @property
    def key(self) -> str | None:
        """The key of the paid intent; None for a handle that was made from an id."""
        return self._tracked.key

    @property
    def last(self) -> Generation | None:
        """The generation as last seen by anybody in this session; None when nobody has looked yet."""
        return self._tracked.last

    def __repr__(self) -> str:
        state = self.last.state if self.last else "not seen yet"
        return f"<GenerationHandle {self.id} {state}>"

    def __await__(self) -> Generator[Any, None, Generation]:
        return self.wait().__await__()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a handle is live: pickle handle.id, and make another one with session.handle(id)")

    async def refresh(self) -> Generation:
        """Ask for the current state, now.

        Returns:
            The generation, a failed one too.

        Raises:
            GenerationNotFound: the service does not know the id.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe; nothing changes.
        """
        return await self._engine.refresh(self.id)

    async def wait(self, *, timeout: float | Unset | None = UNSET) -> Generation:
        """Wait until the generation is completed.

        All handles of a session wait together: one request looks at many. An earlier final answer returns at once.

        Args:
            timeout: seconds; not given means the policy's `max_wait` (a day), None means no limit.

        Returns:
            The completed generation. A relay may complete one without any link; `download()` then asks for it.

        Raises:
            GenerationFailed: the service gave up on it. It is final.
            WaitTimeout: the time is up. It keeps running and is paid; wait again.
            PollingFailed: looking failed for longer than the policy's `max_outage`. It may be running, and is paid.
            Unauthorized, OutOfCredit: the service no longer talks to this key. It may be running, and is paid.
            GenerationNotFound: the id was unknown for `PollPolicy.not_found_grace`, or was never known.
            SessionClosed: the session closed meanwhile. It keeps running and is paid.

        Costs:
            Requests that cost nothing.

        Cancellation:
            Safe: the generation runs on, and other waiters go on waiting.
        """
        check_timeout(timeout)
        began_at_s = loop_now()
        ended = await self._engine.watcher.wait(self._tracked, timeout_s=self._seconds(timeout))
        if ended is None:
            waited_s = loop_now() - began_at_s
            raise WaitTimeout(generation_id=self.id, key=self.key, handle=self, last=self.last, waited_s=waited_s)
        return _completed(self._polled(ended))

    def updates(self) -> AsyncIterator[Generation]:
        """Yield the current state, then each change, and end after a final one.

        A failed generation is yielded like any other.

        Raises:
            PollingFailed, Unauthorized, OutOfCredit, GenerationNotFound, SessionClosed: as `wait()` does.

        Costs:
            Requests that cost nothing.

        Cancellation:
            Safe: leaving the loop stops the looking.
        """
        return self._updates()

    async def download(
        self,
        dest: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        watermark: Watermark = "forbid",
        what: FileKind = "video",
    ) -> Path:
        """Wait for the generation and put its file on disk.

        The file appears whole or not at all: what is on its way stands beside it, ending in `.part`.

        Args:
            dest: a file, or a folder, in which the file is named after the id.
            overwrite: whether an existing file may be replaced.
            watermark: "allow" takes a clip with a watermark when there is no other.
            what: "video" is the result, which for an image request is the picture; "thumbnail" and "last_frame" are
                still pictures of a video, where the service has them.

        Returns:
            Where the file is.

        Raises:
            InvalidInput: `dest` exists, has no folder, or is being downloaded to; `what` or `watermark` is none of the
                words above. Nothing was bought.
            LinkGone: there is no usable link, even after asking for a fresh one.
            DamagedFile: what came is not the whole file, several times.
            DownloadError: the file server failed for longer than retries help. Downloading again continues.
            OSError: the disk is full or not writable, or `dest` appeared while the file came (FileExistsError); the
                `.part` is kept, and downloading again continues.
            SessionClosed: the session closed meanwhile; the `.part` is kept.
            LumaError: a fresh look at the generation, or the question for a link, got no usable answer.
            Everything that `wait()` raises.

        Costs:
            Requests that cost nothing; some relays bill the question for a link, which is asked only when the
            generation carries none, or only such as have expired. Never a new generation.

        Cancellation:
            Safe: the `.part` is kept, and downloading again continues it. A file that is just taking its place does so
            nevertheless, and `Downloaded` tells of it.
        """
        _check_choice(what, FileKind, "what")
        _check_choice(watermark, Watermark, "watermark")
        downloader = self._engine.downloader
        downloader.check_destination(dest, overwrite=overwrite)
        generation = await self.wait()
        return await downloader.fetch(generation, dest, overwrite=overwrite, watermark=watermark, what=what)

    async def video_url(self) -> str:
        """Return the watermark-free link; it may expire within the hour.

        Raises:
            GenerationFailed: there is no video, and never will be.
            LinkGone: it is not completed yet, or there is no link.
            Refused: the relay cannot make a link any more.
            SessionClosed: the session closed, and no link is known that has not expired.
            LumaError: no usable answer came.

        Costs:
            Nothing when the generation carries a link that has not expired, or a fresh look shows one; else one
            question, which some relays bill, and which a connection that breaks may repeat.

        Cancellation:
            Safe.
        """
        known = self.last
        seen = _completed(known if known is not None and known.final else await self.refresh())
        if seen.state in {State.PENDING, State.PROCESSING}:
            raise LinkGone(message=f"It is {seen.state} still: wait() for it first.", generation_id=seen.id)
        return await self._engine.downloader.link(seen)

    async def extend(
        self, prompt: str, /, *, key: str | None = None, **fields: Unpack[ExtendFields]
    ) -> GenerationHandle:
        """Submit a continuation of this video; see `session.extend()`."""
        return await submit(self._engine, ExtendRequest(self.id, prompt, **fields), key)

    async def add_audio(
        self, prompt: str, /, *, key: str | None = None, **fields: Unpack[AudioFields]
    ) -> GenerationHandle:
        """Submit sound for this video; see `session.add_audio()`."""
        return await submit(self._engine, AudioRequest(self.id, prompt, **fields), key)

    async def _updates(self) -> AsyncIterator[Generation]:
        async with aclosing(self._engine.watcher.updates(self._tracked)) as found:
            async for ended in found:
                yield self._polled(ended)

    def _polled(self, ended: Generation | KeptFailing) -> Generation:
        """Return what polling showed, or raise the error that carries this handle.

        Raises:
            PollingFailed: polling failed for too long.
        """
        if isinstance(ended, KeptFailing):
            raise PollingFailed(
                generation_id=self.id, key=self.key, handle=self, last=self.last, failures=ended.failures
            )
        return ended

    def _seconds(self, timeout: float | Unset | None) -> float | None:
        return self._engine.config.poll.max_wait if isinstance(timeout, Unset) else timeout


async def submit(engine: Engine, request: Request, key: str | None) -> GenerationHandle:
    """Submit a request, and return the handle of what it purchased."""
    return GenerationHandle(engine.track(await engine.submitter.submit(request, key=key)), engine)


def _completed(generation: Generation) -> Generation:
    """Return a generation that did not fail.

    Raises:
        GenerationFailed: the service could not make it.
    """
    if generation.state is State.FAILED:
        raise GenerationFailed(
            generation=generation, reason=generation.failure_reason or "", code=generation.failure_code or ""
        )
    return generation


def _check_choice(value: object, choices: Any, field: str) -> None:
    words = get_args(choices)
    if value not in words:
        raise InvalidInput(field=field, message=f"must be one of {', '.join(map(repr, words))}, not {value!r}.")


@public
@attrs.frozen(kw_only=True)
class Outcome:
    """How one of many ended: with a completed generation, or with the error that says why there is none."""

    index: int
    """Its position in the input, from 0."""
    key: str | None = None
    """The key of the paid intent."""
    request: Request | None = None
    """The request; None if only a handle was given."""
    generation: Generation | None = None
    """The completed generation."""
    error: LumaError | None = None
    """Why there is no generation."""
    handle: GenerationHandle | None = attrs.field(default=None, eq=False)
    """The live handle, once the submit was accepted."""
    path: Path | None = None
    """The downloaded file, if the batch downloads."""

    def _repr_html_(self) -> str:
        """Show the generation in a notebook, or the prompt and the error."""
        if self.generation is not None:
            return self.generation._repr_html_()  # pyright: ignore[reportPrivateUsage] - notebooks chose the name
        prompt = getattr(self.request, "prompt", None)
        return figure(state=type(self.error).__name__, prompt=prompt or "", reason=str(self.error))


def as_completed(handles: Iterable[GenerationHandle]) -> AsyncIterator[Outcome]:
    """Yield the outcome of each handle when it ends; see `session.as_completed()`."""
    waited_for: list[GenerationHandle] = []
    for handle in handles:
        _check_handle(handle)
        waited_for.append(handle)
    return _wait_for_all(waited_for)


def _check_handle(handle: object) -> None:
    if not isinstance(handle, GenerationHandle):
        raise InvalidInput(field="handles", message="must be handles; session.handle(id) returns the handle of an id.")


async def _wait_for_all(handles: Sequence[GenerationHandle]) -> AsyncIterator[Outcome]:
    tasks = OwnedTasks()
    waiting = [
        tasks.start(_wait_for(index, handle), name="luma_async as_completed") for index, handle in enumerate(handles)
    ]
    try:
        for ended in asyncio.as_completed(waiting):
            yield await ended
    finally:
        await tasks.cancel()


async def _wait_for(index: int, handle: GenerationHandle) -> Outcome:
    generation = error = None
    try:
        generation = await handle.wait()
    except LumaError as failure:
        error = failure
    return Outcome(index=index, key=handle.key, generation=generation, error=error, handle=handle)
