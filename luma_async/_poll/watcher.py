"""Watching: one for a whole session, so that all who wait are served by the same few requests.

A generation is watched only while somebody waits for it, and waiting owns nothing: who leaves changes nothing for
anybody else. Looks fall due in slots, a heap of distinct moments with the generations of each; a request that has
room takes along what is due soon. Looks run in tasks of the watcher's own, so a slow one delays no other.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from luma_async._aio import OwnedTasks, loop_now
from luma_async._poll.due_queue import DueQueue
from luma_async._poll.durations import PRIOR, DurationModel
from luma_async._poll.failures import KeepLooking, KeptFailing, after_failure
from luma_async._poll.grouping import chunks, room_left
from luma_async._poll.learning import DurationLearner
from luma_async._poll.observation import LazyLook, Look, has_link
from luma_async._poll.schedule import NO_HINTS, Hints, before_deadline, first_delay, interval, next_delay
from luma_async._poll.tracked import MAX_LOOKS_WITHOUT_LINK, Tracked, Update, expire, good
from luma_async._wire.dialect import read_row
from luma_async.values.errors import (
    GenerationNotFound,
    LumaError,
    Refused,
    SessionClosed,
    UnreadableResponse,
)
from luma_async.values.events import Changed, Finished
from luma_async.values.models import Generation, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from luma_async._poll.fetcher import Fetcher, FetchResult
    from luma_async._wire.dialect import Dialect, Row
    from luma_async.values.events import Emitter
    from luma_async.values.settings import PollPolicy

_log = logging.getLogger("luma_async")


class Watcher:
    """Looks at what is waited for, and tells those who wait.

    Args:
        fetcher: sends the status requests.
        dialect: structures what they saw.
        policy: when to look, and when to give up.
        random: numbers from 0 to 1.
        events: receives each change.
        on_final: is told once how a generation ended.
        recognise: looks up whether an id that came from outside was bought here.
        on_lost: is told the id that the service no longer knows.
        prior: what is believed of durations before any generation has finished.
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
        prior: DurationModel = PRIOR,
    ) -> None:
        self._fetcher = fetcher
        self._dialect = dialect
        self._policy = policy
        self._random = random
        self._events = events
        self._on_final = on_final
        self._recognise = find_origin
        self._on_lost = on_lost
        self.learning: DurationLearner = DurationLearner(prior)
        """What was learned of durations."""
        self._targets: WeakValueDictionary[str, Tracked] = WeakValueDictionary()
        self._slots = DueQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = OwnedTasks()
        self._watched: set[Tracked] = set()
        self._unseen = 0
        self._strange_words: set[str] = set()
        self._closed = False

    def target(self, generation_id: str) -> Tracked:
        """Return what this session knows of a generation; the same for everybody who asks."""
        target = self._targets.get(generation_id)
        if target is None:
            target = self._targets[generation_id] = Tracked(id=generation_id)
        return target

    async def wait(self, target: Tracked, *, timeout_s: float | None) -> Generation | KeptFailing | None:
        """Wait until a generation is final or polling kept failing; return None when the time is up.

        See `handle.wait()`, which makes errors of all but a completed generation.
        """
        if target.settled and target.last is not None:
            return target.last
        if self._closed:
            raise SessionClosed
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Update | None] = loop.create_future()
        target.join(waiter, None if timeout_s is None else loop.time() + timeout_s)
        self._begin(target)
        timer = loop.call_later(timeout_s, expire, waiter) if timeout_s is not None else None
        try:
            news = await waiter
        finally:
            target.part(waiter)
            if timer is not None:
                timer.cancel()
            self._leave(target)
        return None if news is None else good(news)

    async def updates(self, target: Tracked) -> AsyncGenerator[Generation | KeptFailing]:
        """Yield what is known, then each change; end after a final one, or once polling kept failing."""
        shown: Generation | None = None
        # Whoever is busy with what was yielded does not listen: what has changed meanwhile comes next.
        while (known := target.last) is not None and known != shown and (target.settled or not known.final):
            shown = known
            yield known
        if target.settled:
            return
        if self._closed:
            raise SessionClosed
        news: asyncio.Queue[Update] = asyncio.Queue()
        target.listeners.append(news)
        self._begin(target)
        try:
            while True:
                update = good(await news.get())
                yield update
                if isinstance(update, KeptFailing) or update.final:
                    return
        finally:
            if news in target.listeners:
                target.listeners.remove(news)
            self._leave(target)

    def observe(self, generation: Generation, asked_at_s: float) -> None:
        """Take in what somebody else saw, and tell those who wait."""
        target = self._targets.get(generation.id)
        if target is not None:
            self._see(target, Look(generation, asked_at_s))

    def remember_answer(self, target: Tracked, row: Row, asked_at_s: float) -> None:
        """Take in the answer to the submit."""
        try:
            running = self._dialect.peek(row.raw)
        except Exception:  # a bug in a dialect; reading the row in full decides
            running = None
        if running is not None:
            target.see_running(LazyLook(partial(read_row, self._dialect, row), asked_at_s))
        else:
            self.remember(target, Look(read_row(self._dialect, row), asked_at_s))

    def remember(self, target: Tracked, look: Look) -> None:
        """Take in what the journal knows of the end."""
        if target.fresh and look.generation.final:
            self.observe(look.generation, look.asked_at_s)
        elif target.see(look) and look.generation.final:
            target.finished = True
            target.looks_without_link = MAX_LOOKS_WITHOUT_LINK + 1

    async def aclose(self) -> None:
        """Stop looking, and tell everybody who waits that the session closed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for target in list(self._watched):
            target.tell(SessionClosed(message=f"The session closed; generation {target.id} keeps running and is paid."))
        await self._tasks.cancel()

    def _begin(self, target: Tracked) -> None:
        if target in self._watched:
            self._draw_nearer(target)
            return
        self._watched.add(target)
        now_s = loop_now()
        target.began_at_s = now_s
        target.sighted()
        weight = self._weight(target.company)
        target.interval_s = self._interval(target, now_s, weight)
        if target.fresh or target.unfinished_at_s is not None:
            delay_s = self._interval(target, now_s, weight, part=self._random())
        else:
            target.unseen = True
            self._unseen += 1
            delay_s = first_delay(target.interval_s, self._random(), self._unseen)
        self._put(target, now_s + delay_s, now_s)

    def _leave(self, target: Tracked) -> None:
        if not target.watched and target in self._watched:
            self._watched.discard(target)
            target.due_at_s = None
            self._mark_seen(target)

    def _mark_seen(self, target: Tracked) -> None:
        """Note that the first look at what was bought before is no longer to come."""
        if target.unseen:
            target.unseen = False
            self._unseen -= 1

    def _again(self, targets: Sequence[Tracked], now_s: float, hints: Hints = NO_HINTS) -> None:
        """Look again later at what was looked at together: with one luck, so that it stays together."""
        jitter = self._random()
        delay_s = interval_s = -1.0
        weight = self._weight(targets[0].company) if targets else 1
        first_at_s = self._slots.next_at_s
        for target in targets:
            if target.watched:
                target.interval_s = self._interval(target, now_s, weight)
                if target.interval_s != interval_s:
                    interval_s = target.interval_s
                    delay_s = next_delay(self._policy, interval_s, jitter, hints)
                self._slots.put(target, now_s + delay_s, now_s)
        self._mind_timer(first_at_s)

    def _weight(self, company: int) -> int:
        """Say how many share a look: one that was shared will be shared again."""
        return max(1, min(company, len(self._watched), self._fetcher.capacity.size))

    def _interval(self, target: Tracked, now_s: float, weight: int, *, part: float = 1.0) -> float:
        return interval(self._policy, self.learning.law(target.law), target.age_s(now_s), weight, part)

    def _draw_nearer(self, target: Tracked) -> None:
        """Look earlier if somebody who has just come will leave before the next look."""
        if target.due_at_s is not None:
            now_s = loop_now()
            nearer_at_s = before_deadline(target.due_at_s, now_s, target.deadline_at_s)
            if nearer_at_s < target.due_at_s:
                self._put(target, nearer_at_s, now_s)

    def _put(self, target: Tracked, due_at_s: float, now_s: float) -> None:
        first_at_s = self._slots.next_at_s
        self._slots.put(target, due_at_s, now_s)
        self._mind_timer(first_at_s)

    def _mind_timer(self, first_at_s: float | None) -> None:
        """Set the timer anew where something is due earlier than at `first_at_s`, which it is set to."""
        next_at_s = self._slots.next_at_s
        if next_at_s is not None and (first_at_s is None or next_at_s < first_at_s):
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        next_at_s = None if self._closed else self._slots.next_at_s
        self._timer = asyncio.get_running_loop().call_at(next_at_s, self._fire) if next_at_s is not None else None

    def _fire(self) -> None:
        """Look at what is due, and at as much of what is due soon as the requests have room for."""
        now_s = loop_now()
        due = self._slots.take_due(now_s)
        reach = self._fetcher.max_ids
        if due:
            due += self._slots.take_nearby(now_s, room_left(len(due), reach))
        for target in due:
            self._mark_seen(target)
        for chunk in chunks(due, reach):
            self._tasks.start(self._look(chunk), name="luma_async look")
        self._set_timer()

    async def _look(self, chunk: Sequence[Tracked]) -> None:
        asked_at_s = loop_now()
        seen = await self._seen_of(chunk)
        pending: list[Tracked] = []
        for target in chunk:
            target.company = len(chunk)
            sight = seen.get(target.id)
            failure = self._take_in(target, sight, asked_at_s, pending) if sight is not None else None
            if sight is None or (isinstance(failure, UnreadableResponse) and len(chunk) > 1):
                # By itself it may be there, and be readable; nobody else waits for that.
                self._tasks.start(self._look([target]), name="luma_async look")
            elif isinstance(failure, GenerationNotFound) and not target.known:
                self._tasks.start(self._fail_stranger(target, failure, asked_at_s), name="luma_async look")
            elif failure is not None:
                self._fail(target, failure, asked_at_s)
        self._again(pending, loop_now())

    async def _seen_of(self, chunk: Sequence[Tracked]) -> dict[str, FetchResult]:
        ids = [target.id for target in chunk]
        try:
            return await self._fetcher.fetch_many(ids, retry=False)
        except Exception as error:  # whatever a dialect trips over must not leave anybody waiting for ever
            _log.exception("a look could not be read")
            return dict.fromkeys(ids, LumaError(message=f"The look could not be read ({type(error).__name__})."))

    def _take_in(
        self, target: Tracked, sight: FetchResult, asked_at_s: float, pending: list[Tracked]
    ) -> LumaError | None:
        """Take in what a look saw, and add to `pending` what is not settled; return what was wrong with it."""
        if isinstance(sight, LumaError):
            return sight
        try:
            self._read(target, sight, asked_at_s, pending)
        except UnreadableResponse as error:
            return error
        except Exception as error:  # whatever a dialect trips over must not leave anybody waiting for ever
            _log.exception("a look at generation %s could not be read", target.id)
            return UnreadableResponse(message=f"it could not be read ({type(error).__name__})")
        return None

    def _read(self, target: Tracked, row: Row, asked_at_s: float, pending: list[Tracked]) -> None:
        running = self._dialect.peek(row.raw) if not target.looks_without_link else None
        if running is not None and self._is_old_news(target, row, asked_at_s):
            target.sighted()
            target.unfinished_at_s = asked_at_s
            estimate_s = running.estimate_wait_s
        else:
            generation = self._dialect.generation(row.raw)
            if self._see(target, Look(generation, asked_at_s), row.raw):
                return
            estimate_s = generation.estimate_wait_s
        if estimate_s is None and not target.looks_without_link:
            pending.append(target)
        else:
            self._again(
                [target], loop_now(), Hints(estimate_s=estimate_s, looks_without_link=target.looks_without_link > 0)
            )

    def _is_old_news(self, target: Tracked, row: Row, asked_at_s: float) -> bool:
        """Whether nobody need be told of a generation that runs on, so that its JSON is not structured."""
        if self._events.listened or target.listeners:
            return row.raw == target.raw
        target.see_running(LazyLook(partial(self._dialect.generation, row.raw), asked_at_s), row.raw)
        return True

    def _see(self, target: Tracked, look: Look, raw: Mapping[str, Any] | None = None) -> bool:
        """Take in a look and its JSON, and tell who wants to know; say whether it is settled."""
        changed = target.see(look, raw)
        known = target.last
        assert known is not None
        target.sighted()
        if not known.final:
            target.unfinished_at_s = look.asked_at_s
        elif known.state is State.COMPLETED and not has_link(known):
            target.looks_without_link += 1
        if changed:
            self._events.emit(Changed(generation=known))
            self._wonder_at(known)
            if not known.final:
                for listener in target.listeners:
                    listener.put_nowait(known)
        settled = target.settled
        if settled:
            self._finish(target, known)
        return settled

    def _finish(self, target: Tracked, generation: Generation) -> None:
        if not target.finished:
            target.finished = True
            if self._policy.kind == "adaptive":
                self.learning.finished(target, loop_now(), self._watched)
            self._events.emit(Finished(generation=generation))
            self._on_final(generation)
        target.tell(generation)
        self._leave(target)

    async def _fail_stranger(self, target: Tracked, error: LumaError, asked_at_s: float) -> None:
        await self._recognise(target)
        self._fail(target, error, asked_at_s)

    def _fail(self, target: Tracked, error: LumaError, asked_at_s: float) -> None:
        """Go on in spite of a failed look, or tell those who wait that it is over."""
        what = after_failure(
            error,
            target.failing,
            known=target.known,
            unknown_since_s=target.unknown_since_s,
            asked_at_s=asked_at_s,
            now_s=loop_now(),
            policy=self._policy,
        )
        if isinstance(what, KeepLooking):
            target.failing, target.unknown_since_s = what.failing, what.unknown_since_s
            named_s = error.retry_after_s if isinstance(error, Refused) else None
            failures = what.failing.count if what.failing else 0
            self._again([target], loop_now(), Hints(retry_after_s=named_s, failures=failures))
            return
        if what.lost:
            self._on_lost(target.id)
        target.tell(what.reason)
        self._leave(target)

    def _wonder_at(self, generation: Generation) -> None:
        """Log a word that this version does not know, once."""
        if generation.state is State.UNKNOWN and generation.raw_state not in self._strange_words:
            self._strange_words.add(generation.raw_state)
            _log.warning("the service says %r, which is no state we know; waiting goes on", generation.raw_state)
