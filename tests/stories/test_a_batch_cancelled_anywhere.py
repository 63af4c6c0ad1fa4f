"""A batch that is cancelled at any moment loses nothing, leaves no task running, and pays once.

The test cancels at every fourth turn of the loop; with `LUMA_ASYNC_EVERY_TURN=1` at every turn.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from ledger import balance

from luma_async import LumaSession, MemoryJournal, Phase, PollPolicy
from luma_async.testing import FakeGateway, late, rate_limited, succeeds

ITEMS = 10
STRIDE = 1 if os.environ.get("LUMA_ASYNC_EVERY_TURN") else 4
TURNS = 160
"""After so many turns only timers are left; from then on the steps are a quarter of a second."""


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=2)}


async def cancel_after(turns, prompts, luma):
    """Cancel a batch after so many turns of the loop; return whether it had ended by then."""
    taking = asyncio.ensure_future(luma.batch(prompts, name="run", max_in_flight=4).results())
    for turn in range(turns):
        await asyncio.sleep(0 if turn < TURNS else 0.25)
    ended = taking.done()
    taking.cancel()
    await asyncio.wait([taking])
    return ended


@pytest.mark.looptime(noop_cycles=4)
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("answers", "first"), [("at once", 1), ("late", 2), ("429 now and then", 3)])
async def test_batch_cancelled_anywhere(gateway: FakeGateway, answers, first):
    """After a cancellation at any turn no task is left, charges are known, and the next run submits the rest."""
    if answers == "late":
        gateway.inject(late(0.5), times=10**6)
    journal = MemoryJournal()
    turns, charged_before_end = first if STRIDE > 1 else 1, set()
    ended = False
    while not ended:
        prompts = [f"{answers} {turns} {number}" for number in range(ITEMS)]
        if answers == "429 now and then":
            gateway.clear_faults()
            gateway.inject(rate_limited(), times=2)
        before = len(gateway.charges)
        others = asyncio.all_tasks()
        async with LumaSession(
            gateway.api_key, base_url=gateway.base_url, journal=journal, poll=PollPolicy.fixed(0.5)
        ) as luma:
            ended = await cancel_after(turns, prompts, luma)
        ours = [task for task in asyncio.all_tasks() - others if "luma_async" in task.get_name()]
        assert not ours, f"left running after {turns} turns: {ours}"
        entries = [entry for entry in await journal.entries() if entry.request["prompt"] in prompts]
        charged = {charge.prompt for charge in gateway.charges[before:]}
        known = {entry.request["prompt"] for entry in entries if entry.phase in {Phase.ACCEPTED, Phase.COMPLETED}}
        assert charged == known, f"after {turns} turns"
        charged_before_end.add(len(charged))
        turns += STRIDE
        async with LumaSession(
            gateway.api_key, base_url=gateway.base_url, journal=journal, poll=PollPolicy.fixed(0.5)
        ) as luma:
            results = await luma.batch(prompts, name="run").results()
        assert [outcome.error for outcome in results] == [None] * ITEMS
        assert len(gateway.charges) - before == ITEMS
    await balance(gateway, journal)
    assert ITEMS in charged_before_end
    assert min(charged_before_end) < 4
    assert len(charged_before_end) > 2
