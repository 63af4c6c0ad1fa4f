"""Which generation of the service's own list a doubt has bought, where that is certain.

A submit whose answer was lost may have made a generation, and a service that lists what it has may show it. A doubt
takes a generation for its own only if nothing else can be true:

- the service says that it was made from just this request;
- it was made after the submit was sent, and not long after;
- nothing else in the list could be it, and no other submit could have made it.

Whatever is not told counts against adopting. So the bounds differ: *could be* is judged generously, since each rival
forbids to adopt, and *is* is judged strictly. What is left in doubt costs a person a look; what is adopted wrongly
would hide a paid generation behind another one.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async._wire.dialect import Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CLOCKS_DIFFER = timedelta(minutes=5)
"""How much earlier than it was sent a rival may seem to be made. Five minutes is what systems that compare clocks put
up with; a wider bound only forbids more."""
EARLIEST = timedelta(seconds=5)
"""How much earlier an adopted one may: clocks that are kept differ by less."""
LATEST = timedelta(minutes=15)
"""How much later an adopted one may: longer than any proxy holds a request back."""

_MOST_NAMED = 5


@attrs.frozen(kw_only=True)
class Claim:
    """A submit that may have made a generation."""

    key: str
    """The key of the paid intent."""
    sent_at: datetime | None
    """When it was sent, by our clock."""
    open: bool = True
    """Whether it may be settled; False for one that is being sent, or that a person closed: those are rivals only."""


@attrs.frozen(kw_only=True)
class Candidate:
    """A generation that the service lists and that no entry holds."""

    id: str
    """Its id."""
    created_at: datetime | None
    """When it was made, by the service's clock."""


@attrs.frozen
class Adopt:
    """The doubt has bought this one."""

    generation_id: str
    """Its id."""


@attrs.frozen
class Undecided:
    """The doubt stays one."""

    reason: str
    """Why, for people; it names the generations that they should look at."""


Decision: TypeAlias = Adopt | Undecided
Likenesses: TypeAlias = "Mapping[tuple[str, str], Match]"
"""By key and id; a pair that is missing has nothing in common."""


@attrs.frozen
class ListOrder:
    """How far a list has been read that should run from new to old."""

    ordered: bool = True
    """Whether it does, so far."""
    oldest: datetime | None = None
    """The last moment that it named."""

    def after(self, created_at: datetime | None) -> ListOrder:
        """Read one more generation."""
        if created_at is None:
            return self
        ordered = self.ordered and (self.oldest is None or created_at <= self.oldest)
        return ListOrder(ordered, created_at)

    def below(self, oldest_relevant: datetime | None) -> bool:
        """Whether nothing that follows can be newer than `oldest_relevant`."""
        return (
            self.ordered and self.oldest is not None and oldest_relevant is not None and self.oldest < oldest_relevant
        )


def oldest_relevant(claims: Iterable[Claim]) -> datetime | None:
    """Return the moment before which no generation can be that of an open claim; None when that is not known."""
    moments = [claim.sent_at for claim in claims if claim.open]
    if not moments or None in moments:
        return None
    return min(moment for moment in moments if moment is not None) - CLOCKS_DIFFER


def compare_prompts(ours: object, theirs: object) -> Match:
    """Compare a request and a generation where nothing but the prompts can be compared."""
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return Match.POSSIBLE
    return Match.POSSIBLE if ours.strip() == theirs.strip() else Match.NONE


def decide(claims: Sequence[Claim], found: Sequence[Candidate], likenesses: Likenesses) -> dict[str, Decision]:
    """Decide what becomes of each open claim.

    Args:
        claims: all that may have made a generation, open or not, one for each key.
        found: what the service lists and nobody holds, each id once.
        likenesses: how each claim's request compares to each generation.

    Returns:
        A decision for each open claim; no generation is adopted twice.
    """
    could_be = {claim.key: [one for one in found if _could_be(claim, one, likenesses)] for claim in claims}
    takers = Counter(one.id for ones in could_be.values() for one in ones)
    return {claim.key: _decide(claim, could_be[claim.key], takers, likenesses) for claim in claims if claim.open}


def _could_be(claim: Claim, one: Candidate, likenesses: Likenesses) -> bool:
    if likenesses.get((claim.key, one.id), Match.NONE) is Match.NONE:
        return False
    return claim.sent_at is None or one.created_at is None or one.created_at >= claim.sent_at - CLOCKS_DIFFER


def _decide(claim: Claim, ones: Sequence[Candidate], takers: Counter[str], likenesses: Likenesses) -> Decision:
    if not ones:
        return Undecided("the service lists nothing like it.")
    if len(ones) > 1:
        named = ", ".join(one.id for one in ones[:_MOST_NAMED])
        return Undecided(f"the service lists {len(ones)} that it could have bought: {named}.")
    [one] = ones
    if takers[one.id] > 1:
        return Undecided(f"another submit could have bought {one.id} as well.")
    if likenesses[claim.key, one.id] is not Match.EXACT:
        return Undecided(f"the service does not tell enough about {one.id} to be sure.")
    if claim.sent_at is None or one.created_at is None:
        return Undecided(f"nobody knows whether {one.id} was made after it was sent.")
    age = one.created_at - claim.sent_at
    if not -EARLIEST <= age <= LATEST:
        return Undecided(f"{one.id} is like it, but was made at {one.created_at:%Y-%m-%d %H:%M:%S} UTC.")
    return Adopt(one.id)
