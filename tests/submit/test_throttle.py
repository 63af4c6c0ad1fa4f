"""The gate before paid submits: in order, so many at once, so many a minute, and shut while the service says so."""

from __future__ import annotations

import asyncio

import pytest

from luma_async._submit.limits import Rate
from luma_async._submit.throttle import Throttle

pytestmark = pytest.mark.looptime


class Queue:
    """Callers at a gate, each of which notes when it got through and holds its place for a while."""

    def __init__(self, gate, hold_s=0.0):
        self.gate = gate
        self.hold_s = hold_s
        self.passed = []
        self.times = []
        self.inside = 0
        self.most_inside = 0

    async def visit(self, name):
        async with self.gate:
            self.passed.append(name)
            self.times.append(asyncio.get_running_loop().time())
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            await asyncio.sleep(self.hold_s)
            self.inside -= 1

    def send(self, *names):
        return [asyncio.ensure_future(self.visit(name)) for name in names]


async def test_an_open_gate_lets_everybody_through_at_once(looptime):
    """Without a rate or a pause nobody waits for anything."""
    queue = Queue(Throttle(width=100, rate=None))
    await asyncio.wait(queue.send(*range(100)))
    assert queue.passed == list(range(100))
    assert looptime < 0.001


async def test_it_is_as_wide_as_it_says():
    """Never more inside than its width, and all get through, in order."""
    queue = Queue(Throttle(width=3, rate=None), hold_s=1)
    await asyncio.wait(queue.send(*range(10)))
    assert queue.most_inside == 3
    assert queue.passed == list(range(10))
    assert queue.times[-1] == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("burst", [1, 5])
async def test_a_rate_holds_from_the_first_start(burst):
    """So many at once, then one every interval."""
    queue = Queue(Throttle(width=100, rate=Rate(per_second=2, burst=burst)))
    await asyncio.wait(queue.send(*range(12)))
    assert queue.passed == list(range(12))
    expected = [0.0] * burst + [0.5 * number for number in range(1, 13 - burst)]
    assert queue.times == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("per_second", [1 / 3, 0.7, 3.3, 7, 11, 90])
async def test_a_rate_that_no_float_can_spell_still_lets_all_through(per_second):
    """Waiting ends although the sum of the intervals is never exact."""
    queue = Queue(Throttle(width=100, rate=Rate(per_second=per_second)))
    async with asyncio.timeout(1000):
        await asyncio.wait(queue.send(*range(50)))
    assert queue.times[-1] == pytest.approx(49 / per_second, abs=0.01)


async def test_unused_time_is_saved_up_to_the_burst_and_no_further():
    """After an hour of nothing the burst is back, not the hour."""
    queue = Queue(Throttle(width=100, rate=Rate(per_second=1, burst=2)))
    await asyncio.sleep(3600)
    began_at = asyncio.get_running_loop().time()
    await asyncio.wait(queue.send(*range(4)))
    assert [at - began_at for at in queue.times] == pytest.approx([0, 0, 1, 2], abs=0.001)


async def test_a_pause_stops_all_and_keeps_their_order():
    """Those who came during a pause go when it is over, before those who came later."""
    queue = Queue(Throttle(width=100, rate=None))
    queue.gate.pause(10)
    early = queue.send("a", "b", "c")
    await asyncio.sleep(10)
    late = queue.send("d", "e")
    await asyncio.wait(early + late)
    assert queue.passed == ["a", "b", "c", "d", "e"]
    assert queue.times[0] == pytest.approx(10, abs=0.001)


async def test_nobody_overtakes_those_who_waited_for_the_pause_to_end():
    """Whoever arrives at any turn of the loop after the pause stands behind those who waited for its end."""
    for turns in range(12):
        queue = Queue(Throttle(width=100, rate=None))
        queue.gate.pause(1)
        waiting = queue.send("a", "b", "c", "d")
        await asyncio.sleep(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting += queue.send("late")
        await asyncio.wait(waiting)
        assert queue.passed.index("late") == 4, f"overtook after {turns} turns"


async def test_the_longer_of_two_pauses_counts():
    """A short pause does not end a long one; one that begins during another extends it."""
    queue = Queue(Throttle(width=100, rate=None))
    queue.gate.pause(10)
    queue.gate.pause(1)
    waiting = queue.send("a")
    await asyncio.sleep(5)
    queue.gate.pause(20)
    await asyncio.wait(waiting)
    assert queue.times == pytest.approx([25], abs=0.001)


async def test_a_pause_holds_those_who_wait_for_the_rate():
    """A pause that begins while a submit waits for its turn makes it wait for the pause as well."""
    queue = Queue(Throttle(width=100, rate=Rate(per_second=1)))
    waiting = queue.send("a", "b", "c")
    await asyncio.sleep(0.5)
    queue.gate.pause(9.5)
    await asyncio.wait(waiting)
    assert queue.times == pytest.approx([0, 10, 11], abs=0.001)


@pytest.mark.parametrize("rate", [None, Rate(per_second=1)])
@pytest.mark.parametrize("leaver", range(6))
async def test_whoever_leaves_disturbs_nobody(rate, leaver):
    """Cancelling any one in the queue, wherever it stands, costs the others neither a place nor a turn."""
    queue = Queue(Throttle(width=2, rate=rate), hold_s=1)
    queue.gate.pause(1)
    waiting = queue.send(*range(6))
    await asyncio.sleep(0.5)
    waiting[leaver].cancel()
    await asyncio.wait(waiting)
    assert queue.passed == [name for name in range(6) if name != leaver]
    assert queue.times[-1] == pytest.approx(5 if rate else 3, abs=0.01)
    assert queue.most_inside <= 2
    await asyncio.wait(queue.send("after"))
    assert queue.passed[-1] == "after"


async def test_a_turn_that_was_waited_for_and_left_is_not_used_up():
    """Somebody who leaves while waiting for the rate gives the turn to the next."""
    queue = Queue(Throttle(width=100, rate=Rate(per_second=0.1)))
    waiting = queue.send("a", "b", "c")
    await asyncio.sleep(5)
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert queue.times == pytest.approx([0, 10], abs=0.001)


async def test_a_place_comes_back_when_the_one_inside_fails():
    """An exception inside gives the place back like a good end."""
    gate = Throttle(width=1, rate=None)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with gate:
                raise ZeroDivisionError
    async with gate:
        pass
