"""The session: what a program opens to buy, wait for, and fetch generations."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Self, overload

from luma_async._engine import Engine, SessionConfig, start_engine
from luma_async._http.address import check_api_key, check_base_url, resolve
from luma_async._submit.attempt import Purchase
from luma_async._wire.rixapi.dialect import RixAPI
from luma_async.account import Account
from luma_async.handle import GenerationHandle, as_completed, submit
from luma_async.library import Library
from luma_async.values.entries import Phase
from luma_async.values.errors import ConfigurationError, SessionClosed
from luma_async.values.events import Emitter
from luma_async.values.redaction import Secret
from luma_async.values.requests import AudioRequest, ExtendRequest, Request, as_request
from luma_async.values.settings import (
    UNSET,
    Limits,
    PollPolicy,
    RetryPolicy,
    Timeouts,
    Unset,
    check_timeout,
)
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Literal, Unpack

    import aiohttp

    from luma_async._batch.batch import Batch
    from luma_async._batch.item import Destination
    from luma_async._batch.registry import Registry
    from luma_async._batch.source import BatchKeys, BatchRequests
    from luma_async._doubts.doubts import Doubts
    from luma_async._http.queries import Queries
    from luma_async._journal.protocol import Journal
    from luma_async._wire.dialect import Dialect
    from luma_async.handle import Outcome
    from luma_async.values.events import Event
    from luma_async.values.models import Generation
    from luma_async.values.requests import AudioFields, ExtendFields, VideoFields

_log = logging.getLogger("luma_async")


class LumaSession:
    """Buys videos, waits for them and fetches them, over one service.

    A session never sends a paid POST twice, and loses no paid generation: with a journal file not even when the
    process is killed. It holds nothing but values until it is opened (`async with`, or `open()` and `aclose()`), and
    can be opened again after closing, in another event loop too.

    Args:
        api_key: the key; not given, `LUMA_API_KEY` counts, or for api.lumalabs.ai `LUMAAI_API_KEY`.
        base_url: the relay's address, such as `https://relay.example`; not given, `LUMA_BASE_URL` counts.
        dialect: the format that the service speaks.
        journal: None remembers paid generations as long as the session is open, a path as long as the file exists
            (SQLite); a `Journal` of your own is used and left open.
        poll: when to look at pending generations.
        retry: how often to repeat what is safe to repeat.
        limits: how much at once.
        timeouts: bounds on single steps.
        on_event: called with each event; it must return at once, and what it raises is logged and swallowed.
        proxy: the address of an HTTP proxy, for all that is sent; a name and a password may stand in it.
        trust_env: whether the proxies of the environment count where none is set: `HTTP_PROXY`, `HTTPS_PROXY` and
            `NO_PROXY`. This machine's own addresses are asked without one, and `~/.netrc` never counts.
        trace_configs: aiohttp's, for tracing. One that raises while a submit is being written leaves it in doubt.
        allow_insecure: whether the key may be sent unencrypted to another host than this machine.

    Raises:
        ConfigurationError: a setting cannot be right.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        dialect: Dialect = RixAPI(),
        journal: Journal | str | os.PathLike[str] | None = None,
        poll: PollPolicy = PollPolicy.adaptive(),
        retry: RetryPolicy = RetryPolicy(),
        limits: Limits = Limits(),
        timeouts: Timeouts = Timeouts(),
        on_event: Callable[[Event], None] | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        allow_insecure: bool = False,
    ) -> None:
        self._dialect = dialect
        self._engine: Engine | None = None
        self._registry: Registry | None = None
        self._opening = False
        self._api_key = Secret(api_key) if api_key is not None else None
        # From here on this frame, which error reporters print, holds no key.
        del api_key
        if self._api_key is not None:
            check_api_key(self._api_key)
        if base_url is not None:
            check_base_url(base_url, allow_insecure=allow_insecure)
        self._base_url = base_url
        self._allow_insecure = allow_insecure
        self._config = SessionConfig(
            dialect=self._dialect,
            journal=journal,
            poll=poll,
            retry=retry,
            limits=limits,
            timeouts=timeouts,
            events=Emitter(on_event),
            proxy=proxy,
            trust_env=trust_env,
            trace_configs=trace_configs,
        )

    def __repr__(self) -> str:
        return f"<LumaSession {self._dialect.name} {'open' if self._engine else 'closed'}>"

    async def open(self) -> None:
        """Open the session: the journal first, then what sends.

        Raises:
            ConfigurationError: there is no key or no base URL, or the session is open already.
            JournalError: the journal cannot be used; nothing is left open.

        Costs:
            Nothing; no request is made.

        Cancellation:
            Safe; nothing is left open.
        """
        if self._engine is not None or self._opening:
            raise ConfigurationError(message="The session is open already; one is enough for a whole program.")
        address = resolve(
            api_key=self._api_key,
            base_url=self._base_url,
            default_base_url=self._dialect.default_base_url,
            variable=_variable,
            allow_insecure=self._allow_insecure,
        )
        self._opening = True
        try:
            self._engine = await start_engine(self._config, address)
        finally:
            self._opening = False

    async def aclose(self) -> None:
        """Close the session. Closing twice is fine.

        Waiters get `SessionClosed`, submits that were not sent are withdrawn, and the answers to those that were
        are awaited for `Timeouts.close` seconds, or as long as a picture may take that is made while its answer is
        held back (`sync_timeout`). Generations run on at the service.

        Costs:
            Nothing.

        Cancellation:
            Closes at once; paid submits that are still unanswered are then in doubt.
        """
        engine, self._engine = self._engine, None
        registry, self._registry = self._registry, None
        if engine is None:
            return
        engine.closing = True
        try:
            if registry is not None:
                await registry.aclose()
        finally:
            await engine.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

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
        return await submit(self._open(), as_request(wanted, fields), key)

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
        return await submit(self._open(), ExtendRequest(_id_of(source), prompt, **fields), key)

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
        return await submit(self._open(), AudioRequest(_id_of(source), prompt, **fields), key)

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
        handle = await submit(self._open(), as_request(wanted, fields), key)
        return await handle.wait(timeout=timeout)

    def batch(
        self,
        wanted: BatchRequests,
        /,
        *,
        name: str | None = None,
        keys: BatchKeys | None = None,
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
        return self._batches().open(
            wanted,
            name=name,
            keys=keys,
            max_in_flight=max_in_flight,
            timeout=timeout,
            retry_failed=retry_failed,
            download_to=download_to,
        )

    def handle(self, generation_id: str, /) -> GenerationHandle:
        """Attach to a generation by its id, without asking anybody.

        Raises:
            InvalidInput: the id is malformed.
            SessionClosed: the session is not open.
        """
        engine = self._open()
        return GenerationHandle(engine.watcher.tracked(check_id(generation_id)), engine)

    async def get(self, generation_id: str, /) -> Generation:
        """Return the current state of a generation, a failed one too.

        Raises:
            GenerationNotFound: the service does not know the id.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        return await self._open().refresh(check_id(generation_id))

    async def get_many(self, generation_ids: Iterable[str], /) -> dict[str, Generation]:
        """Return the current states of many generations, in the order asked; unknown ids are absent.

        Raises:
            InvalidInput: an id is malformed; nothing was sent.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing for each `batch_size` ids, where the service can answer for many.

        Cancellation:
            Safe.
        """
        return await self._open().refresh_many(generation_ids)

    async def video_url(self, generation_id: str, /) -> str:
        """Return the watermark-free link of a completed generation; see `handle.video_url()`."""
        return await self.handle(generation_id).video_url()

    def as_completed(self, handles: Iterable[GenerationHandle], /) -> AsyncIterator[Outcome]:
        """Wait for many at once, and yield the outcome of each as it ends.

        Failures are values here: `outcome.error`.

        Raises:
            InvalidInput: something among them is no handle.
            SessionClosed: the session is not open.

        Cancellation:
            Safe: leaving the loop stops the waiting, and nothing else.
        """
        self._open()
        return as_completed(handles)

    async def resume(self, *, not_downloaded: bool = False) -> list[GenerationHandle]:
        """Return a handle for every generation in the journal that this service accepted and has not finished.

        What the service stopped knowing (`Phase.LOST`) is not among them; `session.handle(id).wait()` asks again.

        Args:
            not_downloaded: whether also for those that are completed and were never downloaded, as far as the journal
                knows. Services keep files for a while only.

        Raises:
            JournalError: the journal cannot be read.
            SessionClosed: the session is not open.

        Costs:
            Nothing; the first looks come when you wait.

        Cancellation:
            Safe.
        """
        engine = self._open()
        phases = {Phase.ACCEPTED, Phase.COMPLETED} if not_downloaded else {Phase.ACCEPTED}
        entries = await engine.journal.entries(service=engine.service, phases=phases)
        return [
            GenerationHandle(engine.track(Purchase.from_entry(entry)), engine)
            for entry in entries
            if entry.phase is Phase.ACCEPTED or entry.path is None
        ]

    @property
    def doubts(self) -> Doubts:
        """Submits whose fate is unknown, and your decisions about them."""
        from luma_async._doubts.doubts import Doubts  # noqa: PLC0415 - most sessions have none

        return Doubts(self._open())

    @property
    def account(self) -> Account:
        """Balances, as far as the service tells them."""
        return Account(self._queries, self._dialect)

    @property
    def library(self) -> Library:
        """The account's generations at the official service."""
        return Library(self._queries, self._dialect)

    async def ping(self) -> None:
        """Ask the official service for a sign of life, with the API key.

        Raises:
            UnsupportedOperation: this format has no such call; nothing was sent.
            Unauthorized: it is there, and does not take the key.
            LumaError: no usable answer came, after retries.

        Costs:
            One request that costs nothing.

        Cancellation:
            Safe.
        """
        call = self._dialect.ping()
        await self._queries().ask(call)

    def supports(self, operation: str, /) -> bool:
        """Whether this service has a call, such as `extend`, `add_audio`, `upscale`, `query_many` or `user`."""
        return self._dialect.supports(operation)

    def _queries(self) -> Queries:
        return self._open().queries

    def _batches(self) -> Registry:
        from luma_async._batch.registry import Registry  # noqa: PLC0415 - most sessions have none

        engine = self._open()
        if self._registry is None:
            self._registry = Registry(engine)
        return self._registry

    def _open(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise SessionClosed
        if engine.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                message="The session was opened in another event loop: close it there, then open it in this one."
            )
        return engine


def _variable(name: str) -> str | None:
    # Not the environment itself: whoever printed that would print the key.
    return os.environ.get(name)


def _id_of(source: str | GenerationHandle | Generation) -> str:
    return check_id(getattr(source, "id", source), "source")
