"""What the budgets of a session allow: a claim is written only where each of them has room for it.

Budgets over a time, or over all, are counted by the journal, in the transaction that writes the claim. A budget of
the session is counted here, in the event loop of the session: what it claims is counted before the write, and no longer
once it is proven that nothing was bought.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from luma_async._aio import wall_now
from luma_async._journal.protocol import SpendingJournal
from luma_async.values.budget import Budget, BudgetExceeded, BudgetStatus, Spent, price_of
from luma_async.values.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from decimal import Decimal

    from luma_async._journal.lifecycle import Change
    from luma_async._journal.protocol import Journal
    from luma_async.values.entries import Entry
    from luma_async.values.requests import Request

_PRECISION = timedelta(seconds=1)


class Spending:
    """Counts the purchases of one session against its budgets.

    Raises:
        ConfigurationError: the journal cannot count what is spent.
    """

    def __init__(self, budgets: Sequence[Budget], *, journal: Journal, service: str) -> None:
        self._journal = journal
        self._counting = check_counts(journal, budgets)
        self._service = service
        self._own = [budget for budget in budgets if budget.per == "session"]
        self._shared = [budget for budget in budgets if budget.per != "session"]
        self._here = Spent()
        self._prices = next((budget.price for budget in budgets if budget.price is not None), None)

    def price(self, request: Request) -> Decimal | None:
        """Return what a request costs; None without prices.

        Raises:
            ConfigurationError: the prices do not say it.
        """
        return None if self._prices is None else price_of(request, self._prices)

    async def claim(self, key: str, step: Change, *, price: Decimal | None, at: datetime) -> None:
        """Write a claim, if each budget has room for it.

        Raises:
            BudgetExceeded: a budget has no room; nothing changed.
            Everything that `Journal.change()` raises.
        """
        check(self._own, [self._here] * len(self._own), price)
        self.count(price)
        try:
            await self._write_claim(key, step, price, at)
        except BudgetExceeded as error:
            self.release(price)
            error.room_at = await self._room_at(error.budget, price, at)
            raise
        except BaseException:
            # Also if cancelled: without the end of this write nothing is sent.
            self.release(price)
            raise

    async def _write_claim(self, key: str, step: Change, price: Decimal | None, at: datetime) -> None:
        if self._counting is None:
            await self._journal.change(key, step)
            return
        since = [budget.since(at) for budget in self._shared]
        await self._counting.change_within(key, _within(step, self._shared, price), service=self._service, since=since)

    def count(self, price: Decimal | None) -> None:
        """Count a purchase of this session, whether there is room for it or not."""
        self._here = self._here.plus(price)

    def release(self, price: Decimal | None) -> None:
        """Count a claim no longer: it bought nothing. The journal counts by the phase of the entry."""
        self._here = self._here.minus(price)

    async def status(self) -> list[BudgetStatus]:
        """Return what is spent of each budget, those of the session last."""
        now = wall_now()
        spent = (
            []
            if self._counting is None
            else await self._counting.spent(self._service, [budget.since(now) for budget in self._shared])
        )
        pairs = [*zip(self._shared, spent, strict=True), *((budget, self._here) for budget in self._own)]
        return [BudgetStatus(budget=budget, spent=spent) for budget, spent in pairs]

    async def _room_at(self, budget: Budget, price: Decimal | None, now: datetime) -> datetime | None:
        """Find when a budget has room again. What is spent in its span only gets less, so a binary search finds it."""
        span = budget.span
        if span is None or self._counting is None or not budget.allows(Spent(), amount=price):
            return None
        early, late = now, now + span
        while late - early > _PRECISION:
            middle = early + (late - early) / 2
            (spent,) = await self._counting.spent(self._service, [budget.since(middle)])
            early, late = (early, middle) if budget.allows(spent, amount=price) else (middle, late)
        return late


def check(budgets: Sequence[Budget], spent: Sequence[Spent], price: Decimal | None) -> None:
    """Check that budgets have room for one more purchase.

    Raises:
        BudgetExceeded: one has not; of several, the one over the longest time.
    """
    full = [
        (budget, already)
        for budget, already in zip(budgets, spent, strict=True)
        if not budget.allows(already, amount=price)
    ]
    if full:
        budget, already = max(full, key=lambda pair: pair[0].span or timedelta.max)
        raise BudgetExceeded(budget=budget, spent=already, price=price)


def _within(
    step: Change, budgets: Sequence[Budget], price: Decimal | None
) -> Callable[[Entry | None, Sequence[Spent]], Entry | None]:
    def change(standing: Entry | None, spent: Sequence[Spent]) -> Entry | None:
        entry = step(standing)
        check(budgets, spent, price)
        return entry

    return change


def check_counts(journal: Journal, budgets: Sequence[Budget]) -> SpendingJournal | None:
    """Return the journal if it has to count what is spent; None if no budget needs that.

    Raises:
        ConfigurationError: it has to, and cannot.
    """
    shared = [budget for budget in budgets if budget.per != "session"]
    if not shared:
        return None
    if not isinstance(journal, SpendingJournal):
        message = (
            f"{type(journal).__name__} cannot count what is spent, as the budget of {shared[0]} needs. Implement "
            'luma_async.SpendingJournal, use SqliteJournal, or limit each session with per="session".'
        )
        raise ConfigurationError(message=message)
    return journal
