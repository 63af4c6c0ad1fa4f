"""A submit may be cancelled at any moment, also with a journal on disk: at most one charge, and the journal has it.

The writer of the journal is a thread or a server, so these tests run in real time.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from ledger import balance
from stories.killable import STEPS, instrumented, tracing

from luma_async import LumaSession, SubmitInDoubt
from luma_async.testing import FakeGateway, drop_after_reading, late, rate_limited, succeeds

ANSWERS = {
    "at once": None,
    "late": late(0.05),
    "429 first": rate_limited(0.05),
    "lost": drop_after_reading(),
}
MAX_SHORT_TURNS = 60
"""A submit takes about sixty turns of the loop; after that it waits for the disk and the gateway."""


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path):
    """The path or the address of a journal."""
    return tmp_path / "jobs.db" if request.param == "file" else request.getfixturevalue("postgres_dsn")


@pytest.mark.parametrize("fault", ANSWERS.values(), ids=ANSWERS)
async def test_cancelled_at_any_turn(place, fault):
    """Cancelled after any number of turns of the loop, a submit costs at most one charge, and the journal has it."""
    journal = instrumented(place, lambda _: None)
    books, seen, turns, finished = Counter(), set(), 0, False
    async with FakeGateway(script=succeeds(after=0.1)) as gateway:
        while not finished:
            # The steps grow, since a slow disk would make the test quadratically slow.
            turns += 1 if turns < MAX_SHORT_TURNS else turns // 8
            if fault is not None:
                gateway.inject(fault, when=lambda seen, prompt=f"cat {turns}": seen.body["prompt"] == prompt)
            async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma:
                caller = asyncio.ensure_future(luma.submit(f"cat {turns}", key=f"cat {turns}"))
                for turn in range(turns):
                    await asyncio.sleep(0 if turn < MAX_SHORT_TURNS else 0.005)
                finished = caller.done()
                caller.cancel()
                await asyncio.wait([caller])
                assert caller.cancelled() or isinstance(caller.exception(), SubmitInDoubt | None)
            sums = Counter(dict(zip(("charged", "accepted", "in doubt"), await balance(gateway, journal), strict=True)))
            seen.add(tuple(sorted((sums - books).elements())))
            books = sums
    await journal.aclose()
    assert turns > 5
    assert () in seen
    assert ("charged", "in doubt") in seen if fault is ANSWERS["lost"] else ("accepted", "charged") in seen


@pytest.mark.parametrize("step", STEPS[1:9])
async def test_cancelled_at_each_step(place, step):
    """Cancelled at a certain step, a submit returns at once, and the same key then finds its result."""
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reach(name):
        # Some steps are reached in the thread of the writer.
        if name == step:
            loop.call_soon_threadsafe(reached.set)

    journal = instrumented(place, reach)
    async with FakeGateway(script=succeeds(after=0.1)) as gateway:
        gateway.inject(late(0.05))
        session = LumaSession(
            gateway.api_key, base_url=gateway.base_url, journal=journal, trace_configs=[tracing(reach)]
        )
        async with session as luma:
            caller = asyncio.ensure_future(luma.submit("cat dance", key="cat"))
            await reached.wait()
            caller.cancel()
            await asyncio.wait([caller], timeout=0.04)
            assert caller.done()
            handle = await luma.submit("cat dance", key="cat")
        assert await balance(gateway, journal) == (1, 1, 0)
        assert handle.id in gateway.generations
    await journal.aclose()
