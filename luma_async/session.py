"""The session: what a program opens to buy, wait for, and fetch generations."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Self

from luma_async._engine import Engine, start_engine
from luma_async._http.address import check_api_key, check_base_url, resolve
from luma_async._wire.rixapi.dialect import RixAPI
from luma_async.account import Account
from luma_async.handle import as_completed
from luma_async.library import Library
from luma_async.plan import SessionConfig
from luma_async.purchases import Purchases
from luma_async.values.entries import Phase
from luma_async.values.errors import ConfigurationError, SessionClosed
from luma_async.values.redaction import Secret
from luma_async.values.settings import Limits, PollPolicy, RetryPolicy, Timeouts
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from types import TracebackType

    import aiohttp

    from luma_async._doubts.doubts import Doubts
    from luma_async._http.queries import Queries
    from luma_async._journal.protocol import Journal
    from luma_async._wire.dialect import Dialect
    from luma_async.handle import GenerationHandle, Outcome
    from luma_async.values.events import Event
    from luma_async.values.models import Generation

_log = logging.getLogger("luma_async")


class LumaSession(Purchases):
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
        self._parts: Engine | None = None
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
        self._on_event = on_event
        self._plan = SessionConfig(
            dialect=self._dialect,
            journal=journal,
            poll=poll,
            retry=retry,
            limits=limits,
            timeouts=timeouts,
            emit=None if on_event is None else self._emit,
            proxy=proxy,
            trust_env=trust_env,
            trace_configs=trace_configs,
        )

    def __repr__(self) -> str:
        return f"<LumaSession {self._dialect.name} {'open' if self._parts else 'closed'}>"

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
        if self._parts is not None or self._opening:
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
            self._parts = await start_engine(self._plan, address)
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
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def handle(self, generation_id: str, /) -> GenerationHandle:
        """Attach to a generation by its id, without asking anybody.

        Raises:
            InvalidInput: the id is malformed.
            SessionClosed: the session is not open.
        """
        return self._open().attach(check_id(generation_id))

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
        parts = self._open()
        phases = {Phase.ACCEPTED, Phase.COMPLETED} if not_downloaded else {Phase.ACCEPTED}
        entries = await parts.journal.entries(service=parts.service, phases=phases)
        return [parts.handle_of(entry) for entry in entries if entry.phase is Phase.ACCEPTED or entry.path is None]

    @property
    def doubts(self) -> Doubts:
        """Submits whose fate is unknown, and your decisions about them."""
        return self._open().doubts

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

    def _open(self) -> Engine:
        parts = self._parts
        if parts is None:
            raise SessionClosed
        if parts.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                message="The session was opened in another event loop: close it there, then open it in this one."
            )
        return parts

    def _emit(self, event: Event) -> None:
        assert self._on_event is not None
        try:
            self._on_event(event)
        except Exception:
            _log.exception("on_event raised; the event was %s", type(event).__name__)


def _variable(name: str) -> str | None:
    # Not the environment itself: whoever printed that would print the key.
    return os.environ.get(name)
