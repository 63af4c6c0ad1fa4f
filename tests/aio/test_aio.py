"""Owned tasks end with their owner, and the semaphore serves by priority."""

from __future__ import annotations

import asyncio
import gc

import pytest

from luma_async._aio import OwnedTasks, PrioritySemaphore, SharedTask, gather_dicts, loop_now, run_sync

pytestmark = pytest.mark.looptime


@pytest.fixture
def tasks():
    return OwnedTasks()


async def fail(after_s=0.0):
    await asyncio.sleep(after_s)
    raise ZeroDivisionError


async def test_owned_task_is_kept(tasks):
    """The owner holds a reference to a task until the task has ended."""
    done = asyncio.Event()
    tasks.start(done.wait(), name="waiting")
    gc.collect()
    assert len(tasks) == 1
    done.set()
    await asyncio.sleep(0.1)
    assert len(tasks) == 0


async def test_unawaited_failure_is_not_logged(tasks, caplog):
    """Asyncio does not log "exception was never retrieved" when the caller has been cancelled."""
    tasks.start(fail(), name="failing")
    await asyncio.sleep(1)
    gc.collect()
    assert caplog.records == []


async def test_awaited_failure_is_raised(tasks):
    """Awaiting a task raises its exception, although the owner has read it."""
    task = tasks.start(fail(1), name="failing")
    with pytest.raises(ZeroDivisionError):
        await task


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_shared_task_is_left(left):
    """Cancelling one of two callers leaves the task to the other; when both are cancelled, the task is cancelled."""
    shared = SharedTask(asyncio.ensure_future(asyncio.sleep(1)))
    callers = [asyncio.ensure_future(shared.wait()) for _ in range(2)]
    await asyncio.sleep(0.1)
    for caller in callers[:left]:
        caller.cancel()
    await asyncio.wait(callers)
    assert [caller.cancelled() for caller in callers] == [number < left for number in range(2)]
    assert (shared.task.done(), shared.task.cancelled(), shared.abandoned) == (True, left == 2, left == 2)


async def test_shared_task_ends_slowly():
    """The last caller is cancelled only after the task has ended, in whatever way it ends."""

    async def stop_slowly():
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.sleep(10)

    shared = SharedTask(asyncio.ensure_future(stop_slowly()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shared.wait(), 0.1)
    assert loop_now() == pytest.approx(10.1)
    assert shared.task.cancelled()


async def test_drain_with_timeout(tasks):
    """`drain()` waits for the given time at most, and leaves the other tasks running."""
    quick = tasks.start(asyncio.sleep(1), name="quick")
    slow = tasks.start(asyncio.sleep(100), name="slow")
    began_at_s = loop_now()
    await tasks.drain(10)
    assert loop_now() - began_at_s == pytest.approx(10)
    assert (quick.done(), slow.done()) == (True, False)
    await tasks.cancel()
    assert slow.cancelled()


async def test_drain_ends_with_last_task(tasks):
    """`drain()` waits no longer than the tasks run, and returns at once when there are none."""
    tasks.start(fail(3), name="failing")
    began_at_s = loop_now()
    await tasks.drain(None)
    await tasks.drain(10)
    assert loop_now() - began_at_s == pytest.approx(3)


async def test_cancel_waits_for_cleanup(tasks):
    """`cancel()` returns when the tasks have run their `finally` blocks; a second call does nothing."""
    cleaned = []

    async def work():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)
            cleaned.append(True)

    tasks.start(work(), name="work")
    await asyncio.sleep(1)
    await tasks.cancel()
    await tasks.cancel()
    assert cleaned == [True]
    assert len(tasks) == 0


@pytest.mark.parametrize("work", [asyncio.sleep, fail])
async def test_then_is_called_once(tasks, work):
    """`then` is called after success, after a failure, and after a cancellation before the first step."""
    calls = []
    tasks.start(work(0), name="ending", then=lambda: calls.append("ended"))
    await asyncio.sleep(0.1)
    tasks.start(asyncio.sleep(9), name="cancelled", then=lambda: calls.append("cancelled")).cancel()
    await asyncio.sleep(0.1)
    assert calls == ["ended", "cancelled"]


async def test_gather_dicts_runs_concurrently():
    """It takes as long as the slowest coroutine, and merges the results."""

    async def find(name, seconds):
        await asyncio.sleep(seconds)
        return {name: seconds}

    began_at_s = loop_now()
    assert await gather_dicts(find(str(seconds), seconds) for seconds in (3, 1, 2)) == {"3": 3, "1": 1, "2": 2}
    assert loop_now() - began_at_s == pytest.approx(3)
    assert await gather_dicts([find("one", 1)]) == {"one": 1}
    assert await gather_dicts([]) == {}


async def test_run_sync_without_a_wait():
    """A coroutine that does not wait has ended when the call returns."""
    calls = []

    async def work():
        calls.append("called")

    assert run_sync(work())
    assert calls == ["called"]


async def test_run_sync_with_a_wait():
    """A coroutine that waits is closed, and the call says so."""
    assert not run_sync(asyncio.sleep(1))


async def test_semaphore_serves_by_priority():
    """The smallest priority is next; among equals the first that came; a cancelled waiter is left out."""
    semaphore = PrioritySemaphore(1)
    order = []

    async def enter(priority, name):
        async with semaphore.acquire(priority):
            order.append(name)

    async with semaphore.acquire(9):
        waiting = [(5, "later"), (1, "first"), (0, "cancelled"), (1, "second")]
        started = [asyncio.ensure_future(enter(*each)) for each in waiting]
        await asyncio.sleep(0)
        started[2].cancel()
    await asyncio.wait(started)
    assert order == ["first", "second", "later"]


async def test_semaphore_waiter_cancelled_when_served():
    """A waiter that is cancelled in the same turn in which it gets the slot hands the slot on."""
    semaphore = PrioritySemaphore(1)

    async def enter():
        async with semaphore.acquire(0):
            pass

    async with semaphore.acquire(0):
        second, third = asyncio.ensure_future(enter()), asyncio.ensure_future(enter())
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second, third], timeout=1)
    assert second.cancelled()
    assert third.done()
