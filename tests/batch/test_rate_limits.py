"""429s in a batch: items wait for another slot, and purchases with the same key are shared."""

from __future__ import annotations

import asyncio

import pytest
from batch_inputs import later, prompts, strike

from luma_async import (
    Phase,
    RateLimited,
    RetryPolicy,
    SubmitFailed,
)
from luma_async.testing import (
    rate_limited,
    stalls,
)

pytestmark = pytest.mark.looptime(noop_cycles=8)


async def test_429_has_no_attempt_limit(open_session, gateway, journal):
    """No item fails because of 429s, however many, and each is charged once."""
    gateway.inject(rate_limited(), times=30)
    async with open_session(retry=RetryPolicy(attempts=2)) as luma:
        results = await luma.batch(prompts(6)).results()
        assert [outcome.error for outcome in results] == [None] * 6
    assert len(gateway.charges) == 6
    assert gateway.counts["submit"] == 36
    assert {entry.phase for entry in await journal.entries()} == {Phase.COMPLETED}


async def test_429_with_long_retry_after(luma, gateway):
    """A `Retry-After` is obeyed up to a minute."""
    gateway.inject(rate_limited(3600))
    began_at = asyncio.get_running_loop().time()
    await luma.batch(prompts(1)).results()
    assert 60 <= asyncio.get_running_loop().time() - began_at < 120


async def test_submit_shares_429_item(luma, gateway):
    """A `submit()` that shares the key of an item after a 429 completes when the batch is closed."""
    gateway.scripts["a dog"] = stalls()
    gateway.inject(rate_limited(), when=lambda seen: seen.body["prompt"] == "a cat")
    batch = luma.batch(["a dog", "a cat"], keys=["dog", "cat"], max_in_flight=2)
    taking = asyncio.ensure_future(anext(batch))
    await asyncio.sleep(5)
    assert len(gateway.charges) == 1
    sharing = asyncio.ensure_future(luma.submit("a cat", key="cat"))
    await asyncio.sleep(1)
    taking.cancel()
    await batch.aclose()
    assert (await sharing).id in gateway.generations


@pytest.mark.parametrize("refusals", [1, 12])
async def test_items_with_same_key(open_session, gateway, refusals):
    """Two items with the same key share a purchase, however many 429s it meets."""
    gateway.inject(rate_limited(), times=refusals)
    events = []
    async with open_session(on_event=events.append) as luma, asyncio.timeout(600):
        outcomes = await luma.batch(["a cat", "a cat"], keys=["cat", "cat"]).results()
    assert not [event for event in events if isinstance(event, SubmitFailed)]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len({outcome.handle.id for outcome in outcomes}) == len(gateway.charges) == 1


async def test_batches_with_same_key(luma, gateway):
    """Items of two batches with the same key share a purchase after 429s."""
    gateway.inject(rate_limited(), times=3)
    async with asyncio.timeout(600):
        one, two = await asyncio.gather(*(luma.batch(["a cat"], keys=["cat"]).results() for _ in range(2)))
    assert one[0].handle.id == two[0].handle.id
    assert len(gateway.charges) == 1


async def test_submit_after_429_in_idle_batch(luma, gateway):
    """A `submit()` does not wait for an item with the same key in a batch whose outcomes are not taken."""
    strike(gateway, "cat", later(1, rate_limited()))
    batch = luma.batch(["a cat"], keys=["cat"])
    taking = asyncio.ensure_future(anext(batch))
    await asyncio.sleep(0.5)
    taking.cancel()
    async with asyncio.timeout(60):
        handle = await luma.submit("a cat", key="cat")
    [outcome] = await batch.results()
    assert outcome.handle.id == handle.id
    assert len(gateway.charges) == 1


async def test_submit_raises_rate_limited(open_session, gateway):
    """Outside of batches a 429 is raised after the policy's attempts."""
    gateway.inject(rate_limited(), times=3)
    async with open_session(retry=RetryPolicy(attempts=3)) as luma:
        with pytest.raises(RateLimited):
            await luma.submit("a cat")
