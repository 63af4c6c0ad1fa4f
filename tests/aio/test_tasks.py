"""Owning tasks: each is held, its end is seen, and nothing is left running."""

from __future__ import annotations

import asyncio
import gc

import pytest

from luma_async._aio.tasks import OwnedTasks, each, run_through

pytestmark = pytest.mark.looptime


@pytest.fixture
def owner():
    return OwnedTasks()


async def fail(after_s=0.0):
    await asyncio.sleep(after_s)
    raise ZeroDivisionError


async def test_a_task_is_held_until_it_ends(owner):
    """Nobody else needs to keep it, and it is let go when it is done."""
    done = asyncio.Event()
    owner.start(done.wait(), name="waiting")
    gc.collect()
    assert len(owner) == 1
    done.set()
    await asyncio.sleep(0.1)
    assert len(owner) == 0


async def test_a_failure_that_nobody_awaits_is_no_noise(owner, caplog):
    """By itself asyncio would log "exception was never retrieved" when a caller has gone."""
    owner.start(fail(), name="failing")
    await asyncio.sleep(1)
    gc.collect()
    assert caplog.records == []


async def test_a_failure_reaches_whoever_awaits_it(owner):
    """Looking at the exception does not take it away."""
    task = owner.start(fail(1), name="failing")
    with pytest.raises(ZeroDivisionError):
        await task


async def test_draining_waits_as_long_as_it_is_told(owner):
    """What is done by then is done, and the rest goes on."""
    quick = owner.start(asyncio.sleep(1), name="quick")
    slow = owner.start(asyncio.sleep(100), name="slow")
    began_at_s = asyncio.get_running_loop().time()
    await owner.drain(10)
    assert asyncio.get_running_loop().time() - began_at_s == pytest.approx(10)
    assert (quick.done(), slow.done()) == (True, False)
    await owner.cancel()
    assert slow.cancelled()


async def test_draining_ends_with_the_last(owner):
    """No longer than needed; nothing to wait for takes no time."""
    owner.start(fail(3), name="failing")
    began_at_s = asyncio.get_running_loop().time()
    await owner.drain(None)
    await owner.drain(10)
    assert asyncio.get_running_loop().time() - began_at_s == pytest.approx(3)


async def test_cancelling_waits_for_their_last_words(owner):
    """A task that has something to put away is given the time for it."""
    said = []

    async def tidy():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)
            said.append("tidied")

    owner.start(tidy(), name="tidy")
    await asyncio.sleep(1)
    await owner.cancel()
    await owner.cancel()
    assert said == ["tidied"]
    assert len(owner) == 0


async def test_several_are_done_at_the_same_time():
    """As long as the longest takes, and what they found is put together."""

    async def find(name, seconds):
        await asyncio.sleep(seconds)
        return {name: seconds}

    began_at_s = asyncio.get_running_loop().time()
    assert await each(find(str(seconds), seconds) for seconds in (3, 1, 2)) == {"3": 3, "1": 1, "2": 2}
    assert asyncio.get_running_loop().time() - began_at_s == pytest.approx(3)
    assert await each([find("one", 1)]) == {"one": 1}
    assert await each([]) == {}


@pytest.mark.parametrize("ends", [asyncio.sleep, fail])
async def test_what_follows_a_task_follows_every_end(owner, ends):
    """`then` is called once, after a good end, after a failure, and after a cancellation before the first step."""
    said = []
    owner.start(ends(0), name="ending", then=lambda: said.append("ended"))
    await asyncio.sleep(0.1)
    owner.start(asyncio.sleep(9), name="cancelled", then=lambda: said.append("cancelled")).cancel()
    await asyncio.sleep(0.1)
    assert said == ["ended", "cancelled"]


async def test_what_waits_for_nothing_needs_no_task():
    """It has ended when the call returns; what waits all the same is refused."""
    said = []

    async def say():
        said.append("said")

    run_through(say())
    assert said == ["said"]
    with pytest.raises(AssertionError, match="waited"):
        run_through(asyncio.sleep(1))
