"""What the attempts to receive one file have in common, and the pauses between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from luma_async._aio import loop_now
from luma_async._download.link_resolver import LinkSearch
from luma_async._download.links import medium_of
from luma_async._download.response import AttemptCounts, count_failure, publishing_delay, retry_delay
from luma_async.values.events import Retried

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async._download.validate import Medium
    from luma_async.values.errors import DownloadError
    from luma_async.values.events import Emitter
    from luma_async.values.settings import RetryPolicy


@attrs.define(kw_only=True, eq=False)
class Transfer:
    """One file to receive."""

    search: LinkSearch
    """The search for its link."""
    counts: AttemptCounts = attrs.field(factory=AttemptCounts)
    """How its attempts ended."""
    resumable_bytes: int = 0
    """How many bytes the last attempt left to resume from."""
    retry_after_s: float | None = None
    """The delay that the file server asked for last."""
    completed_at_s: float | None = None
    """When the generation was completed, on the loop's clock; None if that is unknown or long ago."""
    missing: bool = False
    """Whether the last response can mean that the storage does not have the file yet."""
    missing_since_s: float | None = None
    """When such a response came first."""
    times_missing: int = 0
    """How often the transfer waited because of that."""

    @property
    def id(self) -> str:
        """The id of the generation."""
        return self.search.generation.id

    @property
    def medium(self) -> Medium:
        """The format that the file must have."""
        return medium_of(self.search.generation, self.search.kind)

    @property
    def recent(self) -> bool:
        """Whether the link that failed last may work later."""
        return self.missing and self.completed_at_s is not None


class Pauses:
    """Decides whether another attempt follows, and waits for it.

    Args:
        retry: the bounds.
        random: returns numbers from 0 to 1.
        events: receives `Retried`.
    """

    def __init__(self, *, retry: RetryPolicy, random: Callable[[], float], events: Emitter) -> None:
        self._retry = retry
        self._random = random
        self._events = events

    async def before_retry(self, transfer: Transfer, failure: DownloadError) -> None:
        """Wait after a failed attempt; raise the failure if it was the last."""
        delay_s = self._delay_s(transfer, failure)
        if delay_s is None:
            failure.generation_id = transfer.id
            raise failure
        attempt = transfer.times_missing if transfer.missing else transfer.counts.without_progress
        self._events.emit(Retried(what="download", attempt=attempt, delay_s=delay_s, error=failure))
        await asyncio.sleep(delay_s)

    def _delay_s(self, transfer: Transfer, failure: DownloadError) -> float | None:
        if transfer.missing and (delay_s := self._publishing_delay_s(transfer)) is not None:
            transfer.search.repeat()
            return delay_s
        transfer.counts = count_failure(transfer.counts, failure, transfer.resumable_bytes)
        return retry_delay(
            failure,
            transfer.counts,
            policy=self._retry,
            jitter=self._random(),
            retry_after_s=transfer.retry_after_s,
        )

    def _publishing_delay_s(self, transfer: Transfer) -> float | None:
        now_s = loop_now()
        if transfer.completed_at_s is None:
            return None
        if transfer.missing_since_s is None:
            transfer.missing_since_s = now_s
        transfer.times_missing += 1
        return publishing_delay(
            transfer.times_missing,
            age_s=now_s - transfer.completed_at_s,
            waited_s=now_s - transfer.missing_since_s,
            policy=self._retry,
            jitter=self._random(),
            retry_after_s=transfer.retry_after_s,
        )
