"""Many purchases at once: a bounded number under way, each on its own, and none lost or paid twice.

A batch is moved by whoever takes its outcomes. Only a call for the next one pulls from the input and starts errands,
as long as there are seats for them; a seat is held until the outcome is taken. So nothing runs ahead of its consumer,
and a consumer that has gone starts nothing. What is on its way when the batch is left is the sender's to settle, and
stays in the journal.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import attrs

from luma_async._aio.clock import loop_now
from luma_async._batch.item import BatchItem, run_item
from luma_async._batch.preview import Preview, preview
from luma_async._batch.rules import MOST_DOUBTS, Durations, count_doubts, stops_batch
from luma_async._batch.window import Slot
from luma_async.handle import Outcome
from luma_async.values.errors import SubmitInDoubt

if TYPE_CHECKING:
    from types import TracebackType

    from luma_async._aio.tasks import OwnedTasks
    from luma_async._batch.item import BatchOptions, Deeds
    from luma_async._batch.source import Item, Source
    from luma_async._batch.window import InFlight

_MOST_STARTS = 100
"""Items that are started in one turn of the loop: without a bound on what is in flight there may be no end to them."""


@attrs.frozen(kw_only=True)
class BatchStats:
    """How far a batch has come. An item that has ended is counted once: as done, failed or in doubt."""

    total: int | None
    """Items in all; None where the input does not tell."""
    submitted: int
    """Generations that this run has bought."""
    running: int
    """Paid, and not ended yet."""
    done: int
    """Ended with a generation, and with its file where that was asked for."""
    failed: int
    """Ended with an error that is no doubt."""
    in_doubt: int
    """Ended in doubt: maybe paid, see `session.doubts`."""
    duplicates: int
    """Items equal to an earlier one. Each is a purchase of its own, which may not be what you meant."""
    requests: int
    """Requests that the session has made to the service since the batch began, all kinds together."""
    seconds_left: float | None
    """An estimate; None where there is nothing to go by."""

    @property
    def ended(self) -> int:
        """Items that have ended, in whatever way."""
        return self.done + self.failed + self.in_doubt


class Batch(AsyncIterator[Outcome]):
    """Many generations, a bounded number at a time. `session.batch()` makes one.

    ```python
    async for outcome in luma.batch(prompts, name="cats"):
        print(outcome.index, outcome.generation or outcome.error)
    ```

    Outcomes come in the order in which they end, and failures are values: `outcome.error`. One item's failure
    touches no other. A 429 costs nothing: the item is sent again once there is room.

    A batch buys only while its outcomes are being taken: those that nobody has taken yet count against
    `max_in_flight`. Leaving the loop, however that happens, leaves the batch: nothing more is submitted, what is on
    its way is settled and journalled, and what is paid runs on at the service. A batch of the same name over the
    same journal goes on from there.

    Some errors would meet every further item too: a key that the service does not take, no credit, a journal that
    cannot be written, five submits in a row that end in doubt. Then nothing more is submitted; what is under way is
    delivered, and after it the error is raised. When the input raises, what it gave before is delivered first. An
    item that is no prompt or request is an outcome with `InvalidInput`.
    """

    def __init__(
        self, source: Source, *, terms: BatchOptions, flights: InFlight, deeds: Deeds, tasks: OwnedTasks
    ) -> None:
        self._source = source
        self._terms = terms
        self._flights = flights
        self._deeds = deeds
        self._tasks = tasks
        self._errands: set[BatchItem] = set()
        self._queue: deque[BatchItem] = deque()
        self._ended: deque[tuple[Outcome, Slot]] = deque()
        self._pulling: asyncio.Task[Item | None] | None = None
        self._exhausted = False
        self._stopped = False
        self._left = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._loop: weakref.ref[AsyncIterator[Outcome]] | None = None
        self._home = asyncio.get_running_loop()
        self._kept: list[Outcome] = []
        self._started = self._submitted = self._running = 0
        self._done = self._failed = self._in_doubt = 0
        self._doubts_in_a_row = 0
        self._durations = Durations()
        self._requests_before = deeds.requests()
        flights.listeners.add(self._changed)
        # Whoever drops a batch without closing it leaves outcomes that nobody will take.
        weakref.finalize(self, _free_all, self._ended).atexit = False

    @property
    def name(self) -> str:
        """What it is called; made up where none was given."""
        return self._terms.name

    @property
    def closed(self) -> bool:
        """Whether it has ended or was left: it submits nothing more."""
        return self._left

    @property
    def stats(self) -> BatchStats:
        """How far it has come. Asking costs nothing."""
        total = self._source.length
        return BatchStats(
            total=total,
            submitted=self._submitted,
            running=self._running,
            done=self._done,
            failed=self._failed,
            in_doubt=self._in_doubt,
            duplicates=self._source.duplicates,
            requests=self._deeds.requests() - self._requests_before,
            seconds_left=self._durations.left_s(
                waiting=None if total is None else max(0, total - self._started),
                running=len(self._errands),
                width=self._flights.window.size,
            ),
        )

    def __repr__(self) -> str:
        return f"<Batch {self.name!r} {'closed' if self._left else f'{len(self._errands)} under way'}>"

    def __aiter__(self) -> AsyncIterator[Outcome]:  # noqa: PYI034 - only a generator notices that its loop was left
        """Take the outcomes in the order in which they end; leaving the loop leaves the batch."""
        outcomes = self._outcomes()
        # A loop drops its generator where it is left; asyncio would close that some turns later, when more is bought.
        self._loop = weakref.ref(outcomes, self._desert)
        return outcomes

    async def __anext__(self) -> Outcome:
        """Take the next outcome. Cancelling loses none; whoever wants no more of them calls `aclose()`."""
        outcome = await self._next()
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    async def results(self) -> list[Outcome]:
        """Take all outcomes, and return them in the order of the input.

        Raises:
            LumaError: what stopped the batch, as in a loop. Calling it again returns what was taken until then.

        Costs:
            One generation for each item that the journal does not know yet.

        Cancellation:
            Leaves the batch. Calling it again returns what was taken until then.
        """
        async for outcome in self:
            self._kept.append(outcome)
        return sorted(self._kept, key=lambda outcome: outcome.index)

    def preview(self) -> AsyncIterator[Preview]:
        """Yield for each item what the journal knows of it and whether running the batch would submit it.

        It takes the input, so run another batch to buy.

        Raises:
            JournalError: the journal cannot be read.

        Costs:
            Nothing; no request is made.

        Cancellation:
            Safe.
        """
        return preview(self._source, terms=self._terms, deeds=self._deeds)

    async def aclose(self) -> None:
        """Leave the batch: submit nothing more, and look after nothing more. Closing twice is fine.

        Costs:
            Nothing. What is paid runs on, and stays in the journal.

        Cancellation:
            Safe; the batch is left in any case.
        """
        self._leave()
        if tasks := [errand.task for errand in self._errands]:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def abort(self, error: Exception) -> None:
        """Leave the batch when its session closes; whoever takes outcomes gets the error."""
        if not self._left:
            self._error = error
            self._leave()

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        try:
            while (outcome := await self._next()) is not None:
                yield outcome
        finally:
            self._leave()

    async def _next(self) -> Outcome | None:
        """Start what there are seats for, and return the next outcome; None after the last."""
        while True:
            self._changed.clear()
            filled = self._fill()
            if self._ended:
                outcome, seat = self._ended.popleft()
                seat.free()
                return outcome
            if not filled:
                await asyncio.sleep(0)
            elif self._errands or not (self._stopped or self._exhausted):
                await self._changed.wait()
            else:
                break
        self._leave()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def _fill(self) -> bool:
        """Give the free seats away: first to those that met a 429, then to new ones. Say whether that is done."""
        for _ in range(_MOST_STARTS):
            if self._stopped or self._flights.full:
                return True
            if self._queue:
                errand = self._queue.popleft()
                if errand.turn is not None and not errand.turn.done():
                    errand.seat.take()
                    errand.turn.set_result(None)
                continue
            item = self._pull()
            if item is None:
                return True
            self._start(item)
        return False

    def _pull(self) -> Item | None:
        """Return one more item; None when there is none at the moment, or none any more."""
        if self._exhausted:
            return None
        if self._source.waits and (self._pulling is None or not self._pulling.done()):
            if self._pulling is None:
                self._pulling = self._tasks.start(self._source.outwait_next(), name="luma_async batch input")
                self._pulling.add_done_callback(lambda _: self._changed.set())
            return None
        pulling, self._pulling = self._pulling, None
        try:
            item = self._source.next() if pulling is None else pulling.result()
        except Exception as error:  # whatever the user's own iterable raises
            self._error = error
            item = None
        self._exhausted = item is None
        return item

    def _start(self, item: Item) -> None:
        errand = BatchItem(item=item, key=item.key, seat=Slot(self._flights))
        errand.seat.take()
        self._errands.add(errand)
        self._started += 1
        errand.task = self._tasks.start(self._run(errand), name="luma_async batch")
        errand.task.add_done_callback(lambda _: self._end(errand))

    async def _run(self, errand: BatchItem) -> Outcome | None:
        if self._stopped:
            return None
        return await run_item(
            errand, terms=self._terms, deeds=self._deeds, queue=self._line_up, note=lambda: self._note_bought(errand)
        )

    def _note_bought(self, errand: BatchItem) -> None:
        self._running += 1
        if errand.bought is not None and errand.bought.accepted_at_s is not None:
            self._submitted += 1
            self._doubts_in_a_row = 0

    async def _line_up(self, errand: BatchItem) -> None:
        """Wait for a seat after a 429."""
        errand.turn = asyncio.get_running_loop().create_future()
        if self._stopped:
            errand.task.cancel()
        else:
            self._queue.append(errand)
            self._changed.set()
        await errand.turn
        errand.turn = None

    def _end(self, errand: BatchItem) -> None:
        """Take in how an errand ended."""
        self._errands.discard(errand)
        if errand.bought is not None:
            self._running -= 1
        failure = None if errand.task.cancelled() else errand.task.exception()
        outcome = errand.task.result() if failure is None and not errand.task.cancelled() else None
        if isinstance(failure, Exception):
            self._stop(failure)
        if outcome is None or self._left:
            errand.seat.free()
        else:
            errand.seat.finished()
            self._count(outcome, errand)
            self._ended.append((outcome, errand.seat))
        self._changed.set()

    def _count(self, outcome: Outcome, errand: BatchItem) -> None:
        error = outcome.error
        if error is None:
            self._done += 1
            if errand.bought is not None and errand.bought.accepted_at_s is not None:
                self._durations = self._durations.after(loop_now() - errand.bought.accepted_at_s)
            return
        if isinstance(error, SubmitInDoubt):
            self._in_doubt += 1
        else:
            self._failed += 1
        if errand.bought is None:
            self._doubts_in_a_row = count_doubts(self._doubts_in_a_row, error)
        if stops_batch(error) or self._doubts_in_a_row >= MOST_DOUBTS:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        """Submit nothing more; what has left is waited for."""
        if self._stopped:
            return
        self._stopped = True
        self._error = self._error or error
        for errand in self._errands:
            errand.stopped = True
            if errand.bought is not None:
                continue
            if errand.turn is not None or self._deeds.unsent(errand.key):
                errand.task.cancel()
            else:
                self._deeds.no_more_attempts(errand.key)
        self._stop_pulling()

    def _desert(self, _: object) -> None:
        """Leave the batch when its loop is gone. In another thread that is left to asyncio, which comes later."""
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is self._home:
                self._leave()

    def _leave(self) -> None:
        """Submit nothing more, and wait for nothing more."""
        if self._left:
            return
        self._left = self._stopped = True
        self._loop = None
        for errand in self._errands:
            errand.task.cancel()
        self._stop_pulling()
        _free_all(self._ended)
        self._changed.set()

    def _stop_pulling(self) -> None:
        if self._pulling is not None:
            self._pulling.cancel()
            self._pulling = None


def _free_all(ended: deque[tuple[Outcome, Slot]]) -> None:
    """Give back the seats of outcomes that nobody will take."""
    while ended:
        ended.popleft()[1].free()
