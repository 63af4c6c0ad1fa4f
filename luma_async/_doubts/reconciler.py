"""Looking for what doubts have bought in the service's own list, and weighing what is found."""

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
"""Phases in which a submit may have made a generation that no entry names."""


class Reconciler:
    """Weighs the doubts of one service against what it lists. It changes nothing."""

    def __init__(self, *, journal: Journal, service: str, listing: Listing, dialect: Dialect) -> None:
        self._journal = journal
        self._service = service
        self._listing = listing
        self._dialect = dialect

    def require(self) -> None:
        """Refuse where there is no list.

        Raises:
            UnsupportedOperation: there is none; nothing was sent.
        """
        self._listing.require()

    async def weigh(self, doubts: Sequence[Entry]) -> dict[str, Decision]:
        """Decide what becomes of doubts.

        Returns:
            A decision by key; a doubt that was settled meanwhile has none.

        Raises:
            LumaError: the list could not be read, after retries.
        """
        recent = await self._recent(oldest_relevant(Claim(key=doubt.key, sent_at=doubt.sent_at) for doubt in doubts))
        # Read after the list: who had a part in what it shows had written a claim before.
        # A service may be written in several ways, so whose address an entry names is not asked here.
        entries = await self._journal.entries(phases=_RIVALS)
        as_read = {doubt.key: doubt for doubt in doubts}
        claims = [
            Claim(key=entry.key, sent_at=entry.sent_at, open=_same(entry, as_read.get(entry.key))) for entry in entries
        ]
        requests = [(entry, _request(entry)) for entry in entries]
        likenesses: dict[tuple[str, str], Match] = {}
        found: list[Candidate] = []
        for generation in recent:
            seen = {
                (entry.key, generation.id): self._likeness(generation, entry, request) for entry, request in requests
            }
            alike = any(one is not Match.NONE for one in seen.values())
            if alike:
                found.append(Candidate(id=generation.id, created_at=generation.created_at))
                likenesses |= seen
        held = {entry.generation_id for entry in await self._journal.entries()} if found else set[str | None]()
        return decide(claims, [one for one in found if one.id not in held], likenesses)

    async def _recent(self, since: datetime | None) -> list[Generation]:
        """Read the list back to a moment."""
        recent: list[Generation] = []
        descent = ListOrder()
        async with aclosing(self._listing.fetch_all()) as generations:
            async for generation in generations:
                descent = descent.after(generation.created_at)
                if descent.below(since):
                    break
                recent.append(generation)
        return recent

    def _likeness(self, generation: Generation, entry: Entry, request: Request | None) -> Match:
        try:
            if request is not None:
                return self._dialect.match(generation.raw, request)
        except InvalidInput:
            # An earlier version sent what this one would refuse.
            pass
        return compare_prompts(entry.request.get("prompt"), generation.prompt)


def _same(entry: Entry, doubt: Entry | None) -> bool:
    """Whether an entry is still the doubt that it was."""
    return doubt is not None and (entry.phase, entry.attempts) == (doubt.phase, doubt.attempts)


def _request(entry: Entry) -> Request | None:
    """Build the request again; None when the journal keeps no more than the digest of its picture."""
    try:
        return request_from_form(entry.request)
    except InvalidInput:
        return None
