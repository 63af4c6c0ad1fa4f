"""Timers of few lengths: each ends when it should, unless it is stopped."""

from __future__ import annotations

import asyncio

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luma_async._aio.timers import Timers, Within

pytestmark = pytest.mark.looptime


def waiting():
    """Return how many timers the loop itself still has to watch."""
    return sum(not handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)


async def test_each_ends_at_its_time():
    """Timers of different lengths end when their own time is over, whoever was started first."""
    timers, ended = Timers(), []
    began_at_s = asyncio.get_running_loop().time()

    def end(name):
        ended.append((name, asyncio.get_running_loop().time() - began_at_s))

    timers.start(10, lambda: end("ten"))
    timers.start(3, lambda: end("three"))
    await asyncio.sleep(2)
    timers.start(10, lambda: end("ten, later"))
    await asyncio.sleep(20)
    assert ended == [("three", 3), ("ten", 10), ("ten, later", 12)]
    assert waiting() == 0


async def test_what_is_stopped_never_ends():
    """Stopping the first leaves the others as they are; stopping again, and stopping what has ended, does nothing."""
    timers, ended = Timers(), []
    first, second, third = (timers.start(5, lambda name=name: ended.append(name)) for name in "abc")
    first.stop()
    first.stop()
    await asyncio.sleep(6)
    assert ended == ["b", "c"]
    second.stop()
    third.stop()
    assert waiting() == 0


async def test_the_loop_watches_one_timer_for_many():
    """A thousand of one length are one timer to the loop, and none once they are stopped."""
    timers = Timers()
    started = [timers.start(5, lambda: None) for _ in range(1_000)]
    assert waiting() == 1
    for timer in started:
        timer.stop()
    assert waiting() == 0


async def test_one_that_ends_may_stop_and_start_others():
    """Whoever is stopped by one that ends at the same time does not end; a new one gets its whole time."""
    timers, ended = Timers(), []

    def end():
        ended.append("first")
        second.stop()
        timers.start(5, lambda: ended.append("new"))

    timers.start(5, end)
    second = timers.start(5, lambda: ended.append("second"))
    await asyncio.sleep(6)
    assert ended == ["first"]
    await asyncio.sleep(5)
    assert ended == ["first", "new"]


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with a cancellation"])
async def test_a_bound_is_no_cancellation_but_gives_way_to_one(others):
    """Time that is over is a TimeoutError; whoever is cancelled at that moment too is cancelled."""
    began_at_s = asyncio.get_running_loop().time()

    async def work():
        try:
            with Within(Timers(), 5):
                await asyncio.sleep(60)
        except TimeoutError:
            return asyncio.current_task().cancelling()

    task = asyncio.ensure_future(work())
    for _ in range(others):
        asyncio.get_running_loop().call_at(began_at_s + 5, task.cancel)
    await asyncio.wait([task])
    assert asyncio.get_running_loop().time() - began_at_s == 5
    assert task.cancelled() if others else task.result() == 0


@pytest.mark.looptime(False)
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, 2, 5]), st.integers(0, 9) | st.none()), max_size=12))
def test_they_are_what_the_loop_would_do(plan):
    """Whatever is started and stopped whenever, it ends just as timers of the loop would."""

    async def run(start):
        loop, ended = asyncio.get_running_loop(), []
        for number, (begin_s, length_s, stop_s) in enumerate(plan):

            def begin(number=number, length_s=length_s, stop_s=stop_s):
                stop = start(length_s, lambda: ended.append((number, round(loop.time() - zero_s, 3))))
                if stop_s is not None:
                    loop.call_later(stop_s + 0.5, stop)

            loop.call_later(begin_s, begin)
        zero_s = loop.time()
        await asyncio.sleep(30)
        return sorted(ended)

    def ours(timers):
        return lambda length_s, call: timers.start(length_s, call).stop

    async def theirs():
        return await run(lambda length_s, call: asyncio.get_running_loop().call_later(length_s, call).cancel)

    async def both():
        return await run(ours(Timers())), await theirs()

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0.0)) as runner:
        mine, expected = runner.run(both())
    assert mine == expected
