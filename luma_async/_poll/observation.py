"""What is known of a generation after looks whose answers come late, twice or out of order.

Looks are ranked: completed with a link, completed without one, failed, not final. The higher rank stays. Of two looks
that are not final, the one that was sent later stays. So the result does not depend on the order or the number of the
answers, and a late answer never replaces a better one.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from luma_async.values.models import Generation, State

_RANKS_WITHOUT_LINK = {State.COMPLETED: 2, State.FAILED: 1}
"""States that are not here are not final."""


@attrs.frozen
class Look:
    """One observation."""

    generation: Generation
    """What the service said."""
    asked_at_s: float
    """When the request was sent, on the loop's clock."""


@attrs.define(eq=False)
class LazyLook:
    """A look at a running generation that is structured only when its state is read, which is rare."""

    read: Callable[[], Generation]
    """Structures the JSON."""
    asked_at_s: float
    """When the request was sent, on the loop's clock."""
    estimate_wait_s: float | None = None
    """The seconds that the service estimated."""

    @property
    def generation(self) -> Generation:
        """What the service said."""
        return self.read()


def merge(known: Look | None, seen: Look) -> Look:
    """Return the look that says more."""
    if known is None:
        return seen
    known_rank, seen_rank = finality(known.generation), finality(seen.generation)
    if known_rank != seen_rank:
        return seen if seen_rank > known_rank else known
    later = _is_later(seen, known)
    return seen if later == (known_rank == 0) else known


def finality(generation: Generation) -> int:
    """Return the rank of a generation: 0 is not final, 1 failed, 2 completed without a link, 3 completed."""
    rank = _RANKS_WITHOUT_LINK.get(generation.state, 0)
    return 3 if rank == 2 and has_link(generation) else rank


def has_link(generation: Generation) -> bool:
    """Whether there is a file to download."""
    for video in (generation.video, generation.video_raw):
        if video is not None and (video.download_url or video.url):
            return True
    return generation.image is not None and bool(generation.image.url)


def _is_later(one: Look, other: Look) -> bool:
    if one.asked_at_s != other.asked_at_s:
        return one.asked_at_s > other.asked_at_s
    # Two looks of the same moment need an order too, or the result would depend on which came first.
    return one.generation != other.generation and _text(one) > _text(other)


def _text(look: Look) -> str:
    return str(attrs.asdict(look.generation))
