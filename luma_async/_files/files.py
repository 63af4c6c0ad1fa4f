"""Files at a service: `session.files`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from luma_async._aio import loop_now
from luma_async._files.content import content_of
from luma_async._files.limits import check_limits, media_type_of
from luma_async._files.storage import Rejected, Storage
from luma_async._http.retry import delay_before
from luma_async.values.errors import InvalidInput, SessionClosed, UploadFailed
from luma_async.values.events import Retried, Uploaded, Uploading
from luma_async.values.public import public
from luma_async.values.validators import check_id, check_user_id

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable

    from luma_async._files.content import Content
    from luma_async._http.queries import Queries
    from luma_async._wire.dialect import Dialect
    from luma_async.values.events import Emitter
    from luma_async.values.files import UploadedFile, UploadTarget
    from luma_async.values.settings import RetryPolicy

_FIRST_LOOK_S, _MAX_LOOK_S = 0.25, 5.0
"""The pauses while the service checks a file: images take a second, videos longer."""
_MAX_CHECK_S = 600.0
"""How long the service may check a file."""
_MAX_SENT_AT_ONCE = 8
"""How many files are sent at once: more would fill the memory, and time out while they wait for a connection."""
_PAGE_SIZE = 100
_PURPOSES = ("input", "reference")
_STATES = ("pending", "ready", "failed", "deleted")


@public
class Files:
    """Upload files for requests, list and delete them. Nothing here is paid.

    Only some services take files; see `session.supports("files")`.
    """

    def __init__(
        self,
        *,
        queries: Queries,
        dialect: Dialect,
        storage: Storage,
        retry: RetryPolicy,
        random: Callable[[], float],
        events: Emitter,
        is_closing: Callable[[], bool],
    ) -> None:
        self._queries = queries
        self._dialect = dialect
        self._storage = storage
        self._retry = retry
        self._random = random
        self._events = events
        self._is_closing = is_closing
        self._room = asyncio.Semaphore(_MAX_SENT_AT_ONCE)

    async def upload(
        self,
        source: str | os.PathLike[str] | bytes,
        /,
        *,
        purpose: str = "input",
        mime_type: str | None = None,
        filename: str | None = None,
        user_id: str | None = None,
    ) -> UploadedFile:
        """Upload a file, and wait until the service has checked it.

        A file on disk is read piece by piece. `FileReference(file.id)` uses it in requests, as often as you like.

        Args:
            source: the path of a file, or its bytes.
            purpose: "input" or "reference".
            mime_type: the media type; None finds it by the first bytes, or by the name.
            filename: a name for it; None takes that of the path.
            user_id: your own mark for the person for whom it is uploaded.

        Returns:
            The file, ready to be used.

        Raises:
            UnsupportedOperation: the service takes no files; nothing was sent.
            InvalidInput: the file cannot be read, is too large, or its type is unknown; nothing was sent.
            UploadFailed: the upload kept failing, or the service refused the file. Nothing was bought.
            SessionClosed: the session is closed.
            LumaError: no usable response came, after retries. Nothing was bought.

        Costs:
            Nothing; uploads are free.

        Cancellation:
            Safe. A file may be left at the service, without its bytes; nothing is paid for it.
        """
        self._check_open()
        limits = self._dialect.uploads
        if limits is None:
            raise self._dialect.unsupported("files")
        _check_word("purpose", purpose, _PURPOSES)
        check_user_id(user_id)
        _check_name("mime_type", mime_type)
        _check_name("filename", filename)
        content = await content_of(source)
        if not content.size_bytes:
            raise InvalidInput(field="source", message="is empty.")
        head = await content.head()
        name = filename if filename is not None else (content.path.name if content.path else None)
        media_type = mime_type or media_type_of(head, name)
        if not isinstance(media_type, str) or "/" not in media_type:
            raise InvalidInput(field="mime_type", message="cannot be found by the file; pass it, such as video/mp4.")
        check_limits(head, content.size_bytes, media_type, limits)
        fields: dict[str, Any] = {"mime_type": media_type, "size_bytes": content.size_bytes, "purpose": purpose}
        fields |= {key: value for key, value in (("filename", name), ("user_id", user_id)) if value}
        async with self._room:
            file_id = await self._send(fields, content)
        return await self._wait_until_ready(file_id, content)

    async def get(self, file_id: str, /) -> UploadedFile:
        """Fetch a file's current state.

        Raises:
            InvalidInput: the id is malformed; nothing was sent.
            GenerationNotFound: the service does not know the id.
            LumaError: no usable response came, after retries.

        Costs:
            One free request.

        Cancellation:
            Safe.
        """
        self._check_open()
        return await self._queries.ask(self._dialect.get_file(check_id(file_id, "file_id")))

    def list(self, *, purpose: str | None = None, state: str | None = None) -> AsyncIterator[UploadedFile]:
        """Yield the files of the account, newest first.

        Args:
            purpose: only files of this purpose, "input" or "reference".
            state: only files in this state: "pending", "ready", "failed" or "deleted".

        Raises:
            InvalidInput: an argument is none of these; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One free request for each hundred.

        Cancellation:
            Safe: after the loop ends, no further page is requested.
        """
        self._check_open()
        query = [("limit", str(_PAGE_SIZE))]
        for field, value, words in (("purpose", purpose, _PURPOSES), ("state", state, _STATES)):
            if value is not None:
                _check_word(field, value, words)
                query.append((field, value))
        self._dialect.list_files(tuple(query))
        return self._list(tuple(query))

    async def delete(self, file_id: str, /) -> None:
        """Delete a file at the service. Generations that used it stay.

        Raises:
            InvalidInput: the id is malformed; nothing was sent.
            GenerationNotFound: the service does not know the id.
            LumaError: no usable response came, after retries; it may be deleted.

        Costs:
            One free request.

        Cancellation:
            It may be deleted or not.
        """
        self._check_open()
        await self._queries.ask(self._dialect.delete_file(check_id(file_id, "file_id")))

    async def _list(self, query: tuple[tuple[str, str], ...]) -> AsyncIterator[UploadedFile]:
        cursor: str | None = None
        while True:
            position = () if cursor is None else (("cursor", cursor),)
            page = await self._queries.ask(self._dialect.list_files(query + position))
            for file in page.files:
                yield file
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    async def _send(self, fields: dict[str, Any], content: Content) -> str:
        """Announce the file and send its bytes, from the beginning again if that fails; return its id."""
        target: UploadTarget | None = None
        attempt = 1
        while True:
            if target is None:
                target = await self._queries.ask(self._dialect.create_file(fields))
            try:
                await self._storage.put(target, content, _Progress(self._events, target.id, content))
                await self._queries.ask(self._dialect.complete_file(target.id))
            except Rejected as rejected:
                # A signed address expires, so the next attempt asks for another.
                failure = UploadFailed(message=f"The storage refused the upload: {rejected}.", path=content.path)
                target = None
            except UploadFailed as error:
                failure = error
            else:
                return target.id
            delay_s = delay_before(attempt, self._retry, self._random())
            if attempt >= self._retry.attempts or delay_s is None or failure.permanent:
                raise failure
            self._events.emit(Retried(what="upload", attempt=attempt, delay_s=delay_s, error=failure))
            await asyncio.sleep(delay_s)
            attempt += 1

    async def _wait_until_ready(self, file_id: str, content: Content) -> UploadedFile:
        pause_s, until_s = _FIRST_LOOK_S, loop_now() + _MAX_CHECK_S
        while True:
            file = await self._queries.ask(self._dialect.get_file(file_id))
            if file.state == "ready":
                self._events.emit(Uploaded(file_id=file.id, path=content.path, size_bytes=content.size_bytes))
                return file
            if file.state in {"failed", "deleted"}:
                why = file.failure_reason or f"it is {file.state}"
                raise UploadFailed(
                    message=f"The service does not take the file: {why.rstrip('.')}.",
                    file_id=file.id,
                    path=content.path,
                )
            if loop_now() >= until_s:
                raise UploadFailed(
                    message=f"The service did not check the file within {_MAX_CHECK_S:.0f} s.",
                    file_id=file.id,
                    path=content.path,
                )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _MAX_LOOK_S)

    def _check_open(self) -> None:
        if self._is_closing():
            raise SessionClosed


class _Progress:
    """Reports how much of a file was sent, at most once a second."""

    def __init__(self, events: Emitter, file_id: str, content: Content) -> None:
        self._events = events
        self._file_id = file_id
        self._content = content
        self._reported_at_s = -1.0

    def __call__(self, sent_bytes: int) -> None:
        now_s = loop_now()
        total_bytes = self._content.size_bytes
        if now_s - self._reported_at_s < 1 and sent_bytes < total_bytes:
            return
        self._reported_at_s = now_s
        self._events.emit(
            Uploading(file_id=self._file_id, path=self._content.path, sent_bytes=sent_bytes, total_bytes=total_bytes)
        )


def _check_name(field: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.strip() and value.isprintable()):
        raise InvalidInput(field=field, message="must be a non-empty string or None.")


def _check_word(field: str, value: object, words: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in words:
        raise InvalidInput(field=field, message=f"must be one of {', '.join(words)}.")
