"""Which generation in the service's list a doubt has made, if that is certain.

A submit whose response was lost may have made a generation, which the service may list. The doubt adopts a generation
only if the match is unambiguous:

- the service shows that the generation was made from this very request;
- it was made after the submit was sent, and within minutes;
- no other generation in the list fits, and no other submit could have made this generation.

Missing data counts against adopting. So there are two tests: *could be* has wide bounds, because each further candidate
prevents adopting; *is* has narrow bounds. A doubt that is left costs the user a look. A wrong match would hide a paid
generation.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import attrs

from luma_async._wire.dialect import Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RIVAL_CLOCK_SKEW = timedelta(minutes=5)
"""How much earlier than its submit a generation may seem to be made, to count as a candidate. Five minutes is the usual
tolerance between clocks; a wider bound only prevents more matches."""
MAX_CLOCK_SKEW = timedelta(seconds=5)
"""How much earlier than its submit an adopted generation may seem to be made. Synchronized clocks differ by less."""
MAX_DELAY = timedelta(minutes=15)
"""How much later than its submit an adopted generation may be made. No proxy delays a request for longer."""

_MAX_NAMED = 5


@attrs.frozen(kw_only=True)
class Claim:
    """A submit that may have made a generation."""

    key: str
    """The key of the paid intent."""
    sent_at: datetime | None
    """When it was sent, by the clock of this machine."""
    open: bool = True
    """Whether it may adopt a generation. False if it is being sent or was abandoned; then it only rivals the others."""


@attrs.frozen(kw_only=True)
class Candidate:
    """A generation that the service lists and that belongs to no entry."""

    id: str
    """Its id."""
    created_at: datetime | None
    """When it was made, by the service's clock."""


@attrs.frozen
class Adopt:
    """The doubt has made this generation."""

    generation_id: str
    """Its id."""


@attrs.frozen
class Undecided:
    """The submit stays in doubt."""

    reason: str
    """Why, for the user. It names the generations to check."""


Decision: TypeAlias = Adopt | Undecided
Matches: TypeAlias = "Mapping[tuple[str, str], Match]"
"""How each request matches each generation, by key and id. A missing pair means `Match.NONE`."""


@attrs.frozen
class ListOrder:
    """How far a list has been read, and whether it is ordered from newest to oldest."""

    ordered: bool = True
    """Whether it is ordered, so far."""
    oldest: datetime | None = None
    """When the last generation was made that has a time."""

    def after(self, created_at: datetime | None) -> ListOrder:
        """Return the order after one more generation."""
        if created_at is None:
            return self
        ordered = self.ordered and (self.oldest is None or created_at <= self.oldest)
        return ListOrder(ordered, created_at)

    def below(self, oldest_relevant: datetime | None) -> bool:
        """Whether all generations that follow are older than `oldest_relevant`."""
        return (
            self.ordered and self.oldest is not None and oldest_relevant is not None and self.oldest < oldest_relevant
        )


def oldest_relevant(claims: Iterable[Claim]) -> datetime | None:
    """Return the earliest time at which an open claim can have made a generation; None if it is unknown."""
    moments = [claim.sent_at for claim in claims if claim.open]
    if not moments or None in moments:
        return None
    return min(moment for moment in moments if moment is not None) - RIVAL_CLOCK_SKEW


def compare_prompts(ours: object, theirs: object) -> Match:
    """Compare a request with a generation by their prompts alone."""
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return Match.POSSIBLE
    return Match.POSSIBLE if ours.strip() == theirs.strip() else Match.NONE


def decide(claims: Sequence[Claim], found: Sequence[Candidate], matches: Matches) -> dict[str, Decision]:
    """Decide about each open claim.

    Args:
        claims: all submits that may have made a generation, open or not, each key once.
        found: the listed generations that belong to no entry, each id once.
        matches: how the request of each claim matches each generation.

    Returns:
        A decision for each open claim; no generation is adopted twice.
    """
    possible = {claim.key: [each for each in found if _could_be(claim, each, matches)] for claim in claims}
    rivals = Counter(candidate.id for candidates in possible.values() for candidate in candidates)
    return {claim.key: _decide(claim, possible[claim.key], rivals, matches) for claim in claims if claim.open}


def _could_be(claim: Claim, candidate: Candidate, matches: Matches) -> bool:
    if matches.get((claim.key, candidate.id), Match.NONE) is Match.NONE:
        return False
    sent_at, created_at = claim.sent_at, candidate.created_at
    return sent_at is None or created_at is None or created_at >= sent_at - RIVAL_CLOCK_SKEW


def _decide(claim: Claim, candidates: Sequence[Candidate], rivals: Counter[str], matches: Matches) -> Decision:
    if not candidates:
        return Undecided("the service lists no generation that matches.")
    if len(candidates) > 1:
        named = ", ".join(candidate.id for candidate in candidates[:_MAX_NAMED])
        return Undecided(f"{len(candidates)} generations in the service's list match: {named}.")
    [candidate] = candidates
    if rivals[candidate.id] > 1:
        return Undecided(f"another submit could have made {candidate.id} too.")
    if matches[claim.key, candidate.id] is not Match.EXACT:
        return Undecided(f"the service shows too little of {candidate.id} to be sure that it matches.")
    if claim.sent_at is None or candidate.created_at is None:
        return Undecided(f"it is unknown whether {candidate.id} was made after the submit was sent.")
    age = candidate.created_at - claim.sent_at
    if not -MAX_CLOCK_SKEW <= age <= MAX_DELAY:
        return Undecided(f"{candidate.id} matches, but was made at {candidate.created_at:%Y-%m-%d %H:%M:%S} UTC.")
    return Adopt(candidate.id)
