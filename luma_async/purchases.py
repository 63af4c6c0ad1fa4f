"""Buying, as a session offers it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, overload

from luma_async.values.requests import AudioRequest, ExtendRequest, Request, as_request
from luma_async.values.settings import UNSET, Unset, check_timeout
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    import os
    from typing import Literal, Unpack

    from luma_async._batch.batch import Batch
    from luma_async._batch.item import Destination
    from luma_async._batch.source import Keys, Wanted
    from luma_async._engine import Engine
    from luma_async.handle import GenerationHandle
    from luma_async.values.models import Generation
    from luma_async.values.requests import AudioFields, ExtendFields, VideoFields


class Purchases(ABC):
    """What costs money. `LumaSession` is the one to use."""

    @abstractmethod
    def _open(self) -> Engine:
        """Return what an open session is made of."""

    @overload
    async def submit(self, request: Request, /, *, key: str | None = None) -> GenerationHandle: ...
    @overload
    async def submit(
        self, prompt: str, /, *, key: str | None = None, **fields: Unpack[VideoFields]
    ) -> GenerationHandle: ...
    async def submit(
        self, wanted: Request | str, /, *, key: str | None = None, **fields: Unpack[VideoFields]
    ) -> GenerationHandle:
        """Buy one generation, once, and return its handle as soon as the service has accepted it.

        Args:
            wanted: a request, or a prompt with the fields of `VideoRequest` by name.
            key: your name for this purchase, 1-200 printable characters. A key buys one generation: submitting
                it again returns the handle of the one that exists. Without a key each call buys.
            fields: of `VideoRequest`, when `wanted` is a prompt.

        Returns:
            The handle; `await` it for the finished generation.

        Raises:
            InvalidInput, UnsupportedOperation: the request cannot be sent; nothing was.
            TypeError: fields beside a request.
            NotSent: there was no connection for as long as `RetryPolicy.connect_retry_for`; nothing was sent.
            Refused: the service said no, in one of its kinds; nothing was charged.
            SubmitInDoubt: it was sent and nobody knows; it may have been charged, and is not repeated.
            KeyConflict: the key stands for another purchase; nothing was sent.
            JournalError: the journal cannot be written; nothing was sent.
            SessionClosed: the session is not open; nothing was sent.

        Costs:
            One generation, once, unless this raises anything but SubmitInDoubt.

        Cancellation:
            Returns at once. What was not sent yet is withdrawn; what was is journalled when its answer comes.
        """
        return await self._open().submit(as_request(wanted, fields), key)

    async def extend(
        self,
        source: str | GenerationHandle | Generation,
        prompt: str,
        /,
        *,
        key: str | None = None,
        **fields: Unpack[ExtendFields],
    ) -> GenerationHandle:
        """Buy a continuation of a completed video; otherwise like `submit()`.

        Args:
            source: the video: an id, a handle or a generation.
            prompt: what happens next.
            key: your name for this purchase.
            fields: of `ExtendRequest`.

        Costs:
            One generation, as `submit()` does.

        Cancellation:
            As with `submit()`.
        """
        return await self._open().submit(ExtendRequest(_id_of(source), prompt, **fields), key)

    async def add_audio(
        self,
        source: str | GenerationHandle | Generation,
        prompt: str,
        /,
        *,
        key: str | None = None,
        **fields: Unpack[AudioFields],
    ) -> GenerationHandle:
        """Buy sound for a completed video; otherwise like `submit()`.

        Args:
            source: the video: an id, a handle or a generation.
            prompt: what to hear.
            key: your name for this purchase.
            fields: of `AudioRequest`.

        Costs:
            One generation, as `submit()` does.

        Cancellation:
            As with `submit()`.
        """
        return await self._open().submit(AudioRequest(_id_of(source), prompt, **fields), key)

    async def run(
        self,
        wanted: Request | str,
        /,
        *,
        timeout: float | Unset | None = UNSET,
        key: str | None = None,
        **fields: Unpack[VideoFields],
    ) -> Generation:
        """Buy one generation and wait for it: `submit()`, then `handle.wait()`.

        Args:
            wanted: a request, or a prompt with the fields of `VideoRequest` by name.
            timeout: seconds to wait after it was accepted; None for no limit.
            key: your name for this purchase.
            fields: of `VideoRequest`, when `wanted` is a prompt.

        Raises:
            Everything that `submit()` and `handle.wait()` raise; the latter's errors carry the handle.

        Costs:
            One generation.

        Cancellation:
            As with `submit()` and `handle.wait()`. Without a journal or a key its id is then known to nobody:
            submit and wait in two steps where that matters.
        """
        check_timeout(timeout)
        handle = await self._open().submit(as_request(wanted, fields), key)
        return await handle.wait(timeout=timeout)

    def batch(
        self,
        wanted: Wanted,
        /,
        *,
        name: str | None = None,
        keys: Keys | None = None,
        max_in_flight: float | Literal["auto"] | None = None,
        timeout: float | Unset | None = UNSET,
        retry_failed: bool = False,
        download_to: str | os.PathLike[str] | Destination | None = None,
    ) -> Batch:
        """Buy many, a bounded number at a time: `async for outcome in luma.batch(prompts)`.

        Nothing is bought before the first outcome is asked for; see `Batch` for when it buys, and when it stops.

        Args:
            wanted: prompts and requests: a list, a generator or an async iterable, pulled only when there is room.
            name: what this batch is called. The same name over the same journal resumes, and pays only for what is
                missing; a new name buys everything again. A journal that outlives the session needs one.
            keys: your own names for the purchases, one for each of `wanted`; None among them derives one from `name`.
            max_in_flight: paid and unfinished generations at once, where 429s do not show that the service bears
                fewer; "auto" finds out, `math.inf` is no bound, None is that of the session's `Limits`.
            timeout: seconds to wait for each after it was accepted; None for no limit.
            retry_failed: whether to buy once more what failed in an earlier run of this name.
            download_to: where each file goes as soon as it is made: a folder, which is made if need be, or a
                function that returns the file or the folder for an outcome. What the journal knows to be on disk
                is fetched again only if it is damaged.

        Raises:
            ConfigurationError: the journal needs a name, or a batch of this name is open. Nothing was sent.
            InvalidInput: an argument cannot be right. Nothing was sent.
            SessionClosed: the session is not open.
        """
        return self._open().batches.open(
            wanted,
            name=name,
            keys=keys,
            max_in_flight=max_in_flight,
            timeout=timeout,
            retry_failed=retry_failed,
            download_to=download_to,
        )


def _id_of(source: str | GenerationHandle | Generation) -> str:
    return check_id(getattr(source, "id", source), "source")
