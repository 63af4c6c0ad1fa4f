"""The session: what a program opens to submit, wait for and download generations."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Self, overload

import attrs

from luma_async._engine import Engine, SessionConfig, start_engine
from luma_async._http.address import check_api_key, check_base_url, resolve, secret_headers, secret_proxy
from luma_async._submit.attempt import Purchase
from luma_async._wire.registry import dialect_at, is_own_host
from luma_async.account import Account, Library
from luma_async.handle import GenerationHandle, as_completed, submit
from luma_async.values.entries import Phase
from luma_async.values.errors import ConfigurationError, SessionClosed
from luma_async.values.events import Emitter
from luma_async.values.public import public, refuses
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
from luma_async.values.validators import (
    check_bool,
    check_callback,
    check_id,
    check_key,
    check_many,
    check_setting,
    check_string,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from ssl import SSLContext
    from types import TracebackType
    from typing import Literal, Never, Unpack

    import aiohttp

    from luma_async._batch.batch import Batch
    from luma_async._batch.item import Destination
    from luma_async._batch.registry import Registry
    from luma_async._batch.source import BatchKeys, BatchRequests
    from luma_async._doubts.doubts import Doubts
    from luma_async._files.files import Files
    from luma_async._journal.protocol import Journal
    from luma_async._wire.dialect import Dialect
    from luma_async.handle import Outcome
    from luma_async.values.budget import Budget
    from luma_async.values.entries import Entry
    from luma_async.values.events import Event
    from luma_async.values.models import Generation
    from luma_async.values.requests import AudioFields, ExtendFields, VideoFields


@public
class LumaSession:
    """Submits generations to one service, waits for them and downloads them.

    A session never sends a paid POST twice and never loses a paid generation: with a journal file not even when the
    process is killed. Creating it checks the arguments and does nothing else. It opens with `async with`, or with
    `open()` and `aclose()`, and can be opened again after closing, in another event loop too.

    Args:
        api_key: the key; not given, `LUMA_API_KEY` is read, for agents.lumalabs.ai `LUMA_AGENTS_API_KEY`, and for
            api.lumalabs.ai `LUMAAI_API_KEY`.
        base_url: the service's address, such as `https://relay.example`; not given, `LUMA_BASE_URL` is read. A dialect
            that only Luma speaks has its address by itself.
        dialect: the dialect that the service speaks. None recognises Luma's own services by their hosts; every other
            host is a relay, which speaks `RixAPI()`.
        journal: where paid generations are recorded. None keeps them in memory while the session is open. A path
            keeps them in a SQLite file, and an address `postgresql://…` in a PostgreSQL database, which several
            machines share. A `Journal` of your own is used and not closed.
        budget: a spending limit, or several. A purchase beyond it raises `BudgetExceeded`, and nothing is sent.
        poll: when to poll generations that are waited for.
        retry: how often to repeat what is safe to repeat.
        limits: how much at once.
        timeouts: bounds on single steps.
        on_event: called with each event. It must return at once; an exception that it raises is logged and dropped.
        headers: further headers for the service's origin, such as the password header of a relay. Their values are
            hidden as the key is.
        ssl: the TLS context for the service: a CA of your own, a client certificate. Not given, the CAs of the system
            are trusted, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name when the session opens.
        proxy: the address of an HTTP proxy for all requests; it may contain a name and a password.
        trust_env: whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` are read when `proxy` is None. Loopback
            addresses are reached without a proxy. `~/.netrc` is never read.
        trace_configs: aiohttp's, for tracing. One that raises while a submit is being written leaves it in doubt.
        allow_insecure: whether the key may be sent over plain HTTP to a host other than loopback.
        allow_private_hosts: whether files may be fetched from hosts on loopback, link-local and private networks even
            if the service is in no such network. Hosts are judged by the addresses that their names lead to.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *misplaced: Never,
        base_url: str | None = None,
        dialect: Dialect | None = None,
        journal: Journal | str | os.PathLike[str] | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        poll: PollPolicy = PollPolicy.adaptive(),
        retry: RetryPolicy = RetryPolicy(),
        limits: Limits = Limits(),
        timeouts: Timeouts = Timeouts(),
        on_event: Callable[[Event], None] | None = None,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        allow_insecure: bool = False,
        allow_private_hosts: bool = False,
    ) -> None:
        self._named_dialect = dialect
        self._dialect: Dialect = dialect_at(base_url or _variable("LUMA_BASE_URL")) if dialect is None else dialect
        self._engine: Engine | None = None
        self._registry: Registry | None = None
        self._opening = False
        self._api_key = Secret(api_key) if api_key is not None else None
        hidden_headers, hidden_proxy = secret_headers(headers or {}), secret_proxy(proxy)
        # Error reporters print the variables of a frame; from here on this one has no key and no password.
        del api_key, headers, proxy
        if misplaced:
            del misplaced
            raise ConfigurationError(
                message="LumaSession takes one argument by position, the API key. Name the others: "
                "LumaSession('sk-…', base_url='https://relay.example')."
            )
        if self._api_key is not None:
            check_api_key(self._api_key)
        check_setting("allow_insecure", allow_insecure)
        check_callback("on_event", on_event)
        if base_url is not None:
            check_base_url(base_url, allow_insecure=allow_insecure)
        self._base_url = base_url
        self._allow_insecure = allow_insecure
        self._config = SessionConfig(
            dialect=self._dialect,
            journal=journal,
            budgets=budget,
            poll=poll,
            retry=retry,
            limits=limits,
            timeouts=timeouts,
            events=Emitter(on_event),
            headers=hidden_headers,
            ssl=ssl,
            proxy=hidden_proxy,
            trust_env=trust_env,
            trace_configs=trace_configs,
            allow_private_hosts=allow_private_hosts,
        )

    def __repr__(self) -> str:
        return f"<LumaSession {self._dialect.name} {'open' if self._engine else 'closed'}>"

    async def open(self) -> None:
        """Open the journal and prepare the connections.

        Raises:
            ConfigurationError: there is no key or no base URL, the session is open already, or the journal cannot
                count what the budget limits.
            JournalError: the journal cannot be used; nothing is left open.

        Costs:
            Nothing; no request is sent.

        Cancellation:
            Safe; nothing is left open.
        """
        if self._engine is not None or self._opening:
            raise ConfigurationError(message="The session is open already. One session is enough for a whole program.")
        if self._named_dialect is None:
            self._dialect = dialect_at(self._base_url or _variable("LUMA_BASE_URL"))
            self._config = attrs.evolve(self._config, dialect=self._dialect)
        address = resolve(
            api_key=self._api_key,
            base_url=self._base_url,
            dialect=self._dialect,
            variable=_variable,
            allow_insecure=self._allow_insecure,
        )
        if self._dialect.retirement and is_own_host(address.base_url):
            warnings.warn(self._dialect.retirement, DeprecationWarning, stacklevel=3)
        self._opening = True
        try:
            self._engine = await start_engine(self._config, address)
        finally:
            self._opening = False

    async def aclose(self) -> None:
        """Close the session. Closing twice is allowed.

        Waiters get `SessionClosed`. Submits that were not sent are withdrawn. The responses to submits that were
        sent are awaited for `Timeouts.close` seconds; a request with `sync_timeout` is awaited for as long as that.
        Generations keep running at the service.

        Costs:
            Nothing.

        Cancellation:
            Closes at once; submits whose response is outstanding are then in doubt.
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

    if not TYPE_CHECKING:
        __enter__ = __exit__ = refuses("Write `async with LumaSession(...) as session:`; it is not opened with `with`.")
        __await__ = refuses("Write `async with LumaSession(...) as session:`, or `await session.open()`.")

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
    @overload
    async def submit(
        self, /, *, prompt: str, key: str | None = None, **fields: Unpack[VideoFields]
    ) -> GenerationHandle: ...
    async def submit(
        self, request: Request | str | None = None, /, *, key: str | None = None, **fields: Any
    ) -> GenerationHandle:
        """Purchase one generation, once, and return its handle as soon as the service has accepted it.

        Args:
            request: a request, or a prompt together with the fields of `VideoRequest` as keyword arguments. The prompt
                may be a keyword argument too: `submit(prompt="…")`.
            key: your name for this purchase, 1-200 printable characters. A key purchases one generation: submitting
                it again returns the handle of that generation. Without a key each call is its own purchase.
            fields: of `VideoRequest`, with a prompt.

        Returns:
            The handle; `await` it for the finished generation.

        Raises:
            InvalidInput, UnsupportedOperation: the request cannot be sent; nothing was sent.
            TypeError: a request together with fields; nothing was sent.
            BudgetExceeded: it would exceed the budget; nothing was sent.
            ConfigurationError: the budget's prices do not say what it costs; nothing was sent.
            NotSent: there was no connection for `RetryPolicy.connect_retry_for` seconds; nothing was sent.
            Refused: the service refused, in one of the subclasses; nothing was charged.
            SubmitInDoubt: it was sent and its outcome is unknown. It may have been charged and is not sent again.
            KeyConflict: the key belongs to another purchase; nothing was sent.
            JournalError: the journal cannot be written; nothing was sent.
            SessionClosed: the session is not open; nothing was sent.

        Costs:
            One generation on success, possibly one on SubmitInDoubt, otherwise nothing.

        Cancellation:
            Returns at once. A submit that was not sent yet is withdrawn. The response to one that was sent is still
            read and recorded in the journal.
        """
        return await submit(self._open(), as_request(request, fields), key)

    async def extend(
        self,
        source: str | GenerationHandle | Generation,
        /,
        prompt: str,
        *,
        key: str | None = None,
        **fields: Unpack[ExtendFields],
    ) -> GenerationHandle:
        """Purchase a continuation of a completed video; otherwise like `submit()`.

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
        /,
        prompt: str,
        *,
        key: str | None = None,
        **fields: Unpack[AudioFields],
    ) -> GenerationHandle:
        """Purchase sound for a completed video; otherwise like `submit()`.

        Args:
            source: the video: an id, a handle or a generation.
            prompt: what the sound is.
            key: your name for this purchase.
            fields: of `AudioRequest`.

        Costs:
            One generation, as `submit()` does.

        Cancellation:
            As with `submit()`.
        """
        return await submit(self._open(), AudioRequest(_id_of(source), prompt, **fields), key)

    @overload
    async def run(
        self, request: Request, /, *, timeout: float | Unset | None = UNSET, key: str | None = None
    ) -> Generation: ...
    @overload
    async def run(
        self,
        prompt: str,
        /,
        *,
        timeout: float | Unset | None = UNSET,
        key: str | None = None,
        **fields: Unpack[VideoFields],
    ) -> Generation: ...
    @overload
    async def run(
        self,
        /,
        *,
        prompt: str,
        timeout: float | Unset | None = UNSET,
        key: str | None = None,
        **fields: Unpack[VideoFields],
    ) -> Generation: ...
    async def run(
        self,
        request: Request | str | None = None,
        /,
        *,
        timeout: float | Unset | None = UNSET,
        key: str | None = None,
        **fields: Any,
    ) -> Generation:
        """Submit a request and wait for the generation: `submit()`, then `handle.wait()`.

        Args:
            request: a request or a prompt, as for `submit()`.
            timeout: seconds to wait after it was accepted; None for no limit.
            key: your name for this purchase.
            fields: of `VideoRequest`, with a prompt.

        Raises:
            Everything that `submit()` and `handle.wait()` raise; the errors of the latter carry the handle.

        Costs:
            One generation, as `submit()` does.

        Cancellation:
            As with `submit()` and `handle.wait()`. Without a journal file and without a key the program then has no
            id of the generation; where that matters, submit and wait in two steps.
        """
        check_timeout(timeout)
        handle = await submit(self._open(), as_request(request, fields), key)
        return await handle.wait(timeout=timeout)

    def batch(
        self,
        requests: BatchRequests,
        /,
        *,
        name: str | None = None,
        keys: BatchKeys | None = None,
        max_in_flight: float | Literal["auto"] | None = None,
        timeout: float | Unset | None = UNSET,
        retry_failed: bool = False,
        download_to: str | os.PathLike[str] | Destination | None = None,
        file_name: str | None = None,
    ) -> Batch:
        """Open a batch: many generations, a bounded number at a time.

        Nothing is submitted before the first outcome is requested: `async for outcome in luma.batch(prompts)`. See
        `Batch` for when it submits and when it stops.

        Args:
            requests: prompts and requests: a list, a generator or an async iterable. Each is taken when a slot is free.
            name: the batch's name. The same name over the same journal resumes and pays only for what is missing; a
                new name submits everything again. A persistent journal needs a name.
            keys: your own keys, one for each request; for None among them a key is derived from `name`.
            max_in_flight: how many generations may be paid and unfinished at once; fewer if 429s show that the
                service allows fewer. "auto" finds the number, `math.inf` means no limit, None uses the session's
                `Limits`.
            timeout: seconds to wait for each generation after it was accepted; None for no limit.
            retry_failed: whether to submit again what failed in an earlier run of this name.
            download_to: where each file goes as soon as it is completed: a folder, which is created and has to be
                writable, or a function that returns the file or the folder for an outcome, as `handle.download()` takes
                it. If it raises, or no file can be where it says, that item alone ends with a `DownloadError`. A file
                that the journal has recorded is downloaded again only if it is damaged.
            file_name: the template of the names of files in a folder, such as "{index:03d} {slug}.{ext}". The fields
                are `{index}` (the item's place in the batch), `{slug}` (the prompt in lower case and dashes), `{id}`
                and `{ext}`; `{index}` or `{id}` is required. With `{id}`, a later run recognises a file that the
                journal did not record. None means "{index:04d}-{slug}-{id}.{ext}".

        Raises:
            ConfigurationError: the journal needs a name, or a batch of this name is open. Nothing was sent.
            InvalidInput: an argument is invalid. Nothing was sent.
            SessionClosed: the session is not open.
        """
        return self._batches().open(
            requests,
            name=name,
            keys=keys,
            max_in_flight=max_in_flight,
            timeout=timeout,
            retry_failed=retry_failed,
            download_to=download_to,
            file_name=file_name,
        )

    def handle(self, generation_id: str, /) -> GenerationHandle:
        """Return the handle of a generation by its id. No request is sent.

        Raises:
            InvalidInput: the id is malformed.
            SessionClosed: the session is not open.
        """
        engine = self._open()
        return GenerationHandle(engine.watcher.tracked(check_id(generation_id)), engine)

    async def find(self, key: str, /) -> Entry | None:
        """Return what the journal knows about a key: whether it was bought, and what became of it.

        `entry.generation_id` is the id for `session.handle()`; it is None before the submit is accepted.

        Args:
            key: the key that was passed to `submit()`, `run()` or a batch.

        Returns:
            The entry; None if nothing was submitted under this key at this service.

        Raises:
            InvalidInput: the key is malformed.
            JournalError: the journal cannot be read.
            SessionClosed: the session is not open.

        Costs:
            Nothing; no request is sent.

        Cancellation:
            Safe.
        """
        check_key(key)
        engine = self._open()
        entry = await engine.journal.get(key)
        return entry if entry is not None and entry.service == engine.service else None

    async def get(self, generation_id: str, /) -> Generation:
        """Fetch the current state of a generation. A failed generation is returned, not raised.

        Raises:
            GenerationNotFound: the service does not know the id.
            LumaError: no usable response came, after retries.

        Costs:
            One free request.

        Cancellation:
            Safe.
        """
        return await self._open().refresh(check_id(generation_id))

    async def get_many(self, generation_ids: Iterable[str], /) -> dict[str, Generation]:
        """Fetch the current states of many generations, in the order of the ids. Unknown ids are absent.

        Raises:
            InvalidInput: an id is malformed; nothing was sent.
            LumaError: no usable response came, after retries.

        Costs:
            One free request for each `batch_size` ids, or one for each id if the service has no query for many.

        Cancellation:
            Safe.
        """
        check_many(generation_ids, "generation_ids", "ids; session.get() takes one id")
        return await self._open().refresh_many(generation_ids)

    async def video_url(self, generation_id: str, /) -> str:
        """Return the watermark-free link of a completed generation; see `handle.video_url()`."""
        return await self.handle(generation_id).video_url()

    def as_completed(self, handles: Iterable[GenerationHandle], /) -> AsyncIterator[Outcome]:
        """Wait for many handles, and yield the outcome of each in completion order.

        Failures are values: `outcome.error`.

        Raises:
            InvalidInput: an item is not a handle.
            SessionClosed: the session is not open.

        Cancellation:
            Safe: leaving the loop stops the waiting and has no other effect.
        """
        check_many(handles, "handles", "handles")
        self._open()
        return as_completed(handles)

    async def resume(self, *, not_downloaded: bool = False) -> list[GenerationHandle]:
        """Return a handle for each generation in the journal that this service accepted and that is not final.

        A generation that the service no longer finds (`Phase.LOST`) is not among them; `session.handle(id).wait()`
        polls it again.

        Args:
            not_downloaded: whether to include completed generations that the journal does not know to be downloaded.
                Services keep files for a limited time.

        Raises:
            JournalError: the journal cannot be read.
            SessionClosed: the session is not open.

        Costs:
            Nothing; polling starts when you wait.

        Cancellation:
            Safe.
        """
        check_bool(not_downloaded, "not_downloaded")
        engine = self._open()
        phases = {Phase.ACCEPTED, Phase.COMPLETED} if not_downloaded else {Phase.ACCEPTED}
        entries = await engine.journal.entries(service=engine.service, phases=phases)
        return [
            GenerationHandle(engine.track(Purchase.from_entry(entry)), engine)
            for entry in entries
            if entry.phase is Phase.ACCEPTED or entry.path is None
        ]

    @property
    def journal(self) -> Journal:
        """The journal of the open session, to list its entries: `await luma.journal.entries(service=luma.service)`."""
        return self._open().journal

    @property
    def service(self) -> str:
        """The name of the service in the entries of the journal: the dialect and the address."""
        return self._open().service

    @property
    def doubts(self) -> Doubts:
        """Submits whose outcome is unknown, and your decisions about them."""
        from luma_async._doubts.doubts import Doubts  # noqa: PLC0415 - most sessions have none

        return Doubts(self._open())

    @property
    def account(self) -> Account:
        """The balances that the service reports."""
        return Account(self._open())

    @property
    def library(self) -> Library:
        """The generations that the service lists for the account."""
        return Library(self._open())

    @property
    def files(self) -> Files:
        """The files of the account at the service, for services that take uploads."""
        engine = self._open()
        if not self.supports("files"):
            raise self._dialect.unsupported("files")
        return engine.files

    async def ping(self) -> None:
        """Send the service's ping request, with the API key.

        Raises:
            UnsupportedOperation: the dialect has no such request; nothing was sent.
            Unauthorized: the service responds and does not accept the key.
            LumaError: no usable response came, after retries.

        Costs:
            One free request.

        Cancellation:
            Safe.
        """
        query = self._dialect.ping()
        await self._open().queries.ask(query)

    def supports(self, operation: str, /) -> bool:
        """Whether the dialect has an operation, such as `extend`, `add_audio`, `upscale`, `query_many` or `user`."""
        check_string(operation, "operation")
        return self._dialect.supports(operation)

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
        engine.check_loop("The session was opened in another event loop. Close it there, then open it in this one.")
        return engine


def _variable(name: str) -> str | None:
    # The environment itself is not passed on: a repr of it would show the key.
    return os.environ.get(name)


def _id_of(source: str | GenerationHandle | Generation) -> str:
    return check_id(getattr(source, "id", source), "source")
