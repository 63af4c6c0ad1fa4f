"""Finds a link to a file: carried by the generation, from a fresh look, or requested from the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import OwnedTasks, wall_now
from luma_async._download.links import Action, FileChoice, Link, Watermark, next_action
from luma_async.values.errors import LinkGone, OutOfCredit, RateLimited, Refused, ServiceUnavailable, Unauthorized
from luma_async.values.models import Generation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_TEMPORARY = (Unauthorized, OutOfCredit, RateLimited, ServiceUnavailable)
"""Refusals that say nothing about the link."""


@attrs.define(kw_only=True, eq=False)
class LinkSearch:
    """The search for a link that works, of one download."""

    generation: Generation
    """As last seen."""
    kind: FileChoice = "video"
    """Which of its files."""
    watermark: Watermark = "forbid"
    """Whether a watermarked clip is accepted."""
    rejected_urls: set[str] = attrs.field(factory=set[str], repr=False)
    """Addresses that the file server refused since the last look."""
    refreshed: bool = False
    """Whether the generation was fetched again since a link worked."""
    asked: bool = False
    """Whether the service was asked for a link since a link worked."""
    refusal: Refused | None = None
    """Why the service returned no link."""
    reason: str = ""
    """Why the last link did not work."""

    def reset(self) -> None:
        """Allow a new look and a new request for a link, because a link worked."""
        self.refreshed = self.asked = False
        self.refusal = None

    def repeat(self) -> None:
        """Allow a new look, which allows the same links again; a link is not requested again."""
        self.refreshed = False


class LinkResolver:
    """Finds links for one session, and keeps those that the service was asked for.

    Args:
        refresh: fetches a generation again.
        ask: requests a link, which some relays charge; None where the dialect has no such request.
    """

    def __init__(
        self, *, refresh: Callable[[str], Awaitable[Generation]], ask: Callable[[str], Awaitable[str]] | None
    ) -> None:
        self._refresh = refresh
        self._ask = ask
        self._requested_urls: dict[str, str] = {}
        self._requests: dict[str, asyncio.Task[str]] = {}
        self._tasks = OwnedTasks()

    async def find(self, search: LinkSearch) -> Link:
        """Return the link to try next.

        Raises:
            LinkGone: there is none left.
            LumaError: fetching the generation or requesting a link failed.

        Cancellation:
            Safe: a request for a link is not sent again, its result is kept.
        """
        generation_id = search.generation.id
        while True:
            action = next_action(
                search.generation,
                kind=search.kind,
                watermark=search.watermark,
                requested_url=self._requested_urls.get(generation_id),
                rejected_urls=search.rejected_urls,
                refreshed=search.refreshed,
                may_ask=self._ask is not None and not search.asked,
                at=wall_now(),
            )
            if isinstance(action, Link):
                return action
            if action is Action.REFRESH:
                search.generation = await self._refresh(generation_id)
                search.refreshed = True
                search.rejected_urls.clear()
            elif action is Action.ASK and self._ask is not None:
                search.asked = True
                await self._request(search, self._ask)
            else:
                raise _link_gone(search)

    def reject(self, search: LinkSearch, link: Link, reason: str, *, keep: bool) -> None:
        """Remember that a link did not work; `keep` one that the service was asked for, if it may work later."""
        search.rejected_urls.add(link.url)
        search.reason = reason
        if not keep and self._requested_urls.get(search.generation.id) == link.url:
            del self._requested_urls[search.generation.id]

    async def aclose(self) -> None:
        """Cancel the requests for links that have no response yet."""
        await self._tasks.cancel()

    async def _request(self, search: LinkSearch, ask: Callable[[str], Awaitable[str]]) -> None:
        """Request a link, sharing the request with all downloads of the generation; keep a lasting refusal."""
        generation_id = search.generation.id
        request = self._requests.get(generation_id)
        if request is None:
            request = self._tasks.start(self._keep(generation_id, ask), name="luma_async link")
            self._requests[generation_id] = request
            request.add_done_callback(lambda _: self._requests.pop(generation_id))
        try:
            await asyncio.shield(request)
        except _TEMPORARY:
            raise
        except Refused as refusal:
            search.refusal = refusal

    async def _keep(self, generation_id: str, ask: Callable[[str], Awaitable[str]]) -> str:
        url = self._requested_urls[generation_id] = await ask(generation_id)
        return url


def _link_gone(search: LinkSearch) -> LinkGone:
    generation = search.generation
    if search.refusal is not None:
        message = f"The generation has no usable link, and the service returns none ({search.refusal})."
    elif search.rejected_urls:
        message = f"No link works, even after a fresh look. {search.reason}"
    else:
        message = f"The generation has no link to its {str(search.kind).replace('_', ' ')}."
    video = generation.video
    marked = video.url if video is not None and search.kind == "video" and search.watermark == "forbid" else None
    if marked and marked not in search.rejected_urls:
        message += ' It has a link with a watermark; watermark="allow" (--watermark) accepts it.'
    return LinkGone(message=message, generation_id=generation.id)
