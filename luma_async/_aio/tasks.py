"""Owning tasks: whoever starts one holds it, sees its end, and awaits it before closing."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

_T = TypeVar("_T")
_K = TypeVar("_K")


async def each(works: Iterable[Coroutine[Any, Any, dict[_K, _T]]]) -> dict[_K, _T]:
    """Do several things at the same time, and put together what they found."""
    todo = list(works)
    if len(todo) == 1:
        return await todo[0]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in todo]
    return {key: found for task in tasks for key, found in task.result().items()}


def run_through(work: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing to its end, without a task."""
    for _ in work.__await__():
        raise AssertionError("it waited")


class OwnedTasks:
    """Holds the tasks of one part of a session."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, _T], *, name: str, then: Callable[[], None] | None = None
    ) -> asyncio.Task[_T]:
        """Run `work` in a task of ours, and call `then` when it has ended, however it did."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget if then is None else partial(self._forget, then=then))
        return task

    def _forget(self, task: asyncio.Task[Any], *, then: Callable[[], None] | None = None) -> None:
        self._tasks.discard(task)
        # Looking at the exception marks it as seen: when every waiter was cancelled, nobody else will.
        if not task.cancelled():
            task.exception()
        if then is not None:
            then()

    async def drain(self, timeout_s: float | None) -> None:
        """Wait until all are done, `timeout_s` at most; the rest is left running."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    async def cancel(self) -> None:
        """Cancel all, and wait until they are gone."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
