"""What a session is made of while it is open, and in which order it comes and goes.

Opening loads what only an open session needs (aiohttp, sqlite3); batches and doubts are built for the first who asks
for them. Closing goes the other way round: those who wait are told first, then paid POSTs on their way are waited
for, then the connections go, the journal last.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from contextlib import AsyncExitStack
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from luma_async._aio.clock import loop_now, wall_now
from luma_async._http.queries import Queries
from luma_async._journal.fingerprint import duration_kind
from luma_async._journal.protocol import MemoryJournal
from luma_async._poll.looks import Looks
from luma_async._poll.lookup import Lookup
from luma_async._poll.observation import Look
from luma_async._poll.watcher import Watcher
from luma_async._submit.attempt import Attempts, Purchase
from luma_async._submit.limits import rate
from luma_async._submit.submitter import Submitter
from luma_async._submit.throttle import Throttle
from luma_async.handle import Deeds, GenerationHandle
from luma_async.values.errors import SessionClosed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luma_async._batch.registry import Registry
    from luma_async._doubts.doubts import Doubts
    from luma_async._download.downloader import Downloader
    from luma_async._http.address import Address
    from luma_async._http.transport import Transport
    from luma_async._journal.protocol import Journal
    from luma_async._poll.tracked import Tracked
    from luma_async.plan import SessionConfig
    from luma_async.values.entries import Entry
    from luma_async.values.events import Event
    from luma_async.values.models import Generation
    from luma_async.values.requests import Request

_log = logging.getLogger("luma_async")


class Engine:
    """An open session's inside: built by `start_engine()`, taken down by `aclose()`."""

    def __init__(
        self, plan: SessionConfig, address: Address, journal: Journal, owner: str, stack: AsyncExitStack
    ) -> None:
        from luma_async._http.proxies import Proxies  # noqa: PLC0415 - with aiohttp, which loads the same
        from luma_async._http.transport import Transport  # noqa: PLC0415 - aiohttp is loaded when a session opens

        import_module("luma_async._wire.converter")  # cattrs: or the first answer would hold the loop up for it

        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.journal = journal
        self.service: str = f"{plan.dialect.name} {address.base_url}"
        self._plan = plan
        self._closing = False
        self._downloading = AsyncExitStack()
        self.stack = stack
        dialect, limits, timeouts = plan.dialect, plan.limits, plan.timeouts
        emit = plan.emit or _ignore
        self._proxies = Proxies(plan.proxy, trust_env=plan.trust_env)
        transport = Transport(
            base_url=address.base_url,
            api_key=address.api_key,
            timeouts=timeouts,
            connections=limits.requests,
            proxies=self._proxies,
            trace_configs=plan.trace_configs,
        )
        stack.push_async_callback(transport.aclose)
        self.queries: Queries = Queries(
            transport=transport,
            dialect=dialect,
            retry=plan.retry,
            deadline_s=timeouts.request,
            random=random.random,
            emit=emit,
        )
        self._lookup = Lookup(
            looks=Looks(ask=self.queries.ask, dialect=dialect, width=limits.requests, emit=emit), dialect=dialect
        )
        self.sender: Submitter = self._sender(transport, owner)
        stack.push_async_callback(self.sender.aclose, timeouts.close)
        stack.push_async_callback(self._close_downloads)
        self.watcher: Watcher = self._watcher()
        stack.push_async_callback(self.watcher.aclose)
        self._deeds = Deeds(
            wait=lambda target, timeout_s: self.watcher.wait(target, timeout_s=timeout_s),
            updates=self.watcher.updates,
            refresh=self.refresh,
            downloads=lambda: self.downloads,
            submit=self.submit,
            max_wait_s=plan.poll.max_wait,
        )
        self._transport = transport
        stack.push_async_callback(self._close_batches)

    async def submit(self, request: Request, key: str | None) -> GenerationHandle:
        """Buy, and return the handle of what was bought."""
        return self._handle(await self.sender.buy(request, key=key))

    async def refresh(self, generation_id: str) -> Generation:
        """Ask for a generation, and let everybody who waits for it know."""
        self._check_open()
        asked_at_s = loop_now()
        generation = await self._lookup.get(generation_id)
        self.watcher.observe(generation, asked_at_s)
        return generation

    async def refresh_many(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Ask for generations, and let everybody who waits for them know."""
        asked_at_s = loop_now()
        found = await self._lookup.get_many(generation_ids)
        for generation in found.values():
            self.watcher.observe(generation, asked_at_s)
        return found

    def attach(self, generation_id: str) -> GenerationHandle:
        """Make a handle of an id."""
        return GenerationHandle(self.watcher.target(generation_id), self._deeds)

    def handle_of(self, entry: Entry) -> GenerationHandle:
        """Make a handle of a journal's entry."""
        return self._handle(Purchase.from_entry(entry))

    async def _recognise(self, target: Tracked) -> None:
        """Look up whether an id that came from outside was bought through this journal: then it is known."""
        try:
            entry = await self.journal.find(self.service, target.id)
        except Exception as error:
            _log.warning("the journal could not say whether generation %s was bought here: %s", target.id, error)
            return
        if entry is not None:
            _tell_origin(target, entry)

    async def aclose(self) -> None:
        """Take everything down, in order; what fails does not keep the rest from going."""
        self._closing = True
        await self.stack.aclose()

    def _handle(self, bought: Purchase) -> GenerationHandle:
        entry = bought.entry
        assert entry.generation_id is not None
        target = self.watcher.target(entry.generation_id)
        if target.submitted_at_s is None:
            target.fresh = bought.accepted_at_s is not None
        _tell_origin(target, entry, bought.accepted_at_s)
        if bought.row is not None and bought.accepted_at_s is not None:
            self.watcher.remember_answer(target, bought.row, bought.accepted_at_s)
        elif entry.generation is not None:
            self.watcher.remember(target, Look(entry.generation, 0.0))
        return GenerationHandle(target, self._deeds)

    def _sender(self, transport: Transport, owner: str) -> Submitter:
        plan, dialect, limits = self._plan, self._plan.dialect, self._plan.limits
        return Submitter(
            attempts=Attempts(transport=transport, dialect=dialect, journal=self.journal, owner=owner),
            dialect=dialect,
            journal=self.journal,
            owner=owner,
            service=self.service,
            gate=Throttle(width=limits.requests, rate=rate(limits, dialect.limits)),
            retry=plan.retry,
            random=random.random,
            emit=plan.emit,
        )

    @cached_property
    def downloads(self) -> Downloader:
        """What finds links and puts files on disk."""
        from luma_async._download.client import FileClient  # noqa: PLC0415 - most sessions fetch none
        from luma_async._download.downloader import Downloader  # noqa: PLC0415 - the same

        plan = self._plan
        files = FileClient(timeouts=plan.timeouts, proxies=self._proxies)
        self._downloading.push_async_callback(files.aclose)
        return Downloader(
            files=files,
            refresh=self.refresh,
            ask_link=self._ask_link,
            may_ask_link=plan.dialect.supports("link"),
            note=self.sender.keep_file,
            emit=plan.emit or _ignore,
            retry=plan.retry,
            stall_s=plan.timeouts.download_stall,
            random=random.random,
            # A link that is known can be told even then.
            closed=self._closing,
        )

    def _watcher(self) -> Watcher:
        plan = self._plan
        return Watcher(
            looks=Looks(
                ask=self.queries.look, dialect=plan.dialect, width=plan.limits.requests, emit=plan.emit or _ignore
            ),
            dialect=plan.dialect,
            policy=plan.poll,
            random=random.random,
            emit=plan.emit,
            on_final=self.sender.finish,
            find_origin=self._recognise,
            on_lost=self.sender.lose,
        )

    @cached_property
    def doubts(self) -> Doubts:
        """Submits whose fate is unknown, and what to do about them."""
        from luma_async._doubts.doubts import Doubts  # noqa: PLC0415 - most sessions have none
        from luma_async._doubts.reconciler import Reconciler  # noqa: PLC0415 - the same
        from luma_async._http.listing import Listing  # noqa: PLC0415 - the same

        dialect = self._plan.dialect
        return Doubts(
            journal=self.journal,
            service=self.service,
            look=self.refresh,
            buy_again=self.sender.buy_again,
            handle=self.handle_of,
            reconciler=Reconciler(
                journal=self.journal,
                service=self.service,
                listing=Listing(ask=self.queries.ask, dialect=dialect),
                dialect=dialect,
            ),
            unwritten=lambda: self.sender.unwritten,
            check_open=self._check_open,
        )

    @cached_property
    def batches(self) -> Registry:
        """The batches of the session."""
        from luma_async._batch.item import Deeds as BatchDeeds  # noqa: PLC0415 - the same
        from luma_async._batch.registry import Registry  # noqa: PLC0415 - the same
        from luma_async._download.finished_files import is_intact  # noqa: PLC0415 - most sessions have none

        plan = self._plan
        deeds = BatchDeeds(
            buy=self.sender.buy,
            handle=self._handle,
            find=self.journal.get,
            check=plan.dialect.submit,
            unsent=self.sender.unsent,
            no_more_attempts=self.sender.no_more_attempts,
            pause=self.sender.pause,
            is_intact=is_intact,
            note=self.sender.keep_file,
            requests=lambda: self._transport.requests,
            retry=plan.retry,
            random=random.random,
            emit=plan.emit or _ignore,
        )
        forgetful = isinstance(self.journal, MemoryJournal)
        return Registry(deeds=deeds, limits=plan.limits, known=plan.dialect.limits, forgetful=forgetful)

    def _check_open(self) -> None:
        if self._closing:
            raise SessionClosed

    async def _close_downloads(self) -> None:
        if "downloads" in vars(self):
            self._downloading.push_async_callback(self.downloads.aclose)
        await self._downloading.aclose()

    async def _close_batches(self) -> None:
        if "batches" in vars(self):
            await self.batches.aclose()

    async def _ask_link(self, generation_id: str) -> str:
        self._check_open()
        dialect = self._plan.dialect
        return dialect.read_link(await self.queries.look(dialect.link(generation_id)))


async def start_engine(plan: SessionConfig, address: Address) -> Engine:
    """Open the journal and build the rest on it.

    Raises:
        JournalError: the journal cannot be used; nothing is left open.
    """
    journal, ours = _journal(plan.journal)
    async with AsyncExitStack() as stack:
        if ours:
            stack.push_async_callback(journal.aclose)
        owner = await journal.enter()
        stack.push_async_callback(journal.leave, owner)
        parts = Engine(plan, address, journal, owner, stack)
        parts.stack = stack.pop_all()
        return parts


def _journal(journal: Journal | str | os.PathLike[str] | None) -> tuple[Journal, bool]:
    """Return the journal, and whether it is ours to close."""
    if journal is None:
        return MemoryJournal(), True
    if isinstance(journal, str | os.PathLike):
        from luma_async._journal.sqlite.journal import SqliteJournal  # noqa: PLC0415 - sqlite3 is loaded when it is wanted

        return SqliteJournal(journal), True
    return journal, False


def _ignore(_: Event) -> None:
    """Tell nobody."""


def _tell_origin(target: Tracked, entry: Entry, accepted_at_s: float | None = None) -> None:
    """Note what the journal knows of a generation's beginning."""
    target.key = entry.key
    target.law = duration_kind(entry.request)
    if target.submitted_at_s is None:
        target.submitted_at_s = _since(entry) if accepted_at_s is None else accepted_at_s


def _since(entry: Entry) -> float | None:
    """Translate when an entry was sent to the loop's clock."""
    if entry.sent_at is None:
        return None
    return loop_now() - max(0.0, (wall_now() - entry.sent_at).total_seconds())
