"""What a batch would submit if it ran now."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from luma_async._batch.keys import retry_key
from luma_async._journal.lifecycle import UNPAID
from luma_async.values.entries import Entry, Phase
from luma_async.values.errors import LumaError
from luma_async.values.public import public
from luma_async.values.requests import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from luma_async._batch.item import BatchOptions
    from luma_async._batch.source import Source
    from luma_async._engine import Engine
    from luma_async._journal.protocol import Journal


@public
@attrs.frozen(kw_only=True)
class Preview:
    """One item of a batch, and its entry in the journal."""

    index: int
    """Its place in the input, from 0."""
    key: str | None
    """The key of its purchase; None for an item that cannot be submitted."""
    request: Request | None
    """What would be submitted."""
    entry: Entry | None
    """The journal's newest entry for it; None when it was never submitted."""
    error: LumaError | None
    """Why it cannot be submitted."""
    buys: bool
    """Whether running the batch would submit it."""
    price: Decimal | None = None
    """What it would cost by the prices of the budget; None without prices, and for what would not be submitted."""


async def preview(source: Source, *, options: BatchOptions, engine: Engine) -> AsyncIterator[Preview]:
    """Yield a preview of each item; see `Batch.preview()`."""
    while (item := await source.wait_for_next()) is not None:
        error: LumaError | None = item.error
        entry = price = None
        if item.request is not None:
            entry = await _newest(item.key, engine.journal)
            try:
                engine.dialect.submit_call(item.request)
                if _buys(entry, retry_failed=options.retry_failed):
                    price = engine.spending.price(item.request)
            except LumaError as refusal:
                error = refusal
        yield Preview(
            index=item.index,
            key=item.key or None if entry is None else entry.key,
            request=item.request,
            entry=entry,
            error=error,
            buys=error is None and _buys(entry, retry_failed=options.retry_failed),
            price=price,
        )


async def _newest(key: str, journal: Journal) -> Entry | None:
    """Return the entry of a key, or of the newest retry if the purchase under that key failed."""
    entry = await journal.get(key)
    number = 1
    while entry is not None and entry.phase is Phase.FAILED:
        number += 1
        again = await journal.get(retry_key(key, number))
        if again is None:
            break
        entry = again
    return entry


def _buys(entry: Entry | None, *, retry_failed: bool) -> bool:
    return entry is None or entry.phase in UNPAID or (retry_failed and entry.phase is Phase.FAILED)
