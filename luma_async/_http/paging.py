"""Reading a list in pages while it changes: nothing twice, nothing skipped.

A page begins at an offset from the newest generation, so each one that is made meanwhile moves all others back, and
each one that is deleted moves them forward. The first is seen (what comes again is known), the second is not: so each
page but the first overlaps the one before by one. If it begins with something new, something was deleted, and an
earlier page is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_FRUITLESS = 3
"""How many pages in a row may show nothing new. A service that ignores the offset would be read for ever."""


class Reader:
    """What was read of a list so far, and where to read on."""

    def __init__(self, size: int) -> None:
        self.offset: int | None = 0
        """Where the next page begins; None at the end."""
        self._size = size
        self._seen: set[str] = set()
        self._fruitless = 0

    def take(self, ids: Sequence[str], *, has_more: bool) -> list[str]:
        """Take in the page that begins at the offset.

        Args:
            ids: what is on it, in order.
            has_more: whether the service says that more follows.

        Returns:
            What is new on it.
        """
        assert self.offset is not None
        if self.offset and (not ids or ids[0] not in self._seen):
            self.offset = max(0, self.offset - self._size)
            return []
        new = [one for one in dict.fromkeys(ids) if one not in self._seen]
        self._seen.update(new)
        self._fruitless = 0 if new else self._fruitless + 1
        # A page of one known generation is nothing but the overlap.
        ends = not has_more or (not new and len(ids) <= 1) or self._fruitless == MOST_FRUITLESS
        self.offset = None if ends else self.offset + len(ids) - 1
        return new
