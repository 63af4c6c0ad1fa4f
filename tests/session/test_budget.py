"""Spending limits of a session: what they refuse, what counts, and what they never touch."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from luma_async import (
    Budget,
    BudgetExceeded,
    ConfigurationError,
    MemoryJournal,
    Phase,
    Refused,
    RetryPolicy,
    Spent,
    SubmitInDoubt,
    VideoRequest,
)
from luma_async.testing import answer, drop_after_reading, rate_limited

pytestmark = pytest.mark.looptime

PRICES = {"default": "0.15", "10s": "0.45"}


async def spent(luma):
    return [(status.spent.purchases, status.purchases_left) for status in await luma.account.budgets()]


@pytest.mark.parametrize("per", [None, "hour", "day", "month", "session"])
async def test_purchase_above_budget(open_session, gateway, journal, per):
    """The purchase above the budget raises, sends nothing, charges nothing and leaves nothing in the journal."""
    async with open_session(budget=Budget(purchases=2, per=per)) as luma:
        for number in range(2):
            await luma.submit("cat", key=f"cat-{number}")
        with pytest.raises(BudgetExceeded) as caught:
            await luma.submit("cat", key="cat-2")
        assert await spent(luma) == [(2, 0)]
    assert caught.value.spent == Spent(purchases=2, unpriced=2)
    assert (caught.value.room_at is None) is (per in {None, "session"})
    assert len(gateway.charges) == gateway.counts["submit"] == 2
    assert await journal.get("cat-2") is None


async def test_session_budget_ends_with_it(open_session, gateway):
    """A budget of the session ends with it; one of the journal does not."""
    for _ in range(2):
        async with open_session(budget=Budget(purchases=1, per="session")) as luma:
            await luma.submit("cat")
            with pytest.raises(BudgetExceeded):
                await luma.submit("cat")
    async with open_session(budget=Budget(purchases=2, per="day")) as luma:
        with pytest.raises(BudgetExceeded):
            await luma.submit("cat")
    assert len(gateway.charges) == 2


async def test_known_key_above_budget(open_session, gateway):
    """A key that was bought counts once, and returns its handle although the budget is spent and has no price."""
    async with open_session(budget=Budget(amount="0.15", price=PRICES)) as luma:
        first = await luma.submit("cat", key="cat")
    async with open_session(budget=Budget(amount="0.15", price={})) as luma:
        handle = await luma.submit("cat", key="cat")
        assert handle.id == first.id
        assert [again.id for again in await luma.resume()] == [first.id]
        assert (await luma.handle(first.id).wait()).id == first.id
    assert len(gateway.charges) == 1


async def test_many_at_once_in_budget(open_session, gateway, journal):
    """Several sessions over one journal in memory that buy at once buy no more than the budget."""
    budgets = [Budget(purchases=5, per="hour"), Budget(purchases=3, per="session")]
    async with open_session(budget=budgets) as first, open_session(budget=budgets) as second:
        calls = [luma.submit(f"cat {n}") for n in range(10) for luma in (first, second)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, BudgetExceeded) for result in results) == 15
    assert len(gateway.charges) == len(await journal.entries()) == 5


@pytest.mark.parametrize("fault", [rate_limited(), answer(400, {"detail": "no"})])
@pytest.mark.parametrize("per", ["day", "session"])
async def test_refused_purchase_counts_not(open_session, gateway, fault, per):
    """What the service refuses gives its place back."""
    gateway.inject(fault, times=3)
    async with open_session(budget=Budget(purchases=1, per=per), retry=RetryPolicy(attempts=1)) as luma:
        for _ in range(3):
            with pytest.raises(Refused):
                await luma.submit("cat", key="cat")
            assert await spent(luma) == [(0, 1)]
        await luma.submit("cat", key="cat")
        assert await spent(luma) == [(1, 0)]
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("per", ["day", "session"])
async def test_doubt_counts_as_spent(open_session, gateway, per):
    """What is in doubt counts as spent, abandoned or not, and sending it again needs room in the budget."""
    gateway.inject(drop_after_reading())
    async with open_session(budget=Budget(purchases=1, per=per)) as luma:
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat", key="cat")
        with pytest.raises(BudgetExceeded):
            await luma.submit("dog")
        with pytest.raises(BudgetExceeded):
            await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
        assert [doubt.phase for doubt in await luma.doubts.list()] == [Phase.IN_DOUBT]
        await luma.doubts.abandon("cat")
        assert await spent(luma) == [(1, 0)]
        with pytest.raises(BudgetExceeded):
            await luma.submit("dog")


async def test_resubmit_counts_twice(open_session, gateway, journal):
    """A doubt that is sent again may have been charged twice, and counts so."""
    gateway.inject(drop_after_reading())
    async with open_session(budget=Budget(amount=1, price=PRICES)) as luma:
        with pytest.raises(SubmitInDoubt):
            await luma.submit("cat", key="cat")
        await luma.doubts.resubmit("cat", accept_duplicate_risk=True)
        (status,) = await luma.account.budgets()
    assert status.spent == Spent(purchases=2, amount=Decimal("0.30"))
    assert (await journal.get("cat")).charges == 2


@pytest.mark.parametrize("per", ["day", "session"])
async def test_cancelled_submit_counts_not(open_session, gateway, per):
    """A submit that is cancelled at any moment before it is sent gives its place back."""
    async with open_session(budget=Budget(purchases=1, per=per)) as luma:
        for turns in range(40):
            call = asyncio.ensure_future(luma.submit("cat"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            await asyncio.sleep(1)
            assert await spent(luma) == [(len(gateway.charges), 1 - len(gateway.charges))]
            if gateway.charges:
                break


async def test_entry_keeps_its_price(open_session, journal):
    """An entry keeps the price at which it was claimed, from the first row or function that names it."""
    async with open_session(budget=Budget(purchases=9, price=PRICES)) as luma:
        await luma.submit("cat", key="cat", duration="10s")
        await luma.run("dog", key="dog")
    async with open_session() as luma:
        await luma.submit("bird", key="bird")
    prices = [(await journal.get(key)).price for key in ("cat", "dog", "bird")]
    assert prices == [Decimal("0.45"), Decimal("0.15"), None]


async def test_missing_price_sends_nothing(open_session, gateway, journal):
    """A request that the prices do not have is refused by the name of its row, before anything is sent."""
    async with open_session(budget=Budget(amount=9, price=PRICES)) as luma:
        with pytest.raises(ConfigurationError, match="no row '720p'"):
            await luma.submit(VideoRequest("cat", resolution="720p"))
    assert gateway.counts["submit"] == len(await journal.entries()) == 0


async def test_price_above_amount(open_session):
    """No time makes room for a purchase that costs more than the whole amount."""
    async with open_session(budget=Budget(amount="0.20", per="hour", price=PRICES)) as luma:
        with pytest.raises(BudgetExceeded, match=r"costs 0\.45\..* Waiting makes no room") as caught:
            await luma.submit("cat", duration="10s")
    assert caught.value.room_at is None


async def test_batch_stops_at_budget(open_session, gateway):
    """A batch stops at the budget and says so; the same batch with room buys the rest, and nothing twice."""
    prompts = [f"cat {number}" for number in range(8)]
    async with open_session(budget=Budget(purchases=3, per="day")) as luma:
        with pytest.raises(BudgetExceeded, match="submits only what is missing"):
            await luma.batch(prompts, name="cats").results()
    assert len(gateway.charges) == 3
    async with open_session(budget=Budget(purchases=8, per="day")) as luma:
        outcomes = await luma.batch(prompts, name="cats").results()
    assert all(outcome.generation for outcome in outcomes)
    assert sorted(charge.prompt for charge in gateway.charges) == prompts


async def test_preview_shows_prices(open_session, gateway):
    """A preview has the price of what would be submitted, and the error of what has no price."""
    async with open_session(budget=Budget(price=PRICES)) as luma:
        await luma.batch(["cat"], name="cats").results()
        requests = ["cat", VideoRequest("dog", duration="10s"), VideoRequest("bird", duration="9s")]
        items = [item async for item in luma.batch(requests, name="cats").preview()]
    assert [(item.buys, item.price) for item in items] == [(False, None), (True, Decimal("0.45")), (False, None)]
    assert isinstance(items[2].error, ConfigurationError)
    assert len(gateway.charges) == 1


class PlainJournal:
    """A journal of a user that cannot count what is spent."""

    def __init__(self):
        self._memory = MemoryJournal()

    def __getattr__(self, name):
        if name in {"spent", "change_within"}:
            raise AttributeError(name)
        return getattr(self._memory, name)


async def test_journal_that_cannot_count(open_session, gateway):
    """A session with a budget does not open over a journal that cannot count; a budget of the session needs none."""
    with pytest.raises(ConfigurationError, match="PlainJournal cannot count"):
        await open_session(journal=PlainJournal(), budget=Budget(purchases=1, per="day")).open()
    async with open_session(journal=PlainJournal(), budget=Budget(purchases=1, per="session")) as luma:
        await luma.submit("cat")
        with pytest.raises(BudgetExceeded):
            await luma.submit("cat")
    assert len(gateway.charges) == 1
