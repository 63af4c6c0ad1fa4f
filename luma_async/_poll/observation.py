"""What is known of a generation, from looks that come late, twice, or out of order.

Looks are ranked: completed with a link, completed without one, failed, anything that is not final. The higher rank
stays; of two that are not final, the one that was asked for later. So folding looks is commutative, associative and
idempotent, and no late look takes back what an earlier one had seen.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from luma_async.values.models import Generation, State

_UNLINKED_RANKS = {State.COMPLETED: 2, State.FAILED: 1}
"""What is not here is not final."""


@attrs.frozen
class Look:
    """One observation."""

    generation: Generation
    """As it was seen."""
    asked_at_s: float
    """When it was asked for, on the loop's clock."""


@attrs.frozen(eq=False)
class LazyLook:
    """A look at a generation that runs on, which is structured when somebody asks; nearly nobody does."""

    read: Callable[[], Generation]
    """Structures it."""
    asked_at_s: float
    """When it was asked for, on the loop's clock."""

    @property
    def generation(self) -> Generation:
        """As it was seen."""
        return self.read()


def merge(known: Look | None, seen: Look) -> Look:
    """Return which of two looks tells more."""
    if known is None:
        return seen
    ours, theirs = finality(known.generation), finality(seen.generation)
    if ours != theirs:
        return seen if theirs > ours else known
    later = _is_later(seen, known)
    return seen if later == (ours == 0) else known


def finality(generation: Generation) -> int:
    """Return how final a look is: 0 for not at all."""
    unlinked = _UNLINKED_RANKS.get(generation.state, 0)
    return 3 if unlinked == 2 and has_link(generation) else unlinked


def has_link(generation: Generation) -> bool:
    """Whether there is anything to fetch."""
    for video in (generation.video, generation.video_raw):
        if video is not None and (video.download_url or video.url):
            return True
    return generation.image is not None and bool(generation.image.url)


def _is_later(one: Look, other: Look) -> bool:
    if one.asked_at_s != other.asked_at_s:
        return one.asked_at_s > other.asked_at_s
    # Two looks of one moment still need an order, or folding them would depend on theirs.
    return one.generation != other.generation and _spelled(one) > _spelled(other)


def _spelled(look: Look) -> str:
    return str(attrs.asdict(look.generation))
