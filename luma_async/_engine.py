"""The parts of an open session: `Engine` builds them in order and closes them in the reverse order.

Opening imports what only an open session needs (aiohttp, sqlite3, cattrs). Closing fails the waiters first, then
waits for paid POSTs whose response is outstanding, then closes the connections, and the journal last.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import loop_now, wall_now
from luma_async._files.pictures import large_pictures
from luma_async._fleet.member import Member
from luma_async._http.listing import Listing
from luma_async._http.queries import Queries
from luma_async._journal.fingerprint import duration_kind
from luma_async._journal.hints import HintStore
from luma_async._journal.memory import MemoryJournal
from luma_async._journal.protocol import Journal, SharedJournal, is_address
from luma_async._journal.recorder import Recorder
from luma_async._poll.durations import DurationModel
from luma_async._poll.fetcher import Fetcher
from luma_async._poll.observation import Look
from luma_async._poll.watcher import Watcher
from luma_async._submit.attempt import Attempts, Purchase
from luma_async._submit.shared import SharedLimits
from luma_async._submit.spending import Spending, check_counts
from luma_async._submit.submitter import Submitter
from luma_async._submit.throttle import Rate, Throttle, shared_bounds
from luma_async._submit.unfinished import places
from luma_async._submit.window import SlidingWindow
from luma_async._wire.registry import check_dialect
from luma_async.values import log
from luma_async.values.budget import Budget, check_budgets
from luma_async.values.errors import ConfigurationError, SessionClosed
from luma_async.values.redaction import Secret
from luma_async.values.settings import Limits, PollPolicy, RetryPolicy, Timeouts
from luma_async.values.validators import (
    check_journal,
    check_kind,
    check_ssl,
    check_switch,
    check_trace_configs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ssl import SSLContext

    import aiohttp

    from luma_async._download.downloader import Downloader
    from luma_async._files.files import Files
    from luma_async._files.pictures import Pictures
    from luma_async._http.address import Address
    from luma_async._http.transport import Transport
    from luma_async._journal.hints import Hint
    from luma_async._poll.tracked import Tracked
    from luma_async._wire.dialect import Dialect
    from luma_async.values.entries import Entry
    from luma_async.values.events import Emitter
    from luma_async.values.models import Generation
    from luma_async.values.requests import Request

_DURATION_HINT = "duration "
"""The beginning of the names of hints that hold a duration model."""


@attrs.frozen(kw_only=True)
class SessionConfig:
    """The settings of a session, checked."""

    dialect: Dialect = attrs.field(validator=check_dialect)
    """The dialect that the service speaks."""
    journal: Journal | str | os.PathLike[str] | None = attrs.field(validator=check_journal)
    """Where paid intents are recorded; None for memory, a path for SQLite, an address for PostgreSQL."""
    budgets: Sequence[Budget] = attrs.field(converter=check_budgets)
    """What may be spent."""
    poll: PollPolicy = attrs.field(validator=check_kind(PollPolicy))
    """When to poll."""
    retry: RetryPolicy = attrs.field(validator=check_kind(RetryPolicy))
    """How often to repeat what is safe to repeat."""
    limits: Limits = attrs.field(validator=check_kind(Limits))
    """How much at once."""
    timeouts: Timeouts = attrs.field(validator=check_kind(Timeouts))
    """Bounds on single steps."""
    events: Emitter
    """Calls `on_event`."""
    headers: Mapping[str, Secret]
    """Further headers for the service's origin."""
    ssl: SSLContext | None = attrs.field(validator=check_ssl)
    """The TLS context for the service; None for the default."""
    proxy: Secret | None
    """The address of an HTTP proxy; it may hold a password."""
    trust_env: bool = attrs.field(validator=check_switch)
    """Whether environment variables such as HTTP_PROXY apply."""
    trace_configs: Sequence[aiohttp.TraceConfig] = attrs.field(validator=check_trace_configs)
    """The user's trace configurations for aiohttp."""
    allow_private_hosts: bool = attrs.field(validator=check_switch)
    """Whether files are fetched from private networks even if the service is not there."""


class Engine:
    """The journal, connections and workers of one open session. `start_engine()` builds it."""

    def __init__(
        self, config: SessionConfig, address: Address, journal: Journal, owner: str, stack: AsyncExitStack
    ) -> None:
        from luma_async._http.proxies import Proxies  # noqa: PLC0415 - imports aiohttp
        from luma_async._http.tls import environment_context  # noqa: PLC0415 - imports ssl
        from luma_async._http.transport import Transport  # noqa: PLC0415 - aiohttp is loaded when a session opens

        # Load cattrs now; otherwise its import would block the loop at the first response.
        import_module("luma_async._wire.converter")

        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.config: SessionConfig = config
        self.dialect: Dialect = config.dialect
        self.journal: Journal = journal
        self.service: str = f"{config.dialect.name} {address.base_url}"
        self.events: Emitter = config.events
        self.closing: bool = False
        self.stack: AsyncExitStack = stack
        self._address = address
        self._downloading = AsyncExitStack()
        self._proxies = Proxies(config.proxy, trust_env=config.trust_env)
        self.transport: Transport = Transport(
            base_url=address.base_url,
            api_key=address.api_key,
            headers=config.headers,
            timeouts=config.timeouts,
            connections=config.limits.requests,
            proxies=self._proxies,
            tls=config.ssl or environment_context(),
            trace_configs=config.trace_configs,
            rate_headers=self.dialect.rate_headers,
        )
        stack.push_async_callback(self.transport.aclose)
        self.queries: Queries = Queries(
            transport=self.transport,
            dialect=self.dialect,
            retry=config.retry,
            deadline_s=config.timeouts.request,
            random=random.random,
            events=self.events,
        )
        self._fetcher = Fetcher(
            queries=self.queries, dialect=self.dialect, concurrency=config.limits.requests, events=self.events
        )
        self.spending: Spending = Spending(config.budgets, journal=journal, service=self.service)
        self.hints: HintStore = HintStore(journal, self.service)
        """Keeps what this session learns for the next one."""
        self.earlier: dict[str, Hint] = {}
        """What earlier sessions have learned, by name."""
        stack.push_async_callback(self.hints.aclose, config.timeouts.close)
        self.recorder: Recorder = Recorder(journal, self.service)
        stack.push_async_callback(self.recorder.aclose, config.timeouts.close)
        self._shared = self._shared_limits(owner)
        self._throttle = self._new_throttle()
        self.submitter: Submitter = self._submitter(owner)
        stack.push_async_callback(self.submitter.aclose, config.timeouts.close)
        stack.push_async_callback(self._close_downloads)
        self.watcher: Watcher = self._watcher()
        stack.push_async_callback(self.watcher.aclose)
        self._member = self._new_member(owner)

    @cached_property
    def downloader(self) -> Downloader:
        """Finds links and downloads files."""
        from luma_async._download.client import FileClient  # noqa: PLC0415 - most sessions download nothing
        from luma_async._download.downloader import Downloader  # noqa: PLC0415 - the same
        from luma_async._download.link_resolver import LinkResolver  # noqa: PLC0415 - the same
        from luma_async._http.tls import environment_context  # noqa: PLC0415 - imports ssl

        files = FileClient(
            service=self._address,
            service_headers=self.config.headers,
            service_tls=self.config.ssl,
            tls=environment_context(),
            allow_private_hosts=self.config.allow_private_hosts,
            timeouts=self.config.timeouts,
            proxies=self._proxies,
        )
        self._downloading.push_async_callback(files.aclose)
        return Downloader(
            files=files,
            links=LinkResolver(refresh=self.refresh, ask=self._ask_link if self.dialect.supports("link") else None),
            recorder=self.recorder,
            events=self.events,
            retry=self.config.retry,
            stall_s=self.config.timeouts.download_stall,
            random=random.random,
            # A link that is known can be returned even while the session closes.
            closed=self.closing,
        )

    @cached_property
    def files(self) -> Files:
        """Uploads files, and lists them."""
        from luma_async._files.files import Files  # noqa: PLC0415 - most sessions upload nothing
        from luma_async._files.storage import Storage  # noqa: PLC0415 - the same
        from luma_async._http.tls import environment_context  # noqa: PLC0415 - imports ssl

        storage = Storage(
            service=self._address.base_url,
            timeouts=self.config.timeouts,
            proxies=self._proxies,
            tls=environment_context(),
        )
        self._downloading.push_async_callback(storage.aclose)
        return Files(
            queries=self.queries,
            dialect=self.dialect,
            storage=storage,
            retry=self.config.retry,
            random=random.random,
            events=self.events,
            is_closing=lambda: self.closing,
        )

    @cached_property
    def _pictures(self) -> Pictures:
        from luma_async._files.pictures import Pictures  # noqa: PLC0415 - most requests have no large picture

        pictures = Pictures(self.files, self.dialect.uploads)
        self._downloading.push_async_callback(pictures.aclose)
        return pictures

    async def _prepare(self, request: Request) -> Request:
        """Upload or read the large pictures of a request."""
        if next(large_pictures(request, self.dialect.uploads), None) is None:
            return request
        return await self._pictures.prepare(request)

    @cached_property
    def listing(self) -> Listing:
        """The service's own list of generations."""
        return Listing(self.queries, self.dialect)

    def track(self, purchase: Purchase) -> Tracked:
        """Return the tracked generation of a purchase, with what the journal knows of it."""
        entry = purchase.entry
        assert entry.generation_id is not None
        tracked = self.watcher.tracked(entry.generation_id)
        if tracked.submitted_at_s is None:
            tracked.submitted_here = purchase.accepted_at_s is not None
        _set_origin(tracked, entry, purchase.accepted_at_s)
        if purchase.row is not None and purchase.accepted_at_s is not None:
            self.watcher.remember_answer(tracked, purchase.row, purchase.accepted_at_s)
        elif entry.generation is not None:
            self.watcher.remember(tracked, Look(entry.generation, 0.0))
        return tracked

    async def refresh(self, generation_id: str) -> Generation:
        """Fetch a generation, and show it to its waiters."""
        self.check_open()
        asked_at_s = loop_now()
        generation = await self._fetcher.get(generation_id)
        self.watcher.observe(generation, asked_at_s)
        return generation

    async def refresh_many(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Fetch generations, and show each to its waiters."""
        asked_at_s = loop_now()
        found = await self._fetcher.get_many(generation_ids)
        for generation in found.values():
            self.watcher.observe(generation, asked_at_s)
        return found

    async def read_hints(self) -> None:
        """Read what earlier sessions have learned, and start with their duration models."""
        self.earlier = await self.hints.read()
        for name, hint in self.earlier.items():
            model = DurationModel.from_hint(hint) if name.startswith(_DURATION_HINT) else None
            if model is not None:
                self.watcher.learner.use_earlier(name.removeprefix(_DURATION_HINT), model)

    def _note_durations(self) -> None:
        for kind, model in self.watcher.learner.learned().items():
            self.hints.note(f"{_DURATION_HINT}{kind}", model.to_hint())

    def check_open(self) -> None:
        """Raise `SessionClosed` once closing has begun."""
        if self.closing:
            raise SessionClosed

    def check_loop(self, message: str) -> None:
        """Raise a `ConfigurationError` with this message if the session is open in another event loop."""
        if not self.closing and self.loop is not asyncio.get_running_loop():
            raise ConfigurationError(message=message)

    async def find_origin(self, tracked: Tracked) -> None:
        """Find the journal's entry for an id that the program passed in."""
        if tracked.key is not None:
            return
        try:
            entry = await self.journal.find(self.service, tracked.id)
        except Exception as error:
            extra = log.fields("note", generation_id=tracked.id)
            log.logger.warning(
                "the journal could not be searched for generation %s: %s", tracked.id, error, extra=extra
            )
            return
        if entry is not None:
            _set_origin(tracked, entry)

    async def aclose(self) -> None:
        """Close all parts in order, even if closing one of them raises."""
        self.closing = True
        self._note_durations()
        await self.stack.aclose()
        log.step("closed", "the session is closed")

    def _submitter(self, owner: str) -> Submitter:
        config = self.config
        return Submitter(
            attempts=Attempts(
                transport=self.transport,
                dialect=self.dialect,
                journal=self.journal,
                owner=owner,
                spending=self.spending,
            ),
            dialect=self.dialect,
            journal=self.journal,
            owner=owner,
            service=self.service,
            throttle=self._throttle,
            spending=self.spending,
            retry=config.retry,
            random=random.random,
            events=config.events,
            prepare=self._prepare,
        )

    def _shared_limits(self, owner: str) -> SharedLimits | None:
        """Return the limits that several programs share; None if the journal does not share them."""
        if not isinstance(self.journal, SharedJournal):
            return None
        limits, known = self.config.limits, self.dialect.limits
        rate, window = Rate.from_limits(limits, known), SlidingWindow.from_limits(limits, known)
        bounds = shared_bounds(rate, window, limits, known)
        shared = SharedLimits(self.journal, service=self.service, owner=owner, bounds=bounds)
        self.stack.push_async_callback(shared.aclose, self.config.timeouts.close)
        return shared

    def _new_member(self, owner: str) -> Member | None:
        """Return what decides which program polls; None if the journal is not shared."""
        if self._shared is None or not isinstance(self.journal, SharedJournal):
            return None
        member = Member(
            self.journal,
            service=self.service,
            owner=owner,
            watcher=self.watcher,
            recorder=self.recorder,
            limits=self._shared,
            throttle=self._throttle,
            track=lambda entry: self.track(Purchase.from_entry(entry)),
            read_hints=self.read_hints,
        )
        self.stack.push_async_callback(member.aclose)
        return member

    async def join(self) -> None:
        """Begin to share the polling with other programs, if the journal is shared."""
        if self._member is not None:
            await self._member.start()

    def _new_throttle(self) -> Throttle:
        limits, known = self.config.limits, self.dialect.limits
        self._unfinished = places(limits, known, self._follow)
        return Throttle(
            concurrency=limits.requests,
            rate=Rate.from_limits(limits, known),
            window=SlidingWindow.from_limits(limits, known),
            unfinished=self._unfinished,
            session_pause=self.queries.pause,
            shared=self._shared,
        )

    def hold(self, owner: object, number: int) -> None:
        """Count the items of a batch that wait until a generation has ended."""
        if self._unfinished is not None:
            self._unfinished.hold(owner, number)

    def _pressure(self) -> float:
        return 1.0 if self._unfinished is None else self._unfinished.pressure

    async def _follow(self, generation_id: str) -> None:
        """Poll a generation until it has ended."""
        await self.watcher.wait(self.watcher.tracked(generation_id), timeout_s=None)

    def _finished(self, generation: Generation) -> None:
        if not self.watcher.tracked(generation.id).recorded:
            self.recorder.finished(generation)
        if self.hints.due:
            self._note_durations()
        if self._unfinished is not None:
            self._unfinished.ended(generation.id)

    def _lost(self, generation_id: str) -> None:
        self.recorder.lost(generation_id)
        if self._unfinished is not None:
            self._unfinished.ended(generation_id)

    def _watcher(self) -> Watcher:
        config = self.config
        return Watcher(
            fetcher=self._fetcher,
            dialect=self.dialect,
            policy=config.poll,
            random=random.random,
            events=config.events,
            on_final=self._finished,
            find_origin=self.find_origin,
            on_lost=self._lost,
            pressure=self._pressure,
        )

    async def _ask_link(self, generation_id: str) -> str:
        self.check_open()
        return await self.queries.ask_once(self.dialect.link(generation_id))

    async def _close_downloads(self) -> None:
        if "downloader" in vars(self):
            self._downloading.push_async_callback(self.downloader.aclose)
        await self._downloading.aclose()


async def start_engine(config: SessionConfig, address: Address) -> Engine:
    """Open the journal, and build the engine on it.

    Raises:
        ConfigurationError: the journal cannot count what the budgets limit.
        JournalError: the journal cannot be used; nothing is left open.
    """
    journal, owned = _open_journal(config.journal)
    check_counts(journal, config.budgets)
    async with AsyncExitStack() as stack:
        if owned:
            stack.push_async_callback(journal.aclose)
        owner = await journal.enter()
        stack.push_async_callback(journal.leave, owner)
        engine = Engine(config, address, journal, owner, stack)
        await engine.read_hints()
        await engine.join()
        engine.stack = stack.pop_all()
        log.step("opened", "the session is open, for the dialect %s", config.dialect.name)
        return engine


def _open_journal(journal: Journal | str | os.PathLike[str] | None) -> tuple[Journal, bool]:
    """Return the journal, and whether the session has to close it."""
    if journal is None:
        return MemoryJournal(), True
    if is_address(journal):
        from luma_async._journal.postgres.journal import PostgresJournal  # noqa: PLC0415 - most sessions use a file

        return PostgresJournal(journal), True
    if isinstance(journal, str | os.PathLike):
        from luma_async._journal.sqlite.journal import SqliteJournal  # noqa: PLC0415 - imports sqlite3

        return SqliteJournal(journal), True
    return journal, False


def _set_origin(tracked: Tracked, entry: Entry, accepted_at_s: float | None = None) -> None:
    """Set the key, the kind and the time of submission from a journal entry."""
    tracked.key = entry.key
    tracked.duration_kind = duration_kind(entry.request)
    if tracked.submitted_at_s is None:
        tracked.submitted_at_s = _sent_at_s(entry) if accepted_at_s is None else accepted_at_s


def _sent_at_s(entry: Entry) -> float | None:
    """Convert the time at which an entry was sent to the loop's clock."""
    if entry.sent_at is None:
        return None
    return loop_now() - max(0.0, (wall_now() - entry.sent_at).total_seconds())
