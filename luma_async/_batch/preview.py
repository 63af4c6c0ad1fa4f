"""What a batch would find if it ran now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from luma_async._batch.rules import retry_key
from luma_async._journal.lifecycle import UNPAID
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import LumaError
from luma_async.values.requests import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from luma_async._batch.item import BatchOptions, Deeds
    from luma_async._batch.source import Source


@attrs.frozen(kw_only=True)
class Preview:
    """One item of a batch, and what the journal knows of it."""

    index: int
    """Its place in the input, from 0."""
    key: str | None
    """The key of its purchase; None for what cannot be bought."""
    request: Request | None
    """What is wanted."""
    entry: Entry | None
    """The journal's newest entry for it; None when it was never submitted."""
    error: LumaError | None
    """Why it cannot be bought."""
    buys: bool
    """Whether running the batch would submit it."""


async def preview(source: Source, *, terms: BatchOptions, deeds: Deeds) -> AsyncIterator[Preview]:
    """Yield what would become of each item; see `Batch.preview()`."""
    while (item := await source.outwait_next()) is not None:
        error: LumaError | None = item.fault
        entry = None
        if item.request is not None:
            try:
                deeds.check(item.request)
            except LumaError as fault:
                error = fault
            entry = await _newest(item.key, deeds)
        yield Preview(
            index=item.index,
            key=item.key or None if entry is None else entry.key,
            request=item.request,
            entry=entry,
            error=error,
            buys=error is None and _buys(entry, retry_failed=terms.retry_failed),
        )


async def _newest(key: str, deeds: Deeds) -> Entry | None:
    """Find the entry of a key, or of the last purchase that was made because an earlier one failed."""
    entry = await deeds.find(key)
    number = 1
    while entry is not None and entry.phase is Phase.FAILED:
        number += 1
        again = await deeds.find(retry_key(key, number))
        if again is None:
            break
        entry = again
    return entry


def _buys(entry: Entry | None, *, retry_failed: bool) -> bool:
    return entry is None or entry.phase in UNPAID or (retry_failed and entry.phase is Phase.FAILED)
