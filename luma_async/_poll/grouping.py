"""How many generations one request may look at, as far as this service has shown it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async.values.errors import LumaError, Refused, UnreadableResponse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    _T = TypeVar("_T")

_NO_SUCH_CALL = frozenset({404, 405, 501})
_TOO_LARGE = frozenset({400, 413})
_SMALLEST = 2
_WORTH_A_PAGE = 10
"""A page in vain is risked for every ten that are left: at worst a tenth more requests than one by one."""
_OTHERS = 10
"""Other generations of the account that a page may hold besides."""


@attrs.frozen
class Capacity:
    """How many generations a look may ask for at once."""

    size: int
    """1: there is only the single query."""

    @property
    def shared(self) -> bool:
        """Whether looks can be shared at all."""
        return self.size > 1

    def after(self, error: LumaError, asked: int) -> Capacity:
        """Learn from a look at `asked` generations that failed; most failures say nothing about it.

        A service without the call says so by its status, or with its web page. One that took fewer before says that
        this was too many; when even two are, the call counts as missing.
        """
        if isinstance(error, UnreadableResponse):
            # A page has no paths; a list that has drifted names them, and may be readable the next time.
            return self if error.paths or not error.body_excerpt.startswith("<") else SINGLE
        if not isinstance(error, Refused):
            return self
        if error.status in _NO_SUCH_CALL:
            return SINGLE
        if error.status in _TOO_LARGE:
            smaller = asked // 2
            return Capacity(min(self.size, smaller) if smaller >= _SMALLEST else 1)
        return self

    def after_page(self, error: LumaError) -> Capacity:
        """Learn from a page that could not be read: a service that has none, or takes no such limit, has no list."""
        return SINGLE if isinstance(error, Refused) and error.status in _TOO_LARGE else self.after(error, 0)


SINGLE = Capacity(1)
"""There is only the single query."""


def page_limit(count: int, page_size: int) -> int:
    """Return how long a page should be that is to show `count` generations among the account's newest."""
    return min(page_size, 2 * count + _OTHERS)


def worth_another_page(fruitless: int, left: int, *, has_more: bool) -> bool:
    """Whether reading on in a list is likely to be cheaper than asking for each one that is left.

    Args:
        fruitless: how many pages in a row have shown one of those that are waited for, or none.
        left: how many have not been seen yet.
        has_more: whether there is another page.
    """
    return has_more and left > 1 and fruitless <= left // _WORTH_A_PAGE


def chunks(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Split into pieces of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def room_left(count: int, size: int) -> int:
    """Return how many more fit into the last of the requests that `count` generations need anyway."""
    return -count % size


COMPANY = 0.5
"""A look takes along what falls due within half of its own interval. Half, since any two groups of like intervals then
meet: either the second is due within half of an interval after the first, or the first after the second."""


def joins(due_at: float, interval_s: float, now: float) -> bool:
    """Whether a generation that is due later is looked at now, in a request that has room."""
    return due_at - now <= COMPANY * interval_s
