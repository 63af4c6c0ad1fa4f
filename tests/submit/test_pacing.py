"""Submits at a service that limits submits a minute, unfinished generations, and requests of any kind."""

from __future__ import annotations

import asyncio

import pytest
from agents_server import AgentsServer

from luma_async import Agents, Limits, LumaSession, PollPolicy, RateLimited
from luma_async._submit.window import SlidingWindow
from luma_async._wire.answer import RateWindow
from luma_async.values.settings import KnownLimits


def session(server, **settings):
    return LumaSession("luma-api-test", base_url=server.base_url, dialect=Agents(), **settings)


@pytest.mark.looptime
async def test_plain_submits_wait_for_a_place():
    """Forty submits at once, without a batch, meet no 429: those beyond ten wait until others have ended."""
    async with AgentsServer(job_s=20) as server, session(server) as luma:
        handles = await asyncio.gather(*[luma.submit(f"cat {number}") for number in range(40)])
        assert len({handle.id for handle in handles}) == 40
    assert server.refusals == {}


@pytest.mark.looptime
async def test_other_programs_hold_places():
    """When other programs hold places, a refused submit waits for an end of its own session, not for a minute."""
    async with AgentsServer(job_s=20, slots=4) as server, session(server) as luma:
        began = asyncio.get_running_loop().time()
        outcomes = await luma.batch([f"cat {number}" for number in range(12)], name="cats").results()
        took = asyncio.get_running_loop().time() - began
    assert [outcome.error for outcome in outcomes] == [None] * 12
    assert took < 90
    assert server.refusals["jobs"] < 12


@pytest.mark.looptime
async def test_all_places_are_taken():
    """When other programs hold all places, a submit is tried again within seconds, then raises RateLimited."""
    async with AgentsServer(slots=0) as server, session(server) as luma:
        began = asyncio.get_running_loop().time()
        with pytest.raises(RateLimited) as caught:
            await luma.submit("cat dance")
        assert asyncio.get_running_loop().time() - began < 60
    assert (caught.value.scope, server.counts["submit"]) == ("unfinished", 5)


@pytest.mark.looptime
async def test_other_programs_use_the_minute():
    """What an answer says about the submits that are left counts, whichever program sent the others."""
    async with AgentsServer(job_s=1, others=20) as server, session(server) as luma:
        for number in range(12):
            await (await luma.submit(f"cat {number}"))
    assert server.refusals["minute"] == 0


@pytest.mark.looptime
async def test_general_ceiling_pauses_polls():
    """After a 429 about requests of any kind the whole session waits, status requests too."""
    async with AgentsServer(job_s=5) as server, session(server, poll=PollPolicy.fixed(1)) as luma:
        handles = [await luma.submit(f"cat {number}") for number in range(5)]
        server.ceiling = 1
        await asyncio.gather(*handles)
        assert asyncio.get_running_loop().time() >= 30
    assert server.counts["query"] <= 15


KNOWN = KnownLimits(submits_per_minute=30, sliding=True)


def test_window():
    """A submit counts until sixty seconds after its answer; while it has none, only an answer makes room."""
    window = SlidingWindow.from_limits(Limits(submits_per_minute=2), KNOWN)
    window.start()
    window.start()
    assert window.wait_s(0.0) == float("inf")
    window.end(1.0, sent=True, rate=None)
    window.end(2.0, sent=False, rate=None)
    assert window.wait_s(2.0) == 0
    window.start()
    window.end(3.0, sent=True, rate=None)
    assert (round(window.wait_s(3.0), 1), window.wait_s(61.2)) == (58.1, 0.0)


def test_window_of_the_service():
    """The service's own limit replaces the documented one, but not one that the user set."""
    rate = RateWindow(limit=60, remaining=50, resets_in_s=10_000)
    found = SlidingWindow.from_limits(Limits(), KNOWN)
    mine = SlidingWindow.from_limits(Limits(submits_per_minute=5), KNOWN)
    for window in (found, mine):
        window.start()
        window.end(0.0, sent=True, rate=rate)
    # Ten are used: one of ours, nine of others. A reset later than a minute is not believed.
    assert (found.limit, found.wait_s(0.0), mine.limit, round(mine.wait_s(0.0))) == (60, 0.0, 5, 60)


def test_window_of_an_absurd_limit():
    """A limit of a million million, of which nothing is left, takes neither time nor memory."""
    window = SlidingWindow.from_limits(Limits(), KNOWN)
    window.start()
    window.end(0.0, sent=True, rate=RateWindow(limit=10**12, remaining=0, resets_in_s=60))
    assert window.wait_s(0.0) == 0.0


@pytest.mark.parametrize("limits", [Limits(burst=1), Limits(submits_per_minute=0.5)])
def test_no_window(limits):
    """With a burst, or less than one a minute, the rate of the user bounds the submits."""
    assert SlidingWindow.from_limits(limits, KNOWN) is None
    assert SlidingWindow.from_limits(Limits(), KnownLimits(submits_per_minute=30)) is None
