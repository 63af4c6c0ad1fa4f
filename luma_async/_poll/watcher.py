"""The watcher: it polls the generations that callers wait for, with as few requests as possible.

A session has one watcher. Each generation that has a waiter (`wait()`) or a listener (`updates()`) is *watched*: it is
either in the queue, with the moment of its next look, or a look at it is in progress. There is one timer, set to the
first moment in the queue.

What wakes the watcher:

* **The timer.** `_on_timer()` takes everything out of the queue that is due. If the requests have room, it also takes
  what is due soon. It starts a task for each request and sets the timer again. So a slow request delays only the
  generations in it.
* **A result.** `_look()` handles each generation of its request separately. If it still runs, it goes back into the
  queue; all running generations of a request get the same jitter, so they stay together. If it is final, its waiters
  are notified. If the look failed, it goes back into the queue too, with a longer delay each time, until
  `after_failure()` says to stop. A generation that the answer for many omits, or that cannot be read in it, gets a
  look of its own in a new task. A look that ends with an unexpected exception counts as failed.
* **A caller.** A new waiter puts a generation into the queue, or moves it to an earlier moment if its timeout is
  short. When the last waiter leaves, the generation is no longer due; a look in progress finishes and is not repeated.
* **Others.** `observe()` is called with what `session.get()` and `handle.refresh()` have seen.

Where several programs share a journal, one of them polls for all. In the others the watcher *rests*: a generation that
gets a waiter is passed to `check` instead, which answers with `recorded()`, `look()` or `leave()`.

What it never does: poll a generation without waiters, send a paid request, stop or delete a generation, or let an
exception of a dialect end the wait of another generation.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from luma_async._aio import OwnedTasks, loop_now
from luma_async._poll.due_queue import DueQueue
from luma_async._poll.durations import PRIOR, DurationLearner, DurationModel
from luma_async._poll.failures import KeepLooking, KeptFailing, after_failure
from luma_async._poll.grouping import chunks, room_left
from luma_async._poll.observation import LazyLook, Look, has_link
from luma_async._poll.schedule import NO_HINTS, Hints, before_deadline, first_delay, interval, next_delay
from luma_async._poll.tracked import MAX_LOOKS_WITHOUT_LINK, Tracked, Update, time_out, unwrap
from luma_async._wire.dialect import read_row, structure_row
from luma_async.values.errors import (
    GenerationNotFound,
    LumaError,
    Refused,
    SessionClosed,
    UnreadableResponse,
)
from luma_async.values.events import Changed, Finished
from luma_async.values.log import fields, logger
from luma_async.values.models import Generation, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from luma_async._poll.fetcher import Fetcher, FetchResult
    from luma_async._wire.dialect import Dialect, Row, StillRunning
    from luma_async.values.events import Emitter
    from luma_async.values.settings import PollPolicy

_AGE_CLASSES_PER_S = 4
"""Ages that differ by less than a quarter of a second are alike: the shortest adaptive interval is a second."""


class Watcher:
    """Polls generations that have waiters, and notifies the waiters.

    Args:
        fetcher: sends the status requests.
        dialect: structures the responses.
        policy: when to look, and when to stop.
        random: returns numbers from 0 to 1.
        events: receives each event.
        on_final: is called once with each generation that ended.
        find_origin: looks up in the journal whether an id from outside was purchased through it.
        on_lost: is called with an id that the service no longer knows.
        pressure: returns how much a second of delay costs, compared with one that one caller feels.
        prior: the duration model before any generation has finished.
    """

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        dialect: Dialect,
        policy: PollPolicy,
        random: Callable[[], float],
        events: Emitter,
        on_final: Callable[[Generation], None],
        find_origin: Callable[[Tracked], Awaitable[None]],
        on_lost: Callable[[str], None],
        pressure: Callable[[], float] = lambda: 1.0,
        prior: DurationModel = PRIOR,
    ) -> None:
        self._fetcher = fetcher
        self._dialect = dialect
        self._policy = policy
        self._random = random
        self._events = events
        self._on_final = on_final
        self._find_origin = find_origin
        self._on_lost = on_lost
        self._pressure = pressure
        self.learner: DurationLearner = DurationLearner(prior)
        """Learns how long generations take."""
        self._tracked: WeakValueDictionary[str, Tracked] = WeakValueDictionary()
        self._queue = DueQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = OwnedTasks()
        self._watched: set[Tracked] = set()
        self._waiting_for_first_look = 0
        self._unknown_states: set[str] = set()
        self._check: Callable[[Tracked], None] | None = None
        self._closed = False

    def tracked(self, generation_id: str) -> Tracked:
        """Return what this session knows of a generation: the same object for each call."""
        tracked = self._tracked.get(generation_id)
        if tracked is None:
            tracked = self._tracked[generation_id] = Tracked(id=generation_id)
        return tracked

    async def wait(self, tracked: Tracked, *, timeout_s: float | None) -> Generation | KeptFailing | None:
        """Wait until a generation is final or polling kept failing; return None when the time is up.

        `handle.wait()` raises the errors for these results.
        """
        if tracked.settled and tracked.last is not None:
            return tracked.last
        if self._closed:
            raise SessionClosed
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Update | None] = loop.create_future()
        tracked.add_waiter(waiter, None if timeout_s is None else loop.time() + timeout_s)
        self._start_watching(tracked)
        timer = loop.call_later(timeout_s, time_out, waiter) if timeout_s is not None else None
        try:
            update = await waiter
        finally:
            tracked.remove_waiter(waiter)
            if timer is not None:
                timer.cancel()
            self._stop_unless_watched(tracked)
        return None if update is None else unwrap(update)

    async def updates(
        self, tracked: Tracked, *, timeout_s: float | None = None
    ) -> AsyncGenerator[Generation | KeptFailing | None]:
        """Yield what is known, then each change; end after a final state, or when polling kept failing.

        None is yielded last when the time is up.
        """
        loop = asyncio.get_running_loop()
        deadline_at_s = None if timeout_s is None else loop.time() + timeout_s
        shown: Generation | None = None
        # While the caller handles what was yielded, nothing listens: yield what has changed in the meantime.
        while (known := tracked.last) is not None and known != shown and (tracked.settled or not known.final):
            shown = known
            yield known
        if tracked.settled:
            return
        if self._closed:
            raise SessionClosed
        listener: asyncio.Queue[Update | None] = asyncio.Queue()
        tracked.listeners.append(listener)
        timer: asyncio.TimerHandle | None = None
        # It only makes the watcher look before the deadline.
        waiter: asyncio.Future[Update | None] = loop.create_future()
        if deadline_at_s is not None:
            tracked.add_waiter(waiter, deadline_at_s)
            timer = loop.call_at(deadline_at_s, listener.put_nowait, None)
        self._start_watching(tracked)
        try:
            while (got := await listener.get()) is not None:
                update = unwrap(got)
                yield update
                if isinstance(update, KeptFailing) or update.final:
                    return
            # It may have ended while the caller handled an earlier state.
            known = tracked.last
            yield known if known is not None and known.final else None
        finally:
            if listener in tracked.listeners:
                tracked.listeners.remove(listener)
            tracked.remove_waiter(waiter)
            if timer is not None:
                timer.cancel()
            self._stop_unless_watched(tracked)

    def observe(self, generation: Generation, asked_at_s: float) -> None:
        """Use what another request has seen, and notify the waiters."""
        tracked = self._tracked.get(generation.id)
        if tracked is not None:
            self._observe(tracked, Look(generation, asked_at_s))

    def remember_answer(self, tracked: Tracked, row: Row, asked_at_s: float) -> None:
        """Use the response to the submit."""
        tracked.siblings = row.siblings
        try:
            running = self._dialect.peek(row.raw)
        except Exception:  # a bug in a dialect; reading the row in full decides
            running = None
        if running is not None:
            tracked.observe_running(LazyLook(partial(read_row, self._dialect, row), asked_at_s))
        else:
            self.remember(tracked, Look(read_row(self._dialect, row), asked_at_s))

    def remember(self, tracked: Tracked, look: Look) -> None:
        """Use what the journal recorded; a final state from there is not reported again."""
        if tracked.submitted_here and look.generation.final:
            self.observe(look.generation, look.asked_at_s)
        elif tracked.observe(look) and look.generation.final:
            tracked.finished = True
            tracked.looks_without_link = MAX_LOOKS_WITHOUT_LINK + 1

    def recorded(self, generation: Generation) -> None:
        """Use how a generation ended, as another program has recorded it, and notify the waiters."""
        tracked = self.tracked(generation.id)
        # The program that recorded it has looked for a link often enough.
        tracked.looks_without_link = MAX_LOOKS_WITHOUT_LINK + 1
        tracked.recorded = True
        self._observe(tracked, Look(generation, loop_now()))

    def rest(self, check: Callable[[Tracked], None] | None) -> None:
        """Let the leader of several programs poll what has waiters; None ends that, and polls all of it here again.

        Args:
            check: is called with each generation that has a waiter, now or later. It decides who polls it.
        """
        self._check = check
        for tracked in list(self._watched):
            if check is not None or tracked.polled_elsewhere:
                (check or self.look)(tracked)

    async def aclose(self) -> None:
        """Stop polling, and end all waits with `SessionClosed`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for tracked in list(self._watched):
            tracked.notify(SessionClosed(message=f"The session closed. That does not stop generation {tracked.id}."))
        await self._tasks.cancel()

    def _start_watching(self, tracked: Tracked) -> None:
        if tracked in self._watched:
            self._reschedule_earlier(tracked)
            return
        self._watched.add(tracked)
        tracked.began_at_s = loop_now()
        tracked.clear_failures()
        tracked.polled_elsewhere = True
        (self._check or self.look)(tracked)

    def look(self, tracked: Tracked) -> None:
        """Poll a generation here, as long as it has waiters."""
        tracked.polled_elsewhere = False
        if not tracked.watched or tracked.due_at_s is not None:
            return
        now_s = loop_now()
        shared_by = self._shared_by(tracked.shared_by)
        tracked.interval_s = self._interval(tracked, now_s, shared_by)
        if tracked.submitted_here or tracked.unfinished_at_s is not None:
            delay_s = self._interval(tracked, now_s, shared_by, part=self._random())
        else:
            tracked.awaiting_first_look = True
            self._waiting_for_first_look += 1
            delay_s = first_delay(tracked.interval_s, self._random(), self._waiting_for_first_look)
        self._schedule(tracked, now_s + delay_s, now_s)

    def leave(self, tracked: Tracked) -> None:
        """Do not poll a generation here, at present."""
        tracked.polled_elsewhere = True
        tracked.due_at_s = None
        self._end_first_look(tracked)

    def _stop_unless_watched(self, tracked: Tracked) -> None:
        if not tracked.watched and tracked in self._watched:
            self._watched.discard(tracked)
            self.leave(tracked)

    def _end_first_look(self, tracked: Tracked) -> None:
        """Note that an earlier purchase no longer waits for its first look."""
        if tracked.awaiting_first_look:
            tracked.awaiting_first_look = False
            self._waiting_for_first_look -= 1

    def _schedule_next(self, group: Sequence[Tracked], now_s: float, hints: Hints = NO_HINTS) -> None:
        """Schedule the next look at generations that shared a request; equal jitter keeps them together."""
        jitter = self._random()
        shared_by = self._shared_by(group[0].shared_by) if group else 1
        first_at_s = self._queue.next_at_s
        # Those of one kind and like age have one interval, which is computed once.
        intervals_s: dict[tuple[str, int], tuple[float, float]] = {}
        for tracked in group:
            if tracked.watched and not tracked.polled_elsewhere:
                like = tracked.duration_kind, int(tracked.age_s(now_s) * _AGE_CLASSES_PER_S)
                if like not in intervals_s:
                    interval_s = self._interval(tracked, now_s, shared_by)
                    intervals_s[like] = interval_s, next_delay(self._policy, interval_s, jitter, hints)
                tracked.interval_s, delay_s = intervals_s[like]
                self._queue.put(tracked, now_s + delay_s, now_s)
        self._update_timer(first_at_s)

    def _shared_by(self, last: int) -> int:
        """Return how many generations will share the next request: as many as shared the last, if there are as many."""
        return max(1, min(last, len(self._watched), self._fetcher.size))

    def _interval(self, tracked: Tracked, now_s: float, shared_by: int, *, part: float = 1.0) -> float:
        model = self.learner.model(tracked.duration_kind)
        return interval(self._policy, model, tracked.age_s(now_s), shared_by, part, self._pressure())

    def _reschedule_earlier(self, tracked: Tracked) -> None:
        """Look earlier if the timeout of a new waiter ends before the next look."""
        if tracked.due_at_s is not None:
            now_s = loop_now()
            earlier_at_s = before_deadline(tracked.due_at_s, now_s, tracked.deadline_at_s)
            if earlier_at_s < tracked.due_at_s:
                self._schedule(tracked, earlier_at_s, now_s)

    def _schedule(self, tracked: Tracked, due_at_s: float, now_s: float) -> None:
        first_at_s = self._queue.next_at_s
        self._queue.put(tracked, due_at_s, now_s)
        self._update_timer(first_at_s)

    def _update_timer(self, first_at_s: float | None) -> None:
        """Set the timer again if something is due before `first_at_s`, which it is set to."""
        next_at_s = self._queue.next_at_s
        if next_at_s is not None and (first_at_s is None or next_at_s < first_at_s):
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        next_at_s = None if self._closed else self._queue.next_at_s
        self._timer = asyncio.get_running_loop().call_at(next_at_s, self._on_timer) if next_at_s is not None else None

    def _on_timer(self) -> None:
        """Look at what is due, and at what is due soon if the requests have room for it."""
        now_s = loop_now()
        due = self._queue.take_due(now_s)
        max_ids = self._fetcher.max_ids
        if due:
            due += self._queue.take_nearby(now_s, room_left(len(due), max_ids))
        for tracked in due:
            self._end_first_look(tracked)
        for group in chunks(due, max_ids):
            self._start_look(group)
        self._set_timer()

    def _start_look(self, group: Sequence[Tracked]) -> None:
        self._tasks.start(self._look(group), name="luma_async look")

    async def _look(self, group: Sequence[Tracked]) -> None:
        """Look at a group; if that ends with an unexpected exception, look again later."""
        asked_at_s = loop_now()
        try:
            await self._look_at(group, asked_at_s)
        except BaseException as error:  # also if a program cancels this task: its waiters must not wait forever
            if self._closed:
                raise
            logger.exception("a look ended unexpectedly", extra=fields("polled"))
            for tracked in group:
                self._recover(tracked, error, asked_at_s)
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise

    def _recover(self, tracked: Tracked, error: BaseException, asked_at_s: float) -> None:
        """Treat a look that ended with an exception as failed; if even that fails, end the wait with an error."""
        if not tracked.watched or tracked.due_at_s is not None:
            return
        # A look of its own may be in progress; a second one changes nothing.
        failure = LumaError(message=f"The poll ended unexpectedly ({type(error).__name__}).")
        try:
            self._fail(tracked, failure, asked_at_s)
        except Exception:
            logger.exception(
                "generation %s cannot be polled again", tracked.id, extra=fields("polled", generation_id=tracked.id)
            )
            tracked.notify(failure)
            self._stop_unless_watched(tracked)

    async def _look_at(self, group: Sequence[Tracked], asked_at_s: float) -> None:
        """Send a request for a group, and handle the result of each generation separately."""
        results = await self._fetch(group)
        running: list[Tracked] = []
        unknown: list[tuple[Tracked, LumaError]] = []
        for tracked in group:
            tracked.shared_by = len(group)
            result = results.get(tracked.id)
            failure = self._handle(tracked, result, asked_at_s, running) if result is not None else None
            if result is None or (isinstance(failure, UnreadableResponse) and failure is not result and len(group) > 1):
                # A query for this id alone may find it and be readable; the others do not wait for that.
                self._start_look([tracked])
            elif isinstance(failure, GenerationNotFound) and not tracked.known:
                unknown.append((tracked, failure))
            elif failure is not None:
                self._fail(tracked, failure, asked_at_s)
        self._schedule_next(running, loop_now())
        for tracked, failure in unknown:
            # An id that was purchased through the journal gets the policy's grace.
            await self._find_origin(tracked)
            self._fail(tracked, failure, asked_at_s)

    async def _fetch(self, group: Sequence[Tracked]) -> dict[str, FetchResult]:
        ids = [tracked.id for tracked in group]
        failed_before = any(tracked.failure_run is not None for tracked in group)
        try:
            return await self._fetcher.fetch_many(ids, retry=False, failed_before=failed_before)
        except Exception as error:  # a bug in a dialect must not leave the waiters without a result
            logger.exception("a response could not be read", extra=fields("polled"))
            return dict.fromkeys(ids, LumaError(message=f"The response could not be read ({type(error).__name__})."))

    def _handle(
        self, tracked: Tracked, result: FetchResult, asked_at_s: float, running: list[Tracked]
    ) -> LumaError | None:
        """Use the result of a look; return the failure, if it is one.

        Args:
            tracked: the generation.
            result: what was fetched of it.
            asked_at_s: when the request was sent.
            running: the generation is added to it, if it still runs and its next look needs no hints.
        """
        if isinstance(result, LumaError):
            return result
        try:
            self._read(tracked, result, asked_at_s, running)
        except UnreadableResponse as error:
            return error
        except Exception as error:  # a bug in a dialect must not leave the waiters without a result
            extra = fields("polled", generation_id=tracked.id)
            logger.exception("a response about generation %s could not be read", tracked.id, extra=extra)
            return UnreadableResponse(message=f"it could not be read ({type(error).__name__})")
        return None

    def _read(self, tracked: Tracked, row: Row, asked_at_s: float, running: list[Tracked]) -> None:
        # Most looks show the same JSON as the last one, which is quickly seen.
        still_running = tracked.repeat(row.raw, asked_at_s) or self._peek(tracked, row, asked_at_s)
        if still_running is not None:
            tracked.clear_failures()
            tracked.unfinished_at_s = asked_at_s
            estimate_s = still_running.estimate_wait_s
        else:
            generation = structure_row(self._dialect, row)
            if self._observe(tracked, Look(generation, asked_at_s), row.raw):
                return
            estimate_s = generation.estimate_wait_s
        if estimate_s is None and not tracked.looks_without_link:
            running.append(tracked)
        else:
            hints = Hints(estimate_s=estimate_s, looks_without_link=tracked.looks_without_link > 0)
            self._schedule_next([tracked], loop_now(), hints)

    def _peek(self, tracked: Tracked, row: Row, asked_at_s: float) -> StillRunning | None:
        """Return the peek at a running generation without a change to report: its JSON is not structured now."""
        still_running = self._dialect.peek(row.raw) if not tracked.looks_without_link else None
        if still_running is None or self._events.listened or tracked.listeners:
            return still_running if row.raw == tracked.raw else None
        # Only waiters for the end are there: keep the JSON in case `handle.last` is read.
        read = partial(structure_row, self._dialect, row)
        tracked.observe_running(LazyLook(read, asked_at_s, still_running.estimate_wait_s), row.raw)
        return still_running

    def _observe(self, tracked: Tracked, look: Look, raw: Mapping[str, Any] | None = None) -> bool:
        """Merge a look and its JSON, and report a change; return whether the generation is settled."""
        changed = tracked.observe(look, raw)
        known = tracked.last
        assert known is not None
        tracked.clear_failures()
        if not known.final:
            tracked.unfinished_at_s = look.asked_at_s
        elif known.state is State.COMPLETED and not has_link(known):
            tracked.looks_without_link += 1
        if changed:
            self._events.emit(Changed(generation=known))
            self._warn_unknown_state(known)
            if not known.final:
                for listener in tracked.listeners:
                    listener.put_nowait(known)
        settled = tracked.settled
        if settled:
            self._finish(tracked, known)
        return settled

    def _finish(self, tracked: Tracked, generation: Generation) -> None:
        if not tracked.finished:
            tracked.finished = True
            if self._policy.kind == "adaptive" and not tracked.recorded:
                self._learn(tracked)
            self._events.emit(Finished(generation=generation))
            self._on_final(generation)
        tracked.notify(generation)
        self._stop_unless_watched(tracked)

    def _learn(self, tracked: Tracked) -> None:
        """Learn from a generation that was just seen finished."""
        now_s, kind = loop_now(), tracked.duration_kind
        finish = tracked.finish_seen(now_s)
        if finish is not None:
            running_s = (
                other.age_s(now_s)
                for other in self._watched
                if other.duration_kind == kind and other.submitted_here and not other.settled
            )
            self.learner.add(kind, finish, running_s)

    def _fail(self, tracked: Tracked, error: LumaError, asked_at_s: float) -> None:
        """Schedule another look after a failed one, or stop and notify the waiters."""
        tracked.last_failure = error
        consequence = after_failure(
            error,
            tracked.failure_run,
            known=tracked.known,
            unknown_since_s=tracked.unknown_since_s,
            asked_at_s=asked_at_s,
            now_s=loop_now(),
            policy=self._policy,
        )
        if isinstance(consequence, KeepLooking):
            tracked.failure_run, tracked.unknown_since_s = consequence.run, consequence.unknown_since_s
            retry_after_s = error.retry_after_s if isinstance(error, Refused) else None
            failures = consequence.run.count if consequence.run else 0
            self._schedule_next([tracked], loop_now(), Hints(retry_after_s=retry_after_s, failures=failures))
            return
        if consequence.lost:
            self._on_lost(tracked.id)
        tracked.notify(consequence.reason)
        self._stop_unless_watched(tracked)

    def _warn_unknown_state(self, generation: Generation) -> None:
        """Log a state that this version does not know, once."""
        if generation.state is State.UNKNOWN and generation.raw_state not in self._unknown_states:
            self._unknown_states.add(generation.raw_state)
            extra = fields("polled", generation_id=generation.id)
            logger.warning("unknown state %r from the service; waiting continues", generation.raw_state, extra=extra)
