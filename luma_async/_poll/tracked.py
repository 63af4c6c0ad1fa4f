"""What one session knows of one generation, shared by all its handles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from copy import copy
from typing import Any, TypeAlias

import attrs

from luma_async._poll.failures import FailureRun, KeptFailing
from luma_async._poll.observation import LazyLook, Look, finality, merge
from luma_async.values.errors import LumaError
from luma_async.values.models import Generation

_log = logging.getLogger("luma_async")

Update: TypeAlias = Generation | KeptFailing | LumaError
"""What somebody who waits is told: how it ended, or why waiting did."""

MAX_LOOKS_WITHOUT_LINK = 3
"""How often a generation that is completed without a link is looked at again before it is taken as it is."""


@attrs.define(eq=False, kw_only=True)
class Tracked:
    """One generation, as this session knows it. There is one for each id, as long as anybody holds it."""

    id: str
    """The service's id."""
    key: str | None = None
    """The key of the paid intent."""
    law: str = ""
    """Generations of one law are learned from together."""
    submitted_at_s: float | None = None
    """When it was accepted, on the loop's clock; None when that is not known."""
    fresh: bool = False
    """Whether it was submitted in this session, so that nobody can have missed its end."""
    look: Look | None = None
    """What is known of it."""
    unread: LazyLook | None = attrs.field(default=None, repr=False)
    """A later look that nobody has asked for yet."""
    raw: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The JSON of what is known, if a look showed it: an equal one is not structured again."""
    waiters: dict[asyncio.Future[Update | None], float | None] = attrs.field(
        factory=dict[asyncio.Future["Update | None"], "float | None"], repr=False
    )
    """Who waits for its end, and until when."""
    deadline_at_s: float | None = None
    """When the first of those who wait stops; None for never."""
    listeners: list[asyncio.Queue[Update]] = attrs.field(factory=list[asyncio.Queue["Update"]], repr=False)
    """Who wants to know of each change."""
    due_at_s: float | None = None
    """The slot in which it is looked at next; None while a look is on its way, or nobody waits."""
    interval_s: float = 0.0
    """The interval that ends then."""
    began_at_s: float = 0.0
    """When somebody began to wait: its age counts from here when its submit is not known."""
    unfinished_at_s: float | None = None
    """When the last look that saw it unfinished was asked for."""
    company: int = 1
    """How many shared the last request."""
    unseen: bool = False
    """Whether it was bought before this session and still waits for its first look."""
    finished: bool = False
    """Whether its end was told to the journal and to `on_event`."""
    looks_without_link: int = 0
    """How often it was seen completed without a link."""
    failing: FailureRun | None = None
    """The unbroken run of failed looks, if there is one."""
    unknown_since_s: float | None = None
    """When the service was first asked and did not know the id, if it has not known it since."""

    @property
    def last(self) -> Generation | None:
        """The generation as last seen by anybody in this session."""
        self._read()
        return self.look.generation if self.look is not None else None

    @property
    def known(self) -> bool:
        """Whether it was bought here, or ever seen: no single answer can then say that it does not exist."""
        return self.submitted_at_s is not None or self.look is not None or self.unread is not None

    @property
    def watched(self) -> bool:
        """Whether anybody waits."""
        return bool(self.waiters) or bool(self.listeners)

    @property
    def settled(self) -> bool:
        """Whether no further look can tell anything new."""
        final = finality(self.look.generation) if self.look is not None else 0
        return final != 0 and (final != 2 or self.looks_without_link > MAX_LOOKS_WITHOUT_LINK)

    def join(self, waiter: asyncio.Future[Update | None], until_s: float | None) -> None:
        """Let somebody wait, until a moment."""
        self.waiters[waiter] = until_s
        if until_s is not None and (self.deadline_at_s is None or until_s < self.deadline_at_s):
            self.deadline_at_s = until_s

    def part(self, waiter: asyncio.Future[Update | None]) -> None:
        """Let somebody wait no more."""
        if self.waiters.pop(waiter, None) == self.deadline_at_s:
            self.deadline_at_s = min((end for end in self.waiters.values() if end is not None), default=None)

    def age_s(self, now_s: float) -> float:
        """Return how old it is, as far as that is known."""
        return max(0.0, now_s - (self.began_at_s if self.submitted_at_s is None else self.submitted_at_s))

    def sighted(self) -> None:
        """Note that the service knows it, which ends every run of looks that failed."""
        self.failing = self.unknown_since_s = None

    def see(self, look: Look, raw: Mapping[str, Any] | None = None) -> bool:
        """Take in what was seen, and its JSON; say whether that changed what is known."""
        if look.generation.final:
            self.unread = None
        self._read()
        before = self.look
        self.look = merge(before, look)
        if self.look is before:
            return False
        self.raw = raw
        return before is None or self.look.generation != before.generation

    def see_running(self, look: LazyLook, raw: Mapping[str, Any] | None = None) -> None:
        """Take in that it runs on, and its JSON, as somebody saw who need not know more."""
        known = self.unread or self.look
        if known is None or (look.asked_at_s >= known.asked_at_s and not (self.look and self.look.generation.final)):
            self.unread, self.raw = look, raw

    def _read(self) -> None:
        """Structure what nobody had asked for until now."""
        unread, self.unread = self.unread, None
        if unread is None:
            return
        try:
            look = Look(unread.generation, unread.asked_at_s)
        except Exception:  # whatever a dialect trips over, what is known stays known
            _log.exception("a look at generation %s could not be read", self.id)
        else:
            self.look = merge(self.look, look)

    def tell(self, news: Update) -> None:
        """Tell everybody who waits how it ended; nobody waits then."""
        waiters, self.waiters = self.waiters, {}
        listeners, self.listeners = self.listeners, []
        self.deadline_at_s = None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(news)
        for listener in listeners:
            listener.put_nowait(news)


def expire(waiter: asyncio.Future[Update | None]) -> None:
    """Tell somebody who waits that time is up."""
    if not waiter.done():
        waiter.set_result(None)


def good(news: Update) -> Generation | KeptFailing:
    """Return how it ended, or raise the error that came instead: a copy, since many may wait for it."""
    if isinstance(news, LumaError):
        raise copy(news)
    return news
