"""The throttle of paid submits: in order, so many at once, so many a minute, and closed during a pause."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import Limits
from luma_async._submit.throttle import Rate, Throttle, next_start
from luma_async.values.settings import KnownLimits

pytestmark = pytest.mark.looptime

OFFICIAL = KnownLimits(max_in_flight=10, submits_per_minute=20)


@pytest.mark.parametrize(
    ("limits", "known", "expected"),
    [
        (Limits(), KnownLimits(), None),
        (Limits(submits_per_minute=math.inf), OFFICIAL, None),
        (Limits(), OFFICIAL, Rate(per_second=1 / 3, burst=1)),
        (Limits(submits_per_minute=60, burst=5), OFFICIAL, Rate(per_second=1, burst=5)),
    ],
)
def test_rate_of_the_limits(limits, known, expected):
    """None is the known limit of the service, inf is no limit, a number is that number."""
    assert Rate.from_limits(limits, known) == expected


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 100), min_size=2, max_size=60).map(sorted),
)
def test_rate_in_any_stretch(per_second, burst, arrivals):
    """In any stretch of t seconds at most burst + t · rate submits start, and none starts before it arrives."""
    rate, arrival_at_s, started = Rate(per_second=per_second, burst=burst), -math.inf, []
    for now_s in arrivals:
        wait_s, arrival_at_s = next_start(arrival_at_s, now_s, rate)
        started.append(now_s + wait_s)
    assert all(at >= arrival for at, arrival in zip(started, arrivals, strict=True))
    for first in range(len(started)):
        for last in range(first, len(started)):
            allowed = burst + (started[last] - started[first]) * per_second
            assert last - first + 1 <= allowed + 1e-6


class Queue:
    """Callers of a throttle. Each notes when it passed, and holds its place for a while."""

    def __init__(self, throttle, hold_s=0.0):
        self.throttle = throttle
        self.hold_s = hold_s
        self.passed = []
        self.times = []
        self.inside = 0
        self.most_inside = 0

    async def visit(self, name):
        async with self.throttle.turn("a"):
            self.passed.append(name)
            self.times.append(asyncio.get_running_loop().time())
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            await asyncio.sleep(self.hold_s)
            self.inside -= 1

    def send(self, *names):
        return [asyncio.ensure_future(self.visit(name)) for name in names]


async def test_throttle_without_limits(looptime):
    """Without a rate or a pause all pass at once."""
    queue = Queue(Throttle(concurrency=100, rate=None))
    await asyncio.wait(queue.send(*range(100)))
    assert queue.passed == list(range(100))
    assert looptime < 0.001


async def test_throttle_concurrency():
    """Never more than `concurrency` are inside, and all pass in order."""
    queue = Queue(Throttle(concurrency=3, rate=None), hold_s=1)
    await asyncio.wait(queue.send(*range(10)))
    assert queue.most_inside == 3
    assert queue.passed == list(range(10))
    assert queue.times[-1] == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("burst", [1, 5])
async def test_throttle_rate_and_burst(burst):
    """The burst passes at once, then one submit every interval."""
    queue = Queue(Throttle(concurrency=100, rate=Rate(per_second=2, burst=burst)))
    await asyncio.wait(queue.send(*range(12)))
    assert queue.passed == list(range(12))
    expected = [0.0] * burst + [0.5 * number for number in range(1, 13 - burst)]
    assert queue.times == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("per_second", [1 / 3, 0.7, 3.3, 7, 11, 90])
async def test_throttle_inexact_rate(per_second):
    """Waiting ends although the sum of the intervals is not exact in floating point."""
    queue = Queue(Throttle(concurrency=100, rate=Rate(per_second=per_second)))
    async with asyncio.timeout(1000):
        await asyncio.wait(queue.send(*range(50)))
    assert queue.times[-1] == pytest.approx(49 / per_second, abs=0.01)


async def test_throttle_after_idle_time():
    """After an idle hour the burst may start at once, and no more."""
    queue = Queue(Throttle(concurrency=100, rate=Rate(per_second=1, burst=2)))
    await asyncio.sleep(3600)
    began_at = asyncio.get_running_loop().time()
    await asyncio.wait(queue.send(*range(4)))
    assert [at - began_at for at in queue.times] == pytest.approx([0, 0, 1, 2], abs=0.001)


async def test_throttle_pause_order():
    """Submits that came during a pause pass when it is over, before those that came later."""
    queue = Queue(Throttle(concurrency=100, rate=None))
    queue.throttle.pause(10)
    early = queue.send("a", "b", "c")
    await asyncio.sleep(10)
    late = queue.send("d", "e")
    await asyncio.wait(early + late)
    assert queue.passed == ["a", "b", "c", "d", "e"]
    assert queue.times[0] == pytest.approx(10, abs=0.001)


async def test_throttle_arrival_after_pause():
    """A submit that arrives after the pause, at any turn of the loop, is behind those that waited for its end."""
    for turns in range(12):
        queue = Queue(Throttle(concurrency=100, rate=None))
        queue.throttle.pause(1)
        waiting = queue.send("a", "b", "c", "d")
        await asyncio.sleep(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting += queue.send("late")
        await asyncio.wait(waiting)
        assert queue.passed.index("late") == 4, f"overtook after {turns} turns"


async def test_throttle_two_pauses():
    """A short pause does not end a long pause; a pause that begins during another extends it."""
    queue = Queue(Throttle(concurrency=100, rate=None))
    queue.throttle.pause(10)
    queue.throttle.pause(1)
    waiting = queue.send("a")
    await asyncio.sleep(5)
    queue.throttle.pause(20)
    await asyncio.wait(waiting)
    assert queue.times == pytest.approx([25], abs=0.001)


async def test_throttle_pause_during_rate():
    """A submit that waits for the rate also waits for a pause that begins meanwhile."""
    queue = Queue(Throttle(concurrency=100, rate=Rate(per_second=1)))
    waiting = queue.send("a", "b", "c")
    await asyncio.sleep(0.5)
    queue.throttle.pause(9.5)
    await asyncio.wait(waiting)
    assert queue.times == pytest.approx([0, 10, 11], abs=0.001)


@pytest.mark.parametrize("rate", [None, Rate(per_second=1)])
@pytest.mark.parametrize("leaver", range(6))
async def test_throttle_cancelled_caller(rate, leaver):
    """Cancelling a submit in the queue, at any position, costs the others neither a place nor a turn."""
    queue = Queue(Throttle(concurrency=2, rate=rate), hold_s=1)
    queue.throttle.pause(1)
    waiting = queue.send(*range(6))
    await asyncio.sleep(0.5)
    waiting[leaver].cancel()
    await asyncio.wait(waiting)
    assert queue.passed == [name for name in range(6) if name != leaver]
    assert queue.times[-1] == pytest.approx(5 if rate else 3, abs=0.01)
    assert queue.most_inside <= 2
    await asyncio.wait(queue.send("after"))
    assert queue.passed[-1] == "after"


async def test_throttle_cancelled_turn():
    """A submit that is cancelled while it waits for the rate leaves the turn to the next."""
    queue = Queue(Throttle(concurrency=100, rate=Rate(per_second=0.1)))
    waiting = queue.send("a", "b", "c")
    await asyncio.sleep(5)
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert queue.times == pytest.approx([0, 10], abs=0.001)


async def test_throttle_after_exception():
    """An exception inside releases the place."""
    throttle = Throttle(concurrency=1, rate=None)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with throttle.turn("a"):
                raise ZeroDivisionError
    async with throttle.turn("a"):
        pass
