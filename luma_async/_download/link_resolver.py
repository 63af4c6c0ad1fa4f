"""Coming by a link to a file: carried by the generation, from a fresh look at it, or asked for once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import OwnedTasks, wall_now
from luma_async._download.links import Action, FileKind, Link, Watermark, next_action
from luma_async.values.errors import LinkGone, OutOfCredit, RateLimited, Refused, ServiceUnavailable, Unauthorized
from luma_async.values.models import Generation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PASSING = (Unauthorized, OutOfCredit, RateLimited, ServiceUnavailable)
"""Refusals that say nothing about the link."""


@attrs.define(kw_only=True, eq=False)
class LinkSearch:
    """One search for a link that works."""

    generation: Generation
    """As last seen."""
    kind: FileKind = "video"
    """Which of its files."""
    watermark: Watermark = "forbid"
    """Whether a watermarked clip will do."""
    spent: set[str] = attrs.field(factory=set[str])
    """Addresses that the file server refused since the last look."""
    refreshed: bool = False
    """Whether it was looked at again since a link worked."""
    asked: bool = False
    """Whether the service was asked for a link."""
    refusal: Refused | None = None
    """Why it gave none."""

    def worked(self) -> None:
        """Take note that a link works: should it end before the file does, all remedies are open again."""
        self.refreshed = self.asked = False
        self.refusal = None


class LinkResolver:
    """Finds links for one session, and keeps those that were asked for."""

    def __init__(
        self,
        *,
        refresh: Callable[[str], Awaitable[Generation]],
        ask: Callable[[str], Awaitable[str]],
        may_ask: bool,
    ) -> None:
        self._refresh = refresh
        self._ask = ask
        self._may_ask = may_ask
        self._answers: dict[str, str] = {}
        self._questions: dict[str, asyncio.Task[str]] = {}
        self._tasks = OwnedTasks()

    async def find(self, search: LinkSearch) -> Link:
        """Return the link to try next.

        Raises:
            LinkGone: there is none any more.
            LumaError: looking or asking got no usable answer.

        Cancellation:
            Safe: a question that was put is not put again, its answer is kept.
        """
        generation_id = search.generation.id
        while True:
            step = next_action(
                search.generation,
                kind=search.kind,
                watermark=search.watermark,
                answer=self._answers.get(generation_id),
                spent=search.spent,
                refreshed=search.refreshed,
                may_ask=self._may_ask and not search.asked,
                at=wall_now(),
            )
            if isinstance(step, Link):
                return step
            if step is Action.NONE:
                raise _gone(search)
            if step is Action.REFRESH:
                search.generation = await self._refresh(generation_id)
                search.refreshed = True
                search.spent.clear()
            else:
                search.asked = True
                await self._put_question(search)

    def refuse(self, search: LinkSearch, link: Link) -> None:
        """Take note that the file server does not accept a link."""
        search.spent.add(link.url)
        if self._answers.get(search.generation.id) == link.url:
            del self._answers[search.generation.id]

    async def aclose(self) -> None:
        """Drop the questions that are on their way."""
        await self._tasks.cancel()

    async def _put_question(self, search: LinkSearch) -> None:
        """Ask for a link, together with whoever asks for the same one; what was refused for good is remembered."""
        generation_id = search.generation.id
        question = self._questions.get(generation_id)
        if question is None:
            question = self._tasks.start(self._answer(generation_id), name="luma_async link")
            self._questions[generation_id] = question
            question.add_done_callback(lambda _: self._questions.pop(generation_id))
        try:
            await asyncio.shield(question)
        except _PASSING:
            raise
        except Refused as refusal:
            search.refusal = refusal

    async def _answer(self, generation_id: str) -> str:
        link = self._answers[generation_id] = await self._ask(generation_id)
        return link


def _gone(search: LinkSearch) -> LinkGone:
    generation = search.generation
    if search.refusal is not None:
        message = f"It carries no usable link, and the service makes none ({search.refusal})."
    elif search.spent:
        message = "The file server refuses every link, those of a fresh look too."
    else:
        message = f"It carries no link to its {search.kind.replace('_', ' ')}."
    video = generation.video
    if search.kind == "video" and search.watermark == "forbid" and video is not None and video.url:
        message += ' There is one with a watermark: watermark="allow" takes it.'
    return LinkGone(message=message, generation_id=generation.id)
