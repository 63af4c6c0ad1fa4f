"""The handle of a generation, the two errors that carry a handle, and the outcomes of many handles."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import attrs

from luma_async._aio import OwnedTasks, loop_now
from luma_async._download.links import FileKind, Watermark
from luma_async._download.part_file import resolve_destination
from luma_async._poll.failures import KeptFailing
from luma_async.values.errors import GenerationFailed, InvalidInput, LinkGone, LumaError, TransportError, error, live
from luma_async.values.html import figure
from luma_async.values.models import Generation, State
from luma_async.values.public import public
from luma_async.values.requests import AudioRequest, ExtendRequest, Request
from luma_async.values.settings import UNSET, Unset, check_timeout
from luma_async.values.validators import check_bool

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Generator, Iterable, Sequence
    from typing import Unpack

    from luma_async._download.stream import FileStream
    from luma_async._engine import Engine
    from luma_async._poll.tracked import Tracked
    from luma_async.values.requests import AudioFields, ExtendFields


def is_paid(error: WaitTimeout | PollingFailed) -> bool:
    """Whether the job is known to be paid: the journal holds its submit, or the service showed it."""
    return error.key is not None or error.last is not None


def cause_of(error: LumaError) -> str:
    """Return why a status request failed, without what that means for its charges: the job itself may be paid."""
    return error.message if isinstance(error, TransportError) else str(error)


NOT_SEEN = "The journal has no submit of it, and no status request has shown it"
"""What is known of an id that may be mistyped, or of a service that does not answer."""


@error
class WaitTimeout(LumaError, TimeoutError):
    """The timeout of `wait()` passed. That does not stop the job: wait again, now or in another process."""

    generation_id: str
    """The service's id, for `session.handle(id)`."""
    key: str | None = None
    """The key of the paid intent, if the job was submitted through this journal."""
    handle: GenerationHandle | None = live()
    """The live handle, to wait again; None after unpickling."""
    last: Generation | None = None
    """The generation as last seen; None when no status request succeeded."""
    last_error: LumaError | None = None
    """Why the last status request failed; None if it succeeded, or was not answered yet."""
    waited_s: float = 0.0
    """Seconds waited."""

    def _text(self) -> str:
        state = f"last seen {self.last.raw_state or self.last.state}" if self.last else "not seen yet"
        newest = f" The last status request failed: {cause_of(self.last_error)}" if self.last_error else ""
        known = "It is paid, and the timeout did not stop it" if is_paid(self) else NOT_SEEN
        return (
            f"Generation {self.generation_id} is not final after {self.waited_s:.1f} s ({state}). {known}. Wait again "
            f"with error.handle.wait(), later with session.handle({self.generation_id!r}), or with "
            f"`luma-async wait {self.generation_id}`.{newest}"
        )


@error
class PollingFailed(LumaError):
    """Polling failed for longer than the policy's `max_outage`. The job may keep running."""

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

    def _text(self) -> str:
        newest = f" The newest failure: {cause_of(self.failures[-1])}" if self.failures else ""
        known = "It is paid and may still be running" if is_paid(self) else NOT_SEEN
        return (
            f"Polling generation {self.generation_id} kept failing. {known}. Wait again with "
            f"session.handle({self.generation_id!r}), or with `luma-async wait {self.generation_id}`.{newest}"
        )


@public
class GenerationHandle:
    """A generation to wait for, poll and download. `session.submit()` and `session.handle()` return handles.

    `await handle` is `await handle.wait()`. You can recreate a handle with `session.handle(id)`.
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
        """The key of the paid intent; None if the generation was not submitted through this journal."""
        return self._tracked.key

    @property
    def last(self) -> Generation | None:
        """The generation as this session last saw it; None if it was not polled yet."""
        return self._tracked.last

    def __repr__(self) -> str:
        state = self.last.state if self.last else "not seen yet"
        return f"<GenerationHandle {self.id} {state}>"

    def __await__(self) -> Generator[Any, None, Generation]:
        return self.wait().__await__()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a handle cannot be pickled: pickle handle.id, and recreate it with session.handle(id)")

    async def refresh(self) -> Generation:
        """Fetch the current state now.

        Returns:
            The generation, in any state; a failed generation raises nothing.

        Raises:
            GenerationNotFound: the service does not know the id.
            ConfigurationError: the session runs in another event loop. Nothing was sent.
            LumaError: no usable response arrived, after retries. Nothing changed.

        Costs:
            One free request.

        Cancellation:
            Safe; nothing changes.
        """
        return await self._here().refresh(self.id)

    async def wait(self, *, timeout: float | Unset | None = UNSET) -> Generation:
        """Wait until the generation is completed.

        The handles of a session share their requests: one request polls many generations. If the generation is known
        to be completed, this returns at once.

        Args:
            timeout: seconds; by default the policy's `max_wait` (a day); None for no limit.

        Returns:
            The completed generation. Some relays leave out the link; `download()` then requests it.

        Raises:
            GenerationFailed: the service could not make it. This is final.
            WaitTimeout: the time is up. A job that was submitted keeps running and is paid; wait again.
            PollingFailed: polling failed for longer than the policy's `max_outage`. A job that was submitted may be
                running, and is paid.
            Unauthorized, OutOfCredit: the service no longer accepts the API key. The job may be running.
            GenerationNotFound: the service did not know the id for `PollPolicy.not_found_grace`, or never knew it.
            SessionClosed: the session was closed. That does not stop the job.
            ConfigurationError: the session runs in another event loop. Nothing was sent.

        Costs:
            Free requests.

        Cancellation:
            Safe: the generation keeps running, and other waiters keep waiting.
        """
        check_timeout(timeout)
        began_at_s = loop_now()
        ended = await self._here().watcher.wait(self._tracked, timeout_s=self._seconds(timeout))
        if ended is None:
            raise await self._timed_out(began_at_s)
        return self._completed(await self._polled(ended))

    def updates(self, *, timeout: float | None = None) -> AsyncIterator[Generation]:
        """Yield the current state, then each change, and end after a final state.

        A failed generation is yielded too; it raises nothing.

        Args:
            timeout: seconds from the start of the loop; None for no limit.

        Raises:
            WaitTimeout: the time is up. The generation keeps running; iterate or wait again.
            PollingFailed, Unauthorized, OutOfCredit, GenerationNotFound, SessionClosed, ConfigurationError: as in
                `wait()`.

        Costs:
            Free requests.

        Cancellation:
            Safe: leaving the loop stops the polling.
        """
        check_timeout(timeout)
        return self._updates(timeout)

    async def download(
        self,
        dest: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        watermark: Watermark = "forbid",
        what: FileKind = "video",
        output: int | None = None,
    ) -> Path:
        """Wait for the generation, then download its file.

        The file appears when it is complete. Until then the received part is next to it, with the suffix `.part`.
        Calls in one session for the same file, path and arguments share one download.

        Args:
            dest: a file, or a folder, in which the file is named after the id. A string that ends in a separator
                (`"clips/"`) is a folder, which is created if it does not exist.
            overwrite: whether an existing file may be replaced.
            watermark: "allow" accepts a video with a watermark if there is no other.
            what: "video" is the result, for an image request the image; "thumbnail" and "last_frame" are still images
                of a video, if the service has them.
            output: the place of a result in `Generation.outputs`, from 0, such as a layer; None for `what`.

        Returns:
            The path of the file.

        Raises:
            InvalidInput: `dest` exists, its name is too long or cannot be encoded, its folder does not exist, or
                another download to it is in progress that cannot be shared; `what` or `watermark` has none of the
                values above. Nothing was requested.
            LinkGone: there is no usable link, even after requesting a new link. Storage may get a file late: for two
                minutes after the completion, a file that is missing is requested again.
            DamagedFile: the received file was incomplete, several times.
            DownloadError: the file server kept failing, after retries. Downloading again resumes.
            DiskError: the disk is full or not writable, or `dest` was created meanwhile. It is an `OSError` too. The
                `.part` is kept, and downloading again resumes.
            SessionClosed: the session was closed; the `.part` is kept.
            LumaError: fetching the generation or requesting a link failed, after retries. The `.part` is kept.
            Everything that `wait()` raises.

        Costs:
            Free requests, never a new generation. Some relays charge for requesting a link, which is done only if the
            generation has no link that is valid.

        Cancellation:
            Safe: the `.part` is kept, and downloading again resumes. A shared download stops when its last caller is
            cancelled. A complete file that is being moved to `dest` is still moved, and `Downloaded` reports it.
        """
        _check_output(output)
        _check_choice(what, FileKind, "what")
        _check_choice(watermark, Watermark, "watermark")
        check_bool(overwrite, "overwrite")
        downloader = self._here().downloader
        resolve_destination(dest, None, overwrite=overwrite)
        generation = await self.wait()
        return await downloader.fetch(
            generation,
            dest,
            overwrite=overwrite,
            watermark=watermark,
            what=what if output is None else output,
            completed_at_s=self._tracked.completed_at_s,
        )

    async def stream(self, *, watermark: Watermark = "forbid", what: FileKind = "video") -> FileStream:
        """Wait for the generation, then open its file, to pass the bytes on as they come; nothing is written to disk.

        If a connection breaks, the rest is requested over another one. A stream does not check that the video is
        complete, as `download()` does.

        Args:
            watermark: "allow" accepts a video with a watermark if there is no other.
            what: which file, as for `download()`.

        Returns:
            The stream, with `size_bytes` and `content_type`: `async for piece in stream` yields the bytes.

        Raises:
            InvalidInput: `what` or `watermark` has none of the values above. Nothing was requested.
            LinkGone: there is no usable link, even after requesting a new link.
            DownloadError: the file server kept failing, after retries, or did not send the file.
            SessionClosed: the session was closed.
            LumaError: fetching the generation or requesting a link failed, after retries.
            Everything that `wait()` raises.

        Costs:
            Free requests, never a new generation. Some relays charge for requesting a link, which is done only if the
            generation has no link that is valid.

        Cancellation:
            Safe: the connection is closed.
        """
        _check_choice(what, FileKind, "what")
        _check_choice(watermark, Watermark, "watermark")
        downloader = self._here().downloader
        generation = await self.wait()
        completed_at_s = self._tracked.completed_at_s
        return await downloader.stream(generation, watermark=watermark, what=what, completed_at_s=completed_at_s)

    async def video_url(self) -> str:
        """Return the watermark-free link. It may expire within the hour.

        Raises:
            GenerationFailed: there is no video. This is final.
            LinkGone: it is not completed yet, or there is no link.
            Refused: the relay no longer issues a link.
            SessionClosed: the session was closed, and no valid link is known.
            LumaError: no usable response arrived, after retries. Nothing changed.

        Costs:
            Nothing if the generation has a valid link, also after fetching it again. Otherwise one request for a link,
            which some relays charge for; it may be repeated if the connection breaks.

        Cancellation:
            Safe.
        """
        engine, known = self._here(), self.last
        seen = self._completed(known if known is not None and known.final else await self.refresh())
        if seen.state in {State.PENDING, State.PROCESSING}:
            raise LinkGone(message=f"It is still {seen.state}; await handle.wait() first.", generation_id=seen.id)
        return await engine.downloader.link(seen)

    async def extend(
        self, prompt: str, /, *, key: str | None = None, **fields: Unpack[ExtendFields]
    ) -> GenerationHandle:
        """Submit a continuation of this video; see `session.extend()` for arguments, costs and cancellation."""
        return await submit(self._here(), ExtendRequest(self.id, prompt, **fields), key)

    async def add_audio(
        self, prompt: str, /, *, key: str | None = None, **fields: Unpack[AudioFields]
    ) -> GenerationHandle:
        """Submit sound for this video; see `session.add_audio()` for arguments, costs and cancellation."""
        return await submit(self._here(), AudioRequest(self.id, prompt, **fields), key)

    async def _updates(self, timeout: float | None) -> AsyncIterator[Generation]:
        began_at_s = loop_now()
        async with aclosing(self._here().watcher.updates(self._tracked, timeout_s=timeout)) as found:
            async for ended in found:
                if ended is None:
                    raise await self._timed_out(began_at_s)
                yield await self._polled(ended)

    async def _timed_out(self, began_at_s: float) -> WaitTimeout:
        waited_s = loop_now() - began_at_s
        last_error = self._tracked.last_failure
        await self._engine.find_origin(self._tracked)
        return WaitTimeout(
            generation_id=self.id,
            key=self.key,
            handle=self,
            last=self.last,
            last_error=last_error,
            waited_s=waited_s,
        )

    def _here(self) -> Engine:
        """Return the engine, if it runs in this event loop.

        Raises:
            ConfigurationError: it runs in another one.
        """
        self._engine.check_loop(
            "The session of this handle runs in another event loop. Await the handle there, or open a session in this "
            f"event loop and use session.handle({self.id!r})."
        )
        return self._engine

    async def _polled(self, ended: Generation | KeptFailing) -> Generation:
        """Return what polling showed, or raise the error that carries this handle.

        Raises:
            PollingFailed: polling failed for too long.
        """
        if isinstance(ended, KeptFailing):
            await self._engine.find_origin(self._tracked)
            raise PollingFailed(
                generation_id=self.id, key=self.key, handle=self, last=self.last, failures=ended.failures
            )
        return ended

    def _completed(self, generation: Generation) -> Generation:
        """Return a generation that did not fail.

        Raises:
            GenerationFailed: the service could not make it.
        """
        if generation.state is not State.FAILED:
            return generation
        code = generation.failure_code or ""
        raise GenerationFailed(
            generation=generation,
            reason=generation.failure_reason or "",
            code=code,
            money=self._engine.dialect.failure_money.get(code, "not stated"),
        )

    def _seconds(self, timeout: float | Unset | None) -> float | None:
        return self._engine.config.poll.max_wait if isinstance(timeout, Unset) else timeout


async def submit(engine: Engine, request: Request, key: str | None) -> GenerationHandle:
    """Submit a request, and return the handle of the generation."""
    return GenerationHandle(engine.track(await engine.submitter.submit(request, key=key)), engine)


def _check_output(output: object) -> None:
    if output is not None and (not isinstance(output, int) or isinstance(output, bool) or output < 0):
        raise InvalidInput(field="output", message="must be the place of a result, an integer >= 0, or None.")


def _check_choice(value: object, choices: Any, field: str) -> None:
    words = get_args(choices)
    if value not in words:
        raise InvalidInput(field=field, message=f"must be one of {', '.join(map(repr, words))}, not {value!r}.")


@public
@attrs.frozen(kw_only=True)
class Outcome:
    """The result of one item of many: a completed generation, or the error that explains why there is none."""

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
    """The downloaded file, if the batch downloads files."""

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
