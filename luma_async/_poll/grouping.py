"""How many generations one request may hold, as far as the service has shown, and which ones share a request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from luma_async.values.errors import (
    GenerationNotFound,
    LumaError,
    NotSent,
    OutOfCredit,
    RateLimited,
    Refused,
    Unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    _T = TypeVar("_T")

_TOO_LARGE = frozenset({400, 413})
_MIN_SHARED = 2
MIN_PAUSE_S = 120.0
"""How long a smaller size holds before the full size is tried again: a deployment or a restart takes a minute or two.
Such a try costs two requests."""
MAX_PAUSE_S = 3600.0
"""The pause doubles with each try that fails, up to an hour."""
_IDS_PER_SPARSE_PAGE = 10
"""One more page with few hits is accepted for every ten ids that are missing: a tenth more requests at worst."""
_OTHER_GENERATIONS = 10
"""How many other generations of the account a page is expected to hold."""


@attrs.frozen(kw_only=True)
class Sharing:
    """How many generations one request may hold, as far as the service has shown.

    A request that holds more than one generation is shared. What a failed one means is decided in three steps:

    1. The first failure is only a failed look: one odd answer proves nothing. The look is repeated.
    2. After a second failure in a row, a request for a single generation is sent (`needs_check()`). If it fails too,
       the whole service is in trouble, and smaller requests would only be more requests.
    3. If it succeeds, shared requests get smaller (`reduced()`): half as large if the service may have found them too
       large, else there are only single requests. That holds for some minutes; then the full size is tried again.
    """

    max_size: int
    """The most that the dialect allows; 1 means that there is only the query for one generation."""
    size: int
    """How many a request may hold until `retry_at_s`."""
    retry_at_s: float = -math.inf
    """When `max_size` is tried again, on the loop's clock."""
    pause_s: float = 0.0
    """How long the last reduction held."""
    failed_at_s: float | None = None
    """When a shared request failed, if none has succeeded since."""

    @classmethod
    def full(cls, max_size: int) -> Sharing:
        """Return the state before the first request."""
        return cls(max_size=max_size, size=max_size)

    def size_at(self, now_s: float) -> int:
        """Return how many generations a request may hold now."""
        return self.max_size if now_s >= self.retry_at_s else self.size

    def after_success(self, asked: int, now_s: float) -> Sharing:
        """Return what is known after a request for `asked` generations succeeded."""
        if asked > self.size:
            # After the pause this was the try; before, it was sent just before a sibling was found too large.
            size = self.max_size if now_s >= self.retry_at_s else asked
            return attrs.evolve(self, size=size, failed_at_s=None)
        return self if self.failed_at_s is None else attrs.evolve(self, failed_at_s=None)

    def after_failure(self, now_s: float) -> Sharing:
        """Return what is known after a shared request failed."""
        return self if self.failed_at_s is not None else attrs.evolve(self, failed_at_s=now_s)

    def is_repeated(self, asked: int, asked_at_s: float) -> bool:
        """Whether a request that failed was sent after another one had failed, or tried the full size again."""
        return asked > self.size or (self.failed_at_s is not None and self.failed_at_s <= asked_at_s)

    def reduced(self, size: int, now_s: float) -> Sharing:
        """Return the state with smaller requests; the pause is longer if the one before has just ended."""
        size = min(size, self.size)
        if now_s < self.retry_at_s:
            return attrs.evolve(self, size=size)
        soon = now_s < self.retry_at_s + self.pause_s
        pause_s = min(2 * self.pause_s, MAX_PAUSE_S) if soon else MIN_PAUSE_S
        return attrs.evolve(self, size=size, retry_at_s=now_s + pause_s, pause_s=pause_s)


def needs_check(error: LumaError, *, repeated: bool) -> bool:
    """Whether a request for a single generation has to show what the failure of a shared one means.

    What only one generation or the key can be the reason of is never believed of a shared request: a service may
    refuse the whole list for one unknown id, or this call for this key. A service that asks for fewer requests gets no
    more of them, and one that cannot be reached has shown nothing.
    """
    if isinstance(error, RateLimited | NotSent):
        return False
    return repeated or isinstance(error, GenerationNotFound | Unauthorized | OutOfCredit)


def is_about_generation(error: LumaError) -> bool:
    """Whether the failure of a single request shows that the service answers single requests."""
    return isinstance(error, GenerationNotFound)


def smaller_size(error: LumaError, asked: int) -> int:
    """Return the size of the next requests after one for `asked` generations failed, but a single one succeeded."""
    too_large = isinstance(error, Refused) and error.status in _TOO_LARGE
    half = asked // 2 if too_large else 1
    return half if half >= _MIN_SHARED else 1


def page_limit(count: int, page_size: int) -> int:
    """Return how long a page has to be to hold `count` of the account's newest generations."""
    return min(page_size, 2 * count + _OTHER_GENERATIONS)


def worth_another_page(sparse_pages: int, missing: int, *, has_more: bool) -> bool:
    """Whether another page is likely to be cheaper than a query for each missing generation.

    Args:
        sparse_pages: how many pages in a row have shown at most one of the generations.
        missing: how many generations no page has shown.
        has_more: whether there is another page.
    """
    return has_more and missing > 1 and sparse_pages <= missing // _IDS_PER_SPARSE_PAGE


def chunks(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Split into pieces of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def room_left(count: int, size: int) -> int:
    """Return how many more generations fit into the requests that `count` generations need anyway."""
    return -count % size
