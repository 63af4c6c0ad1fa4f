"""What was spent since the moments that were asked for last, kept true by each change instead of counting again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._journal.lifecycle import SPENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from luma_async.values.budget import Spent
    from luma_async.values.entries import Entry

_MAX_KNOWN = 16
"""A few budgets, each with the moment of this second and of the last."""


def counts(entry: Entry, service: str, since: datetime | None) -> bool:
    """Whether an entry counts as spent at a service after a moment."""
    is_spent = entry.service == service and entry.phase in SPENT
    return is_spent and (since is None or (entry.sent_at is not None and entry.sent_at > since))


class Tally:
    """The sums that are known."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, datetime | None], Spent] = {}

    def get(self, service: str, since: datetime | None, count: Callable[[], Spent]) -> Spent:
        """Return what was spent, which is counted if it is not known."""
        if (service, since) not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[service, since] = count()
        return self._known[service, since]

    def change(self, before: Entry | None, after: Entry) -> None:
        """Take in that an entry has changed."""
        for (service, since), spent in self._known.items():
            if before is not None and counts(before, service, since):
                spent = spent.plus(None if before.price is None else -before.price, -before.charges)  # noqa: PLW2901
            if counts(after, service, since):
                spent = spent.plus(after.price, after.charges)  # noqa: PLW2901
            self._known[service, since] = spent

    def clear(self) -> None:
        """Forget the sums: entries have changed in another way."""
        self._known.clear()
