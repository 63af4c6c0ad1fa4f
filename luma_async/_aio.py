"""What asyncio lacks: clocks, a deadline that reads first, owned and shared tasks, a semaphore with priorities."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
    from types import TracebackType

_T = TypeVar("_T")
_K = TypeVar("_K")


def loop_now() -> float:
    """Return the seconds of the running loop's clock, which is monotonic, and virtual in tests."""
    return asyncio.get_running_loop().time()


def wall_now() -> datetime:
    """Return the time of day as aware UTC: for people and other programs, never for measuring."""
    return datetime.now(UTC)


async def gather_dicts(works: Iterable[Coroutine[Any, Any, dict[_K, _T]]]) -> dict[_K, _T]:
    """Await coroutines concurrently, and merge the dictionaries that they return."""
    todo = list(works)
    if len(todo) == 1:
        return await todo[0]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in todo]
    return {key: found for task in tasks for key, found in task.result().items()}


def run_sync(work: Coroutine[Any, Any, None]) -> bool:
    """Run a coroutine to its end without a task; return False if it had to wait, which closes it."""
    try:
        work.send(None)
    except StopIteration:
        return True
    work.close()
    return False


_LATE_S = 0.1
"""A timer that fires this late means that the event loop stood still: a blocking call, or a stopped process."""
_READING_S = 1.0
"""How long an answer that has arrived meanwhile may take to be read."""


class Deadline:
    """Bounds a block like `asyncio.timeout()`, but does not call an answer late that has already arrived.

    If the event loop stood still past the deadline, the answer may lie in its socket. asyncio would cancel the block
    before the answer is read. This deadline then allows another second.
    """

    def __init__(self, max_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._expires_at_s = self._loop.time() + max_s
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._timer = self._loop.call_at(self._expires_at_s, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _expire(self) -> None:
        now_s = self._loop.time()
        if now_s - self._expires_at_s < _LATE_S:
            self._timeout.reschedule(now_s)
            return
        self._expires_at_s = now_s + _READING_S
        self._timer = self._loop.call_at(self._expires_at_s, self._expire)


class OwnedTasks:
    """Holds the tasks of one part of a session until they end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, _T], *, name: str, then: Callable[[], None] | None = None
    ) -> asyncio.Task[_T]:
        """Run `work` in a task, and call `then` when the task has ended, in whatever way."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget if then is None else partial(self._forget, then=then))
        return task

    def _forget(self, task: asyncio.Task[Any], *, then: Callable[[], None] | None = None) -> None:
        self._tasks.discard(task)
        # Reading the exception keeps asyncio from logging it when every waiter was cancelled.
        if not task.cancelled():
            task.exception()
        if then is not None:
            then()

    async def drain(self, timeout_s: float | None) -> None:
        """Wait until all tasks are done, at most `timeout_s`; the others keep running."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    async def cancel(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class SharedTask(Generic[_T]):
    """A task that several callers wait for. A cancelled caller leaves the task to the others; the last cancels it."""

    def __init__(self, task: asyncio.Task[_T]) -> None:
        self.task = task
        self.abandoned = False
        """Whether the last caller has left, so that the task is ending and takes no other callers."""
        self._callers = 0

    async def wait(self) -> None:
        """Wait for the end of the task, in whatever way it ends. The last caller that is cancelled waits too."""
        self._callers += 1
        try:
            await asyncio.wait([self.task])
        except asyncio.CancelledError:
            if self._callers == 1 and not self.task.done():
                self.abandoned = True
                self.task.cancel()
                await asyncio.wait([self.task])
            raise
        finally:
            self._callers -= 1


class PrioritySemaphore:
    """A semaphore that wakes the waiter with the smallest priority first; among equals, the first that came."""

    def __init__(self, value: int) -> None:
        self._value = value
        self._waiters: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def acquire(self, priority: float) -> AsyncGenerator[None, None]:
        """Wait for a slot, and hold it for the length of the `async with` block."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, priority: float) -> None:
        if self._value:
            self._value -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (priority, next(self._numbers), waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The slot was handed over in the same turn of the loop as the cancellation: hand it on.
                self._release()
            raise

    def _release(self) -> None:
        """Hand the slot to the next waiter, or free it when there is none."""
        while self._waiters:
            *_, waiter = heapq.heappop(self._waiters)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._value += 1
