"""Reading the service's list and the journal, to decide about doubts."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from luma_async._doubts.matching import Candidate, Claim, ListOrder, compare_prompts, decide, oldest_relevant
from luma_async._journal.fingerprint import request_from_form
from luma_async._journal.lifecycle import UNDECIDED
from luma_async._wire.dialect import Match
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from luma_async._doubts.matching import Decision
    from luma_async._http.listing import Listing
    from luma_async._journal.protocol import Journal
    from luma_async._wire.dialect import Dialect
    from luma_async.values.models import Generation
    from luma_async.values.requests import Request

_RIVALS = UNDECIDED | {Phase.ABANDONED}
"""Phases in which a submit may have made a generation that belongs to no entry."""


class Reconciler:
    """Compares the doubts of one service with its list. It changes nothing."""

    def __init__(self, *, journal: Journal, service: str, listing: Listing, dialect: Dialect) -> None:
        self._journal = journal
        self._service = service
        self._listing = listing
        self._dialect = dialect

    def require(self) -> None:
        """Check that the service has a list.

        Raises:
            UnsupportedOperation: it has none; nothing was sent.
        """
        self._listing.require()

    async def decide(self, doubts: Sequence[Entry]) -> dict[str, Decision]:
        """Decide about doubts.

        Returns:
            Decisions by key. A doubt that was resolved meanwhile has none.

        Raises:
            LumaError: the list could not be read, after retries.
        """
        recent = await self._recent(oldest_relevant(Claim(key=doubt.key, sent_at=doubt.sent_at) for doubt in doubts))
        # The journal is read after the list, so that it has a claim for each submit that made a listed generation.
        # Entries of all services count as rivals, because a service may be reachable by several addresses.
        entries = await self._journal.entries(phases=_RIVALS)
        as_read = {doubt.key: doubt for doubt in doubts}
        claims = [
            Claim(key=entry.key, sent_at=entry.sent_at, open=_same(entry, as_read.get(entry.key))) for entry in entries
        ]
        requests = [(entry, _request(entry)) for entry in entries]
        matches: dict[tuple[str, str], Match] = {}
        found: list[Candidate] = []
        for generation in recent:
            row = {(entry.key, generation.id): self._match(generation, entry, request) for entry, request in requests}
            if any(match is not Match.NONE for match in row.values()):
                found.append(Candidate(id=generation.id, created_at=generation.created_at))
                matches |= row
        known = {entry.generation_id for entry in await self._journal.entries()} if found else set[str | None]()
        return decide(claims, [candidate for candidate in found if candidate.id not in known], matches)

    async def _recent(self, since: datetime | None) -> list[Generation]:
        """Read the list back to a time; to its end if the list is not ordered."""
        recent: list[Generation] = []
        order = ListOrder()
        async with aclosing(self._listing.fetch_all()) as generations:
            async for generation in generations:
                order = order.after(generation.created_at)
                if order.below(since):
                    break
                recent.append(generation)
        return recent

    def _match(self, generation: Generation, entry: Entry, request: Request | None) -> Match:
        try:
            if request is not None:
                return self._dialect.match(generation.raw, request)
        except InvalidInput:
            # The request was sent by an earlier version, and this version refuses it.
            pass
        return compare_prompts(entry.request.get("prompt"), generation.prompt)


def _same(entry: Entry, doubt: Entry | None) -> bool:
    """Whether an entry has not changed since it was read as a doubt."""
    return doubt is not None and (entry.phase, entry.attempts) == (doubt.phase, doubt.attempts)


def _request(entry: Entry) -> Request | None:
    """Build the request of an entry; None if the journal has only the digest of its image."""
    try:
        return request_from_form(entry.request)
    except InvalidInput:
        return None
