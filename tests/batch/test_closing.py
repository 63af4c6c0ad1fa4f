"""Closing a batch in any way: nothing more is submitted, slots are released, nothing is lost."""

from __future__ import annotations

import asyncio
import gc

import pytest
from batch_inputs import EndlessInput, prompts, settle

from luma_async import (
    Limits,
    Phase,
    SessionClosed,
)
from luma_async.testing import (
    fails,
    late,
    succeeds,
)

pytestmark = pytest.mark.looptime(noop_cycles=8)


async def test_close_ends_async_input(luma):
    """Closing a batch closes an asynchronous input that is waiting."""
    ended = asyncio.Event()

    async def endless():
        try:
            yield "a cat"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async for _ in luma.batch(endless()):
        break
    await asyncio.sleep(1)
    assert ended.is_set()


async def _break(batch):
    async for _ in batch:
        break


async def _raise(batch):
    async def fail():
        async for _ in batch:
            raise LookupError

    with pytest.raises(LookupError):
        await fail()


async def _return(batch):
    async def first():
        async for outcome in batch:
            return outcome
        return None

    assert await first() is not None


async def _cancel(batch):
    async def take():
        async for _ in batch:
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(25):
            await take()


async def _leave_context(batch):
    async with batch:
        await anext(batch)


async def _close(batch):
    await anext(batch)
    await batch.aclose()
    await batch.aclose()


@pytest.mark.parametrize(
    "leave", [_break, _raise, _return, _cancel, _leave_context, _close], ids=lambda way: way.__name__
)
async def test_close_submits_nothing_more(luma, gateway, journal, leave):
    """After closing, submits being sent are settled, no further submit is sent, and the journal has all of them."""
    gateway.scripts |= {f"cat {number}": succeeds(after=20 + 10 * number) for number in range(9)}
    batch = luma.batch(EndlessInput(), name="cats", max_in_flight=5)
    await leave(batch)
    sent = gateway.counts["submit"]
    await settle()
    assert gateway.counts["submit"] == sent
    assert len(gateway.charges) == sent
    phases = [entry.phase for entry in await journal.entries()]
    assert phases.count(Phase.ACCEPTED) + phases.count(Phase.COMPLETED) == sent
    assert Phase.ACCEPTED in phases
    assert [outcome async for outcome in batch] == []


async def test_break_at_ready_outcome(luma, gateway):
    """Leaving the loop at an outcome starts no item in the slot that this outcome has released."""
    batch = luma.batch(EndlessInput(), max_in_flight=2)
    await anext(batch)
    await settle()
    sent = gateway.counts["submit"]
    async for _ in batch:
        break
    await settle()
    assert gateway.counts["submit"] == sent == 2


async def test_close_releases_slots(luma, gateway):
    """Ended generations are not in flight, and a closed batch holds no slot."""
    gateway.scripts["cat 1"] = fails()
    batch = luma.batch(prompts(3))
    await anext(batch)
    await settle()
    in_flight = batch._in_flight
    assert (in_flight.unfinished, in_flight.used) == (0, 2)
    await batch.aclose()
    assert (in_flight.unfinished, in_flight.used) == (0, 0)


async def test_break_frees_name_at_once(luma, gateway):
    """The name of a batch is free in the line after its loop."""
    for _ in range(3):
        async for _ in luma.batch(prompts(1), name="cats"):
            break
    assert len(gateway.charges) == 1


async def test_loop_dropped_in_thread(luma, gateway):
    """A loop that is collected in another thread closes its batch in the event loop."""
    batch = luma.batch(EndlessInput(), max_in_flight=2)
    loops = [aiter(batch)]
    await anext(loops[0])
    await asyncio.to_thread(loops.clear)
    await asyncio.sleep(0.1)
    assert batch.closed
    await settle()
    assert len(gateway.charges) <= 3


async def test_close_cancels_queued_submits(open_session, gateway, journal):
    """Submits that wait for the rate limit when the batch is closed are not sent."""
    async with open_session(limits=Limits(submits_per_minute=1)) as luma:
        async for _ in luma.batch(prompts(9), max_in_flight=9):
            break
        await settle()
    assert gateway.counts["submit"] == 1
    assert [entry.phase for entry in await journal.entries()] == [Phase.COMPLETED]


async def test_close_during_post(luma, gateway, journal):
    """Closing does not wait for the response to a POST; the response is still recorded in the journal."""
    gateway.inject(late(30))
    batch = luma.batch(prompts(1), name="cats")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await batch.results()
    await settle()
    assert [entry.phase for entry in await journal.entries()] == [Phase.ACCEPTED]
    assert await batch.results() == []


async def test_session_closed(open_session, gateway, journal):
    """A loop over a batch raises SessionClosed when its session closes; the journal keeps what is paid."""
    luma = open_session()
    await luma.open()
    batch = luma.batch(prompts(5), name="cats", max_in_flight=2)
    unused = luma.batch(prompts(5), name="dogs")
    taking = asyncio.ensure_future(batch.results())
    await asyncio.sleep(1)
    await luma.aclose()
    with pytest.raises(SessionClosed):
        await taking
    with pytest.raises(SessionClosed):
        await anext(unused)
    assert [entry.phase for entry in await journal.entries()] == [Phase.ACCEPTED] * 2
    with pytest.raises(SessionClosed):
        luma.batch(prompts(2))


async def test_dropped_batch_releases_slots(open_session):
    """A batch that is dropped without `aclose()` holds no slot."""
    async with open_session(limits=Limits(max_in_flight=2)) as luma:
        batch = luma.batch(prompts(3))
        await anext(batch)
        del batch
        gc.collect()
        await asyncio.sleep(30)
        gc.collect()
        async with asyncio.timeout(60):
            assert len(await luma.batch(prompts(4)).results()) == 4
        in_flight = luma._registry._in_flight
        assert (in_flight.used, in_flight.unfinished) == (0, 0)
