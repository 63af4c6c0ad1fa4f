"""Many generations at once: a bounded number running, each item independent, none lost or paid twice.

The consumer drives the batch. Only a call for the next outcome takes items from the input and starts them, as long as
slots are free. A slot is held until the outcome is taken. So nothing runs ahead of the consumer, and nothing starts
once the consumer has gone. What is being sent when the batch is closed is settled by the submitter and recorded in
the journal.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Self

import attrs

from luma_async._aio import loop_now
from luma_async._batch.item import BatchItem, BatchRun, RequeuedItems, finish_item, submit_item
from luma_async._batch.preview import Preview, preview
from luma_async._batch.rules import BatchProgress, stop_note
from luma_async._batch.window import Slot
from luma_async.handle import Outcome
from luma_async.values.errors import LumaError
from luma_async.values.public import public, refuses

if TYPE_CHECKING:
    from types import TracebackType

    from luma_async._aio import OwnedTasks
    from luma_async._batch.item import BatchOptions
    from luma_async._batch.source import BatchInput, Source
    from luma_async._batch.window import InFlight
    from luma_async._engine import Engine

_MAX_STARTS_PER_TURN = 100
"""Items that start in one turn of the loop. With no limit on what is running, an endless input would block it."""


@public
@attrs.frozen(kw_only=True)
class BatchStats:
    """How far a batch has come. An item that has ended is counted once: as done, failed or in doubt."""

    total: int | None
    """Items in all; None when the length of the input is unknown."""
    submitted: int
    """Generations that this run has purchased."""
    running: int
    """Purchased, and not ended."""
    done: int
    """Ended with a generation, and with its file if `download_to` was given."""
    failed: int
    """Ended with an error other than a doubt."""
    in_doubt: int
    """Ended in doubt: maybe charged, see `session.doubts`."""
    duplicates: int
    """Items equal to an earlier item. Each is a purchase of its own, which may not be what you meant."""
    requests: int
    """HTTP requests of the session to the service since the batch was opened, of all kinds."""
    seconds_left: float | None
    """An estimate; None before the first generation has ended."""

    @property
    def ended(self) -> int:
        """Items that have ended, with or without a generation."""
        return self.done + self.failed + self.in_doubt


@public
class Batch(AsyncIterator[Outcome]):
    """Many generations, a bounded number at a time. `session.batch()` makes one.

    ```python
    async for outcome in luma.batch(prompts, name="cats"):
        print(outcome.index, outcome.generation or outcome.error)
    ```

    Outcomes come in completion order, and failures are values: `outcome.error`. The failure of one item does not
    affect the others. A 429 costs nothing: the item is sent again once a slot is free.

    A batch submits only while its outcomes are being taken: outcomes that are not taken yet count against
    `max_in_flight`. Leaving the loop closes the batch, also by an exception or a cancellation. Then nothing more is
    submitted, a submit that is being sent is settled and recorded in the journal, and what is paid keeps running at
    the service. A batch with the same name over the same journal resumes.

    Some errors would meet every further item too: a key that the service does not accept, no credit, a journal that
    cannot be written, five submits in a row that end in doubt, five that could not be sent when none was accepted, a
    response that repeats another prompt than was sent. Then nothing more is submitted, the running items are
    delivered, and after them the error is raised. It says how far the batch came, and how to go on.

    If the input raises, the items before that are delivered first. An item that is not a prompt or a request becomes an
    outcome with `InvalidInput`.
    """

    def __init__(
        self, source: Source, *, options: BatchOptions, in_flight: InFlight, engine: Engine, tasks: OwnedTasks
    ) -> None:
        self._source = source
        self._in_flight = in_flight
        self._engine = engine
        self._tasks = tasks
        self._changed = asyncio.Event()
        self._progress = BatchProgress()
        self._requeued = RequeuedItems(self._changed)
        self._run = BatchRun(engine=engine, options=options, progress=self._progress, requeued=self._requeued)
        self._items: set[BatchItem] = set()
        self._ended: deque[tuple[Outcome, Slot]] = deque()
        self._pulling: asyncio.Task[BatchInput | None] | None = None
        self._exhausted = False
        self._stopped = False
        self._closed = False
        self._error: Exception | None = None
        self._consumer: weakref.ref[AsyncIterator[Outcome]] | None = None
        self._loop = asyncio.get_running_loop()
        self._results: list[Outcome] = []
        self._requests_before = engine.transport.requests
        in_flight.listeners.add(self._changed)
        # A batch that is dropped without being closed may hold outcomes that will never be taken.
        weakref.finalize(self, _release_all, self._ended).atexit = False

    @property
    def name(self) -> str:
        """The batch's name; random if none was given."""
        return self._run.options.name

    @property
    def closed(self) -> bool:
        """Whether it has ended or was closed: it submits nothing more."""
        return self._closed

    @property
    def stats(self) -> BatchStats:
        """How far it has come. Reading it costs nothing."""
        total, progress = self._source.length, self._progress
        return BatchStats(
            total=total,
            submitted=progress.submitted,
            running=progress.running,
            done=progress.done,
            failed=progress.failed,
            in_doubt=progress.in_doubt,
            duplicates=self._source.duplicates,
            requests=self._engine.transport.requests - self._requests_before,
            seconds_left=progress.durations.left_s(
                waiting=None if total is None else max(0, total - progress.started),
                running=len(self._items),
                width=self._in_flight.window.size,
            ),
        )

    def __repr__(self) -> str:
        return f"<Batch {self.name!r} {'closed' if self._closed else f'{len(self._items)} running'}>"

    if not TYPE_CHECKING:
        __await__ = refuses("Write `await batch.results()`, or `async for outcome in batch:`.")
        __iter__ = refuses("Write `async for outcome in batch:`; a batch is not iterated with `for`.")
        __enter__ = __exit__ = refuses(
            "Write `async with luma.batch(...) as batch:`; a batch is not opened with `with`."
        )

    def __aiter__(self) -> AsyncIterator[Outcome]:  # noqa: PYI034 - only a generator notices that its loop was left
        """Yield the outcomes in completion order. Leaving the loop closes the batch."""
        outcomes = self._outcomes()
        # Leaving an `async for` drops its generator. asyncio would close it some turns later, after more submits.
        self._consumer = weakref.ref(outcomes, self._on_loop_dropped)
        return outcomes

    async def __anext__(self) -> Outcome:
        """Return the next outcome. A cancelled call loses none. Call `aclose()` if you want no more of them."""
        outcome = await self._next()
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    async def results(self) -> list[Outcome]:
        """Take all outcomes, and return them in the order of the input.

        Raises:
            LumaError: what stopped the batch, as in a loop. Calling it again returns what was taken until then.

        Costs:
            One generation for each item that the journal does not have yet.

        Cancellation:
            Closes the batch. Calling it again returns what was taken until then.
        """
        async for outcome in self:
            self._results.append(outcome)
        return sorted(self._results, key=lambda outcome: outcome.index)

    def preview(self) -> AsyncIterator[Preview]:
        """Yield for each item its entry in the journal, and whether running the batch would submit it.

        It consumes the input; open another batch to submit.

        Raises:
            JournalError: the journal cannot be read.

        Costs:
            Nothing; no request is made.

        Cancellation:
            Safe.
        """
        return preview(self._source, options=self._run.options, engine=self._engine)

    async def aclose(self) -> None:
        """Close the batch: submit nothing more, and wait for nothing more. Closing twice is allowed.

        Costs:
            Nothing. What is paid keeps running, and is recorded in the journal.

        Cancellation:
            Safe; the batch is closed in any case.
        """
        self._close()
        if tasks := [item.task for item in self._items]:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _fail(self, error: Exception) -> None:
        """Close the batch because its session closes; the consumer gets the error."""
        if not self._closed:
            self._error = error
            self._close()

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        try:
            while (outcome := await self._next()) is not None:
                yield outcome
        finally:
            self._close()

    async def _next(self) -> Outcome | None:
        """Start items while slots are free, and return the next outcome; None after the last."""
        while True:
            self._changed.clear()
            filled = self._fill()
            if self._ended:
                outcome, slot = self._ended.popleft()
                slot.release()
                return outcome
            if not filled:
                await asyncio.sleep(0)
            elif self._items or not (self._stopped or self._exhausted):
                await self._changed.wait()
            else:
                break
        self._close()
        error, self._error = self._error, None
        if error is not None:
            raise self._with_note(error)
        return None

    def _with_note(self, error: Exception) -> Exception:
        """Return an error of ours with what it stopped, how far the batch came, and how to go on."""
        if not isinstance(error, LumaError):
            return error
        stopped = copy(error)
        stopped.note = stop_note(error, self.name, self._progress, total=self._source.length)
        return stopped.with_traceback(error.__traceback__)

    def _fill(self) -> bool:
        """Give out the free slots, first to items that met a 429. Return False if there may be more to start."""
        for _ in range(_MAX_STARTS_PER_TURN):
            if self._stopped or self._in_flight.full:
                self._engine.hold(self, self._held())
                return True
            if self._requeued:
                self._requeued.resume_next()
                continue
            batch_input = self._pull()
            if batch_input is None:
                return True
            self._start(batch_input)
        return False

    def _held(self) -> int:
        """Return how many items wait for the end of another: those without a slot; at least one, the whole batch."""
        if self._stopped or self._exhausted:
            return 1
        total = self._source.length
        return len(self._items) if total is None else max(1, total - self._progress.started)

    def _pull(self) -> BatchInput | None:
        """Return the next input; None when there is none yet, or at the end."""
        if self._exhausted:
            return None
        if self._source.waits and (self._pulling is None or not self._pulling.done()):
            if self._pulling is None:
                self._pulling = self._tasks.start(self._source.wait_for_next(), name="luma_async batch input")
                self._pulling.add_done_callback(lambda _: self._changed.set())
            return None
        pulling, self._pulling = self._pulling, None
        try:
            batch_input = self._source.next() if pulling is None else pulling.result()
        except Exception as error:  # whatever the user's own iterable raises
            self._error = error
            batch_input = None
        self._exhausted = batch_input is None
        return batch_input

    def _start(self, batch_input: BatchInput) -> None:
        item = BatchItem(input=batch_input, key=batch_input.key, slot=Slot(self._in_flight))
        item.slot.acquire()
        self._items.add(item)
        self._progress.started += 1
        item.task = self._tasks.start(self._run_item(item), name="luma_async batch")
        item.task.add_done_callback(lambda _: self._end(item))

    async def _run_item(self, item: BatchItem) -> Outcome | None:
        if self._stopped:
            return None
        await submit_item(item, self._run)
        if item.purchase is not None and item.purchase.wrong_prompt is not None:
            self._stop(item.purchase.wrong_prompt)
        return await finish_item(item, self._run)

    def _end(self, item: BatchItem) -> None:
        """Count how an item ended, and queue its outcome."""
        self._items.discard(item)
        if item.purchase is not None:
            self._progress.running -= 1
        failure = None if item.task.cancelled() else item.task.exception()
        outcome = item.task.result() if failure is None and not item.task.cancelled() else None
        if isinstance(failure, Exception):
            self._stop(failure)
        if outcome is None or self._closed:
            item.slot.release()
        else:
            item.slot.completed()
            self._count(outcome, item)
            self._ended.append((outcome, item.slot))
        self._changed.set()

    def _count(self, outcome: Outcome, item: BatchItem) -> None:
        accepted_at_s = None if item.purchase is None else item.purchase.accepted_at_s
        stops = self._progress.ended(
            outcome.error,
            purchased=item.purchase is not None,
            took_s=None if accepted_at_s is None else loop_now() - accepted_at_s,
        )
        if stops and outcome.error is not None:
            self._stop(outcome.error)

    def _stop(self, error: Exception) -> None:
        """Submit nothing more; wait for what was sent."""
        if self._stopped:
            return
        self._stopped = True
        self._error = self._error or error
        for item in self._items:
            item.stopped = True
            if item.purchase is not None:
                continue
            if item.turn is not None or self._engine.submitter.can_withdraw(item.key):
                item.task.cancel()
            else:
                self._engine.submitter.no_more_attempts(item.key)
        self._stop_pulling()

    def _on_loop_dropped(self, _: object) -> None:
        """Close the batch when its generator is collected. In another thread asyncio does that, a little later."""
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                self._close()

    def _close(self) -> None:
        """Submit nothing more, and wait for nothing more."""
        if self._closed:
            return
        self._closed = self._stopped = True
        self._consumer = None
        for item in self._items:
            item.task.cancel()
        self._stop_pulling()
        _release_all(self._ended)
        self._changed.set()

    def _stop_pulling(self) -> None:
        if self._pulling is not None:
            self._pulling.cancel()
            self._pulling = None


def _release_all(ended: deque[tuple[Outcome, Slot]]) -> None:
    """Release the slots of outcomes that will never be taken."""
    while ended:
        ended.popleft()[1].release()
