"""How many generations one request may hold, as far as the service has shown, and which ones share a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async.values.errors import LumaError, Refused, UnreadableResponse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    _T = TypeVar("_T")

_CALL_IS_MISSING = frozenset({404, 405, 501})
_TOO_LARGE = frozenset({400, 413})
_MIN_SHARED = 2
_IDS_PER_SPARSE_PAGE = 10
"""One more page with few hits is accepted for every ten ids that are missing: a tenth more requests at worst."""
_OTHER_GENERATIONS = 10
"""How many other generations of the account a page is expected to hold."""
NEARBY_SHARE = 0.5
"""A look includes what is due within half of its own interval. With a half, two groups of like intervals always meet:
either the second is due within half an interval after the first, or the first after the second."""


@attrs.frozen
class Capacity:
    """How many generations one request may hold."""

    size: int
    """1 means that there is only the query for one generation."""

    @property
    def shared(self) -> bool:
        """Whether a request may hold more than one generation."""
        return self.size > 1

    def after(self, error: LumaError, asked: int) -> Capacity:
        """Return what is known after a request for `asked` generations failed; most failures change nothing.

        A service that lacks the call says so by its status, or answers with a web page. A service that rejects the
        number gets half as many; if it rejects even two, the call counts as missing.
        """
        if isinstance(error, UnreadableResponse):
            # A JSON list that does not read as expected has `paths`; the next one may be readable.
            return SINGLE if error.html and not error.paths else self
        if not isinstance(error, Refused):
            return self
        if error.status in _CALL_IS_MISSING:
            return SINGLE
        if error.status in _TOO_LARGE:
            smaller = asked // 2
            return Capacity(min(self.size, smaller) if smaller >= _MIN_SHARED else 1)
        return self

    def after_page(self, error: LumaError) -> Capacity:
        """Return what is known after a page failed; a service that rejects the page's limit counts as without list."""
        return SINGLE if isinstance(error, Refused) and error.status in _TOO_LARGE else self.after(error, 0)


SINGLE = Capacity(1)
"""There is only the query for one generation."""


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


def joins(due_at_s: float, interval_s: float, now_s: float) -> bool:
    """Whether a generation that is due later joins a request that has room now."""
    return due_at_s - now_s <= NEARBY_SHARE * interval_s
