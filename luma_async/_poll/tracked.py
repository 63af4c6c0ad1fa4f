"""What one session knows of one generation, shared by all of its handles and waiters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy
from datetime import timedelta
from typing import Any, TypeAlias

import attrs

from luma_async._aio import wall_now
from luma_async._poll.durations import Observed
from luma_async._poll.failures import FailureRun, KeptFailing
from luma_async._poll.observation import LazyLook, Look, finality, merge
from luma_async.values.errors import LumaError
from luma_async.values.log import fields, logger
from luma_async.values.models import Generation, State

Update: TypeAlias = Generation | KeptFailing | LumaError
"""What a waiter gets: how the generation ended, or why waiting did."""

MAX_LOOKS_WITHOUT_LINK = 3
"""How often a generation that is completed without a link is looked at again before it is accepted without."""

_RECENT = timedelta(hours=1)
"""A generation created longer ago is taken for completed long ago, if nothing else is known."""


@attrs.define(eq=False, kw_only=True)
class Tracked:
    """One generation, as this session knows it. There is one object for each id, as long as anything refers to it."""

    id: str
    """The service's id."""
    key: str | None = None
    """The key of the paid intent."""
    duration_kind: str = ""
    """Generations of the same kind share a duration model."""
    submitted_at_s: float | None = None
    """When the submit was accepted, on the loop's clock; None if that is unknown."""
    submitted_here: bool = False
    """Whether it was submitted in this session, so that it cannot have finished before."""
    siblings: tuple[str, ...] = ()
    """The ids of further generations that the same submit made."""
    look: Look | None = None
    """What is known of it."""
    lazy_look: LazyLook | None = attrs.field(default=None, repr=False)
    """A later look that is not structured yet."""
    raw: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The JSON of what is known, if a look showed it: the same JSON is not structured again."""
    waiters: dict[asyncio.Future[Update | None], float | None] = attrs.field(
        factory=dict[asyncio.Future["Update | None"], "float | None"], repr=False
    )
    """The callers that wait for its end, each with its deadline on the loop's clock."""
    deadline_at_s: float | None = None
    """The first of those deadlines; None if there is none."""
    listeners: list[asyncio.Queue[Update | None]] = attrs.field(
        factory=list[asyncio.Queue["Update | None"]], repr=False
    )
    """The callers that get each change."""
    due_at_s: float | None = None
    """When it is looked at next; None while a look is in progress, or without waiters."""
    interval_s: float = 0.0
    """The interval that ends then."""
    began_at_s: float = 0.0
    """When waiting began: its age counts from here if the moment of its submit is unknown."""
    unfinished_at_s: float | None = None
    """When the last request was sent that saw it unfinished."""
    completed_at_s: float | None = None
    """When the request was sent that first saw it completed; None if it may have been completed long before."""
    shared_by: int = 1
    """How many generations shared the last request."""
    awaiting_first_look: bool = False
    """Whether it was purchased before this session and has not been looked at yet."""
    finished: bool = False
    """Whether its end was reported to the journal and to `on_event`."""
    looks_without_link: int = 0
    """How often it was seen completed without a link."""
    failure_run: FailureRun | None = None
    """The failed looks in a row, if the last look failed."""
    last_failure: LumaError | None = None
    """Why the last look failed, if it did."""
    polled_elsewhere: bool = False
    """Whether another program polls it for all that share the journal."""
    recorded: bool = False
    """Whether its end is in the journal already, because another program has written it."""
    unknown_since_s: float | None = None
    """When the first of the requests was sent that found the id unknown, if the last look did too."""

    @property
    def last(self) -> Generation | None:
        """The generation as last seen in this session."""
        self._structure()
        return self.look.generation if self.look is not None else None

    @property
    def known(self) -> bool:
        """Whether it was purchased here, or was ever seen: then a single answer cannot prove that it does not exist."""
        return self.submitted_at_s is not None or self.look is not None or self.lazy_look is not None

    @property
    def watched(self) -> bool:
        """Whether there are waiters or listeners."""
        return bool(self.waiters) or bool(self.listeners)

    @property
    def settled(self) -> bool:
        """Whether another look cannot change anything."""
        rank = finality(self.look.generation) if self.look is not None else 0
        return rank != 0 and (rank != 2 or self.looks_without_link > MAX_LOOKS_WITHOUT_LINK)

    def add_waiter(self, waiter: asyncio.Future[Update | None], deadline_at_s: float | None) -> None:
        """Add a caller that waits for the end, until a moment."""
        self.waiters[waiter] = deadline_at_s
        if deadline_at_s is not None and (self.deadline_at_s is None or deadline_at_s < self.deadline_at_s):
            self.deadline_at_s = deadline_at_s

    def remove_waiter(self, waiter: asyncio.Future[Update | None]) -> None:
        """Remove a caller that stops waiting; notified callers are removed already."""
        if self.waiters.pop(waiter, None) == self.deadline_at_s:
            self.deadline_at_s = min((end for end in self.waiters.values() if end is not None), default=None)

    def age_s(self, now_s: float) -> float:
        """Return its age, or how long it has been waited for if its age is unknown."""
        return max(0.0, now_s - (self.began_at_s if self.submitted_at_s is None else self.submitted_at_s))

    def finish_seen(self, now_s: float) -> Observed | None:
        """Return between which ages it finished, if it was just seen finished and both are known."""
        submitted_at_s, unfinished_at_s = self.submitted_at_s, self.unfinished_at_s
        if submitted_at_s is None or not (self.submitted_here or unfinished_at_s):
            return None
        after_s = max(0.0, unfinished_at_s - submitted_at_s) if unfinished_at_s is not None else 0.0
        return Observed(after_s=after_s, until_s=max(after_s, now_s - submitted_at_s))

    def clear_failures(self) -> None:
        """Note that the service knows it: earlier failed looks no longer count."""
        self.failure_run = self.last_failure = self.unknown_since_s = None

    def observe(self, look: Look, raw: Mapping[str, Any] | None = None) -> bool:
        """Merge a look and its JSON; return whether that changed what is known."""
        if look.generation.final:
            self.lazy_look = None
        self._structure()
        before = self.look
        self.look = merge(before, self._with_siblings(look))
        if self.look is before:
            return False
        self.raw = raw
        self._note_completion(look)
        return before is None or self.look.generation != before.generation

    def _note_completion(self, look: Look) -> None:
        """Note when it was first seen completed, unless it was submitted long ago and never seen unfinished."""
        if self.completed_at_s is not None or look.generation.state is not State.COMPLETED:
            return
        created_at = look.generation.created_at
        recent = created_at is None or wall_now() - created_at < _RECENT
        if recent or self.submitted_here or self.unfinished_at_s is not None:
            self.completed_at_s = look.asked_at_s

    def observe_running(self, look: LazyLook, raw: Mapping[str, Any] | None = None) -> None:
        """Merge a look that showed it running, and its JSON, without structuring it."""
        known = self.lazy_look or self.look
        if known is None or (look.asked_at_s >= known.asked_at_s and not (self.look and self.look.generation.final)):
            self.lazy_look, self.raw = look, raw

    def repeat(self, raw: Mapping[str, Any], asked_at_s: float) -> LazyLook | None:
        """Use a look that showed the same JSON as the last one, which showed it running; return None if it did not."""
        last = self.lazy_look
        if last is None or raw != self.raw or asked_at_s < last.asked_at_s:
            return None
        last.asked_at_s = asked_at_s
        return last

    def _structure(self) -> None:
        """Structure the look that was not needed until now."""
        lazy_look, self.lazy_look = self.lazy_look, None
        if lazy_look is None:
            return
        try:
            look = self._with_siblings(Look(lazy_look.generation, lazy_look.asked_at_s))
        except Exception:  # a bug in a dialect must not hide what is known
            extra = fields("polled", generation_id=self.id)
            logger.exception("a response about generation %s could not be read", self.id, extra=extra)
        else:
            self.look = merge(self.look, look)

    def _with_siblings(self, look: Look) -> Look:
        """Add the siblings, which only the answer to the submit names."""
        if not self.siblings or look.generation.siblings:
            return look
        return Look(attrs.evolve(look.generation, siblings=self.siblings), look.asked_at_s)

    def notify(self, update: Update) -> None:
        """Give all waiters and listeners the last update, and remove them."""
        waiters, self.waiters = self.waiters, {}
        listeners, self.listeners = self.listeners, []
        self.deadline_at_s = None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(update)
        for listener in listeners:
            listener.put_nowait(update)


def time_out(waiter: asyncio.Future[Update | None]) -> None:
    """Notify a waiter that its time is up."""
    if not waiter.done():
        waiter.set_result(None)


def unwrap(update: Update) -> Generation | KeptFailing:
    """Return how waiting ended, or raise the error: a copy, because there may be several waiters."""
    if isinstance(update, LumaError):
        raise copy(update)
    return update
